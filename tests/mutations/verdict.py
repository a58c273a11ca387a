"""Judge the diagnosis of a mutation: right, unknown or misleading.

right        the first finding names a wrong gradient (or the whole) and a kind that the bank
             lists as correct. A finding of kind "line" is right if it shows one of the
             edited lines, before or after the edit. "entries" is listed only where most entries
             are right
unknown      the first finding says that the cause is unknown
misleading   anything else, including no finding at all

``diagnose`` receives only the mutated subject, nothing from the bank.
"""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple

from .mutation import Mutation


class Verdict(NamedTuple):
    mutation: Mutation
    value: str
    seconds: float
    diagnosis: Any


def judge(mutation: Mutation, readable: bool = False) -> Verdict:
    """Diagnose twice, because the first run may load or compile; measures processor time."""
    case = mutation.case(readable)
    diagnosis = diagnosed(case)
    start = time.process_time()
    diagnosed(case)
    return Verdict(mutation, verdict(mutation, diagnosis), time.process_time() - start, diagnosis)


def diagnosed(case: Any) -> Any:
    from tinyae.gradcheck.doctor import diagnose

    return diagnose(case.subject, case.x, target=case.target)


def verdict(mutation: Mutation, diagnosis: Any) -> str:
    if not diagnosis.findings:
        return "misleading"
    first = diagnosis.findings[0]
    if first.kind == "unknown":
        return "unknown"
    right = _tensor(mutation, first) and (_kind(mutation, first) or _line(mutation, first))
    return "right" if right else "misleading"


def _tensor(mutation: Mutation, finding: Any) -> bool:
    return finding.tensor in ("", *mutation.wrong, *mutation.parts)


def _kind(mutation: Mutation, finding: Any) -> bool:
    said = f"{finding.name} {finding.message}".lower()
    for truth in mutation.kinds:
        kind, _, words = truth.partition(":")
        if kind == finding.kind and any(_occurs(w, said) for w in words.lower().split("|")):
            return True
    return False


def _occurs(word: str, text: str) -> bool:
    """Whether a word occurs; numbers and factors must stand alone: "N" does not occur in "1/N"."""
    if not re.fullmatch(r"[-\d./*()ndhw]+", word):
        return word in text
    tail = r"\d*" if "." in word else r"(?![\w./*])"
    return re.search(rf"(?<![\w./*-]){re.escape(word)}{tail}", text) is not None


def _line(mutation: Mutation, finding: Any) -> bool:
    line = finding.line.strip()
    return bool(line) and finding.kind == "line" and any(line in own for own in mutation.lines())
