"""How the compiled kernels are compiled, and when they share their work among threads.

Numba's parallel loops run on one of three layers. OpenMP's starts a loop in 2 µs; ``workqueue``,
Numba's own, takes 100 µs and aborts the process when two Python threads enter at once. So loops
are shared on OpenMP or TBB alone, by one Python thread at a time: whoever finds the workers busy
does all the work itself, which is what eight threads of inference want anyway.

The number of threads is Numba's: ``NUMBA_NUM_THREADS`` or ``numba.set_num_threads``.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tinyae.param import Array

FLAGS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",  # a division by zero gives inf; testing for it would bar vectorising
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},  # but NaN and infinity stay
}
jit: Callable[..., Any] = numba.njit(**FLAGS)
parallel_jit: Callable[..., Any] = numba.njit(parallel=True, **FLAGS)

_busy = threading.Lock()
_forked = False


def _after_fork() -> None:
    """A child has a copy of the lock but none of the workers: it goes alone."""
    global _busy, _forked
    _busy, _forked = threading.Lock(), True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _layer_is_safe() -> bool:
    """Whether the layer that Numba would choose starts fast and bears several threads."""
    wanted = numba.config.THREADING_LAYER
    for layer, module in (("tbb", "tbbpool"), ("omp", "omppool")):
        if wanted in (layer, "default", "safe", "threadsafe", "forksafe"):
            try:
                __import__(f"numba.np.ufunc.{module}")
            except ImportError:
                continue
            return True
    return False


def share() -> int:
    """How many threads may share a loop now. If it is 2 or more, the workers are the caller's until
    it calls :func:`join`, which :func:`together` does.
    """
    # The work is cut by the number of threads there are; numba.set_num_threads says how many of
    # them take part, and asking for it at every call would cost a small kernel's time.
    threads = int(numba.config.NUMBA_NUM_THREADS)
    if threads == 1 or _forked or not _layer_is_safe() or not _busy.acquire(blocking=False):
        return 1
    return threads


@functools.cache
def counted(threads: int) -> Array:
    """0, 1, …, each thread's number. A loop's own counter has another type inside than outside of
    the loop, and what it is handed to would be compiled twice.
    """
    return np.arange(threads)


def cut(size: int, threads: int) -> Array:
    """Where each thread's part of so many begins, and where the last one ends."""
    return size * np.arange(threads + 1) // threads


def join() -> None:
    """The shared loop is done: let others have the workers."""
    _busy.release()


def together(loop: Callable[..., None], *arguments: Any) -> None:
    """Run the loop that :func:`share` has promised the workers to."""
    try:
        loop(*arguments)
    finally:
        join()
