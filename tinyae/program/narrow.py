"""The same architecture with fewer units and channels: what would fit a smaller machine.

    narrow(layers, (784,), 0.5)   # Dense(784, 64), ReLU, Dense(64, 784) → Dense(784, 32), …

Input and output keep their shapes. The weights are zeros: only sizes and speed are the same.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from tinyae import layers
from tinyae.initializers import Zeros
from tinyae.layers import Layer, ParameterFree
from tinyae.layers.activation import activations
from tinyae.program.compile import program_of_layer
from tinyae.program.program import Shape

_CONVOLUTIONS = (layers.Conv1d, layers.Conv2d, layers.ConvTranspose1d, layers.ConvTranspose2d)
_LINEAR: tuple[type[Layer], ...] = (layers.Dense, *_CONVOLUTIONS)
_AS_THEY_ARE: tuple[type[Layer], ...] = (ParameterFree, layers.Softmax, *activations())


def can_narrow(chain: list[Layer]) -> str | None:
    """The name of the first layer whose width is not known to change; None if there is none."""
    for layer in chain:
        known = (*_LINEAR, layers.BatchNorm, layers.PReLU, layers.TopK)
        if not isinstance(layer, (*known, *_AS_THEY_ARE)) or getattr(layer, "groups", 1) != 1:
            return type(layer).__name__
    return None if any(isinstance(layer, _LINEAR) for layer in chain) else "no linear map"


def narrow(chain: list[Layer], shape: Shape, factor: float) -> layers.Sequential:
    """The layers with ``factor`` times the units and channels, at least one; the last keeps its own."""
    last = max(k for k, layer in enumerate(chain) if isinstance(layer, _LINEAR))
    built: list[Layer] = []
    for k, layer in enumerate(chain):
        made = _narrowed(layer, chain[k + 1 :], shape, factor if k < last else 1.0)
        built.append(made)
        shape = program_of_layer(made, shape).output_shape
    return layers.Sequential(*built)


def _narrowed(layer: Any, after: list[Layer], shape: Shape, factor: float) -> Layer:
    def scaled(n: int) -> int:
        return max(1, round(factor * n))

    if isinstance(layer, layers.Dense):
        out = scaled(layer.out_features)
        shaped = next((a for a in after if not isinstance(a, _AS_THEY_ARE[1:])), None)
        if isinstance(shaped, layers.Reshape):  # rows that become images: fewer channels of them
            out = scaled(shaped.shape[0]) * math.prod(shaped.shape[1:])
        return layers.Dense(shape[0], out, init=Zeros())
    if isinstance(layer, _CONVOLUTIONS):
        arguments = layer.kernel_size, layer.stride, layer.padding
        more: dict[str, Any] = {}
        if hasattr(layer, "output_padding"):
            more["output_padding"] = layer.output_padding
        out = scaled(layer.out_channels)
        return type(layer)(shape[0], out, *arguments, init=Zeros(), **more)  # type: ignore[arg-type]
    if isinstance(layer, layers.BatchNorm):
        return layers.BatchNorm(shape[0], layer.eps)
    if isinstance(layer, layers.PReLU):
        return layers.PReLU(shape[0])
    if isinstance(layer, layers.TopK):
        return layers.TopK(max(1, min(scaled(layer.k), math.prod(shape))))
    if isinstance(layer, layers.Reshape):
        rest = math.prod(layer.shape[1:])
        return layers.Reshape(math.prod(shape) // rest, *layer.shape[1:])
    return copy.deepcopy(layer)


def widths(chain: list[Layer]) -> str:
    """The units and channels of a chain: "784-32-784"."""
    numbers: list[int] = []
    for layer in chain:
        if isinstance(layer, layers.Dense):
            numbers += [layer.in_features] * (not numbers) + [layer.out_features]
        elif isinstance(layer, _CONVOLUTIONS):
            numbers += [layer.in_channels] * (not numbers) + [layer.out_channels]
    return "-".join(map(str, numbers))
