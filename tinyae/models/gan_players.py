"""The two players of a GAN. Each has its own loss, and its ``params`` are those it may change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.layers import Layer
from tinyae.losses import BCEWithLogits
from tinyae.models.base import Model, Terms
from tinyae.param import Array, Param

_bce = BCEWithLogits()
Run = Callable[[Layer, Array], Array]  # training, or inferring


class Player(Model):
    """One side of the game: its loss, and only the parameters that it may change.

    A player is a view of its GAN: create one when you need it, and save the GAN.
    """

    def __init__(self, gan: Any) -> None:
        self.game = gan

    def astype(self, dtype: DTypeLike) -> Any:
        """The same player of the same game in another dtype: the opponent is converted too."""
        return type(self)(self.game.astype(dtype))


class DiscriminatorPlayer(Player):
    """Learns to tell data from generated samples; here the generator only supplies samples.

    Forward   x̃ = G(z)      s = D(x)      s̃ = D(x̃)      (two passes, each with its cache)
              total = discriminator = BCE(σ(s), α) + BCE(σ(s̃), 0)
    Backward  ds = (σ(s) − α) / n      ds̃ = σ(s̃) / n
              ∂L/∂θ_D = J_D(x)ᵀ ds + J_D(x̃)ᵀ ds̃, the two passes' gradients added
    """

    @property
    def params(self) -> dict[str, Param]:
        return prefixed("discriminator", self.game.discriminator)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        real, fake = self.real_and_fake(x, rng)
        s, _ = self.game.discriminator.forward(real)
        s_fake, _ = self.game.discriminator.forward(fake)
        return self.score(s, s_fake)[0]

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        D = self.game.discriminator
        real, fake = self.real_and_fake(x, rng)
        s, real_cache = D.forward(real)
        s_fake, fake_cache = D.forward(fake)
        terms, ds, ds_fake = self.score(s, s_fake)
        D.backward_params(ds_fake, fake_cache)
        D.backward_params(ds, real_cache)
        return terms  # the generator gets no gradient: x̃ is data here

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        D = self.game.discriminator
        real, fake = self.real_and_fake(x, rng, inference=True)
        return self.score(D(real), D(fake))[0]

    def real_and_fake(
        self, x: Any, rng: np.random.Generator | None, inference: bool = False
    ) -> tuple[Array, Array]:
        """What D is to tell apart: x and x̃ = G(z)."""
        G, z = self.game.generator, self.game.noise(len(x), rng)
        fake = G(z) if inference else G.forward(z)[0]
        return self.alike(x, fake), fake

    def score(self, s: Array, s_fake: Array) -> tuple[Terms, Array, Array]:
        """The terms from the logits of real and of fake samples, with ds and ds̃."""
        self.game.logits(s)
        L, ds = _bce(s, np.full_like(s, self.game.real_label))
        L_fake, ds_fake = _bce(s_fake, np.zeros_like(s_fake))
        terms = {
            "total": L + L_fake,
            "discriminator": L + L_fake,
            "real": float(kernels.sigmoid(s).mean()),
            "fake": float(kernels.sigmoid(s_fake).mean()),
        }
        return terms, ds, ds_fake

    def alike(self, x: Array, fake: Array) -> Array:
        """Return x if the generator makes samples of its shape.

        Raises
            ValueError  otherwise
        """
        if x.shape != fake.shape:
            raise ValueError(
                f"GAN: x has shape {x.shape}, the generator makes {fake.shape}; they must be equal: "
                f"end the generator with Reshape{x.shape[1:]}, or pass x of the other shape"
            )
        return x


class GeneratorPlayer(Player):
    """Learns to make samples that the discriminator takes for data, by D's gradient alone.

    Forward   x̃ = G(z)      s̃ = D(x̃)      total = generator = L(s̃), see :class:`GeneratorLoss`
    Backward  ds̃ = ∂L/∂s̃      dx̃ = J_Dᵀ ds̃ (D's parameters get no gradient)
              ∂L/∂θ_G = J_G(z)ᵀ dx̃
    """

    @property
    def params(self) -> dict[str, Param]:
        return prefixed("generator", self.game.generator)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        fake, _ = self.game.generator.forward(self.game.noise(len(x), rng))
        s, _ = self.game.discriminator.forward(fake)
        L, _ = self.game.generator_loss(self.game.logits(s))
        return {"total": L, "generator": L}

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        fake, generator_cache = self.game.generator.forward(self.game.noise(len(x), rng))
        s, cache = self.game.discriminator.forward(fake)
        L, ds = self.game.generator_loss(self.game.logits(s))
        dfake = self.game.discriminator.backward_input(ds, cache)
        self.game.generator.backward_params(dfake, generator_cache)
        return {"total": L, "generator": L}

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        fake = self.game.generator(self.game.noise(len(x), rng))
        L, _ = self.game.generator_loss(self.game.logits(self.game.discriminator(fake)))
        return {"total": L, "generator": L}


def prefixed(name: str, part: Layer) -> dict[str, Param]:
    """A part's parameters by their names in the game."""
    return {f"{name}.{key}": p for key, p in part.params.items()}


def training(part: Layer, x: Array) -> Array:
    """What a part gives in training mode."""
    return part.forward(x)[0]


def inferring(part: Layer, x: Array) -> Array:
    """What a part gives in inference mode."""
    return part(x)
