"""What a training measured: one :class:`Epoch` for each pass over the data, in a :class:`History`.

history["validation.total"]     one number per epoch, as an array
print(history)                  a table, with the best epoch marked
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinyae.models.base import Terms
from tinyae.param import Array

_LONG = 30  # a table of more epochs than this is shortened to the first 5 and the last 20


@dataclass
class Epoch:
    """One pass over the data: its number, counted from 1, and what was measured.

    ``terms`` are averages over the epoch, measured in training mode while the weights change.
    ``validation`` has the same terms at the end of the epoch, in inference mode. ``seconds`` is
    the time that training took, without validation. ``learning_rate`` is that of the last step.
    """

    epoch: int
    terms: Terms
    validation: Terms
    seconds: float
    learning_rate: float

    @property
    def numbers(self) -> dict[str, float]:
        """Everything measured, by name: ``"total"``, …, ``"validation.total"``, …"""
        validation = {f"validation.{name}": value for name, value in self.validation.items()}
        rest = {"seconds": self.seconds, "learning_rate": self.learning_rate}
        return {**self.terms, **validation, **rest}


@dataclass
class History:
    """The epochs of a training. ``history["total"]`` is an array with one number per epoch."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return list(self.epochs[0].numbers) if self.epochs else []

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise KeyError(f"{name!r} was not measured; there is {', '.join(self.names)}")
        return np.array([epoch.numbers[name] for epoch in self.epochs])

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def monitored(self) -> Array:
        """The value that decides which epoch is best: the validation total, or without validation
        the training total."""
        return self["validation.total" if self.epochs[0].validation else "total"]

    @property
    def best_epoch(self) -> int:
        """The number of the epoch with the smallest monitored value, counted from 1; 0 if none."""
        return int(np.argmin(self.monitored)) + 1 if self.epochs else 0

    def __repr__(self) -> str:
        if not self.epochs:
            return "History: no epoch yet"
        best = self.best_epoch
        table = [["epoch", *self.names, ""]]
        for epoch in self._shown(best):
            cells = [f"{value:.5g}" for value in epoch.numbers.values()]
            table.append([str(epoch.epoch), *cells, "← best" if epoch.epoch == best else ""])
        widths = [max(map(len, column)) for column in zip(*table)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths)).rstrip()
            for line in table
        )

    def _shown(self, best: int) -> list[Epoch]:
        """The epochs that the table shows; the best one is always among them."""
        if len(self) <= _LONG:
            return self.epochs
        shown = [*self.epochs[:5], *self.epochs[-20:]]
        if all(epoch.epoch != best for epoch in shown):
            shown.insert(5, self.epochs[best - 1])
        return shown
