"""What a step of a sequence hands back to the one before it: right at the last step, or where only
the first is asked, and wrong wherever later steps matter.

A recurrent network is known by its outputs: step t of y depends on the steps of an input up to t, and
on none after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import Guess
from tinyae.gradcheck.doctor.trial import PASS, Point, Trial
from tinyae.gradcheck.slope import H
from tinyae.param import Array

_DO = (
    "carry it from step to step: at the end of a round compute what the state before receives (as "
    "dh = dz @ U.T, dc = dc * f), start it with 0, and add it to dy[t] in the next round"
)


def carried(name: str, a: Array, n: Array, trial: Trial, key: str) -> Iterator[Guess]:
    """The contribution of later steps is wrong, and nothing else is."""
    point = trial.point
    found = _steps_of(point)
    if found is None:
        return
    x, axis, many = found
    if many:
        wrong_alone, wrong_later = _by_upstream(point, key, axis)
        if wrong_alone or not wrong_later:
            return
        text = (
            f"{name} is right where only the first step is asked, and wrong where a later one is: what "
            "comes back from later steps is not carried, or is carried wrongly"
        )
    elif point.values.get(key) is x:
        if not _right_at_the_last_step_alone(a, n, axis):
            return
        text = (
            f"{name} is right at the last step and wrong at all steps before: what comes back from "
            "later steps is not carried, or is carried wrongly"
        )
    else:
        return
    yield Guess("carried", "later steps", text, math.nan, ["carried"], _DO, 1.0)


def _steps_of(point: Point) -> tuple[Array, int, bool] | None:
    """An input that is read step by step, the axis of its steps, and whether y has a row for each."""
    arrays = [*point.values.values(), *point.tensors.values()]
    for x in arrays:
        if x.ndim != 3 or x.dtype.kind != "f":
            continue
        for axis in (0, 1):
            steps = x.shape[axis]
            if steps < 2:
                continue
            if point.y.ndim == 3 and point.y.shape[axis] == steps:
                if _causal(point, x, axis):
                    return x, axis, True
            elif (point.y.ndim < 3 and point.y.shape == _without(x, axis)[: point.y.ndim]) or (
                point.y.ndim == 2 and point.y.shape[0] == _without(x, axis)[0]
            ):
                return x, axis, False
    return None


def _without(x: Array, axis: int) -> tuple[int, ...]:
    return tuple(m for i, m in enumerate(x.shape) if i != axis)


def _causal(point: Point, x: Array, axis: int) -> bool:
    """Whether the last step of x moves the last step of y alone, and the first moves the last."""
    moved = []
    for step in (-1, 0):
        at = (slice(None),) * axis + (step,)
        before = x[at].copy()
        x[at] = before + 0.01
        try:
            other = tuple(i for i in range(point.y.ndim) if i != axis)
            moved.append((point.evaluate() != point.y).any(axis=other))
        finally:
            x[at] = before
    last, first = moved
    return bool(last[-1] and not last[:-1].any() and first[-1])


def _by_upstream(point: Point, key: str, axis: int) -> tuple[bool, bool]:
    """Whether the gradient is wrong if the upstream gradient is 0 but at the first step, or at the
    last one.
    """
    wrong = []
    for step in (0, -1):
        r = np.zeros_like(point.r)
        at = (slice(None),) * axis + (step,)
        r[at] = point.r[at]
        a = point.analytic(r).get(key)
        wrong.append(not _right_along(point, point.values[key], np.asarray(a, np.float64), r))
    return wrong[0], wrong[1]


def _right_along(point: Point, value: Array, a: Array, r: Array) -> bool:
    """Whether ⟨a, d⟩ is the slope of Σ r ∘ y along two random directions d."""
    if a.shape != value.shape:
        return False
    rng = np.random.default_rng(value.size)
    kept = value.copy()
    for _ in range(2):
        d = rng.normal(size=value.shape)
        d /= np.linalg.norm(d)
        try:
            value[...] = kept + H * d
            above = point.evaluate()
            value[...] = kept - H * d
            below = point.evaluate()
        finally:
            value[...] = kept
        slope = float((r * (above - below)).sum()) / (2 * H)
        size = max(float(np.linalg.norm(a)), abs(slope)) + 1e-9 * float(np.abs(point.y).max())
        if abs(slope - float((a * d).sum())) > 100 * PASS * size:
            return False
    return True


def _right_at_the_last_step_alone(a: Array, n: Array, axis: int) -> bool:
    seen = np.isfinite(n)
    top = max(float(np.abs(a[seen]).max(initial=0)), float(np.abs(n[seen]).max(initial=0)))
    wrong = seen & (np.abs(a - n) > 1e-6 * top)
    steps = wrong.any(axis=tuple(i for i in range(n.ndim) if i != axis))
    return bool(not steps[-1] and steps[:-1].all())
