"""Right at the given input and wrong at another: other sizes, other branches, zeros everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinyae.gradcheck.doctor import wording
from tinyae.gradcheck.doctor.findings import Diagnosis, Finding
from tinyae.gradcheck.doctor.subjects import FunctionSubject, LayerSubject, ModelSubject
from tinyae.gradcheck.doctor.subjects.base import (
    BATCH,
    FARTHER,
    LENGTHS,
    NEARER,
    REDRAWN,
    THIRD_BATCH,
)
from tinyae.gradcheck.doctor.trial import MOST, Pair, Trial, compare

if TYPE_CHECKING:
    from tinyae.gradcheck.doctor.examination import Examination


def wrong_elsewhere(examination: Examination, diagnosis: Diagnosis) -> list[Pair]:
    """The gradients that are right at the given input and wrong at another, which then takes
    its place: another batch size, other lengths, numbers farther away.
    """
    given = examination.trials[0]
    for k in (BATCH, LENGTHS, FARTHER, NEARER, REDRAWN):
        if k == NEARER and not isinstance(examination.subject, FunctionSubject):
            continue
        if k == REDRAWN and not all(p.zero for p in given.pairs.values()):
            continue
        try:
            with np.errstate(all="ignore"):
                trial = _compared_again(examination, k)
        except Exception:  # the subject does not take such an input
            continue
        if not np.isfinite(trial.point.y).all():
            continue
        for name, pair in trial.pairs.items():
            examination.shown |= not pair.zero
            given.pairs[name].zero &= pair.zero
        largest = max((float(np.abs(p.a).max(initial=0)) for p in trial.pairs.values()), default=0)
        wrong = [p for p in trial.pairs.values() if not p.ok and _trusted(p, largest)]
        if not wrong:
            continue
        examination.trials = {0: trial}
        examination.others = (THIRD_BATCH,) if k == BATCH else ()
        names = [p.name for p in wrong]
        diagnosis.right = [name for name in given.pairs if name not in names]
        diagnosis.faults = [wording.wrong_gradient(p.name, p.a, p.n) for p in wrong]
        diagnosis.remarks.append(
            f"at the given input {' and '.join(names)} would pass; the numbers above are those "
            f"{wording.elsewhere(k, trial.point.label)}"
        )
        return wrong
    return []


def _compared_again(examination: Examination, k: int) -> Trial:
    trial = Trial(examination.point(k), {})
    grads = trial.point.analytic(trial.point.r)
    for name, key in examination.keys.items():
        trial.pairs[name] = compare(trial.point, key, name, grads[key], MOST, 1)
    return trial


def nothing_compared(examination: Examination) -> list[Finding]:
    """A finding if every gradient is 0 at every draw, so that nothing has been shown."""
    pairs = examination.trials[0].pairs.values()
    if examination.is_part or any(not p.zero for p in pairs):
        return []
    if pairs and isinstance(examination.subject, (LayerSubject, ModelSubject)):
        moved = type(examination)(
            examination.subject.jittered(), examination.reference, examination.sizes, is_part=True
        )
        again = moved.diagnose()
        if again.findings or any(not p.zero for p in moved.trials[0].pairs.values()):
            return again.findings
    return [wording.nothing_compared(bool(pairs), any(p.kinks for p in pairs))]


def _trusted(pair: Pair, largest: float) -> bool:
    """Whether a gradient that is wrong far from the given input is wrong for sure: where the slope
    is 0 at all wrong entries, forward may only be guarding its range; and what is missing may be
    rounding, beside the ``largest`` gradient there, as where a softmax is nearly a maximum.
    """
    if not pair.usable:
        return True
    gap = np.abs(np.where(np.isfinite(pair.n), pair.a - pair.n, 0))
    if gap.max(initial=0) <= 1e-11 * largest:
        return False
    top = max(float(np.abs(pair.a).max()), float(np.nanmax(np.abs(pair.n), initial=0)))
    wrong = gap > 1e-6 * top
    return pair.tied or bool((np.abs(pair.n[wrong]) > 1e-9 * top).any())
