"""Activations and losses: one pass over memory each, entry by entry."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numba
import numpy as np
from numba import carray, types

from tinyae.kernels import reference
from tinyae.kernels.jitted.activations import apart
from tinyae.kernels.jitted.cfunc import c_function, call, number
from tinyae.kernels.jitted.layout import batch_last
from tinyae.kernels.jitted.threads import cut, jit, parallel_jit, share, together
from tinyae.kernels.jitted.vector_math import exp, log1p
from tinyae.memory import empty_like
from tinyae.param import Array

_SHARED = 1 << 15  # numbers from which on two threads gain more than they cost
_SHARED_LOSS = 1 << 16  # and of a loss


def flat(*arrays: Array) -> tuple[Array, ...]:
    """1-D views of arrays of one shape, all in the element order of the last; copies where need be.

    The last is what the others are read for, like ``np.empty_like(x)``: if its memory has no
    gaps, its order is kept, whichever it is, and those in the same order cost no copy.
    """
    last = arrays[-1]
    if all(a.flags.c_contiguous for a in arrays):
        return tuple(a.reshape(-1) for a in arrays)
    line = last.ravel(order="K")
    if not (np.may_share_memory(line, last) or last.size == 0):
        return tuple(np.ascontiguousarray(a).reshape(-1) for a in arrays)
    return (*(_in_order_of(last, a) for a in arrays[:-1]), line)


def _in_order_of(last: Array, a: Array) -> Array:
    if a.strides == last.strides:
        return a.ravel(order="K")
    if last.ndim == 4 and last.transpose(1, 2, 3, 0).flags.c_contiguous:
        return batch_last(a).reshape(-1)
    copy = np.empty_like(last, dtype=a.dtype)
    copy[...] = a
    return copy.ravel(order="K")


# --- activations ----------------------------------------------------------------------------


@functools.cache
def _address(name: str, itemsize: int) -> int:
    """Of an activation's loops that are not in place; they stay, as ``apart`` keeps them."""
    return int(apart(name, itemsize).address)


@jit
def _forward(f: int, alpha: float, x: Array, y: Array) -> None:
    """y = f(x)"""
    at = y.ctypes.data
    call(f, np.intp(0), y.dtype.type(alpha), x.ctypes.data, at, at, y.size)


@jit
def _backward(f: int, alpha: float, dy: Array, cache: Array, dx: Array) -> None:
    """dx = dy ∘ f′"""
    given = cache.ctypes.data, dy.ctypes.data, dx.ctypes.data
    call(f, np.intp(1), dx.dtype.type(alpha), *given, dx.size)


@parallel_jit
def _forward_shared(f: int, alpha: float, x: Array, y: Array, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        i, j = cuts[t], cuts[t + 1]
        _forward(f, alpha, x[i:j], y[i:j])


@parallel_jit
def _backward_shared(f: int, alpha: float, dy: Array, cache: Array, dx: Array, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        i, j = cuts[t], cuts[t + 1]
        _backward(f, alpha, dy[i:j], cache[i:j], dx[i:j])


def _activation(name: str, x: Array, alpha: float = 0.0) -> Array:
    y = empty_like(x)
    u, v = flat(x, y)
    f, threads = _address(name, y.itemsize), share() if y.size >= _SHARED else 1
    if threads > 1:
        together(_forward_shared, f, alpha, u, v, cut(y.size, threads))
    else:
        _forward(f, alpha, u, v)
    return y if np.may_share_memory(v, y) else v.reshape(y.shape)


def _activation_backward(name: str, dy: Array, cache: Array, alpha: float = 0.0) -> Array:
    dx = empty_like(cache)
    u, v, w = flat(dy, cache, dx)
    f, threads = _address(name, dx.itemsize), share() if dx.size >= _SHARED else 1
    if threads > 1:
        together(_backward_shared, f, alpha, u, v, w, cut(dx.size, threads))
    else:
        _backward(f, alpha, u, v, w)
    return dx if np.may_share_memory(w, dx) else w.reshape(dx.shape)


def relu(x: Array) -> Array:
    return _activation("ReLU", x)


def relu_backward(dy: Array, y: Array) -> Array:
    return _activation_backward("ReLU", dy, y)


def elu(x: Array, alpha: float) -> Array:
    return _activation("ELU", x, float(alpha))


def elu_backward(dy: Array, y: Array, alpha: float) -> Array:
    return _activation_backward("ELU", dy, y, float(alpha))


def sigmoid(x: Array) -> Array:
    return _activation("Sigmoid", x)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    return _activation_backward("Sigmoid", dy, y)


def tanh(x: Array) -> Array:
    return _activation("Tanh", x)


def tanh_backward(dy: Array, y: Array) -> Array:
    return _activation_backward("Tanh", dy, y)


@jit
def _erf(x: Array, y: Array) -> None:
    for i in range(x.size):
        y[i] = math.erf(x[i])


def erf(x: Array) -> Array:
    y = empty_like(x)
    source, view = flat(x, y)
    _erf(source, view)
    return y if np.may_share_memory(view, y) else view.reshape(y.shape)


# --- losses ---------------------------------------------------------------------------------
#
# The loss is summed a run of numbers at a time and the runs one after the other, so that it is the
# same for any number of threads. Within a run, what sums does not write: a loop that did both would
# be vectorised or not, and so sum in another order, by how far apart the arrays happen to lie.

_BLOCK = 1 << 12  # numbers of a run


def _mse(
    y_at: Any, target_at: Any, dy_at: Any, sums: Any, size: int, block: int, part: Any
) -> None:
    """Σ (y − t)² of each run from first to last; dy = 2 (y − t) / n. A part is (first, last, n)."""
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
    """Σ |y − t| of each run from first to last; dy = sign(y − t) / n."""
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
    """Σ max(y, 0) − y t + ln(1 + e^−|y|) of each run from first to last; dy = (σ(y) − t) / n."""
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
def measurer(loss: str, itemsize: int) -> Any:
    """A loss over some runs, compiled as a C function, which has an address."""
    numbers, sums = types.CPointer(number(itemsize)), types.CPointer(types.float64)
    integer = types.intp
    kind = types.void(*[numbers] * 3, sums, integer, integer, types.CPointer(integer))
    return c_function(_LOSSES[loss], kind)


@jit
def _measure(
    f: int, y: Array, target: Array, dy: Array, sums: Array, block: int, part: Array
) -> None:
    call(
        f,
        *(y.ctypes.data, target.ctypes.data, dy.ctypes.data, sums.ctypes.data),
        *(y.size, np.intp(block), part.ctypes.data),
    )


@parallel_jit
def _measure_shared(
    f: int, y: Array, target: Array, dy: Array, sums: Array, block: int, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        _measure(f, y, target, dy, sums, block, parts[t])


@functools.lru_cache(maxsize=256)
def _shares(size: int, threads: int) -> Array:
    """Each thread's part of the runs of so many numbers: (first, last, all numbers)."""
    cuts = cut(-(-size // _BLOCK), threads)
    return np.array([(i, j, size) for i, j in itertools.pairwise(cuts)], np.intp)


def _loss(loss: str, y: Array, target: Array) -> tuple[float, Array]:
    dy = empty_like(y)
    *views, view = flat(y, target, dy)
    sums = np.empty(-(-y.size // _BLOCK))
    threads = share() if y.size >= _SHARED_LOSS else 1
    parts = _shares(y.size, threads)
    given = measurer(loss, y.itemsize).address, *views, view, sums, _BLOCK
    if threads > 1:
        together(_measure_shared, *given, parts)
    else:
        _measure(*given, parts[0])
    L = float(np.add.reduce(sums)) / y.size
    return L, dy if np.may_share_memory(view, dy) else view.reshape(dy.shape)


def mse(y: Array, target: Array) -> tuple[float, Array]:
    return _loss("mse", y, target)


def l1(y: Array, target: Array) -> tuple[float, Array]:
    return _loss("l1", y, target)


def bce_with_logits(y: Array, target: Array) -> tuple[float, Array]:
    return _loss("bce_with_logits", y, target)


bce = reference.bce  # NumPy's log is vector code already
