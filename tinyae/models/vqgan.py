"""The VQGAN: a vector-quantised autoencoder, and a discriminator that looks at patches.

The squared error punishes an edge in the wrong place twice and a blurred one hardly, so what few codes
cannot tell, a VQVAE blurs. A discriminator of small patches sees blur at once. Its gradient is of
another unit than the reconstruction's, and grows and fades as the game goes; so it is scaled to have
the same size where the two meet, at the decoder's last layer.

    discriminator = patch_discriminator(1, (32, 64), rng=rng)
    model = VQGAN(encoder, decoder, MSE(), discriminator, codes=512, dim=64)
    fit(model, x, optimizer=(Adam(1e-3, beta1=0.5), Adam(1e-3, beta1=0.5)))
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import check_generator, positive_int
from tinyae.layers import Conv2d, Layer, LeakyReLU, Sequential
from tinyae.losses import Loss
from tinyae.models.base import Model, Terms
from tinyae.models.builders import sizes_of
from tinyae.models.checks import check_parts, check_weight
from tinyae.models.gan import check_ends_in_logit, merged
from tinyae.models.gan_losses import GeneratorLoss, NonSaturating
from tinyae.models.gan_players import DiscriminatorPlayer, Player, prefixed
from tinyae.models.vqvae import VQVAE, HeldCodes, places
from tinyae.param import Array, Param, unique


class VQGAN(VQVAE):
    """A VQVAE whose reconstructions are also to pass for data, patch by patch.

    Forward   y = g(q), the codes as of :class:`VQVAE`      s = D(x)      s̃ = D(y)
              autoencoder   = reconstruction + commitment + λ · generator
              generator     = −mean ln σ(s̃)    (or another :class:`GeneratorLoss`)
              discriminator = −mean ln σ(s) − mean ln(1 − σ(s̃))
              λ = weight · ‖∂reconstruction/∂W‖ / (‖∂generator/∂W‖ + δ),   δ = 1e-6
              total = autoencoder + discriminator    (reported, but minimised by neither player)
    Shapes    x, y (N, C, H, W)   s, s̃ (N, 1, h, w), a logit for each patch   W the decoder's last matrix
    Backward  each player's own loss in its own parameters, see :class:`ReconstructionPlayer`; λ is
              held: it is a number that is computed anew at each step, not a term to be made small
    Units     reconstruction, commitment: as of :class:`VQVAE`; generator, discriminator: nats a patch
    Raises    ValueError if D ends in a Sigmoid or gives no map of logits, if the decoder's output is
              not the prediction (BCEWithLogits), or has no matrix
    Source    Esser, Rombach & Ommer (2021), §3.1, eqs. 5 to 7, with the loss given in place of their
              perceptual one; patches: Isola et al. (2017), §3.2.2

    The game begins best from a trained VQVAE of the same parts: pass its encoder and decoder, and copy
    its table (``model.state[name][...] = a``). To check gradients, pass a player, as of a GAN.
    """

    def __init__(
        self,
        encoder: Layer,
        decoder: Layer,
        loss: Loss,
        discriminator: Layer,
        codes: int = 512,
        dim: int = 64,
        weight: float = 0.8,
        generator_loss: GeneratorLoss | None = None,
        *,
        commitment: float = 0.25,
        decay: float = 0.99,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(
            encoder, decoder, loss, codes, dim, commitment=commitment, decay=decay, dtype=dtype
        )
        self.weight = check_weight("VQGAN", "weight", weight, "0.8")
        self.generator_loss = generator_loss or NonSaturating()
        check_parts("VQGAN", Layer, discriminator=discriminator)
        check_parts("VQGAN", GeneratorLoss, generator_loss=self.generator_loss)
        check_ends_in_logit("VQGAN", discriminator)
        if type(loss.unweighted).prediction is not Loss.prediction:
            raise ValueError(
                f"VQGAN: the loss is {loss}, whose decoder gives logits, and the discriminator sees "
                "what the decoder gives; end it in Sigmoid() and pass MSE(), L1() or BCE()"
            )
        self.discriminator = discriminator
        self.real_label = 1.0
        self.halves()

    @property
    def players(self) -> tuple[Model, ...]:
        """The discriminator, which is trained first, and the autoencoder."""
        return PatchDiscriminatorPlayer(self), ReconstructionPlayer(self)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return merged(player.objective(x, rng) for player in self.players)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        """Both players' gradients at the same point, each of its own loss."""
        return merged(player.backprop(x, rng) for player in self.players)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        return merged(player.evaluate_batch(x, rng) for player in self.players)

    def halves(self) -> tuple[Sequential, Sequential]:
        """The decoder before its last layer that has a matrix, and from there on."""
        layers = self.decoder.layers if isinstance(self.decoder, Sequential) else (self.decoder,)
        last = [i for i, layer in enumerate(layers) if matrices(layer)]
        if not last:
            raise ValueError(
                f"VQGAN: the decoder is {self.decoder!r:.60}, expected a layer with a matrix W, whose "
                "gradients are compared; add e.g. a Conv2d"
            )
        return Sequential(*layers[: last[-1]]), Sequential(*layers[last[-1] :])

    def balance(self, x: Array, tail: Layer, cache: Any, dy: Array, dfake: Array) -> float:
        """λ, from the gradients of the two losses with respect to y."""
        reconstruction, game = (gradient_size(tail, d, cache) for d in (dy, dfake))
        return self.weight * reconstruction / (game + DELTA)

    def logits(self, s: Array) -> Array:
        """Return s if it is a map of logits.

        Raises
            ValueError  otherwise
        """
        if s.ndim != 4 or s.shape[1] != 1:
            raise ValueError(
                f"VQGAN: the discriminator's output has shape {s.shape}, expected (N, 1, h, w), a "
                "logit for each patch; end it in Conv2d(…, 1, 3, 1, 1)"
            )
        return s

    def differentiable(self) -> VQGAN:
        """The game whose players' exact gradients are added; see :class:`HeldGame`."""
        return HeldGame(self)

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        y = x
        for name, y in super().trace(x, rng):
            yield name, y
        yield from self.discriminator.trace(y, "discriminator")
        yield from self.discriminator.trace(x, "discriminator")


DELTA = 1e-6


class PatchDiscriminatorPlayer(DiscriminatorPlayer):
    """A GAN's discriminator, of images against their reconstructions; its losses are means of patches.

    Forward   y = g(q)      s = D(x)      s̃ = D(y)
              total = discriminator = BCE(σ(s), 1) + BCE(σ(s̃), 0)
    Backward  as :class:`DiscriminatorPlayer`; the autoencoder gets no gradient: y is data here
    """

    def real_and_fake(
        self, x: Any, rng: np.random.Generator | None, inference: bool = False
    ) -> tuple[Array, Array]:
        game = self.game
        if inference:
            return x, game.decoder(game.nearest(game.encoder(x))[0])
        z, _ = game.encoder.forward(x)
        return x, self.alike(x, game.decoder.forward(game.quantize(z, x)[0])[0])


class Passes(NamedTuple):
    """What the forward passes of :class:`ReconstructionPlayer` leave."""

    terms: Terms
    z: Array
    k: Array
    target: Array  # what z commits to
    dy: Array  # ∂total/∂y
    caches: tuple[Any, Any]  # of the encoder, of the decoder


class ReconstructionPlayer(Player):
    """Encoder and decoder, which reconstruct x so that D takes the result for data.

    Forward   y = g(q), the codes as of :class:`VQVAE`      s̃ = D(y)
              total = reconstruction + commitment + λ · generator = L(y, x) + β mean (z − q)² + λ L_G(s̃)
    Backward  dy = ∂L/∂y + λ J_Dᵀ ds̃ (D's parameters get no gradient),  then as :class:`VQVAE`
    """

    @property
    def params(self) -> dict[str, Param]:
        return prefixed("encoder", self.game.encoder) | prefixed("decoder", self.game.decoder)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        return self.passes(x).terms

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        game, rng = self.game, check_generator("VQGAN", rng)
        terms, z, k, target, dy, (encoder_cache, (body, tail)) = self.passes(x)
        first, last = game.halves()
        dq = first.backward(last.backward(dy, tail), body)
        dz = dq + (2 * game.commitment / z.size) * (z - target)  # straight through, + commitment
        game.encoder.backward_params(dz, encoder_cache)
        game.move_table(places(z), k.ravel(), rng)
        return terms

    def passes(self, x: Array) -> Passes:
        game, D = self.game, self.game.discriminator
        first, last = game.halves()
        z, encoder_cache = game.encoder.forward(x)
        q, target, k = game.quantize(z, x)
        h, body = first.forward(q)
        y, tail = last.forward(h)
        L, dy = game.loss(y, x)
        s, cache = D.forward(y)
        fooled, ds = game.generator_loss(game.logits(s))
        dfake = D.backward_input(ds, cache)
        weight = game.balance(x, last, tail, dy, dfake)
        terms = self._terms(L, z - target, k, fooled, weight)
        dy = dy + dy.dtype.type(weight) * dfake
        return Passes(terms, z, k, target, dy, (encoder_cache, (body, tail)))

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        game = self.game
        bare = type(self)(copy.deepcopy(game))  # forward may change running statistics
        weight = bare.passes(x).terms["adaptive_weight"]
        z = game.encoder(x)
        q, k = game.nearest(z)
        y = game.decoder(q)
        s = game.logits(game.discriminator(y))
        return self._terms(game.loss.evaluate(y, x), z - q, k, game.generator_loss(s)[0], weight)

    def differentiable(self) -> ReconstructionPlayer:
        return type(self)(self.game.differentiable())

    def _terms(self, L: float, gap: Array, k: Array, fooled: float, weight: float) -> Terms:
        terms = self.game._terms(L, gap, k)
        terms |= {"generator": fooled, "adaptive_weight": weight}
        return terms | {"total": terms["total"] + weight * fooled}


class HeldGame(HeldCodes, VQGAN):
    """The VQGAN whose codes and λ are held: what its players add is their exact gradient.

    Forward   as :class:`VQGAN`, with [q₀ − z₀], [q₀] as :class:`HeldCodes` has them, and [λ₀]

    λ₀ is that of a copy of the game, which stays as it is while parameters are moved.
    """

    def __init__(self, game: VQGAN) -> None:
        super().__init__(game)
        self.held_game = (copy.deepcopy(game),)

    def balance(self, x: Array, *_: Any) -> float:
        held = ReconstructionPlayer(copy.deepcopy(self.held_game[0]))
        return held.passes(x).terms["adaptive_weight"]


def gradient_size(layer: Layer, dy: Array, cache: Any) -> float:
    """‖∂L/∂W‖ of the layer's last matrix, for a loss L of the gradient dy; no Param.grad changes."""
    grads = [(p.grad, p.grad.copy()) for p in unique(layer.params).values()]
    W = matrices(layer)[-1]
    W.grad[...] = 0
    layer.backward_params(dy, cache)
    size = float(np.sqrt(np.square(W.grad).sum(dtype=np.float64)))
    for grad, before in grads:
        grad[...] = before
    return size


def matrices(layer: Layer) -> list[Param]:
    """Its weights, without biases and the like"""
    return [p for p in layer.params.values() if p.value.ndim > 1]


def patch_discriminator(
    in_channels: int = 1,
    channels: Sequence[int] = (32, 64),
    *,
    kernel_size: int = 4,
    rng: np.random.Generator,
) -> Layer:
    """A convolutional discriminator that gives a logit for each patch of an image, for a VQGAN.

    Each entry of ``channels`` halves the image, with LeakyReLU(0.2). A 3 × 3 convolution gives the map
    of logits. With two entries and kernels of 4 × 4 each logit sees 18 × 18 pixels.

    Source    Isola, Zhu, Zhou & Efros (2017), §3.2.2 and appendix 6.1.2, without BatchNorm
    """
    who = "patch_discriminator"
    sizes = [positive_int(who, "in_channels", in_channels, 1), *sizes_of(who, "channels", channels)]
    layers: list[Layer] = []
    for a, b in pairwise(sizes):
        layers += [Conv2d(a, b, kernel_size, 2, "same", rng=rng), LeakyReLU(0.2)]
    return Sequential(*layers, Conv2d(sizes[-1], 1, 3, 1, "same", rng=rng))
