"""What all estimators of tables share: settings, training, and the use of the trained model."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_is_fitted,
    validate_data,
)

from tinyae import files
from tinyae.arguments import positive_int
from tinyae.data.batches import drawn, split
from tinyae.metrics import PCA
from tinyae.models.from_pca import size_of_code
from tinyae.optim import Adam
from tinyae.param import Array
from tinyae.scaling import fit_scaler, warn_of_scale
from tinyae.sklearn.network import principal_axes
from tinyae.training import EarlyStopping, History, fit
from tinyae.training.description import OtherTraining
from tinyae.training.state import Snapshot
from tinyae.wording import counted

FLOATS = [np.float64, np.float32]  # float32 stays float32; everything else becomes float64
MOST_REPEATED = 10  # times the rows: whole weights beyond that are not repetitions but shares


@dataclass(eq=False, repr=False)
class Settings(BaseEstimator):
    """What a network of a table and its training depend on.

    The arguments are described at :class:`tinyae.sklearn.AutoencoderTransformer`. The constructor
    that ``dataclass`` writes only stores them, as scikit-learn asks.
    """

    latent_dim: int | float = 0.9
    _: KW_ONLY
    hidden_units: tuple[int, ...] = (64,)
    scaling: str | None = "standard"
    epochs: int = 200
    batch_size: int = 32
    learning_rate: float = 2e-3
    patience: int | None = 20
    validation_fraction: float = 0.1
    warm_start: bool = False
    random_state: Any = None
    verbose: bool = False
    checkpoint: Any = None

    def _check_settings(self) -> None:
        """Raise a ValueError for settings that cannot work, before anything changes."""
        who, latent_dim = type(self).__name__, self.latent_dim
        if isinstance(latent_dim, (float, np.floating)):
            check_share(who, "latent_dim", latent_dim, 0.9, "an int, or a share of the variance")
        else:
            positive_int(who, "latent_dim", latent_dim, 8)
        for name in ("epochs", "batch_size", *(["patience"] if self.patience is not None else [])):
            positive_int(who, name, getattr(self, name), 10)
        if not isinstance(self.hidden_units, (tuple, list)):
            raise ValueError(
                f"{who}: hidden_units is {self.hidden_units!r}, expected a sequence of ints; "
                "pass e.g. (64,), or () for none"
            )
        for size in self.hidden_units:
            positive_int(who, "hidden_units", size, 64)
        check_share(who, "validation_fraction", self.validation_fraction, 0.1)
        if self.checkpoint is not None:
            files.check_target(f"{who}: checkpoint", self.checkpoint)
            if self.warm_start or not isinstance(self.random_state, (int, np.integer)):
                raise ValueError(
                    f"{who}: with a checkpoint random_state is {self.random_state!r:.60} and "
                    f"warm_start {self.warm_start}, expected an int and False: only then does a "
                    "second process begin as the first did; pass e.g. random_state=0"
                )


class TableAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Settings):
    """An autoencoder of the rows of a table. A subclass defines ``_build``."""

    # --- training --------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> TableAutoencoder:
        """Train on the rows of X; with ``warm_start``, go on from the last weights. y is ignored.

        ``sample_weight`` (n_samples,) says how much each row counts: a weight of 2 is the row there
        twice, 0 the row not there (:class:`Weighed`). The order of the rows makes no difference.

        With ``checkpoint``, the state after each epoch is kept in that file until the fit is done. If
        the process dies, the same call in another process goes on from there, to the same bits.
        """
        self._check_settings()
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2, reset=not self._goes_on)
        rows = weigh(type(self).__name__, X, sample_weight, at_least=2)
        self._learn(rows.X, rows.weight)
        self._delete_checkpoint()
        return self

    @property
    def _goes_on(self) -> bool:
        return self.warm_start and hasattr(self, "model_")

    def _learn(self, X: Array, weight: Array | None = None) -> None:
        """:meth:`fit` on rows that were checked, which leaves the checkpoint where it is."""
        if not self._goes_on:
            self._begin(X, weight)
        self.history_ = self._train(X, weight, self.patience)

    def _delete_checkpoint(self) -> None:
        if self.checkpoint is not None:
            Path(os.fsdecode(self.checkpoint)).unlink(missing_ok=True)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> TableAutoencoder:
        """One pass over the rows of X, a part of a larger table. y is ignored.

        The first part decides the units and where the network starts, so it should be a good
        sample of the whole. No rows are held out: ``patience`` and ``epochs`` have no effect.
        """
        self._check_settings()
        first = not hasattr(self, "model_")
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2 if first else 1, reset=first)
        rows = weigh(type(self).__name__, X, sample_weight, at_least=2 if first else 1)
        self._learn_part(rows.X, rows.weight)
        return self

    def _learn_part(self, X: Array, weight: Array | None = None) -> None:
        if not hasattr(self, "model_"):
            self._begin(X, weight)
            self.history_ = History()
        (epoch,) = self._pass(X, epochs=1, sample_weight=weight).epochs
        epoch.epoch = len(self.history_) + 1
        self.history_.epochs.append(epoch)

    def _begin(self, X: Array, weight: Array | None) -> None:
        """A new model in new units. Nothing of an earlier one changes unless all of it works."""
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        optimizer = Adam(self.learning_rate)
        scaler = fit_scaler(self.scaling, X, type(self).__name__, weight)
        x = scaler.apply(X)
        if self.scaling is None:
            warn_of_scale(type(self).__name__, x)
        pca = principal_axes(x, weight)
        latent_dim = size_of_code(self.latent_dim, pca)
        model = self._build(x, pca, latent_dim, rng)
        model.scaler = scaler
        model.columns = getattr(self, "feature_names_in_", None)
        self.n_features_in_ = X.shape[1]
        self.scaler_, self.model_, self.latent_dim_ = scaler, model, latent_dim
        self._rng, self._optimizer, self._center = rng, optimizer, pca.mean_.astype(x.dtype)

    def _build(self, x: Array, pca: PCA, latent_dim: int, rng: np.random.Generator) -> Any:
        """The untrained model for rows like x, in scaled units and x's dtype."""
        raise NotImplementedError

    def _train(self, rows: Array, weight: Array | None, patience: int | None) -> History:
        """Train. With ``patience`` keep the weights that do best on held-out rows, which may be
        those from before."""
        survives: dict[str, Any] = {}
        if self.checkpoint is not None:
            there = files.kind(self.checkpoint) == "file"
            survives = {
                "checkpoint": self.checkpoint,
                "resume": self.checkpoint if there else None,
            }
        if patience is None:
            return self._pass(rows, epochs=self.epochs, sample_weight=weight, **survives)
        fraction = max(self.validation_fraction, 1 / len(rows))  # at least one row
        if weight is None:
            rows, held_out = split(rows, fraction, self._rng)
        else:
            (rows, weight), (held_out, w) = split((rows, weight), fraction, self._rng)
            held_out = held_out[drawn(w, self._rng)]
        before, start = self.model_.evaluate(held_out)["total"], Snapshot(self.model_)
        stopping = EarlyStopping(patience)
        history = self._pass(
            rows,
            epochs=self.epochs,
            validation=held_out,
            early_stopping=stopping,
            sample_weight=weight,
            **survives,
        )
        if history.monitored.min() >= before:
            start.restore(self.model_)
        self.model_.calibrate(held_out)
        if self.verbose:
            units = "no scaling" if self.scaling is None else f"{self.scaling} scaling"
            print(
                f"{type(self).__name__}: model_ carries {units} and the threshold "
                f"{self.model_.threshold:.4g}, of {len(held_out)} held-out rows"
            )
        return history

    def _pass(self, rows: Array, **settings: Any) -> History:
        try:
            return fit(
                self.model_,
                rows,
                batch_size=self.batch_size,
                optimizer=self._optimizer,
                rng=self._rng,
                progress=bool(self.verbose),
                **settings,
            )
        except ValueError as error:
            if not isinstance(error.__cause__, OtherTraining):
                raise
            raise ValueError(
                f"{type(self).__name__}: the checkpoint {self.checkpoint} is of another training. "
                f"{error.__cause__.what}. Delete it to begin anew, or pass another checkpoint"
            ) from error

    # --- use -------------------------------------------------------------------------------

    def transform(self, X: Any) -> Array:
        """The codes of the rows, (n_samples, latent_dim)."""
        x = self._checked(X)
        return self.model_.encode(x)

    def inverse_transform(self, Z: Any) -> Array:
        """The rows that codes stand for, in the table's own units."""
        check_is_fitted(self)
        Z = check_array(Z, dtype=FLOATS)
        if Z.shape[1] != self.latent_dim_:
            raise ValueError(
                f"{type(self).__name__}: Z has {counted(Z.shape[1], 'column')}, expected "
                f"{self.latent_dim_}; pass what transform gave"
            )
        return self.model_.decode(Z)

    def reconstruct(self, X: Any) -> Array:
        """Encode and decode: what the model makes of each row, in the table's own units."""
        x = self._checked(X)
        return self.model_.reconstruct(x)

    def score_samples(self, X: Any) -> Array:
        """Minus the mean squared error of each row's reconstruction, in scaled units: (n_samples,).

        Higher is more like the rows that the model was trained on.
        """
        x = self._checked(X)
        return -self.model_.score(x).astype(np.float64)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The share of the variance that reconstruction keeps; 1 is perfect, 0 no better than the mean.

        Forward   1 − Σ w ‖x − x̂‖² / Σ w ‖x − m‖²,   x in scaled units, m the training rows' mean,
                  w the weights of the rows, 1 without ``sample_weight``

        For ``GridSearchCV`` and ``cross_val_score``; a larger code nearly always scores higher.
        """
        x = self._scaled(self._checked(X))
        w = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        y = self.model_.in_scaled_units().reconstruct(x)
        error = w @ np.square(x - y, dtype=np.float64).sum(axis=1)
        spread = w @ np.square(x - self._center, dtype=np.float64).sum(axis=1)
        return 1.0 - float(error / spread) if spread else float(error == 0)

    def _checked(self, X: Any) -> Array:
        check_is_fitted(self)
        return validate_data(self, X, dtype=FLOATS, reset=False)

    def _scaled(self, X: Array) -> Array:
        """Rows in the model's units and dtype."""
        return self.scaler_.apply(X).astype(self.model_.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        return self.latent_dim_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@dataclass
class Weighed:
    """Rows in an order that does not depend on the one in which they were given.

    X       the rows, those of whole weights as often as their weight says, those of weight 0 nowhere
    weight  None, or a weight for each: where weights are not whole, or repeating them would give more
            than ten times the rows
    order   the place of each row of X among those that were given
    """

    X: Array
    weight: Array | None
    order: Array


def weigh(who: str, X: Array, sample_weight: Any, at_least: int) -> Weighed:
    """X and its weights, ready to learn from: equal sets of rows give equal networks, to the bit.

    Raises
        ValueError  not a weight for each row, or a negative one, or too few rows count
    """
    order = _sorted(X)
    if sample_weight is None:
        return Weighed(X[order], None, order)
    w = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    order = order[w[order] > 0]
    whole = bool((w == np.floor(w)).all()) and w.sum() <= MOST_REPEATED * len(X)
    order = np.repeat(order, w[order].astype(int)) if whole else order
    if len(order) < at_least:
        raise ValueError(
            f"{who}: with sample_weight {counted(len(order), 'row')} of {len(X)} count, expected at "
            f"least {at_least}; pass more weights above 0"
        )
    weight = w[order]
    return Weighed(X[order], None if whole or (weight == weight[0]).all() else weight, order)


def _sorted(X: Array) -> Array:
    """The places of the rows in rising order: by the first column, where that is equal the next, …"""
    columns = 1
    while True:
        some = X[:, :columns]
        order = np.lexsort(some.T[::-1])
        differ = (some[order[1:]] != some[order[:-1]]).any(axis=1)
        if columns >= X.shape[1] or differ.all():
            return order
        columns *= 4


def check_share(
    who: str, name: str, value: Any, example: float, what: str = "a share", most: float = 1
) -> None:
    """Raise unless ``value`` is a number above 0 and below 1, or up to ``most`` if that is less.

    Raises
        ValueError  otherwise
    """
    if not isinstance(value, (int, float, np.floating)) or not (0 < value < 1 and value <= most):
        raise ValueError(
            f"{who}: {name} is {value!r}, expected {what} between 0 and {most:g}; "
            f"pass e.g. {example:g}"
        )
