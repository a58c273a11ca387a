"""Layers that rearrange or repeat numbers without changing them."""

from __future__ import annotations

import math

from tinyae.layers.base import ParameterFree, check_dy, check_input, positive_int, positive_pair
from tinyae.param import Array

__all__ = ["Flatten", "Reshape", "Upsample2d"]


class Flatten(ParameterFree):
    """Each sample as one row.

    Forward   y = x, reshaped to (N, D)
    Shapes    x (N, …)   y (N, D), D the product of the other axes
    Backward  dx = dy, reshaped to x's shape
    Cache     the shape of x
    """

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        check_input(self, x)
        return x.reshape(len(x), math.prod(x.shape[1:])), x.shape

    def backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        dy = check_dy(self, dy, (shape[0], math.prod(shape[1:])))
        return dy.reshape(shape)


class Reshape(ParameterFree):
    """Each sample in a given shape: ``Reshape(1, 28, 28)``.

    Forward   y = x, reshaped to (N, *shape)
    Shapes    x (N, …)   y (N, *shape)
    Backward  dx = dy, reshaped to x's shape
    Cache     the shape of x
    Raises    ValueError if a sample has another number of elements
    """

    def __init__(self, *shape: int) -> None:
        if not shape:
            raise ValueError("Reshape: shape is empty, expected ints; pass e.g. Reshape(1, 28, 28)")
        self.shape = tuple(positive_int("Reshape", "shape", s) for s in shape)

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        check_input(self, x)
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(
                f"Reshape: a sample of x has shape {x.shape[1:]}, expected "
                f"{math.prod(self.shape)} elements for {self.shape}; "
                "give the layer before it as many outputs, or change the shape"
            )
        return x.reshape(len(x), *self.shape), x.shape

    def backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        dy = check_dy(self, dy, (shape[0], *self.shape))
        return dy.reshape(shape)

    def __repr__(self) -> str:
        return f"Reshape({', '.join(map(str, self.shape))})"


class Upsample2d(ParameterFree):
    """Nearest-neighbour upsampling: every pixel becomes a block of a × b equal pixels.

    Forward   y[n,c,i,j] = x[n,c, ⌊i/a⌋, ⌊j/b⌋]
    Shapes    x (N, C, H, W)   y (N, C, a·H, b·W)
    Backward  dx[n,c,i,j] = the sum of dy over the pixel's block
    Cache     the shape of x
    Source    Odena, Dumoulin & Olah (2016)
    """

    def __init__(self, factor: int | tuple[int, int] = 2) -> None:
        self.factor = positive_pair("Upsample2d", "factor", factor)

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        check_input(self, x, ("N", "C", "H", "W"))
        a, b = self.factor
        return x.repeat(a, axis=2).repeat(b, axis=3), x.shape

    def backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        (n, c, height, width), (a, b) = shape, self.factor
        dy = check_dy(self, dy, (n, c, a * height, b * width))
        return dy.reshape(n, c, height, a, width, b).sum(axis=(3, 5))

    def __repr__(self) -> str:
        return f"Upsample2d({self.factor})"
