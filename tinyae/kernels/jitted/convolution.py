"""Convolution and pooling. Batches that fill a tile go to ``conv_batch_last``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tinyae.kernels.jitted import conv_batch_last
from tinyae.kernels.jitted.elementwise import relu, relu_backward
from tinyae.kernels.jitted.layout import batch_last
from tinyae.kernels.jitted.simd_tile import (
    DOTS,
    NOTHING,
    ROWS,
    THIN,
    VECTORS,
    dots,
    lanes,
    pixel_tile,
    thin_dots,
    thin_tile,
)
from tinyae.kernels.jitted.threads import cut, jit, parallel_jit, share, together
from tinyae.kernels.reference import Pad, Pair
from tinyae.param import Array

# --- convolution: sums of shifted runs, the batch innermost in memory -------------------------
#
# In memory an image batch is kept as (C, H, W, N), and handed on as an (N, C, H, W) view. A row
# of the output, S pixels of N samples, is then one run of S·N numbers, and
#
#     y[o, i, :] = Σ_{c,u,v} W[o, c, u, v] · x[c, i + u, v : v + S]
#
# is a sum of such runs at fixed offsets into x, one a tap (c, u, v): a matrix product whose
# second matrix need not be built. With a stride s the padded image is first split into its s × s
# phases, x[a::s, b::s]: from one phase a tap reads a run again. So the same two loops serve every
# stride, the gradient of the input too.

_BYTES = lanes(1)  # of a vector
_RUN = 1024  # numbers of a run at a time: what is summed stays in the first-level cache
_SHARED = 1 << 19  # multiply-adds from which on two threads gain more than they cost
_COPIED = 1 << 15  # the same for numbers that are copied


@jit
def _correlate(
    x: Array, offsets: Array, pitch: int, W: Array, b: Array, y: Array, part: Array
) -> None:
    """y[o, i, t] = b[o] + Σ_k W[o, k] · x[offsets[k] + i·pitch + t]

    x (P,)   W (O, K)   b (O,)   y (O, R, L), for the rows i of a part: (first, one past the last).
    """
    outputs, rows, length = y.shape
    taps, row = offsets.size, rows * length
    flat_W, flat_y = W.reshape(-1), y.reshape(-1)
    width = (VECTORS if outputs >= ROWS else THIN) * (_BYTES // y.itemsize)
    starts = np.empty((outputs, width), y.dtype)
    for o in range(outputs):
        starts[o] = b[o]
    for i in range(part[0], part[1]):
        for start in range(0, length, width):
            at = min(start, length - width)  # the last tile may overlap the one before
            here, there = i * pitch + at, i * length + at
            if outputs >= ROWS:
                for first in range(0, outputs, ROWS):
                    o = min(first, outputs - ROWS)
                    pixel_tile(
                        *(flat_W, o * taps, taps, 1),
                        *(x, here, offsets),
                        *(flat_y, o * row + there, row, taps),
                        *(starts.reshape(-1), o * width, width),
                        *(0, 0, NOTHING, flat_y),
                    )
            else:
                for o in range(outputs):
                    thin_tile(
                        *(flat_W, o * taps, taps, 1),
                        *(x, here, offsets),
                        *(flat_y, o * row + there, row, taps),
                        *(starts.reshape(-1), o * width, width),
                    )


@parallel_jit
def _correlate_shared(
    x: Array, offsets: Array, pitch: int, W: Array, b: Array, y: Array, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        _correlate(x, offsets, pitch, W, b, y, parts[t])


@jit
def _correlate_short(x: Array, offsets: Array, pitch: int, W: Array, b: Array, y: Array) -> None:
    """:func:`_correlate` for runs that are shorter than a tile."""
    outputs, rows, length = y.shape
    for o in range(outputs):
        for i in range(rows):
            run = y[o, i]
            run[:] = b[o]
            for k in range(offsets.size):
                first = offsets[k] + i * pitch
                source, w = x[first : first + length], W[o, k]
                for t in range(length):
                    run[t] += w * source[t]


@jit
def _correlate_weights(
    x: Array, offsets: Array, pitch: int, dy: Array, dW: Array, part: Array
) -> None:
    """dW[o, k] = Σ_{i,t} dy[o, i, t] · x[offsets[k] + i·pitch + t]: the adjoint in W.

    for the outputs and taps of a part: (first, one past the last, first, one past the last).
    """
    _, rows, length = dy.shape
    taps, row = offsets.size, rows * length
    flat_dy, flat_dW = dy.reshape(-1), dW.reshape(-1)
    o0, o1, k0, k1 = part[0], part[1], part[2], part[3]
    fours, fours_of_taps = o1 - (o1 - o0) % DOTS, k1 - (k1 - k0) % DOTS
    dW[o0:o1, k0:k1] = 0
    for start in range(0, length, _RUN):
        size = min(_RUN, length - start)
        whole = size - size % (_BYTES // dy.itemsize)
        for i in range(rows):
            here, there = i * pitch + start, i * length + start
            for k in range(k0, fours_of_taps, DOTS):
                for o in range(o0, fours, DOTS):
                    dots(
                        *(flat_dy, o * row + there, row),
                        *(x, here, offsets, k),
                        *(flat_dW, o * taps + k, taps, whole, 1, 0, 0),
                    )
                for o in range(fours, o1):
                    thin_dots(
                        *(flat_dy, o * row + there, row),
                        *(x, here, offsets, k),
                        *(flat_dW, o * taps + k, taps, whole, 1, 0, 0),
                    )
            for o in range(o0, o1):
                r = dy[o, i, start : start + size]
                for k in range(k0, k1):
                    first = whole if k < fours_of_taps else 0
                    if first < size:
                        k_at = here + offsets[k]
                        source = x[k_at : k_at + size]
                        s = dW.dtype.type(0)
                        for t in range(first, size):
                            s += r[t] * source[t]
                        dW[o, k] += s


@parallel_jit
def _correlate_weights_shared(
    x: Array, offsets: Array, pitch: int, dy: Array, dW: Array, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        _correlate_weights(x, offsets, pitch, dy, dW, parts[t])


def _run_correlate(x: Array, offsets: Array, pitch: int, W: Array, b: Array, y: Array) -> None:
    width = (VECTORS if len(y) >= ROWS else THIN) * lanes(y.itemsize)
    if y.shape[2] < width:
        _correlate_short(x, offsets, pitch, W, b, y)
        return
    threads = share() if y.size * offsets.size >= _SHARED else 1
    if threads > 1:
        parts = _row_shares(y.shape[1], threads)
        together(_correlate_shared, x, offsets, pitch, W, b, y, parts)
    else:
        _correlate(x, offsets, pitch, W, b, y, _row_shares(y.shape[1], 1)[0])


def _run_correlate_weights(x: Array, offsets: Array, pitch: int, dy: Array, dW: Array) -> None:
    threads = share() if dy.size * offsets.size >= _SHARED else 1
    if threads > 1:
        parts = conv_batch_last.weight_shares(*dW.shape, threads)
        together(_correlate_weights_shared, x, offsets, pitch, dy, dW, parts)
    else:
        _correlate_weights(
            x, offsets, pitch, dy, dW, conv_batch_last.weight_shares(*dW.shape, 1)[0]
        )


@functools.lru_cache(maxsize=256)
def _row_shares(rows: int, threads: int, more: Pair = (0, 0)) -> Array:
    """(first, one past the last) of each thread's rows, and two numbers more for all."""
    cuts = cut(rows, threads)
    parts = np.tile([0, 0, *more], (threads, 1))
    parts[:, 0], parts[:, 1] = cuts[:-1], cuts[1:]
    return parts


@jit
def _split(x: Array, top: int, left: int, split: Array, part: Array) -> None:
    """split[a, b, c, m, n] = xᵖ[c, a + m·sh, b + n·sw], x (C, H, W, N) with zeros around it.

    A part is a range of the rows (a, b, c, m), counted through.
    """
    down, across, channels, rows, columns, samples = split.shape
    _, height, width, _ = x.shape
    for p in range(part[0], part[1]):
        m, rest = p % rows, p // rows
        c, rest = rest % channels, rest // channels
        a, b = rest // across, rest % across
        row, y = split[a, b, c, m], a + m * down - top
        if y < 0 or y >= height:
            row[:] = 0
            continue
        source = x[c, y]
        for n in range(columns):
            z = b + n * across - left
            if z < 0 or z >= width:
                row[n] = 0
            else:
                for i in range(samples):
                    row[n, i] = source[z, i]


@jit
def _merge(split: Array, bias: Array, top: int, left: int, x: Array, part: Array) -> None:
    """The way back: x[c, y, z] = split[a, b, c, m, n] where a + m·sh = y + top, and so for z.

    Of phases that ``split`` has not, because the kernel is smaller than the stride, x is the bias.
    A part is a range of the rows (c, y). The strides are those by which x is longer.
    """
    phases_down, phases_across, _, _, _, samples = split.shape
    _, height, width, _ = x.shape
    down, across = part[2], part[3]
    for p in range(part[0], part[1]):
        c, y = p // height, p % height
        a, m = (y + top) % down, (y + top) // down
        for z in range(width):
            b, n = (z + left) % across, (z + left) // across
            if a < phases_down and b < phases_across:
                for i in range(samples):
                    x[c, y, z, i] = split[a, b, c, m, n, i]
            else:
                x[c, y, z] = bias[c]


@parallel_jit
def _split_shared(x: Array, top: int, left: int, split: Array, parts: Array) -> None:
    for t in numba.prange(len(parts)):
        _split(x, top, left, split, parts[t])


@parallel_jit
def _merge_shared(split: Array, bias: Array, top: int, left: int, x: Array, parts: Array) -> None:
    for t in numba.prange(len(parts)):
        _merge(split, bias, top, left, x, parts[t])


def _copy(
    alone: Callable[..., None],
    shared: Callable[..., None],
    arguments: tuple[Any, ...],
    target: Array,
    rows: int,
    more: Pair = (0, 0),
) -> None:
    """Run ``alone(*arguments, part)`` for all rows, or share them where the target is large."""
    threads = share() if target.size >= _COPIED else 1
    if threads > 1:
        together(shared, *arguments, _row_shares(rows, threads, more))
    else:
        alone(*arguments, _row_shares(rows, 1, more)[0])


def _phases(x: Array, kernel: Pair, stride: Pair, pad: Pad, size: Pair) -> tuple[Array, Array, int]:
    """The padded image by its phases, flat; each tap's offset into it; the distance of its rows.

    ``size`` is that of the output; more of the image than its taps reach is not copied.
    """
    x = batch_last(x)
    channels, n = x.shape[0], x.shape[3]
    (kh, kw), (sh, sw) = kernel, stride
    rows, columns = size[0] + (kh - 1) // sh, size[1] + (kw - 1) // sw
    split = np.empty((sh, sw, channels, rows, columns, n), x.dtype)
    arguments = (x, pad[0], pad[2], split)
    _copy(_split, _split_shared, arguments, split, sh * sw * channels * rows)
    offsets = _tap_offsets(kernel, stride, channels, rows, columns, n)
    return split.reshape(-1), offsets, columns * n


@functools.lru_cache(maxsize=256)
def _tap_offsets(
    kernel: Pair, stride: Pair, channels: int, rows: int, columns: int, n: int
) -> Array:
    """Where the run of each tap (c, u, v) begins in :func:`_phases`."""
    c, u, v = np.ogrid[:channels, : kernel[0], : kernel[1]]
    phase = u % stride[0] * stride[1] + v % stride[1]
    at = ((phase * channels + c) * rows + u // stride[0]) * columns + v // stride[1]
    return (at * n).reshape(-1)


def _output_size(x: Array, kernel: Pair, stride: Pair, pad: Pad) -> Pair:
    (top, bottom, left, right), (kh, kw) = pad, kernel
    return (
        (x.shape[2] + top + bottom - kh) // stride[0] + 1,
        (x.shape[3] + left + right - kw) // stride[1] + 1,
    )


def conv2d(x: Array, W: Array, stride: Pair, pad: Pad, b: Array | None = None) -> Array:
    return conv2d_relu(x, W, stride, pad, b)


def conv2d_relu(
    x: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    b: Array | None = None,
    relu: bool = False,
    relu_mask: Array | None = None,
) -> Array:
    kernel = (W.shape[2], W.shape[3])
    size = _output_size(x, kernel, stride, pad)
    n = len(x)
    if conv_batch_last.serves(x):
        return conv_batch_last.conv2d(x, W, stride, pad, size, b, relu, relu_mask)
    y = np.empty((len(W), size[0], size[1] * n), x.dtype)
    flat_W = np.ascontiguousarray(W).reshape(len(W), -1)
    _run_correlate(*_phases(x, kernel, stride, pad, size), flat_W, _bias(b, y), y)
    return _after_relu(y.reshape(len(W), *size, n).transpose(3, 0, 1, 2), relu, relu_mask)


def _after_relu(y: Array, forward: bool, mask: Array | None) -> Array:
    y = relu(y) if forward else y
    return y if mask is None else relu_backward(y, mask)


def _bias(b: Array | None, y: Array) -> Array:
    return np.zeros(len(y), y.dtype) if b is None else np.ascontiguousarray(b)


def conv2d_input_grad(
    dy: Array, W: Array, stride: Pair, pad: Pad, size: Pair, b: Array | None = None
) -> Array:
    return conv2d_input_grad_relu(dy, W, stride, pad, size, b)


def conv2d_input_grad_relu(
    dy: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    size: Pair,
    b: Array | None = None,
    relu: bool = False,
    relu_mask: Array | None = None,
) -> Array:
    """By phases of dx: dx[a + m·s] = Σ_q W[a + q·s] · dy[m − q], a correlation without stride."""
    if conv_batch_last.serves(dy):
        return conv_batch_last.conv2d_input_grad(dy, W, stride, pad, size, b, relu, relu_mask)
    n, outputs = dy.shape[:2]
    channels, (kh, kw), (sh, sw) = W.shape[1], W.shape[2:], stride
    above, before = (kh - 1) // sh, (kw - 1) // sw  # zeros before dy, for m − q < 0
    # Without a stride dx is the one phase but for its padding; else the phases lie interlaced.
    plain = stride == (1, 1)
    (m0, n0) = (pad[0], pad[2]) if plain else (0, 0)
    rows = size[0] if plain else -(-(pad[0] + size[0]) // sh)
    columns = size[1] if plain else -(-(pad[2] + size[1]) // sw)
    height, width = above + m0 + rows, before + n0 + columns
    padded = np.empty((1, 1, outputs, height, width, n), dy.dtype)
    arguments = (batch_last(dy), above, before, padded)
    _copy(_split, _split_shared, arguments, padded, outputs * height)
    phases = np.empty((min(sh, kh), min(sw, kw), channels, rows, columns, n), dy.dtype)
    bias = _bias(b, phases[0, 0])
    first = (above + m0) * width + before + n0
    for u in range(phases.shape[0]):
        for v in range(phases.shape[1]):
            taps = W[:, :, u::sh, v::sw].transpose(1, 0, 2, 3)  # (C, O, q, r)
            offsets = _mirrored_offsets(outputs, *taps.shape[2:], first, height, width, n)
            W_phase = np.ascontiguousarray(taps).reshape(channels, -1)
            part = phases[u, v].reshape(channels, rows, columns * n)
            _run_correlate(padded.reshape(-1), offsets, width * n, W_phase, bias, part)
    if plain:
        return _after_relu(phases[0, 0].transpose(3, 0, 1, 2), relu, relu_mask)
    dx = np.empty((channels, *size, n), dy.dtype)
    _copy(_merge, _merge_shared, (phases, bias, pad[0], pad[2], dx), dx, channels * size[0], stride)
    return _after_relu(dx.transpose(3, 0, 1, 2), relu, relu_mask)


@functools.lru_cache(maxsize=256)
def _mirrored_offsets(
    outputs: int, kh: int, kw: int, first: int, height: int, width: int, n: int
) -> Array:
    """Where the run of each tap (o, q, r) begins: the further the tap, the earlier in dy."""
    o, q, r = np.ogrid[:outputs, :kh, :kw]
    return (first + (o * height - q) * width - r).reshape(-1) * n


def conv2d_weight_grad(x: Array, dy: Array, stride: Pair, pad: Pad, kernel: Pair) -> Array:
    if conv_batch_last.serves(x, whole=True):
        return conv_batch_last.conv2d_weight_grad(x, dy, stride, pad, kernel)
    n, outputs, rows, columns = dy.shape
    dW = np.empty((outputs, x.shape[1] * kernel[0] * kernel[1]), x.dtype)
    flat = batch_last(dy).reshape(outputs, rows, columns * n)
    _run_correlate_weights(*_phases(x, kernel, stride, pad, (rows, columns)), flat, dW)
    return dW.reshape(outputs, x.shape[1], *kernel)


@jit
def _bias_grad(dy: Array, db: Array, first: int, last: int) -> None:
    """db[o] += Σ_t dy[o, t] for the outputs from first to last."""
    for o in range(first, last):
        s = db.dtype.type(0)
        for t in range(dy.shape[1]):
            s += dy[o, t]
        db[o] += s


@parallel_jit
def _bias_grad_shared(dy: Array, db: Array, parts: Array) -> None:
    for t in numba.prange(len(parts)):
        _bias_grad(dy, db, parts[t, 0], parts[t, 1])


def bias_grad(dy: Array, db: Array) -> None:
    inside = dy.transpose(1, 2, 3, 0)
    if not inside.flags.c_contiguous or not db.flags.c_contiguous:
        db += dy.sum(axis=(0, 2, 3))
        return
    flat = inside.reshape(len(db), -1)
    threads = share() if dy.size >= _COPIED and len(db) > 1 else 1
    if threads > 1:
        together(_bias_grad_shared, flat, db, _row_shares(len(db), threads))
    else:
        _bias_grad(flat, db, 0, len(db))


# --- pooling --------------------------------------------------------------------------------


@jit
def _max_pool(x: Array, y: Array, index: Array, kh: int, kw: int, sh: int, sw: int) -> None:
    n_samples, channels, rows, columns = y.shape
    for n in range(n_samples):
        for c in range(channels):
            for i in range(rows):
                for j in range(columns):
                    best, where = x[n, c, i * sh, j * sw], 0
                    for u in range(kh):
                        for v in range(kw):
                            value = x[n, c, i * sh + u, j * sw + v]
                            # the second half lets a NaN win, as in the twin
                            if value > best or (value != value and best == best):
                                best, where = value, u * kw + v
                    y[n, c, i, j] = best
                    index[n, c, i, j] = where


@jit
def _max_pool_backward(dy: Array, index: Array, dx: Array, kw: int, sh: int, sw: int) -> None:
    n_samples, channels, rows, columns = dy.shape
    for n in range(n_samples):
        for c in range(channels):
            for i in range(rows):
                for j in range(columns):
                    where = index[n, c, i, j]
                    dx[n, c, i * sh + where // kw, j * sw + where % kw] += dy[n, c, i, j]


def max_pool2d(x: Array, kernel: Pair, stride: Pair) -> tuple[Array, Array]:
    y = np.empty((*x.shape[:2], *_output_size(x, kernel, stride, (0, 0, 0, 0))), x.dtype)
    index = np.empty(y.shape, np.int64)
    _max_pool(np.ascontiguousarray(x), y, index, *kernel, *stride)
    return y, index


def max_pool2d_backward(dy: Array, index: Array, kernel: Pair, stride: Pair, size: Pair) -> Array:
    dx = np.zeros((*dy.shape[:2], *size), dy.dtype)
    dy, index = np.ascontiguousarray(dy), np.ascontiguousarray(index)
    _max_pool_backward(dy, index, dx, kernel[1], *stride)
    return dx
