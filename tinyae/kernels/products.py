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

from tinyae.kernels.threads import jit, join, parallel_jit, share
from tinyae.kernels.tile import ROWS, SIDE, VECTORS, copy_run, lanes, tile, transpose
from tinyae.param import Array

_DEPTH = 128  # the longest sums of one panel: 16 kB of it, which stay in the first-level cache
_WIDTH = {size: VECTORS * lanes(size) for size in (4, 8)}  # columns of a panel, by itemsize
_SHARED = 1 << 19  # multiply-adds from which on two threads gain more than they cost


@jit
def _pack(b: Array, at: int, b_k: int, b_j: int, depth: int, width: int, panel: Array) -> None:
    """panel[k, j] = b[at + k·b_k + j·b_j] for j < width, zero for the rest of a panel's row."""
    columns = panel.shape[1]
    flat = panel.reshape(-1)
    if width < columns:
        flat[: depth * columns] = 0
    if b_j == 1:
        for k in range(depth):
            if width == columns:
                copy_run(b, at + k * b_k, flat, k * columns)
            else:
                for j in range(width):
                    flat[k * columns + j] = b[at + k * b_k + j]
        return
    whole_k, whole_j = depth - depth % SIDE, width - width % SIDE  # b_k is 1
    for j in range(0, whole_j, SIDE):
        for k in range(0, whole_k, SIDE):
            transpose(b, at + k + j * b_j, b_j, flat, k * columns + j, columns)
    for j in range(width):
        for k in range(whole_k if j < whole_j else 0, depth):
            flat[k * columns + j] = b[at + k + j * b_j]


@jit
def _tiles(
    a: Array,
    a_row: int,
    a_k: int,
    b: Array,
    b_k: int,
    b_j: int,
    c: Array,
    add: bool,
    depth: int,
    width: int,
    part: Array,
) -> None:
    """c[i, j] (+)= Σ_k a[i·a_row + k·a_k] · b[k·b_k + j·b_j] for the rows and columns of a part.

    A part is (first row, one past the last, first column, one past the last).
    """
    rows, columns = (part[0], part[1]), (part[2], part[3])
    pitch = c.shape[1]
    flat = c.reshape(-1)
    blocks = max(-(-depth // _DEPTH), 1)
    block = max(-(-depth // blocks), 1)
    panel = np.empty((block, width), c.dtype)
    run = panel.reshape(-1)
    corner = np.empty(ROWS * width, c.dtype)  # a tile that hangs over the edge of c
    offsets = np.arange(block) * width
    for k0 in range(0, max(depth, 1), block):
        size = min(block, depth - k0)
        more = add or k0 > 0
        for j0 in range(columns[0], columns[1], width):
            inside = min(width, columns[1] - j0)
            _pack(b, k0 * b_k + j0 * b_j, b_k, b_j, size, inside, panel)
            for i0 in range(rows[0], rows[1], ROWS):
                first = min(i0, rows[1] - ROWS)  # the last tile overlaps the one before
                a_at = first * a_row + k0 * a_k
                if first == i0 and inside == width:
                    at = i0 * pitch + j0
                    tile(a, a_at, a_row, a_k, run, 0, offsets, flat, at, pitch, size, more)
                    continue
                tile(a, a_at, a_row, a_k, run, 0, offsets, corner, 0, width, size, False)
                for i in range(i0, min(i0 + ROWS, rows[1])):
                    into = c[i, j0 : j0 + inside]
                    sums = corner[(i - first) * width : (i - first) * width + inside]
                    if more:
                        for j in range(inside):
                            into[j] += sums[j]
                    else:
                        for j in range(inside):
                            into[j] = sums[j]


@parallel_jit
def _tiles_shared(
    a: Array,
    a_row: int,
    a_k: int,
    b: Array,
    b_k: int,
    b_j: int,
    c: Array,
    add: bool,
    depth: int,
    width: int,
    shares: Array,
) -> None:
    """:func:`_tiles` of every part, each in its own thread."""
    for t in numba.prange(len(shares)):
        _tiles(a, a_row, a_k, b, b_k, b_j, c, add, depth, width, shares[t])


@functools.lru_cache(maxsize=256)
def _shares(rows: int, columns: int, width: int, threads: int) -> Array:
    """c cut into one part a thread, along the panels or along the rows: whichever is more even."""
    panels, strips = -(-columns // width), -(-rows // ROWS)
    t = np.arange(threads + 1)
    if -(-panels // threads) * strips <= panels * -(-strips // threads):
        cuts, step, size, axis = panels * t // threads, width, columns, 2
    else:
        cuts, step, size, axis = strips * t // threads, ROWS, rows, 0
    shares = np.tile([0, rows, 0, columns], (threads, 1))
    shares[:, axis] = np.minimum(cuts[:-1] * step, size)
    shares[:, axis + 1] = np.minimum(cuts[1:] * step, size)
    return shares


def _line(a: Array) -> tuple[Array, int, int]:
    """A matrix as a flat array and its two strides in numbers; a copy if it has gaps."""
    if a.flags.c_contiguous:
        return a.reshape(-1), a.shape[1], 1
    if a.flags.f_contiguous:
        return a.T.reshape(-1), 1, a.shape[0]
    return np.ascontiguousarray(a).reshape(-1), a.shape[1], 1


def multiply(a: Array, b: Array, out: Array, add: bool = False) -> None:
    """out = a b, or out += a b"""
    if not out.flags.c_contiguous:
        if not out.flags.f_contiguous:
            out[...] = out + matmul(a, b) if add else matmul(a, b)
            return
        a, b, out = b.T, a.T, out.T
    (rows, depth), columns = a.shape, b.shape[1]
    width = _WIDTH[out.itemsize]
    if rows < ROWS or 2 * columns < width:  # most of a tile would be idle: leave it to BLAS
        if add:
            out += a @ b
        else:
            np.matmul(a, b, out=out)
        return
    flat_a, a_row, a_k = _line(a)
    flat_b, b_k, b_j = _line(b)
    if rows * depth * columns >= _SHARED:
        threads = share()
        if threads > 1:
            try:
                shares = _shares(rows, columns, width, threads)
                _tiles_shared(flat_a, a_row, a_k, flat_b, b_k, b_j, out, add, depth, width, shares)
            finally:
                join()
            return
    whole = _shares(rows, columns, width, 1)[0]
    _tiles(flat_a, a_row, a_k, flat_b, b_k, b_j, out, add, depth, width, whole)


# --- the kernels ------------------------------------------------------------------------------


def matmul(a: Array, b: Array) -> Array:
    out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    multiply(a, b, out)
    return out


def matmul_nt(a: Array, b: Array) -> Array:
    return matmul(a, b.T)


def matmul_tn(a: Array, b: Array) -> Array:
    return matmul(a.T, b)


def affine(x: Array, W: Array, b: Array) -> Array:
    y = np.empty((len(x), len(W)), x.dtype)
    y[:] = b
    multiply(x, W.T, y, add=True)
    return y


def affine_grad(dy: Array, x: Array, dW: Array, db: Array) -> None:
    multiply(dy.T, x, dW, add=True)
    _add_rows(dy, db)


@jit
def _add_rows(a: Array, total: Array) -> None:
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            total[j] += a[i, j]
