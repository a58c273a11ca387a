"""Checkpoints: the state of a training in a file, from which it continues to the same bits.

An npz archive, written whole or not at all. Its arrays, by section:

    model/…          the weights and the state of the layers
    best/…           the same after the best epoch so far
    optimizer 0/…    moments and steps of the first player's optimizer, and so on
    history/…        one array for each number measured

Its header has the kind and the step count of each optimizer, and the state of every random
generator: fit's own, and those of layers (Dropout).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tinyae import archive, files, io
from tinyae.layers import Module
from tinyae.models.base import Model
from tinyae.param import Array
from tinyae.training.history import Epoch, History
from tinyae.training.state import TrainingState, model_arrays

Sections = dict[str, dict[str, Array]]

_VERSION = 2  # of the format


def write_checkpoint(path: str | os.PathLike[str], state: TrainingState) -> None:
    arrays = {f"model/{name}": a for name, a in model_arrays(state.model).items()}
    arrays |= {f"best/{name}": a for name, a in state.best.arrays.items()}
    for i, (player, optimizer) in enumerate(zip(state.model.players, state.optimizers)):
        memory = optimizer.state_arrays(player.params)
        arrays |= {f"optimizer {i}/{name}": a for name, a in memory.items()}
    arrays |= {f"history/{name}": state.history[name] for name in state.history.names}
    header = {
        "checkpoint": _VERSION,
        "optimizers": [[type(optimizer).__name__, optimizer.t] for optimizer in state.optimizers],
        "rng": io.generator_state(state.rng),
        "layers": {
            name: io.generator_state(g) for name, g in _layer_generators(state.model).items()
        },
    }
    files.write("fit", path, lambda file: archive.to_npz(file, header, arrays))


def read_checkpoint(path: str | os.PathLike[str], state: TrainingState) -> None:
    """Bring a training to where the file left it. The model changes only if all of it fits.

    Raises
        FileNotFoundError   no such file
        ValueError          not a checkpoint, damaged, or of another model, optimizer or generator
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"fit: there is no checkpoint {path}; leave out resume to begin")
    try:
        header, sections = _read_sections(path)
        weights, best = sections.get("model", {}), sections.get("best", {})
        _check_weights(state.model, weights, best)
        generators = {"": state.rng} | _layer_generators(state.model)
        bits = _saved_bits(header, generators, state)
        history = _history(sections.get("history", {}))
        steps = [int(t) for _, t in header["optimizers"]]
        for i, (player, optimizer) in enumerate(zip(state.model.players, state.optimizers)):
            optimizer.load_state(player.params, sections.get(f"optimizer {i}", {}), steps[i])
    except (KeyError, ValueError) as error:
        raise ValueError(f"fit: cannot resume from {path}: {error}") from error
    for name, a in model_arrays(state.model).items():
        a[...] = weights[name]
    for name, generator in generators.items():
        generator.bit_generator.state = bits[name].state
    state.best.arrays = best
    state.history = history


def _read_sections(path: str | os.PathLike[str]) -> tuple[Any, Sections]:
    header, arrays = archive.from_npz(path)
    if not isinstance(header, dict) or header.get("checkpoint") != _VERSION:
        raise ValueError("not a checkpoint of this version; pass a file that fit wrote")
    sections: Sections = {}
    for key, a in arrays.items():
        section, _, name = key.partition("/")
        sections.setdefault(section, {})[name] = a
    return header, sections


def _check_weights(model: Model, weights: dict[str, Array], best: dict[str, Array]) -> None:
    own = {name: a.shape for name, a in model_arrays(model).items()}
    saved = {name: a.shape for name, a in weights.items()}
    if own != saved:
        names = sorted(own.keys() | saved.keys())
        differ = [name for name in names if own.get(name) != saved.get(name)]
        raise ValueError(f"it is of another model: {', '.join(differ[:5])} do not fit")
    if best.keys() != weights.keys():
        raise ValueError("it lacks the best weights; it was altered")


def _saved_bits(
    header: Any, generators: dict[str, np.random.Generator], state: TrainingState
) -> dict[str, np.random.BitGenerator]:
    """For each generator the saved one, once kinds of optimizers and generators are the same."""
    kinds = [kind for kind, _ in header["optimizers"]]
    if kinds != [type(optimizer).__name__ for optimizer in state.optimizers]:
        raise ValueError(f"it was written with {', '.join(kinds)}, not with {state.optimizers}")
    saved = {"": header["rng"]} | header["layers"]
    if generators.keys() != saved.keys():
        raise ValueError("it is of another model: other layers draw random numbers")
    bits = {name: io.restore_generator(entry).bit_generator for name, entry in saved.items()}
    for name, restored in bits.items():
        if type(restored) is not type(generators[name].bit_generator):
            raise ValueError(f"its generator is a {type(restored).__name__}; pass rng of that kind")
    return bits


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


def _history(columns: dict[str, Array]) -> History:
    """The history, from one array for each number measured."""
    history, prefix = History(), "validation."
    for i in range(len(columns["seconds"])):
        numbers = {name: float(column[i]) for name, column in columns.items()}
        seconds, learning_rate = numbers.pop("seconds"), numbers.pop("learning_rate")
        terms = {k: v for k, v in numbers.items() if not k.startswith(prefix)}
        validation = {k[len(prefix) :]: v for k, v in numbers.items() if k.startswith(prefix)}
        history.epochs.append(Epoch(i + 1, terms, validation, seconds, learning_rate))
    return history
