"""The forms in which people write a function and its backward.

plain    y = f(*inputs);            backward(dy, *inputs) → gradients
no dy    L = f(*inputs), a number;  backward(*inputs) → gradients
cache    y, cache = f(*inputs);     backward(dy, cache) → gradients; of a number also backward(cache)
joint    L, gradients = f(*inputs)
kept     y = f(*inputs);            backward(dy) → gradients, of what f has kept somewhere

Among the inputs of the last form may be a dict of parameters: each of them has a gradient.
Gradients are an array, a tuple or a list in the order of the inputs, or a dict by name, also by
"dx" or "grad_x". None stands for an input that has no gradient, as in PyTorch.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np


def named_inputs(f: Callable[..., Any], x: Any) -> dict[str, Any]:
    """The inputs by name: those of a dict, or in a tuple or list the names of f's arguments."""
    if isinstance(x, dict):
        return dict(x)
    if not isinstance(x, (tuple, list)) or all(np.ndim(a) == 0 for a in x):
        return {"x": x}
    return dict(zip(_names(f, len(x)), x))


def flattened(f: Callable[..., Any], x: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """f as a function of each array of a dict of parameters, and these arrays by their names."""
    given = named_inputs(f, x)
    groups = {name for name, a in given.items() if isinstance(a, dict) and _are_arrays(a)}
    flat: dict[str, Any] = {}
    for name, a in given.items():
        flat |= a if name in groups else {name: a}
    if not groups or len(flat) != sum(len(a) if n in groups else 1 for n, a in given.items()):
        return f, given

    @functools.wraps(f)
    def of_each(*values: Any) -> Any:
        named = dict(zip(flat, values))
        return f(*({k: named[k] for k in a} if n in groups else named[n] for n, a in given.items()))

    return of_each, flat


def _are_arrays(a: dict[str, Any]) -> bool:
    return bool(a) and all(isinstance(v, np.ndarray) and v.dtype.kind == "f" for v in a.values())


def _names(f: Callable[..., Any], count: int) -> list[str]:
    try:
        found = [
            p.name
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):  # a function of C
        found = []
    return [*found, *(f"input{i}" for i in range(len(found), count))][:count]


def form_of(y: Any, backward: Callable[..., Any] | None, inputs: int) -> str:
    """The form, from what f returns, and from how many arguments backward takes."""
    pair = isinstance(y, (tuple, list)) and len(y) == 2
    if backward is None:
        return "joint" if pair and np.ndim(y[0]) == 0 else "unknown"
    if pair and isinstance(y[0], (np.ndarray, float, np.floating)):
        if takes(backward, 2):
            return "cache"
        if np.ndim(y[0]) == 0 and takes(backward, 1):
            return "cache, no dy"
    if np.ndim(y) == 0 and takes(backward, inputs) and not takes(backward, inputs + 1):
        return "no dy"
    if takes(backward, 1) and not takes(backward, inputs + 1):
        return "kept"
    return "plain"


def takes(f: Callable[..., Any], count: int) -> bool:
    """Whether f can be called with so many positional arguments."""
    try:
        inspect.signature(f).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # its signature is not known
        return True
    return True


def gradients_by_name(out: Any, wrt: tuple[str, ...], inputs: list[str]) -> dict[str, Any]:
    """What backward returned, by the names of the inputs; None where there is none."""
    found: dict[str, Any] = dict.fromkeys(wrt)
    if isinstance(out, dict):
        for name in wrt:
            key = next((k for k in gradient_keys(name) if k in out), None)
            found[name] = out.get(key)
        return found
    if len(wrt) == 1 and not isinstance(out, (tuple, list)):
        return {wrt[0]: out}
    if not isinstance(out, (tuple, list)):
        out = (out,)
    if len(out) > len(wrt) == sum(g is not None for g in out):  # None for a mode or an option
        out = [g for g in out if g is not None]
    order = list(wrt)
    if len(out) == len(inputs) != len(wrt):  # one for every input, None where there is none
        order = inputs
    elif len(wrt) == 1 and len(out) != 1:
        return {wrt[0]: out}
    found.update({name: g for name, g in zip(order, out) if name in found})
    return found


def inputs_with_gradient(out: Any, floats: list[str], inputs: list[str]) -> tuple[str, ...]:
    """The inputs of which backward returned a gradient, if the caller did not say."""
    if isinstance(out, dict):
        return tuple(n for n in inputs if any(k in out for k in gradient_keys(n))) or tuple(out)
    if not isinstance(out, (tuple, list)):
        return tuple(floats[:1])
    if len(out) == len(inputs):
        return tuple(n for n, g in zip(inputs, out) if g is not None)
    return tuple(floats[: sum(g is not None for g in out)])


def gradient_keys(name: str) -> tuple[str, ...]:
    """The names under which people return, or keep, the gradient of an input."""
    return name, f"d{name}", f"grad_{name}", f"{name}_grad", f"d_{name}"
