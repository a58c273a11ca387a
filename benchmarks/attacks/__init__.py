"""Attacks on the library, each a case that draws one attempt and says what it broke, if anything.

A case is a function of a ``random.Random`` and a folder that returns None, or what went wrong. The
tests run each a few times, with hypothesis as the source of chance; ``benchmarks/attack.py`` runs
them as often as is wanted.
"""

from __future__ import annotations

import importlib.util
import random
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Case = Callable[[random.Random, Path], str | None]

SECONDS = 20.0  # a case that takes longer has failed


@dataclass
class Outcome:
    """How often an attack was tried, and what went wrong, each with the number of its try."""

    tries: int = 0
    failures: list[str] = field(default_factory=list)
    skipped: str = ""  # why it was not tried


def repeat(case: Case, package: str = "") -> Callable[[int, int], Outcome]:
    """The attack that tries a case ``budget`` times. Try i of a seed is always the same.

    If the case needs a ``package`` that is not installed, the attack is skipped.
    """

    def attack(budget: int, seed: int) -> Outcome:
        if package and importlib.util.find_spec(package) is None:
            return Outcome(skipped=f"it needs {package}; run pip install {package}")
        outcome = Outcome()
        with tempfile.TemporaryDirectory() as folder:
            for i in range(budget):
                start = time.perf_counter()
                try:
                    wrong = case(random.Random(f"{seed}/{i}"), Path(folder))
                except Exception as error:
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    place = f"{Path(where.filename).name}:{where.lineno}"
                    wrong = f"{type(error).__name__} at {place}: {str(error)[:200]}"
                if wrong is None and time.perf_counter() - start > SECONDS:
                    wrong = f"it took {time.perf_counter() - start:.0f} s"
                outcome.tries += 1
                if wrong is not None:
                    outcome.failures.append(f"try {i}: {wrong}")
        return outcome

    return attack
