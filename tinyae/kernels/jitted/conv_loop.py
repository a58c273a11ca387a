"""The loop of every convolution, of layers and of compiled programs: sums over lists of taps.

    y[o, pixel, t] = b[o] + Σ_{k ∈ taps} W[row k, o] · x[pixel + offset k + t],   t < run

``conv_tables`` divides an image into rectangles of pixels that use the same taps. ``run`` numbers
of a pixel are contiguous: its samples, if the batch is innermost; or, in frames, a tile's width of
neighbouring pixels. The gradient of W sums products over the same rectangles.

All arrays are flat, and bounds are not checked.
"""

from __future__ import annotations

import numpy as np

from tinyae.kernels.jitted import conv_tables as table
from tinyae.kernels.jitted.cfunc import view
from tinyae.kernels.jitted.layout import transpose_columns
from tinyae.kernels.jitted.simd_tile import (
    DOTS,
    GROUPS,
    ROWS,
    SIDE,
    VECTORS,
    conv_tile,
    copy_from_every_second,
    copy_row,
    copy_to_every_second,
    dots,
    grad_tile,
    grouped_conv_tile,
    lanes,
    narrow_grad_tile,
    thin_dots,
    transpose,
)
from tinyae.kernels.jitted.threads import jit
from tinyae.param import Array

_VECTOR_BYTES = lanes(1)
_DEPTH = 128  # products of a tile's sum between its loads and stores
_MAX_RUN = 1024  # contiguous numbers at a time, which stay in the first-level cache


@jit
def tile_width(a: Array) -> int:
    """The columns of a tile"""
    return VECTORS * (_VECTOR_BYTES // a.itemsize)


# --- sums -----------------------------------------------------------------------------------------


@jit
def in_tiles(outputs: int) -> int:
    """How many outputs are computed by tiles of ROWS. Few that are left are computed one by one."""
    left = outputs % ROWS
    return outputs - left if outputs < ROWS or left <= ROWS // 2 else outputs


@jit
def pack_weights(W: Array, packed: Array) -> None:
    """W (A, O, B) as rows of weights, one for each tap (a, b).

    Each tile's ROWS outputs have a matrix (A·B, ROWS); the last one may overlap the one before. Then
    follow the outputs that are computed one by one, with A·B numbers each.
    """
    blocks, outputs, taps = W.shape
    whole, at = in_tiles(outputs), 0
    for first in range(0, whole, ROWS):
        o = min(first, outputs - ROWS)
        for a in range(blocks):
            tile = packed[at : at + taps * ROWS].reshape(taps, ROWS)
            transpose_columns(W[a, o : o + ROWS], tile, 0, taps)
            at += taps * ROWS
    for o in range(whole, outputs):
        for a in range(blocks):
            packed[at : at + taps] = W[a, o]
            at += taps


@jit
def packed_outputs(outputs: int) -> int:
    """How many numbers :func:`pack_weights` makes for each tap"""
    whole = in_tiles(outputs)
    return -(-whole // ROWS) * ROWS + outputs - whole


@jit
def sum_taps(
    x: Array,
    x_at: int,
    x_down: int,
    x_across: int,
    taps: Array,
    tap_at: int,
    depth: int,
    W: Array,
    w_at: int,
    all_taps: int,
    b: Array,
    b_at: int,
    y: Array,
    y_at: int,
    y_down: int,
    y_across: int,
    y_row: int,
    outputs: int,
    rows: int,
    columns: int,
    run: int,
    epilogue: int,
    relu_mask: Array,
) -> None:
    """One rectangle of ``rows`` × ``columns`` pixels; ``run`` is at least a tile's width.

    W is packed, with a row for each of ``all_taps``. A tile has ROWS outputs; outputs that are
    computed one by one have tiles of GROUPS pixels of a row or column.
    """
    width, whole = tile_width(x), in_tiles(outputs)
    of_tile = ROWS * all_taps
    singles_at = w_at + -(-whole // ROWS) * of_tile
    i_step, j_step, x_group, y_group = 1, 1, 0, 0
    if columns >= GROUPS:
        j_step, x_group, y_group = GROUPS, x_across, y_across
    elif rows >= GROUPS:
        i_step, x_group, y_group = GROUPS, x_down, y_down
    # A tile's width at a time: what neighbouring pixels share stays cached.
    for start in range(0, run, width):
        at = min(start, run - width)  # the last tile may overlap the one before
        for i in range(rows if whole else 0):
            for j in range(columns):
                source = x_at + i * x_down + j * x_across + at
                target = y_at + i * y_down + j * y_across + at
                tile_at = w_at
                for first in range(0, whole, ROWS):
                    o = min(first, outputs - ROWS)
                    conv_tile(
                        *(W, tile_at, ROWS, x, source, 0, taps, tap_at, depth, b, b_at + o),
                        *(y, target + o * y_row, y_row, 0, epilogue, relu_mask),
                    )
                    tile_at += of_tile
        for above in range(0, rows if whole < outputs else 0, i_step):
            i = min(above, rows - i_step)
            for before in range(0, columns, j_step):
                j = min(before, columns - j_step)
                source = x_at + i * x_down + j * x_across + at
                target = y_at + i * y_down + j * y_across + at
                for o in range(whole, outputs):
                    single_at = singles_at + (o - whole) * all_taps
                    grouped_conv_tile(
                        *(W, single_at, 1, x, source, x_group, taps, tap_at, depth),
                        *(b, b_at + o, y, target + o * y_row, y_row, y_group),
                        *(epilogue, relu_mask),
                    )


@jit
def convolve(
    x: Array,
    taps: Array,
    rectangles: Array,
    n: int,
    W: Array,
    b: Array,
    y: Array,
    epilogue: int,
    relu_mask: Array,
    groups: int,
    t: int,
    parts: int,
) -> None:
    """Every rectangle of ``direct``, for the t-th of ``parts`` parts: a range of rows each.

    ``epilogue`` and ``relu_mask``, which has y's shape, are those of :data:`conv_tile`.
    """
    outputs, row = b.size // groups, y.size // b.size
    all_taps = W.size // groups // packed_outputs(outputs)
    for g in range(groups):
        for p in range(len(rectangles)):
            r = rectangles[p]
            i0 = max(r[table.I0], r[table.COUNT] * t // parts)
            i1 = min(r[table.I1], r[table.COUNT] * (t + 1) // parts)
            if i0 < i1:
                x_at = g * (x.size // groups) + r[table.X_AT] + i0 * r[table.X_DOWN]
                y_at = g * (y.size // groups) + r[table.Y_AT] + i0 * r[table.Y_DOWN]
                sum_taps(
                    *(x, x_at, r[table.X_DOWN], r[table.X_ACROSS]),
                    *(taps, r[table.TAP_AT], r[table.DEPTH]),
                    *(W, g * (W.size // groups), all_taps, b, g * outputs),
                    *(y, y_at, r[table.Y_DOWN], r[table.Y_ACROSS], row, outputs),
                    *(i1 - i0, r[table.COLUMNS], n, epilogue, relu_mask),
                )


# --- frames ---------------------------------------------------------------------------------------


@jit
def fill_frames(c: Array, x: Array, n: int, first: int, frames: Array) -> None:
    """frame[c, a, b, i, j] = x[c, i·step + a − top, j·step + b − left], from row i = ``first``."""
    height, width = c[table.HEIGHT], c[table.WIDTH]
    step_i, step_j = c[table.STEP_DOWN], c[table.STEP_ACROSS]
    rows, columns, to = c[table.FRAME_ROWS], c[table.FRAME_COLUMNS], 0
    size = rows * columns * n
    for channel in range(c[table.CHANNELS]):
        for a in range(c[table.PHASES_DOWN]):
            for b in range(c[table.PHASES_ACROSS]):
                _clear(view(frames, to, size))
                # pixel (0, 0) of the frame, then those inside x
                i, j = first * step_i + a - c[table.TOP], b - c[table.LEFT]
                i0, i1 = _inside(i, step_i, height, rows)
                j0, j1 = _inside(j, step_j, width, columns)
                source = ((channel * height + i + i0 * step_i) * width + j + j0 * step_j) * n
                _copy_pixels(
                    *(x, source, step_i * width * n, step_j),
                    *(frames, to + (i0 * columns + j0) * n, columns * n, 1),
                    *(i1 - i0, j1 - j0, n),
                )
                to += size
    _clear(view(frames, to, frames.size - to))


@jit
def _clear(a: Array) -> None:
    for t in range(a.size):
        a[t] = 0


@jit
def _inside(first: int, step: int, length: int, count: int) -> tuple[int, int]:
    """Which k < count have 0 ≤ first + k·step < length: from the first to one past the last."""
    low = min(max(-(first // step), 0), count)
    return low, min(max((length - 1 - first) // step + 1, low), count)


@jit
def _copy_pixels(
    x: Array,
    x_at: int,
    x_row: int,
    x_step: int,
    y: Array,
    y_at: int,
    y_row: int,
    y_step: int,
    rows: int,
    columns: int,
    n: int,
) -> None:
    """Pixel (i, j · ``y_step``) of y is pixel (i, j · ``x_step``) of x; n numbers each."""
    for i in range(rows):
        source, target = x_at + i * x_row, y_at + i * y_row
        if x_step == 1 and y_step == 1:
            copy_row(x, source, y, target, columns * n)
        elif n == 1 and x_step == 2 and y_step == 1:
            copy_from_every_second(x, source, y, target, columns)
        elif n == 1 and x_step == 1 and y_step == 2:
            copy_to_every_second(x, source, y, target, columns)
        else:
            for j in range(columns):
                copy_row(x, source + j * x_step * n, y, target + j * y_step * n, n)


@jit
def convolve_frames(
    x: Array,
    taps: Array,
    c: Array,
    n: int,
    W: Array,
    w_at: int,
    all_taps: int,
    b: Array,
    b_at: int,
    outputs: int,
    y: Array,
    epilogue: int,
    scratch: Array,
    t: int,
    parts: int,
) -> None:
    """One group's convolution by frames, as of ``framed``, for the t-th of ``parts`` parts.

    Block by block of rows: copy what the block reads of x into frames, sum, copy the sums to y.
    """
    width = tile_width(x)
    columns, pitch = c[table.FRAME_COLUMNS] * n, c[table.PITCH]
    frames = view(scratch, 0, c[table.FRAMES])
    sums = view(scratch, frames.size, outputs * pitch)
    height, across = c[table.Y_HEIGHT], c[table.Y_WIDTH]
    blocks = -(-c[table.ROWS] // c[table.BLOCK])
    for k in range(blocks * t // parts, blocks * (t + 1) // parts):
        first = k * c[table.BLOCK]
        fill_frames(c, x, n, first, frames)
        for p in range(table.FRAME_HEAD, c.size, table.PHASE):
            phase = view(c, p, table.PHASE)
            i0 = max(first - phase[table.FIRST], 0)
            rows = min(first + c[table.BLOCK] - phase[table.FIRST], phase[table.DOWN]) - i0
            if rows <= 0:
                continue
            run = ((rows - 1) * c[table.FRAME_COLUMNS] + phase[table.ACROSS]) * n
            sum_taps(
                *(frames, (i0 + phase[table.FIRST] - first) * columns, 0, width),
                *(taps, phase[table.PHASE_TAP_AT], phase[table.PHASE_DEPTH]),
                *(W, w_at, all_taps, b, b_at, sums, 0, 0, width, pitch, outputs),
                *(1, -(-run // width), width, epilogue, sums),
            )
            step_i, step_j = phase[table.Y_STEP_I], phase[table.Y_STEP_J]
            corner = (phase[table.Y_I0] + i0 * step_i) * across + phase[table.Y_J0]
            for o in range(outputs):
                _copy_pixels(
                    *(sums, o * pitch, columns, 1),
                    *(y, (o * height * across + corner) * n, step_i * across * n, step_j),
                    *(rows, phase[table.ACROSS], n),
                )


@jit
def convolve_in_frames(
    x: Array,
    taps: Array,
    c: Array,
    n: int,
    W: Array,
    b: Array,
    y: Array,
    epilogue: int,
    groups: int,
    t: int,
    parts: int,
) -> None:
    """:func:`convolve_frames` for each group"""
    outputs = b.size // groups
    scratch = np.empty(c[table.FRAMES] + outputs * c[table.PITCH], x.dtype)
    x_size, y_size, w_size = x.size // groups, y.size // groups, W.size // groups
    all_taps = w_size // packed_outputs(outputs)
    for g in range(groups):
        convolve_frames(
            *(view(x, g * x_size, x_size), taps, c, n, W, g * w_size, all_taps),
            *(b, g * outputs, outputs),
            *(view(y, g * y_size, y_size), epilogue, scratch, t, parts),
        )


# --- the gradient of the weights ------------------------------------------------------------------
#
# dW[o, row k] += Σ_{pixels, t} dy[o, pixel, t] · x[pixel + offset k + t] over a rectangle, in one of
# two ways. With few outputs or taps, a sum is a dot product along the samples. Otherwise a vector
# holds outputs: dy is transposed, a part at a time, and a tile is a sum of outer products, as in a
# matrix product, whose numbers of x are found by their offsets.


@jit
def by_outputs(outputs: int, all_taps: int, a: Array) -> bool:
    """Whether vectors of outputs pay off"""
    return outputs >= _VECTOR_BYTES // a.itemsize and all_taps >= 2 * ROWS


@jit
def add_outer_products(
    x: Array,
    x_at: int,
    x_down: int,
    x_across: int,
    taps: Array,
    dy: Array,
    dy_at: int,
    dy_down: int,
    dy_across: int,
    dy_row: int,
    sums: Array,
    first_output: int,
    last_output: int,
    rows: int,
    columns: int,
    run: int,
) -> None:
    """sums[row k, o], whose rows are padded to whole tiles, for outputs of dy."""
    wide, pitch = tile_width(x), sums.shape[1]
    narrow, flat_sums = wide // VECTORS, sums.reshape(-1)
    steps, panel = np.empty(_DEPTH, np.intp), np.empty(_DEPTH * wide, x.dtype)
    size = max(min(run, _DEPTH), 1)  # there may be no samples
    pieces = _DEPTH // size  # parts of pixels at a time
    for start in range(0, run, size):
        length = min(size, run - start)
        for first in range(0, rows * columns, pieces):
            last = min(first + pieces, rows * columns)
            for p in range(first, last):
                step = p // columns * x_down + p % columns * x_across + start
                for t in range(length):
                    steps[(p - first) * length + t] = step + t
            o = first_output
            while o < last_output:
                width = wide if last_output - o > narrow else narrow
                outputs = min(width, last_output - o)
                for p in range(first, last):
                    pixel = p // columns * dy_down + p % columns * dy_across + start
                    _transpose(
                        *(dy, o * dy_row + dy_at + pixel, dy_row, outputs, length),
                        *(panel, (p - first) * length * width, width),
                    )
                depth = (last - first) * length
                for k in range(0, taps.size, ROWS):
                    if width == wide:
                        grad_tile(x, x_at, taps, k, steps, panel, flat_sums, o, pitch, depth)
                    else:
                        narrow_grad_tile(x, x_at, taps, k, steps, panel, flat_sums, o, pitch, depth)
                o += width


@jit
def _transpose(
    a: Array, a_at: int, a_row: int, rows: int, columns: int, b: Array, b_at: int, b_row: int
) -> None:
    """b[t, o] = a[o, t] for o < rows and t < columns; 0 for rows ≤ o < ``b_row``."""
    across, down = columns - columns % SIDE, rows - rows % SIDE
    for o in range(0, down, SIDE):
        for t in range(0, across, SIDE):
            transpose(a, a_at + o * a_row + t, a_row, b, b_at + t * b_row + o, b_row)
    for t in range(columns):
        for o in range(down if t < across else 0, rows):
            b[b_at + t * b_row + o] = a[a_at + o * a_row + t]
        for o in range(rows, b_row):
            b[b_at + t * b_row + o] = 0


@jit
def add_dot_products(
    x: Array,
    x_at: int,
    x_down: int,
    x_across: int,
    taps: Array,
    dy: Array,
    dy_at: int,
    dy_down: int,
    dy_across: int,
    dy_row: int,
    dW: Array,
    first_output: int,
    last_output: int,
    rows: int,
    columns: int,
    run: int,
) -> None:
    """dW[o, row k]"""
    all_taps = dW.shape[1]
    whole_outputs = last_output - (last_output - first_output) % DOTS
    flat_dW = dW.reshape(-1)
    offsets, corner = taps & 0xFFFFFFFF, np.empty(DOTS * DOTS, dW.dtype)
    count = taps.size - ROWS  # without those that fill up a tile
    # Adjacent pixels are contiguous, and a piece is a row; otherwise a piece is one pixel.
    side_by_side = columns == 1 or (x_across == run and dy_across == run)
    if side_by_side:
        run, columns, x_across, dy_across = run * columns, 1, x_down, dy_down
    block = max(_MAX_RUN // run, 1) if side_by_side else 1
    for i in range(0, rows, block):
        pieces = min(block, rows - i) if side_by_side else columns
        for start in range(0, run, _MAX_RUN):
            size = min(_MAX_RUN, run - start)
            source, target = x_at + i * x_down + start, dy_at + i * dy_down + start
            for k in range(0, count, DOTS):
                valid, place = min(DOTS, count - k), taps[k] >> 32
                contiguous = valid == DOTS and taps[k + DOTS - 1] >> 32 == place + DOTS - 1
                for o in range(first_output, whole_outputs, DOTS):
                    to, at, pitch = flat_dW, o * all_taps + place, all_taps
                    if not contiguous:
                        to, at, pitch = corner, 0, DOTS
                        corner[:] = 0
                    dots(
                        *(dy, o * dy_row + target, dy_row, x, source, offsets, k),
                        *(to, at, pitch, size, pieces, dy_across, x_across),
                    )
                    if not contiguous:
                        for u in range(DOTS):
                            for v in range(valid):
                                dW[o + u, taps[k + v] >> 32] += corner[u * DOTS + v]
                for o in range(whole_outputs, last_output):
                    corner[:DOTS] = 0
                    thin_dots(
                        *(dy, o * dy_row + target, dy_row, x, source, offsets, k),
                        *(corner, 0, DOTS, size, pieces, dy_across, x_across),
                    )
                    for v in range(valid):
                        dW[o, taps[k + v] >> 32] += corner[v]


@jit
def add_products(
    x: Array,
    x_at: int,
    x_down: int,
    x_across: int,
    taps: Array,
    tap_at: int,
    depth: int,
    dy: Array,
    dy_at: int,
    dy_down: int,
    dy_across: int,
    dy_row: int,
    dW: Array,
    sums: Array,
    part: Array,
    rows: int,
    columns: int,
    run: int,
) -> None:
    """A rectangle's share of a part of dW: (first output, one past the last, first row, one past
    the last). Vectors of outputs are summed in ``sums``, which otherwise has no rows.
    """
    mine, count, beyond = np.empty(depth + ROWS, np.int64), 0, max(len(sums) - 1, 0)
    for k in range(tap_at, tap_at + depth):
        if part[2] <= taps[k] >> 32 < part[3]:
            mine[count] = taps[k]
            count += 1
    if count == 0:
        return
    for k in range(count, count + ROWS):  # to fill up a tile
        mine[k] = mine[count - 1] & 0xFFFFFFFF | beyond << 32
    if len(sums):
        tiles = -(-count // ROWS)
        add_outer_products(
            *(x, x_at, x_down, x_across, mine[: tiles * ROWS]),
            *(dy, dy_at, dy_down, dy_across, dy_row, sums, part[0], part[1], rows, columns, run),
        )
    else:
        add_dot_products(
            *(x, x_at, x_down, x_across, mine[: count + ROWS]),
            *(dy, dy_at, dy_down, dy_across, dy_row, dW, part[0], part[1], rows, columns, run),
        )


@jit
def _empty_sums(dW: Array, outputs: int) -> Array:
    """sums[row k, o] of a group's outputs, with a last row for what fills up a tile; no rows if they
    are summed in dW."""
    if not by_outputs(outputs, dW.shape[1], dW):
        return np.empty((0, 0), dW.dtype)
    width = tile_width(dW)
    return np.empty((dW.shape[1] + 1, -(-outputs // width) * width), dW.dtype)


@jit
def _copy_sums(sums: Array, dW: Array, part: Array) -> None:
    """dW = sumsᵀ in a part"""
    if len(sums):
        flat, pitch = sums.reshape(-1), sums.shape[1]
        for o in range(part[0], part[1]):
            row = dW[o]
            for k in range(part[2], part[3]):
                row[k] = flat[k * pitch + o]


@jit
def weight_grad(
    x: Array,
    taps: Array,
    rectangles: Array,
    n: int,
    dy: Array,
    dW: Array,
    groups: int,
    part: Array,
) -> None:
    """Every rectangle of ``direct``; dW (O, K) is written."""
    outputs, row = len(dW) // groups, dy.size // len(dW)
    sums = _empty_sums(dW, outputs)
    for g in range(groups):
        of_group = dW[g * outputs : (g + 1) * outputs]
        of_group[part[0] : part[1], part[2] : part[3]] = 0
        sums[:] = 0
        for p in range(len(rectangles)):
            r = rectangles[p]
            x_at = g * (x.size // groups) + r[table.X_AT] + r[table.I0] * r[table.X_DOWN]
            dy_at = g * (dy.size // groups) + r[table.Y_AT] + r[table.I0] * r[table.Y_DOWN]
            add_products(
                *(x, x_at, r[table.X_DOWN], r[table.X_ACROSS]),
                *(taps, r[table.TAP_AT], r[table.DEPTH]),
                *(dy, dy_at, r[table.Y_DOWN], r[table.Y_ACROSS], row, of_group, sums, part),
                *(r[table.I1] - r[table.I0], r[table.COLUMNS], n),
            )
        _copy_sums(sums, of_group, part)


@jit
def weight_grad_in_frames(
    x: Array, taps: Array, c: Array, n: int, dy: Array, dW: Array, groups: int, part: Array
) -> None:
    """The same by frames: the rows of a frame are joined, those of dy as long as they are."""
    outputs, row = len(dW) // groups, dy.size // len(dW)
    frames, sums = np.empty(c[table.FRAMES], x.dtype), _empty_sums(dW, outputs)
    run, blocks = c[table.FRAME_HEAD + table.ACROSS] * n, -(-c[table.ROWS] // c[table.BLOCK])
    for g in range(groups):
        of_group = dW[g * outputs : (g + 1) * outputs]
        of_group[part[0] : part[1], part[2] : part[3]] = 0
        sums[:] = 0
        part_of_x = view(x, g * (x.size // groups), x.size // groups)
        for k in range(blocks):
            first = k * c[table.BLOCK]
            fill_frames(c, part_of_x, n, first, frames)
            add_products(
                *(frames, 0, c[table.FRAME_COLUMNS] * n, run, taps, 0, taps.size),
                *(dy, g * (dy.size // groups) + first * run, run, run, row, of_group, sums, part),
                *(min(c[table.BLOCK], c[table.ROWS] - first), 1, run),
            )
        _copy_sums(sums, of_group, part)
