"""The Wasserstein GAN with gradient penalty: a critic with slopes near 1 in place of a discriminator.

The critic f gives any number. E f(x) − E f(x̃), made as large as a slope of at most 1 allows, is the
Wasserstein-1 distance between data and samples: it falls steadily as samples move towards the data,
and its gradient does not fade where the two are told apart with ease.

The slope is kept by the penalty (‖∇ₓf‖ − 1)². It holds a gradient, so its own gradient is a second
one. The backward pass gives ∇ₓf; ``tangent`` pushes its direction v forward, f′ = ⟨v, ∇ₓf⟩ = ‖∇ₓf‖; and
``tangent_backward`` differentiates that number for fixed v. As v is the direction in which the norm is
measured, d‖∇ₓf‖ = ⟨v, d∇ₓf⟩, and nothing is left out. Exercise 32 of :mod:`tinyae.learn` does the same
by hand, for a critic of one layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.layers import Layer, Module
from tinyae.likelihoods import per_sample
from tinyae.models.base import Model, Terms
from tinyae.models.checks import check_parts, check_weight, output_range
from tinyae.models.gan import GAN
from tinyae.models.gan_losses import CriticLoss
from tinyae.models.gan_players import DiscriminatorPlayer, GeneratorPlayer
from tinyae.param import Array


class GradientPenalty:
    """What a model needs for the penalty on the slope of its discriminator's first output s.

    Forward   gradient_penalty = 1/n Σ (‖∇s(x̂ₙ)‖ − 1)²
    Shapes    x̂ (N, …)   discriminator(x̂) (N, K), of which s is the first column
    Source    Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville (2017), eq. 3
    """

    discriminator: Layer
    penalty: float

    def gradient(self, x: Array) -> tuple[Array, Any]:
        """∇s of each sample, in x's shape, and the cache of the forward pass."""
        y, cache = self.discriminator.forward(x)
        return self.discriminator.backward_input(self.first(y), cache), cache

    def penalise(self, x: Array) -> Array:
        """‖∇s‖ of each sample, (N,); adds ∂/∂θ of λ · gradient_penalty to the discriminator's Params.

        Forward   g = J(x̂)ᵀ e, each sample's ∇s      gradient_penalty = 1/n Σ (‖gₙ‖ − 1)²
        Backward  v = g/‖g‖, held fixed      φ = Σ dṡₙ ṡₙ,   ṡ = eᵀ J(x̂) v = ‖g‖      dṡ = 2λ/n (‖g‖ − 1)
                  ∂φ/∂θ by ``tangent_backward``; its ∂φ/∂x̂ is not needed, for x̂ is data
        """
        g, cache = self.gradient(x)
        norms = norms_of(g)
        wide = norms.astype(g.dtype).reshape(-1, *[1] * (g.ndim - 1))
        v = g / np.where(wide > 0, wide, 1)  # ‖g‖ has a kink at 0, and 0 is one of its slopes there
        ydot, tcache = self.discriminator.tangent(v, cache)
        dsdot = (2 * self.penalty / len(x)) * (wide.reshape(-1, 1) - 1)
        self.discriminator.tangent_backward(dsdot * self.first(ydot), tcache)
        return norms

    def first(self, y: Array) -> Array:
        """e: 1 in the column of s, 0 in all others."""
        e = np.zeros_like(y)
        e[:, 0] = 1
        return e


class WassersteinGAN(GradientPenalty, GAN):
    """A generator G and a critic f, whose values may grow with slope 1 and no faster.

    Forward   z ~ N(0, I)      x̃ = G(z)      x̂ = u x + (1 − u) x̃,   u ~ U(0, 1) for each sample
              distance = 1/n Σ f(x) − 1/n Σ f(x̃)      gradient_penalty = 1/n Σ (‖∇f(x̂)‖ − 1)²
              critic    = −distance + penalty · gradient_penalty
              generator = −1/n Σ f(x̃)
              total = critic + generator      (reported, but minimised by neither player)
    Shapes    z (N, latent_dim)   x, x̃, x̂ (N, …)   f (N, 1)   u (N, 1, …)
    Backward  each player's own loss in its own parameters, see :class:`CriticPlayer`
    Units     those of x, as a slope of 1 says. ``distance`` estimates the Wasserstein-1 distance, as
              far as the critic has learnt; ``slope`` is mean ‖∇f(x̂)‖
    Raises    ValueError if a layer of the critic keeps running statistics or draws noise (BatchNorm,
              Dropout), has no ``tangent`` (GRU, LSTM), or bounds what f gives
    Source    Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville (2017), algorithm 1

    discriminator   the critic f, under a GAN's name for it
    penalty         λ, 10 in the paper

    With BatchNorm ∇f would mix the samples of a batch, and the penalty is one of each sample alone. The
    paper takes five steps of f for each of G, at small learning rates. ``fit`` takes one of each: f must
    follow quickly, as with ``Adam(2e-3, beta1=0.5)`` for either (demo 18).
    """

    def __init__(
        self,
        generator: Layer,
        discriminator: Layer,
        penalty: float = 10.0,
        *,
        latent_dim: int | None = None,
    ) -> None:
        who = "WassersteinGAN"
        check_parts(who, Layer, discriminator=discriminator)
        bounds, last = output_range(discriminator)
        if bounds is not None:
            raise ValueError(
                f"{who}: the critic ends in {last}, expected any real number; leave the last "
                "activation out"
            )
        check_differentiable_twice(who, discriminator, "discriminator")
        super().__init__(generator, discriminator, CriticLoss(), latent_dim=latent_dim)
        self.penalty = check_weight(who, "penalty", penalty, "10")

    @property
    def players(self) -> tuple[Model, ...]:
        """The critic, which is trained first, and the generator."""
        return CriticPlayer(self), GeneratorPlayer(self)

    def first(self, y: Array) -> Array:
        return super().first(self.logits(y))

    def discriminate(self, x: Array) -> Array:
        """f(x), (N,): no probability; only differences between samples have a meaning."""
        return self._in_chunks(lambda part: self.logits(self.discriminator(part)), x)[:, 0]


class CriticPlayer(DiscriminatorPlayer):
    """Learns to give data higher values than samples, as far as slopes near 1 allow.

    Forward   x̃ = G(z)      s = f(x)      s̃ = f(x̃)      distance = 1/n Σ s − 1/n Σ s̃
              total = critic = −distance + λ · gradient_penalty
    Backward  ds = −1/n      ds̃ = 1/n      ∂L/∂θ_f = J_f(x)ᵀ ds + J_f(x̃)ᵀ ds̃ + the penalty's, see
              :meth:`WassersteinGAN.penalise`; the generator gets no gradient: x̃ is data here
    """

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        real, fake = self.real_and_fake(x, rng)
        s, _ = self.game.discriminator.forward(real)
        s_fake, _ = self.game.discriminator.forward(fake)
        g, _ = self.game.gradient(between(real, fake, rng))
        return self._terms(s, s_fake, norms_of(g))

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        f = self.game.discriminator
        real, fake = self.real_and_fake(x, rng)
        s, real_cache = f.forward(real)
        s_fake, fake_cache = f.forward(fake)
        norms = self.game.penalise(between(real, fake, rng))
        terms = self._terms(s, s_fake, norms)
        f.backward_params(np.full_like(s_fake, 1 / len(x)), fake_cache)
        f.backward_params(np.full_like(s, -1 / len(x)), real_cache)
        return terms

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        f = self.game.discriminator
        real, fake = self.real_and_fake(x, rng, inference=True)
        g, _ = self.game.gradient(between(real, fake, rng))
        return self._terms(f(real), f(fake), norms_of(g))

    def _terms(self, s: Array, s_fake: Array, norms: Array) -> Terms:
        distance = float(s.mean(dtype=np.float64) - s_fake.mean(dtype=np.float64))
        gradient_penalty = float(np.square(norms - 1).mean())
        critic = -distance + self.game.penalty * gradient_penalty
        return {
            "total": critic,
            "critic": critic,
            "distance": distance,
            "gradient_penalty": gradient_penalty,
            "slope": float(norms.mean()),
        }


def between(real: Array, fake: Array, rng: Any) -> Array:
    """x̂, at a random place of the straight line between a datum and a sample."""
    u = rng.random((len(real), *[1] * (real.ndim - 1)), real.dtype.type)
    return u * real + (1 - u) * fake


def norms_of(g: Array) -> Array:
    """‖gₙ‖, (N,) in float64"""
    return np.sqrt(per_sample(np.square(g)))


def check_differentiable_twice(who: str, part: Module, name: str) -> None:
    """Raise unless the slope of ``part`` is that of each sample alone, and has a derivative."""
    if any(isinstance(v, (np.ndarray, np.random.Generator)) for v in vars(part).values()):
        raise ValueError(
            f"{who}: {name} is {part!r}, which keeps running statistics or draws noise, so that a "
            "slope would not be one of that sample alone; leave it out, or use LayerNorm"
        )
    if isinstance(part, Layer) and type(part).tangent is Layer.tangent:
        raise ValueError(
            f"{who}: {name} is {part!r}, which has no tangent, so that the slope cannot be "
            "differentiated; use layers that have one, such as Conv1d or MultiHeadAttention"
        )
    for key, child in part.children.items():
        check_differentiable_twice(who, child, f"{name}.{key}")
