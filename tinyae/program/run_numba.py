"""A program run by one compiled function: a loop over operations, each a loop nest over numbers.

A sample is a flat run of numbers in each of three arrays: input, output and arena. All operations
take the samples of a block one by one, but for the products: these take ROWS samples at a time, so
that a weight is read once for all of them (and for one sample once and in order, which is all that
a processor can do then). Their innermost loops are tiles (:mod:`tinyae.kernels.jitted.simd_tile`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import carray

from tinyae.kernels.jitted.cfunc import call, part, pointer
from tinyae.kernels.jitted.simd_tile import (
    ROWS,
    THIN,
    VECTORS,
    copy,
    lanes,
    narrow_tile,
    thin_tile,
    tile,
)
from tinyae.kernels.jitted.threads import jit
from tinyae.kernels.jitted.vector_math import exp
from tinyae.memory import keep_freed_memory
from tinyae.param import Array
from tinyae.program import thread_pool
from tinyae.program.pack import (
    ADD,
    AFFINE,
    ALPHA,
    ARENA_SIZE,
    COMMON,
    CONV,
    COPY,
    DENSE,
    DEPTH,
    FRAMES,
    HEAD,
    INPUT,
    INPUTS,
    LAYER_NORM,
    OPERATIONS,
    OUTPUT,
    OUTPUTS,
    POOL,
    SOFTMAX,
    SQUARED_ERROR,
    SUMS,
    TOP_K,
    UPSAMPLE,
    X_AT,
    X_SIZE,
    X_SPACE,
    Y_AT,
    Y_SIZE,
    Y_SPACE,
    F,
    Packed,
)
from tinyae.program.program import Dense, Program
from tinyae.program.thread_pool import fetch_add, leave, load, post, take, withdraw

_BLOCK_BYTES = 400_000  # of what lies between input and output of a block: the second-level cache
_LARGEST = 16  # times ROWS samples in a block
_SHARED = 3_000_000  # operations on a batch from which on a helper gains more than it costs
_SHARED_SAMPLE = 1_000_000  # and on one sample, in products alone
_BYTES = lanes(1)  # of a vector
# Where in the mailbox the job lies: two numbers, and of each array address and size.
_N, _BLOCK, _CODE, _WEIGHTS, _X, _Y, _TASKS, _ARENA = 1, 2, 3, 5, 7, 9, 11, 13


class NumbaRuntime:
    """The program, ready to run: ``run(x)`` with x (N, *input_shape) gives (N, *output_shape)."""

    def __init__(self, program: Program) -> None:
        packed = Packed(program)
        self.code, self.weights = packed.code, packed.weights
        self.shape = program.output_shape
        self.size = math.prod(program.output_shape)
        self.dtype = program.dtype
        self.flops = program.flops
        products = sum(op.flops for op in program.ops if isinstance(op, Dense))
        self.shares_a_sample = products >= _SHARED_SAMPLE
        room = self.dtype.itemsize * int(self.code[[INPUTS, OUTPUTS, ARENA_SIZE]].sum())
        # Weights that no cache can hold are read once a block: then it may be larger.
        size = max(_BLOCK_BYTES, min(self.weights.nbytes // 4, 4 * _BLOCK_BYTES))
        self.block = ROWS * min(max(size // (room * ROWS), 1), _LARGEST)
        self._alone = np.zeros(0, np.int64), np.empty(0, self.dtype), thread_pool.NOBODY
        keep_freed_memory()

    def run(self, x: Array) -> Array:
        n = len(x)
        y = np.empty(n * self.size, self.dtype)
        if not (x.flags.c_contiguous and x.flags.writeable):
            x = x.copy()
        flat = x.reshape(-1)
        if self.shares_a_sample if n == 1 else n > ROWS and n * self.flops >= _SHARED:
            self._together(flat, y, n)
        else:
            _work(self.code, self.weights, flat, y, n, self.block, *self._alone)
        return y.reshape(n, *self.shape)

    def _together(self, x: Array, y: Array, n: int) -> None:
        """With a helper, if one is free."""
        pairs = max(-(-n // (2 * self.block)), 2)  # of tasks, so that both have as many to do
        block = max(-(-n // (2 * pairs * ROWS)), 1) * ROWS
        tasks = np.zeros(2 + 2 * int(self.code[OPERATIONS]), np.int64)
        arena = np.empty(int(self.code[ARENA_SIZE]) if n == 1 else 0, self.dtype)
        job = self.code, self.weights, x, y, n, block, tasks, arena
        thread_pool.run(_work, job, _serve_float if self.dtype.itemsize == 4 else _serve_double)


@jit
def _width(a: Array) -> int:
    """Columns of a tile."""
    return VECTORS * (_BYTES // a.itemsize)


@jit
def _panel(a: Array) -> int:
    """Columns of a thin tile."""
    return THIN * (_BYTES // a.itemsize)


# --- a call ---------------------------------------------------------------------------------------


@jit
def _work(
    code: Array,
    weights: Array,
    x: Array,
    y: Array,
    n: int,
    block: int,
    tasks: Array,
    arena: Array,
    mailbox: Array,
) -> None:
    """All samples, a block at a time; where there are ``tasks``, what is left of them.

    Then several threads run this at once, and a task is a block. Of a single sample it is a part
    of an operation: all work in the one ``arena``, and nobody begins an operation before all of
    the last one is done. ``tasks`` counts what is taken: [0] the blocks, [2 + 2i] the parts of
    operation i and [3 + 2i] those that are done. The caller has a ``mailbox``, with which it calls
    for a helper and waits for it to leave; the helper has none.
    """
    inputs, outputs, width = code[INPUTS], code[OUTPUTS], _panel(x)
    shared = tasks.size > 0
    together = shared and n == 1
    if not together:
        arena = np.empty(code[ARENA_SIZE] * min(n, block), x.dtype)
    offsets = np.empty(code[DEPTH], np.int64)
    for k in range(offsets.size):
        offsets[k] = k * width
    scratch = np.empty(code[SUMS] + code[FRAMES], x.dtype)
    corner = np.empty(ROWS * width, x.dtype)
    if mailbox.size:  # only now: the helper has but the addresses of arrays that must stay
        _lay_out(mailbox, code, weights, x, y, n, block, tasks, arena)
        post(mailbox)
    first = 0
    while True:
        if shared and not together:
            first = fetch_add(tasks, 0, 1) * block
        if first >= n:
            break
        count = min(block, n - first)
        xs, ys = part(x, first * inputs, count * inputs), part(y, first * outputs, count * outputs)
        at = HEAD
        for i in range(code[OPERATIONS]):
            kind, length = code[at], code[at + 1]
            c, own = part(code, at + 2, COMMON), part(code, at + 2 + COMMON, length - COMMON)
            at += 2 + length
            a, a_row = _space(c[X_SPACE], xs, ys, arena), code[c[X_SPACE]]
            b, b_row = _space(c[Y_SPACE], xs, ys, arena), code[c[Y_SPACE]]
            f, alpha = c[F], weights[c[ALPHA]]
            parts = -(-c[Y_SIZE] // width) if together and kind == DENSE else 1
            k = 0
            while True:
                if together:
                    k = fetch_add(tasks, 2 + 2 * i, 1)
                if k >= parts:
                    break
                low, high = 0, c[Y_SIZE]
                if kind == DENSE:
                    if parts > 1:
                        low, high = k * width, min((k + 1) * width, high)
                    _dense(
                        *(own, weights, a, c[X_AT], a_row, b, c[Y_AT], b_row),
                        *(count, offsets, corner, low, high),
                    )
                    if f:
                        _apply_to_rows(f, alpha, b, c[Y_AT] + low, b_row, count, high - low)
                for j in range(count if kind != DENSE else 0):
                    u = part(a, j * a_row + c[X_AT], c[X_SIZE])
                    v = part(b, j * b_row + c[Y_AT], c[Y_SIZE])
                    if kind == AFFINE:
                        _affine(own, weights, u, v)
                    elif kind == CONV:
                        _conv(own, weights, u, v, scratch, code[SUMS])
                    elif kind == POOL:
                        _pool(own, u, v)
                    elif kind == UPSAMPLE:
                        _upsample(own, u, v)
                    elif kind == LAYER_NORM:
                        _layer_norm(own, weights, u, v)
                    elif kind == SOFTMAX:
                        _softmax(own[0], u, v)
                    elif kind == TOP_K:
                        _top_k(own[0], u, v)
                    elif kind == COPY:
                        copy(u, v)
                    elif kind in (ADD, SQUARED_ERROR):
                        space, other_at = own[0], own[1]
                        row = j * code[space]
                        other = part(_space(space, xs, ys, arena), row + other_at, c[X_SIZE])
                        if kind == ADD:
                            _add(u, other, v)
                        else:
                            _squared_error(u, other, v)
                    if f:
                        _apply_to_rows(f, alpha, v, 0, v.size, 1, v.size)
                k += 1
                if together:
                    fetch_add(tasks, 3 + 2 * i, 1)
            if together:
                while load(tasks, 3 + 2 * i) < parts:
                    pass
        first += block
    if mailbox.size:
        withdraw(mailbox)


@jit
def _lay_out(
    mailbox: Array,
    code: Array,
    weights: Array,
    x: Array,
    y: Array,
    n: int,
    block: int,
    tasks: Array,
    arena: Array,
) -> None:
    """The job, for the helper: addresses and sizes."""
    mailbox[_N], mailbox[_BLOCK] = n, block
    mailbox[_CODE], mailbox[_CODE + 1] = code.ctypes.data, code.size
    mailbox[_WEIGHTS], mailbox[_WEIGHTS + 1] = weights.ctypes.data, weights.size
    mailbox[_X], mailbox[_X + 1] = x.ctypes.data, x.size
    mailbox[_Y], mailbox[_Y + 1] = y.ctypes.data, y.size
    mailbox[_TASKS], mailbox[_TASKS + 1] = tasks.ctypes.data, tasks.size
    mailbox[_ARENA], mailbox[_ARENA + 1] = arena.ctypes.data, arena.size


@jit
def _serve(mailbox: Array, nobody: Array, numbers: Array) -> None:
    """Do what is posted in a mailbox, job after job, until none has come for a while."""
    kind = numbers.dtype
    while take(mailbox):
        code = carray(pointer(mailbox[_CODE]), (mailbox[_CODE + 1],), nobody.dtype)
        weights = carray(pointer(mailbox[_WEIGHTS]), (mailbox[_WEIGHTS + 1],), kind)
        x = carray(pointer(mailbox[_X]), (mailbox[_X + 1],), kind)
        y = carray(pointer(mailbox[_Y]), (mailbox[_Y + 1],), kind)
        tasks = carray(pointer(mailbox[_TASKS]), (mailbox[_TASKS + 1],), nobody.dtype)
        arena = carray(pointer(mailbox[_ARENA]), (mailbox[_ARENA + 1],), kind)
        _work(code, weights, x, y, mailbox[_N], mailbox[_BLOCK], tasks, arena, nobody)
        leave(mailbox)


def _serve_float(mailbox: Array) -> None:
    _serve(mailbox, thread_pool.NOBODY, np.empty(0, np.float32))


def _serve_double(mailbox: Array) -> None:
    _serve(mailbox, thread_pool.NOBODY, np.empty(0, np.float64))


@jit
def _space(which: int, x: Array, y: Array, arena: Array) -> Array:
    """One of ``pack.SPACES``, from the block's first sample on."""
    if which == INPUT:
        return part(x, 0, x.size)
    if which == OUTPUT:
        return part(y, 0, y.size)
    return part(arena, 0, arena.size)


# --- loops over a run of numbers ------------------------------------------------------------------


@jit
def _fill(y: Array, b: float) -> None:
    for t in range(y.size):
        y[t] = b


@jit
def _add(a: Array, b: Array, y: Array) -> None:
    for t in range(y.size):
        y[t] = a[t] + b[t]


@jit
def _scaled(x: Array, scale: float, shift: float, y: Array) -> None:
    for t in range(y.size):
        y[t] = scale * x[t] + shift


@jit
def _apply_to_rows(
    f: int, alpha: float, y: Array, at: int, pitch: int, rows: int, size: int
) -> None:
    """y = f(y) in runs of that size, ``pitch`` apart; f is the address of ``activations.in_place``."""
    if pitch == size:  # all of it is one run
        rows, size = 1, rows * size
    here = np.int64(y.ctypes.data) + at * y.itemsize
    for _ in range(rows):
        call(f, np.intp(0), alpha, here, here, size)
        here += pitch * y.itemsize


# --- operations -----------------------------------------------------------------------------------


@jit
def _affine(c: Array, weights: Array, x: Array, y: Array) -> None:
    """y[c, p] = scale[c] x[c, p] + shift[c]"""
    channels, scale, shift = c[0], c[1], c[2]
    if channels == y.size:
        gain, bias = part(weights, scale, channels), part(weights, shift, channels)
        for t in range(y.size):
            y[t] = gain[t] * x[t] + bias[t]
        return
    length = y.size // channels
    for i in range(channels):
        u, v = part(x, i * length, length), part(y, i * length, length)
        _scaled(u, weights[scale + i], weights[shift + i], v)


@jit
def _dense(
    c: Array,
    weights: Array,
    x: Array,
    x_at: int,
    x_row: int,
    y: Array,
    y_at: int,
    y_row: int,
    count: int,
    offsets: Array,
    corner: Array,
    low: int,
    high: int,
) -> None:
    """y[n, o] = Σ_k x[n, k] W[k, o] + b[o], low ≤ o < high, ``low`` at the edge of a panel"""
    depth, w_at, b_at = c[0], c[1], c[2]
    panel, width, w = _panel(x), _width(x), weights
    narrow, whole = width // VECTORS, count - count % ROWS
    for o in range(low, high, panel):
        inside = min(panel, high - o)
        for j in range(o, o + inside, width):
            left, at, bias = min(width, o + inside - j), w_at + o * depth + j - o, b_at + j
            fits = left in (width, narrow)
            for n in range(0, whole, ROWS):
                u, v = x_at + n * x_row, y_at + n * y_row + j
                into, to, row = corner, 0, width
                if fits:
                    into, to, row = y, v, y_row
                if left > narrow:
                    tile(x, u, x_row, 1, w, at, offsets, into, to, row, depth, w, bias, 0)
                else:
                    narrow_tile(x, u, x_row, 1, w, at, offsets, into, to, row, depth, w, bias, 0)
                if not fits:
                    for i in range(ROWS):
                        copy(part(corner, i * width, width), part(y, v + i * y_row, left))
        at, bias = w_at + o * depth, b_at + o
        for n in range(whole, count):
            u, v = x_at + n * x_row, y_at + n * y_row + o
            thin_tile(x, u, 0, 1, w, at, offsets, corner, 0, 0, depth, w, bias, 0)
            copy(corner, part(y, v, inside))


@jit
def _conv(c: Array, weights: Array, x: Array, y: Array, scratch: Array, frame_at: int) -> None:
    """Frames of x, then for each phase of y the sum of their shifts, and b."""
    channels, height, width, columns = c[3], c[4], c[5], c[13]
    b_at, panel, one = c[15], _panel(x), x.dtype.type(1)
    _frames(c, x, scratch, frame_at)
    at = 17
    for _ in range(c[16]):
        taps, w_at, down, across = c[at], c[at + 1], c[at + 2], c[at + 3]
        i0, j0, step_i, step_j = c[at + 4], c[at + 5], c[at + 6], c[at + 7]
        run = (down - 1) * columns + across
        pitch = -(-run // panel) * panel
        _sums(weights, w_at, c[14], channels, part(c, at + 8, taps), scratch, frame_at, pitch)
        for o in range(channels):
            b = weights[b_at + o]
            for i in range(down):
                u = part(scratch, o * pitch + i * columns, across)
                to = (o * height + i0 + i * step_i) * width + j0
                if step_j == 1:
                    _scaled(u, one, b, part(y, to, across))
                else:
                    v = part(y, to, (across - 1) * step_j + 1)
                    for j in range(across):
                        v[j * step_j] = u[j] + b
        at += 8 + taps


@jit
def _sums(
    weights: Array,
    w_at: int,
    rows: int,
    channels: int,
    shifts: Array,
    scratch: Array,
    frame_at: int,
    pitch: int,
) -> None:
    """sums[o, t] = Σ_k W[k, o] frame[shifts[k] + t], t < pitch"""
    left, taps, w = channels % ROWS, shifts.size, weights
    whole = channels - left if left <= ROWS // 2 else rows
    zero = w.size - _panel(w)
    for t in range(0, pitch, _width(scratch)):
        for o in range(0, whole, ROWS):
            a, b, to = w_at + o, frame_at + t, o * pitch + t
            tile(w, a, 1, rows, scratch, b, shifts, scratch, to, pitch, taps, w, zero, 0)
    for t in range(0, pitch, _panel(scratch)):
        for o in range(whole, channels):
            a, b, to = w_at + o, frame_at + t, o * pitch + t
            thin_tile(w, a, 0, rows, scratch, b, shifts, scratch, to, 0, taps, w, zero, 0)


@jit
def _frames(c: Array, x: Array, scratch: Array, to: int) -> None:
    """frame[c, a, b, i, j] = x[c, i·step + a − corner, j·step + b − corner], zero outside"""
    height, width, step_i, step_j = c[1], c[2], c[8], c[9]
    rows, columns, zero = c[12], c[13], x.dtype.type(0)
    for channel in range(c[0]):
        for a in range(-c[10], c[6] - c[10]):
            for b in range(-c[11], c[7] - c[11]):
                low = min(max(-(b // step_j), 0), columns)  # the first j inside
                high = min(max((width - 1 - b) // step_j + 1, low), columns)
                for i in range(a, a + rows * step_i, step_i):
                    line = part(scratch, to, columns)
                    to += columns
                    if i < 0 or i >= height:
                        _fill(line, zero)
                        continue
                    start = (channel * height + i) * width + low * step_j + b
                    for j in range(low):
                        line[j] = zero
                    for j in range(high, columns):
                        line[j] = zero
                    v = part(line, low, high - low)
                    if step_j == 1:
                        copy(part(x, start, high - low), v)
                    else:
                        u = part(x, start, (high - low) * step_j)
                        for j in range(v.size):
                            v[j] = u[j * step_j]
    _fill(part(scratch, to, 2 * _panel(x)), zero)  # a tile reads beyond the last frame


@jit
def _pool(c: Array, x: Array, y: Array) -> None:
    """The largest of a window, or the mean."""
    channels, height, width, rows, columns = c[0], c[1], c[2], c[3], c[4]
    kh, kw, sh, sw, mean = c[5], c[6], c[7], c[8], c[9]
    area = x.dtype.type(kh * kw)
    to = 0
    for p in range(channels):
        for i in range(rows):
            for j in range(columns):
                corner = (p * height + i * sh) * width + j * sw
                top, total = part(x, corner, 1)[0], x.dtype.type(0)
                for u in range(kh):
                    line = part(x, corner + u * width, kw)
                    for v in range(kw):
                        total += line[v]
                        top = top if top >= line[v] or top != top else line[v]
                y[to] = total / area if mean else top
                to += 1


@jit
def _upsample(c: Array, x: Array, y: Array) -> None:
    """y[c, i, j] = x[c, ⌊i/a⌋, ⌊j/b⌋]"""
    channels, height, width, down, across = c[0], c[1], c[2], c[3], c[4]
    to = 0
    for p in range(channels):
        for i in range(height * down):
            u = part(x, (p * height + i // down) * width, width)
            for j in range(width):
                for _ in range(across):
                    y[to] = u[j]
                    to += 1


@jit
def _layer_norm(c: Array, weights: Array, x: Array, y: Array) -> None:
    """y = γ ∘ (x − mean) / √(var + ε) + β, of rows of ``length``"""
    length, eps, number = c[0], weights[c[3]], x.dtype.type
    gamma, beta = part(weights, c[1], length), part(weights, c[2], length)
    for r in range(0, x.size, length):
        u, v = part(x, r, length), part(y, r, length)
        mean = square = number(0)
        for k in range(length):
            mean += u[k]
        mean /= number(length)
        for k in range(length):
            square += (u[k] - mean) * (u[k] - mean)
        scale = number(1) / math.sqrt(square / number(length) + eps)
        for k in range(length):
            v[k] = gamma[k] * ((u[k] - mean) * scale) + beta[k]


@jit
def _softmax(classes: int, x: Array, y: Array) -> None:
    """y[k, p] = exp(x[k, p] − m[p]) / Σ, over k"""
    length = x.size // classes
    top, total = np.empty(length, x.dtype), np.zeros(length, x.dtype)
    copy(x, top)
    for k in range(1, classes):
        u = part(x, k * length, length)
        for t in range(length):
            top[t] = top[t] if top[t] >= u[t] else u[t]
    for k in range(classes):
        u, v = part(x, k * length, length), part(y, k * length, length)
        for t in range(length):
            v[t] = exp(u[t] - top[t])
            total[t] += v[t]
    for k in range(classes):
        v = part(y, k * length, length)
        for t in range(length):
            v[t] /= total[t]


@jit
def _top_k(k: int, x: Array, y: Array) -> None:
    """What is at least the k-th largest entry passes, of equal ones the first."""
    numbers = np.empty(x.size, x.dtype)
    count = 0  # of numbers; a NaN counts as larger than all of them
    for i in range(x.size):
        if x[i] == x[i]:
            numbers[count] = x[i]
            count += 1
    least = x.dtype.type(np.nan)
    if k > x.size - count:
        least = _largest(part(numbers, 0, count), k - (x.size - count))
    above = equal = 0
    for i in range(count):
        above += numbers[i] > least
        equal += numbers[i] == least
    room = k - above if above + equal > k else equal
    for i in range(x.size):
        v = x[i]
        passes = v > least
        if v == least and room > 0:
            passes = True
            room -= 1
        y[i] = v if passes else v * x.dtype.type(0)


@jit
def _largest(a: Array, k: int) -> float:
    """The k-th largest of a, which is reordered (quickselect: Hoare 1961, algorithm 65)."""
    low, high, place = 0, a.size - 1, k - 1
    while low < high:
        pivot, i, j = a[(low + high) // 2], low, high
        while i <= j:
            while a[i] > pivot:
                i += 1
            while a[j] < pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break
    return a[place]


@jit
def _squared_error(x: Array, target: Array, y: Array) -> None:
    """y = mean (x − t)²"""
    total = x.dtype.type(0)
    for k in range(x.size):
        total += (x[k] - target[k]) * (x[k] - target[k])
    y[0] = total / x.dtype.type(x.size)
