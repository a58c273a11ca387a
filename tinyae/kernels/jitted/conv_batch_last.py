"""Convolution of batches of at least a tile's width: pixel by pixel, without copies.

A batch is stored as (C, H, W, N). The N samples of a pixel are contiguous, and

    y[o, i, j, :] = b[o] + Σ_{c,q,r} W[o, c, q, r] · x[c, i·sh + q·dh − top, j·sw + r·dw − left, :]

is a sum over taps (c, q, r). A tap that falls outside the image is left out, so no zero padding is
needed. The pixels that use the same taps form rectangles, one in the middle and some along the
borders, and each rectangle has its own list of taps.

The gradient of the input is the same kind of sum, of y instead of x, for each phase of the stride:

    x[c, a + m·sh, b + n·sw, :] = Σ_{o,q,r} W[o, c, a + q·sh, b + r·sw] · y[o, m − q, n − r, :]

(up to the padding, and for a dilation of 1). The gradient of a weight is the dot product of the
samples of two pixels, summed over the pixels that use its tap.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numba
import numpy as np

from tinyae.kernels.jitted.elementwise import relu_backward
from tinyae.kernels.jitted.layout import batch_last
from tinyae.kernels.jitted.simd_tile import (
    DOTS,
    GROUPS,
    NO_EPILOGUE,
    RELU,
    RELU_MASK,
    ROWS,
    VECTORS,
    conv_tile,
    dots,
    grouped_conv_tile,
    lanes,
    thin_dots,
)
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    run_parallel,
    split_points,
    thread_ids,
)
from tinyae.kernels.reference import Pad, Pair
from tinyae.memory import empty
from tinyae.param import Array

_VECTOR_BYTES = lanes(1)
_MAX_RUN = 1024  # contiguous numbers at a time, which stay in the first-level cache
_MIN_PARALLEL_WORK = 1 << 19  # multiply-adds; below that, a second thread does not pay off


def supports(x: Array, whole: bool = False) -> bool:
    """Whether x has at least a tile's width of samples; if ``whole``, a multiple of a vector."""
    n, lane = len(x), lanes(x.itemsize)
    return n >= VECTORS * lane and (not whole or n % lane == 0)


# --- which pixels use which taps ----------------------------------------------------------------


def _ranges(count: int, step: int, first: int, tap: int, taps: int, length: int) -> list[list[int]]:
    """Along one axis: (i0, i1, q0, q1), where the pixels i0 ≤ i < i1 use the taps q0 ≤ q < q1.

    With tap q, pixel i reads position ``first + i·step + q·tap``, if that is inside the image.
    """
    ranges: list[list[int]] = []
    for i in range(count):
        at = first + i * step
        visible = [q for q in range(taps) if 0 <= at + q * tap < length]
        q0, q1 = (visible[0], visible[-1] + 1) if visible else (0, 0)
        if ranges and ranges[-1][2:] == [q0, q1]:
            ranges[-1][1] = i + 1
        else:
            ranges.append([i, i + 1, q0, q1])
    return ranges


@functools.lru_cache(maxsize=256)
def _forward(
    channels: int, size: Pair, kernel: Pair, stride: Pair, pad: Pad, dilation: Pair, out: Pair
) -> tuple[Array, Array]:
    """The only phase of a convolution, and its ranges, in the format of :func:`_table`."""
    rows = _ranges(out[0], stride[0], -pad[0], dilation[0], kernel[0], size[0])
    columns = _ranges(out[1], stride[1], -pad[2], dilation[1], kernel[1], size[1])
    area = kernel[0] * kernel[1]
    weights = (0, channels * area, area, kernel[1], 1)
    down = stride[0], -pad[0], 0, 1, dilation[0]
    across = stride[1], -pad[2], 0, 1, dilation[1]
    return _table([(*weights, *down, *across)], [(rows, columns)])


@functools.lru_cache(maxsize=256)
def _backward(
    channels: int, size: Pair, kernel: Pair, stride: Pair, pad: Pad, dilation: Pair, out: Pair
) -> tuple[Array, Array]:
    """One phase for each remainder of the stride. ``size`` is dx's size, ``out`` is dy's."""
    area = kernel[0] * kernel[1]
    phases, ranges = [], []
    for a in range(stride[0]):
        for b in range(stride[1]):
            axes, visible, first_tap, tap_step = [], [], [], []
            for axis, phase in ((0, a), (1, b)):
                s, d, p = stride[axis], dilation[axis], pad[2 * axis]
                # Pixel e of dx meets the taps u with u·d = e + p = phase, modulo s.
                u = [u for u in range(kernel[axis]) if u * d % s == phase]
                common = math.gcd(s, d)
                start = (phase - p) % s  # the first pixel of this phase
                count, first = len(range(start, size[axis], s)), (start + p) // s
                if u:
                    first = (start + p - u[0] * d) // s
                tap = -d // common
                visible.append(_ranges(count, 1, first, tap, len(u), out[axis]))
                axes.append((1, first, start, s, tap))
                first_tap.append(u[0] if u else 0)
                tap_step.append(s // common)
            at = first_tap[0] * kernel[1] + first_tap[1]
            weights = (at, area, channels * area, tap_step[0] * kernel[1], tap_step[1])
            phases.append((*weights, *axes[0], *axes[1]))
            ranges.append((visible[0], visible[1]))
    return _table(phases, ranges)


def _table(
    phases: Sequence[tuple[int, ...]], ranges: list[tuple[list[list[int]], list[list[int]]]]
) -> tuple[Array, Array]:
    """One row for each phase, and all ranges. A row has 19 numbers:

    0        index of the first weight
    1–4      strides of the weights by output, input, tap down, tap across
    5–9      down: step and first pixel in the source, first pixel and step in the result, and
             the step from tap to tap in the source
    10–14    the same across
    15–18    indices of its ranges: first and last of rows, first and last of columns
    """
    lines: list[list[int]] = []
    table = []
    for phase, (down, across) in zip(phases, ranges):
        at = len(lines)
        lines += down + across
        table.append((*phase, at, at + len(down), at + len(down), len(lines)))
    return np.array(table), np.array(lines).reshape(-1, 4)


# --- the sums -------------------------------------------------------------------------------------


@jit
def _convolve(
    x: Array,
    W: Array,
    b: Array,
    y: Array,
    epilogue: int,
    relu_mask: Array,
    phases: Array,
    ranges: Array,
    groups: int,
    t: int,
    parts: int,
) -> None:
    """:func:`_convolve_group` for each group of channels."""
    inputs, outputs, weights = len(x) // groups, len(y) // groups, W.size // groups
    for g in range(groups):
        o, o_end = g * outputs, (g + 1) * outputs
        _convolve_group(
            *(x[g * inputs : (g + 1) * inputs], W[g * weights : (g + 1) * weights]),
            *(b[o:o_end], y[o:o_end], epilogue, relu_mask[o:o_end], phases, ranges, t, parts),
        )


@jit
def _convolve_group(
    x: Array,
    W: Array,
    b: Array,
    y: Array,
    epilogue: int,
    relu_mask: Array,
    phases: Array,
    ranges: Array,
    t: int,
    parts: int,
) -> None:
    """y[o, pixel] = b[o] + Σ_taps W[o, tap] · x[tap's pixel], for the t-th of ``parts`` parts.

    x (C, H, W, N)   y (O, R, S, N)   W flat   ``phases`` and ``ranges`` as in :func:`_table`.
    A part is a range of rows in every phase. ``epilogue`` and ``relu_mask``, which has y's shape,
    are those of :data:`conv_tile`.
    """
    outputs, y_rows, y_columns, n = y.shape
    channels, x_rows, x_columns, _ = x.shape
    flat_x, flat_y, flat_mask = x.reshape(-1), y.reshape(-1), relu_mask.reshape(-1)
    pitch = y_rows * y_columns * n
    width = VECTORS * (_VECTOR_BYTES // y.itemsize)
    starts = np.empty(outputs * width, y.dtype)
    for o in range(outputs):
        starts[o * width : (o + 1) * width] = b[o]
    max_taps = W.size // outputs
    offsets, weight_indices = np.empty(max_taps, np.intp), np.empty(max_taps, np.intp)
    packed = np.empty(W.size, W.dtype)
    for p in range(len(phases)):
        f = phases[p]
        w_at, w_output, w_input, w_down, w_across = f[0], f[1], f[2], f[3], f[4]
        x_first, x_down, x_across = (f[6] * x_columns + f[11]) * n, f[5] * x_columns * n, f[10] * n
        y_first, y_down, y_across = (f[7] * y_columns + f[12]) * n, f[8] * y_columns * n, f[13] * n
        tap_down, tap_across = f[9], f[14]
        count = ranges[f[16] - 1, 1]
        first_row, last_row = count * t // parts, count * (t + 1) // parts
        for rows in range(f[15], f[16]):
            i0, i1 = max(ranges[rows, 0], first_row), min(ranges[rows, 1], last_row)
            if i0 >= i1:
                continue
            for columns in range(f[17], f[18]):
                j0, j1 = ranges[columns, 0], ranges[columns, 1]
                taps = 0
                for c in range(channels):
                    for q in range(ranges[rows, 2], ranges[rows, 3]):
                        for r in range(ranges[columns, 2], ranges[columns, 3]):
                            offsets[taps] = (
                                (c * x_rows + q * tap_down) * x_columns + r * tap_across
                            ) * n
                            weight_indices[taps] = w_at + c * w_input + q * w_down + r * w_across
                            taps += 1
                for o in range(outputs):
                    for k in range(taps):
                        packed[o * taps + k] = W[o * w_output + weight_indices[k]]
                # With few output channels, a tile covers GROUPS pixels of a row or column instead.
                i_step, j_step, x_group, y_group = 1, 1, 0, 0
                if outputs < ROWS and j1 - j0 >= GROUPS:
                    j_step, x_group, y_group = GROUPS, x_across, y_across
                elif outputs < ROWS and i1 - i0 >= GROUPS:
                    i_step, x_group, y_group = GROUPS, x_down, y_down
                # A tile's width of samples at a time: what neighbouring pixels share stays cached.
                for start in range(0, n, width):
                    n_at = min(start, n - width)  # the last tile may overlap the one before
                    for above in range(i0, i1, i_step):
                        i = min(above, i1 - i_step)
                        for left in range(j0, j1, j_step):
                            j = min(left, j1 - j_step)
                            source = x_first + i * x_down + j * x_across + n_at
                            target = y_first + i * y_down + j * y_across + n_at
                            if outputs < ROWS:
                                for o in range(outputs):
                                    grouped_conv_tile(
                                        *(packed, o * taps, taps, 1, flat_x, source, offsets),
                                        *(flat_y, o * pitch + target, pitch, taps),
                                        *(starts, o * width, width, x_group, y_group),
                                        *(epilogue, flat_mask),
                                    )
                                continue
                            for first in range(0, outputs, ROWS):
                                o = min(first, outputs - ROWS)
                                conv_tile(
                                    *(packed, o * taps, taps, 1, flat_x, source, offsets),
                                    *(flat_y, o * pitch + target, pitch, taps),
                                    *(starts, o * width, width, 0, 0),
                                    *(epilogue, flat_mask),
                                )


@parallel_jit
def _convolve_parallel(
    x: Array,
    W: Array,
    b: Array,
    y: Array,
    epilogue: int,
    relu_mask: Array,
    phases: Array,
    ranges: Array,
    groups: int,
    parts: Array,
) -> None:
    for t in numba.prange(len(parts)):
        _convolve(x, W, b, y, epilogue, relu_mask, phases, ranges, groups, parts[t], len(parts))


@jit
def _weight_grad(
    x: Array, dy: Array, dW: Array, phases: Array, ranges: Array, groups: int, part: Array
) -> None:
    """:func:`_weight_grad_of_group` for each group of channels."""
    inputs, outputs = len(x) // groups, len(dy) // groups
    for g in range(groups):
        o, o_end = g * outputs, (g + 1) * outputs
        part_x = x[g * inputs : (g + 1) * inputs]
        _weight_grad_of_group(part_x, dy[o:o_end], dW[o:o_end], phases, ranges, part)


@jit
def _weight_grad_of_group(
    x: Array, dy: Array, dW: Array, phases: Array, ranges: Array, part: Array
) -> None:
    """dW[o, k] = Σ dy[o, pixel] · x[tap k's pixel], over samples and the pixels that use tap k.

    A part is (first output, one past the last, first tap, one past the last).
    """
    _, y_rows, y_columns, n = dy.shape
    channels, x_rows, x_columns, _ = x.shape
    flat_x, flat_dy, flat_dW = x.reshape(-1), dy.reshape(-1), dW.reshape(-1)
    o0, o1, k0, k1 = part[0], part[1], part[2], part[3]
    whole_outputs, all_taps, pitch = o1 - (o1 - o0) % DOTS, dW.shape[1], y_rows * y_columns * n
    offsets, weight_indices = np.empty(all_taps + DOTS, np.intp), np.empty(all_taps, np.intp)
    corner = np.empty(DOTS * DOTS, dW.dtype)
    dW[o0:o1, k0:k1] = 0
    f = phases[0]
    w_input, w_down = f[2], f[3]
    down, x_row, across, x_column, tap_down, tap_across = f[5], f[6], f[10], f[11], f[9], f[14]
    for rows in range(f[15], f[16]):
        i0, i1 = ranges[rows, 0], ranges[rows, 1]
        for columns in range(f[17], f[18]):
            j0, j1 = ranges[columns, 0], ranges[columns, 1]
            taps = 0
            for c in range(channels):
                for q in range(ranges[rows, 2], ranges[rows, 3]):
                    for r in range(ranges[columns, 2], ranges[columns, 3]):
                        k = c * w_input + q * w_down + r
                        if k0 <= k < k1:
                            offsets[taps] = (
                                (c * x_rows + q * tap_down) * x_columns + r * tap_across
                            ) * n
                            weight_indices[taps] = k
                            taps += 1
            if taps == 0:
                continue
            offsets[taps : taps + DOTS] = offsets[taps - 1]  # fill up the last block
            # Adjacent pixels are contiguous, and a piece is a row; otherwise a piece is one pixel.
            block, run, pieces = 1, n, j1 - j0
            dy_piece, x_piece = n, across * n
            side_by_side = across == 1 or j1 - j0 == 1
            if side_by_side:
                run = (j1 - j0) * n
                block = max(_MAX_RUN // run, 1)
                dy_piece, x_piece = y_columns * n, down * x_columns * n
            for i in range(i0, i1, block):
                if side_by_side:
                    pieces = min(block, i1 - i)
                for start in range(0, run, _MAX_RUN):
                    size = min(_MAX_RUN, run - start)
                    x_at = ((x_row + i * down) * x_columns + x_column + j0 * across) * n + start
                    dy_at = (i * y_columns + j0) * n + start
                    for k in range(0, taps, DOTS):
                        valid = min(DOTS, taps - k)
                        contiguous = (
                            valid == DOTS
                            and weight_indices[k + DOTS - 1] == weight_indices[k] + DOTS - 1
                        )
                        for o in range(o0, whole_outputs, DOTS):
                            target, at, row = flat_dW, o * all_taps + weight_indices[k], all_taps
                            if not contiguous:
                                target, at, row = corner, 0, DOTS
                                corner[:] = 0
                            dots(
                                *(flat_dy, o * pitch + dy_at, pitch, flat_x, x_at, offsets, k),
                                *(target, at, row, size, pieces, dy_piece, x_piece),
                            )
                            if not contiguous:
                                for u in range(DOTS):
                                    for v in range(valid):
                                        dW[o + u, weight_indices[k + v]] += corner[u * DOTS + v]
                        for o in range(whole_outputs, o1):
                            corner[:DOTS] = 0
                            thin_dots(
                                *(flat_dy, o * pitch + dy_at, pitch, flat_x, x_at, offsets, k),
                                *(corner, 0, DOTS, size, pieces, dy_piece, x_piece),
                            )
                            for v in range(valid):
                                dW[o, weight_indices[k + v]] += corner[v]


@parallel_jit
def _weight_grad_parallel(
    x: Array, dy: Array, dW: Array, phases: Array, ranges: Array, groups: int, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        _weight_grad(x, dy, dW, phases, ranges, groups, parts[t])


# --- the kernels ----------------------------------------------------------------------------------


def _run(
    x: Array,
    W: Array,
    b: Array | None,
    y: Array,
    table: tuple[Array, Array],
    relu: bool,
    relu_mask: Array | None,
    groups: int,
) -> Array:
    """Compute y; returns it as (N, C, H, W)."""
    if relu and relu_mask is not None:
        return relu_backward(_run(x, W, b, y, table, True, None, groups), relu_mask)
    epilogue = RELU if relu else NO_EPILOGUE if relu_mask is None else RELU_MASK
    mask = y if relu_mask is None else batch_last(relu_mask)
    bias = np.zeros(len(y), y.dtype) if b is None else np.ascontiguousarray(b)
    W = np.ascontiguousarray(W).reshape(-1)
    arguments = batch_last(x), W, bias, y, epilogue, mask, *table, groups
    work = y.size * (W.size // len(y)) // len(table[0])
    threads = claim_threads() if work >= _MIN_PARALLEL_WORK else 1
    if threads > 1:
        run_parallel(_convolve_parallel, *arguments, thread_ids(threads))
    else:
        _convolve(*arguments, 0, 1)
    return y.transpose(3, 0, 1, 2)


def conv2d(
    x: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    out: Pair,
    b: Array | None,
    relu: bool,
    relu_mask: Array | None,
    dilation: Pair,
    groups: int,
) -> Array:
    n, _, *size = x.shape
    y = empty((len(W), *out, n), x.dtype)
    channels, kernel = W.shape[1], (W.shape[2], W.shape[3])
    table = _forward(channels, (size[0], size[1]), kernel, stride, pad, dilation, out)
    return _run(x, W, b, y, table, relu, relu_mask, groups)


def conv2d_input_grad(
    dy: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    size: Pair,
    b: Array | None,
    relu: bool,
    relu_mask: Array | None,
    dilation: Pair,
    groups: int,
) -> Array:
    n, _, *out = dy.shape
    channels, kernel = W.shape[1], (W.shape[2], W.shape[3])
    dx = empty((groups * channels, *size, n), dy.dtype)
    table = _backward(channels, size, kernel, stride, pad, dilation, (out[0], out[1]))
    return _run(dy, W, b, dx, table, relu, relu_mask, groups)


def conv2d_weight_grad(
    x: Array, dy: Array, stride: Pair, pad: Pad, kernel: Pair, dilation: Pair, groups: int
) -> Array:
    _, all_channels, *size = x.shape
    _, outputs, rows, columns = dy.shape
    channels = all_channels // groups
    dW = np.empty((outputs, channels * kernel[0] * kernel[1]), x.dtype)
    table = _forward(channels, (size[0], size[1]), kernel, stride, pad, dilation, (rows, columns))
    threads = claim_threads() if dy.size * dW.shape[1] >= _MIN_PARALLEL_WORK else 1
    parts = weight_parts(outputs // groups, dW.shape[1], threads)
    arguments = batch_last(x), batch_last(dy), dW, *table, groups
    if threads > 1:
        run_parallel(_weight_grad_parallel, *arguments, parts)
    else:
        _weight_grad(*arguments, parts[0])
    return dW.reshape(outputs, channels, *kernel)


@functools.lru_cache(maxsize=256)
def weight_parts(outputs: int, taps: int, threads: int) -> Array:
    """Divide dW among the threads along its longer side, at multiples of DOTS."""
    size, axis = (outputs, 0) if outputs > taps else (taps, 2)
    blocks = -(-size // DOTS)
    bounds = np.minimum(split_points(blocks, threads) * DOTS, size)
    parts = np.tile([0, outputs, 0, taps], (threads, 1))
    parts[:, axis], parts[:, axis + 1] = bounds[:-1], bounds[1:]
    return parts
