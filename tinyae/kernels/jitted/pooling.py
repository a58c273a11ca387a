"""Pooling, over images that lie flat in memory. Layers and compiled programs share the loops.

With and without padding or dilation it is one loop, compiled twice: without, no window is cut off
and its entries are neighbours. Images that lie with the batch innermost, as convolutions leave them,
have loops of their own, along the batch.
"""

from __future__ import annotations

import numpy as np

from tinyae.arrays import FLOATS
from tinyae.kernels import reference
from tinyae.kernels.jitted.cfunc import view
from tinyae.kernels.jitted.layout import batch_last
from tinyae.kernels.jitted.threads import jit
from tinyae.kernels.reference import Pair
from tinyae.kernels.windows import extent
from tinyae.param import Array


@jit
def _span(i: int, k: int, s: int, d: int, before: int | None, n: int) -> tuple[int, int]:
    """Where the part of window i inside an axis of length n begins, and how many entries it has.

    The first window begins ``before`` the axis. With None, every window lies inside.
    """
    if before is None:  # a type of its own, so that this is decided when the loop is compiled
        return i * s, k
    start = i * s - before
    skipped = (d - 1 - start) // d if start < 0 else 0
    return start + skipped * d, min(k, (n - 1 - start) // d + 1) - skipped


@jit
def _step(d: int, before: int | None) -> int:
    """How far the entries of a window lie apart: a constant 1 where no window is cut off."""
    return 1 if before is None else d


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
    dh: int,
    dw: int,
    top: int | None,
    left: int | None,
) -> None:
    """The largest entry of the part of each window inside its image, and its place, unless
    ``index`` is None: u·kw + v in a window that is not cut.

    x holds images of height × width one after the other, y and index those of rows × columns. The
    entries of a window lie dh rows and dw columns apart, unless ``top`` and ``left`` are None.
    """
    to, down, across = 0, _step(dh, top), _step(dw, left)
    for image in range(y.size // max(rows * columns, 1)):
        for i in range(rows):
            first, n_rows = _span(i, kh, sh, down, top, height)
            for j in range(columns):
                start, n_columns = _span(j, kw, sw, across, left, width)
                corner = (image * height + first) * width + start
                best, argmax = view(x, corner, 1)[0], 0
                for u in range(n_rows):
                    line = view(x, corner + u * down * width, (n_columns - 1) * across + 1)
                    for v in range(n_columns):
                        value = line[v * across]
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
    dh: int,
    dw: int,
    top: int | None,
    left: int | None,
) -> None:
    """The mean of the part of each window inside its image. See :func:`largest`."""
    to, down, across = 0, _step(dh, top), _step(dw, left)
    for image in range(y.size // max(rows * columns, 1)):
        for i in range(rows):
            first, n_rows = _span(i, kh, sh, down, top, height)
            for j in range(columns):
                start, n_columns = _span(j, kw, sw, across, left, width)
                corner = (image * height + first) * width + start
                total = x.dtype.type(0)
                for u in range(n_rows):
                    line = view(x, corner + u * down * width, (n_columns - 1) * across + 1)
                    for v in range(n_columns):
                        total += line[v * across]
                y[to] = total / x.dtype.type(n_rows * n_columns)
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


@jit
def _largest_batch_last(
    x: Array, y: Array, index: Array, kh: int, kw: int, sh: int, sw: int
) -> None:
    """:func:`largest` of x (C, H, W, N); y and index (C, H′, W′, N)."""
    channels, rows, columns, n = y.shape
    for c in range(channels):
        for i in range(rows):
            for j in range(columns):
                best, argmax = y[c, i, j], index[c, i, j]
                best[:] = x[c, i * sh, j * sw]
                argmax[:] = 0
                for place in range(1, kh * kw):
                    row = x[c, i * sh + place // kw, j * sw + place % kw]
                    for t in range(n):
                        keep = best[t] >= row[t] or best[t] != best[t]
                        best[t] = best[t] if keep else row[t]
                        argmax[t] = argmax[t] if keep else place


@jit
def _largest_backward_batch_last(
    dy: Array, index: Array, dx: Array, kh: int, kw: int, sh: int, sw: int, dh: int, dw: int
) -> None:
    channels, rows, columns, n = dy.shape
    for c in range(channels):
        for i in range(rows):
            for j in range(columns):
                g, argmax = dy[c, i, j], index[c, i, j]
                for place in range(kh * kw):
                    row = dx[c, i * sh + place // kw * dh, j * sw + place % kw * dw]
                    for t in range(n):
                        row[t] += g[t] if argmax[t] == place else 0


def _batch_innermost(*arrays: Array) -> bool:
    """Whether (N, C, H, W) arrays lie in memory as (C, H, W, N)."""
    return len(arrays[0]) > 1 and all(a.transpose(1, 2, 3, 0).flags.c_contiguous for a in arrays)


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> tuple[Array, Array]:
    fits = x.ndim == 4 and x.dtype in FLOATS and dilation == (1, 1) and min(*kernel, *stride) > 0
    if not fits or x.shape[2] < kernel[0] or x.shape[3] < kernel[1]:
        return reference.max_pool2d(x, kernel, stride, dilation)
    (height, width), (kh, kw), (sh, sw) = x.shape[2:], kernel, stride
    size = (height - kh) // sh + 1, (width - kw) // sw + 1
    if _batch_innermost(x):
        y = np.empty((x.shape[1], *size, len(x)), x.dtype)
        index = np.empty(y.shape, np.int64)
        _largest_batch_last(x.transpose(1, 2, 3, 0), y, index, kh, kw, sh, sw)
        return y.transpose(3, 0, 1, 2), index.transpose(3, 0, 1, 2)
    y = np.empty((*x.shape[:2], *size), x.dtype)
    index = np.empty(y.shape, np.int64)
    flat = np.ascontiguousarray(x).reshape(-1)
    geometry = height, width, *size, kh, kw, sh, sw, 1, 1, None, None
    largest(flat, y.reshape(-1), index.reshape(-1), *geometry)
    return y, index


def max_pool2d_backward(
    dy: Array, index: Array, kernel: Pair, stride: Pair, size: Pair, dilation: Pair = (1, 1)
) -> Array:
    fits = (
        dy.ndim == 4 and dy.shape == index.shape and dy.dtype in FLOATS and index.dtype == np.int64
    ) and min(*kernel, *stride, *dilation) > 0
    if not fits or any(
        (n - 1) * s + e > m
        for n, s, e, m in zip(dy.shape[2:], stride, extent(kernel, dilation), size)
    ):
        return reference.max_pool2d_backward(dy, index, kernel, stride, size, dilation)
    if _batch_innermost(index):
        dx = np.zeros((dy.shape[1], *size, len(dy)), dy.dtype)
        g = batch_last(dy)
        _largest_backward_batch_last(
            g, index.transpose(1, 2, 3, 0), dx, *kernel, *stride, *dilation
        )
        return dx.transpose(3, 0, 1, 2)
    dx = np.zeros((*dy.shape[:2], *size), dy.dtype)
    dy, index = np.ascontiguousarray(dy), np.ascontiguousarray(index)
    _largest_backward(dy, index, dx, *kernel, *stride, *dilation)
    return dx
