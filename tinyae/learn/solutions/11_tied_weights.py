"""11 · Tied weights

    h = tanh(x Wᵀ + b)          x (N, D)   W (K, D)   b (K,)   h (N, K)
    y = h W + c                 the same W again, c (D,), y (N, D)
    L = 1/n Σ (y − x)²          over all n = N·D entries

Write  gradients(x, W, b, c): return dW, db, dc. forward is there; call it for h and y.

Why    The decoder is the encoder's transpose: half the weights, and a hint that decoding undoes
       encoding. W now reaches L on two paths, and the rule is simple and strict: a variable that is
       used twice collects a gradient from each use, and the two add. It is the commonest of all
       slips to forget one, since the network still learns with what is left, only worse.

Note   Do as if there were two matrices, W in the encoder and V = Wᵀ in the decoder; derive dW and
       dV as in exercise 10; then bring dV into W's shape and add.

See    tinyae/layers/dense.py, TiedDense: the library's own, for afterwards
"""

import numpy as np


def forward(x, W, b, c):
    """h (N, K) and y (N, D)"""
    h = np.tanh(x @ W.T + b)
    y = h @ W + c
    return h, y


def loss(x, W, b, c):
    """L, a number"""
    _, y = forward(x, W, b, c)
    return np.mean((y - x) ** 2)


def gradients(x, W, b, c):
    """dW (K, D), db (K,), dc (D,)"""
    h, y = forward(x, W, b, c)
    dy = 2 * (y - x) / y.size
    decoder_dW = h.T @ dy
    dc = dy.sum(axis=0)
    dh = dy @ W.T
    da = dh * (1 - h**2)
    encoder_dW = da.T @ x
    db = da.sum(axis=0)
    return decoder_dW + encoder_dW, db, dc
