"""Dense layers in a row, each with its activation: a call forward and one back, or one for both.

A small network's layers are over so soon that calling them costs as much as computing them. So a
pass is planned once, as a list of products, and then run by one compiled function. A product's
part of the result is what one thread computes; while it still lies in the cache, the activation,
or its slope, is applied to it.

All threads go through the list together, each doing its part of every product. They need not wait
for each other where a thread's next product reads only what it has made itself: of small matrices
each takes its share of the samples through all layers. Where they must, a phase ends.

    forward     yₗ = fₗ(yₗ₋₁ Wₗᵀ + bₗ)          l = 1, 2, …
    backward    gₗ₋₁ = (gₗ Wₗ) ∘ fₗ₋₁′          l = L, L − 1, …
                dWₗ += gₗᵀ yₗ₋₁, dbₗ += Σₙ gₗ   in the first phase after gₗ is there

No sum is split, so the number of threads does not change a bit of the result.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import carray, types

from tinyae.kernels.jitted.activations import in_place
from tinyae.kernels.jitted.cfunc import c_function, call, number, pointer
from tinyae.kernels.jitted.elementwise import measurer
from tinyae.kernels.jitted.matmul import SHARED, add_rows, parts_of, tiler
from tinyae.kernels.jitted.simd_tile import ROWS, copy
from tinyae.kernels.jitted.threads import cut, jit, join, parallel_jit, share
from tinyae.kernels.reference import LINEAR, MLPLayer, MLPLayers
from tinyae.param import Array

_SMALL = 1 << 15  # bytes of a matrix that each thread packs for itself rather than wait for others
_MANY = 256  # samples from which on it does so whatever the matrix
_LINE = 64  # bytes of a line of the cache
_PLANS = 8  # batch sizes whose plans are kept


class _Operation(NamedTuple):
    """A row of a plan's table. Arrays are numbered by their place in the plan; −1 is none."""

    a: int
    a_rows: int
    a_columns: int
    a_turned: bool
    b: int
    b_rows: int
    b_columns: int
    b_turned: bool
    c: int
    c_rows: int
    c_columns: int
    start: int = -1
    f: int = -1  # where the address of the activation is
    slope: bool = False  # whether it is its slope that follows
    cache: int = -1  # which the slope reads, or where f's result goes if not in C's place
    layer: int = 0  # whose α it is
    bias: int = -1
    loss: int = -1  # where the address of what measures it is
    y: int = -1  # what it measures
    sums: int = -1
    among: int = 0  # numbers or samples the loss is a mean over
    ends: bool = False  # the last one of a phase


_A, _A_ROWS, _A_COLUMNS, _A_TURNED, _B, _B_ROWS, _B_COLUMNS, _B_TURNED = range(8)
_C, _C_ROWS, _C_COLUMNS, _START, _F, _SLOPE, _CACHE, _LAYER, _BIAS = range(8, 17)
_LOSS, _Y, _SUMS, _AMONG, _ENDS = range(17, 22)
_PART = 22  # and a part has four numbers
_NO_B = -1, 0, 0, False
_TILER, _X, _OTHER, _COUNT, _RESULTS = range(5)  # the first places; _COUNT is of results


# --- an operation, a phase, a pass ----------------------------------------------------------------


def _operate(operation: Any, addresses: Any, numbers: Any, layers: int) -> None:
    """A part of a product C = start + A B, or C += A B without a start, and of what follows it:

    the activation of C, or C times a slope; the sums over A's rows, A lying turned, which are a
    bias's gradient. Without a B it is C = A; with a loss, C is its slope at y, A being the target.
    """
    op, places = carray(operation, (_PART + 4,)), carray(addresses, (1 << 30,))
    alphas = carray(numbers, (layers,))
    part = op[_PART : _PART + 4]
    row0, row1, column0, column1 = part[0], part[1], part[2], part[3]
    if row0 >= row1 or column0 >= column1:
        return
    kind, rows, columns = alphas.dtype, op[_C_ROWS], op[_C_COLUMNS]
    a = carray(pointer(places[op[_A]]), (op[_A_ROWS], op[_A_COLUMNS]), kind)
    c = carray(pointer(places[op[_C]]), (rows, columns), kind)
    flat_a, flat_c, run = a.reshape(-1), c.reshape(-1), column1 - column0
    if op[_B] >= 0:
        start = places[op[_START]] if op[_START] >= 0 else np.int64(0)
        call(
            places[_TILER],
            *(places[op[_C]], rows, columns),
            *(places[op[_A]], op[_A_ROWS], op[_A_COLUMNS], op[_A_TURNED]),
            *(places[op[_B]], op[_B_ROWS], op[_B_COLUMNS], op[_B_TURNED]),
            *(start, part.ctypes.data),
        )
    if op[_LOSS] >= 0:
        strips = np.empty(3, np.intp)  # which it sums one by one
        strips[0], strips[1], strips[2] = row0 // ROWS, -(-row1 // ROWS), op[_AMONG]
        call(
            places[op[_LOSS]],
            *(places[op[_Y]], places[op[_A]], places[op[_C]], places[op[_SUMS]]),
            *(rows * columns, ROWS * columns, strips.ctypes.data),
        )
    if op[_F] >= 0:
        first, last, slope = row0, row1, op[_SLOPE]
        there = op[_CACHE] if op[_CACHE] >= 0 else op[_C]
        y = carray(pointer(places[there]), (rows * columns,), kind)
        if run == columns:  # whole rows are one run
            first, last, run = 0, 1, columns * (row1 - row0)
        for i in range(first, last):
            at = (i + row0 - first) * columns + column0
            if slope and op[_B] < 0 and op[_LOSS] < 0:
                copy(flat_a[at : at + run], flat_c[at : at + run])
            if not slope and there != op[_C]:
                copy(flat_c[at : at + run], y[at : at + run])
            here = at * alphas.itemsize
            call(
                places[op[_F]],
                *(slope, alphas[op[_LAYER]]),
                *(places[there] + here, places[op[_C]] + here, run),
            )
    if op[_BIAS] >= 0 and column0 == 0:
        total = carray(pointer(places[op[_BIAS]]), (rows,), kind)
        sums = np.zeros(row1 - row0, kind)  # threads that add to one line of memory wait in turn
        add_rows(flat_a, row0, rows, sums)
        for t in range(sums.size):
            total[row0 + t] += sums[t]


@functools.cache
def _operator(itemsize: int) -> Any:
    """:func:`_operate` compiled as a C function, which has an address."""
    integers = types.CPointer(types.intp)
    kind = types.void(integers, integers, types.CPointer(number(itemsize)), types.intp)
    return c_function(_operate, kind)


@jit
def _begin(places: Array, x: Array, other: Array, room: Array) -> int:
    """Say where the arrays of this call lie; of its results it was said where in the room.

    The first begins where a line of the cache does: so many numbers into the room.
    """
    places[_X], places[_OTHER] = x.ctypes.data, other.ctypes.data
    at = np.int64(room.ctypes.data)
    skipped = -at % _LINE
    for k in range(places[_COUNT]):
        places[_RESULTS + k] += at + skipped
    return skipped // room.itemsize


@jit
def _pass(
    operator: int, table: Array, places: Array, alphas: Array, x: Array, other: Array, room: Array
) -> int:
    """All operations, one after the other. Where in the room the results begin."""
    begin = _begin(places, x, other, room)
    for i in range(len(table)):
        call(
            operator,
            table[i, 0].ctypes.data,
            places.ctypes.data,
            alphas.ctypes.data,
            alphas.size,
        )
    return begin


@parallel_jit
def _pass_shared(
    operator: int,
    table: Array,
    places: Array,
    alphas: Array,
    x: Array,
    other: Array,
    room: Array,
) -> int:
    """The same, phase after phase, each by all threads."""
    begin = _begin(places, x, other, room)
    first = 0
    while first < len(table):
        last = first
        while not table[last, 0, _ENDS]:
            last += 1
        for t in numba.prange(table.shape[1]):
            for i in range(first, last + 1):
                call(
                    operator,
                    table[i, t].ctypes.data,
                    places.ctypes.data,
                    alphas.ctypes.data,
                    alphas.size,
                )
        first = last + 1
    return begin


# --- the plan -------------------------------------------------------------------------------------


@dataclass
class _Plan:
    """A pass for a batch of n samples by so many threads.

    ``places`` has the address of what computes tiles, and of every array in the table: of x and of
    dy or the target, which each call gives; how many results there are, and where in one block of
    ``room`` numbers each begins, in bytes; of each y, if a call gives them; and then of what stays
    where it is, such as the code of an activation.
    """

    table: Array  # (operations, threads, numbers of an operation and its part)
    places: Array
    room: int
    results: list[tuple[int, int]]  # those that are given back: where each begins and ends
    ys: int  # the first one's place
    kept: list[Array]


class _Draft:
    """A plan being built. The places of results come first, then those of the arrays that each call
    gives, then those of arrays that stay."""

    def __init__(self, layers: MLPLayers, n: int, threads: int) -> None:
        self.n, self.threads, self.itemsize = n, threads, layers[0].W.itemsize
        self.places = [tiler(self.itemsize).address, 0, 0, 0]
        self.results: list[tuple[int, int]] = []
        self.kept: list[Array] = []
        self.rows: list[list[tuple[int, ...]]] = []  # of the table
        self.room = 0

    # --- arrays: the place of each --------------------------------------------------------------

    def result(self, size: int) -> int:
        """Of so many numbers, from the start of a line of the cache on."""
        self.places.append(self.room * self.itemsize)
        self.places[_COUNT] += 1
        self.results.append((self.room, self.room + size))
        line = _LINE // self.itemsize
        self.room += -(-size // line) * line
        return len(self.places) - 1

    def given(self) -> int:
        self.places.append(0)
        return len(self.places) - 1

    def lasting(self, a: Array) -> int:
        self.kept.append(a)
        return self.constant(_address(a))

    def constant(self, address: int) -> int:
        self.places.append(address)
        return len(self.places) - 1

    def function(self, layer: MLPLayer) -> int:
        """The place of the address of a layer's activation; −1 if it has none."""
        if layer.f == LINEAR:
            return -1
        return self.constant(in_place(layer.f, self.itemsize).address)

    # --- parts: what each thread computes -------------------------------------------------------

    def samples(self, columns: int) -> Array:
        """Each thread its share of the samples."""
        cuts = np.minimum(cut(-(-self.n // ROWS), self.threads) * ROWS, self.n)
        parts = np.tile([0, self.n, 0, columns], (self.threads, 1))
        parts[:, 0], parts[:, 1] = cuts[:-1], cuts[1:]
        return parts

    def rows_or_columns(self, W: Array, columns: int) -> tuple[Array, bool]:
        """The parts of a product (N, columns) with W, and whether they are :meth:`samples`."""
        by_samples = self.samples(columns)
        many = self.n >= (ROWS * self.threads if W.nbytes <= _SMALL else _MANY)
        if self.threads == 1 or many:
            return by_samples, True
        parts = parts_of(self.n, columns, self.itemsize, self.threads, False)
        return parts, np.array_equal(parts, by_samples)

    def weights(self, W: Array) -> Array:
        """The parts of a matrix of weights, as the optimizer has them."""
        return parts_of(*W.shape, self.itemsize, self.threads, True)

    # --- operations -----------------------------------------------------------------------------

    def add(self, parts: Array, op: _Operation) -> None:
        self.rows.append([(*op, *part) for part in parts])

    def wait(self) -> None:
        """All of what was added is done before any of what comes next begins."""
        if self.rows:
            self.rows[-1] = [(*row[:_ENDS], True, *row[_ENDS + 1 :]) for row in self.rows[-1]]

    def done(self, given_back: int, ys: int = 0) -> _Plan:
        self.wait()
        table, places = np.array(self.rows, np.int64), np.array(self.places, np.int64)
        room = self.room + _LINE // self.itemsize
        return _Plan(table, places, room, self.results[:given_back], ys, self.kept)


def _forward(layers: MLPLayers, n: int, threads: int) -> _Plan:
    draft = _Draft(layers, n, threads)
    y = [_X, *(draft.result(n * len(layer.W)) for layer in layers)]
    z = {k: draft.result(n * len(layers[k].W)) for k in layers.cached_x}
    _go_forward(draft, layers, y, z)
    return draft.done(len(layers) + len(z))


def _backward(layers: MLPLayers, n: int, threads: int, input_grad: bool) -> _Plan:
    draft = _Draft(layers, n, threads)
    linear, outputs = layers[-1].f == LINEAR, len(layers[-1].W)
    g = [draft.result(n * layers[0].W.shape[1] * input_grad)]  # dx; then g₁, g₂, …
    g += [draft.result(n * len(layer.W)) for layer in layers[:-1]]
    g += [_OTHER if linear else draft.result(n * outputs)]
    y = [_X, *(draft.given() for _ in layers)]
    z = {k: draft.given() for k in layers.cached_x}
    if not linear:
        op = _Operation(
            *(_OTHER, n, outputs, False),
            *_NO_B,
            *(g[-1], n, outputs),
            f=draft.function(layers[-1]),
            slope=True,
            cache=z.get(len(layers) - 1, y[-1]),
            layer=len(layers) - 1,
        )
        draft.add(draft.samples(outputs), op)
    _go_back(draft, layers, y, z, g, linear, input_grad)
    return draft.done(1, y[1])


def _backprop(
    layers: MLPLayers, n: int, threads: int, loss: str, per_sample: bool, input_grad: bool
) -> _Plan:
    draft = _Draft(layers, n, threads)
    outputs = len(layers[-1].W)
    dx = draft.result(n * layers[0].W.shape[1] * input_grad)
    sums = draft.result(-(-n // ROWS) * 8 // draft.itemsize)  # float64
    y = [_X, *(draft.result(n * len(layer.W)) for layer in layers)]
    z = {k: draft.result(n * len(layers[k].W)) for k in layers.cached_x}
    g = [dx, *(draft.result(n * len(layer.W)) for layer in layers)]
    if not _go_forward(draft, layers, y, z):
        draft.wait()
    op = _Operation(
        *(_OTHER, n, outputs, False),
        *_NO_B,
        *(g[-1], n, outputs),
        f=draft.function(layers[-1]),
        slope=True,
        cache=z.get(len(layers) - 1, y[-1]),
        layer=len(layers) - 1,
        loss=draft.constant(measurer(loss, draft.itemsize).address),
        y=y[-1],
        sums=sums,
        among=n if per_sample else n * outputs,
    )
    draft.add(draft.samples(outputs), op)
    _go_back(draft, layers, y, z, g, False, input_grad)
    return draft.done(2)


def _go_forward(draft: _Draft, layers: MLPLayers, y: list[int], z: dict[int, int]) -> bool:
    """From x to the last y. Whether each thread has made its own samples' rows of it.

    Of a layer whose slope is in x, the product is made in its place in z.
    """
    mine = True
    for k, layer in enumerate(layers):
        W = layer.W
        outputs, inputs = W.shape
        parts, by_samples = draft.rows_or_columns(W, outputs)
        if not (mine and by_samples):
            draft.wait()
        mine = by_samples
        op = _Operation(
            *(y[k], draft.n, inputs, False),
            *(draft.lasting(W), outputs, inputs, True),
            *(z.get(k, y[k + 1]), draft.n, outputs, draft.lasting(layer.b)),
            f=draft.function(layer),
            cache=y[k + 1] if k in z else -1,
            layer=k,
        )
        draft.add(parts, op)
    return mine


def _go_back(
    draft: _Draft,
    layers: MLPLayers,
    y: list[int],
    z: dict[int, int],
    g: list[int],
    given: bool,
    input_grad: bool,
) -> None:
    """From the last g, which was ``given`` or of which each thread has made its samples' rows."""
    zeros = np.zeros(max(layer.W.shape[1] for layer in layers), layers[0].W.dtype)
    nothing = draft.lasting(zeros)
    later: list[tuple[Array, _Operation]] = []  # products that need all of some g

    def wait() -> None:
        draft.wait()
        for parts, op in later:
            draft.add(parts, op)
        later.clear()

    seen = "all" if given else "its samples"  # of what a thread has seen of g
    parts = draft.samples(len(layers[-1].W))
    for k in reversed(range(len(layers))):
        W, _, dW, db, _, _ = layers[k]
        outputs, inputs = W.shape
        op = _Operation(
            *(g[k + 1], draft.n, outputs, True),
            *(y[k], draft.n, inputs, False),
            *(draft.lasting(dW), outputs, inputs),
            bias=draft.lasting(db),
        )
        rows = draft.weights(W)
        if seen == "its columns" and np.array_equal(rows[:, :2], parts[:, 2:]):
            draft.add(rows, op)  # which needs no others
        else:
            later.append((rows, op))
        if seen == "all":
            wait()
        if k == 0 and not input_grad:
            break
        parts, by_samples = draft.rows_or_columns(W, inputs)
        if seen == "its columns" or (seen == "its samples" and not by_samples):
            wait()
        seen = "its samples" if by_samples else "its columns"
        op = _Operation(
            *(g[k + 1], draft.n, outputs, False),
            *(draft.lasting(W), outputs, inputs, False),
            *(g[k], draft.n, inputs, nothing),
            f=draft.function(layers[k - 1]) if k else -1,
            slope=True,
            cache=z.get(k - 1, y[k]),
            layer=max(k - 1, 0),
        )
        draft.add(parts, op)
    wait()


def _address(a: Array) -> int:
    return int(a.ctypes.data)


# --- the kernels ----------------------------------------------------------------------------------


class _PlanCache:
    """The plans of some layers, by pass, batch size and what else they depend on."""

    def __init__(self, layers: MLPLayers) -> None:
        self.work = sum(layer.W.size for layer in layers)  # multiply-adds for a sample
        self.alphas = np.array([layer.alpha for layer in layers], layers[0].W.dtype)
        self.plans: dict[tuple[Any, ...], _Plan] = {}


def _run(
    make: Callable[..., _Plan],
    layers: MLPLayers,
    x: Array,
    other: Array,
    ys: list[Array],
    *more: bool | str,
) -> list[Array]:
    """Plan a pass, if it is the first of its kind, and run it. Its results, as flat arrays."""
    cache: _PlanCache | None = layers.plans
    if cache is None:
        cache = layers.plans = _PlanCache(layers)
    n = len(x)
    threads = share() if n * cache.work >= SHARED else 1
    try:
        kind = (make, n, threads, *more)
        plan = cache.plans.get(kind)
        if plan is None:
            if len(cache.plans) >= _PLANS:
                cache.plans.clear()
            plan = cache.plans[kind] = make(layers, n, threads, *more)
        room = np.empty(plan.room, x.dtype)
        places = plan.places.copy()
        if ys:
            places[plan.ys : plan.ys + len(ys)] = [_address(y) for y in ys]
        run = _pass_shared if threads > 1 else _pass
        given = plan.table, places, cache.alphas, x, other, room
        begin = run(_operator(room.itemsize).address, *given)
    finally:
        if threads > 1:
            join()
    return [room[begin + first : begin + last] for first, last in plan.results]


def mlp(stages: MLPLayers, x: Array) -> list[Array]:
    x = np.ascontiguousarray(x)
    results = _run(_forward, stages, x, x, [])
    layers = [*stages, *(stages[k] for k in stages.cached_x)]
    return [a.reshape(len(x), len(layer.W)) for a, layer in zip(results, layers)]


def mlp_backward(
    stages: MLPLayers, x: Array, ys: list[Array], dy: Array, input_grad: bool
) -> Array | None:
    x, dy, *ys = (np.ascontiguousarray(a, x.dtype) for a in (x, dy, *ys))
    results = _run(_backward, stages, x, dy, ys, input_grad)
    return results[0].reshape(x.shape) if input_grad else None


def mlp_backprop(
    stages: MLPLayers, x: Array, target: Array, loss: str, per_sample: bool, input_grad: bool
) -> tuple[float, Array | None]:
    x, target = np.ascontiguousarray(x), np.ascontiguousarray(target)
    dx, sums = _run(_backprop, stages, x, target, [], loss, per_sample, input_grad)
    total = sum(sums.view(np.float64).tolist())  # of a few numbers sooner done than by NumPy
    L = total / (len(x) if per_sample else target.size)
    return L, dx.reshape(x.shape) if input_grad else None
