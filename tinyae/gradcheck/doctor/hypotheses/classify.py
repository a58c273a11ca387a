"""Name the mistake in an edit, from the wrong subtree and the right one that belongs in its place.

``differences`` finds the smallest such pairs between two trees of one function.
"""

from __future__ import annotations

import ast
from typing import Any

from tinyae.gradcheck.doctor.hypotheses.edits import MATMULS, of_numpy, reduces
from tinyae.gradcheck.doctor.hypotheses.source import spelt

Mistake = tuple[str, str, str]  # kind, name, a sentence


def classify(bad: ast.AST | None, good: ast.AST | None, context: str = "") -> Mistake:
    """Kind, name and a sentence for a wrong subtree that stands where the right one belongs."""
    if good is None or isinstance(good, ast.Pass):
        return "term", _text(bad), f"{_text(bad)} is too many"
    if bad is None or isinstance(bad, ast.Pass):
        kind = "missing_term"
        if isinstance(good, ast.AugAssign) and isinstance(good.op, (ast.Mult, ast.Div)):
            kind = "missing_factor"
            over = "1/" if isinstance(good.op, ast.Div) else ""
            return (
                kind,
                over + _text(good.value),
                f"the factor {over}{_text(good.value)} is missing",
            )
        return kind, _text(good), f"{_text(good)} is missing"
    if context == "axis":
        return (
            "wrong_axis",
            f"{_text(bad)} for {_text(good)}",
            f"the axis is {_text(bad)} where {_text(good)} belongs",
        )
    if isinstance(good, ast.AugAssign) or isinstance(bad, ast.AugAssign):
        named = _assignments(bad, good)
        if named:
            return named
    for rule in (_factor, _sign, _transposed, _call, _other_name):
        mistake = rule(bad, good)
        if mistake:
            if context == "slope" and mistake[0] in ("missing_factor", "extra_factor"):
                said = f"{_text(bad)} for {_text(good)}"
                return "wrong_factor", said, f"{_text(bad)} stands where {_text(good)} belongs"
            if context == "function" and mistake[0] in ("missing_factor", "extra_factor"):
                said = f"{_text(bad)} for {_text(good)}"
                text = f"a function is taken of {_text(bad)} where it should be of {_text(good)}"
                return "wrong_factor", said, text
            if (
                rule is _other_name
                and context == "call"
                and isinstance(bad, (ast.Name, ast.Attribute))
            ):
                return "operands", mistake[1], mistake[2]
            return mistake
    return "line", "", f"{_text(bad)} stands where {_text(good)} belongs"


def _assignments(bad: ast.AST, good: ast.AST) -> Mistake | None:
    if isinstance(good, ast.AugAssign) and isinstance(bad, ast.Assign):
        return "not_added", "+=", "the gradient replaces what was there, and should be added to it"
    if not (isinstance(good, ast.AugAssign) and isinstance(bad, ast.AugAssign)):
        return None
    if type(good.op) is type(bad.op):
        return None
    if isinstance(good.op, (ast.Add, ast.Sub)) and isinstance(bad.op, (ast.Add, ast.Sub)):
        return "factor", "-1", "it is subtracted where it should be added, or the reverse"
    text = _text(good.value)
    return "wrong_factor", text, f"{text} multiplies where it should divide, or the reverse"


def _factor(bad: ast.AST, good: ast.AST) -> Mistake | None:
    for a, b, missing in ((bad, good, True), (good, bad, False)):
        if not isinstance(b, ast.BinOp):
            continue
        other = None
        if _equal(b.left, a):
            other = b.right
        elif _equal(b.right, a) or (
            isinstance(b.op, ast.Sub) and isinstance(a, ast.UnaryOp) and _equal(b.right, a.operand)
        ):
            other = b.left
        if other is None:
            continue
        text = _text(other)
        if isinstance(b.op, (ast.Add, ast.Sub)) and isinstance(other, ast.Constant):
            kind = "missing_term" if missing else "term"
            return kind, text, f"{_text(bad)} stands where {_text(good)} belongs"
        if isinstance(b.op, (ast.Mult, ast.Div)):
            text = f"1/{text}" if isinstance(b.op, ast.Div) and other is b.right else text
            if missing:
                return "missing_factor", text, f"the factor {text} is missing"
            return "extra_factor", text, f"the factor {text} is too many"
        if isinstance(b.op, (ast.Add, ast.Sub)):
            if missing:
                return "missing_term", text, f"the term {text} is missing"
            return "term", text, f"the term {text} is too many"
        if isinstance(b.op, ast.Pow):
            return (
                "wrong_factor",
                _text(b),
                f"the power {text} is {'missing' if missing else 'too many'}",
            )
    return None


def _sign(bad: ast.AST, good: ast.AST) -> Mistake | None:
    for a, b in ((bad, good), (good, bad)):
        if isinstance(a, ast.UnaryOp) and isinstance(a.op, ast.USub) and _equal(a.operand, b):
            return "factor", "-1", f"the sign of {_text(b)} is wrong"
    if not (isinstance(bad, ast.BinOp) and isinstance(good, ast.BinOp)):
        return None
    same = _equal(bad.left, good.left) and _equal(bad.right, good.right)
    turned = _equal(bad.left, good.right) and _equal(bad.right, good.left)
    if same and type(bad.op) is not type(good.op):
        if isinstance(bad.op, (ast.Add, ast.Sub)) and isinstance(good.op, (ast.Add, ast.Sub)):
            text = _text(good.right)
            return "term", text, f"the term {text} has the wrong sign"
        text = _text(good.right)
        do = {ast.Mult: "multiply", ast.Div: "divide"}.get(type(good.op), "enter otherwise")
        return "wrong_factor", text, f"{text} should {do}: {_text(good)}"
    if turned and type(bad.op) is type(good.op):
        if isinstance(bad.op, ast.Sub):
            return "factor", "-1", f"the difference is the wrong way round: {_text(good)}"
        if isinstance(bad.op, ast.Div):
            return "wrong_factor", _text(good), f"the quotient is upside down: {_text(good)}"
        return "operands", _text(good), f"the operands have changed places: {_text(good)}"
    return None


def _transposed(bad: ast.AST, good: ast.AST) -> Mistake | None:
    for a, b, missing in ((bad, good, True), (good, bad, False)):
        if isinstance(b, ast.Attribute) and b.attr == "T" and _equal(b.value, a):
            text = _text(a)
            if missing:
                return "transposed", text, f"{text} is not transposed, and should be"
            return "transposed", text, f"{text} is transposed, and should not be"
    return None


def _call(bad: ast.AST, good: ast.AST) -> Mistake | None:
    for a, b, missing in ((bad, good, True), (good, bad, False)):
        if isinstance(b, ast.Call) and isinstance(b.func, ast.Attribute):
            if _equal(b.func.value, a) and b.func.attr in ("sum", "mean"):
                text = "is missing" if missing else "is too many"
                return (
                    "missing_sum" if missing else "wrong_axis",
                    _text(b),
                    f"the {b.func.attr} in {_text(b)} {text}",
                )
            if len(b.args) == 1 and _equal(b.args[0], a):
                text = "is missing" if missing else "is too many"
                return "wrong_factor", _text(b), f"the function {_text(b.func)} {text}"
    if not (isinstance(bad, ast.Call) and isinstance(good, ast.Call)):
        return None
    if _equal(bad.func, good.func):
        if len(bad.args) == len(good.args) == 2 and bad.args and _equal(bad.args[0], good.args[1]):
            return "operands", _text(good), f"the operands have changed places: {_text(good)}"
        if [k.arg for k in bad.keywords] != [k.arg for k in good.keywords]:
            return "wrong_axis", _text(good), f"{_text(bad)} should be {_text(good)}"
        return None
    old, new = _text(bad.func).split(".")[-1], _text(good.func).split(".")[-1]
    if {old, new} == {"sum", "mean"}:
        return "factor", f"{old} for {new}", f"a {old} is taken where a {new} belongs"
    if old in MATMULS and new in MATMULS:
        return "operands", _text(good), f"the product is {_text(bad)} where {_text(good)} belongs"
    return "wrong_factor", f"{old} for {new}", f"{old} is called where {new} belongs"


def _other_name(bad: ast.AST, good: ast.AST) -> Mistake | None:
    name = f"{_text(bad)} for {_text(good)}"
    text = f"{_text(bad)} stands where {_text(good)} belongs"
    if isinstance(bad, ast.Compare) and isinstance(good, ast.Compare):
        return "wrong_factor", name, text
    if isinstance(bad, ast.Constant) and isinstance(good, ast.Constant):
        return "wrong_factor", name, text
    if isinstance(bad, ast.Subscript) and isinstance(good, ast.Subscript):
        return "operands", name, text
    if isinstance(bad, (ast.Name, ast.Attribute)) and isinstance(good, (ast.Name, ast.Attribute)):
        return "wrong_factor", name, text
    return None


def _equal(a: ast.AST, b: ast.AST) -> bool:
    return type(a) is type(b) and ast.dump(a) == ast.dump(b)


def _text(node: ast.AST | None) -> str:
    if node is None:
        return ""
    text = spelt(ast.fix_missing_locations(node))
    return text if len(text) <= 60 else text[:59] + "…"


def differences(bad: ast.AST, good: ast.AST, context: str = "") -> list[tuple[Any, Any, str]]:
    """The smallest pairs of different subtrees in two trees of the same function."""
    if isinstance(bad, ast.AST) and isinstance(good, ast.AST) and _equal(bad, good):
        return []
    if type(bad) is not type(good):
        return [(bad, good, context)]
    if isinstance(bad, ast.keyword) and bad.arg in ("axis", "keepdims"):
        context = "axis"
    found: list[tuple[Any, Any, str]] = []
    for (name, p), (_, q) in zip(ast.iter_fields(bad), ast.iter_fields(good)):
        inner = "call" if isinstance(bad, ast.Call) and name == "args" else context
        if inner == "call" and isinstance(bad, ast.Call):
            inner = "axis" if reduces(bad) else "function" if of_numpy(bad) else "call"
        if isinstance(bad, ast.BinOp) and isinstance(bad.op, (ast.Add, ast.Sub)):
            beside = bad.right if name == "left" else bad.left
            inner = "slope" if isinstance(beside, ast.Constant) else ""
        if isinstance(p, list) and isinstance(q, list):
            if len(p) != len(q):
                if p and q and isinstance((p or q)[0], ast.stmt):
                    found += _statement_gap(p, q)
                else:
                    return [(bad, good, context)]
            else:
                for u, v in zip(p, q):
                    if isinstance(u, ast.AST):
                        found += differences(u, v, inner)
                    elif u != v:
                        return [(bad, good, context)]
        elif isinstance(p, ast.AST) and isinstance(q, ast.AST):
            if isinstance(p, (ast.operator, ast.unaryop, ast.cmpop)):
                if type(p) is not type(q):
                    return [(bad, good, context)]
            elif name != "ctx":
                found += differences(
                    p, q, inner if isinstance(bad, (ast.keyword, ast.BinOp)) else ""
                )
        elif p is not q and p != q and name not in ("lineno", "type_comment", "kind"):
            return [(bad, good, context)]
    if len(found) > 1 and not isinstance(bad, (ast.FunctionDef, ast.For, ast.If)):
        return [(bad, good, context)]
    return found


def _statement_gap(p: list[Any], q: list[Any]) -> list[tuple[Any, Any, str]]:
    """The statement that one block has and the other lacks, if all others are equal."""
    long, short = (p, q) if len(p) > len(q) else (q, p)
    if len(long) - len(short) != 1:
        return [(p[0], q[0], ""), (p[-1], q[-1], "")]
    for i in range(len(long)):
        rest = long[:i] + long[i + 1 :]
        if all(_equal(a, b) for a, b in zip(rest, short)):
            return [(long[i], None, "") if long is p else (None, long[i], "")]
    return [(p[0], q[0], ""), (p[-1], q[-1], "")]
