"""The inputs of a function at other lengths, each length changed alike wherever it occurs.

A factor H − 1 where W − 1 belongs cannot be told at one size. So every length L becomes another one:
L + 1 or L + 2 or, if the function does not take that (a window, four gates side by side), 2 L.
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
        name: fitted(a, (rows, *a.shape[1:]))
        if only in (None, name) and a.ndim and len(a) == n
        else a
        for name, a in inputs.items()
    }


def other_lengths(inputs: Inputs) -> Iterator[Lengths]:
    """Ways to change every length, the least likely to meet another first."""
    lengths = sorted({n for a in inputs.values() for n in a.shape if n > 1})
    if not lengths or lengths[-1] > 64:
        return
    grown: Lengths = {}
    last = 0
    for i, n in enumerate(lengths):  # all different, and their differences too become others
        last = grown[n] = max(n + 1 + i % 2, last + 1)
    yield grown
    yield {n: 2 * n for n in lengths}


def resized(inputs: Inputs, lengths: Lengths) -> Inputs:
    """The inputs with other lengths along all their axes."""
    made = {}
    for name, a in inputs.items():
        shape: list[int] = [lengths.get(n, n) for n in a.shape]  # type: ignore[misc]
        made[name] = fitted(a, tuple(shape))
    return made


def fitted(a: Array, shape: tuple[int, ...]) -> Array:
    """The array repeated or cut to a shape; distributions and one-hot rows go on with zeros."""
    if shape == a.shape:
        return a.copy()
    places: list[Array] = [np.arange(n) % m for n, m in zip(shape, a.shape)]
    tiled = a[np.ix_(*places)]
    if a.ndim > 1 and a.shape[-1] < shape[-1] and _sums_to_one(a):
        tiled[..., a.shape[-1] :] = 0
    return np.asarray(tiled)


def softened(a: Array, rng: np.random.Generator) -> Array | None:
    """Distributions in place of one-hot rows; None if the array is not one-hot."""
    if (
        a.ndim != 2
        or a.shape[1] < 2
        or not _sums_to_one(a)
        or a.max() != 1
        or a.any(axis=0).sum() < 2
    ):
        return None
    weights = rng.uniform(0.2, 1.0, a.shape)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _sums_to_one(a: Array) -> bool:
    return a.dtype.kind == "f" and bool((a >= 0).all() and np.allclose(a.sum(axis=-1), 1))
