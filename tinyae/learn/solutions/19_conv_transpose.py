"""19 · The transposed convolution

    C    u ↦ Cu    the convolution that takes a picture u to a smaller one (exercise 17, no bias)
    Cᵀ   x ↦ Cᵀx   the one map with ⟨Cu, x⟩ = ⟨u, Cᵀx⟩ for all u and x: C's adjoint

    y = Cᵀx:   y[n, o, s i + u, s j + v] += Σ_c x[n,c,i,j] · W[c,o,u,v]     for all i, j, u, v

    x (N, C, H, W)   W (C, O, kh, kw)   y (N, O, H′, W′)   s: stride
    H′ = s (H − 1) + kh, W′ alike

Write  conv_transpose2d(x, W, stride): return y.
       conv_transpose2d_dx(dy, x, W, stride): return dx.

Why    A decoder must grow pictures where the encoder has shrunk them. The transposed convolution
       lays down the kernel at every place, s apart, as heavy as x says, and adds where kernels
       overlap: exactly what the convolution's own backward does. So the two are each other's
       backward, and you have written both already. ⟨a, b⟩ is Σ a b over all entries. No numeric
       gradient is needed to test an adjoint: the two sides must agree to the last digit.

See    tinyae/layers/conv.py, ConvTranspose2d: the library's own, for afterwards
"""

import numpy as np


def window(x, u, v, height, width, stride):
    """x[n, c, s i + u, s j + v] for all i < height, j < width: a view, (N, C, height, width).

    Writing into it, or adding with +=, writes into x.
    """
    rows = slice(u, u + stride * (height - 1) + 1, stride)
    columns = slice(v, v + stride * (width - 1) + 1, stride)
    return x[:, :, rows, columns]


def conv_transpose2d(x, W, stride):
    """y (N, O, H′, W′)"""
    height, width = x.shape[2:]
    kh, kw = W.shape[2:]
    y = np.zeros((len(x), W.shape[1], stride * (height - 1) + kh, stride * (width - 1) + kw))
    for u in range(kh):
        for v in range(kw):
            laid = np.einsum("nchw,co->nohw", x, W[:, :, u, v])
            window(y, u, v, height, width, stride)[...] += laid
    return y


def conv_transpose2d_dx(dy, x, W, stride):
    """dx (N, C, H, W)"""
    height, width = x.shape[2:]
    dx = np.zeros_like(x)
    for u in range(W.shape[2]):
        for v in range(W.shape[3]):
            seen = window(dy, u, v, height, width, stride)
            dx += np.einsum("nohw,co->nchw", seen, W[:, :, u, v])
    return dx
