"""Each layer as operations of a program: one function for each kind of layer.

A function appends the operations of a layer on x to a Lowering and returns the slot of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyae import layers
from tinyae.layers import Layer
from tinyae.layers.activation import activations
from tinyae.layers.base import check_input
from tinyae.layers.convolution import images
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.program import LINEAR, Function, Slot

if TYPE_CHECKING:
    from tinyae.program.lower import Lowering


def _identity(lowering: Lowering, layer: Layer, x: Slot) -> Slot:
    return x


def _reshape(lowering: Lowering, layer: Any, x: Slot) -> Slot:
    return x._replace(shape=layer(lowering.probe(x)).shape[1:])


def _dense(lowering: Lowering, layer: layers.Dense, x: Slot) -> Slot:
    check_input(layer, lowering.probe(x), ("N", layer.in_features))
    W, b = lowering.weight(layer.W.value), lowering.weight(layer.b.value)
    return lowering.append(ops.Dense(x, lowering.block((layer.out_features,)), W, b))


def _tied_dense(lowering: Lowering, layer: layers.TiedDense, x: Slot) -> Slot:
    check_input(layer, lowering.probe(x), ("N", layer.dense.out_features))
    W, b = lowering.weight(layer.dense.W.T.value), lowering.weight(layer.b.value)
    return lowering.append(ops.Dense(x, lowering.block((layer.dense.in_features,)), W, b))


def _conv(lowering: Lowering, layer: layers.Conv2d, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    size = x.shape[1], x.shape[2]
    top, _, left, _ = layer.pad(size)
    W, b = lowering.weight(layer.W.value), lowering.weight(layer.b.value)
    y = lowering.block((layer.out_channels, *layer.output_size(size)))
    more = LINEAR, layer.dilation, layer.groups
    return lowering.append(ops.Conv(x, y, W, b, layer.stride, (top, left), *more))


def _conv_transpose(lowering: Lowering, layer: layers.ConvTranspose2d, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    size = layer.output_size((x.shape[1], x.shape[2]))
    top, _, left, _ = layer.pad(size)
    W, b = lowering.weight(layer.W.value), lowering.weight(layer.b.value)
    y = lowering.block((layer.out_channels, *size))
    more = LINEAR, layer.dilation, layer.groups
    return lowering.append(ops.ConvTranspose(x, y, W, b, layer.stride, (top, left), *more))


def _pool(kind: type[ops.MaxPool] | type[ops.AvgPool]) -> Callable[[Lowering, Any, Slot], Slot]:
    def lower(lowering: Lowering, layer: Any, x: Slot) -> Slot:
        layer.check(lowering.probe(x))
        size = x.shape[1], x.shape[2]
        top, _, left, _ = layer.pad(size)
        y = lowering.block((x.shape[0], *layer.output_size(size)))
        more = layer.kernel_size, layer.stride, (top, left), layer.dilation
        return lowering.append(kind(x, y, *more))

    return lower


def _global_pool(
    kind: type[ops.MaxPool] | type[ops.AvgPool],
) -> Callable[[Lowering, Any, Slot], Slot]:
    def lower(lowering: Lowering, layer: Any, x: Slot) -> Slot:
        layer.check(lowering.probe(x))
        channels, height, width = x.shape
        y = lowering.append(kind(x, lowering.block((channels, 1, 1)), (height, width), (1, 1)))
        return y._replace(shape=(channels,))

    return lower


def _pixel_shuffle(lowering: Lowering, layer: layers.PixelShuffle, x: Slot) -> Slot:
    y, r = lowering.block(layer(lowering.probe(x)).shape[1:]), layer.factor
    view, axes = (y.shape[0], r, r, x.shape[1], x.shape[2]), (0, 3, 1, 4, 2)  # c, i, u, j, v
    return lowering.append(ops.Permute(x, y, view, axes))


def _pad(lowering: Lowering, layer: layers.Pad2d, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    (c, height, width), (top, bottom, left, right) = x.shape, layer.padding
    y = lowering.block((c, top + height + bottom, left + width + right))
    return lowering.append(ops.Pad(x, y, (top, left), layer.mode == "reflect"))


def _upsample(lowering: Lowering, layer: layers.Upsample2d, x: Slot) -> Slot:
    check_input(layer, lowering.probe(x), ("N", "C", "H", "W"))
    (c, height, width), (a, b) = x.shape, layer.factor
    kind = ops.Upsample if layer.mode == "nearest" else ops.Interpolate
    return lowering.append(kind(x, lowering.block((c, a * height, b * width)), layer.factor))


def _conv1d(lowering: Lowering, layer: layers.Conv1d, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    length = layer.output_length(x.shape[1])
    W, b = lowering.weight(images(layer.W.value)), lowering.weight(layer.b.value)
    y = lowering.block((layer.out_channels, 1, length))
    corner = 0, layer.pad(x.shape[1])[2]
    op = ops.Conv(_one_pixel_high(x), y, W, b, (1, layer.stride), corner, LINEAR, *layer.more)
    return _without_height(lowering.append(op))


def _conv_transpose1d(lowering: Lowering, layer: layers.ConvTranspose1d, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    length = layer.output_length(x.shape[1])
    W, b = lowering.weight(images(layer.W.value)), lowering.weight(layer.b.value)
    y = lowering.block((layer.out_channels, 1, length))
    corner = 0, layer.pad(length)[2]
    stride, more = (1, layer.stride), (LINEAR, *layer.more)
    op = ops.ConvTranspose(_one_pixel_high(x), y, W, b, stride, corner, *more)
    return _without_height(lowering.append(op))


def _pool1d(
    kind: type[ops.MaxPool] | type[ops.AvgPool],
) -> Callable[[Lowering, Any, Slot], Slot]:
    def lower(lowering: Lowering, layer: Any, x: Slot) -> Slot:
        layer.check(lowering.probe(x))
        return _without_height(_pool(kind)(lowering, layer.pool, _one_pixel_high(x)))

    return lower


def _upsample1d(lowering: Lowering, layer: layers.Upsample1d, x: Slot) -> Slot:
    check_input(layer, lowering.probe(x), ("N", "C", "L"))
    y = lowering.block((x.shape[0], 1, layer.factor * x.shape[1]))
    kind = ops.Upsample if layer.mode == "nearest" else ops.Interpolate
    return _without_height(lowering.append(kind(_one_pixel_high(x), y, (1, layer.factor))))


def _one_pixel_high(x: Slot) -> Slot:
    """A sequence (C, L) as an image (C, 1, L)"""
    return x._replace(shape=(x.shape[0], 1, x.shape[1]))


def _without_height(y: Slot) -> Slot:
    return y._replace(shape=(y.shape[0], y.shape[2]))


def _batch_norm(lowering: Lowering, layer: layers.BatchNorm, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    scale = layer.gamma.value / np.sqrt(layer.running_var.astype(np.float64) + layer.eps)
    shift = layer.beta.value - layer.running_mean * scale  # float64 until all weights are gathered
    y = lowering.block(x.shape)
    return lowering.append(ops.Affine(x, y, lowering.weight(scale), lowering.weight(shift)))


def _layer_norm(lowering: Lowering, layer: layers.LayerNorm, x: Slot) -> Slot:
    between = ["…"] * (len(x.shape) - len(layer.normalized_shape))
    check_input(layer, lowering.probe(x), ("N", *between, *layer.normalized_shape))
    if lowering.learnt:  # x̂ is needed again
        return _norm_of_rows(lowering, x, True, layer.eps, layer.gamma.value, layer.beta.value)
    gamma, beta = lowering.weight(layer.gamma.value), lowering.weight(layer.beta.value)
    return lowering.append(ops.LayerNorm(x, lowering.block(x.shape), gamma, beta, layer.eps))


def _norm_of_rows(
    lowering: Lowering, x: Slot, centered: bool, eps: float, gamma: Array, beta: Array
) -> Slot:
    """x in rows of gamma's size, normalized and scaled; with gamma and beta as they are."""
    rows, length = x.size // gamma.size, gamma.size
    xhat = lowering.block((rows, length))
    lowering.append(ops.Normalize(x, xhat, (rows, length, 1), centered, eps))
    scale, shift = lowering.weight(gamma), lowering.weight(beta)
    if rows == 1:
        return lowering.append(ops.Affine(xhat, lowering.block(x.shape), scale, shift))
    columns, axes = lowering.block((length, rows)), (1, 0, 2, 3, 4)
    lowering.append(ops.Permute(xhat, columns, (rows, length, 1, 1, 1), axes))
    y = lowering.append(ops.Affine(columns, lowering.block((length, rows)), scale, shift))
    view = length, rows, 1, 1, 1
    return lowering.append(ops.Permute(y, lowering.block(x.shape), view, axes))


def _group_norm(lowering: Lowering, layer: layers.GroupNorm, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    view = layer.num_groups, x.size // layer.num_groups, 1
    y = lowering.append(ops.Normalize(x, lowering.block(x.shape), view, True, layer.eps))
    gamma, beta = lowering.weight(layer.gamma.value), lowering.weight(layer.beta.value)
    return lowering.append(ops.Affine(y, lowering.block(x.shape), gamma, beta))


def _rms_norm(lowering: Lowering, layer: layers.RMSNorm, x: Slot) -> Slot:
    layer(lowering.probe(x))  # raises if x does not fit
    length = layer.gamma.value.size
    if lowering.learnt:
        shift = np.zeros(length, lowering.dtype)
        return _norm_of_rows(lowering, x, False, layer.eps, layer.gamma.value, shift)
    rows = x.size // length
    xhat = lowering.block((x.size,))
    lowering.append(ops.Normalize(x, xhat, (rows, length, 1), False, layer.eps))
    gamma = lowering.weight(np.tile(layer.gamma.value.ravel(), rows))
    beta = lowering.weight(np.zeros(x.size, lowering.dtype))
    return lowering.append(ops.Affine(xhat, lowering.block(x.shape), gamma, beta))


def _pixel_norm(lowering: Lowering, layer: layers.PixelNorm, x: Slot) -> Slot:
    layer(lowering.probe(x))  # raises if x does not fit
    view = 1, x.shape[0], x.size // x.shape[0]
    return lowering.append(ops.Normalize(x, lowering.block(x.shape), view, False, layer.eps))


def _softmax(lowering: Lowering, layer: layers.Softmax, x: Slot) -> Slot:
    return lowering.append(ops.Softmax(x, lowering.block(x.shape)))


def _top_k(lowering: Lowering, layer: layers.TopK, x: Slot) -> Slot:
    layer(lowering.probe(x))  # raises if x does not fit
    return lowering.append(ops.TopK(x, lowering.block(x.shape), lowering.largest(layer)))


def _activation(lowering: Lowering, layer: Any, x: Slot) -> Slot:
    f = Function(type(layer).__name__, getattr(layer, "alpha", 0.0))
    return lowering.append(ops.Activation(x, lowering.block(x.shape), f))


def _prelu(lowering: Lowering, layer: layers.PReLU, x: Slot) -> Slot:
    layer(lowering.probe(x))  # raises if x does not fit
    slope = lowering.weight(layer.a.value)
    return lowering.append(ops.PReLU(x, lowering.block(x.shape), slope))


def _glu(lowering: Lowering, layer: layers.GLU, x: Slot) -> Slot:
    layer(lowering.probe(x))  # raises if x does not fit
    shape = x.shape[0] // 2, *x.shape[1:]
    a = x._replace(shape=shape)
    b = a._replace(offset=x.offset + a.size)
    s = lowering.append(ops.Activation(b, lowering.block(shape), Function("Sigmoid")))
    return lowering.append(ops.Multiply(a, lowering.block(shape), s))


def _sequential(lowering: Lowering, layer: layers.Sequential, x: Slot) -> Slot:
    for part in layer.layers:
        x = lowering.add(part, x)
    return x


def _residual(lowering: Lowering, layer: layers.Residual, x: Slot) -> Slot:
    fx = lowering.add(layer.layer, x)
    if fx.shape != x.shape:
        raise ValueError(
            f"Residual: the layer made {('N', *fx.shape)} of x {('N', *x.shape)}, expected the same "
            "shape; give it as many outputs as inputs, or use Skip, which concatenates"
        )
    return lowering.append(ops.Add(x, lowering.block(x.shape), fx))


def _skip(lowering: Lowering, layer: layers.Skip, x: Slot) -> Slot:
    return lowering.concatenate("Skip", [x, lowering.add(layer.layer, x)])


def _parallel(lowering: Lowering, layer: layers.Parallel, x: Slot) -> Slot:
    return lowering.concatenate("Parallel", [lowering.add(branch, x) for branch in layer.branches])


LOWER: dict[type[Layer], Callable[[Lowering, Any, Slot], Slot]] = {
    layers.Dense: _dense,
    layers.TiedDense: _tied_dense,
    layers.Conv2d: _conv,
    layers.ConvTranspose2d: _conv_transpose,
    layers.MaxPool2d: _pool(ops.MaxPool),
    layers.AvgPool2d: _pool(ops.AvgPool),
    layers.GlobalMaxPool2d: _global_pool(ops.MaxPool),
    layers.GlobalAvgPool2d: _global_pool(ops.AvgPool),
    layers.Conv1d: _conv1d,
    layers.ConvTranspose1d: _conv_transpose1d,
    layers.MaxPool1d: _pool1d(ops.MaxPool),
    layers.AvgPool1d: _pool1d(ops.AvgPool),
    layers.Upsample1d: _upsample1d,
    layers.Upsample2d: _upsample,
    layers.PixelShuffle: _pixel_shuffle,
    layers.Pad2d: _pad,
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: _layer_norm,
    layers.GroupNorm: _group_norm,
    layers.InstanceNorm: _group_norm,
    layers.RMSNorm: _rms_norm,
    layers.PixelNorm: _pixel_norm,
    **dict.fromkeys(activations(), _activation),
    layers.PReLU: _prelu,
    layers.GLU: _glu,
    layers.Softmax: _softmax,
    layers.TopK: _top_k,
    layers.Dropout: _identity,
    layers.Flatten: _reshape,
    layers.Reshape: _reshape,
    layers.Sequential: _sequential,
    layers.Residual: _residual,
    layers.Skip: _skip,
    layers.Parallel: _parallel,
}
