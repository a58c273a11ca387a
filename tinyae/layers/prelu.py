"""PReLU: a leaky ReLU whose slopes below 0 are learnt."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import float_dtype, number, positive_int
from tinyae.layers.base import Layer, check_dy, check_input
from tinyae.param import Array, Param

__all__ = ["PReLU"]


class PReLU(Layer):
    """x where it is positive, else x times a learnt slope, one for each channel.

    Forward   y = x if x > 0 else a_c x
    Shapes    x, y (N, C, …)   a (C,)
    Backward  dx = s dy,   s = 1 if x > 0 else a_c      da_c = Σ dy min(x, 0)
    Tangent   ẏ = s ẋ, and for φ = ⟨dẏ, ẏ⟩:  ∂φ/∂ẋ = s dẏ,  ∂φ/∂a_c = Σ [x ≤ 0] ẋ dẏ,  ∂φ/∂x = 0
    Cache     x
    Source    He, Zhang, Ren & Sun (2015), eq. 1 to 3, with a = ¼ at first; at the kink s = a_c

    PyTorch calls a weight.
    """

    def __init__(
        self, num_channels: int, slope: float = 0.25, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.num_channels = positive_int("PReLU", "num_channels", num_channels)
        self.slope = number("PReLU", "slope", slope, 0.25)
        if not math.isfinite(self.slope):
            raise ValueError(f"PReLU: slope is {slope}, expected a finite number; pass e.g. 0.25")
        self.a = Param(np.full(self.num_channels, self.slope, float_dtype("PReLU", dtype)))

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x, ("N", self.num_channels, *["…"] * (np.ndim(x) - 2)))
        return np.where(x > 0, x, self.wide(x) * x), x

    def backward(self, dy: Array, x: Array) -> Array:
        dy = check_dy(self, dy, x.shape, x.dtype)
        self.a.grad += self.narrow(dy * np.minimum(x, 0))
        return dy * self.s(x)

    def tangent(self, xdot: Array, x: Array) -> tuple[Array, Any]:
        return xdot * self.s(x), (xdot, x)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, None]:
        xdot, x = tcache
        self.a.grad += self.narrow(np.where(x > 0, 0, xdot) * dydot)
        return dydot * self.s(x), None

    def s(self, x: Array) -> Array:
        """∂y/∂x: 1 or a_c, and NaN where x is NaN"""
        return np.where(x > 0, 1, np.where(np.isnan(x), x, self.wide(x)))

    def wide(self, x: Array) -> Array:
        """a, reshaped to broadcast against x"""
        return self.a.value.reshape(-1, *[1] * (x.ndim - 2))

    def narrow(self, g: Array) -> Array:
        """Sums over all axes but the channels'"""
        return g.sum(axis=(0, *range(2, g.ndim)))

    def __repr__(self) -> str:
        return f"PReLU({self.num_channels})"
