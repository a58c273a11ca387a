"""Run a program with NumPy: the definition of what the compiled loops compute.

Input, output and arena are each an array with one row per sample. A slot is a range of columns, and
an operation reads and writes such views.

Most programs read each slot as it was written. Then results need not be copied into an arena: the
next operation takes the array itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinyae.kernels import reference
from tinyae.kernels.expressions import numpy_function
from tinyae.kernels.functions import FUNCTIONS
from tinyae.kernels.windows import extent
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.program import LINEAR, Function, Program, Slot

_BLOCK_BYTES = 1 << 23  # of the arena, for the samples that are processed at a time
_MIN_BLOCK_ROWS = 256


class NumpyRuntime:
    """Runs a program: ``run(x)`` maps x (N, *input_shape) to (N, *output_shape)."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._arrays = _reads_what_was_written(program)
        row = max(program.arena * program.weights.itemsize, 1)
        self._rows = max(_BLOCK_BYTES // row, _MIN_BLOCK_ROWS)

    def run(self, x: Array) -> Array:
        if self._arrays and 0 < len(x) <= self._rows:
            y = self._through_arrays(x)
            return y.copy() if np.may_share_memory(x, y) else y
        out = np.empty((len(x), *self.program.output_shape), x.dtype)
        for start in range(0, len(x), self._rows):
            rows = slice(start, start + self._rows)
            if self._arrays:
                out[rows] = self._through_arrays(x[rows])
            else:
                for _ in self.steps(x[rows], out[rows]):
                    pass
        return out

    def _through_arrays(self, x: Array) -> Array:
        """y (N, *output_shape), without an arena"""
        n, weights = len(x), self.program.weights
        values = {("input", 0): x}
        for op in self.program.ops:
            arrays = {}
            for name, slot in op.slots.items():
                if slot.space == "weights":
                    at = slot.offset
                    arrays[name] = weights[at : at + slot.size].reshape(slot.shape)
                elif name != "y":
                    arrays[name] = values[slot.space, slot.offset].reshape(n, *slot.shape)
            values[op.y.space, op.y.offset] = compute(op, **arrays)
        y: Array = values["output", 0].reshape(n, *self.program.output_shape)
        return y if y.flags.c_contiguous and y.dtype == x.dtype else np.array(y, x.dtype, order="C")

    def steps(self, x: Array, out: Array) -> Iterator[Array]:
        """Run one operation after the other, and yield what each writes."""
        n, program = len(x), self.program
        spaces = {
            "input": x.reshape(n, -1),
            "output": out.reshape(n, -1) if out.ndim > 1 else out[:, None],
            "arena": np.empty((n, program.arena), x.dtype),
        }

        def view(slot: Slot) -> Array:
            if slot.space == "weights":
                return program.weights[slot.offset : slot.offset + slot.size].reshape(slot.shape)
            run = spaces[slot.space][:, slot.offset : slot.offset + slot.size]
            return run.reshape(n, *slot.shape)  # a view: only the last axis is split

        for op in program.ops:
            arrays = {name: view(slot) for name, slot in op.slots.items()}
            y = arrays.pop("y")
            y[...] = compute(op, **arrays).reshape(y.shape)
            yield y


def _reads_what_was_written(program: Program) -> bool:
    """Whether each slot that is read is what one operation wrote, or the input, and so is y."""
    written = {("input", 0): program.input_length}
    for op in program.ops:
        for name, slot in op.slots.items():
            read = name != "y" and slot.space != "weights"
            if read and written.get((slot.space, slot.offset)) != slot.size:
                return False
        end = op.y.offset + op.y.size
        for space, offset in list(written):  # what is overwritten can no longer be read
            if (
                space == op.y.space
                and offset < end
                and op.y.offset < offset + written[space, offset]
            ):
                del written[space, offset]
        written[op.y.space, op.y.offset] = op.y.size
    return written.get(("output", 0)) == program.output_length


def compute(op: ops.Op, **arrays: Array) -> Array:
    """The result of an operation; the arrays are what it reads, by the names of its slots."""
    return _RUN[type(op)](op, **arrays)


def _affine(op: ops.Affine, x: Array, scale: Array, shift: Array) -> Array:
    rows = x.reshape(len(x), scale.size, -1)
    return _apply(op.f, rows * scale.reshape(-1, 1) + shift.reshape(-1, 1))


def _dense(op: ops.Dense, x: Array, W: Array, b: Array) -> Array:
    return _apply(op.f, reference.affine(x.reshape(len(x), -1), W, b))


def _conv(op: ops.Conv, x: Array, W: Array, b: Array) -> Array:
    pad = []
    for axis in (0, 1):
        reach = (op.y.shape[axis + 1] - 1) * op.stride[axis] + _extent(op, W)[axis]
        before = op.corner[axis]
        pad += [before, reach - before - x.shape[axis + 2]]
    # With a stride, the last rows may be unused: then crop the image instead of padding it.
    x = x[:, :, : x.shape[2] + min(pad[1], 0), : x.shape[3] + min(pad[3], 0)]
    top, bottom, left, right = (max(p, 0) for p in pad)
    pads = top, bottom, left, right
    y = reference.conv2d(x, W, op.stride, pads, None, op.dilation, op.groups)
    return _apply(op.f, y + b[:, None, None])


def _conv_transpose(op: ops.ConvTranspose, x: Array, W: Array, b: Array) -> Array:
    size = op.y.shape[1], op.y.shape[2]
    pad = []
    for axis in (0, 1):
        reach = (x.shape[axis + 2] - 1) * op.stride[axis] + _extent(op, W)[axis]
        before = op.corner[axis]
        pad += [before, max(reach - before - size[axis], 0)]
    top, bottom, left, right = pad
    pads = top, bottom, left, right
    more = op.dilation, op.groups
    y = reference.conv2d_input_grad(x, W, op.stride, pads, size, None, *more)
    return _apply(op.f, y + b[:, None, None])


def _extent(op: ops.Conv | ops.ConvTranspose, W: Array) -> ops.Pair:
    return extent((W.shape[2], W.shape[3]), op.dilation)


def windows(op: Any, x: Array, outside: float) -> Array:
    """The windows of a pool (N, C, H′, W′, kh, kw); ``outside`` is what is beyond the image."""
    border, reach = [(0, 0), (0, 0)], extent(op.window, op.dilation)
    for n, count, e, s, before in zip(x.shape[2:], op.y.shape[1:], reach, op.stride, op.corner):
        border.append((before, max((count - 1) * s + e - before - n, 0)))
    x = np.pad(x, border, constant_values=outside)
    views = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    (down, across), (gap, other_gap) = op.stride, op.dilation
    return views[:, :, ::down, ::across, ::gap, ::other_gap]


def _max_pool(op: ops.MaxPool, x: Array) -> Array:
    return windows(op, x, -np.inf).max(axis=(4, 5))


def _avg_pool(op: ops.AvgPool, x: Array) -> Array:
    inside = windows(op, np.ones((1, 1, *x.shape[2:]), x.dtype), 0).sum(axis=(4, 5))
    return windows(op, x, 0).sum(axis=(4, 5)) / inside


def _upsample(op: ops.Upsample, x: Array) -> Array:
    return x.repeat(op.factor[0], axis=2).repeat(op.factor[1], axis=3)


def _interpolate(op: ops.Interpolate, x: Array) -> Array:
    for axis in (2, 3):
        a, n = op.factor[axis - 2], x.shape[axis]
        place = np.clip((np.arange(a * n) + 0.5) / a - 0.5, 0, n - 1)
        first = place.astype(int)
        t = (place - first).astype(x.dtype).reshape(-1, *(1 for _ in x.shape[axis + 1 :]))
        u, v = x.take(first, axis), x.take(np.minimum(first + 1, n - 1), axis)
        x = u + t * (v - u)
    return x


def _permute(op: ops.Permute, x: Array) -> Array:
    order = [0, *(axis + 1 for axis in op.axes)]
    return x.reshape(len(x), *op.view).transpose(order)


def _pad(op: ops.Pad, x: Array) -> Array:
    border = [(0, 0), (0, 0)]
    for n, out, before in zip(x.shape[2:], op.y.shape[1:], op.corner):
        border.append((before, out - n - before))
    return np.pad(x, border, mode="reflect" if op.reflect else "constant")


def _activation(op: ops.Activation, x: Array) -> Array:
    return _apply(op.f, x)


def _prelu(op: ops.PReLU, x: Array, slope: Array) -> Array:
    rows = x.reshape(len(x), slope.size, -1)
    return np.where(rows > 0, rows, slope[:, None] * rows)


def _layer_norm(op: ops.LayerNorm, x: Array, gamma: Array, beta: Array) -> Array:
    rows = x.reshape(len(x), -1, gamma.size)
    c = rows - rows.mean(axis=2, keepdims=True)
    sigma = np.sqrt((c * c).mean(axis=2, keepdims=True) + op.eps)
    return c / sigma * gamma.ravel() + beta.ravel()


def _normalize(op: ops.Normalize, x: Array) -> Array:
    x = x.reshape(len(x), *op.view)
    c = x - x.mean(axis=2, keepdims=True) if op.centered else x
    return c / np.sqrt((c * c).mean(axis=2, keepdims=True) + op.eps)


def _softmax(op: ops.Softmax, x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _top_k(op: ops.TopK, x: Array) -> Array:
    rows = x.reshape(len(x), -1)
    threshold = np.partition(rows, rows.shape[1] - op.k, axis=1)[:, rows.shape[1] - op.k, None]
    above, equal = rows > threshold, rows == threshold
    ties_allowed = op.k - above.sum(axis=1, keepdims=True)
    return rows * (above | (equal & (equal.cumsum(axis=1) <= ties_allowed)))


def _add(op: ops.Add, x: Array, other: Array) -> Array:
    return x + other.reshape(x.shape)


def _multiply(op: ops.Multiply, x: Array, other: Array) -> Array:
    return x * other.reshape(x.shape)


def _copy(op: ops.Copy, x: Array) -> Array:
    return x


def _squared_error(op: ops.SquaredError, x: Array, target: Array) -> Array:
    squared = np.square(x.reshape(len(x), -1) - target.reshape(len(x), -1))
    return squared.mean(axis=1)


_RUN: dict[type[ops.Op], Callable[..., Array]] = {
    ops.Affine: _affine,
    ops.Dense: _dense,
    ops.Conv: _conv,
    ops.ConvTranspose: _conv_transpose,
    ops.MaxPool: _max_pool,
    ops.AvgPool: _avg_pool,
    ops.Upsample: _upsample,
    ops.Interpolate: _interpolate,
    ops.Permute: _permute,
    ops.Pad: _pad,
    ops.Activation: _activation,
    ops.PReLU: _prelu,
    ops.LayerNorm: _layer_norm,
    ops.Normalize: _normalize,
    ops.Softmax: _softmax,
    ops.TopK: _top_k,
    ops.Add: _add,
    ops.Multiply: _multiply,
    ops.Copy: _copy,
    ops.SquaredError: _squared_error,
}


def _apply(f: Function, x: Array) -> Array:
    return x if f == LINEAR else numpy_function(FUNCTIONS[f.name].f)(x, f.alpha)
