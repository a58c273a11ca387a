"""30: the GRU cell."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array

GIVES = ("dx", "dh", "dW", "dU", "db")


def check(e: Examiner) -> None:
    def named(x: Any, h: Any, W: Any, U: Any, b: Any) -> dict[str, Array]:
        r, z, n, cn = e.solution.gates(x, h, W, U, b)
        return {
            "r": r,
            "z": z,
            "n": n,
            "cn": cn,
            "1 - z": 1 - z,
            "1 - n²": 1 - n**2,
            "h - n": h - n,
        }

    small = {
        "dy": np.array([[8.0]]),
        "x": np.array([[1.0]]),
        "h": np.array([[2.0]]),
        "W": np.array([[0.0], [1.0], [0.0]]),
        "U": np.array([[0.0], [0.0], [0.5]]),
        "b": np.array([0.0, -1.0, -0.5]),
    }
    e.values("gru_backward", small, GIVES)
    for N, D, H in ((7, 5, 3), (3, 2, 4)):
        rng = np.random.default_rng(N)
        inputs = {
            "x": rng.normal(size=(N, D)),
            "h": rng.normal(size=(N, H)),
            "W": rng.normal(size=(3 * H, D)) / 2,
            "U": rng.normal(size=(3 * H, H)) / 2,
            "b": rng.normal(size=3 * H) / 2,
        }
        e.gradient(
            "gru_backward",
            e.solution.gru,
            inputs,
            ("x", "h", "W", "U", "b"),
            tensors=named,
            sizes={"N": N, "D": D, "H": H},
            rows={f"those of {g}": range(i * H, (i + 1) * H) for i, g in enumerate("rzn")},
        )


EXERCISE = Exercise(
    title="The GRU cell",
    fill=("gru_backward",),
    hints=(
        "Begin with y = (1 − z) n + z h: it gives dz, dn and the first share of dh. Then n, then r and "
        "z: each is a known slope (exercise 09) times what came in. Mind who uses cn, and who uses r.",
        "dz = dy (h − n), dn = dy (1 − z). From n: dan = dn (1 − n²), dcn = dan r, dr = dan cn. From "
        "the gates: dar = dr r (1 − r), daz = dz z (1 − z), and the same for cr and cz. Then a and c.",
        "da = np.hstack([dar, daz, dan]); dc = np.hstack([dar, daz, dcn]); dx = da @ W; dW = da.T @ x; "
        "db = da.sum(axis=0); dU = dc.T @ h; dh = dy * z + dc @ U.",
    ),
    check=check,
)
