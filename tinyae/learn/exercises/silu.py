"""25: SiLU, and Swish with a learnt β."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array


def check(e: Examiner) -> None:
    sigmoid = e.solution.sigmoid

    def named(x: Array, beta: Array | float = 1.0) -> dict[str, Array]:
        s = sigmoid(beta * x)
        return {"σ": s, "σ′": s * (1 - s)}

    x, dy = np.array([[0.0, np.log(3.0)], [-np.log(3.0), 2.0]]), np.array([[4.0, 16.0], [-16.0, 1]])
    known = {
        "dx": {
            "This is the ReLU's slope, 0 or 1: SiLU's gate is soft": dy * (x > 0),
            "This is the slope of σ alone: the x before it is a factor": dy * _slope(x),
        }
    }
    e.values("silu_backward", {"dy": dy, "x": x}, ("dx",), known=known)
    e.values("swish_backward", {"dy": dy, "x": x, "beta": 2.0}, ("dx", "dbeta"))
    for shape in ((7, 5), (2, 3, 11)):
        x = np.random.default_rng(len(shape)).normal(size=shape)
        e.gradient("silu_backward", e.solution.silu, {"x": x}, ("x",), tensors=named)
        inputs = {"x": x, "beta": np.array(1.7)}
        e.gradient("swish_backward", e.solution.swish, inputs, ("x", "beta"), tensors=named)


def _slope(x: Array) -> Array:
    s = 1 / (1 + np.exp(-x))
    return np.asarray(s * (1 - s))


EXERCISE = Exercise(
    title="SiLU and Swish",
    fill=("silu_backward", "swish_backward"),
    hints=(
        "y is a product of two things that both depend on x: the product rule. And β reaches every "
        "entry of y through the gate alone; what does it collect?",
        "dy/dx = σ(x) + x σ′(x), with σ′ = σ (1 − σ). With β: inside the gate stands β x, so by the "
        "chain rule d/dx σ(βx) = β σ′(βx) and d/dβ σ(βx) = x σ′(βx).",
        "silu: dy * (s + x * s * (1 - s)), s = sigmoid(x). swish: with s = sigmoid(beta * x), "
        "dx = dy * (s + beta * x * s * (1 - s)) and dbeta = (dy * x * x * s * (1 - s)).sum().",
    ),
    check=check,
)
