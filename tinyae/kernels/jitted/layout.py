"""From one order in memory to another: a batch of images as (N, C, H, W), or with N innermost."""

from __future__ import annotations

import numba
import numpy as np

from tinyae.kernels.jitted.simd_tile import SIDE, transpose
from tinyae.kernels.jitted.threads import cut, jit, parallel_jit, share, together
from tinyae.memory import empty
from tinyae.param import Array

_SHARED = 1 << 15  # numbers from which on two threads gain more than they cost


@jit
def _turn(a: Array, b: Array, first: int, last: int) -> None:
    """b[j, i] = a[i, j] for the columns j from first to last, in blocks of SIDE × SIDE."""
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
def _turn_shared(a: Array, b: Array, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        _turn(a, b, cuts[t], cuts[t + 1])


def batch_last(x: Array) -> Array:
    """(N, C, H, W) as (C, H, W, N), contiguous: x itself if it lies so, else a copy."""
    inside = x.transpose(1, 2, 3, 0)
    if inside.flags.c_contiguous or not x.flags.c_contiguous:
        return np.ascontiguousarray(inside)
    out = empty(inside.shape, x.dtype)
    a, b = x.reshape(len(x), -1), out.reshape(-1, len(x))
    threads = share() if x.size >= _SHARED else 1
    if threads > 1:
        together(_turn_shared, a, b, cut(a.shape[1], threads))
    else:
        _turn(a, b, 0, a.shape[1])
    return out
