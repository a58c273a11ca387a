"""When to stop a training that no longer improves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tinyae.arguments import number, positive_int


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after ``patience`` epochs in a row without improvement, and restore the best weights.

    An epoch improves if its monitored value (:attr:`History.monitored`) is smaller than that of
    the last epoch that improved, by more than ``min_improvement``.
    """

    patience: int = 5
    min_improvement: float = 0.0

    def __post_init__(self) -> None:
        positive_int("EarlyStopping", "patience", self.patience, 10)
        least = number("EarlyStopping", "min_improvement", self.min_improvement, 0.001)
        if not math.isfinite(least):
            raise ValueError(
                f"EarlyStopping: min_improvement is {least}, expected a finite number; pass e.g. 0.001"
            )

    def stops(self, values: Iterable[float]) -> bool:
        """Whether to stop after epochs with these monitored values."""
        best, waited = math.inf, 0
        for value in values:
            if value < best - self.min_improvement:
                best, waited = value, 0
            else:
                waited += 1
        return waited >= self.patience
