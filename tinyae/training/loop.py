"""The training loop, once, for every model.

    history = fit(model, x, epochs=10, optimizer=Adam(1e-3), validation=x_test)

An epoch is a pass over the data: for each batch ``backprop``, then ``step``. Around it: checks
that come before any change, a history, validation, early stopping, checkpoints to go on from, and
an error that says where the numbers went wrong.
"""

from __future__ import annotations

import copy
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from tinyae import archive, io
from tinyae.data.batches import batches, count, is_rows, rows
from tinyae.layers import Module
from tinyae.layers.base import positive_int
from tinyae.memory import keep_freed_memory
from tinyae.models.autoencoder import Model, Terms, cast
from tinyae.optim import Adam, Optimizer, clip_by_global_norm
from tinyae.param import Array, Param, unique

Augment = Callable[[Any, "np.random.Generator"], Any]  # a string: NumPy loads it when first used

# --- what comes out --------------------------------------------------------------------------


@dataclass
class Epoch:
    """One pass over the data: its number from 1, and what was measured.

    ``terms`` are averages over the epoch, taken in training mode while the weights moved;
    ``validation`` holds the same terms at its end, in inference mode. ``seconds`` are those of
    training alone, ``learning_rate`` is that of the last step.
    """

    epoch: int
    terms: Terms
    validation: Terms
    seconds: float
    learning_rate: float

    @property
    def numbers(self) -> dict[str, float]:
        """Everything measured, by name: ``"total"``, …, ``"validation.total"``, …"""
        held_out = {f"validation.{name}": value for name, value in self.validation.items()}
        own = {"seconds": self.seconds, "learning_rate": self.learning_rate}
        return {**self.terms, **held_out, **own}


@dataclass
class History:
    """The epochs of a training. ``history["total"]`` is one number an epoch, as an array."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return list(self.epochs[0].numbers) if self.epochs else []

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise KeyError(f"{name!r} was not measured; there is {', '.join(self.names)}")
        return np.array([epoch.numbers[name] for epoch in self.epochs])

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def monitored(self) -> Array:
        """What "best" is judged by: the validation total, without validation the training's."""
        return self["validation.total" if self.epochs[0].validation else "total"]

    @property
    def best_epoch(self) -> int:
        """The number of the best epoch, from 1; 0 before there is one."""
        return int(np.argmin(self.monitored)) + 1 if self.epochs else 0

    def __repr__(self) -> str:
        if not self.epochs:
            return "History: no epoch yet"
        names, best = self.names, self.best_epoch
        shown = self.epochs if len(self) <= 30 else [*self.epochs[:5], *self.epochs[-20:]]
        if len(shown) < len(self) and all(epoch.epoch != best for epoch in shown):
            shown.insert(5, self.epochs[best - 1])
        table = [["epoch", *names, ""]]
        for epoch in shown:
            cells = [f"{value:.5g}" for value in epoch.numbers.values()]
            table.append([str(epoch.epoch), *cells, "← best" if epoch.epoch == best else ""])
        widths = [max(map(len, column)) for column in zip(*table)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths)).rstrip()
            for line in table
        )


class TrainingDiverged(FloatingPointError):
    """The loss or a weight became NaN or infinite. The best weights so far are in place again.

    ``epoch`` and ``batch`` count from 1; ``layer`` is the dotted name of the first layer whose
    output is not finite, None where all are; ``history`` has the epochs before.
    """

    def __init__(
        self, message: str, epoch: int, batch: int, layer: str | None, history: History
    ) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.batch = batch
        self.layer = layer
        self.history = history


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after ``patience`` epochs in a row without an improvement; the best weights come back.

    An improvement is a monitored value (:attr:`History.monitored`) that is smaller than the last
    improvement's by more than ``min_improvement``.
    """

    patience: int = 5
    min_improvement: float = 0.0

    def __post_init__(self) -> None:
        positive_int("EarlyStopping", "patience", self.patience, 10)

    def stops(self, values: Iterable[float]) -> bool:
        """Is it time, after these values, one an epoch?"""
        reference, waited = math.inf, 0
        for value in values:
            if value < reference - self.min_improvement:
                reference, waited = value, 0
            else:
                waited += 1
        return waited >= self.patience


# --- the loop --------------------------------------------------------------------------------


def fit(
    model: Model,
    x: Any,
    *,
    epochs: int = 10,
    batch_size: int = 32,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    validation: Any = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
    clip_norm: float | None = None,
    early_stopping: EarlyStopping | None = None,
    augment: Augment | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    on_epoch: Callable[[Epoch], object] | None = None,
) -> History:
    """Train a model in place, and return what was measured.

    x, validation       an array, a memory map, a tuple of arrays, or an iterable of batches; see
                        :mod:`tinyae.data.batches`. Each batch is brought into the model's dtype
    optimizer           ``Adam(1e-3)`` unless given; for a model of several players (a GAN) one each,
                        in a tuple
    rng                 a seed or a generator: for the order of the samples and the model's noise.
                        The same seed gives the same bits
    progress            a bar (tqdm) on stderr, or a line an epoch where tqdm is not installed
    clip_norm           bound on the gradient's global norm at each step
    early_stopping      ``EarlyStopping(patience=5)``
    augment             called with each batch of training and the generator, gives the batch to
                        train on: ``RandomAffine()``. Validation data stay as they are
    checkpoint          after each epoch a file with all that is needed to go on
    resume              such a file; ``epochs`` counts those that it has. Two epochs and, resumed,
                        two more are the same bits as four
    on_epoch            called with each :class:`Epoch`

    Everything is checked before anything changes, on a copy of the model that runs one batch.
    Interrupted (Ctrl-C), the model keeps the weights it has by then and can be used.

    Raises
        ValueError, TypeError   unfit data or settings; the model is untouched
        TrainingDiverged        a NaN or an infinity turned up
    """
    optimizers = _check_settings(model, epochs, batch_size, optimizer, clip_norm, early_stopping)
    if augment is not None and not callable(augment):
        raise TypeError(f"fit: augment is {augment!r}, expected a function; pass RandomAffine()")
    rng = np.random.default_rng(rng)
    x = _rehearse(model, x, validation, epochs, batch_size, augment, rng)
    params = unique(model.params)
    if checkpoint is not None and not os.path.isdir(os.path.dirname(os.path.realpath(checkpoint))):
        raise FileNotFoundError(f"fit: the folder of checkpoint {checkpoint} does not exist")
    history, best = History(), _Snapshot(model)
    if resume is not None:
        history, best = _read_checkpoint(resume, model, optimizers, rng)

    _clear(params)
    keep_freed_memory()
    bar = _Progress(progress, epochs, len(history))
    try:
        for number in range(len(history) + 1, epochs + 1):
            if early_stopping and history.epochs and early_stopping.stops(history.monitored):
                break
            steps = bar.over(_length(x, batch_size), batches(x, batch_size, rng))
            try:
                epoch = _run(model, params, steps, optimizers, rng, number, clip_norm, augment)
                if validation is not None:
                    epoch.validation = _validate(model, validation, batch_size)
            except _NotFinite as failure:
                error = _explain(failure, model, rng, number, history, optimizers[0].rate)
                best.restore(model)
                raise error from None
            history.epochs.append(epoch)
            if history.best_epoch == number:
                best = _Snapshot(model)
            if checkpoint is not None:
                _write_checkpoint(checkpoint, model, optimizers, rng, history, best)
            bar.report(epoch)
            if on_epoch is not None:
                on_epoch(epoch)
    finally:
        _clear(params)  # of a batch that was cut short
        bar.close()
    if early_stopping:
        best.restore(model)
    return history


def _run(
    model: Model,
    params: dict[str, Param],
    steps: Iterable[Any],
    optimizers: Sequence[Optimizer],
    rng: np.random.Generator,
    number: int,
    clip_norm: float | None,
    augment: Augment | None,
) -> Epoch:
    """One epoch of training."""
    begun, dtype = time.perf_counter(), model.dtype
    moves = [(player, unique(player.params), o) for player, o in zip(model.players, optimizers)]
    sums: Terms = {}
    rate, seen, i = optimizers[0].rate, 0, 0
    batch = None
    with np.errstate(all="ignore"):  # whatever overflows is found below, and named
        for i, batch in enumerate(steps, 1):
            batch = cast(batch, dtype)
            if augment is not None:
                batch = augment(batch, rng)
            rate, n = optimizers[0].rate, count(batch)
            seen += n
            for player, learnt, optimizer in moves:
                terms = player.backprop(batch, rng)
                if not math.isfinite(terms["total"]):
                    raise _NotFinite(f"the loss is {terms['total']}", i, batch)
                if clip_norm is not None:
                    clip_by_global_norm(learnt, clip_norm)
                optimizer.step(learnt)
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + n * value
    for name, p in params.items():
        if not np.isfinite(p.value).all():
            raise _NotFinite(f"the weights {name} are not finite", i, batch)
    if not seen:
        raise ValueError(f"fit: x gave no batch in epoch {number}; pass an iterable that can rerun")
    means = {name: value / seen for name, value in sums.items()}
    return Epoch(number, means, {}, time.perf_counter() - begun, rate)


def _validate(model: Model, validation: Any, batch_size: int) -> Terms:
    with np.errstate(all="ignore"):
        terms = model.evaluate(validation, np.random.default_rng(0), max(batch_size, 1024))
    if not math.isfinite(terms["total"]):
        raise _NotFinite(f"the validation loss is {terms['total']}", 0, validation)
    return terms


class _Snapshot:
    """A copy of what a model has learnt and of its state."""

    def __init__(self, model: Model) -> None:
        self.arrays = {name: a.copy() for name, a in _arrays(model).items()}

    def restore(self, model: Model) -> None:
        for name, a in _arrays(model).items():
            a[...] = self.arrays[name]


def _arrays(model: Model) -> dict[str, Array]:
    return {name: p.value for name, p in unique(model.params).items()} | model.state


def _clear(params: dict[str, Param]) -> None:
    for p in params.values():
        p.grad.fill(0)


# --- before anything changes -----------------------------------------------------------------


def _check_settings(
    model: Any,
    epochs: Any,
    batch_size: Any,
    optimizer: Any,
    clip_norm: Any,
    early_stopping: Any,
) -> list[Optimizer]:
    """The optimizers, one a player."""
    if not isinstance(model, Model):
        raise TypeError(f"fit: model is a {type(model).__name__}, expected a Model; pass one")
    if not model.params:
        raise ValueError("fit: the model has no parameters, so there is nothing to learn")
    positive_int("fit", "epochs", epochs, 10)
    positive_int("fit", "batch_size", batch_size, 10)
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
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"fit: clip_norm is {clip_norm}, expected > 0; pass e.g. 5.0, or None")
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise TypeError(
            f"fit: early_stopping is {early_stopping!r}, expected an EarlyStopping; "
            "pass EarlyStopping(patience=5)"
        )
    return optimizers


def _rehearse(
    model: Model,
    x: Any,
    validation: Any,
    epochs: int,
    batch_size: int,
    augment: Augment | None,
    rng: np.random.Generator,
) -> Any:
    """Check the data, and run a copy of the model on a batch of each size: misfits show here.

    Returns x; where it is an iterator, with its first batch put back.
    """
    twin, rng = copy.deepcopy(model), copy.deepcopy(rng)
    first, x = _first(model, x, "x", epochs, batch_size)
    sizes = {count(first)}
    if is_rows(x):
        sizes.add(count(x) % batch_size or count(first))  # the last batch
    with np.errstate(all="ignore"):
        for size in sizes:
            batch = model.as_input(rows(first, slice(size)))
            if augment is not None:
                batch = augment(batch, rng)
                model.check_data(batch)
            twin.backprop(batch, rng)
        if validation is not None:
            held_out, again = _first(model, validation, "validation", epochs, batch_size)
            if again is not validation:
                raise ValueError(
                    "fit: validation is an iterator, which can run once only; "
                    "pass a list of batches"
                )
            twin.evaluate(rows(held_out, slice(2)))
    return x


def _first(model: Model, x: Any, name: str, epochs: int, batch_size: int) -> tuple[Any, Any]:
    """A first batch in order, and x, all of it checked as far as it can be before it runs."""
    if is_rows(x):
        model.check_data(x)
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
    model.check_data(first)
    return first, again


def _length(x: Any, batch_size: int) -> int | None:
    """How many batches an epoch has, if that can be known."""
    if is_rows(x):
        return -(-count(x) // batch_size)
    return len(x) if hasattr(x, "__len__") else None


# --- when the numbers go wrong ---------------------------------------------------------------


class _NotFinite(Exception):
    def __init__(self, what: str, batch: int, data: Any) -> None:
        super().__init__(what)
        self.what = what
        self.batch = batch
        self.data = data


def _explain(
    failure: _NotFinite,
    model: Model,
    rng: np.random.Generator,
    number: int,
    history: History,
    rate: float,
) -> TrainingDiverged:
    layer, where = None, "the batch itself is not finite: look at the data"
    if failure.batch == 0 or _finite(failure.data):
        data = failure.data
        if failure.batch == 0:  # validation: its first rows will do
            data = model.as_input(next(batches(data, 256)))
        layer, where = _blame(model, data, rng)
        where += f"; lower the learning rate (it was {rate:g}), or pass clip_norm=1.0"
    best = history.best_epoch
    which = f"of epoch {best}" if best else "from before the training"
    place = f"epoch {number}" + (f", batch {failure.batch}" if failure.batch else "")
    return TrainingDiverged(
        f"training diverged in {place}: {failure.what}; {where}. "
        f"The weights {which}, the best so far, are in place again",
        number,
        failure.batch,
        layer,
        history,
    )


def _blame(model: Model, batch: Any, rng: np.random.Generator) -> tuple[str | None, str]:
    """The first layer whose output is not finite, found on a copy; else what can be said."""
    twin, noise = copy.deepcopy(model), copy.deepcopy(rng)
    largest, largest_name = -1.0, ""
    with np.errstate(all="ignore"):
        for name, y in twin.trace(batch, noise):
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
    part: Module | None = model
    for key in name.split("."):
        part = part.children.get(key) if part is not None else None
    return part


def _finite(data: Any) -> bool:
    return all(
        a.dtype.kind != "f" or bool(np.isfinite(a).all())
        for a in (data if isinstance(data, tuple) else (data,))
    )


# --- checkpoints -----------------------------------------------------------------------------

_CHECKPOINT = 2  # the format's version


def _generators(model: Module, name: str = "") -> dict[str, np.random.Generator]:
    """The generators that layers hold (Dropout), by dotted name, each once."""
    found = {
        f"{name}{key}": v for key, v in vars(model).items() if isinstance(v, np.random.Generator)
    }
    for key, part in model.children.items():
        found |= _generators(part, f"{name}{key}.")
    first = {id(g): key for key, g in reversed(found.items())}
    return {key: g for key, g in found.items() if first[id(g)] == key}


def _write_checkpoint(
    path: str | os.PathLike[str],
    model: Model,
    optimizers: Sequence[Optimizer],
    rng: np.random.Generator,
    history: History,
    best: _Snapshot,
) -> None:
    arrays = {f"model/{name}": a for name, a in _arrays(model).items()}
    arrays |= {f"best/{name}": a for name, a in best.arrays.items()}
    for i, (player, optimizer) in enumerate(zip(model.players, optimizers)):
        memory = optimizer.state_arrays(player.params)
        arrays |= {f"optimizer {i}/{name}": a for name, a in memory.items()}
    arrays |= {f"history/{name}": history[name] for name in history.names}
    header = {
        "checkpoint": _CHECKPOINT,
        "optimizers": [[type(optimizer).__name__, optimizer.t] for optimizer in optimizers],
        "rng": io.generator_state(rng),
        "layers": {name: io.generator_state(g) for name, g in _generators(model).items()},
    }
    target = os.path.realpath(path)
    archive.write_atomically(target, lambda file: archive.to_npz(file, header, arrays))


def _read_checkpoint(
    path: str | os.PathLike[str],
    model: Model,
    optimizers: Sequence[Optimizer],
    rng: np.random.Generator,
) -> tuple[History, _Snapshot]:
    """Bring model, optimizers and rng to where they were. Changes nothing unless all of it fits."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"fit: there is no checkpoint {path}; leave out resume to begin")
    try:
        header, arrays = archive.from_npz(path)
        if not isinstance(header, dict) or header.get("checkpoint") != _CHECKPOINT:
            raise ValueError("not a checkpoint of this version; pass a file that fit wrote")
        parts: dict[str, dict[str, Array]] = {}
        for key, a in arrays.items():
            kind, _, name = key.partition("/")
            parts.setdefault(kind, {})[name] = a
        own, saved = _arrays(model), parts.get("model", {})
        if {k: a.shape for k, a in own.items()} != {k: a.shape for k, a in saved.items()}:
            differ = sorted(
                k
                for k in own.keys() | saved.keys()
                if k not in own or k not in saved or own[k].shape != saved[k].shape
            )
            raise ValueError(f"it is of another model: {', '.join(differ[:5])} do not fit")
        if parts.get("best", {}).keys() != saved.keys():
            raise ValueError("it lacks the best weights; it was altered")
        kinds = [kind for kind, _ in header["optimizers"]]
        if kinds != [type(optimizer).__name__ for optimizer in optimizers]:
            raise ValueError(f"it was written with {', '.join(kinds)}, not with {optimizers}")
        generators = {"": rng} | _generators(model)
        states = {"": header["rng"]} | header["layers"]
        if generators.keys() != states.keys():
            raise ValueError("it is of another model: other layers draw random numbers")
        fresh = {name: io.restore_generator(state).bit_generator for name, state in states.items()}
        for name, bits in fresh.items():
            if type(bits) is not type(generators[name].bit_generator):
                raise ValueError(f"its generator is a {type(bits).__name__}; pass rng of that kind")
        history = _history(parts.get("history", {}))
        memories = [
            (
                optimizer,
                player.params,
                parts.get(f"optimizer {i}", {}),
                int(header["optimizers"][i][1]),
            )
            for i, (player, optimizer) in enumerate(zip(model.players, optimizers))
        ]
        for optimizer, params, memory, t in memories:
            optimizer.load_state(params, memory, t)
    except (KeyError, ValueError) as error:
        raise ValueError(f"fit: cannot resume from {path}: {error}") from error
    for name, a in own.items():
        a[...] = saved[name]
    for name, bits in fresh.items():
        generators[name].bit_generator.state = bits.state
    best = _Snapshot(model)
    best.arrays = {name: a.copy() for name, a in parts["best"].items()}
    return history, best


def _history(columns: dict[str, Array]) -> History:
    history = History()
    for i in range(len(columns["seconds"])):
        numbers = {name: float(column[i]) for name, column in columns.items()}
        seconds, rate = numbers.pop("seconds"), numbers.pop("learning_rate")
        dot = "validation."
        held_out = {k.removeprefix(dot): v for k, v in numbers.items() if k.startswith(dot)}
        terms = {k: v for k, v in numbers.items() if not k.startswith(dot)}
        history.epochs.append(Epoch(i + 1, terms, held_out, seconds, rate))
    return history


# --- progress --------------------------------------------------------------------------------


class _Progress:
    """A tqdm bar that counts batches; a line an epoch without tqdm; nothing if not wanted."""

    def __init__(self, wanted: bool, epochs: int, done: int) -> None:
        self.wanted, self.epochs, self.number = wanted, epochs, done
        self.bar: Any = None
        self.tqdm: Any = None
        if wanted:
            try:
                from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
            except ModuleNotFoundError:
                return
            self.tqdm = tqdm

    def over(self, length: int | None, steps: Iterator[Any]) -> Iterator[Any]:
        """The batches of an epoch, counted a hundred times an epoch, not at each."""
        self.number += 1
        if self.tqdm is None:
            return steps
        if self.bar is None:
            left = self.epochs - self.number + 1
            self.bar = self.tqdm(
                total=None if length is None else left * length, unit="batch", mininterval=0.2
            )
        self.bar.set_description_str(f"epoch {self.number}/{self.epochs}", refresh=False)
        return self._counted(steps, max((length or 0) // 100, 1))

    def _counted(self, steps: Iterator[Any], stride: int) -> Iterator[Any]:
        i = 0
        for i, batch in enumerate(steps, 1):
            yield batch
            if i % stride == 0:
                self.bar.update(stride)
        self.bar.update(i % stride)

    def report(self, epoch: Epoch) -> None:
        shown = {"loss": epoch.terms["total"]}
        if epoch.validation:
            shown["validation"] = epoch.validation["total"]
        text = ", ".join(f"{name} {value:.5g}" for name, value in shown.items())
        if self.bar is not None:
            self.bar.set_postfix_str(text)
        elif self.wanted:
            line = f"epoch {epoch.epoch}/{self.epochs}: {text}, {epoch.seconds:.1f} s"
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


Model.fit = fit
