"""Asks the doctor about the learner's function, and gives its answer on two levels."""

from __future__ import annotations

import contextlib
import copy
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from tinyae.gradcheck import Diagnosis, Finding, diagnose_arrays
from tinyae.gradcheck.doctor.examination import Examination
from tinyae.gradcheck.doctor.subjects import FunctionSubject
from tinyae.learn.telling import Learner, in_short, page, told
from tinyae.param import Array


@dataclass
class Question:
    """A wrong gradient of f at these inputs, with the learner's function and the right one."""

    f: Callable[..., Any]
    inputs: dict[str, Array]
    mine: Callable[..., Any]
    right: Callable[..., Any]
    wrt: tuple[str, ...]
    gives: Sequence[str]  # the names of the functions' results
    call_arguments: Callable[..., dict[str, Any]]  # (dy, *inputs) → the functions' arguments
    upstream: bool
    tensors: Any
    sizes: dict[str, int] | None
    rows: dict[str, Sequence[int]] | None = None  # of a gradient, by what they have in common


class _Subject(FunctionSubject):
    """The learner's function in the form that the doctor examines."""

    def __init__(self, question: Question) -> None:
        q = self.question = question
        options = {"wrt": q.wrt, "upstream": q.upstream, "tensors": q.tensors}
        super().__init__(q.f, q.inputs, q.mine, np.random.default_rng(0), **options)

    def call(self, r: Array, inputs: dict[str, Array]) -> dict[str, Array]:
        q = self.question
        given = q.call_arguments(r.copy(), *copied(inputs)).values()
        found = dict(zip(q.gives, parts(self.backward(*given), q.gives)))
        return {w: np.array(found[f"d{w}"], np.float64) for w in q.wrt}


def consult(
    question: Question | None,
    values: tuple[Array, Array, str] | None,
    learner: Learner,
    full: bool,
) -> tuple[list[str], list[str]]:
    """The doctor's short answer and, if ``full``, all of it.

    It is about the wrong gradient or, if there is none, the wrong value: (found, right, its name).
    """
    silent = contextlib.redirect_stdout(io.StringIO())  # the doctor calls the function many times
    try:
        with silent:
            return _consult(question, values, learner, full)
    except Exception as error:  # a failing doctor must not hide the rows
        return [f"It could not examine this: {type(error).__name__}: {error}"], []


def _consult(
    question: Question | None,
    values: tuple[Array, Array, str] | None,
    learner: Learner,
    full: bool,
) -> tuple[list[str], list[str]]:
    if question is not None:
        diagnosis = Examination(_Subject(question), question.right, question.sizes).diagnose()
        learner.numbers = {k: float(a) for k, a in question.inputs.items() if not np.ndim(a)}
        learner.numbers |= constants(question.mine)
        learner.sizes, learner.rows = question.sizes or {}, question.rows or {}
        diagnosis.remarks = [r for r in diagnosis.remarks if "did not run" not in r]
    elif values is not None:
        found, right, name = values
        diagnosis = diagnose_arrays(found, right, name=name)
    else:
        return [], []
    diagnosis.findings = _causes(diagnosis.findings)
    if question is not None and diagnosis.kind == "unknown":
        diagnosis.remarks += so_far_right(question)
    short = _first(diagnosis)
    if not full or not diagnosis.findings:
        return short, []
    return short, page(diagnosis, [told(f, learner) for f in diagnosis.findings], learner)


def constants(f: Callable[..., Any]) -> dict[str, float]:
    """The numbers of the function's file that have a name in capitals: ALPHA, EPS."""
    world = getattr(f, "__globals__", {})
    return {k: v for k, v in world.items() if k.isupper() and isinstance(v, float)}


def so_far_right(q: Question) -> list[str]:
    """A remark on those of the learner's arrays that a right solution computes too."""
    dy = np.random.default_rng(0).normal(size=np.shape(q.f(*copied(q.inputs))))
    given = list(q.call_arguments(dy if q.upstream else np.ones(()), *copied(q.inputs)).values())
    mine, right = variables(q.mine, copied_list(given)), variables(q.right, copied_list(given))
    agree = [
        name
        for name, a in mine.items()
        if any(a.shape == b.shape and np.allclose(a, b, 1e-9, 1e-12) for b in right.values())
    ]
    if not agree:
        return []
    which = f"{', '.join(agree[:-1])} and {agree[-1]} are" if agree[1:] else f"{agree[0]} is"
    return [f"of what you compute, {which} right: the slip comes after"]


def variables(f: Callable[..., Any], given: list[Any]) -> dict[str, Array]:
    """The arrays that a call computes and keeps under a name, in their order."""
    code = getattr(f, "__code__", None)
    found: dict[str, Array] = {}

    def look(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code is not code:
            return None
        if event == "return" and argument is not None:
            for name in code.co_varnames[code.co_argcount :]:
                a = frame.f_locals.get(name)
                if isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.size > 1:
                    found[name] = a.copy()
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        f(*given)
    finally:
        sys.settrace(before)
    return found


def _causes(findings: list[Finding]) -> list[Finding]:
    """The findings to report, the first of each gradient: the others follow from it or say less."""
    if findings and findings[0].kind in ("writes_input", "noise", "error"):
        return findings[:1]
    first: dict[str, Finding] = {}  # by gradient
    for finding in findings:
        first.setdefault(finding.tensor, finding)
    known = [f for f in first.values() if f.kind != "unknown"]
    return known or list(first.values())[:1]


def _first(diagnosis: Diagnosis) -> list[str]:
    """The class of each mistake, without repetition, and the remarks."""
    gradients: dict[str, list[str]] = {}  # text → the gradients that it is about
    for finding in diagnosis.findings:
        gradients.setdefault(in_short(finding), []).append(finding.tensor)
    lines = []
    for text, names in gradients.items():
        head = ", ".join(name for name in names if name)
        lines.append(f"{head}: {text}" if head else text)
    remarks = [remark[:1].upper() + remark[1:] + "." for remark in diagnosis.remarks]
    return lines + remarks if lines else []


def parts(out: Any, gives: Sequence[str]) -> tuple[Any, ...]:
    """A function's results as a tuple, one for each name in ``gives``."""
    return (out,) if len(gives) == 1 else tuple(out)


def copied(inputs: dict[str, Any]) -> list[Any]:
    """Deep copies of the inputs, so that the learner's code cannot change the originals."""
    return copied_list(list(inputs.values()))


def copied_list(arguments: list[Any]) -> list[Any]:
    return [copy.deepcopy(a) for a in arguments]
