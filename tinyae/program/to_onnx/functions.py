"""Activations as ONNX nodes.

Where ONNX has an operator for one, it is used: other programs run it fast, and
:func:`tinyae.from_onnx` reads it back. Every other activation of
:mod:`tinyae.kernels.functions` becomes the nodes of its expression.
"""

from __future__ import annotations

import ast
from typing import Any

from tinyae.kernels.expressions import constant, parsed
from tinyae.kernels.functions import FUNCTIONS
from tinyae.layers import SELU
from tinyae.program.program import LINEAR, Function
from tinyae.program.to_onnx.graph import Graph

# The operator of each, and its attributes; "alpha" stands for the activation's own.
OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "ReLU": ("Relu", {}),
    "LeakyReLU": ("LeakyRelu", {"alpha": "alpha"}),
    "ELU": ("Elu", {"alpha": "alpha"}),
    "SELU": ("Selu", {"alpha": SELU.ALPHA, "gamma": SELU.SCALE}),
    "Sigmoid": ("Sigmoid", {}),
    "HardSigmoid": ("HardSigmoid", {"alpha": "alpha", "beta": 0.5}),
    "Tanh": ("Tanh", {}),
    "Softplus": ("Softplus", {}),
    "GELU": ("Gelu", {"approximate": "none"}),
    "TanhGELU": ("Gelu", {"approximate": "tanh"}),
    "Mish": ("Mish", {}),
    "Hardswish": ("HardSwish", {}),
}


def apply(graph: Graph, f: Function, x: str) -> str:
    """The nodes of y = f(x); returns y's name."""
    if f == LINEAR:
        return x
    if f.name == "SiLU":
        return graph.node("Mul", x, graph.node("Sigmoid", x))
    if f.name in OPERATORS:
        op, attributes = OPERATORS[f.name]
        values = {key: f.alpha if v == "alpha" else v for key, v in attributes.items()}
        return graph.node(op, x, **values)
    return _Expression(graph, x, f.alpha).name(parsed(FUNCTIONS[f.name].f))


_BINARY: dict[type[ast.AST], str] = {
    ast.Add: "Add",
    ast.Sub: "Sub",
    ast.Mult: "Mul",
    ast.Div: "Div",
    ast.Gt: "Greater",
    ast.GtE: "GreaterOrEqual",
    ast.Lt: "Less",
    ast.LtE: "LessOrEqual",
}
_UNARY = {"exp": "Exp", "sigmoid": "Sigmoid", "tanh": "Tanh", "abs": "Abs"}


class _Expression:
    """The nodes of an expression: each subexpression is a named result."""

    def __init__(self, graph: Graph, x: str, alpha: float) -> None:
        self.graph, self.x, self.alpha = graph, x, alpha

    def name(self, node: ast.expr) -> str:
        value = constant(node)
        if value is not None:
            return self.graph.constant(value)
        match node:
            case ast.Name(id="x"):
                return self.x
            case ast.Name(id="alpha"):
                return self.graph.constant(self.alpha)
            case ast.BinOp(left=a, op=op, right=b) | ast.Compare(left=a, ops=[op], comparators=[b]):
                return self.graph.node(_BINARY[type(op)], self.name(a), self.name(b))
            case ast.UnaryOp(op=ast.USub(), operand=a):
                return self.graph.node("Neg", self.name(a))
            case ast.IfExp(test=test, body=a, orelse=b):
                return self.graph.node("Where", *map(self.name, (test, a, b)))
            case ast.Call(func=ast.Name(id=function), args=arguments):
                return self.call(function, [self.name(a) for a in arguments])
        raise ValueError(f"export_onnx: {ast.unparse(node)!r} has no translation into ONNX")

    def call(self, function: str, arguments: list[str]) -> str:
        node, one = self.graph.node, self.graph.constant(1.0)
        if function in ("min", "max"):
            return node(function.capitalize(), *arguments)
        (x,) = arguments
        if function == "expm1":
            return node("Sub", node("Exp", x), one)
        if function == "log1p":
            return node("Log", node("Add", one, x))
        if function == "erfc":
            return node("Sub", one, node("Erf", x))
        return node(_UNARY[function], x)
