"""The order of the findings, and whether the numbers or the source line give the wording."""

from __future__ import annotations

import math

import numpy as np

from tinyae.gradcheck.doctor import wording
from tinyae.gradcheck.doctor.findings import Finding
from tinyae.gradcheck.doctor.hypotheses.arrays import inverse
from tinyae.gradcheck.doctor.hypotheses.guess import Guess, number
from tinyae.gradcheck.doctor.hypotheses.lines import Edit
from tinyae.gradcheck.doctor.trial import Pair

# Contract violations that cause wrong numbers: named before any relation between numbers.
ROOT_CAUSES = (
    "noise",
    "writes_input",
    "dtype",
    "upstream",
    "stale_cache",
    "not_cleared",
    "not_added",
)
# Kinds that say only where, or that little is known: a source line, if found, says more.
VAGUE = (
    "unknown",
    "entries",
    "invariant",
    "error",
    "axis_factor",
    "offset",
    "conv",
    "shape",
    "carried",
    "pattern",
)
# Relations that a formula with enough functions in it fulfils by accident.
RATIOS = ("wrong_factor", "missing_factor", "extra_factor", "term", "missing_term")
# Kinds that the numbers suggest, and what the source may show them to be.
REINTERPRETED = {
    "extra_factor": ("missing_factor",),
    "missing_term": ("term", "wrong_factor", "missing_factor"),
}


def is_vague(f: Finding) -> bool:
    """Whether a source line would say more than this finding."""
    return f.kind in VAGUE and not (
        f.kind in ("conv", "shape", "offset", "entries") and f.residual < 1
    )


def reword(finding: Finding, edit: Edit) -> None:
    """Describe the finding by its source edit, where that says more than the numbers do."""
    far_fetched = finding.cost >= 3 and finding.kind in RATIOS
    if edit.kind == "line" and finding.kind != "unknown" and not far_fetched:
        return
    if finding.kind == "shape" and edit.kind in (
        "wrong_axis",
        "missing_sum",
        "transposed",
        "operands",
    ):
        finding.message += f": {edit.text}"
        finding.kind, finding.name = edit.kind, edit.name
        return
    reinterpreted = edit.kind in REINTERPRETED.get(finding.kind, ())
    if is_vague(finding) or finding.cost >= 2.5 or reinterpreted:
        finding.partial = finding.kind != "factor"  # else the numbers would have said so
        finding.kind, finding.name = edit.kind, edit.name
        finding.message, finding.do = edit.message(finding.tensor or "the gradient"), ""


def is_thin(finding: Finding) -> bool:
    """Whether a relation is far-fetched: it holds, and may do so for another reason."""
    read_only = finding.kind == "wrong_axis" and math.isnan(finding.residual)
    ratio = finding.kind in RATIOS and "a path to it" not in finding.message  # a path is a cause
    return finding.cost >= 3 and (ratio or read_only)


def as_pattern(finding: Finding) -> None:
    """Say what form the error has, and blame nothing: no line was found that makes it."""
    finding.kind, finding.do = "pattern", ""
    finding.message = f"the error has this form, whatever its cause: {finding.message}"


def unexplained(name: str, pair: Pair) -> Finding:
    """The finding for a gradient that no relation explains."""
    return wording.unknown(name) if pair.sure else wording.slightly_wrong(name, np.asarray(pair.a))


def renamed(name: str, g: Guess, keys: list[str]) -> Guess:
    """The guess of a factor, under the name that holds at every size, or as a number."""
    sign, what = keys[0][1], keys[0][2:]
    if sign == "~":  # its names were accidents of the given sizes
        what = number(float(what))
    text = f"{name} is {what} times the numeric gradient"
    do = "change the sign" if what == "-1" else f"multiply {name} by {inverse(what, 1.0)}"
    return Guess(g.kind, what, text, g.residual, keys, do, g.free)


def swapped_pair(wrong: list[Pair]) -> Finding | None:
    """The finding that two gradients have changed places, if they have."""
    for i, p in enumerate(wrong):
        for q in wrong[:i]:
            if not isinstance(p.a, np.ndarray) or not isinstance(q.a, np.ndarray):
                continue
            if p.a.shape == q.n.shape and q.a.shape == p.n.shape:
                fits = [
                    float(np.nanmax(np.abs(u - v))) <= 1e-6 * float(np.nanmax(np.abs(v)))
                    for u, v in ((p.a, q.n), (q.a, p.n))
                    if np.isfinite(v).any() and np.nanmax(np.abs(v)) > 0
                ]
                if len(fits) == 2 and all(fits):
                    text = (
                        f"{q.name} and {p.name} have changed places: each is the other's gradient"
                    )
                    what = f"{q.name}, {p.name}"
                    return Finding(
                        q.name, "swapped", what, text, "return them in the other order", 0
                    )
    return None


def ranked(violations: list[Finding], found: list[Finding]) -> list[Finding]:
    """Root causes first, then exact relations, then the vague ones."""
    order = {
        "unknown": 4,
        "entries": 3,
        "invariant": 3,
        "pattern": 3,
        "axis_factor": 2,
        "offset": 2,
    }
    found = sorted(found, key=lambda f: order.get(f.kind, 1))
    roots = [f for f in violations if f.kind in ROOT_CAUSES]
    rest = [f for f in violations if f.kind not in ROOT_CAUSES]
    merged: list[Finding] = []
    for f in [*roots, *found, *rest]:
        if not any(f.kind == g.kind and f.name == g.name and f.tensor == g.tensor for g in merged):
            merged.append(f)
    return merged


def in_part(f: Finding, label: str) -> Finding:
    """The finding, attributed to a part of the model."""
    f.tensor = f"{label}.{f.tensor}" if f.tensor else label
    f.message = f"in {label}: {f.message}"
    return f
