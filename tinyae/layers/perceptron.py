"""Dense layers in a row, run by one kernel: for speed alone, the layers themselves say what is done.

A multilayer perceptron is Dense, activation, Dense, activation, … Where
:mod:`tinyae.layers.runs` finds such a run, a :class:`Perceptron` stands for it, so that a small
network is not mostly calls. A model whose layers, from one place up to its loss, are one such run
lets it do their step at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from tinyae import kernels
from tinyae.kernels.functions import FUNCTIONS
from tinyae.kernels.reference import LINEAR, MLPLayer, MLPLayers
from tinyae.layers import activation
from tinyae.layers.base import Layer, check_input
from tinyae.layers.dense import Dense
from tinyae.param import Array, Param

_NAMES = {getattr(activation, name): name for name in FUNCTIONS}


class Perceptron:
    """Dense layers, each with or without an activation after it, as one.

    Forward   yₗ = fₗ(yₗ₋₁ Wₗᵀ + bₗ),   y₀ = x
    Backward  gₗ = dyₗ ∘ fₗ′      dWₗ = gₗᵀ yₗ₋₁      dbₗ = Σₙ gₗ      dyₗ₋₁ = gₗ Wₗ
    Cache     each layer's own, in a list: x of a Dense, x or y of an activation
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.first = cast(Dense, layers[0])
        self.stages = MLPLayers()
        self.inputs: list[int] = []  # where, among the caches, each stage's x lies
        for k, layer in enumerate(layers):
            if isinstance(layer, Dense):
                W, b = layer.W, layer.b
                self.inputs.append(k)
                self.stages.append(MLPLayer(W.value, b.value, W.grad, b.grad, LINEAR))
            else:
                alpha = getattr(layer, "alpha", 1.0)
                self.stages[-1] = self.stages[-1]._replace(f=_NAMES[type(layer)], alpha=alpha)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.first.W.dtype

    @property
    def params(self) -> dict[str, Param]:
        return self.first.params

    def forward(self, x: Array) -> tuple[Array, list[Array]]:
        check_input(self.first, x, ("N", self.first.in_features))
        results = kernels.mlp(self.stages, x)
        ys = results[: len(self.stages)]
        zs = dict(zip(self.stages.cached_x, results[len(ys) :]))
        caches = []
        for k, (stage, before, y) in enumerate(zip(self.stages, [x, *ys], ys)):
            caches += [before] if stage.f == LINEAR else [before, zs.get(k, y)]
        return ys[-1], caches

    def backward(self, dy: Array, caches: list[Array]) -> Array:
        return cast(Array, self._backward(dy, caches, True))

    def backward_params(self, dy: Array, caches: list[Array]) -> None:
        self._backward(dy, caches, False)

    def backprop(
        self, x: Array, target: Array, loss: str, per_sample: bool = False, input_grad: bool = False
    ) -> tuple[float, Array | None]:
        """L of the output against a target, its gradient added to every Param.grad; and dx.

        See :func:`tinyae.kernels.reference.mlp_backprop`.
        """
        x, target = x.reshape(len(x), -1), target.reshape(len(x), -1)
        L, dx = kernels.mlp_backprop(self.stages, x, target, loss, per_sample, input_grad)
        return L, dx

    def _backward(self, dy: Array, caches: list[Array], input_grad: bool) -> Array | None:
        x, *ys = (caches[k] for k in self.inputs)
        ys.append(caches[-1])  # y of an activation whose slope is in y; else nobody reads it
        ys += [caches[self.inputs[k] + 1] for k in self.stages.cached_x]
        expected = len(x), len(self.stages[-1].W)
        if dy.shape != expected:
            raise ValueError(
                f"Sequential: dy has shape {dy.shape}, expected {expected}, the output's shape; "
                "pass the gradient with respect to what forward returned"
            )
        return kernels.mlp_backward(self.stages, x, ys, dy, input_grad)


def known(layer: Layer) -> bool:
    """Whether it is an activation that the kernel has."""
    return type(layer) in _NAMES and vars(layer).keys() <= {"alpha"}


def plain(dense: Dense) -> bool:
    """Whether its arrays are as it has made them."""
    shapes = {"W": (dense.out_features, dense.in_features), "b": (dense.out_features,)}
    return vars(dense).keys() == {"in_features", "out_features", "W", "b"} and all(
        a.shape == shape and a.dtype == dense.W.dtype and a.flags.c_contiguous and a.flags.writeable
        for name, shape in shapes.items()
        for a in (vars(dense)[name].value, vars(dense)[name].grad)
    )
