"""What the wrong entries have in common: they lie where x ≤ 0, where |y − t| > δ, in rows that are read
more than once, in one gate's block.

Where they lie says which branch or which statement is wrong. Within them a factor may be missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.factors import broadcast_along, factors
from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, number, residual
from tinyae.gradcheck.doctor.trial import Point, Trial
from tinyae.param import Array


def what_is_common(
    name: str, a: Array, n: Array, trial: Trial, tensors: dict[str, Array]
) -> Iterator[Guess]:
    """Guesses on the wrong entries, if some entries are right and some are wrong."""
    seen = np.isfinite(n)
    top = max(float(np.abs(a[seen]).max(initial=0)), float(np.abs(n[seen]).max(initial=0)))
    wrong = seen & (np.abs(a - n) > 1e-6 * top)
    right = seen & ~wrong & (np.abs(n) > 1e-9 * top)
    if not wrong.any() or not right.any():
        return
    yield from _repeated(name, a, n, wrong, trial.point)
    yield from _counted(name, a, n, trial.point)
    block = _block(wrong, seen)
    if block is not None:
        yield from _in_block(name, a, n, block, trial, tensors)
    yield from _condition(name, a, n, wrong, right, trial, tensors)


def is_partial(a: Array, n: Array) -> bool:
    """Whether some entries are right, and not only because they are 0, and others are wrong."""
    seen = np.isfinite(n)
    top = max(float(np.abs(a[seen]).max(initial=0)), float(np.abs(n[seen]).max(initial=0)))
    wrong = seen & (np.abs(a - n) > 1e-6 * top)
    right = seen & ~wrong & (np.abs(n) > 1e-9 * top)
    return bool(wrong.any() and 10 * right.sum() >= seen.sum())


def _repeated(name: str, a: Array, n: Array, wrong: Array, point: Point) -> Iterator[Guess]:
    """Wrong are just the entries that an index among the inputs reads more than once."""
    for label, index in point.tensors.items():
        if index.dtype.kind not in "iu" or not index.size or index.min() < 0:
            continue
        counts = np.bincount(index.ravel())
        for axis in range(n.ndim):
            if len(counts) > n.shape[axis]:
                continue
            often = np.flatnonzero(counts > 1)
            others = tuple(i for i in range(n.ndim) if i != axis)
            if not len(often) or not np.array_equal(np.flatnonzero(wrong.any(axis=others)), often):
                continue
            which = {0: "rows", 1: "columns"}.get(axis, f"places of axis {axis}")
            text = (
                f"{name} is wrong in the {which} that {label} names more than once: of repeated "
                "indices only one is counted"
            )
            do = f"add them all up: np.add.at(d, {label}, dy), since d[{label}] += dy adds the last only"
            shared = a.take(often, axis) * counts[often].reshape(
                [-1 if i == axis else 1 for i in range(n.ndim)]
            )
            if residual(shared, n.take(often, axis)) < EXACT:
                text = (
                    f"{name} averages over the repeated indices of {label}, and should add them up"
                )
                do = "take the division by the counts out"
            yield Guess("repeated", label, text, math.nan, [f"repeated {label}"], do, 0.4)
            return


def _counted(name: str, a: Array, n: Array, point: Point) -> Iterator[Guess]:
    """Rows are wrong by how often their index occurs: a mean over a segment, or a sum for it."""
    for label, index in point.tensors.items():
        if index.dtype.kind not in "iu" or index.shape != n.shape[:1] or index.min() < 0:
            continue
        counts = np.bincount(index)[index].reshape([-1] + [1] * (n.ndim - 1))
        for fit, how in ((n * counts, f"1/count of {label}"), (n / counts, f"count of {label}")):
            if np.isfinite(n).all() and np.ptp(counts) > 0 and residual(a, fit) < EXACT:
                text = f"{name} lacks the factor {how}: how often each row's index occurs"
                do = f"use np.bincount({label})[{label}]"
                yield Guess("missing_factor", how, text, 0.0, [f"counted {how}"], do, 0.4)
                return


def _block(wrong: Array, seen: Array) -> tuple[slice, ...] | None:
    """The block of the last axis that holds all wrong entries, if it is a proper part of it."""
    if wrong.ndim != 2:
        return None
    columns = np.flatnonzero(wrong.any(axis=0))
    first, last = int(columns[0]), int(columns[-1]) + 1
    whole = (wrong | ~seen)[:, first:last].mean() > 0.9
    if not whole or last - first == wrong.shape[1] or len(columns) != last - first:
        return None
    return slice(None), slice(first, last)


def _in_block(
    name: str, a: Array, n: Array, block: tuple[slice, ...], trial: Trial, tensors: dict[str, Array]
) -> Iterator[Guess]:
    """A factor that is missing, or too many, in one block, as of one gate of four."""
    where = f"columns {block[1].start} to {block[1].stop - 1}"
    for g in factors(name, a[block], n[block], trial, tensors):
        g.message = f"in {where}, {g.message}"
        g.free += 0.5
        yield g


def _condition(
    name: str,
    a: Array,
    n: Array,
    wrong: Array,
    right: Array,
    trial: Trial,
    tensors: dict[str, Array],
) -> Iterator[Guess]:
    """A condition on one tensor, or on a difference of two, that separates wrong from right."""
    for cost, (label, t) in enumerate(_candidates(tensors, n.shape)):
        found = _separates(t[wrong], t[right])
        if found is None:
            continue
        relation, low, high = found
        text, factor = _how(a[wrong], n[wrong], trial)
        limit = "0" if high == 0 else _named(low, high, trial)
        if not limit:
            continue  # a bound that stands nowhere in the code is an accident
        where = (
            f"{label} {relation} {limit}"
            if relation in "<>≤≥="
            else f"|{label}| {relation[1:]} {limit}"
        )
        message = f"{name} is right except where {where}: there it {text}"
        free = 0.9 + 0.01 * cost + 0.2 * ("−" in label)
        error = math.nan if text.endswith("another slope") else 0.0  # then a line says more
        yield Guess("entries", where, message, error, [f"{label}{relation}"], factor, free)


def _candidates(tensors: dict[str, Array], shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    like = [
        (label, f)
        for label, t in tensors.items()
        if (f := broadcast_along(t, shape)) is not None and np.ptp(t) > 0 and not _labels(t)
    ]
    yield from like
    for i, (p, s) in enumerate(like[:5]):
        for q, t in like[i + 1 : 5]:
            yield f"{p} − {q}", s - t


def _labels(t: Array) -> bool:
    """Whether an array holds whole numbers other than 0 and 1, of which none is small or large."""
    return bool(np.array_equal(t, np.round(t)) and np.abs(t).max() > 1)


def _separates(bad: Array, good: Array) -> tuple[str, float, float] | None:
    """The condition that all of the wrong entries meet and none of the right ones: a relation, and
    the range in which its bound lies.
    """
    if not len(bad) or not len(good) or (len(bad) < 3 and len(good) < 3):
        return None
    if (bad == 0).all() and (good != 0).all():
        return "=", 0.0, 0.0
    if (bad <= 0).all() and (good > 0).all():
        return ("<" if (bad < 0).all() else "≤"), 0.0, 0.0
    if (bad >= 0).all() and (good < 0).all():
        return ">", 0.0, 0.0
    if (bad > 0).all() and (good <= 0).all():
        return ">", 0.0, 0.0
    p, q = np.abs(bad), np.abs(good)
    if p.min() > q.max():
        return "|>", float(q.max()), float(p.min())
    if p.max() < q.min():
        return "|<", float(p.max()), float(q.min())
    return None


def _named(low: float, high: float, trial: Trial) -> str:
    """The constant between two numbers, where the bound lies; "" if there is none."""
    near = [k for k, v in trial.point.scalars.items() if low <= abs(v) <= high]
    return near[0].lstrip("-") if near else ""


def _how(a: Array, n: Array, trial: Trial) -> tuple[str, str]:
    top = float(np.abs(n).max())
    if (np.abs(n) <= 1e-9 * max(top, float(np.abs(a).max()))).all():
        return "should be zero: a mask is missing", "multiply by a mask"
    if not np.any(a):
        return "is zero and should not be", "give that branch its own slope"
    c = float(a @ n) / float(n @ n)
    if len(a) > 1 and residual(a, c * n) < EXACT:
        names = trial.names(c)
        inverse = trial.names(1 / c)
        said = names[0] if names else f"1/{inverse[0]}" if inverse else number(c)
        return f"is {said} times what it should be", "look at the slope of that branch"
    return "has another slope", "look at the slope of that branch"
