"""The outcome of a check, as data: the child process sends it to the command as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Row:
    """One thing that was checked. ``mark``: ok, no, or todo (not written yet)."""

    mark: str
    what: str
    text: str


@dataclass
class Outcome:
    """All that a check found. ``doctor`` is the doctor's short answer, ``more`` its full one."""

    rows: list[Row] = field(default_factory=list)
    doctor: list[str] = field(default_factory=list)
    more: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    printed: str = ""

    @property
    def ok(self) -> bool:
        return bool(self.rows) and all(row.mark == "ok" for row in self.rows)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Outcome:
        rows = [Row(**row) for row in data.pop("rows")]
        return Outcome(rows, **data)
