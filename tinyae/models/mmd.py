"""The maximum mean discrepancy: how far two sets of samples are from having one distribution.

A kernel k(a, b) says how alike two points are. If two distributions are one, draws are as alike
within them as between them; with the kernels here the converse holds too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinyae.arguments import number
from tinyae.param import Array


class Kernel:
    """``k, dk = kernel(r)`` from squared distances r; dk is ∂k/∂r. One unit of r is the mean of two
    draws of N(0, I): r = ‖a − b‖² / 2d in d dimensions.
    """

    def __call__(self, r: Array) -> tuple[Array, Array]:
        raise NotImplementedError


class InverseMultiquadratic(Kernel):
    """A sum of kernels with heavy tails: codes far away from the prior still get a gradient.

    Forward   k = Σ_c c/(c + r)
    Backward  ∂k/∂r = −Σ_c c/(c + r)²
    Raises    ValueError unless the scales c are numbers > 0
    Source    Tolstikhin, Bousquet, Gelly & Schölkopf (2018), §4, with C = 2dc; several scales: their
              published code
    """

    def __init__(self, scales: Sequence[float] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)) -> None:
        if not isinstance(scales, (list, tuple, np.ndarray)) or not len(scales):
            raise ValueError(
                f"InverseMultiquadratic: scales is {scales!r}, expected numbers > 0; "
                "pass e.g. (0.5, 1, 2)"
            )
        self.scales = tuple(_positive("InverseMultiquadratic", "scales", c) for c in scales)

    def __call__(self, r: Array) -> tuple[Array, Array]:
        k, dk = np.zeros_like(r), np.zeros_like(r)
        for c in self.scales:
            part = c / (c + r)
            k += part
            dk -= part * part / c
        return k, dk

    def __repr__(self) -> str:
        return f"InverseMultiquadratic({self.scales})"


class GaussianKernel(Kernel):
    """The kernel whose discrepancy is known in closed form between normal distributions.

    Forward   k = exp(−r / 2ℓ²)
    Backward  ∂k/∂r = −k / 2ℓ², which vanishes far away
    Raises    ValueError unless the width ℓ > 0
    Source    Gretton et al. (2012), §2.2
    """

    def __init__(self, width: float = 0.5) -> None:
        self.width = _positive("GaussianKernel", "width", width)

    def __call__(self, r: Array) -> tuple[Array, Array]:
        k = np.exp(r / (-2 * self.width**2))
        return k, k / (-2 * self.width**2)

    def __repr__(self) -> str:
        return f"GaussianKernel({self.width:g})"


def mmd(z: Array, p: Array, kernel: Kernel) -> tuple[float, Array]:
    """The squared discrepancy of z and p, estimated without bias; and its gradient in z.

    Forward   MMD² = mean k(zᵢ, zⱼ) over i ≠ j + mean k(pᵢ, pⱼ) over i ≠ j − 2 mean k(zᵢ, pⱼ)
    Shapes    z (n, d)   p (m, d)
    Backward  dzᵢ = Σⱼ Aᵢⱼ (zᵢ − zⱼ) + Σⱼ Bᵢⱼ (zᵢ − pⱼ)
              A = 2 k′(zᵢ, zⱼ)/(n(n − 1)d), 0 where i = j      B = −2 k′(zᵢ, pⱼ)/(nmd)
    Units     the kernel's. The mean of many estimates is ≥ 0, a single one may be below
    Source    Gretton et al. (2012), eq. 3

    A pair i ≠ j occurs twice, as does zᵢ in ‖zᵢ − zⱼ‖² = … − 2 ⟨zᵢ, zⱼ⟩: hence the 2 in A. A set of
    one sample has no pairs, and leaves out its mean. Computed in float64.
    """
    dtype, z, p = z.dtype, z.astype(np.float64), p.astype(np.float64)
    n, m, d = len(z), len(p), z.shape[1]
    among_z, dk = kernel(_distances(z, z))
    among_p, _ = kernel(_distances(p, p))
    between, dk_between = kernel(_distances(z, p))
    value = _pairs(among_z) + _pairs(among_p) - 2 * between.mean()

    A = 2 * dk / (max(n * (n - 1), 1) * d)
    np.fill_diagonal(A, 0)
    B = -2 * dk_between / (n * m * d)
    dz = A.sum(axis=1, keepdims=True) * z - A @ z + B.sum(axis=1, keepdims=True) * z - B @ p
    return float(value), dz.astype(dtype)


def _distances(a: Array, b: Array) -> Array:
    """‖aᵢ − bⱼ‖² / 2d"""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squares, 0) / (2 * a.shape[1])


def _pairs(k: Array) -> float:
    """The mean over i ≠ j."""
    n = len(k)
    return float((k.sum() - np.trace(k)) / max(n * (n - 1), 1))


def _positive(who: str, name: str, value: float) -> float:
    value = number(who, name, value, 1.0)
    if not 0 < value < math.inf:
        raise ValueError(f"{who}: {name} is {value}, expected > 0 and finite; pass e.g. 1.0")
    return value
