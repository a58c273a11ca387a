"""Numeric slopes: how fast the outputs change along a line, and how accurate that is.

central      (f(v + h) − f(v − h)) / 2h, off by about h² f‴/6 and by rounding, ε |f| / h
richardson   (4 D(h) − D(2h)) / 3, off by about h⁴; computed at four sizes of h; the result
             that differs least from its smaller neighbour is used
rounding     where the gradient is said to be 0, the rounding of f is measured, by sixth differences
at_kink      the slopes to the right and to the left at h, h/2 and h/4. Where f is smooth their
             gap shrinks with h; at a kink it stays; at a step it grows

Source    Nocedal & Wright (2006), §8.1; Ridders (1982); Moré & Wild (2011) for the rounding
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyae.param import Array

H = 1e-5
PASS, SUSPICIOUS = 1e-7, 1e-4  # relative errors: agreement up to the first, doubt up to the second
EPS = float(np.finfo(np.float64).eps)
_LADDER = (0.1, 1.0, 10.0, 100.0)  # times h: the step sizes of Richardson extrapolation
_ROUGHEST = 1000  # times 4 ε |f|; sixth differences above that are a kink, and no rounding
_TINY = float(np.finfo(np.float64).tiny)

Move = Callable[[float], float]  # moves a tensor to v + t·d; returns t after rounding


class Outputs:
    """The outputs as a function of whatever tensor has been moved, and their weights r."""

    def __init__(self, evaluate: Callable[[], Array], y: Array, r: Array) -> None:
        self.evaluate, self.r = evaluate, r
        # The uncertainty of one output: ε times its size, or times the typical size of all
        # outputs if that is larger, as a small output may result from cancellation.
        self.rounding = 4 * EPS * np.maximum(np.abs(y), norm(y) / math.sqrt(max(y.size, 1)))
        self.y = y


class Line:
    """The outputs along one line: an entry of a tensor, or a direction.

    ``room`` is the distance along the line that no step may exceed.
    """

    def __init__(self, f: Outputs, move: Move, room: float = math.inf, h: float = H) -> None:
        self.f, self.move, self.room = f, move, room
        self.h = min(h, room / 8)

    def at(self, t: float) -> tuple[float, Array]:
        step = self.move(t)
        y = self.f.evaluate()
        self.move(0.0)
        return step, y

    def central(self, h: float) -> tuple[float, float]:
        """The slope Σ r ∘ (y₊ − y₋)/2h, and its uncertainty from rounding."""
        (above, y1), (below, y0) = self.at(h), self.at(-h)
        d = y1 - y0
        rounding = np.abs(self.f.r * self.f.rounding)
        # Outputs that did not change do not depend on t. If none changed, rounding may hide one.
        uncertainty = norm(rounding[d != 0]) if d.any() else float(rounding.max(initial=0))
        # Rounded steps are not quite equal, which matters where the slope is 0 and f is curved.
        curved = float(np.abs(self.f.r * (y1 - 2 * self.f.y + y0)).sum()) / h
        uneven = max(abs(above + below), EPS * abs(above)) / h
        return float((self.f.r * d).sum()) / (above - below), uncertainty / h + curved * uneven

    def richardson(self) -> tuple[float, float]:
        """(4 D(h) − D(2h)) / 3 at four sizes of h: the one closest to its smaller neighbour."""
        best, change, uncertainty, smaller = 0.0, math.inf, 0.0, math.nan
        for h in (self.h * scale for scale in _LADDER):
            if 2 * h >= self.room:
                break
            (fine, noise), (coarse, _) = self.central(h), self.central(2 * h)
            slope = (4 * fine - coarse) / 3
            difference = abs(slope - (fine if math.isnan(smaller) else smaller))
            if difference < change:
                best, change, uncertainty = slope, difference, 5 / 3 * noise
            smaller = slope
        return best, uncertainty

    def rounding(self) -> float:
        """The rounding error of Σ r ∘ y along the line, as measured: its sixth differences, in which
        nothing smooth is left, are those of the rounding alone.
        """
        steps = 0.1 * self.h * np.arange(-4, 5)
        sums = [float((self.f.r * (self.at(t)[1] - self.f.y)).sum()) for t in steps]
        d = np.diff(sums, 6)
        return math.sqrt(float(np.mean(d * d)) / 924)  # (12 over 6) = 924

    def at_kink(self, analytic: float | None, slack: float, jumps: bool) -> bool:
        """Whether some output has a kink here, with the analytic value, if any, between its slopes."""
        right, left = [], []
        for h in (self.h, self.h / 2, self.h / 4):
            (a, y1), (b, y0) = self.at(h), self.at(-h)
            right.append((y1 - self.f.y) / a)
            left.append((y0 - self.f.y) / b)
        gap = np.array([abs(p - q) for p, q in zip(right, left)])  # (3, outputs)
        noise = 8 * self.f.rounding / self.h
        # If f is smooth, half of h gives half of the gap, within a tenth and rounding.
        smooth = (abs(gap[1] - gap[0] / 2) <= 0.05 * gap[0] + noise) & (
            abs(gap[2] - gap[0] / 4) <= 0.025 * gap[0] + noise
        )
        kink = ~smooth
        if not kink.any() or (not jumps and (gap[2] > 1.5 * gap[0] + noise)[kink].any()):
            return False
        if analytic is None:
            return True
        r = self.f.r
        slopes = np.array([r * s for s in (*right, *left)])
        rest = float((slopes[0] + slopes[3])[smooth].sum()) / 2
        # One-sided slopes are off by h f″/2, by as much as the last halving of h changed them.
        margin = abs(slopes[1] - slopes[2]) + abs(slopes[4] - slopes[5]) + abs(r) * noise
        low = float((slopes.min(axis=0) - 2 * margin)[kink].sum())
        high = float((slopes.max(axis=0) + 2 * margin)[kink].sum())
        return low - slack <= analytic - rest <= high + slack


def entry(value: Array, index: tuple[int, ...]) -> Move:
    """Moves one entry of a tensor, in place; t = 0 restores it."""
    v = value[index].item()

    def move(t: float) -> float:
        value[index] = v + t
        return value[index].item() - v

    return move


def direction(value: Array, d: Array) -> Move:
    """Moves a whole tensor along d, in place; t = 0 restores it."""
    v = value.copy()

    def move(t: float) -> float:
        value[...] = v + t * d
        return t

    return move


def together(value: Array) -> Array:
    """A direction along which equal entries stay equal, and entries of 0 stay 0: ‖d‖ = 1.

    Where a maximum is reached twice, no single entry has a slope, but this direction has.
    """
    d = value * (1.0 + 0.5 * np.sin(3.0 * value))
    return np.asarray(d / max(norm(d), _TINY))


@dataclass
class Evidence:
    """Analytic and numeric slopes along some lines, the noise of the latter, and the kinks."""

    a: Array
    n: Array
    noise: Array
    kink: Array
    scale: float = 0.0

    def size(self) -> float:
        keep = ~self.kink
        return max(norm(self.a[keep]), norm(self.n[keep]), self.scale, _TINY)

    def floor(self) -> float:
        return norm(self.noise[~self.kink]) / PASS

    def error(self, which: Array | None = None) -> float:
        keep = ~self.kink if which is None else ~self.kink & which
        return norm((self.a - self.n)[keep]) / max(self.size(), self.floor())

    def doubtful(self) -> bool:
        """Whether the error exceeds 1e-7, or only a floor far above the gradient keeps it below."""
        raw = norm((self.a - self.n)[~self.kink]) / self.size()
        return self.error() > PASS or (raw > PASS and self.size() < self.floor() / 100)


def step_of(value: Array) -> float:
    """The step for a tensor's central differences: 1e-5, or less for very small numbers."""
    top = float(np.abs(value).max(initial=0))
    return H * top if 0 < top < 1e-3 else H


def closer_than(e: Evidence, closer: Evidence) -> bool:
    """Whether the evidence of smaller steps is the better: it agrees, or sees fewer kinks."""
    return closer.error() <= PASS or (e.error() <= PASS and closer.kink.sum() < e.kink.sum())


def leave_ties_out(e: Evidence, lines: list[Line], value: Array, places: Array) -> bool:
    """Count the entries that have an equal and lie at a kink as kinks: alone they have no slope.
    Whether any were counted; then the direction ``together`` must decide.
    """
    flat = value.ravel()
    numbers, counts = np.unique(flat, return_counts=True)
    equal = np.isin(flat[places], numbers[counts > 1]) & ~e.kink
    far = np.abs(e.a - e.n) > PASS * e.size() + e.noise
    found = [i for i in np.flatnonzero(equal & far)[:64] if lines[i].at_kink(None, 0.0, True)]
    e.kink[found] = True
    return bool(found)


def norm(a: Array) -> float:
    """‖a‖₂"""
    flat = np.asarray(a, np.float64).ravel()
    return math.sqrt(float(flat @ flat))


def measure(a: Array, lines: list[Line], scale: float = 0.0, jumps: bool = False) -> Evidence:
    """Central differences along every line. Where they disagree with ``a``, Richardson
    extrapolation, the largest disagreement first, until all agree or a failure is certain.
    """
    movable = np.array([line.room > 0 for line in lines])
    pairs = [line.central(line.h) if ok else (math.nan, 0.0) for line, ok in zip(lines, movable)]
    n, noise = np.array(pairs).reshape(len(lines), 2).T.copy()
    e = Evidence(a, np.where(movable, n, a), noise, ~movable, scale)
    refined = ~movable
    while e.doubtful() and not refined.all():
        residual = np.where(refined, -1.0, np.abs(e.a - e.n))
        for i in np.argsort(-residual)[:32]:
            if refined[i]:
                break
            refined[i] = True
            e.n[i], e.noise[i] = lines[i].richardson()
            slack = PASS * e.size() / math.sqrt(len(lines)) + e.noise[i]
            if abs(a[i] - e.n[i]) > slack:
                e.kink[i] = lines[i].at_kink(float(a[i]), slack, jumps)
        if e.error(refined) > SUSPICIOUS:
            break
    if e.error() > PASS and norm(a[~e.kink]) <= norm(e.noise[~e.kink]):
        _measure_noise(e, lines)
    return e


def _measure_noise(e: Evidence, lines: list[Line]) -> None:
    """Correct the noise of slopes that should be 0. A deep model (or a loss that is the small rest of
    large numbers) is rounded by more than 4 ε |f|, so that noise would pass for a slope.
    """
    for i in np.argsort(np.where(e.kink, 0.0, -np.abs(e.n)))[:8]:
        f = lines[i].f
        assumed = norm(f.r * f.rounding)
        if e.kink[i] or lines[i].room <= 0 or not assumed:
            continue
        ratio = 4 * lines[i].rounding() / assumed
        if 1 < ratio < _ROUGHEST:
            e.noise[i] *= ratio
