"""The networks of the benchmarks: small, typical autoencoders and their batch sizes.

    Dense         784-64-784, ReLU, sigmoid, MSE
    ECG           140-32-16-8-16-32-140, ReLU, sigmoid, L1
    convolution   1 → 16 → 8 channels at 28, 14, 7 pixels, and back; ReLU, sigmoid, MSE
    VAE           784-500-20-500-784, ReLU, Bernoulli
    deep          784-1000-500-250-30 and its mirror, ELU, sigmoid, MSE
    contractive   784-120-784, sigmoid, MSE, λ = 1e-4

The convolutions are padded by one pixel on every side, as is usual in PyTorch. No noise is added to
their input, so that input and target are the same for all libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import tinyae as ta

IMAGE = (1, 28, 28)


class Network(NamedTuple):
    """A model builder, the shape of one sample, and the batch sizes to time."""

    title: str
    make: Callable[[np.random.Generator], ta.Model]
    shape: tuple[int, ...]
    batches: tuple[int, ...]
    random: bool = False  # whether a step draws noise: then losses agree only on average

    def model(self) -> ta.Model:
        """A new model, with the same weights at every call."""
        return self.make(np.random.default_rng(0))

    def data(self, n: int) -> np.ndarray:
        """n samples, uniform in [0, 1): the same at every call."""
        return np.random.default_rng(1).random((n, *self.shape), np.float32)


def dense(rng: np.random.Generator) -> ta.Autoencoder:
    return ta.Autoencoder(
        *ta.dense_encoder_decoder(IMAGE, [64], code_activation=ta.ReLU, rng=rng), ta.MSE()
    )


def ecg(rng: np.random.Generator) -> ta.Autoencoder:
    pair = ta.dense_encoder_decoder((140,), [32, 16, 8], code_activation=ta.ReLU, rng=rng)
    return ta.Autoencoder(*pair, ta.L1())


def conv(rng: np.random.Generator) -> ta.Autoencoder:
    encoder = ta.Sequential(
        ta.Conv2d(1, 16, 3, stride=2, padding=1, rng=rng),
        ta.ReLU(),
        ta.Conv2d(16, 8, 3, stride=2, padding=1, rng=rng),
        ta.ReLU(),
    )
    decoder = ta.Sequential(
        ta.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1, rng=rng),
        ta.ReLU(),
        ta.ConvTranspose2d(8, 16, 3, stride=2, padding=1, output_padding=1, rng=rng),
        ta.ReLU(),
        ta.Conv2d(16, 1, 3, padding=1, rng=rng),
        ta.Sigmoid(),
    )
    return ta.Autoencoder(encoder, decoder, ta.MSE())


def vae(rng: np.random.Generator) -> ta.VariationalAutoencoder:
    return ta.VariationalAutoencoder(*ta.dense_variational(IMAGE, [500, 20], rng=rng))


def deep(rng: np.random.Generator) -> ta.Autoencoder:
    pair = ta.dense_encoder_decoder(IMAGE, [1000, 500, 250, 30], activation=ta.ELU, rng=rng)
    return ta.Autoencoder(*pair, ta.MSE())


def contractive(rng: np.random.Generator) -> ta.ContractiveAutoencoder:
    pair = ta.dense_encoder_decoder(IMAGE, [120], code_activation=ta.Sigmoid, rng=rng)
    return ta.ContractiveAutoencoder(*pair, ta.MSE(), weight=1e-4)


NETWORKS = {
    "dense": Network("Dense 784-64-784", dense, IMAGE, (32, 128, 1024)),
    "ecg": Network("ECG 140-32-16-8-16-32-140", ecg, (140,), (512,)),
    "conv": Network("convolution 16-8-8-16-1", conv, IMAGE, (32, 128)),
    "vae": Network("VAE 784-500-20-500-784", vae, IMAGE, (128,), random=True),
    "deep": Network("deep 784-1000-500-250-30", deep, IMAGE, (128,)),
    "contractive": Network("contractive 784-120-784", contractive, IMAGE, (128,)),
}
