"""Three passes that shorten a program, in the order in which they run.

fold_scales        BatchNorm's scale and shift are folded into the linear map before it
fuse_activations   an activation is fused into the operation before it
share_blocks       a block that is only copied is written directly to the copy's destination, and
                   operations work in place where they can

Each takes a list of operations and returns a new one. A slot's space is still its block's name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.program import LINEAR, Op, Slot

AnyOp = TypeVar("AnyOp", bound=Op)
_LINEAR_MAPS = (ops.Dense, ops.Conv, ops.ConvTranspose)


def fold_scales(op_list: list[Op], arrays: list[Array]) -> list[Op]:
    """scale · (W x + b) + shift = (scale · W) x + (scale · b + shift), if nothing else reads
    W x + b and each row of W belongs to one channel of the scale.
    """
    done: list[Op] = []
    for op in op_list:
        producer = _sole_producer(op, done, op_list) if isinstance(op, ops.Affine) else None
        if not isinstance(producer, _LINEAR_MAPS) or producer.f != LINEAR:
            done.append(op)
            continue
        assert isinstance(op, ops.Affine)
        rows = producer.b.size
        if rows % op.scale.size:
            done.append(op)
            continue
        scale, shift = (np.repeat(arrays[s.offset], rows // s.size) for s in (op.scale, op.shift))
        W, b = arrays[producer.W.offset], arrays[producer.b.offset]
        if isinstance(producer, ops.ConvTranspose):  # (C, O/groups, kh, kw)
            by_group = W.reshape(producer.groups, -1, *W.shape[1:])
            scaled = by_group * scale.reshape(producer.groups, 1, -1, 1, 1)
        else:
            scaled = W * scale.reshape(-1, *(1 for _ in W.shape[1:]))
        arrays += [scaled.reshape(W.shape), b * scale + shift]
        done[done.index(producer)] = replace(
            producer,
            W=producer.W._replace(offset=len(arrays) - 2),
            b=producer.b._replace(offset=len(arrays) - 1),
            y=op.y._replace(shape=producer.y.shape),
        )
    return done


def fuse_activations(op_list: list[Op]) -> list[Op]:
    """Fuse an activation into the operation before it, if nothing else reads that result."""
    done: list[Op] = []
    for op in op_list:
        producer = _sole_producer(op, done, op_list) if isinstance(op, ops.Activation) else None
        if isinstance(producer, (ops.Affine, *_LINEAR_MAPS)) and producer.f == LINEAR:
            assert isinstance(op, ops.Activation)
            y = op.y._replace(shape=producer.y.shape)  # there may be a reshape in between
            done[done.index(producer)] = replace(producer, f=op.f, y=y)
        else:
            done.append(op)
    return done


def _sole_producer(op: Op, done: list[Op], op_list: list[Op]) -> Op | None:
    """The operation that wrote all of op.x, if only ``op`` reads that block; else None."""
    readers = sum(s.space == op.x.space for o in op_list for n, s in o.slots.items() if n != "y")
    sources = [o for o in done if o.y.space == op.x.space]
    if readers != 1 or len(sources) != 1 or sources[0].y.size != op.x.size:
        return None
    return sources[0]


def share_blocks(op_list: list[Op]) -> list[Op]:
    """Let blocks share memory where that saves a copy or a second block.

    A block that is copied is written directly to the copy's destination, and the copy is removed.
    If an operation can work in place and is the last to read a block, it writes its result there.
    """
    for copies in (True, False):
        k = 0
        while k < len(op_list):
            op = op_list[k]
            sharable = isinstance(op, ops.Copy) if copies else isinstance(op, ops.IN_PLACE)
            names = [n for n in op.slots if n in ("x", "other")] if sharable else []
            for name in names:
                x = op.slots[name]
                dies = copies or (
                    _last_use(x.space, op_list) == k and _is_untouched(op.y, op_list[:k])
                )
                if _is_whole_block(x, op_list) and dies:
                    op_list = [move(o, x.space, op.y) for o in op_list]
                    break
            op = op_list[k]
            if isinstance(op, ops.Copy) and op.x[:2] == op.y[:2]:
                del op_list[k]
            else:
                k += 1
    return op_list


def _is_whole_block(x: Slot, op_list: list[Op]) -> bool:
    """Whether x is a complete block that may be moved: not input or output, and not a part."""
    if x.space in ("input", "output"):
        return False
    sizes = [s.offset + s.size for o in op_list for s in o.slots.values() if s.space == x.space]
    return x.offset == 0 and x.size == max(sizes)


def _last_use(space: str, op_list: list[Op]) -> int:
    return max(k for k, o in enumerate(op_list) for s in o.slots.values() if s.space == space)


def _is_untouched(y: Slot, earlier: list[Op]) -> bool:
    """Whether none of these operations reads or writes y's range, so that x may use it."""
    return all(
        s.space != y.space or s.offset + s.size <= y.offset or y.offset + y.size <= s.offset
        for o in earlier
        for s in o.slots.values()
    )


def move(op: AnyOp, space: str, to: Slot) -> AnyOp:
    """The operation with one block moved to ``to``."""
    moved = {
        name: Slot(to.space, to.offset + s.offset, s.shape)
        for name, s in op.slots.items()
        if s.space == space
    }
    return replace(op, **moved) if moved else op
