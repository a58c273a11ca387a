"""10 · A whole autoencoder

    a = x Wᵀ + b       x (N, D)   W (K, D)   b (K,)   a (N, K)
    h = tanh a         the code, (N, K)
    y = h Vᵀ + c       V (D, K)   c (D,)   y (N, D): the reconstruction
    L = 1/n Σ (y − x)²           over all n = N·D entries

Write  gradients(x, W, b, V, c): return dW, db, dV, dc. forward is there; call it for h and y.

Why    Nothing in it is new: this is exercises 01, 06, 07 and 09 in a row, walked from the last line
       to the first. That is all that backpropagation is. At each line you hold the gradient of
       its result and make those of its ingredients: dy, then dV, dc and dh, then da, then dW
       and db. Write the lines of forward on paper and answer each with its backward, in reverse.

Note   x is data: no gradient of it is asked for, though it stands in L twice.

See    tinyae/models/autoencoder.py, Autoencoder: the library's own, for afterwards
"""

import numpy as np


def forward(x, W, b, V, c):
    """h (N, K) and y (N, D)"""
    h = np.tanh(x @ W.T + b)
    y = h @ V.T + c
    return h, y


def loss(x, W, b, V, c):
    """L, a number"""
    _, y = forward(x, W, b, V, c)
    return np.mean((y - x) ** 2)


def gradients(x, W, b, V, c):
    """dW (K, D), db (K,), dV (D, K), dc (D,)"""
    h, y = forward(x, W, b, V, c)
    dy = 2 * (y - x) / y.size
    dV = dy.T @ h
    dc = dy.sum(axis=0)
    dh = dy @ V
    da = dh * (1 - h**2)
    dW = da.T @ x
    db = da.sum(axis=0)
    return dW, db, dV, dc
