"""The adversarial autoencoder: codes that are distributed as the prior, by a game.

The players are those of a GAN, but what is told apart are codes. The encoder is the generator: its
noise is the data, its samples are codes. The discriminator sees codes and draws from the prior.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.layers import Layer
from tinyae.losses import Loss
from tinyae.models.base import Model, Terms
from tinyae.models.checks import check_parts
from tinyae.models.gan import check_ends_in_logit, merged, one_each
from tinyae.models.gan_losses import GeneratorLoss, NonSaturating
from tinyae.models.gan_players import DiscriminatorPlayer, Player, prefixed
from tinyae.models.prior_matching import PriorMatching
from tinyae.param import Array, Param


class AdversarialAutoencoder(PriorMatching):
    """An autoencoder whose encoder also plays against a discriminator of codes.

    Forward   z = f(x)      y = g(z)      p ~ N(0, I)      s = D(·), a logit
              autoencoder   = L(y, x) − weight/n Σ ln σ(D(z))    (or another :class:`GeneratorLoss`)
              discriminator = −1/n Σ ln σ(D(p)) − 1/n Σ ln(1 − σ(D(z)))
              total = autoencoder + discriminator    (reported, but minimised by neither player)
    Shapes    x (N, …)   z, p (N, latent_dim)   y as x   s (N, 1)
    Backward  each player's own loss in its own parameters, see :class:`CodeDiscriminatorPlayer` and
              :class:`AutoencoderPlayer`
    Units     reconstruction: the loss's; the others nats a code, as a :class:`GAN`'s. ``real`` and
              ``fake`` are mean σ(D) of draws and of codes: 1/2 each, where D can only guess
    Raises    as :class:`PriorMatching`; ValueError if D ends in a Sigmoid
    Source    Makhzani, Shlens, Jaitly, Goodfellow & Frey (2016), §2.1, with a deterministic encoder

    Their encoder takes a step for the reconstruction and another against D. Here both gradients are
    added and make one step, as in Tolstikhin et al. (2018), algorithm 1. To check gradients, pass a
    player, as of a GAN.
    """

    def __init__(
        self,
        encoder: Layer,
        decoder: Layer,
        loss: Loss,
        discriminator: Layer,
        weight: float = 0.01,
        generator_loss: GeneratorLoss | None = None,
    ) -> None:
        super().__init__(encoder, decoder, loss, weight)
        self.generator_loss = generator_loss or NonSaturating()
        check_parts("AdversarialAutoencoder", Layer, discriminator=discriminator)
        check_parts("AdversarialAutoencoder", GeneratorLoss, generator_loss=self.generator_loss)
        check_ends_in_logit("AdversarialAutoencoder", discriminator)
        self.discriminator = discriminator
        self.real_label = 1.0

    @property
    def players(self) -> tuple[Model, ...]:
        """The discriminator, which is trained first, and the autoencoder."""
        return CodeDiscriminatorPlayer(self), AutoencoderPlayer(self)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return merged(player.objective(x, rng) for player in self.players)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        """Both players' gradients at the same point, each of its own loss."""
        return merged(player.backprop(x, rng) for player in self.players)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        return merged(player.evaluate_batch(x, rng) for player in self.players)

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        z = x
        for name, z in self.encoder.trace(x, "encoder"):
            yield name, z
        yield from self.discriminator.trace(z, "discriminator")
        yield from self.decoder.trace(z, "decoder")

    def logits(self, s: Array) -> Array:
        """Return s if it has one logit per code."""
        return one_each("AdversarialAutoencoder", s)


class CodeDiscriminatorPlayer(DiscriminatorPlayer):
    """A GAN's discriminator, of draws from the prior against codes.

    Forward   z = f(x)      p ~ N(0, I)      s = D(p)      s̃ = D(z)
              total = discriminator = BCE(σ(s), 1) + BCE(σ(s̃), 0)
    Backward  as :class:`DiscriminatorPlayer`; the encoder gets no gradient: z is data here
    """

    def real_and_fake(
        self, x: Any, rng: np.random.Generator | None, inference: bool = False
    ) -> tuple[Array, Array]:
        f = self.game.encoder
        return self.game.prior(len(x), rng), f(x) if inference else f.forward(x)[0]


class AutoencoderPlayer(Player):
    """Encoder and decoder, which reconstruct x; the encoder's codes are to pass for draws of p(z).

    Forward   z = f(x)      y = g(z)      s̃ = D(z)
              total = reconstruction + weight · generator = L(y, x) + weight · L_G(s̃)
    Backward  dz = J_gᵀ dy + weight J_Dᵀ ds̃ (D's parameters get no gradient),  then through f
    """

    @property
    def params(self) -> dict[str, Param]:
        return prefixed("encoder", self.game.encoder) | prefixed("decoder", self.game.decoder)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        z, _ = self.game.encoder.forward(x)
        y, _ = self.game.decoder.forward(z)
        L, _ = self.game.loss(y, x)
        s, _ = self.game.discriminator.forward(z)
        return self._terms(L, self.game.generator_loss(self.game.logits(s))[0])

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        D, weight = self.game.discriminator, self.game.weight
        z, encoder_cache = self.game.encoder.forward(x)
        L, dz = self.game.decoder_step(z, x)
        s, cache = D.forward(z)
        fooled, ds = self.game.generator_loss(self.game.logits(s))
        dz = dz + weight * D.backward_input(ds, cache)
        self.game.encoder.backward_params(dz, encoder_cache)
        return self._terms(L, fooled)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        z = self.game.encoder(x)
        L = self.game.loss.evaluate(self.game.decoder(z), x)
        s = self.game.logits(self.game.discriminator(z))
        return self._terms(L, self.game.generator_loss(s)[0])

    def _terms(self, L: float, fooled: float) -> Terms:
        total = L + self.game.weight * fooled
        return {"total": total, "reconstruction": L, "generator": fooled}
