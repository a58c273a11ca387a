"""Fading from one layer to another, so that a network can grow without a jump."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.layers.base import Layer, add, check_dy
from tinyae.layers.compose import check_layer, join_names
from tinyae.param import Array

__all__ = ["Fade"]


class Fade(Layer):
    """A mixture of an old and a new layer; α goes from 0, the old one, to 1, the new one.

    Forward   y = (1 − α) f(x) + α g(x)
    Shapes    x as f and g take it   f(x), g(x) and y of one shape   α ()
    Backward  dx = J_fᵀ (1 − α) dy + J_gᵀ α dy
    Tangent   ẏ = (1 − α) J_f ẋ + α J_g ẋ
    Cache     the caches of f and g; y's shape
    Raises    ValueError if f(x) and g(x) differ in shape
    Source    Karras, Aila, Laine & Lehtinen (2018), figure 2

    α is state, not a parameter: who trains sets ``fade.alpha[...] = 0.3``. It begins at 0.
    """

    def __init__(self, old: Layer, new: Layer) -> None:
        check_layer("Fade", "old", old)
        check_layer("Fade", "new", new)
        self.old, self.new = old, new
        parts = [part for part in (old, new) if part.params]
        self.alpha = np.zeros((), parts[0].dtype if parts else np.float32)

    def forward(self, x: Array) -> tuple[Array, Any]:
        f, old_cache = self.old.forward(x)
        g, new_cache = self.new.forward(x)
        y = self.mixed(f, g)
        return y, (old_cache, new_cache, y.shape)

    def backward(self, dy: Array, cache: Any) -> Array:
        df, dg = self.split(check_dy(self, dy, cache[2]))
        return self.old.backward(df, cache[0]) + self.new.backward(dg, cache[1])

    def backward_params(self, dy: Array, cache: Any) -> None:
        df, dg = self.split(check_dy(self, dy, cache[2]))
        self.old.backward_params(df, cache[0])
        self.new.backward_params(dg, cache[1])

    def backward_input(self, dy: Array, cache: Any) -> Array:
        df, dg = self.split(check_dy(self, dy, cache[2]))
        return self.old.backward_input(df, cache[0]) + self.new.backward_input(dg, cache[1])

    def __call__(self, x: Array) -> Array:
        return self.mixed(self.old(x), self.new(x))

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        fdot, old_tcache = self.old.tangent(xdot, cache[0])
        gdot, new_tcache = self.new.tangent(xdot, cache[1])
        return self.mixed(fdot, gdot), (old_tcache, new_tcache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array | None]:
        df, dg = self.split(dydot)
        dxdot_old, dx_old = self.old.tangent_backward(df, tcache[0])
        dxdot_new, dx_new = self.new.tangent_backward(dg, tcache[1])
        return dxdot_old + dxdot_new, add(dx_old, dx_new)

    def trace(self, x: Array, name: str) -> Iterator[tuple[str, Array]]:
        f = g = x
        for where, f in self.old.trace(x, join_names(name, "old")):
            yield where, f
        for where, g in self.new.trace(x, join_names(name, "new")):
            yield where, g
        yield name, self.mixed(f, g)

    def mixed(self, f: Array, g: Array) -> Array:
        if f.shape != g.shape:
            raise ValueError(
                f"Fade: old makes {f.shape}, new {g.shape}, expected one shape; put an Upsample2d "
                "or an AvgPool2d beside the layer whose images are smaller or larger"
            )
        return (1 - self.alpha) * f + self.alpha * g

    def split(self, dy: Array) -> tuple[Array, Array]:
        return (1 - self.alpha) * dy, self.alpha * dy

    def __repr__(self) -> str:
        return f"Fade({self.old!r}, {self.new!r})"
