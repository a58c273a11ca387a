"""Activations: y = f(x), element by element, with f, f′ and f″ next to each other.

``forward`` computes f. It caches x or y, whichever gives the simpler derivatives. From that cache
``slope`` computes f′ and ``curvature`` computes f″. The base class does the rest:

    Backward  dx = f′ · dy
    Tangent   ẏ = f′ · ẋ,  and for φ = ⟨dẏ, ẏ⟩:  ∂φ/∂ẋ = f′ · dẏ,  ∂φ/∂x = f″ · ẋ · dẏ

Those of the form y = x g(x) are in :mod:`tinyae.layers.gated`. Softmax, which mixes the entries of a
sample, is in :mod:`tinyae.layers.softmax`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae import kernels
from tinyae.arguments import number
from tinyae.layers.base import Layer, check_dy, check_input
from tinyae.param import Array
from tinyae.twin import fused

__all__ = [
    "Activation",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "SELU",
    "Sigmoid",
    "HardSigmoid",
    "Tanh",
    "Softplus",
]


class Activation(Layer):
    """y = f(x), element by element. A subclass defines ``forward``, ``slope`` and ``curvature``."""

    def slope(self, cache: Any) -> Array:
        """f′"""
        raise NotImplementedError

    def curvature(self, cache: Any) -> Array | None:
        """f″, or None where it is zero"""
        raise NotImplementedError

    @fused
    def backward(self, dy: Array, cache: Any) -> Array:
        dy = check_dy(self, dy, cache.shape, cache.dtype)
        return dy * self.slope(cache)

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        return xdot * self.slope(cache), (xdot, cache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array | None]:
        xdot, cache = tcache
        curvature = self.curvature(cache)
        dx = None if curvature is None else curvature * xdot * dydot
        return dydot * self.slope(cache), dx


class ReLU(Activation):
    """f = max(x, 0)      f′ = [x > 0]      f″ = 0

    Cache     y (it is positive where x is)
    Source    Nair & Hinton (2010); at the kink, x = 0, f′ is taken as 0
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        y = kernels.relu(x)
        return y, y

    def slope(self, y: Array) -> Array:
        return np.sign(y)  # [y > 0], as y ≥ 0, and NaN where y is NaN

    def curvature(self, y: Array) -> None:
        return None


class LeakyReLU(Activation):
    """f = x if x > 0 else α x      f′ = 1 if x > 0 else α      f″ = 0

    Cache     y (for α > 0 it has x's sign)
    Raises    ValueError unless α > 0
    Source    Maas, Hannun & Ng (2013), eq. 2; at the kink f′ is taken as α
    """

    def __init__(self, alpha: float = 0.01) -> None:
        self.alpha = number("LeakyReLU", "alpha", alpha, 0.01)
        if not self.alpha > 0:
            raise ValueError(f"LeakyReLU: alpha is {alpha}, expected > 0; for α = 0 use ReLU()")

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        y = (np.maximum if self.alpha <= 1 else np.minimum)(x, self.alpha * x)
        return y, y

    def slope(self, y: Array) -> Array:
        slope = np.where(y > 0, 1, self.alpha).astype(y.dtype)
        return np.where(np.isnan(y), y, slope)

    def curvature(self, y: Array) -> None:
        return None

    def __repr__(self) -> str:
        return f"LeakyReLU({self.alpha})"


class ELU(Activation):
    """f = x if x > 0 else α (eˣ − 1)      f′ = 1 if x > 0 else α eˣ      f″ = 0 or α eˣ

    Cache     x (from y, f′ would be y + α, whose digits cancel as y nears −α)
    Raises    ValueError unless α > 0
    Source    Clevert, Unterthiner & Hochreiter (2016), eq. 15
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("ELU", "alpha", alpha, 1.0)
        if not self.alpha > 0:
            raise ValueError(f"ELU: alpha is {alpha}, expected > 0; for α = 0 use ReLU()")

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        return kernels.elu(x, self.alpha), x

    def slope(self, x: Array) -> Array:
        return np.where(x > 0, 1, self.alpha * np.exp(np.minimum(x, 0)))

    def curvature(self, x: Array) -> Array:
        return np.where(x > 0, 0, self.alpha * np.exp(np.minimum(x, 0)))

    def __repr__(self) -> str:
        return f"ELU({self.alpha})"


class SELU(Activation):
    """f = λ x if x > 0 else λ α (eˣ − 1)      f′ = λ if x > 0 else λ α eˣ      f″ = 0 or λ α eˣ

    λ and α are such that f(x) has mean 0 and variance 1 where x is standard normal. A deep network
    of Dense layers and SELU, with weights of mean 0 and variance 1/I, keeps both.

    Cache     x
    Source    Klambauer, Unterthiner, Mayr & Hochreiter (2017), eq. 2; at the kink f′ is taken as λ α
    """

    SCALE = 1.0507009873554805  # λ
    ALPHA = 1.6732632423543772

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        return self.SCALE * kernels.elu(x, self.ALPHA), x

    def slope(self, x: Array) -> Array:
        return self.SCALE * np.where(x > 0, 1, self.ALPHA * np.exp(np.minimum(x, 0)))

    def curvature(self, x: Array) -> Array:
        return self.SCALE * np.where(x > 0, 0, self.ALPHA * np.exp(np.minimum(x, 0)))


class Sigmoid(Activation):
    """f = 1 / (1 + e⁻ˣ)      f′ = y (1 − y)      f″ = y (1 − y) (1 − 2y)

    Cache     y
    Source    Goodfellow, Bengio & Courville (2016), §3.10, eq. 3.30 and 3.35
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        y = kernels.sigmoid(x)
        return y, y

    def slope(self, y: Array) -> Array:
        return y * (1 - y)

    def curvature(self, y: Array) -> Array:
        return y * (1 - y) * (1 - 2 * y)


class HardSigmoid(Activation):
    """f = min(max(α x + ½, 0), 1)      f′ = α where 0 < y < 1, else 0      f″ = 0

    Three straight lines in place of the sigmoid, without an exponential.

    Cache     y
    Raises    ValueError unless α > 0
    Source    Courbariaux, Bengio & David (2015), eq. 3, with α = ½; α = 1/6 as in Howard et al.
              (2019), §5.2. At the kinks f′ is taken as 0
    """

    def __init__(self, alpha: float = 1 / 6) -> None:
        self.alpha = number("HardSigmoid", "alpha", alpha, 0.2)
        if not self.alpha > 0:
            raise ValueError(f"HardSigmoid: alpha is {alpha}, expected > 0; pass e.g. alpha=0.2")

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        y = np.clip(self.alpha * x + 0.5, 0, 1)
        return y, y

    def slope(self, y: Array) -> Array:
        slope = np.where((y > 0) & (y < 1), self.alpha, 0).astype(y.dtype)
        return np.where(np.isnan(y), y, slope)

    def curvature(self, y: Array) -> None:
        return None

    def __repr__(self) -> str:
        return f"HardSigmoid({self.alpha})"


class Tanh(Activation):
    """f = tanh x      f′ = 1 − y²      f″ = −2 y (1 − y²)

    Cache     y
    Source    LeCun, Bottou, Orr & Müller (1998), §4.4
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        y = kernels.tanh(x)
        return y, y

    def slope(self, y: Array) -> Array:
        return 1 - y * y

    def curvature(self, y: Array) -> Array:
        return -2 * y * (1 - y * y)


class Softplus(Activation):
    """f = ln(1 + eˣ)      f′ = σ(x) = 1 − e⁻ʸ      f″ = f′ (1 − f′)

    Computed as max(x, 0) + ln(1 + e^−|x|), which cannot overflow.

    Cache     y
    Source    Dugas et al. (2001); Goodfellow, Bengio & Courville (2016), §3.10, eq. 3.31
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x)
        y = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
        return y, y

    def slope(self, y: Array) -> Array:
        return -np.expm1(-y)

    def curvature(self, y: Array) -> Array:
        return -np.expm1(-y) * np.exp(-y)


def activations() -> tuple[type[Activation], ...]:
    """The library's activations, which act on one entry at a time; each needs no argument."""
    package = __name__.rpartition(".")[0]
    return tuple(c for c in Activation.__subclasses__() if c.__module__.startswith(f"{package}."))
