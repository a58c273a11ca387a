"""Parameters: a value and its gradient.

:mod:`tinyae.initializers` has how a value begins.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyae.arguments import flag
from tinyae.arrays import native_float
from tinyae.memory import zeros_like
from tinyae.wording import counted

Array = NDArray[Any]


class Param:
    """A learnt array and the gradient of the loss with respect to it.

    Both arrays change in place and are never rebound, so every view of them stays valid:
    a tied decoder that reads ``W.T`` adds its gradient to the encoder's ``W.grad``.
    Gradients always add (``p.grad += dW``); the optimizer clears them. No optimizer moves a Param
    that is not ``trainable`` (``layer.freeze()``), and a model's backward stops at the first that is.

    Raises
        TypeError       the value is not of float32 or float64, or the gradient of another dtype
        ValueError      the gradient has another shape than the value
        AttributeError  on an attempt to rebind: ``p.grad = dW`` would silently lose what
                        another path has added
    """

    __slots__ = ("__weakref__", "_grad", "_value", "trainable")

    def __init__(self, value: Array, grad: Array | None = None, trainable: bool = True) -> None:
        value = native_float("Param: value", value)
        grad = zeros_like(value) if grad is None else native_float("Param: grad", grad)
        if grad.shape != value.shape:
            raise ValueError(
                f"Param: grad has shape {grad.shape}, expected {value.shape}, the value's; "
                "leave it out for zeros"
            )
        if grad.dtype != value.dtype:
            raise TypeError(
                f"Param: grad is {grad.dtype}, expected {value.dtype}, the value's dtype; "
                f"pass grad.astype(np.{value.dtype})"
            )
        self._value: Array = value
        self._grad: Array = grad
        self.trainable = flag("Param", "trainable", trainable)

    def __reduce__(self) -> tuple[type[Param], tuple[Array, Array, bool]]:
        return type(self), (self._value, self._grad, self.trainable)

    @property
    def value(self) -> Array:
        return self._value

    @value.setter
    def value(self, new: Array) -> None:
        self._check_not_rebound(new, self._value, "value")

    @property
    def grad(self) -> Array:
        return self._grad

    @grad.setter
    def grad(self, new: Array) -> None:
        self._check_not_rebound(new, self._grad, "grad")

    @staticmethod
    def _check_not_rebound(new: Array, old: Array, name: str) -> None:
        # `p.grad += g` adds in place, then assigns the same object: allowed.
        if new is not old:
            raise AttributeError(
                f"Param: {name} cannot be rebound, it changes in place; "
                f"write p.{name} += … (gradients add) or p.{name}[...] = …"
            )

    @property
    def T(self) -> Param:
        """The transpose as a view: it shares this value and this gradient."""
        return Param(self._value.T, self._grad.T, self.trainable)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._value.dtype

    @property
    def size(self) -> int:
        return self._value.size

    def __repr__(self) -> str:
        return f"Param{self.shape} {self.dtype}" + ("" if self.trainable else ", frozen")


def unique(params: dict[str, Param]) -> dict[str, Param]:
    """Each Param once, under its first name: a shared (tied) Param appears under several."""
    first: dict[int, str] = {}
    for name, param in params.items():
        first.setdefault(id(param), name)
    return {name: params[name] for name in first.values()}


def parameter_count(params: dict[str, Param]) -> int:
    """The numbers in all Params, each Param counted once."""
    return sum(p.size for p in unique(params).values())


def check_writeable(who: str, params: dict[str, Param]) -> None:
    """Raise unless every value and gradient can be changed in place.

    Raises
        ValueError  one is read-only, as of a memory map that was opened for reading
    """
    for name, param in params.items():
        if param._value.flags.writeable and param._grad.flags.writeable:
            continue
        for what, a in (("value", param.value), ("grad", param.grad)):
            if not a.flags.writeable:
                raise ValueError(
                    f"{who}: {name}, {param}: its {what} is read-only, and learning changes it; "
                    f"make the Param of a copy, Param(np.array(…)), or set {what}.flags.writeable"
                )


def check_finite(who: str, params: dict[str, Param]) -> None:
    """Raise unless every value is finite: no learning rate mends a NaN.

    Raises
        ValueError  one holds a NaN or an infinity
    """
    for name, param in params.items():
        if not np.isfinite(param.value).all():
            bad = int(np.count_nonzero(~np.isfinite(param.value)))
            raise ValueError(
                f"{who}: {name}, {param}: its value has {counted(bad, 'entry', 'entries')} of NaN "
                "or infinity, expected finite ones; build the model anew, or load a file from before"
            )


def __getattr__(name: str) -> Any:
    # The old import path of the initialisers.
    initializers = importlib.import_module("tinyae.initializers")
    if name.startswith("_") or not hasattr(initializers, name):
        raise AttributeError(f"module 'tinyae.param' has no attribute {name!r}")
    return getattr(initializers, name)
