"""The learner's function is shown to the doctor, and its answer is put in two steps."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyae.gradcheck import Diagnosis, Finding, diagnose_arrays
from tinyae.gradcheck.doctor.examination import Examination
from tinyae.gradcheck.doctor.subjects import FunctionSubject
from tinyae.param import Array


@dataclass
class Question:
    """A wrong gradient: of f, at these inputs, by the learner's function and the right twin."""

    f: Callable[..., Any]
    inputs: dict[str, Array]
    mine: Callable[..., Any]
    right: Callable[..., Any]
    wrt: tuple[str, ...]
    gives: Sequence[str]  # what the functions return
    taken: Callable[..., dict[str, Any]]  # (dy, *inputs) → what they are called with
    upstream: bool
    tensors: Any
    sizes: dict[str, int] | None


class _Subject(FunctionSubject):
    """The learner's function as the doctor sees it: called as it is made to be called."""

    def __init__(self, question: Question) -> None:
        q = self.question = question
        how = {"wrt": q.wrt, "upstream": q.upstream, "tensors": q.tensors}
        super().__init__(q.f, q.inputs, q.mine, np.random.default_rng(0), **how)

    def call(self, r: Array, inputs: dict[str, Array]) -> dict[str, Array]:
        q = self.question
        given = q.taken(r.copy(), *copied(inputs)).values()
        found = dict(zip(q.gives, parts(self.backward(*given), q.gives)))
        return {w: np.array(found[f"d{w}"], np.float64) for w in q.wrt}


def consult(
    question: Question | None, values: tuple[Array, Array, str] | None, full: bool
) -> tuple[list[str], list[str]]:
    """What the doctor says first, and (if ``full``) all of it.

    About a wrong gradient, or if there is none about a wrong value: (found, right, its name).
    """
    silent = contextlib.redirect_stdout(io.StringIO())  # it calls the function many times
    try:
        with silent:
            return _consult(question, values, full)
    except Exception as error:  # it must never hide what the rows say
        return [f"It could not examine this: {type(error).__name__}: {error}"], []


def _consult(
    question: Question | None, values: tuple[Array, Array, str] | None, full: bool
) -> tuple[list[str], list[str]]:
    if question is not None:
        diagnosis = Examination(_Subject(question), question.right, question.sizes).diagnose()
    elif values is not None:
        found, right, name = values
        diagnosis = diagnose_arrays(found, right, name=name)
    else:
        return [], []
    diagnosis.findings = _causes(diagnosis.findings)
    return _first(diagnosis), str(diagnosis).splitlines() if full else []


def _causes(findings: list[Finding]) -> list[Finding]:
    """Those that may have a line of their own: others follow from them, or say less."""
    if findings and findings[0].kind in ("writes_input", "noise", "error"):
        return findings[:1]
    first: dict[str, Finding] = {}  # of each gradient
    for finding in findings:
        first.setdefault(finding.tensor, finding)
    known = [f for f in first.values() if f.kind != "unknown"]
    return known or list(first.values())[:1]


def _first(diagnosis: Diagnosis) -> list[str]:
    """The first level of each finding, said once, and the remarks."""
    told: dict[str, list[str]] = {}  # what is said → of which gradients
    for finding in diagnosis.findings:
        text = finding.levels[0]
        if finding.kind == "factor" and finding.name == "-1":
            text = "A sign is turned."
        elif finding.kind == "entries":
            text = "Some of the entries are right, the others are not."
        told.setdefault(text, []).append(finding.tensor)
    lines = []
    for text, names in told.items():
        head = ", ".join(name for name in names if name)
        lines.append(f"{head}: {text}" if head else text)
    return lines + diagnosis.remarks if lines else []


def parts(out: Any, gives: Sequence[str]) -> tuple[Any, ...]:
    """What a function returns, as many as ``gives`` has names."""
    return (out,) if len(gives) == 1 else tuple(out)


def copied(inputs: dict[str, Any]) -> list[Any]:
    """New arrays in float64 (integers stay), so that nothing reaches the exercise's own."""
    return [copy.deepcopy(a) for a in inputs.values()]
