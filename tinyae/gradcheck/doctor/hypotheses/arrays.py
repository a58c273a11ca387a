"""Relations that need only the two arrays: the analytic gradient a and the numeric one, n.

All zero, one factor, another order of the entries, an offset, some wrong entries, a factor that
varies along one axis. A relation with fewer free parameters is tried earlier.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, axes_text, number, residual
from tinyae.gradcheck.doctor.trial import Trial
from tinyae.gradcheck.slope import norm
from tinyae.param import Array


def simple(name: str, a: Array, n: Array, trial: Trial) -> Iterator[Guess]:
    """Relations with at most one free parameter: all zero, a factor, another order, an offset."""
    seen = np.isfinite(n)
    size = norm(n[seen])
    if not np.any(a[seen]):
        text = f"{name} is zero all over, and the numeric gradient is not (norm {number(size)})"
        do = "was it computed and never added or returned?"
        yield Guess("zero", "0", text, 0.0, ["zero"], do)
        return
    if size > 1e-9 * norm(a[seen]):
        yield from _factor(name, a, n, seen, trial)
        yield from _order(name, a, n, trial)
        yield from _symmetric(name, a, n)
        yield from _spread(name, a, n)
        yield from _offset(name, a, n, seen, trial)
        if seen.all():
            yield from _oversummed(name, a, n)


def _symmetric(name: str, a: Array, n: Array) -> Iterator[Guess]:
    """n is made of a and of aᵀ: the matrix enters forward twice, the second time transposed."""
    if a.ndim != 2 or a.shape[0] != a.shape[1] or len(a) < 2 or not np.isfinite(n).all():
        return
    x = name.removeprefix("d")
    for fit, what in ((a + a.T, "G + G.T"), ((a + a.T) / 2, "(G + G.T) / 2")):
        if residual(n, fit) < EXACT and residual(a, n) > EXACT:
            text = f"{name} = G lacks the term with G.T: forward reads {x} twice, once transposed (as a "
            text += f"symmetric part, or a product with itself), so it should be {what}"
            yield Guess(
                "missing_term", "G.T", text, 0.0, [f"symmetric {what}"], f"return {what}", 0.3
            )
            return


def _spread(name: str, a: Array, n: Array) -> Iterator[Guess]:
    """a gives each entry of a window the average of what n gives to one of them."""
    if not n.ndim or not np.isfinite(n).all():
        return
    for k in range(2, min(n.shape[-1], 9) + 1):
        if n.shape[-1] % k:
            continue
        windows, given = (t.reshape(*n.shape[:-1], -1, k) for t in (n, a))
        if np.count_nonzero(windows) > np.count_nonzero(np.abs(windows).max(axis=-1)):
            continue  # more than one entry of a window matters: it is no maximum
        mean = np.broadcast_to(windows.mean(axis=-1, keepdims=True), windows.shape)
        if residual(given, mean) < EXACT:
            text = f"{name} spreads dy over all {k} entries of a window, as the average does; a maximum "
            text += "passes it to one of them"
            yield Guess(
                "entries", f"average for max of {k}", text, 0.0, ["spread"], "use argmax", 0.6
            )
            return


def _oversummed(name: str, a: Array, n: Array) -> Iterator[Guess]:
    """a is the sum, or the mean, of n along an axis, repeated: it was summed over that axis too."""
    for axes in (tuple(range(n.ndim)), *((i,) for i in range(n.ndim) if n.ndim > 1)):
        if math.prod(n.shape[i] for i in axes) < 2:
            continue
        total = n.sum(axis=axes, keepdims=True)
        if (np.count_nonzero(n, axis=axes) <= 1).all():
            continue  # one entry of many is chosen: a mask is missing
        if norm(np.ptp(n, axis=axes)) < 1e-6 * norm(n):
            continue
        for what, fit in (("sum", total), ("mean", total / math.prod(n.shape[i] for i in axes))):
            if residual(a, np.broadcast_to(fit, n.shape)) < EXACT:
                where = axes_text(axes)
                text = f"{name} is the same along {where}: the {what} is taken over {where} too, which "
                text += "should stay"
                do = "sum over the other axes alone, e.g. .sum(axis=0)"
                yield Guess(
                    "wrong_axis", f"{what} over {where}", text, 0.0, [f"over {where}"], do, 0.5
                )
                return


def _factor(name: str, a: Array, n: Array, seen: Array, trial: Trial) -> Iterator[Guess]:
    p, q = a[seen], n[seen]
    c = float(p @ q) / float(q @ q)
    error = residual(p, c * q)
    if c == 0 or error > EXACT or abs(c - 1) < 1e-6:
        return
    names = trial.names(c)
    keys = [f"c={m}" for m in names] + [f"c~{c:.5e}"]
    what = names[0] if names else number(c)
    if what == "-1":
        text = f"{name} has the wrong sign: it is −1 times the numeric gradient"
        do = "change the sign"
    else:
        value = f" = {number(c)}" if names and not _plain(what) else ""
        text = f"{name} is {what}{value} times the numeric gradient"
        do = f"multiply {name} by {inverse(what, c)}"
    yield Guess("factor", what, text, error, keys, do, 0.0 if names else 1.0)


def _plain(text: str) -> bool:
    return text.replace(".", "").replace("-", "").isdigit()


def inverse(what: str, c: float) -> str:
    """The text of 1/c, where ``what`` is the text of c."""
    if _plain(what):
        return number(1 / float(what))
    sign, bare = ("-", what[1:]) if what.startswith("-") else ("", what)
    if bare.startswith("1/") and "/" not in bare[2:] and "^" not in bare:
        under = bare[2:]
        return sign + (under[1:-1] if under.startswith("(") else under)
    if bare.replace("*", "").isalnum():
        return f"{sign}1/({bare})" if "*" in bare else f"{sign}1/{bare}"
    return f"1/({what})" if names_something(what) else number(1 / c)


def names_something(what: str) -> bool:
    return any(letter.isalpha() for letter in what)


def _order(name: str, a: Array, n: Array, trial: Trial) -> Iterator[Guess]:
    """The same numbers in another order, possibly with the opposite sign."""
    size = norm(n)
    if math.isfinite(size) and abs(norm(a) - size) > EXACT * size:
        orders = _shifts(name, n)  # only a shift may lose numbers at the edge
    else:
        orders = itertools.chain(_orders(name, n), _shifts(name, n), _permuted(name, a, n))
    for kind, what, text, fit in orders:
        for sign in (1, -1):
            error = residual(a, sign * fit)
            if error < EXACT:
                minus = "" if sign == 1 else ", and of the wrong sign"
                yield Guess(kind, what, text + minus, error, [f"{kind}:{what}:{sign}"])
                return


def _permuted(name: str, a: Array, n: Array) -> Iterator[tuple[str, str, str, Array]]:
    for axis in (i for i in range(n.ndim) if n.shape[i] > 1):
        places = _permutation(a, n, axis)
        if places is not None:
            text = f"{name} has the right slices along axis {axis} in another order: {places}"
            yield "axes", f"permuted along axis {axis}", text, n.take(places, axis)


def _permutation(a: Array, n: Array, axis: int) -> tuple[int, ...] | None:
    """The order in which n has the slices of a along an axis; None if it has not just those."""
    if n.shape[axis] > 16 or not np.isfinite(n).all():
        return None
    given = np.moveaxis(a, axis, 0).reshape(n.shape[axis], -1)
    right = np.moveaxis(n, axis, 0).reshape(n.shape[axis], -1)
    gaps = np.abs(given[:, None] - right).max(axis=2)
    order = tuple(int(j) for j in gaps.argmin(axis=1))
    found = gaps.min(axis=1) <= 1e-6 * np.abs(n).max()
    return order if found.all() and len(set(order)) == len(order) else None


def _orders(name: str, n: Array) -> Iterator[tuple[str, str, str, Array]]:
    many = [i for i in range(n.ndim) if n.shape[i] > 1]
    if n.ndim == 2 and n.shape[0] == n.shape[1]:
        yield "transposed", "T", f"{name} is the transpose of the numeric gradient", n.T
    if 2 <= n.ndim <= 4:
        for order in itertools.permutations(range(n.ndim)):
            if order == tuple(range(n.ndim)):
                continue
            turned = n.transpose(order)
            if turned.shape == n.shape and n.ndim > 2:
                text = f"{name} has its axes in the order {order} of the right one"
                yield "axes", str(order), text, turned
            text = f"{name} is filled in another order: as if the axes were {order}"
            yield "axes", f"order {order}", text, turned.reshape(n.shape)
            undone = np.empty(n.size)
            undone.reshape(turned.shape)[...] = n.ravel().reshape(turned.shape)
            back = undone.reshape(turned.shape).transpose(np.argsort(order))
            if back.shape == n.shape:
                yield "axes", f"flattening {order}", text, back
    for k in range(1, len(many) + 1):
        for axes in itertools.combinations(many, k):
            where = axes_text(axes)
            yield (
                "flipped",
                where,
                f"{name} is the right one in reverse along {where}",
                np.flip(n, axes),
            )


def _shifts(name: str, n: Array) -> Iterator[tuple[str, str, str, Array]]:
    for axis in (i for i in range(n.ndim) if n.shape[i] > 1):
        for k in (1, -1, 2, -2):
            if abs(k) >= n.shape[axis]:
                continue
            places = f"{abs(k)} place{'s' if abs(k) > 1 else ''} {'on' if k > 0 else 'back'}"
            text = f"{name} is the right one moved {places} along axis {axis}"
            yield "shifted", f"axis {axis} by {k}", text, np.roll(n, k, axis)
            moved = np.roll(n, k, axis)
            edge = [slice(None)] * n.ndim
            edge[axis] = slice(0, k) if k > 0 else slice(k, None)
            moved[tuple(edge)] = math.nan
            if np.isfinite(moved).sum() >= max(4, n.size // 3):
                yield "shifted", f"axis {axis} by {k}", text, moved


def _offset(name: str, a: Array, n: Array, seen: Array, trial: Trial) -> Iterator[Guess]:
    gap = (a - n)[seen]
    c = float(gap.mean())
    if seen.sum() > 1 and residual(a[seen], n[seen] + c) < EXACT and abs(c) > 1e-9:
        error = residual(a[seen], n[seen] + c)
        dy = float(trial.point.r) if not trial.point.r.ndim else 1.0
        names = trial.names(-c / dy)
        if names:
            text = f"{name} lacks the term {names[0]} at every entry"
            do = f"add {names[0]}" + (" · dy" if dy != 1 else "")
            yield Guess(
                "missing_term", names[0], text, error, [f"constant {m}" for m in names], do, 1.0
            )
        text = (
            f"{name} is off by the same number at every entry, here {number(c)}: what all entries "
        )
        text += "share (a sum, a mean, a constant) is wrong, has the wrong sign, or is missing"
        yield Guess("offset", number(c), text, math.nan, ["offset"], "", 1.2)


def partial(name: str, a: Array, n: Array, trial: Trial) -> Iterator[Guess]:
    """Relations with more parameters: a factor for each index of an axis, or some wrong entries."""
    seen = np.isfinite(n)
    top = max(float(np.abs(a[seen]).max()), float(np.abs(n[seen]).max()))
    wrong = seen & (np.abs(a - n) > 1e-6 * top)
    right = seen & ~wrong
    if wrong.any() and 10 * (right & (np.abs(n) > 1e-9 * top)).sum() >= seen.sum():
        yield _entries(name, a, n, wrong, right, seen)
    elif not seen.all() or n.ndim < 2:
        return
    for axis in range(n.ndim):
        others = tuple(i for i in range(n.ndim) if i != axis)
        if n.ndim < 2 or math.prod(n.shape[i] for i in others) < 2 or n.shape[axis] < 2:
            continue
        with np.errstate(all="ignore"):
            c = (a * n).sum(axis=others, keepdims=True) / (n * n).sum(axis=others, keepdims=True)
        c = np.where(np.isfinite(c), c, 0)
        error = residual(a, c * n)
        if error < EXACT and np.ptp(c) > 1e-6 * np.abs(c).max():
            shown = ", ".join(number(v) for v in c.ravel()[:4]) + (", …" if c.size > 4 else "")
            if _reads_one(c.ravel(), trial.point.r.ravel()):
                text = f"{name} reads one entry of dy, dy[0], for every index of axis {axis}"
                do = "let each row meet its own entry of dy, as in dy[:, None]"
                yield Guess("upstream", "dy", text, error, ["dy[0]"], do, 1.5)
                continue
            text = f"{name} is right but for a factor that varies along axis {axis}: {shown}"
            do = f"a factor with one value for each index of axis {axis} is missing or too many"
            yield Guess(
                "axis_factor", f"axis {axis}", text, error, [f"axis {axis}"], do, n.shape[axis]
            )


def _reads_one(c: Array, dy: Array) -> bool:
    """Whether the factors are dy[0] / dy[i]: the first entry was read for all."""
    return c.shape == dy.shape and bool(np.allclose(c * dy, dy[0], rtol=1e-6, atol=0))


def _entries(name: str, a: Array, n: Array, wrong: Array, right: Array, seen: Array) -> Guess:
    """The position of the wrong entries, and what is wrong with them."""
    count = f"{int(wrong.sum())} of {int(seen.sum())}"
    p, q = a[wrong], n[wrong]
    top = float(np.abs(n[seen]).max())
    tiny = 1e-9 * top
    if (np.abs(q) <= tiny).all():
        how, key = "should be zero there and are not: is a mask missing?", "extra"
    elif (p == 0).all():
        how, key = "are zero there and should not be", "missing"
    else:
        c = float(p @ q) / float(q @ q)
        if len(p) > 1 and residual(p, c * q) < EXACT:
            how, key = f"are {number(c)} times what they should be", f"scaled {c:.4g}"
        else:
            how, key = "differ there", "differ"
    place = _place(wrong, seen)
    where = place or f"{count} entries"
    text = f"{name} is right except at {where} ({count} entries), which {how}"
    if not place:
        text = f"{name}: {count} entries {how}; all others are right"
    short = place or count
    few = 2 * int(wrong.sum()) <= int(seen.sum())
    free = 1.0 if place and few else float(wrong.sum())
    return Guess("entries", short, text, math.nan, ["entries", key], "", free)


def _place(wrong: Array, seen: Array) -> str:
    """ "row 0", "the last column" … where the wrong entries are whole slices; "" otherwise."""
    for axis in range(wrong.ndim):
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        hit = wrong.any(axis=others) if others else wrong
        whole = (wrong | ~seen).all(axis=others) if others else wrong
        if not hit.all() and np.array_equal(hit, whole & hit) and wrong.ndim:
            index = np.flatnonzero(hit)
            label = {0: "row", 1: "column"}.get(axis, "") if wrong.ndim == 2 else ""
            if wrong.ndim == 1:
                label = "entry"
            label = label or f"axis {axis}, index"
            if len(index) == 1:
                end = index[0] == hit.size - 1 and hit.size > 2
                return f"{label} {index[0]}" + (" (the last)" if end else "")
            labels = "entries" if label == "entry" else f"{label}s"
            if len(index) > 1 and np.array_equal(index, np.arange(hit.size - len(index), hit.size)):
                labels = (
                    f"the last {labels}" if wrong.ndim <= 2 else f"axis {axis}, the last indices"
                )
            return f"{labels} {', '.join(map(str, index[:6]))}" + ("…" if len(index) > 6 else "")
    return ""


def error_map(a: Any, n: Array) -> str:
    """A small map of a matrix: · right, × wrong, 0 wrong and zero, ? not measured."""
    if not isinstance(a, np.ndarray) or a.shape != n.shape or not n.ndim:
        return ""
    if a.dtype.kind not in "fiu" or not np.isfinite(n).any():
        return ""
    rows = n.reshape(-1, n.shape[-1]) if n.ndim > 1 else n[None]
    given = a.reshape(rows.shape)
    top = max(float(np.nanmax(np.abs(rows), initial=0)), float(np.abs(given).max(initial=0)))
    lines = []
    for p, q in zip(given[:12, :40], rows[:12, :40]):
        marks = np.where(np.abs(p - q) <= 1e-6 * top, "·", np.where(p == 0, "0", "×"))
        lines.append(" ".join(np.where(np.isnan(q), "?", marks)))
    return "\n".join(lines) + ("\n…" if len(rows) > 12 else "")
