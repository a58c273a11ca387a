"""A helper thread for calls that are too short to start a thread.

Waking a sleeping thread takes 20 µs, as long as many calls. So after a job, a helper thread spins
for a while, checking for the next job, before it sleeps. All of this is compiled code: returning to
Python between two jobs would cost 9 µs, and caller and helper would wait for the GIL.

The caller never waits for a helper to start. The work is divided into tasks, and each thread takes
the next one from a counter; a thread that comes too late finds none left. So a helper that is busy,
asleep or gone costs only one check of its state.

    ASLEEP → LOOKING          by the helper, as it wakes
    ASLEEP, LOOKING → POSTED  by the caller
    POSTED → TAKEN → LOOKING  by the helper, before and after its tasks
    POSTED → ASLEEP           by the caller, if it has done all the work alone
    LOOKING → ASLEEP          by the helper, after SPIN_COUNT checks

Each change of state is one compare-and-swap. State and job are stored in a mailbox, an array of
integers. The job holds addresses of arrays, which the caller keeps alive until the helper has left.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from tinyae.kernels.jitted.threads import jit
from tinyae.kernels.machine_load import free_cores
from tinyae.param import Array

ASLEEP, LOOKING, POSTED, TAKEN = 0, 1, 2, 3
MAILBOX = 16  # integers in a mailbox: the state, then the job
SPIN_COUNT = 60_000  # checks of the state before the helper sleeps: about 100 µs
NO_MAILBOX = np.zeros(0, np.int64)  # the mailbox without a helper


# --- atomic integers --------------------------------------------------------------------------


def _entry_address(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    a = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(a.data, [args[1]])


@intrinsic
def fetch_add(typing: Any, a: Any, i: Any, value: Any) -> Any:
    """Atomically a[i] += value; returns the old a[i]."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = _entry_address(context, builder, signature, args)
        return builder.atomic_rmw("add", at, args[2], "seq_cst")

    return types.int64(a, types.intp, types.int64), emit


@intrinsic
def load(typing: Any, a: Any, i: Any) -> Any:
    """a[i], read atomically with acquire ordering."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_entry_address(context, builder, signature, args), "acquire", 8)

    return types.int64(a, types.intp), emit


@intrinsic
def swap(typing: Any, a: Any, i: Any, old: Any, new: Any) -> Any:
    """Compare-and-swap: if a[i] is ``old``, set it to ``new``; returns whether it was ``old``."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = _entry_address(context, builder, signature, args)
        result = builder.cmpxchg(at, args[2], args[3], "seq_cst", "seq_cst")
        return builder.extract_value(result, 1)

    return types.boolean(a, types.intp, types.int64, types.int64), emit


# --- the state, in compiled code ----------------------------------------------------------------


@jit
def post(state: Array) -> None:
    """Post the job."""
    if not swap(state, 0, LOOKING, POSTED):
        while not swap(state, 0, ASLEEP, POSTED) and not swap(state, 0, LOOKING, POSTED):
            pass


@jit
def withdraw(state: Array) -> None:
    """Withdraw the job; if the helper has taken it, wait until the helper has left."""
    if not swap(state, 0, POSTED, ASLEEP):
        while load(state, 0) == TAKEN:
            pass


@jit
def take(state: Array) -> bool:
    """Spin until a job is posted, at most SPIN_COUNT times; returns whether there is one."""
    for _ in range(SPIN_COUNT):
        now = load(state, 0)
        if now == POSTED and swap(state, 0, POSTED, TAKEN):
            return True
        if now == ASLEEP:
            swap(state, 0, ASLEEP, LOOKING)
    return not swap(state, 0, LOOKING, ASLEEP) and swap(state, 0, POSTED, TAKEN)


@jit
def leave(state: Array) -> None:
    """Report that no task is left, and look for the next job."""
    swap(state, 0, TAKEN, LOOKING)


# --- the helper ---------------------------------------------------------------------------------


class Helper:
    """A thread with a mailbox, in which ``serve(mailbox)`` runs the posted jobs."""

    def __init__(self) -> None:
        self.busy = threading.Lock()  # held by the caller
        self.mailbox = np.zeros(MAILBOX, np.int64)
        self._wake_calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def wake(self, serve: Callable[[Array], None]) -> None:
        """Start the thread, or wake it if it is asleep."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._loop, args=(serve,), daemon=True, name="tinyae helper"
            )
            self._thread.start()
        if self.mailbox[0] == ASLEEP:
            self._wake_calls.put(None)

    def _loop(self, serve: Callable[[Array], None]) -> None:
        while True:
            self._wake_calls.get()
            try:
                serve(self.mailbox)
            except MemoryError:  # raised before it took a task; the caller still waits for it
                leave(self.mailbox)


_helpers: dict[Callable[[Array], None], Helper] = {}  # one for each dtype


def run(work: Callable[..., None], job: tuple[Any, ...], serve: Callable[[Array], None]) -> None:
    """Call ``work(*job, mailbox)``; the mailbox is empty if no helper is free."""
    helper = _helpers.get(serve) or _helpers.setdefault(serve, Helper())
    alone = numba.get_num_threads() == 1 or free_cores() == 1
    if alone or not helper.busy.acquire(blocking=False):
        work(*job, NO_MAILBOX)
        return
    try:
        helper.wake(serve)
        work(*job, helper.mailbox)
    finally:
        helper.busy.release()


if hasattr(os, "register_at_fork"):  # a forked child has no helper threads: it starts its own
    os.register_at_fork(after_in_child=_helpers.clear)
