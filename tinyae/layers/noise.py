"""Noise inside a network."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import check_generator, float_dtype, number, positive_pair
from tinyae.layers.base import Layer, ParameterFree, check_dy, check_input
from tinyae.param import Array, Param

__all__ = ["Dropout", "PixelNoise"]


class Dropout(ParameterFree):
    """In training each entry becomes 0 with probability p; the others are scaled to keep the mean.

    Forward   y = x ∘ m,   m = 0 with probability p, else 1/(1 − p), drawn from ``rng`` at each call
    Calling   y = x
    Shapes    x, y of any shape
    Backward  dx = dy ∘ m
    Cache     m
    Raises    ValueError unless 0 ≤ p < 1; TypeError without a generator
    Source    Srivastava et al. (2014), §4 and §10 (the scaling in training)
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator) -> None:
        self.p = number("Dropout", "p", p, 0.5)
        if not 0 <= self.p < 1:
            raise ValueError(f"Dropout: p is {p}, expected 0 ≤ p < 1; pass e.g. p=0.5")
        check_generator("Dropout", rng)
        self.rng = rng

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        keep = self.rng.random(x.shape, dtype=np.float32) >= self.p
        m = keep.astype(x.dtype) * (1 / (1 - self.p))
        return x * m, m

    def backward(self, dy: Array, m: Array) -> Array:
        dy = check_dy(self, dy, m.shape, m.dtype)
        return dy * m

    def linear(self, xdot: Array, m: Array) -> Array:
        return xdot * m

    def __call__(self, x: Array) -> Array:
        check_input(self, x)
        return x

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


class PixelNoise(Layer):
    """Noise of learnt strength on every pixel: what is random in a picture need not come from z.

    Forward   y = x + a ε,   ε[n,i,j] ~ N(0, 1), drawn from ``rng`` at each call, one for all channels
    Calling   y = x + a ε₀,   ε₀ one image of noise, drawn once and saved with the layer
    Shapes    x, y (N, C, H, W)   ε (N, 1, H, W)   ε₀ (H, W) = ``size``   a (1,)
    Backward  dx = dy      da = Σ dy ε
    Tangent   ẏ = ẋ
    Cache     ε, C
    Raises    TypeError without a generator
    Source    Karras et al. (2020), §2.1 and appendix B: one strength a layer, 0 at first;
              Karras, Laine & Aila (2019), §2 and §3.2, have one for each channel
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        *,
        rng: np.random.Generator,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.size = positive_pair("PixelNoise", "size", size)
        self.rng = check_generator("PixelNoise", rng)
        dtype = float_dtype("PixelNoise", dtype)
        self.a = Param(np.zeros(1, dtype))
        # From a copy: a layer that is built anew for a file leaves its generator as it was saved.
        self.fixed = copy.deepcopy(rng).standard_normal(self.size).astype(dtype)

    def forward(self, x: Array) -> tuple[Array, tuple[Array, int]]:
        check_input(self, x, ("N", "C", *self.size))
        shape = len(x), 1, *self.size
        eps = self.rng.standard_normal(shape, dtype=np.float32).astype(x.dtype, copy=False)
        return x + self.a.value * eps, (eps, x.shape[1])

    def backward(self, dy: Array, cache: tuple[Array, int]) -> Array:
        eps, channels = cache
        dy = check_dy(self, dy, (len(eps), channels, *self.size), eps.dtype)
        self.a.grad += (dy * eps).sum()
        return dy.copy()

    def __call__(self, x: Array) -> Array:
        check_input(self, x, ("N", "C", *self.size))
        return x + self.a.value * self.fixed

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        return xdot, None

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, None]:
        return dydot, None

    def __repr__(self) -> str:
        return f"PixelNoise({self.size})"
