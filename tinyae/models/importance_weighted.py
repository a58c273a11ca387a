"""The importance-weighted autoencoder: a VAE that draws several codes of each sample.

The VAE's bound asks of a single draw that it explains x well. Here K draws are averaged inside of
the logarithm, each by its weight; good draws count for more, poor ones are forgiven, and the bound
comes nearer to log p(x).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from tinyae.arguments import positive_int
from tinyae.likelihoods import inside
from tinyae.models.base import Terms
from tinyae.models.likelihood_estimates import log_ratio, log_weights, repeat
from tinyae.models.variational import VariationalAutoencoder
from tinyae.param import Array


@dataclass(eq=False, repr=False)
class ImportanceWeightedAutoencoder(VariationalAutoencoder):
    """Maximise the bound of K draws, which lies between the ELBO and log p(x).

    Forward   zₖ = μ + exp(s/2) εₖ,   εₖ ~ N(0, I),   k = 1 … K      yₖ = g(zₖ)
              rₖ = ln p(zₖ)/q(zₖ | x) = ½ Σⱼ (εₖⱼ² + sⱼ − zₖⱼ²)      wₖ = p(x | yₖ) exp(rₖ)
              total = −ln 1/K Σₖ wₖ      w̃ₖ = wₖ / Σᵢ wᵢ
              reconstruction = −Σₖ w̃ₖ log p(x | yₖ)      kl = −Σₖ w̃ₖ rₖ      weights = Σₖ w̃ₖ ln(K w̃ₖ)
              total is also reconstruction + kl + weights
    Shapes    x (N, …)   μ, s (N, latent_dim)   zₖ, εₖ (K, N, latent_dim)   wₖ, w̃ₖ (K, N)
    Backward  ∂total/∂ln wₖ = −w̃ₖ, so that each draw gets the VAE's gradient, w̃ₖ times:
              dyₖ = −w̃ₖ/N ∂log p(x | yₖ)/∂yₖ      dzₖ = J_gᵀ dyₖ + w̃ₖ/N zₖ
              dμ = Σₖ dzₖ      ds = ½ (Σₖ dzₖ εₖ exp(s/2) − 1/N), 0 where s was clipped
    Units     nats a sample. ``weights`` is the divergence of w̃ from equal weights, 0 … ln K: at ln K
              a single draw counts
    Raises    ValueError if beta is not 1, or with free bits or a warm-up: w would be no ratio of
              densities, and ``total`` no bound
    Source    Burda, Grosse & Salakhutdinov (2016), eqs. 8, 13 and 14

    samples   K. With K = 1 it is the VAE, its KL divergence taken at the draw instead of in closed
              form: the same on average

    A step decodes K codes for each sample and takes about K times as long. ``encode`` gives μ, but q
    is now one factor of a finer distribution, w̃ q: its draws by themselves may fit less well.
    """

    _: KW_ONLY
    samples: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        who = type(self).__name__
        self.samples = positive_int(who, "samples", self.samples, 5)
        for name, neutral in (("beta", 1), ("free_bits", 0), ("warm_up", 0)):
            if getattr(self, name) != neutral:
                raise ValueError(
                    f"{who}: {name} is {getattr(self, name)}, expected {neutral}: weights are ratios "
                    "of densities, which it would change; leave it out, or use a "
                    "VariationalAutoencoder"
                )

    def objective(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        x, _, rng = self._batch(x, rng)
        h, _ = self.encoder.forward(x)
        mu, raw = self.mean.forward(h)[0], self.logvar.forward(h)[0]
        s = repeat(np.clip(raw, *self.logvar_range), self.samples)
        z, _, eps = self.draw_code(repeat(mu, self.samples), s, rng)
        y, _ = self.decoder.forward(z)
        log_p = self.likelihood.log_prob(y, repeat(x, self.samples))
        return self._weigh(log_p, log_ratio(z, eps, s))[0]

    def backprop(self, x: Any, rng: np.random.Generator | None = None) -> Terms:
        x, _, rng = self._batch(x, rng)
        K, N = self.samples, len(x)
        h, encoder_cache = self.encoder.forward(x)
        mu, mean_cache = self.mean.forward(h)
        raw, logvar_cache = self.logvar.forward(h)
        s = repeat(np.clip(raw, *self.logvar_range), K)
        z, std, eps = self.draw_code(repeat(mu, K), s, rng)
        y, decoder_cache = self.decoder.forward(z)
        _, likelihood_cache = self.likelihood.forward(y, repeat(x, K))
        log_p = self.likelihood.log_prob(y, repeat(x, K))
        terms, w = self._weigh(log_p, log_ratio(z, eps, s))
        self.steps[...] += 1

        # The likelihood divides by the K N rows that it sees: w̃/N is K w̃ of that.
        dy = self.likelihood.backward_weighted(likelihood_cache, K * w.ravel())
        w = w.reshape(-1, *[1] * (z.ndim - 1)).astype(z.dtype)
        dz = self.decoder.backward(dy, decoder_cache) + w / N * z  # y = g(z), −ln p(z) = ½ z² + …
        dmu = dz.reshape(K, *mu.shape).sum(axis=0)  # z = μ + …
        dlogvar = 0.5 * ((dz * std * eps).reshape(K, *mu.shape).sum(axis=0) - 1 / N)
        dlogvar *= inside(raw, self.logvar_range)  # s = clip(l(h))
        dh = self.logvar.backward(dlogvar, logvar_cache) + self.mean.backward(dmu, mean_cache)
        self.encoder.backward_params(dh, encoder_cache)
        return terms

    def evaluate_batch(self, x: Any, rng: np.random.Generator) -> Terms:
        x, c, rng = self._batch(x, rng)
        log_p, ratio, _ = log_weights(self, x, c, rng, self.samples)
        return self._weigh(log_p, ratio)[0]

    def trace(self, x: Any, rng: np.random.Generator | None = None) -> Iterator[tuple[str, Array]]:
        x, _, rng = self._batch(x, rng)
        h = x
        for name, h in self.encoder.trace(x, "encoder"):
            yield name, h
        for name, mu in self.mean.trace(h, "mean"):
            yield name, mu
        for name, s in self.logvar.trace(h, "logvar"):
            yield name, s
        mu, s = (repeat(a, self.samples) for a in (mu, np.clip(s, *self.logvar_range)))
        yield from self.decoder.trace(self.draw_code(mu, s, rng)[0], "decoder")

    def _weigh(self, log_p: Array, ratio: Array) -> tuple[Terms, Array]:
        """The terms and w̃, (K, N), from log p(x | yₖ) and ln p(zₖ)/q(zₖ | x)."""
        log_p, ratio = (a.reshape(self.samples, -1) for a in (log_p, ratio))
        log_w = log_p + ratio
        largest = log_w.max(axis=0)  # subtracted, so that no exp overflows
        w = np.exp(log_w - largest)
        total = -(largest + np.log(w.mean(axis=0)))
        w /= w.sum(axis=0)
        spread = w * np.log(np.where(w > 0, self.samples * w, 1))  # 0 ln 0 = 0
        terms = {
            "total": float(total.mean()),
            "reconstruction": -float((w * log_p).sum(axis=0).mean()),
            "kl": -float((w * ratio).sum(axis=0).mean()),
            "weights": float(spread.sum(axis=0).mean()),
        }
        return terms, w
