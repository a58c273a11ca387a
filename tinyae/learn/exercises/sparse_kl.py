"""14: the sparse autoencoder's KL penalty."""

import numpy as np

from tinyae.learn.examiner import Examiner
from tinyae.learn.track import Exercise


def check(e: Examiner) -> None:
    z, rho, weight = np.array([[0.1, 0.6], [0.3, 0.8]]), 0.1, 3.0

    def P(q: np.ndarray) -> float:
        kl = rho * np.log(rho / q) + (1 - rho) * np.log((1 - rho) / (1 - q))
        return float(weight * kl.sum())

    q = z.mean(axis=0)
    half = weight * (rho * np.log(rho / q)).sum()
    known = {
        "P": {
            "This is the divergence of each single zₙⱼ, averaged: take the mean over the samples "
            "first, then the divergence": P(z) / len(z),
            "This is the divergence of each single zₙⱼ, summed: take the mean over the samples "
            "first, then the divergence": P(z),
            "q is taken over the units here: average over the samples, axis 0": P(z.mean(axis=1)),
            "One mean over everything: each unit j has its own qⱼ": P(np.array([z.mean()])),
            "The second term, of 1 − ρ, is missing": half,
            "The weight λ is missing": P(q) / weight,
            "This is a mean over the units; the penalty is their sum": P(q) / 2,
            "ρ and q have changed places: it is ln ρ/q, weighted by ρ": weight
            * (q * np.log(q / rho) + (1 - q) * np.log((1 - q) / (1 - rho))).sum(),
        }
    }
    e.values("kl_sparsity", {"z": z, "rho": rho, "weight": weight}, ("P", "dz"), known=known)

    def named(z: np.ndarray, rho: float, weight: float) -> dict[str, np.ndarray]:
        return {"q": z.mean(axis=0) + 0 * z}

    for N, K in ((7, 5), (3, 11)):
        rng = np.random.default_rng(N)
        inputs = {
            "z": rng.uniform(0.1, 0.9, size=(N, K)),
            "rho": np.array(0.2),
            "weight": np.array(3.0),
        }
        sizes = {"N": N, "K": K}
        e.loss("kl_sparsity", inputs, "z", value="P", tensors=named, sizes=sizes)


EXERCISE = Exercise(
    title="The sparse autoencoder's penalty",
    fill=("kl_sparsity",),
    hints=(
        "Go in two steps, as the equation does: from P to q, and from q to z. The first is a "
        "derivative entry by entry; the second is that of a mean.",
        "dP/dqⱼ = λ [(1 − ρ)/(1 − qⱼ) − ρ/qⱼ]: minus where the unit is too quiet. And ∂qⱼ/∂zₙⱼ = 1/N "
        "for every n.",
        "dq = weight * ((1 - rho) / (1 - q) - rho / q); dz = np.ones_like(z) * dq / len(z).",
    ),
    check=check,
)
