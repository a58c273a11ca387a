"""What a diagnosis of a mutation is worth: right, unknown or misleading.

right        the first finding names a gradient that is wrong (or is about the whole) and a kind
             that the bank lists as true. A finding of kind "line" is right if it shows one of the
             edited lines, before or after the edit. "entries" is listed only where most entries
             are right
unknown      the first finding says so: it does not guess
misleading   anything else, and finding nothing at all

``diagnose`` may not learn what the bank says: it is given the mutated subject alone.
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
    """Diagnose it, twice for the time (of the processor): the first may load or compile."""
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
    """Whether it is said; a number or a factor must stand by itself: "N" is not in "1/N"."""
    if not re.fullmatch(r"[-\d./*()ndhw]+", word):
        return word in text
    tail = r"\d*" if "." in word else r"(?![\w./*])"
    return re.search(rf"(?<![\w./*-]){re.escape(word)}{tail}", text) is not None


def _line(mutation: Mutation, finding: Any) -> bool:
    line = finding.line.strip()
    return bool(line) and finding.kind == "line" and any(line in own for own in mutation.lines())
