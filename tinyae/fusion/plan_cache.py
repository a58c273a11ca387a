"""The plan cache: which layers are fused, kept until one of the parts changes.

A plan is valid for certain objects: layers with certain attributes, of classes with certain
methods. Making one at every step would cost a small model more than its arithmetic. So a plan is
kept together with a fingerprint of its parts, which is compared before each use, in about 1 µs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import numpy as np

from tinyae import layers, losses
from tinyae.layers import Layer, Module
from tinyae.likelihoods import Bernoulli
from tinyae.losses import Loss

# No twin replaces these methods, so changing them does not matter.
_IRRELEVANT = {"tangent", "tangent_backward", "trace", "astype", "curvature", "prediction", "draw"}


def _methods(cls: type) -> tuple[str, ...]:
    """The names of the methods that determine what the class computes."""
    names = {name for base in cls.__mro__ for name, value in vars(base).items() if callable(value)}
    return tuple(sorted(names - _IRRELEVANT - vars(object).keys()))


def _library_classes() -> list[type]:
    owners = {**vars(layers), **vars(losses)}.values()
    return [c for c in owners if isinstance(c, type) and issubclass(c, (Layer, Loss))] + [Bernoulli]


_Getter = Callable[[Any], Any]
# For each class that a twin may stand for: a getter of its methods, the methods at import, and the
# names that an attribute of an object must not hide.
_AS_DEFINED: dict[type, tuple[_Getter, Any, frozenset[str]]] = {}
for _cls in _library_classes():
    _getter = attrgetter(*_methods(_cls))
    _names = frozenset().union(*map(vars, _cls.__mro__))
    _AS_DEFINED[_cls] = _getter, _getter(_cls), _names


def is_unmodified(part: object) -> bool:
    """Whether a layer or loss is of the library's own class, and computes what that class defines.

    It is modified if its class is a derived one, if a method was replaced on the class, or if an
    attribute of the object hides a method.
    """
    known = _AS_DEFINED.get(type(part))
    if known is None:
        return False
    methods, as_defined, names = known
    return names.isdisjoint(vars(part)) and bool(methods(type(part)) == as_defined)


def is_plain(dy: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether dy is what a layer expects; if not, its definition says so, or converts it."""
    return type(dy) is np.ndarray and dy.dtype == dtype and dy.shape == shape


class Fingerprint:
    """The attributes and methods of some parts, and of the parts within them, at one moment."""

    def __init__(self, parts: Iterable[object]) -> None:
        found = _reachable(parts)
        self._attributes = [(vars(part), dict(vars(part))) for part in found]
        self._classes = [
            (_AS_DEFINED[cls][0], cls)
            for cls in {type(part) for part in found} & _AS_DEFINED.keys()
        ]
        self._methods = self._current_methods()

    def holds(self) -> bool:
        """Whether every attribute and every method of the classes is still the same."""
        try:
            for now, then in self._attributes:
                if now != then:  # identical objects are equal without a comparison
                    return False
        except ValueError:  # two different arrays were compared
            return False
        return self._current_methods() == self._methods

    def _current_methods(self) -> list[Any]:
        return [methods(cls) for methods, cls in self._classes]


def _reachable(parts: Iterable[object]) -> list[Any]:
    """The modules and losses among the parts, and those within them, each once."""
    found: dict[int, Any] = {}
    todo = list(parts)
    while todo:
        part = todo.pop()
        if isinstance(part, (tuple, list)):
            todo += part
        elif isinstance(part, (Module, Loss)) and id(part) not in found:
            found[id(part)] = part
            todo += vars(part).values()
    return list(found.values())


_entries: dict[tuple[int, ...], Any] = {}  # by the ids of the parts; removed when a part is freed


class _Entry:
    def __init__(self, key: tuple[int, ...], parts: tuple[Any, ...]) -> None:
        def forget(_: Any, entries: dict[Any, Any] = _entries) -> None:
            entries.pop(key, None)

        self.alive = [weakref.ref(part, forget) for part in parts]
        self.fingerprint = Fingerprint(parts)
        self.plans: dict[Any, Any] = {}


def plans_for(*parts: Any) -> dict[Any, Any]:
    """The plans made for these parts since the last change to any of them.

    They are stored outside the parts, so that a copy of a part gets its own plans.
    """
    key = tuple(map(id, parts))
    entry = _entries.get(key)
    if entry is None or not entry.fingerprint.holds():
        entry = _entries[key] = _Entry(key, parts)
    return entry.plans


def forget_plans() -> None:
    """Empty the cache: every plan is made again when it is next needed."""
    _entries.clear()
