"""How far a row lies from normal rows, judged by its code and its residual together.

An autoencoder splits a row into a code z, its place along the surface on which normal rows lie,
and a residual r = x − x̂, its way off that surface. The residual alone misses rows that lie on the
surface but far from all others, the code alone those that leave it. So u = [z, r] is compared
with the u of normal rows in two ways, one global and one local:

    m²(u) = (u − ū)ᵀ (C + a I)⁻¹ (u − ū)     Mahalanobis' distance; C: the covariance of u
    d²(u) = mean ‖u − u′‖²                   over the 5 nearest u′

    score = (m² d² d²)^⅓, their geometric mean, in which the second counts twice

The first knows which columns belong together, but takes normal rows for one cloud; the second knows
clouds of any shape, but not that a small deviation may be a rare one. The ridge a, 0.03 of the mean
variance of a column, keeps directions in which normal rows hardly differ from deciding alone. For a
linear code both are distances in the space of the rows; the network bends that space so that
normal rows lie flat. Ridge and weights were chosen on tables as ``benchmarks/detectors.py`` tells.

Source    Mahalanobis (1936); Ledoit & Wolf (2004), for adding to the diagonal; Ramaswamy, Rastogi &
          Shim (2000), Angiulli & Pizzuti (2002), for distances to near neighbours; Zong et al.
          (2018), for judging code and residual together
"""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tinyae.param import Array

RIDGE = 0.03
NEIGHBOURS = 5
REFERENCES = 2048  # rows that are kept as neighbours, evenly spaced among all


class NormalRows:
    """The rows that others are compared with.

    Shapes    z (n, k)   r (n, D), r's columns being those of the scaled table
    """

    def __init__(self, z: Array, r: Array) -> None:
        u = _joined(z, r)
        self.mean = u.mean(axis=0)
        C = np.atleast_2d(np.cov(u.T, bias=True))
        ridge = RIDGE * np.trace(C) / r.shape[1]
        variances, axes = np.linalg.eigh(C)
        spread = np.sqrt(np.maximum(variances, 0) + ridge)
        self.whitening = axes / np.where(spread > 0, spread, 1.0)  # W Wᵀ = (C + a I)⁻¹
        self.references = np.unique(np.linspace(0, len(u) - 1, REFERENCES).astype(int))
        self.neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(self.references)))
        self.neighbours.fit(u[self.references])

    def log_score(self, z: Array, r: Array) -> Array:
        """ln (m² d² d²)^⅓ of each row, (N,), higher for rows farther from normal.

        It is −∞ for a row that equals five normal ones.
        """
        u = _joined(z, r)
        m2 = np.square((u - self.mean) @ self.whitening).sum(axis=1)
        d2 = np.square(self.neighbours.kneighbors(u)[0]).mean(axis=1)
        with np.errstate(divide="ignore"):
            return (np.log(m2) + 2 * np.log(d2)) / 3

    def nearest(self, z: Array, r: Array) -> Array:
        """The nearest normal rows, (N, 5), as indices into ``references``."""
        return self.neighbours.kneighbors(_joined(z, r), return_distance=False)


def _joined(z: Array, r: Array) -> Array:
    return np.concatenate([z, r], axis=1).astype(np.float64)
