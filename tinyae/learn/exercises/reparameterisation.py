"""21: the VAE's reparameterised draw."""

import numpy as np

from tinyae.learn.examiner import Examiner, Unusable
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    inputs = {
        "mu": np.array([[1.0, 2.0]]),
        "logvar": np.log([[4.0, 0.25]]),
        "eps": np.array([[1.0, -2.0]]),
    }
    mu, logvar, eps = inputs.values()
    with np.errstate(invalid="ignore"):
        root = np.sqrt(logvar)
    known = {
        "z": {
            "The ½ is missing: e^s is the variance σ², and ε is scaled by σ = e^(s/2)": mu
            + np.exp(logvar) * eps,
            "s itself stands here for σ: σ = e^(s/2)": mu + logvar * eps,
            "The sign of s is turned: σ = e^(+s/2)": mu + np.exp(-logvar / 2) * eps,
            "ε is missing: nothing is drawn": mu + np.exp(logvar / 2),
            "The square root of s is taken, which may be negative: σ = e^(s/2) is the root of e^s": mu
            + root * eps,
        }
    }
    e.values("sample", inputs, ("z",), known=known)
    _variance(e)
    e.values("sample_backward", {"dz": np.array([[1.0, 3.0]]), **inputs}, ("dmu", "dlogvar"))
    for N, K in ((7, 5), (3, 2)):
        rng = np.random.default_rng(N)
        inputs = {name: rng.normal(size=(N, K)) for name in ("mu", "logvar", "eps")}
        e.gradient(
            "sample_backward",
            e.solution.sample,
            inputs,
            ("mu", "logvar"),
            arguments=lambda dy, mu, logvar, eps: {
                "dz": dy,
                "mu": mu,
                "logvar": logvar,
                "eps": eps,
            },
            tensors=lambda mu, logvar, eps: {
                "sigma": np.exp(logvar / 2),
                "sigma²": np.exp(logvar),
                "z": mu + np.exp(logvar / 2) * eps,
            },
            sizes={"N": N, "K": K},
        )


def _variance(e: Examiner) -> None:
    """z's own distribution: what a gradient check cannot see."""
    n = 20_000
    eps = np.random.default_rng(0).normal(size=(n, 1))
    inputs = {"mu": np.full((n, 1), 3.0), "logvar": np.full((n, 1), np.log(4.0)), "eps": eps}
    try:
        z = e.results("sample", inputs, ("z",))["z"]
    except Unusable:
        return
    mean, variance = float(z.mean()), float(z.var())
    e.holds(
        "draws",
        "20,000 draws with μ = 3 and s = ln 4: mean 3 ± 0.1, variance 4 ± 0.2",
        abs(mean - 3) < 0.1 and abs(variance - 4) < 0.2,
        f"mean {mean:.3g}, variance {variance:.3g}",
    )


EXERCISE = Exercise(
    title="The VAE's draw",
    fill=("sample", "sample_backward"),
    hints=(
        "ε is a given number, like any constant. Then z = μ + e^(s/2) ε is a plain function of μ and s, "
        "entry by entry: differentiate it in each.",
        "∂z/∂μ = 1. ∂z/∂s = ε times the derivative of e^(s/2), which is ½ e^(s/2): the ½ comes down "
        "from the exponent.",
        "dmu = dz and dlogvar = dz * eps * np.exp(logvar / 2) / 2.",
    ),
    check=check,
)
