"""The twins of a dense layer's backward: one kernel computes the gradient and adds it.

The definition computes dyᵀ x in an array of its own and then adds it. For a large matrix that is
three passes over memory instead of one.
"""

from __future__ import annotations

import numpy as np

from tinyae import kernels
from tinyae.fusion.plan_cache import is_unmodified
from tinyae.layers import Dense, TiedDense
from tinyae.param import Array


def backward(layer: Dense, dy: Array, x: Array) -> Array:
    if not is_unmodified(layer) or not _is_plain(layer, dy, x):
        return NotImplemented
    kernels.affine_grad(dy, x, layer.W.grad, layer.b.grad)
    return kernels.matmul(dy, layer.W.value)


def backward_params(layer: Dense, dy: Array, x: Array) -> None:
    if not is_unmodified(layer) or not _is_plain(layer, dy, x):
        return NotImplemented
    kernels.affine_grad(dy, x, layer.W.grad, layer.b.grad)
    return None


def tied_backward(layer: TiedDense, dy: Array, x: Array) -> Array:
    if not is_unmodified(layer) or not _is_plain(layer, dy, x):
        return NotImplemented
    kernels.affine_grad(dy, x, layer.dense.W.T.grad, layer.b.grad)
    return kernels.matmul_nt(dy, layer.dense.W.value)


def _is_plain(layer: Dense | TiedDense, dy: Array, x: Array) -> bool:
    """Whether dy is what the layer expects; if not, the definition says so or converts it."""
    return type(dy) is np.ndarray and dy.dtype == x.dtype and dy.shape == (len(x), layer.b.size)
