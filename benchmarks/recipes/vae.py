"""Variational autoencoders on MNIST, in nats a digit.

    python benchmarks/quality.py vae           784-500-z20-500-784, ReLU, 10 epochs
    python benchmarks/quality.py vae_2d        the same with two latent numbers
    python benchmarks/quality.py burda         784-200-200-z50-200-200-784, tanh, about 3 minutes
    python benchmarks/quality.py burda_hour    the same network, 700 epochs

In training, each batch is binarised anew: x ~ Bernoulli(grey value). The tables use two test sets:

    drawn anew    the grey test images, binarised during evaluation (``evaluate``): −ELBO
    fixed         the same, binarised once with seed 0: −ELBO, and NLL, the negative
                  log-likelihood by importance sampling (Burda et al. 2016, eq. 8)

The results on the fixed set have standard errors over the test images.
"""

from __future__ import annotations

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table
from tinyae.training import Epoch

BATCH_SIZE = 128


def vae(run: Run) -> None:
    """The PyTorch reference: −ELBO 101.7 (reconstruction 75.0, KL 26.7), NLL 97.2, 2.6 s an epoch."""
    rng = np.random.default_rng(run.seed)
    model = network([500, 20], ta.ReLU, rng)
    seconds = train(run, model, 10, 4e-3, rng, "vae")
    report("VAE 784-500-20-500-784, ReLU", run, model, seconds, 10, ("101.7", "–", "97.2"))


def vae_2d(run: Run) -> None:
    """The reference: −ELBO 156.9. With two latent numbers, the latent plane can be drawn."""
    rng = np.random.default_rng(run.seed)
    model = network([500, 2], ta.ReLU, rng)
    seconds = train(run, model, 10, 4e-3, rng, "vae-2d")
    report("VAE 784-500-2-500-784, ReLU", run, model, seconds, 10, ("156.9", "–", "–"))


def burda(run: Run) -> None:
    """The reference, 90 epochs: −ELBO 95.8, NLL 92.5 (1,000 draws, 2,000 test images)."""
    _burda(run, 70, 3e-3, "burda", ("95.8", "–", "92.5"))


def burda_hour(run: Run) -> None:
    """700 epochs, towards Burda et al.'s 86.76 (about 3,280 epochs, 5,000 draws)."""
    _burda(run, 700, 3e-3, "burda-hour", ("–", "–", "86.76"))


def _burda(run: Run, epochs: int, rate: float, name: str, reference: tuple[str, str, str]) -> None:
    rng = np.random.default_rng(run.seed)
    model = network([200, 200, 50], ta.Tanh, rng)
    seconds = train(run, model, epochs, rate, rng, name)
    title = "VAE 784-200-200-50-200-200-784, tanh"
    report(title, run, model, seconds, epochs, reference, draws=1000)


def network(
    units: list[int], activation: type[ta.Layer], rng: np.random.Generator
) -> ta.VariationalAutoencoder:
    parts = ta.dense_variational((1, 28, 28), units, activation=activation, rng=rng)
    return ta.VariationalAutoencoder(*parts, ta.Bernoulli(), resample=ta.Binarize())


def train(
    run: Run,
    model: ta.VariationalAutoencoder,
    epochs: int,
    rate: float,
    rng: np.random.Generator,
    name: str,
) -> float:
    """Train with a cosine schedule; returns the seconds."""
    x = run.load("mnist").x_train
    epochs = run.number_of_epochs(epochs)
    start_at_the_mean(model, x)
    steps = epochs * -(-len(x) // BATCH_SIZE)
    path = run.out / f"{name}.npz"

    def keep(epoch: Epoch) -> None:
        if epoch.epoch % 25 == 0 or epoch.epoch == epochs:
            model.save(path)
            print(f"epoch {epoch.epoch}: {epoch.terms['total']:.2f} nats", flush=True)

    with Stopwatch() as watch:
        model.fit(
            x,
            epochs=epochs,
            batch_size=BATCH_SIZE,
            optimizer=ta.Adam(ta.Cosine(rate, steps)),
            rng=rng,
            progress=False,
            on_epoch=keep,
        )
    return watch.seconds


def start_at_the_mean(model: ta.VariationalAutoencoder, x: np.ndarray) -> None:
    """Set the last bias to the logit of the mean image, so that it need not be learned."""
    *_, last = (layer for layer in model.decoder.layers if isinstance(layer, ta.Dense))
    mean = np.clip(x.mean(axis=0).ravel(), 1e-3, 1 - 1e-3)
    last.b.value[...] = np.log(mean / (1 - mean))


def report(
    title: str,
    run: Run,
    model: ta.VariationalAutoencoder,
    seconds: float,
    epochs: int,
    reference: tuple[str, str, str],
    draws: int = 500,
    images: int = 2000,
) -> None:
    epochs, data = run.number_of_epochs(epochs), run.load("mnist")
    x, draws = data.x_test, 10 if run.quick else draws
    with Stopwatch() as watch:
        anew = model.evaluate(x)
        fixed = ta.Binarize()(x, np.random.default_rng(0))
        bound = model.elbo(fixed, rng=0)
        likelihood = model.log_likelihood(fixed[:images], rng=0, samples=draws)
    table(
        f"{title}: {epochs} epochs, {seconds:.0f} s ({seconds / epochs:.2f} s an epoch); "
        f"scored in {watch.seconds:.0f} s; {data.name} test set, nats a sample",
        ["", "−ELBO, drawn anew", "−ELBO, fixed", f"NLL, {draws} draws, {images} images, fixed"],
        [
            ["reference", *reference],
            [
                "tinyae",
                f"{anew['total']:.2f} = {anew['reconstruction']:.2f} + KL {anew['kl']:.2f}",
                f"{-bound.value:.2f} ± {bound.standard_error:.2f}",
                f"{-likelihood.value:.2f} ± {likelihood.standard_error:.2f}",
            ],
        ],
    )
