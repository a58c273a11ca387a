"""What one pass at one input cannot show: another size, another branch, the next step.

A batch of one row hides a forgotten 1/N, positive inputs hide the other branch of a ReLU, and what
a layer keeps from pass to pass (an accumulator of its own, the first x) is wrong only in the second
step of a training. So every gradient that passes is measured again: at another batch, which also
goes farther and has both signs where it may, and after a step. A check in which every gradient is 0
has shown nothing: it must say so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinyae.gradcheck.draws import other_rows, redraw, wild
from tinyae.gradcheck.report import Report, Row

FEW, MANY = 4, 500  # entries of a tensor to compare again: at first, and where they disagree
ROWS = 64  # enough that a dropout of 0.9 does not drop all

Check = Callable[[Any, Report, int], None]  # compares so many entries, adding rows to a report


def check_elsewhere(report: Report, x: Any, check: Check) -> None:
    """Check again at another batch. Add what fails there; note which gradients are not 0 there."""
    for label, other in _other_inputs(x):
        again = _run(check, other)
        if again is None:
            continue
        for row in again.rows:
            if row.verdict != "pass":
                _add(report, row, label)
            elif not row.empty and row.name in {r.name for r in report.rows}:
                report[row.name].seen_elsewhere = True
        return


def check_next_step(report: Report, x: Any, check: Check) -> None:
    """Check once more with ``check``, which runs on a subject that has already made a step."""
    again = _run(check, x)
    for row in again.rows if again is not None else ():
        if row.verdict != "pass":
            why = "right in the first pass and wrong after a step: something is kept from a pass"
            row.remark = f"{why} to the next ({row.remark})"
            _add(report, row, "after a step")


def check_something(report: Report, check: Callable[[Report], None] | None = None) -> None:
    """Add a failing row if every gradient is 0, here, elsewhere and where ``check`` looks."""
    if not report.ok or any(not row.empty or row.seen_elsewhere for row in report.rows):
        return
    if check is not None:
        again = Report("")
        try:
            check(again)
        except Exception:  # such parameters are not accepted
            again.rows.clear()
        if again.ok and any(not row.empty for row in again.rows):
            return
        if not again.ok:
            report.rows += [row for row in again.rows if row.verdict != "pass"]
            return
    remark = (
        "nothing was compared: every gradient is 0, here and at other draws, so any backward would "
        "pass; pass an x for which the output varies"
    )
    if report.rows and not any(row.checked for row in report.rows):
        remark = "nothing was compared: every entry lies at a kink; pass another x"
    if not report.rows:
        remark = "nothing was compared: there is no gradient to check"
    report.rows.append(Row("nothing", remark=remark))


def _other_inputs(x: Any) -> Iterator[tuple[str, Any]]:
    """Other batches, those first that show most."""
    parts = x if isinstance(x, tuple) else (x,)
    rows = other_rows(*(np.shape(a) for a in parts))
    if len(parts) == 1 and parts[0].ndim:
        farther = wild(parts[0], np.random.default_rng(1), rows)
        if farther is not None:
            yield f"at {rows} other rows", farther
    for n, label in ((rows, f"at {rows} rows"), (None, "at another draw")):
        rng = np.random.default_rng(2)
        made = tuple(redraw(a, rng, n if np.ndim(a) else None, len(parts) == 1) for a in parts)
        yield label, made if isinstance(x, tuple) else made[0]


def _run(check: Check, x: Any) -> Report | None:
    """The report at another input; None if the subject does not take it."""
    again = Report("")
    try:
        with np.errstate(all="ignore"):
            check(copy.deepcopy(x), again, FEW)
            if not again.ok:  # a direction crosses many kinks, so every entry decides
                again = Report("")
                check(copy.deepcopy(x), again, MANY)
    except Exception:  # not every batch is accepted
        return None
    if any(row.verdict != "pass" and row.unusable for row in again.rows):
        return None
    return again


def _add(report: Report, row: Row, label: str) -> None:
    row.name = f"{row.name} {label}"
    report.rows.append(row)


def redrawn(x: Any, rows: int | None = None) -> Any:
    """Another batch, of as many rows or so many."""
    rng = np.random.default_rng(3)
    if isinstance(x, tuple):
        return tuple(redraw(a, rng, rows if np.ndim(a) else None) for a in x)
    return redraw(x, rng, rows if np.ndim(x) else None, free=True)
