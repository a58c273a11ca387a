"""Activations that gate themselves: y = x g(x), where the gate g goes from 0 to 1 as x grows.

They follow ReLU, x [x > 0], but their slope has no jump (Hardswish's only at ±3). Below 0 each dips
under zero and comes back. Where g vanishes, x is bounded: f(−∞) is 0, not −∞ · 0; the bound lies
where g is 0 or 1 in every precision, so that it changes no other number.

    Slope     f′ = g + x g′          Curvature  f″ = 2 g′ + x g″
"""

from __future__ import annotations

import math

import numpy as np

from tinyae import kernels
from tinyae.layers.activation import Activation
from tinyae.layers.base import check_input
from tinyae.param import Array

__all__ = ["GELU", "TanhGELU", "SiLU", "Mish", "Hardswish"]


class GELU(Activation):
    """f = x Φ(x)      f′ = Φ(x) + x φ(x)      f″ = (2 − x²) φ(x)

    Φ is the standard normal's distribution, ½ (1 + erf(x/√2)), and φ its density. Φ is computed as
    ½ erfc(−x/√2), which holds its digits in the tail.

    Cache     x
    Source    Hendrycks & Gimpel (2016), §2; the exact form; TanhGELU is the approximation
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        return np.maximum(x, -40.0) * self._Phi(x), x

    def slope(self, x: Array) -> Array:
        x = np.clip(x, -40.0, 40.0)
        return self._Phi(x) + x * self._phi(x)

    def curvature(self, x: Array) -> Array:
        x = np.clip(x, -40.0, 40.0)
        return (2 - x * x) * self._phi(x)

    def _Phi(self, x: Array) -> Array:
        return 0.5 * kernels.erfc(x * -math.sqrt(0.5))

    def _phi(self, x: Array) -> Array:
        return np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


class TanhGELU(Activation):
    """f = x s,   s = σ(v),   v = √(8/π) (x + 0.044715 x³)

    f′ = s + x v′ s (1 − s)      f″ = s (1 − s) (2 v′ + x v″ + x v′² (1 − 2s))

    GELU with ½ (1 + tanh(v/2)) in place of Φ(x); they differ by at most 0.0005. σ(v) is the same and
    holds the digits that 1 + tanh loses in the tail.

    Cache     x
    Source    Hendrycks & Gimpel (2016), §2; as in GPT-2
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        return np.maximum(x, -40.0) * kernels.sigmoid(self._v(np.clip(x, -40.0, 40.0))), x

    def slope(self, x: Array) -> Array:
        x = np.clip(x, -40.0, 40.0)
        s = kernels.sigmoid(self._v(x))
        return s + x * self._v_slope(x) * (s * (1 - s))

    def curvature(self, x: Array) -> Array:
        x = np.clip(x, -40.0, 40.0)
        s, v1 = kernels.sigmoid(self._v(x)), self._v_slope(x)
        v2 = math.sqrt(8 / math.pi) * 6 * 0.044715 * x
        return s * (1 - s) * (2 * v1 + x * v2 + x * v1 * v1 * (1 - 2 * s))

    def _v(self, x: Array) -> Array:
        return math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x)

    def _v_slope(self, x: Array) -> Array:
        return math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * x * x)


class SiLU(Activation):
    """f = x σ(x)      f′ = σ(x) (1 + x (1 − σ(x)))      f″ = σ(x) (1 − σ(x)) (2 + x (1 − 2 σ(x)))

    Cache     x
    Source    Elfwing, Uchibe & Doya (2018), eq. 3; Ramachandran, Zoph & Le (2017) call it Swish
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        return kernels.silu(x), x

    def slope(self, x: Array) -> Array:
        x = np.clip(x, -800.0, 800.0)
        s = kernels.sigmoid(x)
        return s * (1 + x * (1 - s))

    def curvature(self, x: Array) -> Array:
        x = np.clip(x, -800.0, 800.0)
        s = kernels.sigmoid(x)
        return s * (1 - s) * (2 + x * (1 - 2 * s))


class Mish(Activation):
    """f = x t,   t = tanh(softplus(x)),   softplus(x) = ln(1 + eˣ)

    With s = σ(x) and r = σ(−x) = e^−softplus(x):   t = (1 − r²)/(1 + r²) = s (1 + r)/(1 + r²), and
    t′ = (1 − t²) s = 4 r² s/(1 + r²)². In these forms no digits cancel.

    f′ = t + x t′      f″ = t′ (2 + x (1 − s (1 + 2t)))

    Cache     x
    Source    Misra (2020), eq. 1
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        return np.maximum(x, -800.0) * self._gate(x)[0], x

    def slope(self, x: Array) -> Array:
        x = np.clip(x, -800.0, 800.0)
        t, t_slope, _ = self._gate(x)
        return t + x * t_slope

    def curvature(self, x: Array) -> Array:
        x = np.clip(x, -800.0, 800.0)
        t, t_slope, s = self._gate(x)
        return t_slope * (2 + x * (1 - s * (1 + 2 * t)))

    def _gate(self, x: Array) -> tuple[Array, Array, Array]:
        """t, t′ and s"""
        s, r = kernels.sigmoid(x), kernels.sigmoid(-x)
        q = 1 + r * r
        return s * (1 + r) / q, 4 * s * r * r / (q * q), s


class Hardswish(Activation):
    """f = x min(max(x + 3, 0), 6) / 6      f′ = 0, x/3 + ½ or 1      f″ = 0, ⅓ or 0

    for x ≤ −3, between, and x ≥ 3. SiLU with straight lines in place of the sigmoid.

    Cache     x
    Source    Howard et al. (2019), §5.2; at ±3 f′ is taken as 0 and 1
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        return np.maximum(x, -3) * (np.clip(x + 3, 0, 6) / 6), x

    def slope(self, x: Array) -> Array:
        between = np.clip(x, -3, 3) / 3 + 0.5
        return np.where(x <= -3, 0, np.where(x >= 3, 1, between))

    def curvature(self, x: Array) -> Array:
        curvature = (np.abs(x) < 3).astype(x.dtype) / 3
        return np.where(np.isnan(x), x, curvature)
