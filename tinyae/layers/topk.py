"""Sparsity by construction: all but the k largest entries of a sample become zero."""

from __future__ import annotations

import math

import numpy as np

from tinyae.arguments import positive_int
from tinyae.layers.base import ParameterFree, check_dy, check_input
from tinyae.param import Array

__all__ = ["TopK"]


class TopK(ParameterFree):
    """Only the k largest entries of each sample pass.

    Forward   y = x ∘ m,   mᵢ = 1 for the k largest xᵢ of the sample, over all its axes, else 0
    Calling   the same with ``inference_k`` in place of k, where it is given
    Shapes    x, y (N, …) with at least k entries a sample
    Backward  dx = dy ∘ m: the support, like a ReLU's, does not move under a small change of x
    Cache     m
    Raises    ValueError if a sample has fewer than k entries, or k is not an int ≥ 1
    Source    Makhzani & Frey (2014), §2.1; ``inference_k`` is their αk; they find that
              α slightly above 1 gives better features

    Largest means largest in value, not in magnitude: a negative entry passes only if fewer than k
    are positive. Among equal entries the first ones pass, so that exactly k pass.
    """

    def __init__(self, k: int, inference_k: int | None = None) -> None:
        self.k = positive_int("TopK", "k", k, 25)
        self.inference_k = (
            None if inference_k is None else positive_int("TopK", "inference_k", inference_k, 75)
        )

    def forward(self, x: Array) -> tuple[Array, Array]:
        m = self._support(x, "k", self.k)
        if np.isnan(x).any():  # whether a NaN is among the largest cannot be said
            m = np.where(np.isnan(x), x, m)
        return x * m, m

    def backward(self, dy: Array, m: Array) -> Array:
        dy = check_dy(self, dy, m.shape)
        return dy * m

    def linear(self, xdot: Array, m: Array) -> Array:
        return xdot * m

    def __call__(self, x: Array) -> Array:
        if self.inference_k is None:
            return x * self._support(x, "k", self.k)
        return x * self._support(x, "inference_k", self.inference_k)

    def _support(self, x: Array, name: str, k: int) -> Array:
        """True at the k largest entries of each sample."""
        check_input(self, x)
        entries = math.prod(x.shape[1:])
        if x.ndim < 2 or k > entries:
            raise ValueError(
                f"TopK: x has shape {x.shape}, expected (N, …) with at least {name} = {k} entries "
                f"a sample; pass a smaller {name} or a wider code"
            )
        rows = x.reshape(len(x), entries)
        threshold = np.partition(rows, entries - k, axis=1)[:, entries - k, None]  # k-th largest
        m = rows >= threshold
        tied = np.flatnonzero(m.sum(axis=1) > k)  # more than k reach it
        if tied.size:
            above, equal = rows[tied] > threshold[tied], rows[tied] == threshold[tied]
            missing = k - above.sum(axis=1, keepdims=True)
            m[tied] = above | (equal & (equal.cumsum(axis=1) <= missing))
        return m.reshape(x.shape)

    def __repr__(self) -> str:
        more = "" if self.inference_k is None else f", inference_k={self.inference_k}"
        return f"TopK({self.k}{more})"
