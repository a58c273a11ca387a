"""One point at which a subject is examined: both gradients of every tensor, side by side.

The numeric gradient is made quickly, by central differences of all entries at once; only where
it does not agree and the disagreement might be the difference's own fault (a steep function, a
kink, rounding) are the careful slopes of ``slope.py`` asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyae.gradcheck.diagnosis_numbers import names_and_values
from tinyae.gradcheck.slope import (
    EPS,
    PASS,
    SUSPICIOUS,
    Evidence,
    H,
    Line,
    Outputs,
    entry,
    measure,
    norm,
)
from tinyae.param import Array

MOST = 400  # entries of one tensor that are measured
_TINY = float(np.finfo(np.float64).tiny)


@dataclass
class Point:
    """A subject at one input. ``values`` are moved in place; ``evaluate`` sees them moved."""

    values: dict[str, Array]
    evaluate: Callable[[], Array]
    analytic: Callable[[Array], dict[str, Any]]
    y: Array
    r: Array
    sizes: dict[str, int] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    tensors: dict[str, Array] = field(default_factory=dict)
    room: dict[str, Array] = field(default_factory=dict)
    label: str = ""
    rows: int | None = None  # how many, where other names for lengths were given


@dataclass
class Pair:
    """One gradient, analytic (a) and numeric (n). n is NaN where it was not measured: at a kink."""

    name: str
    a: Any
    n: Array
    ok: bool
    kinks: int = 0
    sure: bool = True  # False: wrong by so little that only the careful slopes see it

    @property
    def usable(self) -> bool:
        """Whether a is an array of n's shape, finite."""
        fits = isinstance(self.a, np.ndarray) and self.a.shape == self.n.shape
        return fits and self.a.dtype.kind in "fiu" and bool(np.isfinite(self.a).all())


def compare(point: Point, key: str, name: str, a: Any) -> Pair:
    """The pair of one tensor at a point."""
    value = point.values[key]
    places = np.arange(value.size)
    if value.size > MOST:
        places = np.unique(np.linspace(0, value.size - 1, MOST).astype(int))
    room = point.room.get(key)
    n, gap, noise = _central(point, value, places, room)
    fine = gap <= 1e-3 * max(np.abs(n).max(initial=0), _TINY) + 4 * noise  # smooth, or flat
    full = np.full(value.size, math.nan)
    usable = isinstance(a, (np.ndarray, np.floating)) and np.shape(a) == value.shape
    usable = usable and a.dtype.kind in "fiu" and bool(np.isfinite(a).all())
    if not usable:
        full[places[fine]] = n[fine]
        return Pair(name, a, full.reshape(value.shape), False, int((~fine).sum()))
    flat = np.asarray(a, np.float64).ravel()[places]
    size = max(norm(flat), norm(n), _TINY)
    gaps = np.abs(flat - n)
    far = gaps > PASS * size / math.sqrt(len(n)) + noise
    if not far.any():
        full[places[fine]] = n[fine]
        return Pair(name, a, full.reshape(value.shape), True)
    sure = fine & (gaps > 2 * gap + 1e-3 * size / math.sqrt(len(n)) + 100 * noise)
    if norm(gaps[sure]) > 1e-3 * size and room is None:
        full[places[fine]] = n[fine]
        return Pair(name, a, full.reshape(value.shape), False, int((~fine).sum()))
    f = Outputs(point.evaluate, point.y, point.r)
    space = np.full(value.shape, math.inf) if room is None else room
    where = [tuple(map(int, np.unravel_index(p, value.shape))) for p in places]
    lines = [Line(f, entry(value, i), float(space[i])) for i in where]
    # At a step (equal entries of TopK, the tangent of a kink) there is no slope to hold a against.
    e = measure(flat, lines, jumps=True)
    if PASS < e.error() <= SUSPICIOUS:
        _forgive_bends(e, lines)
    ok = not (~e.kink).any() or e.error() <= PASS
    keep = ~e.kink & (fine | (np.abs(e.n - n) > 0))
    full[places[keep]] = e.n[keep]
    return Pair(name, a, full.reshape(value.shape), ok, int(e.kink.sum()), e.error() > SUSPICIOUS)


def _forgive_bends(e: Evidence, lines: list[Line]) -> None:
    """Leave out entries at a bend: where f″ jumps (ELU at 0) central differences are off by
    h/4 of the jump, so the gap to the analytic value shrinks with h; that of an error does not.
    """
    for i in np.argsort(-np.abs(e.a - e.n))[:32]:
        if e.kink[i] or lines[i].room <= 0:
            continue
        (n, _), (closer, noise) = (lines[i].central(lines[i].h * s) for s in (1, 0.1))
        if abs(e.a[i] - closer) <= 0.2 * abs(e.a[i] - n) + noise:
            e.kink[i] = True


def _central(
    point: Point, value: Array, places: Array, room: Array | None
) -> tuple[Array, Array, Array]:
    """The slopes, how far the two one-sided ones are apart, and what rounding leaves unsure."""
    v = value.reshape(-1)
    if not np.shares_memory(v, value):
        return _central_strided(point, value, places, room)
    above, below = np.empty((2, len(places), point.y.size))
    steps = np.full(len(places), H)
    if room is not None:
        steps = np.minimum(steps, np.maximum(room.ravel()[places], 1e-12) / 8)
    for k, p in enumerate(places):
        before, h = v[p], steps[k]
        v[p] = before + h
        above[k] = point.evaluate().ravel()
        v[p] = before - h
        below[k] = point.evaluate().ravel()
        v[p] = before
    return _slopes(point, above, below, steps)


def _central_strided(
    point: Point, value: Array, places: Array, room: Array | None
) -> tuple[Array, Array, Array]:
    above, below = np.empty((2, len(places), point.y.size))
    steps = np.full(len(places), H)
    if room is not None:
        steps = np.minimum(steps, np.maximum(room.ravel()[places], 1e-12) / 8)
    for k, p in enumerate(places):
        i = np.unravel_index(p, value.shape)
        before, h = value[i].item(), steps[k]
        value[i] = before + h
        above[k] = point.evaluate().ravel()
        value[i] = before - h
        below[k] = point.evaluate().ravel()
        value[i] = before
    return _slopes(point, above, below, steps)


def _slopes(point: Point, above: Array, below: Array, h: Array) -> tuple[Array, Array, Array]:
    r, y = point.r.ravel(), point.y.ravel()
    n = (above - below) @ r / (2 * h)
    gap = np.abs((above - 2 * y + below) * r).sum(axis=1) / h
    typical = math.sqrt(float(np.mean(y * y))) if y.size else 0.0
    rounding = np.abs(r) * 4 * EPS * np.maximum(np.abs(y), typical)
    moved = above != below
    each = np.sqrt((moved * rounding**2).sum(axis=1))
    noise = np.where(moved.any(axis=1), each, rounding.max(initial=0)) / h
    return n, gap, noise


@dataclass
class Trial:
    """A point, examined: its pairs, and the names that a number found there may have."""

    point: Point
    pairs: dict[str, Pair]
    _table: tuple[list[str], Array] | None = None

    def names(self, c: float) -> list[str]:
        """What c may be: "-1", "1/N", "2/(N*D)" …, the simplest first; [] if nothing known."""
        if self._table is None:
            sizes, scalars = self.point.sizes, self.point.scalars
            self._table = names_and_values(tuple(sizes.items()), tuple(scalars.items()))
        names, values = self._table
        near = np.abs(values - c) <= 1e-6 * abs(c)
        return [names[i] for i in np.flatnonzero(near)]
