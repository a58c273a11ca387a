"""Compiler options of the kernels, and when a loop is shared among threads.

Numba runs parallel loops on one of three threading layers. OpenMP starts a loop in 2 µs. Numba's
own ``workqueue`` takes 100 µs, and aborts the process if two Python threads enter it at once. So
loops run in parallel only on OpenMP or TBB, and for one Python thread at a time. A Python thread
that finds the workers busy runs its loop alone; with many inference threads that is faster anyway.
Cores that other programs use take no part, either (:mod:`tinyae.kernels.machine_load`).
Results do not depend on any of this: no sum is divided.

Numba sets the number of threads: ``NUMBA_NUM_THREADS`` or ``numba.set_num_threads``.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.compiler_lock import global_compiler_lock

from tinyae.kernels.jitted.disk_cache import keep_on_disk
from tinyae.kernels.machine_load import free_cores
from tinyae.param import Array

FLAGS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",  # x / 0 is inf; a test for zero would prevent vectorisation
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},  # NaN and infinity are preserved
}


def njit(**flags: Any) -> Callable[..., Any]:
    """``numba.njit``, with the compiled code kept on disk."""
    compiled = numba.njit(**flags)
    return lambda function: keep_on_disk(compiled(function), function)


jit = njit(**FLAGS)
parallel_jit = njit(parallel=True, **FLAGS)


class _Workers:
    allowed = 0  # threads before a busy machine made it fewer; 0 if it did not


_workers = _Workers()  # of whoever holds the lock
_workers_lock = threading.Lock()
_forked = False


def _forget_workers() -> None:
    """A forked child inherits the lock but not the worker threads: it runs all loops alone."""
    global _workers_lock, _forked
    _workers_lock, _forked = threading.Lock(), True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
    # If another thread were compiling, the child would wait for Numba's lock for ever.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


@functools.cache
def _threading_layer_is_safe() -> bool:
    """Whether Numba will choose a layer that starts fast and allows several Python threads."""
    wanted = numba.config.THREADING_LAYER
    for layer, module in (("tbb", "tbbpool"), ("omp", "omppool")):
        if wanted in (layer, "default", "safe", "threadsafe", "forksafe"):
            try:
                __import__(f"numba.np.ufunc.{module}")
            except ImportError:
                continue
            return True
    return False


def claim_threads() -> int:
    """The number of threads that may share a loop now. If it is 2 or more, the caller holds the
    workers until it calls :func:`release_threads`; :func:`run_parallel` does so.
    """
    # Work is divided by the total number of threads. numba.set_num_threads may let fewer of them
    # run; asking Numba for that number at every call would cost as much as a small kernel.
    threads = int(numba.config.NUMBA_NUM_THREADS)
    if threads == 1 or _forked:
        return 1
    free = free_cores()
    if free == 1 or not _threading_layer_is_safe() or not _workers_lock.acquire(blocking=False):
        return 1
    if free < threads:
        _workers.allowed = numba.get_num_threads()
        numba.set_num_threads(min(_workers.allowed, free))
    return threads


@functools.cache
def thread_ids(threads: int) -> Array:
    """0, 1, …: an index for each thread. Numba types a prange counter differently from an int, so a
    function that is given the counter would be compiled twice.
    """
    return np.arange(threads)


def split_points(size: int, threads: int) -> Array:
    """Boundaries that divide ``size`` items evenly: thread t takes bounds[t] to bounds[t + 1]."""
    return size * np.arange(threads + 1) // threads


def release_threads() -> None:
    """Let other Python threads use the workers."""
    if _workers.allowed:
        numba.set_num_threads(_workers.allowed)
        _workers.allowed = 0
    _workers_lock.release()


def run_parallel(loop: Callable[..., None], *arguments: Any) -> None:
    """Run a parallel loop after :func:`claim_threads`, then release the workers."""
    try:
        loop(*arguments)
    finally:
        release_threads()
