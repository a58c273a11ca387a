"""Pooling: one number for every window of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyae import kernels
from tinyae.arguments import flag, positive_pair
from tinyae.kernels.windows import extent
from tinyae.layers.base import ParameterFree, check_dy, check_input
from tinyae.layers.convolution import padding_2d, same_padding
from tinyae.param import Array

__all__ = ["MaxPool2d", "AvgPool2d"]

Pair = tuple[int, int]
Pad = tuple[int, int, int, int]  # top, bottom, left, right
Shape = tuple[int, ...]


class _Pool(ParameterFree):
    """Windows of ``kernel_size``, ``stride`` apart (by default adjacent, without overlap).

    ``padding`` p lets the first windows begin p rows above and p columns left of the image, and the
    last ones end as far beyond it. ``"same"`` makes ⌈H/s⌉ × ⌈W/s⌉ windows, which reach beyond the
    image by equal amounts, or by one more at the bottom or the right (``"same_lower"``: at the top or
    the left). What lies outside the image
    has no part in a window's result.

    Rows and columns at the bottom and right that no window reaches are ignored; ``ceil_mode`` adds
    a last window for them, which is cut off at the image's edge.

    ``dilation`` d leaves d − 1 pixels between those of a window, which then reaches over
    e = (k − 1)·d + 1 pixels.
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair | str = 0,
        ceil_mode: bool = False,
        *,
        dilation: int | Pair = 1,
    ) -> None:
        who = type(self).__name__
        self.kernel_size = positive_pair(who, "kernel_size", kernel_size)
        self.stride = positive_pair(who, "stride", self.kernel_size if stride is None else stride)
        self.padding = padding_2d(who, padding)
        self.ceil_mode = flag(who, "ceil_mode", ceil_mode)
        self.dilation = positive_pair(who, "dilation", dilation)
        if isinstance(self.padding, tuple) and not (
            self.padding[0] < self.kernel_size[0] and self.padding[1] < self.kernel_size[1]
        ):
            raise ValueError(
                f"{who}: padding is {padding!r}, expected less than the window {self.kernel_size}: "
                "a window would lie outside the image; pass less padding or a larger kernel_size"
            )

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", "C", "H", "W"))
        height, width = x.shape[2:]
        p, q = (0, 0) if isinstance(self.padding, str) else self.padding
        fits = height + 2 * p >= self.extent[0] and width + 2 * q >= self.extent[1]
        if 0 in (height, width) or not (fits or isinstance(self.padding, str)):
            raise ValueError(
                f"{type(self).__name__}: an image of x is {height} × {width}, smaller than "
                f"the window {self.extent}; pass larger images or a smaller kernel_size"
            )
        if self.dilation != (1, 1) and not all(
            self._inside(axis, n).all() for axis, n in enumerate((height, width))
        ):
            raise ValueError(
                f"{type(self).__name__}: a window of {self.kernel_size} with dilation "
                f"{self.dilation} has no entry inside an image of {height} × {width}; pass larger "
                "images, less padding or less dilation"
            )

    @property
    def extent(self) -> Pair:
        """e: the rows and columns that a window reaches over."""
        return extent(self.kernel_size, self.dilation)

    def output_size(self, size: Pair) -> Pair:
        """(H′, W′) for an image of that size."""
        return self._windows_along(0, size[0])[0], self._windows_along(1, size[1])[0]

    def pad(self, size: Pair) -> Pad:
        """How far the windows reach beyond an image of that size."""
        _, top, bottom = self._windows_along(0, size[0])
        _, left, right = self._windows_along(1, size[1])
        return top, bottom, left, right

    def _windows_along(self, axis: int, n: int) -> tuple[int, int, int]:
        """The number of windows along an axis of length n, and how far they reach beyond its ends."""
        e, s = self.extent[axis], self.stride[axis]
        if isinstance(self.padding, str):
            count = -(-n // s)
            before = same_padding(self.padding, (n, n), (e, e), (s, s))[0]
        else:
            before = self.padding[axis]
            room = n + 2 * before - e
            count = room // s + 1
            if self.ceil_mode and room % s and count * s < n + before:
                count += 1
        return count, before, max((count - 1) * s + e - n - before, 0)

    def _inside(self, axis: int, n: int) -> Array:
        """How many entries of each window along an axis of length n lie inside the image."""
        count, before, _ = self._windows_along(axis, n)
        first = np.arange(count) * self.stride[axis] - before
        places = first[:, None] + np.arange(self.kernel_size[axis]) * self.dilation[axis]
        return ((places >= 0) & (places < n)).sum(axis=1)

    def windows(self, x: Array, outside: float = 0.0) -> Array:
        """Every window, as a view (N, C, H′, W′, kh, kw); ``outside`` fills what is not in the image."""
        padded = self.padded(x, outside)
        views = sliding_window_view(padded, self.extent, axis=(2, 3))
        (down, across), (gap, other_gap) = self.stride, self.dilation
        return views[:, :, ::down, ::across, ::gap, ::other_gap]

    def padded(self, x: Array, outside: float) -> Array:
        top, bottom, left, right = self.pad((x.shape[2], x.shape[3]))
        if not (top or bottom or left or right):
            return x
        width = (0, 0), (0, 0), (top, bottom), (left, right)
        return np.pad(x, width, constant_values=outside)

    def cropped(self, padded: Array, size: Pair) -> Array:
        """The image of that size within a padded one."""
        top, _, left, _ = self.pad(size)
        return padded[:, :, top : top + size[0], left : left + size[1]]

    def __repr__(self) -> str:
        padding = "" if self.padding == (0, 0) else f", padding={self.padding!r}"
        ceil = ", ceil_mode=True" if self.ceil_mode else ""
        dilation = "" if self.dilation == (1, 1) else f", dilation={self.dilation}"
        arguments = f"{self.kernel_size}, stride={self.stride}{padding}{ceil}{dilation}"
        return f"{type(self).__name__}({arguments})"


class MaxPool2d(_Pool):
    """The largest entry of each window.

    Forward   y[n,c,i,j] = max over u, v of x[n,c, i·s+u·d−p, j·s+v·d−p] where inside the image
    Shapes    x (N, C, H, W)   y (N, C, H′, W′), H′ = ⌊(H + 2p − e)/s⌋ + 1, with ``ceil_mode`` ⌈ ⌉;
              "same": H′ = ⌈H/s⌉
    Backward  dx[where the largest lies] += dy; among equal entries the first gets it all
    Tangent   ẏ = ẋ[where the largest of x lies]
    Cache     the index of the largest in every window, and the image's size
    Raises    ValueError if an image is smaller than a window, or a window could lie outside it
    Source    Goodfellow, Bengio & Courville (2016), §9.3; Dumoulin & Visin (2016), ch. 3
    """

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Pair]]:
        self.check(x)
        y, index = kernels.max_pool2d(
            self.padded(x, -np.inf), self.kernel_size, self.stride, self.dilation
        )
        return y, (index, (x.shape[2], x.shape[3]))

    def backward(self, dy: Array, cache: tuple[Array, Pair]) -> Array:
        index, size = cache
        dy = check_dy(self, dy, index.shape)
        top, bottom, left, right = self.pad(size)
        whole = top + size[0] + bottom, left + size[1] + right
        dx = kernels.max_pool2d_backward(
            dy, index, self.kernel_size, self.stride, whole, self.dilation
        )
        return self.cropped(dx, size)

    def linear(self, xdot: Array, cache: tuple[Array, Pair]) -> Array:
        windows = self.windows(xdot)
        flat = windows.reshape(*windows.shape[:4], self.kernel_size[0] * self.kernel_size[1])
        return np.take_along_axis(flat, cache[0][..., None], axis=-1)[..., 0]


class AvgPool2d(_Pool):
    """The mean of each window.

    Forward   y[n,c,i,j] = 1/a Σ_{u,v} x[n,c, i·s+u·d−p, j·s+v·d−p] where inside the image
              a[i,j] = how many entries of the window are inside: kh·kw without padding
    Shapes    x (N, C, H, W)   y (N, C, H′, W′), H′ = ⌊(H + 2p − e)/s⌋ + 1, with ``ceil_mode`` ⌈ ⌉;
              "same": H′ = ⌈H/s⌉
    Backward  dx[n,c, i·s+u·d−p, j·s+v·d−p] += dy[n,c,i,j] / a[i,j]
    Cache     the shapes of x and y
    Raises    ValueError if an image is smaller than a window, or a window could lie outside it
    Source    LeCun, Bottou, Bengio & Haffner (1998), §II.B; Dumoulin & Visin (2016), ch. 3

    PyTorch counts the padding unless ``count_include_pad=False``; Keras does as this layer.
    """

    def forward(self, x: Array) -> tuple[Array, tuple[Shape, Shape]]:
        self.check(x)
        y = self.windows(x).sum(axis=(4, 5)) / self.area(x.shape, x.dtype)
        return y, (x.shape, y.shape)

    def backward(self, dy: Array, shapes: tuple[Shape, Shape]) -> Array:
        dy = check_dy(self, dy, shapes[1])
        (kh, kw), (sh, sw), (rows, columns) = self.kernel_size, self.stride, dy.shape[2:]
        size = shapes[0][2], shapes[0][3]
        share = dy / self.area(shapes[0], dy.dtype)
        dx = self.padded(np.zeros(shapes[0], dy.dtype), 0.0)
        for u in range(kh):
            for v in range(kw):
                i, j = u * self.dilation[0], v * self.dilation[1]
                dx[:, :, i : i + sh * rows : sh, j : j + sw * columns : sw] += share
        return self.cropped(dx, size)

    def area(self, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """a (H′, W′): how many entries of each window lie inside an image of x."""
        return np.outer(self._inside(0, shape[2]), self._inside(1, shape[3])).astype(dtype)
