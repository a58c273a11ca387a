"""08 · ReLU and leaky ReLU

    ReLU         y = x if x > 0, else 0
    leaky ReLU   y = x if x > 0, else α x,   α = 0.3 here
    dx = ∂L/∂x   given dy = ∂L/∂y; all of one shape

Write  relu_backward(dy, x) and leaky_relu_backward(dy, x): return dx. At the kink, x = 0, take the
       slope of the left side: 0, and α.

Why    An activation acts on each entry by itself, so its Jacobian is diagonal and backward is a
       product, entry by entry: dx = dy · f′(x). The mask belongs to the forward pass: it asks
       whether x was positive. The sign of dy has no say in it. Where a ReLU was shut nothing
       passes back, and a unit that is shut for all samples never learns again; the leak is there
       to keep it alive.

See    tinyae/layers/activation.py, ReLU: the library's own, for afterwards
"""

import numpy as np

ALPHA = 0.3


def relu(x):
    """y, of x's shape"""
    return np.maximum(x, 0)


def leaky_relu(x):
    """y, of x's shape"""
    return np.where(x > 0, x, ALPHA * x)


def relu_backward(dy, x):
    """dx, of x's shape"""
    return dy * (x > 0)


def leaky_relu_backward(dy, x):
    """dx, of x's shape"""
    return dy * np.where(x > 0, 1.0, ALPHA)
