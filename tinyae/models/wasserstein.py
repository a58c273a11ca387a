"""The Wasserstein autoencoder: codes that are distributed as the prior, by a distance of samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.layers import Layer
from tinyae.losses import Loss
from tinyae.models.base import Terms
from tinyae.models.checks import check_parts
from tinyae.models.mmd import InverseMultiquadratic, Kernel, mmd
from tinyae.models.prior_matching import PriorMatching


class WassersteinAutoencoder(PriorMatching):
    """The plain autoencoder with a penalty on how far its codes, as a set, are from the prior.

    Forward   z = f(x)      y = g(z)      pᵢ ~ N(0, I), as many as there are codes
              mmd = MMD²({zᵢ}, {pᵢ}), see :func:`tinyae.models.mmd.mmd`
              total = reconstruction + weight · mmd,   reconstruction = L(y, x)
    Shapes    x (N, …)   z, p (N, latent_dim)   y as x
    Backward  dz = J_gᵀ dy + weight ∂mmd/∂z,  then through the encoder
    Units     reconstruction: the loss's; mmd: the kernel's, raw, without the weight
    Raises    as :class:`PriorMatching`
    Source    Tolstikhin, Bousquet, Gelly & Schölkopf (2018), algorithm 2 (WAE-MMD)

    weight    λ. Their cost is a sum over the D inputs, so their λ is weight · D for MSE, a mean
    kernel    :class:`InverseMultiquadratic` unless given

    If q(z) is the prior exactly, the reconstruction is the Wasserstein distance between data and
    samples, with the loss as the cost of transport (their theorem 1): hence the name. The distance of
    sets needs sets: a batch should hold some dozens of samples, and of one sample it knows little.
    """

    def __init__(
        self,
        encoder: Layer,
        decoder: Layer,
        loss: Loss,
        weight: float = 0.1,
        kernel: Kernel | None = None,
    ) -> None:
        super().__init__(encoder, decoder, loss, weight)
        self.kernel = InverseMultiquadratic() if kernel is None else kernel
        check_parts("WassersteinAutoencoder", Kernel, kernel=self.kernel)

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.input_and_target(x, rng)
        z, _ = self.encoder.forward(source)
        distance, _ = mmd(z, self.prior(len(z), rng), self.kernel)
        y, _ = self.decoder.forward(z)
        L, _ = self.loss(y, target)
        return self._terms(L, distance)

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.input_and_target(x, rng)
        z, encoder_cache = self.encoder.forward(source)
        distance, dmmd = mmd(z, self.prior(len(z), rng), self.kernel)
        L, dz = self.decoder_step(z, target)
        self.encoder.backward_params(dz + self.weight * dmmd, encoder_cache)
        return self._terms(L, distance)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        source, target = self.input_and_target(x, rng)
        z = self.encoder(source)
        distance, _ = mmd(z, self.prior(len(z), rng), self.kernel)
        return self._terms(self.loss.evaluate(self.decoder(z), target), distance)

    def _terms(self, L: float, distance: float) -> Terms:
        return {"total": L + self.weight * distance, "reconstruction": L, "mmd": distance}
