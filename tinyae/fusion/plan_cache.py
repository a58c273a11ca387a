"""Plans of what runs as one, kept for as long as the parts are what they were.

A plan is made for certain objects: layers with certain attributes, of classes with certain methods.
To make one at every step would cost a small model more than its arithmetic. So a plan is kept
together with a fingerprint of its parts, which is compared before each use: about 1 µs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from tinyae import layers, losses
from tinyae.layers import Layer, Module
from tinyae.likelihoods import Bernoulli
from tinyae.losses import Loss

# A twin says nothing of what these do, so that they may be changed.
_FREE = {"tangent", "tangent_backward", "trace", "astype", "curvature", "prediction", "draw"}


def _methods(cls: type) -> tuple[str, ...]:
    """The names of the methods by which the class says what it computes."""
    return tuple(
        name
        for name in dir(cls)
        if name not in _FREE and callable(getattr(cls, name)) and not hasattr(object, name)
    )


def _library_classes() -> list[type]:
    owners = {**vars(layers), **vars(losses)}.values()
    return [c for c in owners if isinstance(c, type) and issubclass(c, (Layer, Loss))] + [Bernoulli]


_Getter = Callable[[Any], Any]
# Of each class that a twin may stand for: what looks its methods up, what it found at import, and
# the names that no attribute of an object may hide.
_AS_DEFINED: dict[type, tuple[_Getter, Any, frozenset[str]]] = {}
for _cls in _library_classes():
    _getter = attrgetter(*_methods(_cls))
    _AS_DEFINED[_cls] = _getter, _getter(_cls), frozenset(dir(_cls))


def is_unmodified(part: object) -> bool:
    """Whether a layer or loss is of the library's own class, and computes what that class defines.

    It does not if its class is a derived one, if a method was replaced on the class, or if an
    attribute of the object hides a method.
    """
    known = _AS_DEFINED.get(type(part))
    if known is None:
        return False
    methods, as_defined, names = known
    return names.isdisjoint(vars(part)) and bool(methods(type(part)) == as_defined)


class Fingerprint:
    """What some parts and all that they hold were at a certain moment."""

    def __init__(self, parts: Iterable[object]) -> None:
        found = _reachable(parts)
        self._attributes = [(vars(part), dict(vars(part))) for part in found]
        self._classes = [
            (_AS_DEFINED[cls][0], cls)
            for cls in {type(part) for part in found} & _AS_DEFINED.keys()
        ]
        self._methods = self._present_methods()

    def holds(self) -> bool:
        """Whether every attribute is the same as then, and every method of the classes."""
        try:
            for now, then in self._attributes:
                if now != then:  # the same objects are equal without being compared
                    return False
        except ValueError:  # arrays that are not the same ones
            return False
        return self._present_methods() == self._methods

    def _present_methods(self) -> list[Any]:
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


_entries: dict[tuple[int, ...], Any] = {}  # by the parts' identities; gone when one of them is


class _Entry:
    def __init__(self, key: tuple[int, ...], parts: tuple[Any, ...]) -> None:
        def forget(_: Any, entries: dict[Any, Any] = _entries) -> None:
            entries.pop(key, None)

        self.alive = [weakref.ref(part, forget) for part in parts]
        self.fingerprint = Fingerprint(parts)
        self.plans: dict[Any, Any] = {}


def plans_for(*parts: Any) -> dict[Any, Any]:
    """The plans that were made for these parts since any of them last changed.

    They are kept outside of the parts, so that a copy of these has plans of its own.
    """
    key = tuple(map(id, parts))
    entry = _entries.get(key)
    if entry is None or not entry.fingerprint.holds():
        entry = _entries[key] = _Entry(key, parts)
    return entry.plans


def forget_plans() -> None:
    """Make every plan anew when it is next wanted."""
    _entries.clear()
