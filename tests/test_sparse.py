"""Sparse codes: the two prices, the layer that needs none, and the model around them."""

import copy

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.layers.topk import TopK
from tinyae.models.builders import conv_pair, dense_pair
from tinyae.models.sparse import KLSparsity, L1Sparsity, Penalty, SparseAutoencoder

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 5)
code_shapes = st.one_of(st.tuples(sizes, sizes), st.tuples(sizes, sizes, sizes, sizes))
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
PENALTIES = L1Sparsity(0.3), KLSparsity(0.1, 0.7)
every_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=repr)


def make(penalty, shape=(1, 3, 4), units=(7, 4), **settings):
    settings.setdefault("code_activation", ta.Sigmoid)
    parts = dense_pair(shape, units, rng=np.random.default_rng(0), **settings)
    return SparseAutoencoder(*parts, ta.MSE(), penalty)


def images(n=5, shape=(1, 3, 4), dtype=np.float32):
    return np.random.default_rng(1).random((n, *shape)).astype(dtype)


# --- penalties --------------------------------------------------------------------------------


@every_penalty
@given(seed=seeds, shape=code_shapes)
def test_a_penalty_gives_its_gradient(penalty, seed, shape):
    z = np.random.default_rng(seed).uniform(0.02, 0.98, shape)
    if isinstance(penalty, L1Sparsity):
        z = z * np.random.default_rng(seed + 1).choice([-1, 1], shape)
    report = gradcheck.check_loss(lambda y, _: penalty(y), z, z)
    assert report.ok, report


@every_penalty
@both_dtypes
def test_a_penalty_keeps_dtype_shape_and_its_input(penalty, dtype):
    z = np.random.default_rng(0).random((4, 2, 3, 3)).astype(dtype)
    z.flags.writeable = False
    value, dz = penalty(z)
    assert type(value) is float
    assert (dz.dtype, dz.shape) == (dtype, z.shape)
    assert value == pytest.approx(penalty(z.astype(np.float64))[0], rel=1e-5)


@given(seed=seeds, shape=code_shapes)
def test_l1_is_the_size_of_a_sample(seed, shape):
    z = np.random.default_rng(seed).normal(size=shape)
    value, dz = L1Sparsity(0.3)(z)
    assert value == pytest.approx(0.3 * np.mean([np.abs(one).sum() for one in z]))
    np.testing.assert_allclose(dz, 0.3 / len(z) * np.sign(z))
    assert not L1Sparsity(0.3)(0 * z)[1].any()


@given(seed=seeds, target=st.floats(0.01, 0.99))
def test_kl_is_that_of_two_coins(seed, target):
    z = np.random.default_rng(seed).uniform(0.01, 0.99, (6, 3))
    p, q = np.array([target, 1 - target]), np.array([z.mean(axis=0), 1 - z.mean(axis=0)])
    kl = (p[:, None] * np.log(p[:, None] / q)).sum()
    assert KLSparsity(target, 2.5)(z)[0] == pytest.approx(2.5 * kl)


def test_kl_is_zero_at_its_target_and_only_there():
    z = np.array([[0.1, 0.0], [0.3, 0.4]])  # each unit 0.2 on average
    value, dz = KLSparsity(0.2)(z)
    assert value == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(dz, 0, atol=1e-14)
    more, up = KLSparsity(0.2)(z + 0.05)
    less, down = KLSparsity(0.2)(z[::-1] * 0.9)
    assert more > 0 < less
    assert (up > 0).all()
    assert (down < 0).all()


@pytest.mark.parametrize("n", [1, 2, 10, 100])
def test_each_sample_has_its_share_in_the_mean_activation(n):
    # The known mistake is to leave out the 1/N of ρ̂: right for one sample, N times too much else.
    z = np.full((n, 3), 0.25)
    _, dz = KLSparsity(0.05, 3.0)(z)
    slope = 3.0 * (-0.05 / 0.25 + 0.95 / 0.75)
    np.testing.assert_allclose(dz, slope / n)
    value = KLSparsity(0.05, 3.0)(z)[0]
    z[0, 1] += 1e-6  # one sample moves ρ̂ by a 1/n of its own change
    assert (KLSparsity(0.05, 3.0)(z)[0] - value) / 1e-6 == pytest.approx(slope / n, rel=1e-4)


@both_dtypes
def test_kl_is_safe_where_units_are_dead_or_always_on(dtype):
    z = np.stack([np.zeros(4), np.ones(4), np.full(4, 0.05)], axis=1).astype(dtype)
    value, dz = KLSparsity(0.05)(z)
    assert np.isfinite(value)
    assert np.isfinite(dz).all()
    assert (dz[:, 0] < 0).all()  # descent raises the dead unit
    assert (dz[:, 1] > 0).all()
    np.testing.assert_allclose(dz[:, 2], 0, atol=1e-6)


def test_a_place_in_an_image_is_a_unit():
    z = np.random.default_rng(0).uniform(0.1, 0.9, (6, 2, 3, 3))
    for penalty in PENALTIES:
        value, dz = penalty(z)
        flat, dflat = penalty(z.reshape(6, -1))
        assert value == pytest.approx(flat)
        np.testing.assert_allclose(dz.reshape(6, -1), dflat)


# --- TopK ---------------------------------------------------------------------------------------


@given(data=st.data(), seed=seeds, shape=code_shapes)
def test_exactly_the_k_largest_pass(data, seed, shape):
    x = np.random.default_rng(seed).normal(size=shape)
    rows = x.reshape(len(x), -1)
    k = data.draw(st.integers(1, rows.shape[1]))
    y = TopK(k)(x).reshape(rows.shape)
    for row, kept in zip(rows, y):
        largest = np.argsort(row)[-k:]
        np.testing.assert_array_equal(kept[largest], row[largest])
        assert np.count_nonzero(kept) == k


@given(data=st.data(), seed=seeds, shape=code_shapes)
def test_ties_still_leave_exactly_k_the_first_of_them(data, seed, shape):
    x = np.random.default_rng(seed).integers(1, 4, shape).astype(float)  # many are equal
    rows = x.reshape(len(x), -1)
    k = data.draw(st.integers(1, rows.shape[1]))
    wanted = np.zeros_like(rows)
    for row, kept in zip(rows, wanted):
        largest = np.argsort(-row, kind="stable")[:k]
        kept[largest] = row[largest]
    np.testing.assert_array_equal(TopK(k)(x).reshape(rows.shape), wanted)
    assert (np.count_nonzero(wanted, axis=1) == k).all()


@given(data=st.data(), seed=seeds, shape=code_shapes)
def test_the_gradient_passes_through_the_support(data, seed, shape):
    x = np.random.default_rng(seed).normal(size=shape)
    layer = TopK(data.draw(st.integers(1, x[0].size)))
    gaps = np.diff(np.sort(x.reshape(len(x), -1), axis=1), axis=1)
    assume(gaps.size == 0 or gaps.min() > 1e-2)  # at a tie the layer jumps
    assert gradcheck.check(layer, x).ok
    assert gradcheck.check_tangent(layer, x).ok
    y, m = layer.forward(x)
    dy = np.random.default_rng(seed + 1).normal(size=shape)
    np.testing.assert_array_equal(layer.backward(dy, m), np.where(y != 0, dy, 0))


@both_dtypes
def test_topk_keeps_dtype_and_input_and_reads_any_layout(dtype):
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(dtype)
    y, m = TopK(5).forward(x)
    assert (y.dtype, y.shape) == (dtype, x.shape)
    assert TopK(5).backward(x, m).dtype == dtype
    strided = np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0)
    strided.flags.writeable = False
    np.testing.assert_array_equal(TopK(5)(strided), y)
    np.testing.assert_array_equal(np.concatenate([TopK(5)(x[i : i + 1]) for i in range(4)]), y)


def test_inference_may_keep_more():
    x = np.random.default_rng(0).normal(size=(4, 9))
    layer = TopK(2, inference_k=6)
    np.testing.assert_array_equal(layer.forward(x)[0], TopK(2)(x))
    np.testing.assert_array_equal(layer(x), TopK(6)(x))
    assert repr(layer) == "TopK(2, inference_k=6)"
    assert repr(TopK(2)) == "TopK(2)"


def test_negative_entries_pass_last_and_all_pass_if_k_is_all():
    x = np.array([[-3.0, 1.0, -1.0, 2.0]])
    np.testing.assert_array_equal(TopK(3)(x), [[0, 1, -1, 2]])
    np.testing.assert_array_equal(TopK(4)(x), x)


def test_a_nan_is_not_hidden():
    x = np.array([[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]])
    with np.errstate(invalid="ignore"):
        y = TopK(1)(x)
    assert np.isnan(y[0]).any()
    np.testing.assert_array_equal(y[1], [0, 0, 3])


# --- the model --------------------------------------------------------------------------------


@settings(max_examples=20)
@given(data=st.data(), seed=seeds)
def test_gradients_of_dense_models(data, seed):
    rng = np.random.default_rng(seed)
    pixels, *units = data.draw(st.lists(sizes, min_size=2, max_size=4))
    tied = data.draw(st.booleans())
    parts = dense_pair(
        (1, pixels, 2),
        units,
        activation=data.draw(st.sampled_from([ta.Tanh, ta.ELU, ta.Softplus])),
        code_activation=ta.Sigmoid,
        tied=tied,
        rng=rng,
    )
    penalty = data.draw(st.sampled_from([L1Sparsity(0.5), KLSparsity(0.2, 0.6)]))
    model = SparseAutoencoder(*parts, data.draw(st.sampled_from([ta.MSE(), ta.BCE()])), penalty)
    x = rng.random((data.draw(sizes), 1, pixels, 2))
    report = gradcheck.check_model(model, x, rng=rng, max_entries=60)
    assert report.ok, report


@every_penalty
@settings(max_examples=5)
@given(seed=seeds, n=sizes, channels=st.integers(1, 3))
def test_gradients_of_convolutional_models(penalty, seed, n, channels):
    rng = np.random.default_rng(seed)
    encoder, decoder = conv_pair((1, 4, 6), [channels], activation=ta.Sigmoid, rng=rng)
    model = SparseAutoencoder(encoder, decoder, ta.MSE(), penalty)
    report = gradcheck.check_model(model, rng.random((n, 1, 4, 6)), rng=rng, max_entries=60)
    assert report.ok, report


@settings(max_examples=10)
@given(data=st.data(), seed=seeds, n=sizes)
def test_gradients_of_a_k_sparse_model(data, seed, n):
    rng = np.random.default_rng(seed)
    encoder = ta.Sequential(ta.Dense(6, 5, rng=rng), TopK(data.draw(st.integers(1, 5))))
    decoder = ta.TiedDense(encoder.layers[0])
    model = SparseAutoencoder(encoder, decoder, ta.MSE(), L1Sparsity(0.3))
    x = rng.random((n, 6))
    gaps = np.diff(np.sort(encoder.layers[0].astype(np.float64)(x), axis=1), axis=1)
    assume(gaps.min() > 1e-3)
    report = gradcheck.check_model(model, x, rng=rng, max_entries=60)
    assert report.ok, report


@every_penalty
def test_terms_are_named_and_add_up(penalty):
    model, x = make(penalty), images()
    terms = model.objective(x)
    assert model.backprop(x) == terms
    assert list(terms) == ["total", "reconstruction", "sparsity"]
    assert all(type(value) is float for value in terms.values())
    assert terms["total"] == terms["reconstruction"] + terms["sparsity"]
    assert terms["sparsity"] == penalty(model.encode(x))[0]
    shown = model.evaluate(x)
    assert shown == pytest.approx(terms, rel=1e-5)


def test_without_weight_it_is_the_plain_autoencoder():
    x = images()
    for penalty in (L1Sparsity(0.0), KLSparsity(0.05, 0.0)):
        model = make(penalty)
        plain = ta.Autoencoder(*copy.deepcopy((model.encoder, model.decoder)), ta.MSE())
        assert model.backprop(x)["total"] == plain.backprop(x)["total"]
        for name, p in plain.params.items():
            np.testing.assert_array_equal(model.params[name].grad, p.grad)


@pytest.mark.parametrize("target", [0.05, 0.2])
def test_training_brings_the_mean_activation_to_its_target(target):
    model = make(KLSparsity(target, 0.1), units=(20,))
    x = images(256)
    ta.fit(model, x, epochs=60, batch_size=64, optimizer=ta.Adam(2e-2), progress=False)
    np.testing.assert_allclose(model.encode(x).mean(axis=0), target, atol=0.3 * target)


def test_l1_makes_codes_smaller():
    x, sizes = images(256), []
    for weight in (0.0, 1e-2):
        model = make(L1Sparsity(weight), units=(20,), code_activation=ta.ReLU, tied=True)
        ta.fit(model, x, epochs=10, batch_size=64, optimizer=ta.Adam(1e-2), progress=False)
        sizes.append(model.encode(x).sum(axis=1).mean())
    assert sizes[1] < 0.3 * sizes[0]


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: L1Sparsity(-1), ValueError, "weight is -1"),
        (lambda: KLSparsity(0.05, np.inf), ValueError, "weight is inf"),
        (lambda: KLSparsity(0.0), ValueError, "target is 0.0"),
        (lambda: KLSparsity(1.0), ValueError, "target is 1.0"),
        (lambda: make(KLSparsity), TypeError, r"penalty is the class KLSparsity"),
        (lambda: make(None), TypeError, "penalty is None"),
        (lambda: KLSparsity()(np.array([[1.2]])), ValueError, r"Sigmoid\(\)"),
        (lambda: make(KLSparsity(), code_activation=None).backprop(images()), ValueError, "code z"),
        (lambda: TopK(0), ValueError, "k is 0"),
        (lambda: TopK(2.5), ValueError, "k is 2.5"),
        (lambda: TopK(2, 0), ValueError, "inference_k is 0"),
        (lambda: TopK(4)(np.zeros((2, 3))), ValueError, r"\(2, 3\).*k = 4"),
        (lambda: TopK(4).forward(np.zeros((2, 3))), ValueError, r"\(2, 3\).*k = 4"),
        (lambda: TopK(1, 4)(np.zeros((2, 3))), ValueError, "inference_k = 4"),
        (lambda: TopK(1)(np.zeros(3)), ValueError, r"\(N, …\)"),
    ],
)
def test_misuse_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_a_penalty_of_your_own():
    class Squares(Penalty):
        def __call__(self, z):
            return float((z**2).sum() / len(z)), 2 * z / len(z)

    report = gradcheck.check_model(make(Squares()), images())
    assert report.ok, report


@pytest.mark.parametrize("penalty", [L1Sparsity(0.3), KLSparsity(0.1, 0.7)], ids=repr)
def test_save_and_load_keep_the_penalty(penalty, tmp_path):
    model, x = (
        make(penalty, code_activation=lambda: ta.Sequential(ta.Sigmoid(), TopK(2, 3))),
        images(),
    )
    model.save(tmp_path / "m.npz")
    loaded = ta.load(tmp_path / "m.npz")
    assert repr(loaded) == repr(model)
    assert loaded.evaluate(x) == model.evaluate(x)
    assert loaded.objective(x) == model.objective(x)
