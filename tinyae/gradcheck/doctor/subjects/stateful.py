"""An object that keeps what its backward reads: y = forward(x), then dx = backward(dy).

Many courses write layers so. Each call here runs on a copy of the object, which runs forward first.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.names import constants_of, scalars
from tinyae.gradcheck.doctor.resizing import Inputs
from tinyae.gradcheck.doctor.subjects import forms
from tinyae.gradcheck.doctor.subjects.function import FunctionSubject
from tinyae.param import Array


def keeps_its_input(subject: Any, backward: Any) -> bool:
    """Whether these are an object and its methods forward(x) and backward(dy), or the methods."""
    if backward is None:
        methods = getattr(subject, "forward", None), getattr(subject, "backward", None)
        return (
            not isinstance(subject, type) and all(map(callable, methods)) and _takes_dy(methods[1])
        )
    owner = getattr(subject, "__self__", None)
    same = owner is not None and getattr(backward, "__self__", None) is owner
    return same and not isinstance(owner, type) and _takes_dy(backward)


def _takes_dy(backward: Any) -> bool:
    return forms.takes(backward, 1) and not forms.takes(backward, 2)


class StatefulSubject(FunctionSubject):
    """The object's inputs, and as parameters its arrays W beside which there is a dW or a grad_W, or
    which stand in ``params`` while their gradients stand in ``grads``.
    """

    def __init__(
        self, subject: Any, x: Any, backward: Any, rng: np.random.Generator, **more: Any
    ) -> None:
        if backward is None:
            self.methods = "forward", "backward"
        else:
            self.methods = subject.__name__, backward.__name__
            subject = subject.__self__
        self.kind = type(subject)
        self.held = _in_double(vars(subject))
        given = forms.named_inputs(getattr(subject, self.methods[0]), x)
        self.count = len(given)
        self.places = self._parameters(given)
        inputs = {**given, **{name: self._array(place) for name, place in self.places.items()}}
        super().__init__(self._forward, inputs, self.kind, rng, **more)
        self.title, self.module, self.form = self.kind.__name__, self.kind, "framework"
        own = (getattr(self.kind, name, None) for name in self.methods)
        self.numbers = constants_of(*own) | scalars(subject)

    def _array(self, place: tuple[str, str]) -> Array:
        group, name = place
        return np.array(self.held[group][name] if group else self.held[name])

    def _parameters(self, given: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """Where each parameter is held, by its name: ("", "W") or ("params", "W")."""
        made = self._made(self.kind, {})
        try:
            y = getattr(made, self.methods[0])(*copy.deepcopy(list(given.values())))
            getattr(made, self.methods[1])(np.ones(np.shape(y)))
        except Exception:  # the examination meets the same error and reports it
            return {}
        found: dict[str, tuple[str, str]] = {}
        for name, value in self.held.items():
            if _is_float(value) and any(hasattr(made, k) for k in forms.gradient_keys(name)[1:]):
                found[name] = "", name
            if name == "params" and isinstance(value, dict) and hasattr(made, "grads"):
                found |= {k: ("params", k) for k, a in value.items() if _is_float(a)}
        return {k: place for k, place in found.items() if k not in given}

    def _made(self, kind: type, parameters: Inputs) -> Any:
        """A copy of the object, of another class if its methods are replaced."""
        made: Any = object.__new__(kind)
        made.__dict__.update(copy.deepcopy(self.held))
        for name, value in parameters.items():
            group, key = self.places[name]
            (getattr(made, group) if group else vars(made))[key] = value
        return made

    def _run(self, kind: type, arguments: list[Any]) -> tuple[Any, Any]:
        inputs, values = arguments[: self.count], arguments[self.count :]
        made = self._made(kind, dict(zip(self.places, values)))
        return made, getattr(made, self.methods[0])(*inputs)

    def _forward(self, *arguments: Any) -> Any:
        return self._run(self.kind, list(arguments))[1]

    def call(self, r: Array, inputs: Inputs) -> Any:
        made, _ = self._run(self.backward, self._arguments(inputs))  # type: ignore[arg-type]
        out = getattr(made, self.methods[1])(r.copy() if r.ndim else np.float64(r))
        parts = out if isinstance(out, (tuple, list)) else (out,)
        found = dict(zip(self.order[: self.count], parts))
        for name, (group, key) in self.places.items():
            if group:
                found[name] = made.grads.get(key)
            else:
                keys = (k for k in forms.gradient_keys(name)[1:] if hasattr(made, k))
                found[name] = getattr(made, next(keys, ""), None)
        return found


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _in_double(held: dict[str, Any]) -> dict[str, Any]:
    """A copy of what an object holds, its float arrays in float64."""
    found: dict[str, Any] = {}
    for name, value in held.items():
        if isinstance(value, dict):
            found[name] = _in_double(value)
        else:
            found[name] = value.astype(np.float64) if _is_float(value) else copy.deepcopy(value)
    return found
