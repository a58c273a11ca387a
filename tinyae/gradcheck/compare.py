"""One row of a report: the analytic and the numeric gradient of one tensor, compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.gradcheck.report import Row
from tinyae.gradcheck.slope import (
    EPS,
    PASS,
    SUSPICIOUS,
    Evidence,
    H,
    Line,
    Move,
    Outputs,
    closer_than,
    direction,
    entry,
    leave_ties_out,
    measure,
    norm,
    step_of,
    together,
)
from tinyae.param import Array

TIES = (
    "where entries are equal (a tie), their gradients do not add up to the slope: give dy to one of "
    "them, or share it, but not all of it to each"
)


def _malformed(analytic: Any, shape: tuple[int, ...]) -> str:
    """What is wrong with a gradient that is not an array of the right shape and dtype, or ""."""
    if analytic is None:
        return "there is no gradient: backward must return ∂L/∂x and add to every Param.grad"
    if not isinstance(analytic, np.ndarray) and not isinstance(analytic, np.floating):
        return f"the gradient is a {type(analytic).__name__}, expected an array"
    if analytic.shape != shape:
        transposed = analytic.shape == shape[::-1]
        hint = "transposed?" if transposed else "a gradient has the shape of what it belongs to"
        return f"the gradient has shape {analytic.shape}, expected {shape}: {hint}"
    if not np.isfinite(analytic).all():
        bad = int(np.size(analytic) - np.isfinite(analytic).sum())
        return f"the gradient is not finite at {bad} of {analytic.size} entries"
    if analytic.dtype != np.float64:
        return f"the gradient is {analytic.dtype} where all else is float64: keep the dtype"
    return ""


def compare(
    name: str,
    analytic: Any,
    value: Array,
    f: Outputs,
    rng: np.random.Generator,
    max_entries: int,
    *,
    room: Array | None = None,
    jumps: bool = False,
) -> Row:
    """The row of one tensor: all entries or, if it is large, a sample and one direction."""
    row = Row(name, value.shape, value.size)
    row.remark = _malformed(analytic, value.shape)
    if row.remark:
        return row
    analytic = np.asarray(analytic)
    places = np.arange(value.size)
    if value.size > max_entries:
        places = np.sort(rng.choice(value.size, max_entries, replace=False))
    indices = [tuple(map(int, np.unravel_index(p, value.shape))) for p in places]
    limits = np.full(value.shape, math.inf) if room is None else room
    lines = [Line(f, entry(value, i), float(limits[i])) for i in indices]
    e = measure(analytic.ravel()[places], lines, jumps=jumps)
    if (e.error() > PASS or e.kink.any()) and step_of(value) < H:
        lines = [Line(f, entry(value, i), float(limits[i]), step_of(value)) for i in indices]
        closer = measure(analytic.ravel()[places], lines, jumps=jumps)
        e = closer if closer_than(e, closer) else e
    if e.error() > PASS:
        leave_ties_out(e, lines, value, places)
    _fill_row(row, e, indices)
    if len(places) < value.size:
        row.sampled = True
        d = rng.normal(size=value.shape)
        d /= norm(d.ravel())
        room_d = float((limits / np.abs(d)).min())
        line = Line(f, direction(value, d), room_d)
        typical = norm(analytic.ravel()) / math.sqrt(value.size)  # size of ⟨a, d⟩
        whole = measure(np.array([(analytic * d).sum()]), [line], typical, jumps)
        if whole.error() > max(row.error, PASS):
            _fill_row(row, whole, [None], checked=row.checked, kinks=row.kinks)
    if not row.checked:
        row.remark = "every entry lies at a kink: pass another x to see more"
    row.verdict = _verdict(row.error)
    if row.verdict == "pass" and e.kink.any() and _tie_is_wrong(row, analytic, value, f, limits):
        return row
    if row.verdict != "pass":
        row.remark = _remark(e if row.worst is not None else None, analytic, row, jumps)
    return row


def _tie_is_wrong(row: Row, analytic: Array, value: Array, f: Outputs, limits: Array) -> bool:
    """Fail the row if the slope along a direction that moves equal entries together is wrong."""
    if np.unique(value).size == value.size:
        return False
    d = together(value)
    room = float((limits[d != 0] / np.abs(d[d != 0])).min(initial=math.inf))
    line = Line(f, direction(value, d), room)
    typical = norm(analytic.ravel()) / math.sqrt(value.size)
    whole = measure(np.array([(analytic * d).sum()]), [line], typical)
    if whole.error() <= SUSPICIOUS:
        return False
    _fill_row(row, whole, [None], checked=row.checked, kinks=row.kinks)
    row.verdict, row.remark = "fail", TIES
    return True


def compare_outputs(
    name: str,
    ydot: Any,
    move: Move,
    evaluate: Callable[[], Array],
    y: Array,
    rng: np.random.Generator,
    max_entries: int,
) -> Row:
    """The row of a directional derivative: every output along one line."""
    row = Row(name, y.shape, y.size)
    row.remark = _malformed(ydot, y.shape)
    if row.remark:
        return row
    outputs_at: dict[float, Array] = {}
    position = 0.0

    def step(t: float) -> float:
        nonlocal position
        position = t
        return t

    def output_entry(p: int) -> Callable[[], Array]:
        def value() -> Array:
            if position not in outputs_at:
                move(position)
                outputs_at[position] = evaluate().ravel()
                move(0.0)
            return outputs_at[position][p : p + 1]

        return value

    places = np.arange(y.size)
    if y.size > max_entries:
        row.sampled, places = True, np.sort(rng.choice(y.size, max_entries, replace=False))
    outputs = [Outputs(output_entry(int(p)), y.ravel()[p : p + 1], np.ones(1)) for p in places]
    typical = 4 * EPS * math.sqrt(float(np.mean(y * y)))
    for f in outputs:
        f.rounding = np.maximum(f.rounding, typical)
    e = measure(ydot.ravel()[places], [Line(f, step) for f in outputs])
    _fill_row(row, e, [tuple(map(int, np.unravel_index(p, y.shape))) for p in places])
    row.verdict = _verdict(row.error)
    if row.verdict != "pass":
        row.remark = _remark(e, ydot, row, False)
    return row


# --- the verdict -----------------------------------------------------------------------------


def _verdict(error: float) -> str:
    return "pass" if error <= PASS else "suspicious" if error <= SUSPICIOUS else "fail"


def _fill_row(
    row: Row, e: Evidence, indices: list[Any], checked: int | None = None, kinks: int | None = None
) -> None:
    row.error = e.error() if (~e.kink).any() else 0.0
    row.kinks = int(e.kink.sum()) if kinks is None else kinks
    row.checked = int((~e.kink).sum()) if checked is None else checked
    row.zero = not (np.maximum(np.abs(e.a), np.abs(e.n)) > e.noise)[~e.kink].any()
    if row.checked:
        i = int(np.argmax(np.where(e.kink, -1.0, np.abs(e.a - e.n))))
        row.worst, row.analytic, row.numeric = indices[i], float(e.a[i]), float(e.n[i])


def _remark(e: Evidence | None, analytic: Array, row: Row, jumps: bool) -> str:
    """One line on how the two gradients differ: the simplest relation that holds exactly."""
    if e is None:
        return "the sampled entries agree, but the derivative along a random direction does not"
    a, n = e.a[~e.kink], e.n[~e.kink]
    aa, an, nn = float(a @ a), float(a @ n), float(n @ n)
    if row.verdict == "suspicious":
        return "a small difference: a term nearly left out, an eps misplaced, or float32 inside?"
    if aa == 0:
        return "the analytic gradient is zero where the numeric one is not: was it never added?"
    if nn <= 1e-12 * aa:
        return "the numeric gradient is zero: the output does not depend on this as backward says"
    c = an / nn
    if len(a) > 1 and norm(a - c * n) <= 1e-6 * norm(a):
        return "the sign is wrong" if abs(c + 1) < 1e-6 else f"analytic = {c:.6g} × numeric"
    square = analytic.ndim == 2 and analytic.shape[0] == analytic.shape[1]
    if square and len(a) == analytic.size and not e.kink.any():
        transposed = n.reshape(analytic.shape).T.ravel()
        if norm(a - transposed) <= 1e-6 * norm(a):
            return "analytic is the transpose of numeric"
    wrong = np.abs(a - n) > 1e-6 * max(np.abs(a).max(), np.abs(n).max())
    if 0 < wrong.sum() < len(a):
        return f"{int(wrong.sum())} of {len(a)} entries disagree, the others are right"
    return "no simple relation between the two"
