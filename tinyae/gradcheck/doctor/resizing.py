"""The inputs of a function at other lengths, each length changed alike wherever it occurs.

A factor H − 1 where W − 1 belongs cannot be told at one size. So every length L becomes another one:
L + 1, L + 2, … or, if the function does not take that (a window, four gates side by side), 2 L.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.draws import other_rows
from tinyae.param import Array

Inputs = dict[str, Array]
Lengths = dict[int, int]


def other_batch(inputs: Inputs, third: bool = False) -> tuple[int, int]:
    """The batch size, which is the first input's first length, and another, or a third."""
    n = next((len(a) for a in inputs.values() if a.ndim), 1)
    shapes = [a.shape for a in inputs.values()]
    rows = other_rows(*shapes)
    return n, other_rows(*shapes, (rows,)) if third else rows


def of_other_rows(inputs: Inputs, n: int, rows: int, only: str | None = None) -> Inputs:
    """The inputs whose first axis has n entries with another number of rows."""
    return {
        name: _resized(a, (rows, *a.shape[1:]))
        if only in (None, name) and a.ndim and len(a) == n
        else a
        for name, a in inputs.items()
    }


def other_lengths(inputs: Inputs) -> Iterator[Lengths]:
    """Ways to change every length, the least likely to meet another first."""
    lengths = sorted({n for a in inputs.values() for n in a.shape if n > 1})
    if not lengths or lengths[-1] > 64:
        return
    taken = set(lengths)
    grown: Lengths = {}
    for n in lengths:
        grown[n] = next(m for m in range(n + 1, n + 99) if m not in taken)
        taken.add(grown[n])
    yield grown
    yield {n: 2 * n for n in lengths}


def resized(inputs: Inputs, lengths: Lengths) -> Inputs:
    """The inputs with other lengths along all their axes."""
    made = {}
    for name, a in inputs.items():
        shape: list[int] = [lengths.get(n, n) for n in a.shape]  # type: ignore[misc]
        made[name] = _resized(a, tuple(shape))
    return made


def _resized(a: Array, shape: tuple[int, ...]) -> Array:
    """The array repeated or cut to a shape; distributions and one-hot rows go on with zeros."""
    if shape == a.shape:
        return a.copy()
    places: list[Array] = [np.arange(n) % m for n, m in zip(shape, a.shape)]
    tiled = a[np.ix_(*places)]
    if a.ndim > 1 and a.shape[-1] < shape[-1] and _sums_to_one(a):
        tiled[..., a.shape[-1] :] = 0
    return np.asarray(tiled)


def _sums_to_one(a: Array) -> bool:
    return a.dtype.kind == "f" and bool((a >= 0).all() and np.allclose(a.sum(axis=-1), 1))
