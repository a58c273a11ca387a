"""Consecutive convolutions, each with or without a BatchNorm and a ReLU after it, as one fused part.

Images hold many numbers, and one more pass over them, for a ReLU, costs up to a tenth of the
convolution. So a fused convolution applies the ReLU to each sum as soon as it is computed, and in
backward it applies the ReLU's mask. Where a norm lies between, the norm does so.
:mod:`tinyae.fusion.sequential` finds the layers to fuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from tinyae import kernels
from tinyae.fusion import batch_norm
from tinyae.fusion.plan_cache import is_plain, is_unmodified
from tinyae.layers import BatchNorm, Conv2d, ConvTranspose2d, Layer
from tinyae.layers.base import check_dy
from tinyae.param import Array, Param

Convolution = Conv2d | ConvTranspose2d
Shape = tuple[int, ...]

_MAX_ACCEPTED = 64  # shapes that are kept


class Stage(NamedTuple):
    """A convolution, and what follows it"""

    conv: Convolution
    norm: BatchNorm | None
    relu: bool


class FusedConvolutions:
    """Convolutions, each with or without a BatchNorm and a ReLU after it, as one part.

    Forward   yₗ = f(Bₗ(Lₗ yₗ₋₁ + bₗ)),   y₀ = x,   B the norm or nothing, f the ReLU or nothing
    Backward  gₗ = Bₗ′(dyₗ ∘ f′)      dWₗ, dbₗ from gₗ and yₗ₋₁      dyₗ₋₁ = Lₗᵀ gₗ
    Cache     each layer's own, in a list: x of a convolution, x̂ and σ of a norm, y of a ReLU
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.stages: list[Stage] = []
        self.last = layers[-1]
        for layer in layers:
            if isinstance(layer, Convolution):
                self.stages.append(Stage(layer, None, False))
            elif isinstance(layer, BatchNorm):
                self.stages[-1] = self.stages[-1]._replace(norm=layer)
            else:
                self.stages[-1] = self.stages[-1]._replace(relu=True)
        self.dtype = self.stages[0].conv.W.dtype
        # The shapes of y's samples by those of x's, once every layer has accepted them: to look a
        # shape up takes a tenth of the time of the checks.
        self.accepted: dict[Shape, Shape] = {}

    @property
    def params(self) -> dict[str, Param]:
        return self.stages[0].conv.params

    @property
    def learns(self) -> bool:
        return any(s.conv.learns or (s.norm and s.norm.learns) for s in self.stages)

    @property
    def first_learns(self) -> bool:
        return self.stages[0].conv.learns

    def forward(self, x: Array) -> tuple[Array, list[Any]]:
        caches: list[Any] = []
        sample = x.shape[1:]
        accepted = type(x) is np.ndarray and x.dtype == self.dtype and sample in self.accepted
        for conv, norm, relu in self.stages:
            if not accepted:
                conv.check(x)
            caches.append(x)
            x = _linear(conv, x, relu and norm is None)
            if norm is not None:
                x, cache = batch_norm.forward_with_relu(norm, x, relu)
                caches.append(cache)
            if relu:
                caches.append(x)
        if not accepted:
            if len(self.accepted) >= _MAX_ACCEPTED:
                self.accepted.clear()
            self.accepted[sample] = x.shape[1:]
        return x, caches

    def backward(self, dy: Array, caches: list[Any]) -> Array:
        conv, g, x = self._backward_to_first(dy, caches)
        _add_gradients(conv, g, x)
        return _adjoint(conv, g, x, None)

    def backward_params(self, dy: Array, caches: list[Any]) -> None:
        _add_gradients(*self._backward_to_first(dy, caches))

    def _backward_to_first(self, dy: Array, caches: list[Any]) -> tuple[Convolution, Array, Array]:
        """Run backward down to the first convolution; return it, its g and its x."""
        remaining, x = list(caches), caches[0]
        conv, norm, relu = self.stages[-1]
        y = remaining.pop() if relu else None
        if not is_plain(dy, (len(x), *self.accepted.get(x.shape[1:], ())), self.dtype):
            if y is not None:
                dy = check_dy(self.last, dy, y.shape, y.dtype)
            elif norm is not None:
                dy = check_dy(norm, dy, remaining[-1][0].shape, self.dtype)
            else:
                dy = conv.check_dy(dy, remaining[-1])
        if norm is not None:
            g = batch_norm.backward_with_relu(norm, dy, remaining.pop(), y)
        else:
            g = dy if y is None else kernels.relu_backward(dy, y)
        for k in range(len(self.stages) - 1, 0, -1):
            conv, x = self.stages[k].conv, remaining.pop()
            _add_gradients(conv, g, x)
            _, norm, relu = self.stages[k - 1]
            relu_mask = remaining.pop() if relu else None
            g = _adjoint(conv, g, x, None if norm else relu_mask)
            if norm is not None:
                g = batch_norm.backward_with_relu(norm, g, remaining.pop(), relu_mask)
        return self.stages[0].conv, g, remaining.pop()


def is_fusible_norm(layer: Layer, after: Layer) -> bool:
    """Whether a norm can be fused with the convolution before it."""
    return (
        type(layer) is BatchNorm
        and is_fusible_convolution(after)
        and layer.num_features == after.out_channels
        and layer.gamma.dtype == after.W.dtype
        and is_unmodified(layer)
    )


def is_fusible_convolution(layer: Layer) -> TypeGuard[Convolution]:
    return type(layer) in (Conv2d, ConvTranspose2d) and is_unmodified(layer)


def _add_gradients(conv: Convolution, g: Array, x: Array) -> None:
    """dW and db from a g that has been checked, or that a kernel has made"""
    dW = conv.W.grad
    dW += conv.weight_grad(g, x)
    kernels.bias_grad(g, conv.b.grad)


def _linear(conv: Convolution, x: Array, relu: bool) -> Array:
    """Lx + b, or the ReLU of it"""
    W, b, more = conv.W.value, conv.b.value, (conv.dilation, conv.groups)
    size = x.shape[2], x.shape[3]
    if isinstance(conv, Conv2d):
        return kernels.conv2d_relu(x, W, conv.stride, conv.pad(size), b, relu, None, *more)
    size = conv.output_size(size)
    pad = conv.pad(size)
    return kernels.conv2d_input_grad_relu(x, W, conv.stride, pad, size, b, relu, None, *more)


def _adjoint(conv: Convolution, dy: Array, x: Array, relu_mask: Array | None) -> Array:
    """Lᵀ dy, through the ReLU whose output is ``relu_mask``"""
    W, more = conv.W.value, (conv.dilation, conv.groups)
    if isinstance(conv, Conv2d):
        size = x.shape[2], x.shape[3]
        return kernels.conv2d_input_grad_relu(
            dy, W, conv.stride, conv.pad(size), size, None, False, relu_mask, *more
        )
    pad = conv.pad((dy.shape[2], dy.shape[3]))
    return kernels.conv2d_relu(dy, W, conv.stride, pad, None, False, relu_mask, *more)
