"""Convolution and transposed convolution: each is the other's adjoint.

Write C for the linear map x ↦ W ∗ x. Conv2d runs C forward and its transpose Cᵀ backward;
ConvTranspose2d runs Cᵀ forward and C backward: ⟨Cx, y⟩ = ⟨x, Cᵀy⟩. Three kernels serve both. What
the two share with those of sequences (``conv1d.py``) is in ``convolution.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import padding_pair, positive_int, positive_pair
from tinyae.initializers import Initializer
from tinyae.kernels.windows import extent
from tinyae.layers.base import check_dy, check_input
from tinyae.layers.convolution import Pad, Pair, _Convolution, group_count, padding_2d, same_padding
from tinyae.param import Array

__all__ = ["Conv2d", "ConvTranspose2d"]


class _Convolution2d(_Convolution):
    """The arguments of both layers, and the padding around an image."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair,
        padding: int | Pair | str,
        dilation: int | Pair,
        groups: int,
    ) -> None:
        who = type(self).__name__
        self.in_channels = positive_int(who, "in_channels", in_channels)
        self.out_channels = positive_int(who, "out_channels", out_channels)
        self.kernel_size = positive_pair(who, "kernel_size", kernel_size)
        self.stride = positive_pair(who, "stride", stride)
        self.padding = padding_2d(who, padding)
        self.dilation = positive_pair(who, "dilation", dilation)
        self.groups = group_count(who, groups, self.in_channels, self.out_channels)

    def check_dy(self, dy: Array, x: Array) -> Array:
        size = self.output_size(_size(x))
        return check_dy(self, dy, (len(x), self.out_channels, *size), x.dtype)

    def output_size(self, size: Pair) -> Pair:
        """(H′, W′) for an input of that size."""
        raise NotImplementedError

    def pad(self, size: Pair) -> Pad:
        """How many zeros C puts around its input, an image of that size."""
        if not isinstance(self.padding, str):
            (p, q) = self.padding
            return p, p, q, q
        return same_padding(self.padding, size, self.extent, self.stride)

    @property
    def extent(self) -> Pair:
        """The rows and columns that a kernel reaches over, with the gaps that dilation leaves."""
        return extent(self.kernel_size, self.dilation)

    def __repr__(self) -> str:
        dilation = "" if self.dilation == (1, 1) else f", dilation={self.dilation}"
        groups = "" if self.groups == 1 else f", groups={self.groups}"
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, {self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding!r}{dilation}{groups})"
        )


class Conv2d(_Convolution2d):
    """A bank of O small kernels, each slid over the image: y = Cx + b.

    Forward   y[n,o,i,j] = b[o] + Σ_{c,u,v} W[o,c,u,v] · xᵖ[n,c, i·s+u·d, j·s+v·d]
              xᵖ is x with zeros around it
    Shapes    x (N, C, H, W)   W (O, C/g, kh, kw)   b (O,)   y (N, O, H′, W′)
              padding p: H′ = ⌊(H + 2p − e)/s⌋ + 1, e = (kh − 1)·d + 1;  "same": H′ = ⌈H/s⌉; an odd
              row or column of zeros goes to the bottom or right, with "same_lower" to the top or left
    Backward  dx = Cᵀ dy      dW[o,c,u,v] = Σ_{n,i,j} dy[n,o,i,j] · xᵖ[n,c, i·s+u·d, j·s+v·d]
              db[o] = Σ_{n,i,j} dy[n,o,i,j]
    Tangent   ẏ = Cẋ
    Cache     x
    Raises    ValueError if the kernel is larger than the padded image
    Source    LeCun, Bottou, Bengio & Haffner (1998), §II.A; Dumoulin & Visin (2016), ch. 2
              d: Yu & Koltun (2016);  g: Krizhevsky, Sutskever & Hinton (2012), §3.5

    ``dilation`` d leaves d − 1 pixels between those that a kernel reads. With ``groups`` g, channels
    and outputs are split into g equal parts, and the outputs of a part see the channels of that part
    only: c counts those. With g = C = O each channel has one kernel of its own (depthwise).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        *,
        dilation: int | Pair = 1,
        groups: int = 1,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        shape = self.out_channels, self.in_channels // self.groups, *self.kernel_size
        self.draw(shape, init, rng, dtype)

    def linear(self, x: Array, b: Array | None = None) -> Array:
        """Cx, or Cx + b"""
        pad, more = self.pad(_size(x)), (self.dilation, self.groups)
        return kernels.conv2d(x, self.W.value, self.stride, pad, b, *more)

    def adjoint(self, dy: Array, x: Array) -> Array:
        """Cᵀ dy, of x's shape"""
        W, size, more = self.W.value, _size(x), (self.dilation, self.groups)
        return kernels.conv2d_input_grad(dy, W, self.stride, self.pad(size), size, None, *more)

    def weight_grad(self, dy: Array, x: Array) -> Array:
        """∂⟨dy, Cx⟩/∂W"""
        pad, kernel, more = self.pad(_size(x)), self.kernel_size, (self.dilation, self.groups)
        return kernels.conv2d_weight_grad(x, dy, self.stride, pad, kernel, *more)

    def output_size(self, size: Pair) -> Pair:
        """(H′, W′) for an input of that size."""
        (height, width), (top, bottom, left, right) = size, self.pad(size)
        (kh, kw), (down, across) = self.extent, self.stride
        return (top + height + bottom - kh) // down + 1, (left + width + right - kw) // across + 1

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", self.in_channels, "H", "W"))
        (height, width), (top, bottom, left, right) = _size(x), self.pad(_size(x))
        kh, kw = self.extent
        padded = (top + height + bottom, left + width + right)
        if 0 in (height, width) or padded[0] < kh or padded[1] < kw:
            raise ValueError(
                f"Conv2d: an image of x is {height} × {width}, {padded[0]} × {padded[1]} with its "
                f"padding, expected at least the kernel's {kh} × {kw}; "
                "pass larger images, more padding or a smaller kernel_size"
            )


class ConvTranspose2d(_Convolution2d):
    """Every pixel stamps its kernels onto a larger image: y = Cᵀx + b, C a Conv2d's map.

    Forward   yᵖ[n,o, i·s+u·d, j·s+v·d] += Σ_c W[c,o,u,v] · x[n,c,i,j], then the padding is cut off
              and b[o] is added
    Shapes    x (N, C, H, W)   W (C, O/g, kh, kw)   b (O,)   y (N, O, H′, W′)
              padding p: H′ = (H − 1)·s − 2p + e + output_padding, e = (kh − 1)·d + 1;
              "same": H′ = H·s
    Backward  dx = C dy      dW[c,o,u,v] = Σ_{n,i,j} x[n,c,i,j] · dyᵖ[n,o, i·s+u·d, j·s+v·d]
              db[o] = Σ_{n,i,j} dy[n,o,i,j]
    Tangent   ẏ = Cᵀẋ
    Cache     x
    Raises    ValueError if the padding leaves nothing of y

    A stride s > 1 maps s sizes of y to one size of Cy. ``output_padding`` (0 … s − 1) chooses one
    of them: it adds rows at the bottom and columns at the right. ``dilation`` d and ``groups`` g are
    those of C.

    Source    Zeiler, Krishnan, Taylor & Fergus (2010); Dumoulin & Visin (2016), ch. 4
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        output_padding: int | Pair = 0,
        *,
        dilation: int | Pair = 1,
        groups: int = 1,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = self._output_padding(output_padding)
        shape = self.in_channels, self.out_channels // self.groups, *self.kernel_size
        self.draw(shape, init, rng, dtype)

    def linear(self, x: Array, b: Array | None = None) -> Array:
        """Cᵀx, or Cᵀx + b"""
        W, size, more = self.W.value, self.output_size(_size(x)), (self.dilation, self.groups)
        return kernels.conv2d_input_grad(x, W, self.stride, self.pad(size), size, b, *more)

    def adjoint(self, dy: Array, x: Array) -> Array:
        """C dy"""
        W, pad, more = self.W.value, self.pad(_size(dy)), (self.dilation, self.groups)
        return kernels.conv2d(dy, W, self.stride, pad, None, *more)

    def weight_grad(self, dy: Array, x: Array) -> Array:
        """∂⟨dy, Cᵀx⟩/∂W = ∂⟨C dy, x⟩/∂W"""
        pad, kernel, more = self.pad(_size(dy)), self.kernel_size, (self.dilation, self.groups)
        return kernels.conv2d_weight_grad(dy, x, self.stride, pad, kernel, *more)

    def output_size(self, size: Pair) -> Pair:
        """(H′, W′) for an input of that size."""
        (height, width), (down, across) = size, self.stride
        if isinstance(self.padding, str):
            return height * down, width * across
        (p, q), (kh, kw), (a, b) = self.padding, self.extent, self.output_padding
        return (height - 1) * down - 2 * p + kh + a, (width - 1) * across - 2 * q + kw + b

    def check(self, x: Array) -> None:
        check_input(self, x, ("N", self.in_channels, "H", "W"))
        size = self.output_size(_size(x))
        if 0 in _size(x) or min(size) < 1:
            raise ValueError(
                f"ConvTranspose2d: an image of x is {x.shape[2]} × {x.shape[3]}, y would be "
                f"{size[0]} × {size[1]}, expected at least 1 × 1; "
                "pass larger images or less padding"
            )

    def _output_padding(self, output_padding: int | Pair) -> Pair:
        a, b = padding_pair("ConvTranspose2d", output_padding, "output_padding")
        if a >= self.stride[0] or b >= self.stride[1]:
            raise ValueError(
                f"ConvTranspose2d: output_padding is {(a, b)}, expected less than the stride "
                f"{self.stride}; pass a larger stride or less output_padding"
            )
        if isinstance(self.padding, str) and (a, b) != (0, 0):
            raise ValueError(
                f'ConvTranspose2d: output_padding is {(a, b)} with padding="same", which fixes the '
                "output's size at H·s already; pass output_padding=0"
            )
        return a, b

    def __repr__(self) -> str:
        more = f", output_padding={self.output_padding})" if any(self.output_padding) else ")"
        return super().__repr__()[:-1] + more


def _size(x: Array) -> Pair:
    """(H, W) of images."""
    return x.shape[2], x.shape[3]
