"""Asks the doctor about the learner's function, and gives its answer on two levels."""

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
    question: Question | None, values: tuple[Array, Array, str] | None, full: bool
) -> tuple[list[str], list[str]]:
    """The doctor's short answer and, if ``full``, all of it.

    It is about the wrong gradient or, if there is none, the wrong value: (found, right, its name).
    """
    silent = contextlib.redirect_stdout(io.StringIO())  # the doctor calls the function many times
    try:
        with silent:
            return _consult(question, values, full)
    except Exception as error:  # a failing doctor must not hide the rows
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
    """The findings to report, the first of each gradient: the others follow from it or say less."""
    if findings and findings[0].kind in ("writes_input", "noise", "error"):
        return findings[:1]
    first: dict[str, Finding] = {}  # by gradient
    for finding in findings:
        first.setdefault(finding.tensor, finding)
    known = [f for f in first.values() if f.kind != "unknown"]
    return known or list(first.values())[:1]


def _first(diagnosis: Diagnosis) -> list[str]:
    """The first level of each finding, without repetition, and the remarks."""
    gradients: dict[str, list[str]] = {}  # text → the gradients that it is about
    for finding in diagnosis.findings:
        text = finding.levels[0]
        if finding.kind == "factor" and finding.name == "-1":
            text = "A sign is turned."
        elif finding.kind == "entries":
            text = "Some of the entries are right, the others are not."
        gradients.setdefault(text, []).append(finding.tensor)
    lines = []
    for text, names in gradients.items():
        head = ", ".join(name for name in names if name)
        lines.append(f"{head}: {text}" if head else text)
    return lines + diagnosis.remarks if lines else []


def parts(out: Any, gives: Sequence[str]) -> tuple[Any, ...]:
    """A function's results as a tuple, one for each name in ``gives``."""
    return (out,) if len(gives) == 1 else tuple(out)


def copied(inputs: dict[str, Any]) -> list[Any]:
    """Deep copies of the inputs, so that the learner's code cannot change the originals."""
    return [copy.deepcopy(a) for a in inputs.values()]
