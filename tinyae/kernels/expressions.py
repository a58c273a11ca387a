"""Translate the expressions of :mod:`tinyae.kernels.functions` into other languages.

``x if x > 0 else alpha * x`` becomes

numpy_function           where((x > 0), x, (alpha * x)), as a function of arrays
numba_lines              v0 = (alpha * x); v1 = x if (x > c0) else v0, lines without a branch
c_expression             ((x > 0.0f) ? x : (alpha * x))
javascript_expression    ((x > 0.0) ? x : (alpha * x))
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.kernels.special import erfc, sigmoid
from tinyae.param import Array

VARIABLES = ("x", "y", "alpha")
FUNCTION_NAMES = ("exp", "expm1", "log1p", "erfc", "sigmoid", "tanh", "abs")
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARISONS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}


@functools.cache
def variables(expression: str) -> set[str]:
    """The variables that occur in an expression."""
    names = {node.id for node in ast.walk(parsed(expression)) if isinstance(node, ast.Name)}
    return names.intersection(VARIABLES)


def parsed(expression: str) -> ast.expr:
    """The syntax tree of an expression."""
    return ast.parse(expression, mode="eval").body


class _Translator:
    """Translate an expression; each language defines how to write numbers, choices and calls."""

    def number(self, value: float) -> str:
        raise NotImplementedError

    def choice(self, test: str, then: str, otherwise: str) -> str:
        raise NotImplementedError

    def call(self, name: str, argument: str) -> str:
        raise NotImplementedError

    def bound(self, name: str, a: str, b: str) -> str:
        """min or max of a and b; NaN if a is NaN."""
        a = self.once(a)
        return self.choice(f"({a} {'>' if name == 'min' else '<='} {b})", b, a)

    def once(self, text: str) -> str:
        """A text that may be repeated without being computed twice."""
        return text

    def text(self, node: ast.expr) -> str:
        value = constant(node)
        if value is not None:
            return self.number(value)
        if isinstance(node, ast.Name) and node.id in VARIABLES:
            return node.id
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            operator = _OPERATORS[type(node.op)]
            return f"({self.text(node.left)} {operator} {self.text(node.right)})"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return f"(-{self.text(node.operand)})"
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
            sign = _COMPARISONS[type(node.ops[0])]
            return f"({self.text(node.left)} {sign} {self.text(node.comparators[0])})"
        if isinstance(node, ast.IfExp):
            test, then, otherwise = (self.text(n) for n in (node.test, node.body, node.orelse))
            return self.choice(test, then, otherwise)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            arguments = [self.text(argument) for argument in node.args]
            if node.func.id in FUNCTION_NAMES and len(arguments) == 1:
                return self.call(node.func.id, arguments[0])
            if node.func.id in ("min", "max") and len(arguments) == 2:
                return self.bound(node.func.id, arguments[0], arguments[1])
        raise ValueError(
            f"expression: {ast.unparse(node)!r} has no translation; write it with + - * /, "
            f"if else, min, max and {', '.join(FUNCTION_NAMES)} of {', '.join(VARIABLES)}"
        )


def constant(node: ast.expr) -> float | None:
    """The value of a subexpression without variables, such as sqrt(2 * pi); else None."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    if names - {"sqrt", "pi"}:
        return None
    code = compile(ast.Expression(node), "<constant>", "eval")
    return float(eval(code, {"__builtins__": {}, "sqrt": math.sqrt, "pi": math.pi}))


# --- NumPy ----------------------------------------------------------------------------------------


class _Numpy(_Translator):
    def number(self, value: float) -> str:
        return f"number({value!r})"

    def choice(self, test: str, then: str, otherwise: str) -> str:
        return f"where({test}, {then}, {otherwise})"

    def bound(self, name: str, a: str, b: str) -> str:
        return f"{name}imum({a}, {b})"

    def call(self, name: str, argument: str) -> str:
        return f"{name}({argument})"


@functools.cache
def numpy_function(expression: str) -> Callable[[Array, float], Array]:
    """The expression as a function of an array (its x or its y) and alpha."""
    numpy = ("exp", "expm1", "log1p", "tanh", "abs", "where", "minimum", "maximum")
    names: dict[str, Any] = {name: getattr(np, name) for name in numpy}
    names |= {"sigmoid": sigmoid, "erfc": erfc}
    argument = "x" if "x" in variables(expression) else "y"
    text = _Numpy().text(parsed(expression))
    of = eval(f"lambda {argument}, alpha, number: {text}", names)
    return lambda a, alpha: of(a, a.dtype.type(alpha), a.dtype.type)


# --- Numba ----------------------------------------------------------------------------------------


class _Numba(_Translator):
    """Give names to constants and to both values of a choice, so that LLVM needs no branch."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.constants: dict[float, str] = {}
        self.lines: list[str] = []

    def number(self, value: float) -> str:
        return self.constants.setdefault(value, f"{self.prefix}{len(self.constants)}")

    def once(self, text: str) -> str:
        if text.isidentifier():
            return text
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def choice(self, test: str, then: str, otherwise: str) -> str:
        then, otherwise = self.once(then), self.once(otherwise)
        return self.once(f"{then} if {test} else {otherwise}")

    def call(self, name: str, argument: str) -> str:
        return f"{name}({argument})"


def numba_lines(expression: str, prefix: str = "c") -> tuple[list[str], list[str], str]:
    """Lines before the loop (constants, in ``number``'s precision), lines in it, and the result."""
    numba = _Numba(prefix)
    result = numba.text(parsed(expression))
    before = [f"{name} = number({value!r})" for value, name in numba.constants.items()]
    return before, numba.lines, result


# --- C --------------------------------------------------------------------------------------------


class _C(_Translator):
    def number(self, value: float) -> str:
        return c_number(value)

    def choice(self, test: str, then: str, otherwise: str) -> str:
        return f"({test} ? {then} : {otherwise})"

    def call(self, name: str, argument: str) -> str:
        if name == "sigmoid":
            x = argument if argument.isidentifier() else f"({argument})"
            return f"(1.0f / (1.0f + expf(-{x})))"
        return f"{'fabs' if name == 'abs' else name}f({argument})"


def c_number(value: float) -> str:
    """A float in C: the shortest decimal number that reads back as the same float."""
    with np.errstate(over="ignore"):
        number = np.float32(value)
    if not np.isfinite(number):
        raise ValueError(f"C has no number for {value} as a 32-bit float; make it smaller")
    return f"{number!s}f"


def c_expression(expression: str) -> str:
    """The expression in C: a float, from floats x or y and alpha; needs <math.h>."""
    return _C().text(parsed(expression))


# --- JavaScript -----------------------------------------------------------------------------------


class _JavaScript(_C):  # which has the same choices
    def number(self, value: float) -> str:
        return repr(value)

    def call(self, name: str, argument: str) -> str:
        if name == "sigmoid":
            return f"(1 / (1 + Math.exp(-{argument})))"
        return f"{name}({argument})" if name == "erfc" else f"Math.{name}({argument})"


def javascript_expression(expression: str) -> str:
    """The expression in JavaScript: a number, from x or y and alpha; needs a function erfc."""
    return _JavaScript().text(parsed(expression))
