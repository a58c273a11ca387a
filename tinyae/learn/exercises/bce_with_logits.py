"""03: binary cross-entropy from logits."""

import numpy as np

from tinyae.learn.examiner import Examiner, Unusable
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    y, t = np.array([[0.0, 2.0], [-1.0, 0.5]]), np.array([[1.0, 0.0], [0.25, 1.0]])
    each = np.maximum(y, 0) - y * t + np.log1p(np.exp(-np.abs(y)))
    known = {
        "L": {
            "This is the sum; L is the mean over all n entries": each.sum(),
            "This is the sum divided by the number of rows; divide by all n entries": each.sum()
            / len(y),
            "The sign is turned: a logarithm of a probability is negative, L is positive": -each.mean(),
            "Here y t has the wrong sign": (each + 2 * y * t).mean(),
            "The term with (1 − t) is missing": -(t * np.log(1 / (1 + np.exp(-y)))).mean(),
        }
    }
    e.values("bce_with_logits", {"y": y, "t": t}, ("L", "dy"), known=known)
    for shape in ((7, 5), (2, 3, 11)):
        rng = np.random.default_rng(len(shape))
        inputs = {"y": rng.normal(size=shape), "t": rng.uniform(size=shape)}
        sizes = dict(zip(("rows", "columns"), shape)) if len(shape) == 2 else None
        e.loss("bce_with_logits", inputs, "y", sizes=sizes)
    far = {"y": np.array([1000.0, -1000.0, 1000.0]), "t": np.array([1.0, 0.0, 0.0])}
    if not e.good:
        return  # what is wrong near 0 is wrong far out as well
    try:
        found = e.results("bce_with_logits", far, ("L", "dy"))
    except Unusable:
        return
    what = "y = [1000, −1000, 1000], t = [1, 0, 0]"
    e.holds(
        "far out",
        f"{what}: L = 1000/3, the surprise of one sure mistake",
        bool(np.isclose(found["L"], 1000 / 3)),
        f"L is {found['L']:.6g}. Use the second form of L, in which nothing overflows",
    )
    right = np.array([0, 0, 1 / 3])
    e.holds(
        "far out",
        f"{what}: dy = [0, 0, 1/3]",
        found["dy"].shape == (3,) and bool(np.allclose(found["dy"], right)),
        f"dy is {found['dy']}. Through ln p the derivative is 0/0 here; as one function of y it "
        "is (σ(y) − t) / n, with a σ that does not overflow",
    )


EXERCISE = Exercise(
    title="Binary cross-entropy from logits",
    fill=("bce_with_logits",),
    hints=(
        "Differentiate one entry, t ln p + (1 − t) ln (1 − p), first in p and then p in y. "
        "Simplify before you write any code: σ′ = p (1 − p) is in there to cancel.",
        "With p = σ(y): d/dy ln p = 1 − p and d/dy ln (1 − p) = −p. Put both together with their "
        "weights t and 1 − t, then the minus and the 1/n.",
        "dy = (sigmoid(y) - t) / y.size. For L use the second form: "
        "np.mean(np.maximum(y, 0) - y * t + np.log1p(np.exp(-np.abs(y)))).",
    ),
    check=check,
)
