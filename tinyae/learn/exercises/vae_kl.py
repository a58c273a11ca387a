"""22: the VAE's KL divergence and β."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    mu, logvar, beta = (
        np.array([[1.0, 0.0], [-2.0, 0.5], [0.0, 1.0]]),
        np.log([[1.0, 4.0], [0.5, 1.0], [2.0, 1.0]]),
        5.0,
    )
    each = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)
    right = beta * each.sum() / 3
    known = {
        "P": {
            "This is the sum over the samples; the KL is their mean, 1/N": beta * each.sum(),
            "This is the mean over all entries; over the K dimensions the KL is a sum": beta
            * each.mean(),
            "β is missing": right / beta,
            "The ½ is missing": 2 * right,
            "The sign is turned: a KL divergence is never negative": -right,
            "Here e^(s/2) stands for the variance e^s": beta
            * 0.5
            * (mu**2 + np.exp(logvar / 2) - 1 - logvar).sum()
            / 3,
            "Here s stands for the variance e^s": beta
            * 0.5
            * (mu**2 + logvar - 1 - logvar).sum()
            / 3,
            "The −1 is missing: where μ = 0 and σ = 1 the KL must be 0": right + beta,
        }
    }
    inputs = {"mu": mu, "logvar": logvar, "beta": beta}
    e.values("kl", inputs, ("P", "dmu", "dlogvar"), known=known)
    for N, K in ((7, 5), (3, 11)):
        rng = np.random.default_rng(N)
        inputs = {
            "mu": rng.normal(size=(N, K)),
            "logvar": rng.normal(size=(N, K)),
            "beta": np.array(0.7),
        }
        e.loss(
            "kl",
            inputs,
            "mu",
            "logvar",
            value="P",
            sizes={"N": N, "K": K},
            tensors=lambda mu, logvar, beta: {"variance": np.exp(logvar)},
        )


EXERCISE = Exercise(
    title="The VAE's price: KL and β",
    fill=("kl",),
    hints=(
        "The sum falls into single entries, and each holds one μ and one s. Differentiate "
        "½ (μ² + e^s − 1 − s) in both.",
        "In μ: the ½ meets the 2, μ is left. In s: ½ (e^s − 1), 0 at σ = 1. Both times β/N, as in P.",
        "dmu = beta * mu / len(mu); dlogvar = beta * 0.5 * (np.exp(logvar) - 1) / len(mu).",
    ),
    check=check,
)
