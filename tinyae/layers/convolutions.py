"""Convolutions in a row, with the ReLU after each: for speed alone, as :mod:`tinyae.layers.perceptron`.

Images are many numbers, and to pass over all of them for a ReLU costs as much as a tenth of the
convolution. So a convolution rectifies what it has just summed, and on the way back lets through
what the ReLU lets through. Where :mod:`tinyae.layers.runs` finds such a run, it stands for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from tinyae import kernels
from tinyae.layers.activation import ReLU
from tinyae.layers.base import Layer
from tinyae.layers.conv import Conv2d, ConvTranspose2d
from tinyae.param import Array, Param

_OWN = {"in_channels", "out_channels", "kernel_size", "stride", "padding", "W", "b"}


class Convolutions:
    """Convolutions, each with or without a ReLU after it, as one.

    Forward   yₗ = f(Cₗ yₗ₋₁ + bₗ),   y₀ = x,   f the ReLU or nothing
    Backward  gₗ = dyₗ ∘ f′      dWₗ, dbₗ from gₗ and yₗ₋₁      dyₗ₋₁ = Cₗᵀ gₗ
    Cache     each layer's own, in a list: x of a convolution, y of a ReLU
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.stages: list[tuple[Conv2d | ConvTranspose2d, bool]] = []
        for layer, after in zip(layers, [*layers[1:], None]):
            if isinstance(layer, (Conv2d, ConvTranspose2d)):
                self.stages.append((layer, isinstance(after, ReLU)))

    @property
    def params(self) -> dict[str, Param]:
        return self.stages[0][0].params

    def forward(self, x: Array) -> tuple[Array, list[Array]]:
        caches = []
        for conv, rectified in self.stages:
            conv.check(x)
            caches.append(x)
            x = conv.linear(x, conv.b.value, rectified)
            if rectified:
                caches.append(x)
        return x, caches

    def backward(self, dy: Array, caches: list[Array]) -> Array:
        conv, g, x = self._to_the_first(dy, caches)
        return conv.backward(g, x)

    def backward_params(self, dy: Array, caches: list[Array]) -> None:
        conv, g, x = self._to_the_first(dy, caches)
        conv.backward_params(g, x)

    def _to_the_first(
        self, dy: Array, caches: list[Array]
    ) -> tuple[Conv2d | ConvTranspose2d, Array, Array]:
        """Back to the first convolution: it, its g and its x."""
        left = list(caches)
        g = kernels.relu_backward(dy, left.pop()) if self.stages[-1][1] else dy
        for k in range(len(self.stages) - 1, 0, -1):
            conv, x = self.stages[k][0], left.pop()
            conv.backward_params(g, x)
            g = conv.adjoint(g, x, left.pop() if self.stages[k - 1][1] else None)
        return self.stages[0][0], g, left.pop()


def plain(layer: Layer) -> TypeGuard[Conv2d | ConvTranspose2d]:
    """Whether it is a convolution as it was made."""
    own = {Conv2d: _OWN, ConvTranspose2d: _OWN | {"output_padding"}}
    return vars(layer).keys() == own.get(type(layer))
