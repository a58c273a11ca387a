"""Normalisation by the root mean square: the scale of m entries is set to 1, their mean is left alone.

With r = √(mean x² + ε), x̂ = x/r and ⟨·,·⟩ a sum over the m entries, ∂x̂/∂x is symmetric:

    Backward  with g = γ ∘ dy:   dx = (g − x̂ ⟨x̂, g⟩/m) / r
    Tangent   ẏ = γ ∘ (ẋ − x̂ ⟨x̂, ẋ⟩/m) / r,   and for φ = ⟨dẏ, ẏ⟩, with a = ẋ and b = γ ∘ dẏ:
              ∂φ/∂ẋ = (b − x̂ ⟨x̂, b⟩/m) / r      ∂φ/∂γ = Σ dẏ ∘ (a − x̂ ⟨x̂, a⟩/m) / r
              ∂φ/∂x = [3/m ⟨x̂, a⟩⟨x̂, b⟩ x̂ − ⟨a, b⟩ x̂ − ⟨x̂, b⟩ a − ⟨x̂, a⟩ b] / (m r²)

The last follows from φ = ⟨a, b⟩/r − ⟨x, a⟩⟨x, b⟩/(m r³) and ∂r/∂x = x̂/m.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import float_dtype
from tinyae.layers.base import Layer, check_dy, check_input
from tinyae.layers.norm import Axes, positive_eps, positive_shape
from tinyae.param import Array, Param

__all__ = ["RMSNorm", "PixelNorm"]


class _RootMeanSquare(Layer):
    """x̂ and its derivatives. A subclass chooses the axes."""

    eps: float

    def axes(self, ndim: int) -> Axes:
        """The axes of x over which the mean is taken."""
        raise NotImplementedError

    def mean(self, p: Array, q: Array) -> Array:
        """⟨p, q⟩ / m; the averaged axes stay with length 1."""
        return (p * q).mean(axis=self.axes(p.ndim), keepdims=True)

    def normalize(self, x: Array) -> tuple[Array, Array]:
        """x̂ and r"""
        r = np.sqrt(self.mean(x, x) + self.eps)
        return x / r, r

    def project(self, g: Array, xhat: Array, r: Array) -> Array:
        """(∂x̂/∂x) g = (g − x̂ ⟨x̂, g⟩/m) / r: symmetric, so its own transpose."""
        return (g - xhat * self.mean(xhat, g)) / r

    def project_x_grad(self, a: Array, b: Array, xhat: Array, r: Array) -> Array:
        """∂/∂x of ⟨b, (∂x̂/∂x) a⟩"""
        xa, xb = self.mean(xhat, a), self.mean(xhat, b)
        return ((3 * xa * xb - self.mean(a, b)) * xhat - xb * a - xa * b) / (r * r)


class RMSNorm(_RootMeanSquare):
    """Each sample divided by its root mean square over its trailing axes: LayerNorm without the mean.

    Forward   y = γ ∘ x̂,   x̂ = x / r,   r = √(mean x² + ε) over the trailing axes
    Shapes    x, y (N, …, *normalized_shape)   γ normalized_shape   m = its product
    Backward  dx = (g − x̂ mean(g ∘ x̂)) / r,   g = γ ∘ dy      dγ = Σₙ dy ∘ x̂
    Tangent   see the top of this file
    Cache     x̂, r
    Source    Zhang & Sennrich (2019), eq. 4

    PyTorch calls gamma weight.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape = positive_shape("RMSNorm", normalized_shape)
        self.eps = positive_eps("RMSNorm", eps)
        self.gamma = Param(np.ones(self.normalized_shape, float_dtype("RMSNorm", dtype)))

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        between = ["…"] * (np.ndim(x) - len(self.normalized_shape) - 1)
        check_input(self, x, ("N", *between, *self.normalized_shape))
        xhat, r = self.normalize(x)
        return xhat * self.gamma.value, (xhat, r)

    def backward(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        xhat, r = cache
        dy = check_dy(self, dy, xhat.shape, xhat.dtype)
        self.gamma.grad += self.narrow(dy * xhat)
        return self.project(dy * self.gamma.value, xhat, r)

    def tangent(self, xdot: Array, cache: tuple[Array, Array]) -> tuple[Array, Any]:
        xhat_dot = self.project(xdot, *cache)
        return xhat_dot * self.gamma.value, (xdot, xhat_dot, cache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array]:
        xdot, xhat_dot, cache = tcache
        self.gamma.grad += self.narrow(dydot * xhat_dot)
        b = dydot * self.gamma.value
        return self.project(b, *cache), self.project_x_grad(xdot, b, *cache)

    def axes(self, ndim: int) -> Axes:
        return tuple(range(ndim - len(self.normalized_shape), ndim))

    def narrow(self, a: Array) -> Array:
        """An array of x's shape, summed down to γ's shape."""
        return a.sum(axis=tuple(range(a.ndim - len(self.normalized_shape))))

    def __repr__(self) -> str:
        shape = self.normalized_shape
        return f"RMSNorm({shape[0] if len(shape) == 1 else shape})"


class PixelNorm(_RootMeanSquare):
    """Each pixel divided by the root mean square of its channels, without parameters.

    In a generator it keeps the sizes of the channels from escalating.

    Forward   y = x̂ = x / r,   r = √(mean x² + ε) over axis 1
    Shapes    x, y (N, C, …)   m = C
    Backward  dx = (dy − x̂ mean(dy x̂)) / r
    Tangent   see the top of this file, with γ = 1
    Cache     x̂, r
    Source    Karras, Aila, Laine & Lehtinen (2018), §4.2
    """

    def __init__(self, eps: float = 1e-8) -> None:
        self.eps = positive_eps("PixelNorm", eps)

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        check_input(self, x, ("N", "C", *["…"] * (np.ndim(x) - 2)))
        xhat, r = self.normalize(x)
        return xhat, (xhat, r)

    def backward(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        dy = check_dy(self, dy, cache[0].shape, cache[0].dtype)
        return self.project(dy, *cache)

    def tangent(self, xdot: Array, cache: tuple[Array, Array]) -> tuple[Array, Any]:
        return self.project(xdot, *cache), (xdot, cache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array]:
        xdot, cache = tcache
        return self.project(dydot, *cache), self.project_x_grad(xdot, dydot, *cache)

    def axes(self, ndim: int) -> Axes:
        return (1,)
