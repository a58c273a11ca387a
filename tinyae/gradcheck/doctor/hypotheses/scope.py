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


class Scopes:
    """One run of a backward pass: the scope of each of its functions, and how much work it is."""

    def __init__(self, run: Callable[[], Any], pieces: list[Piece], forward: set[CodeType]) -> None:
        codes = {piece.code: {} for piece in pieces}  # type: dict[CodeType, dict[str, Any]]
        count = 0

        def look(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal count
            if frame.f_code not in codes:
                return None
            count += event == "line"
            if event == "return":
                codes[frame.f_code] = dict(frame.f_locals)
            return look

        before = sys.gettrace()
        sys.settrace(look)
        try:
            with np.errstate(all="ignore"):
                run()
        except Exception:  # then fewer names are known
            pass
        finally:
            sys.settrace(before)
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
