"""What every convolution shares: y = Lx + b with a linear map L that weights W define.

A convolution has L = C, a transposed one L = Cᵀ. In two dimensions see ``conv.py``, in one
``conv1d.py``.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import check_callable, float_dtype, padding_pair, positive_int
from tinyae.initializers import GlorotUniform, Initializer, initial_bias
from tinyae.layers.base import Layer
from tinyae.param import Array, Param

Pair = tuple[int, int]
Pad = tuple[int, int, int, int]  # top, bottom, left, right
SAME = ("same", "same_lower")  # keep ⌈length/s⌉; where the padding is odd, they differ


class _Convolution(Layer):
    """What all convolutions share: W and b, and the derivatives of y = Lx + b."""

    in_channels: int
    out_channels: int
    groups: int

    def draw(
        self,
        shape: tuple[int, ...],
        init: Initializer | None,
        rng: np.random.Generator | None,
        dtype: DTypeLike,
    ) -> None:
        area, who = math.prod(shape[2:]), type(self).__name__
        init, dtype = init or GlorotUniform(), float_dtype(who, dtype)
        check_callable(who, "init", init, "HeNormal()")
        fan_in, fan_out = (c // self.groups * area for c in (self.in_channels, self.out_channels))
        self.W = Param(init(shape, fan_in, fan_out, rng, dtype))
        self.b = Param(initial_bias(init, self.out_channels, shape, rng, dtype))

    # --- the map L: C for Conv2d, Cᵀ for ConvTranspose2d -----------------------------------------

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.check(x)
        return self.linear(x, self.b.value), x  # y = Lx + b

    def backward(self, dy: Array, x: Array) -> Array:
        dy = self.check_dy(dy, x)
        self.W.grad += self.weight_grad(dy, x)
        kernels.bias_grad(images(dy), self.b.grad)  # db[o] = Σ dy[n,o,i,j]
        return self.adjoint(dy, x)  # dx = Lᵀ dy

    def backward_params(self, dy: Array, x: Array) -> None:
        dy = self.check_dy(dy, x)
        self.W.grad += self.weight_grad(dy, x)
        kernels.bias_grad(images(dy), self.b.grad)

    def backward_input(self, dy: Array, x: Array) -> Array:
        return self.adjoint(self.check_dy(dy, x), x)

    def tangent(self, xdot: Array, x: Array) -> tuple[Array, Array]:
        return self.linear(xdot), xdot  # ẏ = Lẋ

    def tangent_backward(self, dydot: Array, xdot: Array) -> tuple[Array, None]:
        self.W.grad += self.weight_grad(dydot, xdot)
        return self.adjoint(dydot, xdot), None

    def linear(self, x: Array, b: Array | None = None) -> Array:
        """Lx, or Lx + b"""
        raise NotImplementedError

    def adjoint(self, dy: Array, x: Array) -> Array:
        """Lᵀ dy, of x's shape"""
        raise NotImplementedError

    def weight_grad(self, dy: Array, x: Array) -> Array:
        """∂⟨dy, Lx⟩/∂W"""
        raise NotImplementedError

    def check(self, x: Array) -> None:
        """Raise unless the layer can take x."""
        raise NotImplementedError

    def check_dy(self, dy: Array, x: Array) -> Array:
        """dy in x's dtype; raise unless it has y's shape."""
        raise NotImplementedError


@functools.lru_cache(maxsize=256)
def same_padding(padding: str, size: Pair, extent: Pair, stride: Pair) -> Pad:
    """The padding that ⌈length/s⌉ windows need, half of it on each side of the image.

    ``padding`` is "same" or "same_lower", which puts an odd zero at the top and the left.
    """
    before_after = []
    for length, k, s in zip(size, extent, stride):
        total = max((-(-length // s) - 1) * s + k - length, 0)
        before = -(-total // 2) if padding == "same_lower" else total // 2
        before_after += [before, total - before]
    top, bottom, left, right = before_after
    return top, bottom, left, right


def padding_2d(who: str, value: int | Pair | str) -> Pair | str:
    """Two paddings as of ``padding_pair``, or "same", or "same_lower".

    Raises
        ValueError  anything else
    """
    return value if isinstance(value, str) and value in SAME else padding_pair(who, value)


def group_count(who: str, groups: int, in_channels: int, out_channels: int) -> int:
    """``groups``, an int ≥ 1 that divides both numbers of channels.

    Raises
        ValueError  anything else
    """
    groups = positive_int(who, "groups", groups, 1)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"{who}: groups is {groups}, expected a divisor of in_channels {in_channels} and of "
            f"out_channels {out_channels}; pass e.g. groups={math.gcd(in_channels, out_channels)}"
        )
    return groups


def images(a: Array) -> Array:
    """Sequences (N, C, L) as images one pixel high, a view; images stay as they are."""
    return a[:, :, None] if a.ndim == 3 else a
