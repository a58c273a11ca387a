"""The source of a backward pass, in pieces that can be edited and run again.

The pieces are backward itself and what it calls: methods of the same object, functions of the same
module, and kernels (the plain NumPy ones, which define them).
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any


@dataclass
class Piece:
    """One function: its owner ("self", "kernels" or "module"), and its syntax tree."""

    owner: str
    name: str
    function: FunctionType
    tree: ast.FunctionDef
    lines: list[str]
    first: int  # number of its first line in the file

    def __post_init__(self) -> None:
        # Where a piece has a loop, an edit, of it or of what calls it, may keep it from ending.
        self.has_loop = any(isinstance(n, ast.While) or _is_for(n) for n in ast.walk(self.tree))
        self.code = (self.has_loop and self.compiled()) or self.function.__code__

    def compiled(self) -> CodeType | None:
        """The code of the tree as it is now, in which every loop ends."""
        return compiled(_ending(self.tree) if self.has_loop else self.tree)

    def line(self, number: int) -> str:
        """The text of a line, counted within the piece from 1."""
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""


def _is_for(node: ast.AST) -> bool:
    """Whether a node is a ``for`` over something else than a range, which is bounded by itself."""
    if not isinstance(node, ast.For):
        return False
    ranges = ("range", "reversed(range")
    return not ast.unparse(node.iter).startswith(ranges)


_READ: dict[CodeType, tuple[ast.FunctionDef, list[str], int] | None] = {}


def read(f: FunctionType) -> tuple[ast.FunctionDef, list[str], int] | None:
    """The tree, the lines and the first line's number; None if the source cannot be read or does
    not belong to the code that runs.
    """
    if f.__code__ not in _READ:
        _READ[f.__code__] = _read(f)
    return _READ[f.__code__]


def _read(f: FunctionType) -> tuple[ast.FunctionDef, list[str], int] | None:
    try:
        lines, first = inspect.getsourcelines(f)
        text = textwrap.dedent("".join(lines))
        tree = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError, ValueError):
        return None
    if not isinstance(tree, ast.FunctionDef) or tree.name != f.__name__:
        return None
    bare(tree)
    made = compiled(tree)
    code = f.__code__
    if "__class__" not in code.co_freevars and (
        made is None or made.co_names != code.co_names or _constants(made) != _constants(code)
    ):
        return None
    return tree, text.splitlines(), first


def _constants(code: CodeType) -> list[Any]:
    """What identifies a code: its numbers, how many operations it has, its variables."""
    numbers = [repr(c) for c in code.co_consts if not isinstance(c, (str, CodeType))]
    numbers = sorted(n for n in numbers if n != "None")
    return [*numbers, sum(b != 0 for b in code.co_code[::2]), code.co_varnames]


def bare(tree: ast.FunctionDef) -> None:
    """Remove decorators, annotations and the docstring, which do not run in backward."""
    tree.decorator_list = []
    tree.returns = None
    for argument in [*tree.args.args, *tree.args.kwonlyargs, *tree.args.posonlyargs]:
        argument.annotation = None
    if tree.args.vararg:
        tree.args.vararg.annotation = None
    first = tree.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(tree.body) > 1:
        tree.body = tree.body[1:]


def compiled(tree: ast.FunctionDef) -> CodeType | None:
    """The code of the function that a tree defines."""
    try:
        try:
            module = compile(ast.Module([tree], []), "<variant>", "exec")
        except TypeError:  # nodes that were put together by hand have no line numbers
            whole = ast.Module([ast.fix_missing_locations(tree)], [])
            module = compile(whole, "<variant>", "exec")
    except (SyntaxError, ValueError, TypeError):
        return None
    return next((c for c in module.co_consts if isinstance(c, CodeType)), None)


ROUNDS = 10_000  # of a while, after which it is taken for endless


class Steps:
    """``range`` for variants: an edit may make a loop, or loops within loops, next to endless."""

    def __init__(self) -> None:
        self.left = 0

    def start(self) -> None:
        self.left = 2 * ROUNDS

    def range(self, *bounds: int) -> range:
        made = range(*bounds)
        self.left -= len(made)
        if self.left < 0:
            raise RuntimeError("it does not end")
        return made

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items of a ``for``, each counted when it is taken: the list may grow meanwhile."""
        for item in items:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("it does not end")
            yield item

    def rounds(self) -> Iterator[int]:
        """The rounds of a ``while``, each counted when it is made."""
        for k in range(ROUNDS):
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("it does not end")
            yield k


STEPS = Steps()


def _ending(tree: ast.FunctionDef) -> ast.FunctionDef:
    """The function with every ``for`` counting its rounds, and every ``while`` made into a ``for``.
    An edit may let a loop run over the list that it appends to. Only statements that hold loops are
    copied.
    """
    made: ast.FunctionDef = _bounded(tree)
    return made


def _bounded(node: Any) -> Any:
    parts = [f for f in ("body", "orelse", "finalbody", "handlers") if getattr(node, f, None)]
    if not parts:
        return node
    made = copy.copy(node)
    for f in parts:
        setattr(made, f, [_bounded(part) for part in getattr(node, f)])
    if isinstance(made, ast.For):
        counter = ast.Name("_for_rounds", ast.Load())
        made.iter = _at(node, ast.Call(_at(node, counter), [made.iter], []))
    if isinstance(made, ast.While):
        not_so = _at(node, ast.UnaryOp(ast.Not(), node.test))
        end = _at(node, ast.If(not_so, [*made.orelse, _at(node, ast.Break())], []))
        rounds = ast.parse("_while_rounds()", mode="eval").body
        error = ast.parse("raise RuntimeError('it does not end')").body
        target = _at(node, ast.Name("_rounds", ast.Store()))
        return _at(node, ast.For(target, rounds, [end, *made.body], error))
    return made


def _at(old: Any, new: Any) -> Any:
    return ast.copy_location(new, old)


def reached(f: Any, cls: type | None = None) -> set[CodeType]:
    """The code of a function and of all that it calls: of the same module, or methods of ``cls``."""
    found: set[CodeType] = set()
    todo = [f]
    while todo:
        f = todo.pop()
        f = getattr(f, "definition", f)  # of a fused method
        if not isinstance(f, FunctionType) or f.__code__ in found:
            continue
        found.add(f.__code__)
        for name in f.__code__.co_names:
            g = f.__globals__.get(name)
            if isinstance(g, FunctionType) and g.__module__ == f.__module__:
                todo.append(g)
            if cls is not None:
                todo.append(inspect.getattr_static(cls, name, None))
    return found


class Program:
    """The pieces of an object's backward pass, or of a plain function."""

    def __init__(self, subject: Any, starts: tuple[str, ...]) -> None:
        self.cls = None if isinstance(subject, FunctionType) else subject
        self.pieces: list[Piece] = []
        if isinstance(subject, FunctionType):
            self._add("module", subject.__name__, subject)
        else:
            for start in starts:
                self._method(subject, start)

    def _method(self, cls: type, name: str) -> None:
        found = inspect.getattr_static(cls, name, None)
        found = getattr(found, "definition", found)  # of a fused method
        found = getattr(found, "__func__", found)  # of a static method
        if isinstance(found, FunctionType):
            self._add("self", name, found)

    def _add(self, owner: str, name: str, f: FunctionType) -> None:
        if len(self.pieces) >= 14 or any(p.owner == owner and p.name == name for p in self.pieces):
            return
        if f.__code__.co_freevars:
            return
        known = read(f)
        if known is None or _abstract(known[0]):
            return
        tree, lines, first = known
        piece = Piece(owner, name, f, tree, lines, first)
        self.pieces.append(piece)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                self._called(node.func, f)

    def _called(self, func: ast.expr, f: FunctionType) -> None:
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
            if func.value.id == "self" and self.cls is not None:
                if func.attr not in ("forward", "check", "objective"):
                    self._method(self.cls, func.attr)
            elif func.value.id == "kernels" and "kernels" in f.__globals__:
                kernel = getattr(
                    importlib.import_module("tinyae.kernels.reference"), func.attr, None
                )
                if isinstance(kernel, FunctionType):
                    self._add("kernels", func.attr, kernel)
        elif isinstance(func, ast.Name):
            known = f.__globals__.get(func.id)
            known = getattr(known, "definition", known)
            if isinstance(known, FunctionType) and known.__module__ == f.__module__:
                self._add("module", func.id, known)

    def variant(
        self, changed: Piece, code: CodeType, more: dict[str, Any] | None = None
    ) -> tuple[Any, FunctionType]:
        """The class or function with one piece's code replaced, and that piece as a function,
        whose ``__code__`` may be replaced again. ``more`` holds further globals for it.
        """
        kernels: dict[str, Any] = {}
        worlds: dict[int, dict[str, Any]] = {}
        methods: dict[str, Any] = {}
        result: Any = None
        replaced = changed.function
        for piece in self.pieces:
            f = piece.function
            if id(f.__globals__) not in worlds:
                bounded = {
                    "range": STEPS.range,
                    "_while_rounds": STEPS.rounds,
                    "_for_rounds": STEPS.each,
                }
                worlds[id(f.__globals__)] = {**bounded, **(more or {}), **f.__globals__}
            world = worlds[id(f.__globals__)]
            own = code if piece is changed else piece.code
            made = FunctionType(own, world, f.__name__, f.__defaults__)
            made.__kwdefaults__ = f.__kwdefaults__
            if piece is changed:
                replaced = made
            if piece.owner == "self":
                kept = inspect.getattr_static(self.cls, piece.name, None)
                methods[piece.name] = staticmethod(made) if isinstance(kept, staticmethod) else made
            elif piece.owner == "kernels":
                if piece is changed:
                    kernels[piece.name] = made
            else:
                world[piece.name] = made
            if result is None:
                result = made
        if kernels:
            for world in worlds.values():
                if "kernels" in world:
                    world["kernels"] = _Kernels(world["kernels"], kernels)
        if self.cls is not None:
            result = type(self.cls)(self.cls.__name__, (self.cls,), methods)
        return result, replaced


class _Kernels:
    """The kernels, some of them replaced."""

    def __init__(self, rest: Any, changed: dict[str, Any]) -> None:
        self._rest = rest
        self.__dict__.update(changed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rest, name)


def _abstract(tree: ast.FunctionDef) -> bool:
    """Whether a function only raises, as one that a derived class must define."""
    return len(tree.body) == 1 and isinstance(tree.body[0], ast.Raise)
