"""Consecutive dense layers, each with or without an activation, as one kernel.

A multilayer perceptron is Dense, activation, Dense, activation, … In a small network each layer
takes so little time that calling it costs as much as computing it.
:mod:`tinyae.fusion.sequential` finds the layers to fuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tinyae import kernels
from tinyae.fusion.plan_cache import is_unmodified
from tinyae.kernels.reference import LINEAR, MLPLayer, MLPLayers
from tinyae.layers import Dense, Layer
from tinyae.layers.activation import activations
from tinyae.layers.base import check_dy, check_input
from tinyae.param import Array, Param, check_writeable

_NAMES: dict[type[Layer], str] = {kind: kind.__name__ for kind in activations()}


class FusedMLP:
    """Dense layers, each with or without an activation after it, as one kernel.

    Forward   yₗ = fₗ(yₗ₋₁ Wₗᵀ + bₗ),   y₀ = x
    Backward  gₗ = dyₗ ∘ fₗ′      dWₗ = gₗᵀ yₗ₋₁      dbₗ = Σₙ gₗ      dyₗ₋₁ = gₗ Wₗ
    Cache     each layer's own, in a list: x of a Dense, x or y of an activation
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.first, self.last = cast(Dense, layers[0]), layers[-1]
        self.dtype = self.first.W.dtype
        self.mlp_layers = MLPLayers()
        self.learnt: list[dict[str, Param]] = []  # of each Dense
        self.inputs: list[int] = []  # the index of each Dense's x in the list of caches
        for k, layer in enumerate(layers):
            if isinstance(layer, Dense):
                W, b = layer.W, layer.b
                self.inputs.append(k)
                self.learnt.append({"W": W, "b": b})
                self.mlp_layers.append(MLPLayer(W.value, b.value, W.grad, b.grad, LINEAR))
            else:
                alpha = getattr(layer, "alpha", 1.0)
                self.mlp_layers[-1] = self.mlp_layers[-1]._replace(
                    f=_NAMES[type(layer)], alpha=alpha
                )

    @property
    def params(self) -> dict[str, Param]:
        return self.first.params

    @property
    def learns(self) -> bool:
        return any(p.trainable for params in self.learnt for p in params.values())

    @property
    def first_learns(self) -> bool:
        """Whether no layer could be left out in backward: the first one is not frozen."""
        return any(p.trainable for p in self.learnt[0].values())

    def forward(self, x: Array) -> tuple[Array, list[Array]]:
        check_input(self.first, x, ("N", self.first.in_features))
        results = kernels.mlp(self.mlp_layers, x)
        ys = results[: len(self.mlp_layers)]
        zs = dict(zip(self.mlp_layers.cached_x, results[len(ys) :]))
        caches = []
        for k, (layer, before, y) in enumerate(zip(self.mlp_layers, [x, *ys], ys)):
            caches += [before] if layer.f == LINEAR else [before, zs.get(k, y)]
        return ys[-1], caches

    def backward(self, dy: Array, caches: list[Array]) -> Array:
        return cast(Array, self._backward(dy, caches, True))

    def backward_params(self, dy: Array, caches: list[Array]) -> None:
        self._backward(dy, caches, False)

    def backprop(
        self, x: Array, target: Array, loss: str, per_sample: bool = False, input_grad: bool = False
    ) -> tuple[float, Array | None]:
        """L of the output against a target, and dx; adds the gradient to every Param.grad.

        See :func:`tinyae.kernels.reference.mlp_backprop`.
        """
        self._check_writeable()
        x, target = x.reshape(len(x), -1), target.reshape(len(x), -1)
        L, dx = kernels.mlp_backprop(self.mlp_layers, x, target, loss, per_sample, input_grad)
        return L, dx

    def _check_writeable(self) -> None:
        """Raise a ValueError if a gradient is read-only: the kernel writes by address."""
        for layer, own in zip(self.mlp_layers, self.learnt):
            if not (layer.dW.flags.writeable and layer.db.flags.writeable):  # 0.1 µs a layer
                check_writeable("Dense", own)

    def _backward(self, dy: Array, caches: list[Array], input_grad: bool) -> Array | None:
        self._check_writeable()
        x, *ys = (caches[k] for k in self.inputs)
        ys.append(caches[-1])  # read only if the slope of the last activation is computed from y
        ys += [caches[self.inputs[k] + 1] for k in self.mlp_layers.cached_x]
        dy = check_dy(self.last, dy, (len(x), len(self.mlp_layers[-1].W)), self.dtype)
        return kernels.mlp_backward(self.mlp_layers, x, ys, dy, input_grad)


def is_fusible_activation(layer: Layer) -> bool:
    """Whether it is an unmodified activation that the kernel has."""
    return type(layer) in _NAMES and is_unmodified(layer)


def is_fusible_dense(layer: Layer) -> bool:
    """Whether it is an unmodified Dense whose arrays have the layout that the kernel reads."""
    if type(layer) is not Dense or not is_unmodified(layer):
        return False
    shapes = {layer.W: (layer.out_features, layer.in_features), layer.b: (layer.out_features,)}
    return all(
        a.shape == shape and a.dtype == layer.W.dtype and a.flags.c_contiguous and a.flags.writeable
        for param, shape in shapes.items()
        for a in (param.value, param.grad)
    )
