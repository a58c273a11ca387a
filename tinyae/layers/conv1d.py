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
from tinyae.layers.convolution import Pad, _Convolution, images, same_padding
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
    ) -> None:
        who = type(self).__name__
        self.in_channels = positive_int(who, "in_channels", in_channels)
        self.out_channels = positive_int(who, "out_channels", out_channels)
        self.kernel_size = positive_int(who, "kernel_size", kernel_size, 3)
        self.stride = positive_int(who, "stride", stride, 2)
        self.padding = padding_1d(who, padding)

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
        return same_padding((1, length), (1, self.kernel_size), (1, self.stride))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, {self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding!r})"
        )


class Conv1d(_Convolution1d):
    """A bank of O small kernels, each slid along the sequence: y = Cx + b.

    Forward   y[n,o,i] = b[o] + Σ_{c,u} W[o,c,u] · xᵖ[n,c, i·s+u]
              xᵖ is x with zeros around it
    Shapes    x (N, C, L)   W (O, C, k)   b (O,)   y (N, O, L′)
              padding p: L′ = ⌊(L + 2p − k)/s⌋ + 1;  "same": L′ = ⌈L/s⌉; an odd zero goes to the end
    Backward  dx = Cᵀ dy      dW[o,c,u] = Σ_{n,i} dy[n,o,i] · xᵖ[n,c, i·s+u]
              db[o] = Σ_{n,i} dy[n,o,i]
    Tangent   ẏ = Cẋ
    Cache     x
    Raises    ValueError if the kernel is longer than the padded sequence
    Source    Waibel et al. (1989), §II, time-delay networks; Dumoulin & Visin (2016), ch. 2
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding)
        self.draw((self.out_channels, self.in_channels, self.kernel_size), init, rng, dtype)

    def linear(self, x: Array, b: Array | None = None) -> Array:
        """Cx, or Cx + b"""
        W, stride, pad = images(self.W.value), (1, self.stride), self.pad(x.shape[2])
        return kernels.conv2d(images(x), W, stride, pad, b)[:, :, 0]

    def adjoint(self, dy: Array, x: Array) -> Array:
        """Cᵀ dy, of x's shape"""
        W, stride, length = images(self.W.value), (1, self.stride), x.shape[2]
        pad = self.pad(length)
        return kernels.conv2d_input_grad(images(dy), W, stride, pad, (1, length))[:, :, 0]

    def weight_grad(self, dy: Array, x: Array) -> Array:
        """∂⟨dy, Cx⟩/∂W"""
        pad, stride, kernel = self.pad(x.shape[2]), (1, self.stride), (1, self.kernel_size)
        return kernels.conv2d_weight_grad(images(x), images(dy), stride, pad, kernel)[:, :, 0]

    def output_length(self, length: int) -> int:
        _, _, before, after = self.pad(length)
        return (before + length + after - self.kernel_size) // self.stride + 1

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", self.in_channels, "L"))
        length = x.shape[2]
        padded = length + sum(self.pad(length))
        if not length or padded < self.kernel_size:
            raise ValueError(
                f"Conv1d: x has length {length}, {padded} with its padding, expected at least the "
                f"kernel's {self.kernel_size}; pass longer sequences, more padding or a smaller "
                "kernel_size"
            )


class ConvTranspose1d(_Convolution1d):
    """Every entry stamps its kernels onto a longer sequence: y = Cᵀx + b, C a Conv1d's map.

    Forward   yᵖ[n,o, i·s+u] += Σ_c W[c,o,u] · x[n,c,i], then the padding is cut off and b[o] is added
    Shapes    x (N, C, L)   W (C, O, k)   b (O,)   y (N, O, L′)
              padding p: L′ = (L − 1)·s − 2p + k + output_padding;  "same": L′ = L·s
    Backward  dx = C dy      dW[c,o,u] = Σ_{n,i} x[n,c,i] · dyᵖ[n,o, i·s+u]
              db[o] = Σ_{n,i} dy[n,o,i]
    Tangent   ẏ = Cᵀẋ
    Cache     x
    Raises    ValueError if the padding leaves nothing of y
    Source    Zeiler, Krishnan, Taylor & Fergus (2010); Dumoulin & Visin (2016), ch. 4

    ``output_padding`` (0 … s − 1) adds entries at the end, as in ConvTranspose2d.
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
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding)
        self.output_padding = self._output_padding(output_padding)
        self.draw((self.in_channels, self.out_channels, self.kernel_size), init, rng, dtype)

    def linear(self, x: Array, b: Array | None = None) -> Array:
        """Cᵀx, or Cᵀx + b"""
        W, stride, length = images(self.W.value), (1, self.stride), self.output_length(x.shape[2])
        pad = self.pad(length)
        return kernels.conv2d_input_grad(images(x), W, stride, pad, (1, length), b)[:, :, 0]

    def adjoint(self, dy: Array, x: Array) -> Array:
        """C dy"""
        W, stride, pad = images(self.W.value), (1, self.stride), self.pad(dy.shape[2])
        return kernels.conv2d(images(dy), W, stride, pad)[:, :, 0]

    def weight_grad(self, dy: Array, x: Array) -> Array:
        """∂⟨dy, Cᵀx⟩/∂W = ∂⟨C dy, x⟩/∂W"""
        pad, stride, kernel = self.pad(dy.shape[2]), (1, self.stride), (1, self.kernel_size)
        return kernels.conv2d_weight_grad(images(dy), images(x), stride, pad, kernel)[:, :, 0]

    def output_length(self, length: int) -> int:
        if isinstance(self.padding, str):
            return length * self.stride
        stamped = (length - 1) * self.stride + self.kernel_size
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
    """An int ≥ 0, or "same".

    Raises
        ValueError  anything else
    """
    if isinstance(value, str) and value == "same":
        return value
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
        raise ValueError(
            f'{who}: padding is {value!r}, expected an int ≥ 0 or "same"; pass e.g. padding=1'
        )
    return int(value)
