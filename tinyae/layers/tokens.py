"""Sequences of tokens (N, T, D): a layer for each token, their places, the last one, copies of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import check_callable, float_dtype, positive_int
from tinyae.initializers import Initializer, Normal
from tinyae.layers.base import Layer, ParameterFree, check_dy, check_input
from tinyae.layers.compose import check_layer, join_names
from tinyae.param import Array, Param

__all__ = ["Tokenwise", "LearntPositions", "SinusoidalPositions", "LastStep", "Repeat"]


class Tokenwise(Layer):
    """One layer for every token, with the same parameters: Tokenwise(Dense(D, O)) maps (N, T, D).

    Forward   yₙₜ = f(xₙₜ)
    Shapes    x (N, T, …)   f maps (N T, …) to (N T, …)   y (N, T, …)
    Backward  dxₙₜ = Jₙₜᵀ dyₙₜ      dθ = Σₙₜ (∂yₙₜ/∂θ)ᵀ dyₙₜ
    Tangent   ẏₙₜ = Jₙₜ ẋₙₜ
    Cache     N, T, y's shape, and f's cache
    Source    Lin, Chen & Yan (2014), §3.1, who call it a convolution of size 1

    Keras calls it TimeDistributed.
    """

    def __init__(self, layer: Layer) -> None:
        check_layer("Tokenwise", "layer", layer)
        self.layer = layer

    def forward(self, x: Array) -> tuple[Array, Any]:
        y, inner = self.layer.forward(self.rows(x))
        y = y.reshape(*x.shape[:2], *y.shape[1:])
        return y, (x.shape[:2], y.shape, inner)

    def backward(self, dy: Array, cache: Any) -> Array:
        tokens, shape, inner = cache
        dy = check_dy(self, dy, shape)
        dx = self.layer.backward(_joined(dy), inner)
        return dx.reshape(*tokens, *dx.shape[1:])

    def backward_params(self, dy: Array, cache: Any) -> None:
        _, shape, inner = cache
        dy = check_dy(self, dy, shape)
        self.layer.backward_params(_joined(dy), inner)

    def __call__(self, x: Array) -> Array:
        y = self.layer(self.rows(x))
        return y.reshape(*x.shape[:2], *y.shape[1:])

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        tokens, _, inner = cache
        ydot, tcache = self.layer.tangent(_joined(xdot), inner)
        return ydot.reshape(*tokens, *ydot.shape[1:]), (tokens, tcache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array | None]:
        tokens, inner = tcache
        dxdot, dx = self.layer.tangent_backward(_joined(dydot), inner)
        dx = dx if dx is None else dx.reshape(*tokens, *dx.shape[1:])
        return dxdot.reshape(*tokens, *dxdot.shape[1:]), dx

    def trace(self, x: Array, name: str) -> Iterator[tuple[str, Array]]:
        for where, y in self.layer.trace(self.rows(x), join_names(name, "layer")):
            yield where, y.reshape(*x.shape[:2], *y.shape[1:])

    def rows(self, x: Array) -> Array:
        check_input(self, x, ("N", "T", *["…"] * (max(np.ndim(x), 3) - 2)))
        return _joined(x)

    def __repr__(self) -> str:
        return f"Tokenwise({self.layer!r})"


class LearntPositions(Layer):
    """A learnt vector for each place, added to the token there: attention alone sees no order.

    Forward   yₙₜ = xₙₜ + Pₜ
    Shapes    x, y (N, T, D), T ≤ length   P (length, D)
    Backward  dx = dy      dPₜ = Σₙ dyₙₜ, for the first T places
    Tangent   ẏ = ẋ
    Cache     x's shape and dtype
    Raises    ValueError if x has more than ``length`` tokens
    Source    Vaswani et al. (2017), §3.5
    """

    def __init__(
        self,
        length: int,
        dim: int,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.length = positive_int("LearntPositions", "length", length, 49)
        self.dim = positive_int("LearntPositions", "dim", dim)
        dtype, init = float_dtype("LearntPositions", dtype), init or Normal(0.02)
        check_callable("LearntPositions", "init", init, "Normal(0.02)")
        self.P = Param(init((self.length, self.dim), self.dim, self.dim, rng, dtype))

    def forward(self, x: Array) -> tuple[Array, Any]:
        check_input(self, x, ("N", "T", self.dim))
        if x.shape[1] > self.length:
            raise ValueError(
                f"LearntPositions: x has {x.shape[1]} tokens, P has {self.length} places; pass "
                f"shorter sequences, or build LearntPositions({x.shape[1]}, {self.dim})"
            )
        return x + self.P.value[: x.shape[1]], (x.shape, x.dtype)

    def backward(self, dy: Array, cache: Any) -> Array:
        dy = check_dy(self, dy, *cache)
        self.P.grad[: dy.shape[1]] += dy.sum(axis=0)
        return dy.copy()

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, None]:
        return xdot.copy(), None

    def tangent_backward(self, dydot: Array, tcache: None) -> tuple[Array, None]:
        return dydot.copy(), None

    def __repr__(self) -> str:
        return f"LearntPositions({self.length}, {self.dim})"


class SinusoidalPositions(ParameterFree):
    """A fixed vector for each place: sines and cosines of wavelengths from 2π to 20,000π.

    Forward   yₙₜ = xₙₜ + Pₜ      Pₜ,₂ᵢ = sin(t ωᵢ)      Pₜ,₂ᵢ₊₁ = cos(t ωᵢ)      ωᵢ = 10,000^(−2i/D)
    Shapes    x, y (N, T, D), for any T
    Backward  dx = dy
    Tangent   ẏ = ẋ
    Cache     x's shape
    Source    Vaswani et al. (2017), §3.5
    """

    def forward(self, x: Array) -> tuple[Array, Any]:
        check_input(self, x, ("N", "T", "D"))
        return x + sinusoids(np.arange(x.shape[1]), x.shape[2]).astype(x.dtype), x.shape

    def backward(self, dy: Array, shape: Any) -> Array:
        return check_dy(self, dy, shape).copy()

    def linear(self, xdot: Array, shape: Any) -> Array:
        return xdot.copy()


class LastStep(ParameterFree):
    """The last token of a sequence: where a recurrent layer has seen all of it.

    Forward   yₙ = xₙ,T
    Shapes    x (N, T, …)   y (N, …)
    Backward  dxₙₜ = dyₙ for t = T, else 0
    Cache     x's shape and dtype
    """

    def forward(self, x: Array) -> tuple[Array, Any]:
        check_input(self, x, ("N", "T", *["…"] * (max(np.ndim(x), 3) - 2)))
        if not x.shape[1]:
            raise ValueError(
                f"LastStep: x has shape {x.shape}, expected T ≥ 1; pass longer sequences"
            )
        return x[:, -1].copy(), (x.shape, x.dtype)

    def backward(self, dy: Array, cache: Any) -> Array:
        shape, dtype = cache
        dy = check_dy(self, dy, (shape[0], *shape[2:]), dtype)
        dx = np.zeros(shape, dtype)
        dx[:, -1] = dy
        return dx


class Repeat(ParameterFree):
    """One vector for every step of a sequence: a code, given to each step of a decoder.

    Forward   yₙₜ = xₙ for t = 1, …, T
    Shapes    x (N, …)   y (N, T, …)   T = times
    Backward  dxₙ = Σₜ dyₙₜ
    Cache     y's shape
    """

    def __init__(self, times: int) -> None:
        self.times = positive_int("Repeat", "times", times, 140)

    def forward(self, x: Array) -> tuple[Array, Any]:
        check_input(self, x, ("N", *["…"] * (max(np.ndim(x), 2) - 1)))
        y = np.repeat(x[:, None], self.times, axis=1)
        return y, y.shape

    def backward(self, dy: Array, shape: Any) -> Array:
        return check_dy(self, dy, shape).sum(axis=1)

    def __repr__(self) -> str:
        return f"Repeat({self.times})"


def sinusoids(t: Array, dim: int, longest: float = 10_000.0) -> Array:
    """sin and cos of t at dim/2 frequencies, from 1 down to 1/longest: (…, dim), float64."""
    omega = longest ** (-2 * (np.arange(dim) // 2) / dim)
    angles = np.asarray(t, np.float64)[..., None] * omega
    return np.where(np.arange(dim) % 2, np.cos(angles), np.sin(angles))


def _joined(a: Array) -> Array:
    """(N, T, …) as (N T, …)"""
    return a.reshape(a.shape[0] * a.shape[1], *a.shape[2:])
