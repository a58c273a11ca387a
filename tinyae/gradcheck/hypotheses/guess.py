"""A guess: a relation between the analytic and the numeric gradient that may be exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyae.gradcheck.slope import norm
from tinyae.param import Array

EXACT = 1e-6  # a relative residual below which a relation holds


@dataclass
class Guess:
    """``keys`` say what it claims, in other words of equal right: a guess stands if one of its
    keys is found again at a second draw and at a second batch size. ``free`` counts its parameters.
    """

    kind: str
    name: str
    message: str
    residual: float
    keys: Sequence[str]
    fix: str = ""
    free: float = 0.0


def residual(a: Array, fit: Array) -> float:
    """‖a − fit‖ / ‖a‖ over the entries of which the fit is known."""
    seen = np.isfinite(fit)
    if not seen.any():
        return np.inf
    a, fit = a[seen], fit[seen]
    top = max(norm(a), norm(fit))
    return norm(a - fit) / top if top else 0.0


def number(c: float) -> str:
    """c in few digits."""
    return f"{c:.6g}"


def axes_text(axes: tuple[int, ...]) -> str:
    """axis 0; axes 0, 1"""
    return f"axis {axes[0]}" if len(axes) == 1 else "axes " + ", ".join(map(str, axes))
