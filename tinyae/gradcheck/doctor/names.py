"""Names of what is examined: axis lengths, constants, entries of the cache."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from functools import partial
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.source import reached
from tinyae.param import Array

if TYPE_CHECKING:
    from typing import TypeGuard


def sizes_of(first: str, letters: str, shape: tuple[int, ...]) -> dict[str, int]:
    """The lengths of a shape by letter: "N", "DEF" and (5, 7) give N = 5 and D = 7."""
    names = [first, *letters]
    return dict(zip(names, shape))


def layer_sizes(x: Array, y: Array, params: dict[str, Any]) -> dict[str, int]:
    """The lengths of x and y, by the letters that the layers' docstrings use."""
    if x.ndim == 4:
        size = dict(zip("NCHW", x.shape))
        if y.ndim == 4:
            size |= dict(zip(("O", "H′", "W′"), y.shape[1:]))
        kernel = next((p.shape for p in params.values() if len(p.shape) == 4), None)
        if kernel:
            size |= {"kh": kernel[2], "kw": kernel[3]}
        return size
    if x.ndim == 2 and y.ndim == 2:
        if x.shape == y.shape:
            return {"N": x.shape[0], "D": x.shape[1]}
        return {"N": x.shape[0], "I": x.shape[1], "O": y.shape[1]}
    return sizes_of("N", "DEF", x.shape)


def scalars(module: Any) -> dict[str, float]:
    """The constants that a module stores as attributes: alpha, p, eps, beta, weight, …"""
    kept = vars(module) if hasattr(module, "__dict__") else {}
    found = {}
    for name, v in kept.items():
        whole = isinstance(v, (bool, int, np.integer))
        if isinstance(v, float) and math.isfinite(v) and v not in (0.0, 1.0) and not whole:
            found[name] = float(v)
        elif name in ("kernel_size", "factor", "stride") and isinstance(v, tuple):
            pair = ("kh", "kw") if name == "kernel_size" else (f"{name}[0]", f"{name}[1]")
            found.update({p: float(s) for p, s in zip(pair, v) if s > 1})
            if math.prod(v) > 1:
                found["kh*kw" if name == "kernel_size" else f"prod({name})"] = float(math.prod(v))
    return found


def constants_of(*functions: Any) -> dict[str, float]:
    """The numbers that functions read by a name: BETA of the module, eps=1e-5 of an argument."""
    found: dict[str, float] = {}
    given = [f.keywords for f in functions if isinstance(f, partial)]
    functions = tuple(f.func if isinstance(f, partial) else f for f in functions)
    for keywords in given:
        found |= {k: float(v) for k, v in keywords.items() if _is_number(v)}
    for f in functions:
        if not isinstance(f, FunctionType):
            continue
        cells = {
            name: cell.cell_contents
            for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ())
            if cell != CellType()
        }
        values = {name: f.__globals__.get(name) for name in f.__code__.co_names} | cells
        arguments = f.__code__.co_varnames[: f.__code__.co_argcount]
        defaults = f.__defaults__ or ()
        values |= dict(zip(arguments[len(arguments) - len(defaults) :], defaults))
        values |= f.__kwdefaults__ or {}
        for name, v in values.items():
            if _is_number(v) and len(found) < 6:
                found[name] = float(v)
    for f in functions:
        for v in f.__code__.co_consts if isinstance(f, FunctionType) else ():
            if isinstance(v, float) and v not in (0.0, 1.0, 2.0, 0.5, -1.0) and len(found) < 8:
                found.setdefault(f"{v:g}", v)  # a number that stands in the code is its own name
    return found


def conflicts(f: Any, backward: Any) -> dict[str, float]:
    """The ratio of two values that one name has, in backward and in forward, as of two defaults."""
    if backward is None:
        return {}
    mine, theirs = constants_of(backward), constants_of(f)
    return {
        f"backward's {name} / forward's {name}": v / theirs[name]
        for name, v in mine.items()
        if name in theirs and v != theirs[name]
    }


def _is_number(v: Any) -> TypeGuard[float]:
    """Whether a value is a number that a factor may be named by."""
    number = isinstance(v, (float, int)) and not isinstance(v, bool)
    return number and math.isfinite(v) and v not in (0, 1, -1)


def literals_of(f: Any) -> list[float]:
    """The numbers that stand in a function or are read by it, as bounds of its branches may be."""
    found = list(constants_of(f).values())
    for code in reached(f):
        for v in code.co_consts:
            if isinstance(v, (float, int)) and not isinstance(v, bool) and 1e-3 < abs(v) < 1e3:
                found.append(float(v))
    return list(dict.fromkeys(found))[:6]


_CACHES: dict[type, list[str]] = {}


def cache_names(cls: type) -> list[str]:
    """The names that backward uses for its cache: the argument's, or those it is unpacked into."""
    if cls not in _CACHES:
        _CACHES[cls] = _read_cache_names(cls)
    return _CACHES[cls]


def _read_cache_names(cls: type) -> list[str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls.backward)))  # type: ignore[attr-defined]
    except (OSError, TypeError, SyntaxError, AttributeError):
        return []
    f = tree.body[0]
    if not isinstance(f, ast.FunctionDef) or len(f.args.args) < 3:
        return []
    cache = f.args.args[2].arg
    for node in ast.walk(f):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            target = node.targets[0]
            if node.value.id == cache and isinstance(target, ast.Tuple):
                return [e.id if isinstance(e, ast.Name) else "" for e in target.elts]
    return [cache]


def title_of(module: Any) -> str:
    """How a report calls a module: its repr if that is short and readable, else its class."""
    if inspect.isfunction(module):
        return module.__name__
    text = " ".join(repr(module).split())
    if text.startswith("<"):
        return type(module).__name__
    return text if len(text) <= 80 else text[:79] + "…"
