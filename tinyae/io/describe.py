"""A model → its header and its arrays by name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import tinyae
from tinyae.archive import Json
from tinyae.io.bounds import MAX_DEPTH
from tinyae.io.classes import INIT_ARGUMENTS, arguments, classes
from tinyae.io.generators import generator_state
from tinyae.layers import Module
from tinyae.models.carried import Carrier
from tinyae.param import Array, Param, unique

FORMAT = 2  # to be increased when an older tinyae would misread a file


def describe(module: Module) -> tuple[Json, dict[str, Array], dict[str, type]]:
    """The header, the arrays by name, and the classes that are not from tinyae."""
    writer = _Writer()
    architecture = writer.value(module, type(module).__name__)
    arrays, aliases = writer.arrays, {}
    first: dict[Any, str] = {}  # an array's memory layout → the name under which it is saved
    for name, a in named_arrays(module).items():
        _check_dtype(name, a)
        alias = first.setdefault(_memory_layout(a), name)
        if alias != name:
            aliases[name] = alias
        elif a.ndim == 2 and first.get(_memory_layout(a.T), name) != name:
            aliases[name] = "T:" + first[_memory_layout(a.T)]  # Param.T shares its Param's memory
        else:
            arrays[name] = a
    carries = any(isinstance(m, Carrier) and m._carried for m in _modules(module))
    header = {
        "format": FORMAT if carries else 1,  # so that an older tinyae reads what it can
        "tinyae": tinyae.__version__,
        "architecture": architecture,
        "aliases": aliases,
        "custom": sorted(writer.custom_classes),
    }
    frozen = [name for name, p in unique(module.params).items() if not p.trainable]
    if frozen:
        header["frozen"] = frozen
    return header, arrays, writer.custom_classes


def named_arrays(module: Module) -> dict[str, Array]:
    return {name: p.value for name, p in module.params.items()} | module.state


def _modules(module: Module) -> Iterator[Module]:
    yield module
    for part in module.children.values():
        yield from _modules(part)


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
        self.classes: dict[str, type] = {}
        self.custom_classes: dict[str, type] = {}  # those that are not from tinyae

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
        if len(self.ancestors) >= MAX_DEPTH:
            raise ValueError(
                f"save: {where} lies more than {MAX_DEPTH} objects deep; flatten the model"
            )
        self.ids[id(v)] = number = len(self.ids)
        if isinstance(v, np.random.Generator):
            return {"$generator": generator_state(v), "$id": number}
        self.ancestors.append(id(v))
        entry = {"$class": self.class_name(v, where), "$id": number}
        for name, p in arguments(type(v)).items():
            if name in vars(v) if name in INIT_ARGUMENTS else hasattr(v, name):
                argument = getattr(v, name)
                if isinstance(argument, Param) and isinstance(v, Module):
                    argument = argument.value.item() if argument.size == 1 else argument.value
                argument = list(argument) if p.kind is p.VAR_POSITIONAL else argument
                entry[name] = self.value(argument, f"{where}.{name}")
            elif name not in INIT_ARGUMENTS:
                raise TypeError(
                    f"save: {where} does not keep its constructor's argument {name}; "
                    f"write self.{name} = {name} in {type(v).__name__}.__init__"
                )
        if isinstance(v, Carrier) and v._carried:
            entry["$carried"] = {
                name: self.value(part, f"{where}.{name}") for name, part in v._carried.items()
            }
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
        if self.classes.setdefault(name, cls) is not cls:
            raise TypeError(f"save: there are two classes called {name}; rename your own")
        if classes().get(name) is not cls:
            self.custom_classes[name] = cls
        return name
