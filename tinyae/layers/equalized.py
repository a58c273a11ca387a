"""Equalised learning rate: weights are kept at unit variance and scaled where they are used.

Adam moves every weight by about the learning rate at a step, whatever its gradient. Weights that
began small, as those of a wide layer, would then change faster, in proportion, than large ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tinyae.arguments import number
from tinyae.layers.base import Layer, check_input
from tinyae.layers.compose import join_names
from tinyae.layers.conv import Conv2d
from tinyae.layers.conv1d import Conv1d
from tinyae.layers.dense import Dense
from tinyae.param import Array

__all__ = ["Equalized"]


class Equalized(Layer):
    """A layer y = L(W, x) + b whose weights act as c·W. Draw W from N(0, 1): ``init=Normal(1.0)``.

    Forward   y = L(cW, x) + b = L(W, c x) + b,   c = gain / √fan_in,   as L is linear in W and in x
    Shapes    those of the layer: Dense, Conv2d or Conv1d
    Backward  dx = c Lᵀ dy      dW = c ∂⟨dy, L(W, x)⟩/∂W,   the layer's own at the input c x
              db as of the layer
    Tangent   ẏ = L(W, c ẋ)
    Cache     the layer's
    Raises    TypeError for another layer, ValueError for a gain that is not finite and > 0
    Source    Karras, Aila, Laine & Lehtinen (2018), §4.1; c with gain √2 is He's (2015), eq. 10
    """

    def __init__(self, layer: Layer, gain: float = math.sqrt(2)) -> None:
        if not isinstance(layer, (Dense, Conv1d, Conv2d)):
            raise TypeError(
                f"Equalized: layer is {layer!r:.60}, expected Dense, Conv1d or Conv2d, whose weights "
                "W[o] feed one output; pass e.g. Dense(4, 2, rng=rng, init=Normal(1.0))"
            )
        self.layer = layer
        self.gain = number("Equalized", "gain", gain, 1.0)
        if not 0 < self.gain < math.inf:
            raise ValueError(
                f"Equalized: gain is {gain}, expected a number > 0; pass e.g. gain=1.0"
            )

    @property
    def scale(self) -> float:
        """c"""
        return self.gain / math.sqrt(math.prod(self.layer.params["W"].shape[1:]))

    def forward(self, x: Array) -> tuple[Array, Any]:
        check_input(self, x)
        return self.layer.forward(self.scale * x)

    def backward(self, dy: Array, cache: Any) -> Array:
        return self.scale * self.layer.backward(dy, cache)

    def backward_params(self, dy: Array, cache: Any) -> None:
        self.layer.backward_params(dy, cache)

    def backward_input(self, dy: Array, cache: Any) -> Array:
        return self.scale * self.layer.backward_input(dy, cache)

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        return self.layer(self.scale * x)

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        return self.layer.tangent(self.scale * xdot, cache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, None]:
        dxdot, _ = self.layer.tangent_backward(dydot, tcache)
        return self.scale * dxdot, None

    def trace(self, x: Array, name: str) -> Iterator[tuple[str, Array]]:
        yield from self.layer.trace(self.scale * x, join_names(name, "layer"))

    def __repr__(self) -> str:
        return f"Equalized({self.layer!r}, gain={self.gain:.4g})"
