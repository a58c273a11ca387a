"""Functions that compute in float32: the same code in float64.

float32 keeps 7 digits, and a central difference keeps half of them: a right backward would seem
wrong. So where f makes float32 numbers of float64 ones, its slopes are measured on a copy of its
code in which float32 is called float64.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import numpy as np

_SHORT = {"float32", "single", "float16", "half"}
_CODES = {"f4", "<f4", "f", "f2", "<f2"}  # as in x.astype("f4")


def in_double(f: Callable[..., Any], arguments: list[Any]) -> Callable[..., Any]:
    """f, or its copy in float64 if f computes in float32 and the copy gives nearly the same."""
    if not isinstance(f, FunctionType) or not _mentions_float32(f):
        return f
    made = _converted(f, {})
    try:
        y, double = _first(f(*arguments)), _first(made(*arguments))
        near = np.allclose(y, double, rtol=1e-2, atol=1e-3 * float(np.abs(double).max(initial=0)))
    except Exception:  # the copy does not run
        return f
    return made if near and not np.array_equal(y, double) else f


def _first(y: Any) -> Any:
    return np.asarray(y[0] if isinstance(y, tuple) else y, np.float64)


def _mentions_float32(f: FunctionType, depth: int = 3) -> bool:
    code = f.__code__
    if _SHORT & {*code.co_names, *_strings(code)} or _CODES & {*_strings(code)}:
        return True
    return depth > 0 and any(_mentions_float32(g, depth - 1) for g in _called(f).values())


def _strings(code: CodeType) -> list[str]:
    return [c for c in code.co_consts if isinstance(c, str)]


def _called(f: FunctionType) -> dict[str, FunctionType]:
    """The functions of the same module that f calls, by name."""
    found = {name: f.__globals__.get(name) for name in f.__code__.co_names}
    return {
        name: g
        for name, g in found.items()
        if isinstance(g, FunctionType) and g is not f and g.__module__ == f.__module__
    }


def _converted(f: FunctionType, done: dict[int, FunctionType]) -> FunctionType:
    """A copy of f and of what it calls, in which float32 is float64."""
    if id(f) in done:
        return done[id(f)]
    space = dict(f.__globals__)
    for name in _SHORT & {*f.__code__.co_names}:
        if space.get(name) in (np.float32, np.float16):  # from numpy import float32
            space[name] = np.float64
    made = FunctionType(_code(f.__code__), space, f.__name__, f.__defaults__, f.__closure__)
    made.__kwdefaults__ = f.__kwdefaults__
    done[id(f)] = made
    for name, g in _called(f).items():
        space[name] = _converted(g, done)
    return made


def _code(code: CodeType) -> CodeType:
    names = tuple("float64" if name in _SHORT else name for name in code.co_names)
    constants = tuple(
        "float64" if isinstance(c, str) and c in _SHORT | _CODES else c for c in code.co_consts
    )
    return code.replace(co_names=names, co_consts=constants)
