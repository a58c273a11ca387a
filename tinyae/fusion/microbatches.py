"""Micro-batches: a batch cut into pieces, for convolutional networks.

The activations of 128 images take many megabytes. Those of a micro-batch fit in the CPU cache, so
that each layer finds its input there, forward and backward. If no layer mixes samples or draws
random numbers, the gradients of the micro-batches add up to the gradient of the batch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from tinyae.fusion.plan_cache import is_unmodified
from tinyae.fusion.sequential import flat_layers
from tinyae.layers import (
    Activation,
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    Layer,
    MaxPool2d,
    Reshape,
    Upsample2d,
)
from tinyae.param import Array
from tinyae.twin import definitions_only

CACHE_BYTES = 1 << 22  # the largest layer output that the caches of two cores can hold
MIN_SAMPLES = 32  # the smallest micro-batch: it fills a tile of a convolution

# Layers whose output for a sample depends only on that sample and the parameters.
_CONVOLUTIONS = {Conv2d, ConvTranspose2d}
_SAMPLE_BY_SAMPLE = {*_CONVOLUTIONS, Dense, MaxPool2d, AvgPool2d, Flatten, Reshape, Upsample2d}


class MicroBatch(NamedTuple):
    """Some samples of a batch, their targets, and their share of all samples."""

    x: Array
    target: Array
    weight: float


def microbatches(x: Array, target: Array, size: int) -> list[MicroBatch]:
    """The batch in pieces of ``size`` samples; the last has from 32 to ``size + 31``."""
    n = len(x)
    starts = [*range(0, n - MIN_SAMPLES + 1, size), n]
    return [MicroBatch(x[a:b], target[a:b], (b - a) / n) for a, b in pairwise(starts)]


def microbatch_size(parts: tuple[Layer, ...], x: Array, target: Array) -> int:
    """The size of a micro-batch, from the activations of x; 0 if the batch must stay whole."""
    layers = flat_layers(parts)
    kinds = {type(layer) for layer in layers if not isinstance(layer, Activation)}
    if not (kinds <= _SAMPLE_BY_SAMPLE and kinds & _CONVOLUTIONS):
        return 0
    if not all(map(is_unmodified, layers)):
        return 0
    outputs = [x]
    try:
        with definitions_only():
            for part in parts:
                outputs += [y for _, y in part.trace(outputs[-1], "")]
    except (TypeError, ValueError):
        return 0  # let the layer itself report the mismatch, for the whole batch
    if outputs[-1].shape != target.shape or outputs[-1].dtype != target.dtype:
        return 0
    largest = max(y.nbytes for y in outputs)
    return max(CACHE_BYTES // largest // MIN_SAMPLES, 1) * MIN_SAMPLES
