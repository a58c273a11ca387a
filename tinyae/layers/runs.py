"""Runs of layers, and what stands for them: the same numbers, by fewer passes over memory.

A class derived from a layer may compute something else, an object that was changed too; these are
left alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinyae.layers import convolutions, perceptron
from tinyae.layers.activation import ReLU
from tinyae.layers.base import Layer
from tinyae.layers.convolutions import Convolutions
from tinyae.layers.dense import Dense
from tinyae.layers.perceptron import Perceptron
from tinyae.layers.shape import Flatten, Reshape

LEAST = 16  # samples in a batch from which on it is worth it

Part = Layer | Perceptron | Convolutions
Parts = tuple[tuple[Part, int | slice], ...]


def one_by_one(layers: Sequence[Layer]) -> Parts:
    """Each layer, and where its cache lies."""
    return tuple((layer, k) for k, layer in enumerate(layers))


def in_runs(layers: Sequence[Layer]) -> Parts:
    """The same with a Perceptron or Convolutions in place of a run of layers that they stand for.

    What does not fit is left alone too, for the layer itself to say so.
    """
    parts: list[tuple[Part, int | slice]] = []
    k = 0
    while k < len(layers):
        dense, images = _dense(layers, k), _convolutions(layers, k)
        if dense > k:
            parts.append((Perceptron(layers[k:dense]), slice(k, dense)))
        elif images > k + 1:
            parts.append((Convolutions(layers[k:images]), slice(k, images)))
        else:
            parts.append((layers[k], k))
        k = max(dense, images, k + 1)
    return tuple(parts)


def _dense(layers: Sequence[Layer], begin: int) -> int:
    """Where a run of dense layers that begins there ends; there, if none does."""
    width = None
    for k in range(begin, len(layers)):
        layer = layers[k]
        if type(layer) is Dense:
            if not perceptron.plain(layer) or width not in (None, layer.in_features):
                return k
            width = layer.out_features
        elif k == begin or not perceptron.known(layer) or not isinstance(layers[k - 1], Dense):
            return k
    return len(layers)


def _convolutions(layers: Sequence[Layer], begin: int) -> int:
    """The same of convolutions."""
    for k in range(begin, len(layers)):
        layer = layers[k]
        rectified = k > begin and type(layer) is ReLU and not vars(layer)
        if not convolutions.plain(layer) and not (rectified and convolutions.plain(layers[k - 1])):
            return k
    return len(layers)


def in_one(
    layers: Sequence[Layer], inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> Perceptron | None:
    """A Perceptron for all of them, if they lead from samples of one shape to samples of the other.

    Flatten and Reshape move no number, and are left out.
    """
    run: list[Layer] = []
    shape = inputs
    for layer in layers:
        if type(layer) is Flatten and not vars(layer):
            shape = (math.prod(shape),)
        elif type(layer) is Reshape and vars(layer).keys() == {"shape"}:
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
    parts = in_runs(run)
    if shape != outputs or len(parts) != 1:
        return None
    part = parts[0][0]
    return part if isinstance(part, Perceptron) else None
