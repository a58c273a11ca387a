"""Which pixels use which taps: the tables that the loop of ``conv_loop`` follows.

A convolution and its transpose are both sums over taps of pixels of a source image,

    y[o, i, j] = b[o] + Σ_k W[k, o] · x[pixel that tap k reads for (i, j)]

A *rectangle* is a set of pixels of y that use the same taps, with a fixed step in x and in y from
row to row and from column to column. The loop needs nothing else. There are two ways to divide an
image into rectangles:

:func:`direct`   by the image's borders, where some taps fall outside and are left out. Nothing is
                 copied, but the numbers of a pixel, one for each sample, must fill a tile.
:func:`framed`   x is first copied into *frames* with zeros around it, one for each phase of the
                 stride, whose rows are joined to one long run. Each phase of y is one rectangle.

Offsets are counted in numbers: a pixel has n of them. The row of a tap (c, u, v) in the weights is
(c·kh + u)·kw + v. A tap is one integer, row · 2³² + offset: a tile reads one for each of its sums.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinyae.kernels.jitted.simd_tile import VECTORS, lanes
from tinyae.kernels.reference import Pad, Pair
from tinyae.kernels.windows import extent
from tinyae.param import Array

_BLOCK_BYTES = 400_000  # frames and sums of a block, which fit into the second-level cache
_MIN_BLOCK = 8  # rows of a block; those that two blocks share are copied twice

# A row of ``rectangles``: its rows i0 ≤ i < i1 out of ``count`` of its phase, its columns, where
# pixel (0, first column) lies in x and y and their steps, and its taps.
I0, I1, COUNT, COLUMNS, X_AT, X_DOWN, X_ACROSS, Y_AT, Y_DOWN, Y_ACROSS, TAP_AT, DEPTH = range(12)

# The head of a table of frames: of what image; how it is divided; rows of y's phases, in all and in
# a block; the numbers in all frames, and in the sums of one output; y's size.
(
    CHANNELS, HEIGHT, WIDTH, PHASES_DOWN, PHASES_ACROSS, STEP_DOWN, STEP_ACROSS, TOP, LEFT,
    FRAME_ROWS, FRAME_COLUMNS, ROWS, BLOCK, FRAMES, PITCH, Y_HEIGHT, Y_WIDTH,
) = range(17)  # fmt: skip
FRAME_HEAD = 17
# Then, for each phase of y: its first row in units of a frame's rows, its size, where its pixel
# (0, 0) lies in y and its steps there, where its taps begin, and how many.
FIRST, DOWN, ACROSS, Y_I0, Y_J0, Y_STEP_I, Y_STEP_J, PHASE_TAP_AT, PHASE_DEPTH = range(9)
PHASE = 9


class Geometry(NamedTuple):
    """A convolution but for its channels: it maps images of ``size`` to images of ``out``."""

    size: Pair
    out: Pair
    kernel: Pair
    stride: Pair
    pad: Pad
    dilation: Pair


# --- direct ---------------------------------------------------------------------------------------


class _Axis(NamedTuple):
    """One axis of a phase: its pixel i, at ``start`` + i·``stride`` of y, reads with its k-th tap
    position ``first`` + i·``step`` + k·``tap`` of x. ``places`` are the taps' places in the kernel.
    """

    pixels: int
    step: int
    first: int
    tap: int
    start: int
    stride: int
    places: Sequence[int]

    def ranges(self, length: int) -> list[list[int]]:
        """(i0, i1, k0, k1): the pixels i0 ≤ i < i1 use the taps k0 ≤ k < k1, which lie inside x."""
        ranges: list[list[int]] = []
        for i in range(self.pixels):
            at = self.first + i * self.step
            visible = [k for k in range(len(self.places)) if 0 <= at + k * self.tap < length]
            taps = [visible[0], visible[-1] + 1] if visible else [0, 0]
            if ranges and ranges[-1][2:] == taps:
                ranges[-1][1] = i + 1
            else:
                ranges.append([i, i + 1, *taps])
        return ranges


def _forward_axis(g: Geometry, k: int) -> _Axis:
    first, taps = -g.pad[2 * k], range(g.kernel[k])
    return _Axis(g.out[k], g.stride[k], first, g.dilation[k], 0, 1, taps)


def _backward_axis(g: Geometry, k: int, phase: int) -> _Axis:
    """Pixel e of x meets the taps u with u·d = e + pad = phase, modulo the stride."""
    s, d, p = g.stride[k], g.dilation[k], g.pad[2 * k]
    places = [u for u in range(g.kernel[k]) if u * d % s == phase]
    start = (phase - p) % s
    first = (start + p - (places[0] * d if places else 0)) // s
    count = len(range(start, g.size[k], s))
    return _Axis(count, 1, first, -d // math.gcd(s, d), start, s, places)


@functools.lru_cache(maxsize=256)
def direct(g: Geometry, channels: int, transposed: bool, n: int) -> tuple[Array, Array]:
    """The rectangles and taps of a convolution of ``channels`` channels, or of its transpose."""
    if transposed:
        phases = itertools.product(*map(range, g.stride))
        axes = [(_backward_axis(g, 0, a), _backward_axis(g, 1, b)) for a, b in phases]
        (x_rows, x_columns), y_columns = g.out, g.size[1]
    else:
        axes = [(_forward_axis(g, 0), _forward_axis(g, 1))]
        (x_rows, x_columns), y_columns = g.size, g.out[1]
    rectangles: list[tuple[int, ...]] = []
    taps = _Taps(g.kernel)
    for i, j in axes:
        for i0, i1, u0, u1 in i.ranges(x_rows):
            for j0, j1, v0, v1 in j.ranges(x_columns):
                # of the rectangle's first column, and of row 0
                x_at = i.first * x_columns + j.first + j0 * j.step
                y_at = i.start * y_columns + j.start + j0 * j.stride
                steps_in_x = i.step * x_columns, j.step
                steps_in_y = i.stride * y_columns, j.stride
                c, u, v = np.ogrid[:channels, u0:u1, v0:v1]
                at = (c * x_rows + u * i.tap) * x_columns + v * j.tap
                places = (np.array(axis.places, np.intp) for axis in (i, j))
                down, across = (p[k0:k1] for p, (k0, k1) in zip(places, ((u0, u1), (v0, v1))))
                first = min(int(at.min()), 0) if at.size else 0
                inside = taps.add((at - first) * n, c, down[:, None], across)
                pixels = x_at + first, *steps_in_x, y_at, *steps_in_y
                numbers = (place * n for place in pixels)
                rectangles.append((i0, i1, i.pixels, j1 - j0, *numbers, *inside))
    return np.array(rectangles, np.int64), taps.table()


class _Taps:
    """The taps of all rectangles, one after the other"""

    def __init__(self, kernel: Pair) -> None:
        self.kernel, self.found, self.count = kernel, [np.empty(0, np.int64)], 0

    def add(self, at: Array, c: Array, u: Array, v: Array) -> tuple[int, int]:
        """Append the taps (c, u, v) at their offsets; returns where they begin, and their number."""
        row = (c * self.kernel[0] + u) * self.kernel[1] + v
        self.found.append(((row << 32) + at).astype(np.int64).reshape(-1))
        first, self.count = self.count, self.count + row.size
        return first, row.size

    def table(self) -> Array:
        return np.concatenate(self.found)


# --- framed ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def framed(
    g: Geometry,
    channels: int,
    outputs: int,
    transposed: bool,
    n: int,
    itemsize: int,
    threads: int = 1,
) -> tuple[Array, Array]:
    """The frames and taps of a convolution of ``channels`` channels, or of its transpose.

    Frames hold a block of y's rows at a time, with those that their taps reach: as many as stay in
    the cache with the sums of all ``outputs``, and at most a thread's share. Phase (a, b) of channel
    c is a frame that holds x[c, i·step + a − top, j·step + b − left], and zeros outside x.
    """
    phases, step = (1, 1), (1, 1)
    if not transposed:
        (eh, ew), step = extent(g.kernel, g.dilation), g.stride
        phases = min(step[0], eh), min(step[1], ew)
    down, across = (_framed_axis(g, k, transposed) for k in (0, 1))
    columns, planes = across.rows + across.reach, channels * phases[0] * phases[1]
    row_bytes = (planes + outputs) * columns * n * itemsize
    block = min(max(_BLOCK_BYTES // max(row_bytes, 1), _MIN_BLOCK), -(-down.rows // threads))
    frame = block + down.reach, columns
    taps, sums, run = _Taps(g.kernel), [], 0
    for (i0, m0, height, u), (j0, m1, width, v) in itertools.product(down.phases, across.phases):
        c = np.arange(channels)[:, None, None]
        (u, a, i), (v, b, j) = (np.array(t, np.intp).reshape(-1, 3).T for t in (u, v))
        plane = (c * phases[0] + a[:, None]) * phases[1] + b
        at = (plane * frame[0] + i[:, None]) * frame[1] + j + m1
        inside = taps.add(at * n, c, u[:, None], v)
        sums.append((m0, height, width, i0, j0, down.stride, across.stride, *inside))
        run = max(run, ((min(block, height) - 1) * columns + width) * n)
    tile = VECTORS * lanes(itemsize)  # it may read beyond the last frame
    size, pitch = planes * frame[0] * columns * n + tile, -(-run // tile) * tile
    image, y = (g.out, g.size) if transposed else (g.size, g.out)
    head: tuple[int, ...] = (channels, *image, *phases, *step, down.corner, across.corner)
    head += (*frame, down.rows, block, size, pitch, *y)
    return np.array([*head, *itertools.chain(*sums)], np.int64), taps.table()


class _FramedAxis(NamedTuple):
    """One axis: how many rows y's phases have, and how many more the taps reach; the frame's first
    row in x; the stride in y; and for each phase its first pixel of y, its first row in a frame,
    its size, and its taps: (place in the kernel, phase of x, row from the pixel's own).
    """

    rows: int
    reach: int
    corner: int
    stride: int
    phases: list[tuple[int, int, int, list[tuple[int, int, int]]]]


def _framed_axis(g: Geometry, k: int, transposed: bool) -> _FramedAxis:
    s, d, corner = g.stride[k], g.dilation[k], g.pad[2 * k]
    reach = (extent(g.kernel, g.dilation)[k] - 1) // s
    places = range(g.kernel[k])
    if not transposed:
        taps = [(u, u * d % s, u * d // s) for u in places]
        return _FramedAxis(g.out[k], reach, corner, 1, [(0, 0, g.out[k], taps)])
    # Pixel e = i·s + u·d − corner of y: with e + corner = q·s + a, i = q + (a − u·d)/s.
    size = g.size[k]
    low, high = corner // s, (size - 1 + corner) // s
    phases = []
    for a in range(s):
        q = -((a - corner) // s)  # the smallest q with q·s + a ≥ corner
        e = q * s + a - corner
        taps = [(u, 0, reach + (a - u * d) // s) for u in places if (u * d - a) % s == 0]
        if e < size:
            phases.append((e, q - low, -((e - size) // s), taps))
    return _FramedAxis(high - low + 1, reach, reach - low, s, phases)
