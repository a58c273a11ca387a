"""Metrics against closed forms, other implementations and invariances."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import metrics, pca


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).random(shape)


# --- the Fréchet distance ---------------------------------------------------------------------


def test_frechet_distance_of_two_normal_distributions() -> None:
    """In one dimension (μ − μ′)² + (σ − σ′)²; along the axes the sum of such."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 1))
    x = (x - x.mean()) / x.std(ddof=1)
    assert metrics.frechet_distance(2 + 3 * x, 1 - x) == pytest.approx(1 + 4)
    a, b = rng.normal(size=(2, 40_000, 3))
    want = (1 + 9 + 0) + (1 + 0 + 4)
    found = metrics.frechet_distance(a * [1, 1, 3] + [1, 3, 0], b * [2, 1, 1])
    assert found == pytest.approx(want, rel=0.02)


@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 5))
@settings(max_examples=20)
def test_frechet_distance_laws(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 12, d))
    y = y @ rng.normal(size=(d, d)) + rng.normal(size=d)
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    there = metrics.frechet_distance(x, y)
    assert there == pytest.approx(metrics.frechet_distance(y, x), rel=1e-6, abs=1e-9)
    assert there == pytest.approx(metrics.frechet_distance(x @ turn, y @ turn), rel=1e-6, abs=1e-9)
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-7)
    assert metrics.frechet_distance(x, x + 2) == pytest.approx(4 * d, rel=1e-6)
    with pytest.raises(ValueError, match="columns"):
        metrics.frechet_distance(x, np.concatenate([y, y], axis=1))
    with pytest.raises(ValueError, match=r"expected \(N, D\) with N ≥ 2"):
        metrics.frechet_distance(x[:1], y)


# --- mse and psnr ----------------------------------------------------------------------------


def test_mse_by_hand() -> None:
    assert metrics.mse(np.array([[1.0, 2.0]]), np.array([[1.0, 5.0]])) == 4.5


@pytest.mark.parametrize("shape", [(3, 4), (700, 1, 20, 20), (1, 2**18)])
def test_mse_is_the_mean_over_chunks_of_any_size(shape: tuple[int, ...]) -> None:
    x, y = images(*shape), images(*shape)[..., ::-1]
    assert metrics.mse(x, y) == pytest.approx(np.mean((x - y) ** 2), rel=1e-12)


def test_mse_of_float32_and_bytes_is_computed_in_float64() -> None:
    x = np.full((4, 100_000), 1e-4, np.float32)
    assert metrics.mse(x, np.zeros_like(x)) == pytest.approx(float(x[0, 0]) ** 2, rel=1e-12)
    byte = np.array([[0, 255]], np.uint8)
    assert metrics.mse(byte, byte[:, ::-1]) == 255**2  # no integer overflow


def test_psnr_of_a_constant_error() -> None:
    x = np.zeros((5, 1, 4, 4))
    assert metrics.psnr(x, x + 0.1) == pytest.approx(20)
    assert metrics.psnr(x, x + 25.5, data_range=255) == pytest.approx(20)
    assert metrics.psnr(x, x) == math.inf


def test_psnr_is_the_mean_over_samples() -> None:
    x = np.zeros((2, 3))
    y = np.array([[0.1] * 3, [0.01] * 3])
    assert metrics.psnr(x, y) == pytest.approx((20 + 40) / 2)
    assert metrics.psnr(x, y) >= 10 * math.log10(1 / metrics.mse(x, y))  # Jensen


# --- ssim ------------------------------------------------------------------------------------


def _ssim_slowly(x: np.ndarray, y: np.ndarray, data_range: float) -> float:
    """Eq. 13 of Wang et al., window by window, with the window as a full matrix."""
    u = np.arange(11) - 5
    w = np.exp(-(u[:, None] ** 2 + u[None] ** 2) / (2 * 1.5**2))
    w /= w.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    scores = []
    for a, b in zip(x, y):
        for i in range(a.shape[0] - 10):
            for j in range(a.shape[1] - 10):
                p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
                mp, mq = (w * p).sum(), (w * q).sum()
                vp, vq = (w * (p - mp) ** 2).sum(), (w * (q - mq) ** 2).sum()
                cov = (w * (p - mp) * (q - mq)).sum()
                scores.append(
                    (2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
                )
    return float(np.mean(scores))


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_against_its_definition(data_range: float) -> None:
    x, y = data_range * images(2, 13, 17), data_range * images(2, 13, 17)[:, ::-1] ** 2
    want = _ssim_slowly(x, y, data_range)
    assert metrics.ssim(x, y, data_range) == pytest.approx(want, rel=1e-10)


def test_ssim_of_constant_images_is_the_luminance_term() -> None:
    x = np.zeros((1, 1, 12, 12))
    a, b, c1 = 0.2, 0.7, 1e-4
    want = (2 * a * b + c1) / (a * a + b * b + c1)
    assert metrics.ssim(x + a, x + b) == pytest.approx(want)


def test_ssim_laws() -> None:
    x, y = images(3, 2, 14, 12), images(3, 2, 12, 14).swapaxes(2, 3)
    s = metrics.ssim(x, y)
    assert metrics.ssim(x, x) == pytest.approx(1, abs=1e-12)
    assert s == pytest.approx(metrics.ssim(y, x), rel=1e-12)
    assert s < 1
    assert s == pytest.approx(metrics.ssim(x[..., ::-1], y[..., ::-1]), rel=1e-12)
    assert s == pytest.approx(metrics.ssim(x.swapaxes(2, 3), y.swapaxes(2, 3)), rel=1e-12)
    assert s == pytest.approx(metrics.ssim(9 * x, 9 * y, data_range=9), rel=1e-12)
    one_by_one = [metrics.ssim(x[i, :1], y[i, :1]) for i in range(3)]
    assert metrics.ssim(x[:, :1], y[:, :1]) == pytest.approx(np.mean(one_by_one), rel=1e-12)
    assert metrics.ssim(x, 1 - x) < 0  # a negative


def test_ssim_falls_with_noise() -> None:
    x = np.tile(np.linspace(0, 1, 32), (4, 1, 32, 1))
    noise = np.random.default_rng(0).normal(size=x.shape)
    scores = [metrics.ssim(x, x + s * noise) for s in (0, 0.02, 0.1, 0.5)]
    assert scores == sorted(scores, reverse=True)


# --- PCA -------------------------------------------------------------------------------------


def _data(rows: int, width: int) -> np.ndarray:
    g = np.random.default_rng(rows)
    return g.normal(size=(rows, width)) @ g.normal(size=(width, width)) + 3 * g.normal(size=width)


@pytest.mark.parametrize("shape", [(200, 12), (12, 40), (12, 12)])
def test_pca_against_scikit_learn(shape: tuple[int, int]) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    x, k = _data(*shape), 5
    ours, theirs = metrics.PCA(k).fit(x), decomposition.PCA(k, svd_solver="full").fit(x)
    signs = np.sign((ours.components_ * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours.components_, signs[:, None] * theirs.components_, atol=1e-8)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(ours.transform(x), signs * theirs.transform(x), atol=1e-7)
    want = theirs.inverse_transform(theirs.transform(x))
    np.testing.assert_allclose(ours.reconstruct(x), want, atol=1e-7)


@pytest.mark.parametrize("shape", [(60, 8), (6, 30)])
def test_pca_laws(shape: tuple[int, int]) -> None:
    x = _data(*shape)
    pca = metrics.PCA(4).fit(x)
    V = pca.components_
    np.testing.assert_allclose(V @ V.T, np.eye(4), atol=1e-12)
    largest = V[np.arange(4), np.abs(V).argmax(axis=1)]
    assert (largest > 0).all()
    assert (np.diff(pca.explained_variance_) <= 0).all()
    z = pca.transform(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(np.cov(z.T), np.diag(pca.explained_variance_), atol=1e-8)
    # the error is the variance along the other axes
    rest = np.linalg.eigvalsh(np.cov(x.T))[::-1][4:].sum()
    lost = metrics.mse(x, pca.reconstruct(x)) * x.size / (len(x) - 1)
    assert lost == pytest.approx(rest, rel=1e-9)
    again = pca.reconstruct(pca.reconstruct(x))  # a projection
    np.testing.assert_allclose(again, pca.reconstruct(x), atol=1e-9)


def test_pca_with_all_components_is_exact_and_keeps_shape_and_dtype() -> None:
    x = images(40, 1, 3, 4).astype(np.float32)
    before = x.copy()
    y = metrics.PCA(12).fit(x).reconstruct(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    np.testing.assert_allclose(y, x, atol=1e-6)
    assert np.array_equal(x, before)
    assert metrics.PCA(2).fit(x).transform((255 * x).astype(np.uint8)).dtype == np.float64


def test_pca_does_not_mind_a_far_mean() -> None:
    x = _data(300, 6)
    near, far = metrics.PCA(2).fit(x), metrics.PCA(2).fit(x + 1e6)
    np.testing.assert_allclose(near.components_, far.components_, atol=1e-6)


SPECTRA = {
    "decaying": np.arange(1, 1201) ** -1.0,
    "flat": np.ones(1200),
    "one step": np.where(np.arange(1200) < 7, 10.0, 1.0),
    "of rank 5": np.where(np.arange(1200) < 5, 1.0, 0.0),
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("shape", [(1200, 1300), (1300, 1200)])
def test_iterated_axes_lose_no_more_than_they_say(
    spectrum: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    g, k = np.random.default_rng(0), 6
    x = (g.normal(size=shape)[:, :1200] * SPECTRA[spectrum]) @ g.normal(size=(1200, shape[1]))
    x = (x + 100).astype(np.float32)
    with monkeypatch.context() as patch:
        for way in ("_by_rows", "_by_features"):
            patch.setattr(pca, way, None)  # it iterates
        fitted = pca.PCA(k).fit(x)
    centred = x - x.mean(axis=0, dtype=np.float64)
    variances = np.linalg.eigvalsh(
        centred @ centred.T if len(x) < shape[1] else centred.T @ centred
    )
    least = max(variances[:-k].sum() / x.size, 1e-30)
    excess = metrics.mse(x, fitted.reconstruct(x.astype(np.float64))) / least - 1
    if spectrum != "of rank 5":  # there only rounding is left
        assert excess < 2e-5
        assert excess < 2 * fitted.error_bound_ + 1e-8
    np.testing.assert_allclose(fitted.components_ @ fitted.components_.T, np.eye(k), atol=1e-10)
    np.testing.assert_allclose(
        fitted.explained_variance_, variances[::-1][:k] / (len(x) - 1), rtol=1e-2, atol=1e-6
    )
    again = pca.PCA(k).fit(x)
    assert np.array_equal(again.components_, fitted.components_)


def test_the_memory_told_is_what_is_taken() -> None:
    x = np.random.default_rng(0).normal(size=(1200, 1300)).astype(np.float32)
    for k in (4, 1200):
        tracemalloc.start()
        pca.PCA(k).fit(x)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken < pca.memory(*x.shape, k)


# --- roc_auc ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_auc_counts_pairs(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 30))
    labels = np.array([0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))])
    scores = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=n + 2, max_size=n + 2)))
    pos, neg = scores[labels == 1], scores[labels == 0]
    wins = (pos[:, None] > neg).mean() + 0.5 * (pos[:, None] == neg).mean()
    auc = metrics.roc_auc(labels, scores)
    assert auc == pytest.approx(wins, abs=1e-12)
    assert metrics.roc_auc(1 - labels, scores) == pytest.approx(1 - auc, abs=1e-12)
    assert metrics.roc_auc(labels, np.exp(scores / 2)) == pytest.approx(auc, abs=1e-12)


def test_auc_against_scikit_learn() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    labels = np.random.default_rng(1).random(500) < 0.3
    scores = np.round(np.random.default_rng(2).normal(size=500) + labels, 1)  # with ties
    assert metrics.roc_auc(labels, scores) == pytest.approx(sk.roc_auc_score(labels, scores))


def test_auc_at_its_ends() -> None:
    assert metrics.roc_auc([0, 0, 1], [1, 2, 3]) == 1
    assert metrics.roc_auc([1, 0, 0], [1, 2, 3]) == 0
    assert metrics.roc_auc([True, False], [np.inf, -np.inf]) == 1
    assert metrics.roc_auc([1, 0, 0, 1], [7, 7, 7, 7]) == 0.5


# --- roc_curve and detection -----------------------------------------------------------------


def scored(data: st.DataObject) -> tuple[np.ndarray, np.ndarray]:
    """Labels of both classes and scores with ties."""
    n = data.draw(st.integers(0, 30))
    labels = np.array([0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))])
    scores = data.draw(st.lists(st.integers(-3, 3), min_size=n + 2, max_size=n + 2))
    return labels, np.array(scores)


@given(data=st.data())
def test_roc_curve_is_what_each_threshold_flags(data: st.DataObject) -> None:
    labels, scores = scored(data)
    curve = metrics.roc_curve(labels, scores)
    assert list(curve.thresholds[1:]) == sorted(set(scores), reverse=True)
    for fpr, tpr, threshold in zip(*curve):
        flagged = scores >= threshold
        assert tpr == flagged[labels == 1].mean()
        assert fpr == flagged[labels == 0].mean()
    assert (curve.false_positive_rate[0], curve.true_positive_rate[0]) == (0, 0)
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1, 1)


@given(data=st.data())
def test_area_under_the_roc_curve_is_the_auc(data: st.DataObject) -> None:
    labels, scores = scored(data)
    x, y, _ = metrics.roc_curve(labels, scores)
    area = ((y[1:] + y[:-1]) / 2 * np.diff(x)).sum()
    assert area == pytest.approx(metrics.roc_auc(labels, scores), abs=1e-12)


def test_roc_curve_takes_infinite_and_unsigned_scores() -> None:
    curve = metrics.roc_curve([0, 1, 1], np.array([-np.inf, 0, np.inf]))
    assert list(curve.true_positive_rate) == [0, 0.5, 1, 1]
    assert list(metrics.roc_curve([0, 1], np.array([0, 200], np.uint8))[1]) == [0, 1, 1]


@given(data=st.data())
def test_detection_counts(data: st.DataObject) -> None:
    labels, scores = scored(data)
    flagged = scores > data.draw(st.integers(-3, 2))
    tp, fp = (flagged & (labels == 1)).sum(), (flagged & (labels == 0)).sum()
    fn, tn = (~flagged & (labels == 1)).sum(), (~flagged & (labels == 0)).sum()
    found = metrics.detection(labels, flagged)
    assert found.accuracy == pytest.approx((tp + tn) / len(labels))
    assert found.recall == pytest.approx(tp / (tp + fn))
    assert found.precision == pytest.approx(tp / (tp + fp)) if flagged.any() else True
    other = metrics.detection(1 - labels, ~flagged)  # the other class as the positive one
    assert other.accuracy == found.accuracy
    assert other.recall == pytest.approx(tn / (tn + fp))


def test_detection_by_hand() -> None:
    assert metrics.detection([1, 1, 0, 0, 0], [1, 0, 1, 0, 0]) == (0.6, 0.5, 0.5)


def test_what_is_not_defined_is_nan() -> None:
    nothing_flagged = metrics.detection([1, 0], [False, False])
    assert nothing_flagged.recall == 0
    assert math.isnan(nothing_flagged.precision)
    no_positive = metrics.detection([0, 0], [True, False])
    assert no_positive.precision == 0
    assert math.isnan(no_positive.recall)


# --- bad input -------------------------------------------------------------------------------

GOOD = images(3, 12, 12)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: metrics.mse(GOOD, GOOD[:2]), "expected the same"),
        (lambda: metrics.psnr(GOOD[:0], GOOD[:0]), "not empty"),
        (lambda: metrics.mse(np.float64(1), np.float64(1)), "expected the same"),
        (lambda: metrics.psnr(GOOD, GOOD, data_range=0), "data_range is 0"),
        (lambda: metrics.ssim(GOOD, GOOD, data_range=-1), "data_range is -1"),
        (lambda: metrics.ssim(GOOD[:, :10], GOOD[:, :10]), "at least 11 × 11"),
        (lambda: metrics.ssim(GOOD[0], GOOD[0]), r"expected images \(N, C, H, W\)"),
        (lambda: metrics.PCA(0), "n_components is 0"),
        (lambda: metrics.PCA(4).fit(GOOD), "at least 4 rows and 4 columns"),
        (lambda: metrics.PCA(1).fit(GOOD[0, 0]), r"expected \(N, …\)"),
        (lambda: metrics.PCA(1).fit(np.full((3, 2), np.nan)), "NaN or infinity"),
        (lambda: metrics.PCA(1).transform(GOOD), "call fit"),
        (lambda: metrics.PCA(1).inverse_transform(GOOD), "call fit"),
        (lambda: metrics.PCA(1).fit(GOOD).transform(GOOD[:, 1:]), "144 numbers"),
        (lambda: metrics.PCA(1).fit(GOOD).inverse_transform(np.ones((2, 2))), r"\(N, 1\)"),
        (lambda: metrics.roc_auc([0, 1], [0.1]), r"labels have shape \(2,\)"),
        (lambda: metrics.roc_auc([1, 1], [0.1, 0.2]), "labels hold 1"),
        (lambda: metrics.roc_auc([], []), "labels hold nothing"),
        (lambda: metrics.roc_auc([0, 2], [0.1, 0.2]), "labels hold 0, 2"),
        (lambda: metrics.roc_auc([0, 1], [0.1, np.nan]), "a score is NaN"),
        (lambda: metrics.roc_curve([0, 1], [0.1, np.nan]), "roc_curve: a score is NaN"),
        (lambda: metrics.roc_curve([0, 0], [0.1, 0.2]), "roc_curve: labels hold 0, expected both"),
        (lambda: metrics.detection([0, 1], [0.1, 0.9]), "flagged hold 0.1, 0.9"),
        (lambda: metrics.detection([0, 2], [0, 1]), "labels hold 0, 2"),
        (lambda: metrics.detection([], []), "labels hold nothing"),
        (lambda: metrics.detection([0, 1], [1]), r"flagged \(1,\)"),
    ],
)
def test_bad_input(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


# --- real data -------------------------------------------------------------------------------


@pytest.mark.real_data
def test_pca_on_fashion_mnist() -> None:
    """The published baseline with 64 numbers: 0.01037, or 0.00984 clipped to [0, 1]."""
    dataset = ta.data.load("fashion-mnist")
    y = metrics.PCA(64).fit(dataset.x_train).reconstruct(dataset.x_test)
    assert metrics.mse(y, dataset.x_test) == pytest.approx(0.01037, abs=5e-6)
    assert metrics.mse(np.clip(y, 0, 1), dataset.x_test) == pytest.approx(0.00984, abs=5e-6)
