"""Operations in int8 as calls of C functions."""

from __future__ import annotations

from collections.abc import Callable
from string import Template
from typing import Any

import numpy as np

from tinyae.kernels.windows import extent
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.int8.norms import Norm, Softmax
from tinyae.program.int8.operations import (
    Between,
    LinearMap,
    Mean,
    Move,
    Product,
    Slopes,
    Sum,
    Table,
)
from tinyae.program.int8.quantize import QuantizedOp
from tinyae.program.to_c import image_templates as float_images
from tinyae.program.to_c import int8_image_templates as images
from tinyae.program.to_c import int8_templates as templates
from tinyae.program.to_c import templates as float_templates
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
    operations: Operations, quantized: LinearMap, k: int, matrices: list[tuple[Array, slice]]
) -> tuple[str, str]:
    """The tables of weights and scales of matrices that are multiplied one after the other.

    Each comes with the outputs that it gives. W (x - x_zero) + b = W x + (b - x_zero W 1)
    """
    weights, scales = [], []
    for matrix, outputs in matrices:
        weights.append(_in_fours(matrix, split(len(matrix), _ROWS)))
        b = quantized.b[outputs] - quantized.x_zero * matrix.sum(axis=1, dtype=np.int32)
        scales.append(np.stack([b, quantized.multiplier[outputs]], axis=1).astype(np.int32))
    W = operations.tables.add(f"W{k}", np.concatenate(weights))
    return W, operations.tables.add(f"scales{k}", np.concatenate(scales))


class DenseCalls:
    """A Dense operation in C: its tables and functions, and calls of it for some of its rows."""

    def __init__(self, operations: Operations, quantized: LinearMap, k: int) -> None:
        self.operations, self.quantized = operations, quantized
        self.groups = split(len(quantized.W), _ROWS)
        self.columns = quantized.W.shape[1]
        self.W, self.scales = _dense_tables(operations, quantized, k, [(quantized.W, slice(None))])

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
    function = operations.function("copy", templates.in_int8(float_templates.COPY))
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
    op, groups = quantized.op, quantized.op.groups
    convolution = _convolution(quantized)
    for rows in _ROWS:
        _dense_function(operations, rows)
    W, scales = _dense_tables(operations, quantized, k, _kernels(quantized))
    struct = f"{operations.name}_convolution"
    operations.types[struct] = images.CONVOLUTION.substitute(name=operations.name)
    sizes = "&" + operations.tables.add_struct(struct, f"convolution{k}", convolution)
    operations.function("min", float_templates.MIN)
    operations.function("gather", images.GATHER)
    function = operations.function(name, template, pixels=_PIXELS)
    places, loop = [W, scales, pointer(op.x), pointer(op.y)], ""
    if groups > 1:
        loop = f"for (int32_t g = 0; g < {groups}; g++) "
        lengths = (quantized.W.size, 2 * _phases(op) * quantized.b.size, op.x.size, op.y.size)
        if isinstance(op, ops.ConvTranspose):
            lengths = (_with_gaps(op, quantized.W).size, *lengths[1:])
        places = [f"{place} + g * {n // groups}" for place, n in zip(places, lengths)]
    return [f"{loop}{function}({sizes}, {', '.join(places)}, strip, {_numbers(quantized)})"]


_PIXELS = 16  # of y whose windows are gathered together


def _phases(op: ops.Conv | ops.ConvTranspose) -> int:
    """How many different sets of weights the pixels of y meet."""
    return 1 if isinstance(op, ops.Conv) else op.stride[0] * op.stride[1]


def _convolution(quantized: LinearMap) -> tuple[int, ...]:
    """The sizes in ``images.CONVOLUTION``."""
    op = quantized.op
    channels, *size = op.x.shape
    out_channels, *out_size = op.y.shape
    window, dilation = op.W.shape[2:], op.dilation
    if isinstance(op, ops.ConvTranspose):  # the dilation is in the weights
        window, dilation = extent((window[0], window[1]), dilation), (1, 1)
    x, y = (channels // op.groups, *size), (out_channels // op.groups, *out_size)
    return (*x, *y, *window, *op.stride, *op.corner, *dilation)


def _with_gaps(op: ops.ConvTranspose, W: Array) -> Array:
    """W with zeros in place of the gaps of its dilation."""
    with_gaps = np.zeros((*W.shape[:2], *extent((W.shape[2], W.shape[3]), op.dilation)), W.dtype)
    with_gaps[..., :: op.dilation[0], :: op.dilation[1]] = W
    return with_gaps


def _kernels(quantized: LinearMap) -> list[tuple[Array, slice]]:
    """The matrices (outputs, numbers in a window) of a convolution, and whose outputs these are.

    One for each group, or for each group and a, b.
    """
    op, W = quantized.op, quantized.W
    count, kernels = len(W) // op.groups, []
    for first in range(0, len(W), count):
        outputs = slice(first, first + count)
        parts = [W[outputs]]
        if isinstance(op, ops.ConvTranspose):
            whole, (down, right) = _with_gaps(op, W[outputs]), op.stride
            parts = [whole[:, :, a::down, b::right] for a in range(down) for b in range(right)]
            parts = [part[:, :, ::-1, ::-1] for part in parts]
        kernels += [(part.transpose(0, 3, 1, 2).reshape(count, -1), outputs) for part in parts]
    return kernels


def strip_bytes(quantized: QuantizedOp) -> int:
    """Bytes of memory in which an operation gathers what it multiplies, beside its result."""
    op = quantized.op
    if not isinstance(op, ops.Conv | ops.ConvTranspose):
        return 0
    assert isinstance(quantized, LinearMap)
    channels, _, _, _, _, out_width, height, width, down, right, _, left, _, gap = _convolution(
        quantized
    )
    if isinstance(op, ops.ConvTranspose):
        columns = (out_width - 1 + left) // right + 1 - left // right
        return channels * -(-height // down) * (min(columns, _PIXELS) - 1 - (-width // right))
    wide = (min(out_width, _PIXELS) - 1) * right + (width - 1) * gap + 1
    return channels * height * -(-wide // gap) * gap


def _affine(operations: Operations, quantized: LinearMap, k: int) -> list[str]:
    op = quantized.op
    operations.function("requantize", templates.REQUANTIZE)
    function = operations.function("affine", images.AFFINE)
    W = operations.tables.add(f"W{k}", quantized.W)
    scales, channels = _scales(operations, quantized, k), quantized.W.size
    sizes = f"{pointer(op.x)}, {pointer(op.y)}, {channels}, {op.x.size // channels}"
    return [f"{function}({W}, {scales}, {sizes}, {_numbers(quantized)})"]


def _max_pool(operations: Operations, quantized: Move, k: int) -> list[str]:
    template, op = templates.in_int8(float_images.MAX_POOL), quantized.op
    return _pool(operations, op, k, "max_pool", template, "", **float_images.NO_NAN)


def _avg_pool(operations: Operations, q: Mean, k: int) -> list[str]:
    operations.function("rescale", templates.RESCALE)
    numbers = f", {q.factor}, {q.x_zero}, {q.shift}, {q.offset}"
    return _pool(operations, q.op, k, "avg_pool", images.AVG_POOL, numbers)


def _pool(
    operations: Operations,
    op: Any,
    k: int,
    name: str,
    template: Template,
    numbers: str,
    **values: str,
) -> list[str]:
    operations.function("min", float_templates.MIN)
    name += float_images.suffix(op.dilation)
    function = operations.function(name, template, **float_images.entries(op.dilation), **values)
    window = operations.window(k, op, extent(op.window, op.dilation), op.corner)
    return [f"{function}({window}, {pointer(op.x)}, {pointer(op.y)}{numbers})"]


def _upsample(operations: Operations, quantized: Move, k: int) -> list[str]:
    op: Any = quantized.op
    function = operations.function("upsample", templates.in_int8(float_images.UPSAMPLE))
    channels, height, width = op.x.shape
    sizes = f"{channels * height}, {width}, {op.factor[0]}, {op.factor[1]}"
    return [f"{function}({pointer(op.x)}, {pointer(op.y)}, {sizes})"]


def _interpolate(operations: Operations, quantized: Between, k: int) -> list[str]:
    op = quantized.op
    operations.function("min", float_templates.MIN)
    function = operations.function("interpolate", images.INTERPOLATE)
    sizes = ", ".join(map(str, (*op.x.shape, *op.factor)))
    return [f"{function}({pointer(op.x)}, {pointer(op.y)}, {sizes})"]


def _permute(operations: Operations, quantized: Move, k: int) -> list[str]:
    op: Any = quantized.op
    permutation = operations.permutation(k, [*op.sizes, *op.steps])
    function = operations.function("permute", templates.in_int8(float_images.PERMUTE))
    return [f"{function}({permutation}, {pointer(op.x)}, {pointer(op.y)})"]


def _pad(operations: Operations, quantized: Move, k: int) -> list[str]:
    op: Any = quantized.op
    places = f"{operations.window(k, op, (1, 1), op.corner)}, {pointer(op.x)}, {pointer(op.y)}"
    if not op.reflect:
        return [f"{operations.function('pad', images.PAD)}({places}, {quantized.zero})"]
    operations.function("mirrored", float_images.MIRRORED)
    template = templates.in_int8(float_images.PAD_REFLECT)
    return [f"{operations.function('pad_reflect', template)}({places})"]


def _top_k(operations: Operations, quantized: Move, k: int) -> list[str]:
    op: Any = quantized.op
    function = operations.function("top_k", templates.TOP_K)
    return [f"{function}({pointer(op.x)}, {pointer(op.y)}, {op.x.size}, {op.k}, {quantized.zero})"]


def _norm(operations: Operations, q: Norm, k: int) -> list[str]:
    operations.function("requantize", templates.REQUANTIZE)
    operations.function("inverse_root", templates.INVERSE_ROOT)
    function = operations.function("norm", templates.NORM)
    W = operations.tables.add(f"W{k}", q.W)
    scales = operations.tables.add(f"scales{k}", np.stack([q.b, q.multiplier], axis=1))
    sizes = *q.view, q.W.size, q.per, int(q.centered), f"INT64_C({q.eps})"
    numbers = (*sizes, q.down, q.x_zero, q.shift + 1, q.offset, q.low)
    places = f"{W}, {scales}, {pointer(q.op.x)}, {pointer(q.op.y)}"
    return [f"{function}({places}, {', '.join(map(str, numbers))})"]


def _softmax(operations: Operations, q: Softmax, k: int) -> list[str]:
    operations.function("requantize", templates.REQUANTIZE)
    function = operations.function("softmax", templates.SOFTMAX)
    table = operations.tables.add(f"exponentials{k}", q.exponentials)
    sizes = q.classes, q.op.x.size // q.classes
    numbers = ", ".join(map(str, (*sizes, q.down, q.multiplier, q.shift + 1, q.offset)))
    return [f"{function}({table}, {pointer(q.op.x)}, {pointer(q.op.y)}, {numbers})"]


def _prelu(operations: Operations, q: Slopes, k: int) -> list[str]:
    operations.function("rescale", templates.RESCALE)
    function = operations.function("prelu", templates.PRELU)
    negative, channels = operations.tables.add(f"slope{k}", q.negative), q.negative.size
    sizes = channels, q.op.x.size // channels
    numbers = ", ".join(map(str, (*sizes, q.positive, q.x_zero, q.shift, q.offset)))
    return [f"{function}({negative}, {pointer(q.op.x)}, {pointer(q.op.y)}, {numbers})"]


def _multiply(operations: Operations, q: Product, k: int) -> list[str]:
    op = q.op
    operations.function("rescale", templates.RESCALE)
    function = operations.function("multiply", templates.MULTIPLY)
    pointers = f"{pointer(op.x)}, {pointer(op.other)}, {pointer(op.y)}, {op.x.size}"
    numbers = ", ".join(map(str, (q.factor, *q.zeros, q.shift, q.offset)))
    return [f"{function}({pointers}, {numbers})"]


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
    ops.Interpolate: _interpolate,
    ops.Permute: _permute,
    ops.Pad: _pad,
    ops.PReLU: _prelu,
    ops.LayerNorm: _norm,
    ops.Normalize: _norm,
    ops.Softmax: _softmax,
    ops.TopK: _top_k,
    ops.Add: _add,
    ops.Multiply: _multiply,
    ops.Activation: _table,
    ops.Copy: _copy,
}
