"""A batch cut into micro-batches, for networks of convolutions.

What such a network computes of 128 images is many megabytes. With so few images at a time that it
stays in the cache, each layer finds there what the last one made, forward and back. Where no
layer mixes samples or draws numbers, the micro-batches' gradients add up to the batch's.
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

CACHE_BYTES = 1 << 22  # of the largest layer's output that the caches of two cores hold
MIN_SAMPLES = 32  # of a micro-batch: as many as fill a tile of a convolution

# Layers whose outputs for a sample depend on nothing but that sample and the parameters.
_CONVOLUTIONS = {Conv2d, ConvTranspose2d}
_SAMPLE_BY_SAMPLE = {*_CONVOLUTIONS, Dense, MaxPool2d, AvgPool2d, Flatten, Reshape, Upsample2d}


class MicroBatch(NamedTuple):
    """Some samples of a batch, their targets, and their share of all samples."""

    x: Array
    target: Array
    weight: float


def microbatches(x: Array, target: Array, size: int) -> list[MicroBatch]:
    """The batch in pieces of ``size`` samples, the last one somewhat larger."""
    n = len(x)
    starts = [*range(0, n - MIN_SAMPLES + 1, size), n]
    return [MicroBatch(x[a:b], target[a:b], (b - a) / n) for a, b in pairwise(starts)]


def microbatch_size(parts: tuple[Layer, ...], x: Array, target: Array) -> int:
    """How many samples at a time, judged by one sample; 0 where the batch must stay whole."""
    layers = flat_layers(parts)
    kinds = {type(layer) for layer in layers if not isinstance(layer, Activation)}
    if not (kinds <= _SAMPLE_BY_SAMPLE and kinds & _CONVOLUTIONS):
        return 0
    if not all(map(is_unmodified, layers)):
        return 0
    ys = [x]
    try:
        with definitions_only():
            for part in parts:
                ys += [y for _, y in part.trace(ys[-1], "")]
    except (TypeError, ValueError):
        return 0  # what does not fit is for the layer to say, of the whole batch
    if ys[-1].shape != target.shape or ys[-1].dtype != target.dtype:
        return 0
    return max(CACHE_BYTES // max(y.nbytes for y in ys) // MIN_SAMPLES, 1) * MIN_SAMPLES
