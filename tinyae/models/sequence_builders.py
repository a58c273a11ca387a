"""A builder of autoencoders of sequences: one recurrent layer reads, another writes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import positive_int
from tinyae.initializers import Initializer
from tinyae.layers import GRU, LSTM, Dense, LastStep, Layer, Repeat, Sequential, Tokenwise


def sequence_autoencoder(
    length: int,
    features: int,
    hidden: int,
    latent_dim: int,
    *,
    cell: Callable[..., Layer] = GRU,
    rng: np.random.Generator | None = None,
    init: Initializer | None = None,
    dtype: DTypeLike = np.float32,
) -> tuple[Sequential, Sequential]:
    """The encoder and decoder of sequences (N, length, features).

    Forward   a GRU (or LSTM) reads; a Dense layer maps its last state to the code. The decoder gives
              the code to each step of a second one, whose states a Dense layer maps to features
    Shapes    x, y (N, T, D)   code (N, latent_dim)   T = length   D = features
    Raises    ValueError unless the sizes are ints ≥ 1

        encoder, decoder = sequence_autoencoder(140, 1, 64, 8, rng=rng)
        model = Autoencoder(encoder, decoder, MSE())

    Source    Srivastava, Mansimov & Salakhutdinov (2015), §2.2, with an unconditioned decoder
    """
    who = "sequence_autoencoder"
    length, features = positive_int(who, "length", length), positive_int(who, "features", features)
    hidden = positive_int(who, "hidden", hidden)
    latent_dim = positive_int(who, "latent_dim", latent_dim, 8)
    if cell not in (GRU, LSTM):
        raise TypeError(f"{who}: cell is {cell!r:.60}, expected GRU or LSTM; pass cell=GRU")
    encoder = Sequential(
        cell(features, hidden, rng=rng, init=init, dtype=dtype),
        LastStep(),
        Dense(hidden, latent_dim, rng=rng, init=init, dtype=dtype),
    )
    decoder = Sequential(
        Repeat(length),
        cell(latent_dim, hidden, rng=rng, init=init, dtype=dtype),
        Tokenwise(Dense(hidden, features, rng=rng, init=init, dtype=dtype)),
    )
    return encoder, decoder
