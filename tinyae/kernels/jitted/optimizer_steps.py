"""Optimizer steps: one pass over memory, the gradient cleared on the way.

A model has many small parameters, and a call from Python for each would cost more than its
arithmetic. So a kernel is given all of them at once, as a ``ParamGroup``, and walks through a table
of their addresses. Of a large model each thread takes its part of every row, as it does where the
gradient is computed.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import carray, types

from tinyae.kernels.jitted.cfunc import c_function, call, number, pointer
from tinyae.kernels.jitted.threads import counted, jit, parallel_jit, share, together
from tinyae.kernels.reference import ParamGroup
from tinyae.param import Array

_SHARED = 1 << 16  # numbers from which on two threads gain more than they cost


# --- one row: value, gradient and memory of a Param, as flat arrays ---------------------------


@jit
def _sgd(value: Array, grad: Array, _1: Array, _2: Array, numbers: Array) -> None:
    rate = numbers[0]
    for i in range(value.size):
        value[i] -= rate * grad[i]
        grad[i] = 0


@jit
def _momentum(value: Array, grad: Array, v: Array, _: Array, numbers: Array) -> None:
    rate, keep = numbers[0], numbers[1]
    for i in range(value.size):
        v[i] = keep * v[i] + grad[i]
        value[i] -= rate * v[i]
        grad[i] = 0


@jit
def _nesterov(value: Array, grad: Array, v: Array, _: Array, numbers: Array) -> None:
    rate, keep = numbers[0], numbers[1]
    for i in range(value.size):
        v[i] = keep * v[i] + grad[i]
        value[i] -= rate * (grad[i] + keep * v[i])
        grad[i] = 0


@jit
def _rmsprop(value: Array, grad: Array, s: Array, _: Array, numbers: Array) -> None:
    rate, keep, new, tiny = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(value.size):
        g = grad[i]
        s[i] = keep * s[i] + new * g * g
        value[i] -= rate * g / (np.sqrt(s[i]) + tiny)
        grad[i] = 0


@jit
def _adam(value: Array, grad: Array, m: Array, v: Array, numbers: Array) -> None:
    rate, keep1, new1, keep2, new2 = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    root, tiny, kept = numbers[5], numbers[6], numbers[7]
    zero, least = numbers.dtype.type(0), numbers.dtype.type(1e-37)
    for i in range(value.size):
        g = grad[i]
        # The moments of a unit that has died would shrink to subnormal numbers, which many
        # processors handle a hundred times more slowly, and stay there.
        m1, v1 = keep1 * m[i] + new1 * g, keep2 * v[i] + new2 * g * g
        m[i] = zero if abs(m1) < least else m1
        v[i] = zero if v1 < least else v1
        value[i] = kept * value[i] - rate * m[i] / (np.sqrt(v[i]) * root + tiny)
        grad[i] = 0


# --- all rows ---------------------------------------------------------------------------------

_SGD, _MOMENTUM, _NESTEROV, _RMSPROP, _ADAM = range(5)


@jit
def _row(table: Array, sizes: Array, numbers: Array, p: int, t: int, parts: int) -> tuple[Any, ...]:
    """Value, gradient and memory of row p, their t-th part of so many.

    A row of the table has the addresses of the four.
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


def _part(
    addresses: Any, counts: Any, constants: Any, rule: int, rows: int, t: int, parts: int
) -> None:
    """The rule's step for the t-th of so many parts of every row."""
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


def _adam_part(
    addresses: Any, counts: Any, constants: Any, rule: int, rows: int, t: int, parts: int
) -> None:
    """Adam by itself: most models want no other, and need not wait until all are compiled."""
    table, sizes, numbers = _arrays(addresses, counts, constants, rows)
    for p in range(rows):
        _adam(*_row(table, sizes, numbers, p, t, parts), numbers)


@functools.cache
def _stepper(adam: bool, itemsize: int) -> Any:
    """A part of a step, compiled as a C function, which has an address."""
    integer, integers = types.intp, types.CPointer(types.intp)
    kind = types.void(integers, integers, types.CPointer(number(itemsize)), *[integer] * 4)
    return c_function(_adam_part if adam else _part, kind)


@jit
def _some(
    f: int, rule: int, table: Array, sizes: Array, numbers: Array, t: int, parts: int
) -> None:
    call(
        f,
        *(table.ctypes.data, sizes.ctypes.data, numbers.ctypes.data),
        *(np.intp(rule), len(table), np.intp(t), np.intp(parts)),
    )


@parallel_jit
def _shared(f: int, rule: int, table: Array, sizes: Array, numbers: Array, parts: Array) -> None:
    for t in numba.prange(len(parts)):
        _some(f, rule, table, sizes, numbers, parts[t], len(parts))


@dataclass
class _Table:
    """The addresses of rows of arrays; they stay alive by ``views``."""

    addresses: Array  # (rows, 4) bytes; 0 where an optimizer has no such memory
    sizes: Array  # (rows,) numbers in an array of each row
    total: int  # of them
    views: list[tuple[Array, ...]]
    copied: list[tuple[tuple[Array, ...], tuple[Array, ...]]]  # (arrays, their flat copies)

    @classmethod
    def of(cls, rows: list[tuple[Array, ...]]) -> _Table:
        views = [_views(row) for row in rows]
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


def _views(row: tuple[Array, ...]) -> tuple[Array, ...]:
    """Flat views of arrays that lie in memory in one order; of others, copies in C's order."""
    if all(a.strides == row[0].strides for a in row):
        views = tuple(a.ravel(order="K") for a in row)
        if all(np.may_share_memory(a, b) for a, b in zip(row, views)):
            return views
    return tuple(a.copy(order="C").reshape(-1) for a in row)


def _step(rule: int, rows: ParamGroup, *numbers: float) -> None:
    if not rows:
        return
    table = rows.table
    if table is None:
        table = _Table.of(rows)
        if not table.copied:
            rows.table = table
    constants = np.zeros(8, rows[0][0].dtype)
    constants[: len(numbers)] = numbers
    threads = share() if table.total >= _SHARED else 1
    f = _stepper(rule == _ADAM, constants.itemsize).address
    given = f, rule, table.addresses, table.sizes, constants
    if threads > 1:
        together(_shared, *given, counted(threads))
    else:
        _some(*given, 0, 1)
    for arrays, views in table.copied:
        for a, view in zip(arrays, views):
            a[...] = view.reshape(a.shape)


def sgd(rows: ParamGroup, learning_rate: float) -> None:
    _step(_SGD, rows, learning_rate)


def momentum(rows: ParamGroup, learning_rate: float, mu: float) -> None:
    _step(_MOMENTUM, rows, learning_rate, mu)


def nesterov(rows: ParamGroup, learning_rate: float, mu: float) -> None:
    _step(_NESTEROV, rows, learning_rate, mu)


def rmsprop(rows: ParamGroup, learning_rate: float, rho: float, eps: float) -> None:
    _step(_RMSPROP, rows, learning_rate, rho, 1 - rho, eps)


def adam(
    rows: ParamGroup, learning_rate: float, beta1: float, beta2: float, eps: float, t: int
) -> None:
    adamw(rows, learning_rate, beta1, beta2, eps, 0.0, t)


def adamw(
    rows: ParamGroup,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    t: int,
) -> None:
    rate, root = learning_rate / (1 - beta1**t), 1 / math.sqrt(1 - beta2**t)
    shrink = 1 - learning_rate * weight_decay
    _step(_ADAM, rows, rate, beta1, 1 - beta1, beta2, 1 - beta2, root, eps, shrink)
