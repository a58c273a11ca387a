"""The activations: each one's f and f′, written once, as expressions.

:mod:`tinyae.kernels.expressions` translates this table into NumPy functions, Numba loops (for
single layers, fused networks and compiled programs) and C. To add an activation, write its class in
``layers/activation.py`` or ``gated.py`` and a row here. It is then fused and compiled like the others.

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


# Gates that occur more than once, and their slopes.
_X = "max(min(x, 40), -40)"
_TANH_GATE = "sigmoid(sqrt(8 / pi) * (x + 0.044715 * x * x * x))"
_TANH_GATE_SLOPE = (
    f"(sqrt(8 / pi) * (1 + 0.134145 * {_X} * {_X})) * ({_TANH_GATE} * (1 - {_TANH_GATE}))"
)
_R = "sigmoid(-x)"
_MISH_GATE = f"(sigmoid(x) * (1 + {_R}) / (1 + {_R} * {_R}))"
_MISH_GATE_SLOPE = f"(4 * sigmoid(x) * {_R} * {_R} / ((1 + {_R} * {_R}) * (1 + {_R} * {_R})))"

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
        Function(
            "SELU",
            "1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * expm1(min(x, 0)))",
            "1.0507009873554805 * (1 if x > 0 else 1.6732632423543772 * exp(min(x, 0)))",
        ),
        Function("Sigmoid", "sigmoid(x)", "y * (1 - y)"),
        Function(
            "HardSigmoid",
            "min(max(alpha * x + 0.5, 0), 1)",
            "(alpha if y < 1 else 0) if y > 0 else (0 if y <= 0 else y)",
        ),
        Function("Tanh", "tanh(x)", "1 - y * y"),
        Function("Softplus", "max(x, 0) + log1p(exp(-abs(x)))", "-expm1(-y)"),
        Function(
            "GELU",
            "max(x, -40) * (0.5 * erfc(x * -sqrt(0.5)))",
            "0.5 * erfc(x * -sqrt(0.5)) + max(min(x, 40), -40) * exp(-0.5 * x * x) / sqrt(2 * pi)",
        ),
        Function(
            "TanhGELU", f"max(x, -40) * {_TANH_GATE}", f"{_TANH_GATE} + {_X} * {_TANH_GATE_SLOPE}"
        ),
        Function(
            "SiLU",
            "max(x, -800) * sigmoid(x)",
            "sigmoid(x) * (1 + max(min(x, 800), -800) * (1 - sigmoid(x)))",
        ),
        Function(
            "Mish",
            f"max(x, -800) * {_MISH_GATE}",
            f"{_MISH_GATE} + max(min(x, 800), -800) * {_MISH_GATE_SLOPE}",
        ),
        Function(
            "Hardswish",
            "max(x, -3) * (min(max(x + 3, 0), 6) / 6)",
            "1 if x >= 3 else (max(x, -3) / 3 + 0.5 if x > -3 else (0 if x <= -3 else x))",
        ),
    )
}
