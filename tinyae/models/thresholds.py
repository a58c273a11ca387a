"""Dictionaries whose features have thresholds of their own: JumpReLU and gated.

A step from absent to present has no slope. JumpReLU estimates one; the gated dictionary learns its
gate from a second objective. Both punish the number of features in place of fixing it.

The papers' objectives are sums over the D numbers of x; here both are divided by D, as the mean
squared error is. So λ means the same for any D. For one feature apart, of which x has the amount a:
JumpReLU keeps it where a² > λ, and the gate's score is a − λ/2.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import number
from tinyae.initializers import Initializer
from tinyae.models.base import Terms
from tinyae.models.checks import check_weight
from tinyae.models.dictionary import Dictionary, directions
from tinyae.param import Array, Param


class JumpReLUSAE(Dictionary):
    """A feature is present where its score exceeds a learnt threshold θ; then all of it counts.

    Forward   θ = e^logθ      m = 1 where a > θ      z = a ∘ m;   a, y and the other terms as in TopKSAE
              sparsity = λ/D · 1/N Σ m      total = reconstruction + sparsity + revival
    Shapes    logθ, θ (M,)
    Backward  da = dz ∘ m      dθ = −Σₙ (θ dz + λ/(N D)) ∘ K,   K = 1/ε where |a − θ| < ε/2, else 0
              dlogθ = θ ∘ dθ. Of dθ it is an estimate: m jumps at θ, and K stands for the jump's slope
    Units     sparsity: features a sample, times λ/D, λ = ``weight``; ε = ``bandwidth``, the scores' unit
    Source    Rajamanoharan et al. (2024), "Jumping ahead", eqs. 11 and 12
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        weight: float = 0.1,
        *,
        initial_theta: float = 0.01,
        bandwidth: float = 0.01,
        dead_after: int = 100_000,
        dead_k: int = 256,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(
            in_features,
            features,
            dead_after=dead_after,
            dead_k=dead_k,
            rng=rng,
            init=init,
            dtype=dtype,
        )
        self.weight = check_weight("JumpReLUSAE", "weight", weight, "0.1")
        self.initial_theta = _positive("initial_theta", initial_theta)
        self.bandwidth = _positive("bandwidth", bandwidth)
        self.log_theta = Param(np.full(self.features, math.log(self.initial_theta), self.be.dtype))

    def objective(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        a, _ = self.scores(x)
        z, _, _, count = self.jump(a, x)
        return self._with_sparsity(self._step(x, z, self.dead_scores(a))[0], count)

    def backprop(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        a, c = self.scores(x)
        z, m, K, count = self.jump(a, x)
        u = self.dead_scores(a)
        terms, dz, du = self._step(x, z, u, learn=True)
        theta = np.exp(self.log_theta.value)
        dtheta = -((theta * dz + self.weight / x.size) * K).sum(axis=0)
        self.log_theta.grad += theta * dtheta
        da = dz * m if u is None or du is None else dz * m + du * (u != 0)
        self.scores_backward(da, c)
        self.after_step(a, m)
        return self._with_sparsity(terms, count)

    def evaluate_batch(self, x: Array, rng: np.random.Generator) -> Terms:
        a, _ = self.scores(x)
        z = a * self.select(a)
        return self._with_sparsity(self._step(x, z, None)[0], float((z != 0).sum() / len(x)))

    def jump(self, a: Array, x: Array) -> tuple[Array, Array, Array, float]:
        """z, m, K and 1/N Σ m."""
        m = self.select(a)
        near = np.abs(a - np.exp(self.log_theta.value)) < self.bandwidth / 2
        return a * m, m, near / a.dtype.type(self.bandwidth), float(m.sum() / len(a))

    def select(self, a: Array) -> Array:
        return a > np.exp(self.log_theta.value)

    def differentiable(self) -> JumpReLUSAE:
        """The model whose exact gradient backprop adds; see :class:`HeldJumps`."""
        return HeldJumps(self)

    def _with_sparsity(self, terms: Terms, count: float) -> Terms:
        sparsity = self.weight * count / self.in_features
        return {**terms, "total": terms["total"] + sparsity, "sparsity": sparsity}


class HeldJumps(JumpReLUSAE):
    """The jumps are held and followed along θ by the estimated slope: so the estimate is exact here.

    Forward   z = a ∘ m₀ − θ₀ K₀ (θ − θ₀)      1/N Σ [m₀ − K₀ (θ − θ₀)] in place of 1/N Σ m

    m₀, K₀ and θ₀ are those of a copy that stays as it is. Gradient checks measure this model.
    """

    def __init__(self, model: JumpReLUSAE) -> None:
        self.__dict__.update(vars(model))
        self.held = (copy.deepcopy(model),)

    def jump(self, a: Array, x: Array) -> tuple[Array, Array, Array, float]:
        before: Any = self.held[0]
        _, m, K, _ = JumpReLUSAE.jump(before, before.scores(x)[0], x)
        theta = np.exp(before.log_theta.value)
        moved = K * (np.exp(self.log_theta.value) - theta)
        return a * m - theta * moved, m, K, float((m - moved).sum() / len(a))


class GatedSAE(Dictionary):
    """One map decides which features are present, and the same map, rescaled, how much of them.

    Forward   c = x − bd      h = c Weᵀ      π = h + be      p = e^r ∘ h + bm
              z = ReLU(p) where π > 0, else 0      y = z E + bd
              total = reconstruction + sparsity + gate,   sparsity = λ/D · 1/N Σ ReLU(π)
              gate = mean (ReLU(π) [E] + [bd] − x)²: alone, too, the gate's scores must explain x
    Shapes    x, y (N, D)   h, π, p, z (N, M)   We, Wd, E (M, D)   be, bm, r (M,)   bd (D,)
    Backward  dp = dz where π > 0 and p > 0      dbm = Σ dp      dr = Σ dp ∘ e^r ∘ h
              dπ = (λ + 2 (ReLU(π) E + bd − x) Eᵀ)/size where π > 0      dbe = Σ dπ
              dh = e^r ∘ dp + dπ      dWe = dhᵀ c;   dE, dWd and dbd as in TopKSAE
              [E] and [bd] are held: the gate's term is not to move the decoder
    Units     sparsity: the scores', times λ/D, λ = ``weight``
    Source    Rajamanoharan et al. (2024), "Improving dictionary learning", eqs. 6 to 8

    No feature is revived: the gate's own term reaches those that are absent only while π > 0.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        weight: float = 1.0,
        *,
        dead_after: int = 100_000,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(
            in_features, features, dead_after=dead_after, rng=rng, init=init, dtype=dtype
        )
        self.weight = check_weight("GatedSAE", "weight", weight, "1.0")
        self.r = Param(np.zeros(self.features, self.be.dtype))
        self.bm = Param(np.zeros(self.features, self.be.dtype))

    def objective(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        pi, _ = self.scores(x)
        z, _, _ = self.gated(pi)
        return self._with_gate(self._step(x, z, None)[0], x, pi)[0]

    def backprop(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        pi, c = self.scores(x)
        z, h, p = self.gated(pi)
        terms, dz, _ = self._step(x, z, None, learn=True)
        terms, dpi = self._with_gate(terms, x, pi)
        dp = dz * (pi > 0) * (p > 0)
        self.bm.grad += dp.sum(axis=0)
        scale = np.exp(self.r.value)
        self.r.grad += (dp * scale * h).sum(axis=0)  # p = e^r ∘ h + bm
        dh = dp * scale + dpi
        self.We.grad += kernels.matmul_tn(dh, c)  # h = c Weᵀ
        self.bd.grad -= dh.sum(axis=0) @ self.We.value
        self.be.grad += dpi.sum(axis=0)
        self.after_step(pi, z != 0)
        return terms

    def evaluate_batch(self, x: Array, rng: np.random.Generator) -> Terms:
        return self.objective(x)

    def gated(self, pi: Array) -> tuple[Array, Array, Array]:
        """z, h and p"""
        h = pi - self.be.value
        p = np.exp(self.r.value) * h + self.bm.value
        return np.maximum(p, 0) * (pi > 0), h, p

    def select(self, a: Array) -> Array:
        return a > 0

    def held_decoder(self) -> tuple[Array, Array]:
        """[E] and [bd]"""
        return self.dictionary, self.bd.value

    def differentiable(self) -> GatedSAE:
        """The model whose exact gradient backprop adds; see :class:`HeldDecoder`."""
        return HeldDecoder(self)

    def _with_gate(self, terms: Terms, x: Array, pi: Array) -> tuple[Terms, Array]:
        """The terms, with sparsity and gate, and dπ."""
        (E, bd), present = self.held_decoder(), np.maximum(pi, 0)
        e = kernels.matmul(present, E) + bd - x
        gate = float(np.square(e).mean(dtype=np.float64))
        sparsity = self.weight * float(present.sum(dtype=np.float64)) / x.size
        dpi = kernels.matmul_nt((2 / e.size) * e, E) + self.weight / e.size
        total = terms["total"] + sparsity + gate
        terms.pop("revival")  # which it has not
        return {**terms, "total": total, "sparsity": sparsity, "gate": gate}, dpi * (pi > 0)

    def _encode(self, x: Array) -> Array:
        return self.gated(self.scores(x)[0])[0]


class HeldDecoder(GatedSAE):
    """The gated dictionary whose [E] and [bd] stay as they are: gradient checks measure it."""

    def __init__(self, model: GatedSAE) -> None:
        self.__dict__.update(vars(model))
        self.held = (directions(model.Wd.value.copy())[0], model.bd.value.copy())

    def held_decoder(self) -> tuple[Array, Array]:
        return self.held


def _positive(name: str, value: float) -> float:
    if not 0 < number("JumpReLUSAE", name, value, 0.01) < math.inf:
        raise ValueError(
            f"JumpReLUSAE: {name} is {value}, expected a number > 0; pass e.g. {name}=0.01"
        )
    return float(value)
