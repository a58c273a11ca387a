"""03 · Binary cross-entropy, from logits

    p  = σ(y) = 1 / (1 + e⁻ʸ)                              the probability that the logit y stands for
    L  = −1/n Σ [t ln p + (1 − t) ln (1 − p)]              t in [0, 1]
       = 1/n Σ [max(y, 0) − y t + ln(1 + e^−|y|)]          the same number, and no exp can overflow
    dy = ∂L/∂y

Write  bce_with_logits(y, t): return L and dy, both finite at any y, such as ±1000.

Why    Through p and its logarithm the derivative is a quotient that ends in 0/0 where the network
       is sure of itself. Taken as one function of the logit, nearly all of it cancels, and what is
       left is the simplest gradient there is. Cancel on paper, before the computer has to.

See    tinyae/losses.py, BCEWithLogits: the library's own, for afterwards
"""

import numpy as np


def sigmoid(y):
    """σ(y) at any y: e is only raised to what is not positive."""
    e = np.exp(-np.abs(y))
    return np.where(y >= 0, 1, e) / (1 + e)


def bce_with_logits(y, t):
    """L, a number, and dy, of y's shape."""
    L = np.mean(np.maximum(y, 0) - y * t + np.log1p(np.exp(-np.abs(y))))
    dy = (sigmoid(y) - t) / y.size
    return L, dy
