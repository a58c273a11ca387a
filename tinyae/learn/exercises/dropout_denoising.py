"""13: dropout and the denoising autoencoder."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array


def check(e: Examiner) -> None:
    x = np.array([[1.0, 2.0, 3.0, 4.0]])
    m, p = np.array([[1.0, 0.0, 1.0, 1.0]]), 0.25
    known = {
        "y": {
            "What is kept must be divided by 1 − p, so that the mean of y is x": x * m,
            "It is divided by p; the share that is kept is 1 − p": x * m / p,
            "m is 1 for what is kept: here just that is dropped": x * (1 - m) / (1 - p),
            "It is multiplied by 1 − p; divide": x * m * (1 - p),
        }
    }
    e.values("dropout", {"x": x, "m": m, "p": p}, ("y",), known=known)
    e.values("dropout_backward", {"dy": x, "x": np.ones((1, 4)), "m": m, "p": p}, ("dx",))

    def named(x: Any, eps: Any, W: Any, V: Any) -> dict[str, Array]:
        noisy = x + eps
        h = np.tanh(noisy @ W.T)
        y = h @ V.T
        return {"noisy x": noisy, "h": h, "y": y, "1 - h²": 1 - h**2, "y - x": y - x}

    for N, D in ((7, 5), (3, 7)):
        rng = np.random.default_rng(N)
        inputs = {
            "x": rng.normal(size=(N, D)),
            "m": 1.0 * (rng.uniform(size=(N, D)) > 0.4),
            "p": np.array(0.4),
        }
        e.gradient("dropout_backward", e.solution.dropout, inputs, ("x",), sizes={"N": N, "D": D})
    for N, D, K in ((7, 5, 3), (3, 7, 2)):
        rng = np.random.default_rng(N)
        inputs = {
            "x": rng.normal(size=(N, D)),
            "eps": rng.normal(size=(N, D)),
            "W": rng.normal(size=(K, D)),
            "V": rng.normal(size=(D, K)),
        }
        e.gradient(
            "denoising_gradients",
            e.solution.denoising_loss,
            inputs,
            ("W", "V"),
            upstream=False,
            tensors=named,
            sizes={"N": N, "D": D, "K": K},
        )


EXERCISE = Exercise(
    title="Dropout, and the denoising autoencoder",
    fill=("dropout", "dropout_backward", "denoising_gradients"),
    hints=(
        "m and ε are given, so to backward they are constants: dropout multiplies each entry by a "
        "constant, and denoising adds one to the input. Where in exercise 10 does the input appear?",
        "dropout: the same factor m / (1 − p) forward and backward. denoising: the encoder's "
        "gradient is formed with what the encoder saw, x + ε; the loss compares with the clean x.",
        "dx = dy * m / (1 - p). noisy = x + eps; dy = 2 * (y - x) / y.size; dV = dy.T @ h; "
        "da = (dy @ V) * (1 - h**2); dW = da.T @ noisy.",
    ),
    check=check,
)
