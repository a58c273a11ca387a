"""What expressions are worth where they stand, without compiling them.

A search for the wrong line tries hundreds of variants of one statement, which differ in one place
each. So an expression is evaluated by walking its tree, equal expressions are computed once, and of a
variant only what it changes is computed anew.
"""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

_OPERATIONS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_BUILTINS = {len, abs, min, max, sum, float, int, bool, slice, tuple, round, range}
_ARRAY_METHODS = {
    *(
        "sum",
        "mean",
        "max",
        "min",
        "std",
        "var",
        "prod",
        "any",
        "all",
        "argmax",
        "argmin",
        "cumsum",
    ),
    *("reshape", "transpose", "swapaxes", "ravel", "flatten", "squeeze", "copy", "astype", "dot"),
    *("clip", "round", "repeat", "take", "conj", "item"),
}
_WRITES = {"copyto", "put", "place", "putmask", "put_along_axis", "fill_diagonal", "at"}


class Opaque(Exception):
    """An expression that is not evaluated here: it may change something, or is of another kind."""


class Failed:
    """In place of a value: the expression does not run."""


FAILED = Failed()


class Expressions:
    """The values of expressions in one scope. Each has a key: equal expressions have the same one."""

    def __init__(self, local: Mapping[str, Any], world: Mapping[str, Any]) -> None:
        self.local, self.world = local, world
        self.values: list[Any] = []
        self.table: dict[Any, int] = {}
        self.nodes: dict[int, tuple[ast.AST, int]] = {}  # with the node, so that its id stays

    def key(self, node: ast.AST) -> int:
        """The key of an expression, by which ``values`` holds its value.

        Raises
            Opaque  it cannot be told
        """
        known = self.nodes.get(id(node))
        if known is not None and known[0] is node:
            return known[1]
        rule = _RULES.get(type(node))
        if rule is None:
            raise Opaque(type(node).__name__)
        found = rule(self, node)
        self.nodes[id(node)] = node, found
        return found

    def value(self, node: ast.AST) -> Any:
        return self.values[self.key(node)]

    def forget(self, nodes: list[int]) -> None:
        """The nodes, given by their ids, are others now."""
        for node in nodes:
            self.nodes.pop(node, None)

    def put(self, name: Any, value: Any) -> int:
        """A key for a value that is known."""
        found = self.table.get(name)
        if found is None:
            found = self.table[name] = len(self.values)
            self.values.append(value)
        return found

    def made(self, what: Any, f: Callable[..., Any], keys: tuple[int, ...]) -> int:
        """The key of f of values; f runs only if it has not run for them before."""
        name = (what, keys)
        found = self.table.get(name)
        if found is None:
            values = [self.values[k] for k in keys]
            value: Any = FAILED
            if not any(v is FAILED for v in values):
                try:
                    value = f(*values)
                except Opaque:
                    raise
                except Exception as error:  # as shapes that do not fit
                    if "read-only" in str(error):  # a function that writes to what it is given
                        raise Opaque from error
            if type(value) is np.ndarray:
                value = value.view()  # the array itself may be somebody's
                value.flags.writeable = False
            found = self.put(name, value)
        return found

    def _name(self, node: ast.Name) -> int:
        found = self.table.get(node.id)
        if found is None:
            for space in (self.local, self.world, vars(builtins)):
                if node.id in space:
                    return self.put(node.id, space[node.id])
            return self.put(node.id, FAILED)
        return found

    def _constant(self, node: ast.Constant) -> int:
        return self.put((type(node.value), node.value), node.value)

    def _binary(self, node: ast.BinOp) -> int:
        f = _OPERATIONS.get(type(node.op))
        if f is None:
            raise Opaque
        return self.made(type(node.op), f, (self.key(node.left), self.key(node.right)))

    def _unary(self, node: ast.UnaryOp) -> int:
        return self.made(type(node.op), _OPERATIONS[type(node.op)], (self.key(node.operand),))

    def _compared(self, node: ast.Compare) -> int:
        f = _OPERATIONS.get(type(node.ops[0]))
        if len(node.ops) > 1 or f is None:
            raise Opaque
        return self.made(type(node.ops[0]), f, (self.key(node.left), self.key(node.comparators[0])))

    def _attribute(self, node: ast.Attribute) -> int:
        name = node.attr
        return self.made(("attribute", name), lambda v: getattr(v, name), (self.key(node.value),))

    def _item(self, node: ast.Subscript) -> int:
        keys = self.key(node.value), self.key(node.slice)
        return self.made("item", operator.getitem, keys)

    def _slice(self, node: ast.Slice) -> int:
        none = self.put((type(None), None), None)
        ends = (node.lower, node.upper, node.step)
        keys = tuple(none if end is None else self.key(end) for end in ends)
        return self.made("slice", slice, keys)

    def _tuple(self, node: ast.Tuple) -> int:
        return self.made("tuple", lambda *parts: parts, tuple(map(self.key, node.elts)))

    def _choice(self, node: ast.IfExp) -> int:
        chosen = self.value(node.test)
        if chosen is FAILED:
            return self.put("failed", FAILED)
        return self.key(node.body if chosen else node.orelse)

    def _call(self, node: ast.Call) -> int:
        keys = [self.key(node.func), *map(self.key, node.args)]
        names = tuple(str(k.arg) for k in node.keywords)
        if "None" in names or "out" in names:  # **more, or an array to write to
            raise Opaque
        keys += [self.key(k.value) for k in node.keywords]
        count = len(node.args)

        def call(f: Any, *given: Any) -> Any:
            if not _is_pure(f, count):
                raise Opaque
            return f(*given[:count], **dict(zip(names, given[count:])))

        return self.made(("call", names), call, tuple(keys))


_RULES: dict[type, Any] = {
    ast.Name: Expressions._name,
    ast.Constant: Expressions._constant,
    ast.BinOp: Expressions._binary,
    ast.UnaryOp: Expressions._unary,
    ast.Compare: Expressions._compared,
    ast.Attribute: Expressions._attribute,
    ast.Subscript: Expressions._item,
    ast.Slice: Expressions._slice,
    ast.Tuple: Expressions._tuple,
    ast.IfExp: Expressions._choice,
    ast.Call: Expressions._call,
}


def _is_pure(f: Any, count: int) -> bool:
    """Whether a call changes nothing. A function of Python may: but arrays are kept from being written
    to, and functions that keep something from call to call are not evaluated here at all.
    """
    if isinstance(f, np.ufunc):
        return count <= f.nin
    if isinstance(f, FunctionType):
        numpy = str(f.__module__).startswith("numpy")
        return f.__name__ not in _WRITES if numpy else True
    if isinstance(f, type):
        return f in _BUILTINS or issubclass(f, np.generic)
    owner = getattr(f, "__self__", None)
    if isinstance(owner, (np.ndarray, np.generic)):
        return f.__name__ in _ARRAY_METHODS
    if isinstance(f, BuiltinFunctionType):
        if isinstance(owner, ModuleType) or owner is None:
            numpy = str(getattr(f, "__module__", "")).startswith("numpy")
            return f.__name__ not in _WRITES if numpy else f in _BUILTINS
        return isinstance(owner, np.ufunc) and f.__name__ != "at"
    if isinstance(f, MethodType):
        return False
    name = getattr(f, "__name__", "")  # a dispatcher of NumPy
    return type(f).__module__.startswith("numpy") and name not in _WRITES
