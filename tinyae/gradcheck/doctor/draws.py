"""Other inputs of the same kind: a second draw, another batch size, a generator for dy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.param import Array

OTHER_ROWS = (3, 5, 2, 7, 11)  # batch sizes to try; the first that equals no other length is used


def as_float64(a: Any) -> Any:
    """A float64 copy; integers and booleans (labels, masks) keep their dtype."""
    a = np.array(a)
    return a.astype(np.float64) if a.dtype.kind == "f" else a


def redraw(a: Array, rng: np.random.Generator, rows: int | None = None) -> Array:
    """Another array of the same kind, of ``rows`` rows if given: every entry is scaled by U(½, 1).

    Whole numbers (labels, masks) stay as they are. Signs are kept, and so is any interval that
    contains 0.
    """
    a = np.asarray(a)
    if rows is not None and a.ndim:
        a = a[np.arange(rows) % len(a)]
    if a.dtype.kind != "f" or np.array_equal(a, np.round(a)):
        return a.copy()
    return np.asarray(a * rng.uniform(0.5, 1.0, a.shape))


def independent_generator(rng: np.random.Generator) -> np.random.Generator:
    """Another stream of numbers: x may come from a generator of the same seed, and dy must not
    equal x.
    """
    return np.random.default_rng([int(rng.integers(2**32)), 5])


def other_rows(*shapes: tuple[int, ...]) -> int:
    """A batch size that equals no length in the shapes."""
    taken = {length for shape in shapes for length in shape}
    return next((n for n in OTHER_ROWS if n not in taken), 13)
