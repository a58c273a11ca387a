"""Normalisation: scale to mean 0 and variance 1, then apply a learnt scale γ and shift β.

Both layers subtract the mean of m entries and divide by their standard deviation. BatchNorm takes
the entries of one feature over the batch, LayerNorm those of one sample over its features; GroupNorm
and InstanceNorm (``group_norm.py``) lie between. With c the centred x, σ² its variance plus ε,
x̂ = c/σ and ⟨·,·⟩ a sum over the m entries:

    Backward  with g = γ ∘ dy:   dx = (g − mean g − x̂ ⟨x̂, g⟩/m) / σ
    Tangent   with a = ẋ − mean ẋ:   ẏ = γ ∘ (a − x̂ ⟨x̂, a⟩/m) / σ
              and for φ = ⟨dẏ, ẏ⟩, with b = γ ∘ dẏ − mean (γ ∘ dẏ):
              ∂φ/∂ẋ = (b − x̂ ⟨x̂, b⟩/m) / σ      ∂φ/∂γ = Σ dẏ ∘ (a − x̂ ⟨x̂, a⟩/m) / σ
              ∂φ/∂x = [3/m ⟨x̂, a⟩⟨x̂, b⟩ x̂ − ⟨a, b⟩ x̂ − ⟨x̂, b⟩ a − ⟨x̂, a⟩ b] / (m σ²)

The Jacobian ∂x̂/∂x is symmetric, so one function serves ẏ, dx and ∂φ/∂ẋ.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import float_dtype, number, positive_int
from tinyae.layers.base import Layer, check_dy, check_input
from tinyae.param import Array, Param
from tinyae.twin import fused

__all__ = ["BatchNorm", "LayerNorm"]

Axes = tuple[int, ...]


class _Norm(Layer):
    """x̂ and its derivatives. A subclass chooses the axes and how γ broadcasts against x."""

    gamma: Param
    beta: Param
    eps: float

    def axes(self, ndim: int) -> Axes:
        """The axes of x over which mean and variance are taken."""
        raise NotImplementedError

    def wide(self, theta: Array, ndim: int) -> Array:
        """γ or β, reshaped to broadcast against x."""
        raise NotImplementedError

    def narrow(self, a: Array) -> Array:
        """An array of x's shape, summed down to γ's shape: the transpose of :meth:`wide`."""
        raise NotImplementedError

    def normalize(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """mean, variance, x̂ and σ. All but x̂ keep the averaged axes, with length 1."""
        axes = self.axes(x.ndim)
        mean = x.mean(axis=axes, keepdims=True)
        c = x - mean
        variance = (c * c).mean(axis=axes, keepdims=True)
        sigma = np.sqrt(variance + self.eps)
        return mean, variance, c / sigma, sigma

    def project(self, g: Array, xhat: Array, sigma: Array) -> Array:
        """(∂x̂/∂x) g = (g − mean g − x̂ ⟨x̂, g⟩/m) / σ: symmetric, so its own transpose."""
        axes = self.axes(g.ndim)
        mean = g.mean(axis=axes, keepdims=True)
        return (g - mean - xhat * (xhat * g).mean(axis=axes, keepdims=True)) / sigma

    @fused
    def backward(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        xhat, sigma = cache
        dy = check_dy(self, dy, xhat.shape, xhat.dtype)
        self.beta.grad += self.narrow(dy)
        self.gamma.grad += self.narrow(dy * xhat)
        return self.project(dy * self.wide(self.gamma.value, dy.ndim), xhat, sigma)

    def backward_params(self, dy: Array, cache: tuple[Array, Array]) -> None:
        xhat, _ = cache
        dy = check_dy(self, dy, xhat.shape, xhat.dtype)
        self.beta.grad += self.narrow(dy)
        self.gamma.grad += self.narrow(dy * xhat)

    def tangent(self, xdot: Array, cache: tuple[Array, Array]) -> tuple[Array, Any]:
        xhat_dot = self.project(xdot, *cache)
        return xhat_dot * self.wide(self.gamma.value, xdot.ndim), (xdot, xhat_dot, cache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array]:
        xdot, xhat_dot, (xhat, sigma) = tcache
        axes = self.axes(dydot.ndim)
        self.gamma.grad += self.narrow(dydot * xhat_dot)
        g = dydot * self.wide(self.gamma.value, dydot.ndim)
        a = xdot - xdot.mean(axis=axes, keepdims=True)
        b = g - g.mean(axis=axes, keepdims=True)

        def mean(p: Array, q: Array) -> Array:  # ⟨p, q⟩ / m
            return (p * q).mean(axis=axes, keepdims=True)

        xa, xb = mean(xhat, a), mean(xhat, b)
        dx = ((3 * xa * xb - mean(a, b)) * xhat - xb * a - xa * b) / (sigma * sigma)
        return self.project(g, xhat, sigma), dx


class BatchNorm(_Norm):
    """Each feature (or channel) normalised over the batch.

    Forward   μ, v = mean and variance over the batch (and the image)
              y = γ x̂ + β,   x̂ = (x − μ) / √(v + ε)
              running_mean += momentum (μ − running_mean)
              running_var  += momentum (v m/(m − 1) − running_var)
    Calling   y = γ (x − running_mean) / √(running_var + ε) + β
    Shapes    x, y (N, D), (N, C, L) or (N, C, H, W)   γ, β, running_mean, running_var (D,) or (C,)
              m = N, N·L or N·H·W
    Backward  dx = (g − mean g − x̂ mean(g x̂)) / σ,   g = γ dy
              dγ = Σ dy x̂      dβ = Σ dy
    Tangent   see the top of this file
    Cache     x̂, σ = √(v + ε)
    Raises    ValueError in training on fewer than two values a channel: their variance is 0
    Source    Ioffe & Szegedy (2015), algorithms 1 and 2

    PyTorch calls gamma and beta weight and bias. As in PyTorch, the running variance is the
    unbiased estimate, while x̂ uses the biased one.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_features = positive_int("BatchNorm", "num_features", num_features)
        self.eps = positive_eps("BatchNorm", eps)
        if not 0 <= number("BatchNorm", "momentum", momentum, 0.1) <= 1:
            raise ValueError(
                f"BatchNorm: momentum is {momentum}, expected 0 to 1; pass e.g. momentum=0.1"
            )
        self.momentum = float(momentum)
        dtype = float_dtype("BatchNorm", dtype)
        self.gamma = Param(np.ones(self.num_features, dtype))
        self.beta = Param(np.zeros(self.num_features, dtype))
        self.running_mean = np.zeros(self.num_features, dtype)
        self.running_var = np.ones(self.num_features, dtype)

    @fused
    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        self.check(x)
        m = x.size // self.num_features
        if m < 2:
            raise ValueError(
                f"BatchNorm: x of shape {x.shape} has {m} value(s) a feature, expected at least 2 "
                "in training; pass a larger batch (drop_last=True drops a short one) "
                "or call layer(x)"
            )
        mean, variance, xhat, sigma = self.normalize(x)
        self.running_mean += self.momentum * (mean.ravel() - self.running_mean)
        self.running_var += self.momentum * (variance.ravel() * (m / (m - 1)) - self.running_var)
        y = xhat * self.wide(self.gamma.value, x.ndim) + self.wide(self.beta.value, x.ndim)
        return y, (xhat, sigma)

    def __call__(self, x: Array) -> Array:
        self.check(x)
        scale = self.gamma.value / np.sqrt(self.running_var + self.eps)
        c = x - self.wide(self.running_mean, x.ndim)
        return c * self.wide(scale, x.ndim) + self.wide(self.beta.value, x.ndim)

    def axes(self, ndim: int) -> Axes:
        return 0, *range(2, ndim)

    def wide(self, theta: Array, ndim: int) -> Array:
        return theta.reshape(-1, *[1] * (ndim - 2))

    def narrow(self, a: Array) -> Array:
        return a.sum(axis=self.axes(a.ndim))

    def check(self, x: Array) -> None:
        rest = {2: (), 3: ("L",)}.get(np.ndim(x), ("H", "W"))
        check_input(self, x, ("N", self.num_features, *rest))

    def __repr__(self) -> str:
        return f"BatchNorm({self.num_features})"


class LayerNorm(_Norm):
    """Each sample normalised over its trailing axes, without batch or running statistics.

    Forward   μ, v = mean and variance over the trailing axes
              y = γ ∘ x̂ + β,   x̂ = (x − μ) / √(v + ε)
    Shapes    x, y (N, …, *normalized_shape)   γ, β normalized_shape   m = its product
    Backward  dx = (g − mean g − x̂ mean(g ∘ x̂)) / σ,   g = γ ∘ dy
              dγ = Σₙ dy ∘ x̂      dβ = Σₙ dy
    Tangent   see the top of this file
    Cache     x̂, σ = √(v + ε)
    Source    Ba, Kiros & Hinton (2016), eq. 3

    PyTorch calls gamma and beta weight and bias.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape = positive_shape("LayerNorm", normalized_shape)
        self.eps = positive_eps("LayerNorm", eps)
        dtype = float_dtype("LayerNorm", dtype)
        self.gamma = Param(np.ones(self.normalized_shape, dtype))
        self.beta = Param(np.zeros(self.normalized_shape, dtype))

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        between = ["…"] * (np.ndim(x) - len(self.normalized_shape) - 1)
        check_input(self, x, ("N", *between, *self.normalized_shape))
        _, _, xhat, sigma = self.normalize(x)
        y = xhat * self.gamma.value + self.beta.value
        return y, (xhat, sigma)

    def axes(self, ndim: int) -> Axes:
        return tuple(range(ndim - len(self.normalized_shape), ndim))

    def wide(self, theta: Array, ndim: int) -> Array:
        return theta

    def narrow(self, a: Array) -> Array:
        return a.sum(axis=tuple(range(a.ndim - len(self.normalized_shape))))

    def __repr__(self) -> str:
        shape = self.normalized_shape
        return f"LayerNorm({shape[0] if len(shape) == 1 else shape})"


def positive_shape(who: str, normalized_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    """``normalized_shape`` as a tuple of at least one int ≥ 1.

    Raises
        ValueError  anything else
    """
    whole = isinstance(normalized_shape, (tuple, list))
    sizes: Any = normalized_shape if whole else (normalized_shape,)
    if not sizes:
        raise ValueError(
            f"{who}: normalized_shape is empty, expected an int ≥ 1 or a tuple of them; "
            "pass e.g. normalized_shape=64"
        )
    return tuple(positive_int(who, "normalized_shape", s) for s in sizes)


def positive_eps(who: str, eps: float) -> float:
    if not 0 < number(who, "eps", eps, 1e-5) < math.inf:
        raise ValueError(f"{who}: eps is {eps}, expected a number > 0; pass e.g. eps=1e-5")
    return float(eps)
