"""Activations and losses: one pass over memory each, entry by entry."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import carray, types

from tinyae.kernels import reference
from tinyae.kernels.jitted.cfunc import c_function, call, number
from tinyae.kernels.jitted.layout import batch_last
from tinyae.kernels.jitted.threads import cut, jit, parallel_jit, share, together
from tinyae.kernels.jitted.vector_math import exp, expm1, log1p
from tinyae.kernels.jitted.vector_math import sigmoid as _sigmoid_of
from tinyae.kernels.jitted.vector_math import tanh as _tanh_of
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


def _map(
    loop: Callable[..., None],
    *arrays: Array,
    constants: tuple[float, ...] = (),
    shared: Callable[..., None] | None = None,
) -> Array:
    """A new array like the last one, filled by ``loop(*arrays, out, *constants)``.

    ``shared`` is the same loop for threads; it is given the cuts between their parts too.
    """
    out = empty_like(arrays[-1])
    *views, view = flat(*arrays, out)
    threads = share() if shared is not None and out.size >= _SHARED else 1
    if shared is not None and threads > 1:
        together(shared, *views, view, *constants, cut(out.size, threads))
    else:
        loop(*views, view, *constants)
    return out if np.may_share_memory(view, out) else view.reshape(out.shape)


# --- activations ----------------------------------------------------------------------------


@jit
def _relu(x: Array, y: Array) -> None:
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]  # this way round, NaN stays NaN


@jit
def _relu_backward(dy: Array, y: Array, dx: Array) -> None:
    for i in range(y.size):
        dx[i] = dy[i] * (y[i] > 0)


@jit
def _elu(x: Array, y: Array, alpha: float) -> None:
    zero = x.dtype.type(0)
    for i in range(x.size):
        e = alpha * expm1(zero if x[i] > zero else x[i])  # this way round, NaN stays NaN
        y[i] = x[i] if x[i] > zero else e


@jit
def _elu_backward(dy: Array, y: Array, dx: Array, alpha: float) -> None:
    for i in range(y.size):
        dx[i] = dy[i] if y[i] > 0 else dy[i] * (y[i] + alpha)


@jit
def _sigmoid(x: Array, y: Array) -> None:
    for i in range(x.size):
        y[i] = _sigmoid_of(x[i])


@jit
def _sigmoid_backward(dy: Array, y: Array, dx: Array) -> None:
    one = y.dtype.type(1)
    for i in range(y.size):
        dx[i] = dy[i] * y[i] * (one - y[i])


@jit
def _tanh(x: Array, y: Array) -> None:
    for i in range(x.size):
        y[i] = _tanh_of(x[i])


@jit
def _tanh_backward(dy: Array, y: Array, dx: Array) -> None:
    one = y.dtype.type(1)
    for i in range(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


@jit
def _erf(x: Array, y: Array) -> None:
    for i in range(x.size):
        y[i] = math.erf(x[i])


@parallel_jit
def _relu_shared(x: Array, y: Array, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        _relu(x[cuts[t] : cuts[t + 1]], y[cuts[t] : cuts[t + 1]])


@parallel_jit
def _relu_backward_shared(dy: Array, y: Array, dx: Array, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        i, j = cuts[t], cuts[t + 1]
        _relu_backward(dy[i:j], y[i:j], dx[i:j])


@parallel_jit
def _elu_shared(x: Array, y: Array, alpha: float, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        _elu(x[cuts[t] : cuts[t + 1]], y[cuts[t] : cuts[t + 1]], alpha)


@parallel_jit
def _elu_backward_shared(dy: Array, y: Array, dx: Array, alpha: float, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        i, j = cuts[t], cuts[t + 1]
        _elu_backward(dy[i:j], y[i:j], dx[i:j], alpha)


@parallel_jit
def _sigmoid_shared(x: Array, y: Array, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        _sigmoid(x[cuts[t] : cuts[t + 1]], y[cuts[t] : cuts[t + 1]])


@parallel_jit
def _tanh_shared(x: Array, y: Array, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        _tanh(x[cuts[t] : cuts[t + 1]], y[cuts[t] : cuts[t + 1]])


@parallel_jit
def _sigmoid_backward_shared(dy: Array, y: Array, dx: Array, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        i, j = cuts[t], cuts[t + 1]
        _sigmoid_backward(dy[i:j], y[i:j], dx[i:j])


def relu(x: Array) -> Array:
    return _map(_relu, x, shared=_relu_shared)


def relu_backward(dy: Array, y: Array) -> Array:
    return _map(_relu_backward, dy, y, shared=_relu_backward_shared)


def elu(x: Array, alpha: float) -> Array:
    return _map(_elu, x, constants=(x.dtype.type(alpha),), shared=_elu_shared)


def elu_backward(dy: Array, y: Array, alpha: float) -> Array:
    return _map(_elu_backward, dy, y, constants=(y.dtype.type(alpha),), shared=_elu_backward_shared)


def sigmoid(x: Array) -> Array:
    return _map(_sigmoid, x, shared=_sigmoid_shared)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    return _map(_sigmoid_backward, dy, y, shared=_sigmoid_backward_shared)


def tanh(x: Array) -> Array:
    return _map(_tanh, x, shared=_tanh_shared)


def tanh_backward(dy: Array, y: Array) -> Array:
    return _map(_tanh_backward, dy, y)


def erf(x: Array) -> Array:
    return _map(_erf, x)


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
