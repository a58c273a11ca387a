"""Pooling of sequences: those of images that are one pixel high."""

from __future__ import annotations

from typing import Any, ClassVar

from tinyae.arguments import flag, positive_int
from tinyae.layers.base import ParameterFree, check_dy, check_input
from tinyae.layers.conv1d import padding_1d
from tinyae.layers.convolution import images
from tinyae.layers.pool import AvgPool2d, MaxPool2d
from tinyae.param import Array

__all__ = ["MaxPool1d", "AvgPool1d"]


class _Pool1d(ParameterFree):
    """A pool of images one pixel high; the arguments are those of ``pool.py``, as single numbers."""

    kind: ClassVar[type[MaxPool2d] | type[AvgPool2d]]

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int | str = 0,
        ceil_mode: bool = False,
        *,
        dilation: int = 1,
    ) -> None:
        who = type(self).__name__
        self.kernel_size = positive_int(who, "kernel_size", kernel_size, 2)
        self.stride = positive_int(who, "stride", self.kernel_size if stride is None else stride, 2)
        self.padding = padding_1d(who, padding)
        self.ceil_mode = flag(who, "ceil_mode", ceil_mode)
        self.dilation = positive_int(who, "dilation", dilation, 2)
        if isinstance(self.padding, int) and self.padding >= self.kernel_size:
            raise ValueError(
                f"{who}: padding is {padding!r}, expected less than the window {self.kernel_size}: "
                "a window would lie outside the sequence; pass less padding or a larger kernel_size"
            )

    @property
    def pool(self) -> MaxPool2d | AvgPool2d:
        """The same pool for images"""
        padding = self.padding if isinstance(self.padding, str) else (0, self.padding)
        window, stride = (1, self.kernel_size), (1, self.stride)
        return self.kind(window, stride, padding, self.ceil_mode, dilation=(1, self.dilation))

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", "C", "L"))
        length, extent = x.shape[2], self.pool.extent[1]
        padded = length if isinstance(self.padding, str) else length + 2 * self.padding
        if not length or (padded < extent and not isinstance(self.padding, str)):
            raise ValueError(
                f"{type(self).__name__}: x has length {length}, less than the window "
                f"{extent}; pass longer sequences or a smaller kernel_size"
            )

    def forward(self, x: Array) -> tuple[Array, Any]:
        self.check(x)
        y, cache = self.pool.forward(images(x))
        return y[:, :, 0], (y.shape, cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        (n, channels, _, length), inner = cache
        dy = check_dy(self, dy, (n, channels, length))
        return self.pool.backward(images(dy), inner)[:, :, 0]

    def linear(self, xdot: Array, cache: Any) -> Array:
        return self.pool.linear(images(xdot), cache[1])[:, :, 0]

    def __repr__(self) -> str:
        padding = f", padding={self.padding!r}" if self.padding else ""
        ceil = ", ceil_mode=True" if self.ceil_mode else ""
        dilation = "" if self.dilation == 1 else f", dilation={self.dilation}"
        arguments = f"{self.kernel_size}, stride={self.stride}{padding}{ceil}{dilation}"
        return f"{type(self).__name__}({arguments})"


class MaxPool1d(_Pool1d):
    """The largest entry of each window.

    Forward   y[n,c,i] = max over u of x[n,c, i·s+u·d−p] where inside the sequence
    Shapes    x (N, C, L)   y (N, C, L′), L′ = ⌊(L + 2p − (k − 1)·d − 1)/s⌋ + 1, with ``ceil_mode`` ⌈ ⌉;
              "same": L′ = ⌈L/s⌉
    Backward  dx[where the largest lies] += dy; among equal entries the first gets it all
    Tangent   ẏ = ẋ[where the largest of x lies]
    Cache     that of a MaxPool2d, and the shape of its y
    Raises    ValueError if a sequence is shorter than a window, or a window could lie outside it
    Source    Dumoulin & Visin (2016), ch. 3
    """

    kind = MaxPool2d


class AvgPool1d(_Pool1d):
    """The mean of each window.

    Forward   y[n,c,i] = 1/a[i] Σᵤ x[n,c, i·s+u·d−p] where inside the sequence
              a[i] = how many entries of the window are inside: k without padding
    Shapes    x (N, C, L)   y (N, C, L′), L′ = ⌊(L + 2p − (k − 1)·d − 1)/s⌋ + 1, with ``ceil_mode`` ⌈ ⌉;
              "same": L′ = ⌈L/s⌉
    Backward  dx[n,c, i·s+u·d−p] += dy[n,c,i] / a[i]
    Cache     that of an AvgPool2d, and the shape of its y
    Raises    ValueError if a sequence is shorter than a window, or a window could lie outside it
    Source    Dumoulin & Visin (2016), ch. 3
    """

    kind = AvgPool2d
