"""Denoising diffusion: noise is added to data in many steps, and a network learns to go back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinyae.arguments import check_generator, generator, number, positive_int, sizes_of
from tinyae.kernels.special import erfc
from tinyae.layers import Layer
from tinyae.layers.tokens import sinusoids
from tinyae.models.base import Model, Terms
from tinyae.models.checks import check_parts
from tinyae.models.noising import CosineSchedule, Prediction, PredictNoise
from tinyae.param import Array


class Diffusion(Model):
    """A network that is shown x_t, t and perhaps a class, and says which part of x_t is noise.

    Forward   t ~ U{1, …, T}      ε ~ N(0, I)      x_t = a_t x + s_t ε,   s_t = √(1 − a_t²)
              o = f([x_t, φ(t), c])      total = prediction = mean (o − target)²,   target = ε, x or v
    Shapes    x, x_t, ε, o (N, D) or (N, C, H, W)   φ(t) (N, F), c (N, K) one-hot; both are joined
              along axis 1, and in images fill planes: f takes D + F + K numbers or channels
    Backward  do = 2 (o − target)/size, then through the network
    Units     the data's, squared. Scale data to mean 0 and a variance near 1, as images to [−1, 1]
    Raises    ValueError without a generator
    Source    Ho, Jain & Abbeel (2020), algorithms 1 and 2; classes: Ho & Salimans (2022), algorithm 1

    With ``classes`` a batch is (x, labels). A share ``unlabelled`` of the samples is shown without
    its class (c = 0), so that the network learns both, and guidance can compare them.
    """

    def __init__(
        self,
        network: Layer,
        shape: Sequence[int],
        *,
        schedule: CosineSchedule | None = None,
        prediction: Prediction | None = None,
        time_features: int = 32,
        classes: int = 0,
        unlabelled: float = 0.1,
    ) -> None:
        self.schedule = CosineSchedule() if schedule is None else schedule
        self.prediction = PredictNoise() if prediction is None else prediction
        check_parts("Diffusion", Layer, network=network)
        check_parts("Diffusion", CosineSchedule, schedule=self.schedule)
        check_parts("Diffusion", Prediction, prediction=self.prediction)
        self.network = network
        self.shape = tuple(sizes_of("Diffusion", "shape", shape))
        self.time_features = positive_int("Diffusion", "time_features", time_features, 32)
        self.classes = (
            classes if classes == 0 else positive_int("Diffusion", "classes", classes, 10)
        )
        self.unlabelled = number("Diffusion", "unlabelled", unlabelled, 0.1)
        if not 0 <= self.unlabelled <= 1:
            raise ValueError(
                f"Diffusion: unlabelled is {unlabelled}, expected 0 to 1; pass e.g. unlabelled=0.1"
            )

    # --- training --------------------------------------------------------------------------

    def objective(self, batch: Any, rng: np.random.Generator | None = None) -> Terms:
        shown, target = self.noised(batch, rng)
        o, _ = self.network.forward(shown)
        return self._terms(o, target)[0]

    def backprop(self, batch: Any, rng: np.random.Generator | None = None) -> Terms:
        shown, target = self.noised(batch, rng)
        o, cache = self.network.forward(shown)
        terms, do = self._terms(o, target)
        self.network.backward_params(do, cache)
        return terms

    def evaluate_batch(self, batch: Any, rng: np.random.Generator) -> Terms:
        shown, target = self.noised(batch, rng)
        return self._terms(self.network(shown), target)[0]

    def noised(self, batch: Any, rng: np.random.Generator | None) -> tuple[Array, Array]:
        """[x_t, φ(t), c] for a random t, and the target."""
        if rng is None:
            raise ValueError(
                "Diffusion: t and ε are drawn at random, which needs a generator; "
                "pass rng=np.random.default_rng(0)"
            )
        check_generator("Diffusion", rng)
        x, c = self._split(batch)
        xt, t, target = self.diffuse(x, rng)
        if self.classes:
            c = c * (rng.random((len(x), 1)) >= self.unlabelled)
        return self.join(xt, t, c), target

    def diffuse(self, x: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """x_t for a random t, that t, and the target."""
        t = rng.integers(1, self.schedule.steps + 1, size=len(x))
        eps = rng.standard_normal(x.shape, x.dtype.type)
        a, s = self.levels(t, x)
        return a * x + s * eps, t, self.prediction.target(x, eps, a, s)

    def levels(self, t: Array, x: Array) -> tuple[Array, Array]:
        """a_t and s_t, in a shape that multiplies x."""
        a = self.schedule.signal[t].reshape(-1, *[1] * (x.ndim - 1))
        return a.astype(x.dtype), np.sqrt(1 - a * a).astype(x.dtype)

    def join(self, xt: Array, t: Array, c: Array) -> Array:
        """[x_t, φ(t), c]"""
        beside = np.concatenate([sinusoids(t, self.time_features), c], axis=1).astype(xt.dtype)
        planes = beside.reshape(*beside.shape, *[1] * (xt.ndim - 2))
        return np.concatenate([xt, np.broadcast_to(planes, (*beside.shape, *xt.shape[2:]))], axis=1)

    def _split(self, batch: Any) -> tuple[Array, Array]:
        """x, and c as one-hot rows: of no columns without classes."""
        if isinstance(batch, tuple) != bool(self.classes):
            got = f"{len(batch)} arrays" if isinstance(batch, tuple) else "one array"
            want = "(x, labels)" if self.classes else "x alone, or build it with classes=…"
            raise TypeError(f"Diffusion: a batch is {got}; pass {want}")
        x = batch[0] if self.classes else batch
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"Diffusion: x has shape {x.shape}, expected {('N', *self.shape)}; pass x of that "
                "shape, or build the model with another"
            )
        return x, self.one_hot(batch[1]) if self.classes else np.zeros((len(x), 0))

    def one_hot(self, labels: Array) -> Array:
        labels = np.asarray(labels)
        kind, low, high = labels.dtype.kind, labels.min(initial=0), labels.max(initial=0)
        if kind not in "iu" or low < 0 or high >= self.classes:
            raise ValueError(
                f"Diffusion: labels are {labels.dtype} from {low} to {high}, expected ints from 0 to "
                f"{self.classes - 1}; number the classes from 0"
            )
        return np.eye(self.classes)[labels]

    def _terms(self, o: Array, target: Array) -> tuple[Terms, Array]:
        if o.shape != target.shape:
            raise ValueError(
                f"Diffusion: the network gives {o.shape}, expected {target.shape}, x's shape; "
                "end it in as many numbers or channels as x has"
            )
        gap = o - target
        L = float(np.square(gap).mean(dtype=np.float64))
        return {"total": L, "prediction": L}, (2 / gap.size) * gap

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        yield from self.network.trace(self.noised(x, rng)[0], "network")

    # --- use -------------------------------------------------------------------------------

    def denoise(
        self, xt: Array, t: Array | int, labels: Array | None = None, guidance: float = 0.0
    ) -> Array:
        """E[x | x_t] as the network sees it: (N, …).

        With ``guidance`` w the output is (1 + w) o(c) − w o(no class): samples become more typical of
        their class, and less varied (Ho & Salimans 2022, eq. 6).
        """
        t = np.broadcast_to(np.asarray(t), (len(xt),))
        none = np.zeros((len(xt), self.classes))
        c = none if labels is None else self.one_hot(labels)
        o = self.network(self.join(xt, t, c))
        if guidance:
            o = (1 + guidance) * o - guidance * self.network(self.join(xt, t, none))
        return self.prediction.clean(o, xt, *self.levels(t, xt))

    def score(self, xt: Array, t: Array | int, labels: Array | None = None) -> Array:
        """∇ log p(x_t) = (a E[x | x_t] − x_t)/s²: a denoiser's residual over the noise's variance."""
        a, s = self.levels(np.broadcast_to(np.asarray(t), (len(xt),)), xt)
        return (a * self.denoise(xt, t, labels) - xt) / (s * s)

    def sample(
        self,
        n: int,
        rng: np.random.Generator | int = 0,
        *,
        steps: int = 50,
        eta: float = 0.0,
        labels: Array | None = None,
        guidance: float = 0.0,
        clip: tuple[float, float] | None = None,
    ) -> Array:
        """n new samples, from noise in ``steps`` steps. (n, …)

        ``eta`` 0 draws noise only at the beginning (DDIM, Song, Meng & Ermon 2021, eq. 12); 1 at each
        step (Ho et al. 2020, algorithm 2). ``clip`` holds each step's x within the data's range.
        """
        rng, n = generator("Diffusion", rng), positive_int("Diffusion", "n", n, 16)
        steps = min(positive_int("Diffusion", "steps", steps, 50), self.schedule.steps)
        places = np.linspace(self.schedule.steps, 0, steps + 1).round().astype(int)
        dtype = self.dtype.type
        xt = rng.standard_normal((n, *self.shape), dtype)
        signal = self.schedule.signal
        for t, to in itertools.pairwise(places):
            x = self.denoise(xt, t, labels, guidance)
            if clip is not None:
                x = np.clip(x, *clip)
            a, b = signal[t], signal[to]
            s, r = math.sqrt(1 - a * a), math.sqrt(max(1 - b * b, 0))
            noise = eta * r / s * math.sqrt(max(1 - (a / b) ** 2, 0))  # σ of what is drawn anew
            eps = (xt - dtype(a) * x) / dtype(s)
            xt = dtype(b) * x + dtype(math.sqrt(max(r * r - noise * noise, 0))) * eps
            if noise:
                xt += dtype(noise) * rng.standard_normal(xt.shape, dtype)
        return xt

    def bits_per_dimension(
        self, x: Array, rng: np.random.Generator | int = 0, labels: Array | None = None
    ) -> float:
        """The variational bound on −log₂ p(x), a number of x, for x of 256 values in [−1, 1].

        L_T + Σ L_{t−1} + L_0, each with one draw of ε a sample and the posterior's variance
        (Ho et al. 2020, eqs. 5 and 13).
        """
        rng, signal, total = generator("Diffusion", rng), self.schedule.signal, 0.0
        wide = x.astype(np.float64)
        for t in range(self.schedule.steps, 0, -1):
            a, b = signal[t], signal[t - 1]
            eps = rng.standard_normal(x.shape, x.dtype.type)
            xt = (a * x + math.sqrt(1 - a * a) * eps).astype(x.dtype)
            guess = self.denoise(xt, t, labels).astype(np.float64)
            beta = 1 - (a / b) ** 2
            weight = b * beta / (1 - a * a)  # of x in the posterior's mean
            if t > 1:
                variance = beta * (1 - b * b) / (1 - a * a)
                total += float(np.square(weight * (wide - guess)).sum()) / (2 * variance)
            else:
                total += _discrete_nll(wide, guess, math.sqrt(1 - a * a) / a)
        a2 = signal[-1] ** 2
        prior = 0.5 * float((a2 * np.square(wide) - a2 - math.log1p(-a2)).sum())
        return (total + prior) / (x.size * math.log(2))


def _discrete_nll(x: Array, mean: Array, std: float) -> float:
    """−log of a normal distribution's mass in x's bin, of width 2/255; the end bins are open."""
    low = np.where(x <= -1, -np.inf, (x - 1 / 255 - mean) / std)
    high = np.where(x >= 1, np.inf, (x + 1 / 255 - mean) / std)
    flip = low + high > 0  # the mass from the far tail would cancel
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    mass = 0.5 * (erfc(-high / math.sqrt(2)) - erfc(-low / math.sqrt(2)))
    return -float(np.log(np.maximum(mass, 1e-300)).sum())
