"""The commonest mistakes, planted into a layer's own backward pass, and what the doctor says.

An edit changes a few characters of one line. The method with that line replaces the layer's own in
a class of the same name, and :func:`tinyae.gradcheck.diagnose` examines it when the book is made. An
edit that leaves every gradient right is no mistake, and is not shown.
"""

from __future__ import annotations

import ast
import copy
import inspect
import linecache
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from tinyae.book.spread import Method
from tinyae.gradcheck import Diagnosis, diagnose
from tinyae.param import Array

TRIES = 4  # places at which a kind of mistake is tried
SIZES = {
    "top",
    "bottom",
    "left",
    "right",
    "size",
    "height",
    "width",
    "length",
    "channels",
    "before",
}
SIZES |= set("ncerab")


@dataclass(frozen=True)
class Edit:
    """A kind of mistake, and a line before and after it."""

    kind: str
    method: Method
    number: int
    before: str
    after: str


@dataclass
class Mistake:
    edit: Edit
    diagnosis: Diagnosis


def planted(layer: Any, x: Array, backward: list[Method], wanted: int = 3) -> list[Mistake]:
    """At most ``wanted`` mistakes of different kinds, each with its diagnosis.

    ``backward`` holds only methods that forward does not call: an edit there would change both.
    """
    found: list[Mistake] = []
    for kind, edits in KINDS.items():
        if len(found) == wanted:
            break
        best: Mistake | None = None
        tries = 0
        for method in backward:
            for edit in edits(kind, method):
                tries += 1
                if tries > TRIES:
                    break
                mistake = _examined(layer, x, edit)
                if mistake is None:
                    continue
                if best is None or _rank(mistake) < _rank(best):
                    best = mistake
            if best is not None and _rank(best) == 0:
                break
        if best is not None and _rank(best) < 2:
            found.append(best)
    return found


def _rank(mistake: Mistake) -> int:
    """0 if the doctor names it, 1 if it does not, 2 if backward does not run at all."""
    return {"unknown": 1, "error": 2}.get(mistake.diagnosis.kind, 0)


def _examined(layer: Any, x: Array, edit: Edit) -> Mistake | None:
    """The diagnosis of the layer with that mistake; None if it is none."""
    changed = with_edit(layer, edit)
    if changed is None:
        return None
    diagnosis = diagnose(changed, x, rng=0)
    return None if diagnosis.ok else Mistake(edit, diagnosis)


def with_edit(layer: Any, edit: Edit) -> Any:
    """A copy of the layer whose method has the edited line; None if it cannot be made."""
    node, module = edit.method.node, edit.method.module
    lines = list(module.text[node.lineno - 1 : node.end_lineno])
    lines[edit.number - node.lineno] = edit.after
    text = textwrap.dedent("\n".join(lines))
    if "super()" in text:
        return None
    owner = next(c for c in type(layer).__mro__ if c.__name__ == edit.method.of)
    names = dict(vars(inspect.getmodule(owner)))
    try:
        exec(_compiled(text, edit), names)
    except SyntaxError:
        return None
    kind = type(layer)
    body = {node.name: names[node.name], "__module__": kind.__module__}
    edited = type(owner.__name__, (owner,), body)
    bases = (edited,) if owner is kind else (kind, edited)  # edited comes right before owner
    changed = copy.deepcopy(layer)
    changed.__class__ = type(kind.__name__, bases, {"__module__": kind.__module__})
    return changed


def _compiled(text: str, edit: Edit) -> CodeType:
    """The edited method, at the lines that it has in its file, where the doctor can read it."""
    first = edit.method.node.lineno
    source = "\n" * (first - 1) + text + "\n"
    name = f"<{edit.method.of}.{edit.method.name}: {edit.after.strip()}>"
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    return compile(source, name, "exec", annotations.compiler_flag)


# --- the edits ------------------------------------------------------------------------------------


def _replace(kind: str, method: Method, node: ast.expr | ast.stmt, text: str) -> Edit | None:
    """The edit that puts a text in the place of a node; None if the node has several lines."""
    if node.lineno != node.end_lineno:
        return None
    line = method.module.text[node.lineno - 1]
    raw = line.encode()
    after = raw[: node.col_offset] + text.encode() + raw[node.end_col_offset :]
    return Edit(kind, method, node.lineno, line, after.decode())


def _text(method: Method, node: ast.expr) -> str:
    return ast.get_source_segment(method.module.source, node) or ""


def _walk(method: Method) -> Iterator[ast.AST]:
    """The nodes of a method in the order of its lines, without its signature and its checks."""
    for statement in method.node.body:
        if "check_dy" in ast.unparse(statement) or isinstance(statement, ast.Raise):
            continue
        yield from ast.walk(statement)


def _indices(method: Method) -> set[int]:
    """Nodes of subscripts and sizes, where a mistake would not be one of the gradient."""
    found: set[int] = set()
    for node in ast.walk(method.node):
        inner: list[ast.AST] = []
        if isinstance(node, ast.Subscript):
            inner = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("reshape", "empty", "zeros", "range", "clip"):
                inner = list(node.args)
        elif isinstance(node, ast.BinOp):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - {"self"}
            inner = [node] if names <= SIZES else []
        found.update(id(child) for part in inner for child in ast.walk(part))
    return found


def _dropped_factor(kind: str, method: Method) -> Iterator[Edit]:
    indices = _indices(method)
    for node in _walk(method):
        if isinstance(node, ast.BinOp) and id(node) not in indices:
            if isinstance(node.op, ast.Mult):
                sides: tuple[ast.expr, ...] = (node.left, node.right)
                if "dy" in ast.unparse(node.right) and "dy" not in ast.unparse(node.left):
                    sides = (node.right,)
            elif isinstance(node.op, ast.Div):
                sides = (node.left,)
            else:
                continue
            for side in sides:
                if not isinstance(side, ast.Constant):
                    text = _text(method, side)
                    if edit := _replace(kind, method, node, text):
                        yield edit


def _forgotten_transpose(kind: str, method: Method) -> Iterator[Edit]:
    for node in _walk(method):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "matmul_tn" and len(node.args) == 2:
                a, b = (_text(method, arg) for arg in node.args)
                text = f"{_text(method, node.func)}({b}, {a})"
            elif node.func.attr in ("swapaxes", "transpose"):
                text = _text(method, node.func.value)
            else:
                continue
        elif isinstance(node, ast.Attribute) and node.attr == "T":
            text = _text(method, node.value)
        else:
            continue
        assert isinstance(node, ast.expr)
        if edit := _replace(kind, method, node, text):
            yield edit


def _overwritten(kind: str, method: Method) -> Iterator[Edit]:
    for node in _walk(method):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            target = _text(method, node.target)
            if target.endswith(".grad"):
                text = f"{target}[...] = {_text(method, node.value)}"
                if edit := _replace(kind, method, node, text):
                    yield edit


def _dropped_term(kind: str, method: Method) -> Iterator[Edit]:
    indices = _indices(method)
    for node in _walk(method):
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            if id(node) in indices or isinstance(node.left, ast.Constant):
                continue
            if edit := _replace(kind, method, node, _text(method, node.left)):
                yield edit


def _turned_sign(kind: str, method: Method) -> Iterator[Edit]:
    indices = _indices(method)
    for node in _walk(method):
        if id(node) in indices:
            continue
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            text = _text(method, node.operand)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            sign = "-" if isinstance(node.op, ast.Add) else "+"
            text = f"{_text(method, node.left)} {sign} {_text(method, node.right)}"
        else:
            continue
        if edit := _replace(kind, method, node, text):
            yield edit


def _mean_for_sum(kind: str, method: Method) -> Iterator[Edit]:
    for node in _walk(method):
        if isinstance(node, ast.Attribute) and node.attr in ("sum", "mean"):
            other = "mean" if node.attr == "sum" else "sum"
            if edit := _replace(kind, method, node, f"{_text(method, node.value)}.{other}"):
                yield edit


def _repeated(kind: str, method: Method) -> Iterator[Edit]:
    """``a[i] += v`` in place of ``np.add.at(a, i, v)``, which counts an index that comes twice."""
    for node in _walk(method):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.add.at":
            a, i, v = (_text(method, arg) for arg in node.args)
            if edit := _replace(kind, method, node, f"{a}[{i}] += {v}"):
                yield edit


def _left_out(kind: str, method: Method) -> Iterator[Edit]:
    for node in _walk(method):
        adds = isinstance(node, ast.AugAssign)
        calls = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        if (adds or calls) and ".grad" in ast.unparse(node):
            assert isinstance(node, ast.stmt)
            if edit := _replace(kind, method, node, "pass"):
                yield edit


def _negated(kind: str, method: Method) -> Iterator[Edit]:
    """Only for a backward that neither multiplies nor adds: its result with the wrong sign."""
    for node in _walk(method):
        value = node.value if isinstance(node, ast.Return) else None
        if value is None or isinstance(value, (ast.Tuple, ast.Constant)):
            continue
        if edit := _replace(kind, method, value, f"-({_text(method, value)})"):
            yield edit


KINDS: dict[str, Callable[[str, Method], Iterator[Edit]]] = {
    "a factor is dropped": _dropped_factor,
    "a transpose is forgotten": _forgotten_transpose,
    "= stands for +=": _overwritten,
    "a term is dropped": _dropped_term,
    "a mean stands for a sum, or a sum for a mean": _mean_for_sum,
    "an index that comes twice is counted once": _repeated,
    "a gradient is left out": _left_out,
    "a sign is turned": _turned_sign,
    "the result has the wrong sign": _negated,
}
