"""A program as the two arrays that the compiled loops read: integers, and packed weights.

The weights are stored in the order in which the tiles of :mod:`tinyae.kernels.jitted.simd_tile`
read them:

    Dense     ⌈O / panel⌉ panels (I, panel), zeros beyond O
    Conv      (C·kh·kw, O rounded up to ROWS), zeros beyond O

A convolution of stride 1 is a weighted sum of shifted copies of the flat image: each tap (c, u, v)
is one shift. So the input is first copied into a frame, padded with zeros. For a stride s, the
frame is split into s × s phases, and each tap reads one of them. A transposed convolution is s × s
such sums, one for each phase of the output.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.kernels.jitted.activations import in_place
from tinyae.kernels.jitted.simd_tile import ROWS, THIN, lanes
from tinyae.kernels.windows import extent
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.program import LINEAR, Program, Slot

# The layout of ``code``. The head, before the first operation:
INPUTS, OUTPUTS, ARENA_SIZE, OPERATIONS, DEPTH, SUMS, FRAMES = range(7)
HEAD = 8  # integers in the head
# Each operation: its kind (which loop nest computes it), and the number of integers that follow;
(
    AFFINE,
    DENSE,
    CONV,
    POOL,
    UPSAMPLE,
    LAYER_NORM,
    NORMALIZE,
    SOFTMAX,
    TOP_K,
    ADD,
    COPY,
    SQUARED_ERROR,
    PERMUTE,
    PAD,
    PRELU,
    INTERPOLATE,
    MULTIPLY,
) = range(17)
# then these, common to all operations (F: the address of its activation, or 0); then its own.
X_SPACE, X_AT, Y_SPACE, Y_AT, X_SIZE, Y_SIZE, F, ALPHA = range(8)
COMMON = 8
SPACES = ("input", "output", "arena")
INPUT, OUTPUT, ARENA = range(3)


def panel(itemsize: int) -> int:
    """Columns in a panel of Dense weights: the width of a thin tile."""
    return THIN * lanes(itemsize)


class Packed:
    """A program as ``code`` and ``weights``.

    The head of ``code`` holds the numbers per sample in each of SPACES, the number of operations,
    the largest input size of a Dense, and the numbers that convolutions need for sums and frames.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.panel = panel(program.dtype.itemsize)
        self._weights: list[Array] = []
        self._end = 0
        frames = [_Frames(op) for op in program.ops if isinstance(op, ops.Conv | ops.ConvTranspose)]
        head = np.zeros(HEAD, np.int64)
        head[INPUTS], head[OUTPUTS] = (
            math.prod(shape) for shape in (program.input_shape, program.output_shape)
        )
        head[ARENA_SIZE], head[OPERATIONS] = program.arena, len(program.ops)
        head[DEPTH] = max(
            (op.W.shape[1] for op in program.ops if isinstance(op, ops.Dense)), default=0
        )
        head[SUMS] = max((f.rows * -(-f.run // self.panel) * self.panel for f in frames), default=0)
        head[FRAMES] = max((f.size + 2 * self.panel for f in frames), default=0)
        body = [integer for op in program.ops for integer in self._op(op)]
        self.code = np.array([*head, *body], np.int64)
        self.weights = _cache_aligned([*self._weights, np.zeros(self.panel)], program.dtype)

    def _op(self, op: ops.Op) -> list[int]:
        """Encode an operation: kind, number of integers, common integers, own integers."""
        f = getattr(op, "f", LINEAR)
        common = [*self._locate(op.x), *self._locate(op.y), op.x.size, op.y.size]
        itemsize = self.program.dtype.itemsize
        common += [0 if f == LINEAR else in_place(f.name, itemsize).address, self._store([f.alpha])]
        kind, args = self._kinds()[type(op)]
        body = [*common, *args(op)]
        return [kind, len(body), *body]

    def _kinds(self) -> dict[type[ops.Op], tuple[int, Callable[[Any], list[int]]]]:
        """For each operation, its kind and the method that gives its own integers."""
        return {
            ops.Affine: (AFFINE, self._affine),
            ops.Dense: (DENSE, self._dense),
            ops.Conv: (CONV, self._conv),
            ops.ConvTranspose: (CONV, self._conv),
            ops.MaxPool: (POOL, self._pool),
            ops.AvgPool: (POOL, self._pool),
            ops.Upsample: (UPSAMPLE, lambda op: [*op.x.shape, *op.factor]),
            ops.Interpolate: (INTERPOLATE, lambda op: [*op.x.shape, *op.factor]),
            ops.Permute: (PERMUTE, lambda op: [*op.sizes, *op.steps]),
            ops.Pad: (PAD, lambda op: [*op.x.shape, *op.y.shape[1:], *op.corner, int(op.reflect)]),
            ops.PReLU: (PRELU, lambda op: [op.slope.size, self._store(self._read(op.slope))]),
            ops.LayerNorm: (LAYER_NORM, self._layer_norm),
            ops.Normalize: (NORMALIZE, self._normalize),
            ops.Softmax: (SOFTMAX, lambda op: [*(op.x.shape or (1,))[:1]]),
            ops.TopK: (TOP_K, lambda op: [op.k]),
            ops.Add: (ADD, lambda op: [*self._locate(op.other)]),
            ops.Multiply: (MULTIPLY, lambda op: [*self._locate(op.other)]),
            ops.Copy: (COPY, lambda op: []),
            ops.Activation: (COPY, lambda op: []),
            ops.SquaredError: (SQUARED_ERROR, lambda op: [*self._locate(op.target)]),
        }

    def _locate(self, slot: Slot) -> tuple[int, int]:
        return SPACES.index(slot.space), slot.offset

    def _read(self, slot: Slot) -> Array:
        weights = self.program.weights
        return weights[slot.offset : slot.offset + slot.size].reshape(slot.shape)

    def _store(self, a: Any) -> int:
        """Append weights, padded to a multiple of a panel; returns their offset."""
        a = np.asarray(a, self.program.dtype).ravel()
        at = self._end
        size = -(-a.size // self.panel) * self.panel
        self._weights.append(np.concatenate([a, np.zeros(size - a.size, a.dtype)]))
        self._end += size
        return at

    # --- each operation's own integers --------------------------------------------------------

    def _affine(self, op: ops.Affine) -> list[int]:
        scale, shift = self._store(self._read(op.scale)), self._store(self._read(op.shift))
        return [op.scale.size, scale, shift]

    def _dense(self, op: ops.Dense) -> list[int]:
        rows, depth = op.W.shape
        padded = -(-rows // self.panel) * self.panel
        W = np.zeros((padded, depth), self.program.dtype)
        W[:rows] = self._read(op.W)
        panels = W.reshape(-1, self.panel, depth).transpose(0, 2, 1)
        return [depth, self._store(panels), self._store(self._read(op.b))]

    def _conv(self, op: ops.Conv | ops.ConvTranspose) -> list[int]:
        frames, outputs = _Frames(op), op.y.shape[0] // op.groups
        # (groups, O/groups, C/groups, kh, kw)
        W = self._read(op.W).reshape(op.groups, -1, *op.W.shape[1:])
        by_output = W.swapaxes(1, 2) if isinstance(op, ops.ConvTranspose) else W
        body = [*op.x.shape, *op.y.shape]
        body += [*frames.phases, *frames.step, *frames.corner, *frames.frame, frames.rows]
        body += [self._store(self._read(op.b)), len(frames.sums), outputs]
        for s in frames.sums:
            columns = [by_output[s.group, :, c, u, v] for c, u, v in s.taps]
            packed = np.zeros((len(columns), frames.rows), W.dtype)
            if columns:
                packed[:, :outputs] = columns
            body += [len(columns), self._store(packed), s.group * outputs]
            body += [*s.size, *s.at, *s.step, *s.offsets]
        return body

    def _pool(self, op: ops.MaxPool | ops.AvgPool) -> list[int]:
        mean = int(isinstance(op, ops.AvgPool))
        sizes = [*op.x.shape, *op.y.shape[1:], *op.window, *op.stride, mean, *op.corner]
        return [*sizes, *op.dilation]

    def _layer_norm(self, op: ops.LayerNorm) -> list[int]:
        gamma, beta = self._store(self._read(op.gamma)), self._store(self._read(op.beta))
        return [op.gamma.size, gamma, beta, self._store([op.eps])]

    def _normalize(self, op: ops.Normalize) -> list[int]:
        return [*op.view, int(op.centered), self._store([op.eps])]


class _Sum:
    """One sum of shifted frames: its taps, their offsets, and the pixels of y that it computes.

    It computes the outputs of one group; a tap's channel is counted within the group.
    """

    def __init__(
        self,
        group: int,
        taps: list[tuple[int, int, int]],
        offsets: list[int],
        size: ops.Pair,
        at: ops.Pair,
        step: ops.Pair,
    ) -> None:
        self.group, self.taps, self.offsets = group, taps, offsets
        self.size, self.at, self.step = size, at, step


class _Frames:
    """The frames of a convolution's input, and the sums over them.

    Phase (a, b) of channel c is a frame of ``frame`` = (rows, columns) pixels that holds
    x[c, i·step + a − corner, …], and zeros outside x.
    """

    def __init__(self, op: ops.Conv | ops.ConvTranspose) -> None:
        self.stride, self.kernel = op.stride, (op.W.shape[2], op.W.shape[3])
        self.dilation, self.extent = op.dilation, extent(self.kernel, op.dilation)
        self.channels, self.groups = op.x.shape[0], op.groups
        self.rows = -(-op.y.shape[0] // op.groups // ROWS) * ROWS
        if isinstance(op, ops.ConvTranspose):
            self._from_transposed(op)
        else:
            self._from_conv(op)
        self.size = self.channels * math.prod(self.phases) * math.prod(self.frame)
        self.run = max((s.size[0] - 1) * self.frame[1] + s.size[1] for s in self.sums)
        self.taps = max(len(s.taps) for s in self.sums)

    def _from_conv(self, op: ops.Conv) -> None:
        (sh, sw), (kh, kw), (_, rows, columns) = self.stride, self.kernel, op.y.shape
        (eh, ew), (dh, dw) = self.extent, self.dilation
        self.phases = min(sh, eh), min(sw, ew)
        self.step, self.corner = self.stride, op.corner
        self.frame = rows + (eh - 1) // sh, columns + (ew - 1) // sw
        channels = self.channels // self.groups
        taps = list(itertools.product(range(channels), range(kh), range(kw)))
        self.sums = []
        for group in range(self.groups):
            offsets = []
            for c, u, v in taps:
                i, j = u * dh, v * dw
                phase, channel = (i % sh, j % sw), group * channels + c
                offsets.append(self._frame_offset(channel, phase, i // sh, j // sw))
            self.sums.append(_Sum(group, taps, offsets, (rows, columns), (0, 0), (1, 1)))

    def _from_transposed(self, op: ops.ConvTranspose) -> None:
        """Pixel e = i·s + u·d − corner of y: with e + corner = q·s + α, i = q + (α − u·d)/s."""
        self.phases, self.step = (1, 1), (1, 1)
        size = op.y.shape[1:]
        low = [c // s for c, s in zip(op.corner, self.stride)]
        high = [(n - 1 + c) // s for n, c, s in zip(size, op.corner, self.stride)]
        reach = [(e - 1) // s for e, s in zip(self.extent, self.stride)]
        self.frame = (high[0] - low[0] + 1 + reach[0], high[1] - low[1] + 1 + reach[1])
        self.corner = (reach[0] - low[0], reach[1] - low[1])
        self.sums = []
        for phase in itertools.product(*map(range, self.stride)):
            first, at, count = [], [], []
            for axis in (0, 1):
                s, c, n = self.stride[axis], op.corner[axis], size[axis]
                q = -((phase[axis] - c) // s)  # the smallest q with q·s + α ≥ corner
                e = q * s + phase[axis] - c
                first.append(q - low[axis])
                at.append(e)
                count.append(max(-((e - n) // s), 0))
            if 0 in count:
                continue
            down, across = (
                [(u, first[k] + reach[k] + (phase[k] - u * self.dilation[k]) // self.stride[k])
                 for u in range(self.kernel[k])
                 if (u * self.dilation[k] - phase[k]) % self.stride[k] == 0]
                for k in (0, 1)
            )  # fmt: skip
            channels, size_of_phase = self.channels // self.groups, (count[0], count[1])
            for group in range(self.groups):
                taps, offsets = [], []
                for c, (u, i), (v, j) in itertools.product(range(channels), down, across):
                    taps.append((c, u, v))
                    offsets.append(self._frame_offset(group * channels + c, (0, 0), i, j))
                corner = at[0], at[1]
                self.sums.append(_Sum(group, taps, offsets, size_of_phase, corner, self.stride))

    def _frame_offset(self, channel: int, phase: ops.Pair, down: int, across: int) -> int:
        """The offset of pixel (down, across) of a phase and channel in the frames."""
        plane = (channel * self.phases[0] + phase[0]) * self.phases[1] + phase[1]
        return (plane * self.frame[0] + down) * self.frame[1] + across


def _cache_aligned(parts: list[Array], dtype: np.dtype[Any]) -> Array:
    """The parts in one array, aligned to a cache line."""
    flat = np.concatenate(parts).astype(dtype)
    line = 64 // dtype.itemsize
    buffer = np.empty(flat.size + line, dtype)
    skip = -(buffer.ctypes.data // dtype.itemsize) % line
    out = buffer[skip : skip + flat.size]
    out[...] = flat
    return out
