"""The anomaly detector: how unusual each row of a table is, and which column is to blame."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from tinyae import conformal
from tinyae.arguments import positive_int
from tinyae.data.batches import drawn
from tinyae.param import Array
from tinyae.sklearn.base import FLOATS, Settings, check_share, weigh
from tinyae.sklearn.distance import NormalRows
from tinyae.sklearn.transformers import DenoisingTransformer

RECENT = 4096  # rows that partial_fit calibrates on


@dataclass(eq=False, repr=False, kw_only=True)
class AutoencoderDetector(OutlierMixin, Settings):
    """Find unusual rows, by denoising autoencoders that learn what normal rows have in common.

    The rows are dealt into ``folds``. For each fold a network learns from the other folds, and
    scores this one by :mod:`tinyae.sklearn.distance`. So every row gets a score from a network that
    has not seen it; these held-out scores say what is usual, and the threshold and the p-values
    follow from them (:mod:`tinyae.conformal`). A new row's score is the geometric mean over
    the networks. The table may be small: 20 rows are enough for a false-positive rate of 0.05.

    false_positive_rate  share of normal rows that may be flagged; sets the threshold if the rows
                         that are fitted are normal
    contamination        None, or the share of anomalies among the rows that are fitted, up to 0.5:
                         then that share of them is flagged, whatever the rate
    folds                how many networks, at most one for each row. 1 is for large tables: one
                         network, which learns from four fifths of the rows, while the last fifth is
                         held out
    latent_dim, noise, hidden_units, scaling, epochs, batch_size, learning_rate, patience,
    validation_fraction, warm_start, random_state, verbose, checkpoint
                         as for :class:`~tinyae.sklearn.DenoisingTransformer`

    Fitted attributes
        members_             the networks, fitted :class:`DenoisingTransformer` objects
        calibration_scores_  the score of each held-out row, which with several folds is every row
                             that was fitted, in order, as often as its weight says; higher is
                             stranger
        threshold_           rows with a higher score are flagged; ``offset_`` is minus that

    With one network the rate holds exactly, on average over draws of the rows. With several it
    holds approximately, and mostly from below: a held-out row is scored by one network, a new row
    by all, which together vary less (cross-conformal prediction). Held-out rows also decide nothing
    else: early stopping has rows of its own among those that a network learns from.

    Source    Bates et al. (2023); Vovk (2015), Cross-conformal predictors, Annals of Mathematics and
              Artificial Intelligence 74
    """

    false_positive_rate: float = 0.05
    contamination: float | None = None
    folds: int = 5
    noise: float = 0.3

    # --- training --------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> AutoencoderDetector:
        """Learn from the rows of X, which should be normal for the most part. y is ignored.

        ``sample_weight`` (n_samples,) says how much each row counts: a weight of 2 is the row there
        twice, also among the held-out rows. The order of the rows makes no difference.

        Warns
            UserWarning  the rows are too few for the false-positive rate: none will be flagged
        """
        self._check_settings()
        go_on = self.warm_start and hasattr(self, "members_")
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=4, reset=not go_on)
        rows = weigh(type(self).__name__, X, sample_weight, at_least=4)
        X, weight, order = rows.X, rows.weight, rows.order
        seed, members = (self._seed, self.members_) if go_on else self._untrained(len(X))
        fold = _deal(len(X), len(members), seed)
        for k, member in enumerate(members):
            learn = fold != k
            member._learn(X[learn], None if weight is None else weight[learn])
        for member in members:  # those that were ready kept theirs, in case a later one dies
            member._delete_checkpoint()
        self._seen = len(X)
        self._seed: int = seed
        self.members_: list[DenoisingTransformer] = members
        if weight is not None:
            again = drawn(weight, np.random.default_rng(seed))
            X, fold, order = X[again], fold[again], order[again]
        self._calibrate(X, fold, warn=True)
        given = np.argsort(order[fold >= 0], kind="stable")
        scores: Array = self.calibration_scores_
        self.calibration_scores_: Array = scores[given]
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> AutoencoderDetector:
        """One pass over the rows of X, a part of a larger table. y is ignored.

        Scores are then calibrated on the last 4,096 rows of all parts. The first part decides the
        units and where the networks start, so it should be a good sample of the whole.
        """
        self._check_settings()
        first = not hasattr(self, "members_")
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=4 if first else 1, reset=first)
        rows = weigh(type(self).__name__, X, sample_weight, at_least=4 if first else 1)
        X, weight = rows.X, rows.weight
        seed, members = self._untrained(self.folds) if first else (self._seed, self.members_)
        seen = 0 if first else self._seen
        fold = _deal(len(X), len(members), seed, seen)
        for k, member in enumerate(members):
            learn = fold != k
            if learn.any():
                member._learn_part(X[learn], None if weight is None else weight[learn])
        self._seed, self.members_, self._seen = seed, members, seen + len(X)
        if not first:
            X = np.concatenate([self._recent, X])[-RECENT:]
            fold = np.concatenate([self._recent_fold, fold])[-RECENT:]
        self._calibrate(X, fold, warn=first)  # once: every later part makes it better
        return self

    def _untrained(self, most: int) -> tuple[int, list[DenoisingTransformer]]:
        """A seed, and a network for each fold, of which there are at most ``most``."""
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        return seed, [self._member(seed + k, k) for k in range(min(self.folds, most))]

    def _member(self, seed: int, k: int) -> DenoisingTransformer:
        """An untrained network with this detector's settings."""
        shared = DenoisingTransformer().get_params().keys() & self.get_params().keys()
        member = DenoisingTransformer(**{name: getattr(self, name) for name in shared})
        if self.checkpoint is not None:
            member.checkpoint = f"{os.fsdecode(self.checkpoint)}.{k}"
        return member.set_params(random_state=seed)

    def _calibrate(self, X: Array, fold: Array, warn: bool) -> None:
        """What is usual: the normal rows of each network, and the scores of those held out."""
        self._recent, self._recent_fold = X[-RECENT:].copy(), fold[-RECENT:]
        self._normal = []
        scores = np.empty(len(X))
        for k, member in enumerate(self.members_):
            rows = X[fold != k]
            normal = NormalRows(*_code_and_residual(member, rows))
            self._normal.append((normal, rows[normal.references]))
            if (fold == k).any():
                held_out = _code_and_residual(member, X[fold == k])
                scores[fold == k] = np.exp(normal.log_score(*held_out))
        self.calibration_scores_ = scores = scores[fold >= 0]
        if self.contamination is None:
            self.threshold_ = conformal.threshold(scores, self.false_positive_rate)
        else:
            self.threshold_ = float(np.quantile(self._score(X), 1 - self.contamination))
        self.offset_ = -self.threshold_
        if warn and np.isinf(self.threshold_):
            n = len(scores)
            warnings.warn(
                f"AutoencoderDetector: {n} held-out rows cannot tell a false-positive rate of "
                f"{self.false_positive_rate:g}, so no row will be flagged; pass more rows, "
                f"false_positive_rate={1 / (n + 1):.2g} or more, or a contamination",
                UserWarning,
                stacklevel=3,
            )

    def _check_settings(self) -> None:
        super()._check_settings()
        who = type(self).__name__
        positive_int(who, "folds", self.folds, 5)
        check_share(who, "false_positive_rate", self.false_positive_rate, 0.05)
        if self.contamination is not None:
            check_share(who, "contamination", self.contamination, 0.1, "None or a share", 0.5)

    # --- use -------------------------------------------------------------------------------

    def score_samples(self, X: Any) -> Array:
        """Minus the score of each row, (n_samples,): higher is more normal, as in scikit-learn."""
        return -self._score(self._checked(X))

    def decision_function(self, X: Any) -> Array:
        """``threshold_`` minus the score of each row: negative for rows that are flagged."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Array:
        """−1 for each row that is flagged, 1 for the others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> Array:
        """The conformal p-value of each row: how often a normal row scores as high, (n_samples,).

        Without ``contamination``, rows are flagged just where p ≤ ``false_positive_rate``.
        """
        return conformal.p_values(self.calibration_scores_, self._score(self._checked(X)))

    def explain(self, X: Any) -> Array:
        """By how much each column raises the score of each row, (n_samples, n_features).

        It is the score minus the score of the same row with this column's value replaced by the
        mean of the most similar normal rows. The largest entry of a row names the column to
        blame. A negative entry belongs to a column that makes the row look more normal.
        """
        X = self._checked(X)
        logs = np.zeros((X.shape[1], len(X)))  # of the scores with one column replaced
        for member, (normal, rows) in zip(self.members_, self._normal):
            usual = rows[normal.nearest(*_code_and_residual(member, X))].mean(axis=1)
            for j in range(X.shape[1]):
                replaced = X.copy()
                replaced[:, j] = usual[:, j]
                logs[j] += normal.log_score(*_code_and_residual(member, replaced))
        return self._score(X)[:, None] - np.exp(logs / len(self.members_)).T

    def _score(self, X: Array) -> Array:
        logs = [
            normal.log_score(*_code_and_residual(member, X))
            for member, (normal, _) in zip(self.members_, self._normal)
        ]
        return np.exp(np.mean(logs, axis=0))

    def _checked(self, X: Any) -> Array:
        check_is_fitted(self)
        return validate_data(self, X, dtype=FLOATS, reset=False)


def _deal(n: int, folds: int, seed: int, seen: int = 0) -> Array:
    """The fold of each of n rows; −1 for rows of no fold, from which every network learns.

    The same at every call, so that no network meets its own fold. After ``seen`` rows the turn
    goes on where it was.
    """
    turn = (np.random.default_rng(seed).permutation(n) + seen) % (folds if folds > 1 else 5)
    return np.where(turn < folds, turn, -1)


def _code_and_residual(member: DenoisingTransformer, X: Array) -> tuple[Array, Array]:
    """z and r = x − x̂ of each row, in the network's units."""
    x = member._scaled(X)
    model = member.model_.in_scaled_units()
    z = model.encode(x)
    return z, x - model.decode(z)
