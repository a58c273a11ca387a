"""Pooling, over images that lie flat in memory. Layers and compiled programs share ``largest``."""

from __future__ import annotations

import numpy as np

from tinyae.arrays import FLOATS
from tinyae.kernels import reference
from tinyae.kernels.jitted.cfunc import view
from tinyae.kernels.jitted.threads import jit
from tinyae.kernels.reference import Pair
from tinyae.kernels.windows import extent
from tinyae.param import Array


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
) -> None:
    """The largest entry of each window, and its place u·kw + v unless ``index`` is None.

    x holds images of height × width one after the other, y and index those of rows × columns.
    """
    to = 0
    for image in range(y.size // max(rows * columns, 1)):
        for i in range(rows):
            for j in range(columns):
                corner = (image * height + i * sh) * width + j * sw
                best, argmax = view(x, corner, 1)[0], 0
                for u in range(kh):
                    line = view(x, corner + u * width, kw)
                    for v in range(kw):
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
def largest_inside(
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
    dh: int,
    dw: int,
    top: int,
    left: int,
) -> None:
    """The largest of those entries of each window that lie inside the image.

    The first window begins ``top`` rows above the image and ``left`` columns left of it; its
    entries are dh rows and dw columns apart.
    """
    to = 0
    for image in range(y.size // max(rows * columns, 1)):
        for i in range(rows):
            first, last = _inside(i * sh - top, kh, dh, height)
            for j in range(columns):
                start, end = _inside(j * sw - left, kw, dw, width)
                corner = (image * height + i * sh - top) * width + j * sw - left
                best = x[corner + first * dh * width + start * dw]
                for u in range(first, last):
                    line = view(x, corner + u * dh * width + start * dw, (end - start - 1) * dw + 1)
                    for v in range(0, line.size, dw):
                        value = line[v]
                        best = best if best >= value or best != best else value
                y[to] = best
                to += 1


@jit
def _inside(start: int, taps: int, step: int, length: int) -> tuple[int, int]:
    """Which of the entries start, start + step, … lie in an image of that length."""
    first = (step - 1 - start) // step if start < 0 else 0
    return first, min(taps, (length - 1 - start) // step + 1)


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
) -> None:
    """The mean of each window."""
    area = x.dtype.type(kh * kw)
    to = 0
    for p in range(y.size // (rows * columns)):
        for i in range(rows):
            for j in range(columns):
                corner = (p * height + i * sh) * width + j * sw
                total = x.dtype.type(0)
                for u in range(kh):
                    line = view(x, corner + u * width, kw)
                    for v in range(kw):
                        total += line[v]
                y[to] = total / area
                to += 1


@jit
def means_inside(
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
    dh: int,
    dw: int,
    top: int,
    left: int,
) -> None:
    """The mean of those entries of each window that lie inside the image."""
    to = 0
    for p in range(y.size // (rows * columns)):
        for i in range(rows):
            first, last = _inside(i * sh - top, kh, dh, height)
            for j in range(columns):
                start, end = _inside(j * sw - left, kw, dw, width)
                corner = (p * height + i * sh - top) * width + j * sw - left
                total = x.dtype.type(0)
                for u in range(first, last):
                    line = view(x, corner + u * dh * width + start * dw, (end - start - 1) * dw + 1)
                    for v in range(0, line.size, dw):
                        total += line[v]
                y[to] = total / x.dtype.type((last - first) * (end - start))
                to += 1


@jit
def _largest_backward(
    dy: Array, index: Array, dx: Array, kh: int, kw: int, sh: int, sw: int, dh: int, dw: int
) -> None:
    n_samples, channels, rows, columns = dy.shape
    for n in range(n_samples):
        for c in range(channels):
            for i in range(rows):
                for j in range(columns):
                    argmax = index[n, c, i, j]
                    if 0 <= argmax < kh * kw:
                        u, v = argmax // kw * dh, argmax % kw * dw
                        dx[n, c, i * sh + u, j * sw + v] += dy[n, c, i, j]


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> tuple[Array, Array]:
    fits = x.ndim == 4 and x.dtype in FLOATS and dilation == (1, 1)
    if not fits or x.shape[2] < kernel[0] or x.shape[3] < kernel[1]:
        return reference.max_pool2d(x, kernel, stride, dilation)
    (height, width), (kh, kw), (sh, sw) = x.shape[2:], kernel, stride
    size = (height - kh) // sh + 1, (width - kw) // sw + 1
    y = np.empty((*x.shape[:2], *size), x.dtype)
    index = np.empty(y.shape, np.int64)
    flat = np.ascontiguousarray(x).reshape(-1)
    largest(flat, y.reshape(-1), index.reshape(-1), height, width, *size, kh, kw, sh, sw)
    return y, index


def max_pool2d_backward(
    dy: Array, index: Array, kernel: Pair, stride: Pair, size: Pair, dilation: Pair = (1, 1)
) -> Array:
    fits = (
        dy.ndim == 4 and dy.shape == index.shape and dy.dtype in FLOATS and index.dtype == np.int64
    )
    if not fits or any(
        (n - 1) * s + e > m
        for n, s, e, m in zip(dy.shape[2:], stride, extent(kernel, dilation), size)
    ):
        return reference.max_pool2d_backward(dy, index, kernel, stride, size, dilation)
    dx = np.zeros((*dy.shape[:2], *size), dy.dtype)
    dy, index = np.ascontiguousarray(dy), np.ascontiguousarray(index)
    _largest_backward(dy, index, dx, *kernel, *stride, *dilation)
    return dx
