"""27: layer normalisation."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array

GIVES = ("dx", "dgamma", "dbeta")


def check(e: Examiner) -> None:
    def named(x: Any, gamma: Any, beta: Any) -> dict[str, Array]:
        xhat, inverse = e.solution.normalise(x)
        return {"xhat": xhat, "inverse": inverse, "x - mu": x - x.mean(axis=-1, keepdims=True)}

    small = {
        "dy": np.array([[[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]]]),
        "x": np.array([[[1.0, 2.0, 3.0], [4.0, 0.0, 8.0]]]),
        "gamma": np.array([1.0, 2.0, 1.0]),
        "beta": np.zeros(3),
    }
    e.values("layer_norm_backward", small, GIVES)
    for N, T, D in ((2, 3, 5), (3, 2, 7)):
        rng = np.random.default_rng(D)
        inputs = {
            "x": rng.normal(size=(N, T, D)) * 2 + 1,
            "gamma": rng.uniform(0.5, 2, size=D),
            "beta": rng.normal(size=D),
        }
        e.gradient(
            "layer_norm_backward",
            e.solution.layer_norm,
            inputs,
            ("x", "gamma", "beta"),
            tensors=named,
            sizes={"N": N, "T": T, "D": D},
        )
    given = {"dy": rng.normal(size=(N, T, D)), **inputs}
    e.sums_to_zero(
        "layer_norm_backward", given, GIVES, -1, "each token's dx sums to zero over the features"
    )


EXERCISE = Exercise(
    title="Layer normalisation",
    fill=("layer_norm_backward",),
    hints=(
        "Look up exercise 16 and go through its result letter by letter: which of its sums and means "
        "belong to one token here, and which to one feature?",
        "With g = γ dy, the gradient of x̂: from g come off its own mean and x̂ times the mean of g x̂, "
        "both over the features of the token, axis −1, kept as (N, T, 1). dγ and dβ sum over all "
        "tokens, axes 0 and 1.",
        "dx = inverse * (g - g.mean(axis=-1, keepdims=True) - xhat * (g * xhat).mean(axis=-1, "
        "keepdims=True)); dgamma = (dy * xhat).sum(axis=(0, 1)); dbeta = dy.sum(axis=(0, 1)).",
    ),
    check=check,
)
