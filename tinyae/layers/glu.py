"""The gated linear unit: one half of the channels decides how much of the other half passes."""

from __future__ import annotations

import numpy as np

from tinyae import kernels
from tinyae.layers.base import Layer, check_dy, check_input
from tinyae.param import Array

__all__ = ["GLU"]

Cache = tuple[Array, Array]


class GLU(Layer):
    """Half of the channels, each times the sigmoid of its partner in the other half.

    Forward   y = a ∘ s,   s = σ(b),   x = [a, b] along axis 1
    Shapes    x (N, 2C, …)   a, b, s, y (N, C, …)
    Backward  da = dy ∘ s      db = dy ∘ a ∘ s′,   s′ = s (1 − s)
    Tangent   ẏ = ȧ ∘ s + a ∘ s′ ∘ ḃ
    Cache     a and s
    Raises    ValueError if the number of channels is odd
    Source    Dauphin, Fan, Auli & Grangier (2017), §2

    The gradient reaches a through a factor s that does not saturate with a: a linear path.
    """

    def forward(self, x: Array) -> tuple[Array, Cache]:
        check_input(self, x)
        if x.ndim < 2 or x.shape[1] % 2 or not x.shape[1]:
            raise ValueError(
                f"GLU: x has shape {x.shape}, expected (N, 2C, …) with an even number of channels; "
                "give the layer before it twice the channels of y"
            )
        a, b = np.split(x, 2, axis=1)
        s = kernels.sigmoid(b)
        return a * s, (a, s)

    def backward(self, dy: Array, cache: Cache) -> Array:
        a, s = cache
        dy = check_dy(self, dy, a.shape)
        return np.concatenate([dy * s, dy * a * (s * (1 - s))], axis=1)

    def tangent(self, xdot: Array, cache: Cache) -> tuple[Array, tuple[Array, Array, Array]]:
        a, s = cache
        adot, bdot = np.split(xdot, 2, axis=1)
        return adot * s + a * (s * (1 - s)) * bdot, (xdot, a, s)

    def tangent_backward(
        self, dydot: Array, tcache: tuple[Array, Array, Array]
    ) -> tuple[Array, Array]:
        xdot, a, s = tcache
        adot, bdot = np.split(xdot, 2, axis=1)
        slope = s * (1 - s)
        dxdot = np.concatenate([dydot * s, dydot * a * slope], axis=1)
        # ∂ẏ/∂a = s′ ḃ      ∂ẏ/∂b = ȧ s′ + a s″ ḃ,   s″ = s′ (1 − 2s)
        db = dydot * slope * (adot + a * (1 - 2 * s) * bdot)
        return dxdot, np.concatenate([dydot * slope * bdot, db], axis=1)
