"""Operations in 8-bit integers. Each has ``op``, the operation in float, and ``run``.

``run`` takes and gives int8 arrays with one row for each sample.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyae.kernels.expressions import numpy_function
from tinyae.kernels.functions import FUNCTIONS
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.int8.arithmetic import (
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
from tinyae.program.run_numpy import compute

LINEAR_MAPS: dict[type[ops.Op], tuple[str, str, int]] = {
    ops.Dense: ("W", "b", 0),
    ops.Conv: ("W", "b", 0),
    ops.ConvTranspose: ("W", "b", 1),
    ops.Affine: ("scale", "shift", 0),
}
"""The names of the slots of the weights and of the bias, and the axis of the outputs."""


@dataclass(frozen=True, eq=False)
class LinearMap:
    """y = requantize(W (x − x_zero) + b), at least ``low``: a ReLU's zero, or −128

    W int8   b (O,) int32   multiplier (O,) int32
    """

    op: Any
    W: Array
    b: Array
    multiplier: Array
    shift: int
    x_zero: int
    zero: int
    low: int

    @property
    def offset(self) -> int:
        return rounding(self.shift, self.zero)

    def run(self, x: Array) -> Array:
        weights, bias, _ = LINEAR_MAPS[type(self.op)]
        arrays = {weights: exact(self.W), bias: exact(self.b)}
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
    W_name, b_name, axis = LINEAR_MAPS[type(op)]
    W, b = (
        weights[s.offset : s.offset + s.size].reshape(s.shape)
        for s in (op.slots[W_name], op.slots[b_name])
    )
    return quantize_weights(W, b, x.scale, axis)


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
    """An operation that only chooses among numbers, so that their scale does not matter."""

    op: ops.Op

    def run(self, x: Array) -> Array:
        return compute(self.op, x=exact(x)).astype(np.int8)


@dataclass(frozen=True, eq=False)
class Sum:
    """y = the sum of factor · (number − zero point), of two results (Add) or a window (AvgPool)

    zeros, factors   one for each slot that is read
    """

    op: Any
    zeros: tuple[int, ...]
    factors: Array
    count: int
    shift: int
    zero: int

    @property
    def offset(self) -> int:
        """What C adds to the sum of factor · number."""
        zeros = self.count * sum(int(f) * z for f, z in zip(self.factors, self.zeros))
        return rounding(self.shift - 1, self.zero) - zeros

    def run(self, *read: Array) -> Array:
        numbers = [exact(q, zero) for q, zero in zip(read, self.zeros)]
        if isinstance(self.op, ops.AvgPool):
            numbers = [np.rint(compute(self.op, x=numbers[0]) * self.count)]
        shape = numbers[0].shape
        sums = sum(f * integers(n).reshape(shape) for f, n in zip(self.factors, numbers))
        return rescale(np.asarray(sums), self.shift, self.zero)


def sum_of(op: Any, read: list[Quantization], y: Quantization) -> Sum:
    count = int(np.prod(op.window)) if isinstance(op, ops.AvgPool) else 1
    ratios = np.array([x.scale / (y.scale * count) for x in read])
    f, shift = factors(ratios, count)
    return Sum(op, tuple(x.zero for x in read), f.astype(np.int64), count, shift, y.zero)
