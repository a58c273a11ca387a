"""Optimizers. Each adds one idea to an earlier one: SGD → Momentum → Nesterov; RMSProp → Adam →
AdamW.

    terms = model.backprop(x, rng)
    optimizer.step(model.params)

η is the learning rate, θ a parameter, g its gradient. All operations are elementwise. The learning
rate may change from step to step (:mod:`tinyae.schedules`), and gradients may be clipped before a
step (:mod:`tinyae.clipping`). A frozen Param (``layer.freeze()``) stays where it is.

Weights may be pulled to zero in two ways. ``l2`` is a penalty: it adds λ θ to the gradient, before any
moment. The decay of :class:`AdamW` passes the moments by. Both leave out biases and the scales of
norms, unless ``decay`` says otherwise, a function of a Param's dotted name and the Param:

    Adam(1e-3, l2=1e-4)                                           # weights alone
    AdamW(1e-3, decay=everything)                                 # biases and norms too
    AdamW(1e-3, decay=lambda name, p: name.startswith("encoder")) # of your own choice
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tinyae import kernels, lazy
from tinyae.clipping import clip_by_global_norm  # noqa: F401  old import path
from tinyae.kernels.reference import ParamGroup
from tinyae.optimizer import Decay, Optimizer, check_range, everything, weights

if TYPE_CHECKING:
    from tinyae.schedules import Schedule

_SCHEDULES = ("Constant", "Cosine", "Exponential", "Schedule", "StepDecay", "WarmUp")
# The old import path, when it is wanted.
__getattr__ = lazy.attach(__name__, {name: f"tinyae.schedules:{name}" for name in _SCHEDULES})

__all__ = [
    "Optimizer", "SGD", "Momentum", "Nesterov", "RMSProp", "Adam", "AdamW", "Decay",
    "everything", "weights",
]  # fmt: skip


class SGD(Optimizer):
    """Stochastic gradient descent: a step straight downhill.

    Forward   θ ← θ − η g
    Source    Robbins & Monro (1951)
    """

    def __init__(
        self, learning_rate: float | Schedule = 0.01, *, l2: float = 0.0, decay: Decay = weights
    ) -> None:
        super().__init__(learning_rate, l2, decay)

    def update(self, group: ParamGroup, rate: float, steps: int) -> None:
        kernels.sgd(group, rate)


class Momentum(Optimizer):
    """SGD with inertia: the velocity grows where gradients agree and cancels where they alternate.

    Forward   v ← μ v + g      θ ← θ − η v
    Source    Polyak (1964), eq. 9; Sutskever et al. (2013), eq. 1, with −η v for their velocity
    """

    slots = ("v",)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        mu: float = 0.9,
        *,
        l2: float = 0.0,
        decay: Decay = weights,
    ) -> None:
        super().__init__(learning_rate, l2, decay)
        self.mu = check_range(type(self).__name__, "mu", mu, 0, 1)

    def update(self, group: ParamGroup, rate: float, steps: int) -> None:
        kernels.momentum(group, rate, self.mu)


class Nesterov(Momentum):
    """Momentum that looks ahead: the gradient is taken where the velocity is about to lead.

    Forward   v ← μ v + g      θ ← θ − η (g + μ v)
    Source    Nesterov (1983); Sutskever et al. (2013), eq. 3–4, where our θ is their
              look-ahead point θ + μ v, so that g is always taken at θ
    """

    def update(self, group: ParamGroup, rate: float, steps: int) -> None:
        kernels.nesterov(group, rate, self.mu)


class RMSProp(Optimizer):
    """SGD with a step size for each entry: its gradient, divided by its recent root mean square.

    Forward   s ← ρ s + (1 − ρ) g²      θ ← θ − η g / (√s + ε)
    Source    Tieleman & Hinton (2012), lecture 6.5
    """

    slots = ("s",)

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        rho: float = 0.9,
        eps: float = 1e-8,
        *,
        l2: float = 0.0,
        decay: Decay = weights,
    ) -> None:
        super().__init__(learning_rate, l2, decay)
        self.rho = check_range(type(self).__name__, "rho", rho, 0, 1)
        self.eps = check_range(type(self).__name__, "eps", eps, 0, math.inf)

    def update(self, group: ParamGroup, rate: float, steps: int) -> None:
        kernels.rmsprop(group, rate, self.rho, self.eps)


class Adam(Optimizer):
    """Momentum and RMSProp together, with both averages corrected for starting at zero.

    Forward   m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
              θ ← θ − η m̂ / (√v̂ + ε)      m̂ = m / (1 − β₁ᵗ)      v̂ = v / (1 − β₂ᵗ)
    Source    Kingma & Ba (2015), algorithm 1; t counts the steps of each Param separately
    """

    slots = ("m", "v")

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        *,
        l2: float = 0.0,
        decay: Decay = weights,
    ) -> None:
        super().__init__(learning_rate, l2, decay)
        self.beta1 = check_range(type(self).__name__, "beta1", beta1, 0, 1)
        self.beta2 = check_range(type(self).__name__, "beta2", beta2, 0, 1)
        self.eps = check_range(type(self).__name__, "eps", eps, 0, math.inf)

    def update(self, group: ParamGroup, rate: float, steps: int) -> None:
        kernels.adam(group, rate, self.beta1, self.beta2, self.eps, steps)


class AdamW(Adam):
    """Adam with decoupled weight decay: weights shrink without passing through the moments.

    Forward   θ ← (1 − η λ) θ, then Adam's step with the gradient alone
    Source    Loshchilov & Hutter (2019), algorithm 2, with λ scaled by η at every step

    By default only weights decay. A bias, and the scale and shift of a norm, hold a level, not a
    slope: pulled to zero they fit worse, and generalise no better. ``decay=everything`` decays all,
    as PyTorch's AdamW does.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        decay: Decay = weights,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, eps, decay=decay)
        self.weight_decay = check_range(
            type(self).__name__, "weight_decay", weight_decay, 0, math.inf
        )

    def update(self, group: ParamGroup, rate: float, steps: int) -> None:
        decay = self.weight_decay if group.decays else 0.0
        kernels.adamw(group, rate, self.beta1, self.beta2, self.eps, decay, steps)

    @property
    def _decays(self) -> bool:
        return self.weight_decay > 0
