"""28: vector quantisation, with the straight-through estimate."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    z, E = (
        np.array([[1.0, 1.0], [0.0, 3.0], [5.0, 4.0]]),
        np.array([[0.0, 2.0], [5.0, 5.0], [9.0, 9]]),
    )
    dq, beta = np.array([[1.0, 0.0], [0.0, 10.0], [-1.0, 2.0]]), 0.5
    k = e.solution.nearest(z, E)
    gap = z - E[k]
    once, as_q = np.zeros((3, 2)), np.zeros((3, 2))
    once[k] += -2 * gap / z.size
    dz, dE = e.solution.quantise_backward(dq, z, E, beta)
    np.add.at(as_q, k, dq)
    known = {
        "dz": {
            "dq is not handed on to z: without it the encoder never learns from R": dz - dq,
            "P's second term, which commits z to its code, is missing": dq,
            "β is missing": dq + 2 * gap / z.size,
            "P's first term moves the table alone: there z is held": dz + 2 * gap / z.size,
            "The sign of the commitment is turned: it must draw z to its code": 2 * dq - dz,
        },
        "dE": {
            "dq is handed to z and not to E": dE + as_q,
            "P's first term has no β; its second does not move E": beta * dE,
            "P's second term moves z alone: there q is held": (1 + beta) * dE,
            "Of a code that several z have chosen only one is counted: use np.add.at": once,
            "The sign is turned: the code must be drawn to its z": -dE,
        },
    }
    inputs = {"dq": dq, "z": z, "E": E, "beta": beta}
    e.values("quantise_backward", inputs, ("dz", "dE"), known=known)
    for N, K, D in ((7, 3, 5), (11, 4, 2)):
        _held(e, N, K, D)


def _held(e: Examiner, N: int, K: int, D: int) -> None:
    """The gradients of L with all that is held kept at its value."""
    rng = np.random.default_rng(N)
    z0, E0 = rng.normal(size=(N, D)), rng.normal(size=(K, D))
    k = e.solution.nearest(z0, E0)
    q0 = E0[k]

    def L(dq: Any, z: Any, E: Any, beta: Any) -> float:
        y = z + (q0 - z0)
        return float((dq * y).sum() + ((z0 - E[k]) ** 2).mean() + beta * ((z - q0) ** 2).mean())

    e.gradient(
        "quantise_backward",
        L,
        {"dq": rng.normal(size=(N, D)), "z": z0, "E": E0, "beta": np.array(0.37)},
        ("z", "E"),
        upstream=False,
        tensors={"(z − q)": z0 - q0},  # as arrays: what is held belongs to these inputs
        sizes={"N": N, "K": K, "D": D},
        rows={"the codes that several z have chosen": np.flatnonzero(np.bincount(k) > 1).tolist()},
    )


EXERCISE = Exercise(
    title="Straight through: vector quantisation",
    fill=("quantise_backward",),
    hints=(
        "Go by the three rules, one after the other, and write beside each which of z and E it moves. "
        "Then each is the derivative of a mean of squares, exercise 01.",
        "dz has two shares: dq itself, and β · 2 (z − q)/(N·D). dE has one, from P's first term: "
        "each row n gives −2 (zₙ − qₙ)/(N·D) to row kₙ of the table, and rows that several n have "
        "chosen add (exercise 26).",
        "gap = z - E[k]; dz = dq + beta * 2 * gap / z.size; dE = np.zeros_like(E); "
        "np.add.at(dE, k, -2 * gap / z.size).",
    ),
    check=check,
)
