"""How many cores are free for us: a loop must not be shared with a core that does other work.

Threads that share a loop wait for the last of them. If another program runs on a thread's core, this
thread does not even start until the system takes the core from the program: milliseconds, for a loop
of microseconds. With nine busy processes on two cores, a step of 1.3 ms took 128 ms.

Linux says how many threads want a core at this moment (``/proc/loadavg``) and which of our own are
among them (``/proc/self/task``). It is asked every 50 ms, which takes some 50 µs. Where there is no
such file, all cores count as free.
"""

from __future__ import annotations

import os
import time

_INTERVAL = 0.05  # seconds for which an answer holds
CORES = os.cpu_count() or 1


class _Answer:
    free = CORES
    until = 0.0


def free_cores() -> int:
    """The cores that no other process wants, at least 1; measured anew after 50 ms."""
    now = time.monotonic()
    if now >= _Answer.until:
        _Answer.until = now + _INTERVAL
        try:
            _Answer.free = max(CORES - others_running(), 1)
        except (OSError, ValueError, IndexError):
            _Answer.free, _Answer.until = CORES, float("inf")  # this system does not say
    return _Answer.free


def others_running(proc: str = "/proc") -> int:
    """The threads of other processes that run or wait for a core.

    Raises
        OSError, ValueError, IndexError  the system does not say so in Linux's form
    """
    with open(f"{proc}/loadavg", "rb") as file:
        running = int(file.read().split()[3].split(b"/")[0])
    own = 0
    for task in os.listdir(f"{proc}/self/task"):
        try:
            with open(f"{proc}/self/task/{task}/stat", "rb") as file:
                own += file.read().rpartition(b")")[2].split()[0] == b"R"
        except (FileNotFoundError, ProcessLookupError):
            pass  # the thread has ended
    return max(running - own, 0)
