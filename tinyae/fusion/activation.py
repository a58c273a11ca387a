"""The twin of an activation's backward: f′ times dy in one pass, for the activations with a kernel."""

from __future__ import annotations

from typing import Any

from tinyae import kernels
from tinyae.fusion.plan_cache import is_plain, is_unmodified
from tinyae.layers import ELU, Activation, ReLU, Sigmoid, SiLU, Tanh
from tinyae.param import Array


def backward(layer: Activation, dy: Array, cache: Any) -> Array:
    if not is_unmodified(layer) or not is_plain(dy, cache.shape, cache.dtype):
        return NotImplemented
    if isinstance(layer, ReLU):
        return kernels.relu_backward(dy, cache)
    if isinstance(layer, Sigmoid):
        return kernels.sigmoid_backward(dy, cache)
    if isinstance(layer, SiLU):
        return kernels.silu_backward(dy, cache)
    if isinstance(layer, Tanh):
        return kernels.tanh_backward(dy, cache)
    if isinstance(layer, ELU):
        return kernels.elu_backward(dy, cache, layer.alpha)
    return NotImplemented
