"""Findings made from a guess, from an exception, or from the lack of any explanation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.findings import Finding, WrongGradient
from tinyae.gradcheck.doctor.hypotheses.guess import Guess
from tinyae.gradcheck.doctor.subjects.base import BATCH, FARTHER, LENGTHS
from tinyae.param import Array


def finding_from(name: str, g: Guess) -> Finding:
    """The finding that a confirmed guess becomes."""
    return Finding(name, g.kind, g.name, g.message, g.fix, g.residual, cost=g.free)


def finding_from_error(error: Exception, where: str) -> Finding:
    """The finding that an exception becomes: shapes that do not fit, or another error."""
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    shapes = ("shape", "matmul", "broadcast", "dimension", "size", "align", "axis")
    kind = "error"
    if isinstance(error, (ValueError, IndexError)) and any(s in text.lower() for s in shapes):
        kind = "shape"
    return Finding("", kind, type(error).__name__, f"{where} does not run: {what}")


def tied(name: str) -> Finding:
    """Right entry by entry, and wrong where equal entries move together."""
    text = (
        f"{name} gives all of dy to every entry of a tie: where entries are equal, their gradients "
    )
    text += "must add up to dy"
    do = "give it to one of them (argmax), or share it: divide the mask by the number of equal entries"
    return Finding(name, "ties", name, text, do)


def nothing_compared(pairs: bool, kinks: bool) -> Finding:
    """Every gradient is 0 at every draw, so that nothing has been shown."""
    text = (
        "nothing was compared: every gradient is 0, here and at other draws, so any backward that "
    )
    text += "returns zeros would pass"
    if kinks:
        text = "nothing was compared: every entry lies at a kink"
    if not pairs:
        text = "nothing was compared: no input holds floating-point numbers, so none has a gradient"
    do = "pass inputs for which the output varies, as e.g. rng.normal(size=(5, 3))"
    return Finding("", "nothing", "zeros", text, do)


def elsewhere(k: int, label: str) -> str:
    """Where a gradient is wrong that is right at the given input."""
    if k == BATCH:
        return f"at {label}"
    return {LENGTHS: "at other lengths", FARTHER: "farther away, with both signs"}.get(
        k, "at another draw"
    )


def unknown(name: str) -> Finding:
    """A gradient is wrong and nothing explains it."""
    text = f"{name} is wrong, and none of the relations that were tried holds"
    do = "go through backward line by line, each beside the line of forward that it differentiates"
    return Finding(name, "unknown", "", text, do)


def slightly_wrong(name: str, a: Array) -> Finding:
    """A gradient is wrong by so little that only the careful slopes show it."""
    if np.array_equal(a, a.astype(np.float32)):
        text = f"{name} holds float32 numbers: somewhere in backward a float32 array is made"
        return Finding(name, "dtype", "float32", text, "keep dy.dtype")
    text = f"{name} is off by a little only: an eps misplaced, or float32 somewhere inside?"
    return Finding(name, "unknown", "small", text, "compare the constants of forward and backward")


def wrong_gradient(name: str, a: Any, n: Array) -> WrongGradient:
    """The worst entry of a gradient, and how many entries are wrong."""
    numbers = isinstance(a, np.ndarray) and a.shape == n.shape and a.dtype.kind in "fiu"
    if not numbers or not np.isfinite(a).any():
        return WrongGradient(name, n.shape)
    gap = np.abs(np.where(np.isfinite(n) & np.isfinite(a), a - n, 0.0))
    worst = tuple(map(int, np.unravel_index(int(np.argmax(gap)), n.shape)))
    seen = np.isfinite(n)
    if not seen.any():
        return WrongGradient(name, n.shape)
    top = max(float(np.abs(n[seen]).max()), float(np.nanmax(np.abs(a))))
    value = float(n[worst]) if seen[worst] else math.nan
    wrong = int((gap > 1e-6 * top).sum())
    return WrongGradient(name, n.shape, worst, float(a[worst]), value, (wrong, int(seen.sum())))
