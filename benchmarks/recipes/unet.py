"""The U-Net as a denoiser on Fashion-MNIST.

    python benchmarks/quality.py unet

x̃ = x + 0.2 ε, clipped to [0, 1], as for the convolutional denoiser, and the same noise on the test
images. 16, 32 and 64 channels, two 3 × 3 convolutions a level: 116,754 parameters. MSE, Adam with a
cosine schedule, batches of 64, 4 epochs, for about four minutes on two cores.

Beside it stands PCA on noisy images: fitted to noisy training images, it keeps the number of
components that is best on 5,000 of them.

Source    Ronneberger, Fischer & Brox (2015); Zhang et al. (2017) for learning the change
"""

from __future__ import annotations

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table
from benchmarks.recipes.denoiser import NOISE, parameters, picture

WIDTHS = (16, 32, 64)
BATCH = 64
RATE = 2e-3
EPOCHS = 4


def unet(run: Run) -> None:
    """MSE and PSNR of denoised test images against the clean ones."""
    data, epochs = run.load("fashion-mnist"), run.number_of_epochs(EPOCHS)
    x, x_test = data.x_train, data.x_test
    noisy = NOISE(x_test, np.random.default_rng(2026))
    rng = np.random.default_rng(run.seed)
    model = ta.UNet(1, 1, WIDTHS, ta.MSE(), NOISE, rng=rng)
    optimizer = ta.Adam(ta.Cosine(RATE, epochs * -(-len(x) // BATCH)))
    with Stopwatch() as watch:
        ta.fit(model, x, epochs=epochs, batch_size=BATCH, optimizer=optimizer, rng=rng)
    y = np.clip(model.reconstruct(noisy), 0, 1)
    model.save(run.out / "unet.npz")
    picture(x_test, noisy, y, run, "unet.png")
    linear, components = pca(x, noisy, run)

    def row(name: str, measure: object, more: str, reference: str, reach: str) -> list[str]:
        values = [measure(x_test, a) for a in (noisy, linear, y)]  # type: ignore[operator]
        return [name, *(f"{value:{more}}" for value in values), reference, reach]

    table(
        f"{parameters(model):,} parameters, {epochs} epochs, {watch.seconds:.0f} s in all; "
        "test images, noise σ = 0.2",
        ["", "noisy", f"PCA-{components}", "U-Net", "reference (PyTorch, run)", "reach"],
        [
            row("MSE, mean over pixels", ta.metrics.mse, ".5f", "0.00440", ""),
            row("PSNR, mean over images", ta.metrics.psnr, ".2f", "23.99 dB", "≥ 24.1"),
            row("SSIM", ta.metrics.ssim, ".3f", "", ""),
        ],
    )


def pca(x: np.ndarray, noisy: np.ndarray, run: Run) -> tuple[np.ndarray, int]:
    """The noisy images in the best number of components, and that number."""
    spoilt = NOISE(x, np.random.default_rng(run.seed + 1))
    sizes = [k for k in (20, 40, 60, 80, 100, 140, 200) if k < min(len(x), x[0].size)]
    fitted = ta.metrics.PCA(sizes[-1]).fit(spoilt)

    def kept(a: np.ndarray, k: int) -> np.ndarray:
        z = fitted.transform(a)
        z[:, k:] = 0
        return np.clip(fitted.inverse_transform(z), 0, 1).astype(a.dtype)

    best = max(sizes, key=lambda k: ta.metrics.psnr(x[:5000], kept(spoilt[:5000], k)))
    return kept(noisy, best), best
