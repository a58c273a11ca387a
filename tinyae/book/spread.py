"""Forward and backward side by side, each line beside the equation that it computes.

The methods that either calls stand below it: of a convolution ``adjoint`` and ``weight_grad``, of an
activation ``slope``. A line's equation is the one that its comment quotes, or the docstring's for
what the line assigns or returns.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from tinyae.book.modules import Module, file_of
from tinyae.book.shelf import Shelf
from tinyae.explanation.docstring_sections import Lines
from tinyae.explanation.mathml import mathml
from tinyae.layers import Layer

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "theta": "θ", "mu": "μ", "sigma": "σ", "eps": "ε",
    "xhat": "x̂", "logvar": "s",
}  # fmt: skip
RETURNED = {  # what a method of that name returns
    "forward": ("f", "y"),
    "linear": ("y",),
    "backward": ("dx",),
    "adjoint": ("dx",),
    "weight_grad": ("dW",),
    "slope": ("f′",),
    "curvature": ("f″",),
}
_COMMENT = re.compile(r"\s*<span class=\"c\"># (.*?)</span>$")
_LEFT = re.compile(r"([^\s\[(,]+)(\[.*?\])? \+?= ")


@dataclass(frozen=True)
class Method:
    """A method where it is defined; ``of`` is the class that defines it."""

    name: str
    of: str
    module: Module
    node: ast.FunctionDef


def methods(shelf: Shelf, cls: type, names: tuple[str, ...]) -> list[Method]:
    """These methods of a class and, after each, those of its own that it calls."""
    found: dict[tuple[str, str], Method] = {}
    todo = [(name, "") for name in names]  # and the class after which super() looks
    while todo:
        name, below = todo.pop(0)
        if name.startswith("check") and name not in names:
            continue
        method = _defined(shelf, cls, name, below)
        if method is None or _is_abstract(method.node) or (method.of, name) in found:
            continue
        found[method.of, name] = method
        todo = _called(method) + todo
    return list(found.values())


def _defined(shelf: Shelf, cls: type, name: str, below: str = "") -> Method | None:
    """Where the class or one of its bases defines a method; None for what every layer has.

    With ``below`` only the bases that follow the class of that name are asked.
    """
    bases = list(cls.__mro__)
    if below:
        bases = bases[[c.__name__ for c in bases].index(below) + 1 :]
    for c in bases:
        if not c.__module__.startswith("tinyae.") or c.__name__ in ("Module", "Layer", "Model"):
            continue
        module = shelf.module(file_of(c.__module__))
        for node in module.definitions:
            if node.name == c.__name__:
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and inner.name == name:
                        return Method(name, c.__name__, module, inner)
    return None


def _is_abstract(node: ast.FunctionDef) -> bool:
    return isinstance(node.body[-1], ast.Raise) and len(node.body) <= 2


def kernels_of(shelf: Shelf, method: Method) -> list[Method]:
    """The kernels that a method calls, where they are defined in plain NumPy."""
    module = shelf.module("kernels/reference.py")
    called = [
        inner.attr
        for inner in ast.walk(method.node)
        if isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "kernels"
    ]
    return [
        Method(node.name, "kernels/reference.py", module, node)
        for node in module.definitions
        if isinstance(node, ast.FunctionDef) and node.name in called
    ]


def _called(method: Method) -> list[tuple[str, str]]:
    """The methods of its own object that a method calls; of super(), below which class."""
    found = []
    for inner in ast.walk(method.node):
        if isinstance(inner, ast.Attribute):
            owner = ast.unparse(inner.value)
            if owner in ("self", "super()"):
                found.append((inner.attr, method.of if owner == "super()" else ""))
    return found


def spread(
    shelf: Shelf, cls: type, sections: Lines, left: list[Method], right: list[Method]
) -> str:
    """Two columns: the methods of the forward pass, and those of the backward pass.

    A model's backprop runs forward too.
    """
    forward = equations(sections.get("Forward", []))
    backward = equations(sections.get("Backward", []))
    both = {**forward, **backward}
    known = (forward, backward if issubclass(cls, Layer) else both)
    return _columns(cls, (left, right), known)


def side_by_side(cls: type, sections: Lines, left: list[Method], right: list[Method]) -> str:
    """Two columns, each with the equations of both passes; one if nothing is on the right."""
    both = equations(sections.get("Forward", [])) | equations(sections.get("Backward", []))
    return _columns(cls, (left, right) if right else (left,), (both, both))


def _columns(
    cls: type, sides: tuple[list[Method], ...], equations: tuple[dict[str, str], ...]
) -> str:
    columns = []
    for side, every, known in zip(("forward", "backward"), sides, equations):
        blocks = "".join(_block(m, cls, dict(known)) for m in every)
        columns.append(f'<div class="side {side}">{blocks}</div>')
    return f'<div class="spread">{"".join(columns)}</div>'


def equations(lines: list[str]) -> dict[str, str]:
    """A section's equations by what stands on their left."""
    found: dict[str, str] = {}
    for line in lines:
        for part in re.split(r" {3,}", line):
            part = part.strip(" ;,")
            if m := _LEFT.match(part):
                found.setdefault(m[1].removesuffix("_c"), part)
    return found


def _block(method: Method, cls: type, known: dict[str, str]) -> str:
    shown = "".join(lines(method, known))
    where = "" if method.of == cls.__name__ else f' <span class="of">of {method.of}</span>'
    href = method.module.links.to(
        method.module.links.addresses.names.get((method.module.path, method.of))
    )
    name = f'<a href="{href}">{method.name}</a>' if href else method.name
    return f'<figure class="code"><figcaption>{name}{where}</figcaption>{shown}</figure>'


def lines(method: Method, known: dict[str, str]) -> list[str]:
    """A method's lines in HTML, each with its equation; ``known`` loses those that are used."""
    node, module = method.node, method.module
    beside = _equations_by_line(node, module, known)
    indent = node.col_offset
    doc = node.body[0] if ast.get_docstring(node) and len(node.body) > 1 else None
    out = []
    for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
        if doc is not None and doc.lineno <= number <= (doc.end_lineno or 0):
            continue
        shown = dedented(module.lines[number - 1], indent)
        equations = "".join(
            f'<span class="{kind}">{mathml(text)}</span>' for kind, text in beside.get(number, ())
        )
        if equations:
            shown = _COMMENT.sub("", shown) if _quoted(module.text[number - 1]) else shown
            equations = f'<span class="beside">{equations}</span>'
        out.append(f'<div class="l" data-n="{number}"><code>{shown or " "}</code>{equations}</div>')
    return out


def dedented(shown: str, indent: int) -> str:
    return re.sub(rf"^(<span class=\"\w\">)? {{0,{indent}}}", r"\1", shown) if indent else shown


Beside = dict[int, list[tuple[str, str]]]  # line → equations: ("own" or "of", the equation)


def _equations_by_line(node: ast.FunctionDef, module: Module, known: dict[str, str]) -> Beside:
    """The equations of what each line assigns, and the one that its comment quotes.

    In a backward pass a comment may quote the forward line that is differentiated: "of".
    """
    found: Beside = {}
    for statement in _loops_first(node):
        if not isinstance(statement, (ast.Assign, ast.AugAssign, ast.Return, ast.Expr)):
            continue
        first, last = statement.lineno, statement.end_lineno or statement.lineno
        quoted = next(
            filter(None, (_quoted(module.text[n - 1]) for n in range(first, last + 1))), ""
        )
        symbol = _symbol(quoted)
        own = [] if symbol in known else _own(statement, node, known)
        if quoted:
            kind = "of" if own else "own"
            known.pop(symbol, None)
            own.append((kind, quoted))
        if own:
            found[last] = own
    return found


def _loops_first(node: ast.FunctionDef) -> list[ast.AST]:
    """All nodes of a method; what stands in a loop before what only prepares it."""
    loops = [inner for inner in ast.walk(node) if isinstance(inner, (ast.For, ast.While))]
    inside = [inner for loop in loops for inner in ast.walk(loop)]
    known = {id(inner) for inner in inside}
    return inside + [inner for inner in ast.walk(node) if id(inner) not in known]


def _own(statement: ast.AST, node: ast.FunctionDef, known: dict[str, str]) -> list[tuple[str, str]]:
    """The equations of what a statement assigns; of what it returns, the first that is known.

    An argument that is assigned anew is no new quantity.
    """
    arguments = {argument.arg for argument in node.args.args}
    symbols = [s for s in _assigned(statement, node) if s in known and s not in arguments]
    if (isinstance(statement, ast.Return) and "target" not in arguments) or "f" in symbols:
        symbols = symbols[:1]
    return [("own", known.pop(symbol)) for symbol in dict.fromkeys(symbols)]


def _symbol(equation: str) -> str:
    m = _LEFT.match(equation)
    return m[1].removesuffix("_c") if m else ""


def _quoted(line: str) -> str:
    """The equation that a comment quotes, as in ``# dW = dyᵀ x``."""
    comment = line.rpartition("  # ")[2] if "  # " in line else ""
    return comment if _LEFT.match(comment) and not comment.endswith(".") else ""


def _assigned(statement: ast.AST, method: ast.FunctionDef) -> list[str]:
    """The symbols of what a statement assigns, adds to or returns; a loss returns L and dy."""
    if not isinstance(statement, (ast.Assign, ast.AugAssign, ast.Return)):
        return []
    if isinstance(statement, ast.Return):
        value = statement.value
        if isinstance(value, ast.Tuple):
            value = value.elts[0]
        if value is None or isinstance(value, ast.Name):
            return []  # it was assigned before
        if any(argument.arg == "target" for argument in method.args.args):
            return ["L", "dy"]
        return list(RETURNED.get(method.name, ()))
    if isinstance(statement.value, ast.Name):
        return []  # a cache is taken apart
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    out: list[str] = []
    for target in targets:
        for name in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(name, ast.Subscript):
                name = name.value
            if isinstance(name, ast.Attribute) and name.attr == "grad":
                owner = name.value.attr if isinstance(name.value, ast.Attribute) else ""
                out += ["d" + GREEK.get(owner, owner), "dV" if owner == "W" else ""]
            elif isinstance(name, ast.Name):
                d = name.id[:1] if name.id[1:] in GREEK and name.id[0] == "d" else ""
                out.append(d + GREEK.get(name.id[len(d) :], name.id[len(d) :]))
    if "y" in out:
        out.insert(0, "f")
    return out
