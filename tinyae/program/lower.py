"""Lowering: translate the layers of a model into a list of operations.

First, each layer becomes one operation, or a few, that write blocks of their own
(:mod:`tinyae.program.lower_layers`). Then three passes shorten the list (:mod:`tinyae.program.passes`).
Finally each block gets an offset in the arena (:mod:`tinyae.program.plan`), and each array of weights
an offset in one buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from tinyae.layers import Layer, TopK
from tinyae.param import Array, Param
from tinyae.program import program as ops
from tinyae.program.lower_layers import LOWER
from tinyae.program.passes import fold_scales, fuse_activations, move, share_blocks
from tinyae.program.plan import Block, assign_offsets
from tinyae.program.program import Op, Program, Shape, Slot

AnyOp = TypeVar("AnyOp", bound=Op)


class Lowering:
    """The list of operations under construction.

    Until it is finished, a slot's space is the name of its block, and the offset of a weight is its
    index in ``arrays``. ``learnt`` are the Params that a device changes as it learns, by name: their
    arrays stay as they are, and ``names`` keeps whose they are.
    """

    def __init__(
        self, input_shape: Shape, dtype: np.dtype[Any], learnt: Mapping[str, Param] | None = None
    ) -> None:
        self.learnt = {_address(p.value): name for name, p in (learnt or {}).items()}
        self.names: dict[int, str] = {}
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
        lower = LOWER.get(type(layer))
        if lower is None:
            raise TypeError(
                f"compile: the model has a {type(layer).__name__}, which the compiled program has "
                f"no operation for; build it from {', '.join(kind.__name__ for kind in LOWER)}"
            )
        return lower(self, layer, x)

    def program(self, y: Slot) -> Program:
        """The finished program whose result is y."""
        result = Slot("output", 0, y.shape)
        self.ops.append(ops.Copy(y, result))
        self.ops = fuse_activations(fold_scales(self.ops, self.arrays, self.names))
        return self.finish(y.shape)

    def finish(self, output_shape: Shape) -> Program:
        """The operations with their places in the arena and among the weights."""
        op_list, arena = _plan_arena(share_blocks(self.ops))
        op_list, weights, offsets = _gather(op_list, self.arrays, self.dtype)
        learnt = {offsets[k]: name for k, name in self.names.items() if k in offsets}
        return Program(self.x.shape, output_shape, tuple(op_list), weights, arena, learnt)

    # --- used by the functions of lower_layers ----------------------------------------------

    def block(self, shape: Shape) -> Slot:
        """A new block for a result."""
        self.blocks += 1
        return Slot(f"block {self.blocks}", 0, shape)

    def weight(self, a: Array) -> Slot:
        self.arrays.append(a)
        index = len(self.arrays) - 1
        if _address(a) in self.learnt:
            self.names[index] = self.learnt[_address(a)]
        return Slot("weights", index, a.shape)

    def largest(self, layer: TopK) -> int:
        """How many entries a TopK layer lets through."""
        return layer.inference_k or layer.k

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


def _address(a: Array) -> tuple[int, int]:
    """Where an array's numbers are, and how many: the same for a view with another shape."""
    return a.__array_interface__["data"][0], a.size


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
    slots = {name: Slot("arena", offset, ()) for name, offset in zip(lifetimes, offsets)}
    placed = []
    for op in op_list:
        for name in {s.space for s in op.slots.values()} & slots.keys():
            op = move(op, name, slots[name])
        placed.append(op)
    return placed, arena


def _gather(
    op_list: list[Op], arrays: list[Array], dtype: np.dtype[Any]
) -> tuple[list[Op], Array, dict[int, int]]:
    """Gather all weights in one buffer, each array once.

    Returns operations that point into it, the buffer, and the offset of each array by its index.
    """
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
    buffer = np.concatenate([*parts, np.zeros(0, dtype)]).astype(dtype)
    return relocated, buffer, {k: offsets[id(a)] for k, a in enumerate(arrays) if id(a) in offsets}
