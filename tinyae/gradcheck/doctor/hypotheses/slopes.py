"""The slope of another function: y is one known activation, and dx has the slope of another.

The two are often forms of one name (GELU by erf, by tanh, by a sigmoid), as near as a rounding error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, residual
from tinyae.param import Array

_C = math.sqrt(2 / math.pi)
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _gelu_by_erf(x: Array) -> Array:
    slope = 0.5 * (1 + _erf(x / math.sqrt(2))) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return np.asarray(slope)


def _gelu_by_tanh(x: Array) -> Array:
    t = np.tanh(_C * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _C * (1 + 3 * 0.044715 * x * x)


def _swish(beta: float) -> Callable[[Array], Array]:
    def slope(x: Array) -> Array:
        s = _sigmoid(beta * x)
        return s + beta * x * s * (1 - s)

    return slope


def _mish(x: Array) -> Array:
    t = np.tanh(np.log1p(np.exp(x)))
    return t + x * (1 - t * t) * _sigmoid(x)


# The slopes by the name of the function, in the words of PyTorch and of the papers.
SLOPES: dict[str, Callable[[Array], Array]] = {
    "the exact GELU, x·Φ(x) with erf": _gelu_by_erf,
    "GELU's tanh approximation": _gelu_by_tanh,
    "GELU's sigmoid approximation, x·σ(1.702 x)": _swish(1.702),
    "SiLU, x·σ(x)": _swish(1.0),
    "Mish, x·tanh(softplus(x))": _mish,
    "softplus, log(1 + exp(x))": _sigmoid,
    "the sigmoid, σ(x)": lambda x: _sigmoid(x) * (1 - _sigmoid(x)),
    "tanh(x)": lambda x: 1 - np.tanh(x) ** 2,
    "erf(x)": lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x),
    "Φ(x), the normal distribution": lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    "softsign, x/(1 + |x|)": lambda x: 1 / (1 + np.abs(x)) ** 2,
    "arctan(x)": lambda x: 1 / (1 + x * x),
    "SELU": lambda x: 1.0507009873554805 * np.where(x > 0, 1, 1.6732632423543772 * np.exp(x)),
    "ELU": lambda x: np.where(x > 0, 1, np.exp(x)),
    "sin(x)": np.cos,
    "cos(x)": lambda x: -np.sin(x),
    "exp(x)": np.exp,
    "log(x)": lambda x: 1 / x,
    "√x": lambda x: 0.5 / np.sqrt(x),
    "1/x": lambda x: -1 / (x * x),
    "x²": lambda x: 2 * x,
    "x³": lambda x: 3 * x * x,
    "hardswish": lambda x: np.where(x > 3, 1, np.where(x < -3, 0, (2 * x + 3) / 6)),
}


def other_function(name: str, a: Array, n: Array, tensors: dict[str, Array]) -> Iterator[Guess]:
    """n = dy f′(x) and a = dy g′(x), with f and g from the table, of any named x."""
    dy = tensors.get("dy")
    if dy is None or dy.shape != n.shape or not np.isfinite(n).all() or n.size < 4:
        return
    for k, x in tensors.items():
        if k == "dy" or x.shape != n.shape:
            continue
        with np.errstate(all="ignore"):
            slopes = {f: slope(x) for f, slope in SLOPES.items()}
            right = next((f for f, s in slopes.items() if residual(n, dy * s) < EXACT), None)
            if right is None:
                continue
            given = next((f for f, s in slopes.items() if residual(a, dy * s) < EXACT), None)
        if given is None or given == right:
            continue
        text = f"{name} has the slope of another function: of {given}, and y is {right}"
        do = "differentiate the form that forward computes, or let both compute the same"
        yield Guess(
            "wrong_factor", f"{given} for {right}", text, 0.0, [f"{given}|{right}"], do, 1.5
        )
        return
