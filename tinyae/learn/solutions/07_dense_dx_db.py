"""07 · Dense: the gradients of the input and the bias

    y  = x Wᵀ + b              x (N, I)   W (O, I)   b (O,)   y (N, O)
    yₙₒ = Σᵢ xₙᵢ Wₒᵢ + bₒ       the same, entry by entry
    dx = ∂L/∂x (N, I)          db = ∂L/∂b (O,),   given dy = ∂L/∂y (N, O)

Write  dense_dx(dy, x, W, b) and dense_db(dy, x, W, b). Not all that is given is needed.

Why    dx carries the gradient on to the layer before: without it only the last layer would learn.
       And db shows the rule behind half of all backward passes: b is used once for every row, so
       it collects a gradient from every row. What is copied forward is summed backward.

See    tinyae/layers/dense.py, Dense: the library's own, for afterwards
"""

import numpy as np


def dense(x, W, b):
    """y (N, O)"""
    return x @ W.T + b


def dense_dx(dy, x, W, b):
    """dx (N, I)"""
    return dy @ W


def dense_db(dy, x, W, b):
    """db (O,)"""
    return dy.sum(axis=0)


if __name__ == "__main__":  # a place to try things: python tinyae_learn/07_dense_dx_db.py
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(4, 3)), rng.normal(size=(2, 3)), np.zeros(2)
    print("y has shape", dense(x, W, b).shape)
