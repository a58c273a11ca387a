"""How the benchmarks measure: contestants in turns, in one process, and the median of many runs.

Clocks drift: a neighbour on the machine, heat, another process. Contestants that are run one after
the other get different machines; in turns, a block each, they get the same one.

Threads interfere too. The pools of OpenBLAS, OpenMP (PyTorch) and XLA spin for a while after
their last call, waiting for the next, and take a core from whoever comes after: OpenBLAS for some
25 ms, OpenMP for some 5. So each block begins with ``settle`` seconds that are not counted.
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

THREADS = (  # what each pool reads when it is first loaded
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


class Spread(NamedTuple):
    """Seconds: the median and the quartiles of so many runs."""

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
    """The quartiles; of one run, itself thrice.

    Raises
        ValueError  there is none
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
    """Seconds of one call of each, in turns: ``settle`` uncounted, then ``block`` seconds counted.

    Every other round runs in the opposite order, so that nobody always follows the same one. Each
    block counts at least one call, and calls of less than 20 µs are timed several at once, since
    reading the clock takes a twentieth of a µs and its answer is coarse. A block in which other
    processes took more than a tenth of the cores does not count, unless most blocks were such.
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
    """The seconds of all blocks whose share of other processes is small; of all if these are few."""
    quiet = [seconds for share, seconds in blocks if share <= most]
    if 3 * len(quiet) < len(blocks):
        quiet = [seconds for _, seconds in blocks]
    return [s for seconds in quiet for s in seconds]


def _block(run: Callable[[], Any], calls: int, settle: float, block: float) -> list[float]:
    """Seconds of one call, again and again until ``block`` is over."""
    clock, seconds = time.perf_counter, []
    end = clock() + settle
    while clock() < end:
        run()
    end = clock() + block
    while True:
        began = clock()
        for _ in range(calls):
            run()
        now = clock()
        seconds.append((now - began) / calls)
        if now >= end:
            return seconds


def _calls_at_once(run: Callable[[], Any]) -> int:
    run()
    began = time.perf_counter()
    run()
    return max(1, int(20e-6 / max(time.perf_counter() - began, 1e-9)))


def fastest(run: Callable[[], Any], seconds: float = 0.2) -> float:
    """The least seconds of one call: what the machine can do, undisturbed. Of 3 calls or more."""
    calls = _calls_at_once(run)
    return min(_block(run, calls, 0.0, seconds) + _block(run, calls, 0.0, 0.0))


def best(spreads: Mapping[str, Spread]) -> str | None:
    """The name of the smallest median, None of an empty table."""
    return min(spreads, key=lambda name: spreads[name].median, default=None)


def digits(value: float) -> str:
    """Three significant digits, without an exponent: 0.0312, 3.12, 312, 3,120."""
    size, places = abs(value), 0
    while 0 < size < 99.95 and places < 6:
        size, places = size * 10, places + 1
    return f"{value:,.{places}f}"


class Neighbours:
    """``with Neighbours() as others: …`` and then ``others.share``: of the cores' time, how much went
    to other processes. Measured speeds mean little where it is more than a few percent.

    None where the system does not tell (/proc/stat is Linux's).
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
        """Seconds of all cores: passed, busy, busy with this process and its finished children."""
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
    """Bytes of the largest resident set that this process has had.

    Not by ``getrusage`` where the system tells otherwise: Linux counts the parent's in, as it was
    when the child was forked.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource  # not on Windows

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def held_memory() -> int:
    """Bytes that this process holds by itself just now: pages of mapped files are not among them.

    Raises
        OSError  the system does not tell (/proc is Linux's)
    """
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))


class Held:
    """``with Held() as held: …`` and then ``held.before`` and ``held.most``, looked up each 2 ms."""

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
    """Tell every pool of threads its size. To be called before NumPy is imported: they read it once."""
    for name in THREADS:
        os.environ[name] = str(threads)
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={str(threads > 1).lower()} "
        f"intra_op_parallelism_threads={threads}"
    ).strip()


def find_the_package() -> None:
    """So that a script finds this folder as ``benchmarks``, from wherever it is started."""
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)
