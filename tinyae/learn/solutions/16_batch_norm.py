"""16 · Batch normalisation

    μᵢ = 1/N Σₙ xₙᵢ            vᵢ = 1/N Σₙ (xₙᵢ − μᵢ)²        x (N, D); of each column
    x̂ₙᵢ = (xₙᵢ − μᵢ) / √(vᵢ + ε)                              ε = 1e-5
    y = γ x̂ + β                                               γ, β (D,)

Write  batch_norm_backward(dy, x, gamma, beta): return dx, dgamma and dbeta. normalise(x) is
       there: it gives x̂ and 1/√(v + ε).

Why    Here a sample's output depends on all the other samples of the batch, through μ and v. So x
       reaches y on three paths: directly, through μ and through v. Take only the first and the
       network trains badly while everything looks right. Adding a number to a column leaves y as it
       is, so each column of dx sums to zero: a test that costs nothing.

Note   Let g = γ dy be what reaches x̂, and follow each path on its own: the direct one, the one
       through μ, the one through v. Every path through a mean brings a mean over the batch of what
       passes along it. Together they are one short line.

See    tinyae/layers/norm.py, BatchNorm: the library's own, for afterwards
"""

import numpy as np

EPS = 1e-5


def normalise(x):
    """x̂ (N, D) and 1/√(v + ε) (D,)"""
    mu = x.mean(axis=0)
    v = ((x - mu) ** 2).mean(axis=0)
    inverse = 1 / np.sqrt(v + EPS)
    return (x - mu) * inverse, inverse


def batch_norm(x, gamma, beta):
    """y (N, D)"""
    xhat, _ = normalise(x)
    return gamma * xhat + beta


def batch_norm_backward(dy, x, gamma, beta):
    """dx (N, D), dgamma (D,), dbeta (D,)"""
    xhat, inverse = normalise(x)
    dbeta = dy.sum(axis=0)
    dgamma = (dy * xhat).sum(axis=0)
    g = gamma * dy
    dx = inverse * (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0))
    return dx, dgamma, dbeta
