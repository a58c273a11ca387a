"""Repairs of a whole statement: ``=`` for ``+=`` in a loop, a slope left out, one array for another
wherever it stands, a number of the module that was forgotten.

Each comes with the name of the slip, since the statement alone would only say "this for that".
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.edits import Site, located
from tinyae.gradcheck.doctor.hypotheses.scope import Scope

Mistake = tuple[str, str, str]  # kind, name, a sentence
_REDUCTIONS = ("sum", "mean", "max", "min", "std", "var")


def statement_repairs(
    names: list[str], constants: list[str], loops: set[int], scope: Scope
) -> Callable[[Site], Iterator[ast.AST]]:
    """Repairs of an assignment, an addition or a return. ``names`` are the arrays in scope,
    ``constants`` numbers known by name, ``loops`` the lines inside of loops.
    """

    def alternatives(site: Site) -> Iterator[ast.AST]:
        statement = site[3]
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name) and statement.lineno in loops:
                text = f"{target.id} is replaced in every round of the loop, and should be added to"
                made = ast.AugAssign(copy.deepcopy(target), ast.Add(), statement.value)
                yield said(made, ("not_added", "+=", f"{text}: write +="))
                before = _parsed(f"locals().get('{target.id}', 0)")  # it may have no value yet
                sum_ = located(ast.BinOp(statement.value, ast.Add(), before), statement)
                again = ast.Assign([target], sum_)
                yield said(again, ("not_added", "+=", f"{text}: write +="))
        if isinstance(statement, ast.Assign) and statement.lineno in loops:
            yield from _forgotten_products(statement, scope)
        if isinstance(statement, (ast.Assign, ast.AugAssign, ast.Return)) and statement.value:
            yield from _values(statement, names, constants, scope)

    return alternatives


def _values(
    statement: ast.Assign | ast.AugAssign | ast.Return,
    names: list[str],
    constants: list[str],
    scope: Scope,
) -> Iterator[ast.AST]:
    value = statement.value
    assert value is not None
    here = [n.id for n in ast.walk(value) if isinstance(n, ast.Name)]
    yield from _other_axes(statement, scope)
    yield from _strides(statement, constants)
    for call in _calls_of_a_name(value):
        inner = ast.unparse(call.args[0])
        text = f"a function is taken of {inner} twice: {ast.unparse(call)} stands where {inner} belongs"
        made = _replaced(statement, ast.unparse(call), inner)
        yield said(made, ("wrong_factor", f"{ast.unparse(call)} for {inner}", text))
        for slope in (f"{inner} * (1 - {inner})", f"(1 - {inner} * {inner})"):
            text = f"the function {ast.unparse(call)} stands where its slope belongs, {slope}"
            made = _replaced(statement, ast.unparse(call), f"({slope})")
            yield said(made, ("wrong_factor", f"{ast.unparse(call)} for {slope}", text))
    for outside, within, name in _called_too_early(value):
        text = f"{name} is taken before the product, and belongs around it: {within} for {outside}"
        made = _replaced(statement, outside, within)
        yield said(made, ("operands", f"{outside} for {within}", text))
    for text in _repeated(value):
        sentence = f"{text} has the wrong sign wherever it stands in this statement"
        yield said(_replaced(statement, text, f"(-{text})"), ("factor", "-1", sentence))
    for product in _doubled(value):
        M = ast.unparse(product.right)
        text = f"{ast.unparse(product)} stands where {M} + {M}.T belongs: {M} need not be symmetric"
        made = _replaced(statement, ast.unparse(product), f"({M} + {M}.T)")
        yield said(made, ("operands", f"{M} + {M}.T", text))
    for name in dict.fromkeys(here):
        if name in names and np.ndim(scope.arrays.get(name, 0)) == 2:
            text = f"the term with {name}.T is missing: {name} need not be symmetric"
            made = _replaced(statement, name, f"({name} + {name}.T)")
            yield said(made, ("missing_term", f"{name}.T", text))
            text = f"{name} stands where its symmetric part ({name} + {name}.T) / 2 belongs"
            made = _replaced(statement, name, f"(({name} + {name}.T) / 2)")
            yield said(made, ("missing_term", f"{name}.T", text))
    yield from _other_arrays(statement, here, names, scope)
    if isinstance(value, ast.Tuple):
        return
    fitting = [name for name in names if scope.fits(value, name)]
    for name in fitting[:10]:
        for slope in (f"{name} * (1 - {name})", f"(1 - {name} * {name})", f"({name} > 0)"):
            text = f"the slope {slope} is missing"
            yield said(_times(statement, slope), ("missing_factor", slope, text))
    for name in constants:
        for how, sign in ((name, "*"), (name, "/")):
            factor = name if sign == "*" else f"1/{name}"
            text = f"the factor {factor} is missing"
            made = _times(statement, how, sign)
            yield said(made, ("missing_factor", factor, text))
        for other in fitting[:6]:
            term = f"{name} * {other}"
            text = f"the term {term} is missing"
            yield said(_plus(statement, term), ("missing_term", term, text))


def _other_arrays(
    statement: ast.Assign | ast.AugAssign | ast.Return,
    here: list[str],
    names: list[str],
    scope: Scope,
) -> Iterator[ast.AST]:
    """Another array, or a product with one, wherever a name stands that occurs more than once."""
    for name in dict.fromkeys(here):
        for other in names[:8] if here.count(name) > 1 and name in names else ():
            if other != name and scope.fits(ast.Name(name, ast.Load()), other):
                text = f"{name} stands where {name} * {other} belongs"
                made = _replaced(statement, name, f"({name} * {other})")
                yield said(made, ("missing_factor", other, text))
            if other != name and scope.alike(ast.Name(name, ast.Load()), other):
                text = f"{name} stands where {other} belongs"
                made = _replaced(statement, name, other)
                yield said(made, ("operands", f"{name} for {other}", text))


def _forgotten_products(statement: ast.Assign, scope: Scope) -> Iterator[ast.AST]:
    """A path back to the step before, dz @ U.T, that a loop does not add."""
    shape = scope.shape(statement.value)
    if shape is None or len(shape) != 2:
        return
    matrices = {k: np.shape(a) for k, a in scope.arrays.items() if np.ndim(a) == 2}
    for (k, s), (m, t) in itertools.permutations(matrices.items(), 2):
        for term, fits in (
            (f"{k} @ {m}.T", s[1] == t[1] and (s[0], t[0]) == shape),
            (f"{k} @ {m}", s[1] == t[0] and (s[0], t[1]) == shape),
        ):
            if fits:
                text = f"the term {term}, a path that leads back to the step before, is missing"
                yield said(_plus(statement, term), ("missing_term", term, text))


def _other_axes(
    statement: ast.Assign | ast.AugAssign | ast.Return, scope: Scope
) -> Iterator[ast.AST]:
    """Every reduction of a statement along another axis, or axes, kept where it broadcasts."""
    value = statement.value
    inside = [n for n in ast.walk(value) if isinstance(n, ast.Call)] if value else []
    if not any(isinstance(n.func, ast.Attribute) and n.func.attr in _REDUCTIONS for n in inside):
        return
    ndim = max(
        (len(scope.shape(n.func.value) or ()) for n in inside if isinstance(n.func, ast.Attribute)),
        default=0,
    )
    several = [
        axes
        for k in (2, 3)
        if ndim > 2
        for axes in itertools.combinations(range(ndim), k)
        if k < ndim
    ]
    axes_tried: list[Any] = [0, 1, -1, *several]
    for axis in axes_tried:
        for keepdims in (False, True):
            made = copy.deepcopy(statement)
            old = None
            for node in ast.walk(made):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if node.func.attr not in _REDUCTIONS:
                    continue
                given = next((k for k in node.keywords if k.arg == "axis"), None)
                old = ast.unparse(given.value) if given else "none"
                rest = [k for k in node.keywords if k.arg not in ("axis", "keepdims")]
                node.keywords = [*rest, ast.keyword("axis", ast.Constant(axis))]
                if keepdims:
                    node.keywords.append(ast.keyword("keepdims", ast.Constant(True)))
                if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "np"):
                    node.args = []
            if old is not None:
                text = f"the axis is {old} where {axis} belongs"
                yield said(made, ("wrong_axis", f"{old} for {axis}", text))


def _calls_of_a_name(value: ast.AST) -> list[ast.Call]:
    """The calls f(h) of one argument that is a name, each once."""
    found = {
        ast.unparse(n): n
        for n in ast.walk(value)
        if isinstance(n, ast.Call) and len(n.args) == 1 and isinstance(n.args[0], ast.Name)
    }
    return list(found.values())


def _called_too_early(value: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Each product f(u) * v, and f(u * v), which is another where f moves or adds up entries."""
    for node in ast.walk(value):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, (ast.Mult, ast.Div)):
            continue
        sign = "*" if isinstance(node.op, ast.Mult) else "/"
        for f, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(f, ast.Call) and len(f.args) == 1 and not f.keywords:
                if sign == "/" and f is node.right:
                    continue
                name = ast.unparse(f.func)
                inside = f"{name}(({ast.unparse(f.args[0])}) {sign} ({ast.unparse(other)}))"
                yield ast.unparse(node), ast.unparse(ast.parse(inside)), name


def _repeated(value: ast.AST) -> list[str]:
    """The names and calls that occur more than once."""
    texts = [ast.unparse(n) for n in ast.walk(value) if isinstance(n, (ast.Call, ast.Name))]
    return [text for text in dict.fromkeys(texts) if texts.count(text) > 1 and text != "np"][:6]


def _doubled(value: ast.AST) -> list[ast.BinOp]:
    """The products 2 * M."""
    return [
        n
        for n in ast.walk(value)
        if isinstance(n, ast.BinOp)
        and isinstance(n.op, ast.Mult)
        and isinstance(n.left, ast.Constant)
        and n.left.value == 2
        and isinstance(n.right, ast.Name)
    ]


def _strides(statement: ast.stmt, constants: list[str]) -> Iterator[ast.AST]:
    """The windows of a statement at another stride."""
    if not any(map(_is_window, ast.walk(statement))):
        return
    for step in (*constants, "2", "3"):
        strided = _Strided(step)
        made = strided.visit(copy.deepcopy(statement))
        if strided.count:
            text = f"the windows lie {step} apart, and here they are read 1 apart: a stride is forgotten"
            yield said(made, ("conv", f"stride {step}", text))


def _is_window(node: ast.AST) -> bool:
    """Whether a node is i:i + K or slice(i, i + K)."""
    if isinstance(node, ast.Slice):
        return isinstance(node.lower, ast.Name) and isinstance(node.upper, ast.BinOp)
    if not isinstance(node, ast.Call) or len(node.args) != 2:
        return False
    return isinstance(node.func, ast.Name) and node.func.id == "slice"


class _Strided(ast.NodeTransformer):
    """Makes i:i + K into i * s:i * s + K, also in slice(i, i + K)."""

    def __init__(self, step: str) -> None:
        self.step, self.count = step, 0

    def _moved(self, low: Any, high: Any) -> tuple[Any, Any] | None:
        if not (isinstance(low, ast.Name) and isinstance(high, ast.BinOp)):
            return None
        if not isinstance(high.op, ast.Add) or ast.unparse(high.left) != low.id:
            return None
        self.count += 1
        at: Any = ast.BinOp(low, ast.Mult(), ast.parse(self.step, mode="eval").body)
        return at, ast.BinOp(copy.deepcopy(at), ast.Add(), high.right)

    def visit_Slice(self, node: ast.Slice) -> ast.AST:
        moved = self._moved(node.lower, node.upper)
        return ast.Slice(*moved, node.step) if moved else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "slice" and len(node.args) == 2:
            moved = self._moved(*node.args)
            return ast.Call(node.func, list(moved), []) if moved else node
        return self.generic_visit(node)


def _replaced(statement: ast.stmt, old: str, new: str) -> ast.stmt:
    """A copy of the statement with an expression replaced wherever it stands."""
    wanted = _dumped(old)
    made = copy.copy(statement)
    put = _parsed(new)
    made.value = _everywhere(made.value, wanted, put)  # type: ignore[attr-defined]
    return made


@lru_cache(maxsize=512)
def _dumped(text: str) -> str:
    return ast.dump(_parsed(text))


def _everywhere(node: Any, wanted: str, new: ast.expr) -> Any:
    """The expression with another one replaced; what holds none of it is shared, not copied."""
    if isinstance(node, ast.Name):
        return new if wanted == f"Name(id='{node.id}', ctx=Load())" else node
    if wanted.startswith(type(node).__name__) and ast.dump(node) == wanted:
        return new
    made = node
    for name, value in ast.iter_fields(node):
        parts = value if isinstance(value, list) else [value]
        changed = [
            _everywhere(v, wanted, new)
            if isinstance(v, (ast.expr, ast.keyword)) and _is_read(v)
            else v
            for v in parts
        ]
        if any(a is not b for a, b in zip(parts, changed)):
            made = copy.copy(node) if made is node else made
            setattr(made, name, changed if isinstance(value, list) else changed[0])
    return made


def _is_read(node: ast.AST) -> bool:
    return not isinstance(getattr(node, "ctx", None), ast.Store)


def _times(statement: ast.stmt, factor: str, sign: str = "*") -> ast.stmt:
    made = copy.copy(statement)
    op: ast.operator = ast.Mult() if sign == "*" else ast.Div()
    value = ast.BinOp(made.value, op, _parsed(factor))  # type: ignore[attr-defined]
    made.value = located(value, statement)  # type: ignore[attr-defined]
    return made


def _plus(statement: ast.stmt, term: str) -> ast.stmt:
    made = copy.copy(statement)
    value = ast.BinOp(made.value, ast.Add(), _parsed(term))  # type: ignore[attr-defined]
    made.value = located(value, statement)  # type: ignore[attr-defined]
    return made


@lru_cache(maxsize=512)
def _parsed(text: str) -> ast.expr:
    """The expression of a text; it is shared, and so never changed."""
    return ast.parse(text, mode="eval").body


def said(node: ast.AST, mistake: Mistake) -> ast.AST:
    """The node with the name of the mistake that it repairs."""
    node.mistake = mistake  # type: ignore[attr-defined]
    return node


def lines_in_loops(tree: ast.AST) -> set[int]:
    """The numbers of the lines inside of for and while."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.For, ast.While)):
            for part in node.body:
                found |= set(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    return found
