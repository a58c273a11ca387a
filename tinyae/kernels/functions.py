"""The activations: each one's f and f′, written once, as expressions.

:mod:`tinyae.kernels.expressions` translates this table into NumPy functions, Numba loops (for
single layers, fused networks and compiled programs) and C. To add an activation, write its class in
``layers/activation.py`` and a row here. It is then fused and compiled like the others.

An expression is written in Python syntax. f depends on x; f′ depends on x, or on y = f(x) where
that is simpler. The layer caches whichever of the two its slope uses. ``alpha`` is the layer's
attribute of that name. An expression may use + − · /, ``a if x > 0 else b``, min, max, abs and

    exp      expm1 (of x ≤ 0)      log1p (of 0 ≤ x ≤ 1)      erfc      sigmoid      tanh
    sqrt and pi, in constants only

Both branches of a condition are computed, so neither may overflow. ``min(x, c)`` and ``max(x, c)``
are NaN if their first argument is NaN. f and f′ must be NaN there too, so that nothing hides a NaN:
``1 if y > 0 else alpha`` would. Where one factor vanishes while the other is ±∞, a bound that changes
no other number keeps their product from becoming NaN: Φ(−40) is 0 in every precision.
"""

from __future__ import annotations

from typing import NamedTuple

from tinyae.kernels.expressions import variables


class Function(NamedTuple):
    """An activation: its class name, y = f(x), and f′ as an expression in x or in y."""

    name: str
    f: str
    slope: str

    @property
    def cache(self) -> str:
        """The variable that the slope uses, which the layer must cache: "x" or "y"."""
        return "x" if "x" in variables(self.slope) else "y"


FUNCTIONS = {
    row.name: row
    for row in (
        Function("ReLU", "max(x, 0)", "1 if y > 0 else y"),
        Function(
            "LeakyReLU", "x if x > 0 else alpha * x", "1 if y > 0 else (alpha if y <= 0 else y)"
        ),
        Function(
            "ELU",
            "x if x > 0 else alpha * expm1(min(x, 0))",
            "1 if x > 0 else alpha * exp(min(x, 0))",
        ),
        Function("Sigmoid", "sigmoid(x)", "y * (1 - y)"),
        Function("Tanh", "tanh(x)", "1 - y * y"),
        Function("Softplus", "max(x, 0) + log1p(exp(-abs(x)))", "-expm1(-y)"),
        Function(
            "GELU",
            "max(x, -40) * (0.5 * erfc(x * -sqrt(0.5)))",
            "0.5 * erfc(x * -sqrt(0.5)) + max(min(x, 40), -40) * exp(-0.5 * x * x) / sqrt(2 * pi)",
        ),
    )
}
