"""A program as the two arrays that the compiled loops read: integers, and packed weights.

The weights are stored in the order in which the tiles of :mod:`tinyae.kernels.jitted.simd_tile`
read them:

    Dense     ⌈O / panel⌉ panels (I, panel), zeros beyond O
    Conv      as :func:`tinyae.kernels.jitted.conv_loop.pack_weights` says

A convolution has the tables of :func:`tinyae.kernels.jitted.conv_tables.framed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.kernels.jitted.activations import in_place
from tinyae.kernels.jitted.conv_loop import pack_weights, packed_outputs
from tinyae.kernels.jitted.conv_tables import FRAMES, PITCH, Geometry, framed
from tinyae.kernels.jitted.simd_tile import THIN, lanes
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.program import LINEAR, Program, Slot

# The layout of ``code``. The head, before the first operation:
INPUTS, OUTPUTS, ARENA_SIZE, OPERATIONS, DEPTH, SCRATCH = range(6)
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
    the largest input size of a Dense, and the numbers that convolutions need for frames and sums.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.panel = panel(program.dtype.itemsize)
        self._weights: list[Array] = []
        self._end = 0
        convolutions = [op for op in program.ops if isinstance(op, ops.Conv | ops.ConvTranspose)]
        head = np.zeros(HEAD, np.int64)
        head[INPUTS], head[OUTPUTS] = (
            math.prod(shape) for shape in (program.input_shape, program.output_shape)
        )
        head[ARENA_SIZE], head[OPERATIONS] = program.arena, len(program.ops)
        head[DEPTH] = max(
            (op.W.shape[1] for op in program.ops if isinstance(op, ops.Dense)), default=0
        )
        head[SCRATCH] = max(map(self._scratch, convolutions), default=0)
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
        (frames, taps), outputs = self._frames(op), op.y.shape[0] // op.groups
        transposed, channels = isinstance(op, ops.ConvTranspose), op.x.shape[0] // op.groups
        taps_of_channel = op.W.shape[2] * op.W.shape[3]
        shape = (channels, outputs, taps_of_channel) if transposed else (1, outputs, -1)
        W = self._read(op.W).reshape(op.groups, *shape)
        packed = np.empty(
            (op.groups, packed_outputs(outputs) * channels * taps_of_channel), W.dtype
        )
        for of_group, to in zip(W, packed):
            pack_weights(of_group, to)
        weights, bias = self._store(packed), self._store(self._read(op.b))
        sizes = [op.groups, outputs, packed.shape[1], channels * taps_of_channel]
        return [*sizes, frames.size, weights, bias, *frames, *taps]

    def _frames(self, op: ops.Conv | ops.ConvTranspose) -> tuple[Array, Array]:
        transposed, (top, left) = isinstance(op, ops.ConvTranspose), op.corner
        x, y = op.x.shape, op.y.shape
        size, out = (y, x) if transposed else (x, y)
        geometry = Geometry(
            *((size[1], size[2]), (out[1], out[2]), (op.W.shape[2], op.W.shape[3])),
            *(op.stride, (top, 0, left, 0), op.dilation),
        )
        channels, outputs = x[0] // op.groups, y[0] // op.groups
        return framed(geometry, channels, outputs, transposed, 1, self.program.dtype.itemsize)

    def _scratch(self, op: ops.Conv | ops.ConvTranspose) -> int:
        """The numbers that frames and sums take"""
        frames, _ = self._frames(op)
        return int(frames[FRAMES] + op.y.shape[0] // op.groups * frames[PITCH])

    def _pool(self, op: ops.MaxPool | ops.AvgPool) -> list[int]:
        mean = int(isinstance(op, ops.AvgPool))
        sizes = [*op.x.shape, *op.y.shape[1:], *op.window, *op.stride, mean, *op.corner]
        return [*sizes, *op.dilation]

    def _layer_norm(self, op: ops.LayerNorm) -> list[int]:
        gamma, beta = self._store(self._read(op.gamma)), self._store(self._read(op.beta))
        return [op.gamma.size, gamma, beta, self._store([op.eps])]

    def _normalize(self, op: ops.Normalize) -> list[int]:
        return [*op.view, int(op.centered), self._store([op.eps])]


def _cache_aligned(parts: list[Array], dtype: np.dtype[Any]) -> Array:
    """The parts in one array, aligned to a cache line."""
    flat = np.concatenate(parts).astype(dtype)
    line = 64 // dtype.itemsize
    buffer = np.empty(flat.size + line, dtype)
    skip = -(buffer.ctypes.data // dtype.itemsize) % line
    out = buffer[skip : skip + flat.size]
    out[...] = flat
    return out
