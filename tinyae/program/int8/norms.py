"""Operations in 8-bit integers that divide: by a standard deviation, or by a sum of exponentials.

There is one division for each row, of 2³¹ by a number of 16 bits; the rest are products and shifts.
See :mod:`.operations`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.int8.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    Quantization,
    exact,
    integers,
    inverse_root,
    multipliers,
    quantize_weights,
    requantize,
)
from tinyae.program.int8.operations import Requantized
from tinyae.program.program import LINEAR

AnyNorm = ops.LayerNorm | ops.Normalize
_NORM_BITS = 22  # of the largest x̂; a product with 7 bits of W and the sum with b fit in 31
_INVERSE_BITS = 31  # of an inverse before the shift by h
_SHARE_BITS = 30  # of a share of a sum, which is at most 1, behind the point


@dataclass(frozen=True, eq=False)
class Norm(Requantized):
    """y = requantize(W x̂ + b), x̂ = (x − μ) / √(v + ε) along axis 1 of x in the shape ``view``

    With q = x − x_zero, S = Σ q if ``centered`` and else 0, and n numbers in a row,
    x̂ = (n q − S) / √(n Σ q² − S² + n² ε / scale²), to ``fraction`` bits behind the point.

    W int8, b int32, multiplier int32: (n,) for LayerNorm, (1,) for Normalize, (C,) for one with
    the Affine that follows it, which gives y at least ``low``
    per   how many neighbours have the same W
    eps   n² ε / scale², at least 1
    """

    op: AnyNorm
    view: tuple[int, int, int]
    centered: bool
    eps: int
    fraction: int
    W: Array
    b: Array
    multiplier: Array
    per: int
    shift: int
    x_zero: int
    zero: int
    low: int

    def run(self, x: Array) -> Array:
        q = integers(exact(x, self.x_zero)).reshape(len(x), *self.view)
        n = self.view[1]
        total = self.centered * q.sum(axis=2, keepdims=True)
        square = n * (q * q).sum(axis=2, keepdims=True) - total * total + self.eps
        h, inverse = inverse_root(square)
        down = _INVERSE_BITS - self.fraction + h
        xhat = ((n * q - total) * inverse + (1 << (down - 1))) >> down
        index = (np.arange(math.prod(self.view)) // self.per % self.W.size).reshape(self.view)
        W, b, multiplier = (a[index] for a in (self.W, self.b, self.multiplier))
        return requantize(W * xhat + b, multiplier, self.shift, self.zero, self.low)

    @property
    def down(self) -> int:
        """By how many bits C shifts the product with the inverse root, beside h."""
        return _INVERSE_BITS - self.fraction


def norm(
    op: AnyNorm, weights: Array, x: Quantization, y: Quantization, affine: ops.Affine | None = None
) -> Norm:
    view, centered = _view(op)
    n = view[1]
    W, b, scale, fraction = _norm_weights(op, weights, affine)
    multiplier, shift = multipliers(scale * 0.5**fraction / y.scale)
    eps = int(min(max(np.rint(n * n * op.eps / x.scale**2), 1), 2**60))
    per = 1 if affine is None else op.x.size // W.size
    low = INT8_MIN if affine is None or affine.f == LINEAR else y.zero  # its f is nothing or ReLU
    sizes = view, centered, eps, fraction
    return Norm(op, *sizes, W, b, multiplier, per, shift, x.zero, y.zero, low)


def _view(op: AnyNorm) -> tuple[tuple[int, int, int], bool]:
    if isinstance(op, ops.Normalize):
        return op.view, op.centered
    return (op.x.size // op.gamma.size, op.gamma.size, 1), True


def _norm_weights(
    op: AnyNorm, weights: Array, affine: ops.Affine | None
) -> tuple[Array, Array, Array, int]:
    """W, b, the scale of W, and the bits of x̂ behind the point: x̂ is at most √n."""
    n = _view(op)[0][1]
    fraction = min(15, _NORM_BITS - math.ceil(math.log2(n) / 2))
    gamma, beta = np.ones(1), np.zeros(1)
    slots: tuple[ops.Slot, ...] = ()
    if isinstance(op, ops.LayerNorm):
        slots = op.gamma, op.beta
    elif affine is not None:
        slots = affine.scale, affine.shift
    if slots:
        gamma, beta = (weights[s.offset : s.offset + s.size] for s in slots)
    more = 0.5**fraction, math.sqrt(n) * 2**fraction
    W, b, scale = quantize_weights(gamma.ravel(), beta.ravel(), *more)
    return W, b, scale, fraction


@dataclass(frozen=True, eq=False)
class Softmax(Requantized):
    """y = requantize(e / Σ e), e = exponentials[max x − x], over axis 0 of a sample

    exponentials   round(2¹⁵ exp(−scale · d)) for d = 0 … 255, at most 2¹⁵ − 1
    """

    op: ops.Softmax
    exponentials: Array
    multiplier: int
    shift: int
    zero: int
    down = _INVERSE_BITS - _SHARE_BITS

    @property
    def classes(self) -> int:
        return (self.op.x.shape or (1,))[0]

    def run(self, x: Array) -> Array:
        q = integers(x).reshape(len(x), self.classes, -1)
        e = integers(self.exponentials[q.max(axis=1, keepdims=True) - q])
        total = e.sum(axis=1, keepdims=True)
        h = np.zeros_like(total)
        while (large := total >> h >= 2**16).any():
            h += large
        share = (e * (2**_INVERSE_BITS // (total >> h))) >> (self.down + h)
        return requantize(share, np.int32(self.multiplier), self.shift, self.zero, INT8_MIN)


def softmax(op: ops.Softmax, x: Quantization, y: Quantization) -> Softmax:
    steps = np.arange(INT8_MAX - INT8_MIN + 1.0)
    table = np.rint(2.0**15 * np.exp(-x.scale * steps)).clip(0, 2**15 - 1).astype(np.int16)
    multiplier, shift = multipliers(np.array([0.5**_SHARE_BITS / y.scale]))
    return Softmax(op, table, int(multiplier[0]), shift, y.zero)


def finest_step(
    op: AnyNorm | ops.Softmax, weights: Array, affine: ops.Affine | None = None
) -> float:
    """The largest scale of what is requantised."""
    if isinstance(op, ops.Softmax):
        return float(0.5**_SHARE_BITS)
    _, _, scale, fraction = _norm_weights(op, weights, affine)
    return float(scale.max() * 0.5**fraction)
