"""Convolution of a batch that fills a tile: pixel by pixel, and nothing is copied.

In memory a batch is (C, H, W, N). The N samples of a pixel are a run of numbers, and

    y[o, i, j, :] = b[o] + Σ_{c,q,r} W[o, c, q, r] · x[c, i·sh + q − top, j·sw + r − left, :]

is a sum of such runs. A tap (c, q, r) that would fall outside of the image is left out, so no
zeros are needed around it: the pixels that see the same taps form rectangles, one in the middle
and some along the borders, and each rectangle has a list of its taps.

The gradient of the input is the same sum, over y in place of x, for each phase of the stride:

    x[c, a + m·sh, b + n·sw, :] = Σ_{o,q,r} W[o, c, a + q·sh, b + r·sw] · y[o, m − q, n − r, :]

(but for the padding). And the gradient of a weight is the product of two such runs, summed over
the pixels that see its tap.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numba
import numpy as np

from tinyae.kernels.jitted.elementwise import relu_backward
from tinyae.kernels.jitted.layout import batch_last
from tinyae.kernels.jitted.simd_tile import (
    DOTS,
    GROUPS,
    NOTHING,
    RELU,
    RELU_MASK,
    ROWS,
    VECTORS,
    dots,
    lanes,
    pixel_tile,
    spread_tile,
    thin_dots,
)
from tinyae.kernels.jitted.threads import counted, cut, jit, parallel_jit, share, together
from tinyae.kernels.reference import Pad, Pair
from tinyae.memory import empty
from tinyae.param import Array

_BYTES = lanes(1)  # of a vector
_RUN = 1024  # numbers of a run at a time: what is summed stays in the first-level cache
_SHARED = 1 << 19  # multiply-adds from which on two threads gain more than they cost


def serves(x: Array, whole: bool = False) -> bool:
    """Whether the samples fill a tile's width; ``whole``: and leave no part of a vector over."""
    n, lane = len(x), lanes(x.itemsize)
    return n >= VECTORS * lane and (not whole or n % lane == 0)


# --- which pixels see which taps ----------------------------------------------------------------


def _ranges(
    count: int, step: int, first: int, sign: int, taps: int, length: int
) -> list[list[int]]:
    """Along one axis: (i0, i1, q0, q1), the pixels i0 ≤ i < i1 that see the taps q0 ≤ q < q1.

    Pixel i sees position ``first + i·step + sign·q`` by tap q, if that lies in the image.
    """
    found: list[list[int]] = []
    for i in range(count):
        at = first + i * step
        seen = [q for q in range(taps) if 0 <= at + sign * q < length]
        q0, q1 = (seen[0], seen[-1] + 1) if seen else (0, 0)
        if found and found[-1][2:] == [q0, q1]:
            found[-1][1] = i + 1
        else:
            found.append([i, i + 1, q0, q1])
    return found


@functools.lru_cache(maxsize=256)
def _forward(
    channels: int, size: Pair, kernel: Pair, stride: Pair, pad: Pad, out: Pair
) -> tuple[Array, Array]:
    """The one phase of a convolution, and its ranges, as :func:`_table` says."""
    rows = _ranges(out[0], stride[0], -pad[0], 1, kernel[0], size[0])
    columns = _ranges(out[1], stride[1], -pad[2], 1, kernel[1], size[1])
    area = kernel[0] * kernel[1]
    weights = (0, channels * area, area, kernel[1], 1)
    axes = (stride[0], -pad[0], 0, 1), (stride[1], -pad[2], 0, 1)
    return _table([(1, *weights, *axes[0], *axes[1])], [(rows, columns)])


@functools.lru_cache(maxsize=256)
def _backward(
    channels: int, size: Pair, kernel: Pair, stride: Pair, pad: Pad, out: Pair
) -> tuple[Array, Array]:
    """A phase for each remainder of the stride; ``size`` is that of dx, ``out`` that of dy."""
    area = kernel[0] * kernel[1]
    phases, ranges = [], []
    for a in range(stride[0]):
        for b in range(stride[1]):
            axes, seen = [], []
            for axis, phase in ((0, a), (1, b)):
                s, p = stride[axis], pad[2 * axis]
                start = (phase - p) % s  # the first pixel of this phase
                count, first = len(range(start, size[axis], s)), (start + p) // s
                taps = len(range(phase, kernel[axis], s))
                seen.append(_ranges(count, 1, first, -1, taps, out[axis]))
                axes.append((1, first, start, s))
            at = a * kernel[1] + b
            weights = (at, area, channels * area, stride[0] * kernel[1], stride[1])
            phases.append((-1, *weights, *axes[0], *axes[1]))
            ranges.append((seen[0], seen[1]))
    return _table(phases, ranges)


def _table(
    phases: Sequence[tuple[int, ...]], ranges: list[tuple[list[list[int]], list[list[int]]]]
) -> tuple[Array, Array]:
    """A row a phase, which ends with the places of its ranges: rows from, to; columns from, to.

    (sign of a tap's step; place of the first weight; steps of the weights by output, input,
    tap down, tap across; and twice, down and across: step and first pixel that is seen, first
    pixel that is made and step).
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
    then: int,
    relu_mask: Array,
    phases: Array,
    ranges: Array,
    t: int,
    parts: int,
) -> None:
    """y[o, pixel] = b[o] + Σ_taps W[o, tap] · x[tap's pixel], for the t-th of so many parts.

    x (C, H, W, N) and y (O, R, S, N); W flat; ``phases`` and ``ranges`` as :func:`_table` says.
    A part is a share of the rows of every phase. ``then`` says what follows, by the ``relu_mask``, which
    is y's like.
    """
    outputs, y_rows, y_columns, n = y.shape
    channels, x_rows, x_columns, _ = x.shape
    flat_x, flat_y, flat_mask = x.reshape(-1), y.reshape(-1), relu_mask.reshape(-1)
    pitch = y_rows * y_columns * n
    width = VECTORS * (_BYTES // y.itemsize)
    starts = np.empty(outputs * width, y.dtype)
    for o in range(outputs):
        starts[o * width : (o + 1) * width] = b[o]
    most = W.size // outputs
    offsets, picks = np.empty(most, np.intp), np.empty(most, np.intp)
    packed = np.empty(W.size, W.dtype)
    for p in range(len(phases)):
        f = phases[p]
        sign, w_at, w_output, w_input, w_down, w_across = f[0], f[1], f[2], f[3], f[4], f[5]
        x_first, x_down, x_across = (f[7] * x_columns + f[11]) * n, f[6] * x_columns * n, f[10] * n
        y_first, y_down, y_across = (f[8] * y_columns + f[12]) * n, f[9] * y_columns * n, f[13] * n
        count = ranges[f[15] - 1, 1]
        first_row, last_row = count * t // parts, count * (t + 1) // parts
        for rows in range(f[14], f[15]):
            i0, i1 = max(ranges[rows, 0], first_row), min(ranges[rows, 1], last_row)
            if i0 >= i1:
                continue
            for columns in range(f[16], f[17]):
                j0, j1 = ranges[columns, 0], ranges[columns, 1]
                taps = 0
                for c in range(channels):
                    for q in range(ranges[rows, 2], ranges[rows, 3]):
                        for r in range(ranges[columns, 2], ranges[columns, 3]):
                            offsets[taps] = ((c * x_rows + sign * q) * x_columns + sign * r) * n
                            picks[taps] = w_at + c * w_input + q * w_down + r * w_across
                            taps += 1
                for o in range(outputs):
                    for k in range(taps):
                        packed[o * taps + k] = W[o * w_output + picks[k]]
                # Of few outputs, a tile takes some pixels in their place: in a row or a column.
                i_step, j_step, x_group, y_group = 1, 1, 0, 0
                if outputs < ROWS and j1 - j0 >= GROUPS:
                    j_step, x_group, y_group = GROUPS, x_across, y_across
                elif outputs < ROWS and i1 - i0 >= GROUPS:
                    i_step, x_group, y_group = GROUPS, x_down, y_down
                # By so many samples at a time, that what neighbours share stays in the cache.
                for start in range(0, n, width):
                    at = min(start, n - width)  # what is last may overlap what is before
                    for above in range(i0, i1, i_step):
                        i = min(above, i1 - i_step)
                        for left in range(j0, j1, j_step):
                            j = min(left, j1 - j_step)
                            source = x_first + i * x_down + j * x_across + at
                            target = y_first + i * y_down + j * y_across + at
                            if outputs < ROWS:
                                for o in range(outputs):
                                    spread_tile(
                                        *(packed, o * taps, taps, 1, flat_x, source, offsets),
                                        *(flat_y, o * pitch + target, pitch, taps),
                                        *(starts, o * width, width, x_group, y_group),
                                        *(then, flat_mask),
                                    )
                                continue
                            for first in range(0, outputs, ROWS):
                                o = min(first, outputs - ROWS)
                                pixel_tile(
                                    *(packed, o * taps, taps, 1, flat_x, source, offsets),
                                    *(flat_y, o * pitch + target, pitch, taps),
                                    *(starts, o * width, width, 0, 0),
                                    *(then, flat_mask),
                                )


@parallel_jit
def _convolve_shared(
    x: Array,
    W: Array,
    b: Array,
    y: Array,
    then: int,
    relu_mask: Array,
    phases: Array,
    ranges: Array,
    parts: Array,
) -> None:
    for t in numba.prange(len(parts)):
        _convolve(x, W, b, y, then, relu_mask, phases, ranges, parts[t], len(parts))


@jit
def _weights(x: Array, dy: Array, dW: Array, phases: Array, ranges: Array, part: Array) -> None:
    """dW[o, k] = Σ dy[o, pixel] · x[tap k's pixel], over the pixels that see the tap and samples.

    for the outputs and taps of a part: (first, one past the last, first, one past the last).
    """
    _, y_rows, y_columns, n = dy.shape
    channels, x_rows, x_columns, _ = x.shape
    flat_x, flat_dy, flat_dW = x.reshape(-1), dy.reshape(-1), dW.reshape(-1)
    o0, o1, k0, k1 = part[0], part[1], part[2], part[3]
    fours, all_taps, pitch = o1 - (o1 - o0) % DOTS, dW.shape[1], y_rows * y_columns * n
    offsets, picks = np.empty(all_taps + DOTS, np.intp), np.empty(all_taps, np.intp)
    corner = np.empty(DOTS * DOTS, dW.dtype)
    dW[o0:o1, k0:k1] = 0
    f = phases[0]
    w_input, w_down = f[3], f[4]
    down, x_row, across, x_column = f[6], f[7], f[10], f[11]
    for rows in range(f[14], f[15]):
        i0, i1 = ranges[rows, 0], ranges[rows, 1]
        for columns in range(f[16], f[17]):
            j0, j1 = ranges[columns, 0], ranges[columns, 1]
            taps = 0
            for c in range(channels):
                for q in range(ranges[rows, 2], ranges[rows, 3]):
                    for r in range(ranges[columns, 2], ranges[columns, 3]):
                        k = c * w_input + q * w_down + r
                        if k0 <= k < k1:
                            offsets[taps] = ((c * x_rows + q) * x_columns + r) * n
                            picks[taps] = k
                            taps += 1
            if taps == 0:
                continue
            offsets[taps : taps + DOTS] = offsets[taps - 1]  # what fills up the last block
            # side by side, pixels are one run, and rows are pieces; else each pixel is a piece
            block, run, pieces = 1, n, j1 - j0
            dy_piece, x_piece = n, across * n
            side_by_side = across == 1 or j1 - j0 == 1
            if side_by_side:
                run = (j1 - j0) * n
                block = max(_RUN // run, 1)
                dy_piece, x_piece = y_columns * n, down * x_columns * n
            for i in range(i0, i1, block):
                if side_by_side:
                    pieces = min(block, i1 - i)
                for begin in range(0, run, _RUN):
                    size = min(_RUN, run - begin)
                    here = ((x_row + i * down) * x_columns + x_column + j0 * across) * n + begin
                    there = (i * y_columns + j0) * n + begin
                    for k in range(0, taps, DOTS):
                        known = min(DOTS, taps - k)
                        straight = known == DOTS and picks[k + DOTS - 1] == picks[k] + DOTS - 1
                        for o in range(o0, fours, DOTS):
                            into, at, row = flat_dW, o * all_taps + picks[k], all_taps
                            if not straight:
                                into, at, row = corner, 0, DOTS
                                corner[:] = 0
                            dots(
                                *(flat_dy, o * pitch + there, pitch, flat_x, here, offsets, k),
                                *(into, at, row, size, pieces, dy_piece, x_piece),
                            )
                            if not straight:
                                for u in range(DOTS):
                                    for v in range(known):
                                        dW[o + u, picks[k + v]] += corner[u * DOTS + v]
                        for o in range(fours, o1):
                            corner[:DOTS] = 0
                            thin_dots(
                                *(flat_dy, o * pitch + there, pitch, flat_x, here, offsets, k),
                                *(corner, 0, DOTS, size, pieces, dy_piece, x_piece),
                            )
                            for v in range(known):
                                dW[o, picks[k + v]] += corner[v]


@parallel_jit
def _weights_shared(
    x: Array, dy: Array, dW: Array, phases: Array, ranges: Array, parts: Array
) -> None:
    for t in numba.prange(len(parts)):
        _weights(x, dy, dW, phases, ranges, parts[t])


# --- the kernels ----------------------------------------------------------------------------------


def _run(
    x: Array,
    W: Array,
    b: Array | None,
    y: Array,
    table: tuple[Array, Array],
    relu: bool,
    relu_mask: Array | None,
) -> Array:
    """y filled, as (N, C, H, W)."""
    if relu and relu_mask is not None:
        return relu_backward(_run(x, W, b, y, table, True, None), relu_mask)
    then = RELU if relu else NOTHING if relu_mask is None else RELU_MASK
    like_y = y if relu_mask is None else batch_last(relu_mask)
    bias = np.zeros(len(y), y.dtype) if b is None else np.ascontiguousarray(b)
    W = np.ascontiguousarray(W).reshape(-1)
    given = batch_last(x), W, bias, y, then, like_y, *table
    work = y.size * (W.size // len(y)) // len(table[0])
    threads = share() if work >= _SHARED else 1
    if threads > 1:
        together(_convolve_shared, *given, counted(threads))
    else:
        _convolve(*given, 0, 1)
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
) -> Array:
    n, channels, *size = x.shape
    y = empty((len(W), *out, n), x.dtype)
    kernel = (W.shape[2], W.shape[3])
    table = _forward(channels, (size[0], size[1]), kernel, stride, pad, out)
    return _run(x, W, b, y, table, relu, relu_mask)


def conv2d_input_grad(
    dy: Array,
    W: Array,
    stride: Pair,
    pad: Pad,
    size: Pair,
    b: Array | None,
    relu: bool,
    relu_mask: Array | None,
) -> Array:
    n, _, *out = dy.shape
    channels, kernel = W.shape[1], (W.shape[2], W.shape[3])
    dx = empty((channels, *size, n), dy.dtype)
    table = _backward(channels, size, kernel, stride, pad, (out[0], out[1]))
    return _run(dy, W, b, dx, table, relu, relu_mask)


def conv2d_weight_grad(x: Array, dy: Array, stride: Pair, pad: Pad, kernel: Pair) -> Array:
    channels, *size = x.shape[1:]
    _, outputs, rows, columns = dy.shape
    dW = np.empty((outputs, channels * kernel[0] * kernel[1]), x.dtype)
    table = _forward(channels, (size[0], size[1]), kernel, stride, pad, (rows, columns))
    threads = share() if dy.size * dW.shape[1] >= _SHARED else 1
    parts = weight_shares(*dW.shape, threads)
    if threads > 1:
        together(_weights_shared, batch_last(x), batch_last(dy), dW, *table, parts)
    else:
        _weights(batch_last(x), batch_last(dy), dW, *table, parts[0])
    return dW.reshape(outputs, channels, *kernel)


@functools.lru_cache(maxsize=256)
def weight_shares(outputs: int, taps: int, threads: int) -> Array:
    """dW cut along its longer side, between blocks of sums."""
    size, axis = (outputs, 0) if outputs > taps else (taps, 2)
    blocks = -(-size // DOTS)
    cuts = np.minimum(cut(blocks, threads) * DOTS, size)
    parts = np.tile([0, outputs, 0, taps], (threads, 1))
    parts[:, axis], parts[:, axis + 1] = cuts[:-1], cuts[1:]
    return parts
