"""15 · The contractive penalty

    h = σ(x Wᵀ + b)                   x (N, D)   W (K, D)   b (K,)   h (N, K)
    J = ∂h/∂x                         for each sample: Jⱼᵢ = hⱼ (1 − hⱼ) Wⱼᵢ
    P = 1/N Σₙ Σⱼᵢ Jⱼᵢ²               the mean of ‖J‖²_F over the samples
      = 1/N Σₙ Σⱼ (hₙⱼ (1 − hₙⱼ))² wⱼ,    wⱼ = Σᵢ Wⱼᵢ²

Write  contractive(x, W, b): return P, dW and db.

Why    P says how fast the code moves when the input moves; to make it small is to make the code
       indifferent to all but what reconstruction needs. It is the first loss of this track that
       holds a derivative, so its gradient is a second derivative. W enters on two paths: in plain
       sight in wⱼ, and hidden in h. The hidden one needs the slope of s = h (1 − h) in h,
       which is 1 − 2h, and the slope of h in its own argument, once more h (1 − h).

See    tinyae/models/contractive.py, ContractiveAutoencoder: the library's own, for afterwards
"""

import numpy as np


def sigmoid(a):
    """σ(a)"""
    return 1 / (1 + np.exp(-a))


def contractive(x, W, b):
    """P, a number, dW (K, D) and db (K,)"""
    h = sigmoid(x @ W.T + b)
    s = h * (1 - h)
    w = (W**2).sum(axis=1)
    P = (s**2 * w).sum() / len(x)

    dw = (s**2).sum(axis=0) / len(x)
    ds = 2 * s * w / len(x)
    dh = ds * (1 - 2 * h)
    da = dh * h * (1 - h)
    dW = da.T @ x + 2 * dw[:, None] * W
    db = da.sum(axis=0)
    return P, dW, db
