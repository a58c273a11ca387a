"""BatchNorm of images with the batch innermost in memory, forward and backward.

The numbers of a channel stay in the cache while they are read two or three times, so each pass of the
norm reads and writes the images about once. Sums are taken block by
block, and the sums of blocks are added in double precision.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from tinyae.kernels import reference
from tinyae.kernels.jitted.layout import channel_rows
from tinyae.kernels.jitted.operands import alike, is_float_array, of_channels
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    run_parallel,
    split_points,
)
from tinyae.memory import empty
from tinyae.param import Array

_BLOCK = 1 << 12  # numbers that are summed in the arrays' own precision
_MIN_PARALLEL_SIZE = 1 << 15  # elements; below that, a second thread does not pay off


def _as_images(rows: Array, shape: tuple[int, ...]) -> Array:
    """(C, positions, N) as a view (N, C, …)"""
    return np.moveaxis(rows, 2, 0).reshape(shape)


@jit
def _batch_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    relu: bool,
    y: Array,
    xhat: Array,
    moments: Array,
    first: int,
    last: int,
) -> None:
    """Channels first ≤ c < last of x (C, m); moments (2, C) are their mean and variance."""
    one = x.dtype.type(1)
    for c in range(first, last):
        row, normalized, out = x[c], xhat[c], y[c]
        # The sums stand here, not in a function of their own: a process that compiles it may run
        # another copy of it than one that loads it, and vectors may be added in another order.
        total, squares = 0.0, 0.0
        for start in range(0, row.size, _BLOCK):
            part = x.dtype.type(0)
            for t in range(start, min(start + _BLOCK, row.size)):
                part += row[t]
            total += part
        center = x.dtype.type(total / row.size)
        for start in range(0, row.size, _BLOCK):
            part = x.dtype.type(0)
            for t in range(start, min(start + _BLOCK, row.size)):
                part += (row[t] - center) * (row[t] - center)
            squares += part
        variance = squares / row.size
        moments[0, c], moments[1, c] = total / row.size, variance
        scale = one / x.dtype.type(math.sqrt(variance + eps))
        g, b = gamma[c], beta[c]
        for t in range(row.size):
            normalized[t] = (row[t] - center) * scale
        for t in range(row.size):
            out[t] = normalized[t] * g + b
        if relu:
            for t in range(row.size):
                out[t] = 0 if out[t] < 0 else out[t]


@parallel_jit
def _batch_norm_parallel(
    x: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    relu: bool,
    y: Array,
    xhat: Array,
    moments: Array,
    bounds: Array,
) -> None:
    for t in numba.prange(len(bounds) - 1):
        _batch_norm(x, gamma, beta, eps, relu, y, xhat, moments, bounds[t], bounds[t + 1])


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, relu: bool = False
) -> tuple[Array, Array, Array, Array]:
    fits = x.ndim > 2 and x.size
    if not (fits and is_float_array(x) and of_channels(x, gamma, beta)):
        return reference.batch_norm(x, gamma, beta, eps, relu)
    rows = channel_rows(x)
    y, xhat = empty(rows.shape, x.dtype), empty(rows.shape, x.dtype)
    moments = np.empty((2, len(rows)), x.dtype)
    flat = (a.reshape(len(rows), -1) for a in (y, xhat))
    arguments = rows.reshape(len(rows), -1), gamma, beta, eps, relu, *flat, moments
    threads = claim_threads() if x.size >= _MIN_PARALLEL_SIZE and len(rows) > 1 else 1
    if threads > 1:
        run_parallel(_batch_norm_parallel, *arguments, split_points(len(rows), threads))
    else:
        _batch_norm(*arguments, 0, len(rows))
    return _as_images(y, x.shape), _as_images(xhat, x.shape), moments[0], moments[1]


@jit
def _masked(dy: Array, y: Array, g: Array) -> None:
    """g = dy ∘ relu′, by the ReLU's output y"""
    for t in range(dy.size):
        g[t] = dy[t] if y[t] > 0 else dy[t] * y[t]


@jit
def _batch_norm_backward(
    dy: Array,
    xhat: Array,
    sigma: Array,
    gamma: Array,
    masked: bool,
    y: Array,
    dgamma: Array,
    dbeta: Array,
    dx: Array,
    first: int,
    last: int,
) -> None:
    """Channels first ≤ c < last of arrays (C, m)"""
    for c in range(first, last):
        g, normalized, out = dy[c], xhat[c], dx[c]
        if masked:
            _masked(dy[c], y[c], out)
            g = dx[c]
        total, along = 0.0, 0.0
        for start in range(0, g.size, _BLOCK):
            s, p = dx.dtype.type(0), dx.dtype.type(0)
            for t in range(start, min(start + _BLOCK, g.size)):
                s += g[t]
                p += g[t] * normalized[t]
            total += s
            along += p
        dbeta[c] += dx.dtype.type(total)
        dgamma[c] += dx.dtype.type(along)
        mean, slope = dx.dtype.type(total / g.size), dx.dtype.type(along / g.size)
        scale = gamma[c] / sigma[c]
        for t in range(g.size):
            out[t] = (g[t] - mean - normalized[t] * slope) * scale


@parallel_jit
def _batch_norm_backward_parallel(
    dy: Array,
    xhat: Array,
    sigma: Array,
    gamma: Array,
    masked: bool,
    y: Array,
    dgamma: Array,
    dbeta: Array,
    dx: Array,
    bounds: Array,
) -> None:
    for t in numba.prange(len(bounds) - 1):
        _batch_norm_backward(
            dy, xhat, sigma, gamma, masked, y, dgamma, dbeta, dx, bounds[t], bounds[t + 1]
        )


def batch_norm_backward(
    dy: Array,
    xhat: Array,
    sigma: Array,
    gamma: Array,
    dgamma: Array,
    dbeta: Array,
    relu_mask: Array | None = None,
) -> Array:
    vectors = sigma, gamma, dgamma, dbeta
    if not (
        dy.ndim > 2
        and dy.size
        and alike(dy, xhat)
        and (relu_mask is None or alike(dy, relu_mask))
        and of_channels(dy, *vectors)
        and all(a.flags.writeable for a in (dgamma, dbeta))
    ):
        return reference.batch_norm_backward(dy, xhat, sigma, gamma, dgamma, dbeta, relu_mask)
    rows = [channel_rows(a) for a in (dy, xhat, xhat if relu_mask is None else relu_mask)]
    dx = empty(rows[0].shape, dy.dtype)
    channels = len(dx)
    g, normalized, mask, out = (a.reshape(channels, -1) for a in (*rows, dx))
    arguments = g, normalized, sigma, gamma, relu_mask is not None, mask, dgamma, dbeta, out
    threads = claim_threads() if dy.size >= _MIN_PARALLEL_SIZE and channels > 1 else 1
    if threads > 1:
        run_parallel(_batch_norm_backward_parallel, *arguments, split_points(channels, threads))
    else:
        _batch_norm_backward(*arguments, 0, channels)
    return _as_images(dx, dy.shape)
