"""How noise is added to data step by step, and what a network predicts of it.

At step t, x_t = a_t x + s_t ε with a² + s² = 1: from x itself at t = 0 to noise at t = T. Any two of
x, ε and x_t give the third, so a network may predict x, ε, or the mixture v.
"""

from __future__ import annotations

import numpy as np

from tinyae.arguments import positive_int
from tinyae.param import Array


class CosineSchedule:
    """a falls as a cosine, so that no steps are wasted on what is noise already.

    Forward   a_t² = h(t)/h(0),   h(t) = cos²(π/2 · (t/T + 0.008)/1.008),   t = 0, …, T
    Units     a is held above 10⁻³ at t = T, as the step variance is held below 0.999 in the paper
    Source    Nichol & Dhariwal (2021), eq. 17
    """

    def __init__(self, steps: int = 1000) -> None:
        self.steps = positive_int("CosineSchedule", "steps", steps, 1000)

    @property
    def signal(self) -> Array:
        """a_0, …, a_T"""
        t = np.arange(self.steps + 1) / self.steps
        h = np.cos(np.pi / 2 * (t + 0.008) / 1.008)
        return np.maximum(h / h[0], 1e-3)

    def __repr__(self) -> str:
        return f"CosineSchedule({self.steps})"


class Prediction:
    """What the network's output means: a subclass says its target, and what x and ε follow from it."""

    def target(self, x: Array, eps: Array, a: Array, s: Array) -> Array:
        raise NotImplementedError

    def clean(self, out: Array, xt: Array, a: Array, s: Array) -> Array:
        """The x that belongs to an output."""
        raise NotImplementedError

    def noise(self, out: Array, xt: Array, a: Array, s: Array) -> Array:
        """The ε that belongs to an output."""
        return (xt - a * self.clean(out, xt, a, s)) / s

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PredictNoise(Prediction):
    """target = ε      x = (x_t − s ε)/a      (Ho, Jain & Abbeel 2020, eq. 14)"""

    def target(self, x: Array, eps: Array, a: Array, s: Array) -> Array:
        return eps

    def clean(self, out: Array, xt: Array, a: Array, s: Array) -> Array:
        return (xt - s * out) / a

    def noise(self, out: Array, xt: Array, a: Array, s: Array) -> Array:
        return out


class PredictClean(Prediction):
    """target = x: a denoising autoencoder for every level of noise"""

    def target(self, x: Array, eps: Array, a: Array, s: Array) -> Array:
        return x

    def clean(self, out: Array, xt: Array, a: Array, s: Array) -> Array:
        return out


class PredictVelocity(Prediction):
    """target v = a ε − s x      x = a x_t − s v      ε = s x_t + a v

    (x_t, v) is (x, ε), turned by the angle whose cosine is a. Source: Salimans & Ho (2022), appendix D
    """

    def target(self, x: Array, eps: Array, a: Array, s: Array) -> Array:
        return a * eps - s * x

    def clean(self, out: Array, xt: Array, a: Array, s: Array) -> Array:
        return a * xt - s * out

    def noise(self, out: Array, xt: Array, a: Array, s: Array) -> Array:
        return s * xt + a * out
