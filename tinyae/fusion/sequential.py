"""The twins of ``Sequential``: consecutive layers, fused into one kernel.

The list of caches is the same as without fusion. So the definition's backward can follow a twin's
forward, and the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyae.fusion.convolutions import (
    FusedConvolutions,
    is_fusible_convolution,
    is_fusible_norm,
)
from tinyae.fusion.mlp import FusedMLP, is_fusible_activation, is_fusible_dense
from tinyae.fusion.plan_cache import is_unmodified, plans_for
from tinyae.layers import Dense, Flatten, Layer, ReLU, Reshape, Sequential
from tinyae.param import Array

MIN_BATCH = 16  # the smallest batch for which fusion saves time

Part = Layer | FusedMLP | FusedConvolutions
Parts = tuple[tuple[Part, int | slice], ...]  # a part, and the place of its caches in the list


def forward(model: Sequential, x: Array) -> tuple[Array, list[Any]]:
    parts = _fused_parts(model, x)
    if parts is None:
        return NotImplemented
    caches: list[Any] = [None] * len(model.layers)
    for part, place in parts:
        x, caches[place] = part.forward(x)
    return x, caches


def backward(model: Sequential, dy: Array, caches: list[Any]) -> Array:
    parts = _fused_parts(model, dy)
    if parts is None:
        return NotImplemented
    for part, place in reversed(parts):
        dy = part.backward(dy, caches[place])
    return dy


def backward_params(model: Sequential, dy: Array, caches: list[Any]) -> None:
    parts = _fused_parts(model, dy)
    if parts is None:
        return NotImplemented
    first = next((i for i, (part, _) in enumerate(parts) if part.learns), None)
    if first is None:
        return None
    part, place = parts[first]
    if not isinstance(part, Layer) and not part.first_learns:
        return (
            NotImplemented  # the definition leaves out what is frozen before the first that learns
        )
    for later, at in parts[:first:-1]:
        dy = later.backward(dy, caches[at])
    part.backward_params(dy, caches[place])
    return None


def _fused_parts(model: Sequential, batch: Array) -> Parts | None:
    """The layers, some of them fused; None if none can be fused or the batch is too small."""
    if not isinstance(batch, np.ndarray) or batch.ndim == 0 or len(batch) < MIN_BATCH:
        return None
    plans = plans_for(model)
    if "parts" not in plans:
        parts = fuse_layers(model.layers)
        plans["parts"] = None if len(parts) == len(model.layers) else parts
    found: Parts | None = plans["parts"]
    return found


def fuse_layers(layers: Sequence[Layer]) -> Parts:
    """The layers, with one fused part in place of each run that can be fused.

    Layers whose widths do not match are not fused, so that the layer itself reports the mismatch.
    """
    parts: list[tuple[Part, int | slice]] = []
    k = 0
    while k < len(layers):
        dense, convolutions = _end_of_mlp(layers, k), _end_of_convolutions(layers, k)
        if dense > k:
            parts.append((FusedMLP(layers[k:dense]), slice(k, dense)))
        elif convolutions > k + 1:
            parts.append((FusedConvolutions(layers[k:convolutions]), slice(k, convolutions)))
        else:
            parts.append((layers[k], k))
        k = max(dense, convolutions, k + 1)
    return tuple(parts)


def _end_of_mlp(layers: Sequence[Layer], begin: int) -> int:
    """Where a run of dense layers that begins at ``begin`` ends; ``begin`` if there is none."""
    width = None
    for k in range(begin, len(layers)):
        layer = layers[k]
        if isinstance(layer, Dense):
            if not is_fusible_dense(layer) or width not in (None, layer.in_features):
                return k
            width = layer.out_features
        elif k == begin or not is_fusible_activation(layer) or not isinstance(layers[k - 1], Dense):
            return k
    return len(layers)


def _end_of_convolutions(layers: Sequence[Layer], begin: int) -> int:
    """The same for convolutions and the norms and ReLUs after them."""
    k = begin
    while k < len(layers) and is_fusible_convolution(layers[k]):
        k += 1
        if k < len(layers) and is_fusible_norm(layers[k], layers[k - 1]):
            k += 1
        if k < len(layers) and type(layers[k]) is ReLU and is_unmodified(layers[k]):
            k += 1
    return k


def fuse_all(
    layers: Sequence[Layer], input_shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> FusedMLP | None:
    """One FusedMLP for all the layers, if they map samples of one shape to the other.

    Flatten and Reshape keep the order of the numbers and are left out.
    """
    run: list[Layer] = []
    shape = input_shape
    for layer in layers:
        if type(layer) is Flatten and is_unmodified(layer):
            shape = (math.prod(shape),)
        elif type(layer) is Reshape and is_unmodified(layer):
            if math.prod(shape) != math.prod(layer.shape):
                return None
            shape = layer.shape
        elif isinstance(layer, Dense):
            if shape != (layer.in_features,):
                return None
            shape = (layer.out_features,)
            run.append(layer)
        else:
            run.append(layer)
    parts = fuse_layers(run)
    if shape != output_shape or len(parts) != 1:
        return None
    part = parts[0][0]
    return part if isinstance(part, FusedMLP) else None


def flat_layers(parts: tuple[Layer, ...]) -> list[Layer]:
    """The layers of some parts of a model, one after the other."""
    layers: list[Layer] = []
    for part in parts:
        if type(part) is Sequential and is_unmodified(part):
            layers += part.layers
        else:
            layers.append(part)
    return layers
