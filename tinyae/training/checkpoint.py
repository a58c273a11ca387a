"""Checkpoints: the state of a training in a file, from which it continues to the same bits.

An npz archive, written whole or not at all. Its arrays, by section:

    model/…          the weights and the state of the layers
    best/…           the same after the best epoch so far
    optimizer 0/…    moments and steps of the first player's optimizer, and so on
    history/…        one array for each number measured

Its header has the kind, the step count and the learning rate of each optimizer, the state of every
random generator (fit's own, and those of layers such as Dropout), and what the training was begun with
(:mod:`tinyae.training.description`): a training of other data, activations, rates or settings does
not go on from it unless it is told to.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from tinyae import archive, files, io
from tinyae.archive import FileError
from tinyae.layers import Module
from tinyae.models.base import Model
from tinyae.param import Array, Param, unique
from tinyae.training.description import Description, check_description
from tinyae.training.dry_run import check_rate
from tinyae.training.history import Epoch, History
from tinyae.training.state import TrainingState, model_arrays

Sections = dict[str, dict[str, Array]]

_VERSION = 3  # of the format
_MAX_STEPS = 2**53  # of an optimizer


def write_checkpoint(
    path: str | os.PathLike[str], state: TrainingState, description: Description
) -> None:
    header, arrays = checkpoint_content(state, description)
    files.write("fit", path, lambda file: archive.to_npz(file, header, arrays))


def checkpoint_content(
    state: TrainingState, description: Description
) -> tuple[Any, dict[str, Array]]:
    """The header and the arrays of a checkpoint.

    Raises
        TypeError   a generator of a kind that no file can hold
    """
    arrays = {f"model/{name}": a for name, a in model_arrays(state.model).items()}
    arrays |= {f"best/{name}": a for name, a in state.best.arrays.items()}
    for i, (player, optimizer) in enumerate(zip(state.model.players, state.optimizers)):
        memory = optimizer.state_arrays(player.params)
        arrays |= {f"optimizer {i}/{name}": a for name, a in memory.items()}
    arrays |= {f"history/{name}": state.history[name] for name in state.history.names}
    header = {
        "checkpoint": _VERSION,
        "optimizers": [[type(optimizer).__name__, optimizer.t] for optimizer in state.optimizers],
        "rates": [optimizer.rate for optimizer in state.optimizers],
        "training": description,
        "rng": io.generator_state(state.rng),
        "layers": {
            name: io.generator_state(g) for name, g in _layer_generators(state.model).items()
        },
    }
    return header, arrays


def read_checkpoint(
    path: str | os.PathLike[str],
    state: TrainingState,
    measured: Iterable[str],
    description: Description,
    accept_changes: Collection[str] = (),
) -> None:
    """Bring a training to where the file left it. Nothing changes unless all of it fits.

    ``measured`` names what the training is going to measure, as in :attr:`History.names`.
    ``description`` must be that of the file, but for the sections in ``accept_changes``.

    Raises
        FileNotFoundError   no such file
        ValueError          not a checkpoint, damaged, or of another model, optimizer or generator;
                            or begun with something else, which is named
    """
    try:
        found = files.kind(files.checked_path("fit: resume", path))
        if found == "nothing":
            raise FileNotFoundError(
                f"fit: there is no checkpoint {path}; leave out resume to begin"
            )
        if found != "file":
            raise FileError(f"it is a {found}, expected {archive.CHECKPOINT.source}")
        header, sections = _read_sections(path)
        weights, best, history = (sections.pop(name, {}) for name in ("model", "best", "history"))
        _check_weights(state.model, weights, best)
        generators = {"": state.rng} | _layer_generators(state.model)
        bits = _saved_bits(header, generators)
        past = _history(history, measured)
        _check_optimizers(header["optimizers"], sections, state)
        check_description(header, description, state, accept_changes)
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it needs more memory than there is" if isinstance(error, MemoryError) else error
        raise ValueError(f"fit: cannot resume from {path}: {reason}") from error
    for i, (player, optimizer) in enumerate(zip(state.model.players, state.optimizers)):
        memory, t = sections.get(f"optimizer {i}", {}), header["optimizers"][i][1]
        optimizer.load_state(player.params, memory, t)
    for name, a in model_arrays(state.model).items():
        a[...] = weights[name]
    for name, generator in generators.items():
        generator.bit_generator.state = bits[name].state
    state.best.arrays = best
    state.history = past


def read_history(path: str | os.PathLike[str]) -> History:
    """What a training has measured up to its checkpoint.

    Raises
        FileNotFoundError   no such file
        ValueError          not a checkpoint, or damaged
    """
    try:
        columns = _read_sections(files.checked_path("history", path))[1].get("history", {})
        return _history(columns, columns)
    except FileError as error:
        raise ValueError(f"history: cannot read that of {path}: {error}") from error


# ---- what must fit -------------------------------------------------------------------------------


def _read_sections(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Sections]:
    header, arrays = archive.from_npz(path, archive.CHECKPOINT)
    if not isinstance(header, dict) or "checkpoint" not in header:
        raise FileError(f"not a checkpoint; pass {archive.CHECKPOINT.source}")
    if header["checkpoint"] != _VERSION:
        raise FileError(
            f"not a checkpoint of this version, {_VERSION}, but of {header['checkpoint']!s:.20}; "
            f"{archive.CHECKPOINT.again}"
        )
    for name, type_ in (
        ("optimizers", list), ("rng", dict), ("layers", dict), ("training", dict),
    ):  # fmt: skip
        if not isinstance(header.get(name), type_):
            raise FileError(f"its header has no {name}; it was altered")
    archive.check_digests(header, arrays, archive.CHECKPOINT)
    sections: Sections = {}
    for key, a in arrays.items():
        section, _, name = key.partition("/")
        sections.setdefault(section, {})[name] = a
    return header, sections


def _check_weights(model: Model, weights: dict[str, Array], best: dict[str, Array]) -> None:
    own = {name: (a.shape, a.dtype) for name, a in model_arrays(model).items()}
    for arrays, which in ((weights, "weights"), (best, "best weights")):
        saved = {name: (a.shape, a.dtype) for name, a in arrays.items()}
        names = sorted(own.keys() | saved.keys())
        differ = [name for name in names if own.get(name) != saved.get(name)]
        if differ:
            shown = ", ".join(differ[:5])[:200]
            raise FileError(f"it is of another model: of its {which}, {shown} do not fit")
        for name in unique(model.params):
            if not np.isfinite(arrays[name]).all():
                raise FileError(f"its {which} {name} are not finite; it was altered")


def _saved_bits(
    header: dict[str, Any], generators: dict[str, np.random.Generator]
) -> dict[str, np.random.BitGenerator]:
    """For each generator the saved one, once their kinds are the same."""
    saved = {"": header["rng"]} | header["layers"]
    if generators.keys() != saved.keys():
        raise FileError("it is of another model: other layers draw random numbers")
    if not all(isinstance(entry, dict) for entry in saved.values()):
        raise FileError("the state of a generator is missing; it was altered")
    bits = {name: io.restore_generator(entry).bit_generator for name, entry in saved.items()}
    for name, restored in bits.items():
        if type(restored) is not type(generators[name].bit_generator):
            raise FileError(f"its generator is a {type(restored).__name__}; pass rng of that kind")
    return bits


def _check_optimizers(entries: list[Any], memories: Sections, state: TrainingState) -> None:
    """Raise unless each optimizer is of the saved kind and can hold what was saved of it."""
    for entry in entries:
        match entry:
            case [str(), int(t)] if not isinstance(t, bool) and 0 <= t < _MAX_STEPS:
                continue
        raise FileError(f"{str(entry)[:60]} is no optimizer and its steps; it was altered")
    kinds = [kind for kind, _ in entries]
    if kinds != [type(optimizer).__name__ for optimizer in state.optimizers]:
        shown = ", ".join(kinds)[:200]
        raise FileError(f"it was written with {shown}, not with {state.optimizers}")
    names = [f"optimizer {i}" for i in range(len(entries))]
    for section in memories.keys() - set(names):
        raise FileError(f"{section:.60} is no part of a checkpoint; it was altered")
    for name, (_, t), player, optimizer in zip(
        names, entries, state.model.players, state.optimizers
    ):
        check_rate(optimizer, t)
        _check_memory(name, memories.get(name, {}), t, unique(player.params), optimizer.slots)


def _check_memory(
    who: str, memory: dict[str, Array], t: int, params: dict[str, Param], slots: tuple[str, ...]
) -> None:
    """Raise unless an optimizer that has taken t steps could have kept these arrays."""
    expected = {f"{name}/{slot}": p for name, p in params.items() for slot in slots}
    expected = {
        key: p for key, p in expected.items() if f"{key.rpartition('/')[0]}/steps" in memory
    }
    counts = {f"{name}/steps" for name in params} & memory.keys()
    for key in memory.keys() ^ (expected.keys() | counts):
        raise FileError(f"{who}: {key:.60} is missing or not expected; it was altered")
    for key in counts:
        steps = memory[key]
        if steps.shape != () or steps.dtype.kind not in "iu" or not 0 <= steps <= t:
            raise FileError(f"{who}: {key:.60} is not a number of steps up to {t}; it was altered")
    for key, p in expected.items():
        a = memory[key]
        if (a.shape, a.dtype) != (p.shape, p.dtype) or not np.isfinite(a).all():
            raise FileError(
                f"{who}: {key:.60} is {a.dtype} of shape {a.shape}, expected finite {p.dtype} "
                f"of shape {p.shape}"
            )


def _history(columns: dict[str, Array], measured: Iterable[str]) -> History:
    """The history, from one array for each number measured.

    Raises
        FileError   not such arrays, or this training measures something else
    """
    lengths = {a.shape for a in columns.values()}
    if not {"total", "seconds", "learning_rate"} <= columns.keys() or len(lengths) != 1:
        raise FileError("its history is incomplete; it was altered")
    (shape,) = lengths
    if len(shape) != 1 or any(a.dtype != np.float64 for a in columns.values()) or not shape[0]:
        raise FileError("its history is not a number for each epoch; it was altered")
    if not all(np.isfinite(a).all() for name, a in columns.items() if name.endswith("total")):
        raise FileError("its history has losses that are not finite; it was altered")
    prefix = "validation."
    expected = set(measured)
    if not any(name.startswith(prefix) for name in columns):  # it may begin now
        expected = {name for name in expected if not name.startswith(prefix)}
    differ = sorted(columns.keys() ^ expected)
    if differ:
        raise FileError(
            f"either its history or this training has no {', '.join(differ)[:200]}; "
            "resume with the model that was saved, and with validation if it had that"
        )
    history = History()
    for i in range(shape[0]):
        numbers = {name: float(column[i]) for name, column in columns.items()}
        seconds, learning_rate = numbers.pop("seconds"), numbers.pop("learning_rate")
        terms = {k: v for k, v in numbers.items() if not k.startswith(prefix)}
        validation = {k[len(prefix) :]: v for k, v in numbers.items() if k.startswith(prefix)}
        history.epochs.append(Epoch(i + 1, terms, validation, seconds, learning_rate))
    return history


def _layer_generators(module: Module, prefix: str = "") -> dict[str, np.random.Generator]:
    """The generators that layers hold (Dropout), by dotted name; a shared one is there once."""
    found = {
        f"{prefix}{name}": value
        for name, value in vars(module).items()
        if isinstance(value, np.random.Generator)
    }
    for name, part in module.children.items():
        found |= _layer_generators(part, f"{prefix}{name}.")
    first = {id(g): name for name, g in reversed(found.items())}
    return {name: g for name, g in found.items() if first[id(g)] == name}
