"""13 · Dropout, and the denoising autoencoder

    dropout     y = x · m / (1 − p)      m: 0 with probability p, else 1, drawn for each entry
    denoising   x̃ = x + ε                ε: noise, drawn before
                h = tanh(x̃ Wᵀ)           x (N, D)   W (K, D)   h (N, K)
                y = h Vᵀ                 V (D, K)   y (N, D)
                L = 1/n Σ (y − x)²       against the clean x, over all n entries

Write  dropout(x, m, p): return y.
       dropout_backward(dy, x, m, p): return dx.
       denoising_gradients(x, eps, W, V): return dW and dV.

Why    Noise is drawn once, before forward, and is then a constant like any other: backward must see
       the very draw that forward saw, so both get it as an argument. The 1/(1 − p) keeps the mean
       of y equal to x, so that nothing has to be rescaled once training is over. And the denoising
       autoencoder is the plain one with one change that is easy to get half right: what goes in is
       x̃, what is asked for is x.

See    tinyae/models/denoising.py, DenoisingAutoencoder: the library's own, for afterwards
"""

import numpy as np


def dropout(x, m, p):
    """y, of x's shape"""
    return x * m / (1 - p)


def dropout_backward(dy, x, m, p):
    """dx, of x's shape"""
    return dy * m / (1 - p)


def denoising_loss(x, eps, W, V):
    """L, a number"""
    h = np.tanh((x + eps) @ W.T)
    y = h @ V.T
    return np.mean((y - x) ** 2)


def denoising_gradients(x, eps, W, V):
    """dW (K, D) and dV (D, K)"""
    noisy = x + eps
    h = np.tanh(noisy @ W.T)
    y = h @ V.T
    dy = 2 * (y - x) / y.size
    dV = dy.T @ h
    da = (dy @ V) * (1 - h**2)
    dW = da.T @ noisy
    return dW, dV
