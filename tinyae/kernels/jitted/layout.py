"""Convert a batch of images from (N, C, H, W) order in memory to (C, H, W, N)."""

from __future__ import annotations

import numba
import numpy as np

from tinyae.kernels.jitted.simd_tile import SIDE, transpose
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    run_parallel,
    split_points,
)
from tinyae.memory import empty
from tinyae.param import Array

_MIN_PARALLEL_SIZE = 1 << 15  # elements; below that, a second thread does not pay off


@jit
def transpose_columns(a: Array, b: Array, first: int, last: int) -> None:
    """b[j, i] = a[i, j] for first ≤ j < last, in blocks of SIDE × SIDE."""
    rows, columns = a.shape
    whole = rows - rows % SIDE
    blocks = first + (last - first) - (last - first) % SIDE
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for j in range(first, blocks, SIDE):
        for i in range(0, whole, SIDE):
            transpose(flat_a, i * columns + j, columns, flat_b, j * rows + i, rows)
    for j in range(first, last):
        for i in range(whole if j < blocks else 0, rows):
            b[j, i] = a[i, j]


@parallel_jit
def _transpose_parallel(a: Array, b: Array, bounds: Array) -> None:
    for t in numba.prange(len(bounds) - 1):
        transpose_columns(a, b, bounds[t], bounds[t + 1])


def batch_last(x: Array) -> Array:
    """(N, C, H, W) as a contiguous (C, H, W, N): a view if x has this memory order, else a copy."""
    batch_innermost = x.transpose(1, 2, 3, 0)
    if batch_innermost.flags.c_contiguous or not x.flags.c_contiguous:
        return np.ascontiguousarray(batch_innermost)
    out = empty(batch_innermost.shape, x.dtype)
    a, b = x.reshape(len(x), -1), out.reshape(-1, len(x))
    threads = claim_threads() if x.size >= _MIN_PARALLEL_SIZE else 1
    if threads > 1:
        run_parallel(_transpose_parallel, a, b, split_points(a.shape[1], threads))
    else:
        transpose_columns(a, b, 0, a.shape[1])
    return out


def channel_rows(x: Array) -> Array:
    """(N, C, …) as a contiguous (C, positions, N), by :func:`batch_last`."""
    return batch_last(x.reshape(*x.shape[:2], -1, 1)).reshape(x.shape[1], -1, len(x))
