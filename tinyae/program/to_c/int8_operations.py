"""Operations in int8 as calls of C functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.int8.operations import LinearMap, Move, Table
from tinyae.program.int8.quantize import QuantizedOp
from tinyae.program.to_c import int8_templates as templates
from tinyae.program.to_c.operations import Operations, comment, pointer
from tinyae.program.to_c.tables import split

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


_WRITE: dict[type[ops.Op], Callable[[Operations, Any, int], list[str]]] = {
    ops.Dense: _dense,
    ops.Activation: _table,
    ops.Copy: _copy,
}
