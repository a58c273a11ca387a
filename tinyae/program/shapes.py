"""The shape of a sample, where the layers determine it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyae import layers
from tinyae.layers import Layer, activation
from tinyae.models import GAN, Model
from tinyae.program.compile import program_of
from tinyae.program.program import Shape

_KEEP_THE_SIZE = (layers.Flatten, layers.Dropout, layers.TopK, *activation.activations())


def sample_shape(model: Model, part: str) -> Shape | None:
    """The shape of one sample of a part's input; None if the layers leave it open.

    A sample of an autoencoder has the shape that its decoder makes of a code. A Dense layer says how
    many numbers it takes; a convolution takes images of any size.
    """
    whole: Any = model
    if isinstance(model, GAN):
        return (model.latent_dim,)
    code = _input_shape(whole.decoder)
    if part == "decoder":
        return code
    if code is None:
        return _input_shape(whole.encoder)
    return program_of(model, "decoder", code).output_shape


def checked_sample_shape(
    who: str, model: Model, part: str, input_shape: Any = None, name: str = "input_shape"
) -> Shape:
    """``input_shape`` as a tuple of ints; without it, the shape that the layers determine.

    name    what the caller calls it

    Raises
        ValueError  it is no shape, or it is not given and the layers leave it open
    """
    if input_shape is None:
        shape = sample_shape(model, part)
        if shape is None:
            raise ValueError(
                f"{who}: the layers of {type(model).__name__} take samples of several shapes; "
                f"pass that of yours, e.g. {name}=(1, 28, 28), or to `tinyae export` --shape 1 28 28"
            )
        return shape
    return checked_shape(who, input_shape, name)


def checked_shape(who: str, input_shape: Any, name: str = "input_shape") -> Shape:
    """A tuple of ints ≥ 1, the shape of one sample.

    Raises
        ValueError  it is no shape
    """
    if not isinstance(input_shape, tuple | list) or not all(
        isinstance(n, int | np.integer) and n >= 1 for n in input_shape
    ):
        raise ValueError(
            f"{who}: {name} is {input_shape!r}, expected integers ≥ 1, the shape of one "
            f"sample; pass e.g. {name}=(1, 28, 28)"
        )
    return tuple(int(n) for n in input_shape)


def _input_shape(layer: Layer) -> Shape | None:
    """The shape that a layer demands of a sample, or None."""
    if isinstance(layer, layers.Dense):
        return (layer.in_features,)
    if isinstance(layer, layers.TiedDense):
        return (layer.dense.out_features,)
    if isinstance(layer, layers.Reshape):
        return (math.prod(layer.shape),)
    if isinstance(layer, layers.Residual | layers.Skip):
        return _input_shape(layer.layer)
    if isinstance(layer, layers.Sequential):
        for part in layer.layers:
            shape = _input_shape(part)
            if shape is not None or not isinstance(part, _KEEP_THE_SIZE):
                return shape
    return None
