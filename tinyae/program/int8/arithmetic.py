"""Numbers as 8-bit integers, and how sums of products become 8-bit integers again.

Everything here is defined to the bit, so that C can compute the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinyae.param import Array

INT8_MIN, INT8_MAX = -128, 127
MAX_SHIFT = 20
MAX_RATIO = 0.25  # of the scales before and after requantisation: see requantize


class Quantization(NamedTuple):
    """The integer q stands for the number scale · (q − zero); −128 ≤ q, zero ≤ 127."""

    scale: float  # a float32 number
    zero: int

    def quantize(self, x: Array) -> Array:
        """x (float32) as int8: the nearest, halves away from 0; −128 for NaN.

        It is computed in halves, as an integer: the only rounding in float32 is that of a product,
        and no compiler can join it with another operation.
        """
        inverse = np.float32(self.halves_per_unit)
        with np.errstate(over="ignore", invalid="ignore"):
            return self.from_halves(np.asarray(x, np.float32) * inverse)

    def from_halves(self, halves: Array) -> Array:
        """The nearest to halves / 2 plus the zero point, halves away from 0; −128 for NaN."""
        low, high = (np.float32(2 * (end - self.zero)) for end in (INT8_MIN, INT8_MAX))
        inside = np.where(halves > low, np.where(halves < high, halves, high), low)
        whole = inside.astype(np.int32)  # towards 0
        away = whole + np.sign(whole)
        return (np.sign(away) * (abs(away) // 2) + self.zero).astype(np.int8)

    def dequantize(self, q: Array) -> Array:
        """The float32 numbers that q stands for."""
        return np.float32(self.scale) * (q.astype(np.int32) - self.zero).astype(np.float32)

    @property
    def range_text(self) -> str:
        low, high = (self.scale * (end - self.zero) for end in (INT8_MIN, INT8_MAX))
        return f"from {low:.6g} to {high:.6g}"

    @property
    def halves_per_unit(self) -> float:
        return float(np.float32(2 / self.scale))


def quantization(low: float, high: float) -> Quantization:
    """For numbers between low and high. 0 is always among them, exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / (INT8_MAX - INT8_MIN))
    if scale < np.finfo(np.float32).tiny:  # all numbers are 0
        scale = np.float32(1)
    zero = np.rint(INT8_MIN - low / float(scale))
    return Quantization(float(scale), int(np.clip(zero, INT8_MIN, INT8_MAX)))


def multipliers(ratios: Array) -> tuple[Array, int]:
    """Integers m < 2³¹ and a shift with ratios ≈ m / 2^(33 + shift); each ratio < 1/4.

    The largest m has 31 bits, unless that takes a shift above MAX_SHIFT. So the result of
    :func:`requantize` is off by 1/8 at most, and by far less where sums are not near 2³¹.
    """
    _, exponent = np.frexp(ratios.max())  # ratios.max() < 2^exponent
    shift = int(np.clip(-2 - exponent, 0, MAX_SHIFT))
    m = np.rint(np.ldexp(ratios, 33 + shift))
    return np.minimum(m, 2**31 - 1).astype(np.int32), shift


def rounding(shift: int, zero: int) -> int:
    """What :func:`requantize` adds: 1/2 and the zero point."""
    return (zero << (shift + 1)) + (1 << shift)


def requantize(sums: Array, multiplier: Array, shift: int, zero: int, low: int) -> Array:
    """round(sums · multiplier / 2^(33 + shift)) + zero between low and 127, as int8.

    |sums| < 2³¹. Rounded once, halves upwards. As the shift is at least 33, the lower half of the
    64-bit product is not needed: on a 32-bit machine these are a product, an addition and a shift.
    """
    high = (sums.astype(np.int64) * multiplier) >> 32
    q = (high + rounding(shift, zero)) >> (shift + 1)
    return q.clip(low, INT8_MAX).astype(np.int8)


def factors(ratios: Array, count: int) -> tuple[Array, int]:
    """Integers f and a shift with ratios ≈ f / 2^shift, for sums of ``count`` products by each.

    A sum of factors times 8-bit integers, less their zero points, is below 2²⁹.
    """
    largest = (INT8_MAX - INT8_MIN) * count * ratios.sum()
    shift = int(np.clip(np.floor(29 - np.log2(largest)), 1, 22))
    limit = 2**29 // ((INT8_MAX - INT8_MIN) * count * len(ratios))
    f = np.rint(np.ldexp(ratios, shift)).clip(0, limit if shift == 1 else None)
    return f.astype(np.int32), shift


def rescale(sums: Array, shift: int, zero: int) -> Array:
    """round(sums / 2^shift) + zero as int8; halves upwards."""
    q = (sums + rounding(shift - 1, zero)) >> shift
    return q.clip(INT8_MIN, INT8_MAX).astype(np.int8)


def quantize_weights(
    W: Array, b: Array, x_scale: float, largest_x: float = INT8_MAX - INT8_MIN
) -> tuple[Array, Array, Array]:
    """W (O, …) and b (O,) as integers (int8, int32), and the scale of W for each output.

    The scale is the largest weight's over 127; larger only where sums would not fit in 31 bits.
    b counts in units of scale · x_scale, as the sums do. No integer x is above ``largest_x``.
    """
    rows = W.astype(np.float64).reshape(b.size, -1)
    b = b.astype(np.float64)
    largest_sum = largest_x * abs(rows).sum(axis=1) + abs(b) / x_scale
    scale = np.maximum(abs(rows).max(axis=1) / INT8_MAX, largest_sum / 2**30)
    scale[scale == 0] = scale.max() or 1.0
    q = np.rint(rows / scale[:, None]).clip(-INT8_MAX, INT8_MAX).astype(np.int8)
    return q.reshape(W.shape), np.rint(b / (scale * x_scale)).astype(np.int32), scale


def inverse_root(v: Array) -> tuple[Array, Array]:
    """h and r ≈ 2³¹ / √(v / 4ʰ) to 2⁻¹⁵ of it, where 2³⁰ ≤ v / 4ʰ < 2³²; integers v ≥ 1."""
    h = np.zeros_like(v)
    while (large := v >= 2**32).any():
        v, h = np.where(large, v >> 2, v), h + large
    while (small := v < 2**30).any():
        v, h = np.where(small, v << 2, v), h - small
    root = np.zeros_like(v)
    for bit in reversed(range(16)):
        larger = root | (1 << bit)
        root = np.where(larger * larger <= v, larger, root)
    return h, 2**31 // root


def nearest(x: Array, to: Quantization) -> Array:
    """x (float64) as int8. Unlike ``Quantization.quantize``, for constants: C never computes it."""
    return np.rint(x / to.scale + to.zero).clip(INT8_MIN, INT8_MAX).astype(np.int8)


def exact(q: Array, zero: int = 0) -> Array:
    """q − zero in float64, in which sums of products of 8-bit integers are exact."""
    difference: Array = q.astype(np.float64) - zero
    return difference


def integers(x: Any) -> Array:
    """Whole numbers in float64 as int64."""
    return np.asarray(x).astype(np.int64)
