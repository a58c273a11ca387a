"""11: an autoencoder with tied weights."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array


def check(e: Examiner) -> None:
    def named(*inputs: Any) -> dict[str, Array]:
        x, W, b, _ = inputs
        h, y = e.solution.forward(*inputs)
        dy = 2 * (y - x) / y.size
        shares = {
            "daᵀ x, the encoder's share": ((dy @ W.T) * (1 - h**2)).T @ x,
            "hᵀ dy, the decoder's share": h.T @ dy,
        }
        return {"h": h, "y": y, "a": x @ W.T + b, "1 - h²": 1 - h**2, "y - x": y - x, **shares}

    one = {
        "x": np.array([[1.0, -1.0]]),
        "W": np.array([[1.0, 1.0]]),
        "b": np.array([0.5]),
        "c": np.array([0.0, 1.0]),
    }
    e.values("gradients", one, ("dW", "db", "dc"))
    for N, D, K in ((7, 5, 3), (3, 7, 2)):
        rng = np.random.default_rng(N)
        inputs = {
            "x": rng.normal(size=(N, D)),
            "W": rng.normal(size=(K, D)),
            "b": rng.normal(size=K),
            "c": rng.normal(size=D),
        }
        e.gradient(
            "gradients",
            e.solution.loss,
            inputs,
            ("W", "b", "c"),
            upstream=False,
            tensors=named,
            sizes={"N": N, "D": D, "K": K},
        )


EXERCISE = Exercise(
    title="Tied weights",
    fill=("gradients",),
    hints=(
        "Name the two uses of W apart: W in the encoder and V = Wᵀ in the decoder. Exercise 10 gives "
        "dW and dV of an autoencoder with two matrices.",
        "The decoder's share is dV = dyᵀ h, of shape (D, K). V is W transposed, so its share of dW is "
        "dV transposed, hᵀ dy. The encoder's share is daᵀ x. The two add. And what was dy V is dy Wᵀ.",
        "dW = h.T @ dy + da.T @ x, with dh = dy @ W.T and da = dh * (1 - h**2).",
    ),
    check=check,
)
