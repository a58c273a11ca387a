"""Convolutions with dilation and groups in terms of plain ones, for both sets of kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.param import Array

Pair = tuple[int, int]


def extent(kernel: Pair, dilation: Pair) -> Pair:
    """How many rows and columns a kernel reaches over, with the gaps that dilation leaves."""
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


def in_groups(linear: Callable[..., Array], x: Array, W: Array, groups: int, *more: Any) -> Array:
    """``linear(x, W, *more)`` for each group of channels: of x, and of W's first axis."""
    parts = zip(np.split(x, groups, axis=1), np.split(W, groups))
    return np.concatenate([linear(part, K, *more) for part, K in parts], axis=1)
