"""The program of a part of a model, or of a layer, as exports name it."""

from __future__ import annotations

from typing import Any

from tinyae.layers import Layer
from tinyae.program.compile import check_part, program_of, program_of_layer
from tinyae.program.program import Program
from tinyae.program.shapes import checked_sample_shape, checked_shape

# What goes in and what comes out of each part.
_NAMES = {
    "autoencoder": ("x", "y"),
    "encoder": ("x", "z"),
    "decoder": ("z", "y"),
    "score": ("x", "score"),
}


def named_program(who: str, model: Any, part: str, shape: Any) -> tuple[Program, tuple[str, str]]:
    """The program, and the names of what goes in and what comes out.

    Raises
        TypeError   the model has no such part, or has a layer without an operation
        ValueError  there is no such part, or the shape of a sample is missing or wrong
    """
    if isinstance(model, Layer):
        if part != "autoencoder":
            raise ValueError(f"{who}: part is {part!r} of a layer, which has none; leave it out")
        if shape is None:
            raise ValueError(
                f"{who}: the shape of a sample is not given; pass e.g. input_shape=x.shape[1:]"
            )
        return program_of_layer(model, checked_shape(who, shape)), ("x", "y")
    check_part(who, model, part)
    return program_of(model, part, checked_sample_shape(who, model, part, shape)), _NAMES[part]
