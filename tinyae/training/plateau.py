"""When to lower the learning rate because nothing improves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tinyae.arguments import number, positive_int


@dataclass(frozen=True)
class ReduceLROnPlateau:
    """Multiply the learning rate by ``factor`` after ``patience`` epochs without improvement.

    An epoch improves if its monitored value (:attr:`History.monitored`) is smaller than the best
    before it by more than ``min_improvement``. After each reduction the count begins again. The
    rate falls to no less than ``min_factor`` times what the optimizer or its schedule says. What was
    measured decides alone, so a training that is resumed goes on at the rate where it was.
    """

    factor: float = 0.1
    patience: int = 10
    min_improvement: float = 0.0
    min_factor: float = 1e-4

    def __post_init__(self) -> None:
        who = type(self).__name__
        positive_int(who, "patience", self.patience, 10)
        for name, example in (("factor", 0.1), ("min_factor", 1e-4)):
            value = number(who, name, getattr(self, name), example)
            if not 0 < value < 1:
                raise ValueError(
                    f"{who}: {name} is {value:g}, expected a number between 0 and 1; "
                    f"pass e.g. {name}={example:g}"
                )
        least = number(who, "min_improvement", self.min_improvement, 0.001)
        if not math.isfinite(least):
            raise ValueError(
                f"{who}: min_improvement is {least}, expected a finite number; pass e.g. 0.001"
            )

    def rate_factor(self, values: Iterable[float]) -> float:
        """What the learning rate is multiplied by after epochs with these monitored values."""
        best, waited, reductions = math.inf, 0, 0
        for value in values:
            if value < best - self.min_improvement:
                best, waited = value, 0
            else:
                waited += 1
            if waited >= self.patience:
                waited, reductions = 0, reductions + 1
        return max(self.factor**reductions, self.min_factor)
