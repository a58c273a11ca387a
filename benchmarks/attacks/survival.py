"""Trainings that are killed at any moment, and begun again with the same command.

The law: whatever the model, the estimator and the kernels, the last process ends with the same bits
as one that was never killed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinyae as ta
from tinyae import kernels

EPOCHS, ROWS, FEATURES, CLASSES = 12, 48, 6, 3
X = np.random.default_rng(0).random((ROWS, FEATURES)).astype(np.float32)
LABELS = np.arange(ROWS) % CLASSES
KERNELS = ["numpy", *(["numba"] if importlib.util.find_spec("numba") else [])]


def _halves(rng: np.random.Generator, *, noise: bool = False) -> tuple[Any, Any]:
    more = (ta.BatchNorm(4), ta.Dropout(0.2, rng=rng)) if noise else ()
    encoder = ta.Sequential(ta.Dense(FEATURES, 4, rng=rng), ta.Sigmoid(), *more)
    return encoder, ta.Sequential(ta.Dense(4, FEATURES, rng=rng))


def _conv(rng: np.random.Generator) -> ta.Autoencoder:
    encoder = ta.Sequential(
        ta.Reshape(1, 2, 3), ta.Conv2d(1, 2, 3, padding=1, rng=rng), ta.ReLU(), ta.Flatten()
    )
    decoder = ta.Sequential(ta.Dense(12, FEATURES, rng=rng))
    return ta.Autoencoder(encoder, decoder, ta.L1())


def _variational(kind: Any, rng: np.random.Generator, classes: int) -> Any:
    encoder = ta.Sequential(ta.Dense(FEATURES, 4, rng=rng), ta.Tanh())
    heads = [ta.Dense(4 + classes, 2, rng=rng) for _ in range(2)]
    decoder = ta.Sequential(ta.Dense(2 + classes, FEATURES, rng=rng))
    more = {"classes": classes} if classes else {}
    return kind(encoder, *heads, decoder, ta.Bernoulli(), warm_up=10, **more)


# Each kind of model: how it is made, and whether its data have labels.
MODELS: dict[str, tuple[Callable[[np.random.Generator], Any], bool]] = {
    "plain": (lambda rng: ta.Autoencoder(*_halves(rng, noise=True), ta.MSE()), False),
    "frozen": (lambda rng: _frozen(ta.Autoencoder(*_halves(rng), ta.MSE())), False),
    "conv": (_conv, False),
    "denoising": (
        lambda rng: ta.DenoisingAutoencoder(*_halves(rng), ta.MSE(), ta.GaussianNoise(0.1)),
        False,
    ),
    "sparse": (
        lambda rng: ta.SparseAutoencoder(*_halves(rng), ta.MSE(), ta.KLSparsity(0.05, 0.1)),
        False,
    ),
    "contractive": (lambda rng: ta.ContractiveAutoencoder(*_halves(rng), ta.MSE(), 0.1), False),
    "variational": (lambda rng: _variational(ta.VariationalAutoencoder, rng, 0), False),
    "conditional": (
        lambda rng: _variational(ta.ConditionalVariationalAutoencoder, rng, CLASSES),
        True,
    ),
    "classifier": (lambda rng: ta.Classifier(_classifying(rng)), True),
    "gan": (lambda rng: ta.GAN(*ta.dense_gan((FEATURES,), [4], latent_dim=2, rng=rng)), False),
}
ESTIMATORS = ["AutoencoderTransformer", "VariationalTransformer", "AutoencoderDetector"]


def _frozen(model: Any) -> Any:
    model.encoder.freeze()
    return model


def _classifying(rng: np.random.Generator) -> Any:
    return ta.Sequential(ta.Dense(FEATURES, 4, rng=rng), ta.ReLU(), ta.Dense(4, CLASSES, rng=rng))


def optimizers(model: Any) -> Any:
    made = [ta.AdamW(ta.Cosine(0.01, 3 * EPOCHS), decay=_all_but_the_first) for _ in model.players]
    return made[0] if len(made) == 1 else tuple(made)


def _all_but_the_first(name: str, param: ta.Param) -> bool:
    return not name.startswith("encoder.0")


def train(name: str, checkpoint: Path | None, every: int = 1, epochs: int = EPOCHS) -> str:
    """Train a kind of model, or fit an estimator, from where a checkpoint is; a digest of its bits."""
    if name in ESTIMATORS:
        return _fit_estimator(name, checkpoint)
    make, labelled = MODELS[name]
    model = make(np.random.default_rng(1))
    x = (X, LABELS) if labelled else X
    there = checkpoint is not None and checkpoint.exists()
    history = ta.fit(
        model, x, epochs=epochs, batch_size=16, optimizer=optimizers(model), validation=x,
        rng=3, progress=False, checkpoint=checkpoint, every=every,
        reduce_on_plateau=ta.ReduceLROnPlateau(0.5, 2), early_stopping=ta.EarlyStopping(30),
        resume=checkpoint if there else None,
    )  # fmt: skip
    return _digest(model, history)


def _fit_estimator(name: str, checkpoint: Path | None) -> str:
    import tinyae.sklearn

    estimator = getattr(tinyae.sklearn, name)(
        2, hidden_units=(3,), epochs=EPOCHS, batch_size=16, random_state=0, checkpoint=checkpoint
    )
    if name == "AutoencoderDetector":
        estimator.set_params(folds=2, contamination=0.1)
    estimator.fit(X)
    members = getattr(estimator, "members_", [estimator])
    return " ".join(_digest(member.model_, member.history_) for member in members)


def _digest(model: Any, history: Any) -> str:
    state = hashlib.blake2b(digest_size=8)
    for a in [p.value for p in model.params.values()] + list(model.state.values()):
        state.update(np.ascontiguousarray(a))
    for column in history.names:
        if column != "seconds":
            state.update(history[column])
    return f"{state.hexdigest()} {len(history)}"


@functools.cache
def uninterrupted(name: str, kernel_set: str) -> tuple[str, float]:
    """The digest of a training that nobody kills, and its seconds."""
    with kernels.use(kernel_set):
        train(name, None)  # compiles
        start = time.perf_counter()
        return train(name, None), time.perf_counter() - start


def survive(rng: random.Random, folder: Path) -> str | None:
    """Train in child processes, of which all but the last are killed; compare with one run."""
    name, kernel_set = rng.choice([*MODELS, *ESTIMATORS]), rng.choice(KERNELS)
    every, kills = rng.choice([1, 1, 3]), rng.randint(1, 3)
    expected, seconds = uninterrupted(name, kernel_set)
    checkpoint, result = folder / "survive.npz", folder / "result"
    for path in folder.iterdir():
        path.unlink()
    for attempt in range(kills + 1):
        with warnings.catch_warnings():  # Python's, of forks beside threads; these wait at a fork
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _train_and_leave(name, kernel_set, checkpoint, every, result)
        if attempt < kills:
            time.sleep(rng.uniform(0, 1.2 * seconds))
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    got = result.read_text() if result.exists() else "nothing"
    if got != expected:
        return f"{name} with {kernel_set}, killed {kills} times: {got}, expected {expected}"
    return None


def _train_and_leave(
    name: str, kernel_set: str, checkpoint: Path, every: int, result: Path
) -> None:
    """What the child does. It leaves without Python's farewell, which belongs to the parent."""
    try:
        with kernels.use(kernel_set):
            text = train(name, checkpoint, every)
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
    part = result.with_suffix(".part")
    part.write_text(text)
    part.replace(result)
    sys.stderr.flush()
    os._exit(0)
