"""A look at the whole batch: how much its samples differ, as one more channel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import float_dtype, number
from tinyae.layers.base import Layer, check_dy, check_input
from tinyae.layers.norm import positive_eps
from tinyae.param import Array

__all__ = ["MinibatchDeviation"]


class MinibatchDeviation(Layer):
    """Adds a channel with the batch's mean standard deviation: samples that are too alike show.

    In a discriminator it tells a batch of many copies from data, so that the generator must vary.

    Forward   v = mean over the batch of (x − μ)²      σ = √(v + ε)      s = mean of σ over its M entries
              y = [x, s]:  s is one number, repeated for every sample and pixel
              running += momentum (s − running)
    Calling   y = [x, running], so that a sample's result does not depend on the others
    Shapes    x (N, C, …)   μ, v, σ (1, C, …)   M = σ's size   y (N, C + 1, …)
    Backward  dx = dy[:, :C] + g/(M N) x̂,   x̂ = (x − μ)/σ,   g = Σ dy[:, C]
    Tangent   ẏ = [ẋ, ⟨x̂, ẋ⟩/(M N)],   and for φ = ⟨dẏ, ẏ⟩, with g = Σ dẏ[:, C], a = ẋ − mean ẋ:
              ∂φ/∂ẋ = dẏ[:, :C] + g/(M N) x̂      ∂φ/∂x = g/(M N) (a − x̂ mean(x̂ a)) / σ
              (means over the batch)
    Cache     x̂, σ
    Source    Karras, Aila, Laine & Lehtinen (2018), §3
    """

    def __init__(
        self, eps: float = 1e-8, momentum: float = 0.1, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.eps = positive_eps("MinibatchDeviation", eps)
        self.momentum = number("MinibatchDeviation", "momentum", momentum, 0.1)
        if not 0 <= self.momentum <= 1:
            raise ValueError(
                f"MinibatchDeviation: momentum is {momentum}, expected 0 to 1; pass e.g. 0.1"
            )
        self.running = np.ones(1, float_dtype("MinibatchDeviation", dtype))

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        self.check(x)
        c = x - x.mean(axis=0, keepdims=True)
        sigma = np.sqrt((c * c).mean(axis=0, keepdims=True) + self.eps)
        s = sigma.mean()
        self.running += self.momentum * (s - self.running)
        return self.joined(x, s), (c / sigma, sigma)

    def backward(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        xhat, _ = cache
        n, channels, *rest = xhat.shape
        dy = check_dy(self, dy, (n, channels + 1, *rest), xhat.dtype)
        return dy[:, :-1] + self.share(dy, xhat) * xhat

    def __call__(self, x: Array) -> Array:
        self.check(x)
        return self.joined(x, self.running[0])

    def tangent(self, xdot: Array, cache: tuple[Array, Array]) -> tuple[Array, Any]:
        xhat, _ = cache
        return self.joined(xdot, (xhat * xdot).mean()), (xdot, cache)  # ⟨x̂, ẋ⟩/(M N)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array]:
        xdot, (xhat, sigma) = tcache
        share = self.share(dydot, xhat)
        a = xdot - xdot.mean(axis=0, keepdims=True)
        dx = share * (a - xhat * (xhat * a).mean(axis=0, keepdims=True)) / sigma
        return dydot[:, :-1] + share * xhat, dx

    def share(self, dy: Array, xhat: Array) -> Any:
        """g/(M N)"""
        return dy[:, -1].sum() / dy.dtype.type(xhat.size)

    def joined(self, x: Array, s: Any) -> Array:
        """[x, s]"""
        return np.concatenate([x, np.full_like(x[:, :1], s)], axis=1)

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", "C", *["…"] * (np.ndim(x) - 2)))
        if x.size == 0:
            raise ValueError(
                f"MinibatchDeviation: x has shape {x.shape}, which holds no number; "
                "pass at least one sample"
            )
        if x.dtype != self.running.dtype:
            raise TypeError(
                f"MinibatchDeviation: x is {x.dtype}, the layer is {self.running.dtype}; "
                f"pass x.astype(np.{self.running.dtype}) or use layer.astype(np.{x.dtype})"
            )

    def __repr__(self) -> str:
        return f"MinibatchDeviation(eps={self.eps:g})"
