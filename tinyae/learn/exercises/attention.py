"""29: softmax attention."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array

GIVES = ("dq", "dk", "dv")


def check(e: Examiner) -> None:
    def named(q: Any, k: Any, v: Any) -> dict[str, Array]:
        P = e.solution.softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
        return {"P": P, "o": P @ v}

    small = {
        "do": np.array([[[1.0, 0.0]]]),
        "q": np.array([[[np.log(3.0), 0.0, 0.0, 0.0]]]),
        "k": np.array([[[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]]),
        "v": np.array([[[1.0, 2.0], [5.0, -1.0]]]),
    }
    e.values("attention_backward", small, GIVES)
    for N, T, M, d, width in ((2, 3, 5, 7, 4), (3, 4, 2, 5, 6)):
        rng = np.random.default_rng(d)
        inputs = {
            "q": rng.normal(size=(N, T, d)),
            "k": rng.normal(size=(N, M, d)),
            "v": rng.normal(size=(N, M, width)),
        }
        e.gradient(
            "attention_backward",
            e.solution.attention,
            inputs,
            ("q", "k", "v"),
            arguments=lambda dy, q, k, v: {"do": dy, "q": q, "k": k, "v": v},
            tensors=named,
            sizes={"N": N, "T": T, "M": M, "d": d, "e": width},
        )


EXERCISE = Exercise(
    title="Softmax attention",
    fill=("attention_backward",),
    hints=(
        "Backward begins at the last line: from do, what are the gradients of P and of v? Then P came "
        "from a softmax of S, and S from a product again. Let the shapes say what is transposed.",
        "o = P v gives dP = do vᵀ and dv = Pᵀ do. The softmax gives dS = P · (dP − Σ dP P), with the "
        "sum along the last axis. S = q kᵀ/√d gives dq = dS k/√d and dk = dSᵀ q/√d.",
        "dv = P.swapaxes(-1, -2) @ do; dP = do @ v.swapaxes(-1, -2); "
        "dS = P * (dP - (dP * P).sum(axis=-1, keepdims=True)); dq = dS @ k / np.sqrt(d); "
        "dk = dS.swapaxes(-1, -2) @ q / np.sqrt(d).",
    ),
    check=check,
)
