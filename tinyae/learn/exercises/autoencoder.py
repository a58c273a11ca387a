"""10: a two-layer autoencoder."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array


def _inputs(N: int, D: int, K: int) -> dict[str, Array]:
    rng = np.random.default_rng(N)
    return {
        "x": rng.normal(size=(N, D)),
        "W": rng.normal(size=(K, D)),
        "b": rng.normal(size=K),
        "V": rng.normal(size=(D, K)),
        "c": rng.normal(size=D),
    }


def check(e: Examiner) -> None:
    def named(*inputs: Any) -> dict[str, Array]:
        h, y = e.solution.forward(*inputs)
        x, W, b, _, _ = inputs
        return {"h": h, "y": y, "a": x @ W.T + b, "1 - h²": 1 - h**2, "y - x": y - x}

    one = {
        "x": np.array([[1.0, -1.0]]),
        "W": np.array([[1.0, 1.0]]),
        "b": np.array([0.0]),
        "V": np.array([[1.0], [2.0]]),
        "c": np.array([0.0, 1.0]),
    }
    gives = ("dW", "db", "dV", "dc")
    e.values("gradients", one, gives)
    for N, D, K in ((7, 5, 3), (3, 7, 2)):
        e.gradient(
            "gradients",
            e.solution.loss,
            _inputs(N, D, K),
            ("W", "b", "V", "c"),
            upstream=False,
            tensors=named,
            sizes={"N": N, "D": D, "K": K},
        )


EXERCISE = Exercise(
    title="A whole autoencoder",
    fill=("gradients",),
    hints=(
        "Write forward as four lines: a, h, y, L. Go through them from below, and for each say: "
        "I have the gradient of its left side; what are the gradients of all on its right side?",
        "dy from L (exercise 01); dV, dc and dh from y = h Vᵀ + c (06, 07); da from h = tanh a (09); "
        "dW and db from a = x Wᵀ + b (06, 07 again).",
        "dy = 2 * (y - x) / y.size; dV = dy.T @ h; dc = dy.sum(axis=0); dh = dy @ V; "
        "da = dh * (1 - h**2); dW = da.T @ x; db = da.sum(axis=0).",
    ),
    check=check,
)
