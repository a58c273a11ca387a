"""The texts for a learner: differences, arrays and exceptions, in plain words."""

from __future__ import annotations

import linecache
import re
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from tinyae.param import Array

CLOSE = 1e-6  # times the largest entry: values and gradients that differ by less are equal


def difference(found: Any, right: Any, source: str = "expected") -> str:
    """ "" if both agree, else what is wrong, in words."""
    found, right = np.asarray(found), np.asarray(right, np.float64)
    if found.shape != right.shape:
        what = f"has shape {found.shape}" if found.ndim else "is one number"
        return f"{what}, expected " + (f"shape {right.shape}" if right.ndim else "one number")
    finite = np.isfinite(found)
    if not finite.all():
        value = found[~finite].flat[0] if found.ndim else found
        what = "NaN (not a number)" if np.isnan(value) else "infinite"
        if found.ndim:
            return f"is {what} in {int((~finite).sum())} of {found.size} entries"
        return f"is {what}, {source} {right:.6g}"
    gap = np.abs(found - right)
    bad = gap > CLOSE * max(np.abs(right).max(initial=0.0), 1e-3)
    if not bad.any():
        return ""
    if not found.ndim:
        return f"is {found:.6g}, {source} {right:.6g}"
    worst = np.unravel_index(int(gap.argmax()), gap.shape)
    index = ", ".join(str(int(i)) for i in worst)
    return (
        f"is wrong in {int(bad.sum())} of {bad.size} entries; worst at [{index}]: "
        f"yours {found[worst]:.6g}, {source} {right[worst]:.6g}"
    )


def same(found: Any, other: Any) -> bool:
    """Whether both agree, where NaN is equal to NaN."""
    found, other = np.asarray(found), np.asarray(other)
    return found.shape == other.shape and np.allclose(found, other, CLOSE, 1e-9, equal_nan=True)


def shown(a: Any) -> str:
    """An array on one line, or its shape where it is long."""
    if callable(a):
        return str(getattr(a, "__name__", "a function"))
    a = np.asarray(a)
    return f"{a.shape} numbers" if a.size > 16 else _nested(a)


def _nested(a: Array) -> str:
    if a.ndim:
        return "[" + ", ".join(_nested(part) for part in a) + "]"
    return f"{a:.4g}" if a.dtype.kind == "f" else str(a)


def listed(table: dict[str, Any]) -> str:
    """Each entry on a line of its own, the names in one column."""
    width = max(map(len, table))
    return "".join(f"\n{name:<{width}} = {shown(a)}" for name, a in table.items())


def sizes_of(inputs: dict[str, Any]) -> str:
    arrays = {k: a for k, a in inputs.items() if isinstance(a, (list, tuple, np.ndarray))}
    return ", ".join(f"{k} {np.asarray(a).shape}" for k, a in arrays.items() if np.ndim(a))


def kind_of(thing: Any) -> str:
    if isinstance(thing, np.ndarray):
        return f"one array of shape {thing.shape}"
    if isinstance(thing, (bool, int, float, np.number)):
        return "one number"
    name = type(thing).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def place(error: BaseException, path: Path) -> str:
    """` (line 12: y = …)`: the last line of the learner's file that the error passed through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.lineno and Path(frame.filename) == path:
            linecache.checkcache(frame.filename)
            text = linecache.getline(frame.filename, frame.lineno).strip()
            return f" (line {frame.lineno}: {text})" if text else f" (line {frame.lineno})"
    return ""


def _shape_error(message: str) -> str:
    """NumPy's message about shapes that do not fit, in plainer words; "" for other messages."""
    if "core dimension" in message:
        sizes = re.search(r"size (\d+) is different from (\d+)", message)
        inner = f", and here they are {sizes[2]} and {sizes[1]}" if sizes else ""
        return f"in a product A @ B, A needs as many columns as B has rows{inner}"
    shapes = re.findall(r"\([\d,]+\)", message)
    if "broadcast" in message and len(shapes) >= 2 and "remapped" not in message:
        return f"arrays of shapes {' and '.join(dict.fromkeys(shapes))} do not fit, entry by entry"
    if "broadcast" in message:
        return "two arrays do not fit: an axis that they share has two lengths"
    return ""


def raised(name: str, inputs: dict[str, Any], error: BaseException, path: Path) -> str:
    where = place(error, path)
    if isinstance(error, SystemExit):
        return f"{name} ends Python (sys.exit or quit){where}: let it return its result instead"
    if isinstance(error, EOFError):
        return f"{name} asks for input{where}: all it needs is in its arguments"
    if isinstance(error, MemoryError):
        return f"{name} wants more memory than there is{where}: an array is far too large. {error}"
    if isinstance(error, RecursionError):
        return f"{name} calls itself without end{where}"
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if isinstance(error, ValueError):
        what = _shape_error(str(error)) or what
    if isinstance(error, TypeError) and "argument" in str(error):
        what += f". It is called as {name}({', '.join(inputs)})"
    sizes = sizes_of(inputs)
    return f"{name} stopped: {what}{where}" + (f". Given were {sizes}" if sizes else "")
