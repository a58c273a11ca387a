"""Arguments that are no arrays: each is what its name says, or an error says what to pass.

The caller checks the range; these check the kind, so that ``beta="x"`` is not an error of ``<``.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

_MAX_COUNT = 2**31 - 1  # of units, channels, pixels, steps: no machine holds as many


def number(who: str, name: str, value: Any, example: float) -> float:
    """A real number, as a float. NaN is let through: it is in no range that the caller checks.

    Raises
        TypeError  anything else
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(
            f"{who}: {name} is {value!r:.60}, expected a number; pass e.g. {name}={example:g}"
        )
    return float(value)


def interval(
    who: str, name: str, bounds: Any, example: tuple[float, float] = (-12.0, 12.0)
) -> tuple[float, float]:
    """A pair of numbers, low < high.

    Raises
        ValueError  anything else
    """
    pair = isinstance(bounds, (tuple, list)) and len(bounds) == 2
    if (
        not pair
        or not all(isinstance(b, numbers.Real) for b in bounds)
        or not bounds[0] < bounds[1]
    ):
        raise ValueError(
            f"{who}: {name} is {bounds!r:.60}, expected (low, high) with low < high; "
            f"pass e.g. {example}"
        )
    return float(bounds[0]), float(bounds[1])


def flag(who: str, name: str, value: Any) -> bool:
    """True or False.

    Raises
        TypeError  anything else: a string would always count as true
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{who}: {name} is {value!r:.60}, expected True or False; pass {name}=True")
    return bool(value)


def generator(who: str, rng: Any) -> np.random.Generator:
    """A generator; from a seed, an int ≥ 0, a new one.

    Raises
        TypeError   neither a seed nor a generator
        ValueError  a seed below 0
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if not isinstance(rng, (int, np.integer)) or isinstance(rng, bool):
        raise TypeError(
            f"{who}: rng is {rng!r:.60}, expected a seed or a numpy.random.Generator; "
            "pass rng=0 or rng=np.random.default_rng(0)"
        )
    if rng < 0:
        raise ValueError(f"{who}: rng is {rng}, expected a seed ≥ 0; pass e.g. rng=0")
    return np.random.default_rng(rng)


def check_generator(who: str, rng: Any) -> np.random.Generator:
    """``rng``, if it is a generator.

    Raises
        TypeError  anything else
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{who}: rng is {rng!r:.60}, expected a numpy.random.Generator; "
            "pass rng=np.random.default_rng(0)"
        )
    return rng


def check_callable(who: str, name: str, value: Any, example: str) -> None:
    """Raise unless ``value`` can be called and is not a class, which would make an object.

    Raises
        TypeError  anything else
    """
    if isinstance(value, type) or not callable(value):
        raise TypeError(
            f"{who}: {name} is {value!r:.60}, expected an object to call; pass e.g. {example}"
        )


def float_dtype(who: str, dtype: DTypeLike) -> np.dtype[Any]:
    """float32 or float64 in the machine's order of bytes, however it is given.

    Raises
        TypeError  anything else
    """
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = np.dtype(object)
    if wanted.char not in "fd":
        raise TypeError(
            f"{who}: dtype is {dtype!r:.60}, expected float32 or float64; pass dtype=np.float32"
        )
    return wanted.newbyteorder("=")


def positive_pair(
    who: str, name: str, value: int | tuple[int, int], example: int = 2
) -> tuple[int, int]:
    """An int or a pair of ints ≥ 1, as a pair (vertical, horizontal).

    Raises
        ValueError  anything else
    """
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    _check_not_huge(who, name, *pair)
    if len(pair) != 2 or not all(_is_count(v) for v in pair):
        raise ValueError(
            f"{who}: {name} is {value!r:.60}, expected an int ≥ 1 or a pair of them (height, width); "
            f"pass e.g. {name}={example}"
        )
    return int(pair[0]), int(pair[1])


def padding_pair(
    who: str, value: int | tuple[int, int] | str, name: str = "padding"
) -> tuple[int, int]:
    """An int or a pair of ints ≥ 0, as a pair (top and bottom, left and right).

    Raises
        ValueError  anything else
    """
    pair: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    _check_not_huge(who, name, *pair)
    if len(pair) != 2 or not all(_is_integer(v) and v >= 0 for v in pair):
        same = ' or "same"' if name == "padding" else ""
        raise ValueError(
            f"{who}: {name} is {value!r}, expected an int ≥ 0, a pair of them (down, across)"
            f"{same}; pass e.g. {name}=1"
        )
    return int(pair[0]), int(pair[1])


def integer(who: str, name: str, value: Any, minimum: int, example: int) -> int:
    """An int ≥ ``minimum``.

    Raises
        ValueError  anything else
    """
    _check_not_huge(who, name, value)
    if not _is_integer(value) or value < minimum:
        raise ValueError(
            f"{who}: {name} is {value!r}, expected an int ≥ {minimum}; pass e.g. {name}={example}"
        )
    return int(value)


def positive_int(who: str, name: str, value: int, example: int = 64) -> int:
    """An int ≥ 1: :func:`integer`."""
    return integer(who, name, value, 1, example)


def sizes_of(who: str, name: str, sizes: Sequence[int]) -> list[int]:
    if isinstance(sizes, (str, bytes)) or not isinstance(sizes, Sequence) or not len(sizes):
        raise ValueError(
            f"{who}: {name} is {sizes!r}, expected a sequence of ints ≥ 1; pass e.g. [256, 16]"
        )
    return [positive_int(who, name, size) for size in sizes]


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_integer(value) and bool(value >= 1)


def _check_not_huge(who: str, name: str, *values: Any) -> None:
    for value in values:
        if _is_integer(value) and value > _MAX_COUNT:
            raise ValueError(
                f"{who}: {name} is {value:,}, expected at most {_MAX_COUNT:,}; choose a smaller one"
            )
