"""The position of a convolution's windows: flipped kernels, offsets, borders.

The true dx is measured for a changed layer (its kernel flipped or transposed) and compared with
what backward returns. If the two are equal, backward makes that change.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, residual
from tinyae.gradcheck.doctor.trial import Trial
from tinyae.gradcheck.slope import H
from tinyae.param import Array


def windows(name: str, a: Array, n: Array, trial: Trial, key: str) -> Iterator[Guess]:
    """Relations between gradients of images and of kernels, (…, …, H, W) or (…, …, L)."""
    arrays = {**trial.point.tensors, **trial.point.values}
    first, *others = arrays
    W = next((arrays[k] for k in others if arrays[k].ndim == n.ndim), None)
    if n.ndim not in (3, 4) or W is None or not np.any(a):
        return
    a, n, W, x = (t[:, :, None] if t.ndim == 3 else t for t in (a, n, W, arrays[first]))
    yield from _flipped(name, a, n)
    yield from _moved(name, a, n)
    if key == first and x.shape == n.shape:
        yield from _other_kernel(name, a, trial, x, W)


def _flipped(name: str, a: Array, n: Array) -> Iterator[Guess]:
    for axes, what in (((2, 3), "both axes"), ((2,), "its rows"), ((3,), "its columns")):
        if all(n.shape[i] > 1 for i in axes) and residual(a, np.flip(n, axes)) < EXACT:
            text = f"{name} is the right one with the kernel flipped along {what}"
            yield Guess("conv", "kernel flipped", text, 0.0, [f"flip{axes}"], "do not flip it", 1.5)


def _moved(name: str, a: Array, n: Array) -> Iterator[Guess]:
    rows, columns = n.shape[2:]
    for i, j in itertools.product(range(-2, 3), repeat=2):
        if (i, j) == (0, 0) or abs(i) >= rows or abs(j) >= columns:
            continue
        fit = np.full(n.shape, math.nan)
        to = _slices(rows, i), _slices(columns, j)
        fit[:, :, to[0][0], to[1][0]] = n[:, :, to[0][1], to[1][1]]
        if np.isfinite(fit).sum() >= max(4, n.size // 10) and residual(a, fit) < EXACT:
            text = (
                f"{name} is the right one moved by ({i}, {j}) pixels: an offset, as of the padding"
            )
            yield Guess("conv", f"offset ({i}, {j})", text, 0.0, [f"move{i},{j}"], "", 2.0)
            return


def _slices(length: int, by: int) -> tuple[slice, slice]:
    if by >= 0:
        return slice(by, length), slice(0, length - by)
    return slice(0, length + by), slice(-by, length)


def _other_kernel(name: str, a: Array, trial: Trial, x: Array, W: Array) -> Iterator[Guess]:
    """a is the true dx of a layer whose W is flipped, transposed, or has its channels exchanged."""
    changes = {
        "kernel flipped": W[:, :, ::-1, ::-1].copy(),
        "kernel flipped along its rows": W[:, :, ::-1].copy(),
        "kernel flipped along its columns": W[:, :, :, ::-1].copy(),
    }
    if W.shape[2] == W.shape[3]:
        changes["kernel transposed"] = W.transpose(0, 1, 3, 2).copy()
    if W.shape[0] == W.shape[1]:
        changes["channels exchanged"] = W.transpose(1, 0, 2, 3).copy()
    kept = W.copy()
    point = trial.point
    probes = np.linspace(0, x.size - 1, min(x.size, 60)).astype(int)
    top = float(np.nanmax(np.abs(a)))
    for what, other in changes.items():
        if np.array_equal(other, kept):
            continue
        W[...] = other
        fit = np.full(x.size, math.nan)
        for p in probes:
            i = np.unravel_index(p, x.shape)
            before = x[i].item()
            x[i] = before + H
            above = point.evaluate()
            x[i] = before - H
            below = point.evaluate()
            x[i] = before
            fit[p] = float((point.r * (above - below)).sum()) / (2 * H)
            if abs(fit[p] - a[i]) > 1e-3 * top:
                break  # one entry is enough to rule it out
        W[...] = kept
        if np.nanmax(np.abs(fit)) > 0 and residual(a, fit.reshape(x.shape)) < EXACT:
            text = f"{name} is what it would be with the {what}"
            yield Guess("conv", what, text, 0.0, [what], "use W as forward does", 1.5)
            return


def missing_border(name: str, a: Array, n: Array) -> Iterator[Guess]:
    """a is right except in some rows or columns at the border."""
    seen = np.isfinite(n)
    top = float(np.abs(n[seen]).max())
    wrong = seen & (np.abs(a - n) > 1e-6 * top)
    right = seen & ~wrong & (np.abs(n) > 1e-9 * top)
    if n.ndim != 4 or not wrong.any() or not right.any():
        return
    for axis, what in ((2, "rows"), (3, "columns")):
        others = tuple(i for i in range(4) if i != axis)
        hit = wrong.any(axis=others)
        index = np.flatnonzero(hit)
        if hit.all():
            continue
        last = len(hit) - 1
        if index[0] == 0 and np.array_equal(index, np.arange(len(index))):
            where = "first"
        elif index[-1] == last and np.array_equal(
            index, np.arange(last - len(index) + 1, last + 1)
        ):
            where = "last"
        elif index[0] == 0 and index[-1] == last and not hit[len(hit) // 2]:
            where = "outer"
        else:
            continue
        zero = "zero" if not np.any(a[wrong]) else "wrong"
        text = (
            f"{name} is {zero} in the {where} {what} ({len(index)} of {len(hit)}), right elsewhere"
        )
        text += ": a border is cut off or counted wrongly"
        yield Guess("conv", f"cut: {where} {what}", text, math.nan, [f"cut{axis}{where}"], "", 30.0)
        return
