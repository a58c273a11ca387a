"""The local variables of a function at its return: h, istd, dz, under the names their author gave.

With them a diagnosis can say "dW is xᵀ dh; it should be xᵀ (dh·h·(1 − h))".
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.scope import Scope
from tinyae.gradcheck.doctor.hypotheses.source import read
from tinyae.param import Array

_LARGEST = 20_000  # entries of one
_LONGEST, _MOST_INNER = 30, 8  # letters of an expression; expressions


def local_arrays(run: Callable[[], Any], codes: list[CodeType]) -> dict[str, Array]:
    """The arrays that functions with these codes held when they last returned, while ``run`` ran."""
    frames = last_frames(run, codes)
    found: dict[str, Array] = {}
    for code in codes:
        for name, value in frames.get(code, {}).items():
            array = _array(value)
            if array is not None and name not in found:
                found[name] = array
    return found


def inner_arrays(run: Callable[[], Any], f: FunctionType, uses: set[str]) -> dict[str, Array]:
    """The arrays that a function computes in passing, by their text: "sigmoid(x @ W) - t"."""
    known = read(f)
    if known is None:
        return {}
    frame = last_frames(run, [f.__code__]).get(f.__code__, {})
    scope = Scope(frame, f.__globals__, uses)
    found: dict[str, Array] = {}
    for node in ast.walk(known[0]):
        if len(found) >= _MOST_INNER or not isinstance(node, (ast.BinOp, ast.Call)):
            continue
        text = ast.unparse(node)
        array = _array(scope.value(node)) if len(text) <= _LONGEST else None
        if array is not None and array.ndim == 2:
            found.setdefault(f"({text})", array)
    return found


def last_frames(run: Callable[[], Any], codes: list[CodeType]) -> dict[CodeType, dict[str, Any]]:
    """The local variables that each of the codes held when it last returned, while ``run`` ran."""
    frames: dict[CodeType, dict[str, Any]] = {}

    def look(frame: FrameType, event: str, argument: Any) -> None:
        if event == "return" and frame.f_code in codes:
            frames[frame.f_code] = dict(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(before)
    return frames


def _array(value: Any) -> Array | None:
    """A local as an array of numbers, also a tensor of PyTorch; None if it is something else."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    elif hasattr(value, "__array__") and not isinstance(value, (np.ndarray, np.generic)):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fb" or not value.ndim:
        return None
    if value.size > _LARGEST or not np.isfinite(value).all():
        return None
    return np.array(value, np.float64)
