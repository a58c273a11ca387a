"""Operations in int8 as calls of C functions."""

from __future__ import annotations

from collections.abc import Callable
from string import Template
from typing import Any

import numpy as np

from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.int8.operations import LinearMap, Move, Sum, Table
from tinyae.program.int8.quantize import QuantizedOp
from tinyae.program.to_c import int8_image_templates as images
from tinyae.program.to_c import int8_templates as templates
from tinyae.program.to_c.operations import Operations, at, comment, pointer
from tinyae.program.to_c.tables import split
from tinyae.program.to_c.templates import MIN

_ROWS = (4, 1)  # outputs that are computed at a time: on ARM, 4 sums and 4 numbers fit in registers


def int8_statements(operations: Operations, quantized: QuantizedOp, k: int) -> list[str]:
    """Operation k in C, with ``in``, ``out`` and ``arena`` as pointers to int8_t."""
    calls = _WRITE[type(quantized.op)](operations, quantized, k)
    return [comment(k, quantized.op), *(f"{call};" for call in calls)]


class DenseCalls:
    """A Dense operation in C: its tables and functions, and calls of it for some of its rows."""

    def __init__(self, operations: Operations, quantized: LinearMap, k: int) -> None:
        self.operations, self.quantized = operations, quantized
        W, x_zero = quantized.W, quantized.x_zero
        self.columns = W.shape[1]
        operations.function("requantize", templates.REQUANTIZE)
        operations.function("dot", templates.DOT)
        # W (x - x_zero) + b = W x + (b - x_zero W 1)
        b = quantized.b - x_zero * W.sum(axis=1, dtype=np.int32)
        self.groups = split(len(W), _ROWS)
        self.W = operations.tables.add(f"W{k}", _in_fours(W, self.groups))
        scales = np.stack([b, quantized.multiplier], axis=1).astype(np.int32)
        self.scales = operations.tables.add(f"scales{k}", scales)

    def call(self, rows: int, first: str, outputs: int, y: str) -> str:
        """Outputs from ``first`` on, ``rows`` at a time, to y."""
        q, operations = self.quantized, self.operations
        function = operations.function(f"dense{rows}", templates.DENSE, rows=rows)
        W = self.W if first == "0" else f"{self.W} + {first} * {self.columns}"
        scales = self.scales if first == "0" else f"{self.scales} + {first} * 2"
        sizes = f"{outputs}, {self.columns}, {q.shift + 1}, {q.offset}, {q.low}"
        return f"{function}({W}, {scales}, {pointer(q.op.x)}, {y}, {sizes})"


def _dense(operations: Operations, quantized: LinearMap, k: int) -> list[str]:
    dense = DenseCalls(operations, quantized, k)
    calls, first, y = [], 0, quantized.op.y
    for rows, outputs in dense.groups:
        at = pointer(y._replace(offset=y.offset + first))
        calls.append(dense.call(rows, str(first), outputs, at))
        first += outputs
    return calls


def _in_fours(W: Array, groups: list[tuple[int, int]]) -> Array:
    """W flat, in the order of ``templates.DENSE``."""
    eights = W.shape[1] // 8 * 8
    parts, first = [], 0
    for rows, outputs in groups:
        block = W[first : first + outputs].reshape(outputs // rows, rows, -1)
        whole = block[:, :, :eights].reshape(len(block), rows, -1, 4).transpose(0, 2, 1, 3)
        rest = block[:, :, eights:].transpose(0, 2, 1)
        for together in zip(whole, rest):
            parts += [part.ravel() for part in together]
        first += outputs
    return np.concatenate(parts)


def table_call(operations: Operations, quantized: Table, k: int, x: str, y: str, size: int) -> str:
    function = operations.function("table", templates.TABLE)
    table = operations.tables.add(f"table{k}", quantized.table)
    return f"{function}({table}, {x}, {y}, {size})"


def _table(operations: Operations, quantized: Table, k: int) -> list[str]:
    x, y = quantized.op.x, quantized.op.y
    return [table_call(operations, quantized, k, pointer(x), pointer(y), y.size)]


def _copy(operations: Operations, quantized: Table | Move, k: int) -> list[str]:
    if isinstance(quantized, Table):
        return _table(operations, quantized, k)
    op = quantized.op
    function = operations.function("copy", templates.COPY)
    return [f"{function}({pointer(op.x)}, {pointer(op.y)}, {op.x.size})"]


def _scales(operations: Operations, quantized: LinearMap, k: int) -> str:
    """The table of b and the multiplier of each output."""
    scales = np.stack([quantized.b, quantized.multiplier], axis=1)
    return operations.tables.add(f"scales{k}", scales)


def _numbers(quantized: LinearMap) -> str:
    q = quantized
    return f"{q.x_zero}, {q.shift + 1}, {q.offset}, {q.low}"


def _conv(operations: Operations, quantized: LinearMap, k: int) -> list[str]:
    return _any_conv(operations, quantized, k, quantized.W, "conv", images.CONV)


def _conv_transpose(operations: Operations, quantized: LinearMap, k: int) -> list[str]:
    W = quantized.W.swapaxes(0, 1)
    return _any_conv(operations, quantized, k, W, "conv_transpose", images.CONV_TRANSPOSE)


def _any_conv(
    operations: Operations, quantized: LinearMap, k: int, W: Array, name: str, template: Template
) -> list[str]:
    """W (O, C, kh, kw)"""
    op, groups = quantized.op, split(len(W), _ROWS)
    operations.function("min", MIN)
    operations.function("requantize", templates.REQUANTIZE)
    window = operations.window(k, op, (W.shape[2], W.shape[3]), op.corner)
    rows_of = W.reshape(len(W), -1)
    parts, calls, first = [], [], 0
    scales = _scales(operations, quantized, k)
    for rows, outputs in groups:
        block = rows_of[first : first + outputs].reshape(outputs // rows, rows, -1)
        parts.append(block.transpose(0, 2, 1).ravel())
        first += outputs
    table, first = operations.tables.add(f"W{k}", np.concatenate(parts)), 0
    for rows, outputs in groups:
        function = operations.function(f"{name}{rows}", template, rows=rows)
        tables = f"{at(table, first * W[0].size)}, {at(scales, 2 * first)}"
        y = op.y._replace(offset=op.y.offset + first * op.y.shape[1] * op.y.shape[2])
        pointers = f"{pointer(op.x)}, {pointer(y)}"
        numbers = _numbers(quantized)
        calls.append(f"{function}({window}, {outputs}, {tables}, {pointers}, {numbers})")
        first += outputs
    return calls


def _affine(operations: Operations, quantized: LinearMap, k: int) -> list[str]:
    op = quantized.op
    operations.function("requantize", templates.REQUANTIZE)
    function = operations.function("affine", images.AFFINE)
    W = operations.tables.add(f"W{k}", quantized.W)
    scales, channels = _scales(operations, quantized, k), quantized.W.size
    sizes = f"{pointer(op.x)}, {pointer(op.y)}, {channels}, {op.x.size // channels}"
    return [f"{function}({W}, {scales}, {sizes}, {_numbers(quantized)})"]


def _max_pool(operations: Operations, quantized: Move, k: int) -> list[str]:
    op: Any = quantized.op
    function = operations.function("max_pool", images.MAX_POOL)
    window = operations.window(k, op, op.window, (0, 0))
    return [f"{function}({window}, {pointer(op.x)}, {pointer(op.y)})"]


def _upsample(operations: Operations, quantized: Move, k: int) -> list[str]:
    op: Any = quantized.op
    function = operations.function("upsample", images.UPSAMPLE)
    channels, height, width = op.x.shape
    sizes = f"{channels * height}, {width}, {op.factor[0]}, {op.factor[1]}"
    return [f"{function}({pointer(op.x)}, {pointer(op.y)}, {sizes})"]


def _avg_pool(operations: Operations, quantized: Sum, k: int) -> list[str]:
    op = quantized.op
    operations.function("rescale", templates.RESCALE)
    function = operations.function("avg_pool", images.AVG_POOL)
    window = operations.window(k, op, op.window, (0, 0))
    numbers = f"{quantized.factors[0]}, {quantized.shift}, {quantized.offset}"
    return [f"{function}({window}, {pointer(op.x)}, {pointer(op.y)}, {numbers})"]


def _add(operations: Operations, quantized: Sum, k: int) -> list[str]:
    op = quantized.op
    operations.function("rescale", templates.RESCALE)
    function = operations.function("add", templates.ADD)
    pointers = f"{pointer(op.x)}, {pointer(op.other)}, {pointer(op.y)}, {op.x.size}"
    numbers = (*quantized.factors, quantized.shift, quantized.offset)
    return [f"{function}({pointers}, {', '.join(map(str, numbers))})"]


_WRITE: dict[type[ops.Op], Callable[[Operations, Any, int], list[str]]] = {
    ops.Dense: _dense,
    ops.Conv: _conv,
    ops.ConvTranspose: _conv_transpose,
    ops.Affine: _affine,
    ops.MaxPool: _max_pool,
    ops.AvgPool: _avg_pool,
    ops.Upsample: _upsample,
    ops.Add: _add,
    ops.Activation: _table,
    ops.Copy: _copy,
}
