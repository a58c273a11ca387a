"""``load_torch_state``: the weights of a PyTorch network into a model of the same layers."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tinyae import files
from tinyae.archive import FileError, is_safetensors, safetensors_arrays
from tinyae.interchange.torch_file import read_torch
from tinyae.layers import Module
from tinyae.param import Array, Param

# PyTorch's names of what a layer of tinyae calls otherwise.
_TORCH_NAMES = {"W": "weight", "gamma": "weight", "a": "weight", "b": "bias", "beta": "bias"}
_STATISTICS = ("running_mean", "running_var")
_IGNORED = ("num_batches_tracked",)
_Targets = dict[str, Array]


def load_torch_state(module: Module, path: str | os.PathLike[str]) -> None:
    """Copy the weights in a file into a model or layer, in place.

    ``.pt``, ``.pth``     a state dict of ``torch.save``, or a checkpoint that holds one; read without
                          PyTorch, and no code in it is run
    ``.safetensors``      needs the package safetensors

    Weights belong together by name (``encoder.0.weight`` is ``encoder.0.W``; a prefix such as
    ``module.`` may stand before all). If the names differ, layers belong together by their order, and
    only if all of them agree in shape. Layouts are PyTorch's, so nothing is transposed. Everything is
    checked before anything is changed.

    Raises
        TypeError             no model or layer
        FileNotFoundError     no such file
        ValueError            the file is damaged, holds more than tensors, or its weights do not fit;
                              the message names them
        ModuleNotFoundError   a .safetensors file without that package
    """
    if not isinstance(module, Module):
        raise TypeError(
            f"load_torch_state: got a {type(module).__name__}, expected a model or a layer; pass it "
            "first, then the path"
        )
    files.check_source("load_torch_state", path, "a .pt or .safetensors file")
    try:
        tensors = safetensors_arrays(path) if is_safetensors(path) else _state(read_torch(path))
        pairs = _pairs(_targets(module), tensors)
    except (FileError, MemoryError, RecursionError) as error:
        reason = str(error) or "it needs more memory than there is"
        raise ValueError(f"load_torch_state: {os.fsdecode(path)}: {reason}") from error
    for target, value in pairs:
        target[...] = value


def _targets(module: Module, name: str = "") -> _Targets:
    """The arrays to fill, by PyTorch's names; layers in the order in which they were built."""
    found: _Targets = {}
    own = vars(module) if module.children else {**module.params, **vars(module)}
    for key, value in own.items():
        if isinstance(value, Param):
            found[f"{name}{_TORCH_NAMES.get(key, key)}"] = value.value
        elif key in _STATISTICS and isinstance(value, np.ndarray):
            found[f"{name}{key}"] = value
    for key, child in module.children.items():
        found.update(_targets(child, f"{name}{key}."))
    return found


def _state(saved: Any) -> dict[str, Array]:
    """The dictionary of tensors in what was saved."""
    if isinstance(saved, dict):
        if saved and all(isinstance(a, np.ndarray) for a in saved.values()):
            return {str(name): a for name, a in saved.items()}
        inner = {
            name: value
            for name, value in saved.items()
            if isinstance(value, dict)
            and value
            and all(isinstance(a, np.ndarray) for a in value.values())
        }
        if len(inner) == 1:
            return _state(next(iter(inner.values())))
        raise FileError(
            f"it holds {', '.join(map(str, saved))[:200]}, among which {len(inner)} dictionaries of "
            "tensors, expected one; save the weights alone: torch.save(model.state_dict(), path)"
        )
    raise FileError(
        f"it holds a {type(saved).__name__}, expected a dictionary of tensors; save "
        "torch.save(model.state_dict(), path)"
    )


def _pairs(targets: _Targets, tensors: dict[str, Array]) -> list[tuple[Array, Array]]:
    """What goes where: by name, or else by order."""
    tensors = {n: a for n, a in tensors.items() if n.rpartition(".")[2] not in _IGNORED}
    prefix = _prefix(list(tensors))
    bare = {name.removeprefix(prefix): a for name, a in tensors.items()}
    for named in (tensors, bare):
        if named.keys() == targets.keys():
            _check_shapes({name: (targets[name], name) for name in named}, named)
            return [(targets[name], a) for name, a in named.items()]
    ours, theirs = _layers(targets), _layers(tensors)
    if len(ours) == len(theirs) and all(a.keys() == b.keys() for a, b in zip(ours, theirs)):
        names = {b[k]: (targets[a[k]], a[k]) for a, b in zip(ours, theirs) for k in a}
        _check_shapes(names, tensors)
        return [(target, tensors[name]) for name, (target, _) in names.items()]
    missing = [n for n in targets if n not in bare and n not in tensors]
    extra = [n for n in tensors if n not in targets and n.removeprefix(prefix) not in targets]
    raise FileError(
        f"it has weights of {len(theirs)} layers, the model has {len(ours)} with weights; only the "
        f"model has {_some(missing)}, only the file has {_some(extra)}; build the model of the same "
        "layers"
    )


def _prefix(names: list[str]) -> str:
    """The parts of dotted names with which all of them begin: "module." of "module.0.weight"."""
    prefix = ""
    for columns in zip(*(name.split(".")[:-1] for name in names)):
        if len(set(columns)) > 1:
            break
        prefix += f"{columns[0]}."
    return prefix


def _layers(names: Any) -> list[dict[str, str]]:
    """The names of each layer's weights, by what they are called in it, in order."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        layer, _, leaf = name.rpartition(".")
        found.setdefault(layer, {})[leaf] = name
    return list(found.values())


def _check_shapes(names: dict[str, tuple[Array, str]], tensors: dict[str, Array]) -> None:
    for name, (target, own) in names.items():
        if tensors[name].shape != target.shape or tensors[name].dtype.kind not in "fiu":
            raise FileError(
                f"{name} has shape {tensors[name].shape} and dtype {tensors[name].dtype}, the model's "
                f"{own} has {target.shape}; build the model of the same layers"
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return (", ".join(names[:4]) + more) or "none"
