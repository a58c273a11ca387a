"""05 · Backwards through a softmax

    yₙₖ = e^xₙₖ / Σⱼ e^xₙⱼ            x, y (N, K), each row by itself
    dx  = ∂L/∂x,   given dy = ∂L/∂y, whatever loss L it came from

Write  softmax_backward(dy, x): return dx. softmax(x) is there to be used.

Why    An entry of y depends on all of its row of x: ∂yₖ/∂xⱼ = yₖ (δₖⱼ − yⱼ), a K × K matrix for
       every row, the Jacobian J. A backward pass never builds it. It only needs the product Jᵀdy
       (the vector-Jacobian product), and that takes K multiplications and one sum, not K².
       Attention, mixtures and every soft choice go through this line.

Note   Multiply it out: dxⱼ = Σₖ dyₖ ∂yₖ/∂xⱼ. Two terms; the second is a number a row.
       An upstream gradient of ones gives dx = 0, for y always sums to one: the check uses random dy.

See    tinyae/layers/softmax.py, Softmax: the library's own, for afterwards
"""

import numpy as np


def softmax(x):
    """Each row as probabilities. (N, K)"""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(dy, x):
    """dx (N, K)"""
    y = softmax(x)
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))
