"""The diffusion autoencoder: a code that says what is in x, and a reverse process that paints it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinyae.arguments import check_callable, check_generator, generator, positive_int
from tinyae.arrays import real
from tinyae.layers import Layer
from tinyae.models.base import CHUNK, ReconstructionModel, Terms
from tinyae.models.checks import check_parts
from tinyae.models.diffusion import Diffusion
from tinyae.models.interpolation import Path, linear, spherical
from tinyae.models.noising import CosineSchedule, Prediction
from tinyae.param import Array


class DiffusionAutoencoder(ReconstructionModel):
    """An encoder gives z; a denoiser is shown x_t, t and z, at every level of noise.

    Forward   z = E(x)      t, ε and x_t as of :class:`Diffusion`
              o = f([x_t, φ(t), z])      total = prediction = mean (o − target)²
    Shapes    x, x_t, o (N, D) or (N, C, H, W)   z (N, K), joined along axis 1, in images as planes
    Backward  do = 2 (o − target)/size      [dx_t, dφ, dz] = J_fᵀ do, dz summed over the planes
              then dz through the encoder; x_t is data
    Units     the data's, squared. Scale data to mean 0 and a variance near 1, as images to [−1, 1]
    Raises    ValueError without a generator, or if the encoder's codes are not (N, K)
    Source    Preechakul, Chatthee, Wizadwongsa & Suwajanakorn (2022), §3

    With little noise the denoiser can see in x_t what x is; with much, only z tells. So z learns what x
    is, and a second code keeps the rest: the deterministic reverse process (DDIM) is an ordinary
    differential equation, which can be followed from x up to its own x_T, and back. x_T looks like
    noise. ``invert`` gives it, and ``decode`` returns from it.
    """

    def __init__(
        self,
        encoder: Layer,
        network: Layer,
        shape: Sequence[int],
        *,
        schedule: CosineSchedule | None = None,
        prediction: Prediction | None = None,
        time_features: int = 32,
    ) -> None:
        check_parts("DiffusionAutoencoder", Layer, encoder=encoder, network=network)
        self.encoder = encoder
        self.process = Diffusion(
            network, shape, schedule=schedule, prediction=prediction, time_features=time_features
        )
        self.shape, self.time_features = self.process.shape, self.process.time_features
        self.schedule, self.prediction = self.process.schedule, self.process.prediction

    @property
    def network(self) -> Layer:
        return self.process.network

    # --- training --------------------------------------------------------------------------

    def objective(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        xt, t, target = self._noised(x, rng)
        z = self._code(self.encoder.forward(x)[0], len(x))
        o, _ = self.network.forward(self.process.join(xt, t, z))
        return self.process._terms(o, target)[0]

    def backprop(self, x: Array, rng: np.random.Generator | None = None) -> Terms:
        xt, t, target = self._noised(x, rng)
        z, encoder_cache = self.encoder.forward(x)
        shown = self.process.join(xt, t, self._code(z, len(x)))
        o, cache = self.network.forward(shown)
        terms, do = self.process._terms(o, target)
        dshown = self.network.backward(do, cache)
        dz = dshown[:, -z.shape[1] :]  # shown = [x_t, φ(t), z]
        dz = dz.sum(axis=tuple(range(2, dz.ndim)))  # each number of z fills a plane
        self.encoder.backward_params(dz, encoder_cache)
        return terms

    def evaluate_batch(self, x: Array, rng: np.random.Generator) -> Terms:
        xt, t, target = self._noised(x, rng)
        z = self._code(self.encoder(x), len(x))
        return self.process._terms(self.network(self.process.join(xt, t, z)), target)[0]

    def _noised(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Array, Array]:
        if rng is None:
            raise ValueError(
                "DiffusionAutoencoder: t and ε are drawn at random, which needs a generator; "
                "pass rng=np.random.default_rng(0)"
            )
        check_generator("DiffusionAutoencoder", rng)
        return self.process.diffuse(self._samples(x), rng)

    def _code(self, z: Array, n: int) -> Array:
        if z.ndim != 2 or len(z) != n:
            raise ValueError(
                f"DiffusionAutoencoder: the encoder gives {z.shape}, expected ({n}, K), a vector for "
                "each sample; end it in Flatten() and Dense"
            )
        return z

    def trace(
        self, x: Array, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[str, Array]]:
        xt, t, _ = self._noised(x, rng)
        z = x
        for name, z in self.encoder.trace(x, "encoder"):
            yield name, z
        yield from self.network.trace(
            self.process.join(xt, t, self._code(z, len(x))), "process.network"
        )

    # --- use -------------------------------------------------------------------------------

    def encode(self, x: Any) -> Array:
        """z: (N, K)"""
        return self._in_chunks(lambda part: self._code(self.encoder(part), len(part)), x)

    def invert(self, x: Any, *, steps: int = 50) -> Array:
        """x_T, from which the reverse process with x's own z leads back to x."""
        return self._in_chunks(lambda part: self._inverted(part, steps)[1], x)

    def decode(
        self, z: Any, xT: Any = None, rng: np.random.Generator | int = 0, *, steps: int = 50
    ) -> Array:
        """x from its code and x_T. Without x_T one is drawn, and with it all that z does not say."""
        who = "DiffusionAutoencoder"
        z = real(f"{who}: z", z).astype(self.dtype, copy=False)
        if xT is None:
            xT = generator(who, rng).standard_normal((len(z), *self.shape), self.dtype.type)
        xT = self._samples(real(f"{who}: xT", xT).astype(self.dtype, copy=False))
        if z.ndim != 2 or len(z) != len(xT):
            raise ValueError(
                f"{who}: z has shape {z.shape}, expected ({len(xT)}, K), a code for each x_T; pass "
                "what encode returned"
            )
        starts, places = range(0, max(len(z), 1), CHUNK), self._places(steps)
        parts = [self._follow(xT[k : k + CHUNK], z[k : k + CHUNK], places) for k in starts]
        return self.in_data_units(np.concatenate(parts))

    def interpolate(self, x0: Any, x1: Any, steps: int, path: Path = linear) -> Array:
        """From x0 to x1, both ends included: z along ``path``, x_T along an arc. (steps, N, …)"""
        steps = positive_int("DiffusionAutoencoder", "steps", steps, 8)
        check_callable("DiffusionAutoencoder", "path", path, "spherical")
        (z0, z1), (e0, e1) = map(self.encode, (x0, x1)), map(self.invert, (x0, x1))
        ts = np.linspace(0, 1, steps).tolist()
        return np.stack([self.decode(path(z0, z1, t), spherical(e0, e1, t)) for t in ts])

    def _reconstruct(self, x: Array) -> Array:
        z, xT = self._inverted(x, 50)
        return self._follow(xT, z, self._places(50))

    def _inverted(self, x: Array, steps: int) -> tuple[Array, Array]:
        """z and x_T"""
        z = self._code(self.encoder(self._samples(x)), len(x))
        return z, self._follow(x, z, self._places(steps)[::-1])

    def _places(self, steps: int) -> Array:
        """T, …, 0, in that many steps"""
        T, steps = self.schedule.steps, positive_int("DiffusionAutoencoder", "steps", steps, 50)
        return np.linspace(T, 0, min(steps, T) + 1).round().astype(int)

    def _follow(self, xt: Array, z: Array, places: Array) -> Array:
        """x_t along the places, down or up: x_t ← a′ x̂ + s′ ε̂ (Song, Meng & Ermon 2021, eq. 12).

        At t = 0, where no noise is left to predict, the network is asked as at t = 1.
        """
        for t, to in itertools.pairwise(places):
            at = np.full(len(xt), max(t, 1))
            a, s = self.process.levels(at, xt)
            o = self.network(self.process.join(xt, at, z))
            x, eps = (f(o, xt, a, s) for f in (self.prediction.clean, self.prediction.noise))
            b, r = self.process.levels(np.full(len(xt), to), xt)
            xt = b * x + r * eps
        return xt

    def _samples(self, x: Array) -> Array:
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"DiffusionAutoencoder: x has shape {x.shape}, expected {('N', *self.shape)}; pass x "
                "of that shape, or build the model with another"
            )
        return x
