"""Metrics for reconstructions and anomaly scores, and PCA as the linear baseline.

    mse, psnr, ssim    how close a reconstruction is to its original
    frechet_distance   how far apart two sets of samples are, by their means and covariances
    PCA                the best linear code of a given size
    roc_auc            how well a score separates two classes
    roc_curve          true and false positive rates at every threshold
    detection          accuracy, precision and recall at one threshold
    rarer_class        which samples count as positive where nothing else says so

All are computed in float64, one chunk of rows at a time, for any input dtype.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tinyae.arguments import number
from tinyae.arrays import plain, real
from tinyae.param import Array
from tinyae.pca import PCA

__all__ = [
    "PCA",
    "Detection",
    "RocCurve",
    "detection",
    "frechet_distance",
    "mse",
    "psnr",
    "rarer_class",
    "roc_auc",
    "roc_curve",
    "ssim",
]

_CHUNK = 2**17  # numbers at a time: 1 MB in float64, which fits into the cache


def mse(x: Array, y: Array) -> float:
    """Mean squared error over all elements.

    Forward   1/n Σ (x − y)²
    Shapes    x, y of one shape with n elements
    Units     the data's, squared
    Raises    ValueError if the shapes differ or are empty
    Source    Goodfellow, Bengio & Courville (2016), §5.1.4
    """
    x, y = _pair("mse", x, y)
    return sum(float(np.square(a - b).sum()) for a, b in _chunks(x, y)) / x.size


def psnr(x: Array, y: Array, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio of each sample, averaged over the samples.

    Forward   1/N Σₙ 10 log₁₀(R² / MSEₙ),   R = ``data_range``, the largest value minus the least
    Shapes    x, y (N, …)
    Units     dB; higher is better, infinite where a sample is exact
    Raises    ValueError if the shapes differ or are empty, or unless R > 0
    Source    Huynh-Thu & Ghanbari (2008), eq. 1; Wang et al. (2004), §I

    The mean of logarithms differs from the logarithm of the mean: it is at least
    10 log₁₀(R² / MSE) of the whole set (Jensen), and larger the more the samples' errors differ.
    """
    x, y = _pair("psnr", x, y)
    _check_range("psnr", data_range)
    errors = [np.square(a - b).reshape(len(a), -1).mean(axis=1) for a, b in _chunks(x, y)]
    with np.errstate(divide="ignore"):
        return float(np.mean(10 * np.log10(data_range**2 / np.concatenate(errors))))


def ssim(x: Array, y: Array, data_range: float = 1.0) -> float:
    """Structural similarity: compares local means, contrasts and patterns under a window.

    Forward   (2 μₓμᵧ + C₁)(2 σₓᵧ + C₂) / ((μₓ² + μᵧ² + C₁)(σₓ² + σᵧ² + C₂)), averaged
              μ, σ², σₓᵧ weighted by an 11 × 11 Gaussian with σ = 1.5 that sums to one
              C₁ = (0.01 R)²   C₂ = (0.03 R)²   R = ``data_range``
    Shapes    x, y (N, C, H, W) or (N, H, W), H and W ≥ 11; only windows inside the image count
    Units     1 for equal images, less otherwise, at least −1
    Raises    ValueError if the shapes differ or are not images of that size, or unless R > 0
    Source    Wang, Bovik, Sheikh & Simoncelli (2004), eq. 13–16 and §III.B
    """
    x, y = _pair("ssim", x, y)
    _check_range("ssim", data_range)
    if x.ndim not in (3, 4) or min(x.shape[-2:]) < _WINDOW.size:
        raise ValueError(
            f"ssim: x has shape {x.shape}, expected images (N, C, H, W) or (N, H, W) of at least "
            f"{_WINDOW.size} × {_WINDOW.size}; reshape x, or use psnr"
        )
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    total, count = 0.0, 0
    for a, b in _chunks(x, y):
        mu_a, mu_b = _blur(a), _blur(b)
        var_a = _blur(a * a) - mu_a**2  # σ² = E x² − μ²
        var_b = _blur(b * b) - mu_b**2
        cov = _blur(a * b) - mu_a * mu_b
        score = (2 * mu_a * mu_b + c1) * (2 * cov + c2)
        score /= (mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2)
        total, count = total + float(score.sum()), count + score.size
    return total / count


_WINDOW = np.exp(-np.square(np.arange(-5, 6) / 1.5) / 2)
_WINDOW /= _WINDOW.sum()


def _blur(a: Array) -> Array:
    """The mean under the window over the last two axes, one 1-D pass along each."""
    reach = _WINDOW.size - 1
    for _ in range(2):
        length = a.shape[-1] - reach
        a = sum(w * a[..., k : k + length] for k, w in enumerate(_WINDOW)).swapaxes(-1, -2)
    return a


def frechet_distance(x: Array, y: Array) -> float:
    """How far apart two sets of samples are, each taken as a normal distribution.

    Forward   ‖μₓ − μᵧ‖² + tr(Σₓ + Σᵧ − 2 (Σₓ Σᵧ)^½)
    Shapes    x (N, D)   y (M, D)   N, M ≥ 2
    Units     the data's, squared; 0 for equal means and covariances
    Raises    ValueError if the numbers of columns differ, or of a single row
    Source    Dowson & Landau (1982), eq. 4; of images: Heusel et al. (2017), §2

    Of images, pass features that a classifier computes of them, and say of which: distances from
    different classifiers cannot be compared. Fewer samples give larger values.
    """
    sides = []
    for name, a in (("x", x), ("y", y)):
        a = real(f"frechet_distance: {name}", a).astype(np.float64)
        if a.ndim != 2 or len(a) < 2:
            raise ValueError(
                f"frechet_distance: {name} has shape {a.shape}, expected (N, D) with N ≥ 2; "
                "pass features, one row for each sample"
            )
        sides.append((a.mean(axis=0), np.atleast_2d(np.cov(a, rowvar=False))))
    (mean, cov), (other_mean, other_cov) = sides
    if mean.shape != other_mean.shape:
        raise ValueError(
            f"frechet_distance: x has {len(mean)} columns, y has {len(other_mean)}; they must be equal"
        )
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    between = np.linalg.eigvalsh(root @ other_cov @ root)  # those of Σₓ Σᵧ
    gap = np.square(mean - other_mean).sum() + np.trace(cov) + np.trace(other_cov)
    return float(gap - 2 * np.sqrt(np.maximum(between, 0)).sum())


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """The probability that a positive scores higher than a negative; a tie counts one half.

    Forward   (R₊ − n₊(n₊ + 1)/2) / (n₊ n₋),   R₊ the sum of the positives' ranks among all
              scores, equal scores sharing their mean rank
    Shapes    labels (N,) of 0 and 1 (or bool)   scores (N,), higher for the positive class
    Units     0.5 for chance, 1 for perfect order; needs no threshold
    Raises    ValueError if lengths differ, a label is not 0 or 1, a class is absent, a score is NaN
    Source    Hanley & McNeil (1982); Mann & Whitney (1947)
    """
    labels, scores = _ranked("roc_auc", labels, scores)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # the highest rank among equal scores, counted from 1
    ranks = (last - (counts - 1) / 2)[inverse]
    n_pos, n_neg = int(labels.sum()), int((~labels).sum())
    return float((ranks[labels].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


class RocCurve(NamedTuple):
    """With ``thresholds[k]``, samples that score at least that are flagged; rates grow with k."""

    false_positive_rate: Array
    true_positive_rate: Array
    thresholds: Array


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Receiver operating characteristic: true and false positive rate at each threshold.

    Forward   TPR(t) = P(score ≥ t | positive)      FPR(t) = P(score ≥ t | negative)
    Shapes    labels (N,) of 0 and 1 (or bool)   scores (N,), higher for the positive class
              each field (K,), where K is the number of distinct scores plus one: from (0, 0)
              at threshold ∞ to (1, 1)
    Units     the area under the curve, by the trapezoidal rule, is :func:`roc_auc`
    Raises    ValueError as :func:`roc_auc`
    Source    Fawcett (2006), algorithm 2
    """
    labels, scores = _ranked("roc_curve", labels, scores)
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    labels, scores = labels[order], scores[order]
    last = np.append(np.nonzero(scores[1:] != scores[:-1])[0], len(scores) - 1)
    found = np.append(0, np.cumsum(labels)[last])
    flagged = np.append(0, last + 1)
    return RocCurve(
        (flagged - found) / (len(labels) - labels.sum()),
        found / labels.sum(),
        np.append(np.inf, scores[last]),
    )


class Detection(NamedTuple):
    """Fractions; precision is NaN if nothing is flagged, recall if there are no positives."""

    accuracy: float
    precision: float
    recall: float


def detection(labels: ArrayLike, flagged: ArrayLike) -> Detection:
    """Accuracy, precision and recall of flagging samples as positive.

    Forward   accuracy = P(flagged = label)
              precision = P(label | flagged) = TP / (TP + FP)
              recall = P(flagged | label) = TP / (TP + FN)
    Shapes    labels, flagged (N,) of 0 and 1 (or bool)
    Raises    ValueError if lengths differ, there is no sample, or an entry is not 0 or 1
    Source    Fawcett (2006), fig. 1

    Precision and recall depend on which class is called positive, precision and accuracy on how
    frequent it is. Choose the threshold on other data than these samples.
    """
    labels, flagged = _binary("detection", labels), _binary("detection", flagged, "flagged")
    if labels.shape != flagged.shape:
        raise ValueError(
            f"detection: labels have shape {labels.shape}, flagged {flagged.shape}, expected (N,) "
            "both; pass scores > threshold, one a sample"
        )
    hits = int((labels & flagged).sum())
    n_flagged, n_pos = int(flagged.sum()), int(labels.sum())
    return Detection(
        float((labels == flagged).mean()),
        hits / n_flagged if n_flagged else math.nan,
        hits / n_pos if n_pos else math.nan,
    )


def rarer_class(labels: Array) -> Array | None:
    """Which samples are of the rarer of two classes, (N,) of bools; None unless there are two."""
    kinds, counts = np.unique(labels, return_counts=True)
    return labels == kinds[np.argmin(counts)] if len(kinds) == 2 else None


def _binary(who: str, a: ArrayLike, name: str = "labels") -> Array:
    """0 and 1 as bool."""
    a = plain(f"{who}: {name}", a)
    if a.ndim != 1 or not a.size or not np.isin(a, (0, 1)).all():
        found = ", ".join(map(str, np.unique(a)[:5])) or "nothing"
        raise ValueError(
            f"{who}: {name} hold {found} in shape {a.shape}, expected 0 and 1 in shape (N,); "
            "pass labels == positive_class"
        )
    return a.astype(bool)


def _ranked(who: str, labels: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    """Labels as bool, with both classes present, and scores without NaN."""
    labels, scores = plain(f"{who}: labels", labels), real(f"{who}: scores", scores)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(
            f"{who}: labels have shape {labels.shape}, scores {scores.shape}, expected (N,) "
            "both; pass one label and one score a sample"
        )
    if not np.isin(labels, (0, 1)).all() or labels.all() or not labels.any():
        found = ", ".join(map(str, np.unique(labels)[:5]))
        raise ValueError(
            f"{who}: labels hold {found or 'nothing'}, expected both 0 and 1; "
            "pass labels == positive_class"
        )
    if np.isnan(scores).any():
        raise ValueError(f"{who}: a score is NaN, expected numbers that can be ranked; remove it")
    return labels.astype(bool), scores


def _pair(who: str, x: Array, y: Array) -> tuple[Array, Array]:
    x, y = real(f"{who}: x", x), real(f"{who}: y", y)
    if x.shape != y.shape or not x.size or not x.ndim:
        raise ValueError(
            f"{who}: x has shape {x.shape}, y {y.shape}, expected the same (N, …), not empty; "
            "pass originals and reconstructions of one shape"
        )
    return x, y


def _check_range(who: str, data_range: float) -> None:
    data_range = number(who, "data_range", data_range, 1.0)
    if not (data_range > 0 and math.isfinite(data_range)):
        raise ValueError(
            f"{who}: data_range is {data_range}, expected > 0; pass the data's largest possible "
            "value minus its least, e.g. 1.0 or 255"
        )


def _chunks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Chunks of the arrays' rows in float64, of about 1 MB."""
    step = max(_CHUNK // max(math.prod(arrays[0].shape[1:]), 1), 1)
    for start in range(0, len(arrays[0]), step):
        yield tuple(a[start : start + step].astype(np.float64) for a in arrays)
