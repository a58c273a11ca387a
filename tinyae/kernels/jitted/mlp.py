"""Consecutive dense layers with activations: one call forward and one backward, or one for both.

In a small network, calling a layer takes as long as computing it. So each pass is planned once, as
a list of matrix products, and the plan is then run by one compiled function. Each thread computes
one part of every product. While that part is still in its cache, the thread applies the activation
or its slope.

All threads work through the list together. A thread need not wait for the others if its next
product reads only its own results: with small matrices, each thread takes its samples through all
layers. Where a thread needs the results of another one, a phase ends and all threads wait.

    forward     yₗ = fₗ(yₗ₋₁ Wₗᵀ + bₗ)          l = 1, 2, …
    backward    gₗ₋₁ = (gₗ Wₗ) ∘ fₗ₋₁′          l = L, L − 1, …
                dWₗ += gₗᵀ yₗ₋₁, dbₗ += Σₙ gₗ   in the first phase in which all of gₗ is ready

No sum is split between threads, so the result does not depend on their number.
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
from tinyae.kernels.jitted.cfunc import c_function, call, float_type, pointer
from tinyae.kernels.jitted.elementwise import loss_cfunc
from tinyae.kernels.jitted.matmul import MIN_PARALLEL_WORK, add_rows, matmul_cfunc, output_parts
from tinyae.kernels.jitted.simd_tile import ROWS, copy
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    release_threads,
    split_points,
)
from tinyae.kernels.reference import LINEAR, MLPLayer, MLPLayers
from tinyae.param import Array

# Each thread packs all of W itself, instead of waiting for others, if W has at most so many bytes
# or the batch has at least so many samples.
_REPACK_BYTES, _REPACK_SAMPLES = 1 << 15, 256
_CACHE_LINE = 64  # bytes
_MAX_PLANS = 8  # plans in a plan cache


class _Operation(NamedTuple):
    """A row of a plan's table. Arrays are indices into the plan's ``addresses``; −1 is none."""

    a: int
    a_rows: int
    a_columns: int
    a_transposed: bool
    b: int
    b_rows: int
    b_columns: int
    b_transposed: bool
    c: int
    c_rows: int
    c_columns: int
    start: int = -1
    f: int = -1  # the activation's C function
    slope: bool = False  # whether to multiply by the slope f′ instead of applying f
    cache: int = -1  # what the slope reads; or the output of f, if it is not C itself
    layer: int = 0  # index of the activation's α
    bias: int = -1
    loss: int = -1  # the loss's C function
    y: int = -1  # the loss's first argument
    sums: int = -1  # its block sums
    mean_over: int = 0  # elements or samples that the loss is a mean over
    ends_phase: bool = False  # whether all threads wait after this operation


_A, _A_ROWS, _A_COLUMNS, _A_TRANSPOSED, _B, _B_ROWS, _B_COLUMNS, _B_TRANSPOSED = range(8)
_C, _C_ROWS, _C_COLUMNS, _START, _F, _SLOPE, _CACHE, _LAYER, _BIAS = range(8, 17)
_LOSS, _Y, _SUMS, _MEAN_OVER, _ENDS_PHASE = range(17, 22)
_PART = 22  # a part follows the operation: four numbers
_NO_B = -1, 0, 0, False
# The first entries of ``addresses``; _N_RESULTS holds the number of results.
_MATMUL, _X, _OTHER, _N_RESULTS, _RESULTS = range(5)


# --- an operation, a phase, a pass ----------------------------------------------------------------


def _run_operation(operation: Any, addresses_pointer: Any, numbers: Any, layers: int) -> None:
    """Compute one part of an operation:

    1. with B, the product C = start + A B, or C += A B without a start;
       with a loss, C is its gradient at y, and A the target; with neither, C = A
    2. with f, C = f(C) or C = C ∘ f′
    3. with a bias, bias += the column sums of the stored matrix a, which is g: the gradient of b
    """
    op, addresses = carray(operation, (_PART + 4,)), carray(addresses_pointer, (1 << 30,))
    alphas = carray(numbers, (layers,))
    part = op[_PART : _PART + 4]
    row0, row1, column0, column1 = part[0], part[1], part[2], part[3]
    if row0 >= row1 or column0 >= column1:
        return
    kind, rows, columns = alphas.dtype, op[_C_ROWS], op[_C_COLUMNS]
    a = carray(pointer(addresses[op[_A]]), (op[_A_ROWS], op[_A_COLUMNS]), kind)
    c = carray(pointer(addresses[op[_C]]), (rows, columns), kind)
    flat_a, flat_c, run = a.reshape(-1), c.reshape(-1), column1 - column0
    if op[_B] >= 0:
        start = addresses[op[_START]] if op[_START] >= 0 else np.int64(0)
        call(
            addresses[_MATMUL],
            *(addresses[op[_C]], rows, columns),
            *(addresses[op[_A]], op[_A_ROWS], op[_A_COLUMNS], op[_A_TRANSPOSED]),
            *(addresses[op[_B]], op[_B_ROWS], op[_B_COLUMNS], op[_B_TRANSPOSED]),
            *(start, part.ctypes.data),
        )
    if op[_LOSS] >= 0:
        strips = np.empty(3, np.intp)  # the loss sums each strip of ROWS rows separately
        strips[0], strips[1], strips[2] = row0 // ROWS, -(-row1 // ROWS), op[_MEAN_OVER]
        call(
            addresses[op[_LOSS]],
            *(addresses[op[_Y]], addresses[op[_A]], addresses[op[_C]], addresses[op[_SUMS]]),
            *(rows * columns, ROWS * columns, strips.ctypes.data),
        )
    if op[_F] >= 0:
        first, last, slope = row0, row1, op[_SLOPE]
        values = op[_CACHE] if op[_CACHE] >= 0 else op[_C]
        y = carray(pointer(addresses[values]), (rows * columns,), kind)
        if run == columns:  # whole rows are contiguous
            first, last, run = 0, 1, columns * (row1 - row0)
        for i in range(first, last):
            at = (i + row0 - first) * columns + column0
            if slope and op[_B] < 0 and op[_LOSS] < 0:
                copy(flat_a[at : at + run], flat_c[at : at + run])
            if not slope and values != op[_C]:
                copy(flat_c[at : at + run], y[at : at + run])
            offset = at * alphas.itemsize
            call(
                addresses[op[_F]],
                *(slope, alphas[op[_LAYER]]),
                *(addresses[values] + offset, addresses[op[_C]] + offset, run),
            )
    if op[_BIAS] >= 0 and column0 == 0:
        total = carray(pointer(addresses[op[_BIAS]]), (rows,), kind)
        # Sum privately first: threads that write to one cache line slow each other down.
        sums = np.zeros(row1 - row0, kind)
        add_rows(flat_a, row0, rows, sums)
        for t in range(sums.size):
            total[row0 + t] += sums[t]


@functools.cache
def _operation_cfunc(itemsize: int) -> Any:
    """:func:`_run_operation` compiled as a C function."""
    integers = types.CPointer(types.intp)
    kind = types.void(integers, integers, types.CPointer(float_type(itemsize)), types.intp)
    return c_function(_run_operation, kind)


@jit
def _bind(addresses: Array, x: Array, other: Array, workspace: Array) -> int:
    """Fill in the addresses of this call's arrays. Results so far hold offsets into the workspace.

    Returns the number of elements to skip, so that the first result starts at a cache line.
    """
    addresses[_X], addresses[_OTHER] = x.ctypes.data, other.ctypes.data
    workspace_at = np.int64(workspace.ctypes.data)
    padding = -workspace_at % _CACHE_LINE
    for k in range(addresses[_N_RESULTS]):
        addresses[_RESULTS + k] += workspace_at + padding
    return padding // workspace.itemsize


@jit
def _run_plan(
    run_operation: int,
    table: Array,
    addresses: Array,
    alphas: Array,
    x: Array,
    other: Array,
    workspace: Array,
) -> int:
    """Run all operations in order. Returns the index of the first result in the workspace."""
    first_result = _bind(addresses, x, other, workspace)
    for i in range(len(table)):
        call(
            run_operation,
            table[i, 0].ctypes.data,
            addresses.ctypes.data,
            alphas.ctypes.data,
            alphas.size,
        )
    return first_result


@parallel_jit
def _run_plan_parallel(
    run_operation: int,
    table: Array,
    addresses: Array,
    alphas: Array,
    x: Array,
    other: Array,
    workspace: Array,
) -> int:
    """The same with several threads, which wait for each other at the end of each phase."""
    first_result = _bind(addresses, x, other, workspace)
    first = 0
    while first < len(table):
        last = first
        while not table[last, 0, _ENDS_PHASE]:
            last += 1
        for t in numba.prange(table.shape[1]):
            for i in range(first, last + 1):
                call(
                    run_operation,
                    table[i, t].ctypes.data,
                    addresses.ctypes.data,
                    alphas.ctypes.data,
                    alphas.size,
                )
        first = last + 1
    return first_result


# --- the plan -------------------------------------------------------------------------------------


@dataclass
class _Plan:
    """A pass for a fixed batch size and number of threads.

    ``addresses`` holds, in this order: the address of the matmul function; of x, and of dy or the
    target, which change at each call; the number of results; the offset of each result in the
    workspace, in bytes; the addresses of y, if they are arguments; and what never moves, such as
    weights and compiled activations.
    """

    table: Array  # (operations, threads, numbers of an operation and of its part)
    addresses: Array
    workspace_size: int
    results: list[tuple[int, int]]  # first and one past the last element of each returned result
    ys: int  # index of the first y
    constants: list[Array]


class _PlanBuilder:
    """A plan under construction. In ``addresses``, results come first, then the arrays that change
    at each call, then constant ones.
    """

    def __init__(self, layers: MLPLayers, n: int, threads: int) -> None:
        self.n, self.threads, self.itemsize = n, threads, layers[0].W.itemsize
        self.addresses = [matmul_cfunc(self.itemsize).address, 0, 0, 0]
        self.results: list[tuple[int, int]] = []
        self.constants: list[Array] = []
        self.rows: list[list[tuple[int, ...]]] = []  # of the table
        self.workspace_size = 0

    # --- arrays: each method returns an index into ``addresses`` --------------------------------

    def result(self, size: int) -> int:
        """A result of ``size`` numbers in the workspace, aligned to a cache line."""
        self.addresses.append(self.workspace_size * self.itemsize)
        self.addresses[_N_RESULTS] += 1
        self.results.append((self.workspace_size, self.workspace_size + size))
        line = _CACHE_LINE // self.itemsize
        self.workspace_size += -(-size // line) * line
        return len(self.addresses) - 1

    def argument(self) -> int:
        self.addresses.append(0)
        return len(self.addresses) - 1

    def constant_array(self, a: Array) -> int:
        self.constants.append(a)
        return self.constant(_address(a))

    def constant(self, address: int) -> int:
        self.addresses.append(address)
        return len(self.addresses) - 1

    def function(self, layer: MLPLayer) -> int:
        """The layer's activation; −1 if it has none."""
        if layer.f == LINEAR:
            return -1
        return self.constant(in_place(layer.f, self.itemsize).address)

    # --- parts: what each thread computes -------------------------------------------------------

    def sample_parts(self, columns: int) -> Array:
        """Parts that divide the samples."""
        bounds = np.minimum(split_points(-(-self.n // ROWS), self.threads) * ROWS, self.n)
        parts = np.tile([0, self.n, 0, columns], (self.threads, 1))
        parts[:, 0], parts[:, 1] = bounds[:-1], bounds[1:]
        return parts

    def product_parts(self, W: Array, columns: int) -> tuple[Array, bool]:
        """Parts of a product (N, columns) with W, and whether they are :meth:`sample_parts`."""
        by_samples = self.sample_parts(columns)
        many = self.n >= (ROWS * self.threads if W.nbytes <= _REPACK_BYTES else _REPACK_SAMPLES)
        if self.threads == 1 or many:
            return by_samples, True
        parts = output_parts(self.n, columns, self.itemsize, self.threads, False)
        return parts, np.array_equal(parts, by_samples)

    def weight_parts(self, W: Array) -> Array:
        """Parts of a weight gradient, divided as in the optimizer step."""
        return output_parts(*W.shape, self.itemsize, self.threads, True)

    # --- operations -----------------------------------------------------------------------------

    def add(self, parts: Array, op: _Operation) -> None:
        self.rows.append([(*op, *part) for part in parts])

    def barrier(self) -> None:
        """All threads finish the operations added so far before any thread continues."""
        if self.rows:
            self.rows[-1] = [
                (*row[:_ENDS_PHASE], True, *row[_ENDS_PHASE + 1 :]) for row in self.rows[-1]
            ]

    def finish(self, returned: int, ys: int = 0) -> _Plan:
        self.barrier()
        table, addresses = np.array(self.rows, np.int64), np.array(self.addresses, np.int64)
        workspace = self.workspace_size + _CACHE_LINE // self.itemsize
        return _Plan(table, addresses, workspace, self.results[:returned], ys, self.constants)


def _forward(layers: MLPLayers, n: int, threads: int) -> _Plan:
    builder = _PlanBuilder(layers, n, threads)
    y = [_X, *(builder.result(n * len(layer.W)) for layer in layers)]
    z = {k: builder.result(n * len(layers[k].W)) for k in layers.cached_x}
    _add_forward(builder, layers, y, z)
    return builder.finish(len(layers) + len(z))


def _backward(layers: MLPLayers, n: int, threads: int, input_grad: bool) -> _Plan:
    builder = _PlanBuilder(layers, n, threads)
    linear, outputs = layers[-1].f == LINEAR, len(layers[-1].W)
    g = [builder.result(n * layers[0].W.shape[1] * input_grad)]  # dx; then g₁, g₂, …
    g += [builder.result(n * len(layer.W)) for layer in layers[:-1]]
    g += [_OTHER if linear else builder.result(n * outputs)]
    y = [_X, *(builder.argument() for _ in layers)]
    z = {k: builder.argument() for k in layers.cached_x}
    if not linear:
        op = _Operation(
            *(_OTHER, n, outputs, False),
            *_NO_B,
            *(g[-1], n, outputs),
            f=builder.function(layers[-1]),
            slope=True,
            cache=z.get(len(layers) - 1, y[-1]),
            layer=len(layers) - 1,
        )
        builder.add(builder.sample_parts(outputs), op)
    _add_backward(builder, layers, y, z, g, linear, input_grad)
    return builder.finish(1, y[1])


def _backprop(
    layers: MLPLayers, n: int, threads: int, loss: str, per_sample: bool, input_grad: bool
) -> _Plan:
    builder = _PlanBuilder(layers, n, threads)
    outputs = len(layers[-1].W)
    dx = builder.result(n * layers[0].W.shape[1] * input_grad)
    sums = builder.result(-(-n // ROWS) * 8 // builder.itemsize)  # float64
    y = [_X, *(builder.result(n * len(layer.W)) for layer in layers)]
    z = {k: builder.result(n * len(layers[k].W)) for k in layers.cached_x}
    g = [dx, *(builder.result(n * len(layer.W)) for layer in layers)]
    if not _add_forward(builder, layers, y, z):
        builder.barrier()
    op = _Operation(
        *(_OTHER, n, outputs, False),
        *_NO_B,
        *(g[-1], n, outputs),
        f=builder.function(layers[-1]),
        slope=True,
        cache=z.get(len(layers) - 1, y[-1]),
        layer=len(layers) - 1,
        loss=builder.constant(loss_cfunc(loss, builder.itemsize).address),
        y=y[-1],
        sums=sums,
        mean_over=n if per_sample else n * outputs,
    )
    builder.add(builder.sample_parts(outputs), op)
    _add_backward(builder, layers, y, z, g, False, input_grad)
    return builder.finish(2)


def _add_forward(builder: _PlanBuilder, layers: MLPLayers, y: list[int], z: dict[int, int]) -> bool:
    """From x to the last y. Returns whether each thread computed all of its own samples' rows.

    For a layer whose slope depends on z = yₗ₋₁ Wₗᵀ + bₗ, the product is stored in z.
    """
    own_rows = True
    for k, layer in enumerate(layers):
        W = layer.W
        outputs, inputs = W.shape
        parts, by_samples = builder.product_parts(W, outputs)
        if not (own_rows and by_samples):
            builder.barrier()
        own_rows = by_samples
        op = _Operation(
            *(y[k], builder.n, inputs, False),
            *(builder.constant_array(W), outputs, inputs, True),
            *(z.get(k, y[k + 1]), builder.n, outputs, builder.constant_array(layer.b)),
            f=builder.function(layer),
            cache=y[k + 1] if k in z else -1,
            layer=k,
        )
        builder.add(parts, op)
    return own_rows


def _add_backward(
    builder: _PlanBuilder,
    layers: MLPLayers,
    y: list[int],
    z: dict[int, int],
    g: list[int],
    all_ready: bool,
    input_grad: bool,
) -> None:
    """From the last g, which is ``all_ready`` or of which each thread has its own samples' rows."""
    zeros = np.zeros(max(layer.W.shape[1] for layer in layers), layers[0].W.dtype)
    no_bias = builder.constant_array(zeros)
    delayed: list[tuple[Array, _Operation]] = []  # products that need all of g

    def barrier() -> None:
        builder.barrier()
        for parts, op in delayed:
            builder.add(parts, op)
        delayed.clear()

    # What a thread may read of g before the next barrier: "all", "its samples" or "its columns".
    ready = "all" if all_ready else "its samples"
    parts = builder.sample_parts(len(layers[-1].W))
    for k in reversed(range(len(layers))):
        W, _, dW, db, _, _ = layers[k]
        outputs, inputs = W.shape
        op = _Operation(
            *(g[k + 1], builder.n, outputs, True),
            *(y[k], builder.n, inputs, False),
            *(builder.constant_array(dW), outputs, inputs),
            bias=builder.constant_array(db),
        )
        weight_parts = builder.weight_parts(W)
        if ready == "its columns" and np.array_equal(weight_parts[:, :2], parts[:, 2:]):
            builder.add(weight_parts, op)  # it reads only columns that this thread computed
        else:
            delayed.append((weight_parts, op))
        if ready == "all":
            barrier()
        if k == 0 and not input_grad:
            break
        parts, by_samples = builder.product_parts(W, inputs)
        if ready == "its columns" or (ready == "its samples" and not by_samples):
            barrier()
        ready = "its samples" if by_samples else "its columns"
        op = _Operation(
            *(g[k + 1], builder.n, outputs, False),
            *(builder.constant_array(W), outputs, inputs, False),
            *(g[k], builder.n, inputs, no_bias),
            f=builder.function(layers[k - 1]) if k else -1,
            slope=True,
            cache=z.get(k - 1, y[k]),
            layer=max(k - 1, 0),
        )
        builder.add(parts, op)
    barrier()


def _address(a: Array) -> int:
    return int(a.ctypes.data)


# --- the kernels ----------------------------------------------------------------------------------


class _PlanCache:
    """The plans of an MLP, by pass, batch size, number of threads and options."""

    def __init__(self, layers: MLPLayers) -> None:
        self.work = sum(layer.W.size for layer in layers)  # multiply-adds per sample
        self.alphas = np.array([layer.alpha for layer in layers], layers[0].W.dtype)
        self.plans: dict[tuple[Any, ...], _Plan] = {}


def _run(
    build: Callable[..., _Plan],
    layers: MLPLayers,
    x: Array,
    other: Array,
    ys: list[Array],
    *options: bool | str,
) -> list[Array]:
    """Run a pass, planning it first if it is not in the plan cache. Returns flat arrays."""
    cache: _PlanCache | None = layers.plans
    if cache is None:
        cache = layers.plans = _PlanCache(layers)
    n = len(x)
    threads = claim_threads() if n * cache.work >= MIN_PARALLEL_WORK else 1
    try:
        kind = (build, n, threads, *options)
        plan = cache.plans.get(kind)
        if plan is None:
            if len(cache.plans) >= _MAX_PLANS:
                cache.plans.clear()
            plan = cache.plans[kind] = build(layers, n, threads, *options)
        workspace = np.empty(plan.workspace_size, x.dtype)
        addresses = plan.addresses.copy()
        if ys:
            addresses[plan.ys : plan.ys + len(ys)] = [_address(y) for y in ys]
        run = _run_plan_parallel if threads > 1 else _run_plan
        arguments = plan.table, addresses, cache.alphas, x, other, workspace
        first_result = run(_operation_cfunc(workspace.itemsize).address, *arguments)
    finally:
        if threads > 1:
            release_threads()
    return [workspace[first_result + first : first_result + last] for first, last in plan.results]


def mlp(layers: MLPLayers, x: Array) -> list[Array]:
    x = np.ascontiguousarray(x)
    results = _run(_forward, layers, x, x, [])
    shaped_like = [*layers, *(layers[k] for k in layers.cached_x)]
    return [a.reshape(len(x), len(layer.W)) for a, layer in zip(results, shaped_like)]


def mlp_backward(
    layers: MLPLayers, x: Array, ys: list[Array], dy: Array, input_grad: bool
) -> Array | None:
    x, dy, *ys = (np.ascontiguousarray(a, x.dtype) for a in (x, dy, *ys))
    results = _run(_backward, layers, x, dy, ys, input_grad)
    return results[0].reshape(x.shape) if input_grad else None


def mlp_backprop(
    layers: MLPLayers, x: Array, target: Array, loss: str, per_sample: bool, input_grad: bool
) -> tuple[float, Array | None]:
    x, target = np.ascontiguousarray(x), np.ascontiguousarray(target)
    dx, sums = _run(_backprop, layers, x, target, [], loss, per_sample, input_grad)
    total = sum(sums.view(np.float64).tolist())  # faster than NumPy for a few numbers
    L = total / (len(x) if per_sample else target.size)
    return L, dx.reshape(x.shape) if input_grad else None
