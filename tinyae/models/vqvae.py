"""The vector-quantised autoencoder: each place of the code holds one of K vectors, by its number."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import check_generator, float_dtype, number, positive_int
from tinyae.arrays import real
from tinyae.layers import Layer
from tinyae.losses import Loss
from tinyae.models.base import ReconstructionModel, Terms
from tinyae.models.checks import check_parts, check_weight
from tinyae.param import Array


class VQVAE(ReconstructionModel):
    """A code of numbers k from 0 to K − 1; the decoder gets the table's vector for each.

    Forward   z = f(x)      k = argminⱼ ‖z − Eⱼ‖² at each place      q = E_k      y = g(q)
              total = reconstruction + commitment = L(y, x) + β mean (z − q)²
    Shapes    x (N, …)   z, q (N, D) or (N, D, H, W)   k (N,) or (N, H, W)   E (K, D)   y as x
    Backward  dq = J_gᵀ dy      dz = dq + 2β (z − q)/size,  then through the encoder. That dq counts
              as ∂L/∂z is an estimate, the straight-through one: k jumps, and has no slope
    Table     nₖ ← λ nₖ + (1 − λ) · (places with code k),  sₖ ← λ sₖ + (1 − λ) Σ z there,  Eₖ = sₖ/nₖ:
              the mean of what chose it lately. A code that is used less than a tenth as often as
              the mean one is dead, and begins anew at the z of a random place
    Units     reconstruction: the loss's; commitment: the code's, squared, weight included;
              perplexity: codes, exp of the entropy of the batch's k, at most K
    Raises    ValueError without a generator, which backprop needs to revive codes
    Source    van den Oord, Vinyals & Kavukcuoglu (2017), §3.2 and appendix A.1; revival as in
              Dhariwal et al. (2020), §3.1

    The table is state, not a parameter: backprop moves it, no optimizer does. It begins at the first
    batch, where all codes are dead. ``encode`` gives k, and ``decode`` takes it.
    """

    def __init__(
        self,
        encoder: Layer,
        decoder: Layer,
        loss: Loss,
        codes: int = 512,
        dim: int = 64,
        *,
        commitment: float = 0.25,
        decay: float = 0.99,
        dtype: DTypeLike = np.float32,
    ) -> None:
        check_parts("VQVAE", Layer, encoder=encoder, decoder=decoder)
        check_parts("VQVAE", Loss, loss=loss)
        self.encoder, self.decoder, self.loss = encoder, decoder, loss
        self.codes = positive_int("VQVAE", "codes", codes, 512)
        self.dim = positive_int("VQVAE", "dim", dim)
        self.commitment = check_weight("VQVAE", "commitment", commitment, "0.25")
        self.decay = number("VQVAE", "decay", decay, 0.99)
        if not 0 <= self.decay < 1:
            raise ValueError(
                f"VQVAE: decay is {decay}, expected 0 ≤ decay < 1, the share that the table keeps "
                "at a step; pass e.g. decay=0.99"
            )
        dtype = float_dtype("VQVAE", dtype)
        self.table = np.zeros((self.codes, self.dim), dtype)  # E
        self.uses = np.zeros(self.codes, dtype)  # n
        self.sums = np.zeros((self.codes, self.dim), dtype)  # s

    # --- training --------------------------------------------------------------------------

    def objective(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        z, _ = self.encoder.forward(x)
        q, target, k = self.quantize(z, x)
        y, _ = self.decoder.forward(q)
        L, _ = self.loss(y, x)
        return self._terms(L, z - target, k)

    def backprop(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        if rng is None:
            raise ValueError(
                "VQVAE: dead codes begin anew at random places, which needs a generator; "
                "pass rng=np.random.default_rng(0)"
            )
        check_generator("VQVAE", rng)
        z, encoder_cache = self.encoder.forward(x)
        q, target, k = self.quantize(z, x)
        y, decoder_cache = self.decoder.forward(q)
        L, dy = self.loss(y, x)
        dq = self.decoder.backward(dy, decoder_cache)
        dz = dq + (2 * self.commitment / z.size) * (z - target)  # straight through, + commitment
        self.encoder.backward_params(dz, encoder_cache)
        terms = self._terms(L, z - target, k)
        self.move_table(places(z), k.ravel(), rng)
        return terms

    def evaluate_batch(self, x: Array, rng: np.random.Generator) -> Terms:
        z = self.encoder(x)
        q, k = self.nearest(z)
        L, _ = self.loss(self.decoder(q), x)
        return self._terms(L, z - q, k)

    def quantize(self, z: Array, x: Array) -> tuple[Array, Array, Array]:
        """What the decoder gets, what z commits to, and k: here q, q and k."""
        q, k = self.nearest(z)
        return q, q, k

    def nearest(self, z: Array) -> tuple[Array, Array]:
        """q and k of z."""
        if z.ndim < 2 or z.shape[1] != self.dim:
            raise ValueError(
                f"VQVAE: the encoder gives z of shape {z.shape}, the table has vectors of "
                f"{self.dim} numbers; end the encoder in {self.dim} channels, or pass dim={z.shape[-1]}"
            )
        rows = places(z)
        # ‖z − E‖² = ‖z‖² − 2 ⟨z, E⟩ + ‖E‖², of which the first is the same for all codes
        distance = kernels.affine(rows, -2 * self.table, np.square(self.table).sum(axis=1))
        k = distance.argmin(axis=1).reshape(z.shape[0], *z.shape[2:])
        return self.lookup(k), k

    def lookup(self, k: Array) -> Array:
        """E_k, (N, D, …)"""
        return np.ascontiguousarray(np.moveaxis(self.table[k], -1, 1))

    def move_table(self, z: Array, k: Array, rng: np.random.Generator) -> None:
        """One step of the moving means n and s, of the rows z and their codes k; then E = s/n."""
        used = np.bincount(k, minlength=self.codes).astype(z.dtype)
        total = np.zeros_like(self.sums)
        order = k.argsort(kind="stable")
        starts = np.flatnonzero(np.diff(k[order], prepend=-1))
        total[k[order][starts]] = np.add.reduceat(z[order], starts, axis=0)
        for mean, now in ((self.uses, used), (self.sums, total)):
            mean *= self.decay
            mean += (1 - self.decay) * now
        typical = len(z) / self.codes
        dead = np.flatnonzero(self.uses < DEAD * typical)
        self.uses[dead] = DEAD * typical  # just alive: unused, it begins anew at the next step
        self.sums[dead] = DEAD * typical * z[rng.integers(len(z), size=len(dead))]
        self.table[...] = self.sums / self.uses[:, None]

    def _terms(self, L: float, gap: Array, k: Array) -> Terms:
        commitment = self.commitment * float(np.square(gap).mean(dtype=np.float64))
        p = np.bincount(k.ravel(), minlength=self.codes) / k.size
        entropy = -float((p[p > 0] * np.log(p[p > 0])).sum())
        return {
            "total": L + commitment,
            "reconstruction": L,
            "commitment": commitment,
            "perplexity": math.exp(entropy),
        }

    def differentiable(self) -> VQVAE:
        """The model whose exact gradient backprop adds; see :class:`HeldCodes`."""
        return HeldCodes(self)

    def trace(
        self, x: Array, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[str, Array]]:
        z = x
        for name, z in self.encoder.trace(x, "encoder"):
            yield name, z
        yield from self.decoder.trace(self.quantize(z, x)[0], "decoder")

    # --- use -------------------------------------------------------------------------------

    def encode(self, x: Array) -> Array:
        """k of each place, ints of shape (N, …): the code in ⌈log₂ K⌉ bits a place."""
        return self._in_chunks(lambda part: self.nearest(self.encoder(part))[1], x)

    def decode(self, k: Array) -> Array:
        """The reconstruction from codes k.

        Raises
            ValueError  a number that is no code
        """
        k = real("VQVAE: k", k)
        if k.size and (k.min() < 0 or k.max() >= self.codes or (k != np.round(k)).any()):
            raise ValueError(
                f"VQVAE: k runs from {k.min()} to {k.max()}, expected whole numbers from 0 to "
                f"{self.codes - 1}; pass what encode returns"
            )
        numbers = k.astype(np.intp)
        parts = range(0, len(k), 1024)
        return np.concatenate([self._decode(self.lookup(numbers[i : i + 1024])) for i in parts])

    def _decode(self, q: Array) -> Array:
        return self.loss.prediction(self.decoder(q))

    def _reconstruct(self, x: Array) -> Array:
        return self._same_shape(x, self._decode(self.nearest(self.encoder(x))[0]))


DEAD = 0.1  # a code that is used less often than this, as a share of the mean use, is dead


class HeldCodes(VQVAE):
    """The VQVAE whose q − z and q are held: the straight-through gradient is its exact gradient.

    Forward   y = g(z + [q₀ − z₀])      commitment = β mean (z − [q₀])²
    Source    van den Oord, Vinyals & Kavukcuoglu (2017), eq. 3, where [·] is sg[·]

    z₀ and q₀ are those of a copy of the encoder, which stays as it is while f is moved. Where f is
    the copy, z₀ = z, and the terms are the VQVAE's own. Gradient checks measure this model.
    """

    def __init__(self, model: VQVAE) -> None:
        self.__dict__.update(vars(model))
        self.held = (copy.deepcopy(model.encoder),)  # in a tuple: it is no part with parameters

    def quantize(self, z: Array, x: Array) -> tuple[Array, Array, Array]:
        z0, _ = copy.deepcopy(self.held[0]).forward(x)
        q0, k = self.nearest(z0)
        return z + (q0 - z0), q0, k


def places(z: Array) -> Array:
    """(N, D, …) as rows of D numbers, one for each place"""
    return np.ascontiguousarray(np.moveaxis(z, 1, -1)).reshape(-1, z.shape[1])
