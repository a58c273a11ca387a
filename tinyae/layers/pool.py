"""Pooling: one number for every window of an image."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyae import kernels
from tinyae.layers.base import ParameterFree, check_dy, check_input, positive_pair
from tinyae.param import Array

__all__ = ["MaxPool2d", "AvgPool2d"]

Pair = tuple[int, int]
Shape = tuple[int, ...]


class _Pool(ParameterFree):
    """Windows of ``kernel_size``, ``stride`` apart (by default adjacent, without overlap).

    Rows and columns at the bottom and right that no window reaches are ignored.
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None) -> None:
        who = type(self).__name__
        self.kernel_size = positive_pair(who, "kernel_size", kernel_size)
        self.stride = positive_pair(who, "stride", self.kernel_size if stride is None else stride)

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", "C", "H", "W"))
        if x.shape[2] < self.kernel_size[0] or x.shape[3] < self.kernel_size[1]:
            raise ValueError(
                f"{type(self).__name__}: an image of x is {x.shape[2]} × {x.shape[3]}, smaller than "
                f"the window {self.kernel_size}; pass larger images or a smaller kernel_size"
            )

    def windows(self, x: Array) -> Array:
        """Every window, as a view (N, C, H′, W′, kh, kw)."""
        views = sliding_window_view(x, self.kernel_size, axis=(2, 3))
        return views[:, :, :: self.stride[0], :: self.stride[1]]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kernel_size}, stride={self.stride})"


class MaxPool2d(_Pool):
    """The largest entry of each window.

    Forward   y[n,c,i,j] = max over u, v of x[n,c, i·s+u, j·s+v]
    Shapes    x (N, C, H, W)   y (N, C, H′, W′), H′ = ⌊(H − kh)/s⌋ + 1
    Backward  dx[where the largest lies] += dy; among equal entries the first gets it all
    Tangent   ẏ = ẋ[where the largest of x lies]
    Cache     the index of the largest in every window, and the image's size
    """

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Pair]]:
        self.check(x)
        y, index = kernels.max_pool2d(x, self.kernel_size, self.stride)
        return y, (index, (x.shape[2], x.shape[3]))

    def backward(self, dy: Array, cache: tuple[Array, Pair]) -> Array:
        index, size = cache
        dy = check_dy(self, dy, index.shape)
        return kernels.max_pool2d_backward(dy, index, self.kernel_size, self.stride, size)

    def linear(self, xdot: Array, cache: tuple[Array, Pair]) -> Array:
        windows = self.windows(xdot)
        flat = windows.reshape(*windows.shape[:4], self.kernel_size[0] * self.kernel_size[1])
        return np.take_along_axis(flat, cache[0][..., None], axis=-1)[..., 0]


class AvgPool2d(_Pool):
    """The mean of each window.

    Forward   y[n,c,i,j] = 1/(kh·kw) Σ_{u,v} x[n,c, i·s+u, j·s+v]
    Shapes    x (N, C, H, W)   y (N, C, H′, W′), H′ = ⌊(H − kh)/s⌋ + 1
    Backward  dx[n,c, i·s+u, j·s+v] += dy[n,c,i,j] / (kh·kw)
    Cache     the shapes of x and y
    """

    def forward(self, x: Array) -> tuple[Array, tuple[Shape, Shape]]:
        self.check(x)
        y = self.windows(x).mean(axis=(4, 5))
        return y, (x.shape, y.shape)

    def backward(self, dy: Array, shapes: tuple[Shape, Shape]) -> Array:
        dy = check_dy(self, dy, shapes[1])
        (kh, kw), (sh, sw), (rows, columns) = self.kernel_size, self.stride, dy.shape[2:]
        dx = np.zeros(shapes[0], dy.dtype)
        for u in range(kh):
            for v in range(kw):
                dx[:, :, u : u + sh * rows : sh, v : v + sw * columns : sw] += dy
        dx /= kh * kw
        return dx
