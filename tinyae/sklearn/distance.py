"""How far a row lies from normal rows, judged by its code and its residual together.

An autoencoder splits a row into a code z, its place along the surface on which normal rows lie,
and a residual r = x − x̂, its way off that surface. The residual alone misses rows that lie on the
surface but far from all others, the code alone those that leave it. So u = [z, r] is compared
with the u of normal rows, globally by the first of these, locally by the others:

    m²(u) = (u − ū)ᵀ (C + a I)⁻¹ (u − ū)     Mahalanobis' distance; C: the covariance of u
    d²(u) = mean ‖u − u′‖²                   over the 5 nearest u′
    e²(u) = min ‖u − u′‖²                    to the nearest one

    score = (m² d² e²)^⅓, their geometric mean, computed from logarithms

The first knows which columns belong together, but takes normal rows for one cloud. The other two know
clouds of any shape: d² is steady, but large for a normal row that has only a few like it; for e² one
such row is enough. A product needs no common unit: twice as far counts the same in each. The ridge
a, 0.03 of the mean variance of a column, keeps directions in which normal rows hardly differ from
deciding alone. For a linear code all three are distances in the space of the rows; the network
bends that space so that normal rows lie flat.

A few normal rows may lie far from all others in one direction, and would come before every anomaly. So
first each number of u that is beyond c, twice what 95 % of normal rows have, is drawn in: |u| becomes
c + c ln(|u| / c). Farther still counts more, but a number as large again no more than c ln 2.

A row that is itself among the normal rows would be its own nearest one. So a u′ that equals u, up to
rounding, is left out once: a row that was learnt from is judged by the others.

Ridge, factors and c were chosen on tables as ``benchmarks/detectors.py`` tells.

Source    Mahalanobis (1936); Ledoit & Wolf (2004), for adding to the diagonal; Ramaswamy, Rastogi &
          Shim (2000), Angiulli & Pizzuti (2002), for distances to near neighbours; Zong et al.
          (2018), for judging code and residual together
"""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tinyae.param import Array

RIDGE = 0.03
USUAL, BEYOND = 0.95, 2.0  # share of normal rows, and times what they have: beyond that is drawn in
NEIGHBOURS = 5
REFERENCES = 2048  # rows that are kept as neighbours, evenly spaced among all
SAME = 1e-10  # squared distance between two calculations of one u, as a share of u's variance


class NormalRows:
    """The rows that others are compared with.

    Shapes    z (n, k)   r (n, D), r's columns being those of the scaled table
    """

    def __init__(self, z: Array, r: Array) -> None:
        u = _joined(z, r)
        usual = BEYOND * np.quantile(np.abs(u), USUAL, axis=0)
        self.bound = np.where(usual > 0, usual, np.abs(u).max(axis=0))
        u = self._drawn_in(u)
        self.mean = u.mean(axis=0)
        C = np.atleast_2d(np.cov(u.T, bias=True))
        ridge = RIDGE * np.trace(C) / r.shape[1]
        variances, axes = np.linalg.eigh(C)
        spread = np.sqrt(np.maximum(variances, 0) + ridge)
        self.whitening = axes / np.where(spread > 0, spread, 1.0)  # W Wᵀ = (C + a I)⁻¹
        self.references = np.unique(np.linspace(0, len(u) - 1, REFERENCES).astype(int))
        self.same = SAME * float(np.trace(C))
        most = min(NEIGHBOURS + 1, len(self.references))  # one may be the row itself
        self.neighbours = NearestNeighbors(n_neighbors=most).fit(u[self.references])

    def log_score(self, z: Array, r: Array) -> Array:
        """ln (m² d² e²)^⅓ of each row, (N,), higher for rows farther from normal.

        It is −∞ only where all normal rows are the same.
        """
        u = self._drawn_in(_joined(z, r))
        m2 = np.square((u - self.mean) @ self.whitening).sum(axis=1)
        near = np.maximum(self._others(u)[0], self.same)
        with np.errstate(divide="ignore"):
            return (np.log(m2) + np.log(near.mean(axis=1)) + np.log(near[:, 0])) / 3

    def nearest(self, z: Array, r: Array) -> Array:
        """The nearest normal rows, (N, 5), as indices into ``references``."""
        return self._others(self._drawn_in(_joined(z, r)))[1]

    def _drawn_in(self, u: Array) -> Array:
        """u, with what is beyond the bound c at c + c ln(|u| / c); where all normal rows have 0, u."""
        size = np.abs(u)
        far = (size > self.bound) & (self.bound > 0)
        c = np.broadcast_to(self.bound, u.shape)[far]
        inward = u.copy()
        inward[far] = np.sign(u[far]) * c * (1 + np.log(size[far] / c))
        return inward

    def _others(self, u: Array) -> tuple[Array, Array]:
        """‖u − u′‖² of the nearest normal rows but u itself, (N, 5) in rising order, and which."""
        distance, place = self.neighbours.kneighbors(u)
        if distance.shape[1] == 1:
            return np.square(distance), place
        itself = np.square(distance[:, :1]) <= self.same
        distance = np.where(itself, distance[:, 1:], distance[:, :-1])
        return np.square(distance), np.where(itself, place[:, 1:], place[:, :-1])


def _joined(z: Array, r: Array) -> Array:
    return np.concatenate([z, r], axis=1).astype(np.float64)
