"""18 · Convolution: the gradient of the input

    y[n,o,i,j] = b[o] + Σ_c Σ_u Σ_v  x[n, c, s i + u, s j + v] · W[o,c,u,v]

    x (N, C, H, W)   W (O, C, kh, kw)   b (O,)   y (N, O, H′, W′)   s: stride
    H′ = (H − kh)//s + 1, W′ alike; no padding

Write  conv2d_dx(dy, x, W, b, stride): return dx (N, C, H, W).

Why    Forward gathers: each output takes from its window. Backward scatters: each dy gives back to
       its window, and where windows overlap the gifts add. Read as formulas, the kernel comes out
       flipped, and stride puts zeros between the dy; seen as "what was taken is given back", it is
       one line in the loop of forward. The decoder of every convolutional autoencoder is built of
       this very map: it is the transposed convolution of exercise 19.

Note   A pixel that no window reaches (there may be some at the right and lower edge) has gradient 0.

See    tinyae/layers/conv.py, Conv2d: the library's own, for afterwards
"""

import numpy as np


def window(x, u, v, height, width, stride):
    """x[n, c, s i + u, s j + v] for all i < height, j < width: a view, (N, C, height, width).

    Writing into it, or adding with +=, writes into x.
    """
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


def conv2d_dx(dy, x, W, b, stride):
    """dx (N, C, H, W)"""
    height, width = dy.shape[2:]
    dx = np.zeros_like(x)
    for u in range(W.shape[2]):
        for v in range(W.shape[3]):
            given = np.einsum("nohw,oc->nchw", dy, W[:, :, u, v])
            window(dx, u, v, height, width, stride)[...] += given
    return dx
