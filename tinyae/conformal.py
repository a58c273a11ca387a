"""Conformal p-values: how unusual a score is among the scores of rows known to be normal.

Let s₁ … sₙ be the scores of calibration rows, which the model was not fitted to. If a new normal
row is exchangeable with them, all n + 1 ranks of its score are equally likely, whatever the
model and the distribution of the scores. So

    p = (1 + #{i: sᵢ ≥ s}) / (n + 1)        P(p ≤ α) ≤ α for every α,

with equality at α = k / (n + 1) if no two scores are equal. Flagging rows with p ≤ α flags at most
a share α of normal rows, on average over draws of the calibration rows. The least p is 1 / (n + 1),
so a rate α takes at least 1/α − 1 calibration rows.

Source    Bates, Candès, Lei, Romano & Sesia (2023), Testing for outliers with conformal p-values,
          Annals of Statistics 51(1), 149–178: their marginal p-value, with the sign of the scores
          turned; Vovk, Gammerman & Shafer (2005), Algorithmic learning in a random world
"""

from __future__ import annotations

import math

import numpy as np

from tinyae.param import Array

_ROUNDING = 1e-12  # 0.95 · 20 is 19.000000000000004 for some rates


def p_values(calibration: Array, scores: Array) -> Array:
    """The conformal p-value of each score; higher scores are more unusual and get smaller p.

    Shapes    calibration (n,)   scores (N,)   p (N,), from 1/(n + 1) to 1
    """
    ordered = np.sort(calibration)
    at_least = len(ordered) - np.searchsorted(ordered, scores, side="left")  # #{sᵢ ≥ s}
    return (1 + at_least) / (len(ordered) + 1)


def threshold(calibration: Array, false_positive_rate: float) -> float:
    """The score t such that ``score > t`` holds just where the p-value is ≤ the rate.

    Forward   t = s₍ₘ₎, the m-th smallest calibration score, m = ⌈(1 − α)(n + 1)⌉; ∞ if m > n

    The n + 1 in place of n is the finite-sample correction: the plain (1 − α) quantile flags more
    normal rows than α, the more the fewer calibration rows there are.
    """
    n = len(calibration)
    m = math.ceil((1 - false_positive_rate) * (n + 1) * (1 - _ROUNDING))
    return math.inf if m > n else float(np.partition(calibration, m - 1)[m - 1])
