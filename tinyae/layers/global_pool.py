"""Global pooling: one number for every channel, whatever the size of the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyae.layers.base import ParameterFree, check_dy, check_input
from tinyae.param import Array

__all__ = ["GlobalAvgPool2d", "GlobalMaxPool2d"]


class _GlobalPool(ParameterFree):
    def check(self, x: Array) -> None:
        check_input(self, x, ("N", "C", "H", "W"))
        if 0 in x.shape[2:]:
            raise ValueError(
                f"{type(self).__name__}: an image of x is {x.shape[2]} × {x.shape[3]}, expected at "
                "least 1 × 1; pass larger images"
            )


class GlobalAvgPool2d(_GlobalPool):
    """The mean of each channel.

    Forward   y[n,c] = 1/(H·W) Σ_{i,j} x[n,c,i,j]
    Shapes    x (N, C, H, W)   y (N, C)
    Backward  dx[n,c,i,j] = dy[n,c] / (H·W)
    Cache     the shape of x
    Source    Lin, Chen & Yan (2014), §3.2
    """

    def forward(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        self.check(x)
        return x.mean(axis=(2, 3)), x.shape

    def backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        dy = check_dy(self, dy, shape[:2])
        share = dy / math.prod(shape[2:])
        return np.broadcast_to(share[:, :, None, None], shape).copy()


class GlobalMaxPool2d(_GlobalPool):
    """The largest entry of each channel.

    Forward   y[n,c] = max over i, j of x[n,c,i,j]
    Shapes    x (N, C, H, W)   y (N, C)
    Backward  dx[where the largest lies] = dy; among equal entries the first gets it all
    Tangent   ẏ = ẋ[where the largest of x lies]
    Cache     the index of the largest in every channel, and the shape of x
    Source    Oquab, Bottou, Laptev & Sivic (2015), §3
    """

    def forward(self, x: Array) -> tuple[Array, Any]:
        self.check(x)
        index = _channels(x).argmax(axis=2, keepdims=True)  # of a NaN, if there is one
        return np.take_along_axis(_channels(x), index, axis=2)[..., 0], (index, x.shape)

    def backward(self, dy: Array, cache: Any) -> Array:
        index, shape = cache
        dy = check_dy(self, dy, shape[:2])
        dx = np.zeros((*shape[:2], math.prod(shape[2:])), dy.dtype)
        np.put_along_axis(dx, index, dy[..., None], axis=2)
        return dx.reshape(shape)

    def linear(self, xdot: Array, cache: Any) -> Array:
        return np.take_along_axis(_channels(xdot), cache[0], axis=2)[..., 0]


def _channels(x: Array) -> Array:
    """(N, C, H, W) as (N, C, H·W)"""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
