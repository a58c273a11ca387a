"""06: the gradient of a dense layer's matrix."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    x, dy = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.array([[1.0, 0.0], [10.0, 1.0]])
    inputs = {"dy": dy, "x": x, "W": np.ones((2, 3)), "b": np.zeros(2)}
    e.values("dense_dw", inputs, ("dW",))
    for N, I, O in ((7, 5, 3), (2, 3, 11)):
        rng = np.random.default_rng(N)
        inputs = {
            "x": rng.normal(size=(N, I)),
            "W": rng.normal(size=(O, I)),
            "b": rng.normal(size=O),
        }
        sizes = {"N": N, "I": I, "O": O}
        e.gradient("dense_dw", e.solution.dense, inputs, ("W",), sizes=sizes)


EXERCISE = Exercise(
    title="Dense: the gradient of the matrix",
    fill=("dense_dw",),
    hints=(
        "Look at one entry: Wₒᵢ takes part in yₙₒ of every sample n, each time multiplied by xₙᵢ. "
        "What does L feel of all that?",
        "dWₒᵢ = Σₙ dyₙₒ xₙᵢ. The sum runs over the samples, the first axis of both dy and x; the "
        "result is (O, I). Which product of two matrices sums over N?",
        "dW = dy.T @ x: (O, N) times (N, I). b and W do not appear in it.",
    ),
    check=check,
)
