"""Models whose codes fill a prior, on MNIST.

    python benchmarks/quality.py iwae      one draw and five: negative log-likelihood, in nats
    python benchmarks/quality.py priors    VAE, IWAE, WAE-MMD and AAE with codes of eight numbers

``iwae`` trains 784-200-200-z20-200-200-784 twice with the same seed, learning rates and number of
epochs: as a VAE, and with five draws. Both are scored alike, as the recipe ``vae`` does.

``priors`` gives all four the same layers, 784-512-256-z8 and back. The columns:

    MSE             of test images reconstructed from their codes, without noise
    MMD²            between the codes of 2,000 test images and draws of the prior; of a variational
                    model, codes drawn from q(z | x). Without bias: of two sets of draws it is 0 ± 0.002
    score, plain    of 10,000 samples, by a classifier of real digits: see the recipe ``gan``
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table
from benchmarks.recipes.gan import SAMPLES, classifier, scores
from benchmarks.recipes.vae import start_at_the_mean
from tinyae.models.mmd import mmd

BATCH_SIZE = 128


def iwae(run: Run) -> None:
    """Burda et al. (2016), table 1, one stochastic layer, 3,280 epochs: 86.76 (K = 1), 85.54 (5)."""
    data, rows = run.load("mnist"), []
    fixed = ta.Binarize()(data.x_test, np.random.default_rng(0))[:2000]
    for draws, published in ((1, "86.76"), (5, "85.54")):
        rng = np.random.default_rng(run.seed)
        parts = ta.dense_variational((1, 28, 28), [200, 200, 20], activation=ta.Tanh, rng=rng)
        model = _importance_weighted(parts, draws)
        seconds, epochs = _train(run, model, data.x_train, 10, (3e-3,), rng)
        model.save(run.out / f"iwae-{draws}.npz")
        bound = model.elbo(fixed, rng=0)
        nll = model.log_likelihood(fixed, rng=0, samples=10 if run.quick else 500)
        rows.append(
            [
                f"K = {draws}",
                f"{-bound.value:.2f}",
                f"{-nll.value:.2f} ± {nll.standard_error:.2f}",
                published,
                f"{seconds / epochs:.1f}",
            ]
        )
    heads = ["", "−ELBO", "NLL, 500 draws, 2,000 images", "reference", "s an epoch"]
    table(f"784-200-200-20, tanh, {data.name}: {epochs} epochs, nats a sample", heads, rows)


def _importance_weighted(parts: Any, draws: int) -> ta.VariationalAutoencoder:
    if draws == 1:
        return ta.VariationalAutoencoder(*parts, resample=ta.Binarize())
    return ta.ImportanceWeightedAutoencoder(*parts, samples=draws, resample=ta.Binarize())


def priors(run: Run) -> None:
    """Four models of one size: how well they reconstruct, how well they sample."""
    data, rng = run.load("mnist"), np.random.default_rng(run.seed)
    judge = classifier(data.x_train, data.y_train, 1 if run.quick else 10, np.random.default_rng(0))
    x, rows = data.x_test[:2000], []
    noise = rng.standard_normal((len(x), 8))
    for name, model in _four(rng).items():
        rates = (1e-3,) * len(model.players)
        seconds, epochs = _train(run, model, data.x_train, 10, rates, rng)
        model.save(run.out / f"{name.lower()}.npz")
        samples = model.sample(SAMPLES, rng)
        ta.plot.page(samples[:100], run.out / f"{name.lower()}.png")
        z = model.encode(x)
        if isinstance(model, ta.VariationalAutoencoder):
            z, *_ = model.draw_code(*model.posterior(x, None), rng)
        distance, _ = mmd(z, noise, ta.InverseMultiquadratic())
        _, _, score, plain, _ = scores(judge, samples)
        mse = ta.metrics.mse(model.reconstruct(data.x_test), data.x_test)
        rows.append([name, f"{mse:.5f}", f"{distance:.4f}", score, plain, f"{seconds:.0f}"])
    _, _, score, plain, _ = scores(judge, data.x_test)
    rows.append(["real test images", "0", "", score, plain, ""])
    heads = ["", "MSE", "MMD²", "score", "plain", "seconds"]
    table(f"784-512-256-8, {data.name}: {epochs} epochs", heads, rows)


def _four(rng: np.random.Generator) -> dict[str, Any]:
    shape, units, noise = (1, 28, 28), [512, 256, 8], ta.Binarize()

    def heads() -> Any:
        return ta.dense_variational(shape, units, rng=rng)

    def pair() -> Any:
        return *ta.dense_encoder_decoder(shape, units, output=None, rng=rng), ta.BCEWithLogits()

    discriminator = ta.Sequential(
        *(ta.Dense(8, 256, rng=rng), ta.LeakyReLU(0.2), ta.Dense(256, 256, rng=rng)),
        *(ta.LeakyReLU(0.2), ta.Dense(256, 1, rng=rng)),
    )
    return {
        "VAE": ta.VariationalAutoencoder(*heads(), resample=noise),
        "IWAE": ta.ImportanceWeightedAutoencoder(*heads(), samples=5, resample=noise),
        "WAE-MMD": ta.WassersteinAutoencoder(*pair(), weight=0.1),
        "AAE": ta.AdversarialAutoencoder(*pair(), discriminator, weight=0.01),
    }


def _train(
    run: Run,
    model: Any,
    x: np.ndarray,
    epochs: int,
    rates: tuple[float, ...],
    rng: np.random.Generator,
) -> tuple[float, int]:
    """Train with cosine schedules; returns the seconds and the number of epochs."""
    epochs = run.number_of_epochs(epochs)
    steps = epochs * -(-len(x) // BATCH_SIZE)
    start_at_the_mean(model, x)
    with Stopwatch() as watch:
        model.fit(
            x,
            epochs=epochs,
            batch_size=BATCH_SIZE,
            optimizer=tuple(ta.Adam(ta.Cosine(rate, steps)) for rate in rates),
            rng=rng,
            progress=False,
        )
    return watch.seconds, epochs
