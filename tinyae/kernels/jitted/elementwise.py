"""Activations and losses: element-wise loops, one pass over memory each."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numba
import numpy as np
from numba import carray, types

from tinyae.kernels import reference
from tinyae.kernels.jitted.activations import out_of_place
from tinyae.kernels.jitted.cfunc import c_function, call, float_type
from tinyae.kernels.jitted.layout import batch_last
from tinyae.kernels.jitted.operands import alike, is_float_array
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    run_parallel,
    split_points,
)
from tinyae.kernels.jitted.vector_math import exp, log1p
from tinyae.memory import empty_like
from tinyae.param import Array

_MIN_PARALLEL_SIZE = 1 << 15  # elements; below that, a second thread does not pay off
_MIN_PARALLEL_LOSS = 1 << 16  # the same for losses


def flat(*arrays: Array) -> tuple[Array, ...]:
    """Arrays of one shape as 1-D, all in the element order of the last one.

    The last array is the output, such as ``np.empty_like(x)``. If its memory has no gaps, it is
    returned as a view. An input in the same memory order is a view too; any other input is copied.
    """
    last = arrays[-1]
    if all(a.flags.c_contiguous for a in arrays):
        return tuple(a.reshape(-1) for a in arrays)
    flat_last = last.ravel(order="K")
    if not (np.may_share_memory(flat_last, last) or last.size == 0):
        return tuple(np.ascontiguousarray(a).reshape(-1) for a in arrays)
    return (*(_flat_in_order_of(last, a) for a in arrays[:-1]), flat_last)


def _flat_in_order_of(last: Array, a: Array) -> Array:
    if a.strides == last.strides:
        return a.ravel(order="K")
    if last.ndim == 4 and last.transpose(1, 2, 3, 0).flags.c_contiguous:
        return batch_last(a).reshape(-1)
    copy = np.empty_like(last, dtype=a.dtype)
    copy[...] = a
    return copy.ravel(order="K")


# --- activations ----------------------------------------------------------------------------


@functools.cache
def _activation_address(name: str, itemsize: int) -> int:
    """The address of an activation's out-of-place loops, which ``out_of_place`` keeps alive."""
    return int(out_of_place(name, itemsize).address)


@jit
def _forward(f: int, alpha: float, x: Array, y: Array) -> None:
    """y = f(x)"""
    at = y.ctypes.data
    call(f, np.intp(0), y.dtype.type(alpha), x.ctypes.data, at, at, y.size)


@jit
def _backward(f: int, alpha: float, dy: Array, cache: Array, dx: Array) -> None:
    """dx = dy ∘ f′"""
    arguments = cache.ctypes.data, dy.ctypes.data, dx.ctypes.data
    call(f, np.intp(1), dx.dtype.type(alpha), *arguments, dx.size)


@parallel_jit
def _forward_parallel(f: int, alpha: float, x: Array, y: Array, bounds: Array) -> None:
    for t in numba.prange(len(bounds) - 1):
        i, j = bounds[t], bounds[t + 1]
        _forward(f, alpha, x[i:j], y[i:j])


@parallel_jit
def _backward_parallel(
    f: int, alpha: float, dy: Array, cache: Array, dx: Array, bounds: Array
) -> None:
    for t in numba.prange(len(bounds) - 1):
        i, j = bounds[t], bounds[t + 1]
        _backward(f, alpha, dy[i:j], cache[i:j], dx[i:j])


def _activation(name: str, x: Array, alpha: float = 0.0) -> Array:
    y = empty_like(x)
    u, v = flat(x, y)
    f = _activation_address(name, y.itemsize)
    threads = claim_threads() if y.size >= _MIN_PARALLEL_SIZE else 1
    if threads > 1:
        run_parallel(_forward_parallel, f, alpha, u, v, split_points(y.size, threads))
    else:
        _forward(f, alpha, u, v)
    return y if np.may_share_memory(v, y) else v.reshape(y.shape)


def _activation_backward(name: str, dy: Array, cache: Array, alpha: float = 0.0) -> Array:
    dx = empty_like(cache)
    u, v, w = flat(dy, cache, dx)
    f = _activation_address(name, dx.itemsize)
    threads = claim_threads() if dx.size >= _MIN_PARALLEL_SIZE else 1
    if threads > 1:
        run_parallel(_backward_parallel, f, alpha, u, v, w, split_points(dx.size, threads))
    else:
        _backward(f, alpha, u, v, w)
    return dx if np.may_share_memory(w, dx) else w.reshape(dx.shape)


def relu(x: Array) -> Array:
    return _activation("ReLU", x) if is_float_array(x) else reference.relu(x)


def relu_backward(dy: Array, y: Array) -> Array:
    if not alike(dy, y):
        return reference.relu_backward(dy, y)
    return _activation_backward("ReLU", dy, y)


def elu(x: Array, alpha: float) -> Array:
    return _activation("ELU", x, float(alpha)) if is_float_array(x) else reference.elu(x, alpha)


def elu_backward(dy: Array, x: Array, alpha: float) -> Array:
    if not alike(dy, x):
        return reference.elu_backward(dy, x, alpha)
    return _activation_backward("ELU", dy, x, float(alpha))


def sigmoid(x: Array) -> Array:
    return _activation("Sigmoid", x) if is_float_array(x) else reference.sigmoid(x)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    if not alike(dy, y):
        return reference.sigmoid_backward(dy, y)
    return _activation_backward("Sigmoid", dy, y)


def silu(x: Array) -> Array:
    return _activation("SiLU", x) if is_float_array(x) else reference.silu(x)


def silu_backward(dy: Array, x: Array) -> Array:
    if not alike(dy, x):
        return reference.silu_backward(dy, x)
    return _activation_backward("SiLU", dy, x)


def tanh(x: Array) -> Array:
    return _activation("Tanh", x) if is_float_array(x) else reference.tanh(x)


def tanh_backward(dy: Array, y: Array) -> Array:
    if not alike(dy, y):
        return reference.tanh_backward(dy, y)
    return _activation_backward("Tanh", dy, y)


@jit
def _erfc(x: Array, y: Array) -> None:
    for i in range(x.size):
        y[i] = math.erfc(x[i])


def erfc(x: Array) -> Array:
    if not is_float_array(x):
        return reference.erfc(x)
    y = empty_like(x)
    source, view = flat(x, y)
    _erfc(source, view)
    return y if np.may_share_memory(view, y) else view.reshape(y.shape)


# --- losses ---------------------------------------------------------------------------------
#
# The loss is summed block by block, and the block sums are added in order, so that the result does
# not depend on the number of threads. Within a block, one loop sums and another writes. A single
# loop for both would be vectorised only if the arrays are far enough apart in memory, so the order
# of summation, and the last bits of the loss, would depend on their addresses.

_BLOCK = 1 << 12  # elements


def _mse(
    y_at: Any, target_at: Any, dy_at: Any, sums: Any, size: int, block: int, part: Any
) -> None:
    """sums[k] = Σ (y − t)² of block k; dy = 2 (y − t) / n.   part (first block, last, n)"""
    first, last, n = carray(part, (3,))
    y, target, dy = carray(y_at, (size,)), carray(target_at, (size,)), carray(dy_at, (size,))
    totals, scale = carray(sums, (last,)), y.dtype.type(2 / n)
    for k in range(first, last):
        i, j = k * block, min((k + 1) * block, size)
        u, v, du, total = y[i:j], target[i:j], dy[i:j], 0.0
        for t in range(u.size):
            d = u[t] - v[t]
            total += d * d
        for t in range(u.size):
            du[t] = scale * (u[t] - v[t])
        totals[k] = total


def _l1(y_at: Any, target_at: Any, dy_at: Any, sums: Any, size: int, block: int, part: Any) -> None:
    """sums[k] = Σ |y − t| of block k; dy = sign(y − t) / n."""
    first, last, n = carray(part, (3,))
    y, target, dy = carray(y_at, (size,)), carray(target_at, (size,)), carray(dy_at, (size,))
    totals, scale = carray(sums, (last,)), y.dtype.type(1 / n)
    for k in range(first, last):
        i, j = k * block, min((k + 1) * block, size)
        u, v, du, total = y[i:j], target[i:j], dy[i:j], 0.0
        for t in range(u.size):
            total += abs(u[t] - v[t])
        for t in range(u.size):
            du[t] = scale * np.sign(u[t] - v[t])
        totals[k] = total


def _bce_with_logits(
    y_at: Any, target_at: Any, dy_at: Any, sums: Any, size: int, block: int, part: Any
) -> None:
    """sums[k] = Σ max(y, 0) − y t + ln(1 + e^−|y|) of block k; dy = (σ(y) − t) / n."""
    first, last, n = carray(part, (3,))
    y, target, dy = carray(y_at, (size,)), carray(target_at, (size,)), carray(dy_at, (size,))
    totals, scale = carray(sums, (last,)), y.dtype.type(1 / n)
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for k in range(first, last):
        i, j = k * block, min((k + 1) * block, size)
        u, v, du, total = y[i:j], target[i:j], dy[i:j], 0.0
        for t in range(u.size):
            du[t] = exp(-abs(u[t]))
        for t in range(u.size):
            total += (u[t] if u[t] > zero else zero) - u[t] * v[t]
        for t in range(u.size):
            total += log1p(du[t])
        for t in range(u.size):
            e = du[t]
            du[t] = scale * ((one if u[t] >= zero else e) / (one + e) - v[t])
        totals[k] = total


_LOSSES = {"mse": _mse, "l1": _l1, "bce_with_logits": _bce_with_logits}


@functools.cache
def loss_cfunc(loss: str, itemsize: int) -> Any:
    """A loss over a range of blocks, compiled as a C function."""
    numbers, sums = types.CPointer(float_type(itemsize)), types.CPointer(types.float64)
    integer = types.intp
    kind = types.void(*[numbers] * 3, sums, integer, integer, types.CPointer(integer))
    return c_function(_LOSSES[loss], kind)


@jit
def _run_loss(
    f: int, y: Array, target: Array, dy: Array, sums: Array, block: int, part: Array
) -> None:
    call(
        f,
        *(y.ctypes.data, target.ctypes.data, dy.ctypes.data, sums.ctypes.data),
        *(y.size, np.intp(block), part.ctypes.data),
    )


@parallel_jit
def _run_loss_parallel(
    f: int, y: Array, target: Array, dy: Array, sums: Array, block: int, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        _run_loss(f, y, target, dy, sums, block, parts[t])


@functools.lru_cache(maxsize=256)
def _block_ranges(size: int, threads: int) -> Array:
    """Each thread's range of blocks, and the number of elements: (first, last, size)."""
    bounds = split_points(-(-size // _BLOCK), threads)
    return np.array([(i, j, size) for i, j in itertools.pairwise(bounds)], np.intp)


def _loss(loss: str, y: Array, target: Array) -> tuple[float, Array]:
    dy = empty_like(y)
    *views, view = flat(y, target, dy)
    sums = np.empty(-(-y.size // _BLOCK))
    threads = claim_threads() if y.size >= _MIN_PARALLEL_LOSS else 1
    parts = _block_ranges(y.size, threads)
    arguments = loss_cfunc(loss, y.itemsize).address, *views, view, sums, _BLOCK
    if threads > 1:
        run_parallel(_run_loss_parallel, *arguments, parts)
    else:
        _run_loss(*arguments, parts[0])
    L = float(np.add.reduce(sums)) / y.size
    return L, dy if np.may_share_memory(view, dy) else view.reshape(dy.shape)


def mse(y: Array, target: Array) -> tuple[float, Array]:
    return _loss("mse", y, target) if alike(y, target) else reference.mse(y, target)


def l1(y: Array, target: Array) -> tuple[float, Array]:
    return _loss("l1", y, target) if alike(y, target) else reference.l1(y, target)


def bce_with_logits(y: Array, target: Array) -> tuple[float, Array]:
    if not alike(y, target):
        return reference.bce_with_logits(y, target)
    return _loss("bce_with_logits", y, target)


bce = reference.bce  # NumPy's log is vectorised already
