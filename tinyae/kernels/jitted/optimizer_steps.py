"""Optimizer steps: one pass over memory, which also clears the gradient.

A model has many small parameters, and a Python call for each would cost more than its arithmetic.
So a kernel takes all of them at once, as a ``ParamGroup``, and loops over a table of their
addresses. For a large model, each thread updates its part of every parameter: the part whose
gradient it has just computed.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import carray, types

from tinyae.kernels.jitted.cfunc import c_function, call, float_type, pointer
from tinyae.kernels.jitted.threads import claim_threads, jit, parallel_jit, run_parallel, thread_ids
from tinyae.kernels.reference import ParamGroup
from tinyae.param import Array

_MIN_PARALLEL_SIZE = 1 << 16  # elements; below that, a second thread does not pay off


# --- one Param: its value, gradient and moments, as flat arrays -------------------------------


@jit
def _sgd(value: Array, grad: Array, _1: Array, _2: Array, numbers: Array) -> None:
    rate = numbers[0]
    for i in range(value.size):
        value[i] -= rate * grad[i]
        grad[i] = 0


@jit
def _momentum(value: Array, grad: Array, v: Array, _: Array, numbers: Array) -> None:
    rate, mu = numbers[0], numbers[1]
    for i in range(value.size):
        v[i] = mu * v[i] + grad[i]
        value[i] -= rate * v[i]
        grad[i] = 0


@jit
def _nesterov(value: Array, grad: Array, v: Array, _: Array, numbers: Array) -> None:
    rate, mu = numbers[0], numbers[1]
    for i in range(value.size):
        v[i] = mu * v[i] + grad[i]
        value[i] -= rate * (grad[i] + mu * v[i])
        grad[i] = 0


@jit
def _rmsprop(value: Array, grad: Array, s: Array, _: Array, numbers: Array) -> None:
    rate, rho, c, eps = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(value.size):
        g = grad[i]
        s[i] = rho * s[i] + c * g * g
        value[i] -= rate * g / (np.sqrt(s[i]) + eps)
        grad[i] = 0


@jit
def _adam(value: Array, grad: Array, m: Array, v: Array, numbers: Array) -> None:
    rate, beta1, c1, beta2, c2 = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    v_scale, eps, shrink = numbers[5], numbers[6], numbers[7]
    zero, least = numbers.dtype.type(0), numbers.dtype.type(1e-37)
    for i in range(value.size):
        g = grad[i]
        # The moments of a dead unit would decay to subnormal numbers and stay there. Many
        # processors are a hundred times slower with these.
        m_new, v_new = beta1 * m[i] + c1 * g, beta2 * v[i] + c2 * g * g
        m[i] = zero if abs(m_new) < least else m_new
        v[i] = zero if v_new < least else v_new
        value[i] = shrink * value[i] - rate * m[i] / (np.sqrt(v[i]) * v_scale + eps)
        grad[i] = 0


# --- all params -------------------------------------------------------------------------------

_SGD, _MOMENTUM, _NESTEROV, _RMSPROP, _ADAM = range(5)


@jit
def _row(table: Array, sizes: Array, numbers: Array, p: int, t: int, parts: int) -> tuple[Any, ...]:
    """The t-th of ``parts`` parts of param p: its value, gradient and two moments.

    A row of the table holds the addresses of these four arrays.
    """
    kind = numbers.dtype
    first, last = sizes[p] * t // parts, sizes[p] * (t + 1) // parts
    at, shape = first * numbers.itemsize, (last - first,)
    value = carray(pointer(table[p, 0] + at), shape, dtype=kind)
    grad = carray(pointer(table[p, 1] + at), shape, dtype=kind)
    a = carray(pointer(table[p, 2] + at), shape, dtype=kind)
    b = carray(pointer(table[p, 3] + at), shape, dtype=kind)
    return value, grad, a, b


@jit
def _arrays(addresses: Any, counts: Any, constants: Any, rows: int) -> tuple[Array, Array, Array]:
    return carray(addresses, (rows, 4)), carray(counts, (rows,)), carray(constants, (8,))


def _update_part(
    addresses: Any, counts: Any, constants: Any, rule: int, rows: int, t: int, parts: int
) -> None:
    """Apply the update rule to the t-th of ``parts`` parts of every param."""
    table, sizes, numbers = _arrays(addresses, counts, constants, rows)
    for p in range(rows):
        row = _row(table, sizes, numbers, p, t, parts)
        if rule == _RMSPROP:
            _rmsprop(*row, numbers)
        elif rule == _NESTEROV:
            _nesterov(*row, numbers)
        elif rule == _MOMENTUM:
            _momentum(*row, numbers)
        else:
            _sgd(*row, numbers)


def _update_part_adam(
    addresses: Any, counts: Any, constants: Any, rule: int, rows: int, t: int, parts: int
) -> None:
    """Adam alone, compiled separately: most models need no other rule."""
    table, sizes, numbers = _arrays(addresses, counts, constants, rows)
    for p in range(rows):
        _adam(*_row(table, sizes, numbers, p, t, parts), numbers)


@functools.cache
def _update_cfunc(adam: bool, itemsize: int) -> Any:
    """The update of one part, compiled as a C function."""
    integer, integers = types.intp, types.CPointer(types.intp)
    kind = types.void(integers, integers, types.CPointer(float_type(itemsize)), *[integer] * 4)
    return c_function(_update_part_adam if adam else _update_part, kind)


@jit
def _update_one_part(
    f: int, rule: int, table: Array, sizes: Array, numbers: Array, t: int, parts: int
) -> None:
    call(
        f,
        *(table.ctypes.data, sizes.ctypes.data, numbers.ctypes.data),
        *(np.intp(rule), len(table), np.intp(t), np.intp(parts)),
    )


@parallel_jit
def _update_parallel(
    f: int, rule: int, table: Array, sizes: Array, numbers: Array, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        _update_one_part(f, rule, table, sizes, numbers, parts[t], len(parts))


@dataclass
class _Table:
    """The addresses of a group's arrays; ``views`` keeps the arrays alive."""

    addresses: Array  # (params, 4); 0 where the optimizer has no such moment
    sizes: Array  # (params,) elements of each param
    total: int  # elements of all params
    views: list[tuple[Array, ...]]
    copied: list[tuple[tuple[Array, ...], tuple[Array, ...]]]  # (arrays, their flat copies)

    @classmethod
    def of(cls, rows: list[tuple[Array, ...]]) -> _Table:
        views = [_flat_views(row) for row in rows]
        copied = [
            (row, view)
            for row, view in zip(rows, views)
            if not all(np.may_share_memory(a, b) or a.size == 0 for a, b in zip(row, view))
        ]
        addresses = np.zeros((len(rows), 4), np.intp)
        for p, view in enumerate(views):
            addresses[p, : len(view)] = [a.ctypes.data for a in view]
        sizes = np.array([view[0].size for view in views], np.intp)
        return cls(addresses, sizes, int(sizes.sum()), views, copied)


def _flat_views(row: tuple[Array, ...]) -> tuple[Array, ...]:
    """Flat views of a param's arrays if all have one memory order; else flat copies in C order."""
    if all(a.strides == row[0].strides for a in row):
        views = tuple(a.ravel(order="K") for a in row)
        if all(np.may_share_memory(a, b) for a, b in zip(row, views)):
            return views
    return tuple(a.copy(order="C").reshape(-1) for a in row)


def _step(rule: int, group: ParamGroup, *numbers: float) -> None:
    if not group:
        return
    table = group.table
    if table is None:
        table = _Table.of(group)
        if not table.copied:
            group.table = table
    constants = np.zeros(8, group[0][0].dtype)
    constants[: len(numbers)] = numbers
    threads = claim_threads() if table.total >= _MIN_PARALLEL_SIZE else 1
    f = _update_cfunc(rule == _ADAM, constants.itemsize).address
    arguments = f, rule, table.addresses, table.sizes, constants
    if threads > 1:
        run_parallel(_update_parallel, *arguments, thread_ids(threads))
    else:
        _update_one_part(*arguments, 0, 1)
    for arrays, views in table.copied:
        for a, view in zip(arrays, views):
            a[...] = view.reshape(a.shape)


def sgd(group: ParamGroup, learning_rate: float) -> None:
    _step(_SGD, group, learning_rate)


def momentum(group: ParamGroup, learning_rate: float, mu: float) -> None:
    _step(_MOMENTUM, group, learning_rate, mu)


def nesterov(group: ParamGroup, learning_rate: float, mu: float) -> None:
    _step(_NESTEROV, group, learning_rate, mu)


def rmsprop(group: ParamGroup, learning_rate: float, rho: float, eps: float) -> None:
    _step(_RMSPROP, group, learning_rate, rho, 1 - rho, eps)


def adam(
    group: ParamGroup, learning_rate: float, beta1: float, beta2: float, eps: float, t: int
) -> None:
    adamw(group, learning_rate, beta1, beta2, eps, 0.0, t)


def adamw(
    group: ParamGroup,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    t: int,
) -> None:
    rate, v_scale = learning_rate / (1 - beta1**t), 1 / math.sqrt(1 - beta2**t)
    shrink = 1 - learning_rate * weight_decay
    _step(_ADAM, group, rate, beta1, 1 - beta1, beta2, 1 - beta2, v_scale, eps, shrink)
