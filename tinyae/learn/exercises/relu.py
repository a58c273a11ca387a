"""08: ReLU and leaky ReLU."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise

NAMED = {
    "relu": lambda x: {"mask": (x > 0).astype(float)},
    "leaky_relu": lambda x: {"slope": np.where(x > 0, 1, ALPHA)},
}
ALPHA = 0.3


def check(e: Examiner) -> None:
    x = np.array([[2.0, -2.0, 0.0], [-1.0, 3.0, -0.5]])
    dy = np.array([[1.0, 10.0, 5.0], [-2.0, -3.0, 4.0]])
    for name, y in (("relu", e.solution.relu), ("leaky_relu", e.solution.leaky_relu)):
        slope = np.where(x >= 0, 1.0, ALPHA if name == "leaky_relu" else 0.0)
        kink = "At the kink, x = 0, the slope of the left side is asked for"
        known = {"dx": {kink: dy * slope}}
        e.values(f"{name}_backward", {"dy": dy, "x": x}, ("dx",), known=known)
        for shape in ((7, 5), (2, 3, 11)):
            x_random = np.random.default_rng(len(shape)).normal(size=shape)
            e.gradient(f"{name}_backward", y, {"x": x_random}, ("x",), tensors=NAMED[name])


EXERCISE = Exercise(
    title="ReLU and leaky ReLU",
    fill=("relu_backward", "leaky_relu_backward"),
    hints=(
        "Entry by entry: dx = dy · f′(x). The curve has two straight pieces; what is the slope of "
        "each, and what decides on which piece an entry lies?",
        "f′ is 1 where x > 0. Elsewhere it is 0 for the ReLU, α for the leaky one. It depends on x, "
        "from the forward pass; dy is only multiplied.",
        "relu: dy * (x > 0). leaky: dy * np.where(x > 0, 1.0, ALPHA).",
    ),
    check=check,
)
