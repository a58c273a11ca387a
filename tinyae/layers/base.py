"""Every layer has a forward map, its derivative and, if it learns, parameters.

The contract::

    y, cache = layer.forward(x)          # training: y, and the least that backward needs
    dx       = layer.backward(dy, cache) # adds ∂L/∂θ to each Param.grad, returns ∂L/∂x
    y        = layer(x)                  # inference: no cache, no dropout, running statistics

A layer stores no activations: ``forward`` returns them in ``cache``. So a layer may run twice
before one backward, may be shared, may be bypassed by a skip connection, and may be used for
inference by many threads at once.

Second order, for penalties on the Jacobian J = ∂y/∂x: ``tangent`` pushes a direction ẋ
forward, ẏ = J ẋ, and ``tangent_backward`` differentiates φ = ⟨dẏ, ẏ⟩ with respect to ẋ, to the
parameters and, because J depends on it, to x itself.

A line ``@fused`` above a method says that a faster twin may run in its place, with the same numbers
but for rounding (:mod:`tinyae.twin`). The method itself is the definition, and every twin is tested
against it. ``kernels.matmul`` and the like are loops over bare arrays (:mod:`tinyae.kernels`), whose
plain NumPy form is in ``kernels/reference.py``.

A class derived from :class:`Layer` gives ``forward`` and ``backward``, and ``__call__`` where
inference differs from training. A class derived from a layer that has its own ``backward_params`` or
``backward_input``, such as Dense, and that changes ``backward``, changes those as well: a model's
first layer learns by ``backward_params``. ``gradcheck.check`` says so where they differ.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import float_dtype
from tinyae.arrays import FLOATS, check_float
from tinyae.param import Array, Param, unique
from tinyae.twin import fused

__all__ = ["Module", "Layer", "ParameterFree"]

Self = TypeVar("Self", bound="Module")


class Module:
    """Anything with parameters. The type of an attribute says what it is:
    a Param is learnt, an array is state (saved but not learnt), a Module is a child.
    """

    @property
    def children(self) -> dict[str, Module]:
        return {name: part for name, part in vars(self).items() if isinstance(part, Module)}

    @property
    @fused
    def params(self) -> dict[str, Param]:
        """Every Param by its dotted name. A shared Param appears under each of its names."""
        own = {name: p for name, p in vars(self).items() if isinstance(p, Param)}
        for name, part in self.children.items():
            own.update({f"{name}.{key}": p for key, p in part.params.items()})
        return own

    @property
    def state(self) -> dict[str, Array]:
        """Arrays that are saved but not learnt, such as running statistics."""
        own: dict[str, Array] = {k: a for k, a in vars(self).items() if isinstance(a, np.ndarray)}
        for name, part in self.children.items():
            own.update({f"{name}.{key}": a for key, a in part.state.items()})
        return own

    @property
    def dtype(self) -> np.dtype[Any]:
        """The parameters' dtype; float32 if there are none."""
        return next((p.dtype for p in self.params.values()), np.dtype(np.float32))

    def astype(self: Self, dtype: DTypeLike) -> Self:
        """The same module in float32 or float64, as a deep copy.

        Raises
            TypeError  another dtype
        """
        dtype = float_dtype(type(self).__name__, dtype)
        memo: dict[int, Any] = {}
        for p in self.params.values():
            memo[id(p)] = Param(p.value.astype(dtype), p.grad.astype(dtype), p.trainable)
        for a in self.state.values():
            memo[id(a)] = a.astype(dtype)
        return copy.deepcopy(self, memo)

    @property
    def learns(self) -> bool:
        """Whether an optimizer moves any Param: false for frozen layers and those without Params."""
        return any(p.trainable for p in self.params.values())

    def freeze(self: Self) -> Self:
        """Keep every Param as it is: no optimizer moves it, until :meth:`unfreeze`.

        Gradients still flow through to what lies before, if anything there learns. A Param
        shared with another layer (a tied matrix) is frozen in both. Statistics that a layer keeps of
        its batches (BatchNorm) are no Param and go on changing in training, as in PyTorch. Files and
        copies keep what is frozen.
        """
        for p in self.params.values():
            p.trainable = False
        return self

    def unfreeze(self: Self) -> Self:
        """Let optimizers move every Param again."""
        for p in self.params.values():
            p.trainable = True
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Layer(Module):
    """A differentiable map of a batch; the first axis counts the samples."""

    @property
    def whole_input(self) -> bool:
        """Whether x holds whole numbers, such as indices, which no gradient can move."""
        return False

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y, and the cache that :meth:`backward` needs."""
        raise NotImplementedError

    def backward(self, dy: Array, cache: Any) -> Array:
        """Add ∂L/∂θ to each Param.grad and return ∂L/∂x."""
        raise NotImplementedError

    def __call__(self, x: Array) -> Array:
        return self.forward(x)[0]

    def backward_params(self, dy: Array, cache: Any) -> None:
        """Like :meth:`backward`, without ∂L/∂x, which a model's first layer does not need."""
        self.backward(dy, cache)

    def backward_input(self, dy: Array, cache: Any) -> Array:
        """Like :meth:`backward`, but only ∂L/∂x: for a layer that does not learn."""
        saved = [(p.grad, p.grad.copy()) for p in unique(self.params).values()]
        dx = self.backward(dy, cache)
        for grad, before in saved:
            grad[...] = before
        return dx

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        """ẏ = (∂y/∂x) ẋ at the x of ``cache``, and the cache of :meth:`tangent_backward`."""
        raise NotImplementedError(
            f"{type(self).__name__} has no tangent; a penalty on the Jacobian needs layers that have one"
        )

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array | None]:
        """∂φ/∂ẋ and ∂φ/∂x of φ = ⟨dẏ, ẏ⟩ (None for zero); adds ∂φ/∂θ to each Param.grad."""
        raise NotImplementedError(f"{type(self).__name__} has no tangent")

    def trace(self, x: Array, name: str) -> Iterator[tuple[str, Array]]:
        """Yield the name and training output of each inner layer; the last is the result."""
        yield name, self.forward(x)[0]


class ParameterFree(Layer):
    """A map whose output is linear in x once the cache is fixed: a reshape, a pool, a mask.

    Such a layer is its own tangent, so a subclass defines only :meth:`linear`, which maps ẋ to ẏ.
    """

    def linear(self, xdot: Array, cache: Any) -> Array:
        return self.forward(xdot)[0]

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        return self.linear(xdot, cache), cache

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array | None]:
        return self.backward(dydot, tcache), None


def add(a: Array | None, b: Array | None) -> Array | None:
    """a + b, where None stands for zero."""
    if a is None or b is None:
        return b if a is None else a
    return a + b


def check_input(layer: Layer, x: Array, expected: tuple[int | str, ...] | None = None) -> None:
    """Raise unless x is an array of the layer's dtype and of shape ``expected``, if that is given.

    A letter in ``expected`` stands for any length of that axis.

    Raises
        TypeError   not an array, or of another dtype than the layer's parameters
        ValueError  another shape
    """
    _check_float(layer, "x", x)
    if expected is not None and not _fits(x.shape, expected):
        who, shape = type(layer).__name__, _shape_text(expected)
        do = _rearranged(x, expected) or f"x of shape {shape}"
        raise ValueError(f"{who}: x has shape {x.shape}, expected {shape}; pass {do}")
    for p in vars(layer).values():
        if isinstance(p, Param) and p.dtype != x.dtype:
            raise TypeError(
                f"{type(layer).__name__}: x is {x.dtype}, the parameters are {p.dtype}; "
                f"pass x.astype(np.{p.dtype}) or use layer.astype(np.{x.dtype})"
            )


def check_dy(
    layer: Layer, dy: Array, expected: tuple[int | str, ...], dtype: np.dtype[Any] | None = None
) -> Array:
    """dy in the layer's dtype, before a gradient is added: float32 and float64 are converted.

    ``expected`` is y's shape, in which a letter stands for any length. Without ``dtype`` the layer
    takes either of the two.

    Raises
        TypeError   not an array of float32 or float64
        ValueError  another shape
    """
    _check_float(layer, "dy", dy)
    if dy.shape != expected and not _fits(dy.shape, expected):
        raise ValueError(
            f"{type(layer).__name__}: dy has shape {dy.shape}, expected {_shape_text(expected)}, "
            "y's shape; pass the gradient with respect to what forward returned"
        )
    return dy if dtype is None or dy.dtype == dtype else dy.astype(dtype)


def _check_float(layer: Layer, name: str, a: Array) -> None:
    if type(a) is not np.ndarray or a.dtype not in FLOATS:
        check_float(f"{type(layer).__name__}: {name}", a)


def _rearranged(x: Array, expected: tuple[int | str, ...]) -> str:
    """What makes pictures or signals fit: their channels moved from the end, or an axis for one."""
    if len(expected) < 3:
        return ""
    if x.ndim == len(expected):
        order = (0, x.ndim - 1, *range(1, x.ndim - 1))
        return f"x.transpose{order}" if _fits(x.transpose(order).shape, expected) else ""
    return "x[:, None]" if _fits(x[:, None].shape, expected) else ""


def _fits(shape: tuple[int, ...], expected: tuple[int | str, ...]) -> bool:
    # A plain loop is fastest, and this runs for every layer at every step.
    if len(shape) != len(expected):
        return False
    for want, got in zip(expected, shape):  # noqa: SIM110
        if want != got and isinstance(want, int):
            return False
    return True


def _shape_text(expected: tuple[int | str, ...]) -> str:
    return "(" + ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "") + ")"
