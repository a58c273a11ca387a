"""Convolutions of sequences: those of images that are one pixel high.

x (N, C, L) is seen as (N, C, 1, L) and W (O, C, k) as (O, C, 1, k), both as views. So the kernels are
those of ``conv.py``, and so are the derivatives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import positive_int
from tinyae.initializers import Initializer
from tinyae.layers.base import check_dy, check_input
from tinyae.layers.convolution import (
    SAME,
    Pad,
    Pair,
    _Convolution,
    group_count,
    images,
    same_padding,
)
from tinyae.param import Array

__all__ = ["Conv1d", "ConvTranspose1d"]


class _Convolution1d(_Convolution):
    """The arguments of both layers, and the padding around a sequence."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding: int | str,
        dilation: int,
        groups: int,
    ) -> None:
        who = type(self).__name__
        self.in_channels = positive_int(who, "in_channels", in_channels)
        self.out_channels = positive_int(who, "out_channels", out_channels)
        self.kernel_size = positive_int(who, "kernel_size", kernel_size, 3)
        self.stride = positive_int(who, "stride", stride, 2)
        self.padding = padding_1d(who, padding)
        self.dilation = positive_int(who, "dilation", dilation, 2)
        self.groups = group_count(who, groups, self.in_channels, self.out_channels)

    def check_dy(self, dy: Array, x: Array) -> Array:
        length = self.output_length(x.shape[2])
        return check_dy(self, dy, (len(x), self.out_channels, length), x.dtype)

    def output_length(self, length: int) -> int:
        """L′ for an input of that length."""
        raise NotImplementedError

    def pad(self, length: int) -> Pad:
        """How many zeros C puts above, below, before and after its input, of that length."""
        if not isinstance(self.padding, str):
            return 0, 0, self.padding, self.padding
        return same_padding(self.padding, (1, length), (1, self.extent), (1, self.stride))

    @property
    def extent(self) -> int:
        """The entries that a kernel reaches over, with the gaps that dilation leaves."""
        return (self.kernel_size - 1) * self.dilation + 1

    @property
    def more(self) -> tuple[Pair, int]:
        """Dilation and groups, as the kernels take them for images one pixel high."""
        return (1, self.dilation), self.groups

    def __repr__(self) -> str:
        dilation = "" if self.dilation == 1 else f", dilation={self.dilation}"
        groups = "" if self.groups == 1 else f", groups={self.groups}"
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, {self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding!r}{dilation}{groups})"
        )


class Conv1d(_Convolution1d):
    """A bank of O small kernels, each slid along the sequence: y = Cx + b.

    Forward   y[n,o,i] = b[o] + Σ_{c,u} W[o,c,u] · xᵖ[n,c, i·s+u·d]
              xᵖ is x with zeros around it
    Shapes    x (N, C, L)   W (O, C/g, k)   b (O,)   y (N, O, L′)
              padding p: L′ = ⌊(L + 2p − e)/s⌋ + 1, e = (k − 1)·d + 1;  "same": L′ = ⌈L/s⌉; an odd
              zero goes to the end, with "same_lower" to the beginning
    Backward  dx = Cᵀ dy      dW[o,c,u] = Σ_{n,i} dy[n,o,i] · xᵖ[n,c, i·s+u·d]
              db[o] = Σ_{n,i} dy[n,o,i]
    Tangent   ẏ = Cẋ
    Cache     x
    Raises    ValueError if the kernel is longer than the padded sequence
    Source    Waibel et al. (1989), §II, time-delay networks; Dumoulin & Visin (2016), ch. 2

    ``dilation`` d and ``groups`` g are those of Conv2d.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        *,
        dilation: int = 1,
        groups: int = 1,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        shape = self.out_channels, self.in_channels // self.groups, self.kernel_size
        self.draw(shape, init, rng, dtype)

    def linear(self, x: Array, b: Array | None = None) -> Array:
        """Cx, or Cx + b"""
        W, stride, pad = images(self.W.value), (1, self.stride), self.pad(x.shape[2])
        return kernels.conv2d(images(x), W, stride, pad, b, *self.more)[:, :, 0]

    def adjoint(self, dy: Array, x: Array) -> Array:
        """Cᵀ dy, of x's shape"""
        W, stride, length = images(self.W.value), (1, self.stride), x.shape[2]
        more = self.pad(length), (1, length), None, *self.more
        return kernels.conv2d_input_grad(images(dy), W, stride, *more)[:, :, 0]

    def weight_grad(self, dy: Array, x: Array) -> Array:
        """∂⟨dy, Cx⟩/∂W"""
        stride, more = (1, self.stride), (self.pad(x.shape[2]), (1, self.kernel_size), *self.more)
        return kernels.conv2d_weight_grad(images(x), images(dy), stride, *more)[:, :, 0]

    def output_length(self, length: int) -> int:
        _, _, before, after = self.pad(length)
        return (before + length + after - self.extent) // self.stride + 1

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", self.in_channels, "L"))
        length = x.shape[2]
        padded = length + sum(self.pad(length))
        if not length or padded < self.extent:
            raise ValueError(
                f"Conv1d: x has length {length}, {padded} with its padding, expected at least the "
                f"kernel's {self.extent}; pass longer sequences, more padding or a smaller "
                "kernel_size"
            )


class ConvTranspose1d(_Convolution1d):
    """Every entry stamps its kernels onto a longer sequence: y = Cᵀx + b, C a Conv1d's map.

    Forward   yᵖ[n,o, i·s+u·d] += Σ_c W[c,o,u] · x[n,c,i], then the padding is cut off and b[o] added
    Shapes    x (N, C, L)   W (C, O/g, k)   b (O,)   y (N, O, L′)
              padding p: L′ = (L − 1)·s − 2p + e + output_padding, e = (k − 1)·d + 1;
              "same": L′ = L·s
    Backward  dx = C dy      dW[c,o,u] = Σ_{n,i} x[n,c,i] · dyᵖ[n,o, i·s+u·d]
              db[o] = Σ_{n,i} dy[n,o,i]
    Tangent   ẏ = Cᵀẋ
    Cache     x
    Raises    ValueError if the padding leaves nothing of y
    Source    Zeiler, Krishnan, Taylor & Fergus (2010); Dumoulin & Visin (2016), ch. 4

    ``output_padding`` (0 … s − 1) adds entries at the end, as in ConvTranspose2d; ``dilation`` d and
    ``groups`` g are those of C.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        output_padding: int = 0,
        *,
        dilation: int = 1,
        groups: int = 1,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = self._output_padding(output_padding)
        shape = self.in_channels, self.out_channels // self.groups, self.kernel_size
        self.draw(shape, init, rng, dtype)

    def linear(self, x: Array, b: Array | None = None) -> Array:
        """Cᵀx, or Cᵀx + b"""
        W, stride, length = images(self.W.value), (1, self.stride), self.output_length(x.shape[2])
        more = self.pad(length), (1, length), b, *self.more
        return kernels.conv2d_input_grad(images(x), W, stride, *more)[:, :, 0]

    def adjoint(self, dy: Array, x: Array) -> Array:
        """C dy"""
        W, stride, pad = images(self.W.value), (1, self.stride), self.pad(dy.shape[2])
        return kernels.conv2d(images(dy), W, stride, pad, None, *self.more)[:, :, 0]

    def weight_grad(self, dy: Array, x: Array) -> Array:
        """∂⟨dy, Cᵀx⟩/∂W = ∂⟨C dy, x⟩/∂W"""
        stride, more = (1, self.stride), (self.pad(dy.shape[2]), (1, self.kernel_size), *self.more)
        return kernels.conv2d_weight_grad(images(dy), images(x), stride, *more)[:, :, 0]

    def output_length(self, length: int) -> int:
        if isinstance(self.padding, str):
            return length * self.stride
        stamped = (length - 1) * self.stride + self.extent
        return stamped - 2 * self.padding + self.output_padding

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", self.in_channels, "L"))
        length = self.output_length(x.shape[2])
        if not x.shape[2] or length < 1:
            raise ValueError(
                f"ConvTranspose1d: x has length {x.shape[2]}, y would have {length}, expected at least "
                "1; pass longer sequences or less padding"
            )

    def _output_padding(self, value: int) -> int:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or not 0 <= value < self.stride:
            raise ValueError(
                f"ConvTranspose1d: output_padding is {value!r}, expected an int from 0 to "
                f"{self.stride - 1}, less than the stride; pass output_padding=0"
            )
        if isinstance(self.padding, str) and value:
            raise ValueError(
                f'ConvTranspose1d: output_padding is {value} with padding="same", which fixes the '
                "output's length at L·s already; pass output_padding=0"
            )
        return int(value)

    def __repr__(self) -> str:
        more = f", output_padding={self.output_padding})" if self.output_padding else ")"
        return super().__repr__()[:-1] + more


def padding_1d(who: str, value: int | str) -> int | str:
    """An int ≥ 0, or "same", or "same_lower".

    Raises
        ValueError  anything else
    """
    if isinstance(value, str) and value in SAME:
        return value
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
        raise ValueError(
            f'{who}: padding is {value!r}, expected an int ≥ 0 or "same"; pass e.g. padding=1'
        )
    return int(value)
