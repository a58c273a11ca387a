"""Pooling and upsampling of sequences: those of images that are one pixel high."""

from __future__ import annotations

from typing import Any, ClassVar

from tinyae.arguments import flag, positive_int
from tinyae.layers.base import ParameterFree, check_dy, check_input
from tinyae.layers.conv1d import padding_1d
from tinyae.layers.convolution import images
from tinyae.layers.pool import AvgPool2d, MaxPool2d
from tinyae.param import Array

__all__ = ["MaxPool1d", "AvgPool1d", "Upsample1d"]


class _Pool1d(ParameterFree):
    """A pool of images one pixel high; the arguments are those of ``pool.py``, as single numbers."""

    kind: ClassVar[type[MaxPool2d] | type[AvgPool2d]]

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int | str = 0,
        ceil_mode: bool = False,
    ) -> None:
        who = type(self).__name__
        self.kernel_size = positive_int(who, "kernel_size", kernel_size, 2)
        self.stride = positive_int(who, "stride", self.kernel_size if stride is None else stride, 2)
        self.padding = padding_1d(who, padding)
        self.ceil_mode = flag(who, "ceil_mode", ceil_mode)
        if isinstance(self.padding, int) and self.padding >= self.kernel_size:
            raise ValueError(
                f"{who}: padding is {padding!r}, expected less than the window {self.kernel_size}: "
                "a window would lie outside the sequence; pass less padding or a larger kernel_size"
            )

    @property
    def pool(self) -> MaxPool2d | AvgPool2d:
        """The same pool for images"""
        padding = self.padding if isinstance(self.padding, str) else (0, self.padding)
        return self.kind((1, self.kernel_size), (1, self.stride), padding, self.ceil_mode)

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", "C", "L"))
        length = x.shape[2]
        padded = length if isinstance(self.padding, str) else length + 2 * self.padding
        if not length or (padded < self.kernel_size and self.padding != "same"):
            raise ValueError(
                f"{type(self).__name__}: x has length {length}, less than the window "
                f"{self.kernel_size}; pass longer sequences or a smaller kernel_size"
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
        return f"{type(self).__name__}({self.kernel_size}, stride={self.stride}{padding}{ceil})"


class MaxPool1d(_Pool1d):
    """The largest entry of each window.

    Forward   y[n,c,i] = max over u of x[n,c, i·s+u−p] where inside the sequence
    Shapes    x (N, C, L)   y (N, C, L′), L′ = ⌊(L + 2p − k)/s⌋ + 1, with ``ceil_mode`` ⌈ ⌉;
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

    Forward   y[n,c,i] = 1/a[i] Σᵤ x[n,c, i·s+u−p] where inside the sequence
              a[i] = how many entries of the window are inside: k without padding
    Shapes    x (N, C, L)   y (N, C, L′), L′ = ⌊(L + 2p − k)/s⌋ + 1, with ``ceil_mode`` ⌈ ⌉;
              "same": L′ = ⌈L/s⌉
    Backward  dx[n,c, i·s+u−p] += dy[n,c,i] / a[i]
    Cache     that of an AvgPool2d, and the shape of its y
    Raises    ValueError if a sequence is shorter than a window, or a window could lie outside it
    Source    Dumoulin & Visin (2016), ch. 3
    """

    kind = AvgPool2d


class Upsample1d(ParameterFree):
    """Nearest-neighbour upsampling: every entry becomes a block of a equal entries.

    Forward   y[n,c,i] = x[n,c, ⌊i/a⌋]
    Shapes    x (N, C, L)   y (N, C, a·L)
    Backward  dx[n,c,i] = the sum of dy over the entry's block
    Cache     the shape of x
    Source    Odena, Dumoulin & Olah (2016)
    """

    def __init__(self, factor: int = 2) -> None:
        self.factor = positive_int("Upsample1d", "factor", factor, 2)

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        check_input(self, x, ("N", "C", "L"))
        return x.repeat(self.factor, axis=2), x.shape

    def backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        n, channels, length = shape
        dy = check_dy(self, dy, (n, channels, self.factor * length))
        return dy.reshape(n, channels, length, self.factor).sum(axis=3)

    def __repr__(self) -> str:
        return f"Upsample1d({self.factor})"
