"""Generative adversarial networks: samples, and a classifier's judgement of them.

    python benchmarks/quality.py gan             Dense layers, MNIST
    python benchmarks/quality.py dcgan           convolutions, MNIST
    python benchmarks/quality.py gan_fashion     the same two on Fashion-MNIST
    python benchmarks/quality.py dcgan_fashion
    python benchmarks/quality.py wgan            the generator of dcgan, a critic with gradient penalty

The loss of a GAN does not measure the quality of its samples. So a classifier, trained on the real
training set, computes the class probabilities p(y | x̃) of 10,000 samples:

    entropy of one    E H[p(y | x̃)], nats: small if each sample clearly belongs to one class
    entropy of all    H[E p(y | x̃)], nats: ln 10 ≈ 2.303 if all classes are equally frequent
    score             exp E KL(p(y | x̃) ‖ p(y)) = exp (entropy of all − entropy of one), 1 to 10:
                      the inception score of Salimans et al. (2016), but with our classifier, so
                      its values are comparable only within this table
    plain             fraction of samples with max p(y | x̃) > 0.9
    rarest class      fraction of samples in the rarest class

The same numbers for the 10,000 real test images are what a perfect generator would reach.
"""

from __future__ import annotations

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table

SAMPLES = 10_000


def gan(run: Run) -> None:
    """Dense layers on MNIST: 32-256-512-784 against 784-512-256-1."""
    _dense(run, "mnist")


def gan_fashion(run: Run) -> None:
    _dense(run, "fashion-mnist")


def dcgan(run: Run) -> None:
    """Convolutions on MNIST: 4 × 4 kernels, stride 2, 16 and 32 channels, and their mirror."""
    _convolutional(run, "mnist")


def dcgan_fashion(run: Run) -> None:
    _convolutional(run, "fashion-mnist")


def wgan(run: Run) -> None:
    """The generator and the epochs of ``dcgan`` on MNIST, a Wasserstein critic of the same size."""
    rng = np.random.default_rng(run.seed)
    model = ta.WassersteinGAN(*ta.conv_wgan((1, 28, 28), (16, 32), 32, rng=rng))
    _play(run, "mnist", "wgan", model, epochs=8, batch_size=32, rates=(2e-3, 2e-3), rng=rng)


def _dense(run: Run, name: str) -> None:
    rng = np.random.default_rng(run.seed)
    model = ta.GAN(*ta.dense_gan((1, 28, 28), (512, 256), 32, rng=rng), real_label=0.9)
    _play(run, name, "gan", model, epochs=20, batch_size=64, rates=(4e-4, 1e-3), rng=rng)


def _convolutional(run: Run, name: str) -> None:
    rng = np.random.default_rng(run.seed)
    model = ta.GAN(*ta.dcgan((1, 28, 28), (16, 32), 32, rng=rng), real_label=0.9)
    _play(run, name, "dcgan", model, epochs=8, batch_size=32, rates=(6e-4, 6e-4), rng=rng)


def _play(
    run: Run,
    name: str,
    kind: str,
    model: ta.GAN,
    *,
    epochs: int,
    batch_size: int,
    rates: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Train, save a page of samples, and judge more samples with a classifier."""
    data, epochs = run.load(name), run.number_of_epochs(epochs)
    x = data.x_train
    steps = epochs * -(-len(x) // batch_size)
    with Stopwatch() as watch:
        history = ta.fit(
            model,
            x,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=tuple(ta.Adam(ta.Cosine(rate, steps), beta1=0.5) for rate in rates),
            rng=rng,
        )
    model.save(run.out / f"{kind}.npz")
    samples = model.sample(SAMPLES, rng)
    ta.plot.page(samples[:100], run.out / f"{kind}.png")

    judge = classifier(x, data.y_train, 1 if run.quick else 10, np.random.default_rng(0))
    right = 1 - judge.error(data.x_test, data.y_test)
    real, generated = scores(judge, data.x_test), scores(judge, samples)
    perfect = ["0", f"{np.log(10):.3f}", "10", "100%", "10%"]
    names = ["entropy of one, nats", "entropy of all, nats", "score", "plain", "rarest class"]
    images = run.data or ("strokes" if run.quick else name)
    table(
        f"{kind}, {images}: {epochs} epochs, {watch.seconds:.0f} s; judged by a classifier that "
        f"names {right:.2%} of the test images rightly",
        ["", "generated", "real test images", "perfect"],
        list(zip(names, generated, real, perfect)),
    )
    share = np.bincount(judge.predict(samples), minlength=10) / SAMPLES
    print("classes: " + ", ".join(f"{k} {part:.1%}" for k, part in enumerate(share)))
    last = history.epochs[-1].terms
    print("at the end: " + ", ".join(f"{term} {value:.3f}" for term, value in last.items()))
    print(f"a page of samples: {run.out / kind}.png")


def scores(judge: ta.Classifier, x: np.ndarray) -> list[str]:
    p = judge.predict_proba(x).astype(np.float64)
    one, whole = _entropy(p).mean(), _entropy(p.mean(axis=0))
    rarest = np.bincount(p.argmax(axis=1), minlength=10).min() / len(p)
    plain = (p.max(axis=1) > 0.9).mean()
    return [
        f"{one:.3f}",
        f"{whole:.3f}",
        f"{np.exp(whole - one):.2f}",
        f"{plain:.1%}",
        f"{rarest:.1%}",
    ]


def _entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-12))).sum(axis=-1)


def classifier(
    x: np.ndarray, y: np.ndarray, epochs: int, rng: np.random.Generator
) -> ta.Classifier:
    """784-256-10 with dropout."""
    network = ta.Sequential(
        ta.Flatten(),
        ta.Dense(784, 256, rng=rng),
        ta.ReLU(),
        ta.Dropout(0.3, rng=rng),
        ta.Dense(256, 10, rng=rng),
    )
    judge = ta.Classifier(network)
    optimizer = ta.Adam(ta.Cosine(1e-3, epochs * -(-len(x) // 128)))
    judge.fit((x, y), epochs=epochs, batch_size=128, optimizer=optimizer, rng=rng, progress=False)
    return judge
