"""Names and numbers of what is examined: lengths, constants, caches; and second draws of an input."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from typing import Any

import numpy as np

from tinyae.param import Array

OTHER_ROWS = (3, 5, 2, 7, 11)  # batch sizes to try, the first that is no other length


def double(a: Any) -> Any:
    """A float64 copy; integers and booleans, which are no coordinates, as they are."""
    a = np.array(a)
    return a.astype(np.float64) if a.dtype.kind == "f" else a


def d(name: str) -> str:
    """The gradient's name: W → dW, 0.W → 0.dW."""
    head, dot, tail = name.rpartition(".")
    return f"{head}{dot}d{tail}"


def redraw(a: Array, rng: np.random.Generator, rows: int | None = None) -> Array:
    """Another array of the same kind: entries scaled by U(½, 1), or left if all are whole
    numbers (labels, masks). It stays in any interval that holds 0, and keeps signs.
    """
    a = np.asarray(a)
    if rows is not None and a.ndim:
        a = a[np.arange(rows) % len(a)]
    if a.dtype.kind != "f" or np.array_equal(a, np.round(a)):
        return a.copy()
    return np.asarray(a * rng.uniform(0.5, 1.0, a.shape))


def own(rng: np.random.Generator) -> np.random.Generator:
    """A generator of our own: x may have been drawn from one of the same seed, and dy must not
    be x.
    """
    return np.random.default_rng([int(rng.integers(2**32)), 5])


def other_rows(*shapes: tuple[int, ...]) -> int:
    taken = {length for shape in shapes for length in shape}
    return next((n for n in OTHER_ROWS if n not in taken), 13)


def sizes_of(first: str, letters: str, shape: tuple[int, ...]) -> dict[str, int]:
    names = [first, *letters]
    return dict(zip(names, shape))


def layer_sizes(x: Array, y: Array, params: dict[str, Any]) -> dict[str, int]:
    """N and the lengths of x and y by the letters of the layers' docstrings."""
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
    """The numbers that a module keeps: alpha, p, eps, beta, weight, …"""
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


_CACHES: dict[type, list[str]] = {}


def cache_names(cls: type) -> list[str]:
    """The names that backward gives to its cache: a parameter's, or those it is unpacked into."""
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
    if inspect.isfunction(module):
        return module.__name__
    text = " ".join(repr(module).split())
    if text.startswith("<"):
        return type(module).__name__
    return text if len(text) <= 80 else text[:79] + "…"
