"""The variational autoencoder: the code is a distribution, and the decoder gets a draw from it.

It adds three things to the plain one: two heads, μ and ln σ², on the encoder's features; the draw
z = μ + σ ε, through which gradients pass because ε does not depend on the weights; and the KL
divergence, a penalty on what z tells about x. Both terms are in nats a sample.

For the use of a trained model, see also :mod:`tinyae.models.likelihood_estimates` and
:mod:`tinyae.models.interpolation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

import numpy as np

from tinyae.arguments import check_generator, generator, interval, positive_int
from tinyae.data.corruption import Corruption
from tinyae.layers import Dense, Layer, Sequential
from tinyae.likelihoods import Bernoulli, Likelihood, inside
from tinyae.models.base import ReconstructionModel, Terms
from tinyae.models.checks import check_parts, check_reach, check_weight, output_range
from tinyae.param import Array
from tinyae.twin import fused


@dataclass(eq=False, repr=False)
class VariationalAutoencoder(ReconstructionModel):
    """Maximise the ELBO, a lower bound of log p(x): reconstruct from a draw, penalise the code.

    Forward   h = f(x)      μ = m(h)      s = clip(l(h)), which is ln σ²
              z = μ + exp(s/2) ε,   ε ~ N(0, I)      y = g(z)
              reconstruction = −log p(x | y)      kl = Σⱼ KLⱼ,   KLⱼ = ½ (μⱼ² + eˢʲ − 1 − sⱼ)
              total = reconstruction + β (kl + free_bits)
    Shapes    x (N, …)   h as the heads take it   μ, s, ε, z (N, latent_dim)   y (N, …)
    Backward  dz = J_gᵀ dy      dμ = dz + β μ / N      ds = ½ dz ε exp(s/2) + β ½ (eˢ − 1) / N
              ds = 0 where s was clipped;   dh = J_mᵀ dμ + J_lᵀ ds
    Units     nats a sample: summed over features and dimensions, averaged over the batch
    Raises    TypeError, ValueError if a part is of the wrong kind or a number out of its range,
              or if the decoder bounds what the likelihood takes as logits
    Source    Kingma & Welling (2014), eq. 10 and appendix B; β: Higgins et al. (2017), eq. 4

    mean, logvar    the heads m and l: layers on the encoder's output
    likelihood      p(x | y), of :mod:`tinyae.likelihoods`
    beta            1 is the ELBO; a larger β draws the code closer to N(0, I), a smaller one less
    free_bits       λ, nats that are free in each dimension: the penalty is Σⱼ max(λ, KLⱼ), KLⱼ the
                    batch's mean, and a KLⱼ below λ gets no gradient. The terms then include
                    ``free_bits``, Σⱼ max(λ − KLⱼ, 0) (Kingma et al. 2016, eq. 15)
    warm_up         β rises from 0 to its value over this many calls of ``backprop``, counted in
                    ``steps`` (Sønderby et al. 2016, §2.3). ``evaluate`` always uses the full β, so
                    that validation totals can be compared
    logvar_range    the range to which s is clipped, so that no exp overflows
    resample        redraws each batch, which is then both input and target, such as
                    :class:`~tinyae.data.binarize.Binarize`. Only training and ``evaluate`` use it

    ``encode`` returns μ, which is not random, and ``decode`` the mean of p(x | z).
    """

    elbo: ClassVar[Callable[..., Any]]  # attached by likelihood_estimates
    log_likelihood: ClassVar[Callable[..., Any]]
    interpolate: ClassVar[Callable[..., Array]]  # attached by interpolation
    traverse: ClassVar[Callable[..., Array]]

    encoder: Layer
    mean: Layer
    logvar: Layer
    decoder: Layer
    likelihood: Likelihood = field(default_factory=Bernoulli)
    beta: float = 1.0
    _: KW_ONLY
    free_bits: float = 0.0
    warm_up: int = 0
    logvar_range: tuple[float, float] = (-12.0, 12.0)
    resample: Corruption | None = None

    def __post_init__(self) -> None:
        who, parts = type(self).__name__, ("encoder", "mean", "logvar", "decoder")
        self.likelihood = Bernoulli() if self.likelihood is None else self.likelihood
        check_parts(who, Layer, **{name: getattr(self, name) for name in parts})
        check_parts(who, Likelihood, likelihood=self.likelihood)
        if self.resample is not None:
            check_parts(who, Corruption, resample=self.resample)
        bounds, last = output_range(self.decoder)
        if self.likelihood.logits and bounds is not None:
            raise ValueError(
                f"{who}: the decoder's last layer is {last}, but {self.likelihood} takes logits; "
                "leave that layer out"
            )
        self.beta = check_weight(who, "beta", self.beta, "1.0")
        self.free_bits = check_weight(who, "free_bits", self.free_bits, "1.0")
        if self.warm_up != 0:
            self.warm_up = positive_int(who, "warm_up", self.warm_up, 1000)
        self.logvar_range = interval(who, "logvar_range", self.logvar_range)
        self.steps = np.zeros(())  # calls of backprop so far; an array, so that it is saved

    # --- training --------------------------------------------------------------------------

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        x, c, rng = self._batch(x, rng)
        h = self._join(self.encoder.forward(x)[0], c)
        mu, raw = self.mean.forward(h)[0], self.logvar.forward(h)[0]
        logvar = np.clip(raw, *self.logvar_range)
        z, *_ = self.draw_code(mu, logvar, rng)
        y, _ = self.decoder.forward(self._join(z, c))
        nll, _ = self.likelihood.forward(y, x)
        return self._terms(nll, mu, logvar, self._beta())[0]

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        x, c, rng = self._batch(x, rng)
        features, encoder_cache = self.encoder.forward(x)
        h = self._join(features, c)
        mu, mean_cache = self.mean.forward(h)
        raw, logvar_cache = self.logvar.forward(h)
        logvar = np.clip(raw, *self.logvar_range)
        z, std, eps = self.draw_code(mu, logvar, rng)
        nll, dz = self.decoder_step(self._join(z, c), x)
        terms, dkl = self._terms(nll, mu, logvar, self._beta())
        self.steps[...] += 1

        dz = self._cut(dz, c)  # y = g([z, c])
        dmu = dz + dkl * mu  # z = μ + …, KL = ½ μ² + …
        dlogvar = 0.5 * (dz * std * eps + dkl * (std * std - 1))  # z = … + exp(s/2) ε, ½ (eˢ − s)
        dlogvar *= inside(raw, self.logvar_range)  # s = clip(l(h))
        dh = self.logvar.backward(dlogvar, logvar_cache) + self.mean.backward(dmu, mean_cache)
        self.encoder.backward_params(self._cut(dh, c), encoder_cache)  # h = [f(x), c]
        return terms

    def draw_code(
        self, mu: Array, logvar: Array, rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """z ~ N(μ, σ²) as z = μ + σ ε, with σ = exp(s/2) and ε ~ N(0, I); and σ and ε."""
        std = np.exp(0.5 * logvar)
        eps = rng.standard_normal(mu.shape, mu.dtype)
        return mu + std * eps, std, eps

    @fused
    def decoder_step(self, z: Array, x: Array) -> tuple[float, Array]:
        """−log p(x | g(z)) and ∂/∂z of it; adds the gradients of g and of the likelihood."""
        y, decoder_cache = self.decoder.forward(z)
        nll, likelihood_cache = self.likelihood.forward(y, x)
        dy = self.likelihood.backward(likelihood_cache)
        return nll, self.decoder.backward(dy, decoder_cache)

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        x, c, rng = self._batch(x, rng)
        mu, logvar = self.posterior(x, c)
        z, *_ = self.draw_code(mu, logvar, rng)
        nll = self.likelihood.evaluate(self.decoder(self._join(z, c)), x)
        return self._terms(nll, mu, logvar, self.beta)[0]

    def _batch(self, x: Any, rng: np.random.Generator | None) -> tuple[Array, Any, Any]:
        """x, resampled if the model does so, its condition and the generator, which is required."""
        if rng is None:
            raise ValueError(
                f"{type(self).__name__}: z is drawn at random, which needs a generator; "
                "pass rng=np.random.default_rng(0)"
            )
        check_generator(type(self).__name__, rng)
        x, c = self._split(x)
        return (x if self.resample is None else self.resample(x, rng)), c, rng

    def _terms(self, nll: float, mu: Array, logvar: Array, beta: float) -> tuple[Terms, Array]:
        """The terms, and the weight of each dimension's KL gradient: β / N, or 0 where it is free."""
        each = 0.5 * (mu * mu + np.exp(logvar) - 1 - logvar).mean(axis=0)  # KLⱼ
        kl = float(each.sum())
        terms = {"total": nll + beta * kl, "reconstruction": nll, "kl": kl}
        dkl = np.full_like(each, beta / len(mu))
        if self.free_bits:
            slack = float(np.maximum(self.free_bits - each, 0).sum())
            terms |= {"total": terms["total"] + beta * slack, "free_bits": slack}
            dkl *= each > self.free_bits
        return terms, dkl

    def _beta(self) -> float:
        return self.beta * min(float(self.steps) / self.warm_up, 1.0) if self.warm_up else self.beta

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        x, c, rng = self._batch(x, rng)
        h = x
        for name, h in self.encoder.trace(x, "encoder"):
            yield name, h
        h = self._join(h, c)
        for name, mu in self.mean.trace(h, "mean"):
            yield name, mu
        for name, logvar in self.logvar.trace(h, "logvar"):
            yield name, logvar
        z, *_ = self.draw_code(mu, np.clip(logvar, *self.logvar_range), rng)
        yield from self.decoder.trace(self._join(z, c), "decoder")

    def check_data(self, x: Any) -> None:
        """Check x as every model does, and that the decoder can reach the data.

        Raises
            TypeError   a tuple of arrays
            ValueError  data outside the range of the likelihood or of the decoder's last layer
        """
        super().check_data(x)
        if isinstance(x, tuple):
            raise TypeError(
                f"{type(self).__name__}: x is a tuple of {len(x)} arrays, expected one array: "
                "it is its own target; pass x alone"
            )
        self._check_range(x)

    def _check_range(self, x: Array) -> None:
        bounds, last = output_range(self.decoder)
        decoder = f"the decoder's last layer, {last}, reaches no further: scale x, or leave it out"
        likelihood = f"{self.likelihood} is for such data: scale x to it, or use Gaussian()"
        limits = (bounds, decoder), (self.likelihood.target_range, likelihood)
        check_reach(self, x, *limits)

    # --- what a conditional model overrides --------------------------------------------------

    def _split(self, batch: Any) -> tuple[Array, Any]:
        """A batch as x and its condition c."""
        return batch, None

    def _join(self, a: Array, c: Any) -> Array:
        """[a, c], the input of the heads or of the decoder."""
        return a

    def _cut(self, da: Array, c: Any) -> Array:
        """The part of ∂L/∂[a, c] that belongs to a."""
        return da

    def _with_condition(self, z: Array, batch: Any) -> Any:
        """z and the condition of a batch, as :meth:`decode` takes them."""
        return z

    # --- use -------------------------------------------------------------------------------

    def encode(self, x: Any) -> Array:
        """The means μ of the codes, in inference mode, 1,024 rows at a time. Draws no noise."""
        return self._in_chunks(lambda part: self.posterior(*self._split(part))[0], x)

    def decode(self, z: Any) -> Array:
        """The reconstruction from the codes: E[x | z], in the data's unit."""
        return self._in_chunks(lambda part: self.in_data_units(self._decode(part)), z, "z")

    def posterior(self, x: Array, c: Any) -> tuple[Array, Array]:
        """μ and s of q(z | x), in inference mode."""
        h = self._join(self.encoder(x), c)
        return self.mean(h), np.clip(self.logvar(h), *self.logvar_range)

    def _decode(self, batch: Any) -> Array:
        z, c = self._split(batch)
        return self.likelihood.mean(self.decoder(self._join(z, c)))

    def _samples(self, batch: Any) -> Array:
        return self._split(batch)[0]

    def _reconstruct(self, batch: Any) -> Array:
        x, c = self._split(batch)
        y = self.likelihood.mean(self.decoder(self._join(self.posterior(x, c)[0], c)))
        return self._same_shape(x, y)

    def sample(self, n: int, rng: np.random.Generator | int = 0) -> Array:
        """n new samples: z ~ N(0, I), then the mean E[x | z]. (n, …)"""
        return self.decode(self._prior(n, generator(type(self).__name__, rng)))

    def draw(self, n: int, rng: np.random.Generator | int = 0) -> Array:
        """n new samples with the likelihood's own noise: z ~ N(0, I), x ~ p(x | z). (n, …)"""
        rng = generator(type(self).__name__, rng)
        return self._draw(self._prior(n, rng), rng)

    def _prior(self, n: int, rng: np.random.Generator) -> Array:
        n = positive_int(type(self).__name__, "n", n, 16)
        return rng.standard_normal((n, self.latent_dim), self.dtype.type)

    def _draw(self, z: Any, rng: np.random.Generator) -> Array:
        def x(batch: Any) -> Array:
            z, c = self._split(batch)
            drawn = self.likelihood.sample(self.decoder(self._join(z, c)), rng)
            return self.in_data_units(drawn)

        return self._in_chunks(x, z, "z")

    @property
    def latent_dim(self) -> int:
        """The size of a code: the width of the mean head's last layer.

        Raises
            ValueError  that layer is not a Dense, so the size of z depends on that of x
        """
        last = self.mean
        while isinstance(last, Sequential) and last.layers:
            last = last.layers[-1]
        if isinstance(last, Dense):
            return last.out_features
        raise ValueError(
            f"{type(self).__name__}: the mean head ends in {last}, expected a Dense, which says "
            "how many numbers z has; draw z of encode's shape yourself and pass it to decode"
        )
