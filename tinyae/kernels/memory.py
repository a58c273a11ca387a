"""Where results are put, and what becomes of it when it is freed.

A vector that lies across two lines of the cache costs two accesses. So a large result begins where
a line begins: a convolution that reads one is up to 1.5 times faster for it.

What a training step frees, the next one needs again.

The C library of Linux (glibc) hands large freed blocks back to the operating system at once, and
a training step frees a dozen of them. The next step asks for them anew, and each page of 4 kB
costs a page fault on first touch: 1,600 faults and 40 % of the time of a step were measured for
a convolutional denoiser with batches of 32. ``mallopt`` raises the sizes from which blocks are
handed back; see ``man 3 mallopt``.
"""

from __future__ import annotations

import ctypes
import functools
import math

import numpy as np
from numpy.typing import DTypeLike

from tinyae.param import Array

_LINE = 64  # bytes of a line of the cache
_LARGE = 1 << 17  # bytes of a result from which on it is worth the 1 µs

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT = 256 << 20  # bytes of free memory that a process may hold on to
_LARGEST = 32 << 20  # bytes of one block; larger ones go back as before


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """``np.empty``; if large, from the start of a line on."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return np.empty(shape, dtype)
    room = np.empty(size + _LINE, np.uint8)
    first = -room.__array_interface__["data"][0] % _LINE
    return room[first : first + size].view(dtype).reshape(shape)


def empty_like(x: Array) -> Array:
    """``np.empty_like``, in the same order in memory; if large, from the start of a line on."""
    if x.nbytes >= _LARGE:
        if x.flags.c_contiguous:
            return empty(x.shape, x.dtype)
        inside = x.transpose(1, 2, 3, 0) if x.ndim == 4 else x
        if inside.flags.c_contiguous:
            return empty(inside.shape, x.dtype).transpose(3, 0, 1, 2)
    return np.empty_like(x)


@functools.cache
def keep_freed_memory() -> bool:
    """For the rest of the process keep up to 256 MB of freed blocks. Whether it could be told."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not Linux, or another C library: it does as it does
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and bool(mallopt(_MMAP_THRESHOLD, _LARGEST))
