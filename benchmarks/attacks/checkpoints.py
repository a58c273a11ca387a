"""Checkpoints that are cut, damaged or crafted.

The law: ``fit(resume=path)`` trains on, or raises a ValueError that names the file, and then
nothing has changed: neither the model, nor the optimizers, nor any generator.
"""

from __future__ import annotations

import functools
import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tinyae as ta
from benchmarks.attacks.crafting import altered_arrays, altered_json, flipped, write
from benchmarks.attacks.model_files import numbers
from tinyae import archive, kernels

X = np.random.default_rng(0).random((20, 6), np.float32)


@dataclass
class Training:
    """A training that can be begun anew, and its checkpoint after two epochs."""

    make: Callable[[], tuple[Any, Any]]  # a model and its optimizer or optimizers
    validation: Any
    content: bytes = b""
    header: Any = None
    arrays: Any = None

    def fit(self, model: Any, optimizer: Any, rng: Any, epochs: int, **settings: Any) -> None:
        with kernels.use("numpy"):
            ta.fit(
                model, X, epochs=epochs, batch_size=10, optimizer=optimizer, rng=rng,
                validation=self.validation, progress=False, **settings,
            )  # fmt: skip


def _autoencoder() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    encoder = ta.Sequential(ta.Dense(6, 3, rng=rng), ta.BatchNorm(3), ta.Dropout(0.2, rng=rng))
    model = ta.Autoencoder(encoder, ta.Sequential(ta.Dense(3, 6, rng=rng)), ta.MSE())
    return model, ta.Adam(ta.Cosine(0.01, 20))


def _game() -> tuple[Any, Any]:
    model = ta.GAN(*ta.dense_gan([6], [4], latent_dim=2, rng=np.random.default_rng(1)))
    return model, (ta.Adam(1e-3, beta1=0.5), ta.Momentum(1e-3))


@functools.cache
def trainings() -> list[Training]:
    found = [Training(_autoencoder, X[:4]), Training(_game, None)]
    for training in found:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "c.npz"
            training.fit(*training.make(), 7, 2, checkpoint=path)
            training.content = path.read_bytes()
            training.header, training.arrays = archive.from_npz(path)
            del training.header["digests"]
    return found


def resume(training: Training, path: Path) -> tuple[str | None, Any]:
    """What is wrong, if anything; and the numbers of the model if it trained on."""
    model, optimizer = training.make()
    rng = np.random.default_rng(5)

    def everything() -> str:
        optimizers = optimizer if isinstance(optimizer, tuple) else (optimizer,)
        states = [(o.t, o.state_arrays(model.params), o._states) for o in optimizers]
        layers = getattr(model, "encoder", ta.Sequential()).children.values()
        generators = [rng, *(layer.rng for layer in layers if isinstance(layer, ta.Dropout))]
        return repr((numbers(model), states, [g.bit_generator.state for g in generators]))

    before = everything()
    try:
        training.fit(model, optimizer, rng, 3, resume=path)
    except ta.TrainingDiverged:
        return None, "diverged"
    except ValueError as error:
        if not str(error).startswith(f"fit: cannot resume from {path}: "):
            return f"a ValueError that does not name the file: {str(error)[:200]}", None
        return ("it was refused, and something changed" if everything() != before else None), None
    return None, numbers(model)


def cut(rng: random.Random, folder: Path) -> str | None:
    """The first bytes of a checkpoint."""
    training, path = rng.choice(trainings()), folder / "cut.npz"
    size = rng.randrange(len(training.content))
    path.write_bytes(training.content[:size])
    wrong, result = resume(training, path)
    return wrong or (f"it trains on from {size} bytes" if result is not None else None)


@functools.cache
def _undamaged(i: int) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.npz"
        path.write_bytes(trainings()[i].content)
        return resume(trainings()[i], path)[1]


def flip(rng: random.Random, folder: Path) -> str | None:
    """A checkpoint with one to four other bytes: refused, or the same training."""
    i, path = rng.randrange(len(trainings())), folder / "flip.npz"
    path.write_bytes(flipped(rng, trainings()[i].content))
    wrong, result = resume(trainings()[i], path)
    if wrong is None and result is not None and result != _undamaged(i):
        return "it trains on to another model"
    return wrong


def crafted(rng: random.Random, folder: Path) -> str | None:
    """A well-formed checkpoint with other fields or arrays."""
    training, path = rng.choice(trainings()), folder / "crafted.npz"
    header, arrays = training.header, training.arrays
    how = rng.random()
    if how < 0.6:
        header = altered_json(rng, header)
    if how > 0.4:
        arrays = altered_arrays(rng, arrays) if rng.random() < 0.7 else other_numbers(rng, arrays)
    if rng.random() < 0.1:
        arrays = {name.replace("model/", "best/"): a for name, a in arrays.items()}
    write(path, json.loads(json.dumps(header)), arrays, rng.random() < 0.5)
    return resume(training, path)[0]


def other_numbers(rng: random.Random, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    name = rng.choice(sorted(arrays))
    a = np.array(arrays[name])
    values = [np.nan, np.inf, -1, 0, 1e30, 2**31] if a.dtype.kind == "f" else [-1, 0, 2**31, 3]
    if a.size:
        a.flat[rng.randrange(a.size)] = rng.choice(values)
    if rng.random() < 0.3:
        a.flat[:] = rng.choice(values)
    return arrays | {name: a}
