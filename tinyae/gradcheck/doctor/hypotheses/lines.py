"""Find the wrong line in the source.

Three methods, the surest first. If the subject derives from a layer, loss or model of this library
(or a reference is given), and their backwards differ in one place, that is the place. Otherwise
mistakes are made in the reference until it is as wrong as the subject. Otherwise repairs are tried
in the subject's own source until it is right.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from tinyae import kernels
from tinyae.gradcheck.doctor.findings import Place
from tinyae.gradcheck.doctor.hypotheses.classify import classify, differences
from tinyae.gradcheck.doctor.hypotheses.dataflow import spoils_what_is_right
from tinyae.gradcheck.doctor.hypotheses.edits import (
    Change,
    likely_repairs,
    mistakes,
    unlikely_repairs,
)
from tinyae.gradcheck.doctor.hypotheses.insertions import insertions
from tinyae.gradcheck.doctor.hypotheses.scope import Scopes
from tinyae.gradcheck.doctor.hypotheses.slips import lines_in_loops, statement_repairs
from tinyae.gradcheck.doctor.hypotheses.source import Piece, Program, names_held, spelt
from tinyae.gradcheck.doctor.hypotheses.variants import (
    MAX_LINES,
    MAX_VARIANTS,
    Budget,
    Clock,
    alike,
    codes_of_forward,
    holds,
    run_variant,
    same_output,
    variants,
)
from tinyae.gradcheck.doctor.subjects import (
    FunctionSubject,
    StatefulSubject,
    Subject,
    TangentSubject,
)
from tinyae.gradcheck.doctor.trial import Pair, Point

Pairs = dict[str, Pair]
OtherPoints = Callable[[], Iterable[tuple[Point, Pairs]]]  # and the gradients measured there
# The library's classes, each correct by definition, are found here by name.
_HOMES = ("tinyae.layers.", "tinyae.losses.", "tinyae.likelihoods.", "tinyae.models.")


# What each stage of the search for repairs tries, in its order.
STAGES = (
    "common slips of one expression",
    "whole statements",
    "slopes and functions left out",
    "masks, terms and other names",
)


BUDGET = 850.0  # milliseconds of a diagnosis, after which no further repair is tried


class Search:
    """What all searches of one diagnosis share: the time that is left, and what was not tried."""

    def __init__(self) -> None:
        self.clock = Clock(BUDGET)
        self.untried: list[str] = []

    def left_out(self, stages: Iterable[str]) -> None:
        self.untried += [stage for stage in stages if stage not in self.untried]


@dataclass
class Edit:
    """A wrong line, what to write there, and the name of the mistake."""

    kind: str
    name: str
    line: str
    number: int
    fixed: str
    text: str
    whole: bool = True  # it makes every gradient right, not only one

    def message(self, tensor: str) -> str:
        return f"{tensor} is wrong because {self.text}"

    @property
    def place(self) -> Place:
        return Place(self.line, self.number, self.fixed)


def find_edit(
    subject: Subject,
    point: Point,
    pairs: dict[str, Pair],
    keys: dict[str, str],
    reference: Any = None,
    deep: bool = True,
    other_points: OtherPoints = tuple,
    tensor: str | None = None,
    stages: int = len(MAX_VARIANTS),
    search: Search | None = None,
) -> Edit | None:
    """The one edit that explains every wrong gradient, or None. Only a deep search tries repairs
    of the subject's own source, because there may be many.
    """
    search = search or Search()
    # A variant may give a kernel arrays that do not fit; a jitted one would write beyond them.
    with search.clock, np.errstate(all="ignore"), kernels.use("numpy"):
        return _find(
            subject, point, pairs, keys, reference, deep, other_points, tensor, stages, search
        )


def _find(
    subject: Subject,
    point: Point,
    pairs: dict[str, Pair],
    keys: dict[str, str],
    reference: Any,
    deep: bool,
    other_points: OtherPoints,
    tensor: str | None,
    stages: int,
    search: Search,
) -> Edit | None:
    own = subject.module
    if not isinstance(own, (FunctionType, type)):
        own = type(own)
    right = _reference(own, reference)
    starts = _starts(subject)
    mine = Program(own, starts)
    if right is not None and right is not own:
        theirs = Program(right, starts)
        found = _from_difference(subject, mine, theirs, point, pairs, keys)
        if found is not None:
            return found
        if all(p.ok for p in pairs.values()):
            return None  # the gradients are right, so a search has no goal
        if not mine.pieces or not isinstance(own, FunctionType):
            found = _from_mistakes(subject, theirs, point, pairs, keys, other_points)
            if found is not None:
                return found
    if deep and mine.pieces and not all(p.ok for p in pairs.values()):
        more = (other_points, tensor, stages, search)
        found = _from_repairs(subject, mine, point, pairs, keys, *more)
        if found is None and right is not None and isinstance(right, FunctionType):
            theirs = Program(right, starts)
            found = _from_mistakes(subject, theirs, point, pairs, keys, other_points)
        return found
    return None


def _starts(subject: Subject) -> tuple[str, ...]:
    """The methods whose source is read first."""
    if isinstance(subject, TangentSubject):
        return ("tangent_backward", "tangent")
    if isinstance(subject, StatefulSubject):
        return subject.methods[1:]
    return ("backward", "backprop", "backward_input", "measure", "__call__")


def _reference(own: Any, given: Any) -> Any:
    """The correct version: what is given, or the library class that this one derives from."""
    if given is not None:
        if isinstance(given, (FunctionType, type)):
            return given
        return type(given)
    if isinstance(own, FunctionType):
        return None
    library = [m for name, m in sys.modules.items() if f"{name}.".startswith(_HOMES)]
    for cls in own.__mro__:
        for module in library:
            found = getattr(module, cls.__name__, None)
            if isinstance(found, type):
                return found
    return None


# --- a difference in one place --------------------------------------------------------------------


def _from_difference(
    subject: Subject,
    mine: Program,
    theirs: Program,
    point: Point,
    pairs: dict[str, Pair],
    keys: dict[str, str],
) -> Edit | None:
    """The only difference between the two sources, if correcting it makes every gradient right."""
    found: list[tuple[Piece, Piece, Any, Any, str]] = []
    other = {(p.owner, p.name): p for p in theirs.pieces}
    if mine.cls is None and theirs.cls is None and theirs.pieces:  # functions may have any name
        other.update({(p.owner, p.name): theirs.pieces[0] for p in mine.pieces[:1]})
    for piece in mine.pieces:
        counterpart = other.get((piece.owner, piece.name))
        if counterpart is None or counterpart.function.__code__ is piece.function.__code__:
            continue
        tree = copy.copy(counterpart.tree)
        tree.name = piece.tree.name
        found += [(piece, counterpart, *pair) for pair in differences(piece.tree, tree)]
    if len(found) != 1:
        return None
    piece, counterpart, bad, good, context = found[0]
    if isinstance(bad, ast.FunctionDef):
        return None  # they have nothing in common
    wanted = {keys[name]: p.n for name, p in pairs.items() if np.isfinite(p.n).any()}
    try:
        with np.errstate(all="ignore"):
            code, world = counterpart.code, names_held(counterpart.function)
            right = run_variant(subject, mine.variant(piece, code, world)[0], point)
    except Exception:
        return None
    if not all(alike(right.get(key), n) for key, n in wanted.items()):
        return None
    kind, name, text = classify(bad, good, context)
    statement = _statement_of(piece.tree, bad) if bad is not None else None
    fixed = _unparsed(_statement_of(counterpart.tree, good)) if good is not None else "(nothing)"
    if statement is None:
        return Edit(kind, name, "", 0, fixed, text)
    number = statement.lineno
    return Edit(kind, name, piece.line(number), piece.first + number - 1, fixed, text)


def _statement_of(tree: ast.AST, node: Any) -> ast.stmt | None:
    for part in ast.walk(tree):
        if isinstance(part, ast.stmt) and not isinstance(part, ast.FunctionDef):
            inner = [n for n in ast.iter_child_nodes(part) if not isinstance(n, ast.stmt)]
            if part is node or any(node is n for child in inner for n in ast.walk(child)):
                return part
    return None


def _unparsed(node: Any) -> str:
    return "" if node is None else spelt(ast.fix_missing_locations(node))


# --- a search over single edits ---------------------------------------------------------------------


def _from_mistakes(
    subject: Subject,
    theirs: Program,
    point: Point,
    pairs: Pairs,
    keys: dict[str, str],
    other_points: OtherPoints,
) -> Edit | None:
    """The mistake in the reference that gives exactly the subject's gradients at every point."""

    def wanted(found: Pairs) -> dict[str, Any]:
        return {keys[name]: p.a for name, p in found.items()}

    here = wanted(pairs)
    if not here or any(not isinstance(a, np.ndarray) for a in here.values()):
        return None
    for piece, variant, change, given in variants(subject, theirs, point, here, mistakes, set()):
        if given != here.keys() or not holds(
            subject, variant, [(p, wanted(found)) for p, found in other_points()]
        ):
            continue
        kind, name, text = classify(change.after, change.before, change.context)
        number = change.statement.lineno
        fixed = f"{piece.line(number)}    (as in {piece.name}, line {piece.first + number - 1})"
        return Edit(kind, name, "", 0, fixed, text)
    return None


def _from_repairs(
    subject: Subject,
    mine: Program,
    point: Point,
    pairs: Pairs,
    keys: dict[str, str],
    other_points: OtherPoints,
    tensor: str | None,
    stages: int,
    search: Search,
) -> Edit | None:
    """The repair of the subject's own source that makes every gradient right at every point or, if
    there is none (two slips hide each other), one that makes this gradient right.
    """

    def wanted(found: Pairs) -> dict[str, Any]:
        return {keys[name]: p.n for name, p in found.items() if np.isfinite(p.n).any()}

    here, shared = wanted(pairs), codes_of_forward(subject)
    right = {keys[name] for name, p in pairs.items() if p.ok}
    partial: dict[str, Edit] = {}
    constants = [c for c in point.scalars if c.isidentifier()]
    named = tuple(c for c in constants if c not in point.tensors)[:4]
    original = mine.variant(mine.pieces[0], mine.pieces[0].code)[0]
    scopes = Scopes(lambda: run_variant(subject, original, point), mine.pieces, shared)
    done: set[Any] = set()
    for stage, count in enumerate(MAX_VARIANTS[:stages]):
        budget = Budget(min(count, MAX_LINES // scopes.lines), search.clock, done)
        for piece in mine.pieces:
            if piece.function.__code__ in shared:
                continue  # a repair there would change what is differentiated
            if hasattr(piece.function, "__wrapped__"):
                continue  # a decorator's function, which only passes things on
            if holds(subject, mine.variant(piece, piece.code)[0], [(point, here)]):
                continue  # the source is right, so what runs is another: a compiled kernel
            names, every = _arrays_in(piece.tree)
            scope, skip = scopes.of(piece), None
            if piece is mine.pieces[0] and isinstance(subject, FunctionSubject) and right:
                skip = spoils_what_is_right(piece.tree, [name in right for name in subject.wrt])
            tried = (
                likely_repairs(names, scope, named, *_never_read(piece.tree)),
                statement_repairs(names, constants, lines_in_loops(piece.tree), scope),
                insertions(scope, names),
                unlikely_repairs(names, every, scope),
            )[stage]
            for found, variant, change, repaired in variants(
                subject,
                mine,
                point,
                here,
                tried,
                right,
                only=piece,
                budget=budget,
                skip=skip,
                scopes=scopes,
            ):
                said = getattr(change.after, "mistake", None)
                kind, name, text = said or classify(change.before, change.after, change.context)
                number = change.statement.lineno
                after, line = spelt(_with(change)), found.line(number)
                after = "(nothing: take the line out)" if after == "pass" else after
                whole = repaired == here.keys()
                edit = Edit(kind, name, line, found.first + number - 1, after, text, whole)
                key = next(iter(repaired - right))
                if not whole and (tensor is None or key in partial):
                    continue
                elsewhere = [
                    (p, {k: n for k, n in wanted(more).items() if k in repaired})
                    for p, more in other_points()
                ]
                if holds(subject, variant, elsewhere) and same_output(subject, variant, point):
                    if whole:
                        return edit
                    partial[key] = edit
        if budget.stopped:
            search.left_out(STAGES[stage : stage + 1])
        if search.clock.over():
            search.left_out(STAGES[stage:stages])
            break
    return partial.get(keys.get(tensor or "", ""))


def _with(change: Change) -> ast.stmt:
    """The statement after the change, which is still in place."""
    if change.before is change.statement:
        made = change.after if isinstance(change.after, ast.stmt) else ast.Pass()
        return ast.fix_missing_locations(made)
    return ast.fix_missing_locations(change.statement)


def _arrays_in(tree: ast.FunctionDef) -> tuple[list[str], list[str]]:
    """Arguments and local variables, beginning with those that are multiplied: few, and all."""
    scope = {a.arg for a in tree.args.args if a.arg != "self"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            scope.add(node.id)
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp):
            for side in (node.left, node.right):
                if isinstance(side, ast.Name) and side.id in scope and side.id not in names:
                    names.append(side.id)
    rest = sorted(scope - set(names))
    return [*names, *rest][:8], [*names, *rest]


def _never_read(tree: ast.FunctionDef) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that are assigned and never read, as an upstream gradient that was forgotten; and
    those that are assigned twice.
    """
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = {node.id for node in names if not isinstance(node.ctx, ast.Store)}
    made = [a.arg for a in tree.args.args]
    made += [node.id for node in names if isinstance(node.ctx, ast.Store)]
    unused = dict.fromkeys(n for n in made if n not in read and n != "self")
    return tuple(unused), tuple(dict.fromkeys(n for n in made if made.count(n) > 1))
