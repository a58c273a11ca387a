"""Noise inside a network."""

from __future__ import annotations

import numpy as np

from tinyae.arguments import check_generator, number
from tinyae.layers.base import ParameterFree, check_dy, check_input
from tinyae.param import Array

__all__ = ["Dropout"]


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
