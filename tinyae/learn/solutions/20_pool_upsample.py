"""20 · Max-pooling and upsampling

    max-pool     y[n,c,i,j] = the largest of x[n, c, 2i + u, 2j + v],   u, v in {0, 1}
    upsample     y[n, c, 2i + u, 2j + v] = x[n,c,i,j],                  u, v in {0, 1}
    dx = ∂L/∂x   given dy = ∂L/∂y

    max-pool   x (N, C, 2H, 2W), y (N, C, H, W)     upsample   x (N, C, H, W), y (N, C, 2H, 2W)

Write  max_pool_backward(dy, x) and upsample_backward(dy, x): return dx, of x's shape. Where two
       entries of a window are equally large, the whole gradient goes to the first in reading order.

Why    Two maps without a weight that shrink and grow pictures. The maximum is a switch: only the
       entry that won was passed on, so it alone gets the gradient. Upsampling copies each pixel to
       four places, so the four gradients add: what is copied forward is summed backward, once more.

Note   windows(x) rearranges x to (N, C, H, W, 4), with the four entries of each window in reading
       order along the last axis, and from_windows goes back.

See    tinyae/layers/pool.py, MaxPool2d: the library's own, for afterwards
"""

import numpy as np


def windows(x):
    """(N, C, 2H, 2W) → (N, C, H, W, 4)"""
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return parts.reshape(n, c, h // 2, w // 2, 4)


def from_windows(parts):
    """(N, C, H, W, 4) → (N, C, 2H, 2W)"""
    n, c, h, w, _ = parts.shape
    parts = parts.reshape(n, c, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return parts.reshape(n, c, 2 * h, 2 * w)


def max_pool(x):
    """y (N, C, H, W)"""
    return windows(x).max(axis=-1)


def upsample(x):
    """y (N, C, 2H, 2W)"""
    return np.repeat(np.repeat(x, 2, axis=2), 2, axis=3)


def max_pool_backward(dy, x):
    """dx, of x's shape"""
    parts = windows(x)
    first = parts.argmax(axis=-1)[..., None]  # of equal ones, the first
    won = np.arange(4) == first
    return from_windows(won * dy[..., None])


def upsample_backward(dy, x):
    """dx, of x's shape"""
    return windows(dy).sum(axis=-1)
