"""Other inputs of the same kind: a second draw, other sizes, a generator for dy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.param import Array

OTHER_ROWS = (3, 5, 2, 7, 11)  # batch sizes to try; the first that equals no other length is used


def as_float64(a: Any) -> Any:
    """A float64 copy; integers and booleans (labels, masks) keep their dtype."""
    a = np.array(a)
    return a.astype(np.float64) if a.dtype.kind == "f" else a


def redraw(
    a: Array, rng: np.random.Generator, rows: int | None = None, free: bool = False
) -> Array:
    """Another array of the same kind, of ``rows`` rows if given: every entry is scaled by U(½, 1).

    Signs are kept, and so is any interval that contains 0. Whole numbers (labels, masks) stay as
    they are, unless the array is ``free``: it is differentiated by, so any number may stand there.
    """
    a = np.asarray(a)
    if rows is not None and a.ndim:
        a = a[np.arange(rows) % len(a)]
    if a.dtype.kind != "f" or (not free and is_whole(a)):
        return a.copy()
    if free and not a.any():
        return normal(a.shape, rng)
    return np.asarray(a * rng.uniform(0.5, 1.0, a.shape))


def wild(
    a: Array, rng: np.random.Generator, rows: int | None = None, beyond: list[float] | None = None
) -> Array | None:
    """An array that goes farther than the given one, with both signs, so that other branches are
    taken; None for numbers in [0, 1], which may be probabilities, and for whole numbers. Some
    entries lie on both sides of each number ``beyond``, as a bound is.
    """
    a = np.asarray(a)
    if a.dtype.kind != "f" or is_whole(a) or (a.min() >= 0 and a.max() <= 1):
        return None
    a = redraw(a, rng, rows)
    if np.abs(a).max() < 1e-3:  # so small that a step of a central difference is large beside it
        a = a / np.abs(a).max()
    a = np.asarray(a * rng.choice([-1.0, 1.0], a.shape) * np.exp(rng.uniform(-1, 1.5, a.shape)))
    for bound in beyond or []:
        for side in (0.8, 1.2):
            a.flat[rng.integers(a.size)] = bound * side
    return a


def normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Random numbers of both signs, none of them close to 0."""
    return np.asarray(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 1.0, shape))


def jitter(params: dict[str, Any]) -> None:
    """Move every parameter a little, in place: at W = I a linear autoencoder's loss is 0."""
    rng = np.random.default_rng(len(params))
    for p in params.values():
        p.value += 0.3 * normal(p.value.shape, rng)


def is_whole(a: Array) -> bool:
    """Whether every number is whole, as labels, masks and one-hot targets are."""
    return a.dtype.kind != "f" or bool(np.array_equal(a, np.round(a)))


def independent_generator(rng: np.random.Generator) -> np.random.Generator:
    """Another stream of numbers: x may come from a generator of the same seed, and dy must not
    equal x.
    """
    return np.random.default_rng([int(rng.integers(2**32)), 5])


def other_rows(*shapes: tuple[int, ...]) -> int:
    """A batch size that equals no length in the shapes."""
    taken = {length for shape in shapes for length in shape}
    return next((n for n in OTHER_ROWS if n not in taken), 13)
