"""Upsampling of sequences and images: pixels repeated, or interpolated between their neighbours.

Both are linear, so the backward pass is the transposed map.
"""

from __future__ import annotations

import functools

import numpy as np

from tinyae.arguments import positive_int, positive_pair
from tinyae.layers.base import ParameterFree, check_dy, check_input
from tinyae.param import Array

__all__ = ["Upsample1d", "Upsample2d"]


class Upsample1d(ParameterFree):
    """Every entry becomes a of them: repeated ("nearest"), or interpolated ("linear").

    Forward   nearest   y[n,c,i] = x[n,c, ⌊i/a⌋]
              linear    y = x Aᵀ, A of :func:`interpolation`
    Shapes    x (N, C, L)   y (N, C, a·L)   A (a·L, L)
    Backward  nearest   dx[n,c,i] = the sum of dy over the entry's block
              linear    dx = dy A
    Cache     the shape of x
    Source    Odena, Dumoulin & Olah (2016)
    """

    def __init__(self, factor: int = 2, mode: str = "nearest") -> None:
        self.factor = positive_int("Upsample1d", "factor", factor, 2)
        self.mode = _mode("Upsample1d", mode, "linear")

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        check_input(self, x, ("N", "C", "L"))
        if self.mode == "nearest":
            return x.repeat(self.factor, axis=2), x.shape
        return x @ interpolation(x.shape[2], self.factor, x.dtype.char).T, x.shape

    def backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        n, channels, length = shape
        dy = check_dy(self, dy, (n, channels, self.factor * length))
        if self.mode == "nearest":
            return dy.reshape(n, channels, length, self.factor).sum(axis=3)
        return dy @ interpolation(length, self.factor, dy.dtype.char)

    def __repr__(self) -> str:
        return f"Upsample1d({self.factor}{_mode_text(self.mode)})"


class Upsample2d(ParameterFree):
    """Every pixel becomes a × b of them: repeated ("nearest"), or interpolated ("bilinear").

    Forward   nearest   y[n,c,i,j] = x[n,c, ⌊i/a⌋, ⌊j/b⌋]
              bilinear  y[n,c] = A x[n,c] Bᵀ, A and B of :func:`interpolation` for a and b
    Shapes    x (N, C, H, W)   y (N, C, a·H, b·W)   A (a·H, H)   B (b·W, W)
    Backward  nearest   dx[n,c,i,j] = the sum of dy over the pixel's block
              bilinear  dx[n,c] = Aᵀ dy[n,c] B
    Cache     the shape of x
    Source    Odena, Dumoulin & Olah (2016)
    """

    def __init__(self, factor: int | tuple[int, int] = 2, mode: str = "nearest") -> None:
        self.factor = positive_pair("Upsample2d", "factor", factor)
        self.mode = _mode("Upsample2d", mode, "bilinear")

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        check_input(self, x, ("N", "C", "H", "W"))
        a, b = self.factor
        if self.mode == "nearest":
            return x.repeat(a, axis=2).repeat(b, axis=3), x.shape
        A, B = (interpolation(n, f, x.dtype.char) for n, f in zip(x.shape[2:], (a, b)))
        return A @ (x @ B.T), x.shape

    def backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        (n, c, height, width), (a, b) = shape, self.factor
        dy = check_dy(self, dy, (n, c, a * height, b * width))
        if self.mode == "nearest":
            return dy.reshape(n, c, height, a, width, b).sum(axis=(3, 5))
        A, B = interpolation(height, a, dy.dtype.char), interpolation(width, b, dy.dtype.char)
        return A.T @ (dy @ B)

    def __repr__(self) -> str:
        return f"Upsample2d({self.factor}{_mode_text(self.mode)})"


@functools.lru_cache(maxsize=64)
def interpolation(length: int, factor: int, dtype: str) -> Array:
    """A (factor·length, length): row i holds the weights of the two entries around place i.

    The pixels are areas: entry i of y has its centre at (i + ½)/factor − ½ in x. Before the first
    centre of x, and after the last, that entry counts alone. So a border is not extrapolated, and
    each row sums to 1. (PyTorch's align_corners=False, and ONNX's half_pixel.)
    """
    place = np.clip((np.arange(factor * length) + 0.5) / factor - 0.5, 0, max(length - 1, 0))
    distance = np.abs(place[:, None] - np.arange(length))
    A = np.maximum(1 - distance, 0).astype(dtype)
    A.flags.writeable = False
    return A


def _mode(who: str, mode: str, smooth: str) -> str:
    if not isinstance(mode, str) or mode not in ("nearest", smooth):
        raise ValueError(
            f'{who}: mode is {mode!r:.60}, expected "nearest" or "{smooth}"; pass one of them'
        )
    return mode


def _mode_text(mode: str) -> str:
    return "" if mode == "nearest" else f", mode={mode!r}"
