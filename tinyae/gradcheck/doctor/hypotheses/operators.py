"""What forward does to x as an operation, and what backward does to dy in answer to it.

y moves by J dx, so dx is Jᵀ dy: where forward gathers backward scatters, where it rotates backward
rotates back, where y[t] reads x up to t, dx[t] collects dy from t on. A backward that applies J
itself, or undoes no reordering, or reads entries of dy that x does not reach, is told by a few calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.common import is_partial
from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, axes_text, residual
from tinyae.gradcheck.doctor.trial import Point, Trial
from tinyae.gradcheck.slope import H, norm
from tinyae.param import Array

_LONGEST = 24  # indices of an axis that are moved one by one


def operators(name: str, a: Array, n: Array, trial: Trial, key: str) -> Iterator[Guess]:
    """J dy for Jᵀ dy; the right numbers in an order that was not undone."""
    point = trial.point
    if a.size < 4 or not np.isfinite(n).all() or _parallel(a, n) or not point.r.ndim:
        return
    found = _forward_again(name, a, point, key)
    if found is None and n.shape == point.y.shape:
        found = _not_put_back(name, a, n)
    if found is None and not is_partial(a, n):
        found = _gathered(name, a, point, point.values[key])
    if found is not None:
        yield found


def _parallel(a: Array, n: Array) -> bool:
    """Whether one number multiplies every entry, which says all."""
    return abs(float((a * n).sum())) > (1 - 1e-9) * norm(a) * norm(n)


def _forward_again(name: str, a: Array, point: Point, key: str) -> Guess | None:
    """a is J dy: backward does to dy what forward does to x."""
    value, r = point.values[key], point.r
    if value.size != r.size or value.shape != a.shape or point.y.shape != r.shape:
        return None
    before = value.copy()
    try:
        value[...] = before + H * r.reshape(value.shape)
        above = point.evaluate()
        value[...] = before - H * r.reshape(value.shape)
        below = point.evaluate()
    finally:
        value[...] = before
    image = ((above - below) / (2 * H)).reshape(a.shape)
    if residual(a, image) > EXACT:
        return None
    if not _is_linear(point, value):
        return None  # as of a normalisation, where another statement says more
    what, do = _what_forward_does(point, value, image)
    text = f"{name} does to dy what forward does to x: it is J dy, and the chain rule asks for the "
    text += f"transpose (the adjoint), Jᵀ dy. {what}"
    return Guess("adjoint", "J dy for Jᵀ dy", text, 0.0, ["forward again"], do, -1.0)


def _is_linear(point: Point, value: Array) -> bool:
    """Whether y is linear in the value, up to a constant."""
    kept, y = value.copy(), point.y
    try:
        value[...] = 2 * kept
        twice = point.evaluate()
        value[...] = 3 * kept
        thrice = point.evaluate()
    finally:
        value[...] = kept
    top = max(float(np.abs(thrice).max(initial=0)), 1e-12)
    return bool(np.abs(thrice - 2 * twice + y).max() <= 1e-9 * top)


def _what_forward_does(point: Point, value: Array, image: Array) -> tuple[str, str]:
    """A sentence on the operation, and what undoes it."""
    x, y = value.ravel(), point.y.ravel()
    if np.array_equal(np.sort(x), np.sort(y)):
        text = "Forward puts x in another order (it gathers): backward has to put dy back (to scatter), "
        text += "in the inverse order"
        return text, "write dx[index] = dy, or dy[np.argsort(index)], the inverse permutation"
    for axis in range(value.ndim if value.shape == point.y.shape else 0):
        reach = _reach(point, value, axis, axis)
        if reach is not None and _is_causal(reach):
            return (
                f"Forward is causal along axis {axis}, where y[t] reads x up to t: dx[t] has to collect "
                "dy from t on, and here it reads dy from before t",
                "reverse the kernel in time, dx[t] = Σ w[k] dy[t + k], or add up from the end",
            )
    if abs(norm(image) - norm(point.r)) < 1e-6 * norm(point.r):
        return (
            "Forward rotates x (it keeps its length): backward has to rotate dy back, in the other "
            "direction",
            "use the transpose, which is the inverse: R.T for R, −θ for θ, the opposite sign of sin",
        )
    return (
        "The transpose of a convolution is a correlation (the kernel reversed, its spectrum conjugate), "
        "that of a running sum the sum from the end, that of a gather a scatter",
        "apply the transpose: Aᵀ dy where forward has A x",
    )


def _not_put_back(name: str, a: Array, n: Array) -> Guess | None:
    """The right numbers, in an order of which no axis knows: a sort or an index is not undone."""
    given, right = np.sort(a.ravel()), np.sort(n.ravel())
    top = float(np.abs(n).max())
    if (
        np.unique(np.round(right / top, 9)).size < min(6, n.size)
        or (np.abs(given - right) > EXACT * top).any()
    ):
        return None
    within = [i for i in range(n.ndim) if _same_along(a, n, i, EXACT * top)]
    if n.ndim > 1 and not within:
        return None
    where = f" along {axes_text((within[0],))}" if within else ""
    if n.ndim > 1 and _is_one_order(a, n, within[0], EXACT * top):
        return None  # the same order for every row, which is said more simply
    text = f"{name} has the right numbers in another order{where}: forward reorders x there (it sorts, "
    text += "or reads it by an index), and backward does not put dy back into the order of x"
    do = "scatter by the order of forward: dx[order] = dy, np.put_along_axis(dx, order, dy, axis), or "
    do += "dy[np.argsort(order)], the inverse permutation"
    return Guess("axes", "not put back", text, 0.0, ["not put back"], do, -0.5)


def _gathered(name: str, a: Array, point: Point, x: Array) -> Guess | None:
    """Forward reads x by an index, and backward dy, where it has to add to the places that were read."""
    read, given = point.y.ravel(), a.ravel()
    if not np.isin(read, x).all() or np.unique(x).size < x.size or not np.any(given):
        return None
    if not np.isin(given[given != 0], point.r).all():
        return None
    index = next((k for k, t in point.tensors.items() if t.dtype.kind in "iu" and t.ndim), "index")
    text = f"{name} is gathered from dy, where it has to be scattered: forward reads rows, or entries, "
    text += f"of x by {index}, so each dy has to be added to the place that was read"
    do = f"d = np.zeros_like(x); np.add.at(d, {index}, dy), in place of dy[{index}]"
    return Guess("adjoint", "gathered", text, 0.0, ["gathered"], do, -0.6)


def _same_along(a: Array, n: Array, axis: int, tolerance: float) -> bool:
    return bool((np.abs(np.sort(a, axis) - np.sort(n, axis)) <= tolerance).all())


def _is_one_order(a: Array, n: Array, axis: int, tolerance: float) -> bool:
    """Whether one order of the slices along an axis makes n of a."""
    given = np.moveaxis(a, axis, 0).reshape(n.shape[axis], -1)
    right = np.moveaxis(n, axis, 0).reshape(n.shape[axis], -1)
    gaps = np.abs(given[:, None] - right).max(axis=2)
    return bool((gaps.min(axis=1) <= tolerance).all())


# --- an interpolation and its adjoint ----------------------------------------------------------------


def linear(name: str, a: Array, n: Array, trial: Trial, key: str) -> Iterator[Guess]:
    """y = A x with weights that add up to 1 (an interpolation, a resampling), and dx is not
    Aᵀ dy: where that is small, its matrix is compared with A.
    """
    point = trial.point
    value, r = point.values[key], point.r
    if not r.ndim or value.shape != a.shape or not _interpolates(point, value):
        return
    if any(k != key and t.ndim > 1 and t.shape[-1] != 2 for k, t in point.values.items()):
        return  # the weights are made of another array: attention, no interpolation
    how = ""
    if max(value.size, r.size) <= _MOST_ENTRIES:
        how = f", and here {_how_it_differs(*_matrices(point, key))}"
    text = (
        f"{name} is not the adjoint of forward's interpolation. Each y is a sum of x with weights "
    )
    text += (
        "that add up to 1 (as of bilinear sampling): backward has to scatter each dy to the same "
    )
    text += f"places with the same weights (the transpose, Aᵀ dy){how}"
    do = "add weight · dy to each place that forward reads, with the weight that it is read with"
    yield Guess("adjoint", "interpolation", text, 0.0, ["interpolation"], do, 2.5)


_MOST_ENTRIES = 120


def weighted(name: str, a: Array, n: Array, trial: Trial, key: str) -> Iterator[Guess]:
    """y = A x, and dx is Aᵀ dy but for a weight of each entry of dy, or of dx."""
    point = trial.point
    value, r = point.values[key], point.r
    fits = r.ndim and value.shape == a.shape and max(value.size, r.size) <= _MOST_ENTRIES
    if not fits or not _is_linear(point, value):
        return
    A, B = _matrices(point, key)
    for what, shape, given, right in (("dy", r.shape, B, A), (name, a.shape, B.T, A.T)):
        with np.errstate(all="ignore"):
            c = (given * right).sum(axis=1) / (right * right).sum(axis=1)
        c = np.where(np.isfinite(c), c, 1.0)
        if not c.all():
            continue  # some entries are not read at all
        if np.abs(given - c[:, None] * right).max() > 1e-6 * np.abs(A).max() or np.ptp(c) < 1e-6:
            continue
        kinds = sorted(set(np.round(c, 6).tolist()))
        if len(kinds) > 3 or np.count_nonzero(right, axis=1).min(initial=2) < 2:
            continue  # one entry is always some multiple of another
        where, shown = _pattern(c.reshape(shape))
        text = (
            f"{name} is the adjoint of forward, Aᵀ dy, but for a weight that each entry of {what} "
        )
        text += f"has{where}: {shown}"
        do = f"divide {what} by these weights"
        if kinds == [1.0, 2.0]:
            do = f"halve the entries of {what} that count twice, as irfft counts all but the first"
        yield Guess("axis_factor", f"weights of {what}", text, 0.0, [f"weights {kinds}"], do, 2.6)
        return


def _pattern(c: Array) -> tuple[str, str]:
    """The weights along the only axis along which they vary, if there is one."""
    for axis in range(c.ndim):
        line = np.moveaxis(c, axis, 0).reshape(c.shape[axis], -1)
        if np.ptp(line, axis=1).max() < 1e-6:
            few = ", ".join(f"{v:.4g}" for v in line[:6, 0])
            return f" along axis {axis}", few + (", …" if len(line) > 6 else "")
    return "", ", ".join(f"{v:.4g}" for v in c.ravel()[:6]) + ", …"


def _interpolates(point: Point, value: Array) -> bool:
    """Whether y is linear in the value, with weights that add up to 1 and are not all 0 or 1."""
    kept, y = value.copy(), point.y
    if np.isin(y, kept).all():
        return False
    try:
        value[...] = 0
        zero = point.evaluate()
        value[...] = 1
        one = point.evaluate()
        value[...] = 2 * kept
        twice = point.evaluate()
    finally:
        value[...] = kept
    top = 1e-9 * max(float(np.abs(y).max()), 1.0)
    linear = not np.any(zero) and bool((np.abs(twice - 2 * y) <= top).all())
    return linear and bool((np.abs(one - 1) <= 1e-6).all())


def _matrices(point: Point, key: str) -> tuple[Array, Array]:
    """A of y = A x, and B of dx = Bᵀ dy, entry by entry."""
    value, r = point.values[key], point.r
    A, B = np.zeros((2, r.size, value.size))
    kept, one = value.copy(), np.zeros(r.shape)
    try:
        value[...] = 0
        zero = point.evaluate().ravel()
        for i in np.ndindex(value.shape):
            value[...] = 0
            value[i] = 1
            A[:, np.ravel_multi_index(i, value.shape)] = point.evaluate().ravel() - zero
    finally:
        value[...] = kept
    for row, j in enumerate(np.ndindex(r.shape)):
        one[j] = 1
        B[row] = np.ravel(np.asarray(point.analytic(one).get(key), np.float64))
        one[j] = 0
    return A, B


def _how_it_differs(A: Array, B: Array) -> str:
    used, given = np.abs(A) > 1e-9, np.abs(B) > 1e-9
    total = B.sum(axis=1)
    if np.array_equal(used, given):
        swapped = all(
            np.allclose(np.sort(p), np.sort(q), atol=1e-6) for p, q in zip(A, B, strict=True)
        )
        if swapped:
            return "the weights have changed places: w stands where 1 − w belongs"
        return "the places are right and the weights are others"
    if (given.sum(axis=1) <= 1).all():
        return "all of dy goes to one place, as of the nearest neighbour, without the weights"
    if not (given & ~used).any():
        return "some of the places that were read receive nothing"
    if np.abs(total - 1).max() > 1e-6:
        return "other places, or other weights, which do not add up to 1 for each dy"
    return "it goes to other places"


# --- which entries reach which ---------------------------------------------------------------------


def reaches(name: str, a: Array, n: Array, trial: Trial, key: str) -> Iterator[Guess]:
    """dx[i] reads dy[j] though y[j] does not depend on x[i]: time, groups or places are mixed up."""
    point = trial.point
    value = point.values[key]
    if not point.r.ndim or value.shape != a.shape or point.y.shape != point.r.shape:
        return
    dead = (n == 0) & (np.abs(a) > 1e-9 * np.abs(a).max(initial=0))
    same = value.shape == point.y.shape and not np.any(point.y[dead])
    top = 1e-6 * np.abs(n[np.isfinite(n)]).max(initial=0)
    same |= bool((np.abs(a - n)[~dead & np.isfinite(n)] <= top).all())  # and nothing else is wrong
    if same and dead.any() and np.any(n[np.isfinite(n)]):
        text = f"{name} is not 0 at {int(dead.sum())} entries of x that y does not depend on: the mask "
        text += (
            "of forward is missing in backward, so masked entries get a gradient, or change others"
        )
        do = (
            "apply the mask that forward applies, before whatever adds up over it (a softmax's sum)"
        )
        yield Guess("entries", "mask", text, math.nan, ["masked"], do, 2.0)
    for i in range(value.ndim):
        j = i if value.ndim == point.y.ndim else i - value.ndim + point.y.ndim
        if not 0 <= j < point.y.ndim or value.shape[i] != point.y.shape[j]:
            continue
        right, given = _reach(point, value, i, j), _read(point, key, i, j)
        if right is None or given is None or not (given & ~right.T).any():
            continue
        yield _mixed_up(name, i, right, given)
        return
    yield from _of_other_inputs(name, a, point, key)


def _of_other_inputs(name: str, a: Array, point: Point, key: str) -> Iterator[Guess]:
    """dgamma[c] depends on channels of x that y[c] does not depend on."""
    for k, x in point.tensors.items():
        if a.ndim != 1 or k == key or x.dtype.kind != "f" or x.ndim < 2:
            continue
        for i in range(1, x.ndim):
            if x.shape[i] != len(a) or point.y.ndim != x.ndim or point.y.shape[i] != len(a):
                continue
            right = _reach(point, x, i, i)
            if right is None or not _groups(right):
                continue
            given = np.zeros_like(right)
            for c in range(len(a)):
                at = (slice(None),) * i + (c,)
                before = x[at].copy()
                try:
                    x[at] = before + np.cos(np.arange(before.size)).reshape(before.shape)
                    moved = np.asarray(point.analytic(point.r).get(key), np.float64)
                finally:
                    x[at] = before
                given[:, c] = np.abs(moved - a) > 1e-9 * norm(a)
            if (given & ~right).any():
                yield _mixed_up(name, i, right, given)
                return


def _reach(point: Point, value: Array, axis: int, out: int) -> Array | None:
    """Which indices of y's axis move when x moves at one index of its axis: (y, x)."""
    length = value.shape[axis]
    if not 2 <= length <= _LONGEST or point.y.shape[out] != length:
        return None
    rng = np.random.default_rng(length)
    rest = tuple(i for i in range(point.y.ndim) if i != out)
    made = np.zeros((length, length), bool)
    for t in range(length):
        at = (slice(None),) * axis + (t,)
        before = value[at].copy()
        try:
            value[at] = before + 1e-3 * rng.normal(size=before.shape)
            made[:, t] = (point.evaluate() != point.y).any(axis=rest)
        finally:
            value[at] = before
    return made


def _read(point: Point, key: str, axis: int, out: int) -> Array | None:
    """Which indices of dx's axis are not 0 when dy is not at one index of its axis: (x, y)."""
    length = point.y.shape[out]
    rest = tuple(i for i in range(point.values[key].ndim) if i != axis)
    made = np.zeros((length, length), bool)
    for t in range(length):
        r = np.zeros_like(point.r)
        at = (slice(None),) * out + (t,)
        r[at] = point.r[at]
        found = np.asarray(point.analytic(r).get(key), np.float64)
        if found.shape != point.values[key].shape:
            return None
        made[:, t] = (np.abs(found) > 1e-12 * norm(found)).any(axis=rest)
    return made


def _is_causal(reach: Array) -> bool:
    """Whether y[t] depends on x up to t, and on more than x[t]."""
    return bool(not np.triu(reach, 1).any() and np.tril(reach, -1).any())


def _mixed_up(name: str, axis: int, right: Array, given: Array) -> Guess:
    key, fault = [f"reach {axis}"], "reads dy where x has no effect"
    if _is_causal(right):
        text = (
            f"forward is causal along axis {axis}: y[t] reads x up to t and never the future, so "
        )
        text += f"that {name}[t] has to collect dy from t on; here it reads dy from before t"
        do = "let the windows of backward begin at t: dx[t] = Σ w[k] dy[t + k], or pad at the other end"
        return Guess("conv", "not causal", text, 0.0, key, do, 1.2)
    groups = _groups(right)
    if groups:
        made = _groups(given) or "others"
        text = f"{name} mixes other groups of axis {axis} than forward: {made} for {groups}. The groups "
        text += "are interleaved, or reshaped in another order"
        do = (
            f"split axis {axis} as forward does, by the same reshape, or repeat each group's number"
        )
        return Guess("axes", f"groups of axis {axis}", text, 0.0, key, do, 1.2)
    if np.array_equal(right, np.eye(len(right), dtype=bool)):
        text = f"{name} mixes the indices of axis {axis}, which forward keeps apart: a sum, a mean or a "
        text += "product runs over it too"
        return Guess(
            "wrong_axis",
            f"axis {axis}",
            text,
            math.nan,
            key,
            f"sum, or average, over the other axes alone, so that axis {axis} stays apart",
            3.0,
        )
    i, j = (int(k) for k in np.argwhere(given & ~right.T)[0])
    dead = np.flatnonzero(~right.any(axis=0) & given.any(axis=1))
    text = f"{name} {fault}: along axis {axis}, dx[{i}] reads dy[{j}], and y[{j}] does not depend "
    text += f"on x[{i}]"
    if len(dead) or not _is_banded(right):
        text += ": the mask of forward is missing, or is another one"
        return Guess("entries", f"mask of axis {axis}", text, math.nan, key, "apply the mask", 1.6)
    text += (
        f". Forward reads x at {_offsets(right)}, so backward reads dy at {_offsets(right.T)}, and "
    )
    text += f"here it does at {_offsets(given)}"
    return Guess("conv", f"offsets of axis {axis}", text, math.nan, key, "move the windows", 1.6)


def _groups(reach: Array) -> str:
    """The groups of indices that depend on each other and on nothing else; "" if there are none."""
    if not np.array_equal(reach, reach.T) or not np.diag(reach).all():
        return ""
    rows = [tuple(int(i) for i in np.flatnonzero(row)) for row in reach]
    found = list(dict.fromkeys(rows))
    if not 1 < len(found) < len(reach) or sum(map(len, found)) != len(reach):
        return ""
    return " ".join("{" + ", ".join(map(str, group)) + "}" for group in found)


def _is_banded(reach: Array) -> bool:
    """Whether which indices reach which depends on their distance alone."""
    each = [np.diag(reach, k) for k in range(1 - len(reach), len(reach))]
    return all(d.all() or not d.any() for d in each)


def _offsets(reach: Array) -> str:
    """t − 1, t, t + 1"""
    steps = sorted({int(j - i) for i, j in np.argwhere(reach)})
    said = [f"t {'+' if k > 0 else '−'} {abs(k)}" if k else "t" for k in steps]
    return ", ".join(said if len(said) <= 5 else [said[0], "…", said[-1]])
