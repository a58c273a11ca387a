"""From layers to operations: walk through the model once, and write down what each layer does.

First every layer becomes an operation of its own, on blocks of its own. Then three passes make
the list shorter (:mod:`tinyae.program.passes`). Last the blocks get their places
(:mod:`tinyae.program.plan`) and the weights theirs in one buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from tinyae import layers
from tinyae.kernels.functions import FUNCTIONS
from tinyae.layers import Layer, activation
from tinyae.layers.base import check_input
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.passes import fold_scales, fuse_activations, move, share_blocks
from tinyae.program.plan import Block, place
from tinyae.program.program import Function, Op, Program, Shape, Slot

AnyOp = TypeVar("AnyOp", bound=Op)


class Lowering:
    """The operations so far. While it grows, a slot's space is its block's name, and a weight's
    offset its place in ``arrays``."""

    def __init__(self, input_shape: Shape, dtype: np.dtype[Any]) -> None:
        self.x = Slot("input", 0, input_shape)
        self.dtype = dtype
        self.ops: list[Op] = []
        self.arrays: list[Array] = []
        self.blocks = 0

    def add(self, layer: Layer, x: Slot) -> Slot:
        """Append what the layer does to x; where its result lies.

        Raises
            TypeError   there is no operation for such a layer
            ValueError  the layer does not take such an x
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
        listed = share_blocks(fuse_activations(fold_scales(self.ops, self.arrays)))
        listed, arena = _place(listed)
        listed, weights = _gather(listed, self.arrays, self.dtype)
        return Program(self.x.shape, y.shape, tuple(listed), weights, arena)

    # --- what the layers are written with --------------------------------------------------

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
        """An input of x's shape, for a layer's own checks."""
        return np.broadcast_to(np.zeros((), self.dtype), (1, *x.shape))

    def concatenate(self, who: str, parts: list[Slot]) -> Slot:
        """The parts along the channels, one behind the other."""
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


def _nothing(to: Lowering, layer: Layer, x: Slot) -> Slot:
    return x


def _reshape(to: Lowering, layer: Any, x: Slot) -> Slot:
    return x._replace(shape=layer(to.probe(x)).shape[1:])


def _dense(to: Lowering, layer: layers.Dense, x: Slot) -> Slot:
    check_input(layer, to.probe(x), ("N", layer.in_features))
    W, b = to.weight(layer.W.value), to.weight(layer.b.value)
    return to.append(ops.Dense(x, to.block((layer.out_features,)), W, b))


def _tied_dense(to: Lowering, layer: layers.TiedDense, x: Slot) -> Slot:
    check_input(layer, to.probe(x), ("N", layer.dense.out_features))
    W, b = to.weight(layer.dense.W.T.value), to.weight(layer.b.value)
    return to.append(ops.Dense(x, to.block((layer.dense.in_features,)), W, b))


def _conv(to: Lowering, layer: layers.Conv2d, x: Slot) -> Slot:
    layer.check(to.probe(x))
    size = x.shape[1], x.shape[2]
    top, bottom, left, right = layer.pad(size)
    padded = size[0] + top + bottom, size[1] + left + right
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(padded, layer.kernel_size, layer.stride))
    W, b = to.weight(layer.W.value), to.weight(layer.b.value)
    y = to.block((layer.out_channels, rows, columns))
    return to.append(ops.Conv(x, y, W, b, layer.stride, (top, left)))


def _conv_transpose(to: Lowering, layer: layers.ConvTranspose2d, x: Slot) -> Slot:
    layer.check(to.probe(x))
    size = layer.output_size((x.shape[1], x.shape[2]))
    top, _, left, _ = layer.pad(size)
    W, b = to.weight(layer.W.value), to.weight(layer.b.value)
    y = to.block((layer.out_channels, *size))
    return to.append(ops.ConvTranspose(x, y, W, b, layer.stride, (top, left)))


def _pool(kind: type[ops.MaxPool] | type[ops.AvgPool]) -> Callable[[Lowering, Any, Slot], Slot]:
    def lower(to: Lowering, layer: Any, x: Slot) -> Slot:
        layer.check(to.probe(x))
        y = to.block((x.shape[0], *layer.windows(to.probe(x)).shape[2:4]))
        return to.append(kind(x, y, layer.kernel_size, layer.stride))

    return lower


def _upsample(to: Lowering, layer: layers.Upsample2d, x: Slot) -> Slot:
    check_input(layer, to.probe(x), ("N", "C", "H", "W"))
    (c, height, width), (a, b) = x.shape, layer.factor
    return to.append(ops.Upsample(x, to.block((c, a * height, b * width)), layer.factor))


def _batch_norm(to: Lowering, layer: layers.BatchNorm, x: Slot) -> Slot:
    layer.check(to.probe(x))
    scale = layer.gamma.value / np.sqrt(layer.running_var.astype(np.float64) + layer.eps)
    shift = layer.beta.value - layer.running_mean * scale  # float64, until all is one buffer
    y = to.block(x.shape)
    return to.append(ops.Affine(x, y, to.weight(scale), to.weight(shift)))


def _layer_norm(to: Lowering, layer: layers.LayerNorm, x: Slot) -> Slot:
    between = ["…"] * (len(x.shape) - len(layer.normalized_shape))
    check_input(layer, to.probe(x), ("N", *between, *layer.normalized_shape))
    gamma, beta = to.weight(layer.gamma.value), to.weight(layer.beta.value)
    return to.append(ops.LayerNorm(x, to.block(x.shape), gamma, beta, layer.eps))


def _softmax(to: Lowering, layer: layers.Softmax, x: Slot) -> Slot:
    return to.append(ops.Softmax(x, to.block(x.shape)))


def _top_k(to: Lowering, layer: layers.TopK, x: Slot) -> Slot:
    layer(to.probe(x))  # its own check
    return to.append(ops.TopK(x, to.block(x.shape), layer.inference_k or layer.k))


def _activation(to: Lowering, layer: Any, x: Slot) -> Slot:
    f = Function(type(layer).__name__, getattr(layer, "alpha", 0.0))
    return to.append(ops.Activation(x, to.block(x.shape), f))


def _sequential(to: Lowering, layer: layers.Sequential, x: Slot) -> Slot:
    for part in layer.layers:
        x = to.add(part, x)
    return x


def _residual(to: Lowering, layer: layers.Residual, x: Slot) -> Slot:
    fx = to.add(layer.layer, x)
    if fx.shape != x.shape:
        raise ValueError(
            f"Residual: the layer made {('N', *fx.shape)} of x {('N', *x.shape)}, expected the same "
            "shape; give it as many outputs as inputs, or use Skip, which concatenates"
        )
    return to.append(ops.Add(x, to.block(x.shape), fx))


def _skip(to: Lowering, layer: layers.Skip, x: Slot) -> Slot:
    return to.concatenate("Skip", [x, to.add(layer.layer, x)])


def _parallel(to: Lowering, layer: layers.Parallel, x: Slot) -> Slot:
    return to.concatenate("Parallel", [to.add(branch, x) for branch in layer.branches])


_LOWER: dict[type[Layer], Callable[[Lowering, Any, Slot], Slot]] = {
    layers.Dense: _dense,
    layers.TiedDense: _tied_dense,
    layers.Conv2d: _conv,
    layers.ConvTranspose2d: _conv_transpose,
    layers.MaxPool2d: _pool(ops.MaxPool),
    layers.AvgPool2d: _pool(ops.AvgPool),
    layers.Upsample2d: _upsample,
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: _layer_norm,
    **{getattr(activation, name): _activation for name in FUNCTIONS},
    layers.Softmax: _softmax,
    layers.TopK: _top_k,
    layers.Dropout: _nothing,
    layers.Flatten: _reshape,
    layers.Reshape: _reshape,
    layers.Sequential: _sequential,
    layers.Residual: _residual,
    layers.Skip: _skip,
    layers.Parallel: _parallel,
}


# --- places of blocks and weights --------------------------------------------------------------


def _place(listed: list[Op]) -> tuple[list[Op], int]:
    """Every block to its offset in the arena; how large that is."""
    lives: dict[str, Block] = {}
    for k, op in enumerate(listed):
        for s in op.slots.values():
            if s.space.startswith("block"):
                size, first, _ = lives.get(s.space, Block(0, k, k))
                lives[s.space] = Block(max(size, s.offset + s.size), first, k)
    offsets, arena = place(list(lives.values()))
    for name, offset in zip(lives, offsets):
        listed = [move(op, name, Slot("arena", offset, ())) for op in listed]
    return listed, arena


def _gather(listed: list[Op], arrays: list[Array], dtype: np.dtype[Any]) -> tuple[list[Op], Array]:
    """All the weights in one buffer, each array once, and the operations that point into it."""
    offsets: dict[int, int] = {}
    parts: list[Array] = []
    end = 0

    def settle(slot: Slot) -> Slot:
        nonlocal end
        a = arrays[slot.offset]
        if id(a) not in offsets:
            offsets[id(a)] = end
            parts.append(a.ravel())
            end += a.size
        return slot._replace(offset=offsets[id(a)])

    settled = []
    for op in listed:
        changed = {n: settle(s) for n, s in op.slots.items() if s.space == "weights"}
        settled.append(replace(op, **changed))
    return settled, np.concatenate([*parts, np.zeros(0, dtype)]).astype(dtype)
