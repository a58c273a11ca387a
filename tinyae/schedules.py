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

import numpy as np

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """η(t) = η₀"""

    learning_rate: float

    def __post_init__(self) -> None:
        _check_rates("Constant", learning_rate=self.learning_rate)

    def __call__(self, t: int) -> float:
        return self.learning_rate


@dataclass(frozen=True)
class StepDecay:
    """η(t) = η₀ · factor^⌊t / every⌋"""

    learning_rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _check_rates("StepDecay", learning_rate=self.learning_rate, factor=self.factor)
        _check_steps("StepDecay", "every", self.every)

    def __call__(self, t: int) -> float:
        return self.learning_rate * self.factor ** (t // self.every)


@dataclass(frozen=True)
class Exponential:
    """η(t) = η₀ · factorᵗ"""

    learning_rate: float
    factor: float

    def __post_init__(self) -> None:
        _check_rates("Exponential", learning_rate=self.learning_rate, factor=self.factor)

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
        _check_rates("Cosine", learning_rate=self.learning_rate, final=self.final)
        _check_steps("Cosine", "steps", self.steps)

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
        _check_steps("WarmUp", "steps", self.steps)

    def __call__(self, t: int) -> float:
        return self.schedule(t) * min((t + 1) / self.steps, 1.0)


def _check_rates(who: str, **values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, (int, float, np.number)) or not 0 <= value < math.inf:
            raise ValueError(f"{who}: {name} is {value!r}, expected a finite number ≥ 0")


def _check_steps(who: str, name: str, value: Any) -> None:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{who}: {name} is {value!r}, expected an int ≥ 1, in optimizer steps")
