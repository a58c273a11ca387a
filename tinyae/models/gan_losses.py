"""Losses for the generator of a GAN."""

from __future__ import annotations

import numpy as np

from tinyae.losses import BCEWithLogits
from tinyae.param import Array

_bce = BCEWithLogits()


class GeneratorLoss:
    """A generator's loss: ``L, ds = loss(s)``, from the logits s of its samples."""

    def __call__(self, s: Array) -> tuple[float, Array]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class NonSaturating(GeneratorLoss):
    """The generator wants its samples to be called real.

    Forward   L = −1/n Σ ln σ(s)
    Backward  ds = (σ(s) − 1) / n
    Units     nats a sample; ln 2 where the discriminator can only guess
    Source    Goodfellow et al. (2014), §3: the same fixed point, much stronger gradients early on
    """

    def __call__(self, s: Array) -> tuple[float, Array]:
        return _bce(s, np.ones_like(s))


class Saturating(GeneratorLoss):
    """The generator wants its samples not to be called fake: the two-player minimax game itself.

    Forward   L = 1/n Σ ln(1 − σ(s))
    Backward  ds = −σ(s) / n, which vanishes (saturates) where samples are plainly fake, s ≪ 0
    Units     nats a sample; −ln 2 where the discriminator can only guess
    Source    Goodfellow et al. (2014), eq. 1
    """

    def __call__(self, s: Array) -> tuple[float, Array]:
        L, ds = _bce(s, np.zeros_like(s))
        return -L, -ds


class CriticLoss(GeneratorLoss):
    """The generator wants the critic to give its samples high numbers, which are no logits.

    Forward   L = −1/n Σ s
    Backward  ds = −1/n, which never fades
    Units     the critic's
    Source    Arjovsky, Chintala & Bottou (2017), algorithm 1
    """

    def __call__(self, s: Array) -> tuple[float, Array]:
        return -float(s.mean(dtype=np.float64)), np.full_like(s, -1 / len(s))
