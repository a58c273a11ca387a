"""Ways to a model's gradients on a batch that touch less memory: all at once, or part after part.

A class derived from a layer may compute something else, an object that was changed too; with such
layers neither is done.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tinyae.layers.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from tinyae.layers.base import Layer, Module, found_parts
from tinyae.layers.compose import Sequential
from tinyae.layers.conv import Conv2d, ConvTranspose2d
from tinyae.layers.dense import Dense
from tinyae.layers.perceptron import Perceptron
from tinyae.layers.pool import AvgPool2d, MaxPool2d
from tinyae.layers.runs import LEAST, in_one
from tinyae.layers.shape import Flatten, Reshape, Upsample2d
from tinyae.param import Array

_CACHED = 1 << 22  # bytes of the largest layer's output that the caches of two cores bear
_FEWEST = 32  # samples in a part: as many as fill a tile of a convolution

# Those whose outputs for a sample depend on nothing but that sample and the parameters.
_CONVOLUTIONS = {Conv2d, ConvTranspose2d}
_FUNCTIONS = {ReLU, LeakyReLU, ELU, GELU, Sigmoid, Softplus, Tanh}
_SAMPLE_BY_SAMPLE = (
    _CONVOLUTIONS | _FUNCTIONS | {Dense, MaxPool2d, AvgPool2d, Flatten, Reshape, Upsample2d}
)


def at_once(owner: Module, parts: tuple[Layer, ...], x: Array, target: Array) -> Perceptron | None:
    """What runs the last parts of a model, one after the other, as one kernel from x to the target.

    None where that cannot be, or is not worth it. It is kept for the owner until a module changes.
    """
    if not (isinstance(x, np.ndarray) and isinstance(target, np.ndarray)):
        return None
    if min(x.ndim, target.ndim) < 2 or not len(x) == len(target) >= LEAST:
        return None
    ways: dict[Any, Perceptron | None] = _found(owner)
    way = len(parts), x.shape[1:], target.shape[1:]
    if way not in ways:
        ways[way] = in_one(_layers(parts), *way[1:])
    found = ways[way]
    return found if found is not None and x.dtype == target.dtype == found.dtype else None


class Part(NamedTuple):
    """Some samples of a batch, their targets, and which share of all samples they are."""

    x: Array
    target: Array
    share: float


def by_parts(owner: Module, parts: tuple[Layer, ...], x: Array, target: Array) -> list[Part]:
    """A batch cut into smaller ones, if convolutions gain by it; else the batch.

    What a network of convolutions computes of 128 images is many megabytes. By so many images at a
    time that it stays in the cache, every number is found there by the next layer, and on the way
    back; and never is all of it in memory. Where no layer mixes samples or draws numbers, the
    parts' gradients add up to the whole's.
    """
    whole = [Part(x, target, 1.0)]
    if not (isinstance(x, np.ndarray) and isinstance(target, np.ndarray)):
        return whole
    if min(x.ndim, target.ndim) < 2 or not len(x) == len(target) > _FEWEST:
        return whole
    sizes: dict[Any, int] = _found(owner)
    way = x.dtype, target.dtype, x.shape[1:], target.shape[1:]
    if way not in sizes:
        sizes[way] = _part_size(parts, x[:1], target[:1])
    n = len(x)
    starts = [*range(0, n - _FEWEST + 1, sizes[way] or n), n]
    return [Part(x[a:b], target[a:b], (b - a) / n) for a, b in pairwise(starts)]


def _part_size(parts: tuple[Layer, ...], x: Array, target: Array) -> int:
    """How many samples at a time, judged by one; 0 for all."""
    layers = _layers(parts)
    kinds = {type(layer) for layer in layers}
    changed = any(not vars(layer).keys().isdisjoint(dir(type(layer))) for layer in layers)
    if changed or not (kinds <= _SAMPLE_BY_SAMPLE and kinds & _CONVOLUTIONS):
        return 0
    ys = [x]
    try:
        for part in parts:
            ys += [y for _, y in part.trace(ys[-1], "")]
    except (TypeError, ValueError):
        return 0  # what does not fit is for the layer to say, of the whole batch
    if ys[-1].shape != target.shape or ys[-1].dtype != target.dtype:
        return 0
    return max(_CACHED // max(y.nbytes for y in ys) // _FEWEST, 1) * _FEWEST


def _found(owner: Module) -> dict[Any, Any]:
    """What was found for it since a module was last changed. (``setdefault`` takes a µs more.)"""
    found = found_parts.get(owner)
    if found is None:
        found = found_parts[owner] = {}
    return found


def _layers(parts: tuple[Layer, ...]) -> list[Layer]:
    """Those of each Sequential that is as it was made, else the part itself."""
    layers: list[Layer] = []
    for part in parts:
        if type(part) is Sequential and vars(part).keys() == {"layers"}:
            layers += part.layers
        else:
            layers.append(part)
    return layers
