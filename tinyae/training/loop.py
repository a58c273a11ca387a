"""The training loop, once, for every model.

    history = fit(model, x, epochs=10, optimizer=Adam(1e-3), validation=x_test)

An epoch is one pass over the data: for every batch ``backprop``, then ``step``
(:func:`train_epoch`). Around the epochs, :func:`fit` checks everything first, keeps a history,
validates, stops early, writes checkpoints, and says where the numbers went wrong if they did.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from tinyae.arguments import flag, generator
from tinyae.arrays import as_samples
from tinyae.clipping import clip_by_global_norm
from tinyae.data.batches import batches, check_weights, count
from tinyae.data.streams import as_stream
from tinyae.memory import keep_freed_memory
from tinyae.models.base import Model, Terms, cast
from tinyae.optim import Optimizer
from tinyae.param import unique
from tinyae.training.checkpoint import checkpoint_content, read_checkpoint, write_checkpoint
from tinyae.training.description import describe_training
from tinyae.training.divergence import NonFinite, explain_divergence
from tinyae.training.dry_run import (
    Augment,
    check_rate,
    check_rates,
    check_resuming,
    check_settings,
    dry_run,
    optimizer_per_player,
)
from tinyae.training.early_stopping import EarlyStopping
from tinyae.training.history import Epoch, History
from tinyae.training.plateau import ReduceLROnPlateau
from tinyae.training.progress import Progress, batches_per_epoch
from tinyae.training.state import TrainingState, clear_gradients

_VALIDATION_BATCH = 1024  # rows at least; no gradients are kept, so more fit into memory


def fit(
    model: Model,
    x: Any,
    *,
    epochs: int = 10,
    batch_size: int = 32,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    validation: Any = None,
    sample_weight: Any = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
    clip_norm: float | None = None,
    early_stopping: EarlyStopping | None = None,
    reduce_on_plateau: ReduceLROnPlateau | None = None,
    augment: Augment | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: str | os.PathLike[str] | None = None,
    accept_changes: Collection[str] = (),
    on_epoch: Callable[[Epoch], object] | None = None,
) -> History:
    """Train a model in place, and return what was measured.

    x, validation       an array, a memory map, a DataFrame, a list of rows, a tuple of arrays, a Dask
                        array, Parquet (:mod:`tinyae.data.streams`), or an iterable of batches
                        (:mod:`tinyae.data.batches`). Batches are scaled, if the model has a scaler,
                        and converted to its dtype. Validation data beyond the decoder's range are
                        measured, not refused
    sample_weight       a number ≥ 0 for each row of x, if x is an array: in each epoch a row of weight
                        w is drawn about w / w̄ times (:func:`tinyae.data.batches.drawn`). Terms are
                        then means over what was drawn; validation is not weighed
    optimizer           ``Adam(1e-3)`` unless given. For a model with several players (a GAN) a
                        tuple with one optimizer for each
    rng                 a seed or a generator, for the order of the samples and the model's noise.
                        The same seed gives the same bits
    progress            a bar (tqdm) on stderr, or one line per epoch if tqdm is not installed
    clip_norm           upper bound on the gradient's global norm at each step
    early_stopping      ``EarlyStopping(patience=5)``; the best weights are restored at the end
    reduce_on_plateau   ``ReduceLROnPlateau(factor=0.1, patience=10)``: a lower learning rate where
                        nothing improves
    augment             a function of a batch and the generator that returns the batch to train
                        on, such as ``RandomAffine()``. Validation data are not augmented
    checkpoint          a file to write after each epoch, with all that is needed to continue. It is
                        replaced in one step: a process that is killed leaves the old or the new one
    every               write it only after every so many epochs, and after the last one
    resume              a checkpoint to continue from; ``epochs`` includes the epochs it has. Two
                        epochs and then two more give the same bits as four. Where data, model,
                        learning rate or settings are not those it was begun with, it is refused, and
                        the error names what differs
    accept_changes      what may differ all the same: any of "model", "data", "validation",
                        "optimizer", "schedule", "settings"
    on_epoch            called with each :class:`Epoch`

    Everything is checked before anything changes, on a copy of the model that runs one batch.
    After an interruption (Ctrl-C) the model has the weights of its last step and can be used.

    Raises
        ValueError, TypeError   data or settings that cannot work; the model is unchanged
        TrainingDiverged        a loss or a weight became NaN or infinite
    """
    check_settings(
        model, epochs, batch_size, clip_norm, early_stopping, augment, checkpoint, on_epoch
    )
    check_resuming(every, accept_changes, reduce_on_plateau)
    optimizers = optimizer_per_player(model, optimizer)
    x, validation = as_stream(x), as_stream(validation)
    x, validation = as_samples("fit: x", x), as_samples("fit: validation", validation)
    rng, progress = generator("fit", rng), flag("fit", "progress", progress)
    weights = None if sample_weight is None else check_weights("fit", sample_weight, x)
    x, measured = dry_run(model, x, validation, epochs, batch_size, augment, rng)
    length = batches_per_epoch(x, batch_size, weights)
    planned = epochs * (length or 1)
    check_rates(optimizers, planned)
    state = TrainingState(model, optimizers, rng)
    if checkpoint is not None or resume is not None:
        settings: dict[str, Any] = {
            "batch_size": batch_size, "clip_norm": clip_norm, "early_stopping": early_stopping,
            "reduce_on_plateau": reduce_on_plateau, "augment": augment,
        }  # fmt: skip
        if weights is not None:
            settings["sample_weight"] = weights
        description = describe_training(model, x, validation, optimizers, planned, settings)
    if checkpoint is not None:
        checkpoint_content(state, description)  # raises for what no checkpoint can hold
    if resume is not None:
        read_checkpoint(resume, state, measured, description, accept_changes)

    x, prepare = _scaled_once(model, x)
    clear_gradients(model)
    keep_freed_memory()
    bar = Progress(progress, epochs, len(state.history))
    try:
        while not _is_over(state.history, epochs, early_stopping):
            _lower_rates(optimizers, reduce_on_plateau, state.history)
            steps = bar.over(batches(x, batch_size, rng, sample_weight=weights), length)
            epoch = train_epoch(state, steps, clip_norm, augment, prepare)
            if validation is not None:
                epoch.validation = validate(model, validation, batch_size)
            state.record(epoch)
            last = _is_over(state.history, epochs, early_stopping)
            if checkpoint is not None and (last or len(state.history) % every == 0):
                write_checkpoint(checkpoint, state, description)
            bar.report(epoch)
            if on_epoch is not None:
                on_epoch(epoch)
    except NonFinite as failure:
        error = explain_divergence(failure, state)
        state.best.restore(model)
        raise error from None
    finally:
        clear_gradients(model)  # an interrupted step leaves some behind
        bar.close()
    if early_stopping:
        state.best.restore(model)
    return state.history


def _scaled_once(model: Model, x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """x as the layers see it, if that is a matter of units and x is in memory; and what remains to
    be done for each batch."""
    if model.scaler is None or type(x) is not np.ndarray:
        return x, model.as_input
    return model.as_input(x), lambda batch: cast(batch, model.dtype)


def train_epoch(
    state: TrainingState,
    steps: Iterable[Any],
    clip_norm: float | None,
    augment: Augment | None,
    prepare: Callable[[Any], Any] | None = None,
) -> Epoch:
    """One pass over the batches in ``steps``: for each of them backprop, then a step.

    ``prepare`` makes of a batch what the layers see, by default ``model.as_input``.

    The players of a game take turns on every batch; any other model is its only player.

    Raises
        NonFinite   a loss, or at the end a weight, is NaN or infinite
    """
    model, rng = state.model, state.rng
    prepare = model.as_input if prepare is None else prepare
    number, start = len(state.history) + 1, time.perf_counter()
    turns = [(p, unique(p.params), o) for p, o in zip(model.players, state.optimizers)]
    sums: Terms = {}
    learning_rate, samples, i, batch = state.optimizers[0].rate, 0, 0, None
    with np.errstate(all="ignore"):  # what overflows is found below, and reported with its place
        for i, batch in enumerate(steps, 1):
            batch = prepare(batch)
            if augment is not None:
                batch = augment(batch, rng)
            learning_rate, n = state.optimizers[0].rate, count(batch)
            samples += n
            for player, params, optimizer in turns:
                check_rate(optimizer, optimizer.t)
                terms = player.backprop(batch, rng)
                if not math.isfinite(terms["total"]):
                    raise NonFinite(f"the loss is {terms['total']}", i, batch)
                if clip_norm is not None:
                    clip_by_global_norm(params, clip_norm)
                optimizer.step(params)
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + n * value
    for name, p in unique(model.params).items():
        if not np.isfinite(p.value).all():
            raise NonFinite(f"the weights {name} are not finite", i, batch)
    if not samples:
        raise ValueError(f"fit: x gave no batch in epoch {number}; pass an iterable that can rerun")
    means = {name: total / samples for name, total in sums.items()}
    return Epoch(number, means, {}, time.perf_counter() - start, learning_rate)


def validate(model: Model, validation: Any, batch_size: int) -> Terms:
    """The terms of the objective on held-out data, with the same noise after every epoch.

    Raises
        NonFinite   their total is NaN or infinite
    """
    rows = max(batch_size, _VALIDATION_BATCH)
    with np.errstate(all="ignore"):
        terms = model.evaluate(validation, np.random.default_rng(0), rows)
    if not math.isfinite(terms["total"]):
        raise NonFinite(f"the validation loss is {terms['total']}", 0, validation)
    return terms


def _is_over(history: History, epochs: int, early_stopping: EarlyStopping | None) -> bool:
    if len(history) >= epochs:
        return True
    if early_stopping is None or not history.epochs:
        return False
    return early_stopping.stops(history.monitored)


def _lower_rates(
    optimizers: list[Optimizer], reduce_on_plateau: ReduceLROnPlateau | None, history: History
) -> None:
    """Set the factor of every learning rate to what the epochs so far ask for."""
    factor = 1.0
    if reduce_on_plateau is not None and history.epochs:
        factor = reduce_on_plateau.rate_factor(history.monitored)
    for optimizer in optimizers:
        optimizer.rate_factor = factor
