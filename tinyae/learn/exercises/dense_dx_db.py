"""07: the gradients of a dense layer's input and bias."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    inputs = {
        "dy": np.array([[1.0, 0.0], [10.0, 1.0]]),
        "x": np.ones((2, 3)),
        "W": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        "b": np.zeros(2),
    }
    e.values("dense_dx", inputs, ("dx",))
    e.values("dense_db", inputs, ("db",))
    for N, I, O in ((7, 5, 3), (2, 3, 11)):
        rng = np.random.default_rng(N)
        inputs = {
            "x": rng.normal(size=(N, I)),
            "W": rng.normal(size=(O, I)),
            "b": rng.normal(size=O),
        }
        sizes = {"N": N, "I": I, "O": O}
        e.gradient("dense_dx", e.solution.dense, inputs, ("x",), sizes=sizes)
        e.gradient("dense_db", e.solution.dense, inputs, ("b",), sizes=sizes)


EXERCISE = Exercise(
    title="Dense: the gradients of input and bias",
    fill=("dense_dx", "dense_db"),
    hints=(
        "Ask of one entry: which outputs does it reach, and with which factor? xₙᵢ reaches all O "
        "outputs of its own row n; bₒ reaches output o of every row.",
        "dxₙᵢ = Σₒ dyₙₒ Wₒᵢ: a matrix product that sums over O. dbₒ = Σₙ dyₙₒ: a sum over the rows.",
        "dx = dy @ W, (N, O) times (O, I), without a transpose. db = dy.sum(axis=0).",
    ),
    check=check,
)
