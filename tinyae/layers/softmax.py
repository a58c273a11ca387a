"""Softmax: numbers of any size become probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.layers.base import Layer, check_dy, check_input
from tinyae.param import Array

__all__ = ["Softmax"]


class Softmax(Layer):
    """Exponentials along axis 1, divided by their sum: a probability for each class.

    Forward   yₖ = e^xₖ / Σⱼ e^xⱼ, after subtracting the largest x (y is unchanged, e cannot overflow)
    Shapes    x, y (N, K, …)
    Backward  dx = y ∘ (dy − ⟨y, dy⟩)
    Tangent   ẏ = y ∘ (ẋ − ⟨y, ẋ⟩), and for φ = ⟨dẏ, ẏ⟩:
              ∂φ/∂ẋ = y ∘ (dẏ − ⟨y, dẏ⟩)
              h = ∂φ/∂y = dẏ ∘ ẋ − dẏ ⟨y, ẋ⟩ − ẋ ⟨y, dẏ⟩,   ∂φ/∂x = y ∘ (h − ⟨y, h⟩)
    Cache     y
    Source    Goodfellow, Bengio & Courville (2016), §6.2.2.3
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        e = np.exp(x - x.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        return y, y

    def backward(self, dy: Array, y: Array) -> Array:
        dy = check_dy(self, dy, y.shape, y.dtype)
        return y * (dy - _inner(y, dy))

    def tangent(self, xdot: Array, y: Array) -> tuple[Array, Any]:
        return y * (xdot - _inner(y, xdot)), (xdot, y)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array]:
        xdot, y = tcache
        h = dydot * (xdot - _inner(y, xdot)) - xdot * _inner(y, dydot)
        return self.backward(dydot, y), self.backward(h, y)


def _inner(a: Array, b: Array) -> Array:
    """⟨a, b⟩ along axis 1, which stays with length 1."""
    return (a * b).sum(axis=1, keepdims=True)
