"""Write the operations of a program as calls of C functions, and collect what these need.

A C function is written once for all operations that use it. An activation that is fused into an
operation is a call of its own, in place: that is less code, and next to the products costs little.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from string import Template
from typing import Any

import numpy as np

from tinyae.kernels.expressions import FUNCTION_NAMES, c_expression, c_number, variables
from tinyae.kernels.functions import FUNCTIONS
from tinyae.kernels.windows import extent
from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.gradients import DenseGrad
from tinyae.program.program import LINEAR, Function, Op, Program, Slot
from tinyae.program.to_c import image_templates, templates
from tinyae.program.to_c.learnt import LearntWeights
from tinyae.program.to_c.tables import Tables, interleave, split

_LIBM = re.compile(rf"\b(sqrt|fabs|{'|'.join(FUNCTION_NAMES)})f\(")
_POINTERS = {"input": "in", "output": "out", "arena": "arena"}


class Operations:
    """The types, tables and functions that the statements written so far need."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tables = Tables(name)
        self.learnt = LearntWeights()
        self.types: dict[str, str] = {}
        self.functions: dict[str, str] = {}

    @property
    def needs_libm(self) -> bool:
        return any(_LIBM.search(text) for text in self.functions.values())

    def statements(self, program: Program, k: int) -> list[str]:
        """Operation k in C, with ``in``, ``out`` and ``arena`` as pointers to the spaces."""
        op = program.ops[k]
        calls = WRITE[type(op)](Writer(self, program, k), op)
        f = getattr(op, "f", LINEAR)
        if f != LINEAR and not isinstance(op, ops.Activation):
            calls.append(self.activation(f, pointer(op.y), op.y.size))
        return [comment(k, op), *(f"{call};" for call in calls)]

    def function(self, name: str, template: Template, **values: Any) -> str:
        """The C name of a function; its text is added to the header if it is new."""
        full_name = f"{self.name}_{name}"
        if full_name not in self.functions:
            self.functions[full_name] = templates.fill(template, name=self.name, **values)
        return full_name

    def activation(self, f: Function, y: str, length: int) -> str:
        """The call for y = f(y), y a pointer. The function's text comes from FUNCTIONS."""
        expression = FUNCTIONS[f.name].f
        text = c_expression(expression)
        has_alpha = "alpha" in variables(expression)
        function = self.function(
            f.name.lower(),
            templates.ACTIVATION,
            function=f.name.lower(),
            alpha=", float alpha" if has_alpha else "",
            expression=text[1:-1] if text.startswith("(") else text,
        )
        alpha = f", {c_number(f.alpha)}" if has_alpha else ""
        return f"{function}({y}, {length}{alpha})"

    def window(self, k: int, op: Any, window: ops.Pair, corner: ops.Pair, groups: int = 1) -> str:
        """The address of a table of operation k's sizes, see ``image_templates.WINDOW``."""
        window_type = f"{self.name}_window"
        self.types[window_type] = image_templates.WINDOW.substitute(name=self.name)
        channels, *size = op.x.shape
        sizes = (channels // groups, *size, *op.y.shape[1:], *window, *op.stride, *corner)
        return "&" + self.tables.add_struct(window_type, f"window{k}", sizes)

    def permutation(self, k: int, sizes_and_steps: list[int]) -> str:
        """The address of a table, see ``image_templates.PERMUTATION``."""
        name = f"{self.name}_permutation"
        self.types[name] = image_templates.PERMUTATION.substitute(name=self.name)
        return "&" + self.tables.add_struct(name, f"permutation{k}", sizes_and_steps)


def comment(k: int, op: Op) -> str:
    return f"/* {k}  {title(op)}, {shapes(op)} */"


def title(op: Op) -> str:
    f = getattr(op, "f", LINEAR)
    if isinstance(op, ops.Activation):
        return f.name
    return type(op).__name__ + (f" + {f.name}" if f.name else "")


def shapes(op: Op) -> str:
    return f"{shape_text(op.x.shape)} -> {shape_text(op.y.shape)}"


def shape_text(shape: ops.Shape) -> str:
    return " x ".join(map(str, shape)) or "1"


# --- one function for each kind of operation, which returns the calls ------------------------------


class Writer:
    """What the functions below need to write operation k of a program."""

    def __init__(self, operations: Operations, program: Program, k: int) -> None:
        self.operations, self.weights, self.k = operations, program.weights, k
        self.learnt = program.learnt

    def read(self, slot: Slot) -> Array:
        return self.weights[slot.offset : slot.offset + slot.size].reshape(slot.shape)

    def learns(self, slot: Slot) -> bool:
        return slot.space == "weights" and slot.offset in self.learnt

    def table(self, name: str, values: Array, slot: Slot) -> str:
        """The pointer to weights in C; ``slot`` is the first of those they are made from."""
        if self.learns(slot):
            return self.operations.learnt.add(self.learnt[slot.offset], values)
        return self.operations.tables.add(f"{name}{self.k}", values)

    def function(self, name: str, template: Template, **values: Any) -> str:
        return self.operations.function(name, template, **values)

    def window(self, op: Any, window: ops.Pair, corner: ops.Pair, groups: int = 1) -> str:
        return self.operations.window(self.k, op, window, corner, groups)

    def permutation(self, sizes_and_steps: list[int]) -> str:
        return self.operations.permutation(self.k, sizes_and_steps)

    def pointers(self, op: Op) -> str:
        return f"{pointer(op.x)}, {pointer(op.y)}"


def pointer(slot: Slot) -> str:
    name = _POINTERS[slot.space]
    return f"{name} + {slot.offset}" if slot.offset else name


def dense_table(w: Writer, op: ops.Dense | DenseGrad) -> str:
    return w.table("W", interleave(w.read(op.W), w.read(op.b)), op.W)


def dense_function(w: Writer, rows: int) -> str:
    w.function("min", templates.MIN)
    w.function("fma", templates.FMA)
    return w.function(f"dense{rows}", templates.DENSE, rows=rows)


def _dense(w: Writer, op: ops.Dense) -> list[str]:
    W, columns = dense_table(w, op), op.W.shape[1]
    calls = []
    first = 0
    for rows, outputs in split(op.W.shape[0]):
        weights = at_offset(W, first * (1 + columns))
        x, y = pointer(op.x), pointer(from_offset(op.y, first))
        calls.append(f"{dense_function(w, rows)}({weights}, {x}, {y}, {outputs}, {columns})")
        first += outputs
    return calls


def _conv(w: Writer, op: ops.Conv) -> list[str]:
    name = "conv" + image_templates.suffix(op.dilation)
    return _any_conv(w, op, name, image_templates.CONV, image_templates.taps(op.dilation))


def _conv_transpose(w: Writer, op: ops.ConvTranspose) -> list[str]:
    return _any_conv(w, op, "conv_transpose", image_templates.CONV_TRANSPOSE, {})


def conv_weights(w: Writer, op: Any, transposed: bool) -> tuple[Array, str]:
    """W (groups, O/groups, C/groups, kh, kw), a transposed one's with its gaps, and its table in C."""
    W = w.read(op.W).reshape(op.groups, -1, *op.W.shape[1:])
    if transposed:
        reach = extent((op.W.shape[2], op.W.shape[3]), op.dilation)
        with_gaps = np.zeros((op.groups, W.shape[2], W.shape[1], *reach), W.dtype)
        with_gaps[..., :: op.dilation[0], :: op.dilation[1]] = W.swapaxes(1, 2)
        W = with_gaps
    b = w.read(op.b).reshape(op.groups, -1)
    return W, w.table("W", np.concatenate([interleave(*both) for both in zip(W, b)]), op.W)


def _any_conv(
    w: Writer,
    op: ops.Conv | ops.ConvTranspose,
    name: str,
    template: Template,
    steps: dict[str, str],
) -> list[str]:
    W, table = conv_weights(w, op, isinstance(op, ops.ConvTranspose))
    groups, outputs = W.shape[:2]
    window = w.window(op, (W.shape[3], W.shape[4]), op.corner, groups)
    w.function("min", templates.MIN)
    w.function("fma", templates.FMA)
    of_output = 1 + W[0, 0].size
    calls = []
    first = 0
    for rows, count in split(outputs):
        function = w.function(f"{name}{rows}", template, rows=rows, **steps)
        y = from_offset(op.y, first * op.y.shape[1] * op.y.shape[2])
        places = [at_offset(table, first * of_output), pointer(op.x), pointer(y)]
        of_group = [outputs * of_output, op.x.size // groups, op.y.size // groups]
        loop, places = each_group(groups, places, of_group)
        calls.append(f"{loop}{function}({window}, {count}, {', '.join(places)})")
        first += count
    return calls


def each_group(groups: int, places: list[str], of_group: list[int]) -> tuple[str, list[str]]:
    """The beginning of a loop over the groups, and pointers to what belongs to group g."""
    if groups == 1:
        return "", places
    loop = f"for (int32_t g = 0; g < {groups}; g++) "
    return loop, [f"{place} + g * {size}" for place, size in zip(places, of_group)]


def at_offset(table: str, offset: int) -> str:
    return f"{table} + {offset}" if offset else table


def from_offset(slot: Slot, offset: int) -> Slot:
    return slot._replace(offset=slot.offset + offset)


def _affine(w: Writer, op: ops.Affine) -> list[str]:
    scale = w.table("scale", w.read(op.scale), op.scale)
    shift = w.table("shift", w.read(op.shift), op.shift)
    function = w.function("affine", templates.AFFINE)
    channels = op.scale.size
    return [f"{function}({scale}, {shift}, {w.pointers(op)}, {channels}, {op.x.size // channels})"]


def _max_pool(w: Writer, op: ops.MaxPool) -> list[str]:
    return _pool(w, op, "max_pool", image_templates.MAX_POOL, **image_templates.NAN_WINS)


def _avg_pool(w: Writer, op: ops.AvgPool) -> list[str]:
    return _pool(w, op, "avg_pool", image_templates.AVG_POOL)


def _pool(
    w: Writer, op: ops.MaxPool | ops.AvgPool, name: str, template: Template, **values: str
) -> list[str]:
    w.function("min", templates.MIN)
    name += image_templates.suffix(op.dilation)
    function = w.function(name, template, **image_templates.entries(op.dilation), **values)
    window = w.window(op, extent(op.window, op.dilation), op.corner)
    return [f"{function}({window}, {w.pointers(op)})"]


def _upsample(w: Writer, op: ops.Upsample) -> list[str]:
    function = w.function("upsample", image_templates.UPSAMPLE)
    channels, height, width = op.x.shape
    sizes = f"{channels * height}, {width}, {op.factor[0]}, {op.factor[1]}"
    return [f"{function}({w.pointers(op)}, {sizes})"]


def _interpolate(w: Writer, op: ops.Interpolate) -> list[str]:
    w.function("min", templates.MIN)
    function = w.function("interpolate", image_templates.INTERPOLATE)
    sizes = ", ".join(map(str, (*op.x.shape, *op.factor)))
    return [f"{function}({w.pointers(op)}, {sizes})"]


def _permute(w: Writer, op: ops.Permute) -> list[str]:
    permutation = w.permutation([*op.sizes, *op.steps])
    return [f"{w.function('permute', image_templates.PERMUTE)}({permutation}, {w.pointers(op)})"]


def _pad(w: Writer, op: ops.Pad) -> list[str]:
    if op.reflect:
        w.function("mirrored", image_templates.MIRRORED)
        function = w.function("pad_reflect", image_templates.PAD_REFLECT)
    else:
        function = w.function("pad", image_templates.PAD)
    return [f"{function}({w.window(op, (1, 1), op.corner)}, {w.pointers(op)})"]


def _activation(w: Writer, op: ops.Activation) -> list[str]:
    copy = [] if op.x[:2] == op.y[:2] else _copy(w, op)
    return [*copy, w.operations.activation(op.f, pointer(op.y), op.y.size)]


def _prelu(w: Writer, op: ops.PReLU) -> list[str]:
    slope, channels = w.table("slope", w.read(op.slope), op.slope), op.slope.size
    function = w.function("prelu", templates.PRELU)
    return [f"{function}({slope}, {w.pointers(op)}, {channels}, {op.x.size // channels})"]


def _layer_norm(w: Writer, op: ops.LayerNorm) -> list[str]:
    gamma = w.table("gamma", w.read(op.gamma), op.gamma)
    beta = w.table("beta", w.read(op.beta), op.beta)
    function = w.function("layer_norm", templates.LAYER_NORM)
    columns = op.gamma.size
    sizes = f"{op.x.size // columns}, {columns}"
    return [f"{function}({gamma}, {beta}, {c_number(op.eps)}, {w.pointers(op)}, {sizes})"]


def _normalize(w: Writer, op: ops.Normalize) -> list[str]:
    name = "standardize" if op.centered else "rms_norm"
    text = templates.STANDARDIZE if op.centered else templates.RMS_NORM
    sizes = ", ".join(map(str, op.view))
    return [f"{w.function(name, text)}({c_number(op.eps)}, {w.pointers(op)}, {sizes})"]


def _softmax(w: Writer, op: ops.Softmax) -> list[str]:
    function = w.function("softmax", templates.SOFTMAX)
    classes = (op.x.shape or (1,))[0]
    return [f"{function}({w.pointers(op)}, {classes}, {op.x.size // classes})"]


def _top_k(w: Writer, op: ops.TopK) -> list[str]:
    function = w.function("top_k", templates.TOP_K)
    return [f"{function}({pointer(op.x)}, {w.pointers(op)}, {op.x.size}, {op.k})"]


def _add(w: Writer, op: ops.Add) -> list[str]:
    function = w.function("add", templates.ADD)
    return [f"{function}({pointer(op.x)}, {pointer(op.other)}, {pointer(op.y)}, {op.x.size})"]


def _multiply(w: Writer, op: ops.Multiply) -> list[str]:
    function = w.function("multiply", templates.MULTIPLY)
    return [f"{function}({pointer(op.x)}, {pointer(op.other)}, {pointer(op.y)}, {op.x.size})"]


def _copy(w: Writer, op: Op) -> list[str]:
    return [f"{w.function('copy', templates.COPY)}({w.pointers(op)}, {op.x.size})"]


WRITE: dict[type[Op], Callable[[Writer, Any], list[str]]] = {
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
}
