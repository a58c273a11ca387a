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
from tinyae.program.to_c.operations import Operations, comment, pointer
from tinyae.program.to_c.tables import split

_ROWS = (4, 1)  # outputs that are computed at a time: on ARM, 4 sums and 4 numbers fit in registers


def int8_statements(operations: Operations, quantized: QuantizedOp, k: int) -> list[str]:
    """Operation k in C, with ``in``, ``out`` and ``arena`` as pointers to int8_t."""
    calls = _WRITE[type(quantized.op)](operations, quantized, k)
    return [comment(k, quantized.op), *(f"{call};" for call in calls)]


def _dense_function(operations: Operations, rows: int) -> str:
    operations.function("requantize", templates.REQUANTIZE)
    operations.function("dot", templates.DOT)
    return operations.function(f"dense{rows}", templates.DENSE, rows=rows)


def _dense_tables(
    operations: Operations, quantized: LinearMap, k: int, matrices: list[Array]
) -> tuple[str, str]:
    """The tables of weights and scales of matrices that are multiplied one after the other.

    W (x - x_zero) + b = W x + (b - x_zero W 1)
    """
    groups = split(len(matrices[0]), _ROWS)
    W = operations.tables.add(f"W{k}", np.concatenate([_in_fours(m, groups) for m in matrices]))
    constants = [quantized.b - quantized.x_zero * m.sum(axis=1, dtype=np.int32) for m in matrices]
    scales = [np.stack([b, quantized.multiplier], axis=1).astype(np.int32) for b in constants]
    return W, operations.tables.add(f"scales{k}", np.concatenate(scales))


class DenseCalls:
    """A Dense operation in C: its tables and functions, and calls of it for some of its rows."""

    def __init__(self, operations: Operations, quantized: LinearMap, k: int) -> None:
        self.operations, self.quantized = operations, quantized
        self.groups = split(len(quantized.W), _ROWS)
        self.columns = quantized.W.shape[1]
        self.W, self.scales = _dense_tables(operations, quantized, k, [quantized.W])

    def call(self, rows: int, first: str, outputs: int, y: str) -> str:
        """Outputs from ``first`` on, ``rows`` at a time, to y."""
        q = self.quantized
        function = _dense_function(self.operations, rows)
        W = self.W if first == "0" else f"{self.W} + {first} * {self.columns}"
        scales = self.scales if first == "0" else f"{self.scales} + {first} * 2"
        sizes = f"{outputs}, {self.columns}, 1, {q.shift + 1}, {q.offset}, {q.low}"
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
    return _any_conv(operations, quantized, k, "conv", images.CONV)


def _conv_transpose(operations: Operations, quantized: LinearMap, k: int) -> list[str]:
    return _any_conv(operations, quantized, k, "conv_transpose", images.CONV_TRANSPOSE)


def _any_conv(
    operations: Operations, quantized: LinearMap, k: int, name: str, template: Template
) -> list[str]:
    op = quantized.op
    kernels = _kernels(quantized)
    for rows in _ROWS:
        _dense_function(operations, rows)
    W, scales = _dense_tables(operations, quantized, k, kernels)
    window = operations.window(k, op, op.W.shape[2:], op.corner)
    operations.function("gather", images.GATHER)
    function = operations.function(name, template)
    channels = op.y.shape[0]
    pointers = f"{W}, {scales}, {pointer(op.x)}, {pointer(op.y)}, patch"
    return [f"{function}({window}, {channels}, {pointers}, {_numbers(quantized)})"]


def _kernels(quantized: LinearMap) -> list[Array]:
    """The matrices (out_channels, numbers in a patch) of a convolution: one, or one for each a, b."""
    op, W = quantized.op, quantized.W
    if isinstance(op, ops.Conv):
        return [W.reshape(len(W), -1)]
    down, right = op.stride
    W = W.swapaxes(0, 1)
    parts = [W[:, :, a::down, b::right] for a in range(down) for b in range(right)]
    return [part[:, :, ::-1, ::-1].reshape(len(W), -1) for part in parts]


def patch_bytes(quantized: QuantizedOp) -> int:
    """Bytes of memory in which an operation gathers what it multiplies, beside its result."""
    if isinstance(quantized.op, ops.Conv | ops.ConvTranspose):
        assert isinstance(quantized, LinearMap)
        return max(kernel.shape[1] for kernel in _kernels(quantized))
    return 0


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
