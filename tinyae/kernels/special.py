"""Array functions that NumPy lacks."""

from __future__ import annotations

import math

import numpy as np

from tinyae.param import Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), without overflow: with t = e^−|x|, it is 1/(1 + t) or t/(1 + t)."""
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, t) / (1 + t)


def erfc(x: Array) -> Array:
    """1 − erf x = 2/√π ∫ₓ^∞ e^−t² dt, entry by entry with the C library: exact but slow."""
    values = np.fromiter(map(math.erfc, x.ravel().tolist()), dtype=x.dtype, count=x.size)
    return values.reshape(x.shape)
