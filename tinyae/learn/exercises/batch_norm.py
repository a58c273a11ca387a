"""16: batch normalisation."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array

GIVES = ("dx", "dgamma", "dbeta")


def check(e: Examiner) -> None:
    def named(x: Any, gamma: Any, beta: Any) -> dict[str, Array]:
        xhat, inverse = e.solution.normalise(x)
        return {"xhat": xhat, "inverse": inverse, "x - mu": x - x.mean(axis=0)}

    inputs = {
        "dy": np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]),
        "x": np.array([[1.0, 4.0], [2.0, 0.0], [3.0, 8.0]]),
        "gamma": np.array([1.0, 2.0]),
        "beta": np.array([0.0, 1.0]),
    }
    e.values("batch_norm_backward", inputs, GIVES)
    for N, D in ((7, 5), (11, 3)):
        rng = np.random.default_rng(N)
        inputs = {
            "x": rng.normal(size=(N, D)) * 2 + 1,
            "gamma": rng.uniform(0.5, 2, size=D),
            "beta": rng.normal(size=D),
        }
        e.gradient(
            "batch_norm_backward",
            e.solution.batch_norm,
            inputs,
            ("x", "gamma", "beta"),
            tensors=named,
            sizes={"N": N, "D": D},
        )
    given = {"dy": rng.normal(size=(N, D)), **inputs}
    e.sums_to_zero("batch_norm_backward", given, GIVES, 0, "each column of dx sums to zero")


EXERCISE = Exercise(
    title="Batch normalisation",
    fill=("batch_norm_backward",),
    hints=(
        "First γ and β: y = γ x̂ + β is a dense layer with one weight a column. Then put g = γ dy, the "
        "gradient of x̂, and go back through x̂ to x: on how many paths does one xₙᵢ reach the others?",
        "Directly: g times 1/√(v + ε). Through μ: the mean of g over the batch comes off. Through v: x̂ "
        "times the mean of g x̂ comes off. All means are over the batch, axis 0.",
        "dx = inverse * (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)); "
        "dgamma = (dy * xhat).sum(axis=0); dbeta = dy.sum(axis=0).",
    ),
    check=check,
)
