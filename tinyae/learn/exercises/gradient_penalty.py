"""32: the gradient penalty, a gradient through a gradient."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array

GIVES = ("P", "dW", "db", "dv")


def check(e: Examiner) -> None:
    def named(x: Any, W: Any, b: Any, v: Any) -> dict[str, Array]:
        h = np.tanh(x @ W.T + b)
        u = v * (1 - h**2)
        return {"h": h, "1 - h²": 1 - h**2, "u": u, "G": u @ W}

    x, W = np.array([[0.0, 0.0], [1.0, -1.0]]), np.array([[3.0, 4.0], [0.5, 0.0]])
    b, v = np.array([0.0, 0.0]), np.array([1.0, 2.0])
    u = v * (1 - np.tanh(x @ W.T + b) ** 2)
    square = ((u @ W) ** 2).sum(axis=1)
    norm = np.sqrt(square)
    known = {
        "P": {
            "This is the sum over the samples; P is their mean": ((norm - 1) ** 2).sum(),
            "The root is missing: ‖G‖ is the root of the sum of squares": (
                (square - 1) ** 2
            ).mean(),
            "This is one norm over all samples; each has its own": (np.sqrt(square.sum()) - 1) ** 2,
            "The −1 is missing: the slope is to be 1, not 0": square.mean(),
            "The square is missing": (norm - 1).mean(),
        }
    }
    e.values("gradient_penalty", {"x": x, "W": W, "b": b, "v": v}, GIVES, known=known)
    for N, D, K in ((7, 5, 3), (3, 7, 2)):
        rng = np.random.default_rng(N)
        inputs = {
            "x": rng.normal(size=(N, D)),
            "W": rng.normal(size=(K, D)) / 2,
            "b": rng.normal(size=K) / 2,
            "v": rng.normal(size=K),
        }
        sizes = {"N": N, "D": D, "K": K}
        e.loss("gradient_penalty", inputs, "W", "b", "v", value="P", tensors=named, sizes=sizes)
    if e.good:
        found = e.results("gradient_penalty", {"x": x, "W": W, "b": b, "v": v}, GIVES)["P"]
        G = _slopes(e, x, W, b, v)
        e.holds(
            "meaning",
            "P is the mean of (‖G‖ − 1)², with G taken by central differences of the critic",
            bool(np.isclose(found, np.mean((np.linalg.norm(G, axis=1) - 1) ** 2))),
        )


def _slopes(e: Examiner, x: Array, W: Array, b: Array, v: Array, h: float = 1e-5) -> Array:
    steps = np.eye(x.shape[1]) * h
    f = e.solution.critic
    return np.stack([(f(x + d, W, b, v) - f(x - d, W, b, v)) / (2 * h) for d in steps], 1)


EXERCISE = Exercise(
    title="The gradient penalty",
    fill=("gradient_penalty",),
    hints=(
        "Take the chain of the note and list for each step what it is made of: u of v and h, G of u "
        "and W, h of x, W and b. Now go back through it, as through any forward pass. Who uses W?",
        "dG = 2/N (‖G‖ − 1) G/‖G‖, row by row. G = u W gives du = dG Wᵀ and W's first share, uᵀ dG. "
        "From u: dv = Σₙ du (1 − h²), dh = du v (−2h). Then tanh, and W's second share, daᵀ x.",
        "dG = 2 * (norm - 1) / len(x) * G / norm, norm as a column; du = dG @ W.T; dv = (du * (1 - "
        "h**2)).sum(axis=0); da = du * v * -2 * h * (1 - h**2); dW = u.T @ dG + da.T @ x; "
        "db = da.sum(axis=0).",
    ),
    check=check,
)
