"""Operations in 8-bit integers. Each has ``op``, the operation in float, and ``run``.

``run`` takes and gives int8 arrays with one row for each sample.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyae.kernels.expressions import numpy_function
from tinyae.kernels.functions import FUNCTIONS
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.int8.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    Quantization,
    exact,
    factors,
    integers,
    multipliers,
    nearest,
    quantize_weights,
    requantize,
    rescale,
    rounding,
)
from tinyae.program.program import LINEAR, Function
from tinyae.program.run_numpy import compute, windows

LINEAR_MAPS: dict[type[ops.Op], tuple[str, str]] = {
    ops.Dense: ("W", "b"),
    ops.Conv: ("W", "b"),
    ops.ConvTranspose: ("W", "b"),
    ops.Affine: ("scale", "shift"),
}
"""The names of the slots of the weights and of the bias."""


class Requantized:
    """Of an operation that ends with :func:`requantize`."""

    shift: int
    zero: int

    @property
    def offset(self) -> int:
        """What C adds before it shifts."""
        return rounding(self.shift, self.zero)


class Rescaled:
    """Of an operation that ends with :func:`rescale`."""

    shift: int
    zero: int

    @property
    def offset(self) -> int:
        """What C adds before it shifts."""
        return rounding(self.shift - 1, self.zero)


@dataclass(frozen=True, eq=False)
class LinearMap(Requantized):
    """y = requantize(W (x − x_zero) + b), at least ``low``: a ReLU's zero, or −128

    W (O, …) int8   b (O,) int32   multiplier (O,) int32
    """

    op: Any
    W: Array
    b: Array
    multiplier: Array
    shift: int
    x_zero: int
    zero: int
    low: int

    def run(self, x: Array) -> Array:
        weights, bias = LINEAR_MAPS[type(self.op)]
        W = _swapped(self.op, self.W) if isinstance(self.op, ops.ConvTranspose) else self.W
        arrays = {weights: exact(W), bias: exact(self.b)}
        plain = dataclasses.replace(self.op, f=LINEAR)
        sums = integers(compute(plain, x=exact(x, self.x_zero), **arrays))
        multiplier = self.multiplier.reshape(-1, *(1 for _ in sums.shape[2:]))
        return requantize(sums, multiplier, self.shift, self.zero, self.low)


def linear_map(op: Any, weights: Array, x: Quantization, y: Quantization) -> LinearMap:
    """``op`` from weights (those of the program); its f is nothing or ReLU."""
    W, b, scale = _quantized_weights(op, weights, x)
    multiplier, shift = multipliers(x.scale * scale / y.scale)
    low = y.zero if op.f.name == "ReLU" else INT8_MIN
    return LinearMap(op, W, b, multiplier, shift, x.zero, y.zero, low)


def finest_scale(op: Any, weights: Array, x: Quantization) -> float:
    """The largest scale that sums of products have: one output's scale of W times that of x."""
    return float(_quantized_weights(op, weights, x)[2].max()) * x.scale


def _quantized_weights(op: Any, weights: Array, x: Quantization) -> tuple[Array, Array, Array]:
    W_name, b_name = LINEAR_MAPS[type(op)]
    W, b = (
        weights[s.offset : s.offset + s.size].reshape(s.shape)
        for s in (op.slots[W_name], op.slots[b_name])
    )
    if isinstance(op, ops.ConvTranspose):
        W = _swapped(op, W)
    return quantize_weights(W, b, x.scale)


def _swapped(op: ops.ConvTranspose, W: Array) -> Array:
    """W (C, O/groups, kh, kw) as (O, C/groups, kh, kw), or the other way round."""
    by_group = W.reshape(op.groups, -1, *W.shape[1:]).swapaxes(1, 2)
    return by_group.reshape(-1, *by_group.shape[2:])


@dataclass(frozen=True, eq=False)
class Table:
    """y = table[x + 128]: an activation, or the same numbers with another scale"""

    op: ops.Op
    table: Array

    def run(self, x: Array) -> Array:
        return self.table[x.astype(np.int32) - INT8_MIN]


def table(op: ops.Op, f: Function, x: Quantization, y: Quantization) -> Table:
    values = x.scale * (np.arange(256.0) + INT8_MIN - x.zero)
    if f != LINEAR:
        values = numpy_function(FUNCTIONS[f.name].f)(values, f.alpha)
    return Table(op, nearest(values, y))


@dataclass(frozen=True, eq=False)
class Move:
    """An operation that only chooses among numbers and 0, so that their scale does not matter."""

    op: ops.Op
    zero: int

    def run(self, x: Array) -> Array:
        return (compute(self.op, x=exact(x, self.zero)) + self.zero).astype(np.int8)


@dataclass(frozen=True, eq=False)
class Between:
    """Interpolate: a mean of four numbers with weights in integers, rounded, halves upwards."""

    op: ops.Interpolate

    def run(self, x: Array) -> Array:
        sums = integers(exact(x, INT8_MIN))  # ≥ 0, so that division rounds down
        for axis in (2, 3):
            first, second, weight = self.neighbours(axis)
            weight = weight.reshape(-1, *(1 for _ in sums.shape[axis + 1 :]))
            total = 2 * self.op.factor[axis - 2]
            sums = (total - weight) * sums.take(first, axis) + weight * sums.take(second, axis)
        count = 4 * math.prod(self.op.factor)
        return ((sums + count // 2) // count + INT8_MIN).astype(np.int8)

    def neighbours(self, axis: int) -> tuple[Array, Array, Array]:
        """For each place along an axis its two pixels, and the second's weight in 1 / (2 factor)."""
        n, a = self.op.x.shape[axis - 1], self.op.factor[axis - 2]
        place = (2 * np.arange(n * a) + 1 - a).clip(0)
        first = place // (2 * a)
        return first, np.minimum(first + 1, n - 1), place - 2 * a * first


@dataclass(frozen=True, eq=False)
class Sum:
    """Add: y = the sum of factor · (number − zero point)

    zeros, factors   one for each slot that is read
    """

    op: ops.Add
    zeros: tuple[int, ...]
    factors: Array
    shift: int
    zero: int

    @property
    def offset(self) -> int:
        """What C adds to the sum of factor · number."""
        zeros = sum(int(f) * z for f, z in zip(self.factors, self.zeros))
        return rounding(self.shift - 1, self.zero) - zeros

    def run(self, x: Array, other: Array) -> Array:
        numbers = zip(self.factors, (x, other), self.zeros)
        sums = sum(f * integers(exact(q, zero)).reshape(x.shape) for f, q, zero in numbers)
        return rescale(np.asarray(sums), self.shift, self.zero)


def sum_of(op: ops.Add, read: list[Quantization], y: Quantization) -> Sum:
    f, shift = factors(np.array([x.scale / y.scale for x in read]), 1)
    return Sum(op, tuple(x.zero for x in read), f.astype(np.int64), shift, y.zero)


@dataclass(frozen=True, eq=False)
class Product(Rescaled):
    """Multiply: y = factor · (x − zero point) · (other − zero point)"""

    op: ops.Multiply
    zeros: tuple[int, int]
    factor: int
    shift: int
    zero: int

    def run(self, x: Array, other: Array) -> Array:
        a, b = (integers(exact(q, zero)) for q, zero in zip((x, other), self.zeros))
        return rescale(self.factor * a * b.reshape(a.shape), self.shift, self.zero)


def product_of(op: ops.Multiply, read: list[Quantization], y: Quantization) -> Product:
    x, other = read
    f, shift = factors(np.array([x.scale * other.scale / y.scale]), INT8_MAX - INT8_MIN)
    return Product(op, (x.zero, other.zero), int(f[0]), shift, y.zero)


@dataclass(frozen=True, eq=False)
class Mean(Rescaled):
    """AvgPool: y = (factor / n, rounded) · the sum of x − x_zero over the n numbers of a window"""

    op: ops.AvgPool
    x_zero: int
    factor: int
    shift: int
    zero: int

    def run(self, x: Array) -> Array:
        numbers = exact(x, self.x_zero)
        inside = integers(windows(self.op, np.ones((1, 1, *x.shape[2:])), 0).sum(axis=(4, 5)))
        sums = integers(windows(self.op, numbers, 0).sum(axis=(4, 5)))
        return rescale(sums * ((self.factor + inside // 2) // inside), self.shift, self.zero)


def mean_of(op: ops.AvgPool, x: Quantization, y: Quantization) -> Mean:
    f, shift = factors(np.array([x.scale / y.scale]), 1)
    return Mean(op, x.zero, int(f[0]), shift, y.zero)


@dataclass(frozen=True, eq=False)
class Slopes(Rescaled):
    """PReLU: y = factor · (x − x_zero), where a negative number has its channel's factor"""

    op: ops.PReLU
    x_zero: int
    positive: int
    negative: Array
    shift: int
    zero: int

    def run(self, x: Array) -> Array:
        numbers = integers(exact(x, self.x_zero)).reshape(len(x), self.negative.size, -1)
        f = np.where(numbers > 0, self.positive, self.negative[:, None])
        return rescale(f * numbers, self.shift, self.zero)


def slopes(op: ops.PReLU, weights: Array, x: Quantization, y: Quantization) -> Slopes:
    slope = weights[op.slope.offset : op.slope.offset + op.slope.size].astype(np.float64)
    ratios = x.scale / y.scale * np.concatenate([[1.0], slope])
    largest, shift = factors(abs(ratios).max(keepdims=True), 1)
    f = np.rint(np.ldexp(ratios, shift)).clip(-largest, largest).astype(np.int32)
    return Slopes(op, x.zero, int(f[0]), f[1:], shift, y.zero)
