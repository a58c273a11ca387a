"""The sparse autoencoder: the plain one, with a penalty on the code.

L1Sparsity    the sum of |z|: few units far from zero
KLSparsity    the divergence of each unit's mean activation from a target
TopK          no penalty but a constraint: a layer at the encoder's end (:mod:`tinyae.layers.topk`)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.arguments import number
from tinyae.layers import Layer
from tinyae.losses import Loss, check_range
from tinyae.models.autoencoder import Autoencoder
from tinyae.models.base import Terms
from tinyae.models.checks import check_parts, check_weight
from tinyae.param import Array


class Penalty:
    """``value, dz = penalty(z)``: the penalty of a batch of codes, and its gradient."""

    def __call__(self, z: Array) -> tuple[float, Array]:
        raise NotImplementedError


class L1Sparsity(Penalty):
    """The absolute value of the code, summed over units and averaged over the batch.

    Forward   value = weight · 1/N Σₙ Σⱼ |zₙⱼ|
    Shapes    z (N, …): every entry of a code is a unit j, also in an image
    Backward  dz = weight / N · sign z,   0 where z = 0
    Units     the code's, times ``weight``, a sample
    Raises    ValueError unless weight ≥ 0
    Source    Olshausen & Field (1996), eq. 2, with S(z) = |z|

    The decoder can evade the penalty: a code half as large and a matrix twice as large give the
    same reconstruction. Tie the weights, use weight decay, or end the encoder in a bounded
    activation.
    """

    def __init__(self, weight: float = 1e-4) -> None:
        self.weight = check_weight("L1Sparsity", "weight", weight, "1e-3")

    def __call__(self, z: Array) -> tuple[float, Array]:
        scale = self.weight / len(z)
        return scale * float(np.abs(z).sum(dtype=np.float64)), np.sign(z) * z.dtype.type(scale)

    def __repr__(self) -> str:
        return f"L1Sparsity({self.weight})"


class KLSparsity(Penalty):
    """Each unit's mean activation ρ̂ⱼ, held near the target ρ.

    Forward   ρ̂ⱼ = 1/N Σₙ zₙⱼ
              value = weight · Σⱼ KL(ρ‖ρ̂ⱼ),   KL = ρ ln ρ/ρ̂ + (1 − ρ) ln (1 − ρ)/(1 − ρ̂)
    Shapes    z (N, …), in [0, 1]: end the encoder in Sigmoid. Every entry of a code is a unit j;
              in an image, every place is a unit of its own
    Backward  dzₙⱼ = weight / N · [(1 − ρ)/(1 − ρ̂ⱼ) − ρ/ρ̂ⱼ]: every sample contributes 1/N of ρ̂
    Units     nats, times ``weight``, summed over units; of the batch, not of a sample: it is the
              KL of a mean, which is a little smaller for a larger batch
    Raises    ValueError if z leaves [0, 1], unless 0 < target < 1 and weight ≥ 0
    Source    Ng, CS294A lecture notes, Sparse autoencoder (2011), §3

    Value and slope are computed at ρ̂ clipped to [ε, 1 − ε], ε the dtype's machine epsilon, so a
    dead unit still gets a gradient. Ng's β weighs the penalty against ½ Σᵢ (yᵢ − xᵢ)², a sum over
    the D entries of a sample. MSE is their mean, so β corresponds to weight = 2β/D: for 28 × 28
    pixels, β = 3 is 0.0077.
    """

    def __init__(self, target: float = 0.05, weight: float = 3.0) -> None:
        self.target = number("KLSparsity", "target", target, 0.05)
        if not 0 < target < 1:
            raise ValueError(
                f"KLSparsity: target is {target}, expected 0 < target < 1, the share of samples "
                "that a unit is active for; pass e.g. 0.05"
            )
        self.weight = check_weight("KLSparsity", "weight", weight, "1e-3")

    def __call__(self, z: Array) -> tuple[float, Array]:
        check_range("KLSparsity: the code z", z, (0.0, 1.0), "end the encoder in Sigmoid()")
        eps = np.finfo(z.dtype).eps
        rho, rho_hat = self.target, np.clip(z.mean(axis=0, dtype=np.float64), eps, 1 - eps)
        kl = rho * np.log(rho / rho_hat) + (1 - rho) * np.log((1 - rho) / (1 - rho_hat))
        slope = (1 - rho) / (1 - rho_hat) - rho / rho_hat  # ∂KL/∂ρ̂
        dz = (self.weight / len(z) * slope).astype(z.dtype)
        return self.weight * float(kl.sum()), np.broadcast_to(dz, z.shape)

    def __repr__(self) -> str:
        return f"KLSparsity({self.target}, weight={self.weight})"


class SparseAutoencoder(Autoencoder):
    """The plain autoencoder with a penalty on the code.

    Forward   z = f(x)      y = g(z)      total = reconstruction + sparsity = L(y, x) + Ω(z)
    Shapes    x (N, …)   z (N, latent_dim) or any, often wider than x   y as x
    Backward  dz = J_gᵀ dy + ∂Ω/∂z, then through the encoder
    Units     reconstruction: the loss's; sparsity: the penalty's, weight included
    Source    Ng, CS294A lecture notes, Sparse autoencoder (2011), §3

    ``evaluate`` applies the penalty to the codes that ``encode`` returns.
    """

    def __init__(self, encoder: Layer, decoder: Layer, loss: Loss, penalty: Penalty) -> None:
        super().__init__(encoder, decoder, loss)
        check_parts(type(self).__name__, Penalty, penalty=penalty)
        self.penalty = penalty

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.input_and_target(x, rng)
        z, _ = self.encoder.forward(source)
        y, _ = self.decoder.forward(z)
        L, _ = self.loss(y, target)
        omega, _ = self.penalty(z)
        return {"total": L + omega, "reconstruction": L, "sparsity": omega}

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.input_and_target(x, rng)
        z, encoder_cache = self.encoder.forward(source)
        L, dz = self.decoder_step(z, target)
        omega, dz_penalty = self.penalty(z)
        self.encoder.backward_params(dz + dz_penalty, encoder_cache)
        return {"total": L + omega, "reconstruction": L, "sparsity": omega}

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        source, target = self.input_and_target(x, rng)
        z = self.encoder(source)
        L = self.loss.evaluate(self.decoder(z), target)
        omega, _ = self.penalty(z)
        return {"total": L + omega, "reconstruction": L, "sparsity": omega}
