"""A header and arrays → a model: built with zeros, compared with the file, then filled."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.archive import FileError, Json, check_digests
from tinyae.io.build import Reader
from tinyae.io.classes import classes
from tinyae.io.describe import named_arrays
from tinyae.layers import Layer, Module
from tinyae.param import Array, Param


def assemble(header: Json, arrays: dict[str, Array], table: dict[str, type]) -> Module:
    """The model that a file describes.

    Raises
        FileError   header and arrays do not fit each other, or ask for more than they hold
    """
    reader = Reader(arrays, table)
    module = reader.value(header.get("architecture"))
    if not isinstance(module, Module):
        raise FileError(f"it describes a {type(module).__name__}, expected a layer or a model")
    aliases = header.get("aliases")
    if not isinstance(aliases, dict) or not all(isinstance(a, str) for a in aliases.values()):
        raise FileError("its header has no table of aliases; it was altered, save the model again")
    params, state = module.params, module.state
    scalars = {name for name, p in params.items() if id(p) in reader.scalars}
    _check_names(named_arrays(module), arrays, aliases, reader.used, scalars)
    check_digests(header, arrays)
    filled: dict[str, Any] = {}
    memo: dict[int, Any] = {}  # zero array → filled one, for deepcopy, which preserves sharing
    for name, part in [*params.items(), *state.items()]:
        if name in aliases:
            other = aliases[name]
            new = filled[other[2:]].T if other.startswith("T:") else filled[other]
        else:
            new = _array(arrays[name])
            if isinstance(part, Param):
                new = Param(new)
        filled[name] = new
        if isinstance(new, Param) != isinstance(part, Param):
            raise FileError(f"{name} is an alias of {aliases[name]}, which is of another kind")
        if memo.setdefault(id(part), new) is not new:
            raise FileError(f"{name} is shared in the model, but the file has it twice")
    _freeze(filled, header.get("frozen", []))
    module = copy.deepcopy(module, memo)
    for layer in _layers(module):
        _check_one_dtype(layer)
    return module


def _freeze(filled: dict[str, Any], names: Json) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FileError("its header has no list of frozen Params; it was altered")
    for name in names:
        if not isinstance(filled.get(name), Param):
            raise FileError(f"{name:.60} is frozen, but no Param of the model; it was altered")
        filled[name].trainable = False


def _array(a: Array) -> Array:
    """A copy. float16, in which no kernel computes, becomes float32, which holds the same numbers."""
    return np.array(a, np.float32 if a.dtype == np.float16 else a.dtype)


def _check_names(
    empty: dict[str, Array],
    arrays: dict[str, Array],
    aliases: dict[str, str],
    used: set[str],
    scalars: set[str],
) -> None:
    """Raise a FileError unless the model's arrays match the file's by name and shape.

    ``used`` are the file's arrays that were constructor arguments. ``scalars`` are Params that were
    built from a plain number: only the file knows whether their shape is (), (1,) or (1, 1).
    """
    resolved: dict[str, Array] = {}
    faults = []
    for name, a in empty.items():
        transposed = aliases.get(name, "").startswith("T:")
        source = aliases.get(name, name)[2 * transposed :]
        got = resolved.get(source) if name in aliases else arrays.get(name)
        if got is None:
            faults.append(f"{name} {a.shape} is missing")
            continue
        resolved[name] = got = got.T if transposed else got
        if got.shape != a.shape and not (name in scalars and got.size == 1):
            faults.append(f"{name} has shape {got.shape}, expected {a.shape}")
        elif (got.dtype.kind == "f") != (a.dtype.kind == "f"):
            faults.append(f"{name} has dtype {got.dtype}, expected one like {a.dtype}")
    for name in [*(arrays.keys() - empty.keys() - used), *(aliases.keys() - empty.keys())]:
        faults.append(f"{name} belongs to no part of the model")
    faults += [f"{name} is stored and also an alias" for name in arrays.keys() & aliases.keys()]
    if faults:
        rest = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""
        raise FileError(
            f"arrays and architecture do not fit: {'; '.join(sorted(faults)[:5])}{rest}; "
            "build the model anew and save that"
        )


def _layers(module: Module, known: set[int] | None = None) -> Iterator[Layer]:
    """Every layer of tinyae's own in a module, each once."""
    known = set() if known is None else known
    if id(module) in known:
        return
    known.add(id(module))
    if isinstance(module, Layer) and classes().get(type(module).__name__) is type(module):
        yield module
    for part in module.children.values():
        yield from _layers(part, known)


def _check_one_dtype(layer: Layer) -> None:
    """Raise unless all arrays of a layer, its own and those it shares, have one dtype."""
    own = {name: a for name, a in named_arrays(layer).items() if "." not in name}
    dtypes = {name: a.dtype for name, a in own.items() if a.dtype.kind == "f"}
    if len(set(dtypes.values())) > 1:
        found = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise FileError(
            f"{layer!r:.60} has arrays of several dtypes, {found}; "
            "convert the model before it is saved: model.astype(np.float32)"
        )
