"""Custom functions of PyTorch and JAX, recognised by their classes, without importing either.

``torch.autograd.Function``   forward(ctx, *inputs) or forward(*inputs) with setup_context;
                              backward(ctx, dy) → gradients, None for what has none
``jax.custom_vjp``            y, residuals = fwd(*inputs); bwd(residuals, dy) → gradients

Their own forward and backward are called, with float64 arrays, not the framework's differentiation;
so it is their source that is read and repaired.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.resizing import Inputs
from tinyae.gradcheck.doctor.subjects import forms
from tinyae.gradcheck.doctor.subjects.function import FunctionSubject
from tinyae.param import Array


def framework_subject(
    subject: Any, x: Any, rng: np.random.Generator, **more: Any
) -> FunctionSubject | None:
    """The subject if it is a custom function of a framework, else None."""
    if isinstance(subject, type) and any(
        cls.__name__ == "Function" and cls.__module__.startswith("torch.autograd")
        for cls in subject.__mro__
    ):
        return TorchSubject(subject, x, rng, **more)
    if type(subject).__name__ == "custom_vjp" and type(subject).__module__.startswith("jax"):
        return JaxSubject(subject, x, rng, **more)
    return None


class TorchSubject(FunctionSubject):
    """A class derived from ``torch.autograd.Function``."""

    def __init__(self, cls: Any, x: Any, rng: np.random.Generator, **more: Any) -> None:
        self.cls, self.torch = cls, sys.modules["torch"]
        if not isinstance(x, dict):
            x = forms.named_inputs(_without_context(cls), x)

        def f(*arguments: Any) -> Array:
            return _numpy(self._forward(arguments)[0])

        super().__init__(f, x, cls, rng, **more)
        self.title, self.module, self.form = cls.__name__, cls, "framework"

    def _forward(self, arguments: Any) -> tuple[Any, _Context]:
        tensors = [
            self.torch.from_numpy(np.array(a)) if isinstance(a, np.ndarray) else a
            for a in arguments
        ]
        ctx = _Context(len(tensors))
        with self.torch.no_grad():
            if _sets_up_context(self.cls):
                y = self.cls.forward(*tensors)
                self.cls.setup_context(ctx, tuple(tensors), y)
            else:
                y = self.cls.forward(ctx, *tensors)
        if isinstance(y, tuple):
            raise TypeError(f"{self.cls.__name__} returns {len(y)} tensors, expected one")
        return y, ctx

    def call(self, r: Array, inputs: Inputs) -> Any:
        ctx = self._forward(self._arguments(inputs))[1]
        with self.torch.no_grad():
            out = self.backward.backward(  # type: ignore[attr-defined]
                ctx, self.torch.from_numpy(np.array(r))
            )
        return tuple(map(_numpy, out)) if isinstance(out, tuple) else _numpy(out)


class JaxSubject(FunctionSubject):
    """A function with ``jax.custom_vjp``."""

    def __init__(self, function: Any, x: Any, rng: np.random.Generator, **more: Any) -> None:
        self.function, self.jax = function, sys.modules["jax"]
        self.fixed = tuple(getattr(function, "nondiff_argnums", ()))
        if not isinstance(x, dict):
            x = forms.named_inputs(function.fun, x)

        def f(*arguments: Any) -> Array:
            with self._double():
                return _numpy(function.fun(*self._made(arguments)))

        super().__init__(f, x, function.bwd, rng, **more)
        self.title = getattr(function.fun, "__name__", "custom_vjp")
        self.module, self.form = function.bwd, "framework"

    def _double(self) -> Any:
        """JAX with float64, as long as the context lasts."""
        places: tuple[Any, ...] = (self.jax, getattr(self.jax, "experimental", None))
        made = next((p.enable_x64 for p in places if hasattr(p, "enable_x64")), None)
        return nullcontext() if made is None else made(True)

    def _made(self, arguments: Any) -> list[Any]:
        numpy = self.jax.numpy
        return [numpy.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments]

    def call(self, r: Array, inputs: Inputs) -> Any:
        with self._double():
            arguments = self._made(self._arguments(inputs))
            residuals = self.function.fwd(*arguments)[1]
            first = [arguments[i] for i in self.fixed]
            out = self.backward(*first, residuals, self.jax.numpy.asarray(r))
            found = [_numpy(g) for g in out]
        for i in self.fixed:
            found.insert(i, None)
        return tuple(found)


class _Context:
    """What forward and backward of a torch Function use of their ctx."""

    def __init__(self, inputs: int) -> None:
        self.saved_tensors: tuple[Any, ...] = ()
        self.needs_input_grad = (True,) * inputs

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None: ...

    def mark_dirty(self, *tensors: Any) -> None: ...

    def mark_non_differentiable(self, *tensors: Any) -> None: ...

    def set_materialize_grads(self, value: bool) -> None: ...


def _sets_up_context(cls: Any) -> bool:
    """Whether the class, and not only PyTorch's own, has a setup_context."""
    own = getattr(cls, "setup_context", None)
    return own is not None and not getattr(own, "__module__", "").startswith("torch.autograd")


def _without_context(cls: Any) -> Any:
    """A function with forward's arguments but ctx, for their names."""
    return cls.forward if _sets_up_context(cls) else partial(cls.forward, None)


def _numpy(g: Any) -> Any:
    """A NumPy array of a tensor or of a JAX array; None where there is no gradient."""
    if g is None:
        return None
    g = np.array(g.detach().cpu().numpy() if hasattr(g, "detach") else g)
    return None if g.dtype.kind == "V" else g  # JAX's float0, for whole numbers
