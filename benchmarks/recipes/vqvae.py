"""The vector-quantised autoencoder on Fashion-MNIST: 49 codes out of 512 for an image.

    python benchmarks/quality.py vqvae

Strided convolutions lead from 28 × 28 to 7 × 7 places, two residual blocks and their mirrors lie
around the table of 512 vectors of 32 numbers: 206,497 parameters. A code is 49 · 9 = 441 bits. MSE,
Adam with a cosine schedule, for about five minutes on two cores.

PCA is given as many bits: as many components as there are bytes in the code, each rounded to 256
levels between the least and the greatest training value.

Source    van den Oord, Vinyals & Kavukcuoglu (2017), §4.1, for the layers
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table
from benchmarks.recipes.denoiser import parameters

CODES, DIM = 512, 32
BATCH = 128
RATE = 2e-3
EPOCHS = 11


def vqvae(run: Run) -> None:
    """MSE of test images, and how many codes are in use."""
    data, epochs = run.load("fashion-mnist"), run.number_of_epochs(EPOCHS)
    x, x_test = data.x_train, data.x_test
    rng = np.random.default_rng(run.seed)
    model = network(rng)
    optimizer = ta.Adam(ta.Cosine(RATE, epochs * -(-len(x) // BATCH)))
    with Stopwatch() as watch:
        ta.fit(model, x, epochs=epochs, batch_size=BATCH, optimizer=optimizer, rng=rng)
    model.save(run.out / "vqvae.npz")
    k = model.encode(x_test)
    y = model.decode(k)
    ta.plot.page(np.concatenate([x_test[:10], y[:10]]), run.out / "vqvae.png")
    bits = k[0].size * math.log2(CODES)
    linear = rounded_pca(x, x_test, int(bits // 8))
    table(
        f"{parameters(model):,} parameters, {epochs} epochs, {watch.seconds:.0f} s in all; "
        f"test images, {bits:.0f} bits each",
        ["", f"PCA-{int(bits // 8)}, 8 bits each", "VQ-VAE", "reference (PyTorch, run)", "reach"],
        [
            [
                "MSE, mean over pixels",
                f"{ta.metrics.mse(x_test, linear):.5f}",
                f"{ta.metrics.mse(x_test, y):.5f}",
                "0.00468",
                "≤ 0.0046",
            ],
            ["perplexity of the codes", "", f"{perplexity(k):.0f}", "409", "≥ 400"],
            ["codes in use", "", str(len(np.unique(k))), "", f"of {CODES}"],
        ],
    )


def network(rng: np.random.Generator) -> ta.VQVAE:
    def block() -> ta.Layer:
        narrow = ta.Conv2d(64, 32, 3, 1, 1, rng=rng), ta.ReLU(), ta.Conv2d(32, 64, 1, rng=rng)
        return ta.Residual(ta.Sequential(ta.ReLU(), *narrow))

    encoder = ta.Sequential(
        *(ta.Conv2d(1, 32, 4, 2, 1, rng=rng), ta.ReLU()),
        *(ta.Conv2d(32, 64, 4, 2, 1, rng=rng), ta.ReLU()),
        *(ta.Conv2d(64, 64, 3, 1, 1, rng=rng), block(), block(), ta.ReLU()),
        ta.Conv2d(64, DIM, 1, rng=rng),
    )
    decoder = ta.Sequential(
        *(ta.Conv2d(DIM, 64, 3, 1, 1, rng=rng), block(), block(), ta.ReLU()),
        *(ta.ConvTranspose2d(64, 32, 4, 2, 1, rng=rng), ta.ReLU()),
        ta.ConvTranspose2d(32, 1, 4, 2, 1, rng=rng),
    )
    return ta.VQVAE(encoder, decoder, ta.MSE(), CODES, DIM)


def perplexity(k: np.ndarray) -> float:
    """exp of the entropy of all codes: CODES if all are used alike"""
    p = np.bincount(k.ravel(), minlength=CODES) / k.size
    return math.exp(-float((p[p > 0] * np.log(p[p > 0])).sum()))


def rounded_pca(x: np.ndarray, x_test: np.ndarray, components: int) -> np.ndarray:
    """x_test from that many components, a byte each"""
    pca: Any = ta.metrics.PCA(min(components, len(x))).fit(x)
    z, z_test = pca.transform(x), pca.transform(x_test)
    low = z.min(axis=0)
    step = (z.max(axis=0) - low) / 255
    kept = np.clip(np.round((z_test - low) / step), 0, 255) * step + low
    return np.clip(pca.inverse_transform(kept), 0, 1).astype(x.dtype)
