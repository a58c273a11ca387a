"""Pooling, over images that lie flat in memory. Layers and compiled programs share the loops.

With and without padding it is one loop, compiled twice: without padding, no window is cut off.
"""

from __future__ import annotations

import numpy as np

from tinyae.arrays import FLOATS
from tinyae.kernels import reference
from tinyae.kernels.jitted.cfunc import view
from tinyae.kernels.jitted.threads import jit
from tinyae.kernels.reference import Pair
from tinyae.param import Array


@jit
def _span(i: int, k: int, s: int, before: int | None, n: int) -> tuple[int, int]:
    """Where window i begins and ends, cut off at the ends of an axis of length n.

    The first begins ``before`` the axis. With None, every window lies inside, and nothing is cut.
    """
    first, last = i * s, i * s + k
    if before is None:  # a type of its own, so that this is decided when the loop is compiled
        return first, last
    return max(first - before, 0), min(last - before, n)


@jit
def largest(
    x: Array,
    y: Array,
    index: Array | None,
    height: int,
    width: int,
    rows: int,
    columns: int,
    kh: int,
    kw: int,
    sh: int,
    sw: int,
    top: int | None,
    left: int | None,
) -> None:
    """The largest entry of the part of each window inside its image, and its place, unless
    ``index`` is None: u·kw + v in a window that is not cut.

    x holds images of height × width one after the other, y and index those of rows × columns.
    """
    to = 0
    for image in range(y.size // max(rows * columns, 1)):
        for i in range(rows):
            first, last = _span(i, kh, sh, top, height)
            for j in range(columns):
                start, end = _span(j, kw, sw, left, width)
                corner = (image * height + first) * width + start
                best, argmax = view(x, corner, 1)[0], 0
                for u in range(last - first):
                    line = view(x, corner + u * width, end - start)
                    for v in range(end - start):
                        value = line[v]
                        keep = best >= value or best != best  # the first NaN wins, as in argmax
                        best = best if keep else value
                        if index is not None:
                            argmax = argmax if keep else u * kw + v
                y[to] = best
                if index is not None:
                    index[to] = argmax
                to += 1


@jit
def means(
    x: Array,
    y: Array,
    height: int,
    width: int,
    rows: int,
    columns: int,
    kh: int,
    kw: int,
    sh: int,
    sw: int,
    top: int | None,
    left: int | None,
) -> None:
    """The mean of the part of each window inside its image."""
    to = 0
    for image in range(y.size // max(rows * columns, 1)):
        for i in range(rows):
            first, last = _span(i, kh, sh, top, height)
            for j in range(columns):
                start, end = _span(j, kw, sw, left, width)
                corner = (image * height + first) * width + start
                total = x.dtype.type(0)
                for u in range(last - first):
                    line = view(x, corner + u * width, end - start)
                    for v in range(end - start):
                        total += line[v]
                y[to] = total / x.dtype.type((last - first) * (end - start))
                to += 1


@jit
def _largest_backward(
    dy: Array, index: Array, dx: Array, kh: int, kw: int, sh: int, sw: int
) -> None:
    n_samples, channels, rows, columns = dy.shape
    for n in range(n_samples):
        for c in range(channels):
            for i in range(rows):
                for j in range(columns):
                    argmax = index[n, c, i, j]
                    if 0 <= argmax < kh * kw:
                        dx[n, c, i * sh + argmax // kw, j * sw + argmax % kw] += dy[n, c, i, j]


def max_pool2d(x: Array, kernel: Pair, stride: Pair) -> tuple[Array, Array]:
    if x.ndim != 4 or x.dtype not in FLOATS or x.shape[2] < kernel[0] or x.shape[3] < kernel[1]:
        return reference.max_pool2d(x, kernel, stride)
    (height, width), (kh, kw), (sh, sw) = x.shape[2:], kernel, stride
    size = (height - kh) // sh + 1, (width - kw) // sw + 1
    y = np.empty((*x.shape[:2], *size), x.dtype)
    index = np.empty(y.shape, np.int64)
    flat = np.ascontiguousarray(x).reshape(-1)
    geometry = height, width, *size, kh, kw, sh, sw, None, None
    largest(flat, y.reshape(-1), index.reshape(-1), *geometry)
    return y, index


def max_pool2d_backward(dy: Array, index: Array, kernel: Pair, stride: Pair, size: Pair) -> Array:
    fits = (
        dy.ndim == 4 and dy.shape == index.shape and dy.dtype in FLOATS and index.dtype == np.int64
    )
    if not fits or any(
        (n - 1) * s + k > m for n, s, k, m in zip(dy.shape[2:], stride, kernel, size)
    ):
        return reference.max_pool2d_backward(dy, index, kernel, stride, size)
    dx = np.zeros((*dy.shape[:2], *size), dy.dtype)
    dy, index = np.ascontiguousarray(dy), np.ascontiguousarray(index)
    _largest_backward(dy, index, dx, *kernel, *stride)
    return dx
