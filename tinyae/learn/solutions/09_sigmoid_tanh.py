"""09 · Sigmoid and tanh, from the output

    sigmoid   y = 1 / (1 + e⁻ˣ)
    tanh      y = tanh x
    dx = ∂L/∂x   given dy = ∂L/∂y, and y; all of one shape

Write  sigmoid_backward(dy, y) and tanh_backward(dy, y): return dx. What is given is the output y;
       x is not there.

Why    Both slopes can be had from y alone, with no exp and no memory of x: so a network keeps only
       the outputs of its layers, which the next layers need anyway. Look at where y is near its
       ends, 0 and 1, or −1 and 1: the slope is nearly 0. A unit there is saturated and hardly
       learns, which is why weights are not drawn too large.

See    tinyae/layers/activation.py, Sigmoid: the library's own, for afterwards
"""

import numpy as np


def sigmoid(x):
    """y, of x's shape"""
    return 1 / (1 + np.exp(-x))


def tanh(x):
    """y, of x's shape"""
    return np.tanh(x)


def sigmoid_backward(dy, y):
    """dx, of y's shape"""
    return dy * y * (1 - y)


def tanh_backward(dy, y):
    """dx, of y's shape"""
    return dy * (1 - y**2)
