"""Learning rate schedules: η as a function of t, the number of steps taken so far.

    Adam(Cosine(1e-3, steps=epochs * batches))
    SGD(WarmUp(Constant(0.1), steps=500))

A schedule is any function from an int to a float; these are the usual ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinyae.arguments import number, positive_int

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """η(t) = η₀"""

    learning_rate: float

    def __post_init__(self) -> None:
        _check_numbers(self, "learning_rate")

    def __call__(self, t: int) -> float:
        return self.learning_rate


@dataclass(frozen=True)
class StepDecay:
    """η(t) = η₀ · factor^⌊t / every⌋"""

    learning_rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        positive_int("StepDecay", "every", self.every, 1000)
        _check_numbers(self, "learning_rate", "factor")

    def __call__(self, t: int) -> float:
        return self.learning_rate * self.factor ** (t // self.every)


@dataclass(frozen=True)
class Exponential:
    """η(t) = η₀ · factorᵗ"""

    learning_rate: float
    factor: float

    def __post_init__(self) -> None:
        _check_numbers(self, "learning_rate", "factor")

    def __call__(self, t: int) -> float:
        return self.learning_rate * self.factor**t


@dataclass(frozen=True)
class Cosine:
    """η(t) = η_T + (η₀ − η_T) (1 + cos(π t / T)) / 2, and η_T from t = T on

    T is ``steps``, counted in optimizer steps: epochs × batches per epoch. η_T is ``final``.
    Source: Loshchilov & Hutter (2017), eq. 5, without restarts.
    """

    learning_rate: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        positive_int("Cosine", "steps", self.steps, 1000)
        _check_numbers(self, "learning_rate", "final")

    def __call__(self, t: int) -> float:
        fraction_left = (1 + math.cos(math.pi * min(t / self.steps, 1.0))) / 2
        return self.final + (self.learning_rate - self.final) * fraction_left


@dataclass(frozen=True)
class WarmUp:
    """η(t) = schedule(t) · min((t + 1) / steps, 1): another schedule after a linear rise.

    Source: Goyal et al. (2017), §2.2.
    """

    schedule: Schedule
    steps: int

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise TypeError(
                f"WarmUp: schedule is {self.schedule!r}, expected a schedule; "
                f"pass Constant({self.schedule!r})"
            )
        positive_int("WarmUp", "steps", self.steps, 1000)

    def __call__(self, t: int) -> float:
        return self.schedule(t) * min((t + 1) / self.steps, 1.0)


def _check_numbers(schedule: Any, *names: str) -> None:
    for name in names:
        value = number(type(schedule).__name__, name, getattr(schedule, name), 1e-3)
        if not 0 <= value < math.inf:
            raise ValueError(
                f"{type(schedule).__name__}: {name} is {value:g}, expected a finite number ≥ 0; "
                f"pass e.g. {name}=0.001"
            )
