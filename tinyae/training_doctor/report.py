"""The result of a diagnosis: findings, and what else was measured."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

from tinyae.wording import counted

_WIDTH = 98


@dataclass
class Finding:
    """One problem of a training.

    ``kind``     its name for programs: "dead_relus"
    ``where``    the layer or the parameter, or ""
    ``seen``     what was observed; ``figures`` holds its numbers
    ``why``      why it matters
    ``do``       what helps
    """

    kind: str
    where: str
    seen: str
    why: str
    do: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainingDiagnosis:
    """The findings, the most serious first, and every figure that was ``measured``."""

    title: str
    findings: list[Finding] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings

    def __bool__(self) -> bool:
        return self.ok

    @property
    def kinds(self) -> list[str]:
        """Each finding's kind."""
        return [f.kind for f in self.findings]

    def __getitem__(self, kind: str) -> Finding:
        """The first finding of that kind.

        Raises
            KeyError  there is none
        """
        for f in self.findings:
            if f.kind == kind:
                return f
        raise KeyError(f"{kind!r} was not found; there is {', '.join(self.kinds) or 'nothing'}")

    def brief(self) -> str:
        """One line if nothing is wrong, otherwise a line for each finding and what to do."""
        if self.ok:
            return f"the run of {self.title}: nothing is plainly wrong"
        lines = [f"the run of {self.title}:"]
        for f in self.findings:
            text = f"{f.kind.replace('_', ' ')}: {f.seen}; {f.do}"
            lines += textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")
        return "\n".join(lines)

    def __str__(self) -> str:
        n = len(self.findings)
        verdict = "nothing is plainly wrong" if self.ok else counted(n, "finding")
        lines = [f"the run of {self.title}: {verdict}"]
        for i, f in enumerate(self.findings, 1):
            where = f"   {f.where}" if f.where else ""
            lines += ["", f"{i}. {f.kind.replace('_', ' ')}{where}"]
            lines += _part("seen", f.seen) + _part("why", f.why) + _part("do", f.do)
        if self.notes:
            lines += ["", "measured"]
            for note in self.notes:
                lines += textwrap.wrap(
                    note, _WIDTH, initial_indent="   ", subsequent_indent="     "
                )
        return "\n".join(lines)


def _part(head: str, text: str) -> list[str]:
    first = f"   {head:<6}"
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * 9)
