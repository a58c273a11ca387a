"""Checks before the first step, so that a bad call leaves the model as it was.

First the settings, then the data, then a dry run: a copy of the model runs one batch of each size
that will come. Shapes that do not fit show there, with the error of the layer that notices.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Any

import numpy as np

from tinyae import files
from tinyae.arguments import number, positive_int
from tinyae.data.batches import batches, count, is_rows, rows
from tinyae.data.streams import Stream
from tinyae.losses import OutOfRange
from tinyae.models.base import Model
from tinyae.optim import Adam, Optimizer
from tinyae.param import check_writeable
from tinyae.training.description import SECTIONS
from tinyae.training.early_stopping import EarlyStopping
from tinyae.training.plateau import ReduceLROnPlateau

_RATES = 1000  # steps whose learning rate is checked before the first one

Augment = Callable[[Any, "np.random.Generator"], Any]  # a string: NumPy loads it when first used


def check_settings(
    model: Any,
    epochs: Any,
    batch_size: Any,
    clip_norm: Any,
    early_stopping: Any,
    augment: Any,
    checkpoint: Any,
    on_epoch: Any,
) -> None:
    """Raise unless a training can begin with these.

    Raises
        TypeError             an argument of the wrong type
        ValueError            a number out of range, a model without parameters, or a checkpoint
                              that is a folder or a device
        FileNotFoundError, PermissionError   the checkpoint cannot be written
    """
    if not isinstance(model, Model):
        raise TypeError(f"fit: model is a {type(model).__name__}, expected a Model; pass one")
    if not model.params:
        raise ValueError("fit: the model has no parameters, so there is nothing to learn")
    if not any(p.trainable for p in model.params.values()):
        raise ValueError(
            "fit: every parameter of the model is frozen, so there is nothing to learn; "
            "call model.unfreeze(), or that of a layer"
        )
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
    if checkpoint is not None:
        files.check_target("fit: checkpoint", checkpoint)
    if on_epoch is not None:
        _check_on_epoch(on_epoch)


def check_resuming(every: Any, accept_changes: Any, reduce_on_plateau: Any) -> None:
    """Raise unless checkpoints can be written and read with these.

    Raises
        ValueError  a number out of range, or a section that no checkpoint has
        TypeError   not a collection of names, not a ReduceLROnPlateau
    """
    positive_int("fit", "every", every, 10)
    if reduce_on_plateau is not None and not isinstance(reduce_on_plateau, ReduceLROnPlateau):
        raise TypeError(
            f"fit: reduce_on_plateau is {reduce_on_plateau!r:.60}, expected a ReduceLROnPlateau; "
            "pass ReduceLROnPlateau(patience=10)"
        )
    if isinstance(accept_changes, str) or not isinstance(accept_changes, Collection):
        raise TypeError(
            f"fit: accept_changes is {accept_changes!r:.60}, expected a collection of names; "
            'pass e.g. ["schedule"]'
        )
    for name in accept_changes:
        if name not in SECTIONS:
            raise ValueError(
                f"fit: accept_changes names {name!r:.60}, expected any of {', '.join(SECTIONS)}"
            )


def _check_on_epoch(on_epoch: Any) -> None:
    import inspect  # imported here, to keep `import tinyae` fast

    if not callable(on_epoch):
        raise TypeError(f"fit: on_epoch is {on_epoch!r}, expected a function; pass e.g. print")
    try:
        signature = inspect.signature(on_epoch)
    except ValueError:  # some functions written in C have none
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise TypeError(
            f"fit: on_epoch is {on_epoch!r}, expected a function of one epoch ({error}); "
            "pass e.g. lambda epoch: print(epoch)"
        ) from error


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


def check_rates(optimizers: list[Optimizer], steps: int) -> None:
    """Raise unless the next steps, or some of them if they are many, have a valid learning rate.

    Raises
        ValueError  a schedule gives something else than a finite number ≥ 0
    """
    for optimizer in optimizers:
        for t in np.unique(np.linspace(0, max(steps - 1, 0), _RATES).astype(int)).tolist():
            check_rate(optimizer, optimizer.t + t)


def check_rate(optimizer: Optimizer, t: int) -> None:
    """Raise unless the learning rate of step t is a finite number ≥ 0.

    Raises
        ValueError  otherwise
    """
    schedule = optimizer.learning_rate
    if not callable(schedule):
        return  # the optimizer has checked it
    try:
        rate = float(schedule(t))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"fit: the schedule {schedule!r} fails at step {t} ({error})") from error
    if not 0 <= rate < math.inf:
        raise ValueError(
            f"fit: the schedule {schedule!r} gives {rate} at step {t}, expected a finite number ≥ 0"
        )


def dry_run(
    model: Model,
    x: Any,
    validation: Any,
    epochs: int,
    batch_size: int,
    augment: Augment | None,
    rng: np.random.Generator,
) -> tuple[Any, set[str]]:
    """Check the data, and run a copy of the model on a batch of each size.

    Returns x, and the names of what an epoch measures. If x is an iterator, its first batch is in
    front of it again.
    """
    check_writeable("fit", model.params)
    model_copy, rng = copy.deepcopy(model), copy.deepcopy(rng)
    first, x = _first_batch(model, x, "x", epochs, batch_size)
    sizes = {count(first)}
    if is_rows(x) or isinstance(x, Stream):
        n = x.rows if isinstance(x, Stream) else count(x)
        sizes.add(n % batch_size or count(first))  # the last batch may be smaller
    names = {"seconds", "learning_rate"}
    with np.errstate(all="ignore"):
        parts = (rows(first, slice(size)) for size in sizes)
        for part in chain(parts, _other_shapes(x, first), _rare_labels(x, batch_size)):
            batch = model.as_input(part)
            if augment is not None:
                batch = augment(batch, rng)
                model.in_scaled_units().check_data(batch)
            names |= model_copy.backprop(batch, rng).keys()
        if validation is not None:
            held_out, again = _first_batch(model, validation, "validation", epochs, batch_size)
            if again is not validation:
                raise ValueError(
                    "fit: validation is an iterator, which can run once only; "
                    "pass a list of batches"
                )
            others = chain(_other_shapes(validation, held_out), _rare_labels(validation, 2))
            for part in chain([rows(held_out, slice(2))], others):
                names |= {f"validation.{name}" for name in model_copy.evaluate(part)}
    return x, names


def _other_shapes(x: Any, first: Any) -> Iterator[Any]:
    """Of a list of batches, one of each shape that differs from the first."""
    if is_rows(x) or not isinstance(x, (list, tuple)):
        return

    def shape(batch: Any) -> Any:
        arrays = batch if isinstance(batch, tuple) else (batch,)
        return [getattr(a, "shape", a) for a in arrays]

    seen = [shape(first)]
    for batch in x:
        if shape(batch) not in seen:
            seen.append(shape(batch))
            count(batch)
            yield batch


def _rare_labels(x: Any, size: int) -> Iterator[Any]:
    """Batches with the smallest and the largest label of x: one that does not fit may be rare.

    Labels are arrays (N,) of integers in a tuple of arrays, or in a list of such tuples.
    """
    parts = [x] if is_rows(x) else x if isinstance(x, (list, tuple)) else []
    extremes: dict[tuple[int, int], tuple[Any, Any, int]] = {}
    for part in parts:
        for which, labels in enumerate(part if isinstance(part, tuple) else ()):
            if labels.ndim != 1 or labels.dtype.kind not in "iu" or not labels.size:
                continue
            for sign, row in ((-1, int(labels.argmin())), (1, int(labels.argmax()))):
                value = sign * int(labels[row])
                if (which, sign) not in extremes or value > extremes[which, sign][0]:
                    extremes[which, sign] = value, part, row
    for _, part, row in extremes.values():
        yield rows(part, np.r_[row, : min(size, count(part)) - 1])


def _first_batch(model: Model, x: Any, name: str, epochs: int, batch_size: int) -> tuple[Any, Any]:
    """The first batch in x's own order, checked, and x with that batch still in it.

    Of arrays and streams every row is checked; of an iterable of batches only the first batch.
    """
    if isinstance(x, Stream):
        for k, block in enumerate(x):
            _check_data(model, block, f"block {k} of {name}")
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
    except OutOfRange as error:
        if name == "x":
            raise OutOfRange(f"fit: of the training data, {error}") from None
    except (TypeError, ValueError) as error:
        which = "the training data" if name == "x" else "validation"
        raise type(error)(f"fit: of {which}, {error}") from None
