"""Several sets of images and one generator, which is told into which set to translate.

    generator, discriminator = stargan((1, 28, 28), domains=5, rng=rng)
    model = StarGAN(generator, discriminator, domains=5)
    fit(model, (x, domain_of_x), optimizer=(Adam(1e-3, beta1=0.5), Adam(1e-3, beta1=0.5)))
    model.translate(x, np.full(len(x), 3))

With a generator for each direction, K sets would need K (K − 1) of them. Here the target is an
input, and the discriminator says of an image not only whether it is real but also of which set.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from tinyae.arguments import check_generator, positive_int
from tinyae.arrays import check_real
from tinyae.data.batches import count
from tinyae.layers import Layer
from tinyae.losses import L1
from tinyae.models.base import CHUNK, Model, Terms
from tinyae.models.checks import check_parts, check_reach, check_weight, output_range
from tinyae.models.classifier import cross_entropy
from tinyae.models.conditional import check_labels, join, one_hot
from tinyae.models.gan import check_ends_in_logit, merged
from tinyae.models.gan_losses import CriticLoss
from tinyae.models.gan_players import Player, Run, inferring, prefixed, training
from tinyae.models.wasserstein_gan import (
    GradientPenalty,
    between,
    check_differentiable_twice,
    norms_of,
)
from tinyae.param import Array, Param

_l1, _critic_loss = L1(), CriticLoss()


class StarGAN(GradientPenalty, Model):
    """One generator G(x, c) into K domains, and a discriminator that also names the domain.

    Forward   c ~ U{0, …, K − 1} for each sample      x̃ = G(x, c)      x̂ = G(x̃, t),   t the domain of x
              [s, l] = D(x)      [s̃, l̃] = D(x̃)      p = softmax(l)
              distance       = 1/n Σ s − 1/n Σ s̃
              classification = −1/n Σ ln p[t] of data, for D;   −1/n Σ ln p̃[c] of translations, for G
              reconstruction = mean |x̂ − x|
              discriminator = −distance + λ_gp gradient_penalty + λ_cls classification (of data)
              generator     = −1/n Σ s̃ + λ_cls classification (of x̃) + λ_rec reconstruction
              total = discriminator + generator      (reported, but minimised by neither player)
    Shapes    a batch is (x, t): x (N, C, …)   t (N,), ints 0 … K − 1
              G takes [x, one-hot c] on axis 1, (N, C + K, …), and gives (N, C, …)   D(x) (N, 1 + K)
    Backward  see :class:`StarDiscriminatorPlayer` and :class:`StarGeneratorPlayer`
    Units     ``named`` is the share of data that D names t, ``obeyed`` that of translations it names c;
              ``obedience`` is the classification of translations, G's
    Raises    TypeError, ValueError for a batch without domains, data that G cannot reach, and a
              discriminator with layers that a gradient penalty cannot have
    Source    Choi, Choi, Kim, Ha, Kim & Choo (2018), eq. 1-8

    ``classification``, ``reconstruction`` and ``penalty`` are λ_cls, λ_rec and λ_gp: 1, 10 and 10
    in the paper, which takes five steps of D for each of G; ``fit`` takes one of each.
    """

    def __init__(
        self,
        generator: Layer,
        discriminator: Layer,
        *,
        domains: int,
        classification: float = 1.0,
        reconstruction: float = 10.0,
        penalty: float = 10.0,
    ) -> None:
        check_parts("StarGAN", Layer, generator=generator, discriminator=discriminator)
        check_ends_in_logit("StarGAN", discriminator)
        check_differentiable_twice("StarGAN", discriminator, "discriminator")
        self.generator, self.discriminator = generator, discriminator
        self.domains = positive_int("StarGAN", "domains", domains, 3)
        self.classification = check_weight("StarGAN", "classification", classification, "1")
        self.reconstruction = check_weight("StarGAN", "reconstruction", reconstruction, "10")
        self.penalty = check_weight("StarGAN", "penalty", penalty, "10")

    @property
    def players(self) -> tuple[Model, ...]:
        """The discriminator, which is trained first, and the generator."""
        return StarDiscriminatorPlayer(self), StarGeneratorPlayer(self)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return merged(player.objective(x, rng) for player in self.players)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        """Both players' gradients at the same point, each of its own loss."""
        return merged(player.backprop(x, rng) for player in self.players)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        return merged(player.evaluate_batch(x, rng) for player in self.players)

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        images, _, c = self.with_target(x, rng)
        made = images
        for name, made in self.generator.trace(self.told(images, c), "generator"):
            yield name, made
        yield from self.discriminator.trace(made, "discriminator")
        yield from self.discriminator.trace(images, "discriminator")

    def check_data(self, x: Any) -> None:
        """Check the images as every model does, their domains, and that G can reach them."""
        super().check_data(x)
        images, _ = self.split(x)
        count(x)
        bounds, last = output_range(self.generator)
        do = f"the generator's last layer, {last}, reaches no further: scale the data"
        check_reach(self, images, (bounds, do))

    def split(self, batch: Any) -> tuple[Array, Array]:
        """The images and their domains.

        Raises
            TypeError, ValueError  anything but images and ints from 0 to K − 1
        """
        if not isinstance(batch, tuple) or len(batch) != 2:
            got = f"{len(batch)} arrays" if isinstance(batch, tuple) else "one array"
            raise TypeError(f"StarGAN: a batch is {got}, expected two; pass (x, domains)")
        return batch[0], check_labels("StarGAN", batch[1], "domains", self.domains)

    def with_target(
        self, batch: Any, rng: np.random.Generator | None
    ) -> tuple[Array, Array, Array]:
        """x, t, and a random target c for each."""
        x, t = self.split(batch)
        rng = check_generator("StarGAN", rng)
        return x, t, rng.integers(self.domains, size=len(x))

    def told(self, x: Array, c: Array) -> Array:
        """[x, c], what G takes."""
        return join(x, one_hot(c, self.domains, x.dtype))

    def verdict(self, y: Array) -> tuple[Array, Array]:
        """s (N, 1) and l (N, K) from D's output.

        Raises
            ValueError  D has not 1 + K outputs
        """
        if y.ndim != 2 or y.shape[1] != 1 + self.domains:
            raise ValueError(
                f"StarGAN: the discriminator's output has shape {y.shape}, expected ({len(y)}, "
                f"{1 + self.domains}): one number and a logit for each of {self.domains} domains; "
                f"end it with Flatten() and Dense(…, {1 + self.domains})"
            )
        return y[:, :1], y[:, 1:]

    # --- use -------------------------------------------------------------------------------

    def translate(self, x: Array, domains: Array) -> Array:
        """G(x, c) of each image with its target domain, in inference mode. Takes any real dtype."""
        check_real("StarGAN.translate: x", x)
        c = check_labels("StarGAN.translate: domains", domains, "domains", self.domains)
        if len(c) != len(x):
            raise ValueError(
                f"StarGAN.translate: {len(x)} images and {len(c)} domains; pass one for each, "
                "such as np.full(len(x), 2)"
            )
        chunks = [slice(k, k + CHUNK) for k in range(0, max(len(x), 1), CHUNK)]
        return np.concatenate([self._in_chunks(partial(self._made, c[k]), x[k]) for k in chunks])

    def domain_of(self, x: Array) -> Array:
        """The domain that the discriminator names for each image, (N,)."""
        logits = self._in_chunks(lambda part: self.verdict(self.discriminator(part))[1], x)
        return logits.argmax(axis=1)

    def _made(self, c: Array, x: Array) -> Array:
        return self.in_data_units(self.generator(self.told(x, c)))


class StarDiscriminatorPlayer(Player):
    """Learns to tell data from translations with slopes near 1, and to name the domain of data.

    Forward   [s, l] = D(x)      s̃ = D(G(x, c))      distance = 1/n Σ s − 1/n Σ s̃
              total = −distance + λ_gp gradient_penalty + λ_cls · cross-entropy of l and t
    Backward  ds = −1/n      ds̃ = 1/n      dl = λ_cls (p − onehot(t)) / n
              ∂L/∂θ_D = J_D(x)ᵀ [ds, dl] + J_D(x̃)ᵀ [ds̃, 0] + the penalty's, see
              :meth:`GradientPenalty.penalise`; G gets no gradient: x̃ is data here
    Source    Choi et al. (2018), eq. 2, 5 and 8
    """

    @property
    def params(self) -> dict[str, Param]:
        return prefixed("discriminator", self.game.discriminator)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return self._measure(x, rng, training)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        return self._measure(x, rng, inferring)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        game = self.game
        x, t, fake = self.data_and_fake(x, rng, training)
        y, real_cache = game.discriminator.forward(x)
        y_fake, fake_cache = game.discriminator.forward(fake)
        terms, dlogits = self._score(y, y_fake, t)
        norms = game.penalise(between(x, fake, rng))
        game.discriminator.backward_params(game.first(y_fake) / len(x), fake_cache)
        ds = np.full_like(y[:, :1], -1 / len(x))
        dy = np.concatenate([ds, game.classification * dlogits], axis=1)
        game.discriminator.backward_params(dy, real_cache)
        return self._terms(terms, norms)

    def _measure(self, batch: Any, rng: Any, run: Run) -> Terms:
        D = self.game.discriminator
        x, t, fake = self.data_and_fake(batch, rng, run)
        terms, _ = self._score(run(D, x), run(D, fake), t)
        return self._terms(terms, norms_of(self.game.gradient(between(x, fake, rng))[0]))

    def data_and_fake(
        self, batch: Any, rng: np.random.Generator | None, run: Run
    ) -> tuple[Array, Array, Array]:
        """x, t and x̃ = G(x, c)."""
        x, t, c = self.game.with_target(batch, rng)
        return x, t, _alike(x, run(self.game.generator, self.game.told(x, c)))

    def _score(self, y: Array, y_fake: Array, t: Array) -> tuple[Terms, Array]:
        """The terms without the penalty, and the cross-entropy's slope."""
        (s, logits), (s_fake, _) = self.game.verdict(y), self.game.verdict(y_fake)
        L, dlogits = cross_entropy(logits, t)
        distance = float(s.mean(dtype=np.float64) - s_fake.mean(dtype=np.float64))
        named = float((logits.argmax(axis=1) == t).mean())
        return {"distance": distance, "classification": L, "named": named}, dlogits

    def _terms(self, terms: Terms, norms: Array) -> Terms:
        penalty = float(np.square(norms - 1).mean())
        L = -terms["distance"] + self.game.penalty * penalty
        L += self.game.classification * terms["classification"]
        shown = {"gradient_penalty": penalty, "slope": float(norms.mean())}
        return {"total": L, "discriminator": L, **terms, **shown}


class StarGeneratorPlayer(Player):
    """Learns to translate into domain c so that D takes it for data of c, and to find the way back.

    Forward   x̃ = G(x, c)      [s̃, l̃] = D(x̃)      x̂ = G(x̃, t)
              total = −1/n Σ s̃ + λ_cls · cross-entropy of l̃ and c + λ_rec mean |x̂ − x|
    Backward  ds̃ = −1/n      dl̃ = λ_cls (p̃ − onehot(c)) / n      dx̂ = λ_rec sign(x̂ − x) / m
              dx̃ = J_D(x̃)ᵀ [ds̃, dl̃] + the first C channels of J_G(x̃, t)ᵀ dx̂
              ∂L/∂θ_G = J_G(x, c)ᵀ dx̃ + J_G(x̃, t)ᵀ dx̂      (D's parameters get no gradient)
    Source    Choi et al. (2018), eq. 3, 4 and 6
    """

    @property
    def params(self) -> dict[str, Param]:
        return prefixed("generator", self.game.generator)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return self._measure(x, rng, training)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        return self._measure(x, rng, inferring)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        game, G, D = self.game, self.game.generator, self.game.discriminator
        x, t, c = game.with_target(x, rng)
        fake, there_cache = G.forward(game.told(x, c))
        y, judge_cache = D.forward(_alike(x, fake))
        again, back_cache = G.forward(game.told(fake, t))
        terms, dy, dagain = self._score(y, c, again, x)
        dback = G.backward(dagain, back_cache)
        dfake = D.backward_input(dy, judge_cache) + dback[:, : x.shape[1]]  # t is data
        G.backward_params(dfake, there_cache)
        return terms

    def _measure(self, batch: Any, rng: Any, run: Run) -> Terms:
        game = self.game
        x, t, c = game.with_target(batch, rng)
        fake = _alike(x, run(game.generator, game.told(x, c)))
        again = run(game.generator, game.told(fake, t))
        return self._score(run(game.discriminator, fake), c, again, x)[0]

    def _score(self, y: Array, c: Array, again: Array, x: Array) -> tuple[Terms, Array, Array]:
        """The terms, with dỹ = [ds̃, dl̃] and dx̂."""
        game, (s, logits) = self.game, self.game.verdict(y)
        fooling, ds = _critic_loss(s)
        L, dlogits = cross_entropy(logits, c)
        back, dagain = _l1(again, x)
        total = fooling + game.classification * L + game.reconstruction * back
        terms = {"total": total, "generator": total, "obedience": L, "reconstruction": back}
        terms["obeyed"] = float((logits.argmax(axis=1) == c).mean())
        dy = np.concatenate([ds, game.classification * dlogits], axis=1)
        return terms, dy, game.reconstruction * dagain


def _alike(x: Array, made: Array) -> Array:
    if made.shape != x.shape:
        raise ValueError(
            f"StarGAN: x has shape {x.shape}, the generator makes {made.shape}; they must be equal"
        )
    return made
