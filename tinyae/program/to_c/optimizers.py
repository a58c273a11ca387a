"""How a weight moves against its gradient in C: one class for each optimizer.

The update of a weight is a few expressions within the functions of ``backward_templates.py``. SGD
scales the gradient's factor by the learning rate before the loop, so that a weight costs one fused
multiply-add. Adam's moments m and v lie behind the weights, in the same order, and behind these
1 − β₁ᵗ and 1 − β₂ᵗ, which are summed up so that they do not cancel.
"""

from __future__ import annotations

import inspect
from string import Template

from tinyae.kernels.expressions import c_number
from tinyae.optim import Adam
from tinyae.param import Array
from tinyae.program.to_c import templates
from tinyae.program.to_c.operations import Operations

_STEP = Template("""\
/* A step of Adam: where the moments are, the learning rate, and their scales. */
typedef struct {
    int32_t weights;
    float rate, scale;
} ${name}_step;
""")

_ADAM = Template("""\
/* Adam (Kingma & Ba 2015): w moves by its mean gradient m over the root of its mean square v */
static inline void ${name}_adam(const ${name}_step *step, float *w, float gradient)
{
    float *m = w + step->weights, *v = m + step->weights;
    *m = $beta1 * *m + $c1 * gradient;
    *v = $beta2 * *v + $c2 * gradient * gradient;
    *w -= step->rate * *m / (sqrtf(*v) * step->scale + $eps);
}
""")


class SGDSteps:
    """w −= rate · gradient"""

    parameter, argument = "float rate", "rate"

    def __init__(self, operations: Operations) -> None:
        self.name = operations.name
        operations.function("fma", templates.FMA)

    def state(self, weights: int) -> int:
        """How many floats are kept behind so many weights."""
        return 0

    def begin(self, weights: int) -> list[str]:
        """The first statements of a step."""
        return []

    @staticmethod
    def rate_of(change: float, gradient: float) -> float:
        """The learning rate at which that gradient moves a weight by ``change``."""
        return change / gradient

    @staticmethod
    def first_step(gradient: Array, rate: float) -> Array:
        """By how much the first step lowers a weight."""
        return rate * gradient

    def scaled(self, factor: str) -> str:
        """A factor of the gradient, as ``update`` takes it."""
        return f"-rate * {factor}"

    def update(self, w: str, at: str, a: str, b: str = "") -> str:
        """The statement that moves w[at], whose gradient is a, or a · b; a is scaled."""
        if not b:
            return f"{w}[{at}] += {a};"
        return f"{w}[{at}] = {self.name}_fma({a}, {b}, {w}[{at}]);"


class AdamSteps:
    """w −= rate · m̂ / (√v̂ + ε)"""

    argument = "&step"

    def __init__(self, operations: Operations) -> None:
        self.name = operations.name
        self.parameter = f"const {self.name}_step *step"
        operations.types[f"{self.name}_step"] = _STEP.substitute(name=self.name)
        operations.function(
            "adam",
            _ADAM,
            beta1=c_number(_BETA1),
            beta2=c_number(_BETA2),
            c1=c_number(1 - _BETA1),
            c2=c_number(1 - _BETA2),
            eps=c_number(_EPS),
        )

    def state(self, weights: int) -> int:
        return 2 * weights + 2

    def begin(self, weights: int) -> list[str]:
        first, second = f"weights[{3 * weights}]", f"weights[{3 * weights + 1}]"
        return [
            f"{first} += {c_number(1 - _BETA1)} * (1.0f - {first});",
            f"{second} += {c_number(1 - _BETA2)} * (1.0f - {second});",
            f"const {self.name}_step step = {{{weights}, rate / {first}, 1.0f / sqrtf({second})}};",
        ]

    @staticmethod
    def rate_of(change: float, gradient: float) -> float:
        return change

    @staticmethod
    def first_step(gradient: Array, rate: float) -> Array:
        return rate * gradient / (abs(gradient) + _EPS)

    def scaled(self, factor: str) -> str:
        return factor

    def update(self, w: str, at: str, a: str, b: str = "") -> str:
        gradient = f"{a} * {b}" if b else a
        return f"{self.name}_adam(step, {w} + {at}, {gradient});"


def _default(name: str) -> float:
    return float(inspect.signature(Adam).parameters[name].default)


_BETA1, _BETA2, _EPS = map(_default, ("beta1", "beta2", "eps"))

Optimizer = SGDSteps | AdamSteps
OPTIMIZERS: dict[str, type[SGDSteps] | type[AdamSteps]] = {"sgd": SGDSteps, "adam": AdamSteps}
