"""01 · Mean squared error

    L  = 1/n Σ (y − t)²         over all n entries of y and t, which have one shape
    dy = ∂L/∂y                  of y's shape: dy[i] says how L moves with y[i]

Write  mse(y, t): return L and dy.

Why    Every training step begins here: the loss says how far the reconstruction y is from the
       target t, and dy is the first gradient, from which the chain rule makes all the others.
       Whether L is a sum or a mean is a choice, but L and dy must make the same one. A mean keeps
       the step size independent of the batch's size, so the 1/n belongs in dy too.

See    tinyae/losses.py, MSE: the library's own, for afterwards
"""

import numpy as np


def mse(y, t):
    """L, a number, and dy, of y's shape."""
    d = y - t
    L = np.mean(d**2)
    dy = 2 * d / d.size
    return L, dy
