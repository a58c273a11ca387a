"""tinyae.sklearn: the estimators keep scikit-learn's rules, and the detector its promises."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="the estimators need scikit-learn: pip install scikit-learn")

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import estimator_checks_generator

import tinyae as ta
from tinyae import conformal
from tinyae.metrics import roc_auc
from tinyae.models.from_pca import encoder_decoder_from_pca
from tinyae.scaling import fit_scaler
from tinyae.sklearn import (
    AutoencoderDetector,
    AutoencoderTransformer,
    ContractiveTransformer,
    DenoisingTransformer,
    SparseTransformer,
    VariationalTransformer,
)
from tinyae.sklearn.distance import NormalRows
from tinyae.sklearn.network import principal_axes

FROM_PCA = (AutoencoderTransformer, DenoisingTransformer)
TRANSFORMERS = (
    *FROM_PCA,
    SparseTransformer,
    ContractiveTransformer,
    VariationalTransformer,
)
ALL = (*TRANSFORMERS, AutoencoderDetector)
SMALL = {"epochs": 2, "hidden_units": (8,), "patience": None, "random_state": 0}
TOO_FEW = "ignore:AutoencoderDetector. .* held-out rows cannot tell:UserWarning"

each_transformer = pytest.mark.parametrize("kind", TRANSFORMERS)
each_estimator = pytest.mark.parametrize("kind", ALL)


@pytest.fixture(scope="module")
def iris():
    return load_iris().data


@pytest.fixture(scope="module")
def cancer():
    """Benign rows to learn from, rows to judge, and which of these are malignant."""
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(np.flatnonzero(y == 1))
    test = np.r_[order[180:], np.flatnonzero(y == 0)]
    return x[order[:180]], x[test], y[test] == 0


@pytest.fixture(scope="module")
def detector(cancer):
    return AutoencoderDetector(random_state=0).fit(cancer[0])


# --- scikit-learn's rules ------------------------------------------------------------------------


def all_checks(folds=5, **settings):
    """Every check of scikit-learn for every estimator; none is expected to fail."""
    estimators = [kind(**settings) for kind in TRANSFORMERS]
    estimators.append(AutoencoderDetector(folds=folds, **settings))
    pairs = [pair for e in estimators for pair in estimator_checks_generator(e)]
    names = [f"{type(e).__name__}-{getattr(c, 'func', c).__name__}" for e, c in pairs]
    return pytest.mark.parametrize(("estimator", "check"), pairs, ids=names)


@pytest.mark.filterwarnings(TOO_FEW)  # some checks fit 10 rows
@pytest.mark.filterwarnings("ignore:SCIPY_ARRAY_API:sklearn.exceptions.SkipTestWarning")
@all_checks(folds=2, **{**SMALL, "patience": 1})
def test_check_estimator(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings(TOO_FEW)
@all_checks()
def test_check_estimator_with_default_settings(estimator, check):
    check(estimator)


@each_estimator
def test_constructors_only_store(kind):
    odd = object()
    settings = kind().get_params()
    estimator = kind(**dict.fromkeys(settings, odd))
    assert all(value is odd for value in vars(estimator).values())
    assert vars(estimator).keys() == settings.keys()
    assert clone(kind(**SMALL)).get_params() == kind(**SMALL).get_params()


@each_estimator
def test_pickle(kind, iris):
    estimator = kind(**SMALL).fit(iris)
    again = pickle.loads(pickle.dumps(estimator))
    assert (again.score_samples(iris) == estimator.score_samples(iris)).all()
    assert (
        again.partial_fit(iris).score_samples(iris)
        == estimator.partial_fit(iris).score_samples(iris)
    ).all()


@each_estimator
def test_a_seed_gives_the_same_bits(kind, iris):
    first, second = (kind(**SMALL).fit(iris).score_samples(iris) for _ in range(2))
    other = kind(**{**SMALL, "random_state": 1}).fit(iris).score_samples(iris)
    assert (first == second).all()
    assert (first != other).any()


@each_transformer
def test_pandas_in_and_out(kind, iris):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(iris, columns=["a", "b", "c", "d"], index=np.arange(len(iris)) + 7)
    transformer = kind(**SMALL).fit(table).set_output(transform="pandas")
    codes = transformer.transform(table)
    assert list(codes.columns) == list(transformer.get_feature_names_out())
    assert (codes.index == table.index).all()
    assert list(transformer.feature_names_in_) == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names"):
        transformer.transform(table[["b", "a", "c", "d"]])


def test_pipeline_and_grid_search():
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), AutoencoderTransformer(**SMALL), SVC())
    grid = {"autoencodertransformer__latent_dim": [1, 3], "svc__C": [1.0, 10.0]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(x, y)
    assert search.best_score_ > 0.93
    alone = GridSearchCV(AutoencoderTransformer(**SMALL), {"latent_dim": [1, 2, 3]}, cv=3).fit(x)
    assert alone.best_params_ == {"latent_dim": 3}  # of the score, the share of the variance kept
    assert 0.9 < alone.best_score_ < 1


def test_pca_of_metrics_in_a_pipeline(iris):
    y = load_iris().target
    assert make_pipeline(ta.metrics.PCA(2), SVC()).fit(iris, y).score(iris, y) > 0.9
    ours, theirs = ta.metrics.PCA(2).fit(iris, y), PCA(2).fit(iris)
    assert np.allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_)
    assert (ta.metrics.PCA(2).fit(np.ones((5, 3))).explained_variance_ratio_ == 0).all()


def test_import_tinyae_does_not_import_scikit_learn():
    code = """
import sys, tinyae
assert "sklearn" not in sys.modules
import tinyae.sklearn, sklearn
assert tinyae.sklearn is not sklearn
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_scikit_learn_the_error_says_what_to_install():
    code = """
import sys
sys.modules["sklearn"] = None
try:
    import tinyae.sklearn
except ModuleNotFoundError as error:
    assert "pip install scikit-learn" in str(error), error
else:
    raise AssertionError("nothing was missed")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_silent_unless_verbose(iris, capfd):
    AutoencoderTransformer(**SMALL).fit(iris)
    assert capfd.readouterr() == ("", "")
    AutoencoderTransformer(**SMALL, verbose=True).fit(iris)
    assert capfd.readouterr().err == ""  # the bar is for terminals and notebooks


def test_a_bar_where_somebody_watches(iris, capfd, monkeypatch):
    monkeypatch.setattr("tinyae.training.progress.is_watched", lambda: True)
    AutoencoderTransformer(**SMALL, verbose=True).fit(iris)
    assert "epoch 2/2" in capfd.readouterr().err


# --- units ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["standard", "minmax", None])
def test_scaling_there_and_back(scaling):
    x = np.random.default_rng(0).normal(size=(50, 3)) * [1e-6, 1.0, 1e6] + [5.0, 0.0, 1.7e9]
    x[:, 1] = 3.0
    scaler = fit_scaler(scaling, x)
    scaled = scaler.apply(x)
    assert np.allclose(scaler.undo(scaled), x, rtol=1e-12)
    if scaling == "standard":
        assert np.allclose(scaled.mean(axis=0), 0, atol=1e-6)
        assert np.allclose(scaled.std(axis=0), [1, 0, 1])
    if scaling == "minmax":
        assert np.allclose(scaled.min(axis=0), 0)
        assert np.allclose(scaled.max(axis=0), [1, 0, 1])


@each_estimator
def test_units_that_nobody_scales_are_mentioned(kind, iris):
    for x in (iris * [1, 1, 1000, 1], iris * [1e-3, 1, 1, 1]):
        with pytest.warns(UserWarning, match="scaling is None, and the columns' standard dev"):
            kind(**SMALL, scaling=None).fit(x)
    kind(**SMALL, scaling=None).fit(iris)  # warnings are errors here


def test_noise_is_relative_to_the_table(iris):
    stds = [
        DenoisingTransformer(noise=0.5, scaling=scaling, **SMALL).fit(iris).model_.corruption.std
        for scaling in ("standard", "minmax")
    ]
    ranges = np.sqrt((iris / np.ptp(iris, axis=0)).var(axis=0).mean())
    assert np.allclose(stds, [0.5, 0.5 * ranges])


@pytest.mark.parametrize("kind", FROM_PCA)
@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_units_of_the_table_do_not_matter(kind, scaling, iris):
    """A time since 1970 in one column, millionths in another: the same codes as before."""
    settings = {**SMALL, "scaling": scaling}
    units, zero = np.array([1e-6, 1.0, 1e3, 60.0]), np.array([0.0, -40.0, 1.7e9, 0.0])
    ours = kind(**settings).fit(iris)
    theirs = kind(**settings).fit(iris * units + zero)
    assert np.allclose(
        np.abs(ours.transform(iris)), np.abs(theirs.transform(iris * units + zero)), atol=1e-3
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_transformer
def test_dtype(kind, dtype, iris):
    transformer = kind(**SMALL).fit(iris.astype(dtype))
    codes = transformer.transform(iris.astype(dtype))
    assert codes.dtype == transformer.model_.dtype == dtype
    assert transformer.inverse_transform(codes).dtype == dtype


# --- transformers --------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden_units", [(), (7,), (9, 5)])
@pytest.mark.parametrize("scaling", ["standard", None])
def test_the_network_starts_as_pca(hidden_units, scaling, iris):
    x = fit_scaler(scaling, iris).apply(iris)
    rng = np.random.default_rng(0)
    parts = encoder_decoder_from_pca(x.shape[1:], 2, principal_axes(x), hidden_units, rng, x.dtype)
    start = ta.Autoencoder(*parts, ta.MSE())
    assert np.allclose(start.reconstruct(x), ta.metrics.PCA(2).fit(x).reconstruct(x))


@given(rows=st.integers(2, 9), columns=st.integers(1, 6), code=st.integers(1, 12))
def test_any_size_of_code_on_any_table(rows, columns, code):
    x = np.random.default_rng(rows).normal(size=(rows, columns))
    rng = np.random.default_rng(0)
    parts = encoder_decoder_from_pca(x.shape[1:], code, principal_axes(x), (4,), rng, x.dtype)
    start = ta.Autoencoder(*parts, ta.MSE())
    assert start.encode(x).shape == (rows, code)
    k = min(code, rows, columns)
    assert np.allclose(start.reconstruct(x), ta.metrics.PCA(k).fit(x).reconstruct(x))


def test_a_share_of_the_variance(iris):
    x = StandardScaler().fit_transform(iris)
    for share in (0.5, 0.8, 0.9, 0.97):
        ours = AutoencoderTransformer(share, **SMALL).fit(iris)
        assert ours.latent_dim_ == ours.transform(iris).shape[1] == PCA(share).fit(x).n_components_
    assert AutoencoderTransformer(0.9999, **SMALL).fit(iris).latent_dim_ == 3  # of 4 columns
    assert AutoencoderTransformer(0.9, **SMALL).fit(iris[:, :1]).latent_dim_ == 1


def curved(n, seed):
    """Points near a parabola, in a plane of four dimensions, in odd units."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-2, 2, n)
    x = np.stack([t, t**2, -t, np.sin(2 * t)], axis=1) + 0.05 * rng.normal(size=(n, 4))
    return x * [1, 100, 0.01, 1] + [0, 5, 0, 1000]


@pytest.mark.parametrize("kind", FROM_PCA)
def test_a_curved_table_takes_fewer_numbers_than_pca(kind):
    x, test = curved(400, 0), curved(400, 1)
    noise = {"noise": 0.05} if kind is DenoisingTransformer else {}
    trained = kind(1, random_state=1, epochs=80, **noise).fit(x)
    linear = kind(1, random_state=1, epochs=1, learning_rate=1e-12, **noise).fit(x)
    assert 1 - trained.score(test) < 0.35 * (1 - linear.score(test))


def test_never_worse_than_pca_on_the_rows_held_out():
    """On noise there is nothing to learn beyond PCA, and then PCA stays."""
    x = np.random.default_rng(0).normal(size=(40, 12))
    trained = AutoencoderTransformer(4, random_state=0).fit(x)
    scaled = StandardScaler().fit(x)
    z = scaled.transform(x)
    pca = ta.metrics.PCA(4).fit(z)
    assert np.allclose(trained.reconstruct(x), scaled.inverse_transform(pca.reconstruct(z)))


@each_transformer
def test_scores_agree_with_reconstruct(kind, iris):
    transformer = kind(**SMALL).fit(iris)
    scaled = StandardScaler().fit(iris).transform
    error = np.square(scaled(iris) - scaled(transformer.reconstruct(iris)))
    assert np.allclose(transformer.score_samples(iris), -error.mean(axis=1))
    assert np.isclose(transformer.score(iris), 1 - error.sum() / np.square(scaled(iris)).sum())
    codes = transformer.transform(iris)
    assert np.allclose(transformer.inverse_transform(codes), transformer.reconstruct(iris))


@pytest.mark.parametrize("hidden_units", [(), (8, 5)])
@each_transformer
def test_the_network_is_a_model_like_any_other(kind, hidden_units, iris, tmp_path):
    transformer = kind(7, **{**SMALL, "hidden_units": hidden_units}).fit(iris)  # of 4 columns
    transformer.model_.save(tmp_path / "m.npz")
    assert (ta.load(tmp_path / "m.npz").encode(iris) == transformer.transform(iris)).all()
    assert (ta.load(tmp_path / "m.npz").reconstruct(iris) == transformer.reconstruct(iris)).all()
    assert np.allclose(transformer.model_.compile()(iris), transformer.model_.reconstruct(iris))


@each_transformer
def test_partial_fit_learns(kind, iris):
    transformer = kind(random_state=0, batch_size=16)
    parts = np.array_split(np.random.default_rng(0).permutation(iris), 3)
    for part in parts:
        transformer.partial_fit(part)
    before = transformer.model_.evaluate(iris)["total"]
    for _ in range(30):
        for part in parts:
            transformer.partial_fit(part)
    assert transformer.model_.evaluate(iris)["total"] < before
    assert [epoch.epoch for epoch in transformer.history_.epochs] == list(range(1, 94))


@each_transformer
def test_warm_start_goes_on(kind, iris):
    warm = kind(**SMALL, warm_start=True).fit(iris)
    model, first = warm.model_, warm.history_["total"][-1]
    for _ in range(10):
        warm.fit(iris)
    assert warm.model_ is model
    assert warm.history_["total"][-1] < first
    cold = kind(**SMALL).fit(iris)
    before = cold.score_samples(iris)
    assert (cold.fit(iris).score_samples(iris) == before).all()


def test_early_stopping_and_its_absence(iris):
    stopped = AutoencoderTransformer(random_state=0, epochs=500, patience=3).fit(iris)
    assert 3 <= len(stopped.history_) < 500
    assert "validation.total" in stopped.history_.names
    through = AutoencoderTransformer(random_state=0, epochs=7, patience=None).fit(iris)
    assert len(through.history_) == 7
    assert "validation.total" not in through.history_.names


def test_denoising_removes_noise():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(400, 4)) * [0.3, 40, 0.003, 0.3]
    clean = curved(400, 1)
    denoiser = DenoisingTransformer(2, noise=0.3, random_state=0).fit(curved(800, 0))
    scale = clean.std(axis=0)
    before = np.square(noise / scale).mean()
    after = np.square((denoiser.reconstruct(clean + noise) - clean) / scale).mean()
    assert after < 0.6 * before


def test_sparse_codes_are_sparse(cancer):
    x = cancer[0]
    active, free = (
        SparseTransformer(40, activity=0.05, weight=w, random_state=0).fit(x) for w in (1.0, 0.0)
    )
    assert active.transform(x).mean() < 0.1
    assert free.transform(x).mean() > 0.3
    assert active.score(x) > 0.9


def test_contractive_codes_change_less(cancer):
    x = cancer[0]
    held, free = (
        ContractiveTransformer(5, weight=w, random_state=0, epochs=40).fit(x) for w in (0.1, 0.0)
    )
    slopes = [np.square(t.model_.jacobian(x)).sum(axis=(1, 2)).mean() for t in (held, free)]
    assert slopes[0] < 0.5 * slopes[1]


def test_the_variational_network_starts_as_probabilistic_pca(iris):
    start = VariationalTransformer(2, random_state=0, epochs=1, learning_rate=1e-12).fit(iris)
    z = StandardScaler().fit_transform(iris)
    exact = PCA(2).fit(z).score(z)  # the log-likelihood of probabilistic PCA a row
    bound = start.model_.elbo(iris, samples=500)  # of the scaled rows
    assert np.isclose(bound.value, exact, atol=0.02)


def test_samples_have_the_tables_distribution(cancer):
    x = cancer[0]
    made = VariationalTransformer(random_state=0).fit(x).sample(4000)
    assert made.shape == (4000, x.shape[1])
    assert np.allclose(made.mean(axis=0), x.mean(axis=0), atol=0.25 * x.std(axis=0))
    assert np.allclose(made.std(axis=0) / x.std(axis=0), 1, atol=0.3)
    both = np.corrcoef(x.T), np.corrcoef(made.T)
    assert np.abs(both[0] - both[1]).mean() < 0.15


# --- conformal p-values --------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.5]))
def test_flagged_by_threshold_just_where_p_is_small(seed, n, rate):
    rng = np.random.default_rng(seed)
    calibration, scores = rng.integers(0, 30, n) / 7, rng.integers(-5, 35, 200) / 7  # with ties
    flagged = scores > conformal.threshold(calibration, rate)
    assert (flagged == (conformal.p_values(calibration, scores) <= rate + 1e-12)).all()


def test_p_values_by_counting():
    calibration = np.array([3.0, 1.0, 2.0, 2.0])
    assert np.allclose(
        conformal.p_values(calibration, np.array([0.0, 1.0, 2.0, 2.5, 9.0])),
        [1.0, 1.0, 4 / 5, 2 / 5, 1 / 5],
    )


@pytest.mark.parametrize("ties", [False, True])
def test_p_values_of_exchangeable_scores(ties):
    """P(p ≤ k/(n + 1)) = k/(n + 1) for continuous scores, at most that where scores may be equal."""
    rng, n, draws = np.random.default_rng(0), 9, 20_000
    scores = rng.standard_cauchy((draws, n + 1))
    if ties:
        scores = np.round(np.clip(scores, -3, 3))
    p = np.array([conformal.p_values(row[:-1], row[-1:])[0] for row in scores])
    levels = np.arange(1, n + 1) / (n + 1)
    shares = (p[:, None] <= levels + 1e-12).mean(axis=0)
    error = 4 * np.sqrt(levels * (1 - levels) / draws)
    assert (shares <= levels + error).all()
    assert ties or (shares >= levels - error).all()
    assert not ties or (shares < levels - error).any()


def test_the_plain_quantile_would_flag_too_many():
    """What the finite-sample correction is for: 19 rows, rate 0.05."""
    rng = np.random.default_rng(0)
    calibration, new = rng.normal(size=(20_000, 19)), rng.normal(size=20_000)
    held = np.array([conformal.threshold(row, 0.05) for row in calibration])
    assert (new > held).mean() < 0.055 < (new > np.quantile(calibration, 0.95, axis=1)).mean()
    assert conformal.threshold(calibration[0][:18], 0.05) == np.inf


# --- the detector --------------------------------------------------------------------------------


def test_it_finds_what_is_odd(detector, cancer):
    _, test, truth = cancer
    assert roc_auc(truth, -detector.score_samples(test)) > 0.93
    assert (detector.predict(test[truth]) == -1).mean() > 0.6


def test_flags_p_values_and_scores_tell_one_story(detector, cancer):
    _, test, _ = cancer
    flagged = detector.predict(test) == -1
    assert (flagged == (detector.p_values(test) <= 0.05)).all()
    assert (flagged == (-detector.score_samples(test) > detector.threshold_)).all()
    assert (flagged == (detector.decision_function(test) < 0)).all()


def test_every_row_is_calibrated_by_networks_that_have_not_seen_it(cancer):
    x = cancer[0][:60]
    detector = AutoencoderDetector(**SMALL).fit(x)
    changed = x.copy()
    changed[7, 1:] = 2 * x[7, 1:]  # which does not move it among the rows
    other = AutoencoderDetector(**SMALL).fit(changed)
    fold = np.empty(60, int)
    fold[np.argsort(x[:, 0])] = detector._recent_fold
    mates = (fold == fold[7]) & (np.arange(60) != 7)
    assert (detector.calibration_scores_[mates] == other.calibration_scores_[mates]).all()
    assert (detector.calibration_scores_ != other.calibration_scores_)[fold != fold[7]].any()


@pytest.mark.parametrize("n", [20, 80])
def test_the_false_positive_rate(n):
    """The share of new normal rows that are flagged, over many tables, and the p-values' law."""
    p = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        mix = rng.normal(size=(5, 5))
        x = rng.standard_t(4, size=(n + 200, 5)) @ mix
        detector = AutoencoderDetector(epochs=1, hidden_units=(), random_state=seed).fit(x[:n])
        p.append(detector.p_values(x[n:]))
        assert ((detector.predict(x[n:]) == -1) == (p[-1] <= 0.05)).all()
    p = np.concatenate(p)
    for rate in (0.05, 0.1, 0.2, 0.5):
        assert (p <= rate).mean() < 1.25 * rate, rate
    assert (p <= 0.2).mean() > 0.1  # nor idle


@pytest.mark.filterwarnings(TOO_FEW)
def test_with_one_network_the_p_values_are_exact():
    """20 rows, 4 of them held out: P(p ≤ k/5) = k/5 over draws of the table, for each k."""
    tables, new = 150, 20
    settings = {"folds": 1, "epochs": 1, "hidden_units": (), "latent_dim": 2}
    shares = np.zeros(5)
    for seed in range(tables):
        x = np.random.default_rng(seed).standard_t(3, size=(20 + new, 4))
        detector = AutoencoderDetector(**settings, random_state=seed).fit(x[:20])
        assert detector.calibration_scores_.shape == (4,)
        p = detector.p_values(x[20:])
        shares += [(p <= k / 5 + 1e-12).mean() / tables for k in range(1, 6)]
    exact = np.arange(1, 6) / 5
    assert np.allclose(shares, exact, atol=4 * 0.2 / np.sqrt(tables))  # 0.2: of Beta(2, 3)
    assert shares[-1] == pytest.approx(1)


def test_contamination_is_the_share_flagged(cancer):
    rng = np.random.default_rng(0)
    odd = rng.permuted(cancer[0][:20], axis=0) + cancer[0].std(axis=0)  # columns of different rows
    x = np.concatenate([cancer[0], odd])
    detector = AutoencoderDetector(contamination=0.1, **SMALL)
    found = detector.fit_predict(x) == -1
    assert found.sum() == 20
    assert found[180:].mean() > 0.5


def test_the_column_to_blame(detector, cancer):
    """One sensor reads nonsense in a normal row."""
    rng = np.random.default_rng(0)
    rows = cancer[1][~cancer[2]][:60].copy()
    column = rng.integers(rows.shape[1], size=len(rows))
    spread = cancer[0].std(axis=0)
    rows[np.arange(len(rows)), column] += 6 * spread[column]
    blamed = detector.explain(rows)
    assert blamed.shape == rows.shape
    assert (blamed.argmax(axis=1) == column).mean() > 0.85
    assert (np.sort(blamed, axis=1)[:, -1] > 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sensor_that_reads_anything(dtype):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(dtype)
    detector = AutoencoderDetector(**SMALL).fit(x)
    for value in (1e6, 1e30, float(np.finfo(dtype).max)):
        rows = x[:2].copy()
        rows[:, 1] = value, -value
        assert (detector.predict(rows) == -1).all()
        assert np.isfinite(detector.score_samples(rows)).all()
        assert (detector.explain(rows).argmax(axis=1) == 1).all()


def test_few_rows_are_said_to_be_too_few():
    x = np.random.default_rng(0).normal(size=(12, 3))
    with pytest.warns(
        UserWarning, match=r"12 held-out rows cannot tell a false-positive rate of 0\.05"
    ):
        detector = AutoencoderDetector(**SMALL).fit(x)
    assert (detector.predict(100 + x) == 1).all()
    assert (AutoencoderDetector(false_positive_rate=0.1, **SMALL).fit(x).predict(x + 9) == -1).all()


def test_the_detector_learns_in_parts(cancer):
    x, test, truth = cancer
    detector = AutoencoderDetector(random_state=0)
    for part in np.array_split(x, 3):
        detector.partial_fit(part)
    assert detector.calibration_scores_.shape == (180,)
    assert roc_auc(truth, -detector.score_samples(test)) > 0.93
    assert 0 < (detector.predict(test[~truth]) == -1).mean() < 0.15
    fitted = AutoencoderDetector(**SMALL).fit(x)
    for row in x[:5]:
        fitted.partial_fit(row[None])
    assert fitted.calibration_scores_.shape == (185,)
    assert sorted(fitted._recent_fold[-5:]) == [0, 1, 2, 3, 4]  # each network held out one
    single = AutoencoderDetector(folds=1, **SMALL).fit(x)
    for row in x[:5]:
        single.partial_fit(row[None])
    assert single.calibration_scores_.shape == (36 + 1,)


def test_warm_start_keeps_the_networks(cancer):
    warm = AutoencoderDetector(warm_start=True, **SMALL).fit(cancer[0])
    networks = [member.model_ for member in warm.members_]
    warm.fit(cancer[0])
    assert [member.model_ for member in warm.members_] == networks


def test_constant_rows_and_copies():
    """Nothing divides by zero where columns, or all rows, are equal."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(10, 4)), 5, axis=0)
    x[:, 2] = 7.0
    detector = AutoencoderDetector(**SMALL).fit(x)
    assert np.isfinite(detector.score_samples(x)).all()
    odd = x[:1] + [0, 0, 10.0, 0]
    assert detector.predict(odd) == -1
    assert detector.explain(odd).argmax() == 2
    still = AutoencoderDetector(**SMALL).fit(np.ones((30, 2)))
    assert list(still.predict([[1.0, 1.0], [1.0, 2.0]])) == [1, -1]


def test_the_score_by_its_definition():
    rng = np.random.default_rng(0)
    z, r = rng.normal(size=(50, 2)), 0.1 * rng.normal(size=(50, 3))
    u, normal = np.c_[z, r], NormalRows(z, r)
    c = 2 * np.quantile(np.abs(u), 0.95, axis=0)

    def drawn_in(u):
        return np.where(np.abs(u) > c, np.sign(u) * c * (1 + np.log(np.abs(u) / c)), u)

    u, given = drawn_in(u), rng.normal(size=(7, 5))
    C, new = np.cov(u.T, bias=True), drawn_in(given)
    P = np.linalg.inv(C + 0.03 * np.trace(C) / 3 * np.eye(5))
    m2 = np.einsum("ni,ij,nj->n", new - u.mean(axis=0), P, new - u.mean(axis=0))
    near = np.sort(np.square(new[:, None] - u).sum(axis=2), axis=1)
    wanted = (m2 * near[:, :5].mean(axis=1) * near[:, 0]) ** (1 / 3)
    assert np.allclose(np.exp(normal.log_score(given[:, :2], given[:, 2:])), wanted)
    assert (new != given).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("wide", [3, 40])  # few columns are searched in a tree, many by products
def test_a_row_is_not_its_own_neighbour(wide, dtype):
    rng = np.random.default_rng(0)
    z, r = rng.normal(size=(30, 2)).astype(dtype), rng.normal(size=(30, wide)).astype(dtype)
    normal = NormalRows(z, r)
    u = normal._drawn_in(np.c_[z, r].astype(np.float64))
    D = np.square(u[:, None] - u).sum(axis=2)
    near, which = normal._others(np.nextafter(u.astype(dtype), 9, dtype=dtype).astype(np.float64))
    assert np.allclose(near, np.sort(D, axis=1)[:, 1:6], rtol=1e-4)
    assert not (which == np.arange(30)[:, None]).any()


def test_one_call_fits_and_judges_the_same_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 6))
    x[7] += 5
    detector = AutoencoderDetector(contamination=1 / 60, **SMALL)
    assert list(np.flatnonzero(detector.fit_predict(x) == -1)) == [7]
    score = -detector.score_samples(x)
    assert score.min() > 0.05 * np.median(score)  # none counts as its own neighbour


def test_the_readmes_program(capsys):
    pytest.importorskip("pandas")
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n([^`]*AutoencoderDetector[^`]*)```", readme)
    names: dict = {}
    exec(compile(program, "README.md", "exec"), names)
    rates = [
        (names["detector"].predict(names[rows]) == -1).mean() for rows in ("malignant", "benign")
    ]
    assert np.allclose(rates, [0.73, 0.03], atol=0.03)
    assert "area error" in capsys.readouterr().out


# --- what is wrong is said -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent_dim": 0}, "latent_dim"),
        ({"latent_dim": 1.5}, "share of the variance"),
        ({"latent_dim": None}, "latent_dim"),
        ({"hidden_units": 64}, r"pass e\.g\. \(64,\)"),
        ({"hidden_units": None}, r"pass e\.g\. \(64,\)"),
        ({"hidden_units": (0,)}, "hidden_units"),
        ({"scaling": "robust"}, "scaling is 'robust'"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"patience": 0}, "patience"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"validation_fraction": "some"}, "validation_fraction is 'some'"),
        ({"learning_rate": -1.0}, "learning_rate|rate"),
    ],
)
@each_estimator
def test_bad_settings_are_named_and_nothing_is_lost(kind, settings, message, iris):
    estimator = kind(**SMALL).fit(iris)
    before = estimator.score_samples(iris)
    estimator.set_params(**settings)
    for learn in (estimator.fit, clone(estimator).fit, clone(estimator).partial_fit):
        with pytest.raises((ValueError, TypeError), match=message):
            learn(iris)
    assert (estimator.score_samples(iris) == before).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 0}, "folds"),
        ({"epochs": 0}, "^AutoencoderDetector: epochs is 0"),
        ({"false_positive_rate": 0.0}, "false_positive_rate"),
        (
            {"contamination": 0.6},
            r"contamination is 0\.6, expected None or a share between 0 and 0\.5",
        ),
        ({"contamination": "auto"}, "contamination is 'auto'"),
        ({"false_positive_rate": 1.0}, "false_positive_rate is 1.0, expected a share"),
        ({"noise": -1.0}, "GaussianNoise"),
        ({"noise": "much"}, "noise is 'much', expected a number"),
    ],
)
def test_bad_settings_of_the_detector(settings, message, iris):
    with pytest.raises((ValueError, TypeError), match=message):
        AutoencoderDetector(**settings).fit(iris)


@each_estimator
def test_bad_rows(kind, iris):
    with pytest.raises(NotFittedError):
        kind().score_samples(iris)
    estimator = kind(**SMALL).fit(iris)
    with pytest.raises(ValueError, match="features"):
        estimator.score_samples(iris[:, :3])
    holes = iris.copy()
    holes[3, 1] = np.nan
    for use in (estimator.score_samples, estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match="NaN"):
            use(holes)


def test_codes_of_another_size(iris):
    with pytest.raises(ValueError, match="Z has 3 columns, expected 2"):
        AutoencoderTransformer(2, **SMALL).fit(iris).inverse_transform(np.zeros((4, 3)))


def test_far_values_are_drawn_in_and_stay_in_order():
    """Within twice what 95 % of normal rows have nothing changes; beyond, farther is still farther."""
    from tinyae.sklearn.distance import NormalRows

    rng = np.random.default_rng(0)
    z, r = rng.normal(size=(400, 2)), rng.standard_t(2, size=(400, 3))
    normal = NormalRows(z, r)
    c = 2 * np.quantile(np.abs(np.concatenate([z, r], axis=1)), 0.95, axis=0)
    line = np.linspace(-50, 50, 4001)[:, None] * np.ones(5)
    inward = normal._drawn_in(line)
    assert (np.diff(inward, axis=0) > 0).all()
    inside = np.abs(line) <= c
    assert (inward[inside] == line[inside]).all()
    assert (np.abs(inward[~inside]) < np.abs(line[~inside])).all()
    assert np.allclose(normal._drawn_in((np.e * c)[None]), 2 * c)  # c + c ln e
    assert (np.abs(np.diff(inward, axis=0)) <= np.diff(line, axis=0) + 1e-12).all()  # no jump
    still = NormalRows(z, np.zeros((400, 3)))  # where all normal rows have 0 nothing is drawn in
    assert (still._drawn_in(np.full((1, 5), 9.0))[:, 2:] == 9).all()


# --- weights and order ----------------------------------------------------------------------------


@each_estimator
def test_rows_may_come_in_any_order(kind, iris):
    order = np.random.default_rng(0).permutation(len(iris))
    first, second = kind(**SMALL).fit(iris), kind(**SMALL).fit(iris[order])
    assert (first.score_samples(iris) == second.score_samples(iris)).all()
    if kind is AutoencoderDetector:
        scores = first.calibration_scores_[order], second.calibration_scores_
        assert (np.sort(scores[0]) == np.sort(scores[1])).all()
        assert (scores[0] == scores[1]).mean() > 0.9  # equal rows may change places


@pytest.mark.filterwarnings(TOO_FEW)
@each_estimator
def test_a_weight_of_two_is_a_row_that_is_there_twice(kind, iris):
    """Also where weights are shares: then on average over the epochs, and in units and axes exactly."""
    w = np.random.default_rng(0).integers(0, 3, len(iris))
    weighted = kind(**SMALL).fit(iris, sample_weight=w)
    repeated = kind(**SMALL).fit(np.repeat(iris, w, axis=0))
    assert (weighted.score_samples(iris) == repeated.score_samples(iris)).all()
    members = ("members_", 0) if kind is AutoencoderDetector else ()
    if members:
        scores = repeated.calibration_scores_
        assert (np.sort(weighted.calibration_scores_) == np.sort(scores)).all()
        return
    shares = kind(**SMALL).fit(iris, sample_weight=w / 3)
    assert np.allclose(shares.scaler_.shift, weighted.scaler_.shift)
    assert np.allclose(shares.scaler_.scale, weighted.scaler_.scale)
    assert shares.score(iris, sample_weight=w) == pytest.approx(
        weighted.score(iris, None, w), abs=0.2
    )
    assert shares.score(iris, sample_weight=w) == pytest.approx(
        shares.score(np.repeat(iris, w, axis=0))
    )


@each_estimator
def test_weights_reach_partial_fit_and_pipelines(kind, iris):
    from sklearn.pipeline import make_pipeline

    w = np.r_[np.ones(100), np.zeros(len(iris) - 100)]
    first = kind(**SMALL).partial_fit(iris, sample_weight=w)
    second = kind(**SMALL).partial_fit(iris[:100])
    assert (first.score_samples(iris) == second.score_samples(iris)).all()
    pipeline = make_pipeline(StandardScaler(), kind(**SMALL))
    pipeline.fit(iris, **{f"{kind.__name__.lower()}__sample_weight": w})
    alone = kind(**SMALL).fit(StandardScaler().fit(iris).transform(iris[:100]))
    some = StandardScaler().fit(iris).transform(iris)
    assert (pipeline[-1].score_samples(some) == alone.score_samples(some)).all()


@each_estimator
def test_weights_that_cannot_be_are_refused(kind, iris):
    for w, says in (
        (-np.ones(len(iris)), "[Nn]egative"),
        (np.ones(3), "sample_weight"),
        (np.r_[1, np.zeros(len(iris) - 1)], "with sample_weight 1 row of 150 count"),
    ):
        with pytest.raises(ValueError, match=says):
            kind(**SMALL).fit(iris, sample_weight=w)


def test_a_detector_takes_weights_that_are_shares(cancer):
    """Rows that hardly count are not what is usual."""
    normal, rows, odd = cancer
    x = np.concatenate([normal, rows[odd][:60]])
    w = np.r_[np.full(len(normal), 0.7), np.full(60, 1e-3)]
    settings = {**SMALL, "epochs": 3}
    fitted = AutoencoderDetector(**settings).fit(x, sample_weight=w)
    plain = AutoencoderDetector(**settings).fit(x)
    auc = [ta.metrics.roc_auc(odd, -d.score_samples(rows)) for d in (fitted, plain)]
    assert auc[0] > auc[1]
    assert len(fitted.calibration_scores_) == len(x)


# --- runs that survive ----------------------------------------------------------------------------


class Died(BaseException):
    """In place of a kill, which tests/test_attack.py does to real processes."""


@pytest.mark.parametrize("patience", [None, 50])
@pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderDetector])
def test_a_fit_that_died_goes_on_to_the_same_bits(kind, patience, iris, tmp_path, monkeypatch):
    from tinyae.training import loop

    write, left = loop.write_checkpoint, []

    def write_and_die(*arguments):
        write(*arguments)
        left.pop()
        if not left:
            raise Died

    settings = {"random_state": 3, "epochs": 8, "hidden_units": (3,), "patience": patience}
    if kind is AutoencoderDetector:
        settings |= {"folds": 2, "contamination": 0.1}
    expected = kind(2, **settings).fit(iris).score_samples(iris)
    file = tmp_path / "c.npz"
    monkeypatch.setattr(loop, "write_checkpoint", write_and_die)
    for writes in (1, 2, 4):  # epochs; of the detector, once in its second network at least
        left[:] = [None] * writes
        with pytest.raises(Died):
            kind(2, checkpoint=file, **settings).fit(iris)
    monkeypatch.setattr(loop, "write_checkpoint", write)
    with pytest.raises(
        ValueError, match=r"is of another training.*data: x was.*Delete it"
    ) as caught:
        kind(2, checkpoint=file, **settings).fit(iris[1:])
    assert "accept_changes" not in str(caught.value)
    again = kind(2, checkpoint=file, **settings).fit(iris)
    assert (again.score_samples(iris) == expected).all()
    assert not list(tmp_path.iterdir())  # it is done


@each_estimator
def test_a_checkpoint_needs_a_second_process_to_begin_as_the_first(kind, iris, tmp_path):
    for wrong in ({"random_state": None}, {"random_state": 0, "warm_start": True}):
        with pytest.raises(ValueError, match=r"random_state is .* expected an int and False"):
            kind(**{**SMALL, **wrong}, checkpoint=tmp_path / "c.npz").fit(iris)
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        kind(**SMALL, checkpoint=tmp_path / "none" / "c.npz").fit(iris)


def test_no_more_folds_than_rows_and_one_warning_of_few(iris):
    settings = {**SMALL, "false_positive_rate": 0.2}
    detector = AutoencoderDetector(folds=10, **settings).fit(iris[:6])
    assert len(detector.members_) == 6
    assert len(detector.calibration_scores_) == 6
    detector = AutoencoderDetector(folds=3, **{**settings, "false_positive_rate": 0.01})
    with pytest.warns(UserWarning, match="so no row will be flagged"):
        detector.partial_fit(iris[:30])
    for start in range(30, 150, 30):
        detector.partial_fit(iris[start : start + 30])  # warnings are errors here
    assert np.isfinite(detector.threshold_)
