"""One run of a function, resumed at a statement that has been changed.

What stands before the statement is not run again: its names are kept as they were. What follows is
compiled once. Everything kept is read-only, so that a statement that would write to it is noticed;
then, and for whatever else is not understood, the whole function has to run.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from types import CodeType
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.edits import Change
from tinyae.gradcheck.doctor.hypotheses.evaluation import FAILED, Expressions, Opaque
from tinyae.gradcheck.doctor.hypotheses.scope import History, written
from tinyae.gradcheck.doctor.hypotheses.source import STEPS, ended

_RETURNED = "_returned"
_OPERATORS: dict[type, str] = {
    ast.Add: "__iadd__",
    ast.Sub: "__isub__",
    ast.Mult: "__imul__",
    ast.Div: "__itruediv__",
}
_OWN_SCOPE = (ast.Lambda, ast.FunctionDef, ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom)
NOTHING = object()  # it does not run


class Resumed:
    """A piece, and what its names held before each of its statements."""

    def __init__(self, history: History, world: dict[str, Any]) -> None:
        """``world``: the globals of the function, as it would run.

        Raises
            Opaque  the function is of a kind that is not resumed
        """
        self.tree, self.before = history.piece.tree, history.before
        body = self.tree.body
        returns = [n for n in ast.walk(self.tree) if isinstance(n, ast.Return)]
        if returns != body[-1:] or returns[0].value is None or not history.usable:
            raise Opaque
        if any(isinstance(n, _OWN_SCOPE) for s in body for n in ast.walk(s)):
            raise Opaque
        own = history.piece.function.__code__.co_varnames
        self.world = {k: v for k, v in world.items() if k not in own}
        self.index = {id(s): i for i, s in enumerate(body)}
        self.scopes: dict[int, Expressions] = {}
        self.rest: dict[int, tuple[CodeType | None, tuple[str, ...]]] = {}
        self.above: dict[int, list[int]] = {}
        self.parents = {id(c): p for p in ast.walk(self.tree) for c in ast.iter_child_nodes(p)}

    def key(self, change: Change) -> tuple[Any, ...]:
        """What identifies a change: equal ones give the same.

        Raises
            Opaque  the whole function has to run
        """
        i = self.index.get(id(change.statement))
        if i is None or self.before[i] is None:
            raise Opaque
        scope = self._scope(i)
        STEPS.start()
        dirty = self._above(change.at)
        scope.forget(dirty)
        try:
            return (i, *self._evaluated(scope, self.tree.body[i]))
        finally:
            scope.forget(dirty)

    def _above(self, node: ast.AST | None) -> list[int]:
        """The ids of a node and of what it stands in, up to the statement."""
        found = self.above.get(id(node))
        if found is None:
            found = self.above[id(node)] = []
            while node is not None and not isinstance(node, ast.FunctionDef):
                found.append(id(node))
                node = self.parents[id(node)]
        return found

    def _scope(self, i: int) -> Expressions:
        if i not in self.scopes:
            self.scopes[i] = Expressions(self.before[i] or {}, self.world)
        return self.scopes[i]

    def _evaluated(self, scope: Expressions, statement: ast.stmt) -> tuple[Any, ...]:
        """How a statement binds its value, and the value's key."""
        if isinstance(statement, ast.Return) and statement.value is not None:
            return "return", scope.key(statement.value)
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            if all(isinstance(name, ast.Name) for name in names):
                how = tuple(name.id for name in names)  # type: ignore[attr-defined]
                return how if isinstance(target, ast.Tuple) else how[0], scope.key(statement.value)
        if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            name, method = statement.target.id, _OPERATORS.get(type(statement.op))
            held = scope.local.get(name)
            if method is None or held is None or _shares(held, scope.local, name):
                raise Opaque
            keys = scope.key(ast.Name(name, ast.Load())), scope.key(statement.value)
            return name, scope.made(method, _added(method), keys)
        if isinstance(statement, ast.Pass):
            return "pass", -1
        raise Opaque

    def returned(self, key: tuple[Any, ...]) -> Any:
        """What the function returns with that change; NOTHING if it does not run.

        Raises
            Opaque  the whole function has to run
        """
        i, how, k = key
        scope = self.scopes[i]
        value = scope.values[k] if k >= 0 else None
        if value is FAILED:
            return NOTHING
        if how == "return":
            return value
        space = dict(self.before[i] or {})
        if isinstance(how, tuple):
            if not isinstance(value, (tuple, list)) or len(value) != len(how):
                return NOTHING
            space.update(zip(how, value))
        elif how != "pass":
            space[how] = value
        return self._go_on(i, space)

    def _go_on(self, i: int, space: dict[str, Any]) -> Any:
        if i not in self.rest:
            self.rest[i] = self._compiled(i + 1)
        code, names = self.rest[i]
        if code is None:
            raise Opaque
        for name in names:
            if name in space:
                if _shares(space[name], space, name):
                    raise Opaque
                space[name] = writeable(space[name])
        STEPS.start()
        space = {**self.world, **space}
        try:
            exec(code, space)  # the rest of what has just run itself
        except ValueError as error:
            if "read-only" in str(error):
                raise Opaque from error
            return NOTHING
        except Exception:
            return NOTHING
        return space[_RETURNED]

    def _compiled(self, start: int) -> tuple[CodeType | None, tuple[str, ...]]:
        """The statements from one on, the last of which keeps what the function returns; and the names
        of what they write to.
        """
        rest = self.tree.body[start:]
        last: Any = rest[-1]
        kept = ast.copy_location(ast.Assign([ast.Name(_RETURNED, ast.Store())], last.value), last)
        body = [*(ended(s) for s in rest[:-1]), ast.fix_missing_locations(kept)]
        names = tuple(dict.fromkeys(name for s in rest for name in written(s)))
        try:
            return compile(ast.Module(body, []), "<rest>", "exec"), names
        except (SyntaxError, ValueError, TypeError):
            return None, ()


def _added(method: str) -> Callable[[Any, Any], Any]:
    """x += v, for an x that may not be written to."""
    plain = method.replace("__i", "__", 1)

    def add(x: Any, v: Any) -> Any:
        if isinstance(x, np.ndarray):
            return getattr(x.copy(), method)(v)
        made = getattr(x, plain, lambda _: NotImplemented)(v)
        if made is NotImplemented:
            raise Opaque
        return made

    return add


def _shares(held: Any, local: Any, name: str) -> bool:
    """Whether an array is also, in part, what another name holds."""
    if not isinstance(held, np.ndarray):
        return False
    others = (a for k, a in local.items() if k != name and isinstance(a, np.ndarray))
    return any(np.may_share_memory(held, a) for a in others)


def writeable(value: Any) -> Any:
    """A copy that can be written to."""
    if isinstance(value, (np.ndarray, list, dict, set)):
        return copy.deepcopy(value) if not isinstance(value, np.ndarray) else value.copy()
    return value
