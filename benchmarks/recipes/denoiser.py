"""The convolutional denoiser on Fashion-MNIST.

    python benchmarks/quality.py denoiser

x̃ = x + 0.2 ε, clipped to [0, 1]; two strided convolutions (16 and 8 channels), their two
transposed mirrors (8 and 16), and a convolution to one channel: 3,217 parameters. MSE, constant
Adam 1e-3, batches of 32, 10 epochs, as in the TensorFlow tutorial. The test noise has its own
generator, so that it does not depend on the seed.

Source    tensorflow.org/tutorials/generative/autoencoder; Vincent et al. (2010), §3
"""

from __future__ import annotations

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table

NOISE = ta.GaussianNoise(0.2, clip=(0, 1))


def denoiser(run: Run) -> None:
    """MSE and PSNR of denoised test images against the clean ones."""
    data, epochs = run.load("fashion-mnist"), run.number_of_epochs(10)
    x, x_test = data.x_train, data.x_test
    noisy = NOISE(x_test, np.random.default_rng(2026))
    rng = np.random.default_rng(run.seed)
    model = ta.DenoisingAutoencoder(*network(x.shape[1:], rng), ta.MSE(), NOISE)
    errors: list[float] = []
    with Stopwatch() as watch:
        history = ta.fit(
            model,
            x,
            epochs=epochs,
            batch_size=32,
            optimizer=ta.Adam(1e-3),
            rng=rng,
            on_epoch=lambda _: errors.append(ta.metrics.mse(x_test, model.reconstruct(noisy))),
        )
    y = model.reconstruct(noisy)
    model.save(run.out / "denoiser.npz")
    picture(x_test, noisy, y, run, "denoiser.png")
    an_epoch = float(np.median([epoch.seconds for epoch in history.epochs]))
    ours = [ta.metrics.mse(x_test, y), ta.metrics.psnr(x_test, y), ta.metrics.ssim(x_test, y)]
    before = [f(x_test, noisy) for f in (ta.metrics.mse, ta.metrics.psnr, ta.metrics.ssim)]
    table(
        f"{parameters(model):,} parameters, {epochs} epochs, {watch.seconds:.0f} s in all; "
        "test images, noise σ = 0.2",
        ["", "noisy", "denoised", "reference (PyTorch, run)", "reach"],
        [
            ["MSE, mean over pixels", f"{before[0]:.4f}", f"{ours[0]:.5f}", "0.00789", "≤ 0.0079"],
            ["PSNR, mean over images", f"{before[1]:.2f}", f"{ours[1]:.2f}", "21.34 dB", "≥ 21.3"],
            ["SSIM", f"{before[2]:.3f}", f"{ours[2]:.3f}", "", ""],
            ["MSE after epoch 1", "", f"{errors[0]:.4f}", "0.0126", ""],
            ["MSE after epoch 5", "", f"{errors[4]:.4f}" if epochs > 4 else "", "0.0087", ""],
            ["seconds an epoch, median", "", f"{an_epoch:.2f}", "8.7", "half"],
        ],
    )


def network(
    shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[ta.Sequential, ta.Sequential]:
    return ta.conv_encoder_decoder(shape, (16, 8), rng=rng)


def parameters(model: ta.Model) -> int:
    return sum(p.value.size for p in model.params.values())


def picture(x: np.ndarray, noisy: np.ndarray, y: np.ndarray, run: Run, name: str) -> None:
    """Ten test images: one row clean, one noisy, one denoised."""
    ta.plot.page(np.concatenate([x[:10], noisy[:10], y[:10]]), run.out / name)
