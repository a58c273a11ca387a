"""A trained model as plain data: a flat list of operations over one buffer of weights.

    program = program_of(model, "autoencoder", (1, 28, 28))
    print(program)                    # a table: each operation, its shapes, where its numbers lie

A sample is a flat run of numbers in C order, so Flatten and Reshape are no operations, and the
parts of a concatenation along the channels lie one behind the other. Every operation reads and
writes :class:`Slot` s: runs in one of four spaces,

    input      the sample x            output   the result y
    arena      all that lies between, planned so that it is small (:mod:`tinyae.program.plan`)
    weights    ``program.weights``, the same for every sample

and is done before the next begins. Whoever can do these operations can run the model: the
compiled loops and the NumPy ones of this folder, or a program in another language.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from tinyae.param import Array

Shape = tuple[int, ...]
Pair = tuple[int, int]


class Slot(NamedTuple):
    """``prod(shape)`` numbers of a space, in C order, from ``offset`` on."""

    space: str
    offset: int
    shape: Shape

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Function(NamedTuple):
    """An activation by its name; ``alpha`` is LeakyReLU's or ELU's."""

    name: str
    alpha: float = 0.0


LINEAR = Function("")


@dataclass(frozen=True)
class Op:
    """Reads x, writes y."""

    x: Slot
    y: Slot

    @property
    def flops(self) -> int:
        """Additions and multiplications a sample; an activation, a comparison count as one each."""
        return self.y.size

    @property
    def slots(self) -> dict[str, Slot]:
        """Every slot by the name of its field."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Slot)}


@dataclass(frozen=True)
class Affine(Op):
    """y[c, p] = scale[c] · x[c, p] + shift[c], then f      x, y (C, …)   scale, shift (C,)"""

    scale: Slot
    shift: Slot
    f: Function = LINEAR

    @property
    def flops(self) -> int:
        return 2 * self.y.size + _once(self.f, self.y)


@dataclass(frozen=True)
class Dense(Op):
    """y = f(W x + b)      x (I,)   W (O, I)   b (O,)   y (O,) or any shape of that size"""

    W: Slot
    b: Slot
    f: Function = LINEAR

    @property
    def flops(self) -> int:
        return 2 * self.W.size + _once(self.f, self.y)


@dataclass(frozen=True)
class Conv(Op):
    """y[o,i,j] = f(b[o] + Σ_{c,u,v} W[o,c,u,v] · x[c, i·s+u−top, j·s+v−left]), x zero outside

    x (C, H, W)   W (O, C, kh, kw)   b (O,)   y (O, H′, W′)   corner (top, left)
    """

    W: Slot
    b: Slot
    stride: Pair
    corner: Pair
    f: Function = LINEAR

    @property
    def flops(self) -> int:
        return 2 * self.W.size * math.prod(self.y.shape[1:]) + _once(self.f, self.y)


@dataclass(frozen=True)
class ConvTranspose(Op):
    """y[o, i·s+u−top, j·s+v−left] += Σ_c W[c,o,u,v] · x[c,i,j], and what falls outside is cut off;
    then b[o] is added, then f

    x (C, H, W)   W (C, O, kh, kw)   b (O,)   y (O, H′, W′)   corner (top, left)
    """

    W: Slot
    b: Slot
    stride: Pair
    corner: Pair
    f: Function = LINEAR

    @property
    def flops(self) -> int:
        return 2 * self.W.size * math.prod(self.x.shape[1:]) + _once(self.f, self.y)


@dataclass(frozen=True)
class MaxPool(Op):
    """y[c,i,j] = max over u, v of x[c, i·s+u, j·s+v]"""

    window: Pair
    stride: Pair

    @property
    def flops(self) -> int:
        return self.y.size * math.prod(self.window)


@dataclass(frozen=True)
class AvgPool(Op):
    """y[c,i,j] = 1/(kh·kw) Σ_{u,v} x[c, i·s+u, j·s+v]"""

    window: Pair
    stride: Pair

    @property
    def flops(self) -> int:
        return self.y.size * (math.prod(self.window) + 1)


@dataclass(frozen=True)
class Upsample(Op):
    """y[c,i,j] = x[c, ⌊i/a⌋, ⌊j/b⌋]      factor (a, b)"""

    factor: Pair

    @property
    def flops(self) -> int:
        return 0


@dataclass(frozen=True)
class Activation(Op):
    """y = f(x), entry by entry. y may be x's own place."""

    f: Function


@dataclass(frozen=True)
class LayerNorm(Op):
    """ŷ = (x − mean x) / √(var x + ε) over each row, y = γ ∘ ŷ + β      γ, β a row's shape

    x is as many rows as γ fits into. y may be x's own place.
    """

    gamma: Slot
    beta: Slot
    eps: float

    @property
    def flops(self) -> int:
        return 7 * self.y.size


@dataclass(frozen=True)
class Softmax(Op):
    """y[k, p] = exp(x[k, p] − m) / Σⱼ exp(x[j, p] − m),   m = max over k of x[k, p]

    x, y (K, …). y may be x's own place.
    """

    @property
    def flops(self) -> int:
        return 4 * self.y.size


@dataclass(frozen=True)
class TopK(Op):
    """y = x at the k largest entries, 0 · x elsewhere; of equal ones the first. y may be x's place."""

    k: int


@dataclass(frozen=True)
class Add(Op):
    """y = x + other. y may be either's place."""

    other: Slot


@dataclass(frozen=True)
class Copy(Op):
    """y = x, as flat runs"""

    @property
    def flops(self) -> int:
        return 0


@dataclass(frozen=True)
class SquaredError(Op):
    """y = mean (x − target)²      y ()"""

    target: Slot

    @property
    def flops(self) -> int:
        return 3 * self.x.size


IN_PLACE = (Affine, Activation, LayerNorm, Softmax, TopK, Add)


@dataclass(frozen=True, eq=False)
class Program:
    """Operations in the order in which they are done, and the weights they read.

    Units     ``arena`` and ``flops`` are numbers and operations a sample
    """

    input_shape: Shape
    output_shape: Shape
    ops: tuple[Op, ...]
    weights: Array
    arena: int

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.weights.dtype

    @property
    def flops(self) -> int:
        return sum(op.flops for op in self.ops)

    def __str__(self) -> str:
        head = ("", "operation", "x", "from", "y", "to", "weights", "flops")
        rows = [head] + [_row(k, op) for k, op in enumerate(self.ops)]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows]
        size = self.dtype.itemsize
        total = (
            f"{self.flops:,} flops, weights {self.weights.size * size:,} bytes, "
            f"arena {self.arena * size:,} bytes"
        )
        return "\n".join([*lines, total])

    def __repr__(self) -> str:
        return (
            f"Program({self.input_shape} → {self.output_shape}, {len(self.ops)} operations, "
            f"{self.weights.size:,} weights, {self.dtype})"
        )


def _once(f: Function, y: Slot) -> int:
    return 0 if f == LINEAR else y.size


def _row(k: int, op: Op) -> tuple[str, ...]:
    f = getattr(op, "f", LINEAR)
    name = type(op).__name__ if not f.name else f"{type(op).__name__} {f.name}"
    learnt = [slot for slot in op.slots.values() if slot.space == "weights"]
    size = sum(slot.size for slot in learnt)
    other = [s for n, s in op.slots.items() if n != "y" and s.space != "weights"]
    return (
        str(k),
        name,
        "×".join(map(str, op.x.shape)),
        ", ".join(map(_place, other)),
        "×".join(map(str, op.y.shape)) or "1",
        _place(op.y),
        f"{size:,} at {learnt[0].offset:,}" if learnt else "",
        f"{op.flops:,}",
    )


def _place(slot: Slot) -> str:
    return f"{slot.space} {slot.offset:,}"
