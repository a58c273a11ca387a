"""Another thread that lends a hand: to a call too short to start a thread for.

To wake a sleeping thread takes 20 µs, as long as many a call. So a helper that has done a job looks
out for the next one for a while before it sleeps again. Nobody ever waits for a helper to come: the
work is cut into tasks, everybody takes the next one that is free from a counter, and who comes too
late finds none left. So a helper that is busy, asleep or gone costs no more than the look for it.

    ASLEEP → LOOKING          by the helper, as it wakes
    ASLEEP, LOOKING → POSTED  by the caller
    POSTED → TAKEN → LOOKING  by the helper, before and after its tasks
    POSTED → ASLEEP           by the caller, who has done all of it alone
    LOOKING → ASLEEP          by the helper, tired

Each change of state is one compare-and-swap. The caller makes its own in compiled code, without
Python's lock, for which the helper would have to wait.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from tinyae.kernels.threads import jit
from tinyae.param import Array

ASLEEP, LOOKING, POSTED, TAKEN = 0, 1, 2, 3
_PATIENCE = 60_000  # looks, about 100 µs
NOBODY = np.zeros(0, np.int64)  # a desk without a helper


# --- atomic integers --------------------------------------------------------------------------


def _address(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    a = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(a.data, [args[1]])


@intrinsic
def fetch_add(typing: Any, a: Any, i: Any, value: Any) -> Any:
    """a[i] as it was, and a[i] += value, in one step."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = _address(context, builder, signature, args)
        return builder.atomic_rmw("add", at, args[2], "seq_cst")

    return types.int64(a, types.intp, types.int64), emit


@intrinsic
def load(typing: Any, a: Any, i: Any) -> Any:
    """a[i], as whoever wrote it last has left it."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_address(context, builder, signature, args), "acquire", 8)

    return types.int64(a, types.intp), emit


@intrinsic
def swap(typing: Any, a: Any, i: Any, old: Any, new: Any) -> Any:
    """If a[i] is ``old`` make it ``new``, in one step; whether it was."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = _address(context, builder, signature, args)
        result = builder.cmpxchg(at, args[2], args[3], "seq_cst", "seq_cst")
        return builder.extract_value(result, 1)

    return types.boolean(a, types.intp, types.int64, types.int64), emit


# --- the state, in compiled code ----------------------------------------------------------------


@jit
def post(state: Array) -> None:
    """There is a job, for whoever looks."""
    if not swap(state, 0, LOOKING, POSTED):
        while not swap(state, 0, ASLEEP, POSTED) and not swap(state, 0, LOOKING, POSTED):
            pass


@jit
def withdraw(state: Array) -> None:
    """There is none any more; if the helper is at it, wait until it has left."""
    if not swap(state, 0, POSTED, ASLEEP):
        while load(state, 0) == TAKEN:
            pass


@jit
def take(state: Array) -> bool:
    """Look out for a job, until one comes or patience ends."""
    for _ in range(_PATIENCE):
        now = load(state, 0)
        if now == POSTED and swap(state, 0, POSTED, TAKEN):
            return True
        if now == ASLEEP:
            swap(state, 0, ASLEEP, LOOKING)
    return not swap(state, 0, LOOKING, ASLEEP) and swap(state, 0, POSTED, TAKEN)


@jit
def leave(state: Array) -> None:
    """The tasks are done; on to the next job."""
    swap(state, 0, TAKEN, LOOKING)


# --- the helper ---------------------------------------------------------------------------------


def _nothing(*_: Any) -> None:
    """No job."""


class Helper:
    """A thread that does its part of a job, ``work(*job, NOBODY)``, whenever one is posted."""

    def __init__(self) -> None:
        self.busy = threading.Lock()  # held by the caller whom it helps
        self.state = np.zeros(1, np.int64)
        self.task: tuple[Callable[..., None], tuple[Any, ...]] | None = None
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def prepare(self, work: Callable[..., None], job: tuple[Any, ...]) -> None:
        """Lay out the job that will be posted; wake the helper if it sleeps."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, daemon=True, name="tinyae helper")
            self._thread.start()
        self.task = work, job
        if self.state[0] == ASLEEP:
            self._calls.put(None)

    def _live(self) -> None:
        while True:
            self._calls.get()
            while take(self.state):
                work: Callable[..., None]
                try:
                    work, job = self.task or (_nothing, ())
                    work(*job, NOBODY)
                finally:
                    del work, job  # arrays of the caller's
                    leave(self.state)


_helper = Helper()


@contextmanager
def helped(work: Callable[..., None], job: tuple[Any, ...]) -> Iterator[Array]:
    """The desk for ``work(*job, desk)``, which calls for a helper that runs the same job."""
    helper = _helper
    if numba.get_num_threads() == 1 or not helper.busy.acquire(blocking=False):
        yield NOBODY
        return
    try:
        helper.prepare(work, job)
        yield helper.state
    finally:
        helper.task = None
        helper.busy.release()


def _after_fork() -> None:
    """A child has no copy of the thread: it gets its own."""
    global _helper
    _helper = Helper()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
