"""Corruption: x̃ ~ q(x̃ | x), the noisy input of a denoising autoencoder.

    GaussianNoise    x + σ ε
    MaskingNoise     some entries set to 0, as if they were missing
    SaltAndPepper    some entries set to the lowest or highest value

Each is called with x and a generator, draws new noise at every call, and does not modify x.
Source: Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), §3.3 and §5.3.
"""

from __future__ import annotations

import numpy as np

from tinyae.arguments import check_generator, interval, number
from tinyae.arrays import check_float, check_real
from tinyae.param import Array


class Corruption:
    """``x̃ = corruption(x, rng)``, in x's shape and dtype."""

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        raise NotImplementedError

    def check(self, x: Array, rng: np.random.Generator) -> None:
        """Raise a TypeError unless x is an array of real numbers and rng a generator."""
        check_real(f"{type(self).__name__}: x", x)
        check_generator(type(self).__name__, rng)


class GaussianNoise(Corruption):
    """Isotropic Gaussian noise.

    Forward   x̃ = x + σ ε,   ε ~ N(0, 1) for each entry; then clipped to ``clip``, if given
    Shapes    x̃ as x
    Units     ``std`` is σ, in the data's unit
    Raises    ValueError unless σ ≥ 0 and ``clip``, if given, is (low, high) with low < high
    """

    def __init__(self, std: float = 0.2, clip: tuple[float, float] | None = None) -> None:
        self.std = number("GaussianNoise", "std", std, 0.2)
        if not 0 <= self.std < np.inf:
            raise ValueError(f"GaussianNoise: std is {std}, expected ≥ 0 and finite; pass e.g. 0.2")
        self.clip = None if clip is None else interval("GaussianNoise", "clip", clip, (0, 1))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        self.check(x, rng)
        check_float("GaussianNoise: x", x)
        noisy = rng.standard_normal(x.shape, x.dtype)
        noisy *= self.std
        noisy += x
        return noisy if self.clip is None else np.clip(noisy, *self.clip, out=noisy)

    def __repr__(self) -> str:
        return (
            f"GaussianNoise({self.std})"
            if self.clip is None
            else (f"GaussianNoise({self.std}, clip={self.clip})")
        )


class MaskingNoise(Corruption):
    """Entries set to zero at random.

    Forward   x̃ = m · x,   mᵢ ~ Bernoulli(1 − p) for each entry
    Shapes    x̃ as x
    Raises    ValueError unless 0 ≤ p ≤ 1

    Unlike dropout, the remaining entries are not scaled up.
    """

    def __init__(self, p: float = 0.3) -> None:
        self.p = _probability("MaskingNoise", p)

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        self.check(x, rng)
        return x * (rng.random(x.shape, np.float32) >= self.p)

    def __repr__(self) -> str:
        return f"MaskingNoise({self.p})"


class SaltAndPepper(Corruption):
    """Entries set to either end of their range at random, each end with equal probability.

    Forward   x̃ᵢ = xᵢ with probability 1 − p, ``low`` and ``high`` with p/2 each
    Shapes    x̃ as x
    Raises    ValueError unless 0 ≤ p ≤ 1 and low < high
    """

    def __init__(self, p: float = 0.1, low: float = 0.0, high: float = 1.0) -> None:
        self.p = _probability("SaltAndPepper", p)
        self.low = number("SaltAndPepper", "low", low, 0)
        self.high = number("SaltAndPepper", "high", high, 1)
        if not low < high:
            raise ValueError(
                f"SaltAndPepper: low is {low}, high {high}, expected low < high; pass e.g. 0 and 1"
            )

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        self.check(x, rng)
        u = rng.random(x.shape, np.float32)
        noisy = x.copy()
        noisy[u < self.p / 2] = self.low
        noisy[u >= 1 - self.p / 2] = self.high
        return noisy

    def __repr__(self) -> str:
        return f"SaltAndPepper({self.p}, low={self.low}, high={self.high})"


def _probability(who: str, p: float) -> float:
    value = number(who, "p", p, 0.3)
    if not 0 <= value <= 1:
        raise ValueError(f"{who}: p is {p}, expected a probability in [0, 1]; pass e.g. 0.3")
    return value
