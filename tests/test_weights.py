"""Features and samples that count more or less, and layers that do not learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.data.batches import batches, drawn
from tinyae.metrics import PCA
from tinyae.scaling import Scaler
from tinyae.twin import watching

LOSSES = [ta.MSE(), ta.L1(), ta.Huber(0.5), ta.BCE(), ta.BCEWithLogits()]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)


def in_range(loss: ta.losses.Loss, shape: tuple[int, ...], seed: int = 0):
    rng = np.random.default_rng(seed)
    y = rng.uniform(0.05, 0.95, shape) if loss.output_range else rng.normal(size=shape)
    return y, rng.uniform(size=shape), rng


# --- features -------------------------------------------------------------------------------------


@each_loss
def test_elements_are_what_a_loss_is_the_mean_of(loss):
    y, target, _ = in_range(loss, (4, 3, 2))
    L, dy = loss(y, target)
    each, slope = loss.elements(y, target)
    assert each.mean() == pytest.approx(L, rel=1e-12)
    np.testing.assert_allclose(slope / y.size, dy, rtol=1e-12)


@each_loss
@given(st.integers(1, 4), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.data())
def test_a_weighted_loss_weighs_each_feature(loss, n, sample, data):
    own = tuple(data.draw(st.sampled_from([1, size])) for size in sample)
    own = own[data.draw(st.integers(0, len(own))) :]
    y, target, rng = in_range(loss, (n, *sample), data.draw(st.integers(0, 99)))
    w = rng.uniform(0.1, 3, own)
    weighted = ta.WeightedLoss(loss, w)
    L, dy = weighted(y, target)
    each, slope = loss.elements(y, target)
    assert pytest.approx((np.broadcast_to(w, y.shape) * each).mean()) == L
    np.testing.assert_allclose(dy, np.broadcast_to(w, y.shape) * slope / y.size)
    assert gradcheck.check_loss(weighted, y, target).ok
    assert weighted.unweighted is loss
    np.testing.assert_array_equal(weighted.prediction(y), loss.prediction(y))
    y32 = y.astype(np.float32)
    assert weighted(y32, target.astype(np.float32))[1].dtype == np.float32


def test_a_weight_of_one_changes_nothing_and_of_zero_all():
    y, target, _ = in_range(ta.MSE(), (5, 3))
    L, dy = ta.WeightedLoss(ta.MSE(), np.ones(3))(y, target)
    plain, dplain = ta.MSE()(y, target)
    assert pytest.approx(plain) == L
    np.testing.assert_allclose(dy, dplain)
    L, dy = ta.WeightedLoss(ta.MSE(), [1, 0, 1])(y, target)
    assert pytest.approx(np.square(y - target)[:, [0, 2]].sum() / y.size) == L
    assert not dy[:, 1].any()
    assert dy[:, [0, 2]].all()


def test_the_best_linear_model_is_pca_of_the_weighted_features():
    """Closed form: in units of √w the weighted error is the plain one, so PCA there is the optimum."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    x -= x.mean(axis=0)
    w = rng.uniform(0.1, 4, 5)
    V = PCA(2).fit(x * np.sqrt(w)).components_
    encoder, decoder = (ta.Dense(*sizes, rng=rng, dtype=np.float64) for sizes in ((5, 2), (2, 5)))
    encoder.W.value[...] = V * np.sqrt(w)
    decoder.W.value[...] = V.T / np.sqrt(w)[:, None]
    model = ta.Autoencoder(encoder, decoder, ta.WeightedLoss(ta.MSE(), w))
    best = model.backprop(x)["total"]
    for name, p in model.params.items():
        np.testing.assert_allclose(p.grad, 0, atol=1e-12, err_msg=name)
    plain = ta.Autoencoder(encoder, decoder, ta.MSE())
    for p in plain.params.values():
        p.grad[...] = 0
    plain.backprop(x)
    assert any(np.abs(p.grad).max() > 1e-3 for p in plain.params.values())
    decoder.W.value[0, 0] += 0.01
    assert model.objective(x)["total"] > best


def test_a_weighted_model_is_saved_compiled_and_exported(tmp_path):
    rng = np.random.default_rng(0)
    parts = ta.dense_encoder_decoder((4,), [5, 2], output=None, rng=rng)
    loss = ta.WeightedLoss(ta.BCEWithLogits(), [1, 2, 0, 0.5])
    model = ta.Autoencoder(*parts, loss)
    x = rng.uniform(size=(40, 4)).astype(np.float32)
    ta.fit(model, x, epochs=2, progress=False)
    model.save(tmp_path / "m.npz")
    again = ta.load(tmp_path / "m.npz")
    assert again.evaluate(x) == model.evaluate(x)
    np.testing.assert_array_equal(again.loss.weights, [1, 2, 0, 0.5])
    y = model.reconstruct(x)
    assert y.min() > 0
    assert y.max() < 1  # σ(y), as of the loss that is weighed
    np.testing.assert_allclose(model.compile()(x), y, rtol=1e-4)
    model.export_c(tmp_path / "m.h")
    with pytest.raises(TypeError, match="no gradient of WeightedLoss"):
        model.export_c(tmp_path / "t.h", train="sgd")
    assert "WeightedLoss(BCEWithLogits(), weights of shape (4,))" in repr(model)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ([1, -1], "negative, NaN or infinite"),
        ([np.nan, 1], "negative, NaN or infinite"),
        ([0, 0], "all are 0"),
    ],
)
def test_weights_of_features_that_cannot_be_are_refused(weights, says):
    with pytest.raises(ValueError, match=says):
        ta.WeightedLoss(ta.MSE(), weights)


def test_weights_must_fit_a_sample():
    loss = ta.WeightedLoss(ta.MSE(), [1, 2, 3])
    with pytest.raises(ValueError, match=r"weights has shape \(3,\), a sample \(2,\)"):
        loss(np.zeros((4, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"weights has shape \(3,\), a sample \(\)"):
        loss(np.zeros(3), np.zeros(3))
    with pytest.raises(TypeError, match="expected a Loss"):
        ta.WeightedLoss("mse", [1])
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(*ta.dense_encoder_decoder((2,), [1], output=None, rng=rng), loss)
    with pytest.raises(ValueError, match="WeightedLoss: weights has shape"):
        ta.fit(model, rng.normal(size=(8, 2)), progress=False)


# --- samples --------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 5), min_size=1, max_size=30), st.integers(0, 99))
def test_a_row_is_drawn_as_often_as_its_weight_says(weights, seed):
    w = np.array([*weights, 1.0])
    rows = drawn(w, np.random.default_rng(seed))
    times, expected = np.bincount(rows, minlength=len(w)), w / w[w > 0].mean()
    assert len(rows) == (w > 0).sum()
    assert (times >= np.floor(expected - 1e-6)).all()
    assert (times <= np.ceil(expected + 1e-6)).all()
    assert not times[w == 0].any()


def test_on_average_a_row_is_drawn_exactly_as_often():
    w, rng = np.array([0.3, 2.5, 1, 0, 1.2]), np.random.default_rng(0)
    times = sum(np.bincount(drawn(w, rng), minlength=5) for _ in range(4000)) / 4000
    np.testing.assert_allclose(times, w / w[w > 0].mean(), atol=0.03)
    twice = drawn(np.array([1.0, 1, 0, 2, 0.0]) / 4 * 3, rng)  # of mean 1: no chance is left
    assert len(twice) == 3


def test_the_gradient_is_on_average_that_of_the_weighted_loss():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(6, 4)), np.array([0.5, 2, 0, 1, 1, 1.5])
    parts = ta.dense_encoder_decoder((4,), [2], rng=rng, dtype=np.float64)
    model = ta.Autoencoder(*parts, ta.MSE())

    def gradient(rows, weight=1.0):
        for p in model.params.values():
            p.grad[...] = 0
        model.backprop(rows)
        return {name: weight * p.grad for name, p in model.params.items()}

    each = [gradient(row[None], weight / w.sum()) for row, weight in zip(x, w)]
    draws = 3000
    means = dict.fromkeys(model.params, 0.0)
    for _ in range(draws):
        (batch,) = batches(x, 9, rng, sample_weight=w)
        for name, g in gradient(batch).items():
            means[name] = means[name] + g / draws
    for name in model.params:
        np.testing.assert_allclose(means[name], sum(g[name] for g in each), atol=0.02)


def small(seed: int = 0) -> ta.Autoencoder:
    rng = np.random.default_rng(seed)
    return ta.Autoencoder(*ta.dense_encoder_decoder((4,), [6, 2], output=None, rng=rng), ta.MSE())


def test_rows_of_weight_zero_teach_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4)).astype(np.float32)
    w = np.r_[np.ones(40), np.zeros(10)]
    other = x.copy()
    other[40:] += 9
    models = [small(), small()]
    for model, rows in zip(models, (x, other)):
        history = ta.fit(model, rows, epochs=3, sample_weight=w, progress=False)
    for name, p in models[0].params.items():
        np.testing.assert_array_equal(p.value, models[1].params[name].value)
    assert len(history) == 3


def test_weights_move_the_model_to_what_counts():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    x[:200, :2] *= 0.05
    x[200:, 2:] *= 0.05  # each half has a plane of its own
    errors = []
    for w in (np.r_[np.ones(200), np.full(200, 0.01)], np.r_[np.full(200, 0.01), np.ones(200)]):
        model = small()
        ta.fit(model, x, epochs=40, optimizer=ta.Adam(0.01), sample_weight=w, progress=False)
        errors.append(model.score(x).reshape(2, 200).mean(axis=1))
    assert errors[0][0] < 0.5 * errors[0][1]
    assert errors[1][1] < 0.5 * errors[1][0]


def test_a_weighted_training_goes_on_to_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(50, 4)).astype(np.float32), rng.uniform(0, 3, 50)
    whole, half = small(), small()
    settings = {"sample_weight": w, "progress": False, "batch_size": 16}
    ta.fit(whole, x, epochs=4, **settings)
    ta.fit(half, x, epochs=2, checkpoint=tmp_path / "c.npz", **settings)
    again = small(7)
    with pytest.raises(ValueError, match=r"settings: sample_weight was array \(50,\)"):
        ta.fit(again, x, epochs=4, resume=tmp_path / "c.npz", **settings | {"sample_weight": w + 1})
    ta.fit(again, x, epochs=4, resume=tmp_path / "c.npz", **settings)
    for name, p in whole.params.items():
        np.testing.assert_array_equal(p.value, again.params[name].value)


@pytest.mark.parametrize(
    ("x", "w", "error", "says"),
    [
        (np.zeros((5, 4)), np.ones(4), ValueError, r"shape \(4,\), expected \(5,\)"),
        (np.zeros((5, 4)), np.ones((5, 1)), ValueError, r"shape \(5, 1\), expected \(5,\)"),
        (np.zeros((5, 4)), [1, 1, 1, 1, -1], ValueError, "negative, NaN or infinite"),
        (np.zeros((5, 4)), np.zeros(5), ValueError, "all are 0"),
        (np.zeros((5, 4)), ["a"] * 5, TypeError, "expected real numbers"),
        ([np.zeros((5, 4))], np.ones(5), TypeError, "sample_weight is for the rows of arrays"),
    ],
)
def test_weights_of_samples_that_cannot_be_are_refused(x, w, error, says):
    model = small()
    before = {name: p.value.copy() for name, p in model.params.items()}
    with pytest.raises(error, match=says):
        ta.fit(model, x, sample_weight=w, progress=False)
    for name, p in model.params.items():
        np.testing.assert_array_equal(p.value, before[name])


@pytest.mark.parametrize("shape", [(30, 4), (6, 40)])
def test_pca_and_units_of_weighted_rows_are_those_of_repeated_ones(shape):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.integers(0, 4, shape[0])
    again = np.repeat(x, w, axis=0)
    a, b = PCA(3).fit(x, sample_weight=w), PCA(3).fit(again)
    for name in ("mean_", "components_", "explained_variance_", "explained_variance_ratio_"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-12, err_msg=name)
    one, two = Scaler.standard(x, w), Scaler.standard(again)
    np.testing.assert_allclose(one.shift, two.shift, atol=1e-12)
    np.testing.assert_allclose(one.scale, two.scale)
    images = rng.normal(size=(shape[0], 2, 3, 3))
    one, two = Scaler.standard(images, w), Scaler.standard(np.repeat(images, w, axis=0))
    np.testing.assert_allclose(one.shift, two.shift, atol=1e-12)
    np.testing.assert_allclose(one.scale, two.scale)
    for kind in (PCA(1).fit, Scaler.standard):
        with pytest.raises(ValueError, match="sample_weight has shape"):
            kind(x, sample_weight=w[:-1])


# --- frozen layers --------------------------------------------------------------------------------


class Counted(ta.Dense):
    """A Dense that counts its backward passes."""

    calls: list[str]

    def backward(self, dy, cache):
        self.calls.append("backward")
        return super().backward(dy, cache)

    def backward_params(self, dy, cache):
        self.calls.append("backward_params")
        super().backward_params(dy, cache)


def counting(kind=ta.Autoencoder, **more):
    rng = np.random.default_rng(0)
    sizes = [(6, 5), (5, 4), (4, 2)]
    layers = [Counted(*size, rng=rng) for size in sizes]
    for layer in layers:
        layer.calls = []
    parts = [part for layer in layers for part in (layer, ta.Tanh())]
    decoder = ta.Sequential(ta.Dense(2, 6, rng=rng))
    return kind(ta.Sequential(*parts[:-1]), decoder, ta.MSE(), **more), layers


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (ta.Autoencoder, {}),
        (ta.DenoisingAutoencoder, {"corruption": ta.GaussianNoise(0.1)}),
        (ta.SparseAutoencoder, {"penalty": ta.L1Sparsity(0.1)}),
    ],
)
def test_backward_goes_no_further_than_the_first_layer_that_learns(kind, more):
    x = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)
    found = []
    for frozen in range(4):
        model, layers = counting(kind, **more)
        for layer in layers[:frozen]:
            layer.freeze()
        model.backprop(x, np.random.default_rng(0))
        found.append([layer.calls for layer in layers])
    first, then = ["backward_params"], ["backward"]
    assert found == [[first, then, then], [[], first, then], [[], [], first], [[], [], []]]


@pytest.mark.parametrize("n", [8, 40])
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_layers_stay_and_the_others_learn_as_before(n, frozen):
    """The gradients of what learns do not depend on what is frozen before it, whatever twin runs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    parts = ta.dense_encoder_decoder((6,), [5, 4, 2], activation=ta.Tanh, output=None, rng=rng)
    model = ta.Autoencoder(*parts, ta.MSE())
    model.backprop(x)
    whole = {name: p.grad.copy() for name, p in model.params.items()}
    dense = [layer for layer in model.encoder.layers if isinstance(layer, ta.Dense)]
    for layer in dense[:frozen]:
        layer.freeze()
    for p in model.params.values():
        p.grad[...] = 0
    with watching() as used:
        model.backprop(x)
    assert ("Autoencoder.step" in used) == (n == 40 and not frozen)
    for name, p in model.params.items():
        if p.trainable:
            np.testing.assert_allclose(p.grad, whole[name], rtol=1e-4, atol=1e-6, err_msg=name)
        else:
            assert not p.grad.any()
    before = {name: p.value.copy() for name, p in model.params.items()}
    ta.fit(model, x, epochs=1, progress=False)
    for name, p in model.params.items():
        assert (p.value == before[name]).all() != p.trainable, name


def test_a_frozen_model_passes_its_gradient_check():
    model, layers = counting()
    layers[0].freeze()
    x = np.random.default_rng(1).normal(size=(5, 6))
    report = gradcheck.check_model(model, x)
    assert report.ok, report


# --- what the model carries, and gaps -------------------------------------------------------------


def test_the_fill_of_gaps_is_saved_and_exported(tmp_path):
    model = small()
    model.fill = [1.5, -2, 0, 1e4]
    model.columns = ["a", "b", "c", "d"]
    model.save(tmp_path / "m.npz")
    again = ta.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.fill, [1.5, -2, 0, 1e4])
    header = tmp_path / "m.h"
    again.export_c(header, "ae")
    assert "#define AE_FILL {1.5f, -2.0f, 0.0f, 10000.0f}" in header.read_text()
    again.export_c(header, "ae", part="decoder")
    assert "AE_FILL" not in header.read_text()
    for bad in ([np.nan, 1, 2, 3], 3.0):
        with pytest.raises(ValueError, match="expected a finite number"):
            model.fill = bad
    model.fill = None
    assert model.fill is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("use", ["encode", "reconstruct", "score", "reconstruction_error"])
def test_a_row_that_cannot_be_used_is_named(use, bad):
    model = small()
    x = np.random.default_rng(0).normal(size=(3000, 4))
    assert np.isfinite(getattr(model, use)(x)).all()
    x[2500, 2] = bad
    with pytest.raises(ValueError, match=rf"Autoencoder: x has {bad} at \(2500, 2\), expected"):
        getattr(model, use)(x)
    model.columns = ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="row 2500 of column 'c'"):
        getattr(model, use)(x)
    with pytest.raises(ValueError, match=r"z has nan at \(1, 0\)"):
        model.decode(np.array([[0, 1], [np.nan, 0]]))


def test_large_numbers_are_no_gaps():
    model = small()
    x = np.full((2000, 4), 1e36, np.float32)  # whose sum is beyond float32
    assert np.isfinite(model.encode(x)).all()


def test_the_means_to_fill_with_do_not_touch_gaps():
    from tinyae.data.columns import TableOptions, read_columns

    text = "a,b\n1,2\n,4\n3,\n"
    rows = read_columns(text, TableOptions(missing="mean"), "t.csv")
    np.testing.assert_array_equal(rows.x, [[1, 2], [2, 4], [3, 3]])
    np.testing.assert_array_equal(rows.gaps, [[0, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(rows.means(), [2, 3])
    rows.fill(np.array([10.0, 20.0]))
    np.testing.assert_array_equal(rows.x, [[1, 2], [10, 4], [3, 20]])
    np.testing.assert_array_equal(rows.means(), [2, 3])
    rows = read_columns(text, TableOptions(missing="mean", fill=[7, 8]), "t.csv")
    np.testing.assert_array_equal(rows.x, [[1, 2], [7, 4], [3, 8]])
    with pytest.raises(ValueError, match="has 2 columns of data, and the model carries 1 mean"):
        read_columns(text, TableOptions(missing="mean", fill=[7]), "t.csv")


@pytest.mark.parametrize(
    ("column", "labels", "classes"),
    [
        (["0", "1", "0", "1"], [0, 1, 0, 1], None),
        (["0", "", "1", "NaN"], [0, 2, 1, 2], ["0", "1", "missing"]),
        (["7", "", "5.0", "5"], [1, 2, 0, 0], ["5", "7", "missing"]),
        (["ok", "", "bad", "ok"], [2, 1, 0, 2], ["bad", "missing", "ok"]),
        (["0.5", "", "1", "1"], [0, 2, 1, 1], ["0.5", "1", "missing"]),
    ],
)
def test_a_label_with_gaps_has_a_class_for_them(column, labels, classes):
    from tinyae.data.columns import TableOptions, read_columns

    text = "a,label\n" + "".join(f"{k},{cell}\n" for k, cell in enumerate(column))
    rows = read_columns(text, TableOptions(label="label"), "t.csv")
    assert rows.y.dtype.kind == "i"
    assert (rows.y.tolist(), rows.classes) == (labels, classes)
    gaps = sum(cell in ("", "NaN") for cell in column)
    told = [note for note in rows.notes if "class 'missing'" in note]
    assert len(told) == bool(gaps)
    if gaps:
        assert f"{gaps} gap" in told[0]
