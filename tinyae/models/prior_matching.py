"""Autoencoders whose codes, taken together, are to be distributed as a prior.

The variational autoencoder draws each q(z | x) towards the prior. What sampling needs is less: that
the codes of all data together, the aggregated posterior q(z) = E q(z | x), are as the prior is. Then
a draw from the prior decodes to a sample, although each x keeps a sharp code of its own.

Two models measure how far q(z) is from p(z), each in its own way: by a distance between two samples
(:mod:`tinyae.models.wasserstein`), or by a discriminator (:mod:`tinyae.models.adversarial`).
"""

from __future__ import annotations

import numpy as np

from tinyae.arguments import check_generator, generator, positive_int
from tinyae.layers import Dense, Layer, Sequential
from tinyae.losses import Loss
from tinyae.models.autoencoder import Autoencoder
from tinyae.models.checks import check_weight
from tinyae.param import Array


class PriorMatching(Autoencoder):
    """An autoencoder with the prior p(z) = N(0, I) for its codes, from which it can sample.

    Shapes    z (N, latent_dim)
    Raises    ValueError if the encoder does not end in a Dense layer, which says how many numbers z
              has; or without a generator, because the prior is drawn from
    Source    Makhzani et al. (2016), §2; Tolstikhin et al. (2018), §2.2
    """

    def __init__(self, encoder: Layer, decoder: Layer, loss: Loss, weight: float) -> None:
        super().__init__(encoder, decoder, loss)
        who = type(self).__name__
        self.weight = check_weight(who, "weight", weight, "1.0")
        self.latent_dim = _code_size(who, encoder)

    def prior(self, n: int, rng: np.random.Generator | None) -> Array:
        """n draws of N(0, I), (n, latent_dim), in the model's dtype."""
        who = type(self).__name__
        if rng is None:
            raise ValueError(
                f"{who}: the prior is drawn from, which needs a generator; "
                "pass rng=np.random.default_rng(0)"
            )
        check_generator(who, rng)
        return rng.standard_normal((n, self.latent_dim), self.dtype.type)

    def sample(self, n: int, rng: np.random.Generator | int = 0) -> Array:
        """n new samples: the reconstructions from codes z ~ N(0, I). (n, …)"""
        who = type(self).__name__
        n, rng = positive_int(who, "n", n, 16), generator(who, rng)
        return self.decode(self.prior(n, rng))


def _code_size(who: str, encoder: Layer) -> int:
    last = encoder
    while isinstance(last, Sequential) and last.layers:
        last = last.layers[-1]
    if not isinstance(last, Dense):
        raise ValueError(
            f"{who}: the encoder ends in {last}, expected a Dense: codes are to be normally "
            "distributed, so that no activation may bound them; end it in Dense(…, latent_dim)"
        )
    return last.out_features
