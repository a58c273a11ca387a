"""The benefit of layer-wise pre-training, in two experiments on MNIST.

    python benchmarks/quality.py deep_sigmoid     a deep autoencoder of sigmoid units
    python benchmarks/quality.py pretraining      classification with few labels

**deep_sigmoid**  784-1000-500-250-30 and its mirror (Hinton & Salakhutdinov 2006), all units
sigmoid except for the linear code. From random weights it gets stuck: the squared error of a test
image, summed over its pixels, stays at 22.9 with Adam's default settings (PCA: 13.87). Here every
layer is first trained as a shallow autoencoder on the codes of the layer below, with tied weights
(the decoder's matrix is the encoder's, transposed) and cross-entropy. Then all are unrolled, untied
and trained together with squared error. A sigmoid's slope is at most ¼, so the learning rates are
several times those of the ELU network.

**pretraining**  A classifier with two hidden layers, 784-500-500-10, learns from 100, 1,000 and
10,000 labelled images: from random weights, and from a stack of denoising autoencoders that has
seen all 60,000 images without labels (Vincent et al. 2010). Both are trained in the same way, for a
fixed number of steps with a cosine schedule, so there is no early stopping and no test label is used
before the end. A third row is the modern alternative without pre-training: the same network with ReLU
units. For each number of labels, DRAWS balanced subsets are drawn; the table gives the mean and
standard deviation over them.

Settings were chosen on training images only: the rates of the first experiment by the error after 400
steps; those of the second, separately for each row, on the last 10,000 labels of the training set.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinyae as ta
from benchmarks.recipes.common import Run, Stopwatch, table
from benchmarks.recipes.deep import UNITS, squared_error

BATCH = 100
DRAWS = 5


def optimizer(rate: float, epochs: int, samples: int, batch: int = BATCH) -> ta.Adam:
    """Adam with a cosine schedule from ``rate`` to 0."""
    return ta.Adam(ta.Cosine(rate, epochs * -(-samples // batch)))


# --- the deep network of sigmoid units --------------------------------------------------------

EPOCHS_A_BLOCK = (3, 3, 5, 20)
FINE_TUNING = 30


def deep_sigmoid(run: Run) -> None:
    data, epochs = run.load("mnist"), run.number_of_epochs(FINE_TUNING)
    x, x_test = data.x_train, data.x_test
    rng = np.random.default_rng(run.seed)
    stack = ta.stack_of(x.shape[1:], UNITS, code_activation=None, tied=True, rng=rng)
    lengths = dict(zip(stack.blocks, EPOCHS_A_BLOCK))

    def train(block: ta.Autoencoder, codes: np.ndarray) -> ta.History:
        n = 1 if run.quick else lengths[block]
        print(f"{codes[0].size} → {block.encode(codes[:1]).size}", flush=True)
        return ta.fit(
            block,
            codes,
            epochs=n,
            batch_size=BATCH,
            optimizer=optimizer(4e-3, n, len(x)),
            rng=run.seed,
        )

    with Stopwatch() as watch:
        stack.pretrain(x, train)
        model, before = stack.unroll(ta.MSE()), watch.seconds
        unrolled = squared_error(x_test, model.reconstruct(x_test))
        print(f"unrolled after {before:.0f} s: {unrolled:.2f} an image", flush=True)
        history = ta.fit(
            model,
            x,
            epochs=epochs,
            batch_size=BATCH,
            optimizer=optimizer(3e-3, epochs, len(x)),
            rng=run.seed,
        )
    model.save(run.out / "deep_sigmoid.npz")
    tuned = squared_error(x_test, model.reconstruct(x_test))
    trained = history.epochs[-1].terms["reconstruction"] * x[0].size
    table(
        f"784-1000-500-250-30, sigmoid units: {before:.0f} s layer by layer, {epochs} epochs of "
        f"the whole, {watch.seconds:.0f} s in all",
        ["squared error an image", "test", "training", "reference (test)", "reach"],
        [
            ["pre-trained, then fine-tuned", f"{tuned:.3f}", f"{trained:.3f}", "3.00 (H&S)", "< 5"],
            ["pre-trained, unrolled", f"{unrolled:.2f}", "", "", ""],
            ["without pre-training", "", "", "22.9 (PyTorch, run)", ""],
            ["PCA, 30 components", "", "", "13.87", ""],
        ],
    )


# --- few labels -------------------------------------------------------------------------------

HIDDEN = (500, 500)
STEPS = {100: 600, 1000: 1000, 10000: 3000}  # of fine-tuning, by the number of labels
STACK_EPOCHS = 10
MASKED = 0.5
Start = tuple[Callable[[int], ta.Classifier], float]  # the network for a seed, and its rate


def pretraining(run: Run) -> None:
    data = run.load("mnist", 1000)
    x, x_test, labels, labels_test = data.x_train, data.x_test, data.y_train, data.y_test
    if labels is None or labels_test is None:
        raise ValueError(f"pretraining: {data.name} has no labels; pass --data mnist")
    epochs, draws = run.number_of_epochs(STACK_EPOCHS), 2 if run.quick else DRAWS
    numbers = [n for n in STEPS if n <= len(x)]
    with Stopwatch() as watch:
        stack = denoising_stack(x, epochs, run.seed)
        before = watch.seconds
        starts: dict[str, Start] = {
            "random": (lambda seed: from_random(x.shape[1:], ta.Sigmoid, seed), 1e-2),
            "pre-trained": (lambda seed: on_top_of(stack, seed), 1e-2),
            "random, ReLU units": (lambda seed: from_random(x.shape[1:], ta.ReLU, seed), 3e-3),
        }
        rows: list[list[str]] = []
        for name, start in starts.items():
            rows.append([name])
            for n in numbers:
                errors = []
                for seed in range(run.seed, run.seed + draws):
                    few = balanced(labels, n, np.random.default_rng(seed))
                    steps = 20 if run.quick else STEPS[n]
                    model = fine_tuned(start, x[few], labels[few], steps, seed)
                    errors.append(100 * model.error(x_test, labels_test))
                rows[-1].append(f"{np.mean(errors):.2f} ± {np.std(errors, ddof=1):.2f}")
            print("  ".join(rows[-1]), f"after {watch.seconds:.0f} s", flush=True)
    table(
        f"test error in % with few labels, {draws} draws; 784-500-500-10, {before:.0f} s of "
        f"pre-training on {len(x):,} images, {watch.seconds:.0f} s in all",
        ["weights from the start", *(f"{n:,} labels" for n in numbers)],
        rows,
    )


def denoising_stack(x: np.ndarray, epochs: int, seed: int) -> ta.StackedAutoencoder:
    stack = ta.stack_of(
        x.shape[1:], HIDDEN, corruption=ta.MaskingNoise(MASKED), rng=np.random.default_rng(seed)
    )
    stack.pretrain(
        x,
        lambda block, codes: ta.fit(
            block,
            codes,
            epochs=epochs,
            batch_size=BATCH,
            optimizer=optimizer(5e-3, epochs, len(x)),
            rng=seed,
        ),
    )
    return stack


def on_top_of(stack: ta.StackedAutoencoder, seed: int) -> ta.Classifier:
    """A softmax on a copy of the stack, so that fine-tuning does not change the stack itself."""
    copy = stack.astype(stack.dtype)
    return copy.classifier(10, rng=np.random.default_rng(seed))


def from_random(shape: tuple[int, ...], unit: Callable[[], ta.Layer], seed: int) -> ta.Classifier:
    rng = np.random.default_rng(seed)
    encoder, _ = ta.dense_encoder_decoder(
        shape, HIDDEN, activation=unit, code_activation=unit, rng=rng
    )
    return ta.Classifier(ta.Sequential(encoder, ta.Dense(HIDDEN[-1], 10, rng=rng)))


def fine_tuned(
    start: Start, x: np.ndarray, labels: np.ndarray, steps: int, seed: int
) -> ta.Classifier:
    """A classifier trained for about ``steps`` steps."""
    make, rate = start
    model, batch = make(seed), min(BATCH, len(x) // 10)
    epochs = -(-steps * batch // len(x))
    ta.fit(
        model,
        (x, labels),
        epochs=epochs,
        batch_size=batch,
        optimizer=optimizer(rate, epochs, len(x), batch),
        rng=seed,
        progress=False,
    )
    return model


def balanced(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of n samples, n / 10 of each class."""
    each = [rng.permutation(np.flatnonzero(labels == c))[: n // 10] for c in range(10)]
    return rng.permutation(np.concatenate(each))
