"""The twins of a dense layer's backward: one kernel computes the gradient and adds it.

The definition computes dyᵀ x in an array of its own and then adds it. For a large matrix that is
three passes over memory instead of one.
"""

from __future__ import annotations

from tinyae import kernels
from tinyae.fusion.plan_cache import is_plain, is_unmodified
from tinyae.layers import Dense, TiedDense
from tinyae.param import Array


def backward(layer: Dense, dy: Array, x: Array) -> Array:
    if not is_unmodified(layer) or not is_plain(dy, (len(x), layer.b.size), x.dtype):
        return NotImplemented
    kernels.affine_grad(dy, x, layer.W.grad, layer.b.grad)
    return kernels.matmul(dy, layer.W.value)


def backward_params(layer: Dense, dy: Array, x: Array) -> None:
    if not is_unmodified(layer) or not is_plain(dy, (len(x), layer.b.size), x.dtype):
        return NotImplemented
    kernels.affine_grad(dy, x, layer.W.grad, layer.b.grad)
    return None


def tied_backward(layer: TiedDense, dy: Array, x: Array) -> Array:
    if not is_unmodified(layer) or not is_plain(dy, (len(x), layer.b.size), x.dtype):
        return NotImplemented
    kernels.affine_grad(dy, x, layer.dense.W.T.grad, layer.b.grad)
    return kernels.matmul_nt(dy, layer.dense.W.value)
