"""Embedding: a learnt vector for each word, class or code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import check_callable, float_dtype, positive_int
from tinyae.arrays import check_real
from tinyae.initializers import Initializer, Normal
from tinyae.layers.base import Layer, check_dy
from tinyae.param import Array, Param

__all__ = ["Embedding"]


class Embedding(Layer):
    """Row x of a table E, for each index x: what a Dense layer would make of its one-hot vector.

    Forward   y[n, …] = E[x[n, …]]
    Shapes    x (N, …), whole numbers from 0 to K − 1, as integers or floats   E (K, D)   y (N, …, D)
    Backward  dE[k] = Σ of dy[n, …] where x[n, …] = k
              dx = 0: an index is not moved by small steps
    Cache     x, as integers
    Raises    ValueError for an index below 0 or above K − 1, or no whole number
    Source    Bengio et al. (2003), §2: the matrix C

    PyTorch calls E weight.
    """

    def __init__(
        self,
        count: int,
        dim: int,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.count = positive_int("Embedding", "count", count, 10)
        self.dim = positive_int("Embedding", "dim", dim)
        dtype, init = float_dtype("Embedding", dtype), init or Normal(1.0)
        check_callable("Embedding", "init", init, "Normal(1.0)")
        self.E = Param(init((self.count, self.dim), self.count, self.dim, rng, dtype))

    @property
    def whole_input(self) -> bool:
        return True

    def forward(self, x: Array) -> tuple[Array, Array]:
        x = self.indices(x)
        return self.E.value[x], x

    def backward(self, dy: Array, x: Array) -> Array:
        dy = check_dy(self, dy, (*x.shape, self.dim), self.E.dtype)
        np.add.at(self.E.grad, x, dy)  # an index may come several times: each adds
        return np.zeros(x.shape, dy.dtype)

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        raise NotImplementedError(
            "Embedding has no tangent: an index cannot be moved by small steps"
        )

    def indices(self, x: Array) -> Array:
        """x as integers."""
        check_real("Embedding: x", x)
        if x.ndim < 1:
            raise ValueError("Embedding: x is one number, expected an array (N, …); pass x[None]")
        whole = x.astype(np.intp) if x.dtype.kind != "f" else _whole(x)
        bad = (whole < 0) | (whole >= self.count)
        if bad.any():
            at = tuple(map(int, np.argwhere(bad)[0]))
            raise ValueError(
                f"Embedding: x of shape {x.shape} holds {x[at]} at {at}, expected indices from 0 to "
                f"{self.count - 1}; correct it, or build Embedding({int(x.max()) + 1}, {self.dim})"
            )
        return whole

    def __repr__(self) -> str:
        return f"Embedding({self.count}, {self.dim})"


def _whole(x: Array) -> Array:
    """Floats that hold whole numbers, as integers.

    Raises
        ValueError  one is a fraction, a NaN or an infinity
    """
    whole = np.nan_to_num(x).astype(np.intp)
    bad = whole != x
    if bad.any():
        at = tuple(map(int, np.argwhere(bad)[0]))
        raise ValueError(
            f"Embedding: x of shape {x.shape} holds {x[at]} at {at}, expected whole numbers; "
            "pass indices, e.g. of dtype int64"
        )
    return whole
