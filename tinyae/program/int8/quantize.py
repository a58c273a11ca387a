"""From a program in float and samples to the program in 8-bit integers.

1. Activations are taken out of the operations that they were fused into, except ReLU.
2. The program runs on the samples, and the range of every result is noted.
3. Results that some operation reads as one array share a range.
4. Every range becomes a scale and a zero point, and every operation one in int8.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinyae.kernels.expressions import numpy_function
from tinyae.kernels.functions import FUNCTIONS
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.int8.arithmetic import MAX_RATIO, Quantization, nearest, quantization
from tinyae.program.int8.norms import Norm, Softmax, finest_step, norm, softmax
from tinyae.program.int8.operations import (
    LINEAR_MAPS,
    Between,
    LinearMap,
    Mean,
    Move,
    Product,
    Slopes,
    Sum,
    Table,
    finest_scale,
    linear_map,
    mean_of,
    product_of,
    slopes,
    sum_of,
    table,
)
from tinyae.program.int8.units import Units
from tinyae.program.program import LINEAR, Op, Program, Slot
from tinyae.program.run_numpy import NumpyRuntime

QuantizedOp = LinearMap | Table | Move | Between | Sum | Product | Mean | Slopes | Norm | Softmax
INPUT = -1  # in place of the index of an operation that wrote a number: it is the sample's
_CHOICES = (  # their results are among the numbers that they read, and keep their scale
    *(ops.MaxPool, ops.Upsample, ops.Interpolate),
    *(ops.Permute, ops.Pad, ops.TopK),
)
_NORMS = (ops.LayerNorm, ops.Normalize, ops.Softmax)
FORMS = (
    *(*LINEAR_MAPS, *_CHOICES, *_NORMS),
    *(ops.AvgPool, ops.Add, ops.Multiply, ops.PReLU, ops.Activation, ops.Copy),
)
_BLOCK_ROWS = 256  # samples processed at a time


@dataclass(frozen=True, eq=False)
class QuantizedProgram:
    """A program in int8: ``program`` without its weights, and ``ops``, its own in int8.

    x_units, y_units    of the floats at its edges, where a scaler changes them
    """

    program: Program
    ops: tuple[QuantizedOp, ...]
    x: Quantization
    y: Quantization
    x_units: Units | None = None
    y_units: Units | None = None

    def run(self, x: Array) -> Array:
        """y (float32) from x: to the bit what the exported C computes."""
        y = np.empty((len(x), *self.program.output_shape), np.float32)
        for start in range(0, len(x), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            y[rows] = self._floats(self.run_int8(self._integers(x[rows])))
        return y

    def scores(self, x: Array) -> Array:
        """The mean squared error of each sample's reconstruction, in the units of the layers."""
        y = self.y.dequantize(self.run_int8(self._integers(x))).astype(np.float64)
        seen = x if self.x_units is None else self.x_units.scaled(x)
        return np.square(y - seen).reshape(len(x), -1).mean(axis=1)

    def _integers(self, x: Array) -> Array:
        return self.x.quantize(x) if self.x_units is None else self.x_units.quantize(x, self.x)

    def _floats(self, q: Array) -> Array:
        return self.y.dequantize(q) if self.y_units is None else self.y_units.dequantize(q, self.y)

    def run_int8(self, x: Array) -> Array:
        n, program = len(x), self.program
        output_shape = program.output_shape
        spaces = {
            "input": x.reshape(n, -1),
            "output": np.empty((n, program.output_length), np.int8),
            "arena": np.empty((n, program.arena), np.int8),
        }
        for quantized in self.ops:
            views = [
                spaces[s.space][:, s.offset : s.offset + s.size].reshape(n, *s.shape)
                for s in _sources(quantized.op)
            ]
            y = quantized.op.y
            result = quantized.run(*views).reshape(n, -1)
            spaces[y.space][:, y.offset : y.offset + y.size] = result
        return spaces["output"].reshape(n, *output_shape)


def quantize_program(
    program: Program, x: Array, x_units: Units | None = None, y_units: Units | None = None
) -> QuantizedProgram:
    """The program in int8; its ranges are those on the samples x, as the layers see them.

    Raises
        TypeError   an operation has no form in int8
        ValueError  the program makes numbers of x that are not finite
    """
    for op in program.ops:
        if not isinstance(op, FORMS):
            raise TypeError(
                f"export_c: the model has a {type(op).__name__}, which has no form in int8; pass "
                "quantize=None, or replace it"
            )
    program = _with_separate_activations(program)
    results = _Results(program)
    scaled = _scaled_norms(program, results)
    scales = _scales(program, results, _ranges(program, results, x), scaled)
    quantized: list[QuantizedOp] = []
    for k, op in enumerate(program.ops):
        if k + 1 in scaled:
            continue
        if k in scaled:
            whole, affine = scaled[k]
            x_of = scales[results.group(results.read_by[k - 1][0][0])]
            y_of = scales[results.group(k)]
            quantized.append(norm(whole, program.weights, x_of, y_of, affine))
            continue
        read = [scales[results.group(writers[0])] for writers in results.read_by[k]]
        quantized.append(_quantized(program, op, read, scales[results.group(k)]))
    x_scale, y_scale = (scales[results.group(k)] for k in (INPUT, results.output[0]))
    return QuantizedProgram(program, tuple(quantized), x_scale, y_scale, x_units, y_units)


def _scaled_norms(
    program: Program, results: _Results
) -> dict[int, tuple[ops.Normalize, ops.Affine]]:
    """Each Affine that scales what the Normalize before it gives, and nothing else reads: as one.

    Then the normalized numbers are rounded once, not twice.
    """
    pairs = {}
    for k, (op, affine) in enumerate(itertools.pairwise(program.ops)):
        if not isinstance(op, ops.Normalize) or not isinstance(affine, ops.Affine):
            continue
        readers = sum(k in writers for slots in results.read_by for writers in slots)
        alone = readers == 1 and results.read_by[k + 1] == [[k]] and k not in results.output
        x, y = op.x, affine.y
        apart = x.space != y.space or x.offset + x.size <= y.offset or y.offset + y.size <= x.offset
        if alone and op.view[2] == 1 and (apart or x.offset == y.offset):
            pairs[k + 1] = dataclasses.replace(op, y=y), affine
    return pairs


def _sources(op: Op) -> list[Slot]:
    return [s for name, s in op.slots.items() if name != "y" and s.space != "weights"]


def _with_separate_activations(program: Program) -> Program:
    separate: list[Op] = []
    for op in program.ops:
        f = getattr(op, "f", LINEAR)
        if isinstance(op, ops.Activation) or f.name in ("", "ReLU"):
            separate.append(op)
        else:
            separate.append(dataclasses.replace(op, f=LINEAR))  # type: ignore[call-arg]
            separate.append(ops.Activation(op.y, op.y, f))
    return dataclasses.replace(program, ops=tuple(separate))


class _Results:
    """Which operation's result each operation reads, and which results share a range.

    read_by   for each operation, for each slot it reads, who wrote that: indices, or INPUT
    output    who wrote the output
    """

    def __init__(self, program: Program) -> None:
        self._groups: dict[int, int] = {}
        spaces = {
            "input": np.full(program.input_length, INPUT),
            "output": np.zeros(program.output_length, int),
            "arena": np.zeros(program.arena, int),
        }

        def writers(slot: Slot) -> list[int]:
            written = spaces[slot.space][slot.offset : slot.offset + slot.size]
            return [int(k) for k in np.unique(written)]

        self.read_by: list[list[list[int]]] = []
        for k, op in enumerate(program.ops):
            self.read_by.append([writers(slot) for slot in _sources(op)])
            spaces[op.y.space][op.y.offset : op.y.offset + op.y.size] = k
        self.output = [int(k) for k in np.unique(spaces["output"])]
        for together in [self.output, *(w for slots in self.read_by for w in slots)]:
            self._share(together)
        for k, op in enumerate(program.ops):
            if isinstance(op, _CHOICES):
                self._share([k, *self.read_by[k][0]])

    def _share(self, together: list[int]) -> None:
        for k in together:
            self._groups[self.group(k)] = self.group(together[0])

    def group(self, k: int) -> int:
        """The same number for all results that share a range."""
        while self._groups.get(k, k) != k:
            k = self._groups[k]
        return k

    def group_sizes(self, program: Program) -> dict[int, int]:
        groups = [self.group(k) for k in range(INPUT, len(program.ops))]
        return {g: groups.count(g) for g in groups}


class _Range(NamedTuple):
    low: float
    high: float


def _ranges(program: Program, results: _Results, x: Array) -> dict[int, _Range]:
    """The range of each group of results on the samples."""
    runtime = NumpyRuntime(program)
    ranges: dict[int, _Range] = {}
    for start in range(0, len(x), _BLOCK_ROWS):
        rows = x[start : start + _BLOCK_ROWS]
        out = np.empty((len(rows), *program.output_shape), x.dtype)
        for k, y in _observed(runtime, rows, out):
            low, high = float(y.min()), float(y.max())
            if not np.isfinite([low, high]).all():
                what = "calibration has" if k == INPUT else "the model makes of calibration"
                raise ValueError(
                    f"export_c: {what} numbers that are NaN or infinite, expected finite ones; pass "
                    "samples like those that the model was trained on"
                )
            group = results.group(k)
            before = ranges.get(group, _Range(low, high))
            ranges[group] = _Range(min(low, before.low), max(high, before.high))
    return ranges


def _observed(runtime: NumpyRuntime, x: Array, out: Array) -> Iterator[tuple[int, Array]]:
    yield INPUT, x
    yield from enumerate(runtime.steps(x, out))


def _scales(
    program: Program,
    results: _Results,
    ranges: dict[int, _Range],
    scaled: dict[int, tuple[ops.Normalize, ops.Affine]],
) -> dict[int, Quantization]:
    scales = {group: quantization(*r) for group, r in ranges.items()}
    sizes = results.group_sizes(program)
    for k, op in enumerate(program.ops):
        if isinstance(op, ops.Activation):
            x = results.group(results.read_by[k][0][0])
            if op.x == op.y and sizes[x] == 1:  # nothing else reads it
                scales[x] = _where_not_saturated(op, ranges[x], scales[results.group(k)])
    for _ in program.ops:
        if not _widened(program, results, ranges, scales, scaled):
            return scales
    raise ValueError(
        "export_c: weights are too large for int8: what goes into a layer inside Skip and what comes "
        "out share a scale, in which weights above 30 have no place; pass quantize=None, or train "
        "with weight decay"
    )


def _where_not_saturated(op: ops.Activation, r: _Range, y: Quantization) -> Quantization:
    """A scale for what an activation reads, without the ends of its range that make no difference.

    So the 256 steps are finer where they matter, for instance between −6 and 6 for a sigmoid.
    """
    grid = np.linspace(r.low, r.high, 4097)
    q = nearest(numpy_function(FUNCTIONS[op.f.name].f)(grid, op.f.alpha), y)
    changes = np.flatnonzero(np.diff(q))
    if not changes.size:
        return quantization(*r)
    return quantization(float(grid[changes[0]]), float(grid[changes[-1] + 1]))


def _widened(
    program: Program,
    results: _Results,
    ranges: dict[int, _Range],
    scales: dict[int, Quantization],
    scaled: dict[int, tuple[ops.Normalize, ops.Affine]],
) -> bool:
    """Whether a result needed a coarser scale: its step is at least four of the sums' steps.

    That is so unless the weights, or the results, are very unlike each other in size.
    """
    changed = False
    for k, op in enumerate(program.ops):
        x, y = results.group(results.read_by[k][0][0]), results.group(k)
        if k in scaled:
            whole, affine = scaled[k]
            finest = finest_step(whole, program.weights, affine)
        elif isinstance(op, tuple(LINEAR_MAPS)):
            finest = finest_scale(op, program.weights, scales[x])
        elif isinstance(op, _NORMS):
            finest = finest_step(op, program.weights)
        else:
            continue
        least = finest / MAX_RATIO
        if scales[y].scale < least:
            low, high = min(ranges[y].low, 0.0), max(ranges[y].high, 0.0)
            center = (high + low) / 2 if high > low else 0.0
            half = 1.01 * least * 255 / 2
            scales[y] = quantization(center - half, center + half)
            changed = True
    return changed


def _quantized(program: Program, op: Op, read: list[Quantization], y: Quantization) -> QuantizedOp:
    x = read[0]
    if isinstance(op, tuple(LINEAR_MAPS)):
        return linear_map(op, program.weights, x, y)
    if isinstance(op, ops.Activation):
        return table(op, op.f, x, y)
    if isinstance(op, ops.PReLU):
        return slopes(op, program.weights, x, y)
    if isinstance(op, ops.Add):
        return sum_of(op, read, y)
    if isinstance(op, ops.Multiply):
        return product_of(op, read, y)
    if isinstance(op, ops.AvgPool):
        return mean_of(op, x, y)
    if isinstance(op, ops.LayerNorm | ops.Normalize):
        return norm(op, program.weights, x, y)
    if isinstance(op, ops.Softmax):
        return softmax(op, x, y)
    if isinstance(op, ops.Interpolate):
        return Between(op)
    return Move(op, x.zero) if x == y else table(op, LINEAR, x, y)
