"""21 · The VAE's draw

    z = μ + σ ε,   σ = e^(s/2)        s = ln σ², the log-variance (logvar); ε ~ N(0, 1) (eps)
    all of shape (N, K); ε is drawn before, and given

Write  sample(mu, logvar, eps): return z.
       sample_backward(dz, mu, logvar, eps): return dmu and dlogvar.

Why    The code of a VAE is a distribution, and the decoder sees a draw from it. One cannot
       differentiate a draw; but one can move the randomness out of the way: draw ε, which depends
       on no weight, and scale and shift it. Then z is a plain function of μ and s, and the gradient
       passes. The log-variance is what the network gives, for it may be any number while σ stays
       positive; the ½ is there because s is the log of σ squared.

Note   A wrong ½ in forward is a mistake that no gradient check can find: forward and backward may
       agree perfectly about the wrong distribution. So the check also measures z's variance.

See    tinyae/models/variational.py, VariationalAutoencoder: the library's own, for afterwards
"""

import numpy as np


def sample(mu, logvar, eps):
    """z (N, K)"""
    return mu + np.exp(logvar / 2) * eps


def sample_backward(dz, mu, logvar, eps):
    """dmu (N, K) and dlogvar (N, K)"""
    dmu = dz
    dlogvar = dz * eps * np.exp(logvar / 2) / 2
    return dmu, dlogvar
