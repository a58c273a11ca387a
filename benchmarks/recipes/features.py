"""The quality of codes: a linear classifier on the codes of each kind of autoencoder, MNIST.

    python benchmarks/quality.py features

Every autoencoder has one hidden layer of 1,000 units, 784-1000-784, and is trained without labels
on the 60,000 training images. Then it is frozen, and a softmax regression learns the digits from
its codes. The error on the 10,000 test images measures the quality of the code. For comparison, the
same regression is trained on raw pixels and on PCA (all 784 components, so the same information).

The regression is tinyae's Classifier with one Dense layer (cross-entropy, Adam with a cosine
schedule). It takes seconds for 60,000 × 1,000 codes; scikit-learn's solver takes minutes. Codes are
centred and divided by the root of their mean variance. The learning rate, the masking and the weights
of penalties were chosen among a few values on the last 10,000 training images; the k-sparse settings
are the paper's. The test set was not used for any choice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table
from tinyae.layers.topk import TopK
from tinyae.models.classifier import Classifier
from tinyae.models.contractive import ContractiveAutoencoder
from tinyae.models.sparse import KLSparsity, SparseAutoencoder

UNITS = 1000
K = 25  # of the k-sparse autoencoder
EPOCHS = 10
Pair = tuple[ta.Layer, ta.Layer]
PUBLISHED = {
    "raw pixels": "7.5-8",
    "k-sparse, k = 25": "1.35 (Makhzani & Frey 2014)",
}


def features(run: Run) -> None:
    data, epochs = run.load("mnist", 2000), run.number_of_epochs(EPOCHS)
    x, x_test = data.x_train, data.x_test
    labels = data.y_train, data.y_test
    rows = []

    def row(name: str, codes: Callable[[np.ndarray], np.ndarray], seconds: float) -> None:
        error, trained = linear_error(codes(x), codes(x_test), *labels, run)
        cells = [f"{error:.2f}", f"{trained:.2f}", f"{seconds:.0f}", PUBLISHED.get(name, "")]
        rows.append([name, *cells])
        print("  ".join(rows[-1]), flush=True)

    row("raw pixels", flat, 0)
    with Stopwatch() as watch:
        pca = ta.metrics.PCA(min(UNITS, x[0].size)).fit(x)
    row("PCA", pca.transform, watch.seconds)
    for name, build in KINDS.items():
        model = build(x.shape[1:], np.random.default_rng(run.seed))
        with Stopwatch() as watch:
            train(model, x, epochs, run.seed)
        row(name, model.encode, watch.seconds)
    table(
        f"a linear classifier on codes of {UNITS} units, {epochs} epochs; reach: best ≤ 1.9 %",
        ["features", "test error %", "training %", "s to learn", "published"],
        rows,
    )


# --- the autoencoders -------------------------------------------------------------------------


def pair(shape: tuple[int, ...], rng: np.random.Generator, code: Callable[[], ta.Layer]) -> Pair:
    """784-1000-784; the decoder gives logits."""
    return ta.dense_encoder_decoder(shape, [UNITS], code_activation=code, output=None, rng=rng)


def plain(shape: tuple[int, ...], rng: np.random.Generator) -> ta.Autoencoder:
    return ta.Autoencoder(*pair(shape, rng, ta.Sigmoid), ta.BCEWithLogits())


def sparse(shape: tuple[int, ...], rng: np.random.Generator) -> ta.Autoencoder:
    penalty = KLSparsity(target=0.05, weight=2e-3)
    return SparseAutoencoder(*pair(shape, rng, ta.Sigmoid), ta.BCEWithLogits(), penalty)


def k_sparse(shape: tuple[int, ...], rng: np.random.Generator) -> ta.Autoencoder:
    """Tied weights, as in the paper; codes keep 3k units."""
    top = TopK(K, inference_k=3 * K)
    parts = ta.dense_encoder_decoder(
        shape, [UNITS], code_activation=lambda: top, output=None, tied=True, rng=rng
    )
    return ta.Autoencoder(*parts, ta.BCEWithLogits())


def denoising(shape: tuple[int, ...], rng: np.random.Generator) -> ta.Autoencoder:
    parts = pair(shape, rng, ta.Sigmoid)
    return ta.DenoisingAutoencoder(*parts, ta.BCEWithLogits(), ta.MaskingNoise(0.5))


def contractive(shape: tuple[int, ...], rng: np.random.Generator) -> ta.Autoencoder:
    return ContractiveAutoencoder(*pair(shape, rng, ta.Sigmoid), ta.BCEWithLogits(), 3e-4)


KINDS = {
    "plain": plain,
    "sparse, KL to 0.05": sparse,
    "k-sparse, k = 25": k_sparse,
    "denoising, half masked": denoising,
    "contractive": contractive,
}


def train(model: ta.Autoencoder, x: np.ndarray, epochs: int, seed: int) -> None:
    """Adam with a cosine schedule. The k of a TopK falls from 4k to k in the first half.

    With k = 25 from the start, most units are never selected and never learn (Makhzani & Frey 2014).
    """
    optimizer = ta.Adam(ta.Cosine(1e-3, epochs * -(-len(x) // 128)))
    rng, last = np.random.default_rng(seed), model.encoder.children.popitem()[1]
    for epoch in range(epochs):
        if isinstance(last, TopK):
            last.k = K + max(0, 3 * K - 6 * K * epoch // epochs)
        model.fit(x, epochs=1, batch_size=128, optimizer=optimizer, rng=rng, progress=False)


# --- the classifier ---------------------------------------------------------------------------


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def linear_error(
    z: np.ndarray, z_test: np.ndarray, y: np.ndarray, y_test: np.ndarray, run: Run
) -> tuple[float, float]:
    """Test and training error in percent of a softmax regression."""
    mean, scale = z.mean(axis=0), np.sqrt(z.var(axis=0).mean())
    z, z_test = (z - mean) / scale, (z_test - mean) / scale
    model = Classifier(ta.Dense(z.shape[1], 10, rng=np.random.default_rng(run.seed)))
    epochs = 2 if run.quick else 25
    model.fit(
        (z, y),
        epochs=epochs,
        batch_size=256,
        optimizer=ta.Adam(ta.Cosine(5e-3, epochs * -(-len(z) // 256))),
        rng=run.seed,
        progress=False,
    )
    return 100 * model.evaluate((z_test, y_test))["error"], 100 * model.evaluate((z, y))["error"]
