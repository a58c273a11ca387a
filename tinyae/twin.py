"""One definition of every gradient and, where it pays, a faster twin that is held to it.

    @fused                                  # a faster twin may run in its place
    def step(self, x, target): ...          # the definition, which is read and checked

``layers/`` and ``models/`` hold the definitions and know nothing of speed. :mod:`tinyae.fusion`
attaches a twin from outside. A twin is called with the definition's arguments. It returns the
definition's result, or ``NotImplemented`` where it does not stand for what it is given: a derived
class, an object whose methods were changed, a method replaced on a class, a batch too small to be
worth it. Then the definition runs, so whoever changes a gradient trains with the change.

    from tinyae.twin import definitions_only, watching

    with definitions_only(): ...            # every definition, no twin
    with watching() as used: ...            # the names of the definitions whose twins ran

Twins are compared with their definitions by ``tests/test_fusion.py`` and, for a layer or model of
your own, by ``gradcheck.check`` and ``check_model`` (the row "as trained"). Definition and twin may
differ by rounding. Below both lie the kernels (:mod:`tinyae.kernels`): loops over bare arrays, in
NumPy or compiled by Numba, which ``kernels.use("numpy")`` chooses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

DEFINITIONS: dict[str, Any] = {}  # every fused definition by its name, "Sequential.forward"


class _Mode:
    """What a block asks for: the definitions alone, and a set of names to fill."""

    def __init__(self, definitions_only: bool, used: set[str] | None) -> None:
        self.definitions_only, self.used = definitions_only, used


_PLAIN = _Mode(False, None)
_mode: ContextVar[_Mode | None] = ContextVar("tinyae.twin", default=None)


def fused(definition: Function) -> Function:
    """Mark a definition that a faster twin may replace; ``.definition`` is the bare function.

    A call with keyword arguments runs the definition.
    """
    name = definition.__qualname__

    @functools.wraps(definition)
    def run(*args: Any, **kwargs: Any) -> Any:
        twin = run.twin  # type: ignore[attr-defined]
        if twin is not None and not kwargs:
            mode = _mode.get()
            if mode is None or not mode.definitions_only:
                result = twin(*args)
                if result is not NotImplemented:
                    if mode is not None and mode.used is not None:
                        mode.used.add(name)
                    return result
        return definition(*args, **kwargs)

    run.twin = None  # type: ignore[attr-defined]
    run.definition = definition  # type: ignore[attr-defined]
    DEFINITIONS[name] = run
    return run  # type: ignore[return-value]


def attach(definition: Any, twin: Callable[..., Any]) -> None:
    """Let ``twin`` run in place of a definition that is marked with :func:`fused`."""
    definition.twin = twin


@contextmanager
def definitions_only() -> Iterator[None]:
    """Run the definitions within the block, in this thread (context) only."""
    token = _mode.set(_Mode(True, (_mode.get() or _PLAIN).used))
    try:
        yield
    finally:
        _mode.reset(token)


@contextmanager
def watching() -> Iterator[set[str]]:
    """A set to which each twin that runs adds the name of its definition."""
    used: set[str] = set()
    outer = _mode.get() or _PLAIN
    token = _mode.set(_Mode(outer.definitions_only, used))
    try:
        yield used
    finally:
        _mode.reset(token)
        if outer.used is not None:
            outer.used.update(used)
