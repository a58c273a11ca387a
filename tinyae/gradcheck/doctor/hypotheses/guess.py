"""Guess: a relation between the analytic and the numeric gradient that may be exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyae.gradcheck.slope import norm
from tinyae.param import Array

EXACT = 1e-6  # a relative residual below which a relation holds


@dataclass
class Guess:
    """A relation that fits at one point.

    ``keys``  equivalent statements of the relation; the guess is confirmed if one of them is found
              again at another draw and batch size
    ``free``  how many free parameters the relation has, and how far-fetched it is
    """

    kind: str
    name: str
    message: str
    residual: float
    keys: Sequence[str]
    fix: str = ""
    free: float = 0.0


def residual(a: Array, fit: Array) -> float:
    """‖a − fit‖ / ‖a‖ over the entries where the fit is finite."""
    seen = np.isfinite(fit)
    if not seen.any():
        return np.inf
    a, fit = a[seen], fit[seen]
    top = max(norm(a), norm(fit))
    return norm(a - fit) / top if top else 0.0


def number(c: float) -> str:
    """c with six digits."""
    return f"{c:.6g}"


def axes_text(axes: tuple[int, ...]) -> str:
    """axis 0; axes 0, 1"""
    return f"axis {axes[0]}" if len(axes) == 1 else "axes " + ", ".join(map(str, axes))
