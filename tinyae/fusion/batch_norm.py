"""The twins of a BatchNorm of images or signals: each channel is read once from memory.

The definitions make one pass over all images for each mean, difference and product. The caches are
the same as the definitions'.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae import kernels
from tinyae.fusion.plan_cache import is_plain, is_unmodified
from tinyae.layers import BatchNorm
from tinyae.param import Array

MIN_BATCH = 16  # fewer samples do not fill a vector

Cache = tuple[Array, Array]


def fits(norm: BatchNorm, x: Any) -> bool:
    """Whether x is a batch of images, or of signals, for which the norm's twin may stand."""
    return (
        type(x) is np.ndarray
        and x.ndim in (3, 4)
        and len(x) >= MIN_BATCH
        and x.size > 0
        and x.shape[1] == norm.num_features
        and x.dtype == norm.gamma.dtype
        and is_unmodified(norm)
    )


def forward(norm: BatchNorm, x: Array) -> tuple[Array, Cache]:
    if not fits(norm, x):
        return NotImplemented
    return forward_with_relu(norm, x, False)


def forward_with_relu(norm: BatchNorm, x: Array, relu: bool) -> tuple[Array, Cache]:
    """y, or the ReLU of it, and the cache of the norm; its running statistics follow."""
    y, xhat, mean, variance = kernels.batch_norm(
        x, norm.gamma.value, norm.beta.value, norm.eps, relu
    )
    m = x.size // norm.num_features
    norm.running_mean += norm.momentum * (mean - norm.running_mean)
    norm.running_var += norm.momentum * (variance * (m / (m - 1)) - norm.running_var)
    return y, (xhat, np.sqrt(variance + norm.eps).reshape(-1, *[1] * (x.ndim - 2))[None])


def backward(norm: BatchNorm, dy: Array, cache: Cache) -> Array:
    if type(norm) is not BatchNorm or not fits(norm, cache[0]):
        return NotImplemented
    if not is_plain(dy, cache[0].shape, cache[0].dtype):
        return NotImplemented
    return backward_with_relu(norm, dy, cache, None)


def backward_with_relu(norm: BatchNorm, dy: Array, cache: Cache, relu_mask: Array | None) -> Array:
    """dx, by way of a ReLU after the norm whose output is ``relu_mask``; dγ and dβ are added."""
    xhat, sigma = cache
    gradients = norm.gamma.grad, norm.beta.grad
    return kernels.batch_norm_backward(
        dy, xhat, sigma.ravel(), norm.gamma.value, *gradients, relu_mask
    )
