"""Likelihoods: log p(x | y), what a decoder's output y says about the data, in nats a sample.

    Bernoulli                 x in {0, 1} (or [0, 1])     y: logits
    Gaussian                  any real x                  y: means, σ given
    LearntGaussian            any real x                  y: means, one σ learnt for all features
    HeteroscedasticGaussian   any real x                  y: means and log-variances of all features
    Laplace                   any real x, heavy tails     y: medians, scale given

The contract is a layer's::

    nll, cache = likelihood.forward(y, x)   # −1/N Σₙ log p(xₙ | yₙ), and what backward needs
    dy         = likelihood.backward(cache) # adds ∂nll/∂θ to its own Params, returns ∂nll/∂y
    nll, dy    = likelihood(y, x)           # like a loss: adds no gradient to its own Params

A loss is a mean over features; a likelihood is a sum over them, so that it can be added to a KL
divergence. No constant is left out, so that densities in nats can be compared across models.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import float_dtype, interval, number
from tinyae.arrays import check_array, check_float
from tinyae.layers.base import Module
from tinyae.losses import OutOfRange, Range, check_range
from tinyae.param import Array, Param

_LOG_2PI = math.log(2 * math.pi)


class Likelihood(Module):
    """A density of the data, given the decoder's output. Subclasses define ``density``,
    ``backward_input`` and ``sample``, and override ``mean`` and ``output_shape`` where needed.

    ``target_range`` is where x must lie, None for anywhere. ``logits`` is True if y is on another
    scale than x, so that no activation may bound it.

    Raises
        ValueError  y and x do not fit each other, are empty, or x leaves its range (a NaN is let
                    through: it shows in the number, where the training loop sees it)
        TypeError   they are not arrays of float32 or float64, or differ in dtype
    """

    target_range: ClassVar[Range | None] = None
    logits: ClassVar[bool] = False

    def forward(self, y: Array, x: Array) -> tuple[float, Any]:
        """nll = −1/N Σₙ log p(xₙ | yₙ), and what :meth:`backward` needs."""
        return -float(self.log_prob(y, x).mean()), (y, x)

    def backward(self, cache: Any) -> Array:
        """Add ∂nll/∂θ to each Param.grad and return ∂nll/∂y."""
        return self.backward_input(cache)

    def backward_weighted(self, cache: Any, weights: Array) -> Array:
        """Like :meth:`backward`, of −1/N Σₙ wₙ log p(xₙ | yₙ). weights (N,)

        Raises
            TypeError  a likelihood with Params, in a class that does not say how they are weighted
        """
        if self.params:
            raise TypeError(
                f"{type(self).__name__}: its own Params have no weighted gradient; define "
                "backward_weighted, or use a likelihood without Params"
            )
        return _weighted(self.backward_input(cache), weights)

    def __call__(self, y: Array, x: Array) -> tuple[float, Array]:
        nll, cache = self.forward(y, x)
        return nll, self.backward_input(cache)

    def evaluate(self, y: Array, x: Array) -> float:
        """nll alone, also of x beyond its range, where anomalies lie."""
        try:
            return self.forward(y, x)[0]
        except OutOfRange:
            return -float(self.density(y, x).mean())

    def log_prob(self, y: Array, x: Array) -> Array:
        """log p(xₙ | yₙ) of each sample, (N,) in float64."""
        self.check(y, x)
        return self.density(y, x)

    def density(self, y: Array, x: Array) -> Array:
        """:meth:`log_prob` without its checks."""
        raise NotImplementedError

    def backward_input(self, cache: Any) -> Array:
        """Like :meth:`backward`, but only ∂nll/∂y: adds nothing to any gradient."""
        raise NotImplementedError

    def mean(self, y: Array) -> Array:
        """E[x | y], in the data's unit."""
        return y

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        """x ~ p(x | y)"""
        raise NotImplementedError

    def output_shape(self, x: Array) -> tuple[int, ...]:
        """The shape that y must have."""
        return x.shape

    def check(self, y: Array, x: Array) -> None:
        who = type(self).__name__
        check_float(f"{who}: y", y)
        check_array(f"{who}: x", x)
        shape = self.output_shape(x)
        if y.shape != shape:
            raise ValueError(
                f"{who}: x has shape {x.shape}, so y must have {shape}, but has {y.shape}; "
                f"end the decoder with Reshape{shape[1:]}, or reshape x"
            )
        if y.dtype != x.dtype:
            raise TypeError(f"{who}: y is {y.dtype}, x is {x.dtype}; pass x.astype(np.{y.dtype})")
        if not y.size:
            raise ValueError(f"{who}: y is empty, shape {y.shape}; the mean needs a sample")
        self.check_target(x)

    def check_target(self, x: Array) -> None:
        """Raise a ValueError if x leaves its range."""
        do = "scale the data to [0, 1], or use Gaussian"
        check_range(f"{type(self).__name__}: x", x, self.target_range, do)


class Bernoulli(Likelihood):
    """Each feature is binary with logit y. Safe for any y: there is no ln 0 and no overflow.

    Forward   log p(x | y) = Σ [x y − max(y, 0) − ln(1 + e^−|y|)]
    Shapes    y, x (N, …), x in [0, 1]
    Backward  dy = (σ(y) − x) / N
    Units     nats a sample
    Source    Kingma & Welling (2014), appendix C.1

    For x strictly between 0 and 1 this is a cross-entropy, not a log-probability: such numbers
    can only be compared with each other. To report log-likelihoods, binarise the data first.
    """

    target_range = (0.0, 1.0)
    logits = True

    def forward(self, y: Array, x: Array) -> tuple[float, Array]:
        self.check(y, x)
        features = y.size // len(y)
        L, dy = kernels.bce_with_logits(y, x)  # means over all elements
        dy *= features
        return L * features, dy

    def backward_input(self, dy: Array) -> Array:
        return dy

    def density(self, y: Array, x: Array) -> Array:
        log_p = np.abs(y)
        np.negative(log_p, out=log_p)
        np.exp(log_p, out=log_p)
        np.log1p(log_p, out=log_p)
        log_p += np.maximum(y, 0)  # softplus(y)
        np.subtract(x * y, log_p, out=log_p)
        return per_sample(log_p)

    def mean(self, y: Array) -> Array:
        return kernels.sigmoid(y)

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        return bernoulli(kernels.sigmoid(y), rng.random(y.shape, y.dtype))


def bernoulli(p: Array, uniform: Array) -> Array:
    """1 with probability p, else 0, from draws of U(0, 1); NaN where p is NaN."""
    x = (uniform < p).astype(p.dtype)
    if p.dtype.kind == "f":
        x[np.isnan(p)] = np.nan
    return x


class Gaussian(Likelihood):
    """Each feature is normal with mean y and a given standard deviation.

    Forward   log p(x | y) = −½ Σ [((x − y) / σ)² + ln σ² + ln 2π]
    Shapes    y, x (N, …)
    Backward  dy = (y − x) / σ² / N
    Units     nats a sample; ``std`` is σ, in the data's unit
    Raises    ValueError unless σ > 0
    Source    Bishop (2006), eq. 1.46

    σ weighs reconstruction against the KL divergence: σ² plays the role of β.
    """

    def __init__(self, std: float = 1.0) -> None:
        self.std = _positive("Gaussian", "std", std)

    def density(self, y: Array, x: Array) -> Array:
        constant = _LOG_2PI + 2 * math.log(self.std)
        return -0.5 * (per_sample(np.square((x - y) / self.std)) + constant * (y.size // len(y)))

    def backward_input(self, cache: tuple[Array, Array]) -> Array:
        y, x = cache
        return (y - x) / (self.std**2 * len(y))

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        return y + self.std * rng.standard_normal(y.shape, y.dtype)

    def __repr__(self) -> str:
        return f"Gaussian({self.std:g})"


class LearntGaussian(Likelihood):
    """Like Gaussian, but σ is learnt: one number s = ln σ² for all features.

    Forward   log p(x | y) = −½ Σ [(x − y)² e⁻ˢ + s + ln 2π]
    Shapes    y, x (N, …)   logvar (1,), which is s
    Backward  dy = (y − x) e⁻ˢ / N      ds = ½ Σ [1 − (x − y)² e⁻ˢ] / N
              ds = 0 if s lies outside ``logvar_range``
    Units     nats a sample; ``std`` is σ: initial as an argument, learnt as an attribute
    Raises    ValueError unless σ > 0 and the range is (low, high), low < high
    Source    Rybkin, Daniilidis & Levine (2021), §3: at its optimum σ² is the mean squared error
    """

    def __init__(
        self,
        std: float = 1.0,
        logvar_range: tuple[float, float] = (-12.0, 12.0),
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.logvar_range = interval("LearntGaussian", "logvar_range", logvar_range)
        std = _positive("LearntGaussian", "std", std)
        self.logvar = Param(np.full(1, 2 * math.log(std), float_dtype("LearntGaussian", dtype)))

    @property
    def std(self) -> float:
        return math.exp(0.5 * self._s())

    def _s(self) -> float:
        low, high = self.logvar_range
        return min(max(float(self.logvar.value[0]), low), high)

    def density(self, y: Array, x: Array) -> Array:
        s = self._s()
        squares = per_sample(np.square(x - y)) * math.exp(-s)
        return -0.5 * (squares + (s + _LOG_2PI) * (y.size // len(y)))

    def backward(self, cache: tuple[Array, Array]) -> Array:
        y, x = cache
        s = self._s()
        if s == self.logvar.value[0]:
            squares = float(per_sample(np.square(x - y)).sum()) * math.exp(-s)
            self.logvar.grad += 0.5 * (y.size - squares) / len(y)
        return self.backward_input(cache)

    def backward_weighted(self, cache: tuple[Array, Array], weights: Array) -> Array:
        y, x = cache
        s = self._s()
        if s == self.logvar.value[0]:
            each = y.size // len(y) - per_sample(np.square(x - y)) * math.exp(-s)
            self.logvar.grad += 0.5 * float(weights @ each) / len(y)
        return _weighted(self.backward_input(cache), weights)

    def backward_input(self, cache: tuple[Array, Array]) -> Array:
        y, x = cache
        return (y - x) * (math.exp(-self._s()) / len(y))

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        return y + self.std * rng.standard_normal(y.shape, y.dtype)

    def __repr__(self) -> str:
        return f"LearntGaussian({self.std:.4g}, logvar_range={self.logvar_range})"


class HeteroscedasticGaussian(Likelihood):
    """Each feature is normal with its own mean and variance: y = [m, s], the halves of axis 1.

    Forward   log p(x | y) = −½ Σ [(x − m)² e⁻ˢ + s + ln 2π],   s kept in ``logvar_range``
    Shapes    x (N, C, …)   y (N, 2C, …): m is y[:, :C], s = ln σ² is y[:, C:]
    Backward  dm = (m − x) e⁻ˢ / N      ds = ½ [1 − (x − m)² e⁻ˢ] / N,   0 outside the range
    Units     nats a sample
    Raises    ValueError unless the range is (low, high), low < high
    Source    Kingma & Welling (2014), appendix C.2; Nix & Weigend (1994), eq. 5
    """

    def __init__(self, logvar_range: tuple[float, float] = (-12.0, 12.0)) -> None:
        self.logvar_range = interval("HeteroscedasticGaussian", "logvar_range", logvar_range)

    def output_shape(self, x: Array) -> tuple[int, ...]:
        return (x.shape[0], 2 * x.shape[1], *x.shape[2:])

    def _halves(self, y: Array) -> tuple[Array, Array]:
        m, s = np.split(y, 2, axis=1)
        return m, np.clip(s, *self.logvar_range)

    def density(self, y: Array, x: Array) -> Array:
        m, s = self._halves(y)
        return -0.5 * (
            per_sample(np.square(x - m) * np.exp(-s) + s) + _LOG_2PI * (x.size // len(x))
        )

    def backward_input(self, cache: tuple[Array, Array]) -> Array:
        y, x = cache
        m, s = self._halves(y)
        dm = (m - x) * np.exp(-s)
        ds = 0.5 * (1 - (m - x) * dm)
        ds *= inside(y[:, x.shape[1] :], self.logvar_range)
        return np.concatenate([dm, ds], axis=1) / len(y)

    def mean(self, y: Array) -> Array:
        return self._halves(y)[0]

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        m, s = self._halves(y)
        return m + np.exp(0.5 * s) * rng.standard_normal(m.shape, m.dtype)

    def __repr__(self) -> str:
        return f"HeteroscedasticGaussian({self.logvar_range})"


class Laplace(Likelihood):
    """Each feature has a Laplace distribution around y: less affected by outliers than Gaussian.

    Forward   log p(x | y) = −Σ [|x − y| / b + ln 2b]
    Shapes    y, x (N, …)
    Backward  dy = sign(y − x) / b / N,   0 where y = x
    Units     nats a sample; ``scale`` is b, in the data's unit; the standard deviation is √2 b
    Raises    ValueError unless b > 0
    Source    Bishop (2006), exercise 2.43 with q = 1
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = _positive("Laplace", "scale", scale)

    def density(self, y: Array, x: Array) -> Array:
        constant = math.log(2 * self.scale)
        return -(per_sample(np.abs(x - y)) / self.scale + constant * (y.size // len(y)))

    def backward_input(self, cache: tuple[Array, Array]) -> Array:
        y, x = cache
        return np.sign(y - x) / (self.scale * len(y))

    def sample(self, y: Array, rng: np.random.Generator) -> Array:
        return y + rng.laplace(0.0, self.scale, y.shape).astype(y.dtype)

    def __repr__(self) -> str:
        return f"Laplace({self.scale:g})"


def inside(a: Array, bounds: Range) -> Array:
    """Where clipping to ``bounds`` changes nothing and so passes the gradient."""
    return (a >= bounds[0]) & (a <= bounds[1])


def per_sample(a: Array) -> Array:
    """The sum over all axes but the first, in float64."""
    return a.reshape(len(a), -1).sum(axis=1, dtype=np.float64)


def _weighted(dy: Array, weights: Array) -> Array:
    return dy * weights.reshape(-1, *[1] * (dy.ndim - 1)).astype(dy.dtype)


def _positive(who: str, name: str, value: float) -> float:
    value = number(who, name, value, 0.1)
    if not 0 < value < math.inf:
        raise ValueError(f"{who}: {name} is {value}, expected > 0 and finite; pass e.g. 0.1")
    return value
