"""15: the contractive penalty."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array


def check(e: Examiner) -> None:
    def named(x: Any, W: Any, b: Any) -> dict[str, Array]:
        h = e.solution.sigmoid(x @ W.T + b)
        return {"h": h, "h (1 - h)": h * (1 - h), "1 - 2h": 1 - 2 * h, "w": (W**2).sum(axis=1)}

    x, W, b = np.array([[1.0, 0.0], [2.0, -1.0]]), np.array([[0.5, 1.0]]), np.array([0.5])
    h = e.solution.sigmoid(x @ W.T + b)
    s, w = h * (1 - h), (W**2).sum(axis=1)
    known = {
        "P": {
            "This is the sum over the samples; P is their mean": (s**2 * w).sum(),
            "h (1 − h) must be squared, as W is": (s * w).sum() / 2,
            "Here W is summed before it is squared: wⱼ = Σᵢ Wⱼᵢ²": (s**2 * W.sum(axis=1) ** 2).sum()
            / 2,
            "h² stands here for (h (1 − h))²: the slope of σ is h (1 − h)": (h**2 * w).sum() / 2,
        }
    }
    e.values("contractive", {"x": x, "W": W, "b": b}, ("P", "dW", "db"), known=known)
    for N, D, K in ((7, 5, 3), (3, 7, 2)):
        rng = np.random.default_rng(N)
        inputs = {
            "x": rng.normal(size=(N, D)),
            "W": rng.normal(size=(K, D)) / 2,
            "b": rng.normal(size=K),
        }
        e.loss(
            "contractive",
            inputs,
            "W",
            "b",
            value="P",
            tensors=named,
            sizes={"N": N, "D": D, "K": K},
        )
    if all(row.mark == "ok" for row in e.rows):
        jacobian = np.stack([_jacobian(e, v, W, b) for v in x])
        found = e.results("contractive", {"x": x, "W": W, "b": b}, ("P", "dW", "db"))["P"]
        e.holds(
            "meaning",
            "P is the mean of ‖J‖²_F, with J taken by central differences of h",
            bool(np.isclose(found, (jacobian**2).sum() / len(x))),
        )


def _jacobian(e: Examiner, v: Array, W: Array, b: Array, h: float = 1e-5) -> Array:
    steps = np.eye(len(v)) * h
    f = e.solution.sigmoid
    return np.stack([(f((v + d) @ W.T + b) - f((v - d) @ W.T + b)) / (2 * h) for d in steps], 1)


EXERCISE = Exercise(
    title="The contractive penalty",
    fill=("contractive",),
    hints=(
        "Write P as a chain: a = x Wᵀ + b, h = σ(a), s = h (1 − h), w = Σ W², P = 1/N Σ s² w. Now it is "
        "a forward pass like any other. Which of these does W stand in?",
        "From P go back on both paths: dw = 1/N Σₙ s², and ds = 2 s w / N. From s on: "
        "dh = ds (1 − 2h), da = dh h (1 − h). W collects from w, as 2 W dw, and from a, as daᵀ x.",
        "dW = da.T @ x + 2 * dw[:, None] * W and db = da.sum(axis=0), with "
        "da = ds * (1 - 2 * h) * h * (1 - h).",
    ),
    check=check,
)
