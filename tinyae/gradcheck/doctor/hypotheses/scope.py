"""What a function's names hold when it returns, and so the shape of any of its expressions.

A factor or another name is tried only where its shape fits, which leaves few repairs to run.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.evaluation import Opaque
from tinyae.gradcheck.doctor.hypotheses.source import Piece, names_held

_METHODS = ("sum", "mean", "reshape", "transpose", "swapaxes", "copy", "max", "min")


class Scope:
    """The variables of one run of a function."""

    def __init__(self, local: dict[str, Any], world: dict[str, Any], uses: set[str]) -> None:
        """``uses`` are the names that the forward pass reads: exp, fft, sigmoid."""
        self.local, self.world, self.uses = local, world, uses
        self.arrays = {k: v for k, v in local.items() if isinstance(v, (np.ndarray, np.number))}
        self.known: dict[int, tuple[ast.AST, Any]] = {}
        self.numpy = next((k for k, v in world.items() if v is np), "np")

    def value(self, node: ast.AST) -> Any:
        """The value of an expression; None if it cannot be told."""
        if id(node) not in self.known:
            self.known[id(node)] = node, self._value(node)  # with the node, so that its id stays
        return self.known[id(node)][1]

    def _value(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name):
            return self.local.get(node.id, self.world.get(node.id))
        if not isinstance(node, ast.expr) or not all(map(self._is_plain, ast.walk(node))):
            return None
        try:
            code = compile(ast.Expression(node), "<expression>", "eval")
            with np.errstate(all="ignore"):
                return eval(code, self.world, self.local)  # what backward has just computed itself
        except Exception:  # a variable of a comprehension
            return None

    def _is_plain(self, node: ast.AST) -> bool:
        """Whether evaluating a node again changes nothing."""
        if isinstance(node, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom, ast.Lambda)):
            return False
        if not isinstance(node, ast.Call):
            return True
        f = node.func
        if isinstance(f, ast.Attribute):
            root: ast.AST = f
            while isinstance(root, ast.Attribute):
                root = root.value
            numpy = isinstance(root, ast.Name) and root.id == self.numpy
            return f.attr in _METHODS or (numpy and "random" not in ast.dump(f))
        return isinstance(f, ast.Name) and f.id in ("len", "range", *self.uses)

    def shape(self, node: ast.AST) -> tuple[int, ...] | None:
        value = self.value(node)
        return np.shape(value) if isinstance(value, (np.ndarray, np.number, float, int)) else None

    def fits(self, node: ast.AST, name: str) -> bool:
        """Whether an array may multiply an expression without changing its shape."""
        shape, other = self.shape(node), self._shape_of(name)
        if shape is None or other is None:
            return True
        try:
            return np.broadcast_shapes(shape, other) == shape or shape == ()
        except ValueError:
            return False

    def alike(self, node: ast.AST, name: str) -> bool:
        """Whether an array may stand in an expression's place."""
        shape, other = self.shape(node), self._shape_of(name)
        return shape is None or other is None or shape == other

    def _shape_of(self, name: str) -> tuple[int, ...] | None:
        held: Any = self.arrays.get(name)
        return None if held is None else np.shape(held)


class History:
    """What the names of a function held before each of its statements, read-only; None for a
    statement that was not met, or for all of them if the function was called more than once.
    """

    def __init__(self, piece: Piece) -> None:
        self.piece, self.body = piece, piece.tree.body
        self.shift = piece.first - 1 if piece.code is piece.function.__code__ else 0
        self.before: list[dict[str, Any] | None] = [None] * len(self.body)
        self.writes = any(written(statement) for statement in self.body)
        self.frame: FrameType | None = None
        self.usable = True

    def look(self, frame: FrameType) -> None:
        """Note what the names hold, if the frame's line begins a statement."""
        self.usable &= self.frame in (None, frame)
        self.frame = frame
        line = frame.f_lineno - self.shift
        i = next(
            (i for i, s in enumerate(self.body) if s.lineno <= line <= (s.end_lineno or s.lineno)),
            None,
        )
        if i is None or self.before[i] is not None or not self.usable:
            return
        memo: dict[int, tuple[Any, Any]] = {}  # a new one: arrays may have changed since
        try:
            self.before[i] = {k: kept(v, memo, self.writes) for k, v in frame.f_locals.items()}
        except Opaque:
            self.usable = False


def kept(value: Any, memo: dict[int, tuple[Any, Any]], strict: bool = False) -> Any:
    """A copy that cannot be written to; what is the same stays the same.

    Raises
        Opaque  if ``strict``: a view, which would be one no longer
    """
    if id(value) in memo:
        return memo[id(value)][1]
    made = value
    if isinstance(value, np.ndarray):
        if strict and value.base is not None:
            raise Opaque
        made = np.array(value)
        made.flags.writeable = False
    elif type(value) in (tuple, list):
        made = type(value)(kept(v, memo, strict) for v in value)
    elif type(value) is dict:
        made = {k: kept(v, memo, strict) for k, v in value.items()}
    memo[id(value)] = value, made
    return made


def written(statement: ast.stmt) -> list[str]:
    """The names of what a statement writes to in place, as far as it is seen: x += …, x[i] = …,
    np.add.at(x, …), x.append(…).
    """
    found = []
    for node in ast.walk(statement):
        if isinstance(node, ast.AugAssign):
            found.append(_root(node.target))
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            found.append(_root(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            found += [_root(node.value.func), *map(_root, node.value.args[:1])]
    return [name for name in found if name]


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Subscript, ast.Attribute, ast.Starred)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


class Scopes:
    """One run of a backward pass: the scope of each of its functions, and how much work it is."""

    def __init__(self, run: Callable[[], Any], pieces: list[Piece], forward: set[CodeType]) -> None:
        codes = {piece.code: {} for piece in pieces}  # type: dict[CodeType, dict[str, Any]]
        count = 0
        history = History(pieces[0])
        self.found: Any = None  # what the run gave
        self.resumed: Any = None  # it, to be resumed at any statement
        self.tried_to_resume = False

        def look(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal count
            if frame.f_code not in codes:
                return None
            if event == "line":
                count += 1
                if frame.f_code is pieces[0].code:
                    history.look(frame)
            if event == "return":
                codes[frame.f_code] = dict(frame.f_locals)
            return look

        before = sys.gettrace()
        sys.settrace(look)
        try:
            with np.errstate(all="ignore"):
                self.found = run()
        except Exception:  # then fewer names are known
            pass
        finally:
            sys.settrace(before)
        self.history = history
        uses = {name for code in forward for name in code.co_names}
        self._of = {
            id(piece): Scope(codes[piece.code], names_held(piece.function), uses)
            for piece in pieces
        }
        sizes = [np.size(a) for scope in self._of.values() for a in scope.arrays.values()]
        self.lines = max(count, 1) * (1 + max(sizes, default=0) // _LARGE)

    def of(self, piece: Piece) -> Scope:
        return self._of[id(piece)]


_LARGE = 5000  # entries; a line with so long an array counts twice
