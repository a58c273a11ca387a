"""The steps of variational models that are not layers: the draw of the code, the KL, the weights."""

from __future__ import annotations

import numpy as np

from tinyae.explanation.docstring_sections import equations_for, sections
from tinyae.explanation.provenance import Provenance
from tinyae.explanation.record import Call
from tinyae.explanation.result import Step, quantity
from tinyae.models.importance_weighted import ImportanceWeightedAutoencoder
from tinyae.models.variational import VariationalAutoencoder
from tinyae.param import Array


def add_latent_gradients(call: Call, calls: list[Call], provenance: Provenance) -> None:
    """Label both contributions to dμ and ds: through z, and through the KL."""
    mu, s, dkl = call.given["mu"], call.given["s"], call.given["dkl"]
    provenance.add_value(mu, "μ of the mean head")
    provenance.add_gradient(dkl * mu, "β ∂kl/∂μ of kl")
    provenance.add_gradient(0.5 * dkl * (np.exp(s) - 1), "β ∂kl/∂s of kl")
    through = _through_z(call, calls)
    if through is not None:
        dz, std, eps = through
        provenance.add_gradient(dz, "dz of reparameterisation")
        provenance.add_gradient(0.5 * dz * std * eps, "½ dz ε exp(s/2) of reparameterisation")
        first = next(c for c in calls if c.name.startswith("decoder"))
        z = "z" if first.given["x"].shape == mu.shape else "[z, c], z"
        provenance.add_value(first.given["x"], f"{z} of reparameterisation")


def _through_z(call: Call, calls: list[Call]) -> tuple[Array, Array, Array] | None:
    """dz, σ and ε, computed from the decoder's input and the gradient that it returned."""
    mu, s = call.given["mu"], call.given["s"]
    first = next((c for c in calls if c.name.startswith("decoder")), None)
    if first is None or not isinstance(first.returned, np.ndarray):
        return None
    z, dz = first.given["x"][:, : mu.shape[1]], first.returned[:, : mu.shape[1]]
    if z.shape != mu.shape or dz.shape != mu.shape:
        return None
    std = np.exp(0.5 * s)
    return dz, std, (z - mu) / std


def draw(call: Call, calls: list[Call]) -> Step:
    """The step of the reparameterisation."""
    mu, s = call.given["mu"], call.given["s"]
    doc = sections(VariationalAutoencoder)
    step = Step(
        "reparameterisation",
        "z = μ + σ ε",
        "A draw from N(μ, σ²) written as a function of μ and σ, so that its gradient exists: "
        "ε does not depend on the weights.",
        equations_for(doc["Forward"], "s", "z"),
        equations_for(doc["Backward"], "dz", "dμ", "ds"),
        ["μ, s, ε, z alike, (N, latent_dim)"],
        "Kingma & Welling (2014), §2.4",
    )
    add = step.quantities.append
    add(quantity("μ", "input", mu, "y of the mean head"))
    add(quantity("s", "input", s, "y of the logvar head, clipped to logvar_range"))
    through = _through_z(call, calls)
    if through is not None:
        dz, std, eps = through
        add(quantity("ε", "input", eps, "drawn from N(0, I)"))
        add(quantity("z", "output", mu + std * eps, "μ + exp(s/2) ε"))
        add(quantity("dz", "upstream", dz, "what comes back from the decoder"))
        add(quantity("dμ", "gradient", dz, "this path's share: dz"))
        add(quantity("ds", "gradient", 0.5 * dz * std * eps, "this path's share: ½ dz ε exp(s/2)"))
    return step


def divergence(call: Call) -> Step:
    """The step of the KL divergence."""
    mu, s, dkl = call.given["mu"], call.given["s"], call.given["dkl"]
    doc = sections(VariationalAutoencoder)
    step = Step(
        "kl",
        f"KL(N(μ, σ²) ‖ N(0, I)), β = {call.given['beta']:g}",
        "What the code tells about x, in nats: the price that keeps it near the prior.",
        equations_for(doc["Forward"], "kl", "KLⱼ"),
        equations_for(doc["Backward"], "dμ", "ds"),
        ["μ, s (N, latent_dim)"],
        "Kingma & Welling (2014), appendix B",
        value={key: float(v) for key, v in call.made.items()},
    )
    add = step.quantities.append
    each = 0.5 * (mu * mu + np.exp(s) - 1 - s).mean(axis=0)
    add(quantity("KLⱼ", "output", each, "each dimension's share, in nats"))
    add(quantity("dμ", "gradient", dkl * mu, "this path's share: β μ / N"))
    add(
        quantity(
            "ds", "gradient", 0.5 * dkl * (np.exp(s) - 1), "this path's share: β ½ (eˢ − 1) / N"
        )
    )
    return step


def weighing(call: Call) -> Step:
    """The step that weighs the draws of an importance-weighted model."""
    doc, w = sections(ImportanceWeightedAutoencoder), call.made["w"]
    step = Step(
        "weights",
        f"w̃ₖ = wₖ / Σᵢ wᵢ, K = {len(w)} draws",
        "How much each draw counts: as much as it explains x, more than its own odds of being drawn.",
        equations_for(doc["Forward"], "rₖ", "wₖ", "w̃ₖ", "total"),
        equations_for(doc["Backward"], "dyₖ", "dzₖ", "dμ", "ds"),
        ["wₖ, w̃ₖ (K, N)"],
        "Burda, Grosse & Salakhutdinov (2016), eqs. 8 and 14",
        value={key: float(v) for key, v in call.made.items() if key != "w"},
    )
    add = step.quantities.append
    K = len(w)
    add(
        quantity(
            "ℓₖ", "input", call.given["log_p"].reshape(K, -1), "log p(x | yₖ), of the likelihood"
        )
    )
    ratio = call.given["ratio"].reshape(K, -1)
    add(quantity("rₖ", "input", ratio, "½ Σⱼ (εₖⱼ² + sⱼ − zₖⱼ²)"))
    add(quantity("w̃ₖ", "output", w, "wₖ / Σᵢ wᵢ"))
    return step
