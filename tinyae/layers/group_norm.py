"""Each sample's channels normalised in groups: between LayerNorm, one group, and one for each channel.

x (N, C, …) is seen as (N, G, C/G, L), L the number of positions in the other axes. Mean and variance
are those of the last two axes; the derivatives are at the top of ``norm.py``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import float_dtype, positive_int
from tinyae.layers.base import check_dy, check_input
from tinyae.layers.norm import Axes, _Norm, positive_eps
from tinyae.param import Array, Param
from tinyae.twin import fused

__all__ = ["GroupNorm", "InstanceNorm"]

Cache = tuple[tuple[int, ...], tuple[Array, Array]]  # the shape of x; x̂ and σ in groups


class GroupNorm(_Norm):
    """Each sample normalised over groups of C/G channels, without batch or running statistics.

    Forward   μ, v = mean and variance of a group: C/G channels, all positions
              y = γ_c x̂ + β_c,   x̂ = (x − μ) / √(v + ε)
    Shapes    x, y (N, C, …)   γ, β (C,)   m = C/G times the number of positions
              G is ``num_groups``, C ``num_channels``
    Backward  dx = (g − mean g − x̂ mean(g x̂)) / σ,   g = γ_c dy
              dγ_c = Σ dy x̂      dβ_c = Σ dy
    Tangent   see the top of norm.py
    Cache     x's shape; x̂, σ = √(v + ε)
    Raises    ValueError if G does not divide C, or a group has one value, whose variance is 0
    Source    Wu & He (2018), eq. 1, 2, 6 and 7

    PyTorch calls gamma and beta weight and bias.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        who = type(self).__name__
        self.num_groups = positive_int(who, "num_groups", num_groups, 8)
        self.num_channels = positive_int(who, "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"{who}: num_groups is {num_groups}, which does not divide num_channels, "
                f"{num_channels}; pass a divisor of {num_channels}"
            )
        self.eps = positive_eps(who, eps)
        dtype = float_dtype(who, dtype)
        self.gamma = Param(np.ones(self.num_channels, dtype))
        self.beta = Param(np.zeros(self.num_channels, dtype))

    @fused
    def forward(self, x: Array) -> tuple[Array, Cache]:
        self.check(x)
        _, _, xhat, sigma = self.normalize(self.grouped(x))
        y = xhat * self.wide(self.gamma.value, 4) + self.wide(self.beta.value, 4)
        return y.reshape(x.shape), (x.shape, (xhat, sigma))

    @fused
    def backward(self, dy: Array, cache: Cache) -> Array:  # type: ignore[override]
        shape, inner = cache
        dy = check_dy(self, dy, shape, inner[0].dtype)
        return super().backward(self.grouped(dy), inner).reshape(shape)

    def backward_params(self, dy: Array, cache: Cache) -> None:  # type: ignore[override]
        shape, inner = cache
        dy = check_dy(self, dy, shape, inner[0].dtype)
        super().backward_params(self.grouped(dy), inner)

    def tangent(self, xdot: Array, cache: Cache) -> tuple[Array, Any]:  # type: ignore[override]
        shape, inner = cache
        ydot, tcache = super().tangent(self.grouped(xdot), inner)
        return ydot.reshape(shape), (shape, tcache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array]:
        shape, inner = tcache
        dxdot, dx = super().tangent_backward(self.grouped(dydot), inner)
        return dxdot.reshape(shape), dx.reshape(shape)

    def grouped(self, a: Array) -> Array:
        """(N, C, …) as (N, G, C/G, L)"""
        length = math.prod(a.shape[2:])
        return a.reshape(len(a), self.num_groups, self.num_channels // self.num_groups, length)

    def axes(self, ndim: int) -> Axes:
        return 2, 3

    def wide(self, theta: Array, ndim: int) -> Array:
        return theta.reshape(self.num_groups, -1, 1)

    def narrow(self, a: Array) -> Array:
        return a.sum(axis=(0, 3)).ravel()

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", self.num_channels, *["…"] * (np.ndim(x) - 2)))
        if self.num_channels // self.num_groups * math.prod(x.shape[2:]) == 1:
            raise ValueError(
                f"{type(self).__name__}: x of shape {x.shape} has 1 value in each of "
                f"{self.num_groups} groups, expected at least 2; pass larger images or fewer groups"
            )

    def __repr__(self) -> str:
        return f"GroupNorm({self.num_groups}, {self.num_channels})"


class InstanceNorm(GroupNorm):
    """Each channel of each sample normalised over its positions: a GroupNorm with G = C.

    It removes a channel's brightness and contrast from every image; γ and β put learnt ones in their
    place, the same for all images.

    Forward   μ, v = mean and variance of one channel of one sample
              y = γ_c x̂ + β_c,   x̂ = (x − μ) / √(v + ε)
    Shapes    x, y (N, C, L) or (N, C, H, W)   γ, β (C,)   m = L, or H·W
    Backward  dx = (g − mean g − x̂ mean(g x̂)) / σ,   g = γ_c dy
              dγ_c = Σ dy x̂      dβ_c = Σ dy
    Tangent   see the top of norm.py
    Cache     x's shape; x̂, σ = √(v + ε)
    Raises    ValueError if a channel has one value, whose variance is 0
    Source    Ulyanov, Vedaldi & Lempitsky (2016), eq. 3

    PyTorch calls gamma and beta weight and bias, and has them only with ``affine=True``.
    """

    def __init__(
        self, num_channels: int, eps: float = 1e-5, *, dtype: DTypeLike = np.float32
    ) -> None:
        channels = positive_int("InstanceNorm", "num_channels", num_channels)
        super().__init__(channels, channels, eps, dtype=dtype)

    def __repr__(self) -> str:
        return f"InstanceNorm({self.num_channels})"
