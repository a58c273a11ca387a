"""04: softmax and cross-entropy."""

import numpy as np

from tinyae.learn.examiner import Examiner, Unusable
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    y, t = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), np.array([1, 2])
    log_p = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    picked = log_p[np.arange(2), t]
    known = {
        "L": {
            "This is the sum over the rows; L is their mean": -picked.sum(),
            "This divides by all N·K entries; the mean is over the N rows": -picked.sum() / y.size,
            "The sign is turned: ln p is negative, L is positive": picked.mean(),
            "This is the mean probability: its logarithm is missing": -np.exp(picked).mean(),
            "The sum Σⱼ runs over all entries here; each row has its own": _sum_of_all(y, t),
        }
    }
    e.values("softmax_cross_entropy", {"y": y, "t": t}, ("L", "dy"), known=known)
    for rows, classes in ((7, 5), (11, 3)):
        rng = np.random.default_rng(rows)
        inputs = {"y": rng.normal(size=(rows, classes)), "t": rng.integers(0, classes, rows)}
        e.loss("softmax_cross_entropy", inputs, "y", sizes={"N": rows, "K": classes})
    far = {"y": np.array([[1000.0, 0.0], [-1000.0, 0.0]]), "t": np.array([0, 0])}
    if not e.good:
        return  # what is wrong near 0 is wrong far out as well
    try:
        found = e.results("softmax_cross_entropy", far, ("L", "dy"))
    except Unusable:
        return
    ok = bool(np.isclose(found["L"], 500)) and bool(
        np.allclose(found["dy"], [[0.0, 0.0], [-0.5, 0.5]])
    )
    e.holds(
        "far out",
        "y = [[1000, 0], [−1000, 0]], t = [0, 0]: L = 500, dy = [[0, 0], [−½, ½]]",
        ok,
        f"L is {found['L']:.6g}, dy {found['dy'].tolist()}. Subtract each row's maximum first, and "
        "take ln p as y − ln Σ e^y: a p that has become 0 has no logarithm",
    )


def _sum_of_all(y: np.ndarray, t: np.ndarray) -> float:
    y = y - y.max(axis=1, keepdims=True)
    return float(-(y - np.log(np.exp(y).sum()))[np.arange(len(y)), t].mean())


EXERCISE = Exercise(
    title="Softmax and cross-entropy",
    fill=("softmax_cross_entropy",),
    hints=(
        "Take one row, with right class t: L = ln Σⱼ e^yⱼ − yₜ. Differentiate this in one score yₖ: "
        "the first term for any k, the second only for k = t.",
        "The first term's derivative is pₖ. The second's is −1 at the right class and 0 elsewhere. "
        "And each row has its share, 1/N, in the mean.",
        "With rows = np.arange(len(y)): dy = p; dy[rows, t] -= 1; dy /= len(y).",
    ),
    check=check,
)
