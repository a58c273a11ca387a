"""The denoising autoencoder: the plain one, but what goes in is not what must come out."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.data.corruption import Corruption
from tinyae.layers import Layer
from tinyae.losses import Loss
from tinyae.models.autoencoder import Autoencoder
from tinyae.models.checks import check_parts
from tinyae.param import Array


class DenoisingAutoencoder(Autoencoder):
    """Reconstruct the clean x from a corrupted x̃.

    Forward   x̃ ~ q(x̃ | x)      z = f(x̃)      y = g(z)      total = reconstruction = L(y, x)
    Shapes    x (N, …)   x̃ as x   z (N, latent_dim) or any   y as x
    Backward  the plain autoencoder's: x̃ is data, nothing lies before it
    Units     the loss's, see :mod:`tinyae.losses`
    Raises    ValueError where the model needs a corruption, or a pair, and has neither
    Source    Vincent et al. (2008), §2.3; (2010), §3

    A given pair ``(x̃, x)``, a tuple of two arrays, is used as it is. So the same model does
    whatever can be told by examples: super-resolution (x̃ is smaller than x), inpainting (a part
    of x̃ is blank), a rotated view set upright. With pairs alone, ``corruption`` is None.

    ``reconstruct(x̃)`` denoises: it is given what is corrupted and corrupts no further.
    ``evaluate`` corrupts as training does, with noise that is the same at every call.
    """

    def __init__(
        self, encoder: Layer, decoder: Layer, loss: Loss, corruption: Corruption | None = None
    ) -> None:
        super().__init__(encoder, decoder, loss)
        if corruption is not None:
            check_parts(type(self).__name__, Corruption, corruption=corruption)
        self.corruption = corruption

    def input_and_target(self, x: Any, rng: np.random.Generator | None) -> tuple[Array, Array]:
        if isinstance(x, tuple):
            return x[0], x[1]
        if self.corruption is None:
            raise ValueError(
                "DenoisingAutoencoder: x is one array and the model has no corruption; "
                "pass (x̃, x), or build the model with corruption=GaussianNoise(0.2)"
            )
        if rng is None:
            raise ValueError(
                f"DenoisingAutoencoder: {self.corruption} needs a generator; "
                "pass rng=np.random.default_rng(0)"
            )
        return self.corruption(x, rng), x

    def _reconstruct(self, x: Array) -> Array:
        return self.loss.prediction(self.decoder(self.encoder(x)))  # of any shape

    def check_data(self, x: Any) -> None:
        """As the plain model's, for the targets; of a pair the corrupted half must be finite."""
        if isinstance(x, tuple) and len(x) == 2:
            super(Autoencoder, self).check_data(x)
            super().check_data(x[1])
        else:
            super().check_data(x)
