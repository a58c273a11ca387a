"""The report of a gradient check: a row for every gradient, printed as a table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

Index = tuple[int, ...]


def gradient_name(name: str) -> str:
    """The gradient's name: W → dW, 0.W → 0.dW."""
    head, dot, tail = name.rpartition(".")
    return f"{head}{dot}d{tail}"


@dataclass
class Row:
    """One gradient, analytic against numeric.

    ``error`` is ‖a − n‖ / max(‖a‖, ‖n‖, floor) over the entries that were compared; ``worst``
    is where they differ most, and ``analytic`` and ``numeric`` the two values there.
    """

    name: str
    shape: tuple[int, ...] = ()
    size: int = 0
    checked: int = 0
    error: float = math.nan
    verdict: str = "fail"  # pass, suspicious or fail
    worst: Index | None = None
    analytic: float = math.nan
    numeric: float = math.nan
    kinks: int = 0
    remark: str = ""
    sampled: bool = False
    zero: bool = False  # both gradients are 0 at every entry that was compared
    seen_elsewhere: bool = False  # they are not 0 at another draw, and agree there
    unusable: bool = False  # the outputs are such that nothing can be compared

    @property
    def empty(self) -> bool:
        """Whether the row shows nothing: both gradients are 0, or every entry lies at a kink."""
        return self.zero or not self.checked

    @property
    def entries(self) -> str:
        """How many entries were compared; for a large tensor, a sample and one direction."""
        if self.sampled:
            return f"{self.checked} of {self.size} + 1 direction"
        return f"{self.checked}"

    @property
    def place(self) -> str:
        """The index of the worst entry; "direction" for a derivative along a direction."""
        if self.worst is None:
            return "–" if math.isnan(self.analytic) else "direction"
        return "(" + ", ".join(map(str, self.worst)) + ("," if len(self.worst) == 1 else "") + ")"


_COLUMNS = ("gradient", "shape", "entries", "error", "verdict", "worst at", "analytic", "numeric")


@dataclass
class Report:
    """The rows of a gradient check. ``ok`` if every one passes; ``print(report)`` shows a table.

    What fails only at another batch or after a step has a row of its own, which says so.
    """

    title: str
    rows: list[Row] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(row.verdict == "pass" for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"Report: no row {name!r}; there are {[row.name for row in self.rows]}")

    @property
    def error(self) -> float:
        """The largest relative error of all rows; NaN counts as infinite."""
        errors = [math.inf if math.isnan(row.error) else row.error for row in self.rows]
        return max(errors, default=0.0)

    def __str__(self) -> str:
        kinks = any(row.kinks for row in self.rows)
        table = [[*_COLUMNS, "kinks"]]
        for row in self.rows:
            values = [_number(row.analytic, ".9g"), _number(row.numeric, ".9g")]
            judged = [row.entries, _number(row.error, ".1e"), row.verdict, row.place]
            table.append([row.name, str(row.shape), *judged, *values, str(row.kinks)])
        if not kinks:
            table = [cells[:-1] for cells in table]
        widths = [max(map(len, column)) for column in zip(*table)]
        verdict = "every gradient passes" if self.ok else "not every gradient passes"
        if not self.rows:
            verdict = "there is no gradient to check"
        lines = [f"gradient check of {self.title}: {verdict}"]
        for k, cells in enumerate(table if self.rows else []):
            lines.append("  " + "  ".join(map(str.ljust, cells, widths)).rstrip())
            if k and self.rows[k - 1].remark:
                lines.append(f"      ↳ {self.rows[k - 1].remark}")
        return "\n".join(lines)


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)
