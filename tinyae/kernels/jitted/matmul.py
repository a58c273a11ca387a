"""Matrix products, c = A B or c += A B, by tiles of sums that stay in registers.

A tile of c wants a run of each row of B. The columns of B are copied, a panel of them at a time,
into a small buffer, where these runs lie one behind the other; a panel serves all rows of A. So
A and B may lie in memory either way round, and one loop nest serves A B, A Bᵀ and Aᵀ B.

Two threads share either the panels or the rows of A; no sum is split, so the number of threads
does not change a bit of the result.

Source    Goto & van de Geijn (2008), §4; Van Zee & van de Geijn (2015), §3, for the blocking
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numba import carray, types

from tinyae.kernels import reference
from tinyae.kernels.jitted.cfunc import c_function, call, number, pointer
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
from tinyae.kernels.jitted.threads import cut, jit, parallel_jit, share, together
from tinyae.param import Array

_DEPTH = 128  # the longest sums of one panel: 16 kB of it, which stay in the first-level cache
_LARGE = 1 << 14  # numbers of c from which on it pays to pass over them half as often
_VECTOR = lanes(1)  # bytes
_FEW = 8  # rows of tiles for which B is read where it lies: a panel would hardly be used
_SHARED_ROWS = 1 << 15  # numbers of a matrix that is gone through once
_EVEN = 1.1  # how much larger than the other way's a thread's part may be
SHARED = 1 << 19  # multiply-adds from which on two threads gain more than they cost


@jit
def _pack(
    b: Array, turned: bool, k0: int, j0: int, depth: int, inside: int, panel: Array, columns: int
) -> None:
    """panel[k, j] = B[k0 + k, j0 + j] for j < inside; the rest of a row of ``columns`` is anything.

    b is B as it lies in memory, ``turned`` if it is Bᵀ that lies there. A row of ``columns`` has
    as many vectors as a tile, or one.
    """
    pitch, source = b.shape[1], b.reshape(-1)
    wide = VECTORS * (_VECTOR // panel.itemsize)
    if not turned:
        for k in range(depth):
            at = (k0 + k) * pitch + j0
            if at + columns > source.size:  # the last rows of what hangs over the edge of B
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
def _move(
    x: Array, x_at: int, x_row: int, y: Array, y_at: int, y_row: int, rows: int, columns: int
) -> None:
    """Rows of a matrix to another place."""
    for i in range(rows):
        copy(x[x_at + i * x_row :], y[y_at + i * y_row : y_at + i * y_row + columns])


def _tiles(
    c_at: Any,
    c_rows: int,
    c_columns: int,
    a_at: int,
    a_rows: int,
    a_columns: int,
    a_turned: int,
    b_at: int,
    b_rows: int,
    b_columns: int,
    b_turned: int,
    start_at: int,
    part_at: Any,
) -> None:
    """c[i, j] = start[j] + Σ_k A[i, k] B[k, j], for a part of c; += where ``start_at`` is 0.

    All arrays are given by their addresses. a and b are A and B as they lie in memory, ``turned``
    if it is Aᵀ or Bᵀ that lies there. A part is (first row, one past the last, first column, one
    past the last).

    Whole panels go ``_DEPTH`` deep, or twice that, each sum going on from what c has. What is left
    over at the right goes as deep as A: in one tile that overlaps the panel before it, or in a
    corner of its own. So each number is the same sum in the same order, wherever the parts are cut.
    """
    part, c = carray(part_at, (4,)), carray(c_at, (c_rows, c_columns))
    a = carray(pointer(a_at), (a_rows, a_columns), c.dtype)
    b = carray(pointer(b_at), (b_rows, b_columns), c.dtype)
    fresh = start_at != 0
    start = carray(pointer(start_at), (c_columns * fresh,), c.dtype)
    row0, row1, column0, column1 = part[0], part[1], part[2], part[3]
    depth, pitch = a.shape[0] if a_turned else a.shape[1], c.shape[1]
    a_row, a_k = (1, a.shape[1]) if a_turned else (a.shape[1], 1)
    few = row1 < ROWS  # than a tile has: then each row is a tile, computed ROWS times over
    down, step_a = (1, 0) if few else (ROWS, a_row)
    flat_a, flat_b, flat_c = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    narrow = _VECTOR // c.itemsize
    wide = VECTORS * narrow
    panels, left = (column1 - column0) // wide, (column1 - column0) % wide
    edge = narrow if left <= narrow else wide
    deep = _DEPTH if (row1 - row0) * (column1 - column0) < _LARGE else 2 * _DEPTH
    blocks = max(-(-depth // deep), 1)
    block = max(-(-depth // blocks), 1)
    panel = np.empty(max(block * wide, depth * edge if left else 0), c.dtype)
    corner = np.empty(ROWS * wide, c.dtype)  # a tile that hangs over the edge of c
    offsets, pitches = np.empty(max(depth, 1), np.intp), np.empty(max(depth, 1), np.intp)
    head = np.zeros(wide, c.dtype)
    for turn in range(panels * blocks + (left > 0)):
        k0, size, width, j0 = 0, depth, edge, column1 - left
        if turn < panels * blocks:
            k0, width, j0 = turn // panels * block, wide, column0 + turn % panels * wide
            size = min(block, depth - k0)
        elif fresh and column1 - column0 >= edge:
            j0 = column1 - edge
        inside = min(width, column1 - j0)
        add = k0 > 0 or not fresh
        if turn == 0 or turn == panels * blocks:
            for k in range(size):
                offsets[k], pitches[k] = k * width, k * b.shape[1]
        if fresh:
            for j in range(inside):
                head[j] = start[j0 + j]
        run, run_at, steps = flat_b, k0 * b.shape[1] + j0, pitches
        if b_turned or inside < width or row1 - row0 > _FEW * ROWS:
            run, run_at, steps = panel, 0, offsets
            _pack(b, b_turned, k0, j0, size, inside, panel, width)
        for i0 in range(row0, row1, down):
            first = i0 if few else min(i0, row1 - ROWS)  # the last overlaps the one before
            whole = first == i0 and inside == width and not few
            last, mine = min(i0 + down, row1), (i0 - first) * width
            into, to, to_row = corner, 0, width
            if whole:
                into, to, to_row = flat_c, i0 * pitch + j0, pitch
            elif add:
                _move(flat_c, i0 * pitch + j0, pitch, corner, mine, width, last - i0, inside)
            begin, at, at_row = head, 0, 0
            if add:
                begin, at, at_row = into, to, to_row
            from_a = first * a_row + k0 * a_k
            if width == wide:
                tile(
                    *(flat_a, from_a, step_a, a_k, run, run_at, steps),
                    *(into, to, to_row, size, begin, at, at_row),
                )
            else:
                narrow_tile(
                    *(flat_a, from_a, step_a, a_k, run, run_at, steps),
                    *(into, to, to_row, size, begin, at, at_row),
                )
            if not whole:
                _move(corner, mine, width, flat_c, i0 * pitch + j0, pitch, last - i0, inside)


@functools.cache
def tiler(itemsize: int) -> Any:
    """:func:`_tiles` compiled as a C function, which has an address.

    Compiled into its callers instead, it would take a third of a first training step.
    """
    integer = types.intp
    numbers, integers = types.CPointer(number(itemsize)), types.CPointer(integer)
    return c_function(_tiles, types.void(numbers, *[integer] * 11, integers))


@jit
def _tile(
    f: int, a: Array, a_turned: bool, b: Array, b_turned: bool, c: Array, start: Array, part: Array
) -> None:
    at = start.ctypes.data if start.size > 0 else np.uintp(0)
    call(
        f,
        *(c.ctypes.data, c.shape[0], c.shape[1]),
        *(a.ctypes.data, a.shape[0], a.shape[1], np.intp(a_turned)),
        *(b.ctypes.data, b.shape[0], b.shape[1], np.intp(b_turned)),
        *(at, part.ctypes.data),
    )


@parallel_jit
def _tile_shared(
    f: int, a: Array, a_turned: bool, b: Array, b_turned: bool, c: Array, start: Array, parts: Array
) -> None:
    """Every part, each in its own thread."""
    for t in numba.prange(len(parts)):
        _tile(f, a, a_turned, b, b_turned, c, start, parts[t])


@functools.lru_cache(maxsize=256)
def parts_of(rows: int, columns: int, itemsize: int, threads: int, by_row: bool) -> Array:
    """c cut into a part a thread, along rows or panels: as wished, unless that is far less even.

    Of a layer's output panels are better: what a thread reads of the weights is what it has updated
    itself, and need not come out of another core's cache.
    """
    width = VECTORS * lanes(itemsize)
    panels, strips = -(-columns // width), -(-rows // ROWS)
    in_panels, in_rows = -(-panels // threads) * strips, panels * -(-strips // threads)
    if in_panels * _EVEN < in_rows or (not by_row and in_panels <= in_rows * _EVEN):
        cuts, step, size, axis = cut(panels, threads), width, columns, 2
    else:
        cuts, step, size, axis = cut(strips, threads), ROWS, rows, 0
    parts = np.tile([0, rows, 0, columns], (threads, 1))
    parts[:, axis] = np.minimum(cuts[:-1] * step, size)
    parts[:, axis + 1] = np.minimum(cuts[1:] * step, size)
    return parts


def _multiply(
    a: Array, a_turned: bool, b: Array, b_turned: bool, out: Array, start: Array | None
) -> None:
    """out = start + A B, or out += A B where there is no start; out is C-contiguous.

    Of a matrix that is itself the gradient of rows, the threads take rows: the optimizer cuts it
    so too, and finds in each core's cache what it needs.
    """
    rows, columns = out.shape
    depth = len(a) if a_turned else a.shape[1]
    # Where most of a tile would be idle it is left to BLAS.
    if rows < ROWS or 2 * columns < lanes(out.itemsize):
        product = (a.T if a_turned else a) @ (b.T if b_turned else b)
        if start is None:
            out += product
        else:
            np.add(product, start, out=out)
        return
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    if start is None:
        start = out[0, :0]
    f = tiler(out.itemsize).address
    threads = share() if rows * depth * columns >= SHARED else 1
    if threads > 1:
        parts = parts_of(rows, columns, out.itemsize, threads, a_turned)
        together(_tile_shared, f, a, a_turned, b, b_turned, out, start, parts)
    else:
        part = parts_of(rows, columns, out.itemsize, 1, True)[0]
        _tile(f, a, a_turned, b, b_turned, out, start, part)


# --- the kernels ------------------------------------------------------------------------------


def matmul(a: Array, b: Array) -> Array:
    if b.flags.f_contiguous and not b.flags.c_contiguous:
        return matmul_nt(a, b.T)
    out = np.empty((len(a), b.shape[1]), a.dtype)
    _multiply(a, False, b, False, out, np.zeros(out.shape[1], a.dtype))
    return out


def matmul_nt(a: Array, b: Array) -> Array:
    if b.flags.f_contiguous and not b.flags.c_contiguous:
        return matmul(a, b.T)
    out = np.empty((len(a), len(b)), a.dtype)
    _multiply(a, False, b, True, out, np.zeros(out.shape[1], a.dtype))
    return out


def matmul_tn(a: Array, b: Array) -> Array:
    out = np.empty((a.shape[1], b.shape[1]), a.dtype)
    _multiply(a, True, b, False, out, np.zeros(out.shape[1], a.dtype))
    return out


def affine(x: Array, W: Array, b: Array) -> Array:
    y = np.empty((len(x), len(W)), x.dtype)
    if W.flags.f_contiguous and not W.flags.c_contiguous:
        _multiply(x, False, W.T, False, y, np.ascontiguousarray(b))
    else:
        _multiply(x, False, W, True, y, np.ascontiguousarray(b))
    return y


def affine_grad(dy: Array, x: Array, dW: Array, db: Array) -> None:
    if dW.flags.c_contiguous:
        _multiply(dy, True, x, False, dW, None)
    elif dW.flags.f_contiguous:
        _multiply(x, True, dy, False, dW.T, None)
    else:
        dW += matmul_tn(dy, x)
    add_rows(np.ascontiguousarray(dy).reshape(-1), 0, max(len(db), 1), db)


@jit
def _row_sq_norms(W: Array, scale: Array, dW: Array, w: Array, first: int, last: int) -> None:
    for j in range(first, last):
        c, total = scale[j], W.dtype.type(0)
        for i in range(W.shape[1]):
            total += W[j, i] * W[j, i]
            dW[j, i] += c * W[j, i]
        w[j] = total


@parallel_jit
def _row_sq_norms_shared(W: Array, scale: Array, dW: Array, w: Array, cuts: Array) -> None:
    for t in numba.prange(len(cuts) - 1):
        _row_sq_norms(W, scale, dW, w, cuts[t], cuts[t + 1])


def row_sq_norms(W: Array, scale: Array, dW: Array) -> Array:
    if not (W.flags.c_contiguous and dW.flags.c_contiguous):
        return reference.row_sq_norms(W, scale, dW)
    scale, w = np.ascontiguousarray(scale), np.empty(len(W), W.dtype)
    threads = share() if W.size >= _SHARED_ROWS else 1
    if threads > 1:
        together(_row_sq_norms_shared, W, scale, dW, w, cut(len(W), threads))
    else:
        _row_sq_norms(W, scale, dW, w, 0, len(W))
    return w


@jit
def add_rows(a: Array, first: int, pitch: int, total: Array) -> None:
    """total[t] += Σₙ a[first + n·pitch + t], of a matrix as it lies in memory; four rows at a time."""
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
