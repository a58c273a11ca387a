"""Everything that changes while a model trains. A checkpoint is this state in a file."""

from __future__ import annotations

import numpy as np

from tinyae.models.base import Model
from tinyae.optim import Optimizer
from tinyae.param import Array, unique
from tinyae.training.history import Epoch, History


class TrainingState:
    """A training between two epochs.

    model        its weights, and the state of its layers (running statistics)
    optimizers   one for each player, with their moments and their count of steps
    rng          draws the order of the samples and the noise of the model
    history      the epochs so far
    best         the weights after the best of these epochs, or those from before the training
    """

    def __init__(self, model: Model, optimizers: list[Optimizer], rng: np.random.Generator) -> None:
        self.model = model
        self.optimizers = optimizers
        self.rng = rng
        self.history = History()
        self.best = Snapshot(model)

    def record(self, epoch: Epoch) -> None:
        """Add an epoch to the history, and keep a copy of the weights if it is the best."""
        self.history.epochs.append(epoch)
        if self.history.best_epoch == epoch.epoch:
            self.best = Snapshot(self.model)


class Snapshot:
    """A copy of a model's weights and of the state of its layers."""

    def __init__(self, model: Model) -> None:
        self.arrays = {name: a.copy() for name, a in model_arrays(model).items()}

    def restore(self, model: Model) -> None:
        for name, a in model_arrays(model).items():
            a[...] = self.arrays[name]


def model_arrays(model: Model) -> dict[str, Array]:
    """The weights and the state of a model, by dotted name; a shared weight is there once."""
    return {name: p.value for name, p in unique(model.params).items()} | model.state


def clear_gradients(model: Model) -> None:
    for p in unique(model.params).values():
        p.grad.fill(0)
