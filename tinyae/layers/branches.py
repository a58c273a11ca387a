"""Shortcuts around a layer, and layers in parallel: if a value is used twice, its gradients add."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.layers.base import Layer, Module, add, check_dy
from tinyae.layers.compose import check_layer, join_names
from tinyae.param import Array

__all__ = ["Residual", "Skip", "Parallel"]


class Residual(Layer):
    """A shortcut around a layer, which then has to learn only the difference y − x.

    Forward   y = x + f(x)
    Shapes    x, f(x) and y of one shape
    Backward  dx = dy + J_fᵀ dy
    Tangent   ẏ = ẋ + J_f ẋ
    Cache     f's cache
    Raises    ValueError if f changes the shape
    Source    He, Zhang, Ren & Sun (2016), eq. 1
    """

    def __init__(self, layer: Layer) -> None:
        check_layer("Residual", "layer", layer)
        self.layer = layer

    def forward(self, x: Array) -> tuple[Array, Any]:
        fx, cache = self.layer.forward(x)
        return self._sum(x, fx), cache

    def backward(self, dy: Array, cache: Any) -> Array:
        return dy + self.layer.backward(dy, cache)

    def backward_params(self, dy: Array, cache: Any) -> None:
        self.layer.backward_params(dy, cache)

    def __call__(self, x: Array) -> Array:
        return self._sum(x, self.layer(x))

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        ydot, tcache = self.layer.tangent(xdot, cache)
        return xdot + ydot, tcache

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array | None]:
        dxdot, dx = self.layer.tangent_backward(dydot, tcache)
        return dydot + dxdot, dx

    def trace(self, x: Array, name: str) -> Iterator[tuple[str, Array]]:
        fx = x
        for where, fx in self.layer.trace(x, join_names(name, "layer")):
            yield where, fx
        yield name, self._sum(x, fx)

    def _sum(self, x: Array, fx: Array) -> Array:
        if fx.shape != x.shape:
            raise ValueError(
                f"Residual: the layer made {fx.shape} of x {x.shape}, expected the same shape; "
                "give it as many outputs as inputs, or use Skip, which concatenates"
            )
        return x + fx

    def __repr__(self) -> str:
        return f"Residual({self.layer!r})"


class Skip(Layer):
    """The input and the layer's output, concatenated, as in a U-Net.

    Forward   y = [x, f(x)] along axis 1
    Shapes    x (N, C, …)   f(x) (N, D, …)   y (N, C + D, …)
    Backward  dy = [dy₁, dy₂]:   dx = dy₁ + J_fᵀ dy₂
    Tangent   ẏ = [ẋ, J_f ẋ]
    Cache     C, y's shape, and f's cache
    Raises    ValueError if x and f(x) differ in another axis than 1
    Source    Ronneberger, Fischer & Brox (2015), §2
    """

    def __init__(self, layer: Layer) -> None:
        check_layer("Skip", "layer", layer)
        self.layer = layer

    def forward(self, x: Array) -> tuple[Array, Any]:
        fx, cache = self.layer.forward(x)
        y = _concatenate("Skip", [x, fx])
        return y, (x.shape[1], y.shape, cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        channels, shape, inner = cache
        dy = check_dy(self, dy, shape)
        return dy[:, :channels] + self.layer.backward(dy[:, channels:], inner)

    def backward_params(self, dy: Array, cache: Any) -> None:
        channels, shape, inner = cache
        dy = check_dy(self, dy, shape)
        self.layer.backward_params(dy[:, channels:], inner)

    def __call__(self, x: Array) -> Array:
        return _concatenate("Skip", [x, self.layer(x)])

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        channels, _, inner = cache
        ydot, tcache = self.layer.tangent(xdot, inner)
        return np.concatenate([xdot, ydot], axis=1), (channels, tcache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array | None]:
        channels, inner = tcache
        dxdot, dx = self.layer.tangent_backward(dydot[:, channels:], inner)
        return dydot[:, :channels] + dxdot, dx

    def trace(self, x: Array, name: str) -> Iterator[tuple[str, Array]]:
        fx = x
        for where, fx in self.layer.trace(x, join_names(name, "layer")):
            yield where, fx
        yield name, _concatenate("Skip", [x, fx])

    def __repr__(self) -> str:
        return f"Skip({self.layer!r})"


class Parallel(Layer):
    """Several layers applied to the same x, their outputs concatenated.

    Forward   y = [f₁(x), …, f_K(x)] along axis 1
    Shapes    x as every fₖ takes it   fₖ(x) (N, Dₖ, …)   y (N, ΣDₖ, …)
    Backward  dy = [dy₁, …, dy_K]:   dx = Σₖ Jₖᵀ dyₖ
    Tangent   ẏ = [J₁ ẋ, …, J_K ẋ]
    Cache     the indices where the parts of y end, y's shape, and the branches' caches
    Raises    ValueError if the outputs differ in another axis than 1
    Source    Szegedy et al. (2015), §4
    """

    def __init__(self, *branches: Layer) -> None:
        if not branches:
            raise ValueError("Parallel: got no branches, expected at least 1; pass layers")
        for i, branch in enumerate(branches):
            check_layer("Parallel", f"branch {i}", branch)
        self.branches = branches

    @property
    def children(self) -> dict[str, Module]:
        return {str(i): branch for i, branch in enumerate(self.branches)}

    def forward(self, x: Array) -> tuple[Array, Any]:
        outputs, caches = zip(*(branch.forward(x) for branch in self.branches))
        y = _concatenate("Parallel", outputs)
        ends = np.cumsum([part.shape[1] for part in outputs])[:-1]
        return y, (ends, y.shape, caches)

    def backward(self, dy: Array, cache: Any) -> Array:
        ends, shape, caches = cache
        dy = check_dy(self, dy, shape)
        parts = zip(self.branches, np.split(dy, ends, axis=1), caches)
        return _total([branch.backward(part, c) for branch, part, c in parts])

    def backward_params(self, dy: Array, cache: Any) -> None:
        ends, shape, caches = cache
        dy = check_dy(self, dy, shape)
        for branch, part, c in zip(self.branches, np.split(dy, ends, axis=1), caches):
            branch.backward_params(part, c)

    def __call__(self, x: Array) -> Array:
        return _concatenate("Parallel", [branch(x) for branch in self.branches])

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        ends, _, caches = cache
        pairs = [branch.tangent(xdot, c) for branch, c in zip(self.branches, caches)]
        ydots, tcaches = zip(*pairs)
        return np.concatenate(ydots, axis=1), (ends, tcaches)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array | None]:
        ends, tcaches = tcache
        parts = zip(self.branches, np.split(dydot, ends, axis=1), tcaches)
        dxdots, dxs = zip(*(branch.tangent_backward(part, tc) for branch, part, tc in parts))
        dx = None
        for own in dxs:
            dx = add(dx, own)
        return _total(dxdots), dx

    def trace(self, x: Array, name: str) -> Iterator[tuple[str, Array]]:
        outputs = []
        for i, branch in enumerate(self.branches):
            y = x
            for where, y in branch.trace(x, join_names(name, str(i))):
                yield where, y
            outputs.append(y)
        yield name, _concatenate("Parallel", outputs)

    def __repr__(self) -> str:
        return f"Parallel({', '.join(map(repr, self.branches))})"


def _concatenate(who: str, parts: Any) -> Array:
    """The parts, concatenated along axis 1.

    Raises
        ValueError  their other axes differ
    """
    shapes = [part.shape for part in parts]
    if any(s[:1] + s[2:] != shapes[0][:1] + shapes[0][2:] for s in shapes) or len(shapes[0]) < 2:
        raise ValueError(
            f"{who}: the parts have shapes {', '.join(map(str, shapes))}, expected (N, C, …) alike "
            "in all but axis 1; give the layers strides and paddings that keep the images' size"
        )
    return np.concatenate(parts, axis=1)


def _total(arrays: Any) -> Array:
    total = arrays[0]
    for a in arrays[1:]:
        total = total + a  # not in place: the first array may belong to the caller
    return total
