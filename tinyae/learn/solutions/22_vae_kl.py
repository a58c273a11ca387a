"""22 · The VAE's price: KL and β

    KL = 1/N Σₙ Σₖ ½ (μₙₖ² + e^sₙₖ − 1 − sₙₖ)        s = ln σ² (logvar); μ, s (N, K)
    P  = β KL

Write  kl(mu, logvar, beta): return P, dmu and dlogvar.

Why    KL(N(μ, σ²) ‖ N(0, 1)) is what a VAE pays for saying anything about x: it is 0 where the code
       is N(0, 1) whatever x, and then the decoder learns nothing from it. Its unit is the nat, for
       one sample: a sum over the K dimensions, a mean over the batch. The reconstruction must be
       counted the same way, summed over the features of a sample: a mean there against a sum here
       is the same as a β of several hundred, and the code collapses. That is the question most
       often asked about VAEs.

See    tinyae/models/variational.py, VariationalAutoencoder: the library's own, for afterwards
"""

import numpy as np


def kl(mu, logvar, beta):
    """P, a number, dmu (N, K) and dlogvar (N, K)"""
    N = len(mu)
    P = beta / N * 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum()
    dmu = beta * mu / N
    dlogvar = beta * 0.5 * (np.exp(logvar) - 1) / N
    return P, dmu, dlogvar
