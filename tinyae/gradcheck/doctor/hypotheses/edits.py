"""Single edits of a function: the most common mistakes in a backward pass, and their repairs.

``mistakes`` makes a correct tree wrong: it drops a factor or a term, exchanges operators or
operands, removes a ``.T``, changes an axis, replaces ``+=`` by ``=``. ``likely_repairs`` and
``unlikely_repairs`` correct a wrong one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.scope import Scope

Site = tuple[ast.AST, str, int | None, ast.AST, ast.stmt]
Alternatives = Callable[[Site], Iterator[ast.AST | None]]


@dataclass
class Change:
    """The node before and after the edit (None: nothing), and the statement that contains it."""

    before: ast.AST | None
    after: ast.AST | None
    statement: ast.stmt
    at: ast.AST | None = None  # the parent of the node
    context: str = ""  # "axis" in axis=…, "call" in f(…), "function" in np.f(…), "slope" in 1 − …


def sites(tree: ast.FunctionDef) -> list[Site]:
    """Every node of the body, with its parent, field, index and statement."""
    found: list[Site] = []

    def visit(node: ast.AST, statement: ast.stmt | None) -> None:
        for name, value in ast.iter_fields(node):
            items = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            for index, child in items:
                if isinstance(child, ast.AST):
                    inside = child if isinstance(child, ast.stmt) else statement
                    if inside is not None:
                        found.append((node, name, index, child, inside))
                    visit(child, inside)

    for part in tree.body:
        found.append((tree, "body", tree.body.index(part), part, part))
        visit(part, part)
    return found


def put(site: Site, node: Any) -> None:
    """Replace the node at a site."""
    parent, name, index, _, _ = site
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def locate(change: Change) -> None:
    """Give what a change has put in place the line numbers without which it is not compiled."""
    if change.after is not None and change.before is not None:
        located(change.after, change.before)


def changes(
    tree: ast.FunctionDef, alternatives: Any, skip: Callable[[Site], bool] | None = None
) -> Iterator[Change]:
    """Change one node of the tree in place, yield the change, and restore the node; for each one."""
    for site in sorted(sites(tree), key=lambda s: not isinstance(s[3], ast.stmt)):
        if skip is not None and skip(site):
            continue
        old = site[3]
        for new in alternatives(site):
            put(site, new if new is not None else ast.Pass())
            try:
                yield Change(old, new, site[4], site[0], _context(site))
            finally:
                put(site, old)


def _is_axis(site: Site) -> bool:
    parent = site[0]
    return isinstance(parent, ast.keyword) and parent.arg in ("axis", "keepdims")


def located(new: Any, old: ast.AST) -> Any:
    """The new node, with the old one's line number wherever it has none."""
    line = getattr(old, "lineno", 1)
    todo = [new]
    while todo:
        node = todo.pop()
        if not hasattr(node, "lineno"):
            node.lineno = node.end_lineno = line
            node.col_offset = node.end_col_offset = 0
            todo += ast.iter_child_nodes(node)
    return new


def _are_axes(node: ast.Tuple) -> bool:
    """Whether a tuple holds a few different small whole numbers, as axes are: (0, 2)."""
    held = [e.value if isinstance(e, ast.Constant) else None for e in node.elts]
    return 1 < len(held) < 4 and len({*held}) == len(held) and all(v in (0, 1, 2, 3) for v in held)


def _context(site: Site) -> str:
    """The surroundings of a node that decide what an edit there is called."""
    parent, name, _, node, _ = site
    if _is_axis(site) or (name == "args" and reduces(parent) and isinstance(node, ast.Constant)):
        return "axis"
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, (ast.Add, ast.Sub)):
        beside = parent.right if name == "left" else parent.left
        return "slope" if isinstance(beside, ast.Constant) else ""
    if not (isinstance(parent, ast.Call) and name == "args"):
        return ""
    return "function" if of_numpy(parent) else "call"


def of_numpy(node: ast.Call) -> bool:
    """Whether a call is a NumPy function of one argument, as in np.exp(…)."""
    f = node.func
    if not (isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name)):
        return False
    return f.value.id == "np" and len(node.args) == 1 and f.attr not in ("sum", "mean")


def reduces(node: ast.AST) -> bool:
    """Whether a call reduces along an axis, as x.sum(0) does."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("sum", "mean", "max", "min")
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id == "np")
    )


def mistakes(site: Site) -> Iterator[ast.AST | None]:
    """What may stand in a node's place by mistake; None removes it."""
    node = site[3]
    if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
        target = _loaded(node.target)
        if isinstance(node.target, ast.Attribute):  # W.grad cannot be rebound
            full = ast.Slice()
            target = ast.Subscript(target, full, ast.Store())
        else:
            target = node.target
        yield ast.Assign([target], node.value)
        other: ast.operator = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        yield ast.AugAssign(node.target, other, node.value)
        yield None
    elif isinstance(node, ast.AugAssign):
        yield None
        if isinstance(node.op, (ast.Mult, ast.Div)):
            turned = ast.Div() if isinstance(node.op, ast.Mult) else ast.Mult()
            yield ast.AugAssign(node.target, turned, node.value)
    elif isinstance(node, ast.BinOp):
        yield from _operations(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    elif isinstance(node, ast.Attribute) and node.attr == "T" and isinstance(node.ctx, ast.Load):
        yield node.value
    elif isinstance(node, ast.Attribute) and node.attr == "size":
        yield ast.Call(ast.Name("len", ast.Load()), [node.value], [])
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        other_way = {ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.Lt, ast.LtE: ast.Gt}
        op = other_way.get(type(node.ops[0]))
        if op:
            yield ast.Compare(node.left, [op()], node.comparators)
    elif isinstance(node, ast.Constant):
        yield from _constants(site, node)
    elif isinstance(node, ast.Tuple) and (_is_axis(site) or _are_axes(node)):
        for i in range(len(node.elts)):
            yield ast.Tuple(node.elts[:i] + node.elts[i + 1 :], ast.Load())
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield from _slices(node)
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        yield ast.Return(ast.Tuple(node.value.elts[::-1], ast.Load()))
    elif isinstance(node, ast.List) and len(node.elts) > 1 and isinstance(node.ctx, ast.Load):
        yield ast.List(node.elts[::-1], ast.Load())


def _loaded(node: ast.expr) -> ast.expr:
    import copy

    made = copy.copy(node)
    if isinstance(made, (ast.Attribute, ast.Name, ast.Subscript)):
        made.ctx = ast.Load()
    return made


def _operations(node: ast.BinOp) -> Iterator[ast.AST]:
    a, op, b = node.left, node.op, node.right
    if isinstance(op, (ast.Mult, ast.Div, ast.Add, ast.Sub)):
        yield a
        if not isinstance(op, ast.Div):
            yield b if not isinstance(op, ast.Sub) else ast.UnaryOp(ast.USub(), b)
        other: ast.operator = {ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Add: ast.Sub}.get(
            type(op), ast.Add
        )()
        yield ast.BinOp(a, other, b)
        if isinstance(op, (ast.Sub, ast.Div)):
            yield ast.BinOp(b, op, a)
        if isinstance(op, ast.Mult):
            yield ast.BinOp(a, ast.Add(), b)
    elif isinstance(op, ast.MatMult):
        yield ast.BinOp(b, op, a)
    elif isinstance(op, ast.Pow):
        yield a


MATMULS = ("matmul", "matmul_tn", "matmul_nt")
_SUMS = {"sum": "mean", "mean": "sum"}


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    f = node.func
    if isinstance(f, ast.Attribute):
        if f.attr in MATMULS:
            for other in MATMULS:
                if other != f.attr:
                    yield ast.Call(ast.Attribute(f.value, other, ast.Load()), node.args, [])
        if f.attr in _SUMS:
            made = ast.Attribute(f.value, _SUMS[f.attr], ast.Load())
            yield ast.Call(made, node.args, node.keywords)
            if not (isinstance(f.value, ast.Name) and f.value.id == "np"):
                yield f.value
            if node.keywords:
                yield ast.Call(f, node.args, [k for k in node.keywords if k.arg != "axis"])
            if f.attr == "mean":
                yield from _unbiased(node)
            if [k.arg for k in node.keywords] == ["axis"]:
                keep = ast.keyword("keepdims", ast.Constant(True))
                yield ast.Call(f, node.args, [*node.keywords, keep])
        if f.attr in ("sign", "sqrt", "exp", "tanh", "square", "log", "abs", "flip") and node.args:
            yield node.args[0]
    if isinstance(f, ast.Name) and f.id == "len" and node.args:
        yield ast.Attribute(node.args[0], "size", ast.Load())
        for axis in (1, 2):
            yield _expression(
                f"({ast.unparse(node.args[0])}.size // {ast.unparse(node.args[0])}.shape[{axis}])"
            )
    if isinstance(f, ast.Attribute) and f.attr == "where" and len(node.args) == 3:
        yield ast.Call(f, [node.args[0], node.args[2], node.args[1]], [])
    if isinstance(f, ast.Attribute) and f.attr == "clip" and len(node.args) == 3:
        yield node.args[0]
    if len(node.args) == 2 and not node.keywords:
        yield ast.Call(f, node.args[::-1], [])


def _unbiased(node: ast.Call) -> Iterator[ast.AST]:
    """The sum over m − 1 for a mean over m, as of a variance with ddof=1."""
    axis = next((ast.unparse(k.value) for k in node.keywords if k.arg == "axis"), "")
    if axis.lstrip("-").isdigit():
        made = ast.unparse(node).replace(".mean(", ".sum(")
        length = f"({ast.unparse(node.func.value)}).shape[{axis}]"  # type: ignore[attr-defined]
        yield _expression(f"({made} / ({length} - 1))")


def _constants(site: Site, node: ast.Constant) -> Iterator[ast.AST]:
    v = node.value
    if isinstance(v, bool) or not isinstance(v, (int, float)):
        return
    parent = site[0]
    inside = isinstance(parent, (ast.Tuple, ast.Subscript)) or reduces(parent)
    if isinstance(v, int) and (_is_axis(site) or inside):
        for other in (0, 1, 2, 3, -1):
            if other != v:
                yield ast.Constant(other)
        return
    halves = [v / 2] if isinstance(v, float) else [v // 2] if v % 2 == 0 else []
    power = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Pow)
    power |= isinstance(parent, ast.UnaryOp)  # a ** -0.5 for a ** -1.5
    steps = (v + 1, v - 1) if power or isinstance(v, int) else ()  # 0.5 is not 1.5 by a slip
    for c in (1, 2 * v, *halves, *steps, -v):
        if c != v:
            yield ast.Constant(c)


def _slices(node: ast.Subscript) -> Iterator[ast.AST]:
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for i, part in enumerate(parts):
        if isinstance(part, ast.Slice):
            turned = None
            if part.lower is None and part.upper is not None and part.step is None:
                turned = ast.Slice(part.upper, None, None)
            elif part.upper is None and part.lower is not None and part.step is None:
                turned = ast.Slice(None, part.lower, None)
            elif part.step is not None:
                turned = ast.Slice(part.lower, part.upper, None)
            bounds = [ast.unparse(b) if b is not None else "" for b in (part.lower, part.upper)]
            if part.step is None and bounds in (["", "-1"], ["1", ""]):  # h[:-1] for h[1:]
                minus_one = ast.UnaryOp(ast.USub(), ast.Constant(1))
                first = bounds[1] == "-1"
                turned = ast.Slice(ast.Constant(1)) if first else ast.Slice(None, minus_one)
            if turned is not None:
                new: list[ast.expr] = [*parts[:i], turned, *parts[i + 1 :]]
                inner = ast.Tuple(new, ast.Load()) if isinstance(node.slice, ast.Tuple) else new[0]
                yield ast.Subscript(node.value, inner, node.ctx)


def likely_repairs(
    names: list[str],
    scope: Scope,
    constants: tuple[str, ...] = (),
    unused: tuple[str, ...] = (),
    replaced: tuple[str, ...] = (),
) -> Alternatives:
    """Common repairs of a node: undo a mistake, add a factor or a transpose, write ``+=``.
    ``names`` are the arrays in scope, ``constants`` numbers that forward knows by name, ``unused``
    arrays that backward makes and does not read, ``replaced`` names that it assigns twice.
    """

    def alternatives(site: Site) -> Iterator[ast.AST | None]:
        parent, field, _, node, _ = site
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            yield from _other_steps(node, scope)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in replaced and name not in _names_in(node.value):
                more = ast.AugAssign(node.targets[0], ast.Add(), node.value)
                text = f"{name} replaces what it held before, and should be added to it: write +="
                more.mistake = ("not_added", "+=", text)  # type: ignore[attr-defined]
                yield more
        if isinstance(parent, (ast.Assign, ast.Return)) and field == "value":
            for name in unused:
                if isinstance(node, ast.expr) and scope.alike(node, name):
                    made = ast.BinOp(node, ast.Add(), ast.Name(name, ast.Load()))
                    text = f"{name} is never used, and belongs here: the term {name} is missing"
                    made.mistake = ("missing_term", name, text)  # type: ignore[attr-defined]
                    yield made
        index = isinstance(scope.value(parent), (int, np.integer))  # of an array: k in w[2 - k]
        if index and isinstance(parent, ast.BinOp) and isinstance(parent.op, (ast.Add, ast.Sub)):
            yield from mistakes(site)
            return
        if _is_summand(site) and isinstance(node, ast.expr) and not isinstance(node, ast.Tuple):
            for name in constants:
                yield ast.BinOp(node, ast.Mult(), ast.Name(name, ast.Load()))
        if isinstance(node, ast.Constant) and isinstance(parent, ast.BinOp) and _is_number(node):
            yield from (ast.Name(name, ast.Load()) for name in constants)
        yield from mistakes(site)
        if isinstance(node, ast.Assign) and isinstance(
            node.targets[0], (ast.Subscript, ast.Attribute)
        ):
            yield ast.AugAssign(node.targets[0], ast.Add(), node.value)
        if not isinstance(node, ast.expr) or isinstance(getattr(node, "ctx", None), ast.Store):
            return
        product = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.MatMult)
        product |= isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute)
        if product and isinstance(node, (ast.Name, ast.Attribute)) and field != "func":
            yield ast.Attribute(node, "T", ast.Load())
        if isinstance(parent, ast.Call) and len(parent.args) == 1 and field == "args":
            for number in (2, 0.5):
                yield ast.BinOp(ast.Constant(number), ast.Mult(), node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            power = getattr(node.right, "value", None)
            if isinstance(power, int):  # (x³)′ = 3 x²
                yield ast.BinOp(ast.Constant(power + 1), ast.Mult(), node)
        if _is_summand(site):
            yield ast.UnaryOp(ast.USub(), node)
            for number in (2, 0.5):
                yield ast.BinOp(node, ast.Mult(), ast.Constant(number))
            for name in _near(names, node):
                if scope.fits(node, name):
                    yield ast.BinOp(node, ast.Mult(), ast.Name(name, ast.Load()))
                for count in (f"len({name})", f"{name}.size"):
                    yield ast.BinOp(node, ast.Div(), _expression(count))
            yield ast.Call(ast.Attribute(node, "sum", ast.Load()), [], _axis(0))
            for name in _near(names, node):
                if scope.fits(node, name):
                    yield ast.BinOp(node, ast.Div(), ast.Name(name, ast.Load()))

    return alternatives


def _names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _is_number(node: ast.Constant) -> bool:
    return isinstance(node.value, (int, float)) and not isinstance(node.value, bool)


def _other_steps(node: ast.Subscript, scope: Scope) -> Iterator[ast.AST]:
    """h[t] for h[t + 1], or for h[t − 1], where t is a number: one step off in time."""
    several = isinstance(node.slice, ast.Tuple)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for i, part in enumerate(parts):
        step, at = _step(part)
        if step is None or not isinstance(scope.local.get(step.id), (int, np.integer)):
            continue
        for other in (1, -1, 0):
            if other == at:
                continue
            moved = _expression(step.id + {1: " + 1", -1: " - 1", 0: ""}[other])
            new: list[ast.expr] = [*parts[:i], moved, *parts[i + 1 :]]
            made = ast.Subscript(node.value, ast.Tuple(new, ast.Load()) if several else new[0])
            made.ctx = ast.Load()
            bad, good = ast.unparse(node), ast.unparse(ast.fix_missing_locations(made))
            text = f"{bad} stands where {good} belongs: it is one step off along {step.id}"
            made.mistake = ("operands", f"{bad} for {good}", text)  # type: ignore[attr-defined]
            yield made


def _step(node: ast.AST) -> tuple[ast.Name | None, int]:
    """The name t and the number k of the index t, t + 1 or t − 1."""
    if isinstance(node, ast.Name):
        return node, 0
    if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Name):
        one = isinstance(node.right, ast.Constant) and node.right.value == 1
        if one and isinstance(node.op, (ast.Add, ast.Sub)):
            return node.left, 1 if isinstance(node.op, ast.Add) else -1
    return None, 0


def unlikely_repairs(names: list[str], every: list[str], scope: Scope) -> Alternatives:
    """Less common repairs: a mask, the slope of an activation, a term, another name."""

    def alternatives(site: Site) -> Iterator[ast.AST | None]:
        _, field, _, node, _ = site
        if not isinstance(node, ast.expr) or isinstance(getattr(node, "ctx", None), ast.Store):
            return
        if _is_summand(site):
            for name in _near(names, node):
                if not scope.fits(node, name):
                    continue
                for factor in (f"({name} > 0)", f"(1 - {name})", f"(1 - {name} ** 2)"):
                    yield ast.BinOp(node, ast.Mult(), _expression(factor))
                yield ast.BinOp(node, ast.Add(), ast.Name(name, ast.Load()))
                yield ast.BinOp(node, ast.Sub(), ast.Name(name, ast.Load()))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(".shape"):
            yield from _lengths(node)
        if isinstance(node, ast.Name) and node.id in every and field != "func":
            yield ast.BinOp(ast.Constant(1), ast.Sub(), node)
            for other in every:
                if other != node.id and scope.alike(node, other):
                    yield ast.Name(other, ast.Load())
            for other in names:
                if other != node.id and scope.fits(node, other):
                    yield ast.BinOp(node, ast.Mult(), ast.Name(other, ast.Load()))

    return alternatives


def _lengths(node: ast.Subscript) -> Iterator[ast.AST]:
    """What may be meant by x.shape[i]: another length, or a product of two."""
    shape = ast.unparse(node.value)
    array = shape.removesuffix(".shape")
    here = ast.unparse(node)
    for text in (
        f"{array}.size",
        *(f"{shape}[{i}]" for i in range(4)),
        *(f"({here} * {shape}[{i}])" for i in range(4)),
        f"({array}.size // {here})",
        *(f"({array}.size // {shape}[{i}])" for i in range(4)),
    ):
        if text != here:
            yield _expression(text)


def _is_summand(site: Site) -> bool:
    """Whether a node is assigned, returned, or a term of a sum."""
    parent, field, _, node, _ = site
    if isinstance(parent, (ast.Assign, ast.AugAssign, ast.Return)):
        return field == "value"
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, (ast.Add, ast.Sub)) and isinstance(node, ast.expr)
    return isinstance(parent, ast.Tuple) and not isinstance(node, ast.Constant)


def _near(names: list[str], node: ast.AST) -> list[str]:
    """The names, beginning with those that occur in the node."""
    inside = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return sorted(names, key=lambda name: name not in inside)


@lru_cache(maxsize=512)
def _expression(text: str) -> ast.expr:
    """The expression of a text; it is shared, and so never changed."""
    return ast.parse(text, mode="eval").body


def _axis(n: int) -> list[ast.keyword]:
    return [ast.keyword("axis", ast.Constant(n))]
