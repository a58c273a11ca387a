"""A subject at one point: the analytic and the numeric gradient of every tensor, side by side.

The numeric gradient is computed quickly, by central differences entry by entry. Where every row of
the output depends on its own row of the input only, all rows are moved at once. If the two
gradients differ, and the central difference itself may be to blame (a steep function, a kink,
rounding), the careful slopes of ``slope.py`` decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.factor_names import names_and_values
from tinyae.gradcheck.slope import (
    EPS,
    PASS,
    SUSPICIOUS,
    Evidence,
    H,
    Line,
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

# Entries of a tensor to measure: at first; at other lengths; to confirm a relation.
MOST, MANY, FEWER = 400, 120, 40
_TINY = float(np.finfo(np.float64).tiny)


@dataclass
class Point:
    """A subject at one input.

    ``values``    the tensors to differentiate by; they are moved in place
    ``evaluate``  the output for the values as they are now
    ``analytic``  the gradients by tensor, for an upstream gradient
    ``y``, ``r``  the output at the point, and the upstream gradient
    ``sizes``     axis lengths by name; ``scalars`` are constants by name
    ``tensors``   named arrays of the forward pass
    ``room``      how far each entry of a value may move
    """

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
    rows: int | None = None  # the batch size, if the caller named the lengths


@dataclass
class Pair:
    """One gradient, analytic (a) and numeric (n). n is NaN where it was not measured, as at a kink."""

    name: str
    a: Any
    n: Array
    ok: bool
    kinks: int = 0
    sure: bool = True  # False: wrong by so little that only the careful slopes show it
    zero: bool = False  # both are 0 wherever they were compared, which shows nothing
    tied: bool = False  # right entry by entry, and wrong where equal entries move together

    @property
    def usable(self) -> bool:
        """Whether a is a finite array of n's shape."""
        fits = isinstance(self.a, np.ndarray) and self.a.shape == self.n.shape
        return fits and self.a.dtype.kind in "fiu" and bool(np.isfinite(self.a).all())


def compare(
    point: Point, key: str, name: str, a: Any, most: int = MOST, directions: int = 2
) -> Pair:
    """Both gradients of one tensor at a point, measured at no more than ``most`` entries of a row.

    A gradient that is right along a few random directions is taken to be right: an error e escapes
    k directions with probability about (1e-7 ‖g‖ / ‖e‖)^k.
    """
    value = point.values[key]
    room = point.room.get(key)
    usable = isinstance(a, (np.ndarray, np.floating)) and np.shape(a) == value.shape
    usable = usable and a.dtype.kind in "fiu" and bool(np.isfinite(a).all())
    f = Outputs(point.evaluate, point.y, point.r)
    if usable and room is None and _right_along(f, value, a, directions):
        return Pair(name, a, np.array(a, np.float64), True)
    n, gap, noise, places = _central(point, value, room, most)
    fine = gap <= 1e-3 * max(np.abs(n).max(initial=0), _TINY) + 4 * noise  # smooth, or flat
    full = np.full(value.size, math.nan)
    if not usable:
        full[places[fine]] = n[fine]
        return Pair(name, a, full.reshape(value.shape), False, int((~fine).sum()))
    flat = np.asarray(a, np.float64).ravel()[places]
    size = max(norm(flat), norm(n), _TINY)
    gaps = np.abs(flat - n)
    far = gaps > PASS * size / math.sqrt(len(n)) + noise
    zero = not (np.maximum(np.abs(flat), np.abs(n)) > noise)[fine].any()
    if not far.any():
        full[places[fine]] = n[fine]
        return Pair(name, a, full.reshape(value.shape), True, zero=zero)
    steep = np.zeros(len(n), bool)
    if room is not None:  # near the end of its range (1/y near 0) h² f‴/6 is no longer small
        steep = np.broadcast_to(room, value.shape).ravel()[places] < 3000 * H
    sure = fine & (gaps > 2 * gap + 1e-3 * size / math.sqrt(len(n)) + 100 * noise)
    sure &= step_of(value) == H
    if norm(gaps[sure & ~steep]) > 1e-3 * size and 4 * steep.sum() <= len(n):
        full[places[fine & ~steep]] = n[fine & ~steep]
        return Pair(name, a, full.reshape(value.shape), False, int((~fine).sum()))
    space = np.full(value.shape, math.inf) if room is None else room
    where = [tuple(map(int, np.unravel_index(p, value.shape))) for p in places]
    lines = [Line(f, entry(value, i), float(space[i])) for i in where]
    # At a jump (equal entries of TopK, the tangent of a kink) there is no slope to compare with.
    e = measure(flat, lines, jumps=True)
    if (e.error() > PASS or e.kink.any()) and step_of(value) < H:
        lines = [Line(f, entry(value, i), float(space[i]), step_of(value)) for i in where]
        closer = measure(flat, lines, jumps=True)
        e = closer if closer_than(e, closer) else e
    if e.error() > PASS:
        leave_ties_out(e, lines, value, places)
    if PASS < e.error() <= SUSPICIOUS:
        _exclude_bends(e, lines)
    ok = bool(not (~e.kink).any() or e.error() <= PASS)
    keep = ~e.kink & (fine | (np.abs(e.n - n) > 0))
    full[places[keep]] = e.n[keep]
    pair = Pair(name, a, full.reshape(value.shape), ok, int(e.kink.sum()), e.error() > SUSPICIOUS)
    pair.zero = not (np.maximum(np.abs(e.a), np.abs(e.n)) > e.noise)[~e.kink].any()
    pair.tied = (
        ok and bool(e.kink.any()) and _tie_is_wrong(f, value, np.asarray(a, np.float64), space)
    )
    pair.ok = ok and not pair.tied
    return pair


def _tie_is_wrong(f: Outputs, value: Array, a: Array, space: Array) -> bool:
    """Whether the slope along a direction that moves equal entries together is another one."""
    if np.unique(value).size == value.size:
        return False
    d = together(value)
    room = float((space[d != 0] / np.abs(d[d != 0])).min(initial=math.inf))
    typical = norm(a) / math.sqrt(max(a.size, 1))
    line = Line(f, direction(value, d), room)
    return measure(np.array([float((a * d).sum())]), [line], typical).error() > SUSPICIOUS


def _exclude_bends(e: Evidence, lines: list[Line]) -> None:
    """Exclude entries where f″ jumps (ELU at 0). There a central difference is off by h/4 of the
    jump, so its gap to the analytic value shrinks with h. The gap of a true error does not.
    """
    for i in np.argsort(-np.abs(e.a - e.n))[:32]:
        if e.kink[i] or lines[i].room <= 0:
            continue
        (n, _), (closer, noise) = (lines[i].central(lines[i].h * s) for s in (1, 0.1))
        if abs(e.a[i] - closer) <= 0.2 * abs(e.a[i] - n) + noise:
            e.kink[i] = True


def _right_along(f: Outputs, value: Array, a: Any, directions: int) -> bool:
    """Whether ⟨a, d⟩ is the slope along each of several random directions d, ‖d‖ = 1."""
    rng = np.random.default_rng(value.size)
    typical = norm(np.asarray(a, np.float64)) / math.sqrt(max(value.size, 1))
    if typical == 0:  # every entry is to be looked at, because 0 against 0 shows nothing
        return False
    for _ in range(directions):
        d = np.asarray(rng.normal(size=value.shape))
        d /= max(norm(d), _TINY)
        n, noise = Line(f, direction(value, d)).central(H)
        if noise > 1e-5 * typical or abs(float((a * d).sum()) - n) > PASS * typical + noise:
            return False
    return True


def _central(
    point: Point, value: Array, room: Array | None, most: int
) -> tuple[Array, Array, Array, Array]:
    """Central slopes, the gap between the one-sided ones, the rounding error, and the entries'
    positions. If there are more than ``most`` entries, they are chosen at even distances.
    """
    rows, size = 1, value.size
    if room is None and _rows_independent(point, value):
        rows = len(value)
        size //= rows
    places = np.arange(size)
    if size > most:
        places = np.unique(np.linspace(0, size - 1, most).astype(int))
    steps = np.full(len(places), H)
    if room is not None:
        steps = np.minimum(steps, np.maximum(room.ravel()[places], 1e-12) / 8)
    v = value.reshape(rows, -1)
    shared = np.shares_memory(v, value) or not value.size
    above, below = np.empty((2, len(places), point.y.size))
    for k, (p, h) in enumerate(zip(places, steps)):
        i = (slice(None), p) if shared else np.unravel_index(p, value.shape)
        moved = v if shared else value
        before = moved[i].copy()
        moved[i] = before + h
        above[k] = point.evaluate().ravel()
        moved[i] = before - h
        below[k] = point.evaluate().ravel()
        moved[i] = before
    every = (np.arange(rows)[:, None] * size + places).ravel()
    n, gap, noise = _slopes(point, above, below, steps, rows)
    # Steps are rounded, by ε |v|, so that a curved f seems to have a slope where it has none.
    uneven = EPS * np.abs(value.ravel()[every]) / np.tile(steps, rows)
    return n, gap, noise + gap * uneven, every


def _rows_independent(point: Point, value: Array) -> bool:
    """Whether row i of y depends on row i of the value only."""
    n, y = len(value) if value.ndim else 0, point.y
    if n < 2 or value.ndim < 2 or y.ndim < 1 or len(y) != n or value.size <= 2 * n:
        return False
    if not np.shares_memory(value.reshape(n, -1), value):
        return False
    rng = np.random.default_rng(n)
    for i in range(n):
        before = value[i].copy()
        value[i] += 1e-3 * rng.normal(size=before.shape)
        moved = (point.evaluate() != y).reshape(n, -1).any(axis=1)
        value[i] = before
        moved[i] = False
        if moved.any():
            return False
    return True


def _slopes(
    point: Point, above: Array, below: Array, h: Array, rows: int
) -> tuple[Array, Array, Array]:
    """For every row the slopes of its own outputs, their gaps and rounding errors."""
    r, y = (np.broadcast_to(t, point.y.shape).reshape(rows, 1, -1) for t in (point.r, point.y))
    above, below = (t.reshape(len(h), rows, y.shape[2]).swapaxes(0, 1) for t in (above, below))
    n = ((above - below) * r).sum(axis=2) / (2 * h)
    gap = np.abs((above - 2 * y + below) * r).sum(axis=2) / h
    typical = math.sqrt(float(np.mean(y * y))) if y.size else 0.0
    rounding = np.abs(r) * 4 * EPS * np.maximum(np.abs(y), typical)
    moved = above != below
    each = np.sqrt((moved * rounding**2).sum(axis=2))
    noise = np.where(moved.any(axis=2), each, rounding.max(axis=2, initial=0)) / h
    return n.ravel(), gap.ravel(), noise.ravel()


@dataclass
class Trial:
    """A point, the gradients measured there, and names for the factors found there."""

    point: Point
    pairs: dict[str, Pair]
    _table: tuple[list[str], Array] | None = None

    def names(self, c: float) -> list[str]:
        """Names for c, "-1", "1/N", "2/(N*D)", …, the simplest first; [] if there are none."""
        if self._table is None:
            sizes, scalars = self.point.sizes, self.point.scalars
            self._table = names_and_values(tuple(sizes.items()), tuple(scalars.items()))
        names, values = self._table
        near = np.abs(values - c) <= 1e-6 * abs(c)
        return [names[i] for i in np.flatnonzero(near)]
