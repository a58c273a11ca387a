"""Repairs that put something around or beside an expression: a slope, a function of the forward
pass, a conjugate, another order of the axes or of the entries.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from functools import lru_cache
from types import FunctionType

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.edits import Alternatives, Site
from tinyae.gradcheck.doctor.hypotheses.scope import Scope
from tinyae.gradcheck.doctor.hypotheses.slips import said

_SLOPES = ("{0} * (1 - {0})", "(1 - {0} ** 2)", "({0} > 0)", "(1 - {0})", "{0}")
_INVERSES = {"abs": "sign"}  # of a function of forward, the one that its slope needs


def insertions(scope: Scope, names: list[str]) -> Alternatives:
    """Repairs of an expression, for each site of a tree."""
    functions = _functions(scope)

    def alternatives(site: Site) -> Iterator[ast.AST]:
        parent, field, _, node, _ = site
        if not isinstance(node, ast.expr) or isinstance(getattr(node, "ctx", None), ast.Store):
            return
        value = scope.value(node)
        if field in ("func", "slice") or not isinstance(value, (np.ndarray, float, np.floating)):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
                yield node.right  # the index k for K − 1 − k
            return
        text = ast.unparse(node)
        if _is_operand(parent):
            for name in names:
                if not scope.fits(node, name) or not np.ndim(scope.arrays.get(name, 0)):
                    continue
                for form in _SLOPES:
                    slope = form.format(name)
                    sentence = f"the slope {slope} is missing in {text}"
                    yield said(_times(node, slope), ("missing_factor", slope, sentence))
        for f in functions:
            sentence = (
                f"{text} stands where {f}({text}) belongs: a function of forward is left out, "
            )
            sentence += "or a slope is taken of what it is given, not of what it returns"
            yield said(_called(f, node), ("wrong_factor", f"{text} for {f}({text})", sentence))
            # A coefficient, or what is summed, times a function of an array: sign(x) for |x|.
            if isinstance(value, float) or (f.endswith(".sign") and _is_term(parent)):
                for name in names:
                    factor = f"{f}({name})"
                    sentence = f"the factor {factor} is missing beside {text}"
                    yield said(_times(node, factor), ("missing_factor", factor, sentence))
        if isinstance(parent, ast.BinOp) and isinstance(node, (ast.Name, ast.Call)):
            sentence = f"the square of {text} belongs there"
            yield said(_power(node, 2), ("wrong_factor", f"{text} ** 2", sentence))
            sentence = f"the third power of {text} belongs there"
            yield said(_power(node, 3), ("wrong_factor", f"{text} ** 3", sentence))
        if not np.ndim(value):
            return
        yield from _held_constant(node, scope, names)
        if "fft" in scope.uses and (isinstance(node, ast.Call) or np.iscomplexobj(value)):
            sentence = f"the conjugate of {text} belongs there"
            made = _called(f"{scope.numpy}.conj", node)
            yield said(made, ("wrong_factor", f"conj({text})", sentence))
        if isinstance(node, (ast.Name, ast.BinOp, ast.Call)):
            yield from _reordered(text, np.ndim(value))

    return alternatives


def _held_constant(node: ast.expr, scope: Scope, names: list[str]) -> Iterator[ast.AST]:
    """The term that is missing where a sum, a mean or a norm was held constant: for a · b the
    −a Σ (a b) of softmax, for p / s the −Σ (p x) / s² of a quotient, for a mean the −mean of it.
    """
    text = ast.unparse(node)
    shape = scope.shape(node) or ()
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        top, under = ast.unparse(node.left), ast.unparse(node.right)
        for name in names:
            if scope.shape(ast.Name(name, ast.Load())) != shape:
                continue
            for axis in range(len(shape)):
                total = f"(({top}) * {name}).sum(axis={axis}, keepdims=True)"
                made = f"(({top}) / ({under}) - {total} / ({under}) ** 2)"
                what = f"the divisor {under} is held constant: the term -{total} / ({under}) ** 2"
                yield said(
                    _made(made), ("missing_term", f"Σ over axis {axis}", f"{what} is missing")
                )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        for a, b in ((node.left, node.right), (node.right, node.left)):
            for axis in range(len(shape)):
                total = f"({text}).sum(axis={axis}, keepdims=True)"
                made = f"(({ast.unparse(a)}) * (({ast.unparse(b)}) - {total}))"
                what = f"the term -{ast.unparse(a)} * {total}, as of a softmax, is missing"
                yield said(_made(made), ("missing_term", f"Σ over axis {axis}", what))
    if isinstance(node, (ast.Name, ast.BinOp)):
        for axis in range(len(shape)):
            mean = f"({text}).mean(axis={axis}, keepdims=True)"
            what = f"the mean was held constant: the term -{mean} is missing"
            yield said(
                _made(f"({text} - {mean})"), ("missing_term", f"mean over axis {axis}", what)
            )
        if len(shape) == 2 and shape[0] == shape[1]:
            what = f"{text} enters a second time, transposed: the term with ({text}).T is missing"
            yield said(_made(f"(({text}) + ({text}).T)"), ("missing_term", f"({text}).T", what))


def _functions(scope: Scope) -> list[str]:
    """The functions of one argument that forward uses, as backward may call them."""
    found = []
    for name in sorted(scope.uses):
        if name in ("exp", "log", "tanh", "sqrt", "abs"):
            found.append(f"{scope.numpy}.{_INVERSES.get(name, name)}")
        f = scope.world.get(name)
        if isinstance(f, FunctionType) and f.__code__.co_argcount == 1:
            found.append(name)
    return found[:4]


def _reordered(text: str, ndim: int) -> Iterator[ast.AST]:
    """The same entries in another order: reversed along an axis, or with exchanged axes."""
    for axis in range(min(ndim, 2)):
        what = f"({text})[{':, ' * axis}::-1]"
        sentence = f"{text} should be reversed along axis {axis}: {what}"
        yield said(_made(what), ("flipped", what, sentence))
    if ndim == 3:
        for axes in itertools.permutations(range(3)):
            if axes != (0, 1, 2):
                what = f"({text}).transpose{axes}"
                sentence = f"the axes of {text} are in another order: {what} belongs there"
                yield said(_made(what), ("axes", what, sentence))


def _is_term(parent: ast.AST) -> bool:
    """Whether a node is a term of a sum or of a difference."""
    return isinstance(parent, ast.BinOp) and isinstance(parent.op, (ast.Add, ast.Sub))


def _is_operand(parent: ast.AST) -> bool:
    """Whether a node is multiplied as a matrix, summed, or transposed by its parent."""
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, ast.MatMult)
    if isinstance(parent, ast.Call):
        return "fft" in ast.dump(parent.func)
    return isinstance(parent, ast.Attribute) and parent.attr in ("T", "sum", "mean")


def _times(node: ast.expr, factor: str) -> ast.expr:
    return ast.BinOp(node, ast.Mult(), _shared(factor))


def _power(node: ast.expr, n: int) -> ast.expr:
    return ast.BinOp(node, ast.Pow(), ast.Constant(n))


def _called(f: str, node: ast.expr) -> ast.expr:
    return ast.Call(_shared(f), [node], [])


@lru_cache(maxsize=512)
def _shared(text: str) -> ast.expr:
    """The expression of a text; it is shared, and so never changed."""
    return _made(text)


def _made(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
