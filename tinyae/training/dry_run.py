"""Checks before the first step, so that a bad call leaves the model as it was.

First the settings, then the data, then a dry run: a copy of the model runs one batch of each size
that will come. Shapes that do not fit show there, with the error of the layer that notices.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from tinyae.arguments import number
from tinyae.data.batches import batches, count, is_rows, rows
from tinyae.layers.base import positive_int
from tinyae.models.base import Model
from tinyae.optim import Adam, Optimizer
from tinyae.param import check_writeable
from tinyae.training.early_stopping import EarlyStopping

Augment = Callable[[Any, "np.random.Generator"], Any]  # a string: NumPy loads it when first used


def check_settings(
    model: Any,
    epochs: Any,
    batch_size: Any,
    clip_norm: Any,
    early_stopping: Any,
    augment: Any,
    checkpoint: Any,
) -> None:
    """Raise unless a training can begin with these.

    Raises
        TypeError           an argument of the wrong type
        ValueError          a number out of range, or a model without parameters
        FileNotFoundError   the checkpoint's folder does not exist
    """
    if not isinstance(model, Model):
        raise TypeError(f"fit: model is a {type(model).__name__}, expected a Model; pass one")
    if not model.params:
        raise ValueError("fit: the model has no parameters, so there is nothing to learn")
    positive_int("fit", "epochs", epochs, 10)
    positive_int("fit", "batch_size", batch_size, 10)
    if clip_norm is not None and not number("fit", "clip_norm", clip_norm, 5.0) > 0:
        raise ValueError(f"fit: clip_norm is {clip_norm}, expected > 0; pass e.g. 5.0, or None")
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise TypeError(
            f"fit: early_stopping is {early_stopping!r}, expected an EarlyStopping; "
            "pass EarlyStopping(patience=5)"
        )
    if augment is not None and not callable(augment):
        raise TypeError(f"fit: augment is {augment!r}, expected a function; pass RandomAffine()")
    if checkpoint is not None and not os.path.isdir(os.path.dirname(os.path.realpath(checkpoint))):
        raise FileNotFoundError(f"fit: the folder of checkpoint {checkpoint} does not exist")


def optimizer_per_player(model: Model, optimizer: Any) -> list[Optimizer]:
    """One optimizer for each player of the model; ``Adam(1e-3)`` if none is given.

    Raises
        TypeError    not an optimizer
        ValueError   not as many as there are players, or the same object twice
    """
    players = len(model.players)
    if optimizer is None:
        optimizer = [Adam(1e-3) for _ in range(players)]
    optimizers = list(optimizer) if isinstance(optimizer, (list, tuple)) else [optimizer]
    if not all(isinstance(o, Optimizer) for o in optimizers):
        raise TypeError(f"fit: optimizer is {optimizer!r}, expected an Optimizer; pass Adam(1e-3)")
    if len({id(o) for o in optimizers}) != players:
        raise ValueError(
            f"fit: optimizer is {optimizer!r}, and the model has {players} players; pass "
            + ("one optimizer" if players == 1 else f"a tuple of {players}, each its own object")
        )
    return optimizers


def dry_run(
    model: Model,
    x: Any,
    validation: Any,
    epochs: int,
    batch_size: int,
    augment: Augment | None,
    rng: np.random.Generator,
) -> Any:
    """Check the data, and run a copy of the model on a batch of each size.

    Returns x. An iterator comes back with its first batch in front again.
    """
    check_writeable("fit", model.params)
    model_copy, rng = copy.deepcopy(model), copy.deepcopy(rng)
    first, x = _first_batch(model, x, "x", epochs, batch_size)
    sizes = {count(first)}
    if is_rows(x):
        sizes.add(count(x) % batch_size or count(first))  # the last batch may be smaller
    with np.errstate(all="ignore"):
        for size in sizes:
            batch = model.as_input(rows(first, slice(size)))
            if augment is not None:
                batch = augment(batch, rng)
                model.check_data(batch)
            model_copy.backprop(batch, rng)
        if validation is not None:
            held_out, again = _first_batch(model, validation, "validation", epochs, batch_size)
            if again is not validation:
                raise ValueError(
                    "fit: validation is an iterator, which can run once only; "
                    "pass a list of batches"
                )
            model_copy.evaluate(rows(held_out, slice(2)))
    return x


def _first_batch(model: Model, x: Any, name: str, epochs: int, batch_size: int) -> tuple[Any, Any]:
    """The first batch in x's own order, checked, and x with that batch still in it.

    Of arrays every row is checked; of an iterable of batches only the first batch.
    """
    if is_rows(x, name):
        _check_data(model, x, name)
        return next(batches(x, batch_size)), x
    if iter(x) is not x:
        first, again = next(batches(x, batch_size), None), x
    elif epochs > 1:
        raise ValueError(
            f"fit: {name} is an iterator, which can run once only, and epochs is {epochs}; "
            "pass a list of batches, an object with __iter__, or epochs=1"
        )
    else:
        stream = batches(x, batch_size)
        first = next(stream, None)
        again = chain([first], stream)
    if first is None:
        raise ValueError(f"fit: {name} gives no batch; pass at least one")
    _check_data(model, first, name)
    return first, again


def _check_data(model: Model, x: Any, name: str) -> None:
    try:
        model.check_data(x)
    except (TypeError, ValueError) as error:
        if name == "x":
            raise
        raise type(error)(f"fit: of {name}, {error}") from None
