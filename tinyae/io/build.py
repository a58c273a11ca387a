"""A header → the objects that it describes, with zeros for weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.archive import FileError, Json
from tinyae.io.bounds import Bounds, LimitedZeros
from tinyae.io.classes import arguments as parameters_of
from tinyae.io.generators import restore_generator
from tinyae.layers import Module
from tinyae.models.carried import CARRIED, Carrier
from tinyae.param import Array, Param


class Reader:
    """Builds objects from JSON by class name and arguments, within :class:`Bounds`."""

    def __init__(self, arrays: dict[str, Array], table: dict[str, type]) -> None:
        self.arrays, self.table = arrays, table
        self.objects: dict[int, Any] = {}
        self.used: set[str] = set()  # arrays that were constructor arguments
        self.scalars: set[int] = set()  # ids of one-entry Params built from a plain number
        self.bounds = Bounds(sum(a.size for a in arrays.values()))

    def value(self, v: Json) -> Any:
        self.bounds.add()
        if isinstance(v, list):
            return [self.value(item) for item in v]
        if not isinstance(v, dict):
            return v
        match v:
            case {"$class": str(name)}:
                return self.object(name, v)
            case {"$ref": int(number)} if number in self.objects:
                self.bounds.add(*self.bounds.objects[number])
                return self.objects[number]
            case {"$ref": number}:
                raise FileError(f"a reference to object {number!s:.20}, which does not come before")
            case {"$tuple": list(items)}:
                return tuple(self.value(items))
            case {"$float": "inf" | "-inf" | "nan" as text}:
                return float(text)
            case {"$array": str(name)} if name in self.arrays:
                return self.array(name)
            case {"$generator": dict(state)}:
                outer = self.bounds.enter()
                return self.remember(v, restore_generator(state), outer)
        raise FileError(f"its header has the entry {str(v)[:60]!r}, which tinyae does not know")

    def array(self, name: str) -> Array:
        if name in self.used:  # a file has an array for each, and each copy takes memory
            raise FileError(f"the array {name:.60} is an argument twice")
        self.used.add(name)
        return np.array(self.arrays[name])

    def remember(self, v: dict[str, Json], built: Any, outer: tuple[int, int]) -> Any:
        number = v.get("$id")
        if not isinstance(number, int) or number in self.objects:
            raise FileError(f"object number {number!s:.20} is missing or given twice")
        self.objects[number] = built
        self.bounds.leave(number, outer)
        return built

    def object(self, name: str, v: dict[str, Json]) -> Any:
        if name not in self.table:
            raise FileError(
                f"it needs the class {name:.60}, which is not one of tinyae's; "
                f"pass it: load(path, custom=[{name:.60}])"
            )
        cls, outer = self.table[name], self.bounds.enter()
        arguments = {key: self.value(arg) for key, arg in v.items() if not key.startswith("$")}
        try:
            built = self.build(cls, arguments)
        except FileError:
            raise
        except Exception as error:
            raise FileError(f"{name} cannot be built: {str(error)[:300]}") from error
        if "$carried" in v:
            self.carry(name, built, v["$carried"])
        return self.remember(v, built, outer)

    def carry(self, name: str, built: Any, carried: Json) -> None:
        """Set what a model carries: see :mod:`tinyae.models.carried`."""
        if not isinstance(built, Carrier) or not isinstance(carried, dict):
            raise FileError(f"{name} carries what belongs to a model only")
        for key, value in carried.items():
            if key not in CARRIED:
                raise FileError(f"{name} carries {key!s:.60}, which tinyae does not know")
            try:
                setattr(built, key, self.value(value))
            except (TypeError, ValueError) as error:
                raise FileError(f"{name} cannot carry its {key}: {str(error)[:300]}") from error

    def build(self, cls: type, arguments: dict[str, Any]) -> Any:
        parameters = parameters_of(cls)
        unknown = arguments.keys() - parameters.keys()
        if unknown:
            raise FileError(f"{cls.__name__} has no argument {min(unknown):.60}")
        self.bounds.check_arguments(cls, arguments)
        starred = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, p in parameters.items():
            if p.kind is p.VAR_POSITIONAL:
                args += arguments.get(name, [])
            elif name == "init" and name not in arguments:
                kwargs[name] = LimitedZeros(self.bounds.elements)
            elif name in arguments and (
                p.kind is p.POSITIONAL_ONLY or (starred and p.kind is p.POSITIONAL_OR_KEYWORD)
            ):
                args.append(arguments[name])
            elif name in arguments:
                kwargs[name] = arguments[name]
        built = cls(*args, **kwargs)
        if isinstance(built, Module):
            self.note(built, arguments)
        return built

    def note(self, built: Module, arguments: dict[str, Any]) -> None:
        """Count a module's arrays, and keep which of its Params came from plain numbers."""
        for name in arguments.keys() & vars(built).keys():
            p = vars(built)[name]
            if isinstance(p, Param) and p.size == 1 and isinstance(arguments[name], (int, float)):
                self.scalars.add(id(p))
        arrays = (v.value if isinstance(v, Param) else v for v in vars(built).values())
        self.bounds.take(a for a in arrays if isinstance(a, np.ndarray))
