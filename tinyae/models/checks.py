"""Checks that models share: of their parts, and of whether the decoder can reach the data."""

from __future__ import annotations

import math

from tinyae.arguments import number
from tinyae.layers import (
    Flatten,
    HardSigmoid,
    Layer,
    PixelShuffle,
    Reshape,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    Upsample1d,
    Upsample2d,
)
from tinyae.losses import BCE, Range, check_range
from tinyae.models.base import CHUNK
from tinyae.param import Array


def output_range(decoder: Layer) -> tuple[Range | None, Layer]:
    """The range of a decoder's output, from its last layer that does more than reshape."""
    last: Layer = decoder
    while isinstance(last, Sequential) and last.layers:
        reshapes = (Flatten, Reshape, Upsample1d, Upsample2d, PixelShuffle)
        candidates = (p for p in reversed(last.layers) if not isinstance(p, reshapes))
        last = next(candidates, last.layers[0])
    if isinstance(last, (Sigmoid, HardSigmoid, Softmax)):
        return BCE.output_range, last
    return ((-1.0, 1.0) if isinstance(last, Tanh) else None), last


def check_reach(what: str, x: Array, *limits: tuple[Range | None, str]) -> None:
    """Raise unless x lies within every limit. A limit is a range and the advice for its error.

    Reads x once, in chunks.

    Raises
        ValueError  an entry lies outside
    """
    for start in range(0, len(x), CHUNK):
        for bounds, do in limits:
            check_range(what, x[start : start + CHUNK], bounds, do)


def check_parts(who: str, kind: type, **parts: object) -> None:
    """Raise unless each part is a ``kind``.

    Raises
        TypeError  otherwise, most often because a class was passed instead of an object
    """
    for name, part in parts.items():
        if not isinstance(part, kind):
            got = f"the class {part.__name__}" if isinstance(part, type) else repr(part)
            do = f"pass {part.__name__}(…)" if isinstance(part, type) else f"pass a {kind.__name__}"
            raise TypeError(f"{who}: {name} is {got}, expected a {kind.__name__}; {do}")


def check_weight(who: str, name: str, value: float, example: str) -> float:
    """The weight of a term, which must be a finite number ≥ 0.

    Raises
        ValueError  otherwise
    """
    weight = number(who, name, value, float(example))
    if not 0 <= weight < math.inf:
        raise ValueError(f"{who}: {name} is {value}, expected ≥ 0 and finite; pass e.g. {example}")
    return weight
