"""09: sigmoid and tanh, from the output."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    dy = np.array([[1.0, 10.0], [-2.0, 4.0]])
    e.values("sigmoid_backward", {"dy": dy, "y": np.array([[0.5, 0.1], [0.9, 1.0]])}, ("dx",))
    e.values("tanh_backward", {"dy": dy, "y": np.array([[0.0, 0.5], [-0.9, 1.0]])}, ("dx",))
    for name, f in (("sigmoid", e.solution.sigmoid), ("tanh", e.solution.tanh)):
        for shape in ((7, 5), (2, 3, 11)):
            x = np.random.default_rng(len(shape)).normal(size=shape)
            e.gradient(
                f"{name}_backward",
                f,
                {"x": x},
                ("x",),
                arguments=lambda dy, x, f=f: {"dy": dy, "y": f(x)},
                tensors=lambda x, f=f: {"y": f(x), "1 - y": 1 - f(x), "1 - y²": 1 - f(x) ** 2},
            )


EXERCISE = Exercise(
    title="Sigmoid and tanh, from the output",
    fill=("sigmoid_backward", "tanh_backward"),
    hints=(
        "Differentiate y in x as usual; then try to write the result with y alone. For the "
        "sigmoid, note that e⁻ˣ = 1/y − 1.",
        "sigmoid: dy/dx = y (1 − y). tanh: dy/dx = 1 − y². What the function is given is y: no "
        "sigmoid or tanh is to be taken again.",
        "return dy * y * (1 - y), and return dy * (1 - y**2).",
    ),
    check=check,
)
