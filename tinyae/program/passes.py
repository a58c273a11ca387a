"""Three passes that shorten a program, in the order in which they run.

fold_scales        BatchNorm's scale and shift are folded into the linear map before it
fuse_activations   an activation is fused into the operation before it
share_blocks       a block that is only copied is written directly to the copy's destination, and
                   operations work in place where they can

Each takes a list of operations and returns a new one. A slot's space is still its block's name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container
from dataclasses import replace
from typing import TypeVar

import numpy as np

from tinyae.param import Array
from tinyae.program import gradients
from tinyae.program import program as ops
from tinyae.program.program import LINEAR, Function, Op, Slot

AnyOp = TypeVar("AnyOp", bound=Op)
_LINEAR_MAPS = (ops.Dense, ops.Conv, ops.ConvTranspose)
_IN_PLACE = (*ops.IN_PLACE, *gradients.IN_PLACE)


class _Emitted:
    """The operations that a pass has emitted so far, with an index of the blocks.

    Searching the list for each operation would take a second for a thousand layers.
    """

    def __init__(self, op_list: list[Op]) -> None:
        self.ops: list[Op] = []
        self.writers: dict[str, list[int]] = defaultdict(list)
        self.readers = Counter(s.space for o in op_list for n, s in o.slots.items() if n != "y")

    def append(self, op: Op) -> None:
        self.writers[op.y.space].append(len(self.ops))
        self.ops.append(op)

    def replace(self, k: int, op: Op) -> None:
        self.writers[self.ops[k].y.space].remove(k)
        self.writers[op.y.space].append(k)
        self.ops[k] = op

    def sole_producer(self, op: Op) -> int | None:
        """The place of the operation that wrote all of op.x, if only ``op`` reads that block."""
        writers = self.writers[op.x.space]
        alone = self.readers[op.x.space] == 1 and len(writers) == 1
        return writers[0] if alone and self.ops[writers[0]].y.size == op.x.size else None


def fold_scales(op_list: list[Op], arrays: list[Array], learnt: Container[int] = ()) -> list[Op]:
    """scale · (W x + b) + shift = (scale · W) x + (scale · b + shift), if nothing else reads
    W x + b, each row of W belongs to one channel of the scale, and W is not ``learnt``.
    """
    emitted = _Emitted(op_list)
    for op in op_list:
        k = emitted.sole_producer(op) if isinstance(op, ops.Affine) else None
        producer = None if k is None else emitted.ops[k]
        if k is None or not isinstance(producer, _LINEAR_MAPS) or producer.f != LINEAR:
            emitted.append(op)
            continue
        assert isinstance(op, ops.Affine)
        rows = producer.b.size
        if rows % op.scale.size or producer.W.offset in learnt or op.scale.offset in learnt:
            emitted.append(op)
            continue
        scale, shift = (np.repeat(arrays[s.offset], rows // s.size) for s in (op.scale, op.shift))
        W, b = arrays[producer.W.offset], arrays[producer.b.offset]
        if isinstance(producer, ops.ConvTranspose):  # (C, O/groups, kh, kw)
            by_group = W.reshape(producer.groups, -1, *W.shape[1:])
            scaled = by_group * scale.reshape(producer.groups, 1, -1, 1, 1)
        else:
            scaled = W * scale.reshape(-1, *(1 for _ in W.shape[1:]))
        arrays += [scaled.reshape(W.shape), b * scale + shift]
        folded = replace(
            producer,
            W=producer.W._replace(offset=len(arrays) - 2),
            b=producer.b._replace(offset=len(arrays) - 1),
            y=op.y._replace(shape=producer.y.shape),
        )
        emitted.replace(k, folded)
    return emitted.ops


def fuse_activations(
    op_list: list[Op], fusible: Callable[[Function], bool] = lambda f: True
) -> list[Op]:
    """Fuse an activation into the operation before it, if nothing else reads that result."""
    emitted = _Emitted(op_list)
    for op in op_list:
        k = emitted.sole_producer(op) if isinstance(op, ops.Activation) else None
        producer = None if k is None else emitted.ops[k]
        if (
            k is not None
            and isinstance(producer, (ops.Affine, *_LINEAR_MAPS))
            and isinstance(op, ops.Activation)
            and producer.f == LINEAR
            and fusible(op.f)
        ):
            y = op.y._replace(shape=producer.y.shape)  # there may be a reshape in between
            emitted.replace(k, replace(producer, f=op.f, y=y))
        else:
            emitted.append(op)
    return emitted.ops


def share_blocks(op_list: list[Op]) -> list[Op]:
    """Let blocks share memory where that saves a copy or a second block.

    A block that is copied is written directly to the copy's destination, and the copy is removed.
    If an operation can work in place and is the last to read a block, it writes its result there.
    """
    return _share(_share(op_list, copies=True), copies=False)


def _share(op_list: list[Op], copies: bool) -> list[Op]:
    op_list, removed = list(op_list), set()
    users: dict[str, set[int]] = defaultdict(set)  # of each block, by their places in the list
    for k, op in enumerate(op_list):
        for s in op.slots.values():
            users[s.space].add(k)
    for k, op in enumerate(op_list):
        sharable = isinstance(op, ops.Copy) if copies else isinstance(op, _IN_PLACE)
        names = [n for n in op.slots if n in ("x", "other")] if sharable and op.y.size else []
        for x in [op.slots[name] for name in names]:
            of_x = [op_list[i] for i in users[x.space]]
            earlier = [op_list[i] for i in users[op.y.space] if i < k]
            dies = copies or (max(users[x.space]) == k and _is_untouched(op.y, earlier))
            if _is_whole_block(x, of_x) and dies:
                for i in users.pop(x.space):
                    op_list[i] = move(op_list[i], x.space, op.y)
                    users[op.y.space].add(i)
                break
        op = op_list[k]
        if isinstance(op, ops.Copy) and op.x[:2] == op.y[:2]:
            removed.add(k)
            users[op.y.space].discard(k)
    return [op for k, op in enumerate(op_list) if k not in removed]


def _is_whole_block(x: Slot, users: list[Op]) -> bool:
    """Whether x is a complete block that may be moved: not input or output, and not a part."""
    if x.space in ("input", "output"):
        return False
    sizes = [s.offset + s.size for o in users for s in o.slots.values() if s.space == x.space]
    return x.offset == 0 and x.size == max(sizes)


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
