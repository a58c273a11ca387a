"""Calls of kernels: intercepted while something runs, and what each of them has to do."""

from __future__ import annotations

import importlib
import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

MLPS = ("mlp", "mlp_backward", "mlp_backprop")
# optimizer steps, for all params at once
STEPS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")


class Call(NamedTuple):
    """A kernel and its arguments."""

    kernel: str
    arguments: tuple[Any, ...]

    @property
    def arrays(self) -> list[Any]:
        """All arrays in the arguments, including nested ones."""
        return arrays_in(self.arguments)

    @property
    def widths(self) -> list[int]:
        """For an MLP: the number of inputs, and of outputs of each layer."""
        layers = self.arguments[0]
        return [layers[0].W.shape[1], *(len(layer.W) for layer in layers)]

    def __str__(self) -> str:
        """As ``matmul 32×784 784×64``; ᵀ marks an array that is not in C order."""
        if self.kernel in STEPS:
            rows = self.arguments[0]
            return f"{self.kernel} {sum(row[0].size for row in rows):,} in {len(rows)} arrays"
        if self.kernel in MLPS:
            shape = f"{len(self.arguments[1])}×{'-'.join(map(str, self.widths))}"
            words = [a for a in self.arguments[2:] if isinstance(a, str)]
            return " ".join([self.kernel, shape, *words, *["dx"] * (self.arguments[-1] is True)])
        shapes = [
            "×".join(map(str, a.shape)) + ("" if a.flags.c_contiguous else "ᵀ") for a in self.arrays
        ]
        return " ".join([self.kernel, *shapes])


KERNEL_MODULES = ("tinyae.kernels.reference", "tinyae.kernels.special")


def public() -> list[str]:
    """The kernels' names, in the order of the reference."""
    reference = importlib.import_module("tinyae.kernels.reference")
    return [
        name
        for name, f in vars(reference).items()
        if inspect.isfunction(f) and f.__module__ in KERNEL_MODULES and name[0] != "_"
    ]


@contextmanager
def intercepted(wrap: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Within the block, every kernel is what ``wrap(name, kernel)`` gives."""
    from tinyae import kernels

    before = {name: getattr(kernels, name) for name in public()}
    for name, kernel in before.items():
        setattr(kernels, name, wrap(name, kernel))
    try:
        yield
    finally:
        for name, kernel in before.items():
            setattr(kernels, name, kernel)


def arrays_in(a: Any) -> list[Any]:
    if isinstance(a, (list, tuple)):
        return [array for part in a for array in arrays_in(part)]
    return [a] if hasattr(a, "strides") and a.ndim else []


def copied(a: Any) -> Any:
    if isinstance(a, tuple) and hasattr(a, "_fields"):
        return type(a)(*map(copied, a))
    if isinstance(a, (list, tuple)):
        return type(a)(map(copied, a))
    return a.copy(order="K") if hasattr(a, "strides") and hasattr(a, "copy") else a


def operations(call: Call, result: Any) -> int:
    """Multiplications and additions in matrix products and convolutions; 0 for other kernels."""
    if call.kernel in MLPS:
        sizes = [i * o for i, o in itertools.pairwise(call.widths)]
        gradients = sum(sizes) if call.arguments[-1] is True else sum(sizes[1:])  # input gradients
        products = {
            "mlp": sum(sizes),
            "mlp_backward": sum(sizes) + gradients,
            "mlp_backprop": 2 * sum(sizes) + gradients,
        }
        return 2 * len(call.arguments[1]) * products[call.kernel]
    shapes = [a.shape for a in call.arrays]
    if call.kernel in ("affine", "matmul", "matmul_nt"):
        return 2 * result.size * shapes[0][1]
    if call.kernel == "matmul_tn":
        return 2 * result.size * shapes[0][0]
    if call.kernel == "affine_grad":
        return 2 * math.prod(shapes[0]) * shapes[1][1]
    if call.kernel in ("conv2d", "conv2d_relu"):
        return 2 * result.size * math.prod(shapes[1][1:])
    if call.kernel in ("conv2d_input_grad", "conv2d_input_grad_relu"):
        return 2 * math.prod(shapes[0]) * math.prod(shapes[1][1:])
    if call.kernel == "conv2d_weight_grad":
        return 2 * math.prod(shapes[1]) * math.prod(result.shape[1:])
    return 0


def bytes_moved(call: Call, result: Any) -> int:
    """Bytes with each array read or written once; arrays changed in place count twice."""
    arrays = call.arrays + arrays_in(result if isinstance(result, (tuple, list)) else (result,))
    if call.kernel == "mlp":
        arrays = [a for a in arrays if not any(a is s.dW or a is s.db for s in call.arguments[0])]
    if call.kernel in ("mlp_backward", "mlp_backprop"):
        arrays += [a for layer in call.arguments[0] for a in (layer.dW, layer.db)]
    if call.kernel in STEPS:
        arrays += arrays
    changed = {"affine_grad": arrays[2:], "bias_grad": arrays[1:], "row_sq_norms": arrays[2:3]}
    changed |= dict.fromkeys(("batch_norm_backward", "group_norm_backward"), arrays[4:6])
    arrays += changed.get(call.kernel, [])
    return sum(a.nbytes for a in arrays)
