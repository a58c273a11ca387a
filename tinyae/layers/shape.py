"""Layers that rearrange numbers without changing them."""

from __future__ import annotations

import math

import numpy as np

from tinyae.arguments import padding_pair, positive_int
from tinyae.layers.base import ParameterFree, check_dy, check_input
from tinyae.param import Array

__all__ = ["Flatten", "Reshape", "PixelShuffle", "Pad2d"]


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


class PixelShuffle(ParameterFree):
    """r² channels become one channel of an image r times as large in both directions.

    Forward   y[n,c, r·i+u, r·j+v] = x[n, r²·c + r·u + v, i,j],   0 ≤ u, v < r
    Shapes    x (N, r²·C, H, W)   y (N, C, r·H, r·W)
    Backward  dx[n, r²·c + r·u + v, i,j] = dy[n,c, r·i+u, r·j+v]
    Cache     the shape of x
    Raises    ValueError if r² does not divide the number of channels
    Source    Shi et al. (2016), eq. 4
    """

    def __init__(self, factor: int = 2) -> None:
        self.factor = positive_int("PixelShuffle", "factor", factor, 2)

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        check_input(self, x, ("N", "C", "H", "W"))
        (n, channels, height, width), r = x.shape, self.factor
        if not channels or channels % (r * r):
            raise ValueError(
                f"PixelShuffle: x has {channels} channels, expected a multiple of factor² = {r * r}; "
                f"give the layer before it {r * r} times the channels of y"
            )
        blocks = x.reshape(n, channels // (r * r), r, r, height, width)  # c, u, v, i, j
        y = blocks.transpose(0, 1, 4, 2, 5, 3)  # c, i, u, j, v
        return y.reshape(n, channels // (r * r), r * height, r * width), x.shape

    def backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        (n, channels, height, width), r = shape, self.factor
        c = channels // (r * r)
        dy = check_dy(self, dy, (n, c, r * height, r * width))
        blocks = dy.reshape(n, c, height, r, width, r)  # c, i, u, j, v
        return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(shape)

    def __repr__(self) -> str:
        return f"PixelShuffle({self.factor})"


class Pad2d(ParameterFree):
    """A border around an image: of zeros, or of the image itself, mirrored.

    Forward   y[n,c, i+top, j+left] = x[n,c,i,j]; outside 0, or with mode="reflect" the entry mirrored
              at the image's first or last row and column, which are not repeated: cb|abcd|cb
    Shapes    x (N, C, H, W)   y (N, C, top + H + bottom, left + W + right)
    Backward  dx = dy without the border; with "reflect", the border's dy is added where it came from
    Cache     the shape of x
    Raises    ValueError with "reflect" if a border is as wide as the image, or wider

    ``padding`` is one width, a pair (top and bottom, left and right), or all four (top, bottom, left,
    right).
    """

    def __init__(
        self, padding: int | tuple[int, int] | tuple[int, int, int, int], mode: str = "zero"
    ) -> None:
        if isinstance(padding, (tuple, list)) and len(padding) == 4:
            top, bottom = padding_pair("Pad2d", padding[:2])
            left, right = padding_pair("Pad2d", padding[2:])
        else:
            (top, left) = (bottom, right) = padding_pair("Pad2d", padding)
        self.padding = top, bottom, left, right
        if mode not in ("zero", "reflect"):
            raise ValueError(
                f'Pad2d: mode is {mode!r}, expected "zero" or "reflect"; pass one of them'
            )
        self.mode = mode

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        self.check(x)
        top, bottom, left, right = self.padding
        border = (0, 0), (0, 0), (top, bottom), (left, right)
        return np.pad(x, border, mode="reflect" if self.mode == "reflect" else "constant"), x.shape

    def backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        n, c, height, width = shape
        top, bottom, left, right = self.padding
        dy = check_dy(self, dy, (n, c, top + height + bottom, left + width + right))
        if self.mode == "zero":
            return dy[:, :, top : top + height, left : left + width].copy()
        return self._folded(self._folded(dy, 2, top, bottom), 3, left, right)

    def _folded(self, dy: Array, axis: int, before: int, after: int) -> Array:
        """dy without its border along an axis; each row of the border is added to the one it mirrors."""
        g = np.moveaxis(dy, axis, 0)
        n = len(g) - before - after
        dx = g[before : before + n].copy()
        dx[1 : before + 1] += g[:before][::-1]
        dx[n - 1 - after : n - 1] += g[before + n :][::-1]
        return np.moveaxis(dx, 0, axis)

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", "C", "H", "W"))
        widest = max(self.padding[:2]), max(self.padding[2:])
        if self.mode == "reflect" and (widest[0] >= x.shape[2] or widest[1] >= x.shape[3]):
            raise ValueError(
                f"Pad2d: an image of x is {x.shape[2]} × {x.shape[3]}, expected more than the border "
                f"of {widest[0]} × {widest[1]} that mirrors it; pass larger images or less padding"
            )

    def __repr__(self) -> str:
        return f"Pad2d({self.padding}, mode={self.mode!r})"
