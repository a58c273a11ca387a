"""A layer's tangent ẏ = J ẋ, and the gradients of φ = ⟨r, ẏ⟩ that ``tangent_backward`` returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.subjects.layer import LayerSubject
from tinyae.gradcheck.doctor.trial import Point
from tinyae.param import Array


class TangentSubject(LayerSubject):
    """∂φ/∂ẋ, ∂φ/∂x and every ∂φ/∂θ of a layer that has a tangent."""

    def names(self) -> dict[str, str]:
        return {"ẋ": "∂φ/∂ẋ", "x": "∂φ/∂x", **{name: f"∂φ/∂{name}" for name in self.params}}

    def tangent(self, x: Array, xdot: Array) -> tuple[Array, Any]:
        _, cache = self.forward(x.copy())
        ydot, tcache = self.module.tangent(xdot.copy(), cache)
        return np.asarray(ydot), tcache

    def point(self, k: int) -> Point:
        point = super().point(k)
        x = point.values["x"]
        xdot = np.random.default_rng(40 + k).normal(size=x.shape)
        ydot = np.array(self.tangent(x, xdot)[0])

        def analytic(upstream: Array) -> dict[str, Any]:
            self.clear()
            dxdot, dx = self.module.tangent_backward(upstream.copy(), self.tangent(x, xdot)[1])
            found = {"ẋ": np.array(dxdot), "x": np.zeros_like(x) if dx is None else np.array(dx)}
            found.update({name: np.array(p.grad) for name, p in self.params.items()})
            return found

        def evaluate() -> Array:
            return self.tangent(x, xdot)[0]

        values = {"ẋ": xdot, **point.values}
        r = np.random.default_rng(60 + k).normal(size=ydot.shape)
        sizes, known, label = point.sizes, point.scalars, point.label
        return Point(values, evaluate, analytic, ydot, r, sizes, known, label=label)

    def tensors(self, point: Point) -> dict[str, Array]:
        named = super().tensors(point)
        return {**named, "dy": point.r, "ẋ": point.values["ẋ"], "ẏ": point.y}

    def tangent_and_difference(
        self, apart: bool = False, h: float = 1e-5
    ) -> tuple[Array, Array, Array]:
        """ẏ from ``tangent``, the central difference of forward along ẋ, and the gap between the
        two one-sided differences, which is large at a kink. ``apart``: at an x without equal entries.
        """
        x = self.input(0)
        if apart:
            x += 1e-2 * np.abs(x).max() * np.random.default_rng(41).normal(size=x.shape)
        xdot = np.random.default_rng(40).normal(size=x.shape)
        above, below = (np.asarray(self.forward(x + t * xdot)[0]) for t in (h, -h))
        here = np.asarray(self.forward(x.copy())[0])
        ydot = np.asarray(self.tangent(x, xdot)[0])
        return ydot, (above - below) / (2 * h), np.abs(above - 2 * here + below) / h


def has_tangent(layer: Any) -> bool:
    """Whether a layer's class defines a tangent."""
    own = getattr(type(layer), "tangent", None)
    return own is not None and getattr(own, "__qualname__", "") != "Layer.tangent"
