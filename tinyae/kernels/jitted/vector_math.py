"""eˣ, eˣ − 1, ln(1 + x), σ and tanh as pure arithmetic, which LLVM can vectorise in a loop.

The C library's functions are exact but take one number at a time; NumPy's are vectorised on some
processors only. These are accurate to two units in the last place in float32 and float64, and
propagate NaN and infinity.

    x = n ln 2 + r,   |r| ≤ ½ ln 2        eˣ = 2ⁿ eʳ        eˣ − 1 = 2ⁿ (eʳ − 1) + (2ⁿ − 1)

eʳ − 1 is computed by its Taylor series, whose first omitted term is below the rounding error. To
round n, a number is added that is so large that no bits remain for a fraction. The lowest bits of
the sum then hold n, and are shifted into the exponent of 2ⁿ. At the ends of the exponent's range
the result is 0 or infinity: in float32 at and beyond −87.7 and 88.4, in float64 −708.7 and 709.4.

Source    Cody & Waite (1980), ch. 6, for splitting ln 2 into a short part and the rest
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from tinyae.kernels.jitted.threads import njit

# No "reassoc": it would turn x − n·long − n·short into x − n·(long + short).
exact = njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})


@intrinsic
def _power_of_two(typing: Any, shifted: Any) -> Any:
    """2ⁿ, from n plus the rounding constant: its lowest bits are shifted into the exponent."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        single = signature.args[0] == types.float32
        bits = ir.IntType(32 if single else 64)
        bias, shift = (127, 23) if single else (1023, 52)
        integer = builder.bitcast(args[0], bits)
        moved = builder.shl(builder.add(integer, bits(bias)), bits(shift))
        return builder.bitcast(moved, args[0].type)

    return shifted(shifted), emit


def by_precision(single: Any, double: Any) -> Any:
    """A function for compiled code: ``single`` for a float32 argument, ``double`` for a float64."""

    def function(x):  # type: ignore[no-untyped-def]
        raise NotImplementedError("for compiled code")

    @overload(function)
    def choose(x):  # type: ignore[no-untyped-def]
        return (lambda x: single(x)) if x == types.float32 else (lambda x: double(x))

    return function


@exact
def _parts_single(x: float) -> tuple[float, float]:
    """eʳ − 1 and 2ⁿ, of a float32."""
    number, rounding = np.float32, np.float32(3 << 22)
    bounded = number(-88) if x < number(-88) else x  # with this comparison NaN stays NaN
    bounded = number(89) if bounded > number(89) else bounded
    shifted = bounded * number(1.4426950408889634) + rounding
    n = shifted - rounding
    r = (bounded - n * number(0.693359375)) - n * number(-2.12194440e-4)
    s = number(1 / 5040)
    s = s * r + number(1 / 720)
    s = s * r + number(1 / 120)
    s = s * r + number(1 / 24)
    s = s * r + number(1 / 6)
    s = s * r + number(0.5)
    s = s * r + number(1)
    return s * r, _power_of_two(shifted)


@exact
def _parts_double(x: float) -> tuple[float, float]:
    """eʳ − 1 and 2ⁿ, of a float64."""
    rounding = float(3 << 51)
    bounded = -709.0 if x < -709.0 else x
    bounded = 710.0 if bounded > 710.0 else bounded
    shifted = bounded * 1.4426950408889634 + rounding
    n = shifted - rounding
    r = (bounded - n * 0.6931471803691238) - n * 1.9082149292705877e-10
    s = 1 / 6227020800
    s = s * r + 1 / 479001600
    s = s * r + 1 / 39916800
    s = s * r + 1 / 3628800
    s = s * r + 1 / 362880
    s = s * r + 1 / 40320
    s = s * r + 1 / 5040
    s = s * r + 1 / 720
    s = s * r + 1 / 120
    s = s * r + 1 / 24
    s = s * r + 1 / 6
    s = s * r + 0.5
    s = s * r + 1
    return s * r, _power_of_two(shifted)


_parts = by_precision(_parts_single, _parts_double)


def like(x, c):  # type: ignore[no-untyped-def]
    """The constant c in x's precision; a plain literal would promote a float32 to float64."""
    raise NotImplementedError("for compiled code")


@overload(like, inline="always")
def _like(x, c):  # type: ignore[no-untyped-def]
    return (lambda x, c: np.float32(c)) if x == types.float32 else (lambda x, c: np.float64(c))


@exact
def exp(x: float) -> float:
    """eˣ"""
    s, a = _parts(x)
    return a * (like(x, 1) + s)  # a + a s would be ∞ − ∞ where 2ⁿ is infinite and s < 0


@exact
def expm1(x: float) -> float:
    """eˣ − 1 of x ≤ 0, accurate near 0"""
    s, a = _parts(x)
    return a * s + (a - like(x, 1))


@exact
def sigmoid(x: float) -> float:
    """1 / (1 + e⁻ˣ), which is 0 where e⁻ˣ is infinite"""
    one = like(x, 1)
    return one / (one + exp(-x))


@exact
def tanh(x: float) -> float:
    """tanh x = ± s / (s + 2) with s = e^−2|x| − 1"""
    s = expm1(like(x, -2) * abs(x))
    return np.copysign(s / (s + like(x, 2)), x)


@exact
def _artanh_single(s: float) -> float:
    """artanh s of |s| ≤ ⅓, a float32: s + s³/3 + s⁵/5 + …; each term is at most 1/9 of the last."""
    number, q = np.float32, s * s
    y = number(1 / 15)
    y = y * q + number(1 / 13)
    y = y * q + number(1 / 11)
    y = y * q + number(1 / 9)
    y = y * q + number(1 / 7)
    y = y * q + number(1 / 5)
    y = y * q + number(1 / 3)
    return s + s * (y * q)


@exact
def _artanh_double(s: float) -> float:
    """artanh s of |s| ≤ ⅓, a float64."""
    q = s * s
    y = 1 / 33
    y = y * q + 1 / 31
    y = y * q + 1 / 29
    y = y * q + 1 / 27
    y = y * q + 1 / 25
    y = y * q + 1 / 23
    y = y * q + 1 / 21
    y = y * q + 1 / 19
    y = y * q + 1 / 17
    y = y * q + 1 / 15
    y = y * q + 1 / 13
    y = y * q + 1 / 11
    y = y * q + 1 / 9
    y = y * q + 1 / 7
    y = y * q + 1 / 5
    y = y * q + 1 / 3
    return s + s * (y * q)


_artanh = by_precision(_artanh_single, _artanh_double)


@exact
def log1p(t: float) -> float:
    """ln(1 + t) of 0 ≤ t ≤ 1, as 2 artanh(t / (2 + t))"""
    two = like(t, 2)
    return two * _artanh(t / (two + t))
