"""The five kinds of autoencoders as transformers. Each shows only how it differs from the first."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tinyae.arguments import number, positive_int
from tinyae.data.corruption import GaussianNoise
from tinyae.layers import Dense, Sequential, Sigmoid, Tanh
from tinyae.likelihoods import LearntGaussian
from tinyae.losses import MSE
from tinyae.metrics import PCA
from tinyae.models import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KLSparsity,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from tinyae.models.from_pca import (
    decoder_from,
    encoder_decoder_from_pca,
    encoder_head,
    hidden_path,
)
from tinyae.param import Array
from tinyae.sklearn.base import TableAutoencoder
from tinyae.sklearn.network import encoder_decoder_at_random


class AutoencoderTransformer(TableAutoencoder):
    """Codes of few numbers for the rows of a table, by an autoencoder that starts from PCA.

    latent_dim           numbers in a code; a float between 0 and 1 is a share of the variance:
                         as many as PCA needs for it
    hidden_units         sizes of the hidden layers of the encoder, beside a linear path; the
                         decoder has them in reverse. () gives a linear autoencoder
    scaling              "standard" (mean 0, standard deviation 1), "minmax" (0 to 1) or None
    epochs               passes over the rows, at most
    batch_size           rows in a step
    learning_rate        of Adam
    patience             stop after so many epochs without improvement on held-out rows, and take
                         the best weights, which may be PCA's; None holds out nothing
    validation_fraction  share of the rows held out for that
    warm_start           let ``fit`` go on from the last weights and units
    random_state         a seed makes ``fit`` repeatable to the bit
    verbose              show a progress bar
    checkpoint           None, or a file in which the state of fit is kept until it is done: if the
                         process dies, the same fit goes on from there. Needs an int as random_state

    Fitted: ``model_``, the :class:`tinyae.Model`, which carries the change of units, the names of
    the columns and, if rows were held out, a threshold (a false-positive rate of 0.05), so that
    ``model_.save`` leaves a file that works in the table's own units; ``scaler_``, that change;
    ``latent_dim_``; ``history_``; and ``n_features_in_``, ``feature_names_in_``.
    A table of float32 gives a float32 model; everything else is computed in float64.

    Source    Goodfellow, Bengio & Courville (2016), §14.1; :mod:`tinyae.models.from_pca`
    """

    def _build(self, x: Array, pca: PCA, latent_dim: int, rng: np.random.Generator) -> Any:
        shape, units = x.shape[1:], self.hidden_units
        parts = encoder_decoder_from_pca(shape, latent_dim, pca, units, rng, x.dtype)
        return Autoencoder(*parts, MSE())


@dataclass(eq=False, repr=False, kw_only=True)
class DenoisingTransformer(TableAutoencoder):
    """The same, trained to undo noise: codes ignore small errors, ``reconstruct`` removes them.

    noise    standard deviation of the Gaussian noise that is added in training, as a multiple of
             a column's, by mean square over the columns

    The other arguments are those of :class:`AutoencoderTransformer`.

    Source    Vincent et al. (2010), §3
    """

    noise: float = 0.3

    def _build(self, x: Array, pca: PCA, latent_dim: int, rng: np.random.Generator) -> Any:
        shape, units = x.shape[1:], self.hidden_units
        parts = encoder_decoder_from_pca(shape, latent_dim, pca, units, rng, x.dtype)
        noise = number(type(self).__name__, "noise", self.noise, 0.3)
        std = noise * float(np.sqrt(x.var(axis=0).mean()))
        return DenoisingAutoencoder(*parts, MSE(), GaussianNoise(std))


@dataclass(eq=False, repr=False)
class SparseTransformer(TableAutoencoder):
    """Codes of many units, few of them active for any row.

    latent_dim    units in a code, often more than the table has columns
    activity      mean activity of each unit that the penalty aims at, between 0 and 1
    weight        of the penalty, Ng's β: against half the squared error of a row, summed over
                  its columns

    The other arguments are those of :class:`AutoencoderTransformer`. Without ``hidden_units`` one
    sigmoid layer leads from the row to the code. That is no linear map, so the network starts at
    random, not from PCA.

    Source    Ng, CS294A lecture notes, Sparse autoencoder (2011), §3
    """

    latent_dim: int | float = 64
    _: KW_ONLY
    activity: float = 0.1
    weight: float = 0.3
    hidden_units: tuple[int, ...] = ()
    learning_rate: float = 1e-2

    def _build(self, x: Array, pca: PCA, latent_dim: int, rng: np.random.Generator) -> Any:
        parts = encoder_decoder_at_random(x, latent_dim, Sigmoid, self.hidden_units, rng)
        weight = number(type(self).__name__, "weight", self.weight, 0.3)
        penalty = KLSparsity(self.activity, weight=2 * weight / x.shape[1])
        return SparseAutoencoder(*parts, MSE(), penalty)


@dataclass(eq=False, repr=False, kw_only=True)
class ContractiveTransformer(TableAutoencoder):
    """Codes that change little where the row changes a little, but in ways the data do not.

    weight    of the penalty, the squared derivatives of the code with respect to the row

    The other arguments are those of :class:`AutoencoderTransformer`. Without ``hidden_units`` one
    tanh layer leads from the row to the code, and the penalty costs next to nothing. That is no
    linear map, so the network starts at random, not from PCA.

    Source    Rifai, Vincent, Muller, Glorot & Bengio (2011), eq. 5
    """

    weight: float = 1e-3
    hidden_units: tuple[int, ...] = ()
    learning_rate: float = 1e-2

    def _build(self, x: Array, pca: PCA, latent_dim: int, rng: np.random.Generator) -> Any:
        parts = encoder_decoder_at_random(x, latent_dim, Tanh, self.hidden_units, rng)
        return ContractiveAutoencoder(*parts, MSE(), self.weight)


@dataclass(eq=False, repr=False, kw_only=True)
class VariationalTransformer(TableAutoencoder):
    """Codes distributed like N(0, I), from which new rows can be drawn.

    Forward   z | x ~ N(μ(x), σ²(x))      x | z ~ N(g(z), s² I), s learnt

    beta      weight of the KL divergence; 1 gives the evidence lower bound

    The other arguments are those of :class:`AutoencoderTransformer`. ``transform`` returns μ.
    The network starts from probabilistic PCA, the optimum of the linear model, where the evidence
    lower bound equals the likelihood:

        μ = Λ⁻¹ (Λ − s²)^½ V (x − m)      σ² = s² Λ⁻¹      g = Vᵀ (Λ − s²)^½ z + m

    V (k, D), Λ: the k first principal axes and variances, s²: the mean of the other variances.

    Source    Kingma & Welling (2014); Tipping & Bishop (1999), eq. 7 and 8; Lucas, Tucker,
              Grosse & Norouzi (2019), §4
    """

    beta: float = 1.0

    def _build(self, x: Array, pca: PCA, latent_dim: int, rng: np.random.Generator) -> Any:
        k, dtype = latent_dim, x.dtype
        V, m = pca.components_[:k], pca.mean_.astype(dtype)
        left_out = pca.explained_variance_[k:].sum() / max(x.shape[1] - k, 1)
        s2 = max(left_out, 1e-3 * pca.explained_variance_.mean(), 1e-6)  # s = 0 has no likelihood
        lam = np.maximum(pca.explained_variance_[:k], s2)
        root = np.sqrt(lam - s2)

        path = hidden_path(x.shape[1], self.hidden_units, rng, dtype)
        hidden = self.hidden_units[-1] if self.hidden_units else 0
        mean = encoder_head(k, hidden, ((root / lam)[:, None] * V).astype(dtype), m, rng)
        logvar = Dense(x.shape[1] + hidden, k, rng=rng, dtype=dtype)
        logvar.W.value[...] = 0
        logvar.b.value[: len(lam)] = np.log(s2 / lam)
        P = (root[:, None] * V).T.astype(dtype)
        return VariationalAutoencoder(
            Sequential(*path),
            mean,
            logvar,
            decoder_from(P, m, k, self.hidden_units, rng),
            LearntGaussian(float(np.sqrt(s2)), dtype=dtype),
            self.beta,
        )

    def sample(self, n_samples: int = 1) -> Array:
        """New rows from the model: z ~ N(0, I), then x ~ p(x | z), in the table's own units.

        A new draw at every call, unless ``random_state`` is a seed.
        """
        check_is_fitted(self)
        n = positive_int(type(self).__name__, "n_samples", n_samples, 100)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        return self.model_.draw(n, seed)
