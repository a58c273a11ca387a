"""25 · SiLU, and Swish with a β that is learnt

    SiLU    y = x σ(x)           σ(x) = 1 / (1 + e⁻ˣ)
    Swish   y = x σ(β x)         β: one number, learnt; SiLU is β = 1
    dx = ∂L/∂x, of x's shape,   dβ = ∂L/∂β, one number,   given dy = ∂L/∂y

Write  silu_backward(dy, x): return dx.
       swish_backward(dy, x, beta): return dx and dbeta.
       sigmoid(x) is there.

Why    A ReLU multiplies x by a gate that is 0 or 1. Here the gate is soft, σ(x), and it depends on
       the very x that it lets through. So x reaches y twice, as what passes and as what opens the
       gate, and each way adds its share to the slope. β says how sharply the gate opens: one number
       for all entries, so all of them have a say in its gradient.

See    tinyae/layers/gated.py, SiLU: the library's own, for afterwards
"""

import numpy as np


def sigmoid(x):
    """σ(x) at any x"""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def silu(x):
    """y, of x's shape"""
    return x * sigmoid(x)


def swish(x, beta):
    """y, of x's shape"""
    return x * sigmoid(beta * x)


def silu_backward(dy, x):
    """dx, of x's shape"""
    s = sigmoid(x)
    return dy * (s + x * s * (1 - s))


def swish_backward(dy, x, beta):
    """dx, of x's shape, and dbeta, one number"""
    s = sigmoid(beta * x)
    slope = s * (1 - s)
    dx = dy * (s + beta * x * slope)
    dbeta = (dy * x * x * slope).sum()
    return dx, dbeta
