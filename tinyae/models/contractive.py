"""The contractive autoencoder: the plain one, with a penalty on how fast the code changes with x.

The penalty is ‖J‖²_F, the sum of the squared entries of J = ∂h/∂x, so its gradient contains second
derivatives. It is computed by rows or by columns of J, whichever are fewer:

    columns   J v, by ``tangent``          ‖J‖²_F = Σᵢ ‖J eᵢ‖²  = E ‖J v‖² for random v, E vvᵀ = I
    rows      Jᵀu, by ``backward_input``   ‖J‖²_F = Σⱼ ‖Jᵀeⱼ‖²

``tangent_backward`` differentiates it, by the gradient of φ = ⟨u, J v⟩ for fixed u and v:
d ‖J v‖² = 2 ⟨J v, dJ v⟩ is twice that gradient at u = J v, and d ‖Jᵀu‖² = 2 ⟨u, dJ Jᵀu⟩ is twice
that gradient at v = Jᵀu. If the encoder is one Dense and one activation, ‖J‖²_F has a closed form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.arguments import check_generator, positive_int
from tinyae.layers import Activation, Dense, Flatten, Layer, Module, Sequential
from tinyae.losses import Loss
from tinyae.models.autoencoder import Autoencoder
from tinyae.models.base import Terms
from tinyae.models.checks import check_weight
from tinyae.param import Array
from tinyae.twin import fused


class ContractiveAutoencoder(Autoencoder):
    """The plain autoencoder with a penalty on the encoder's Jacobian.

    Forward   h = f(x)      y = g(h)      J = ∂h/∂x, one for each sample
              contraction = 1/N Σₙ ‖Jₙ‖²_F,   summed over code units and inputs
              total = reconstruction + weight · contraction,   reconstruction = L(y, x)
    Shapes    x (N, …)   h (N, latent_dim) or any   y as x
    Backward  the plain one's; and for each row or column of J, ``tangent`` pushes v forward and
              ``tangent_backward`` pulls 2 weight/N · u back
    Units     reconstruction: the loss's; contraction: code² / input², raw, without the weight
    Raises    ValueError if a layer of the encoder draws noise or keeps running statistics
              (Dropout, BatchNorm), or if probes are drawn without a generator
    Source    Rifai, Vincent, Muller, Glorot & Bengio (2011), eq. 5 and 6

    For one layer h = f(a), a = W x + b, it costs next to nothing (their eq. 6): as J = diag(f′) W,

        ‖J‖²_F = Σⱼ f′(aⱼ)² wⱼ,   wⱼ = Σᵢ W²ⱼᵢ
        ∂/∂W = 2 f′² W through w,   ∂/∂a = 2 f′ f″ w = f′ · (2 f″ w), so ∂/∂h is 2 f″ w

    The last is added to the reconstruction's dh before that goes back through the layers. Any other
    encoder, deep or convolutional, takes one pass per code unit or per input, whichever are fewer.
    If both are many, pass ``probes=n``: n random v with entries ±1 are drawn for each sample at
    each step, and the contraction is then an unbiased estimate (Hutchinson 1990).

    With BatchNorm in the encoder a code would depend on the other samples, with Dropout on noise
    that ``encode`` does not add: J would not be the code's Jacobian. The decoder may have both.

    The weight depends on the loss's reduction: Rifai's λ weighs the penalty against a sum over the
    D inputs, so weight = λ/D for MSE and BCE, which are means.
    """

    def __init__(
        self,
        encoder: Layer,
        decoder: Layer,
        loss: Loss,
        weight: float = 1e-4,
        probes: int | None = None,
    ) -> None:
        super().__init__(encoder, decoder, loss)
        who = type(self).__name__
        self.weight = check_weight(who, "weight", weight, "1e-4")
        _check_deterministic(who, encoder, "encoder")
        self.probes = None if probes is None else positive_int(who, "probes", probes, 4)

    # --- training --------------------------------------------------------------------------

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.input_and_target(x, rng)
        h, encoder_cache = self.encoder.forward(source)
        y, _ = self.decoder.forward(h)
        L, _ = self.loss(y, target)
        return self._terms(L, self._contraction(source, h, encoder_cache, rng))

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        source, target = self.input_and_target(x, rng)
        h, encoder_cache = self.encoder.forward(source)
        L, dh = self.decoder_step(h, target)
        contraction, dh_contraction = self._contract(source, h, encoder_cache, rng)
        self.encoder.backward_params(dh + dh_contraction, encoder_cache)
        return self._terms(L, contraction)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        source, target = self.input_and_target(x, rng)
        L = self.loss.evaluate(self.decoder(self.encoder(source)), target)
        h, encoder_cache = self.encoder.forward(source)
        return self._terms(L, self._contraction(source, h, encoder_cache, rng))

    def _terms(self, L: float, contraction: float) -> Terms:
        total = L + self.weight * contraction
        return {"total": total, "reconstruction": L, "contraction": contraction}

    # --- the penalty -----------------------------------------------------------------------

    def _contraction(
        self, x: Array, h: Array, encoder_cache: Any, rng: np.random.Generator | None
    ) -> float:
        """1/N Σₙ ‖Jₙ‖²_F"""
        layer = self._single_layer()
        if layer is not None:
            return _closed_form(*layer, encoder_cache[-1])
        total, f = 0.0, self.encoder
        if self._by_rows(x, h):
            for u in _unit_vectors(h):
                total += _sq_norm(f.backward_input(u, encoder_cache))
        else:
            for v in self._directions(x, rng):
                total += _sq_norm(f.tangent(v, encoder_cache)[0])
        return total / (len(x) * (self.probes or 1))

    def _contract(
        self, x: Array, h: Array, encoder_cache: Any, rng: np.random.Generator | None
    ) -> tuple[float, Array | float]:
        """The contraction and weight · ∂/∂h; adds weight · ∂/∂θ to the encoder's gradients."""
        layer = self._single_layer()
        if layer is not None:
            return _closed_form_backward(*layer, encoder_cache[-1], self.weight)
        total, f, count = 0.0, self.encoder, len(x) * (self.probes or 1)
        scale = x.dtype.type(2 * self.weight / count)
        # The ∂/∂v and ∂/∂x of tangent_backward are not needed: v is held fixed and x is data.
        if self._by_rows(x, h):
            for u in _unit_vectors(h):
                v = f.backward_input(u, encoder_cache)
                total += _sq_norm(v)
                _, tcache = f.tangent(v, encoder_cache)
                f.tangent_backward(scale * u, tcache)
        else:
            for v in self._directions(x, rng):
                ydot, tcache = f.tangent(v, encoder_cache)
                total += _sq_norm(ydot)
                f.tangent_backward(scale * ydot, tcache)
        return total / count, 0.0

    def _by_rows(self, x: Array, h: Array) -> bool:
        """Whether J has fewer rows than columns, and no probes are drawn."""
        return self.probes is None and h.size < x.size

    def _single_layer(self) -> tuple[Dense, Activation] | None:
        """The Dense and the activation of an encoder with only these two, or a Flatten before."""
        parts = self.encoder.layers if isinstance(self.encoder, Sequential) else ()
        if parts and isinstance(parts[0], Flatten):
            parts = parts[1:]
        if self.probes is None and len(parts) == 2:
            dense, f = parts
            if type(dense) is Dense and isinstance(f, Activation):
                return dense, f
        return None

    def _directions(self, x: Array, rng: np.random.Generator | None) -> Iterator[Array]:
        """Every unit vector eᵢ, or ``probes`` draws of ±1, in x's shape, for all samples."""
        if self.probes is None:
            yield from _unit_vectors(x)
            return
        if rng is None:
            raise ValueError(
                f"{type(self).__name__}: probes={self.probes} needs a generator; "
                "pass rng=np.random.default_rng(0)"
            )
        check_generator(type(self).__name__, rng)
        for _ in range(self.probes):
            yield rng.integers(0, 2, x.shape, np.int8).astype(x.dtype) * 2 - 1

    # --- use -------------------------------------------------------------------------------

    def jacobian(self, x: Array) -> Array:
        """J of each sample, (N, K, D): the derivative of code unit k with respect to input d.

        Images and their codes are flattened. Exact: one ``tangent`` per input.
        """
        return self._in_chunks(self._jacobian, x)

    def _jacobian(self, x: Array) -> Array:
        h, encoder_cache = self.encoder.forward(x)
        n, width = len(x), math.prod(x.shape[1:])
        J = np.empty((n, math.prod(h.shape[1:]), width), h.dtype)
        for i, e in enumerate(_unit_vectors(x)):
            J[:, :, i] = self.encoder.tangent(e, encoder_cache)[0].reshape(J.shape[:2])
        return J


def _closed_form(dense: Dense, f: Activation, cache: Any) -> float:
    """The contraction Σⱼ sⱼ wⱼ, with sⱼ = 1/N Σₙ f′(aₙⱼ)² and wⱼ = Σᵢ W²ⱼᵢ."""
    W = dense.W.value
    return _dot(_mean_square(f.slope(cache)), np.einsum("ji,ji->j", W, W))


def _closed_form_backward(
    dense: Dense, f: Activation, cache: Any, weight: float
) -> tuple[float, Array | float]:
    s, curvature = _mean_square(f.slope(cache)), f.curvature(cache)
    scale = dense.W.dtype.type(2 * weight)
    w = row_sq_norms_with_gradient(dense, scale * s)  # wⱼ depends on W
    dh = 0.0 if curvature is None else curvature * (scale / len(curvature) * w)  # sⱼ depends on a
    return _dot(s, w), dh


@fused
def row_sq_norms_with_gradient(dense: Dense, scale: Array) -> Array:
    """wⱼ = Σᵢ W²ⱼᵢ; adds the gradient of ½ Σⱼ scaleⱼ wⱼ to dense.W.grad."""
    W = dense.W.value
    dense.W.grad += scale[:, None] * W
    return np.einsum("ji,ji->j", W, W)


def _mean_square(slope: Array) -> Array:
    return np.einsum("nj,nj->j", slope, slope) / slope.dtype.type(len(slope))


def _dot(s: Array, w: Array) -> float:
    return float(np.dot(s.astype(np.float64), w))


def _unit_vectors(x: Array) -> Iterator[Array]:
    """Every unit vector eᵢ, for all samples at once."""
    for i in np.ndindex(x.shape[1:]):
        e = np.zeros_like(x)
        all_samples = (slice(None), *i)
        e[all_samples] = 1
        yield e


def _sq_norm(a: Array) -> float:
    return float(np.vdot(a, a))


def _check_deterministic(who: str, part: Module, name: str) -> None:
    """Raise unless ``part`` maps each sample by itself, and alike in training and inference."""
    if any(isinstance(v, (np.ndarray, np.random.Generator)) for v in vars(part).values()):
        raise ValueError(
            f"{who}: {name} is {part!r}, which draws noise or keeps running statistics, so that J "
            "would not be that of the code; leave it out of the encoder (LayerNorm may stay), "
            "or corrupt the input with a DenoisingAutoencoder"
        )
    for key, child in part.children.items():
        _check_deterministic(who, child, f"{name}.{key}")
