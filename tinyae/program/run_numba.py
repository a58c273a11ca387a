"""Run a program in one compiled function: a loop over operations, each of them a loop nest.

A sample is contiguous in each of three arrays: input, output and arena. Samples are processed in
blocks. Most operations take the samples of a block one at a time. Dense takes ROWS samples at a
time, so that each weight is read once for all of them. The innermost loops of Dense and of
convolutions are tiles (:mod:`tinyae.kernels.jitted.simd_tile`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import carray

from tinyae.kernels.jitted.cfunc import call, pointer, view
from tinyae.kernels.jitted.conv_loop import convolve_frames
from tinyae.kernels.jitted.pooling import largest, means
from tinyae.kernels.jitted.simd_tile import (
    NO_EPILOGUE,
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
from tinyae.kernels.jitted.vector_math import exact, exp, like
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
    HEAD,
    INPUT,
    INPUTS,
    INTERPOLATE,
    LAYER_NORM,
    MULTIPLY,
    NORMALIZE,
    OPERATIONS,
    OUTPUT,
    OUTPUTS,
    PAD,
    PERMUTE,
    POOL,
    PRELU,
    SCRATCH,
    SOFTMAX,
    SQUARED_ERROR,
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

_BLOCK_BYTES = 400_000  # input, output and arena of a block, which fit into the second-level cache
_MAX_BLOCK = 16  # a block has at most 16 · ROWS samples
_MIN_PARALLEL_FLOPS = 3_000_000  # of a batch; below that, a helper thread does not pay off
_MIN_SHARED_FLOPS = 1_000_000  # of a batch whose operations are shared, counting Dense only
_MIN_PARTS = 8  # of a shared Dense, if there are enough samples
_VECTOR_BYTES = lanes(1)
# The job in the mailbox: two numbers, then the address and size of each array.
_N, _BLOCK, _CODE, _WEIGHTS, _X, _Y, _TASKS, _ARENA = 1, 2, 3, 5, 7, 9, 11, 13


class NumbaRuntime:
    """Runs a program: ``run(x)`` maps x (N, *input_shape) to (N, *output_shape)."""

    def __init__(self, program: Program) -> None:
        packed = Packed(program)
        self.code, self.weights = packed.code, packed.weights
        self.shape = program.output_shape
        self.size = math.prod(program.output_shape)
        self.dtype = program.dtype
        self.flops = program.flops
        sample_bytes = self.dtype.itemsize * int(self.code[[INPUTS, OUTPUTS, ARENA_SIZE]].sum())
        # Weights that do not fit into a cache are read again for each block: use larger blocks.
        size = max(_BLOCK_BYTES, min(self.weights.nbytes // 4, 4 * _BLOCK_BYTES))
        self.block = ROWS * min(max(size // (sample_bytes * ROWS), 1), _MAX_BLOCK)
        # Threads share operations, not samples, where weights are larger than all that is computed
        # with them: so each thread reads only a part of them.
        products = sum(op.flops for op in program.ops if isinstance(op, Dense))
        self.least_shared = _MIN_SHARED_FLOPS / max(products, 1)
        self.most_shared = self.weights.nbytes // sample_bytes
        self._no_helper = np.zeros(0, np.int64), np.empty(0, self.dtype), thread_pool.NO_MAILBOX
        keep_freed_memory()

    def run(self, x: Array) -> Array:
        n = len(x)
        y = np.empty(n * self.size, self.dtype)
        if not (x.flags.c_contiguous and x.flags.writeable):
            x = x.copy()
        flat = x.reshape(-1)
        if self.least_shared <= n <= self.most_shared:
            tasks = np.zeros(3 * int(self.code[OPERATIONS]), np.int64)
            arena = np.empty(n * int(self.code[ARENA_SIZE]), self.dtype)
            self._run_with_helper(flat, y, n, n, tasks, arena)
        elif n > ROWS and n * self.flops >= _MIN_PARALLEL_FLOPS:
            # of blocks, so that both threads get the same number
            pairs = max(-(-n // (2 * self.block)), 2)
            block = max(-(-n // (2 * pairs * ROWS)), 1) * ROWS
            self._run_with_helper(flat, y, n, block, np.zeros(1, np.int64), self._no_helper[1])
        else:
            _run_program(self.code, self.weights, flat, y, n, self.block, *self._no_helper)
        return y.reshape(n, *self.shape)

    def _run_with_helper(
        self, x: Array, y: Array, n: int, block: int, tasks: Array, arena: Array
    ) -> None:
        """Run with a helper thread, if one is free."""
        job = self.code, self.weights, x, y, n, block, tasks, arena
        serve = _serve_float if self.dtype.itemsize == 4 else _serve_double
        thread_pool.run(_run_program, job, serve)


@jit
def _tile_columns(a: Array) -> int:
    """The columns of a tile."""
    return VECTORS * (_VECTOR_BYTES // a.itemsize)


@jit
def _panel_columns(a: Array) -> int:
    """The columns of a thin tile."""
    return THIN * (_VECTOR_BYTES // a.itemsize)


# --- a call ---------------------------------------------------------------------------------------


@jit
def _run_program(
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
    """Run the program on all samples, block by block.

    With ``tasks``, two threads run this function at once and take tasks until none is left. If
    there is one counter, it counts the blocks taken. Otherwise they share the operations of the one
    block, and its ``arena``, and wait for each other after each operation. A part of a Dense is a
    panel of its weights, for all samples or for a group of them; of any other operation, a sample.
    Each thread begins with its own half of the parts, whose weights may be in its cache from the
    last call, and then takes what is left of the other half. Counters of operation i: [3i] and
    [3i + 1], parts taken of each half, [3i + 2] parts completed.

    The caller has a ``mailbox``, through which it posts the job for a helper and waits until the
    helper has left. The helper's mailbox is empty.
    """
    inputs, outputs, width = code[INPUTS], code[OUTPUTS], _panel_columns(x)
    shared = tasks.size > 1
    if not shared:
        arena = np.empty(code[ARENA_SIZE] * min(n, block), x.dtype)
    offsets = np.empty(code[DEPTH], np.int64)
    for k in range(offsets.size):
        offsets[k] = k * width
    scratch = np.empty(code[SCRATCH], x.dtype)
    corner = np.empty(ROWS * width, x.dtype)
    # After all allocations: if one fails, the helper must not hold addresses of freed arrays.
    if mailbox.size:
        _write_job(mailbox, code, weights, x, y, n, block, tasks, arena)
        post(mailbox)
    first = 0
    while True:
        if tasks.size == 1:
            first = fetch_add(tasks, 0, 1) * block
        if first >= n:
            break
        count = min(block, n - first)
        xs, ys = view(x, first * inputs, count * inputs), view(y, first * outputs, count * outputs)
        at = HEAD
        for i in range(code[OPERATIONS]):
            kind, length = code[at], code[at + 1]
            common = view(code, at + 2, COMMON)
            args = view(code, at + 2 + COMMON, length - COMMON)
            at += 2 + length
            a, a_row = _space(common[X_SPACE], xs, ys, arena), code[common[X_SPACE]]
            b, b_row = _space(common[Y_SPACE], xs, ys, arena), code[common[Y_SPACE]]
            f, alpha, size = common[F], weights[common[ALPHA]], common[Y_SIZE]
            panels, groups, run = _divide(kind, size, count, width) if shared else (1, 1, count)
            columns, parts = width if panels > 1 else size, panels * groups
            k = 0
            while True:
                if shared:
                    k = _take_part(tasks, 3 * i, parts, mailbox.size == 0)
                if k >= parts:
                    break
                row, low = k % groups * run, k // groups * columns
                last, high = min(row + run, count), min(low + columns, size)
                if kind == DENSE:
                    rows, x_at, y_at = last - row, common[X_AT], common[Y_AT] + row * b_row
                    _dense(
                        *(args, weights, a, x_at + row * a_row, a_row, b, y_at, b_row),
                        *(rows, offsets, corner, low, high),
                    )
                    if f:
                        _apply_to_rows(f, alpha, b, y_at + low, b_row, rows, high - low)
                for j in range(row, last if kind != DENSE else row):
                    u = view(a, j * a_row + common[X_AT], common[X_SIZE])
                    v = view(b, j * b_row + common[Y_AT], common[Y_SIZE])
                    if kind == AFFINE:
                        _affine(args, weights, u, v)
                    elif kind == CONV:
                        _conv(args, weights, u, v, scratch)
                    elif kind == POOL:
                        _pool(args, u, v)
                    elif kind == UPSAMPLE:
                        _upsample(args, u, v)
                    elif kind == INTERPOLATE:
                        _interpolate(args, u, v)
                    elif kind == PERMUTE:
                        _permute(args, u, v)
                    elif kind == PAD:
                        _pad(args, u, v)
                    elif kind == PRELU:
                        _prelu(args, weights, u, v)
                    elif kind == LAYER_NORM:
                        _layer_norm(args, weights, u, v)
                    elif kind == NORMALIZE:
                        _normalize(args, weights, u, v)
                    elif kind == SOFTMAX:
                        _softmax(args[0], u, v)
                    elif kind == TOP_K:
                        _top_k(args[0], u, v)
                    elif kind == COPY:
                        copy(u, v)
                    elif kind in (ADD, MULTIPLY, SQUARED_ERROR):
                        space, other_at = args[0], args[1]
                        other_row = j * code[space]
                        other = view(
                            _space(space, xs, ys, arena), other_row + other_at, common[X_SIZE]
                        )
                        if kind == ADD:
                            _add(u, other, v)
                        elif kind == MULTIPLY:
                            _multiply(u, other, v)
                        else:
                            _squared_error(u, other, v)
                    if f:
                        _apply_to_rows(f, alpha, v, 0, v.size, 1, v.size)
                k += 1
                if shared:
                    fetch_add(tasks, 3 * i + 2, 1)
            if shared:
                while load(tasks, 3 * i + 2) < parts:
                    pass
        first += block
    if mailbox.size:
        withdraw(mailbox)


@jit
def _take_part(tasks: Array, at: int, parts: int, helper: bool) -> int:
    """A part that no thread has taken: of the caller's half or the helper's, then of the other."""
    for half in (helper, not helper):
        start, end = (parts // 2, parts) if half else (0, parts // 2)
        k = start + fetch_add(tasks, at + half, 1)
        if k < end:
            return k
    return parts


@jit
def _divide(kind: int, size: int, count: int, width: int) -> tuple[int, int, int]:
    """The parts of a shared operation: panels of weights, and groups of so many samples."""
    if kind != DENSE:
        return 1, count, 1
    panels, tiles = -(-size // width), -(-count // ROWS)
    tiles_in_group = -(-tiles // min(tiles, -(-_MIN_PARTS // panels)))
    return panels, -(-tiles // tiles_in_group), tiles_in_group * ROWS


@jit
def _write_job(
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
    """Write the job into the mailbox: numbers, and addresses and sizes of arrays."""
    mailbox[_N], mailbox[_BLOCK] = n, block
    mailbox[_CODE], mailbox[_CODE + 1] = code.ctypes.data, code.size
    mailbox[_WEIGHTS], mailbox[_WEIGHTS + 1] = weights.ctypes.data, weights.size
    mailbox[_X], mailbox[_X + 1] = x.ctypes.data, x.size
    mailbox[_Y], mailbox[_Y + 1] = y.ctypes.data, y.size
    mailbox[_TASKS], mailbox[_TASKS + 1] = tasks.ctypes.data, tasks.size
    mailbox[_ARENA], mailbox[_ARENA + 1] = arena.ctypes.data, arena.size


@jit
def _serve_jobs(mailbox: Array, no_mailbox: Array, numbers: Array) -> None:
    """Run the jobs posted in a mailbox, until no job has come for a while."""
    kind = numbers.dtype
    while take(mailbox):
        code = carray(pointer(mailbox[_CODE]), (mailbox[_CODE + 1],), no_mailbox.dtype)
        weights = carray(pointer(mailbox[_WEIGHTS]), (mailbox[_WEIGHTS + 1],), kind)
        x = carray(pointer(mailbox[_X]), (mailbox[_X + 1],), kind)
        y = carray(pointer(mailbox[_Y]), (mailbox[_Y + 1],), kind)
        tasks = carray(pointer(mailbox[_TASKS]), (mailbox[_TASKS + 1],), no_mailbox.dtype)
        arena = carray(pointer(mailbox[_ARENA]), (mailbox[_ARENA + 1],), kind)
        _run_program(code, weights, x, y, mailbox[_N], mailbox[_BLOCK], tasks, arena, no_mailbox)
        leave(mailbox)


def _serve_float(mailbox: Array) -> None:
    _serve_jobs(mailbox, thread_pool.NO_MAILBOX, np.empty(0, np.float32))


def _serve_double(mailbox: Array) -> None:
    _serve_jobs(mailbox, thread_pool.NO_MAILBOX, np.empty(0, np.float64))


@jit
def _space(which: int, x: Array, y: Array, arena: Array) -> Array:
    """The array of one of ``pack.SPACES``, starting at the block's first sample."""
    if which == INPUT:
        return view(x, 0, x.size)
    if which == OUTPUT:
        return view(y, 0, y.size)
    return view(arena, 0, arena.size)


# --- loops over flat arrays -----------------------------------------------------------------------


@jit
def _add(a: Array, b: Array, y: Array) -> None:
    for t in range(y.size):
        y[t] = a[t] + b[t]


@jit
def _multiply(a: Array, b: Array, y: Array) -> None:
    for t in range(y.size):
        y[t] = a[t] * b[t]


@jit
def _scale_shift(x: Array, scale: float, shift: float, y: Array) -> None:
    for t in range(y.size):
        y[t] = scale * x[t] + shift


@jit
def _apply_to_rows(
    f: int, alpha: float, y: Array, at: int, pitch: int, rows: int, size: int
) -> None:
    """y = f(y) in ``rows`` rows of ``size``, ``pitch`` apart; f is an ``in_place`` address."""
    if pitch == size:  # contiguous
        rows, size = 1, rows * size
    address = np.int64(y.ctypes.data) + at * y.itemsize
    for _ in range(rows):
        call(f, np.intp(0), alpha, address, address, size)
        address += pitch * y.itemsize


# --- operations -----------------------------------------------------------------------------------


@jit
def _affine(c: Array, weights: Array, x: Array, y: Array) -> None:
    """y[c, p] = scale[c] x[c, p] + shift[c]"""
    channels, scale, shift = c[0], c[1], c[2]
    if channels == y.size:
        gain, bias = view(weights, scale, channels), view(weights, shift, channels)
        for t in range(y.size):
            y[t] = gain[t] * x[t] + bias[t]
        return
    length = y.size // channels
    for i in range(channels):
        u, v = view(x, i * length, length), view(y, i * length, length)
        _scale_shift(u, weights[scale + i], weights[shift + i], v)


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
    """y[n, o] = Σ_k x[n, k] W[k, o] + b[o], low ≤ o < high; ``low`` starts a panel"""
    depth, w_at, b_at = c[0], c[1], c[2]
    panel, width, w = _panel_columns(x), _tile_columns(x), weights
    narrow, whole = width // VECTORS, count - count % ROWS
    for o in range(low, high, panel):
        inside = min(panel, high - o)
        for j in range(o, o + inside, width):
            columns, at, bias = min(width, o + inside - j), w_at + o * depth + j - o, b_at + j
            fits = columns in (width, narrow)
            for n in range(0, whole, ROWS):
                u, v = x_at + n * x_row, y_at + n * y_row + j
                out, out_at, out_row = corner, 0, width
                if fits:
                    out, out_at, out_row = y, v, y_row
                if columns > narrow:
                    tile(x, u, x_row, 1, w, at, offsets, out, out_at, out_row, depth, w, bias, 0)
                else:
                    narrow_tile(
                        x, u, x_row, 1, w, at, offsets, out, out_at, out_row, depth, w, bias, 0
                    )
                if not fits:
                    for i in range(ROWS):
                        copy(view(corner, i * width, width), view(y, v + i * y_row, columns))
        at, bias = w_at + o * depth, b_at + o
        for n in range(whole, count):
            u, v = x_at + n * x_row, y_at + n * y_row + o
            thin_tile(x, u, 0, 1, w, at, offsets, corner, 0, 0, depth, w, bias, 0)
            copy(corner, view(y, v, inside))


@jit
def _conv(c: Array, weights: Array, x: Array, y: Array, scratch: Array) -> None:
    """One sample as a batch of one, by frames"""
    groups, outputs, size, all_taps, length, w_at, b_at = c[0], c[1], c[2], c[3], c[4], c[5], c[6]
    frames, taps = view(c, 7, length), view(c, 7 + length, 0)
    channels, images = x.size // groups, y.size // groups
    for g in range(groups):
        convolve_frames(
            *(view(x, g * channels, channels), taps, frames, 1),
            *(weights, w_at + g * size, all_taps),
            *(weights, b_at + g * outputs, outputs, view(y, g * images, images)),
            *(NO_EPILOGUE, scratch, 0, 1),
        )


@jit
def _pool(c: Array, x: Array, y: Array) -> None:
    """The maximum or the mean of what each window holds of the image."""
    height, width, rows, columns, kh, kw, sh, sw = c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8]
    averages, top, left, dh, dw = c[9], c[10], c[11], c[12], c[13]
    inside = top == 0 and left == 0 and dh == 1 and dw == 1
    inside = inside and (rows - 1) * sh + kh <= height and (columns - 1) * sw + kw <= width
    if inside and not averages:
        largest(x, y, None, height, width, rows, columns, kh, kw, sh, sw, 1, 1, None, None)
    elif inside:
        means(x, y, height, width, rows, columns, kh, kw, sh, sw, 1, 1, None, None)
    elif not averages:
        largest(x, y, None, height, width, rows, columns, kh, kw, sh, sw, dh, dw, top, left)
    else:
        means(x, y, height, width, rows, columns, kh, kw, sh, sw, dh, dw, top, left)


@jit
def _permute(c: Array, x: Array, y: Array) -> None:
    """y, with axes of c[:5] entries, takes steps of c[5:] in x."""
    to = 0
    for i in range(c[0]):
        for j in range(c[1]):
            for k in range(c[2]):
                for l in range(c[3]):
                    at = i * c[5] + j * c[6] + k * c[7] + l * c[8]
                    for m in range(c[4]):
                        y[to] = x[at + m * c[9]]
                        to += 1


@jit
def _pad(c: Array, x: Array, y: Array) -> None:
    """A border of zeros, or of the mirrored image"""
    channels, height, width, rows = c[0], c[1], c[2], c[3]
    columns, top, left, reflect = c[4], c[5], c[6], c[7]
    to = 0
    for p in range(channels):
        for i in range(rows):
            row = _mirrored(i - top, height) if reflect else i - top
            for j in range(columns):
                column = _mirrored(j - left, width) if reflect else j - left
                inside = 0 <= row < height and 0 <= column < width
                y[to] = x[(p * height + row) * width + column] if inside else x.dtype.type(0)
                to += 1


@jit
def _mirrored(i: int, length: int) -> int:
    """The index i, mirrored at the first or the last entry if it lies beyond it"""
    i = abs(i)
    return i if i < length else 2 * (length - 1) - i


@jit
def _upsample(c: Array, x: Array, y: Array) -> None:
    """y[c, i, j] = x[c, ⌊i/a⌋, ⌊j/b⌋]"""
    channels, height, width, down, across = c[0], c[1], c[2], c[3], c[4]
    to = 0
    for p in range(channels):
        for i in range(height * down):
            u = view(x, (p * height + i // down) * width, width)
            for j in range(width):
                for _ in range(across):
                    y[to] = u[j]
                    to += 1


@jit
def _interpolate(c: Array, x: Array, y: Array) -> None:
    """y[c, i, j] = x[c] at (i + ½)/a − ½, (j + ½)/b − ½"""
    channels, height, width, down, across = c[0], c[1], c[2], c[3], c[4]
    to = 0
    for p in range(channels):
        for i in range(height * down):
            i0, s = _place(i, down, x.dtype.type(0.5) / x.dtype.type(down))
            above = (p * height + i0) * width
            below = (p * height + min(i0 + 1, height - 1)) * width
            for j in range(width * across):
                j0, t = _place(j, across, x.dtype.type(0.5) / x.dtype.type(across))
                j1 = min(j0 + 1, width - 1)
                u = x[above + j0] + s * (x[below + j0] - x[above + j0])
                v = x[above + j1] + s * (x[below + j1] - x[above + j1])
                y[to] = u + t * (v - u)
                to += 1


@jit
def _place(i: int, factor: int, half: float) -> tuple[int, float]:
    """The pixel before the place (i + ½)/factor − ½, and how far beyond it that is."""
    halves = max(2 * i + 1 - factor, 0)  # in halves of 1/factor
    first = halves // (2 * factor)
    return first, (halves - first * 2 * factor) * half


@jit
def _prelu(c: Array, weights: Array, x: Array, y: Array) -> None:
    """y[c, p] = x[c, p] if positive, else slope[c] x[c, p]"""
    length = x.size // c[0]
    for i in range(c[0]):
        slope = weights[c[1] + i]
        for p in range(i * length, (i + 1) * length):
            y[p] = x[p] if x[p] > 0 else slope * x[p]


@jit
def _layer_norm(c: Array, weights: Array, x: Array, y: Array) -> None:
    """y = γ ∘ (x − mean) / √(var + ε) + β for each row"""
    length, eps, number = c[0], weights[c[3]], x.dtype.type
    gamma, beta = view(weights, c[1], length), view(weights, c[2], length)
    for r in range(0, x.size, length):
        u, v = view(x, r, length), view(y, r, length)
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
def _normalize(c: Array, weights: Array, x: Array, y: Array) -> None:
    """y = (x − mean) / √(var + ε) along axis 1 of (rows, length, columns), or x / √(mean x² + ε)"""
    rows, length, columns, centered, eps = c[0], c[1], c[2], c[3], weights[c[4]]
    zero, m = x.dtype.type(0), x.dtype.type(length)
    for r in range(rows):
        block = view(x, r * length * columns, length * columns)
        to = view(y, r * length * columns, length * columns)
        for p in range(columns):
            mean = square = zero
            if centered:
                for k in range(p, block.size, columns):
                    mean += block[k]
                mean /= m
            for k in range(p, block.size, columns):
                square += (block[k] - mean) * (block[k] - mean)
            scale = _inverse_root(square / m + eps)
            for k in range(p, block.size, columns):
                to[k] = (block[k] - mean) * scale


@exact
def _inverse_root(v: float) -> float:
    """1/√v, 0 of ∞: with ``arcp``, LLVM iterates from an estimate, and ∞ becomes NaN."""
    return like(v, 1) / math.sqrt(v)


@jit
def _softmax(classes: int, x: Array, y: Array) -> None:
    """y[k, p] = exp(x[k, p] − m[p]) / Σⱼ exp(x[j, p] − m[p]),   m[p] = maxₖ x[k, p]"""
    length = x.size // classes
    top, total = np.empty(length, x.dtype), np.zeros(length, x.dtype)
    copy(x, top)
    for k in range(1, classes):
        u = view(x, k * length, length)
        for t in range(length):
            top[t] = top[t] if top[t] >= u[t] else u[t]
    for k in range(classes):
        u, v = view(x, k * length, length), view(y, k * length, length)
        for t in range(length):
            v[t] = exp(u[t] - top[t])
            total[t] += v[t]
    for k in range(classes):
        v = view(y, k * length, length)
        for t in range(length):
            v[t] /= total[t]


@jit
def _top_k(k: int, x: Array, y: Array) -> None:
    """Keep the k largest entries; ties go to the first. NaN counts as larger than any number."""
    numbers = np.empty(x.size, x.dtype)
    count = 0  # entries that are not NaN
    for i in range(x.size):
        if x[i] == x[i]:
            numbers[count] = x[i]
            count += 1
    threshold = x.dtype.type(np.nan)
    if k > x.size - count:
        threshold = _largest(view(numbers, 0, count), k - (x.size - count))
    above = equal = 0
    for i in range(count):
        above += numbers[i] > threshold
        equal += numbers[i] == threshold
    ties_allowed = k - above if above + equal > k else equal
    for i in range(x.size):
        v = x[i]
        passes = v > threshold
        if v == threshold and ties_allowed > 0:
            passes = True
            ties_allowed -= 1
        y[i] = v if passes else v * x.dtype.type(0)


@jit
def _largest(a: Array, k: int) -> float:
    """The k-th largest of a, which is reordered (quickselect: Hoare 1961, algorithm 65)."""
    low, high, rank = 0, a.size - 1, k - 1
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
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return a[rank]


@jit
def _squared_error(x: Array, target: Array, y: Array) -> None:
    """y = mean (x − t)²"""
    total = x.dtype.type(0)
    for k in range(x.size):
        total += (x[k] - target[k]) * (x[k] - target[k])
    y[0] = total / x.dtype.type(x.size)
