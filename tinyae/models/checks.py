"""Checks that models share: of their parts, and of whether the decoder can reach the data."""

from __future__ import annotations

import math
import warnings

from tinyae.arguments import number
from tinyae.layers import (
    ELU,
    GELU,
    SELU,
    Flatten,
    HardSigmoid,
    Hardswish,
    Layer,
    Mish,
    PixelShuffle,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    TanhGELU,
    Upsample1d,
    Upsample2d,
)
from tinyae.losses import BCE, Range, check_range
from tinyae.models.base import CHUNK, Model
from tinyae.param import Array

_SLACK = 1e-3
_LEAST: dict[type, float] = {  # of activations whose least number has no parameter
    SELU: -1.7581,
    GELU: -0.17,
    TanhGELU: -0.1701,
    SiLU: -0.2785,
    Mish: -0.3089,
    Hardswish: -0.375,
}


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


def check_reach(model: Model, x: Array, *limits: tuple[Range | None, str]) -> None:
    """Raise unless x, scaled as the model does, lies within every limit: a range and an advice.

    Reads x once, in chunks. A decoder that ends in an activation which is bounded on one side may
    still learn much, so of data beyond that it only warns.

    Raises
        OutOfRange  an entry lies outside

    Warns
        UserWarning  the decoder's last layer gives no number so low
    """
    who, low = f"{type(model).__name__}: x", math.inf
    if model.scaler is not None:
        who += ", scaled,"
    for start in range(0, len(x), CHUNK):
        chunk = model.as_input(x[start : start + CHUNK])
        low = min(low, float(chunk.min(initial=math.inf)))
        for bounds, do in limits:
            check_range(who, chunk, bounds, do)
    decoder = getattr(model, "decoder", None)
    if decoder is not None:
        _, last = output_range(decoder)
        least = least_output(last)
        if least is not None and low < least - _SLACK:
            warnings.warn(
                f"{who} goes down to {low:.4g}, but the decoder's last layer, {last}, gives nothing "
                f"below {least:g} and cannot reach it; end the decoder in a linear layer",
                UserWarning,
                stacklevel=4,
            )


def least_output(last: Layer) -> float | None:
    """The least number that an activation without an upper bound gives; None if there is none."""
    if isinstance(last, (ReLU, Softplus)):
        return 0.0
    if isinstance(last, ELU):
        return -last.alpha
    return _LEAST.get(type(last))


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
