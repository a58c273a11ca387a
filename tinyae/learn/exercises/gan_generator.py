"""23: the GAN generator's loss, through the discriminator."""

from typing import Any

import numpy as np

from tinyae.learn.examiner import Examiner, Unusable
from tinyae.learn.track import Exercise
from tinyae.param import Array


def check(e: Examiner) -> None:
    s = np.array([0.0, 2.0, -1.0])
    p = 1 / (1 + np.exp(-s))
    known = {
        "L": {
            "This is the mean of −ln(1 − σ(s)), the loss of calling x false; the generator wants x "
            "called real": -np.log(1 - p).mean(),
            "This is the mean of ln(1 − σ(s)), the loss that saturates: take −ln σ(s)": np.log(
                1 - p
            ).mean(),
            "The sign is turned: ln σ(s) is negative, L is positive": np.log(p).mean(),
            "This is the sum; L is the mean over the N samples": -np.log(p).sum(),
        }
    }
    e.values("generator_loss", {"s": s}, ("L", "ds"), known=known)
    for N in (7, 11):
        e.loss(
            "generator_loss", {"s": np.random.default_rng(N).normal(size=N)}, "s", sizes={"N": N}
        )
    if e.good:
        _far_out(e)
    if any(row.mark == "no" for row in e.rows):
        return  # generator_gradients stands on generator_loss

    def L(z: Any, A: Any, a: Any, w: Any) -> float:
        return float(e.solution.generator_loss(e.solution.generate(z, A, a) @ w)[0])

    def named(z: Any, A: Any, a: Any, w: Any) -> dict[str, Array]:
        x = e.solution.generate(z, A, a)
        return {"x": x, "1 - x²": 1 - x**2, "s": x @ w, "pre-activation": z @ A.T + a}

    for N, K, D in ((7, 3, 5), (3, 2, 11)):
        rng = np.random.default_rng(N)
        inputs = {
            "z": rng.normal(size=(N, K)),
            "A": rng.normal(size=(D, K)),
            "a": rng.normal(size=D),
            "w": rng.normal(size=D),
        }
        e.gradient(
            "generator_gradients",
            L,
            inputs,
            ("A", "a"),
            upstream=False,
            tensors=named,
            sizes={"N": N, "K": K, "D": D},
        )


def _far_out(e: Examiner) -> None:
    far = {"s": np.array([1000.0, -1000.0])}
    try:
        found = e.results("generator_loss", far, ("L", "ds"))
    except Unusable:
        return
    e.holds(
        "far out",
        "s = [1000, −1000]: L = 500, ds = [0, −½]",
        bool(np.isclose(found["L"], 500)) and bool(np.allclose(found["ds"], [0, -0.5])),
        f"L is {found['L']:.6g}, ds {found['ds'].tolist()}. Use max(−s, 0) + ln(1 + e^−|s|), and "
        "the sigmoid that is there",
    )


EXERCISE = Exercise(
    title="The GAN's generator",
    fill=("generator_loss", "generator_gradients"),
    hints=(
        "generator_loss is exercise 03 with all targets 1. For the gradients write the chain "
        "z → x → s → L and walk it back; w is only passed through.",
        "ds = (σ(s) − 1)/N, one number a sample. s = x w, so dxₙ = dsₙ w: a column times a row. Then "
        "tanh (exercise 09) and a dense layer (06, 07).",
        "dx = ds[:, None] * w; dg = dx * (1 - x**2); dA = dg.T @ z; da = dg.sum(axis=0).",
    ),
    check=check,
)
