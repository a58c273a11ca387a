"""Consecutive convolutions, each with or without a ReLU after it, as one fused part.

Images hold many numbers, and one more pass over them, for a ReLU, costs up to a tenth of the
convolution. So a fused convolution applies the ReLU to each sum as soon as it is computed, and in
backward it applies the ReLU's mask. :mod:`tinyae.fusion.sequential` finds the layers to fuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from tinyae import kernels
from tinyae.fusion.plan_cache import is_plain, is_unmodified
from tinyae.layers import Conv2d, ConvTranspose2d, Layer, ReLU
from tinyae.layers.base import check_dy
from tinyae.param import Array, Param

Convolution = Conv2d | ConvTranspose2d
Shape = tuple[int, ...]

_MAX_ACCEPTED = 64  # shapes that are kept


class FusedConvolutions:
    """Convolutions, each with or without a ReLU after it, as one part.

    Forward   yₗ = f(Lₗ yₗ₋₁ + bₗ),   y₀ = x,   f the ReLU or nothing
    Backward  gₗ = dyₗ ∘ f′      dWₗ, dbₗ from gₗ and yₗ₋₁      dyₗ₋₁ = Lₗᵀ gₗ
    Cache     each layer's own, in a list: x of a convolution, y of a ReLU
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.convolutions: list[tuple[Convolution, bool]] = []  # True if a ReLU follows
        self.last = layers[-1]
        for layer, after in zip(layers, [*layers[1:], None]):
            if isinstance(layer, Convolution):
                self.convolutions.append((layer, isinstance(after, ReLU)))
        self.dtype = self.convolutions[0][0].W.dtype
        # The shapes of y's samples by those of x's, once every layer has accepted them: to look a
        # shape up takes a tenth of the time of the checks.
        self.accepted: dict[Shape, Shape] = {}

    @property
    def params(self) -> dict[str, Param]:
        return self.convolutions[0][0].params

    @property
    def learns(self) -> bool:
        return any(conv.learns for conv, _ in self.convolutions)

    @property
    def first_learns(self) -> bool:
        return self.convolutions[0][0].learns

    def forward(self, x: Array) -> tuple[Array, list[Array]]:
        caches = []
        sample = x.shape[1:]
        accepted = type(x) is np.ndarray and x.dtype == self.dtype and sample in self.accepted
        for conv, relu in self.convolutions:
            if not accepted:
                conv.check(x)
            caches.append(x)
            x = _linear(conv, x, relu)
            if relu:
                caches.append(x)
        if not accepted:
            if len(self.accepted) >= _MAX_ACCEPTED:
                self.accepted.clear()
            self.accepted[sample] = x.shape[1:]
        return x, caches

    def backward(self, dy: Array, caches: list[Array]) -> Array:
        conv, g, x = self._backward_to_first(dy, caches)
        _add_gradients(conv, g, x)
        return _adjoint(conv, g, x, None)

    def backward_params(self, dy: Array, caches: list[Array]) -> None:
        _add_gradients(*self._backward_to_first(dy, caches))

    def _backward_to_first(
        self, dy: Array, caches: list[Array]
    ) -> tuple[Convolution, Array, Array]:
        """Run backward down to the first convolution; return it, its g and its x."""
        remaining, x = list(caches), caches[0]
        last, relu = self.convolutions[-1]
        y = remaining.pop() if relu else None
        if not is_plain(dy, (len(x), *self.accepted.get(x.shape[1:], ())), self.dtype):
            if y is None:
                dy = last.check_dy(dy, remaining[-1])
            else:
                dy = check_dy(self.last, dy, y.shape, y.dtype)
        g = dy if y is None else kernels.relu_backward(dy, y)
        for k in range(len(self.convolutions) - 1, 0, -1):
            conv, x = self.convolutions[k][0], remaining.pop()
            _add_gradients(conv, g, x)
            relu_mask = remaining.pop() if self.convolutions[k - 1][1] else None
            g = _adjoint(conv, g, x, relu_mask)
        return self.convolutions[0][0], g, remaining.pop()


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
