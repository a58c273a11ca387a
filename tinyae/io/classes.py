"""The classes whose objects a file may describe, and the arguments of their constructors."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tinyae import layers, likelihoods, losses, models, scaling
from tinyae.archive import FileError, Json
from tinyae.data import binarize, corruption
from tinyae.models.gan import Player

if TYPE_CHECKING:
    import inspect

_HOMES = (
    layers,
    losses,
    likelihoods,
    corruption,
    binarize,
    models,
    scaling,
)  # modules whose classes a file may build

INIT_ARGUMENTS = {"rng", "init", "dtype"}  # for the initial weights only: not needed again


@functools.cache
def classes() -> dict[str, type]:
    """The public classes of tinyae that a file may build, by name."""
    import pkgutil  # imported here, like inspect below, to keep `import tinyae` fast

    table = {}
    for home in _HOMES:
        parts = pkgutil.iter_modules(getattr(home, "__path__", ()))
        for name in [home.__name__, *(f"{home.__name__}.{part.name}" for part in parts)]:
            for key, value in vars(importlib.import_module(name)).items():
                public = isinstance(value, type) and value.__module__ == name and key[0] != "_"
                if public and not issubclass(value, Player):  # half a game, never saved alone
                    table[key] = value
    return table


def custom_classes(custom: Iterable[type]) -> dict[str, type]:
    """The user's own classes by name. One may be called like a class of tinyae's.

    Raises
        TypeError   not classes
        ValueError  two of one name
    """
    found: dict[str, type] = {}
    for cls in custom:
        if not isinstance(cls, type):
            raise TypeError(f"load: custom holds {cls!r}, expected classes; pass custom=[MyLayer]")
        if found.get(cls.__name__, cls) is not cls:
            raise ValueError(f"load: custom names two classes {cls.__name__}; rename yours")
        found[cls.__name__] = cls
    return found


def classes_for(header: Json, own: dict[str, type]) -> dict[str, type]:
    """The classes that a file may build, by name: tinyae's, and the user's own.

    The file says which names are of the user's classes. Earlier files do not say so; there, a class
    of the user's goes before one of tinyae's that may be younger than the file.

    Raises
        FileError  a class is needed that is not among the user's
    """
    names = header.get("custom")
    if names is None:
        return classes() | own
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FileError(
            f"its header has custom classes {str(names)[:60]}, expected a list of names"
        )
    for name in names:
        if name not in own:
            raise FileError(
                f"it needs the class {name:.60}, which is not one of tinyae's; "
                f"pass it: load(path, custom=[{name:.60}])"
            )
    return classes() | {name: own[name] for name in names}


def arguments(cls: type) -> dict[str, inspect.Parameter]:
    """The constructor's parameters, without self."""
    if cls.__init__ is object.__init__:  # type: ignore[misc]
        return {}
    import inspect

    found = dict(list(inspect.signature(cls.__init__).parameters.items())[1:])  # type: ignore[misc]
    for p in found.values():
        if p.kind is p.VAR_KEYWORD:
            raise TypeError(f"{cls.__name__}: **{p.name} cannot be saved; name the arguments")
    return found
