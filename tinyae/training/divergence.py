"""When a loss or a weight becomes NaN or infinite: where it began, and what to do about it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tinyae.data.batches import batches
from tinyae.layers import Module
from tinyae.models.base import Model
from tinyae.param import unique
from tinyae.training.history import History
from tinyae.training.state import TrainingState


class TrainingDiverged(FloatingPointError):
    """The loss or a weight became NaN or infinite. The model has its best weights back.

    ``epoch`` and ``batch`` count from 1. ``layer`` is the dotted name of the first layer whose
    output is not finite, or None if every output is finite. ``history`` has the epochs before.
    """

    def __init__(
        self, message: str, epoch: int, batch: int, layer: str | None, history: History
    ) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.batch = batch
        self.layer = layer
        self.history = history


class NonFinite(Exception):
    """Raised inside the loop: what is not finite, in which batch (0: in validation), its data."""

    def __init__(self, what: str, batch: int, data: Any) -> None:
        super().__init__(what)
        self.what = what
        self.batch = batch
        self.data = data


def explain_divergence(failure: NonFinite, state: TrainingState) -> TrainingDiverged:
    """The error to raise: the epoch, the batch, the first layer that failed, and a remedy."""
    model, history = state.model, state.history
    layer, where = None, "the batch itself is not finite: look at the data"
    if failure.batch == 0 or _is_finite(failure.data):
        data = failure.data
        if failure.batch == 0:  # of the validation data, the first rows are enough
            data = model.as_input(next(batches(data, 256)))
        layer, where = first_nonfinite(model, data, state.rng)
        rate = state.optimizers[0].rate
        where += f"; lower the learning rate (it was {rate:g}), or pass clip_norm=1.0"
    epoch, best = len(history) + 1, history.best_epoch
    place = f"epoch {epoch}" + (f", batch {failure.batch}" if failure.batch else "")
    weights = f"of epoch {best}" if best else "from before the training"
    return TrainingDiverged(
        f"training diverged in {place}: {failure.what}; {where}. "
        f"The weights {weights}, the best so far, are in place again",
        epoch,
        failure.batch,
        layer,
        history,
    )


def first_nonfinite(model: Model, batch: Any, rng: np.random.Generator) -> tuple[str | None, str]:
    """The first layer whose output on this batch is not finite, and a sentence that says so.

    If every output is finite, the layer of the first weight that is not; if those are finite too,
    None and the largest output. Runs a copy of the model.
    """
    model_copy, noise = copy.deepcopy(model), copy.deepcopy(rng)
    largest, largest_name = -1.0, ""
    with np.errstate(all="ignore"):
        for name, y in model_copy.trace(batch, noise):
            if not np.isfinite(y).all():
                part = _part(model, name)
                kind = "" if part is None else f" ({part!r:.60})"
                return name, f"the first layer whose output is not finite is {name}{kind}"
            size = float(np.abs(y).max(initial=0))
            if size > largest:
                largest, largest_name = size, name
    for name, p in unique(model.params).items():
        if not np.isfinite(p.value).all():
            return name.rpartition(".")[0], f"{name} is not finite, though every output still is"
    return None, (
        f"every layer's output is finite, the largest entry being {largest:.3g} in {largest_name}"
    )


def _part(model: Module, name: str) -> Module | None:
    """The part of a model with this dotted name."""
    part: Module | None = model
    for key in name.split("."):
        part = part.children.get(key) if part is not None else None
    return part


def _is_finite(data: Any) -> bool:
    return all(
        a.dtype.kind != "f" or bool(np.isfinite(a).all())
        for a in (data if isinstance(data, tuple) else (data,))
    )
