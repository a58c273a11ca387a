"""How likely the data is under a variational autoencoder: the ELBO, and log p(x) by sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinyae.arguments import generator, positive_int
from tinyae.data.batches import count, is_rows
from tinyae.likelihoods import per_sample
from tinyae.models.variational import VariationalAutoencoder
from tinyae.param import Array
from tinyae.progress import work

_BLOCK = 256  # rows × samples decoded at a time: few enough to stay in the CPU cache
Score = Callable[[Array, Array, Array], Array]


class Estimate(NamedTuple):
    """The mean over a data set, its standard error, and the value of each sample."""

    value: float
    standard_error: float
    each: Array


def elbo(
    self: VariationalAutoencoder, x: Any, rng: np.random.Generator | int = 0, samples: int = 1
) -> Estimate:
    """The evidence lower bound of log p(x), in nats, with ``samples`` draws per expectation.

    Forward   E_q[log p(x | z)] − KL(q(z | x) ‖ p(z))
    Source    Kingma & Welling (2014), eq. 3

    β, free bits and ``resample`` are not used: x is taken as it is. Higher is better; the bound is
    negative where x is discrete. The same seed gives the same value at each call.
    """
    return _estimate(self, x, rng, samples, lambda log_p, _, kl: log_p.mean(axis=0) - kl)


def log_likelihood(
    self: VariationalAutoencoder, x: Any, rng: np.random.Generator | int = 0, samples: int = 500
) -> Estimate:
    """log p(x) by importance sampling, in nats.

    Forward   log 1/K Σₖ p(x | zₖ) p(zₖ) / q(zₖ | x),   zₖ ~ q(z | x),   K = ``samples``
    Source    Burda, Grosse & Salakhutdinov (2016), eq. 8

    On average it lies below log p(x), and approaches it as K grows; K = 1 is the ELBO.
    ``resample`` is not used. The same seed gives the same value at each call.
    """

    def score(log_p: Array, log_ratio: Array, kl: Array) -> Array:
        log_w = log_p + log_ratio
        largest = log_w.max(axis=0)  # subtracted, so that no exp overflows
        return largest + np.log(np.exp(log_w - largest).mean(axis=0))

    return _estimate(self, x, rng, samples, score)


def _estimate(
    model: VariationalAutoencoder,
    x: Any,
    rng: np.random.Generator | int,
    samples: int,
    score: Score,
) -> Estimate:
    samples = positive_int(type(model).__name__, "samples", samples, 500)
    rng = generator(type(model).__name__, rng)

    def score_batch(batch: Any) -> Array:
        x, c = model._split(batch)
        blocks = (slice(i, i + _BLOCK) for i in range(0, len(x), _BLOCK))
        parts = [(x[rows], None if c is None else c[rows]) for rows in blocks]
        each = (score(*log_weights(model, x, c, rng, samples)) for x, c in parts)
        return np.concatenate(list(w.over(each)))

    total = -(-count(x) // _BLOCK) if is_rows(x) else None
    with work("log-likelihood", total, f"× {_BLOCK} rows") as w:
        each = model._in_chunks(score_batch, x)
    error = float(each.std(ddof=1)) / math.sqrt(len(each)) if len(each) > 1 else math.nan
    return Estimate(float(each.mean()), error, each)


def log_weights(
    model: VariationalAutoencoder, x: Array, c: Any, rng: np.random.Generator, samples: int
) -> tuple[Array, Array, Array]:
    """For K draws zₖ: log p(x | zₖ) and log p(zₖ) / q(zₖ | x), both (K, N), and KL, (N,)."""
    mu, logvar = model.posterior(x, c)
    kl = 0.5 * per_sample(mu * mu + np.exp(logvar) - 1 - logvar)
    log_p, ratios = np.empty((2, samples, len(x)))
    block = max(_BLOCK // len(x), 1)
    for first in range(0, samples, block):
        k = min(block, samples - first)
        m, s = repeat(mu, k), repeat(logvar, k)
        z, _, eps = model.draw_code(m, s, rng)
        y = model.decoder(model._join(z, None if c is None else repeat(c, k)))
        log_p[first : first + k] = model.likelihood.log_prob(y, repeat(x, k)).reshape(k, -1)
        ratios[first : first + k] = log_ratio(z, eps, s).reshape(k, -1)
    return log_p, ratios, kl


def log_ratio(z: Array, eps: Array, s: Array) -> Array:
    """ln p(z)/q(z | x) of each row: the 2π of the two densities cancel."""
    return 0.5 * per_sample(eps * eps + s - z * z)


def repeat(a: Array, k: int) -> Array:
    """k copies of a, joined along the first axis."""
    return a if k == 1 else np.concatenate([a] * k)


VariationalAutoencoder.elbo = elbo
VariationalAutoencoder.log_likelihood = log_likelihood
