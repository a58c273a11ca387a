"""Lowering: translate the layers of a model into a list of operations.

First, each layer becomes one operation that writes its own block. Then three passes shorten the
list (:mod:`tinyae.program.passes`). Finally each block gets an offset in the arena
(:mod:`tinyae.program.plan`), and each array of weights an offset in one buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from tinyae import layers
from tinyae.layers import Layer
from tinyae.layers.activation import activations
from tinyae.layers.base import check_input
from tinyae.layers.convolution import images
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.passes import fold_scales, fuse_activations, move, share_blocks
from tinyae.program.plan import Block, assign_offsets
from tinyae.program.program import Function, Op, Program, Shape, Slot

AnyOp = TypeVar("AnyOp", bound=Op)


class Lowering:
    """The list of operations under construction.

    Until it is finished, a slot's space is the name of its block, and the offset of a weight is its
    index in ``arrays``.
    """

    def __init__(self, input_shape: Shape, dtype: np.dtype[Any]) -> None:
        self.x = Slot("input", 0, input_shape)
        self.dtype = dtype
        self.ops: list[Op] = []
        self.arrays: list[Array] = []
        self.blocks = 0

    def add(self, layer: Layer, x: Slot) -> Slot:
        """Append the operations of a layer on x; returns the slot of the result.

        Raises
            TypeError   there is no operation for this type of layer
            ValueError  the layer does not accept x's shape
        """
        lower = _LOWER.get(type(layer))
        if lower is None:
            raise TypeError(
                f"compile: the model has a {type(layer).__name__}, which the compiled program has "
                f"no operation for; build it from {', '.join(kind.__name__ for kind in _LOWER)}"
            )
        return lower(self, layer, x)

    def program(self, y: Slot) -> Program:
        """The finished program whose result is y."""
        result = Slot("output", 0, y.shape)
        self.ops.append(ops.Copy(y, result))
        op_list = share_blocks(fuse_activations(fold_scales(self.ops, self.arrays)))
        op_list, arena = _plan_arena(op_list)
        op_list, weights = _gather(op_list, self.arrays, self.dtype)
        return Program(self.x.shape, y.shape, tuple(op_list), weights, arena)

    # --- used by the functions below -------------------------------------------------------

    def block(self, shape: Shape) -> Slot:
        """A new block for a result."""
        self.blocks += 1
        return Slot(f"block {self.blocks}", 0, shape)

    def weight(self, a: Array) -> Slot:
        self.arrays.append(a)
        return Slot("weights", len(self.arrays) - 1, a.shape)

    def append(self, op: AnyOp) -> Slot:
        self.ops.append(op)
        return op.y

    def probe(self, x: Slot) -> Array:
        """A batch of one zero sample of x's shape, for a layer's own checks."""
        return np.broadcast_to(np.zeros((), self.dtype), (1, *x.shape))

    def concatenate(self, who: str, parts: list[Slot]) -> Slot:
        """Concatenate the parts along the channels."""
        if len({part.shape[1:] for part in parts}) > 1 or not parts[0].shape:
            raise ValueError(
                f"{who}: the parts have shapes {', '.join(str(('N', *p.shape)) for p in parts)}, "
                "expected (N, C, …) alike in all but axis 1; give the layers strides and paddings "
                "that keep the images' size"
            )
        y = self.block((sum(part.shape[0] for part in parts), *parts[0].shape[1:]))
        offset = 0
        for part in parts:
            self.append(ops.Copy(part, y._replace(offset=offset, shape=part.shape)))
            offset += part.size
        return y


# --- layers -------------------------------------------------------------------------------------


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
    top, bottom, left, right = layer.pad(size)
    padded = size[0] + top + bottom, size[1] + left + right
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(padded, layer.kernel_size, layer.stride))
    W, b = lowering.weight(layer.W.value), lowering.weight(layer.b.value)
    y = lowering.block((layer.out_channels, rows, columns))
    return lowering.append(ops.Conv(x, y, W, b, layer.stride, (top, left)))


def _conv_transpose(lowering: Lowering, layer: layers.ConvTranspose2d, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    size = layer.output_size((x.shape[1], x.shape[2]))
    top, _, left, _ = layer.pad(size)
    W, b = lowering.weight(layer.W.value), lowering.weight(layer.b.value)
    y = lowering.block((layer.out_channels, *size))
    return lowering.append(ops.ConvTranspose(x, y, W, b, layer.stride, (top, left)))


def _pool(kind: type[ops.MaxPool] | type[ops.AvgPool]) -> Callable[[Lowering, Any, Slot], Slot]:
    def lower(lowering: Lowering, layer: Any, x: Slot) -> Slot:
        layer.check(lowering.probe(x))
        size = x.shape[1], x.shape[2]
        top, _, left, _ = layer.pad(size)
        y = lowering.block((x.shape[0], *layer.output_size(size)))
        return lowering.append(kind(x, y, layer.kernel_size, layer.stride, (top, left)))

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
    return lowering.append(
        ops.Upsample(x, lowering.block((c, a * height, b * width)), layer.factor)
    )


def _conv1d(lowering: Lowering, layer: layers.Conv1d, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    length = layer.output_length(x.shape[1])
    W, b = lowering.weight(images(layer.W.value)), lowering.weight(layer.b.value)
    y = lowering.block((layer.out_channels, 1, length))
    corner = 0, layer.pad(x.shape[1])[2]
    op = ops.Conv(_one_pixel_high(x), y, W, b, (1, layer.stride), corner)
    return _without_height(lowering.append(op))


def _conv_transpose1d(lowering: Lowering, layer: layers.ConvTranspose1d, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    length = layer.output_length(x.shape[1])
    W, b = lowering.weight(images(layer.W.value)), lowering.weight(layer.b.value)
    y = lowering.block((layer.out_channels, 1, length))
    corner = 0, layer.pad(length)[2]
    op = ops.ConvTranspose(_one_pixel_high(x), y, W, b, (1, layer.stride), corner)
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
    op = ops.Upsample(_one_pixel_high(x), y, (1, layer.factor))
    return _without_height(lowering.append(op))


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
    gamma, beta = lowering.weight(layer.gamma.value), lowering.weight(layer.beta.value)
    return lowering.append(ops.LayerNorm(x, lowering.block(x.shape), gamma, beta, layer.eps))


def _group_norm(lowering: Lowering, layer: layers.GroupNorm, x: Slot) -> Slot:
    layer.check(lowering.probe(x))
    view = layer.num_groups, x.size // layer.num_groups, 1
    y = lowering.append(ops.Normalize(x, lowering.block(x.shape), view, True, layer.eps))
    gamma, beta = lowering.weight(layer.gamma.value), lowering.weight(layer.beta.value)
    return lowering.append(ops.Affine(y, lowering.block(x.shape), gamma, beta))


def _rms_norm(lowering: Lowering, layer: layers.RMSNorm, x: Slot) -> Slot:
    layer(lowering.probe(x))  # raises if x does not fit
    length = layer.gamma.value.size
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
    return lowering.append(ops.TopK(x, lowering.block(x.shape), layer.inference_k or layer.k))


def _activation(lowering: Lowering, layer: Any, x: Slot) -> Slot:
    f = Function(type(layer).__name__, getattr(layer, "alpha", 0.0))
    return lowering.append(ops.Activation(x, lowering.block(x.shape), f))


def _prelu(lowering: Lowering, layer: layers.PReLU, x: Slot) -> Slot:
    layer(lowering.probe(x))  # raises if x does not fit
    slope = lowering.weight(layer.a.value)
    return lowering.append(ops.PReLU(x, lowering.block(x.shape), slope))


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


_LOWER: dict[type[Layer], Callable[[Lowering, Any, Slot], Slot]] = {
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


# --- offsets of blocks and weights -------------------------------------------------------------


def _plan_arena(op_list: list[Op]) -> tuple[list[Op], int]:
    """Give every block its offset in the arena; returns the operations and the arena's size."""
    lifetimes: dict[str, Block] = {}
    for k, op in enumerate(op_list):
        for s in op.slots.values():
            if s.space.startswith("block"):
                size, first, _ = lifetimes.get(s.space, Block(0, k, k))
                lifetimes[s.space] = Block(max(size, s.offset + s.size), first, k)
    offsets, arena = assign_offsets(list(lifetimes.values()))
    for name, offset in zip(lifetimes, offsets):
        op_list = [move(op, name, Slot("arena", offset, ())) for op in op_list]
    return op_list, arena


def _gather(op_list: list[Op], arrays: list[Array], dtype: np.dtype[Any]) -> tuple[list[Op], Array]:
    """Gather all weights in one buffer, each array once; returns operations that point into it."""
    offsets: dict[int, int] = {}
    parts: list[Array] = []
    end = 0

    def relocate(slot: Slot) -> Slot:
        nonlocal end
        a = arrays[slot.offset]
        if id(a) not in offsets:
            offsets[id(a)] = end
            parts.append(a.ravel())
            end += a.size
        return slot._replace(offset=offsets[id(a)])

    relocated = []
    for op in op_list:
        changed = {n: relocate(s) for n, s in op.slots.items() if s.space == "weights"}
        relocated.append(replace(op, **changed))
    return relocated, np.concatenate([*parts, np.zeros(0, dtype)]).astype(dtype)
