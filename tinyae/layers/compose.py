"""One layer after the other: the chain rule.

``backward`` visits the layers in reverse order. ``tangent_backward`` has a second path: the
Jacobian of a layer depends on its input, so ∂φ/∂x of that layer continues through the plain
``backward`` of the layers before it. :mod:`tinyae.layers.branches` has layers in parallel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinyae.layers.base import Layer, Module, add
from tinyae.param import Array
from tinyae.twin import fused

__all__ = ["Sequential"]

MAX_DEPTH = 64  # of layers within each other: Python's own depth of calls is bounded


class Sequential(Layer):
    """One layer after the other.

    Forward   y = f_K(… f₂(f₁(x)))
    Backward  dx = J₁ᵀ J₂ᵀ … J_Kᵀ dy
    Tangent   ẏ = J_K … J₂ J₁ ẋ
    Cache     the layers' caches, in a list
    """

    def __init__(self, *layers: Layer) -> None:
        for i, layer in enumerate(layers):
            check_layer("Sequential", f"layer {i}", layer)
        self.layers = layers

    @property
    def children(self) -> dict[str, Module]:
        return {str(i): layer for i, layer in enumerate(self.layers)}

    @property
    def whole_input(self) -> bool:
        return bool(self.layers) and self.layers[0].whole_input

    @fused
    def forward(self, x: Array) -> tuple[Array, list[Any]]:
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x)
            caches.append(cache)
        return x, caches

    @fused
    def backward(self, dy: Array, caches: list[Any]) -> Array:
        for layer, cache in zip(reversed(self.layers), reversed(caches)):
            dy = layer.backward(dy, cache)
        return dy

    @fused
    def backward_params(self, dy: Array, caches: list[Any]) -> None:
        # The first layer that learns needs no dx; the layers before it, which have no Params or are
        # frozen, need no gradient at all.
        first = next((i for i, layer in enumerate(self.layers) if layer.learns), None)
        if first is None:
            return
        for layer, cache in zip(self.layers[:first:-1], caches[:first:-1]):  # last … first + 1
            dy = layer.backward(dy, cache)
        self.layers[first].backward_params(dy, caches[first])

    def backward_input(self, dy: Array, caches: list[Any]) -> Array:
        for layer, cache in zip(reversed(self.layers), reversed(caches)):
            dy = layer.backward_input(dy, cache)
        return dy

    def __call__(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x)
        return x

    def tangent(self, xdot: Array, caches: list[Any]) -> tuple[Array, Any]:
        tcaches = []
        for layer, cache in zip(self.layers, caches):
            xdot, tcache = layer.tangent(xdot, cache)
            tcaches.append(tcache)
        return xdot, (tcaches, caches)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array | None]:
        tcaches, caches = tcache
        dx = None  # ∂φ/∂x of the later layers, through their Jacobians
        for layer, tc, cache in zip(reversed(self.layers), reversed(tcaches), reversed(caches)):
            if dx is not None:
                dx = layer.backward(dx, cache)
            dydot, own = layer.tangent_backward(dydot, tc)
            dx = add(dx, own)
        return dydot, dx

    def trace(self, x: Array, name: str) -> Iterator[tuple[str, Array]]:
        for i, layer in enumerate(self.layers):
            y = x
            for where, y in layer.trace(x, join_names(name, str(i))):
                yield where, y
            x = y
        if not self.layers:
            yield name, x

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


def check_layer(who: str, what: str, layer: Layer) -> None:
    if not isinstance(layer, Layer):
        raise TypeError(
            f"{who}: {what} is {layer!r}, expected a Layer; pass instances, one by one: "
            f"{who}(Dense(4, 2, rng=rng), ReLU())"
        )
    seen: dict[int, Module] = {}
    level: list[Module] = [layer]
    for _ in range(MAX_DEPTH):
        inner = {id(part): part for module in level for part in module.children.values()}
        level = [part for number, part in inner.items() if number not in seen]
        seen |= inner
        if not level:
            return
    raise ValueError(
        f"{who}: {what} has layers that lie more than {MAX_DEPTH} deep within each other; "
        "pass the inner layers one after the other: Sequential(*layers)"
    )


def join_names(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
