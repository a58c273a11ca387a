"""A second thread for calls that are too short to start a thread for.

Waking a sleeping thread takes 20 µs, as long as many a call. So a helper thread that has done a job
spins for a while, looking for the next one, before it sleeps again. All of this is compiled code:
coming back to Python between two jobs would cost 9 µs, and caller and helper would wait for
Python's lock. Nobody waits for a helper to come: the work is cut into tasks, each thread takes the
next free one from a counter, and a thread that comes too late finds none left. So a helper that is
busy, asleep or gone costs no more than one look at its state.

    ASLEEP → LOOKING          by the helper, as it wakes
    ASLEEP, LOOKING → POSTED  by the caller
    POSTED → TAKEN → LOOKING  by the helper, before and after its tasks
    POSTED → ASLEEP           by the caller, who has done all of it alone
    LOOKING → ASLEEP          by the helper, after SPIN_COUNT looks

Each change of state is one compare-and-swap. State and job lie in a mailbox, an array of integers.
The job is the addresses of its arrays, which the caller keeps alive until the helper has left.
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
from tinyae.param import Array

ASLEEP, LOOKING, POSTED, TAKEN = 0, 1, 2, 3
MAILBOX = 16  # integers in a mailbox: the state, then the job
SPIN_COUNT = 60_000  # looks at the state before the helper sleeps: about 100 µs
NOBODY = np.zeros(0, np.int64)  # the mailbox where there is no helper


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
    """Post the job."""
    if not swap(state, 0, LOOKING, POSTED):
        while not swap(state, 0, ASLEEP, POSTED) and not swap(state, 0, LOOKING, POSTED):
            pass


@jit
def withdraw(state: Array) -> None:
    """Take the job back; if the helper is at work on it, wait until it has left."""
    if not swap(state, 0, POSTED, ASLEEP):
        while load(state, 0) == TAKEN:
            pass


@jit
def take(state: Array) -> bool:
    """Spin until there is a job, or for SPIN_COUNT looks; whether there is one."""
    for _ in range(SPIN_COUNT):
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


class Helper:
    """A thread with a mailbox: ``serve(mailbox)`` does the jobs that are posted there, until it has
    found none for a while."""

    def __init__(self) -> None:
        self.busy = threading.Lock()  # held by the caller whom it helps
        self.mailbox = np.zeros(MAILBOX, np.int64)
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def wake(self, serve: Callable[[Array], None]) -> None:
        """Start the thread or wake it, if it is not looking for a job already."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._live, args=(serve,), daemon=True, name="tinyae helper"
            )
            self._thread.start()
        if self.mailbox[0] == ASLEEP:
            self._calls.put(None)

    def _live(self, serve: Callable[[Array], None]) -> None:
        while True:
            self._calls.get()
            try:
                serve(self.mailbox)
            except MemoryError:  # before it had taken a task; but its caller waits for it to leave
                leave(self.mailbox)


_helpers: dict[Callable[[Array], None], Helper] = {}  # one for each way of serving


def run(work: Callable[..., None], job: tuple[Any, ...], serve: Callable[[Array], None]) -> None:
    """``work(*job, mailbox)``, which posts the job in the mailbox of a helper, if one is free."""
    helper = _helpers.get(serve) or _helpers.setdefault(serve, Helper())
    if numba.get_num_threads() == 1 or not helper.busy.acquire(blocking=False):
        work(*job, NOBODY)
        return
    try:
        helper.wake(serve)
        work(*job, helper.mailbox)
    finally:
        helper.busy.release()


if hasattr(os, "register_at_fork"):  # a child has no copy of the threads: it gets its own
    os.register_at_fork(after_in_child=_helpers.clear)
