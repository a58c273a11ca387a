"""The activations: each one's f and f′, written once, as expressions.

Whatever computes an activation in a loop of its own is made from this table by
:mod:`tinyae.kernels.expressions`: NumPy's functions, Numba's loops (of single layers, of fused
networks and of compiled programs) and C. To add an activation, write its class in
``layers/activation.py`` and a row here: then it is fused, compiled and lowered like the others.

An expression is Python's, in x, or for a slope in y = f(x) where that is simpler; the layer's cache
is the one of the two that its slope is written in. ``alpha`` is the layer's attribute of that name.
There are + − · /, ``a if x > 0 else b``, min, max, abs and

    exp      expm1 (of x ≤ 0)      log1p (of 0 ≤ x ≤ 1)      erf      sigmoid      tanh
    sqrt and pi, in constants

Both branches of a condition are computed, so neither may overflow. Of ``min(x, c)`` and
``max(x, c)`` the first argument is the one whose NaN is handed on.
"""

from __future__ import annotations

from typing import NamedTuple

from tinyae.kernels.expressions import variables


class Function(NamedTuple):
    """An activation: the name of its class, y = f(x), and f′ of x or of y."""

    name: str
    f: str
    slope: str

    @property
    def cache(self) -> str:
        """What the slope is written in, and so what the layer caches: "x" or "y"."""
        return "x" if "x" in variables(self.slope) else "y"


FUNCTIONS = {
    row.name: row
    for row in (
        Function("ReLU", "max(x, 0)", "1 if y > 0 else 0"),
        Function("LeakyReLU", "x if x > 0 else alpha * x", "1 if y > 0 else alpha"),
        Function("ELU", "x if x > 0 else alpha * expm1(min(x, 0))", "1 if y > 0 else y + alpha"),
        Function("Sigmoid", "sigmoid(x)", "y * (1 - y)"),
        Function("Tanh", "tanh(x)", "1 - y * y"),
        Function("Softplus", "max(x, 0) + log1p(exp(-abs(x)))", "-expm1(-y)"),
        Function(
            "GELU",
            "x * (0.5 * (1 + erf(x * sqrt(0.5))))",
            "0.5 * (1 + erf(x * sqrt(0.5))) + x * exp(-0.5 * x * x) / sqrt(2 * pi)",
        ),
    )
}
