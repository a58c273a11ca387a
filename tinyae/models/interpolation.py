"""Interpolation between two codes, and traversal of one dimension of a code.

A path is a function ``path(z0, z1, t)`` that gives z0 at t = 0 and z1 at t = 1. In many dimensions a
draw from N(0, I) has a length near √latent_dim. The middle of a straight line between two draws is
shorter by a factor of √2, where the decoder saw hardly any codes. A spherical path keeps the
length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.arguments import check_callable, number, positive_int
from tinyae.arrays import check_real, real
from tinyae.models.variational import VariationalAutoencoder
from tinyae.param import Array

Path = Callable[[Array, Array, float], Array]
_MIN_SINE = 1e-4  # for a smaller sine of the angle, use the straight line


def linear(z0: Array, z1: Array, t: float) -> Array:
    """The straight line.

    Forward   (1 − t) z₀ + t z₁
    Shapes    z₀, z₁ (N, …), one code in each row
    """
    z0, z1, t = _check("linear", z0, z1, t)
    return (1 - t) * z0 + t * z1


def spherical(z0: Array, z1: Array, t: float) -> Array:
    """The arc: for codes of equal length, the shortest path on their sphere.

    Forward   [sin((1 − t) Ω) z₀ + sin(t Ω) z₁] / sin Ω,   Ω the angle between z₀ and z₁
              the straight line where sin Ω is 0 to rounding: z₀ and z₁ parallel, opposite, or 0
    Shapes    z₀, z₁ (N, …), one code in each row
    Source    Shoemake (1985), eq. 3.3; for codes: White (2016), §2.1
    """
    z0, z1, t = _check("spherical", z0, z1, t)
    axes = tuple(range(1, z0.ndim))
    lengths = np.sqrt((z0 * z0).sum(axes, keepdims=True) * (z1 * z1).sum(axes, keepdims=True))
    cosine = (z0 * z1).sum(axes, keepdims=True) / np.where(lengths > 0, lengths, 1)
    angle = np.arccos(np.clip(cosine, -1, 1))
    sine = np.sin(angle)
    on_arc = (sine > _MIN_SINE) & (lengths > 0)
    sine = np.where(on_arc, sine, 1)
    a = np.where(on_arc, np.sin((1 - t) * angle) / sine, 1 - t)
    b = np.where(on_arc, np.sin(t * angle) / sine, t)
    return (a * z0 + b * z1).astype(z0.dtype, copy=False)


def _check(who: str, z0: Array, z1: Array, t: float) -> tuple[Array, Array, float]:
    z0, z1, t = real(f"{who}: z0", z0), real(f"{who}: z1", z1), number(who, "t", t, 0.5)
    if not z0.ndim or z0.shape != z1.shape:
        raise ValueError(
            f"{who}: z0 has shape {z0.shape}, z1 {z1.shape}, expected the same (N, …); pass codes"
        )
    if not math.isfinite(t):
        raise ValueError(f"{who}: t is {t}, expected a finite number; pass e.g. 0.5")
    return z0, z1, t


def interpolate(
    self: VariationalAutoencoder, x0: Any, x1: Any, steps: int, path: Path = linear
) -> Array:
    """From x0 to x1 through their codes, both ends included: (steps, N, …).

    ``path`` is :func:`linear` or :func:`spherical`. A conditional model keeps the labels of x0.
    """
    who = type(self).__name__
    steps = positive_int(who, "steps", steps, 8)
    check_callable(who, "path", path, "spherical")
    for name, x in (("x0", x0), ("x1", x1)):
        check_real(f"{who}: {name}", x[0] if isinstance(x, tuple) else x)
    z0, z1 = self.encode(x0), self.encode(x1)
    ts = np.linspace(0, 1, steps).tolist()
    return np.stack([self.decode(self._with_condition(path(z0, z1, t), x0)) for t in ts])


def traverse(self: VariationalAutoencoder, x: Any, dimension: int, values: Any) -> Array:
    """x's code with one dimension set to each value in turn, decoded: (len(values), N, …).

    Raises
        ValueError  the code does not have that dimension
    """
    z, who = self.encode(x), type(self).__name__
    if not isinstance(dimension, (int, np.integer)) or not 0 <= dimension < z.shape[1]:
        raise ValueError(f"{who}: dimension is {dimension!r}, expected 0 to {z.shape[1] - 1}")
    decoded = []
    for value in real(f"{who}: values", values).ravel():
        changed = z.copy()
        changed[:, dimension] = value
        decoded.append(self.decode(self._with_condition(changed, x)))
    return np.stack(decoded)


VariationalAutoencoder.interpolate = interpolate
VariationalAutoencoder.traverse = traverse
