"""GroupNorm over images with the batch innermost, as convolutions leave them.

Along the batch every loop is a vector loop, and the numbers of one group stay in the CPU cache
between the passes over them.
"""

from __future__ import annotations

import numba
import numpy as np

from tinyae.kernels import reference
from tinyae.kernels.jitted.layout import channel_rows
from tinyae.kernels.jitted.operands import is_float_array, of_channels, same_float
from tinyae.kernels.jitted.threads import (
    claim_threads,
    jit,
    parallel_jit,
    run_parallel,
    split_points,
)
from tinyae.memory import empty
from tinyae.param import Array

_MIN_PARALLEL_SIZE = 1 << 15  # elements; below that, a second thread does not pay off
_MIN_BATCH = 16  # samples; with fewer, the vector loops are too short


@jit
def _forward(
    x: Array, gamma: Array, beta: Array, eps: float, y: Array, xhat: Array, sigma: Array,
    first: int, last: int,
) -> None:  # fmt: skip
    """Groups first to last of x (G, C/G, L, N): x̂, σ (G, N) and y = γ x̂ + β."""
    _, channels, length, n = x.shape
    m = channels * length
    mean, part, scale = np.empty(n), np.empty(n, x.dtype), np.empty(n, x.dtype)
    for g in range(first, last):
        mean[:] = 0
        for c in range(channels):
            part[:] = 0
            for i in range(length):
                row = x[g, c, i]
                for k in range(n):
                    part[k] += row[k]
            for k in range(n):
                mean[k] += part[k]
        for k in range(n):
            mean[k] /= m
        center = mean.astype(x.dtype)
        mean[:] = 0
        for c in range(channels):
            part[:] = 0
            for i in range(length):
                row = x[g, c, i]
                for k in range(n):
                    part[k] += (row[k] - center[k]) * (row[k] - center[k])
            for k in range(n):
                mean[k] += part[k]
        for k in range(n):
            sigma[g, k] = np.sqrt(mean[k] / m + eps)
            scale[k] = 1 / sigma[g, k]
        for c in range(channels):
            a, b = gamma[g * channels + c], beta[g * channels + c]
            for i in range(length):
                row, hat, out = x[g, c, i], xhat[g, c, i], y[g, c, i]
                for k in range(n):
                    h = (row[k] - center[k]) * scale[k]
                    hat[k] = h
                    out[k] = a * h + b


@jit
def _backward(
    dy: Array, xhat: Array, sigma: Array, gamma: Array, dgamma: Array, dbeta: Array, dx: Array,
    first: int, last: int,
) -> None:  # fmt: skip
    """Groups first to last: dx, and dγ and dβ, which are added to."""
    _, channels, length, n = dy.shape
    m = channels * length
    plain, along = np.empty(n, dy.dtype), np.empty(n, dy.dtype)
    mean, slope = np.empty(n), np.empty(n)  # of g = γ dy, and of g x̂
    for g in range(first, last):
        mean[:] = 0
        slope[:] = 0
        for c in range(channels):
            plain[:] = 0
            along[:] = 0
            for i in range(length):
                row, hat = dy[g, c, i], xhat[g, c, i]
                for k in range(n):
                    plain[k] += row[k]
                    along[k] += row[k] * hat[k]
            a, total, product = gamma[g * channels + c], 0.0, 0.0
            for k in range(n):
                total += plain[k]
                product += along[k]
                mean[k] += a * plain[k]
                slope[k] += a * along[k]
            dbeta[g * channels + c] += total
            dgamma[g * channels + c] += product
        scale = (1 / sigma[g]).astype(dy.dtype)
        center, tilt = (mean / m).astype(dy.dtype), (slope / m).astype(dy.dtype)
        for c in range(channels):
            a = gamma[g * channels + c]
            for i in range(length):
                row, hat, out = dy[g, c, i], xhat[g, c, i], dx[g, c, i]
                for k in range(n):
                    out[k] = (a * row[k] - center[k] - hat[k] * tilt[k]) * scale[k]


@parallel_jit
def _forward_parallel(
    x: Array, gamma: Array, beta: Array, eps: float, y: Array, xhat: Array, sigma: Array,
    bounds: Array,
) -> None:  # fmt: skip
    for t in numba.prange(len(bounds) - 1):
        _forward(x, gamma, beta, eps, y, xhat, sigma, bounds[t], bounds[t + 1])


@parallel_jit
def _backward_parallel(
    dy: Array, xhat: Array, sigma: Array, gamma: Array, dgamma: Array, dbeta: Array, dx: Array,
    bounds: Array,
) -> None:  # fmt: skip
    for t in numba.prange(len(bounds) - 1):
        _backward(dy, xhat, sigma, gamma, dgamma, dbeta, dx, bounds[t], bounds[t + 1])


def group_norm(
    x: Array, groups: int, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array, Array]:
    if groups < 1 or not _takes(x, gamma, beta) or x.shape[1] % groups:
        return reference.group_norm(x, groups, gamma, beta, eps)
    u = _grouped(x, groups)
    y, xhat, sigma = (
        empty(u.shape, u.dtype),
        empty(u.shape, u.dtype),
        empty((groups, len(x)), u.dtype),
    )
    threads = claim_threads() if x.size >= _MIN_PARALLEL_SIZE else 1
    if threads > 1:
        bounds = split_points(groups, threads)
        run_parallel(_forward_parallel, u, gamma, beta, eps, y, xhat, sigma, bounds)
    else:
        _forward(u, gamma, beta, eps, y, xhat, sigma, 0, groups)
    y = y.transpose(3, 0, 1, 2).reshape(x.shape)
    return y, xhat.transpose(3, 0, 1, 2), sigma.T[:, :, None, None]


def group_norm_backward(
    dy: Array, xhat: Array, sigma: Array, gamma: Array, dgamma: Array, dbeta: Array
) -> Array:
    groups = xhat.shape[1] if xhat.ndim == 4 else 0
    n, channels = dy.shape[:2] if dy.ndim > 1 else (0, 0)
    fits = _takes(dy, gamma, dgamma, dbeta) and groups and not channels % groups
    fits = fits and xhat.shape[:3] == (n, groups, channels // groups) and xhat.size == dy.size
    fits = fits and sigma.shape == (n, groups, 1, 1) and dgamma.flags.writeable
    if not fits or not (same_float(dy, xhat) and same_float(dy, sigma) and dbeta.flags.writeable):
        return reference.group_norm_backward(dy, xhat, sigma, gamma, dgamma, dbeta)
    u, h = _grouped(dy, groups), np.ascontiguousarray(xhat.transpose(1, 2, 3, 0))
    s = np.ascontiguousarray(sigma[:, :, 0, 0].T)
    dx = empty(u.shape, u.dtype)
    threads = claim_threads() if dy.size >= _MIN_PARALLEL_SIZE else 1
    if threads > 1:
        bounds = split_points(groups, threads)
        run_parallel(_backward_parallel, u, h, s, gamma, dgamma, dbeta, dx, bounds)
    else:
        _backward(u, h, s, gamma, dgamma, dbeta, dx, 0, groups)
    return dx.transpose(3, 0, 1, 2).reshape(dy.shape)


def _takes(x: Array, *thetas: Array) -> bool:
    return (
        is_float_array(x)
        and x.ndim > 1
        and len(x) >= _MIN_BATCH
        and x.size > 0
        and of_channels(x, *thetas)
    )


def _grouped(a: Array, groups: int) -> Array:
    """(N, C, …) as a contiguous (G, C/G, L, N)"""
    return channel_rows(a).reshape(groups, a.shape[1] // groups, -1, len(a))
