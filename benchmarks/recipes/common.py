"""Shared by the recipes: command-line options, data, stopwatch and tables."""

from __future__ import annotations

import datetime
import importlib.util
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tinyae as ta


@dataclass(frozen=True)
class Run:
    """The command-line options.

    seed      of weights, order and noise
    out       the folder for pictures and models; it exists
    quick     small generated data and few epochs, only to check that the recipe runs
    epochs    overrides the recipe's own number
    data      overrides the recipe's data set
    """

    seed: int = 0
    out: Path = Path("quality-out")
    quick: bool = False
    epochs: int | None = None
    data: str | None = None

    def number_of_epochs(self, full: int) -> int:
        """``epochs`` if given, 1 for a quick run, else ``full``."""
        if self.epochs is not None:
            return self.epochs
        return 1 if self.quick else full

    def load(self, name: str, quick_rows: int = 512) -> ta.data.Dataset:
        """The data set, or ``data`` if given; for a quick run, generated samples of its shape."""
        if not self.quick:
            return ta.data.load(self.data or name)
        ecg = (self.data or name) in ("ecg5000", "heartbeats")
        make = ta.data.make_heartbeats if ecg else ta.data.make_strokes
        rng = np.random.default_rng(0)
        parts = (*make(quick_rows, rng), *make(quick_rows, rng))
        return ta.data.Dataset("quick", *parts, "generated, small")


class Stopwatch:
    """``with Stopwatch() as watch: …``; ``watch.seconds`` is the time taken (so far)."""

    def __enter__(self) -> Stopwatch:
        self._began = time.perf_counter()
        self._ended: float | None = None
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended = time.perf_counter()

    @property
    def seconds(self) -> float:
        return (self._ended or time.perf_counter()) - self._began


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a title and aligned columns: the first to the left, the others to the right.

    By convention, columns after ours are named "reference" (results of others, published or run)
    and "reach" (the target).

    Raises
        ValueError  a row has more or fewer cells than there are heads
    """
    lines = [[str(cell) for cell in line] for line in (heads, *rows)]
    for line in lines:
        if len(line) != len(heads):
            raise ValueError(f"table: the row {line} has {len(line)} cells, expected {len(heads)}")
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    print(f"\n{title}\n")
    for line in lines:
        first, *others = (
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths))
        )
        print("  ".join((first, *others)).rstrip())
    print(flush=True)


def machine() -> str:
    """The date, cores, kernel set and versions with which the figures were measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [
        datetime.date.today().isoformat(),
        f"{cores} core{'' if cores == 1 else 's'} ({platform.machine()})",
        f"{ta.kernels.active()} kernels",
        f"tinyae {ta.__version__}",
        f"Python {platform.python_version()}",
        f"NumPy {np.__version__}",
    ]
    if importlib.util.find_spec("numba"):
        numba = importlib.import_module("numba")
        parts.append(f"Numba {numba.__version__}")
    threads = [
        f"{name}={os.environ[name]}"
        for name in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
        if name in os.environ
    ]
    return ", ".join(parts + threads)
