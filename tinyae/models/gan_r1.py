"""R1: a price on the discriminator's slope where the data are, so that the game settles.

Where generated samples are as the data, a discriminator that still slopes pushes them away again.
The penalty's gradient is a second derivative, d ‖v‖² = 2 ⟨1, dJ v⟩ at v = Jᵀ1, for which
``tangent_backward`` differentiates φ = ⟨1, J v⟩ at fixed v, as in ``contractive.py``.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tinyae.arguments import positive_int
from tinyae.layers import Layer
from tinyae.models.base import Model, Terms
from tinyae.models.checks import check_weight
from tinyae.models.gan import GAN
from tinyae.models.gan_players import DiscriminatorPlayer, GeneratorPlayer
from tinyae.param import Array


class R1GAN(GAN):
    """A GAN whose discriminator pays for its gradient at the data.

    Forward   discriminator, generator as of :class:`GAN`, the generator's loss non-saturating
              r1 = 1/k Σ ‖∂(Σ s)/∂xₙ‖²,   s = D(x), over the first k = ``r1_samples`` of a batch
              the discriminator's total = discriminator + γ/2 · r1
    Backward  see :class:`PenalizedDiscriminator`
    Units     r1: logit² / data², summed over x's entries, raw, without γ/2
    Raises    NotImplementedError if a layer of D has no tangent
    Source    Mescheder, Geiger & Nowozin (2018), eq. 9 (R₁) and §4.1: with it the game converges
              locally, where the GAN without a penalty goes on circling

    ``r1`` is γ. On the whole batch the penalty costs about as much as the loss does; on few samples
    it is cheap, and its mean over the batches is the same. Where a layer of D looks at the whole
    batch (BatchNorm, MinibatchDeviation), the gradient is that of the sum of all logits, as in the
    official programs.
    """

    def __init__(
        self,
        generator: Layer,
        discriminator: Layer,
        *,
        r1: float = 0.1,
        r1_samples: int = 8,
        latent_dim: int | None = None,
    ) -> None:
        who = type(self).__name__
        self.r1 = check_weight(who, "r1", r1, "0.1")
        self.r1_samples = positive_int(who, "r1_samples", r1_samples, 8)
        super().__init__(generator, discriminator, latent_dim=latent_dim)

    @property
    def players(self) -> tuple[Model, ...]:
        return PenalizedDiscriminator(self), GeneratorPlayer(self)

    def penalise(self, x: Array) -> Array:
        """v = Jᵀ1 at the first k samples; adds the gradient of γ/2 ‖v‖²/k to D's Params."""
        D = self.discriminator
        v, cache = self.slope(D, x)
        ydot, tcache = D.tangent(v, cache)
        D.tangent_backward(np.full_like(ydot, self.r1 / len(v)), tcache)
        return v

    def slope(self, D: Layer, x: Array) -> tuple[Array, Any]:
        """v = Jᵀ1 at the first k samples, and D's cache there."""
        s, cache = D.forward(x[: self.r1_samples])
        return D.backward_input(np.ones_like(s), cache), cache


class PenalizedDiscriminator(DiscriminatorPlayer):
    """A discriminator's loss and γ/2 times its squared gradient at k samples of the data.

    Forward   s = D(x)      v = J_D(x)ᵀ 1      r1 = ‖v‖²/k      total = discriminator + γ/2 · r1
    Backward  the :class:`DiscriminatorPlayer`'s, and ∂/∂θ of γ/k ⟨1, J_D v⟩ at fixed v:
              ``tangent`` pushes v forward, ``tangent_backward`` pulls γ/k back
    Source    Mescheder, Geiger & Nowozin (2018), eq. 9
    """

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        terms = super().objective(x, rng)
        return self.with_penalty(terms, self.game.slope(self.game.discriminator, x)[0])

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        terms = super().backprop(x, rng)
        return self.with_penalty(terms, self.game.penalise(x))

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        terms = super().evaluate_batch(x, rng)
        D = copy.deepcopy(self.game.discriminator)  # forward may change its running statistics
        return self.with_penalty(terms, self.game.slope(D, x)[0])

    def with_penalty(self, terms: Terms, v: Array) -> Terms:
        r1 = float(np.vdot(v, v)) / len(v)
        return terms | {"total": terms["total"] + self.game.r1 / 2 * r1, "r1": r1}
