"""What is left of the right gradient when something that depends on x was held constant.

Dividing by ‖x‖ takes the part along x out of dx, subtracting a mean takes the mean out, and a simplex
takes the mean over its support out: a wrong dx becomes right by this projection and by nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, axes_text, residual
from tinyae.param import Array


def projected(name: str, a: Array, n: Array, x: Array | None) -> Iterator[Guess]:
    """n is a without its part along x, or without its mean, or without both."""
    if x is None or x.shape != n.shape or not np.isfinite(n).all() or not np.any(n):
        return
    every = [(i,) for i in range(n.ndim)] + ([tuple(range(n.ndim))] if n.ndim > 1 else [])
    every += [tuple(range(1, n.ndim))] if n.ndim > 2 else []
    for axes in every:
        if math.prod(n.shape[i] for i in axes) < 3:
            continue
        for what, fit, text, do in _projections(name, a, n, x, axes):
            if np.isfinite(fit).all() and residual(n, fit) < EXACT and residual(a, n) > EXACT:
                where = axes_text(axes)
                text = f"{name} lacks the projection along {where}: {text}"
                key = f"{what} {where}"
                yield Guess("invariant", what, text, residual(n, fit), [key], do, 3.0)
                return


def _projections(
    name: str, a: Array, n: Array, x: Array, axes: tuple[int, ...]
) -> Iterator[tuple[str, Array, str, str]]:
    v = name.removeprefix("d") or "x"
    over = f"axis={axes[0] if len(axes) == 1 else axes}, keepdims=True"
    mean, center = a.mean(axes, keepdims=True), x - x.mean(axes, keepdims=True)
    with np.errstate(all="ignore"):
        along_x = x * _share(a, x, axes)
        along_center = center * _share(a, center, axes)
    yield (
        f"{v}·⟨{v}, {name}⟩/‖{v}‖²",
        a - along_x,
        f"the term −{v}·⟨{v}, {name}⟩/‖{v}‖² is missing. Scaling {v} there changes nothing, so "
        f"⟨{v}, {name}⟩ must be 0: the norm that {v} is divided by depends on {v} too, and is held "
        "constant",
        f"write {name} -= {v} * ({v} * {name}).sum({over}) / ({v} * {v}).sum({over}), as in "
        f"(dy − y·Σ(dy·y))/‖{v}‖",
    )
    yield (
        f"mean({name})",
        a - mean,
        f"the term −mean({name}) is missing. Shifting x there changes nothing, so {name} must "
        "sum to zero",
        f"subtract {name}.mean({over})",
    )
    whole = "the terms −mean(dy) and −x̂·mean(dy·x̂) are"
    if np.abs(mean).max() <= EXACT * np.abs(a).max():
        whole = "the term −x̂·mean(dy·x̂) is"  # the mean is out already
    yield (
        f"mean({name}) and x̂·mean({name}·x̂)",
        a - mean - along_center,
        f"{whole} missing, or taken over other axes, or divided by another count: the mean and the "
        "variance depend on x too",
        "differentiate both, with forward's axes and count: dx = (dy − mean(dy) − x̂·mean(dy·x̂))/σ",
    )
    support = np.abs(n) > 1e-9 * np.abs(n).max()
    if not support.all():
        count = np.maximum(support.sum(axes, keepdims=True), 1)
        inside = (a * support).sum(axes, keepdims=True) / count
        masked = not np.any(a[~support])
        lacks = "the mean over the support" if masked else "the mask, and the mean, of the support"
        yield (
            f"mean({name}) over the support",
            (a - inside) * support,
            f"{lacks} is missing. Where y > 0 the entries share one threshold (y sums to a constant): "
            f"{name} is mask · (dy − mean of dy over the mask), and 0 elsewhere",
            "m = y > 0; dx = m * (dy - (dy * m).sum() / m.sum())",
        )


def _share(a: Array, x: Array, axes: tuple[int, ...]) -> Array:
    return np.asarray((a * x).sum(axes, keepdims=True) / (x * x).sum(axes, keepdims=True))


def direct_path(name: str, a: Array, n: Array, x: Array | None) -> Iterator[Guess]:
    """n − a is x times one number for each row: y depends on x directly, too, as a penalty on W does."""
    if x is None or x.shape != n.shape or n.ndim != 2 or not np.isfinite(n).all():
        return
    gap = n - a
    for axis in (0, 1):
        other = (1 - axis,)
        if n.shape[1 - axis] < 3 or n.shape[axis] < 2:
            continue
        with np.errstate(all="ignore"):
            share = _share(gap, x, other)
        if np.ptp(share) < 1e-6 * np.abs(share).max() or residual(gap, x * share) > EXACT:
            continue
        x_ = name.removeprefix("d")
        each = {0: "row", 1: "column"}[axis]
        text = f"{name} lacks a term that is {x_} times one number for each {each}, such as "
        text += (
            f"2·{x_}·Σ h′²: the second path, on which {x_} enters directly (a penalty on ‖{x_}‖² "
        )
        text += "that is weighted by the code), is forgotten"
        do = f"add it: the derivative by {x_} with all else held constant"
        yield Guess("missing_term", f"c·{x_}", text, 0.0, [f"direct {axis}"], do, 2.9)
        return
