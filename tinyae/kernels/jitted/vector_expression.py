"""An expression of ``kernels/functions.py`` as instructions on SIMD vectors, for use within a tile."""

from __future__ import annotations

import ast
from typing import Any

from llvmlite import ir

from tinyae.kernels.expressions import constant, parsed

_OPERATIONS = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_COMPARISONS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}


def emit(builder: Any, expression: str, variables: dict[str, Any]) -> Any:
    """The value of an expression whose variables are vectors of one type.

    It may use + − · /, ``a if x > 0 else b``, min and max. Both branches are computed; a comparison
    with NaN is false.

    Raises
        ValueError  it calls a function, which takes more than a few instructions
    """
    (vector,) = {value.type for value in variables.values()}

    def value(node: ast.expr) -> Any:
        number = constant(node)
        if number is not None:
            return ir.Constant(vector, [number] * vector.count)
        match node:
            case ast.Name(id=name):
                return variables[name]
            case ast.BinOp(left=left, op=op, right=right):
                return getattr(builder, _OPERATIONS[type(op)])(value(left), value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return builder.fneg(value(operand))
            case ast.IfExp(test=ast.Compare(left=left, ops=[op], comparators=[right])):
                test = builder.fcmp_ordered(_COMPARISONS[type(op)], value(left), value(right))
                return builder.select(test, value(node.body), value(node.orelse))
            case ast.Call(func=ast.Name(id="min" | "max" as name), args=[first, second]):
                a, b = value(first), value(second)  # NaN if a is NaN
                beyond = builder.fcmp_ordered(">" if name == "min" else "<=", a, b)
                return builder.select(beyond, b, a)
        raise ValueError(f"{expression!r}: {ast.unparse(node)!r} is not for a tile")

    return value(parsed(expression))
