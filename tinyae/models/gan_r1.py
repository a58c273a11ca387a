"""R1: a price on the discriminator's slope where the data are, so that the game settles.

Where generated samples are as the data, a discriminator that still slopes pushes them away again.
The penalty's gradient is a second derivative, d ‖v‖² = 2 ⟨1, dJ v⟩ at v = Jᵀ1, for which
``tangent_backward`` differentiates φ = ⟨1, J v⟩ at fixed v, as in ``contractive.py``.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tinyae.layers import Layer
from tinyae.models.base import Model, Terms
from tinyae.models.checks import check_weight
from tinyae.models.gan import GAN
from tinyae.models.gan_players import DiscriminatorPlayer, GeneratorPlayer
from tinyae.param import Array


class R1GAN(GAN):
    """A GAN whose discriminator pays for its gradient at the data.

    Forward   discriminator, generator as of :class:`GAN`, the generator's loss non-saturating
              r1 = 1/n Σ ‖∂(Σ s)/∂xₙ‖²,   s = D(x), summed over x's entries
              the discriminator's total = discriminator + γ/2 · r1
    Backward  see :class:`PenalizedDiscriminator`
    Units     r1: logit² / data², raw, without γ/2
    Raises    NotImplementedError if a layer of D has no tangent
    Source    Mescheder, Geiger & Nowozin (2018), eq. 9 (R₁) and §4.1: with it the game converges
              locally, where the GAN without a penalty may cycle

    ``r1`` is γ. Where a layer of D looks at the whole batch (BatchNorm, MinibatchDeviation), the
    gradient is that of the sum of all logits, as in the official programs.
    """

    def __init__(
        self,
        generator: Layer,
        discriminator: Layer,
        *,
        r1: float = 1.0,
        latent_dim: int | None = None,
    ) -> None:
        self.r1 = check_weight(type(self).__name__, "r1", r1, "1.0")
        super().__init__(generator, discriminator, latent_dim=latent_dim)

    @property
    def players(self) -> tuple[Model, ...]:
        return PenalizedDiscriminator(self), GeneratorPlayer(self)


class PenalizedDiscriminator(DiscriminatorPlayer):
    """A discriminator's loss and γ/2 times its squared gradient at the data.

    Forward   s = D(x)      v = J_D(x)ᵀ 1      r1 = ‖v‖²/n      total = discriminator + γ/2 · r1
    Backward  the :class:`DiscriminatorPlayer`'s, and ∂/∂θ of γ/n ⟨1, J_D v⟩ at fixed v:
              ``tangent`` pushes v forward, ``tangent_backward`` pulls γ/n back
    Source    Mescheder, Geiger & Nowozin (2018), eq. 9
    """

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        D = self.game.discriminator
        fake, _ = self.game.generator.forward(self.game.noise(len(x), rng))
        s, real_cache = D.forward(self.alike(x, fake))
        s_fake, _ = D.forward(fake)
        terms = self.score(s, s_fake)[0]
        return self.with_penalty(terms, D.backward_input(np.ones_like(s), real_cache))

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        D = self.game.discriminator
        fake, _ = self.game.generator.forward(self.game.noise(len(x), rng))
        s, real_cache = D.forward(self.alike(x, fake))
        s_fake, fake_cache = D.forward(fake)
        terms, ds, ds_fake = self.score(s, s_fake)
        D.backward_params(ds_fake, fake_cache)
        D.backward_params(ds, real_cache)
        v = D.backward_input(np.ones_like(s), real_cache)
        _, tcache = D.tangent(v, real_cache)
        D.tangent_backward(np.full_like(s, self.game.r1 / len(x)), tcache)
        return self.with_penalty(terms, v)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        terms = super().evaluate_batch(x, rng)
        D = copy.deepcopy(self.game.discriminator)  # forward may change its running statistics
        s, cache = D.forward(x)
        return self.with_penalty(terms, D.backward_input(np.ones_like(s), cache))

    def with_penalty(self, terms: Terms, v: Array) -> Terms:
        r1 = float(np.vdot(v, v)) / len(v)
        return terms | {"total": terms["total"] + self.game.r1 / 2 * r1, "r1": r1}
