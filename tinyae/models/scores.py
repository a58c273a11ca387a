"""How unusual a sample is for a model: scores, a threshold, flags and p-values.

model.calibrate(x_held_out, false_positive_rate=0.01)    # normal samples, not trained on
model.score(x); model.flags(x); model.p_values(x)        # for each sample of x
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae import conformal
from tinyae.arguments import number
from tinyae.models.carried import Carrier
from tinyae.param import Array


class Scored(Carrier):
    """A model that has a reconstruction error."""

    def reconstruction_error(self, x: Any, per_feature: bool = False) -> Array:
        raise NotImplementedError

    def score(self, x: Any) -> Array:
        """How badly each sample is reconstructed, (N,): ``reconstruction_error(x)``."""
        return self.reconstruction_error(x)

    def flags(self, x: Any) -> Array:
        """Whether the score of each sample is above the threshold, (N,) of bools.

        Raises
            ValueError  the model has no threshold
        """
        if self.threshold is None:
            raise ValueError(
                f"{type(self).__name__}: the model has no threshold; call "
                "model.calibrate(x_held_out), or set model.threshold"
            )
        return self.score(x) > self.threshold

    def p_values(self, x: Any) -> Array:
        """How often a normal sample scores as high, (N,): see :mod:`tinyae.conformal`.

        Raises
            ValueError  the model has no scores to compare with
        """
        if self.calibration is None:
            raise ValueError(
                f"{type(self).__name__}: the model has no scores of normal samples; call "
                "model.calibrate(x_held_out)"
            )
        return conformal.p_values(self.calibration, self.score(x).astype(np.float64))

    def calibrate(self, x: Any, false_positive_rate: float = 0.05) -> float:
        """Set calibration and threshold from normal samples that it was not trained on.

        The threshold flags at most that share of normal samples, on average; it is infinite if x
        has too few rows to tell. Returns it.

        Raises
            ValueError  the rate is not between 0 and 1
        """
        rate = number(type(self).__name__, "false_positive_rate", false_positive_rate, 0.05)
        if not 0 < rate < 1:
            raise ValueError(
                f"{type(self).__name__}: false_positive_rate is {rate:g}, expected a share between "
                "0 and 1; pass e.g. 0.05"
            )
        self.calibration = self.score(x)
        assert self.calibration is not None
        self.threshold = threshold = conformal.threshold(self.calibration, rate)
        return threshold
