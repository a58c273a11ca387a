"""The networks of the benchmarks: small, typical autoencoders and their batch sizes.

    Dense         784-64-784, ReLU, sigmoid, MSE
    ECG           140-32-16-8-16-32-140, ReLU, sigmoid, L1
    convolution   1 → 16 → 8 channels at 28, 14, 7 pixels, and back; ReLU, sigmoid, MSE
    VAE           784-500-20-500-784, ReLU, Bernoulli
    deep          784-1000-500-250-30 and its mirror, ELU, sigmoid, MSE
    contractive   784-120-784, sigmoid, MSE, λ = 1e-4
    pooled        Keras' convolutional autoencoder: 32, pool, 32, pool at 28, 14, 7 pixels, and back
    normed        3 → 32 → 64 channels at 32, 16, 8 pixels, 4 × 4 kernels, BatchNorm, ReLU; and back
    large         the same without BatchNorm, at 64 pixels
    wide          3 → 64 → 128 channels at 32, 16, 8 pixels, 3 × 3 kernels; and back
    signal        1 → 16 → 32 → 16 channels along 140, 70, 35, 18 numbers of a heartbeat, 1 × 7 kernels
    unet          U-Net of three levels, 8, 16 and 32 channels at 64, 32, 16 pixels

The convolutions are padded by one pixel on every side, as is usual in PyTorch. No noise is added to
their input, so that input and target are the same for all libraries.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


def pooled(rng: np.random.Generator) -> ta.Autoencoder:
    encoder = ta.Sequential(
        ta.Conv2d(1, 32, 3, padding=1, rng=rng),
        *(ta.ReLU(), ta.MaxPool2d(2)),
        ta.Conv2d(32, 32, 3, padding=1, rng=rng),
        *(ta.ReLU(), ta.MaxPool2d(2)),
    )
    decoder = ta.Sequential(
        ta.ConvTranspose2d(32, 32, 3, stride=2, padding=1, output_padding=1, rng=rng),
        ta.ReLU(),
        ta.ConvTranspose2d(32, 32, 3, stride=2, padding=1, output_padding=1, rng=rng),
        ta.ReLU(),
        ta.Conv2d(32, 1, 3, padding=1, rng=rng),
        ta.Sigmoid(),
    )
    return ta.Autoencoder(encoder, decoder, ta.MSE())


def _strided(
    channels: Sequence[int], kernel: int, extra: int, normed: bool, rng: np.random.Generator
) -> ta.Autoencoder:
    """Convolutions of stride 2, each with a ReLU, and with a BatchNorm before it; and back."""
    encoder, decoder = [], []
    options: dict[str, Any] = {"stride": 2, "padding": 1, "rng": rng}
    for c, d in itertools.pairwise(channels):
        norm = [ta.BatchNorm(d)] * normed
        encoder += [ta.Conv2d(c, d, kernel, **options), *norm, ta.ReLU()]
    for c, d in itertools.pairwise(channels[::-1]):
        after = [*[ta.BatchNorm(d)] * normed, ta.ReLU()] if d != channels[0] else [ta.Sigmoid()]
        decoder += [ta.ConvTranspose2d(c, d, kernel, output_padding=extra, **options), *after]
    return ta.Autoencoder(ta.Sequential(*encoder), ta.Sequential(*decoder), ta.MSE())


def normed(rng: np.random.Generator) -> ta.Autoencoder:
    return _strided((3, 32, 64), 4, 0, True, rng)


def large(rng: np.random.Generator) -> ta.Autoencoder:
    return _strided((3, 32, 64), 4, 0, False, rng)


def wide(rng: np.random.Generator) -> ta.Autoencoder:
    return _strided((3, 64, 128), 3, 1, False, rng)


def signal(rng: np.random.Generator) -> ta.Autoencoder:
    options: dict[str, Any] = {"stride": (1, 2), "padding": (0, 3), "rng": rng}
    encoder = ta.Sequential(
        ta.Conv2d(1, 16, (1, 7), **options),
        ta.ReLU(),
        ta.Conv2d(16, 32, (1, 7), **options),
        ta.ReLU(),
        ta.Conv2d(32, 16, (1, 7), **options),
        ta.ReLU(),
    )
    decoder = ta.Sequential(
        ta.ConvTranspose2d(16, 32, (1, 7), **options),
        ta.ReLU(),
        ta.ConvTranspose2d(32, 16, (1, 7), output_padding=(0, 1), **options),
        ta.ReLU(),
        ta.ConvTranspose2d(16, 1, (1, 7), output_padding=(0, 1), **options),
    )
    return ta.Autoencoder(encoder, decoder, ta.MSE())


def unet(rng: np.random.Generator) -> ta.Autoencoder:
    return ta.Autoencoder(*ta.unet(1, 1, (8, 16, 32), rng=rng), ta.MSE())


NETWORKS = {
    "dense": Network("Dense 784-64-784", dense, IMAGE, (32, 128, 1024)),
    "ecg": Network("ECG 140-32-16-8-16-32-140", ecg, (140,), (512,)),
    "conv": Network("convolution 16-8-8-16-1", conv, IMAGE, (32, 128)),
    "vae": Network("VAE 784-500-20-500-784", vae, IMAGE, (128,), random=True),
    "deep": Network("deep 784-1000-500-250-30", deep, IMAGE, (128,)),
    "contractive": Network("contractive 784-120-784", contractive, IMAGE, (128,)),
    "pooled": Network("convolution, pool 32-32-32-32-1", pooled, IMAGE, (128,)),
    "normed": Network("convolution, BatchNorm 3-32-64", normed, (3, 32, 32), (32,)),
    "large": Network("64 × 64 pixels, convolution 3-32-64", large, (3, 64, 64), (16,)),
    "wide": Network("convolution 3-64-128", wide, (3, 32, 32), (32,)),
    "signal": Network("1-D convolution 1-16-32-16", signal, (1, 1, 140), (128,)),
    "unet": Network("64 × 64 pixels, U-Net 8-16-32", unet, (1, 64, 64), (32,)),
}
