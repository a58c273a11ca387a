"""What functions keep from call to call: globals, default arguments and closures that they change.

A gradient check calls a function many times at the same input, a training many times at different
ones. ``Kept`` finds what the calls change, and puts it back as it was before the first of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

_MUTABLE = (dict, list, set, np.ndarray)
_LARGEST = 1_000_000  # entries of an array that is copied


class Kept:
    """The variables that some functions may change, as they are now."""

    def __init__(self, *functions: Any) -> None:
        self.before: dict[tuple[int, str], tuple[str, Any, Callable[[Any], None]]] = {}
        self.changed: list[str] = []
        for f in functions:
            for name, value, rebind in _variables(f):
                saved = _saved(value)
                if saved is not None:
                    self.before[id(value), name] = name, saved[0], _restorer(value, rebind)
        self._live: list[tuple[str, Any, Callable[[Any], None]]] = []

    def look(self, *functions: Any) -> None:
        """Note which variables have changed since the beginning; put them back."""
        for f in functions:
            now = {name: value for name, value, _ in _variables(f)}
            for name, saved, restore in self.before.values():
                if name in now and name not in self.changed and not _equal(now[name], saved):
                    self.changed.append(name)
                    self._live.append((name, saved, restore))
        self.restore()

    def restore(self) -> None:
        """The state before the first call."""
        for _, saved, restore in self._live:
            restore(copy.deepcopy(saved))


def _variables(f: Any, depth: int = 3) -> Iterator[tuple[str, Any, Callable[[Any], None] | None]]:
    """Name, value and a way to bind the name anew, of what a function can reach."""
    if not isinstance(f, FunctionType) or depth == 0:
        return
    space = f.__globals__
    for name in f.__code__.co_names:
        if name in space and not isinstance(space[name], (ModuleType, type)):
            value = space[name]
            if isinstance(value, FunctionType):
                if value.__module__ == f.__module__ and value is not f:
                    yield from _variables(value, depth - 1)
            else:
                yield name, value, partial(space.__setitem__, name)
    names = f.__code__.co_varnames[: f.__code__.co_argcount]
    defaults = f.__defaults__ or ()
    for name, value in zip(names[len(names) - len(defaults) :], defaults):
        yield name, value, None
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
        try:
            value = cell.cell_contents
        except ValueError:  # not yet bound
            continue
        if isinstance(value, FunctionType):
            yield from _variables(value, depth - 1)
        else:
            yield name, value, partial(setattr, cell, "cell_contents")


def _saved(value: Any) -> tuple[Any] | None:
    """A copy of a variable in a tuple; None if it is of a kind that is not followed."""
    if isinstance(value, np.ndarray) and value.size > _LARGEST:
        return None
    plain = isinstance(value, (bool, int, float, np.number, type(None)))
    if not (plain or isinstance(value, _MUTABLE) or hasattr(value, "__dict__")) or callable(value):
        return None
    try:
        return (copy.deepcopy(value),)
    except Exception:  # a lock, a file, a generator
        return None


def _restorer(value: Any, rebind: Callable[[Any], None] | None) -> Callable[[Any], None]:
    """A function that gives a variable an earlier value, in place if it is mutable."""

    def restore(saved: Any) -> None:
        if rebind is not None:
            rebind(value)
        if isinstance(value, np.ndarray):
            value[...] = saved
        elif isinstance(value, dict):
            value.clear()
            value.update(saved)
        elif isinstance(value, list):
            value[:] = saved
        elif isinstance(value, set):
            value.clear()
            value.update(saved)
        elif hasattr(value, "__dict__") and not isinstance(value, np.number):
            vars(value).clear()
            vars(value).update(vars(saved))

    return restore


def _equal(a: Any, b: Any) -> bool:
    """Whether two values are the same, whatever they contain."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, np.random.Generator):
        return bool(a.bit_generator.state == b.bit_generator.state)
    if hasattr(a, "__dict__") and not isinstance(a, np.number):
        return _equal(dict(vars(a)), dict(vars(b)))
    return bool(a == b or a != a)
