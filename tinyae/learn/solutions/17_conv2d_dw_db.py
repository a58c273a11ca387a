"""17 · Convolution: the gradients of kernel and bias

    y[n,o,i,j] = b[o] + Σ_c Σ_u Σ_v  x[n, c, s i + u, s j + v] · W[o,c,u,v]

    x (N, C, H, W)   W (O, C, kh, kw)   b (O,)   y (N, O, H′, W′)   s: stride
    H′ = (H − kh)//s + 1, W′ alike; no padding

Write  conv2d_dw(dy, x, W, b, stride) and conv2d_db(dy, x, W, b, stride).

Why    A convolution is a dense layer with two changes: each output sees only a window of the
       input, and all windows share one kernel. The first says which x meets which dy; the second
       that W[o,c,u,v], used at every place of every picture, collects a gradient from each.
       No new idea: once more it is exercises 06 and 07, with more places to sum over.

Note   In forward, each tap (u, v) of the kernel is one product of a shifted, strided view of x.
       window(x, u, v, …) gives that view; backward can go over the same taps.

See    tinyae/layers/conv.py, Conv2d: the library's own, for afterwards
"""

import numpy as np


def window(x, u, v, height, width, stride):
    """x[n, c, s i + u, s j + v] for all i < height, j < width: a view, (N, C, height, width)"""
    rows = slice(u, u + stride * (height - 1) + 1, stride)
    columns = slice(v, v + stride * (width - 1) + 1, stride)
    return x[:, :, rows, columns]


def conv2d(x, W, b, stride):
    """y (N, O, H′, W′)"""
    kh, kw = W.shape[2:]
    height, width = (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1
    y = np.zeros((len(x), len(W), height, width)) + b[:, None, None]
    for u in range(kh):
        for v in range(kw):
            y += np.einsum("nchw,oc->nohw", window(x, u, v, height, width, stride), W[:, :, u, v])
    return y


def conv2d_dw(dy, x, W, b, stride):
    """dW (O, C, kh, kw)"""
    height, width = dy.shape[2:]
    dW = np.zeros_like(W)
    for u in range(W.shape[2]):
        for v in range(W.shape[3]):
            seen = window(x, u, v, height, width, stride)
            dW[:, :, u, v] = np.einsum("nohw,nchw->oc", dy, seen)
    return dW


def conv2d_db(dy, x, W, b, stride):
    """db (O,)"""
    return dy.sum(axis=(0, 2, 3))
