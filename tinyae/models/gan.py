"""Generative adversarial networks: a game of two players, each with a loss of its own.

The generator makes samples from noise; the discriminator estimates which samples are data. No
single loss decreases for both. So a GAN has two objectives, each a :class:`Player` with its own
parameters, and ``fit`` trains the players in turn.

    generator, discriminator = dcgan((1, 28, 28), rng=rng)
    model = GAN(generator, discriminator)
    fit(model, x, optimizer=(Adam(2e-4, beta1=0.5), Adam(2e-4, beta1=0.5)))
    model.sample(100, rng)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinyae import kernels
from tinyae.arguments import check_generator, number, positive_int
from tinyae.arrays import check_real
from tinyae.layers import Dense, Equalized, Layer, PixelNorm, Sequential, Tokenwise
from tinyae.models.base import Model, Terms
from tinyae.models.checks import check_parts, check_reach, output_range
from tinyae.models.gan_losses import GeneratorLoss, NonSaturating, Saturating
from tinyae.models.gan_players import DiscriminatorPlayer, GeneratorPlayer, Player
from tinyae.param import Array

__all__ = ["GAN", "GeneratorLoss", "NonSaturating", "Player", "Saturating"]


class GAN(Model):
    """A generator G and a discriminator D, which learn from each other.

    Forward   z ~ N(0, I)      x̃ = G(z)      s = D(·), a logit: σ(s) is the probability of "data"
              discriminator = −1/n Σ [α ln σ(D(x)) + (1 − α) ln(1 − σ(D(x)))]
                              −1/n Σ ln(1 − σ(D(x̃)))
              generator     = −1/n Σ ln σ(D(x̃))       (or another :class:`GeneratorLoss`)
              total = discriminator + generator      (reported, but minimised by neither player)
    Shapes    z (N, latent_dim)   x, x̃ (N, …)   s (N, 1)
    Backward  each player's own loss in its own parameters, see :class:`Player`
    Units     nats a sample; at the equilibrium, x̃ distributed as x and σ(s) = 1/2, the
              discriminator's is 2 ln 2 ≈ 1.386 (for α = 1) and the generator's ln 2 ≈ 0.693.
              ``real`` and ``fake`` are mean σ(D(x)) and mean σ(D(x̃)), probabilities
    Raises    ValueError  D ends in a Sigmoid (the losses take logits), or the latent size is not
              that of the generator's first layer
    Source    Goodfellow et al. (2014), algorithm 1, with one step of D for each of G

    ``real_label`` is α: a value below 1, such as 0.9, keeps D from becoming overconfident. It is
    one-sided: the label of fakes stays 0 (Salimans et al. 2016, §3.4). ``latent_dim`` is known for
    a generator that begins with Dense; for any other it must be given.

    To check gradients, pass a player, ``check_model(model.players[0], x)``: what ``backprop`` of
    the GAN adds is not the gradient of ``total``, because each player ignores the other's loss.

    Batch normalisation gets real and fake samples in separate passes, each with its own mean and
    variance, as is usual. Every pass updates the running statistics, in either player's turn.
    """

    def __init__(
        self,
        generator: Layer,
        discriminator: Layer,
        generator_loss: GeneratorLoss | None = None,
        *,
        real_label: float = 1.0,
        latent_dim: int | None = None,
    ) -> None:
        generator_loss = generator_loss or NonSaturating()
        check_parts("GAN", Layer, generator=generator, discriminator=discriminator)
        check_parts("GAN", GeneratorLoss, generator_loss=generator_loss)
        real_label = number("GAN", "real_label", real_label, 1.0)
        if not 0 < real_label <= 1:
            raise ValueError(
                f"GAN: real_label is {real_label}, expected a probability in (0, 1]; "
                "pass 1.0, or 0.9 for smoothing"
            )
        check_ends_in_logit("GAN", discriminator)
        self.generator = generator
        self.discriminator = discriminator
        self.generator_loss = generator_loss
        self.real_label = float(real_label)
        self.latent_dim = _latent_dim(generator, latent_dim)

    @property
    def players(self) -> tuple[Model, ...]:
        """The discriminator, which is trained first, and the generator."""
        return DiscriminatorPlayer(self), GeneratorPlayer(self)

    # --- training --------------------------------------------------------------------------

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return merged(player.objective(x, rng) for player in self.players)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        """Both players' gradients at the same point, each of its own loss."""
        return merged(player.backprop(x, rng) for player in self.players)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        return merged(player.evaluate_batch(x, rng) for player in self.players)

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        fake = z = self.noise(len(x), rng)
        for name, fake in self.generator.trace(z, "generator"):
            yield name, fake
        yield from self.discriminator.trace(fake, "discriminator")
        yield from self.discriminator.trace(x, "discriminator")

    def noise(self, n: int, rng: np.random.Generator | None) -> Array:
        """z ~ N(0, I), n rows."""
        rng = check_generator("GAN", rng)
        n = positive_int("GAN", "n", n)
        return rng.standard_normal((n, self.latent_dim)).astype(self.dtype, copy=False)

    def check_data(self, x: Any) -> None:
        """Check x as every model does, and that the generator can reach the data.

        Raises
            TypeError   a tuple of arrays: a GAN takes only samples
            ValueError  data beyond the generator's last layer: outside [0, 1] for Sigmoid,
                        outside [−1, 1] for Tanh
        """
        if isinstance(x, tuple):
            raise TypeError(
                f"GAN: x is a tuple of {len(x)} arrays, expected one array of samples; pass x alone"
            )
        super().check_data(x)
        bounds, last = output_range(self.generator)
        do = (
            f"the generator's last layer, {last}, reaches no further, so that D could tell "
            "its samples by that alone: scale the data, or end in another layer"
        )
        check_reach(self, x, (bounds, do))

    # --- use -------------------------------------------------------------------------------

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """n new samples x̃ = G(z), z ~ N(0, I), in inference mode."""
        return self.decode(self.noise(n, rng))

    def decode(self, z: Array) -> Array:
        """G(z), in inference mode, 1,024 rows at a time. Takes any real dtype."""
        check_real("GAN: z", z)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(
                f"GAN: z has shape {z.shape}, expected (N, {self.latent_dim}); "
                f"pass rng.standard_normal((n, {self.latent_dim}))"
            )
        return self._in_chunks(lambda part: self.in_data_units(self.generator(part)), z, "z")

    def discriminate(self, x: Array) -> Array:
        """σ(D(x)), the probability that each sample is data and not generated: (N,)."""
        s = self._in_chunks(lambda part: self.logits(self.discriminator(part)), x)
        return kernels.sigmoid(s[:, 0])

    def logits(self, s: Array) -> Array:
        """Return s if it has one logit per sample.

        Raises
            ValueError  otherwise
        """
        return one_each("GAN", s)


def one_each(who: str, s: Array) -> Array:
    """Return s if it has one number for each sample.

    Raises
        ValueError  otherwise
    """
    if s.ndim != 2 or s.shape[1] != 1:
        raise ValueError(
            f"{who}: the discriminator's output has shape {s.shape}, expected ({len(s)}, 1), one "
            "logit a sample; end it with Flatten() and Dense(…, 1)"
        )
    return s


def merged(parts: Iterable[Terms]) -> Terms:
    """The players' terms in one dictionary, with their totals added."""
    terms: Terms = {"total": 0.0}
    for part in parts:
        terms |= part | {"total": terms["total"] + part["total"]}
    return terms


def _latent_dim(generator: Layer, given: int | None) -> int:
    """The input width of the generator's first layer; the given size must be equal to it."""
    first: Layer = generator
    while True:
        if isinstance(first, Sequential) and first.layers:
            sizing = (part for part in first.layers if not isinstance(part, PixelNorm))
            first = next(sizing, first.layers[0])
        elif isinstance(first, (Equalized, Tokenwise)):
            first = first.layer
        else:
            break
    width = first.in_features if isinstance(first, Dense) else None
    if given is None:
        if width is None:
            raise ValueError(
                "GAN: latent_dim is not given and cannot be read off the generator's first layer, "
                f"{first!r:.60}; pass latent_dim=64, or begin with Dense(64, …)"
            )
        return width
    if width not in (None, positive_int("GAN", "latent_dim", given)):
        raise ValueError(
            f"GAN: latent_dim is {given}, the generator's first layer takes {width}; "
            "they must be equal: leave latent_dim out"
        )
    return int(given)


def check_ends_in_logit(who: str, discriminator: Layer) -> None:
    """Raise a ValueError if the discriminator's last layer bounds what it gives."""
    bounds, last = output_range(discriminator)
    if bounds is not None:
        raise ValueError(
            f"{who}: the discriminator ends in {last}, expected a logit, any real number: the losses "
            "apply σ themselves; leave the last activation out"
        )
