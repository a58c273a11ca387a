"""Write the operations of a program as calls of JavaScript functions.

The functions stand in ``functions.js``; those of the activations are made from
:mod:`tinyae.kernels.functions`. Each is written once for all operations that call it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinyae.kernels.expressions import javascript_expression, variables
from tinyae.kernels.functions import FUNCTIONS
from tinyae.program import program as ops
from tinyae.program.program import LINEAR, Function, Op, Program, Slot


@functools.cache
def library() -> dict[str, str]:
    """The text of each function in ``functions.js``, with the comment above it, by its name."""
    text = Path(__file__).with_name("functions.js").read_text(encoding="utf-8")
    blocks = re.findall(r"((?://[^\n]*\n)*function (\w+)\(.*?\n}\n)", text, re.DOTALL)
    return {name: block for block, name in blocks}


class Writer:
    """The calls of a program, and the functions and views of arrays that they use."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.functions: dict[str, str] = {}
        self.views: dict[str, str] = {}  # an expression for each, by its name

    def statements(self, op: Op) -> list[str]:
        """The calls that run an operation.

        Raises
            TypeError  there is no function for it
        """
        write = WRITE.get(type(op))
        if write is None:
            raise TypeError(
                f"export_javascript: the program has the operation {type(op).__name__}, which has no "
                f"form in JavaScript; expected one of {', '.join(kind.__name__ for kind in WRITE)}"
            )
        calls = [write(self, op)]
        f = getattr(op, "f", LINEAR)
        if f != LINEAR and not isinstance(op, ops.Activation):
            calls.append(self.activation(f, op.y, op.y))
        return [f"{call};" for call in calls]

    def call(self, function: str, *arguments: Any) -> str:
        """A call; a Slot is passed as a view of its numbers, anything else as a literal."""
        if function in library():
            self.functions.setdefault(function, library()[function])
        shown = [self.view(a) if isinstance(a, Slot) else json.dumps(a) for a in arguments]
        return f"{function}({', '.join(shown)})"

    def view(self, slot: Slot) -> str:
        name = f"{slot.space}_{slot.offset}_{slot.size}"
        end = slot.offset + slot.size
        self.views.setdefault(name, f"{slot.space}.subarray({slot.offset}, {end})")
        return name

    def activation(self, f: Function, x: Slot, y: Slot) -> str:
        expression = FUNCTIONS[f.name].f
        text = javascript_expression(expression)
        if "erfc(" in text:
            self.functions.setdefault("erfc", library()["erfc"])
        self.functions.setdefault(
            f.name,
            f"function {f.name}(from, y, alpha) {{\n"
            "  for (let i = 0; i < y.length; i++) {\n"
            "    const x = from[i];\n"
            f"    y[i] = {text};\n"
            "  }\n}\n",
        )
        return self.call(f.name, x, y, *([f.alpha] if "alpha" in variables(expression) else []))


# --- one function for each kind of operation, which returns its call -------------------------------


def _conv(function: str) -> Callable[[Writer, Any], str]:
    def write(w: Writer, op: Any) -> str:
        sizes = op.x.shape, op.y.shape, op.W.shape[2:], op.stride, op.corner, op.dilation
        return w.call(function, op.x, op.W, op.b, op.y, *sizes, op.groups)

    return write


def _pool(function: str) -> Callable[[Writer, Any], str]:
    def write(w: Writer, op: Any) -> str:
        sizes = op.x.shape, op.y.shape, op.window, op.stride, op.corner, op.dilation
        return w.call(function, op.x, op.y, *sizes)

    return write


WRITE: dict[type[Op], Callable[[Writer, Any], str]] = {
    ops.Affine: lambda w, op: w.call("affine", op.x, op.scale, op.shift, op.y),
    ops.Dense: lambda w, op: w.call("dense", op.x, op.W, op.b, op.y),
    ops.Conv: _conv("conv"),
    ops.ConvTranspose: _conv("convTranspose"),
    ops.MaxPool: _pool("maxPool"),
    ops.AvgPool: _pool("avgPool"),
    ops.Upsample: lambda w, op: w.call("upsample", op.x, op.y, op.x.shape, op.factor),
    ops.Interpolate: lambda w, op: w.call("interpolate", op.x, op.y, op.x.shape, op.factor),
    ops.Permute: lambda w, op: w.call("permute", op.x, op.y, op.sizes, op.steps),
    ops.Pad: lambda w, op: w.call("pad", op.x, op.y, op.x.shape, op.y.shape, op.corner, op.reflect),
    ops.Activation: lambda w, op: w.activation(op.f, op.x, op.y),
    ops.PReLU: lambda w, op: w.call("prelu", op.x, op.slope, op.y),
    ops.LayerNorm: lambda w, op: w.call("layerNorm", op.x, op.gamma, op.beta, op.y, op.eps),
    ops.Normalize: lambda w, op: w.call("normalize", op.x, op.y, op.view, op.centered, op.eps),
    ops.Softmax: lambda w, op: w.call("softmax", op.x, op.y, (op.x.shape or (1,))[0]),
    ops.TopK: lambda w, op: w.call("topK", op.x, op.y, op.k),
    ops.Add: lambda w, op: w.call("add", op.x, op.other, op.y),
    ops.Multiply: lambda w, op: w.call("multiply", op.x, op.other, op.y),
    ops.Copy: lambda w, op: w.call("copy", op.x, op.y),
    ops.SquaredError: lambda w, op: w.call("squaredError", op.x, op.target, op.y),
}
