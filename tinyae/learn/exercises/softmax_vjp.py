"""05: the vector-Jacobian product of a softmax."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    softmax = e.solution.softmax
    x, dy = np.log([[1.0, 2.0, 1.0]]), np.array([[1.0, 0.0, 0.0]])
    e.values("softmax_backward", {"dy": dy, "x": x}, ("dx",))
    for rows, classes in ((7, 5), (3, 11)):
        x = np.random.default_rng(rows).normal(size=(rows, classes))
        e.gradient(
            "softmax_backward",
            softmax,
            {"x": x},
            ("x",),
            sizes={"N": rows, "K": classes},
            tensors=lambda x: {"y": softmax(x), "1 - y": 1 - softmax(x)},
        )


EXERCISE = Exercise(
    title="Backwards through a softmax",
    fill=("softmax_backward",),
    hints=(
        "Every score of a row moves every probability of that row: so dx of one entry collects "
        "from all dy of its row. Write the sum with ∂yₖ/∂xⱼ = yₖ (δₖⱼ − yⱼ) in it.",
        "Σₖ dyₖ yₖ (δₖⱼ − yⱼ) falls into two: dyⱼ yⱼ, and −yⱼ times one number a row, ⟨dy, y⟩.",
        "dx = y * (dy - (dy * y).sum(axis=1, keepdims=True)), with y = softmax(x).",
    ),
    check=check,
)
