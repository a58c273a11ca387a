"""01: mean squared error."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    y, t = (
        np.array([[1.0, 2.0, 4.0], [0.0, 5.0, 3.0]]),
        np.array([[0.0, 2.0, 1.0], [0.0, 3.0, 5.0]]),
    )
    d = y - t
    known = {
        "L": {
            "This is the sum; L is the mean over all n entries": np.sum(d**2),
            "This is the sum divided by the number of rows; divide by all n entries": np.sum(d**2)
            / len(d),
            "This is the mean of the absolute values: square them": np.mean(np.abs(d)),
            "This is half of it: the ½ that some books put before is not in this equation": np.mean(
                d**2
            )
            / 2,
            "This is the root of it": np.sqrt(np.mean(d**2)),
        }
    }
    e.values("mse", {"y": y, "t": t}, ("L", "dy"), known=known)
    for shape in ((7, 5), (3, 2, 11)):
        rng = np.random.default_rng(len(shape))
        sizes = dict(zip(("rows", "columns"), shape)) if len(shape) == 2 else None
        inputs = {"y": rng.normal(size=shape), "t": rng.normal(size=shape)}
        e.loss("mse", inputs, "y", sizes=sizes)


EXERCISE = Exercise(
    title="Mean squared error",
    fill=("mse",),
    hints=(
        "Take one entry first: how does 1/n (y − t)² move when y moves? The other entries do not "
        "contain this y, so their derivative is zero.",
        "dy has y's shape: each entry is the derivative of its own square, 2 (y − t), times the "
        "factor that stands before the sum.",
        "dy = 2 * (y - t) / y.size, where y.size counts all entries, not only the rows. And "
        "L = np.mean((y - t) ** 2).",
    ),
    check=check,
)
