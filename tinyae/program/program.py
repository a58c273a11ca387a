"""A trained model as plain data: a flat list of operations over one buffer of weights.

    program = program_of(model, "autoencoder", (1, 28, 28))
    print(program)                    # a table: each operation, its shapes and its slots

A sample is a flat array in C order. So Flatten and Reshape need no operation, and the parts of a
concatenation along the channels are adjacent in memory. Every operation reads and writes slots
(:class:`Slot`): ranges of one of four spaces,

    input      the sample x            output   the result y
    arena      intermediate results, placed so that the arena is small (:mod:`tinyae.program.plan`)
    weights    ``program.weights``, the same for every sample

Operations run one after the other. Any implementation of these operations can run the model: the
NumPy and Numba runtimes in this package, or a program in another language.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from tinyae.param import Array

Shape = tuple[int, ...]
Pair = tuple[int, int]


class Slot(NamedTuple):
    """``prod(shape)`` numbers of a space, in C order, starting at ``offset``."""

    space: str
    offset: int
    shape: Shape

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Function(NamedTuple):
    """An activation by name, with its parameter ``alpha``, if it has one."""

    name: str
    alpha: float = 0.0


LINEAR = Function("")


@dataclass(frozen=True)
class Op:
    """Reads x, writes y."""

    x: Slot
    y: Slot

    @property
    def macs(self) -> int:
        """Multiply-accumulates per sample: products of a weight and a number of x."""
        return 0

    @property
    def flops(self) -> int:
        """Operations per sample; an addition, product, comparison or activation counts as 1."""
        return self.y.size

    @functools.cached_property  # the passes ask every operation again and again
    def slots(self) -> dict[str, Slot]:
        """Every slot by the name of its field."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Slot)}


class Weighted(Op):
    """Multiplies by weights, and then applies f."""

    f: Function  # a field of each operation that derives from this

    @property
    def flops(self) -> int:
        return 2 * self.macs + (0 if self.f == LINEAR else self.y.size)


@dataclass(frozen=True)
class Affine(Weighted):
    """y[c, p] = scale[c] · x[c, p] + shift[c], then f      x, y (C, …)   scale, shift (C,)"""

    scale: Slot
    shift: Slot
    f: Function = LINEAR

    @property
    def macs(self) -> int:
        return self.y.size


@dataclass(frozen=True)
class Dense(Weighted):
    """y = f(W x + b)      x (I,)   W (O, I)   b (O,)   y (O,) or any shape of that size"""

    W: Slot
    b: Slot
    f: Function = LINEAR

    @property
    def macs(self) -> int:
        return self.W.size


@dataclass(frozen=True)
class Convolution(Weighted):
    """What both directions of a convolution have."""

    W: Slot
    b: Slot
    stride: Pair
    corner: Pair
    f: Function = LINEAR
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Conv(Convolution):
    """y[o,i,j] = f(b[o] + Σ_{c,u,v} W[o,c,u,v] · x[c, i·s+u·d−top, j·s+v·d−left]), x zero outside

    x (C, H, W)   W (O, C/groups, kh, kw)   b (O,)   y (O, H′, W′)   corner (top, left)
    c runs over the channels of o's group.
    """

    @property
    def macs(self) -> int:
        return self.W.size * math.prod(self.y.shape[1:])


@dataclass(frozen=True)
class ConvTranspose(Convolution):
    """y[o, i·s+u·d−top, j·s+v·d−left] += Σ_c W[c,o,u,v] · x[c,i,j] where inside y; y = f(y + b[o])

    x (C, H, W)   W (C, O/groups, kh, kw)   b (O,)   y (O, H′, W′)   corner (top, left)
    """

    @property
    def macs(self) -> int:
        return self.W.size * math.prod(self.x.shape[1:])


@dataclass(frozen=True)
class Pool(Op):
    """A window that moves over an image."""

    window: Pair
    stride: Pair
    corner: Pair = (0, 0)
    dilation: Pair = (1, 1)


@dataclass(frozen=True)
class MaxPool(Pool):
    """y[c,i,j] = max over u, v of x[c, i·s+u·d−top, j·s+v·d−left] where inside x

    corner (top, left)
    """

    @property
    def flops(self) -> int:
        return self.y.size * math.prod(self.window)


@dataclass(frozen=True)
class AvgPool(Pool):
    """y[c,i,j] = the mean over u, v of x[c, i·s+u·d−top, j·s+v·d−left] where inside x"""

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
class Interpolate(Op):
    """y[c,i,j] = x[c] at the place (i + ½)/a − ½, (j + ½)/b − ½, between its four nearest pixels

    factor (a, b). A place beyond the outermost pixels counts as on them.
    """

    factor: Pair

    @property
    def flops(self) -> int:
        return 8 * self.y.size


@dataclass(frozen=True)
class Permute(Op):
    """y = x, seen as an array of shape ``view`` with five axes, whose axes are put in a new order"""

    view: tuple[int, int, int, int, int]
    axes: tuple[int, int, int, int, int]

    @property
    def sizes(self) -> list[int]:
        """The lengths of y's axes."""
        return [self.view[axis] for axis in self.axes]

    @property
    def steps(self) -> list[int]:
        """How far apart neighbours along each of y's axes lie in x."""
        return [math.prod(self.view[axis + 1 :]) for axis in self.axes]

    @property
    def flops(self) -> int:
        return 0


@dataclass(frozen=True)
class Pad(Op):
    """y[c, i, j] = x[c, i−top, j−left]; outside x 0, or its mirror image      corner (top, left)"""

    corner: Pair
    reflect: bool
    stride = (1, 1)

    @property
    def flops(self) -> int:
        return 0


@dataclass(frozen=True)
class Activation(Op):
    """y = f(x), element-wise. y may be x's slot."""

    f: Function


@dataclass(frozen=True)
class PReLU(Op):
    """y[c, p] = x[c, p] if positive, else slope[c] · x[c, p]      x, y (C, …). y may be x's slot."""

    slope: Slot


@dataclass(frozen=True)
class LayerNorm(Op):
    """ŷ = (x − mean x) / √(var x + ε) over each row, y = γ ∘ ŷ + β      γ, β a row's shape

    x is split into rows of γ's size. y may be x's slot.
    """

    gamma: Slot
    beta: Slot
    eps: float

    @property
    def flops(self) -> int:
        return 7 * self.y.size


@dataclass(frozen=True)
class Normalize(Op):
    """y = (x − μ) / √(v + ε) along axis 1 of x, seen as (rows, length, columns)

    ``centered``: μ and v are mean and variance; else μ = 0 and v = mean x². y may be x's slot.
    """

    view: tuple[int, int, int]
    centered: bool
    eps: float

    @property
    def flops(self) -> int:
        return (5 if self.centered else 3) * self.y.size


@dataclass(frozen=True)
class Softmax(Op):
    """y[k, p] = exp(x[k, p] − m) / Σⱼ exp(x[j, p] − m),   m = max over k of x[k, p]

    x, y (K, …). y may be x's slot.
    """

    @property
    def flops(self) -> int:
        return 4 * self.y.size


@dataclass(frozen=True)
class TopK(Op):
    """y = x at the k largest entries, 0 · x elsewhere; ties go to the first. y may be x's slot."""

    k: int


@dataclass(frozen=True)
class Add(Op):
    """y = x + other. y may be the slot of either."""

    other: Slot


@dataclass(frozen=True)
class Multiply(Op):
    """y = x · other. y may be the slot of either."""

    other: Slot


@dataclass(frozen=True)
class Copy(Op):
    """y = x, as flat arrays"""

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


IN_PLACE = (Affine, Activation, PReLU, LayerNorm, Normalize, Softmax, TopK, Add, Multiply)


@dataclass(frozen=True, eq=False)
class Program:
    """Operations in the order of execution, and the weights that they read.

    ``learnt`` names the weights that a device changes as it learns: a Param's name by its offset.

    Units     ``arena``: numbers per sample; ``flops``: operations per sample
    """

    input_shape: Shape
    output_shape: Shape
    ops: tuple[Op, ...]
    weights: Array
    arena: int
    learnt: Mapping[int, str] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.weights.dtype

    @property
    def input_length(self) -> int:
        return math.prod(self.input_shape)

    @property
    def output_length(self) -> int:
        return math.prod(self.output_shape)

    @property
    def macs(self) -> int:
        return sum(op.macs for op in self.ops)

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


def _row(k: int, op: Op) -> tuple[str, ...]:
    f = getattr(op, "f", LINEAR)
    name = type(op).__name__ if not f.name else f"{type(op).__name__} {f.name}"
    weights = [slot for slot in op.slots.values() if slot.space == "weights"]
    size = sum(slot.size for slot in weights)
    other = [s for n, s in op.slots.items() if n != "y" and s.space != "weights"]
    return (
        str(k),
        name,
        "×".join(map(str, op.x.shape)),
        ", ".join(map(_slot_text, other)),
        "×".join(map(str, op.y.shape)) or "1",
        _slot_text(op.y),
        f"{size:,} at {weights[0].offset:,}" if weights else "",
        f"{op.flops:,}",
    )


def _slot_text(slot: Slot) -> str:
    return f"{slot.space} {slot.offset:,}"
