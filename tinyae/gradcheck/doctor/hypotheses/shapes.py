"""Gradients that are not a finite array of the right shape."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, axes_text, residual
from tinyae.param import Array


def malformed(name: str, a: Any, n: Array, sizes: dict[str, int]) -> Guess | None:
    """What is wrong with a gradient that is not a finite array of the right shape; else None."""
    if a is None:
        text = f"{name} is missing: backward gives None where an array of shape {n.shape} belongs"
        return Guess("shape", "none", text, math.nan, ["none"])
    if not isinstance(a, (np.ndarray, np.floating)) or a.dtype.kind not in "fiu":
        kind = a.dtype if isinstance(a, np.ndarray) else type(a).__name__
        text = f"{name} is of type {kind}, expected an array of shape {n.shape}"
        return Guess("shape", "type", text, math.nan, ["type"])
    a = np.asarray(a)
    if a.shape != n.shape:
        return _shape(name, a, n, sizes)
    if not np.isfinite(a).all():
        bad = int(a.size - np.isfinite(a).sum())
        text = f"{name} is not finite at {bad} of {a.size} entries: a division by 0, ln 0 or exp?"
        return Guess("nan", f"{bad} of {a.size}", text, math.nan, ["nan"])
    return None


def _shape(name: str, a: Array, n: Array, sizes: dict[str, int]) -> Guess:
    """A gradient of another shape: a sum, a transpose or a reshape that makes it right."""
    text = f"{name} has shape {a.shape}, expected {n.shape}"
    for axis in range(a.ndim):
        for more in ((axis,), *((axis, b) for b in range(axis + 1, a.ndim))):
            total = a.sum(axis=more)
            if total.shape == n.shape and _same(total, n):
                where = axes_text(more)
                do = f"sum over {where}: .sum(axis={more[0] if len(more) == 1 else more})"
                text += (
                    f": it is right but for a sum over {where}{_axis_names(more, a.shape, sizes)}"
                )
                return Guess("missing_sum", where, text, 0.0, ["sum"], do)
    for axis in range(a.ndim if a.ndim == n.ndim else 0):
        total = a.sum(axis=axis, keepdims=True)
        if total.shape == n.shape and _same(total, n):
            text += f": it is right but for a sum over axis {axis}, along which forward broadcasts"
            do = f"sum over it: .sum(axis={axis}, keepdims=True)"
            return Guess("missing_sum", f"axis {axis}", text, 0.0, ["sum"], do)
    if a.size == n.size:
        if a.ndim == 2 and a.shape == n.shape[::-1] and _same(a.T, n):
            text += ": it is the transpose of the right one"
            return Guess("transposed", "T", text, 0.0, ["T"], "transpose it: .T")
        if _same(a.reshape(n.shape), n):
            text += ": the numbers are right, reshape them"
            return Guess("shape", "reshape", text, 0.0, ["reshape"], f"reshape to {n.shape}")
        for order in itertools.permutations(range(a.ndim)):
            turned = a.transpose(order)
            if turned.shape == n.shape and _same(turned, n):
                text += f": the axes are in another order; transpose{order} gives the right one"
                return Guess("axes", str(order), text, 0.0, ["axes"], f".transpose{order}")
    if a.ndim == 2 and a.shape == n.shape[::-1] and a.shape != n.shape:
        text += ": rows and columns have changed places"
        return Guess("transposed", "T", text, math.nan, ["T"], "transpose it, or swap the operands")
    for axis in range(n.ndim):
        if a.shape == n.sum(axis=axis).shape:
            right = _same(a, n.sum(axis=axis))
            said = "there is a sum" if right else "is there a sum"
            text += f": {said} over axis {axis} too many{'' if right else '?'}"
            return Guess("shape", f"sum over axis {axis}", text, math.nan, ["oversum"])
        if a.shape == n.sum(axis=axis, keepdims=True).shape:
            text += f": has a sum over axis {axis} (with keepdims) been taken too many?"
            return Guess("shape", f"sum over axis {axis}", text, math.nan, ["oversum"])
    if a.ndim > n.ndim:
        for more in itertools.chain.from_iterable(
            itertools.combinations(range(a.ndim), k) for k in range(1, a.ndim - n.ndim + 1)
        ):
            if a.sum(axis=more).shape == n.shape:
                which = axes_text(more)
                text += f": a sum over {which}{_axis_names(more, a.shape, sizes)} is missing"
                return Guess("missing_sum", which, text, math.nan, ["sum"], f"sum over {which}")
    return Guess("shape", f"{a.shape}", text, math.nan, ["shape"])


def _axis_names(axes: tuple[int, ...], shape: tuple[int, ...], sizes: dict[str, int]) -> str:
    """The axes' names in brackets, if every length belongs to one name only."""
    names = [[k for k, v in sizes.items() if v == shape[i]] for i in axes]
    sure = all(len(found) == 1 and shape[i] > 1 for found, i in zip(names, axes))
    return f" ({', '.join(found[0] for found in names)})" if sure else ""


def _same(a: Array, n: Array) -> bool:
    seen = np.isfinite(n)
    return bool(seen.any()) and residual(np.asarray(a, np.float64), n) < EXACT
