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
from tinyae import catalog, kernels

Maker = Callable[[np.random.Generator], tuple[Any, Any]]  # a model and its data

EPOCHS, ROWS, FEATURES = 12, 48, 6
X = np.random.default_rng(0).random((ROWS, FEATURES)).astype(np.float32)
KERNELS = ["numpy", *(["numba"] if importlib.util.find_spec("numba") else [])]


def _halves(rng: np.random.Generator, *more: ta.Layer) -> tuple[ta.Layer, ta.Layer]:
    encoder = ta.Sequential(ta.Dense(FEATURES, 4, rng=rng), ta.Sigmoid(), *more)
    return encoder, ta.Sequential(ta.Dense(4, FEATURES, rng=rng))


def _noise_and_norm(rng: np.random.Generator) -> tuple[Any, Any]:
    more = ta.BatchNorm(4), ta.Dropout(0.2, rng=rng)
    return ta.Autoencoder(*_halves(rng, *more), ta.MSE()), X


def _frozen(rng: np.random.Generator) -> tuple[Any, Any]:
    encoder, decoder = _halves(rng)
    return ta.Autoencoder(encoder.freeze(), decoder, ta.MSE()), X


def _warm_up(rng: np.random.Generator) -> tuple[Any, Any]:
    parts = ta.dense_variational((FEATURES,), [4, 2], rng=rng)
    return ta.VariationalAutoencoder(*parts, ta.Bernoulli(), warm_up=10), X


def _growing(rng: np.random.Generator) -> tuple[Any, Any]:
    """A game whose newest blocks are faded in all through the training."""
    model = ta.ProGAN(*ta.progan((1, 1, 1), 2, 2, rng=rng), r1=2.0)
    model.grow(2, 3 * EPOCHS, rng)
    return model, rng.random((ROWS, *model.image_shape), dtype=np.float32)


def _of_catalog(row: catalog.ModelRow) -> Maker:
    def make(rng: np.random.Generator) -> tuple[Any, Any]:
        model, batch = row.draw(catalog.integers_from(rng, least=2), rng)
        model = getattr(model, "game", model)  # of a game the catalog has the players
        tuples = isinstance(batch, tuple)
        shape = (ROWS, *(batch[0] if tuples else batch).shape[1:])
        x = row.values(model, shape, rng)
        x = x if x.dtype.kind == "i" else x.astype(np.float32)
        if row.pair:
            return model.astype(np.float32), (x, rng.random(shape, dtype=np.float32))
        return model.astype(np.float32), (x, np.arange(ROWS) % row.classes) if row.classes else x

    return make


# Kinds of models: a few with much to remember, and all of the catalog, of a game one player's row.
MODELS: dict[str, Maker] = {
    "noise and norm": _noise_and_norm,
    "frozen": _frozen,
    "warm-up": _warm_up,
    "growing": _growing,
    **{
        row.name: _of_catalog(row)
        for row in catalog.MODELS
        if not row.name.endswith((" generator", " autoencoder"))
    },
}
ESTIMATORS = ["AutoencoderTransformer", "VariationalTransformer", "AutoencoderDetector"]


def optimizers(model: Any) -> Any:
    made = [ta.AdamW(ta.Cosine(0.01, 3 * EPOCHS), decay=_all_but_the_first) for _ in model.players]
    return made[0] if len(made) == 1 else tuple(made)


def _all_but_the_first(name: str, param: ta.Param) -> bool:
    return not name.startswith("encoder.0")


def train(name: str, checkpoint: Path | None, every: int = 1, epochs: int = EPOCHS) -> str:
    """Train a kind of model, or fit an estimator, from where a checkpoint is; a digest of its bits."""
    if name in ESTIMATORS:
        return _fit_estimator(name, checkpoint)
    model, x = MODELS[name](np.random.default_rng(1))
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
    return survive_as(rng.choice([*MODELS, *ESTIMATORS]), rng.choice(KERNELS), rng, folder)


def survive_as(name: str, kernel_set: str, rng: random.Random, folder: Path) -> str | None:
    """The same for one kind of model or estimator, and one set of kernels."""
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
