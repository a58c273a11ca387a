"""27 · Layer normalisation

    μₙₜ = 1/D Σᵢ xₙₜᵢ         vₙₜ = 1/D Σᵢ (xₙₜᵢ − μₙₜ)²        x (N, T, D); of each token (n, t)
    x̂ₙₜᵢ = (xₙₜᵢ − μₙₜ) / √(vₙₜ + ε)                            ε = 1e-5
    y = γ x̂ + β                                                 γ, β (D,)   y (N, T, D)

Write  layer_norm_backward(dy, x, gamma, beta): return dx, dgamma and dbeta. normalise(x) is
       there: it gives x̂ and 1/√(v + ε).

Why    Batch normalisation (exercise 16) compares a sample with the others of its batch; here every
       token is compared with itself, over its D features. So it does the same for a batch of one,
       and Transformers are built on it. Nothing of the derivation changes but the axes, and that
       is where it goes wrong: the means belong to a token, and run over its features; γ and β
       belong to a feature, and collect from all tokens.

Note   Adding a number to all features of a token leaves its y as it is, so each token's dx sums
       to zero over the features: a test that costs nothing.

See    tinyae/layers/norm.py, LayerNorm: the library's own, for afterwards
"""

import numpy as np

EPS = 1e-5


def normalise(x):
    """x̂ (N, T, D) and 1/√(v + ε) (N, T, 1)"""
    mu = x.mean(axis=-1, keepdims=True)
    v = ((x - mu) ** 2).mean(axis=-1, keepdims=True)
    inverse = 1 / np.sqrt(v + EPS)
    return (x - mu) * inverse, inverse


def layer_norm(x, gamma, beta):
    """y (N, T, D)"""
    xhat, _ = normalise(x)
    return gamma * xhat + beta


def layer_norm_backward(dy, x, gamma, beta):
    """dx (N, T, D), dgamma (D,), dbeta (D,)"""
    xhat, inverse = normalise(x)
    dbeta = dy.sum(axis=(0, 1))
    dgamma = (dy * xhat).sum(axis=(0, 1))
    g = gamma * dy
    mean_g = g.mean(axis=-1, keepdims=True)
    mean_gx = (g * xhat).mean(axis=-1, keepdims=True)
    dx = inverse * (g - mean_g - xhat * mean_gx)
    return dx, dgamma, dbeta
