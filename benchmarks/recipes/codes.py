"""What can be done with the codes of a vector-quantised autoencoder, beside storing them.

    python benchmarks/quality.py code_prior    digits by class, MNIST: a Transformer prior over 49 codes
    python benchmarks/quality.py vqgan         sharper reconstructions of Fashion-MNIST, by a game

``code_prior`` learns codes of 7 × 7 places, 64 a place, and then their distribution for each class.
The samples are judged by a classifier of real digits: how many it takes for the class that was asked
for, and the score of the recipe ``gan``. The bits of a code are an exact likelihood, of codes, not of
pixels; as it can be computed for every class, the prior is a classifier too.

``vqgan`` trains a VQ-VAE, and from there on the same network twice, with and without the
discriminator, for as many epochs. What the game costs is seen in the MSE, what it gains in the Fréchet
distance of reconstructions to the test images, in the last hidden layer (256 units) of a classifier.

Source    Esser, Rombach & Ommer (2021), for both
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table
from benchmarks.recipes.gan import classifier, scores
from benchmarks.recipes.vqvae import perplexity

BATCH_SIZE = 64
CODES = 64


def code_prior(run: Run) -> None:
    """Samples by class: right by a classifier, and the likelihood of test codes."""
    data, rng = run.load("mnist"), np.random.default_rng(run.seed)
    judge = classifier(data.x_train, data.y_train, 1 if run.quick else 10, np.random.default_rng(0))
    with Stopwatch() as watch:
        vqvae = ta.VQVAE(*_pair(rng), ta.MSE(), CODES, 32)
        _train(vqvae, data.x_train, run.number_of_epochs(1), 3e-3, rng)
    k, k_test = vqvae.encode(data.x_train), vqvae.encode(data.x_test)
    prior = ta.CodePrior(CODES, k.shape[1:], 10, dim=32, depth=2, rng=rng)
    epochs = run.number_of_epochs(1)
    rate = ta.WarmUp(ta.Cosine(4e-3, epochs * -(-len(k) // 32)), 100)
    with Stopwatch() as second:
        ta.fit(
            prior,
            (k, data.y_train),
            epochs=epochs,
            batch_size=32,
            optimizer=ta.Adam(rate, beta2=0.98),
            rng=rng,
            progress=False,
        )
    prior.save(run.out / "code_prior.npz")
    bits = prior.evaluate((k_test, data.y_test))["bits"]
    labels = np.repeat(np.arange(10), 20 if run.quick else 100)
    rows = []
    for name, options in SAMPLING.items():
        x = vqvae.decode(prior.sample(labels, rng, **options))
        right = (judge.predict(x) == labels).reshape(10, -1).mean(axis=1)
        rows.append([name, f"{right.mean():.1%}", f"{right.min():.1%}", scores(judge, x)[2]])
        ta.plot.page(x[:: len(x) // 100][:100], run.out / f"code_prior-{len(rows)}.png")
    known = judge.predict(vqvae.decode(k_test)) == data.y_test
    rows.append(["test images, from their codes", f"{known.mean():.1%}", "", ""])
    mse = ta.metrics.mse(vqvae.reconstruct(data.x_test), data.x_test)
    title = (
        f"{data.name}: {perplexity(k_test):.0f} of {CODES} codes, MSE {mse:.5f}, "
        f"{watch.seconds:.0f} s; prior, {epochs} epochs, {second.seconds:.0f} s: "
        f"{bits:.3f} bits a code (of {np.log2(CODES):.0f})"
    )
    table(title, ["", "right", "rarest class", "score"], rows)
    few = slice(0, 50 if run.quick else 1000)
    each = [prior.log_likelihood(k_test[few], np.full(len(k_test[few]), c)) for c in range(10)]
    found = np.argmax(each, axis=0) == data.y_test[few]
    print(f"as a classifier, argmax p(k | c) on {len(found)} test images: {found.mean():.1%} right")


SAMPLING: dict[str, dict[str, Any]] = {
    "as the model says": {},
    "temperature 0.8": {"temperature": 0.8},
    "the 10 most probable": {"top_k": 10},
}


def vqgan(run: Run) -> None:
    """The same network for as long, with a discriminator of patches and without."""
    data, rng = run.load("fashion-mnist"), np.random.default_rng(run.seed)
    x, x_test = data.x_train, data.x_test
    judge = classifier(x, data.y_train, 1 if run.quick else 10, np.random.default_rng(0))
    features = ta.Sequential(*judge.network.layers[:-1])
    encoder, decoder = _pair(rng)
    decoder = ta.Sequential(*decoder.layers, ta.Sigmoid())  # D is not to see grey beyond black
    first = ta.VQVAE(encoder, decoder, ta.BCE(), CODES, 32, commitment=0.05)
    _train(first, x, run.number_of_epochs(1), 3e-3, rng)
    plain = copy.deepcopy(first)
    discriminator = ta.patch_discriminator(1, (16, 32), rng=rng)
    game = ta.VQGAN(encoder, decoder, ta.BCE(), discriminator, CODES, 32, commitment=0.05)
    for name, a in first.state.items():
        game.state[name][...] = a
    rows = []
    for name, model in (("VQ-VAE", plain), ("VQGAN", game)):
        with Stopwatch() as watch:
            epochs = run.number_of_epochs(1)
            _train(model, x, epochs, 1e-3, rng)
        model.save(run.out / f"{name.lower()}.npz")
        k = model.encode(x_test)
        y = model.decode(k)
        distance = ta.metrics.frechet_distance(features(x_test), features(y))
        right = (judge.predict(y) == data.y_test).mean()
        ta.plot.page(np.concatenate([x_test[:20], y[:20]]), run.out / f"{name.lower()}.png")
        mse = ta.metrics.mse(y, x_test)
        cells = f"{mse:.5f}", f"{distance:.3f}", f"{right:.1%}", f"{perplexity(k):.0f}"
        rows.append([name, *cells, f"{watch.seconds:.0f}"])
    half = len(x_test) // 2
    two = ta.metrics.frechet_distance(features(x_test[:half]), features(x_test[half:]))
    right = (judge.predict(x_test) == data.y_test).mean()
    rows.append(["test images (two halves)", "0", f"{two:.3f}", f"{right:.1%}", "", ""])
    heads = ["", "MSE", "Fréchet", "class kept", "perplexity", "seconds"]
    table(f"{data.name}: 49 codes of {CODES}, {epochs} + {epochs} epochs", heads, rows)


def _pair(rng: np.random.Generator) -> tuple[ta.Layer, ta.Sequential]:
    """28 × 28 → 7 × 7 places of 32 numbers, and back."""
    shape, channels = (1, 28, 28), [16, 32]
    encoder, decoder = ta.conv_encoder_decoder(shape, channels, kernel_size=4, output=None, rng=rng)
    return ta.Sequential(encoder, ta.Conv2d(32, 32, 1, rng=rng)), decoder


def _train(
    model: ta.Model, x: np.ndarray, epochs: int, rate: float, rng: np.random.Generator
) -> None:
    steps = epochs * -(-len(x) // BATCH_SIZE)
    optimizer = tuple(ta.Adam(ta.Cosine(rate, steps), beta1=0.5) for _ in model.players)
    ta.fit(
        model, x, epochs=epochs, batch_size=BATCH_SIZE, optimizer=optimizer, rng=rng, progress=False
    )
