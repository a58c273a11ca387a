"""What the true gradient fulfils and a wrong one does not: sums of zero, ⟨x, dx⟩ = 0."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import Guess, axes_text
from tinyae.param import Array


def shift_invariant(name: str, a: Array, n: Array) -> Iterator[Guess]:
    """The true gradient sums to zero along an axis (softmax, normalisation), and a does not."""
    if not np.isfinite(n).all():
        return
    top = float(np.abs(n).sum())
    single = [(axis,) for axis in range(n.ndim)]  # before pairs, whose sums follow from theirs
    pairs = [(i, j) for (i,) in single for (j,) in single if i < j]
    for axes in (*single, *pairs, *([tuple(range(n.ndim))] if n.ndim > 2 else [])):
        if n.shape[axes[0]] < 2 or (math.prod(n.shape[i] for i in axes) == n.size and n.ndim > 1):
            continue
        right, given = np.abs(n.sum(axis=axes)).max(), np.abs(a.sum(axis=axes)).max()
        if right < 1e-7 * top and given > 1e-3 * top / n.size:
            where = axes_text(axes)
            text = f"{name} must sum to zero along {where}, since shifting x there changes "
            text += "nothing, but it does not"
            do = f"is a mean or a sum over {where} left out?"
            yield Guess("invariant", where, text, math.nan, [f"sum {where}"], do, 3.0)
            return


def scale_invariant(name: str, a: Array, n: Array, x: Array | None) -> Iterator[Guess]:
    """Scaling x changes nothing (a norm is divided by), so ⟨x, dx⟩ = 0; of a it is not."""
    if x is None or x.shape != n.shape or not np.isfinite(n).all():
        return
    for axes in (*((i,) for i in range(n.ndim)), tuple(range(n.ndim))):
        if math.prod(n.shape[i] for i in axes) < 2:
            continue
        top = np.abs(x * n).sum(axis=axes)
        right, given = np.abs((x * n).sum(axis=axes)), np.abs((x * a).sum(axis=axes))
        if (right <= 1e-3 * top).all() and top.all() and given.max() > 1e-2 * top.max():
            where = axes_text(axes)
            text = f"⟨x, {name}⟩ must be 0 along {where}, since scaling x there changes nothing, but it "
            text += "is not: is the norm, or the variance, that x is divided by held constant?"
            do = "differentiate it too: the projection on x, a term −y·Σ(dy·y) or −y·mean(dy·y)"
            yield Guess("invariant", f"⟨x, {name}⟩", text, math.nan, [f"scale {where}"], do, 3.5)
            return
