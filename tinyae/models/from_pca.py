"""Autoencoders of dense layers that start from PCA: a linear path beside a nonlinear one.

    z = W x + U f(x) + b        W = V,  U = 0,  b = −V m        f, g: dense hidden layers
    y = P z + Q g(z) + c        P = Vᵀ, Q = 0,  c = m           V: the k principal axes, m: the mean

At the start the nonlinear paths contribute nothing, and y is PCA's reconstruction from k numbers, the
best linear one. Training can only add to that what the data have beyond a plane. On a small table
there may be nothing, and then PCA remains.

Source    Baldi & Hornik (1989): PCA is the optimum of the linear autoencoder; Zhang, Dauphin & Ma
          (2019), §3: residual branches whose last layer starts at zero
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from tinyae.layers import Dense, Flatten, Layer, Reshape, Sequential, Skip, Tanh
from tinyae.param import Array
from tinyae.pca import PCA


def size_of_code(latent_dim: int | float, pca: PCA) -> int:
    """``latent_dim`` itself, or for a share of the variance the components that PCA needs for it.

    A share takes at least 1 component and leaves out at least one, unless there is only one.
    """
    if not isinstance(latent_dim, (float, np.floating)):
        return int(latent_dim)
    shares = np.cumsum(pca.explained_variance_ratio_)
    needed = int(np.searchsorted(shares, latent_dim)) + 1
    return max(1, min(needed, pca.mean_.size - 1, pca.n_components))


def encoder_decoder_from_pca(
    shape: Sequence[int],
    latent_dim: int,
    pca: PCA,
    hidden_units: Sequence[int],
    rng: np.random.Generator,
    dtype: np.dtype,
    activation: Callable[[], Layer] = Tanh,
) -> tuple[Sequential, Sequential]:
    """The encoder and the decoder of the equations above, for samples of this shape."""
    V = pca.components_[:latent_dim].astype(dtype)
    m = pca.mean_.astype(dtype)
    path = hidden_path(m.size, hidden_units, rng, m.dtype, activation)
    hidden = hidden_units[-1] if hidden_units else 0
    first: list[Layer] = [Flatten()] if len(shape) > 1 else []
    encoder = Sequential(*first, *path, encoder_head(latent_dim, hidden, V, m, rng))
    decoder = decoder_from(V.T, m, latent_dim, hidden_units, rng, activation)
    if first:
        decoder = Sequential(*decoder.layers, Reshape(*shape))
    return encoder, decoder


def encoder_head(
    rows: int, hidden: int, W: Array, center: Array, rng: np.random.Generator
) -> Dense:
    """z = [W, 0] [x, f(x)] − W m: the rows of W that are given, the others at random and small."""
    dense = Dense(W.shape[1] + hidden, rows, rng=rng, dtype=W.dtype)
    dense.W.value[: len(W)] = 0
    dense.W.value[: len(W), : W.shape[1]] = W
    dense.b.value[: len(W)] = -W @ center
    return dense


def decoder_from(
    P: Array,
    center: Array,
    latent_dim: int,
    hidden_units: Sequence[int],
    rng: np.random.Generator,
    activation: Callable[[], Layer] = Tanh,
) -> Sequential:
    """y = [P, 0] [z, g(z)] + m; numbers of z beyond P's columns contribute nothing at first."""
    path = hidden_path(latent_dim, list(reversed(hidden_units)), rng, P.dtype, activation)
    hidden = hidden_units[0] if hidden_units else 0
    dense = Dense(latent_dim + hidden, len(P), rng=rng, dtype=P.dtype)
    dense.W.value[...] = 0
    dense.W.value[:, : P.shape[1]] = P
    dense.b.value[...] = center
    return Sequential(*path, dense)


def hidden_path(
    inputs: int,
    units: Sequence[int],
    rng: np.random.Generator,
    dtype: np.dtype,
    activation: Callable[[], Layer] = Tanh,
) -> list[Skip]:
    """[x, f(x)], with f of Dense layers of these sizes and activations; nothing without sizes."""
    layers: list[Layer] = []
    for wide, narrow in itertools.pairwise([inputs, *units]):
        layers += [Dense(wide, narrow, rng=rng, dtype=dtype), activation()]
    return [Skip(Sequential(*layers))] if layers else []
