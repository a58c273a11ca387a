"""The history that a model carries: ``model.history``, which files keep, a few bytes for each epoch.

Numbers are rounded to float32, and what two terms have in common is kept once. Seconds are left out,
so that the same training gives the same file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyae.models.base import Model
from tinyae.param import Array
from tinyae.training.history import Epoch, History

Table = tuple[
    tuple[str, ...], tuple[int, ...], Array
]  # names, the row of each name, (rows, epochs)

_PREFIX = "validation."


def as_table(history: History) -> Table:
    """A history's numbers but for the seconds; equal ones share a row."""
    names = tuple(name for name in history.names if name != "seconds")
    rows: list[Array] = []
    places = []
    with np.errstate(over="ignore"):
        for name in names:
            row = history[name].astype(np.float32)
            known = (k for k, r in enumerate(rows) if np.array_equal(r, row, equal_nan=True))
            place = next(known, len(rows))
            rows += [row] if place == len(rows) else []
            places.append(place)
    return names, tuple(places), np.stack(rows)


def from_table(table: Table) -> History:
    """The history; its seconds are NaN."""
    names, places, rows = table
    epochs = []
    for k, numbers in enumerate(rows.T.tolist(), 1):
        found = {name: numbers[place] for name, place in zip(names, places)}
        rate = found.pop("learning_rate")
        terms = {n: v for n, v in found.items() if not n.startswith(_PREFIX)}
        validation = {n[len(_PREFIX) :]: v for n, v in found.items() if n.startswith(_PREFIX)}
        epochs.append(Epoch(k, terms, validation, math.nan, rate))
    return History(epochs)


def _check_table(who: str, table: Any) -> Table:
    """What a file holds, checked.

    Raises
        TypeError, ValueError  it is no such table
    """
    match table:
        case (tuple() as names, tuple() as places, np.ndarray() as rows):
            fits = len(names) == len(places) == len(set(names)) and rows.ndim == 2 and rows.size
            are_names = all(isinstance(name, str) for name in names)
            in_rows = all(isinstance(k, int) and 0 <= k < len(rows) for k in places)
            known = {"total", "learning_rate"} <= set(names)
            if fits and are_names and in_rows and known and rows.dtype == np.float32:
                return names, places, rows
            raise ValueError(f"{who}: history is no table of numbers by epoch; it was altered")
    raise TypeError(
        f"{who}: history is a {type(table).__name__}, expected what fit returned, or None"
    )


def _history(self: Model) -> History | None:
    """What the last ``fit`` of this model measured, rounded; None before it, and in old files."""
    table = self._carried.get("history")
    return None if table is None else from_table(table)


def _set_history(self: Model, value: History | Table | None) -> None:
    if isinstance(value, History):
        value = as_table(value) if value.epochs else None
    self._carry("history", None if value is None else _check_table(type(self).__name__, value))


history_property = property(_history, _set_history)
