"""Save and load: a model as one file of arrays and a description, without code.

A file holds every parameter and state array under its dotted name, and a header in JSON::

    {"format": 1, "tinyae": "0.1.0", "aliases": {…},
     "architecture": {"$class": "Sequential", "$id": 0, "layers": [
         {"$class": "Dense", "$id": 1, "in_features": 784, "out_features": 64}, …]}}

A constructor stores each argument under its own name, so the class name and the arguments are
enough to build an object again. Where an argument has become a Param, as in
``self.alpha = Param(…alpha…)``, the Param's value is written. Loading looks up each class in a
table of tinyae's classes (and in ``custom``), builds the model with zeros, and fills it with the
file's arrays. What was shared (a tied layer, a generator, a Param under two names) is shared again.

``.npz``          a plain NumPy archive: ``np.load(path)["encoder.1.W"]`` reads it too
``.safetensors``  chosen by suffix; needs the package safetensors

A file need not be trusted. No pickle is read, no name in it is imported or evaluated, and sizes
are checked against the length of the file before anything is allocated.
"""

from __future__ import annotations

import copy
import functools
import importlib
import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

import tinyae
from tinyae import layers, likelihoods, losses, models
from tinyae.archive import (
    FileError,
    from_npz,
    from_safetensors,
    is_safetensors,
    to_npz,
    to_safetensors,
    write_atomically,
)
from tinyae.data import binarize, corruption
from tinyae.layers.base import Module, ParameterFree
from tinyae.models.base import Model
from tinyae.param import Array, Initializer, Param

if TYPE_CHECKING:
    import inspect

_HOMES = (
    layers,
    losses,
    likelihoods,
    corruption,
    binarize,
    models,
)  # modules whose classes a file may build
FORMAT = 1  # to be increased when an older tinyae would misread a file

_INIT_ARGUMENTS = {"rng", "init", "dtype"}  # for the initial weights only: not needed again
_MAX_DEPTH = 64  # levels of nested objects
_MAX_MODULES = 100_000  # a shared module counts each time it is reached
_SLACK = 2**24  # elements that a model may have besides those in its file: 64 MB of float32

Json = Any


# ---------------------------------------------------------------------------- save and load


def save(module: Module, path: str | os.PathLike[str]) -> None:
    """Write a layer or model to ``path``, completely or not at all.

    The data go to a temporary file in the same folder, which is then renamed in one step: a crash
    leaves either the old file or the new one. Objects of your own classes are saved too; name these
    classes in ``load(path, custom=[…])``. The optimizer is not part of a model.

    Raises
        TypeError             an object in the model cannot be described by class and arguments
        ValueError            the model is nested too deeply or contains itself; path is a folder
        FileNotFoundError     the folder does not exist
        ModuleNotFoundError   a .safetensors path without that package
    """
    if not isinstance(module, Module):
        raise TypeError(
            f"save: got a {type(module).__name__}, expected a layer or a model; pass model first"
        )
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise ValueError(
            f"save: {path} is a folder; pass the name of a file, e.g. {path}/model.npz"
        )
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"save: the folder {folder} does not exist; make it, or pass another path"
        )
    header, arrays, custom_classes = _describe(module)
    try:
        _assemble(header, arrays, _classes() | custom_classes)
    except FileError as error:  # do not write what could not be read
        raise ValueError(f"save: {type(module).__name__} would not load again: {error}") from error
    if is_safetensors(path):
        content = to_safetensors(header, arrays)
        write_atomically(target, lambda file: file.write(content))
    else:
        write_atomically(target, lambda file: to_npz(file, header, arrays))


def load(path: str | os.PathLike[str], custom: Iterable[type] = ()) -> Any:
    """The layer or model in a file that ``save`` wrote: same classes, identical arrays.

    ``custom`` lists your own classes that occur in it.

    Raises
        FileNotFoundError     no such file
        ValueError            the file is not from tinyae, is damaged, comes from a newer tinyae,
                              or is inconsistent; the message says which
        ModuleNotFoundError   a .safetensors path without that package
    """
    if os.path.isdir(path):
        raise ValueError(
            f"load: {path} is a folder, expected a file that model.save wrote; name it"
        )
    if not os.path.exists(path):
        raise FileNotFoundError(f"load: there is no file {path}; check the path")
    table = _classes() | _custom_classes(custom)
    read = from_safetensors if is_safetensors(path) else from_npz
    try:
        header, arrays = read(path)
        _check_format(header)
        return _assemble(header, arrays, table)
    except (FileError, RecursionError) as error:
        reason = str(error) if isinstance(error, FileError) else "it is nested too deeply"
        raise ValueError(f"load: {path}: {reason}") from error


def _check_format(header: Json) -> None:
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise FileError("its header states no format, so it is not a model that tinyae saved")
    if header["format"] > FORMAT:
        raise FileError(
            f"format {header['format']}, written by tinyae {header.get('tinyae')!s:.20}; this is "
            f"tinyae {tinyae.__version__}, which reads up to format {FORMAT}; "
            "run pip install --upgrade tinyae"
        )
    if header["format"] < 1:
        raise FileError(f"format {header['format']}, expected 1 to {FORMAT}; save the model again")


@functools.cache
def _classes() -> dict[str, type]:
    """The public classes of tinyae that a file may build, by name."""
    import pkgutil  # imported here, like inspect below, to keep `import tinyae` fast

    table = {}
    for home in _HOMES:
        parts = pkgutil.iter_modules(getattr(home, "__path__", ()))
        for name in [home.__name__, *(f"{home.__name__}.{part.name}" for part in parts)]:
            for key, value in vars(importlib.import_module(name)).items():
                if isinstance(value, type) and value.__module__ == name and key[0] != "_":
                    table[key] = value
    return table


def _custom_classes(custom: Iterable[type]) -> dict[str, type]:
    found: dict[str, type] = {}
    for cls in custom:
        if not isinstance(cls, type):
            raise TypeError(f"load: custom holds {cls!r}, expected classes; pass custom=[MyLayer]")
        if _classes().get(cls.__name__, cls) is not cls or found.get(cls.__name__, cls) is not cls:
            raise ValueError(f"load: custom names two classes {cls.__name__}; rename yours")
        found[cls.__name__] = cls
    return found


# ---------------------------------------------------------------------------- model → header


def _describe(module: Module) -> tuple[Json, dict[str, Array], dict[str, type]]:
    """The header, the arrays by name, and the classes that are not from tinyae."""
    writer = _Writer()
    architecture = writer.value(module, type(module).__name__)
    arrays, aliases = writer.arrays, {}
    first: dict[Any, str] = {}  # an array's memory layout → the name under which it is saved
    for name, a in _named_arrays(module).items():
        _check_dtype(name, a)
        alias = first.setdefault(_memory_layout(a), name)
        if alias != name:
            aliases[name] = alias
        elif a.ndim == 2 and first.get(_memory_layout(a.T), name) != name:
            aliases[name] = "T:" + first[_memory_layout(a.T)]  # Param.T shares its Param's memory
        else:
            arrays[name] = a
    header = {
        "format": FORMAT,
        "tinyae": tinyae.__version__,
        "architecture": architecture,
        "aliases": aliases,
    }
    return header, arrays, writer.custom_classes


def _named_arrays(module: Module) -> dict[str, Array]:
    return {name: p.value for name, p in module.params.items()} | module.state


def _memory_layout(a: Array) -> Any:
    return a.__array_interface__["data"][0], a.shape, a.strides, a.dtype.str


def _check_dtype(name: str, a: Array) -> None:
    if a.dtype.kind not in "biuf" or a.dtype.itemsize > 8:
        raise TypeError(f"save: {name} has dtype {a.dtype}, expected plain numbers; convert it")


class _Writer:
    """Writes objects as JSON, each only once: repeated ones become {"$ref": id}."""

    def __init__(self) -> None:
        self.ids: dict[int, int] = {}
        self.ancestors: list[int] = []  # ids of the objects that contain the current one
        self.arrays: dict[str, Array] = {}
        self.custom_classes: dict[str, type] = {}

    def value(self, v: Any, where: str) -> Json:
        if v is None or isinstance(v, (bool, str)):
            return v
        if isinstance(v, (int, np.integer)):
            return int(v)
        if isinstance(v, np.bool_):
            return bool(v)
        if isinstance(v, (float, np.floating)):
            return float(v) if math.isfinite(v) else {"$float": repr(float(v))}
        if isinstance(v, (list, tuple)):
            items = [self.value(item, f"{where}[{i}]") for i, item in enumerate(v)]
            return items if isinstance(v, list) else {"$tuple": items}
        if isinstance(v, np.ndarray):
            _check_dtype(where, v)
            name = f"argument:{len(self.arrays)}"
            self.arrays[name] = v
            return {"$array": name}
        return self.object(v, where)

    def object(self, v: Any, where: str) -> Json:
        if id(v) in self.ancestors:
            raise ValueError(f"save: {where} holds itself; a model must be a tree of parts")
        if id(v) in self.ids:
            return {"$ref": self.ids[id(v)]}
        if len(self.ancestors) >= _MAX_DEPTH:
            raise ValueError(
                f"save: {where} lies more than {_MAX_DEPTH} objects deep; flatten the model"
            )
        self.ids[id(v)] = number = len(self.ids)
        if isinstance(v, np.random.Generator):
            return {"$generator": generator_state(v), "$id": number}
        self.ancestors.append(id(v))
        entry = {"$class": self.class_name(v, where), "$id": number}
        for name, p in _arguments(type(v)).items():
            if name in vars(v) if name in _INIT_ARGUMENTS else hasattr(v, name):
                argument = getattr(v, name)
                if isinstance(argument, Param) and isinstance(v, Module):
                    argument = argument.value.item() if argument.size == 1 else argument.value
                argument = list(argument) if p.kind is p.VAR_POSITIONAL else argument
                entry[name] = self.value(argument, f"{where}.{name}")
            elif name not in _INIT_ARGUMENTS:
                raise TypeError(
                    f"save: {where} does not keep its constructor's argument {name}; "
                    f"write self.{name} = {name} in {type(v).__name__}.__init__"
                )
        self.ancestors.pop()
        return entry

    def class_name(self, v: Any, where: str) -> str:
        cls = type(v)
        if cls.__module__.split(".")[0] in ("builtins", "numpy") or isinstance(v, Param):
            raise TypeError(
                f"save: {where} is {v!r:.80}, expected numbers, text, or objects of classes whose "
                "constructors keep their arguments; make it one"
            )
        name = cls.__name__
        if _classes().get(name) is not cls:
            if name in _classes() or self.custom_classes.get(name, cls) is not cls:
                raise TypeError(f"save: there are two classes called {name}; rename your own")
            self.custom_classes[name] = cls
        return name


def _arguments(cls: type) -> dict[str, inspect.Parameter]:
    """The constructor's parameters, without self."""
    if cls.__init__ is object.__init__:  # type: ignore[misc]
        return {}
    import inspect

    found = dict(list(inspect.signature(cls.__init__).parameters.items())[1:])  # type: ignore[misc]
    for p in found.values():
        if p.kind is p.VAR_KEYWORD:
            raise TypeError(f"{cls.__name__}: **{p.name} cannot be saved; name the arguments")
    return found


# ---------------------------------------------------------------------------- header → model


def _assemble(header: Json, arrays: dict[str, Array], table: dict[str, type]) -> Module:
    """Build the model with zeros, compare names and shapes with the file, then fill it."""
    reader = _Reader(arrays, table)
    module = reader.value(header.get("architecture"))
    if not isinstance(module, Module):
        raise FileError(f"it describes a {type(module).__name__}, expected a layer or a model")
    _count(module, {})
    aliases = header.get("aliases")
    if not isinstance(aliases, dict) or not all(isinstance(a, str) for a in aliases.values()):
        raise FileError("its header has no table of aliases; it was altered, save the model again")
    params, state = module.params, module.state
    scalars = {name for name, p in params.items() if id(p) in reader.scalars}
    _check_names(_named_arrays(module), arrays, aliases, reader.used, scalars)
    filled: dict[str, Any] = {}
    memo: dict[int, Any] = {}  # zero array → filled one, for deepcopy, which preserves sharing
    for name, part in [*params.items(), *state.items()]:
        if name in aliases:
            other = aliases[name]
            new = filled[other[2:]].T if other.startswith("T:") else filled[other]
        else:
            new = np.array(arrays[name])
            if isinstance(part, Param):
                new = Param(new)
        filled[name] = new
        if isinstance(new, Param) != isinstance(part, Param):
            raise FileError(f"{name} is an alias of {aliases[name]}, which is of another kind")
        if memo.setdefault(id(part), new) is not new:
            raise FileError(f"{name} is shared in the model, but the file has it twice")
    return copy.deepcopy(module, memo)


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


def _count(module: Module, known: dict[int, int]) -> int:
    """Count the modules reached from here: a few nested references could make billions."""
    if id(module) not in known:
        known[id(module)] = 1 + sum(_count(part, known) for part in module.children.values())
    if known[id(module)] > _MAX_MODULES:
        raise FileError(f"it describes more than {_MAX_MODULES} parts; this is no honest model")
    return known[id(module)]


class _Reader:
    """Builds objects from JSON by class name and arguments, within a memory budget."""

    def __init__(self, arrays: dict[str, Array], table: dict[str, type]) -> None:
        self.arrays, self.table = arrays, table
        self.objects: dict[int, Any] = {}
        self.used: set[str] = set()  # arrays that were constructor arguments
        self.scalars: set[int] = set()  # ids of one-entry Params built from a plain number
        self.depth = 0
        # Elements that modules may still allocate: twice the file's, because tied weights are
        # stored once, plus some for arrays that are never stored.
        self.budget = 2 * sum(a.size for a in arrays.values()) + _SLACK

    def value(self, v: Json) -> Any:
        if isinstance(v, list):
            return [self.value(item) for item in v]
        if not isinstance(v, dict):
            return v
        match v:
            case {"$class": str(name)}:
                return self.object(name, v)
            case {"$ref": int(number)} if number in self.objects:
                return self.objects[number]
            case {"$ref": number}:
                raise FileError(f"a reference to object {number!s:.20}, which does not come before")
            case {"$tuple": list(items)}:
                return tuple(self.value(items))
            case {"$float": "inf" | "-inf" | "nan" as text}:
                return float(text)
            case {"$array": str(name)} if name in self.arrays:
                self.used.add(name)
                return np.array(self.arrays[name])
            case {"$generator": dict(state)}:
                return self.remember(v, restore_generator(state))
        raise FileError(f"its header has the entry {str(v)[:60]!r}, which tinyae does not know")

    def remember(self, v: dict[str, Json], built: Any) -> Any:
        number = v.get("$id")
        if not isinstance(number, int) or number in self.objects:
            raise FileError(f"object number {number!s:.20} is missing or given twice")
        self.objects[number] = built
        return built

    def object(self, name: str, v: dict[str, Json]) -> Any:
        if name not in self.table:
            raise FileError(
                f"it needs the class {name:.60}, which is not one of tinyae's; "
                f"pass it: load(path, custom=[{name:.60}])"
            )
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise FileError(f"its architecture is nested more than {_MAX_DEPTH} deep")
        cls = self.table[name]
        arguments = {key: self.value(arg) for key, arg in v.items() if not key.startswith("$")}
        try:
            built = self.build(cls, arguments)
        except FileError:
            raise
        except Exception as error:
            raise FileError(f"{name} cannot be built: {str(error)[:300]}") from error
        self.depth -= 1
        return self.remember(v, built)

    def build(self, cls: type, arguments: dict[str, Any]) -> Any:
        parameters = _arguments(cls)
        unknown = arguments.keys() - parameters.keys()
        if unknown:
            raise FileError(f"{cls.__name__} has no argument {min(unknown):.60}")
        if not issubclass(cls, ParameterFree):  # these allocate no arrays, so any size is harmless
            for name, arg in arguments.items():
                _check_size(f"{cls.__name__}: {name}", arg, self.budget)
        starred = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, p in parameters.items():
            if p.kind is p.VAR_POSITIONAL:
                args += arguments.get(name, [])
            elif name == "init" and name not in arguments:
                kwargs[name] = _LimitedZeros(self.budget)
            elif name in arguments and (
                p.kind is p.POSITIONAL_ONLY or (starred and p.kind is p.POSITIONAL_OR_KEYWORD)
            ):
                args.append(arguments[name])
            elif name in arguments:
                kwargs[name] = arguments[name]
        built = cls(*args, **kwargs)
        if isinstance(built, Module):
            for name in arguments.keys() & vars(built).keys():
                p = vars(built)[name]
                if (
                    isinstance(p, Param)
                    and p.size == 1
                    and isinstance(arguments[name], (int, float))
                ):
                    self.scalars.add(id(p))
            arrays = [v.value if isinstance(v, Param) else v for v in vars(built).values()]
            self.budget -= sum(a.size for a in arrays if isinstance(a, np.ndarray))
            if self.budget < 0:
                raise FileError("its architecture needs more numbers than the file holds")
        return built


class _LimitedZeros(Initializer):
    """An initialiser of zeros that rejects arrays larger than the reader's budget."""

    def __init__(self, budget: int) -> None:
        self.budget = budget

    def __call__(
        self,
        shape: tuple[int, ...],
        fan_in: int,
        fan_out: int,
        rng: np.random.Generator | None,
        dtype: DTypeLike,
    ) -> Array:
        if math.prod(shape) > self.budget:
            raise FileError(f"a weight of shape {shape} is larger than what the file holds")
        return np.zeros(shape, dtype)


def _check_size(what: str, arg: Any, limit: int) -> None:
    sizes = [s for s in (arg if isinstance(arg, (list, tuple)) else [arg]) if isinstance(s, int)]
    if math.prod(max(abs(s), 1) for s in sizes) > limit:
        raise FileError(f"{what} is {str(arg)[:60]}, larger than what the file holds")


# ---------------------------------------------------------------------------- generators


def generator_state(rng: np.random.Generator) -> Json:
    """The state of a generator as plain JSON."""

    def plain(v: Any) -> Json:
        if isinstance(v, dict):
            return {key: plain(item) for key, item in v.items()}
        return v.tolist() if isinstance(v, (np.ndarray, np.generic)) else v

    state = plain(rng.bit_generator.state)
    if state.get("bit_generator") not in _BIT_GENERATORS:
        raise TypeError(
            f"save: a generator is driven by {type(rng.bit_generator).__name__}, expected one of "
            f"{', '.join(_BIT_GENERATORS)}; use numpy.random.default_rng"
        )
    return state


_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
# NumPy does not check these fields; wrong values would read past the end of its buffer.
_STATE_LIMITS = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": 2**32 - 1}


def restore_generator(state: Json) -> np.random.Generator:
    """A generator in a saved state; every field is validated against a new generator's state."""

    def like(model: Any, v: Json, key: str) -> Any:
        if isinstance(model, dict):
            if not isinstance(v, dict) or v.keys() != model.keys():
                raise ValueError(f"{key} has other fields than {sorted(model)}")
            return {k: like(item, v[k], k) for k, item in model.items()}
        if isinstance(model, np.ndarray):
            if not isinstance(v, list) or len(v) != model.size:
                raise ValueError(f"{key} has not {model.size} numbers")
            return np.array([like(0, item, key) for item in v], model.dtype)
        if isinstance(model, str):
            return model
        if not isinstance(v, int) or not 0 <= v <= _STATE_LIMITS.get(key, 2**128 - 1):
            raise ValueError(f"{key} is {str(v)[:40]}")
        return int(v)

    name = state.get("bit_generator")
    if name not in _BIT_GENERATORS:
        raise FileError(f"a generator of kind {name!s:.40}, expected {', '.join(_BIT_GENERATORS)}")
    bits = getattr(np.random, name)(0)
    try:
        bits.state = like(bits.state, state, name)
    except Exception as error:
        raise FileError(f"the state of a {name} generator is wrong: {error}") from error
    return np.random.Generator(bits)


def _save_model(self: Model, path: str | os.PathLike[str]) -> None:
    save(self, path)


_save_model.__name__, _save_model.__doc__ = "save", save.__doc__
Model.save = _save_model
