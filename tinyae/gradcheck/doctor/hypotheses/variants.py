"""Variants of a source: edited, run in the place of the subject's backward, and judged."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from types import FunctionType
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.edits import Change, changes, locate
from tinyae.gradcheck.doctor.hypotheses.evaluation import Opaque
from tinyae.gradcheck.doctor.hypotheses.resumed import NOTHING, Resumed
from tinyae.gradcheck.doctor.hypotheses.scope import Scopes
from tinyae.gradcheck.doctor.hypotheses.source import STEPS, Piece, Program, reached
from tinyae.gradcheck.doctor.subjects import FunctionSubject, LossSubject, StatefulSubject, Subject
from tinyae.gradcheck.doctor.trial import Point
from tinyae.param import Array

MAX_VARIANTS = (800, 500, 500, 900)  # variants that are run in each of the four stages
MAX_LINES = 60_000  # lines that the variants of one stage may run, long arrays counting more


def variants(
    subject: Subject,
    program: Program,
    point: Point,
    wanted: dict[str, Any],
    alternatives: Any,
    right: set[str],
    only: Piece | None = None,
    budget: Budget | None = None,
    skip: Any = None,
    scopes: Scopes | None = None,
) -> Any:
    """The changed pieces that give some wanted gradient at the point and spoil none that is right;
    with the keys of all gradients that are then as wanted. With the
    scopes of a run, a variant begins at the statement that is changed.
    """
    if not wanted:
        return
    budget = budget or Budget(MAX_VARIANTS[0])
    goals = {key: Goal(a) for key, a in wanted.items()}
    for piece in program.pieces:
        if only is not None and piece is not only:
            continue
        variant, changed = program.variant(piece, piece.code)
        resumed = None
        if scopes is not None and piece is scopes.history.piece:
            if not scopes.tried_to_resume:
                scopes.tried_to_resume = True
                scopes.resumed = _resumed(subject, scopes, changed, wanted)
            resumed = scopes.resumed
        for change in changes(piece.tree, alternatives, skip):
            key: Any = None
            if resumed is not None:
                with suppress(Opaque):
                    key = resumed.key(change)
            if key is None:
                locate(change)
            code = piece.compiled() if key is None else None
            mark = (piece.name, key or code)
            if mark == (piece.name, None) or mark in budget.done:
                continue
            if budget.spent():
                return
            budget.done.add(mark)
            if resumed is not None and key is not None:
                try:
                    found = _given(subject, resumed.returned(key), goals)
                except Opaque:
                    found = None
                if found is not None and not (found - right and right <= found):
                    continue
                locate(change)
                code = piece.compiled()  # to be sure, it runs as a whole
                if code is None:
                    continue
            changed.__code__ = code  # type: ignore[assignment]
            found = _fulfilled(subject, variant, point, wanted)
            if found - right and right <= found:
                yield piece, variant, change, found


def _resumed(
    subject: Subject, scopes: Scopes, changed: FunctionType, wanted: dict[str, Any]
) -> Resumed | None:
    """The function, to be resumed at what is changed; None if the whole of it has to run. It must
    give, unchanged, what it gave.
    """
    history, given = scopes.history, scopes.found
    if type(subject) is not FunctionSubject or given is None:
        return None
    if subject.kept.changed or subject.form == "kept":
        return None
    try:
        resumed = Resumed(history, changed.__globals__)
        here = {key: a for key in wanted if isinstance(a := given.get(key), np.ndarray)}
        for statement in history.piece.tree.body:
            try:
                returned = resumed.returned(resumed.key(Change(None, None, statement)))
            except Opaque:
                continue
            goals = {key: Goal(a) for key, a in here.items()}
            right = _given(subject, returned, goals) == here.keys()
            return resumed if right and here else None
    except Opaque:
        pass
    return None


def _given(subject: Any, returned: Any, goals: dict[str, Goal]) -> set[str]:
    """The gradients among what a backward returned that are as wanted, by their keys."""
    if returned is NOTHING:
        return set()
    try:
        found = subject.by_name(returned[1] if subject.form == "joint" else returned)
    except Exception:  # they cannot be told
        return set()
    return {key for key, goal in goals.items() if goal.reached(found.get(key))}


class Goal:
    """A wanted gradient, whose first entry tells it from almost every other."""

    def __init__(self, wanted: Any) -> None:
        self.wanted, self.shape = wanted, np.shape(wanted)
        self.first = wanted.item(0) if isinstance(wanted, np.ndarray) and wanted.size else math.nan
        self.gap = math.nan
        if np.isfinite(self.first):
            self.gap = 1e-6 * max(float(np.nanmax(np.abs(wanted))), 1e-12)

    def reached(self, found: Any) -> bool:
        fits = isinstance(found, np.ndarray) and found.shape == self.shape and found.size
        if fits and abs(found.item(0) - self.first) > self.gap:
            return False
        return alike(found, self.wanted)


def _fulfilled(subject: Subject, variant: Any, point: Point, wanted: dict[str, Any]) -> set[str]:
    """The gradients that a variant gives as wanted, by their keys."""
    try:
        found = run_variant(subject, variant, point)
    except Exception:  # it does not run
        return set()
    return {key for key, a in wanted.items() if alike(found.get(key), a)}


class Clock:
    """How long all searches of one diagnosis may take, in milliseconds of this process's time: what
    the examination leaves of ``whole``, and at least half as long as that took, as f may be slow.
    """

    def __init__(self, whole: float) -> None:
        self.whole, self.started = whole, time.process_time()
        self.left, self.since = math.inf, math.inf

    def __enter__(self) -> Clock:
        self.since = time.process_time()
        if self.left == math.inf:
            taken = 1e3 * (self.since - self.started)
            self.left = max(self.whole - taken, taken / 2)
        return self

    def __exit__(self, *_: object) -> None:
        self.left -= 1e3 * (time.process_time() - self.since)

    def over(self) -> bool:
        return 1e3 * (time.process_time() - self.since) > self.left


class Budget:
    """How many variants are run. What is tried of them first does not depend on the machine; only
    where the clock runs out it does, and then the diagnosis says so.
    """

    def __init__(
        self, count: int, clock: Clock | None = None, done: set[Any] | None = None
    ) -> None:
        self.count, self.clock = count, clock
        self.done: set[Any] = set() if done is None else done  # codes that have been run
        self.stopped = False

    def spent(self) -> bool:
        self.count -= 1
        self.stopped = self.count < 0 or (self.clock is not None and self.clock.over())
        return self.stopped


def alike(found: Any, wanted: Any) -> bool:
    if not isinstance(found, (np.ndarray, np.floating)) or np.shape(found) != np.shape(wanted):
        return False
    p, q = np.ravel(found), np.ravel(wanted)
    if not q.size:
        return True
    largest = float(np.abs(q).max())
    if largest == largest:  # no NaN, where nothing was measured
        return bool(np.abs(p - q).max() <= 1e-6 * max(largest, 1e-12))
    seen = np.isfinite(q)
    p, q = p[seen], q[seen]
    top = max(float(np.abs(q).max(initial=0)), 1e-12)
    return bool(np.abs(p - q).max(initial=0) <= 1e-6 * top)


def run_variant(
    subject: Subject, variant: Any, point: Point, what: Callable[[], Any] | None = None
) -> Any:
    """The subject's gradients, or something else, with its backward replaced."""
    what = what or (lambda: point.analytic(point.r))
    STEPS.start()
    if isinstance(subject, FunctionSubject):
        original, subject.backward = subject.backward, variant
        try:
            return what()
        finally:
            subject.backward = original
    original = subject.module
    if isinstance(subject, LossSubject) and isinstance(original, FunctionType):
        subject.module = variant
    else:
        made = object.__new__(variant)
        made.__dict__.update(original.__dict__)
        subject.module = made
    try:
        return what()
    finally:
        subject.module = original


def codes_of_forward(subject: Subject) -> set[Any]:
    """The code that forward runs too, as far as it can be read."""
    if isinstance(subject, FunctionSubject):
        if subject.form == "framework":
            cls = subject.module if isinstance(subject.module, type) else None
            name = subject.methods[0] if isinstance(subject, StatefulSubject) else "forward"
            return reached(getattr(subject.module, name, None), cls)
        return set() if subject.form == "joint" else reached(subject.f)
    if isinstance(subject.module, FunctionType):
        return set()  # a loss: its one function gives both
    cls = type(subject.module)
    return reached(getattr(cls, "forward", None), cls) | reached(
        getattr(cls, "objective", None), cls
    )


def same_output(subject: Subject, variant: Any, point: Point) -> bool:
    """Whether y, or L, is as before with a repaired backward."""
    try:
        with np.errstate(all="ignore"):
            y = run_variant(subject, variant, point, lambda: _output(subject, point))
    except Exception:
        return False
    return bool(np.allclose(y, point.y, rtol=1e-9, atol=1e-12))


def _output(subject: Subject, point: Point) -> Array:
    if isinstance(subject, FunctionSubject) and subject.form == "joint":
        inputs = {name: a.copy() for name, a in point.tensors.items()}
        return np.asarray(subject.backward(*subject.in_order(inputs))[0], np.float64)
    return point.evaluate()


def holds(subject: Subject, variant: Any, wanted: list[tuple[Point, dict[str, Any]]]) -> bool:
    """Whether a variant gives the wanted gradients at each point."""
    for point, gradients in wanted:
        try:
            with np.errstate(all="ignore"):
                found = run_variant(subject, variant, point)
        except Exception:
            return False
        if not all(alike(found.get(key), a) for key, a in gradients.items()):
            return False
    return True
