"""Matrix products, c = A B or c += A B, by tiles of sums that stay in registers.

A tile of c needs a few columns of B, row by row. These columns are first copied (packed) into a
contiguous panel, which serves all rows of A. Packing also transposes if necessary, so one loop nest
computes A B, A Bᵀ and Aᵀ B.

Threads share either the panels of B or the rows of A. No sum is split between threads, so the
result does not depend on their number.

Source    Goto & van de Geijn (2008), §4; Van Zee & van de Geijn (2015), §3, for the blocking
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numba import carray, types

from tinyae.kernels import reference
from tinyae.kernels.jitted.cfunc import c_function, call, float_type, pointer
from tinyae.kernels.jitted.operands import matrices, same_float
from tinyae.kernels.jitted.simd_tile import (
    ROWS,
    SIDE,
    VECTORS,
    copy,
    copy_run,
    copy_vector,
    lanes,
    narrow_tile,
    tile,
    transpose,
)
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    run_parallel,
    split_points,
)
from tinyae.memory import empty
from tinyae.param import Array

_PANEL_DEPTH = 128  # rows of a packed panel: 16 kB, which fit into the first-level cache
_LARGE = 1 << 14  # elements of c above which panels are twice as deep: fewer passes over c
_VECTOR_BYTES = lanes(1)
_MAX_UNPACKED_STRIPS = 8  # for up to so many rows of tiles, packing B does not pay off
_MIN_PARALLEL_SIZE = 1 << 15  # elements; below that, a second thread does not pay off
_MAX_IMBALANCE = 1.1  # how much larger a thread's part may be than with the other direction of cut
MIN_PARALLEL_WORK = 1 << 19  # multiply-adds; below that, a second thread does not pay off


@jit
def _pack(
    b: Array,
    transposed: bool,
    k0: int,
    j0: int,
    depth: int,
    inside: int,
    panel: Array,
    columns: int,
) -> None:
    """panel[k, j] = B[k0 + k, j0 + j] for j < inside; the other entries of a row are arbitrary.

    b is B, or Bᵀ if ``transposed``. ``columns`` is the width of a tile or of one vector.
    """
    pitch, source = b.shape[1], b.reshape(-1)
    wide = VECTORS * (_VECTOR_BYTES // panel.itemsize)
    if not transposed:
        for k in range(depth):
            at = (k0 + k) * pitch + j0
            if at + columns > source.size:  # a whole row would read beyond the end of B
                for j in range(columns):
                    panel[k * columns + j] = source[at + j] if j < inside else 0
            elif columns == wide:
                copy_run(source, at, panel, k * columns)
            else:
                copy_vector(source, at, panel, k * columns)
        return
    if inside < columns:
        panel[: depth * columns] = 0
    whole_k, whole_j = depth - depth % SIDE, inside - inside % SIDE
    for j in range(0, whole_j, SIDE):
        for k in range(0, whole_k, SIDE):
            transpose(source, (j0 + j) * pitch + k0 + k, pitch, panel, k * columns + j, columns)
    for j in range(inside):
        for k in range(whole_k if j < whole_j else 0, depth):
            panel[k * columns + j] = b[j0 + j, k0 + k]


@jit
def _copy_rows(
    x: Array, x_at: int, x_row: int, y: Array, y_at: int, y_row: int, rows: int, columns: int
) -> None:
    """Copy a block of rows × columns from x to y."""
    for i in range(rows):
        copy(x[x_at + i * x_row :], y[y_at + i * y_row : y_at + i * y_row + columns])


def _matmul_tiles(
    c_address: Any,
    c_rows: int,
    c_columns: int,
    a_address: int,
    a_rows: int,
    a_columns: int,
    a_transposed: int,
    b_address: int,
    b_rows: int,
    b_columns: int,
    b_transposed: int,
    start_address: int,
    part_address: Any,
) -> None:
    """c[i, j] = start[j] + Σ_k A[i, k] B[k, j] for a part of c; c += A B if ``start_address`` is 0.

    All arrays are given by their addresses. a is A, or Aᵀ if ``a_transposed``; likewise b.
    A part is (first row, one past the last, first column, one past the last).

    A full panel is at most ``_PANEL_DEPTH`` or twice that deep; further panels accumulate into c.
    The remaining columns at the right are computed in one panel of full depth: by a tile that
    overlaps the previous panel, or in a separate corner buffer. So each entry is summed in the same
    order, however c is divided among threads.
    """
    part, c = carray(part_address, (4,)), carray(c_address, (c_rows, c_columns))
    a = carray(pointer(a_address), (a_rows, a_columns), c.dtype)
    b = carray(pointer(b_address), (b_rows, b_columns), c.dtype)
    has_start = start_address != 0
    start = carray(pointer(start_address), (c_columns * has_start,), c.dtype)
    row0, row1, column0, column1 = part[0], part[1], part[2], part[3]
    depth, pitch = a.shape[0] if a_transposed else a.shape[1], c.shape[1]
    a_row, a_k = (1, a.shape[1]) if a_transposed else (a.shape[1], 1)
    single_rows = row1 < ROWS  # fewer rows than a tile: compute a whole tile for each row
    row_step, a_step = (1, 0) if single_rows else (ROWS, a_row)
    flat_a, flat_b, flat_c = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    narrow = _VECTOR_BYTES // c.itemsize
    wide = VECTORS * narrow
    panels, left = (column1 - column0) // wide, (column1 - column0) % wide
    edge = narrow if left <= narrow else wide
    max_depth = _PANEL_DEPTH if (row1 - row0) * (column1 - column0) < _LARGE else 2 * _PANEL_DEPTH
    blocks = max(-(-depth // max_depth), 1)
    block = max(-(-depth // blocks), 1)
    panel = np.empty(max(block * wide, depth * edge if left else 0), c.dtype)
    corner = np.empty(ROWS * wide, c.dtype)  # for a tile that extends beyond the edge of c
    panel_offsets, b_offsets = np.empty(max(depth, 1), np.intp), np.empty(max(depth, 1), np.intp)
    start_tile = np.zeros(wide, c.dtype)
    for step in range(panels * blocks + (left > 0)):
        k0, block_depth, width, j0 = 0, depth, edge, column1 - left
        if step < panels * blocks:
            k0, width, j0 = step // panels * block, wide, column0 + step % panels * wide
            block_depth = min(block, depth - k0)
        elif has_start and column1 - column0 >= edge:
            j0 = column1 - edge
        inside = min(width, column1 - j0)
        accumulate = k0 > 0 or not has_start
        if step == 0 or step == panels * blocks:
            for k in range(block_depth):
                panel_offsets[k], b_offsets[k] = k * width, k * b.shape[1]
        if has_start:
            for j in range(inside):
                start_tile[j] = start[j0 + j]
        source, source_at, row_offsets = flat_b, k0 * b.shape[1] + j0, b_offsets
        if b_transposed or inside < width or row1 - row0 > _MAX_UNPACKED_STRIPS * ROWS:
            source, source_at, row_offsets = panel, 0, panel_offsets
            _pack(b, b_transposed, k0, j0, block_depth, inside, panel, width)
        for i0 in range(row0, row1, row_step):
            first = i0 if single_rows else min(i0, row1 - ROWS)  # may overlap the tile before
            whole = first == i0 and inside == width and not single_rows
            last, corner_at = min(i0 + row_step, row1), (i0 - first) * width
            target, target_at, target_row = corner, 0, width
            if whole:
                target, target_at, target_row = flat_c, i0 * pitch + j0, pitch
            elif accumulate:
                _copy_rows(
                    flat_c, i0 * pitch + j0, pitch, corner, corner_at, width, last - i0, inside
                )
            init, init_at, init_row = start_tile, 0, 0
            if accumulate:
                init, init_at, init_row = target, target_at, target_row
            first_a = first * a_row + k0 * a_k
            if width == wide:
                tile(
                    *(flat_a, first_a, a_step, a_k, source, source_at, row_offsets),
                    *(target, target_at, target_row, block_depth, init, init_at, init_row),
                )
            else:
                narrow_tile(
                    *(flat_a, first_a, a_step, a_k, source, source_at, row_offsets),
                    *(target, target_at, target_row, block_depth, init, init_at, init_row),
                )
            if not whole:
                _copy_rows(
                    corner, corner_at, width, flat_c, i0 * pitch + j0, pitch, last - i0, inside
                )


@functools.cache
def matmul_cfunc(itemsize: int) -> Any:
    """:func:`_matmul_tiles` compiled once, as a C function.

    Compiling it into each caller would take a third of the time of a first training step.
    """
    integer = types.intp
    numbers, integers = types.CPointer(float_type(itemsize)), types.CPointer(integer)
    return c_function(_matmul_tiles, types.void(numbers, *[integer] * 11, integers))


@jit
def _matmul_part(
    f: int,
    a: Array,
    a_transposed: bool,
    b: Array,
    b_transposed: bool,
    c: Array,
    start: Array,
    part: Array,
) -> None:
    at = start.ctypes.data if start.size > 0 else np.uintp(0)
    call(
        f,
        *(c.ctypes.data, c.shape[0], c.shape[1]),
        *(a.ctypes.data, a.shape[0], a.shape[1], np.intp(a_transposed)),
        *(b.ctypes.data, b.shape[0], b.shape[1], np.intp(b_transposed)),
        *(at, part.ctypes.data),
    )


@parallel_jit
def _matmul_parallel(
    f: int,
    a: Array,
    a_transposed: bool,
    b: Array,
    b_transposed: bool,
    c: Array,
    start: Array,
    parts: Array,
) -> None:
    """Compute each part in its own thread."""
    for t in numba.prange(len(parts)):
        _matmul_part(f, a, a_transposed, b, b_transposed, c, start, parts[t])


@functools.lru_cache(maxsize=256)
def output_parts(rows: int, columns: int, itemsize: int, threads: int, by_row: bool) -> Array:
    """Divide c into one part for each thread: along rows or panels, unless that is far less even.

    Panels are better for a layer's output: each thread then reads the weights that it has updated
    itself, which are still in its core's cache.
    """
    width = VECTORS * lanes(itemsize)
    panels, strips = -(-columns // width), -(-rows // ROWS)
    cost_by_panels, cost_by_rows = -(-panels // threads) * strips, panels * -(-strips // threads)
    if cost_by_panels * _MAX_IMBALANCE < cost_by_rows or (
        not by_row and cost_by_panels <= cost_by_rows * _MAX_IMBALANCE
    ):
        bounds, step, size, axis = split_points(panels, threads), width, columns, 2
    else:
        bounds, step, size, axis = split_points(strips, threads), ROWS, rows, 0
    parts = np.tile([0, rows, 0, columns], (threads, 1))
    parts[:, axis] = np.minimum(bounds[:-1] * step, size)
    parts[:, axis + 1] = np.minimum(bounds[1:] * step, size)
    return parts


def _multiply(
    a: Array, a_transposed: bool, b: Array, b_transposed: bool, out: Array, start: Array | None
) -> None:
    """out = start + A B, or out += A B if start is None; out is C-contiguous.

    With Aᵀ in memory, out is the gradient of a weight matrix, and the threads divide its rows. The
    optimizer step divides it in the same way, so each core finds its part in its own cache.
    """
    rows, columns = out.shape
    depth = len(a) if a_transposed else a.shape[1]
    # BLAS is faster where most of a tile would be unused.
    if rows < ROWS or 2 * columns < lanes(out.itemsize):
        product = reference.matmul(a.T if a_transposed else a, b.T if b_transposed else b)
        if start is None:
            out += product
        else:
            np.add(product, start, out=out)
        return
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    if start is None:
        start = out[0, :0]
    f = matmul_cfunc(out.itemsize).address
    threads = claim_threads() if rows * depth * columns >= MIN_PARALLEL_WORK else 1
    if threads > 1:
        parts = output_parts(rows, columns, out.itemsize, threads, a_transposed)
        run_parallel(_matmul_parallel, f, a, a_transposed, b, b_transposed, out, start, parts)
    else:
        part = output_parts(rows, columns, out.itemsize, 1, True)[0]
        _matmul_part(f, a, a_transposed, b, b_transposed, out, start, part)


# --- the kernels ------------------------------------------------------------------------------


def matmul(a: Array, b: Array) -> Array:
    if not matrices(a, b) or a.shape[1] != len(b):
        return reference.matmul(a, b)
    if b.flags.f_contiguous and not b.flags.c_contiguous:
        return matmul_nt(a, b.T)
    out = empty((len(a), b.shape[1]), a.dtype)
    _multiply(a, False, b, False, out, np.zeros(out.shape[1], a.dtype))
    return out


def matmul_nt(a: Array, b: Array) -> Array:
    if not matrices(a, b) or a.shape[1] != b.shape[1]:
        return reference.matmul_nt(a, b)
    if b.flags.f_contiguous and not b.flags.c_contiguous:
        return matmul(a, b.T)
    out = empty((len(a), len(b)), a.dtype)
    _multiply(a, False, b, True, out, np.zeros(out.shape[1], a.dtype))
    return out


def matmul_tn(a: Array, b: Array) -> Array:
    if not matrices(a, b) or len(a) != len(b):
        return reference.matmul_tn(a, b)
    out = empty((a.shape[1], b.shape[1]), a.dtype)
    _multiply(a, True, b, False, out, np.zeros(out.shape[1], a.dtype))
    return out


def affine(x: Array, W: Array, b: Array) -> Array:
    fits = matrices(x, W) and x.shape[1] == W.shape[1] and b.ndim == 1 and len(b) == len(W)
    if not (fits and same_float(W, b)):
        return reference.affine(x, W, b)
    y = empty((len(x), len(W)), x.dtype)
    if W.flags.f_contiguous and not W.flags.c_contiguous:
        _multiply(x, False, W.T, False, y, np.ascontiguousarray(b))
    else:
        _multiply(x, False, W, True, y, np.ascontiguousarray(b))
    return y


def affine_grad(dy: Array, x: Array, dW: Array, db: Array) -> None:
    fits = matrices(dy, x) and len(dy) == len(x) and dW.shape == (dy.shape[1], x.shape[1])
    fits = fits and db.shape == (len(dW),) and same_float(x, dW) and same_float(x, db)
    if not (fits and dW.flags.writeable and db.flags.writeable):
        reference.affine_grad(dy, x, dW, db)
        return
    if dW.flags.c_contiguous:
        _multiply(dy, True, x, False, dW, None)
    elif dW.flags.f_contiguous:
        _multiply(x, True, dy, False, dW.T, None)
    else:
        dW += matmul_tn(dy, x)
    add_rows(np.ascontiguousarray(dy).reshape(-1), 0, max(len(db), 1), db)


@jit
def _row_sq_norms(W: Array, scale: Array, dW: Array, norms: Array, first: int, last: int) -> None:
    for j in range(first, last):
        c, total = scale[j], W.dtype.type(0)
        for i in range(W.shape[1]):
            total += W[j, i] * W[j, i]
            dW[j, i] += c * W[j, i]
        norms[j] = total


@parallel_jit
def _row_sq_norms_parallel(W: Array, scale: Array, dW: Array, norms: Array, bounds: Array) -> None:
    for t in numba.prange(len(bounds) - 1):
        _row_sq_norms(W, scale, dW, norms, bounds[t], bounds[t + 1])


def row_sq_norms(W: Array, scale: Array, dW: Array) -> Array:
    fits = (
        W.shape == dW.shape
        and W.shape[:1] == scale.shape
        and same_float(W, scale)
        and same_float(W, dW)
    )
    if not (fits and W.flags.c_contiguous and dW.flags.c_contiguous and dW.flags.writeable):
        return reference.row_sq_norms(W, scale, dW)
    scale, norms = np.ascontiguousarray(scale), np.empty(len(W), W.dtype)
    threads = claim_threads() if W.size >= _MIN_PARALLEL_SIZE else 1
    if threads > 1:
        run_parallel(_row_sq_norms_parallel, W, scale, dW, norms, split_points(len(W), threads))
    else:
        _row_sq_norms(W, scale, dW, norms, 0, len(W))
    return norms


@jit
def add_rows(a: Array, first: int, pitch: int, total: Array) -> None:
    """total[t] += Σₙ a[first + n·pitch + t], with a flat; four rows at a time."""
    size = total.size
    rows = (a.size - first - size) // pitch + 1
    whole = rows - rows % 4
    for n in range(0, whole, 4):
        at = first + n * pitch
        p, q = a[at : at + size], a[at + pitch : at + pitch + size]
        r, s = a[at + 2 * pitch :], a[at + 3 * pitch :]
        for t in range(size):
            total[t] += (p[t] + q[t]) + (r[t] + s[t])
    for n in range(whole, rows):
        p = a[first + n * pitch :]
        for t in range(size):
            total[t] += p[t]
