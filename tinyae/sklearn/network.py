"""What a table decides about its network: the axes to start from, the size of the code.

The networks that start from PCA are those of :mod:`tinyae.models.from_pca`; beside them is one that
starts at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinyae.layers import Layer, Sequential, Tanh
from tinyae.metrics import PCA
from tinyae.models import dense_encoder_decoder
from tinyae.param import Array


def principal_axes(x: Array, weight: Array | None = None) -> PCA:
    """PCA with as many components as x can have, its rows counting as often as their weight says."""
    return PCA(min(x.shape)).fit(x, sample_weight=weight)


def encoder_decoder_at_random(
    x: Array,
    latent_dim: int,
    code_activation: Callable[[], Layer],
    hidden_units: Sequence[int],
    rng: np.random.Generator,
) -> tuple[Sequential, Sequential]:
    """The same sizes without the linear path, for codes that are no linear map of the row."""
    return dense_encoder_decoder(
        x.shape[1:],
        [*hidden_units, latent_dim],
        activation=Tanh,
        code_activation=code_activation,
        output=None,
        rng=rng,
        dtype=x.dtype,
    )
