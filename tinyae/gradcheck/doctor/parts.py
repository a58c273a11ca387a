"""Find the part that makes a whole wrong: examine each with the input that it gets in the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.findings import Diagnosis
from tinyae.gradcheck.doctor.subjects import (
    LayerSubject,
    LossSubject,
    Subject,
    TangentSubject,
    has_tangent,
)
from tinyae.gradcheck.doctor.trial import Point
from tinyae.param import Array


def broken_part(
    subject: Subject, point: Point, examine: Callable[[Subject, bool], Diagnosis]
) -> tuple[str, Diagnosis] | None:
    """The first part, in the order of forward, that is wrong by itself: its label and diagnosis.

    ``examine`` is also told whether an earlier part of the same class passed every test of the
    contract.
    """
    passed: set[type] = set()
    for label, part, x in _inputs(subject, point):
        if isinstance(x, tuple):
            inner: Subject = LossSubject(part, x[0], x[1], np.random.default_rng(0))
        else:
            inner = LayerSubject(part, x, np.random.default_rng(0))
        diagnosis = examine(inner, type(part) in passed)
        if diagnosis.ok and isinstance(inner, LayerSubject) and has_tangent(inner.module):
            diagnosis = examine(
                TangentSubject(part, x, np.random.default_rng(0)), type(part) in passed
            )
        if not diagnosis.ok and diagnosis.kind not in ("noise", "error"):
            return f"{label} ({inner.title})" if not diagnosis.wrong else label, diagnosis
        if not getattr(part, "children", None):
            passed.add(type(part))
    return None


def _inputs(subject: Subject, point: Point) -> Iterator[tuple[str, Any, Any]]:
    """Every part once, with the x (or the y and target) that it receives in one forward pass."""
    seen: list[tuple[str, Any, Any]] = []
    watched: list[Any] = []
    parts = list(_inside_out(subject.module, ""))
    for label, part in parts:
        if _watch(label, part, seen):
            watched.append(part)
    try:
        point.evaluate()
    finally:
        for part in watched:
            part.__dict__.pop("forward", None)
    losses = list(_losses(subject, point))
    done: set[int] = set()
    for label, part, x in [*seen, *losses]:
        if id(part) not in done:
            done.add(id(part))
            yield label, part, x


def _inside_out(module: Any, label: str) -> Iterator[tuple[str, Any]]:
    """All parts of a module, inner parts before those that contain them."""
    for name, child in getattr(module, "children", {}).items():
        inner = f"{label}.{name}" if label else name
        yield from _inside_out(child, inner)
        if hasattr(child, "forward") and hasattr(child, "backward"):
            yield inner, child


def _watch(label: str, part: Any, seen: list[tuple[str, Any, Any]]) -> bool:
    """Record what a part's forward is called with; False if the part allows no new attribute."""
    forward = part.forward

    def watched(*args: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], np.ndarray):
            seen.append((label, part, args[0].copy()))
        elif len(args) == 2 and all(isinstance(a, np.ndarray) for a in args):
            seen.append((label, part, (args[0].copy(), args[1].copy())))
        return forward(*args)

    try:
        part.forward = watched
    except AttributeError:
        return False
    return True


def _losses(
    subject: Subject, point: Point
) -> Iterator[tuple[str, Any, tuple[Array, Array | None]]]:
    """The losses, likelihoods and penalties that a model calls, with their arguments."""
    seen: list[tuple[str, Any, tuple[Array, Array | None]]] = []
    module = subject.module
    originals = []
    for name, part in list(vars(module).items() if hasattr(module, "__dict__") else ()):
        if callable(part) and not hasattr(part, "children") and not isinstance(part, type):
            originals.append((name, part))
            setattr(module, name, _CallRecorder(part, name, seen))
    try:
        point.evaluate()
    except Exception:
        seen.clear()
    finally:
        for name, part in originals:
            setattr(module, name, part)
    yield from seen


class _CallRecorder:
    """Takes the place of a loss and records its arguments."""

    def __init__(self, part: Any, name: str, seen: list[Any]) -> None:
        self.part, self.name, self.seen = part, name, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def __call__(self, *args: Any) -> Any:
        if len(args) == 2:
            self.seen.append((self.name, self.part, (args[0].copy(), args[1].copy())))
        elif len(args) == 1:
            self.seen.append((self.name, self.part, (args[0].copy(), None)))
        return self.part(*args)
