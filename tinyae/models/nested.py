"""Dictionaries that choose features over a whole batch, and dictionaries within dictionaries."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import positive_int
from tinyae.initializers import Initializer
from tinyae.models.dictionary import TopKSAE
from tinyae.param import Array

KEPT = 0.99  # of the threshold, at a step


class BatchTopKSAE(TopKSAE):
    """Easy samples use fewer features and hard ones more: N k for the whole batch.

    Forward   m = 1 where a > 0 is among the N k largest of the batch; the rest as in :class:`TopKSAE`
    Calling   m = 1 where a > θ: a sample's code must not depend on the others
    State     θ ← 0.99 θ + 0.01 · (the least a that was selected), at first that number itself
    Source    Bussmann, Leask & Nanda (2024), §3
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
            k,
            dead_after=dead_after,
            dead_k=dead_k,
            rng=rng,
            init=init,
            dtype=dtype,
        )
        self.threshold = np.zeros(())

    def select(self, a: Array) -> Array:
        count = len(a) * self.k
        least = np.partition(a, a.size - count, axis=None)[a.size - count]
        return (a >= least) * (a > 0)

    def after_step(self, a: Array, m: Array) -> None:
        super().after_step(a, m)
        if m.any():
            least = float(a[m].min())
            kept = KEPT if self.threshold else 0.0
            self.threshold[...] = kept * self.threshold + (1 - kept) * least

    def _encode(self, x: Array) -> Array:
        a, _ = self.scores(x)
        return a * (a > self.threshold) * (a > 0)


class MatryoshkaSAE(BatchTopKSAE):
    """Nested dictionaries: the first features explain as much as they can, the next what is left.

    Forward   reconstruction = mean over the sizes s of mean (yₛ − x)²,   yₛ = z[:, :s] E[:s] + bd;
              the rest as in :class:`BatchTopKSAE`
    Shapes    sizes: increasing, the last one is M
    Backward  dz[:, :s] = Σ over s of dyₛ E[:s]ᵀ      dE[:s] = Σ over s of z[:, :s]ᵀ dyₛ
    Units     explained_variance: of the whole dictionary
    Source    Bussmann et al. (2025), §3

    General features come first. Without nesting, a feature for "letter" is split among features for
    letters, and what is left of it has holes.
    """

    def __init__(
        self,
        in_features: int,
        sizes: tuple[int, ...],
        k: int = 32,
        *,
        dead_after: int = 100_000,
        dead_k: int = 256,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if not isinstance(sizes, (tuple, list)) or not sizes:
            raise TypeError(
                f"MatryoshkaSAE: sizes is {sizes!r:.60}, expected a tuple of ints; pass (64, 512)"
            )
        self.sizes = tuple(positive_int("MatryoshkaSAE", "sizes", s, 512) for s in sizes)
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(
                f"MatryoshkaSAE: sizes is {sizes}, expected increasing ints; pass e.g. (64, 512)"
            )
        super().__init__(
            in_features,
            self.sizes[-1],
            k,
            dead_after=dead_after,
            dead_k=dead_k,
            rng=rng,
            init=init,
            dtype=dtype,
        )

    def reconstruction(
        self, x: Array, z: Array, E: Array
    ) -> tuple[float, Array, Array, Array, Array]:
        L, dz, dE, dy_sum = 0.0, np.zeros_like(z), np.zeros_like(E), np.zeros_like(self.bd.value)
        y, start = np.broadcast_to(self.bd.value, x.shape), 0
        for s in self.sizes:
            y = y + kernels.matmul(np.ascontiguousarray(z[:, start:s]), E[start:s])
            e, start = y - x, s
            L += float(np.square(e).mean(dtype=np.float64)) / len(self.sizes)
            dy = (2 / (e.size * len(self.sizes))) * e
            dz[:, :s] += kernels.matmul_nt(dy, E[:s])
            dE[:s] += kernels.matmul_tn(np.ascontiguousarray(z[:, :s]), dy)
            dy_sum += dy.sum(axis=0)
        return L, e, dz, dE, dy_sum
