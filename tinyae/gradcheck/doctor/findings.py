"""The result of a diagnosis: findings, the best first, as data and as a page to read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

# The first hint of each kind: the class of the mistake, not its place.
CLASSES = {
    "shape": "A gradient has the shape of what it belongs to, and one here has another shape.",
    "transposed": "Every number is there, but rows and columns have changed places.",
    "missing_sum": "A sum is missing: what is used for many entries collects a gradient from each.",
    "nan": "Somewhere a number stops being finite.",
    "zero": "A gradient is zero all over, though the output does depend on what it belongs to.",
    "factor": "The direction is right and the size is wrong: one number multiplies every entry.",
    "axes": "Every number is there, but in another order: look at reshapes and axes.",
    "adjoint": "Backward does what forward does, and should do the transpose of it.",
    "flipped": "Every number is there, but along some axis in reverse order.",
    "shifted": "Every number is there, but a place or more beside where it belongs.",
    "offset": "The same number has been added to every entry.",
    "entries": "Most of the gradient is right; some of its entries are not.",
    "pattern": "The error has a form, which is said; its cause is not known.",
    "axis_factor": "Along one axis everything is right but for a factor; along another it varies.",
    "noise": "Two passes with the same input differ: some noise is drawn anew in each.",
    "writes_input": "An array that was given has been written into.",
    "dtype": "Somewhere numbers lose precision: a dtype changes on the way.",
    "upstream": "Backward does not use the upstream gradient dy as the chain rule says: linearly.",
    "not_added": "Gradients add; here one replaces what was there before.",
    "not_cleared": "Something is kept from an earlier pass and counted again.",
    "stale_cache": "Backward uses a forward pass other than the one it was given the cache of.",
    "term": "One term, or one path, enters the gradient with a wrong coefficient.",
    "invariant": "The true gradient sums to zero along an axis, and this one does not.",
    "missing_factor": "A factor of the derivative is missing.",
    "extra_factor": "There is a factor too many.",
    "wrong_factor": "A factor stands where another one belongs.",
    "missing_term": "A term of the derivative is missing.",
    "operands": "The product is taken of the wrong arrays.",
    "wrong_axis": "A sum or a mean runs along the wrong axis.",
    "swapped": "Two gradients have changed places.",
    "conv": "The windows of the convolution do not lie where forward has put them.",
    "line": "One line of backward differs from the derivative.",
    "twin": "What is read is right, and what trains in its place is not.",
    "ties": "Entries that are equal share one gradient, and here each gets all of it.",
    "repeated": "What is read more than once collects a gradient from each time.",
    "nothing": "Nothing was compared, so nothing is known.",
    "error": "Backward or forward does not run.",
    "unknown": "The gradient is wrong, and in no simple way.",
}


@dataclass(frozen=True)
class Place:
    """A line of the source, its number in the file, and what belongs there."""

    line: str
    number: int
    fix: str


@dataclass
class Finding:
    """One mistake. ``levels`` are three hints: its class, the term or axis, the line.

    ``residual`` is ‖a − fit‖ / ‖a‖ of the relation that was found, NaN if none was fitted. The
    line is searched for only when it is asked for: the search may take longer than all the rest.
    """

    tensor: str
    kind: str
    name: str = ""
    message: str = ""
    do: str = ""
    residual: float = math.nan
    also: str = ""
    checked: str = ""  # where the relation was confirmed
    cost: float = 0.0  # how far-fetched the relation is
    partial: bool = False  # a factor of one term or path, not of every entry
    search: Callable[[], Place | None] | None = field(default=None, repr=False, compare=False)

    @property
    def place(self) -> Place:
        """The line of the source and its correction; empty if unknown."""
        if self.search is not None:
            search, self.search = self.search, None
            self._place = search()
        found = getattr(self, "_place", None)
        return found if found is not None else Place("", 0, "")

    @property
    def line(self) -> str:
        """The line of the source; "" if unknown."""
        return self.place.line

    @property
    def number(self) -> int:
        """The line's number in its file; 0 if unknown."""
        return self.place.number

    @property
    def fix(self) -> str:
        """The corrected line or, if no line is known, what to do in words."""
        return self.place.fix or self.do

    @property
    def levels(self) -> tuple[str, str, str]:
        """Three hints, each saying more than the one before."""
        kind = "term" if self.kind == "factor" and self.partial else self.kind
        return CLASSES.get(kind, self.message), self.message, self._exact()

    def _exact(self) -> str:
        do = f"{self.do[:1].upper()}{self.do[1:]}." if self.do else self.message
        if not self.line:
            return do if not self.place.fix else f"{do}\nIt should read: {self.place.fix}"
        where = f"line {self.number}" if self.number else "the line"
        return f"{do}\nIt is {where}:\n    {self.line}\nwhich should read:\n    {self.place.fix}"


@dataclass
class WrongGradient:
    """A gradient that does not pass: its worst entry, with both values."""

    name: str
    shape: tuple[int, ...]
    worst: tuple[int, ...] | None = None
    analytic: float = math.nan
    numeric: float = math.nan
    share: tuple[int, int] = (0, 0)  # wrong entries, measured entries


@dataclass
class Diagnosis:
    """Which gradients are right, which are wrong, and why. ``ok`` if there is no finding.

    ``findings``   the mistakes, the best explanation first
    ``faults``     the gradients that do not pass; ``right`` names those that do
    ``ruled_out``  relations that were tried and do not hold
    ``untried``    repairs of the source that the search for the line had no time for
    ``remarks``    observations that are no mistakes, such as a kink
    ``map``        a drawing of a wrong gradient, entry by entry
    """

    title: str
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    right: list[str] = field(default_factory=list)
    faults: list[WrongGradient] = field(default_factory=list)
    ruled_out: list[str] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    map: str = ""

    @property
    def ok(self) -> bool:
        return not self.findings

    def __bool__(self) -> bool:
        return self.ok

    @property
    def kind(self) -> str:
        """The first finding's kind; "" if there is none."""
        return self.findings[0].kind if self.findings else ""

    @property
    def wrong(self) -> list[str]:
        """The names of the gradients that do not pass."""
        return [w.name for w in self.faults]

    def hint(self, level: int) -> str:
        """Level 1 is the class of the mistake, 2 the term or axis, 3 the line or the correction.

        Raises
            ValueError  level is not 1, 2 or 3
        """
        if level not in (1, 2, 3):
            raise ValueError(f"hint: level is {level}, expected 1, 2 or 3")
        if not self.findings:
            return "Every gradient is right: there is nothing to hint at."
        return self.findings[0].levels[level - 1]

    def __str__(self) -> str:
        verdict = "every gradient is right" if self.ok else self._verdict()
        lines = [f"diagnosis of {self.title}: {verdict}"]
        if self.right:
            lines.append("  right      " + ", ".join(self.right))
        for w in self.faults:
            lines.append("  wrong      " + _worst_entry(w))
        for i, f in enumerate(self.findings):
            lines.append(("  found      " if i == 0 else "  and        ") + _indented(f.message))
            if not math.isnan(f.residual):
                where = f", {f.checked}" if f.checked else ""
                lines.append(f"             exact to {f.residual:.0e}{where}")
            if f.also:
                lines.append(f"             it could as well be: {f.also}")
            if f.do:
                lines.append("  do         " + _indented(f.do))
            if f.line:
                number = f"line {f.number}" if f.number else "line"
                lines.append(f"  {number:<10} {f.line}")
            if f.place.fix:
                lines.append("  write      " + _indented(f.place.fix))
        if self.map:
            lines.append("  map        " + self.map.replace("\n", "\n             "))
        if self.ruled_out:
            lines.append("  ruled out  " + ", ".join(self.ruled_out))
        if self.untried and not any(f.place.fix for f in self.findings):
            lines.append(
                "  not tried  the search for the line ran out of time; not tried, or not to the end: "
                + ", ".join(self.untried)
            )
        lines += [f"  remark     {remark}" for remark in self.remarks]
        return "\n".join(lines)

    def _verdict(self) -> str:
        if not self.faults:
            return self.findings[0].kind.replace("_", " ")
        names = ", ".join(self.wrong)
        return f"{names} {'is' if len(self.faults) == 1 else 'are'} wrong"


def _worst_entry(w: WrongGradient) -> str:
    text = f"{w.name} {w.shape}"
    if w.worst is None:
        return text
    place = ", ".join(map(str, w.worst))
    values = f"analytic {w.analytic:.9g}, numeric {w.numeric:.9g}"
    return f"{text}: {w.share[0]} of {w.share[1]} entries; worst at ({place}): {values}"


def _indented(text: str) -> str:
    return text.replace("\n", "\n             ")
