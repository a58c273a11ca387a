"""A training step on a machine that has other work to do, against PyTorch and JAX.

    python benchmarks/busy.py [--only dense-32 deep conv-64] [--peers torch,jax] [--rounds 20]
    python benchmarks/busy.py --quick            # does it run?

The contestants are those of train_step.py, and tinyae with one thread. Each is a process of its own,
so that every thread pool is as large as it would be alone; one of them runs at a time, the others
sleep. In each round each takes its turn with 0, 1 and 2 other processes that keep a core busy each:
``settle`` seconds that are not counted, then ``block`` seconds. The table has the mean and the 95th
percentile of a step in milliseconds, and the mean over tinyae's with no other process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import timing, train_step

ONE_THREAD = "tinyae, 1 thread"
ROWS = ("dense-32", "deep", "conv-32")
OTHERS = (0, 1, 2)  # processes beside the contestant
SPIN = "while True: pass"


class Spinner:
    """A process that keeps a core busy while it is told to."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SPIN])
        self.signal("STOP")

    def signal(self, name: str) -> None:
        self.process.send_signal(getattr(signal, f"SIG{name}"))  # Windows has no such signals


class Contestant:
    """A process that takes training steps for some seconds when it is asked."""

    def __init__(self, name: str, row: str, options: Any) -> None:
        threads = 1 if name == ONE_THREAD else options.threads
        command = [sys.executable, __file__, "--serve", name, "--only", row]
        command += ["--threads", str(threads), "--peers", options.peers]
        self.process = subprocess.Popen(
            command + ["--quick"] * options.quick,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, settle: float, block: float) -> list[float]:
        """Seconds of each step.

        Raises
            RuntimeError  the process has ended
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(settle, block, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"busy: a contestant ended with {self.process.wait()}")
        return json.loads(answer)


def serve(name: str, options: Any) -> None:
    """Take steps for as long as each line of standard input says, and answer with their seconds."""
    ((_, network, n),) = train_step.races(options.only, options.quick)
    names = [] if name in (train_step.OURS, ONE_THREAD) else [name]
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    steps = train_step.contestants(network, network.data(n), names, options.threads)
    step = steps[name if names else train_step.OURS]
    for _ in range(3):
        step()
    for line in sys.stdin:
        settle, block = map(float, line.split())
        seconds = timing._block(step, 1, settle, block)
        print(json.dumps(seconds), file=answers, flush=True)


def measure(row: str, names: Sequence[str], options: Any) -> dict[tuple[str, int], list[float]]:
    """The seconds of all steps, by contestant and number of other processes."""
    settle, block, rounds = (0.0, 0.0, 1) if options.quick else (0.1, 0.4, options.rounds)
    contestants = {name: Contestant(name, row, options) for name in names}
    spinners = [Spinner() for _ in range(max(OTHERS))]
    found: dict[tuple[str, int], list[float]] = {(n, k): [] for n in names for k in OTHERS}
    try:
        for contestant in contestants.values():
            contestant.run(0.0, 0.0)  # wait until it is ready
        for k in range(rounds):
            for others in OTHERS:
                for spinner in spinners[:others]:
                    spinner.signal("CONT")
                for name in names if k % 2 == 0 else reversed(names):
                    found[name, others] += contestants[name].run(settle, block)
                for spinner in spinners[:others]:
                    spinner.signal("STOP")
    finally:
        for process in (*(c.process for c in contestants.values()), *(s.process for s in spinners)):
            process.kill()
            process.communicate()
    return found


def lines(row: str, found: dict[tuple[str, int], list[float]]) -> list[list[str]]:
    """A line of the table for each contestant."""
    idle = mean(found[train_step.OURS, 0])
    rows = []
    for name in dict.fromkeys(name for name, _ in found):
        cells = [row, name]
        for others in OTHERS:
            seconds = sorted(found[name, others])
            late = seconds[min(int(0.95 * len(seconds)), len(seconds) - 1)]
            middle = mean(seconds)
            cells.append(
                f"{timing.digits(1e3 * middle)} / {timing.digits(1e3 * late)} ({middle / idle:.2f})"
            )
        rows.append(cells)
    return rows


def mean(seconds: Sequence[float]) -> float:
    return sum(seconds) / len(seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(ROWS), metavar="ROW")
    parser.add_argument("--peers", default="torch,jax", help="any of torch,jax; '' for none")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="one step each: does it run?")
    options = parser.parse_args(arguments)
    if options.serve:
        timing.limit_threads(options.threads)  # before anything imports NumPy
        serve(options.serve, options)
        return
    if sys.platform == "win32":
        raise SystemExit(
            "busy: it stops and continues processes by signals; run it on Linux or macOS"
        )
    common = importlib.import_module("benchmarks.recipes.common")
    names = [train_step.OURS, ONE_THREAD, *train_step.runnable(options.peers)]
    table = []
    for row, _, _ in train_step.races(options.only, options.quick):
        began = time.perf_counter()
        table += lines(row, measure(row, names, options))
        print(f"{row}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    heads = ["network-batch", "contestant", *(f"{n} others" for n in OTHERS)]
    common.table("ms a step: mean / 95th percentile (mean over tinyae's alone)", heads, table)
    print(common.machine())


if __name__ == "__main__":
    main()
