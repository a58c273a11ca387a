"""Affine resampling of images."""

from __future__ import annotations

import math

import numba
import numpy as np

from tinyae.kernels import reference
from tinyae.kernels.jitted.operands import same_float
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    run_parallel,
    split_points,
)
from tinyae.memory import empty
from tinyae.param import Array

_MIN_PARALLEL_SIZE = 1 << 14  # pixels; below that, a second thread does not pay off


@jit
def _cubic_weights(f: float, w: Array) -> None:
    """Cubic convolution: the weights of the pixels at −1, 0, 1, 2 for a position 0 ≤ f < 1."""
    w[0] = f * (f * (2 - f) - 1) / 2
    w[1] = f * f * (3 * f - 5) / 2 + 1
    w[2] = f * (f * (4 - 3 * f) + 1) / 2
    w[3] = f * f * (f - 1) / 2


@jit
def _warp(x: Array, maps: Array, y: Array, first: int, last: int) -> None:
    _, channels, rows, columns = x.shape
    down, across = np.empty(4, y.dtype), np.empty(4, y.dtype)
    for n in range(first, last):
        m = maps[n]
        for c in range(channels):
            image = x[n, c]
            low, high = image[0, 0], image[0, 0]
            for i in range(rows):
                for j in range(columns):
                    value = image[i, j]
                    low = value if value < low or value != value else low  # NaN, as in np.min
                    high = max(high, value)
            for i in range(rows):
                for j in range(columns):
                    u = m[0, 0] * i + m[0, 1] * j + m[0, 2]
                    v = m[1, 0] * i + m[1, 1] * j + m[1, 2]
                    total = y.dtype.type(0)
                    if -2 < u < rows + 1 and -2 < v < columns + 1:
                        p, q = math.floor(u), math.floor(v)
                        _cubic_weights(u - p, down)
                        _cubic_weights(v - q, across)
                        for k in range(max(0, 1 - p), min(4, rows + 1 - p)):
                            for l in range(max(0, 1 - q), min(4, columns + 1 - q)):
                                total += down[k] * across[l] * image[p - 1 + k, q - 1 + l]
                    if total < low or low != low:
                        total = low
                    elif total > high:
                        total = high
                    y[n, c, i, j] = total


@parallel_jit
def _warp_parallel(x: Array, maps: Array, y: Array, bounds: Array) -> None:
    for t in numba.prange(len(bounds) - 1):
        _warp(x, maps, y, bounds[t], bounds[t + 1])


def warp(x: Array, maps: Array) -> Array:
    if x.ndim != 4 or maps.shape != (len(x), 2, 3) or not same_float(x, maps):
        return reference.warp(x, maps)
    x, maps, y = np.ascontiguousarray(x), np.ascontiguousarray(maps), empty(x.shape, x.dtype)
    threads = claim_threads() if x.size >= _MIN_PARALLEL_SIZE else 1
    if threads > 1:
        run_parallel(_warp_parallel, x, maps, y, split_points(len(x), threads))
    else:
        _warp(x, maps, y, 0, len(x))
    return y
