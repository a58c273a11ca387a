"""Matrix products during which the process is not forked.

OpenBLAS shares a large product among threads of its own, which a forked child does not inherit. Its
fork handler stops them first. It may not do so while another thread is inside a product: the child
then finds a lock that nobody will release, and waits in its first product for ever; so may the parent.

So each thread holds a lock of its own, which nobody else wants, while it computes products. ``os.fork``
takes all these locks first: it waits until no thread is inside a product. A lock costs 0.1 µs.

What is multiplied elsewhere, by ``@`` in the user's code, is not seen here.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

_MAX_WAIT = 30.0  # seconds; a thread that a debugger holds is not waited for any longer
_YIELD = 1e-3  # seconds by which the next product is put off while a fork waits for this one

# A signal handler may fork while its own thread holds a lock, hence RLock.
_registry_lock = threading.RLock()
_registry: weakref.WeakSet[Any] = weakref.WeakSet()  # the locks of all threads that live
_fork_waits = False


class _OfThread(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.taken: list[Any] = []  # by a fork, in the order in which they are released
        with _registry_lock:
            _registry.add(self.lock)


_own = _OfThread()


def fork_safe(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that computes matrix products, during which no other thread forks."""

    @functools.wraps(kernel)
    def locked(*arguments: Any, **named: Any) -> Any:
        if _fork_waits:  # without a pause, this thread would take its lock again at once
            time.sleep(_YIELD)
        with _own.lock:
            return kernel(*arguments, **named)

    locked.definition = kernel  # type: ignore[attr-defined]
    return locked


def _wait_for_products() -> None:
    global _fork_waits
    deadline = time.monotonic() + _MAX_WAIT

    def take(lock: Any) -> bool:
        taken = lock.acquire(timeout=max(deadline - time.monotonic(), 0))
        if taken:
            _own.taken.insert(0, lock)
        return bool(taken)

    if take(_registry_lock):  # from here on, no thread begins its first product
        _fork_waits = True
        for lock in list(_registry):
            take(lock)


def _go_on() -> None:
    global _fork_waits
    if _own.taken:
        _fork_waits = False
    while _own.taken:
        _own.taken.pop(0).release()


def _go_on_alone() -> None:
    """In the child, the other threads do not exist, nor does anyone who would release their locks."""
    _go_on()
    _registry.clear()
    _registry.add(_own.lock)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_wait_for_products, after_in_parent=_go_on, after_in_child=_go_on_alone
    )
