"""Which finding is named first, and in whose words: those of the numbers, or of the line."""

from __future__ import annotations

import numpy as np

from tinyae.gradcheck import diagnosis_words as words
from tinyae.gradcheck.diagnosis import Finding
from tinyae.gradcheck.diagnosis_trial import Pair
from tinyae.gradcheck.hypotheses.arrays import inverse
from tinyae.gradcheck.hypotheses.guess import Guess
from tinyae.gradcheck.hypotheses.lines import Edit

# Breaches that explain wrong numbers, and so are named before any relation of numbers.
ROOTS = ("noise", "writes_input", "dtype", "upstream", "stale_cache", "not_cleared", "not_added")
# What says only where, or how little is known: a line, if one is found, says more.
WEAK = ("unknown", "entries", "invariant", "error", "axis_factor", "offset", "conv", "shape")
TURNED = {
    "extra_factor": ("missing_factor",),
    "missing_term": ("term", "wrong_factor", "missing_factor"),
}


def weak(f: Finding) -> bool:
    return f.kind in WEAK and not (f.kind in ("conv", "shape", "offset") and f.residual < 1)


def say(finding: Finding, edit: Edit) -> None:
    """The finding in the words of its edit, where these say more than the numbers do."""
    if edit.kind == "line" and finding.kind != "unknown":
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
    turned = edit.kind in TURNED.get(finding.kind, ())
    if weak(finding) or finding.cost >= 2.5 or turned:
        finding.kind, finding.name = edit.kind, edit.name
        finding.message, finding.do = edit.message(finding.tensor or "the gradient"), ""


def unexplained(name: str, pair: Pair) -> Finding:
    return words.unknown(name) if pair.sure else words.slightly(name, np.asarray(pair.a))


def renamed(name: str, g: Guess, keys: list[str]) -> Guess:
    """A factor by the name that holds at every batch size, not the first that came to mind."""
    what = keys[0].split("=", 1)[-1] if "=" in keys[0] else g.name
    if "=" in keys[0]:
        text = f"{name} is {what} times the numeric gradient"
        do = "change the sign" if what == "-1" else f"multiply {name} by {inverse(what, 1.0)}"
        return Guess(g.kind, what, text, g.residual, keys, do, g.free)
    return g


def swapped_pair(wrong: list[Pair]) -> Finding | None:
    """Two gradients that each are the other's."""
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


def ranked(breaches: list[Finding], found: list[Finding]) -> list[Finding]:
    """Roots first; then exact relations, then the weak ones."""
    order = {"unknown": 4, "entries": 3, "invariant": 3, "axis_factor": 2, "offset": 2}
    found = sorted(found, key=lambda f: order.get(f.kind, 1))
    roots = [f for f in breaches if f.kind in ROOTS]
    rest = [f for f in breaches if f.kind not in ROOTS]
    merged: list[Finding] = []
    for f in [*roots, *found, *rest]:
        if not any(f.kind == g.kind and f.name == g.name and f.tensor == g.tensor for g in merged):
            merged.append(f)
    return merged


def inside(f: Finding, label: str) -> Finding:
    f.tensor = f"{label}.{f.tensor}" if f.tensor else label
    f.message = f"in {label}: {f.message}"
    return f
