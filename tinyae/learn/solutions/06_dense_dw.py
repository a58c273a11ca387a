"""06 · Dense: the gradient of the matrix

    y  = x Wᵀ + b              x (N, I)   W (O, I)   b (O,)   y (N, O)
    yₙₒ = Σᵢ xₙᵢ Wₒᵢ + bₒ       the same, entry by entry
    dW = ∂L/∂W                 (O, I), given dy = ∂L/∂y (N, O), whatever the loss L is

Write  dense_dw(dy, x, W, b): return dW. Not all that is given is needed.

Why    Most of what a network knows is in matrices like W, and this product is how each step
       changes it. Derive it for one entry: which yₙₒ does Wₒᵢ take part in, and with which factor?
       Then see that all entries together are one matrix product. The shapes alone nearly decide
       which: a gradient has the shape of what it belongs to.

See    tinyae/layers/dense.py, Dense: the library's own, for afterwards
"""

import numpy as np


def dense(x, W, b):
    """y (N, O)"""
    return x @ W.T + b


def dense_dw(dy, x, W, b):
    """dW (O, I)"""
    return dy.T @ x


if __name__ == "__main__":  # a place to try things: python tinyae_learn/06_dense_dw.py
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(4, 3)), rng.normal(size=(2, 3)), np.zeros(2)
    print("y has shape", dense(x, W, b).shape)
