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

import numba
import numpy as np

from tinyae.kernels.threads import cut, jit, parallel_jit, share, together
from tinyae.kernels.tile import ROWS, SIDE, VECTORS, copy_run, lanes, tile, transpose
from tinyae.param import Array

_DEPTH = 128  # the longest sums of one panel: 16 kB of it, which stay in the first-level cache
_WIDTH = {size: VECTORS * lanes(size) for size in (4, 8)}  # columns of a panel, by itemsize
_SHARED = 1 << 19  # multiply-adds from which on two threads gain more than they cost


@jit
def _pack(b: Array, turned: bool, k0: int, j0: int, depth: int, width: int, panel: Array) -> None:
    """panel[k, j] = B[k0 + k, j0 + j] for j < width, zero for the rest of a panel's row.

    b is B as it lies in memory, ``turned`` if it is Bᵀ that lies there.
    """
    columns, pitch = panel.shape[1], b.shape[1]
    flat, source = panel.reshape(-1), b.reshape(-1)
    if width < columns:
        flat[: depth * columns] = 0
    if not turned:
        for k in range(depth):
            at = (k0 + k) * pitch + j0
            if width == columns:
                copy_run(source, at, flat, k * columns)
            else:
                for j in range(width):
                    flat[k * columns + j] = source[at + j]
        return
    whole_k, whole_j = depth - depth % SIDE, width - width % SIDE
    for j in range(0, whole_j, SIDE):
        for k in range(0, whole_k, SIDE):
            transpose(source, (j0 + j) * pitch + k0 + k, pitch, flat, k * columns + j, columns)
    for j in range(width):
        for k in range(whole_k if j < whole_j else 0, depth):
            flat[k * columns + j] = b[j0 + j, k0 + k]


@jit
def _tiles(
    a: Array,
    a_turned: bool,
    b: Array,
    b_turned: bool,
    c: Array,
    start: Array,
    width: int,
    part: Array,
) -> None:
    """c[i, j] = start[j] + Σ_k A[i, k] B[k, j], or += where ``start`` is empty, for a part of c.

    a and b are A and B as they lie in memory, ``turned`` if it is Aᵀ or Bᵀ that lies there. A
    part is (first row, one past the last, first column, one past the last).
    """
    row0, row1, column0, column1 = part[0], part[1], part[2], part[3]
    depth, pitch = a.shape[0] if a_turned else a.shape[1], c.shape[1]
    a_row, a_k = (1, a.shape[1]) if a_turned else (a.shape[1], 1)
    flat_a, flat_c = a.reshape(-1), c.reshape(-1)
    blocks = max(-(-depth // _DEPTH), 1)
    block = max(-(-depth // blocks), 1)
    panel = np.empty((block, width), c.dtype)
    run = panel.reshape(-1)
    corner = np.empty(ROWS * width, c.dtype)  # a tile that hangs over the edge of c
    offsets, head = np.empty(block, np.intp), np.empty(width, c.dtype)
    for k in range(block):  # NumPy's arange would take longer to compile than this function
        offsets[k] = k * width
    for j in range(width):
        head[j] = 0
    for k0 in range(0, max(depth, 1), block):
        size, add = min(block, depth - k0), k0 > 0 or start.size == 0
        for j0 in range(column0, column1, width):
            inside = min(width, column1 - j0)
            if start.size > 0:
                for j in range(inside):
                    head[j] = 0 if k0 > 0 else start[j0 + j]
            _pack(b, b_turned, k0, j0, size, inside, panel)
            for i0 in range(row0, row1, ROWS):
                first = min(i0, row1 - ROWS)  # the last tile overlaps the one before
                whole = first == i0 and inside == width
                more = whole and add
                target, at, step = corner, 0, width
                if whole:
                    target, at, step = flat_c, i0 * pitch + j0, pitch
                a_at = first * a_row + k0 * a_k
                tile(
                    *(flat_a, a_at, a_row, a_k, run, 0, offsets),
                    *(target, at, step, size, more, head, 0, 0),
                )
                if whole:
                    continue
                for i in range(i0, min(i0 + ROWS, row1)):
                    sums = corner[(i - first) * width : (i - first) * width + inside]
                    into = c[i, j0 : j0 + inside]
                    if add:
                        for j in range(inside):
                            into[j] += sums[j]
                    else:
                        for j in range(inside):
                            into[j] = sums[j]


@parallel_jit
def _tiles_shared(
    a: Array,
    a_turned: bool,
    b: Array,
    b_turned: bool,
    c: Array,
    start: Array,
    width: int,
    parts: Array,
) -> None:
    """:func:`_tiles` of every part, each in its own thread."""
    for t in numba.prange(len(parts)):
        _tiles(a, a_turned, b, b_turned, c, start, width, parts[t])


@functools.lru_cache(maxsize=256)
def _parts(rows: int, columns: int, width: int, threads: int, by_row: bool) -> Array:
    """c cut into a part a thread, along rows or panels: as wished, unless that is less even."""
    panels, strips = -(-columns // width), -(-rows // ROWS)
    in_panels, in_rows = -(-panels // threads) * strips, panels * -(-strips // threads)
    if in_panels < in_rows or (in_panels == in_rows and not by_row):
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
    width = _WIDTH[out.itemsize]
    if rows < ROWS or 2 * columns < width:  # most of a tile would be idle: leave it to BLAS
        product = (a.T if a_turned else a) @ (b.T if b_turned else b)
        if start is None:
            out += product
        else:
            np.add(product, start, out=out)
        return
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    if start is None:
        start = out[0, :0]
    threads = share() if rows * depth * columns >= _SHARED else 1
    if threads > 1:
        parts = _parts(rows, columns, width, threads, a_turned)
        together(_tiles_shared, a, a_turned, b, b_turned, out, start, width, parts)
    else:
        part = _parts(rows, columns, width, 1, True)[0]
        _tiles(a, a_turned, b, b_turned, out, start, width, part)


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
    _add_rows(dy, db)


@jit
def _add_rows(a: Array, total: Array) -> None:
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            total[j] += a[i, j]
