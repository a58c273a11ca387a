"""Progressive growing: the game begins with tiny images, and both players grow with them.

    model = ProGAN(*progan((1, 7, 7), channels=32, rng=rng))
    fit(model, x, optimizer=(Adam(2e-3, beta1=0.0), Adam(2e-3, beta1=0.0)))      # images of 7 × 7
    model.grow(channels=32, fade_steps=300, rng=rng)
    fit(model, x, …)                                                             # of 14 × 14

A new block is faded in beside what was there. At α = 0 the grown generator makes the old images,
each pixel doubled, and the grown discriminator sees them halved: nothing that was learnt is lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.arguments import check_generator, integer, positive_int
from tinyae.layers import AvgPool2d, Equalized, Fade, Layer, Sequential, Upsample2d
from tinyae.models.base import Model, Terms
from tinyae.models.gan_players import GeneratorPlayer
from tinyae.models.gan_r1 import R1GAN, PenalizedDiscriminator
from tinyae.models.progan_blocks import down_block, from_image, to_image, up_block
from tinyae.param import Array


class ProGAN(R1GAN):
    """A GAN that doubles its images with :meth:`grow`, and fades over to the larger ones.

    Forward   G = output ∘ [(1 − α) up(image_old(h)) + α image_new(block(h))],   h = trunk(z)
              D = trunk ∘ [(1 − α) features_old(half(x)) + α block(features_new(x))]
              data: (1 − α) up(half(x)) + α x, so that both see what can be made
              α rises from 0 to 1 over ``fade_steps`` steps of the discriminator, counted in ``steps``
              losses as of :class:`R1GAN`
    Shapes    x (N, C, H, W), halved until it has the size of the images, ``image_shape``
    Source    Karras, Aila, Laine & Lehtinen (2018), §2 and figure 2; appendix A.1 for the data.
              They minimise WGAN-GP's loss; the non-saturating one with R1 needs one step of D for
              each of G, and is what StyleGAN took later

    Begin with the pair of :func:`progan`, and grow between two runs of ``fit``.
    """

    def __init__(
        self,
        generator: Layer,
        discriminator: Layer,
        *,
        r1: float = 0.1,
        r1_samples: int = 8,
        fade_steps: int = 0,
        latent_dim: int | None = None,
    ) -> None:
        super().__init__(
            generator, discriminator, r1=r1, r1_samples=r1_samples, latent_dim=latent_dim
        )
        self.fade_steps = integer("ProGAN", "fade_steps", fade_steps, 0, 300)
        self.steps = np.zeros(())  # of the discriminator since the last growth
        self.image_shape = self._image_shape()

    @property
    def players(self) -> tuple[Model, ...]:
        return GrowingDiscriminator(self), GeneratorPlayer(self)

    @property
    def alpha(self) -> float:
        """The share of the newest blocks."""
        return min(float(self.steps) / self.fade_steps, 1.0) if self.fade_steps else 1.0

    def grow(self, channels: int, fade_steps: int, rng: np.random.Generator) -> None:
        """Double the images: add a block with ``channels`` to each player, with α = 0.

        Raises
            ValueError  α < 1, so that the last block would never come to full strength;
                        or players that :func:`progan` has not made
        """
        channels = positive_int("ProGAN.grow", "channels", channels)
        fade_steps = positive_int("ProGAN.grow", "fade_steps", fade_steps, 300)
        rng = check_generator("ProGAN.grow", rng)
        if self.alpha < 1:
            raise ValueError(
                f"ProGAN.grow: the newest blocks have the share α = {self.alpha:.3g}, expected 1; "
                f"train {self.fade_steps - int(self.steps)} steps more"
            )
        (*trunk, image, output), (features, *rest) = self._parts()
        depth, wide = self.image_shape[0], image.layer.in_channels
        more: dict[str, Any] = {"rng": rng, "dtype": self.dtype}
        larger = Sequential(*up_block(wide, channels, **more), to_image(channels, depth, **more))
        generator = Sequential(*trunk, Fade(Sequential(image, Upsample2d(2)), larger), output)
        halved = Sequential(AvgPool2d(2), features)
        block = from_image(depth, channels, **more), *down_block(channels, wide, **more)
        self.discriminator = Sequential(Fade(halved, Sequential(*block)), *rest)
        self.generator = generator
        self.fade_steps, self.image_shape = fade_steps, self._image_shape()
        self.steps[...] = 0

    def _parts(self) -> tuple[list[Any], list[Any]]:
        """The layers of both players, without what α = 1 has faded out."""
        G, D = _layers(self.generator), _layers(self.discriminator)
        if len(G) > 2 and isinstance(G[-2], Fade):
            G[-2:-1] = _layers(G[-2].new)
        if D and isinstance(D[0], Fade):
            D[:1] = _layers(D[0].new)
        if len(G) < 2 or len(D) < 2 or not isinstance(G[-2], Equalized):
            raise ValueError(
                "ProGAN.grow: the generator ends in "
                f"{self.generator!r:.60}, expected layers as progan() makes them, the last but one "
                "Equalized(Conv2d(…)) to the image; begin with ProGAN(*progan(…))"
            )
        return G, D

    def advance(self) -> None:
        """Count a step of the discriminator, and set α in both players."""
        self.steps[...] += 1
        for player in (self.generator, self.discriminator):
            for part in _layers(player):
                if isinstance(part, Fade):
                    part.alpha[...] = self.alpha

    def as_input(self, batch: Any) -> Any:
        """The images at the size of the game, mixed with coarser ones while a block fades in."""
        x = super().as_input(batch)
        if np.ndim(x) != 4:
            return x  # the discriminator's player says what is wrong
        size = self.image_shape[2]
        while x.shape[3] > size and x.shape[2] % 2 == x.shape[3] % 2 == 0:
            x = _half(x)
        if self.alpha < 1 and x.shape[1:] == self.image_shape:
            coarse = _half(x).repeat(2, axis=2).repeat(2, axis=3)
            x = coarse + x.dtype.type(self.alpha) * (x - coarse)
        return x

    def _image_shape(self) -> tuple[int, ...]:
        shape = self.generator(np.zeros((1, self.latent_dim), self.dtype)).shape[1:]
        if len(shape) != 3:
            raise ValueError(
                f"ProGAN: the generator makes samples of shape {shape}, expected images (C, H, W); "
                "begin with the pair of progan()"
            )
        return shape


class GrowingDiscriminator(PenalizedDiscriminator):
    """The penalised discriminator; each of its steps moves α on.

    Backward  as of :class:`PenalizedDiscriminator`; α is no parameter and has no gradient
    """

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        terms = super().backprop(x, rng)
        self.game.advance()
        return terms


def _layers(part: Any) -> list[Any]:
    """The layers of a Sequential; of any other layer none."""
    return list(getattr(part, "layers", ()))


def _half(x: Array) -> Array:
    """Images averaged over blocks of 2 × 2 pixels."""
    n, c, height, width = x.shape
    return x.reshape(n, c, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
