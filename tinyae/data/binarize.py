"""Binarisation: grey values as probabilities of white, so that each draw is black and white."""

from __future__ import annotations

import numpy as np

from tinyae.data.corruption import Corruption
from tinyae.likelihoods import bernoulli
from tinyae.losses import check_range
from tinyae.param import Array


class Binarize(Corruption):
    """Each entry is 1 with probability equal to its grey value, else 0.

    Forward   x̃ᵢ ~ Bernoulli(xᵢ)
    Shapes    x̃ as x, in [0, 1]
              where x is NaN, x̃ is NaN
    Raises    ValueError unless x is in [0, 1]
    Source    Salakhutdinov & Murray (2008), §4.2; new draws per batch: Burda et al. (2016), §5.1
    """

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        self.check(x, rng)
        check_range("Binarize: x", x, (0.0, 1.0), "scale the data to [0, 1]")
        return bernoulli(x, rng.random(x.shape, np.float32))

    def __repr__(self) -> str:
        return "Binarize()"
