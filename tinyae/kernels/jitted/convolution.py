"""Convolution. Batches of at least a tile's width go to ``conv_batch_last``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tinyae.kernels import reference
from tinyae.kernels.jitted import conv_batch_last
from tinyae.kernels.jitted.elementwise import relu, relu_backward
from tinyae.kernels.jitted.layout import batch_last
from tinyae.kernels.jitted.operands import same_float
from tinyae.kernels.jitted.simd_tile import (
    DOTS,
    NO_EPILOGUE,
    ROWS,
    THIN,
    VECTORS,
    conv_tile,
    dots,
    lanes,
    thin_dots,
    thin_tile,
)
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    run_parallel,
    split_points,
)
from tinyae.kernels.reference import Pad, Pair
from tinyae.kernels.windows import extent, in_groups
from tinyae.param import Array

Shape = tuple[int, ...]

# --- convolution: sums of shifted rows, with the batch innermost in memory ---------------------
#
# A batch of images is stored as (C, H, W, N), and returned as an (N, C, H, W) view. A row of the
# output, S pixels of N samples, is then S·N contiguous numbers, and
#
#     y[o, i, :] = Σ_{c,u,v} W[o, c, u, v] · x[c, i + u, v : v + S]
#
# is a sum of such rows of x, at one fixed offset for each tap (c, u, v): a matrix product whose
# second matrix need not be built. For a stride s, the padded image is first split into its s × s
# phases x[a::s, b::s]. A tap reads contiguous rows of one phase, so the same two loops serve every
# stride and the gradient of the input.

_VECTOR_BYTES = lanes(1)
_MAX_RUN = 1024  # numbers of a row at a time, which stay in the first-level cache
_MIN_PARALLEL_WORK = 1 << 19  # multiply-adds; below that, a second thread does not pay off
_MIN_PARALLEL_COPY = 1 << 15  # the same for copied elements


@jit
def _correlate(
    x: Array, offsets: Array, pitch: int, W: Array, b: Array, y: Array, part: Array
) -> None:
    """y[o, i, t] = b[o] + Σ_k W[o, k] · x[offsets[k] + i·pitch + t]

    x (P,)   W (O, K)   b (O,)   y (O, R, L). A part is a range of rows: (first, one past the last).
    """
    outputs, rows, length = y.shape
    taps, row = offsets.size, rows * length
    flat_W, flat_y = W.reshape(-1), y.reshape(-1)
    width = (VECTORS if outputs >= ROWS else THIN) * (_VECTOR_BYTES // y.itemsize)
    starts = np.empty((outputs, width), y.dtype)
    for o in range(outputs):
        starts[o] = b[o]
    for i in range(part[0], part[1]):
        for start in range(0, length, width):
            at = min(start, length - width)  # the last tile may overlap the one before
            x_at, y_at = i * pitch + at, i * length + at
            if outputs >= ROWS:
                for first in range(0, outputs, ROWS):
                    o = min(first, outputs - ROWS)
                    conv_tile(
                        *(flat_W, o * taps, taps, 1),
                        *(x, x_at, offsets),
                        *(flat_y, o * row + y_at, row, taps),
                        *(starts.reshape(-1), o * width, width),
                        *(0, 0, NO_EPILOGUE, flat_y),
                    )
            else:
                for o in range(outputs):
                    thin_tile(
                        *(flat_W, o * taps, taps, 1),
                        *(x, x_at, offsets),
                        *(flat_y, o * row + y_at, row, taps),
                        *(starts.reshape(-1), o * width, width),
                    )


@parallel_jit
def _correlate_parallel(
    x: Array, offsets: Array, pitch: int, W: Array, b: Array, y: Array, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        _correlate(x, offsets, pitch, W, b, y, parts[t])


@jit
def _correlate_short(x: Array, offsets: Array, pitch: int, W: Array, b: Array, y: Array) -> None:
    """:func:`_correlate` for rows that are shorter than a tile."""
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

    A part is (first output, one past the last, first tap, one past the last).
    """
    _, rows, length = dy.shape
    taps, row = offsets.size, rows * length
    flat_dy, flat_dW = dy.reshape(-1), dW.reshape(-1)
    o0, o1, k0, k1 = part[0], part[1], part[2], part[3]
    whole_outputs, whole_taps = o1 - (o1 - o0) % DOTS, k1 - (k1 - k0) % DOTS
    dW[o0:o1, k0:k1] = 0
    for start in range(0, length, _MAX_RUN):
        size = min(_MAX_RUN, length - start)
        whole = size - size % (_VECTOR_BYTES // dy.itemsize)
        for i in range(rows):
            x_at, dy_at = i * pitch + start, i * length + start
            for k in range(k0, whole_taps, DOTS):
                for o in range(o0, whole_outputs, DOTS):
                    dots(
                        *(flat_dy, o * row + dy_at, row),
                        *(x, x_at, offsets, k),
                        *(flat_dW, o * taps + k, taps, whole, 1, 0, 0),
                    )
                for o in range(whole_outputs, o1):
                    thin_dots(
                        *(flat_dy, o * row + dy_at, row),
                        *(x, x_at, offsets, k),
                        *(flat_dW, o * taps + k, taps, whole, 1, 0, 0),
                    )
            for o in range(o0, o1):
                r = dy[o, i, start : start + size]
                for k in range(k0, k1):
                    first = whole if k < whole_taps else 0
                    if first < size:
                        k_at = x_at + offsets[k]
                        source = x[k_at : k_at + size]
                        s = dW.dtype.type(0)
                        for t in range(first, size):
                            s += r[t] * source[t]
                        dW[o, k] += s


@parallel_jit
def _correlate_weights_parallel(
    x: Array, offsets: Array, pitch: int, dy: Array, dW: Array, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        _correlate_weights(x, offsets, pitch, dy, dW, parts[t])


def _run_correlate(x: Array, offsets: Array, pitch: int, W: Array, b: Array, y: Array) -> None:
    width = (VECTORS if len(y) >= ROWS else THIN) * lanes(y.itemsize)
    if y.shape[2] < width:
        _correlate_short(x, offsets, pitch, W, b, y)
        return
    threads = claim_threads() if y.size * offsets.size >= _MIN_PARALLEL_WORK else 1
    if threads > 1:
        parts = _row_ranges(y.shape[1], threads)
        run_parallel(_correlate_parallel, x, offsets, pitch, W, b, y, parts)
    else:
        _correlate(x, offsets, pitch, W, b, y, _row_ranges(y.shape[1], 1)[0])


def _run_correlate_weights(x: Array, offsets: Array, pitch: int, dy: Array, dW: Array) -> None:
    threads = claim_threads() if dy.size * offsets.size >= _MIN_PARALLEL_WORK else 1
    if threads > 1:
        parts = conv_batch_last.weight_parts(*dW.shape, threads)
        run_parallel(_correlate_weights_parallel, x, offsets, pitch, dy, dW, parts)
    else:
        _correlate_weights(x, offsets, pitch, dy, dW, conv_batch_last.weight_parts(*dW.shape, 1)[0])


@functools.lru_cache(maxsize=256)
def _row_ranges(rows: int, threads: int, stride: Pair = (0, 0)) -> Array:
    """Each thread's range of rows and the stride: (first, one past the last, down, across)."""
    bounds = split_points(rows, threads)
    parts = np.tile([0, 0, *stride], (threads, 1))
    parts[:, 0], parts[:, 1] = bounds[:-1], bounds[1:]
    return parts


@jit
def _split_phases(x: Array, top: int, left: int, split: Array, part: Array) -> None:
    """split[a, b, c, m, n] = xᵖ[c, a + m·sh, b + n·sw], x (C, H, W, N) with zeros around it.

    A part is a range of the flat index of rows (a, b, c, m).
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
def _merge_phases(split: Array, bias: Array, top: int, left: int, x: Array, part: Array) -> None:
    """The inverse: x[c, y, z] = split[a, b, c, m, n] with a + m·sh = y + top, b + n·sw = z + left.

    If the kernel is smaller than the stride, some phases are missing in ``split``: there x is the
    bias. A part is a range of the flat index of rows (c, y), and the stride (sh, sw).
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
def _split_parallel(x: Array, top: int, left: int, split: Array, parts: Array) -> None:
    for t in numba.prange(len(parts)):
        _split_phases(x, top, left, split, parts[t])


@parallel_jit
def _merge_parallel(split: Array, bias: Array, top: int, left: int, x: Array, parts: Array) -> None:
    for t in numba.prange(len(parts)):
        _merge_phases(split, bias, top, left, x, parts[t])


def _run_copy(
    serial: Callable[..., None],
    parallel: Callable[..., None],
    arguments: tuple[Any, ...],
    target: Array,
    rows: int,
    stride: Pair = (0, 0),
) -> None:
    """Run ``serial(*arguments, part)`` for all rows, or ``parallel`` if the target is large."""
    threads = claim_threads() if target.size >= _MIN_PARALLEL_COPY else 1
    if threads > 1:
        run_parallel(parallel, *arguments, _row_ranges(rows, threads, stride))
    else:
        serial(*arguments, _row_ranges(rows, 1, stride)[0])


def _phases(
    x: Array, kernel: Pair, stride: Pair, pad: Pad, size: Pair, dilation: Pair
) -> tuple[Array, Array, int]:
    """The phases of the padded image as a flat array; each tap's offset in it; its row pitch.

    ``size`` is the output's size. Pixels that no tap reads are not copied.
    """
    x = batch_last(x)
    channels, n = x.shape[0], x.shape[3]
    (kh, kw), (sh, sw) = extent(kernel, dilation), stride
    rows, columns = size[0] + (kh - 1) // sh, size[1] + (kw - 1) // sw
    split = np.empty((sh, sw, channels, rows, columns, n), x.dtype)
    arguments = (x, pad[0], pad[2], split)
    _run_copy(_split_phases, _split_parallel, arguments, split, sh * sw * channels * rows)
    offsets = _tap_offsets(kernel, stride, dilation, channels, rows, columns, n)
    return split.reshape(-1), offsets, columns * n


@functools.lru_cache(maxsize=256)
def _tap_offsets(
    kernel: Pair, stride: Pair, dilation: Pair, channels: int, rows: int, columns: int, n: int
) -> Array:
    """The offset of each tap (c, u, v) in the array of :func:`_phases`."""
    c, u, v = np.ogrid[:channels, : kernel[0], : kernel[1]]
    u, v = u * dilation[0], v * dilation[1]
    phase = u % stride[0] * stride[1] + v % stride[1]
    at = ((phase * channels + c) * rows + u // stride[0]) * columns + v // stride[1]
    return (at * n).reshape(-1)


def _output_size(size: Pair, kernel: Pair, stride: Pair, pad: Pad, dilation: Pair) -> Pair:
    (top, bottom, left, right), (kh, kw) = pad, extent(kernel, dilation)
    return (
        (size[0] + top + bottom - kh) // stride[0] + 1,
        (size[1] + left + right - kw) // stride[1] + 1,
    )


# Both are cached: a look at known shapes takes a fifth of the time.


@functools.lru_cache(maxsize=256)
def _size_of_output(
    x: Shape, W: Shape, stride: Pair, pad: Pad, dilation: Pair, groups: int
) -> Pair | tuple[()]:
    """(H′, W′) of a convolution of x by W, by their shapes; () if they do not belong together."""
    if len(x) != 4 or len(W) != 4 or x[1] != W[1] * groups or W[0] % groups:
        return ()
    size = _output_size((x[2], x[3]), (W[2], W[3]), stride, pad, dilation)
    return size if min(size) >= 1 else ()


@functools.lru_cache(maxsize=256)
def _belong(
    y: Shape, W: Shape, size: Shape, stride: Pair, pad: Pad, dilation: Pair, groups: int
) -> bool:
    """Whether y has the shape that W makes of images of that size."""
    if len(y) != 4 or len(W) != 4 or len(size) != 2 or y[1] != W[0] or W[0] % groups:
        return False
    return y[2:] == _output_size((size[0], size[1]), (W[2], W[3]), stride, pad, dilation)


def _fits_bias(b: Array | None, W: Array, outputs: int) -> bool:
    return b is None or (b.shape == (outputs,) and b.dtype == W.dtype)


def _fits_mask(mask: Array | None, x: Array, shape: tuple[int, ...]) -> bool:
    return mask is None or (mask.shape == shape and mask.dtype == x.dtype)


def conv2d(
    x: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    b: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    return conv2d_relu(x, W, stride, pad, b, False, None, dilation, groups)


def conv2d_relu(
    x: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    b: Array | None = None,
    relu: bool = False,
    relu_mask: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    size = _size_of_output(x.shape, W.shape, stride, pad, dilation, groups)
    n = len(x)
    if not (
        size
        and same_float(x, W)
        and _fits_bias(b, W, len(W))
        and _fits_mask(relu_mask, x, (n, len(W), *size))
    ):
        return reference.conv2d_relu(x, W, stride, pad, b, relu, relu_mask, dilation, groups)
    kernel = (W.shape[2], W.shape[3])
    if conv_batch_last.supports(x):
        return conv_batch_last.conv2d(x, W, stride, pad, size, b, relu, relu_mask, dilation, groups)
    if groups > 1:
        y = in_groups(conv2d, x, W, groups, stride, pad, None, dilation)
        return _after_relu(y if b is None else y + b[:, None, None], relu, relu_mask)
    y = np.empty((len(W), size[0], size[1] * n), x.dtype)
    flat_W = np.ascontiguousarray(W).reshape(len(W), -1)
    _run_correlate(*_phases(x, kernel, stride, pad, size, dilation), flat_W, _bias(b, y), y)
    return _after_relu(y.reshape(len(W), *size, n).transpose(3, 0, 1, 2), relu, relu_mask)


def _after_relu(y: Array, forward: bool, mask: Array | None) -> Array:
    y = relu(y) if forward else y
    return y if mask is None else relu_backward(y, mask)


def _bias(b: Array | None, y: Array) -> Array:
    return np.zeros(len(y), y.dtype) if b is None else np.ascontiguousarray(b)


def conv2d_input_grad(
    dy: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    size: Pair,
    b: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    return conv2d_input_grad_relu(dy, W, stride, pad, size, b, False, None, dilation, groups)


def conv2d_input_grad_relu(
    dy: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    size: Pair,
    b: Array | None = None,
    relu: bool = False,
    relu_mask: Array | None = None,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """For each phase a of dx: dx[a + m·s] = Σ_q W[a + q·s] · dy[m − q], with stride 1."""
    fits = same_float(dy, W) and _belong(dy.shape, W.shape, size, stride, pad, dilation, groups)
    wide = fits and conv_batch_last.supports(dy)
    unit_stride = stride == (1, 1)
    if not (
        fits
        and (wide or unit_stride or dilation == (1, 1))
        and _fits_bias(b, W, W.shape[1] * groups)
        and _fits_mask(relu_mask, dy, (len(dy), W.shape[1] * groups, *size))
    ):
        return reference.conv2d_input_grad_relu(
            dy, W, stride, pad, size, b, relu, relu_mask, dilation, groups
        )
    if wide:
        return conv_batch_last.conv2d_input_grad(
            dy, W, stride, pad, size, b, relu, relu_mask, dilation, groups
        )
    if groups > 1:
        dx = in_groups(conv2d_input_grad, dy, W, groups, stride, pad, size, None, dilation)
        return _after_relu(dx if b is None else dx + b[:, None, None], relu, relu_mask)
    n, outputs = dy.shape[:2]
    channels, (kh, kw), (sh, sw) = W.shape[1], W.shape[2:], stride
    reach_down, reach_across = extent((kh, kw), dilation)
    # zeros before dy, where m − q < 0
    pad_top, pad_left = (reach_down - 1) // sh, (reach_across - 1) // sw
    # For stride 1, the only phase is dx with its padding; otherwise the phases are interleaved.
    (m0, n0) = (pad[0], pad[2]) if unit_stride else (0, 0)
    rows = size[0] if unit_stride else -(-(pad[0] + size[0]) // sh)
    columns = size[1] if unit_stride else -(-(pad[2] + size[1]) // sw)
    height, width = pad_top + m0 + rows, pad_left + n0 + columns
    padded = np.empty((1, 1, outputs, height, width, n), dy.dtype)
    arguments = (batch_last(dy), pad_top, pad_left, padded)
    _run_copy(_split_phases, _split_parallel, arguments, padded, outputs * height)
    phases = np.empty((min(sh, kh), min(sw, kw), channels, rows, columns, n), dy.dtype)
    bias = _bias(b, phases[0, 0])
    first = (pad_top + m0) * width + pad_left + n0
    for u in range(phases.shape[0]):
        for v in range(phases.shape[1]):
            taps = W[:, :, u::sh, v::sw].transpose(1, 0, 2, 3)  # (C, O, q, r)
            offsets = _mirrored_offsets(outputs, *taps.shape[2:], first, height, width, n, dilation)
            W_phase = np.ascontiguousarray(taps).reshape(channels, -1)
            part = phases[u, v].reshape(channels, rows, columns * n)
            _run_correlate(padded.reshape(-1), offsets, width * n, W_phase, bias, part)
    if unit_stride:
        return _after_relu(phases[0, 0].transpose(3, 0, 1, 2), relu, relu_mask)
    dx = np.empty((channels, *size, n), dy.dtype)
    _run_copy(
        _merge_phases,
        _merge_parallel,
        (phases, bias, pad[0], pad[2], dx),
        dx,
        channels * size[0],
        stride,
    )
    return _after_relu(dx.transpose(3, 0, 1, 2), relu, relu_mask)


@functools.lru_cache(maxsize=256)
def _mirrored_offsets(
    outputs: int, kh: int, kw: int, first: int, height: int, width: int, n: int, dilation: Pair
) -> Array:
    """The offset of each tap (o, q, r) in dy, which decreases with q and r."""
    o, q, r = np.ogrid[:outputs, :kh, :kw]
    q, r = q * dilation[0], r * dilation[1]
    return (first + (o * height - q) * width - r).reshape(-1) * n


def conv2d_weight_grad(
    x: Array,
    dy: Array,
    stride: Pair,
    pad: Pad,
    kernel: Pair,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    fits = same_float(x, dy) and x.ndim == 4 and len(x) == len(dy) and not x.shape[1] % groups
    W = (*dy.shape[1:2], 0, *kernel)
    if not (fits and _belong(dy.shape, W, x.shape[2:], stride, pad, dilation, groups)):
        return reference.conv2d_weight_grad(x, dy, stride, pad, kernel, dilation, groups)
    if conv_batch_last.supports(x, whole=True):
        return conv_batch_last.conv2d_weight_grad(x, dy, stride, pad, kernel, dilation, groups)
    if groups > 1:
        parts = zip(np.split(x, groups, axis=1), np.split(dy, groups, axis=1))
        more = stride, pad, kernel, dilation
        return np.concatenate([conv2d_weight_grad(u, v, *more) for u, v in parts])
    n, outputs, rows, columns = dy.shape
    dW = np.empty((outputs, x.shape[1] * kernel[0] * kernel[1]), x.dtype)
    flat = batch_last(dy).reshape(outputs, rows, columns * n)
    _run_correlate_weights(*_phases(x, kernel, stride, pad, (rows, columns), dilation), flat, dW)
    return dW.reshape(outputs, x.shape[1], *kernel)


@jit
def _bias_grad(dy: Array, db: Array, first: int, last: int) -> None:
    """db[o] += Σ_t dy[o, t] for first ≤ o < last."""
    for o in range(first, last):
        s = db.dtype.type(0)
        for t in range(dy.shape[1]):
            s += dy[o, t]
        db[o] += s


@parallel_jit
def _bias_grad_parallel(dy: Array, db: Array, parts: Array) -> None:
    for t in numba.prange(len(parts)):
        _bias_grad(dy, db, parts[t, 0], parts[t, 1])


def bias_grad(dy: Array, db: Array) -> None:
    fits = dy.ndim == 4 and db.shape == dy.shape[1:2] and same_float(dy, db)
    if not (fits and db.flags.writeable):
        reference.bias_grad(dy, db)
        return
    batch_innermost = dy.transpose(1, 2, 3, 0)
    if not batch_innermost.flags.c_contiguous or not db.flags.c_contiguous:
        db += dy.sum(axis=(0, 2, 3))
        return
    flat = batch_innermost.reshape(len(db), -1)
    threads = claim_threads() if dy.size >= _MIN_PARALLEL_COPY and len(db) > 1 else 1
    if threads > 1:
        run_parallel(_bias_grad_parallel, flat, db, _row_ranges(len(db), threads))
    else:
        _bias_grad(flat, db, 0, len(db))
