"""What comes in as an array of numbers: nothing is dropped without a word."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae import arrays, kernels
from tinyae.arrays import lost_by_rounding

X = np.random.default_rng(0).random((20, 4), dtype=np.float32)


def model(output: Any = ta.Sigmoid) -> ta.Autoencoder:
    pair = ta.dense_encoder_decoder((4,), [3], output=output, rng=np.random.default_rng(0))
    return ta.Autoencoder(*pair, ta.MSE())


def variational() -> ta.VariationalAutoencoder:
    parts = ta.dense_variational((4,), [3, 2], rng=np.random.default_rng(0))
    return ta.VariationalAutoencoder(*parts)


def fit(x: Any, **given: Any) -> ta.History:
    return ta.fit(model(None), x, epochs=1, progress=False, **given)


ENTRANCES: dict[str, Callable[[Any], Any]] = {
    "fit": fit,
    "fit, batches": lambda x: fit([X, x]),
    "fit, validation": lambda x: fit(X, validation=x),
    "fit, augment": lambda x: fit(X, augment=lambda batch, rng: x),
    "evaluate": lambda x: model().evaluate(x),
    "check_data": lambda x: model().check_data(x),
    "encode": lambda x: model().encode(x),
    "reconstruct": lambda x: model().reconstruct(x),
    "reconstruction_error": lambda x: model().reconstruction_error(x),
    "compiled": lambda x: model().compile()(x),
    "interpolate": lambda x: variational().interpolate(x, x, 3),
    "elbo": lambda x: variational().elbo(x),
    "loss": lambda x: ta.MSE()(X, x),
    "likelihood": lambda x: ta.Gaussian()(X, x),
    "Param": lambda x: ta.Param(x),
    "noise": lambda x: ta.GaussianNoise()(x, np.random.default_rng(0)),
    "binarize": lambda x: ta.Binarize()(x, np.random.default_rng(0)),
    "mse": lambda x: ta.metrics.mse(x, X),
    "PCA": lambda x: ta.metrics.PCA(2).fit(x),
    "gradcheck": lambda x: ta.gradcheck.check(ta.Dense(4, 2, rng=np.random.default_rng(0)), x),
    "explain": lambda x: ta.explain(model(), x),
    "diagnose": lambda x: ta.gradcheck.diagnose(ta.ReLU(), x),
    "page": lambda x: ta.plot.page(x),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_masked_array_is_refused_with_or_without_masked_entries(entrance: str) -> None:
    for mask in (X > 0.9, np.zeros_like(X, bool), np.ma.nomask):
        x = np.ma.array(X, mask=mask)
        with pytest.raises(TypeError, match=r"masked array, expected an array.*x\.filled"):
            ENTRANCES[entrance](x)


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("dtype", ["complex64", "complex128", "M8[s]", "m8[s]", "O", "U9", "S9"])
def test_what_are_no_real_numbers_is_refused(entrance: str, dtype: str) -> None:
    x = (X > 0.5).astype(dtype) if dtype[0] in "OUS" else X.astype(dtype)
    with pytest.raises((TypeError, ValueError)) as caught:
        ENTRANCES[entrance](x)
    assert "pass" in str(caught.value)


@pytest.mark.parametrize("entrance", ["encode", "reconstruct", "evaluate", "fit"])
@pytest.mark.parametrize("dtype", ["f2", "f8", "g", ">f4", ">f8", "u1", "i8", "?"])
def test_real_numbers_of_any_dtype_and_order_of_bytes_are_converted(
    entrance: str, dtype: str, kernel_set: str
) -> None:
    x = np.round(X).astype(dtype)

    def result(x: np.ndarray) -> np.ndarray:
        found = ENTRANCES[entrance](x)
        return np.array([found["total"]]) if isinstance(found, (dict, ta.History)) else found

    np.testing.assert_array_equal(result(x), result(x.astype(np.float32)))


@pytest.mark.parametrize(
    "loss", [ta.MSE(), ta.L1(), ta.Huber(), ta.BCE(), ta.BCEWithLogits(), ta.Laplace()]
)
@pytest.mark.parametrize("dtype", ["f2", "g", ">f4", ">f8", "i8", "u1"])
def test_a_loss_computes_in_float32_and_float64_only(loss: Any, dtype: str) -> None:
    x = np.round(X).astype(dtype)
    for name in ("numpy", "numba"):
        if name == "numba":
            pytest.importorskip("numba")
        with (
            kernels.use(name),
            pytest.raises(TypeError, match=r"expected float32 or float64; pass"),
        ):
            loss(x, x)


def test_weights_are_float32_or_float64_in_the_machine_s_order_of_bytes() -> None:
    for dtype in (">f4", ">f8", "<f4", "<f8"):
        p = ta.Param(np.ones(3, dtype), np.ones(3, dtype))
        assert p.dtype.isnative
        assert p.grad.dtype == p.dtype == np.dtype(dtype).newbyteorder("=")
        assert model().astype(dtype).dtype.isnative
    for dtype in ("f2", "g", "i8", "c8"):
        with pytest.raises(TypeError, match="expected float32 or float64"):
            ta.Param(np.ones(3, dtype))
        with pytest.raises(TypeError, match="expected float32 or float64"):
            ta.Dense(2, 3, rng=np.random.default_rng(0), dtype=dtype)
        with pytest.raises(TypeError, match="expected float32 or float64"):
            model().astype(dtype)


# ---- what float32 merges ---------------------------------------------------------------------------


@given(
    exponent=st.integers(24, 52),
    step=st.integers(1, 9),
    rows=st.integers(2, 40),
    column=st.booleans(),
)
def test_values_that_merge_are_told_and_others_are_not(exponent, step, rows, column):
    x = np.zeros((rows, 2))
    x[:, int(column)] = 2.0**exponent + step * np.arange(rows)
    merged = len(np.unique(x[:, int(column)].astype(np.float32))) < rows
    lost = lost_by_rounding(x, np.float32)
    assert (lost is not None) == merged
    if lost is not None:
        assert lost[0] == (int(column),)
        assert f"its {rows} different values become" in lost[1]
    assert lost_by_rounding(x, np.float64) is None
    assert lost_by_rounding(x.astype(np.int64), np.float32) == lost


@pytest.mark.parametrize(
    "column",
    [
        np.linspace(0, 1, 500),
        np.full(500, 0.1),
        np.arange(500) + 1e6,
        np.random.default_rng(0).normal(size=500) * 1e30,
        np.full(500, 2.0**24 + 1),
    ],
)
def test_rounding_as_usual_is_not_worth_a_word(column):
    assert lost_by_rounding(column[:, None], np.float32) is None


def test_training_warns_where_the_model_s_dtype_merges_values_and_refuses_what_overflows():
    x = np.random.default_rng(0).random((30, 2, 2))
    x[:, 1, 0] = 1_700_000_000 + np.arange(30)
    pair = ta.dense_encoder_decoder((2, 2), [2], output=None, rng=np.random.default_rng(0))
    net = ta.Autoencoder(*pair, ta.MSE())
    with pytest.warns(UserWarning, match=r"x\[:, 1, 0\] runs from 1700000000 to .* subtract"):
        net.check_data(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.astype(np.float64).check_data(x)
    whole = x.astype(np.int64)
    for use in (net.encode, net.reconstruct, net.evaluate):
        with pytest.warns(UserWarning, match=r"x\[:, 1, 0\] runs from 1700000000 to .* subtract"):
            use(whole)
    many = np.tile(whole, (100, 1, 1)) + np.arange(3000)[:, None, None]  # several chunks, batches
    for use in (net.reconstruct, net.evaluate, lambda x: ta.fit(net, x, epochs=2)):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            use(many)
        assert len(told) == 1
    x[3, 0, 0] = -1e39
    with pytest.raises(ValueError, match=r"reaches 1e\+39, beyond float32"):
        net.check_data(x)


# ---- a NaN is not made a number --------------------------------------------------------------------


def test_nan_is_drawn_as_nan():
    p = np.array([[0.0, np.nan, 1.0]] * 50, np.float32)
    rng = np.random.default_rng(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logits = np.log(p) - np.log1p(-p)
    for x in (ta.Binarize()(p, rng), ta.Bernoulli().sample(logits, rng)):
        np.testing.assert_array_equal(x, p)


def test_a_batch_of_nan_ends_a_training_with_binarised_data():
    net = variational()
    net.resample = ta.Binarize()
    with pytest.raises(ta.TrainingDiverged, match="batch 2: the loss is nan; the batch itself"):
        ta.fit(net, [X, np.full_like(X, np.nan)], epochs=1, progress=False)


def test_no_class_is_predicted_from_nan():
    net = ta.Classifier(ta.Dense(4, 3, rng=np.random.default_rng(0)))
    x = X.copy()
    x[7, 2] = np.nan
    with pytest.raises(ValueError, match=r"Classifier: x has nan at \(7, 2\)"):
        net.predict(x)
    net.network.b.value[1] = np.nan
    with pytest.raises(ValueError, match="row 0 of a batch is NaN"):
        net.predict(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_and_layers_give_nan_at_nan(dtype: Any, kernel_set: str) -> None:
    rng = np.random.default_rng(0)
    t, y = rng.random((2, 3, 4)).astype(dtype)
    y[1, 2] = np.nan
    likelihoods = [ta.Bernoulli(), ta.Gaussian(), ta.LearntGaussian(dtype=dtype), ta.Laplace()]
    for loss in (ta.MSE(), ta.L1(), ta.BCE(), ta.BCEWithLogits(), *likelihoods):
        for arguments in ((y, t), (t, y)):
            L, dy = loss(*arguments)
            assert np.isnan(L), loss
            np.testing.assert_array_equal(np.isnan(dy), np.isnan(y), str(loss))
    for penalty in (ta.L1Sparsity(), ta.KLSparsity()):
        value, dz = penalty(y)
        assert np.isnan(value)
        assert np.isnan(dz[1, 2])
    z, m = ta.TopK(2).forward(y)
    np.testing.assert_array_equal(np.isnan(z), np.isnan(y))
    np.testing.assert_array_equal(np.isnan(ta.TopK(2).backward(t, m)), np.isnan(y))
    image = y.reshape(1, 1, 3, 4)
    pooled, _ = ta.MaxPool2d((3, 2)).forward(image)
    np.testing.assert_array_equal(np.isnan(pooled[0, 0]), [[False, True]])
    warped = ta.RandomAffine()(np.concatenate([image, image * 0 + 1, t.reshape(1, 1, 3, 4)]), rng)
    assert np.isnan(warped[0]).all()  # it is clipped to the image's range
    assert np.isfinite(warped[2]).all()


def test_a_look_for_lost_values_reads_each_number_a_few_times_only(monkeypatch):
    """Data whose features are of usual ranges need no look at each column."""
    x = np.random.default_rng(0).random((300, 40)) * 1e3
    looked = []
    monkeypatch.setattr(arrays, "_loses", lambda column, *_: looked.append(len(column)))
    assert lost_by_rounding(x, np.float32) is None
    assert looked == []
    x[:, 7] += 1e9
    assert lost_by_rounding(x, np.float32) is None  # by this _loses
    assert looked == [300]


@pytest.mark.parametrize(
    ("shape", "do"),
    [
        ((2, 8, 9, 3), r"pass x.transpose\(0, 3, 1, 2\)"),
        ((2, 8, 9), r"pass x of shape \(N, 3, H, W\)"),
        ((2, 3, 9), r"pass x of shape \(N, 3, H, W\)"),
    ],
)
def test_pictures_that_do_not_fit_are_told_how_they_would(shape, do):
    layer = ta.Conv2d(3, 2, 3, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=do):
        layer(np.zeros(shape, np.float32))


def test_grey_pictures_and_signals_without_channels_are_told_how_they_would_fit():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"expected \(N, 1, H, W\); pass x\[:, None\]"):
        ta.Conv2d(1, 2, 3, rng=rng)(np.zeros((2, 8, 9), np.float32))
    with pytest.raises(ValueError, match=r"; pass x.transpose\(0, 2, 1\)"):
        ta.Conv1d(4, 2, 3, rng=rng)(np.zeros((2, 9, 4), np.float32))


def test_a_table_of_nullable_numbers_is_taken_and_its_gaps_are_found():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"a": [1, 2, 3], "b": [0.5, 1, 2]}).astype({"a": "Int64", "b": "Float32"})
    encoder, decoder = ta.dense_encoder_decoder(
        (2,), [1], output=None, rng=np.random.default_rng(0)
    )
    model = ta.Autoencoder(encoder, decoder, ta.MSE())
    np.testing.assert_array_equal(model.encode(x), model.encode(x.to_numpy(np.float64)))
    x.loc[1, "a"] = pandas.NA
    with pytest.raises(ValueError, match=r"x has nan at \(1, 0\)"):
        ta.fit(model, x, epochs=1, rng=0)


def test_a_table_of_one_value_is_told():
    encoder, decoder = ta.dense_encoder_decoder((2,), [1], rng=np.random.default_rng(0))
    model = ta.Autoencoder(encoder, decoder, ta.MSE())
    with pytest.warns(UserWarning, match="2 columns, the first of them 0, .* are constant"):
        ta.fit(model, np.ones((40, 2), np.float32), epochs=1, rng=0)
