"""31: diffusion's loss, seen from what the network says."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise
from tinyae.param import Array


def check(e: Examiner) -> None:
    x, eps = np.array([[1.0, 0.0], [2.0, -1.0]]), np.array([[0.0, 1.0], [-1.0, 0.5]])
    o, a = np.array([[0.5, 0.0], [1.0, 1.0]]), np.array([0.6, 0.8])
    col = a[:, None]
    s = np.sqrt(1 - col**2)
    error, v = o - x, col * eps - s * x
    plain, weighted = (error**2).mean(), (col**2 / s**2 * error**2)
    known = {
        "L": {
            "This is the plain error of x̂; L is that of the noise ε̂ which x̂ implies": plain,
            "This is the sum; L is the mean over all n entries": weighted.sum(),
            "This is the sum divided by the samples; divide by all n entries": weighted.sum() / 2,
            "a/s stands here for its square": (col / s * error**2).mean(),
        },
        "do": {
            "This is the plain error's slope: ε̂ moves by −a/s when x̂ moves by 1": 2
            * error
            / o.size,
            "The factor a/s is there once: it comes from L's square and from ε̂": 2
            * col
            / s
            * error
            / o.size,
            "The sign is turned: ε̂ falls where x̂ rises": -2 * col**2 / s**2 * error / o.size,
        },
    }
    e.values("clean_loss", {"o": o, "x": x, "eps": eps, "a": a}, ("L", "do"), known=known)
    error = o - v
    weighted = col**2 * error**2
    known = {
        "L": {
            "This is the plain error of v̂; L is that of the noise ε̂ which v̂ implies": (
                error**2
            ).mean(),
            "This is the sum; L is the mean over all n entries": weighted.sum(),
            "a stands here for its square": (col * error**2).mean(),
        },
        "do": {
            "This is the plain error's slope: ε̂ moves by a when v̂ moves by 1": 2 * error / o.size,
            "The factor a is there once: it comes from L's square and from ε̂": 2
            * col
            * error
            / o.size,
        },
    }
    e.values("velocity_loss", {"o": o, "x": x, "eps": eps, "a": a}, ("L", "do"), known=known)
    for N, D in ((7, 5), (3, 11)):
        rng = np.random.default_rng(N)
        inputs = {
            "o": rng.normal(size=(N, D)),
            "x": rng.normal(size=(N, D)),
            "eps": rng.normal(size=(N, D)),
            "a": rng.uniform(0.2, 0.95, size=N),
        }
        for name in ("clean_loss", "velocity_loss"):
            e.loss(name, inputs, "o", sizes={"N": N, "D": D}, tensors=_named)


def _named(o: Array, x: Array, eps: Array, a: Array) -> dict[str, Array]:
    s = np.sqrt(1 - a**2)
    return {"a": a[:, None] + 0 * o, "s": s[:, None] + 0 * o, "a/s": (a / s)[:, None] + 0 * o}


EXERCISE = Exercise(
    title="Diffusion's loss, and its weight",
    fill=("clean_loss", "velocity_loss"),
    hints=(
        "Write ε̂ as a function of o alone; all else is given. L is exercise 01 in ε̂. What is the slope "
        "of ε̂ in o, for one sample?",
        "∂L/∂ε̂ = 2 (ε̂ − ε)/n. In x̂ the slope of ε̂ is −a/s, in v̂ it is a; both are one number for each "
        "sample, as a column (N, 1).",
        "With xt, a, s = noised(x, eps, a): gap = (xt - a * o) / s - eps; do = -2 * gap / gap.size "
        "* a / s. And gap = s * xt + a * o - eps; do = 2 * gap / gap.size * a. In both "
        "L = np.mean(gap**2).",
    ),
    check=check,
)
