"""Sparse autoencoders that take a model's activations apart: a wide dictionary of features.

Activations of D numbers hold more than D features, in superposition: each is a direction, and few of
them are present at once. The decoder's rows are the directions, and the code says how much of each.

``TopKSAE``         the k largest features of each sample
``BatchTopKSAE``    as many on average: the N k largest of the batch (:mod:`tinyae.models.nested`)
``MatryoshkaSAE``   the first features must do alone, too: nested dictionaries
``JumpReLUSAE``     what exceeds a learnt threshold (:mod:`tinyae.models.thresholds`)
``GatedSAE``        one map says which features are present, another how much

A dictionary learns from a memory map as from an array: ``fit(model, np.load("x.npy", mmap_mode="r"))``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import check_callable, float_dtype, positive_int
from tinyae.initializers import Initializer, Normal
from tinyae.layers import TopK
from tinyae.models.base import ReconstructionModel, Terms
from tinyae.param import Array, Param

REVIVAL = 1 / 32  # the weight of the auxiliary loss (Gao et al. 2024, §A.2)


class Dictionary(ReconstructionModel):
    """What all dictionaries share: the directions, the loss, the revival of features that nothing uses.

    A subclass says which features speak.
    """

    threshold: Any = None  # of features, where a kind has one: not of anomaly scores

    def __init__(
        self,
        in_features: int,
        features: int,
        *,
        dead_after: int = 100_000,
        dead_k: int = 256,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        who = type(self).__name__
        self.in_features = positive_int(who, "in_features", in_features, 512)
        self.features = positive_int(who, "features", features, 8192)
        self.dead_after = positive_int(who, "dead_after", dead_after, 100_000)
        self.dead_k = positive_int(who, "dead_k", dead_k, 256)
        init, dtype = init or Normal(1.0), float_dtype(who, dtype)
        check_callable(who, "init", init, "Normal(1.0)")
        shape = self.features, self.in_features
        self.Wd = Param(init(shape, self.features, self.in_features, rng, dtype))
        self.We = Param(np.array(directions(self.Wd.value)[0]))
        self.be = Param(np.zeros(self.features, dtype))
        self.bd = Param(np.zeros(self.in_features, dtype))
        self.idle = np.zeros(self.features)

    # --- training --------------------------------------------------------------------------

    def objective(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        a, _ = self.scores(x)
        m = self.select(a)
        return self._step(x, a * m, self.dead_scores(a))[0]

    def backprop(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        a, c = self.scores(x)
        m = self.select(a)
        z, u = a * m, self.dead_scores(a)
        terms, dz, du = self._step(x, z, u, learn=True)
        da = dz * m if u is None or du is None else dz * m + du * (u != 0)
        self.scores_backward(da, c)
        self.after_step(a, m)
        return terms

    def evaluate_batch(self, x: Array, rng: np.random.Generator) -> Terms:
        return self._step(x, self._encode(x), None)[0]

    def scores(self, x: Array) -> tuple[Array, Array]:
        """a and c"""
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}, expected (N, {self.in_features}); "
                "pass one activation vector a row"
            )
        c = x - self.bd.value
        return kernels.affine(c, self.We.value, self.be.value), c

    def scores_backward(self, da: Array, c: Array) -> None:
        self.We.grad += kernels.matmul_tn(da, c)
        self.be.grad += da.sum(axis=0)
        self.bd.grad -= da.sum(axis=0) @ self.We.value  # c = x − bd

    def select(self, a: Array) -> Array:
        """m: which features speak."""
        raise NotImplementedError

    def dead_scores(self, a: Array) -> Array | None:
        """u; None if no feature is dead."""
        dead = self.idle >= self.dead_after
        if not dead.any():
            return None
        among = np.where(dead & (a > 0), a, 0)
        return TopK(min(self.dead_k, self.features)).forward(among)[0]

    def _step(
        self, x: Array, z: Array, u: Array | None, learn: bool = False
    ) -> tuple[Terms, Any, Any]:
        """The terms, dz and du; with ``learn`` the decoder's gradients are added."""
        E, length = directions(self.Wd.value)
        L, e, dz, dE, dy_sum = self.reconstruction(x, z, E)
        terms, du = {"total": L, "reconstruction": L, "revival": 0.0}, None
        if u is not None:
            r = e + kernels.matmul(u, E)
            revival = REVIVAL * float(np.square(r).mean(dtype=np.float64))
            terms |= {"total": L + revival, "revival": revival}
            dr = (2 * REVIVAL / r.size) * r
            dz, du = dz + kernels.matmul_nt(dr, E), kernels.matmul_nt(dr, E)
            dE = dE + kernels.matmul_tn(z, dr) + kernels.matmul_tn(u, dr)
            dy_sum = dy_sum + dr.sum(axis=0)
        if learn:
            self.Wd.grad += (dE - E * (E * dE).sum(axis=1, keepdims=True)) / length
            self.bd.grad += dy_sum
        return terms | self._measures(x, z, e), dz, du

    def reconstruction(
        self, x: Array, z: Array, E: Array
    ) -> tuple[float, Array, Array, Array, Array]:
        """The loss, the error e = y − x, dz, dE and Σ dy."""
        e = kernels.matmul(z, E) + self.bd.value - x
        dy = (2 / e.size) * e
        L = float(np.square(e).mean(dtype=np.float64))
        return L, e, kernels.matmul_nt(dy, E), kernels.matmul_tn(z, dy), dy.sum(axis=0)

    def after_step(self, a: Array, m: Array) -> None:
        """Count for how long each feature has been silent."""
        self.idle += len(m)
        self.idle[(m != 0).any(axis=0)] = 0

    def _measures(self, x: Array, z: Array, e: Array) -> Terms:
        spread = float(np.square(x - x.mean(axis=0)).sum(dtype=np.float64))
        left = float(np.square(e).sum(dtype=np.float64))
        return {
            "l0": float((z != 0).sum(axis=1).mean()),
            "explained_variance": 1 - left / spread if spread else 0.0,
            "dead": float((self.idle >= self.dead_after).mean()),
        }

    def trace(
        self, x: Array, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[str, Array]]:
        yield from ()  # the maps are written out above: there are no layers

    # --- use -------------------------------------------------------------------------------

    @property
    def dictionary(self) -> Array:
        """E, the directions of the features, each of length 1: (M, D)"""
        return directions(self.Wd.value)[0]

    def encode(self, x: Array) -> Array:
        """z (N, M), almost all zeros, 1,024 rows at a time"""
        return self._in_chunks(self._encode, x)

    def decode(self, z: Array) -> Array:
        return self._in_chunks(self._decode, z, "z")

    def _encode(self, x: Array) -> Array:
        a, _ = self.scores(x)
        return a * self.select(a)

    def _decode(self, z: Array) -> Array:
        return kernels.matmul(z, self.dictionary) + self.bd.value

    def _reconstruct(self, x: Array) -> Array:
        return self._decode(self._encode(x))

    def recovered(self, truth: Array, cosine: float = 0.9) -> float:
        """The share of known directions, rows of ``truth`` (K, D), that some feature is close to."""
        if truth.ndim != 2 or truth.shape[1] != self.in_features:
            raise ValueError(
                f"{type(self).__name__}: truth has shape {truth.shape}, expected "
                f"(K, {self.in_features}), a direction a row; pass the directions as rows"
            )
        similarity = directions(truth.astype(self.dtype))[0] @ self.dictionary.T
        return float((similarity.max(axis=1) >= cosine).mean())


class TopKSAE(Dictionary):
    """A dictionary of M directions, of which each sample uses the k that fit best.

    Forward   c = x − bd      a = c Weᵀ + be      z = a ∘ m,   m = 1 where a > 0 is among the k largest
              y = z E + bd,   Eⱼ = Wdⱼ / ‖Wdⱼ‖: every direction has length 1
              total = reconstruction + revival
              reconstruction = mean (y − x)²      revival = α mean (y + u E − x)²,   α = 1/32,
              u = a at the ``dead_k`` largest a > 0 of the dead features: they explain what is left
    Shapes    x, y (N, D)   a, z, m, u (N, M)   We, Wd, E (M, D)   be (M,)   bd (D,)
    Backward  dr = 2α (y + u E − x)/size      dy = 2 (y − x)/size + dr
              da = (dy Eᵀ) ∘ m + (dr Eᵀ) ∘ (u ≠ 0)      dE = zᵀ dy + uᵀ dr
              dWdⱼ = (dEⱼ − Eⱼ ⟨Eⱼ, dEⱼ⟩) / ‖Wdⱼ‖
              dWe = daᵀ c      dbe = Σ da      dbd = Σ dy − Σ da We
    State     idle: for each feature, the samples since it was last used. It is dead after ``dead_after``
    Units     l0: features a sample; explained_variance: 1 − Σ (y − x)² / Σ (x − mean x)², of the batch;
              dead: the share of features
    Source    Gao et al. (2024), §2.3 and §A.2. Unlike there, revival's gradient also reaches y

    The encoder begins as the decoder's transpose.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        k: int = 32,
        *,
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
        self.k = positive_int(type(self).__name__, "k", k, 32)
        if self.k > self.features:
            raise ValueError(
                f"{type(self).__name__}: k is {k}, expected at most features = {features}; "
                "pass a smaller k"
            )

    def select(self, a: Array) -> Array:
        return TopK(self.k).forward(a)[1] * (a > 0)


def directions(W: Array) -> tuple[Array, Array]:
    """The rows of W with length 1, and their lengths, as a column."""
    length = np.sqrt(np.square(W).sum(axis=1, keepdims=True))
    return W / np.maximum(length, np.finfo(W.dtype).tiny), length
