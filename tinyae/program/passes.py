"""Three passes that make a program shorter, in the order in which they are run.

fold_scales        what BatchNorm scales and shifts goes into the weights of the map before it
fuse_activations   an activation becomes the end of the operation before it
share_blocks       a result that is only copied is made where the copy would go, and an operation
                   that may work in place does

Each takes the list of operations and returns a new one, in which a slot's space is still the name
of its block.
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


def fold_scales(listed: list[Op], arrays: list[Array]) -> list[Op]:
    """scale · (W x + b) + shift = (scale · W) x + (scale · b + shift), where W x + b has no other
    reader and each row of W belongs to one channel of the scale."""
    done: list[Op] = []
    for op in listed:
        before = _only_source(op, done, listed) if isinstance(op, ops.Affine) else None
        if not isinstance(before, _LINEAR_MAPS) or before.f != LINEAR:
            done.append(op)
            continue
        assert isinstance(op, ops.Affine)
        rows = before.b.size
        if rows % op.scale.size:
            done.append(op)
            continue
        scale, shift = (np.repeat(arrays[s.offset], rows // s.size) for s in (op.scale, op.shift))
        W, b = arrays[before.W.offset], arrays[before.b.offset]
        along = 1 if isinstance(before, ops.ConvTranspose) else 0
        wide = scale.reshape([-1 if axis == along else 1 for axis in range(W.ndim)])
        arrays += [W * wide, b * scale + shift]
        done[done.index(before)] = replace(
            before,
            W=before.W._replace(offset=len(arrays) - 2),
            b=before.b._replace(offset=len(arrays) - 1),
            y=op.y._replace(shape=before.y.shape),
        )
    return done


def fuse_activations(listed: list[Op]) -> list[Op]:
    """An activation becomes the end of the operation before it, where nobody else reads that."""
    done: list[Op] = []
    for op in listed:
        before = _only_source(op, done, listed) if isinstance(op, ops.Activation) else None
        if isinstance(before, (ops.Affine, *_LINEAR_MAPS)) and before.f == LINEAR:
            assert isinstance(op, ops.Activation)
            y = op.y._replace(shape=before.y.shape)  # a reshape may lie between
            done[done.index(before)] = replace(before, f=op.f, y=y)
        else:
            done.append(op)
    return done


def _only_source(op: Op, done: list[Op], listed: list[Op]) -> Op | None:
    """The operation that made the whole of op.x, if nothing but ``op`` reads that block."""
    readers = sum(s.space == op.x.space for o in listed for n, s in o.slots.items() if n != "y")
    sources = [o for o in done if o.y.space == op.x.space]
    if readers != 1 or len(sources) != 1 or sources[0].y.size != op.x.size:
        return None
    return sources[0]


def share_blocks(listed: list[Op]) -> list[Op]:
    """Let blocks lie in one another where that saves a copy or a second block.

    A block that is copied is made in the copy's place, and the copy is left out; one that is read
    last by an operation which may write in place gives it its own place.
    """
    for copies in (True, False):
        k = 0
        while k < len(listed):
            op = listed[k]
            sharable = isinstance(op, ops.Copy) if copies else isinstance(op, ops.IN_PLACE)
            names = [n for n in op.slots if n in ("x", "other")] if sharable else []
            for name in names:
                x = op.slots[name]
                dies = copies or (_last_use(x.space, listed) == k and _quiet(op.y, listed[:k]))
                if _whole(x, listed) and dies:
                    listed = [move(o, x.space, op.y) for o in listed]
                    break
            op = listed[k]
            if isinstance(op, ops.Copy) and op.x[:2] == op.y[:2]:
                del listed[k]
            else:
                k += 1
    return listed


def _whole(x: Slot, listed: list[Op]) -> bool:
    """Whether x is a whole block that is ours to move: not the input, not a piece, not moved yet."""
    if x.space in ("input", "output"):
        return False
    sizes = [s.offset + s.size for o in listed for s in o.slots.values() if s.space == x.space]
    return x.offset == 0 and x.size == max(sizes)


def _last_use(space: str, listed: list[Op]) -> int:
    return max(k for k, o in enumerate(listed) for s in o.slots.values() if s.space == space)


def _quiet(y: Slot, before: list[Op]) -> bool:
    """Whether none of these operations touches y's own run, so that x may lie there already."""
    return all(
        s.space != y.space or s.offset + s.size <= y.offset or y.offset + y.size <= s.offset
        for o in before
        for s in o.slots.values()
    )


def move(op: AnyOp, space: str, to: Slot) -> AnyOp:
    """The operation with all of one block now lying at ``to``."""
    moved = {
        name: Slot(to.space, to.offset + s.offset, s.shape)
        for name, s in op.slots.items()
        if s.space == space
    }
    return replace(op, **moved)
