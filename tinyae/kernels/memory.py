"""What a training step frees, the next one needs again: keep it.

The C library of Linux (glibc) hands large freed blocks back to the operating system at once, and
a training step frees a dozen of them. The next step asks for them anew, and each page of 4 kB
costs a page fault on first touch: 1,600 faults and 40 % of the time of a step were measured for
a convolutional denoiser with batches of 32. ``mallopt`` raises the sizes from which blocks are
handed back; see ``man 3 mallopt``.
"""

from __future__ import annotations

import ctypes
import functools

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT = 256 << 20  # bytes of free memory that a process may hold on to
_LARGEST = 32 << 20  # bytes of one block; larger ones go back as before


@functools.cache
def keep_freed_memory() -> bool:
    """For the rest of the process keep up to 256 MB of freed blocks. Whether it could be told."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not Linux, or another C library: it does as it does
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and bool(mallopt(_MMAP_THRESHOLD, _LARGEST))
