"""How the benchmarks measure: contestants take turns in one process; the result is a median.

The speed of a machine drifts, with heat and with other processes. If contestants ran one after the
other, they would be timed under different conditions. So they take turns, one block at a time.

Threads interfere, too. The thread pools of OpenBLAS, OpenMP (PyTorch) and XLA spin for a while
after their last call and occupy a core during the next contestant's turn: OpenBLAS for about 25 ms,
OpenMP for about 5. So each block starts with ``settle`` seconds that are not counted.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

THREADS = (  # environment variables that each thread pool reads when it is loaded
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


class Spread(NamedTuple):
    """The median and quartiles of a number of runs, in seconds."""

    low: float
    median: float
    high: float
    runs: int

    def __str__(self) -> str:
        """Milliseconds, as ``0.312 (0.309–0.318)``."""
        return self._times(1e3)

    def microseconds(self) -> str:
        return self._times(1e6)

    def _times(self, unit: float) -> str:
        median, low, high = (digits(s * unit) for s in (self.median, self.low, self.high))
        return f"{median} ({low}–{high})"


def spread(seconds: Sequence[float]) -> Spread:
    """The median and quartiles of times; for a single run, three times its own time.

    Raises
        ValueError  there are no runs
    """
    if not seconds:
        raise ValueError("spread: there are no runs, expected one or more; pass more repeats")
    if len(seconds) == 1:
        return Spread(seconds[0], seconds[0], seconds[0], 1)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Spread(low, median, high, len(seconds))


def interleaved(
    contestants: Mapping[str, Callable[[], Any]],
    repeats: int = 10,
    settle: float = 0.06,
    block: float = 0.1,
) -> dict[str, Spread]:
    """Time calls of each contestant in turns: ``settle`` seconds, then ``block`` counted seconds.

    Every other round runs in the opposite order, so that no contestant always follows the same one.
    Each block counts at least one call. Calls of less than 20 µs are timed several at once, because
    reading the clock takes 0.05 µs and its resolution is coarse. A block in which other processes
    took more than a tenth of the cores is discarded, unless most blocks are disturbed.
    """
    inner = {name: _calls_at_once(run) for name, run in contestants.items()}
    blocks: dict[str, list[tuple[float, list[float]]]] = {name: [] for name in contestants}
    for k in range(repeats):
        turns = list(contestants.items())
        for name, run in turns if k % 2 == 0 else reversed(turns):
            with Neighbours() as others:
                seconds = _block(run, inner[name], settle, block)
            blocks[name].append((others.share or 0.0, seconds))
    return {name: spread(undisturbed(found)) for name, found in blocks.items()}


def undisturbed(blocks: Sequence[tuple[float, Sequence[float]]], most: float = 0.1) -> list[float]:
    """The times in blocks with little load by other processes; in all blocks if those are few."""
    quiet = [seconds for share, seconds in blocks if share <= most]
    if 3 * len(quiet) < len(blocks):
        quiet = [seconds for _, seconds in blocks]
    return [s for seconds in quiet for s in seconds]


def _block(run: Callable[[], Any], calls: int, settle: float, block: float) -> list[float]:
    """Seconds of each call, repeated until ``block`` seconds are over."""
    clock, seconds = time.perf_counter, []
    end = clock() + settle
    while clock() < end:
        run()
    end = clock() + block
    while True:
        start = clock()
        for _ in range(calls):
            run()
        now = clock()
        seconds.append((now - start) / calls)
        if now >= end:
            return seconds


def _calls_at_once(run: Callable[[], Any]) -> int:
    run()
    start = time.perf_counter()
    run()
    return max(1, int(20e-6 / max(time.perf_counter() - start, 1e-9)))


def fastest(run: Callable[[], Any], seconds: float = 0.2) -> float:
    """The shortest time of one call, out of at least 3 calls."""
    calls = _calls_at_once(run)
    return min(_block(run, calls, 0.0, seconds) + _block(run, calls, 0.0, 0.0))


def best(spreads: Mapping[str, Spread]) -> str | None:
    """The name with the smallest median; None if there are none."""
    return min(spreads, key=lambda name: spreads[name].median, default=None)


def digits(value: float) -> str:
    """Three significant digits, without an exponent: 0.0312, 3.12, 312, 3,120."""
    size, decimals = abs(value), 0
    while 0 < size < 99.95 and decimals < 6:
        size, decimals = size * 10, decimals + 1
    return f"{value:,.{decimals}f}"


class Neighbours:
    """``with Neighbours() as others: …``; then ``others.share`` is the fraction of the cores' time
    that other processes took. Timings mean little if it is more than a few percent.

    It is None if the system does not report it (/proc/stat exists on Linux only).
    """

    share: float | None = None

    def __enter__(self) -> Neighbours:
        self._began = self._now()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._began is None or (ended := self._now()) is None:
            return
        total, busy, own = (b - a for a, b in zip(self._began, ended))
        self.share = max(0.0, busy - own) / total if total > 0 else None

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Core seconds: elapsed, busy, and used by this process and its finished children."""
        try:
            fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
            ticks = os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, AttributeError):
            return None
        user, nice, system, idle, iowait, irq, softirq, steal = (int(f) / ticks for f in fields)
        busy = user + nice + system + irq + softirq + steal
        return busy + idle + iowait, busy, sum(os.times()[:4])

    def __str__(self) -> str:
        if self.share is None:
            return "other processes: not known"
        warning = ": measure again, alone" if self.share > 0.05 else ""
        return f"other processes took {self.share:.0%} of the cores{warning}"


def peak_memory() -> int:
    """The peak resident set of this process, in bytes.

    ``getrusage`` is only the fallback: on Linux, it includes the parent's memory at the fork.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource  # not on Windows

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def held_memory() -> int:
    """The private memory of this process now, in bytes, without pages of mapped files.

    Raises
        OSError  the system does not report it (/proc exists on Linux only)
    """
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))


class Held:
    """``with Held() as held: …``: private memory before, and its maximum (sampled every 2 ms)."""

    def __enter__(self) -> Held:
        self.before = self.most = held_memory()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            self.most = max(self.most, held_memory())


def limit_threads(threads: int) -> None:
    """Set the size of every thread pool. Must be called before NumPy is imported."""
    for name in THREADS:
        os.environ[name] = str(threads)
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={str(threads > 1).lower()} "
        f"intra_op_parallelism_threads={threads}"
    ).strip()


def find_the_package() -> None:
    """Make the package ``benchmarks`` importable, wherever a script is started."""
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)
