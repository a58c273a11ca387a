"""The contractive penalty against the full Jacobian, its closed form, and its estimate."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.layers.topk import TopK
from tinyae.models.builders import conv_pair, dense_pair
from tinyae.models.contractive import ContractiveAutoencoder
from tinyae.twin import definitions_only, watching

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 4)
few = settings(max_examples=12)
ACTIVATIONS = (
    ta.ReLU,
    ta.LeakyReLU,
    ta.ELU,
    ta.Sigmoid,
    ta.Tanh,
    ta.Softplus,
    ta.GELU,
    ta.Softmax,
)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda c: c.__name__)


def dense(pixels, units, rng, *, activation=ta.Tanh, last=ta.Sigmoid, **options):
    parts = dense_pair((1, pixels, 1), units, activation=activation, code_activation=last, rng=rng)
    return ContractiveAutoencoder(*parts, ta.MSE(), **options).astype(np.float64)


def small(**options):
    return dense(6, [4], np.random.default_rng(0), **options)


def images(n, pixels=6):
    return np.random.default_rng(1).random((n, 1, pixels, 1))


def numeric_jacobian(encoder, x):
    """∂h/∂x of every sample by central differences, (N, K, D)."""
    n, h = len(x), 1e-5
    columns = []
    for i in np.ndindex(x.shape[1:]):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[(slice(None), *i)] += sign * h
            ends.append(encoder(moved).reshape(n, -1))
        columns.append((ends[0] - ends[1]) / (2 * h))
    return np.stack(columns, axis=2)


def nested(model):
    """The same model with its encoder wrapped, which hides that it is one layer."""
    twin = copy.deepcopy(model)
    twin.encoder = ta.Sequential(twin.encoder)
    return twin


def gradients(model):
    return [p.grad.copy() for p in model.params.values()]


# --- gradients of whole models ----------------------------------------------------------------


@every_activation
@few
@given(data=st.data(), seed=seeds)
def test_gradients_at_any_depth(activation, data, seed):
    rng = np.random.default_rng(seed)
    pixels, *units = data.draw(st.lists(sizes, min_size=2, max_size=4))
    last = data.draw(st.sampled_from([None, activation, ta.Sigmoid]))
    probes = data.draw(st.sampled_from([None, None, 1, 3]))
    model = dense(pixels, units, rng, activation=activation, last=last, weight=0.3, probes=probes)
    for p in model.params.values():
        p.value[...] += rng.normal(0, 0.3, p.shape)
    x = rng.random((data.draw(sizes), 1, pixels, 1))
    report = gradcheck.check_model(model, x, rng=rng, max_entries=40)
    assert report.ok, report


@few
@given(data=st.data(), seed=seeds, n=sizes)
def test_gradients_through_convolutions(data, seed, n):
    rng = np.random.default_rng(seed)
    channels = data.draw(st.lists(st.integers(1, 2), min_size=1, max_size=2))
    latent_dim = data.draw(st.sampled_from([None, 2]))
    activation = data.draw(st.sampled_from([ta.Tanh, ta.Softplus, ta.ELU]))
    parts = conv_pair((1, 4, 4), channels, latent_dim=latent_dim, activation=activation, rng=rng)
    probes = data.draw(st.sampled_from([None, 2]))
    model = ContractiveAutoencoder(*parts, ta.MSE(), weight=0.3, probes=probes)
    report = gradcheck.check_model(model, rng.random((n, 1, 4, 4)), rng=rng, max_entries=40)
    assert report.ok, report


def pooled(rng):
    conv = ta.Conv2d(1, 2, 3, 1, "same", rng=rng)
    return ta.Sequential(conv, ta.Tanh(), ta.MaxPool2d(2), ta.Flatten(), ta.Dense(8, 3, rng=rng))


def bridged(rng):
    inner = ta.Sequential(ta.Dense(16, 3, rng=rng), ta.Tanh())
    around = ta.Residual(ta.Sequential(ta.Dense(3, 3, rng=rng), ta.Sigmoid()))
    beside = ta.Parallel(ta.Dense(3, 2, rng=rng), ta.Tanh())
    return ta.Sequential(ta.Flatten(), inner, around, beside, ta.LayerNorm(5), ta.GELU())


def k_sparse(rng):
    return ta.Sequential(ta.Flatten(), ta.Dense(16, 6, rng=rng), ta.Softplus(), TopK(2))


@pytest.mark.parametrize("build", [pooled, bridged, k_sparse])
@pytest.mark.parametrize("probes", [None, 2])
def test_gradients_of_other_encoders(build, probes):
    rng = np.random.default_rng(3)
    encoder, x = build(rng), rng.random((3, 1, 4, 4))
    width = encoder(x.astype(np.float32)).shape[1]
    decoder = ta.Sequential(ta.Dense(width, 16, rng=rng), ta.Sigmoid(), ta.Reshape(1, 4, 4))
    model = ContractiveAutoencoder(encoder, decoder, ta.BCE(), 0.3, probes)
    report = gradcheck.check_model(model, x, rng=rng, max_entries=60)
    assert report.ok, report
    assert model.astype(np.float64).jacobian(x).shape == (3, width, 16)


@pytest.mark.parametrize("depth", [1, 2])
def test_gradients_with_tied_weights_and_noise_in_the_decoder(depth):
    rng = np.random.default_rng(0)
    parts = dense_pair(
        (6,), [5, 4][:depth], activation=ta.Tanh, code_activation=ta.Tanh, tied=True, rng=rng
    )
    width = parts[1].layers[0].in_features if depth == 0 else [5, 4][depth - 1]
    noisy = ta.Sequential(ta.BatchNorm(width), ta.Dropout(0.3, rng=rng), parts[1])
    model = ContractiveAutoencoder(parts[0], noisy, ta.MSE(), weight=0.3)
    x = rng.random((5, 6))
    report = gradcheck.check_model(model, x, rng=rng)
    assert report.ok, report
    assert model.evaluate(x) == model.evaluate(x)


# --- the value --------------------------------------------------------------------------------


@every_activation
@few
@given(data=st.data(), seed=seeds)
def test_the_penalty_is_the_jacobians_frobenius_norm(activation, data, seed):
    rng = np.random.default_rng(seed)
    pixels, *units = data.draw(st.lists(sizes, min_size=2, max_size=4))
    model = dense(pixels, units, rng, activation=activation, last=activation)
    x = rng.random((data.draw(sizes), 1, pixels, 1))
    J = numeric_jacobian(model.encoder, x)
    np.testing.assert_allclose(model.jacobian(x), J, atol=1e-7)
    terms = model.objective(x)
    squared = (J**2).sum(axis=(1, 2)).mean()
    assert terms["contraction"] == pytest.approx(squared, rel=1e-6, abs=1e-9)
    assert list(terms) == ["total", "reconstruction", "contraction"]
    assert terms["total"] == terms["reconstruction"] + model.weight * terms["contraction"]
    assert model.evaluate(x) == pytest.approx(terms)
    assert model.backprop(x) == terms


def test_the_penalty_of_a_convolution():
    rng = np.random.default_rng(0)
    parts = conv_pair((2, 4, 4), [3, 2], activation=ta.Tanh, rng=rng)
    model = ContractiveAutoencoder(*parts, ta.MSE()).astype(np.float64)
    x = rng.random((3, 2, 4, 4))
    J = numeric_jacobian(model.encoder, x)
    assert model.jacobian(x).shape == (3, 2, 32)
    np.testing.assert_allclose(model.jacobian(x), J, atol=1e-8)
    assert model.objective(x)["contraction"] == pytest.approx((J**2).sum() / 3)


@few
@given(seed=seeds, n=sizes, pixels=sizes, hidden=sizes, code=sizes)
def test_rows_and_columns_of_the_jacobian_tell_the_same(seed, n, pixels, hidden, code):
    rng = np.random.default_rng(seed)
    model = dense(pixels, [hidden, code], rng, weight=0.7)
    other, x = copy.deepcopy(model), rng.random((n, 1, pixels, 1))
    model._by_rows = lambda x, h: True
    other._by_rows = lambda x, h: False
    assert model.backprop(x) == pytest.approx(other.backprop(x))
    assert model.objective(x) == model.backprop(x)
    other.backprop(x)
    for a, b in zip(gradients(model), gradients(other)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_linear_encoders_penalty_is_the_size_of_its_matrix():
    model = small(last=None)
    W = model.encoder.layers[1].W
    assert model.objective(images(3))["contraction"] == pytest.approx((W.value**2).sum())


# --- the closed form --------------------------------------------------------------------------


@every_activation
@few
@given(seed=seeds, n=sizes, pixels=sizes, units=sizes, flat=st.booleans())
def test_the_closed_form_is_the_general_one(activation, seed, n, pixels, units, flat):
    rng = np.random.default_rng(seed)
    model = dense(pixels, [units], rng, last=activation, weight=0.7)
    x = rng.random((n, 1, pixels, 1))
    if not flat:  # without Flatten and Reshape
        model.encoder = ta.Sequential(*model.encoder.layers[1:])
        model.decoder = ta.Sequential(*model.decoder.layers[:-1])
        x = x.reshape(n, pixels)
    general = nested(model)
    assert general._single_layer() is None
    assert (model._single_layer() is None) == (activation is ta.Softmax)  # which is not entrywise
    assert model.backprop(x) == pytest.approx(general.backprop(x))
    for a, b in zip(gradients(model), gradients(general)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", [ta.MSE(), ta.BCE()], ids=repr)
def test_a_decoder_of_dense_layers_at_once_is_the_one_layer_by_layer(loss):
    model, x = small(weight=0.7), images(20)
    model.loss = loss
    twin = copy.deepcopy(model)
    with watching() as used:
        terms = model.backprop(x)
    assert ("Autoencoder.decoder_step" in used) == isinstance(loss, ta.MSE)
    with definitions_only():
        assert terms == pytest.approx(twin.backprop(x))
    for a, b in zip(gradients(model), gradients(twin)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    report = gradcheck.check_model(model, x)
    assert report.ok, report


def test_the_closed_form_is_rifais():
    model, x = small(), images(5)
    W, h = model.encoder.layers[1].W.value, model.encode(x)
    penalty = ((h * (1 - h)) ** 2 @ (W**2).sum(axis=1)).mean()  # their eq. 6
    assert model.objective(x)["contraction"] == pytest.approx(penalty)


def test_a_subclass_of_dense_may_not_be_affine_and_takes_the_general_path():
    class Twice(ta.Dense):
        def forward(self, x):
            return super().forward(2 * x)

        def tangent(self, xdot, cache):
            return super().tangent(2 * xdot, cache)

        def backward_input(self, dy, cache):
            return 2 * super().backward_input(dy, cache)

    rng = np.random.default_rng(0)
    encoder = ta.Sequential(Twice(4, 3, rng=rng), ta.Tanh())
    model = ContractiveAutoencoder(encoder, ta.Dense(3, 4, rng=rng), ta.MSE())
    model = model.astype(np.float64)
    x = rng.random((3, 4))
    J = numeric_jacobian(model.encoder, x)
    assert model.objective(x)["contraction"] == pytest.approx((J**2).sum() / 3)


# --- probes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("probes", [1, 4])
def test_probes_are_unbiased_and_their_spread_falls_with_their_number(probes):
    model, x = small(probes=probes), images(3)
    J = model.jacobian(x)
    exact = (J**2).sum() / 3
    rng = np.random.default_rng(0)
    draws = np.array([model.objective(x, rng)["contraction"] for _ in range(4000)])
    # Hutchinson with ±1: Var vᵀAv = 2 Σ_{i≠j} A²ᵢⱼ for A = JᵀJ, each sample independent
    A = np.einsum("nki,nkj->nij", J, J)
    off = A * (1 - np.eye(A.shape[1]))
    variance = 2 * (off**2).sum() / 9 / probes
    assert abs(draws.mean() - exact) < 4 * np.sqrt(variance / draws.size)
    assert draws.var() == pytest.approx(variance, rel=0.15)


def test_the_gradient_of_probes_is_unbiased():
    model, x = small(probes=8, weight=1.0), images(3)
    exact = copy.deepcopy(model)
    exact.probes = None
    exact.backprop(x)
    rng, times = np.random.default_rng(0), 1000
    for _ in range(times):
        model.backprop(x, rng)
    for a, b in zip(gradients(model), gradients(exact)):
        np.testing.assert_allclose(a / times, b, atol=0.03 * np.abs(b).max())


def test_probes_are_signs_drawn_for_each_sample():
    model, x = small(probes=50), images(40)
    v = np.stack(list(model._directions(x, np.random.default_rng(0))))
    assert set(np.unique(v)) == {-1.0, 1.0}
    assert v.dtype == x.dtype
    flat = v.reshape(-1)
    assert abs(flat.mean()) < 5 / np.sqrt(flat.size)
    across = v.reshape(50, 40, 6)
    for other in (across[1:] * across[:-1], across[:, 1:] * across[:, :-1]):
        assert abs(other.mean()) < 5 / np.sqrt(other.size)


def test_the_same_rng_draws_the_same_probes():
    model, x = small(probes=2), images(3)
    a = model.objective(x, np.random.default_rng(3))
    assert a == model.backprop(x, np.random.default_rng(3))
    assert a != model.objective(x, np.random.default_rng(4))
    assert model.evaluate(x) == model.evaluate(x)


# --- use --------------------------------------------------------------------------------------


def test_without_weight_it_is_the_plain_autoencoder():
    model, x = small(weight=0.0), images(4)
    plain = ta.Autoencoder(*copy.deepcopy((model.encoder, model.decoder)), ta.MSE())
    assert model.backprop(x)["total"] == plain.backprop(x)["total"]
    for a, b in zip(gradients(model), gradients(plain)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("units", [[4], [5, 4]])
def test_the_dtype_is_kept_and_nothing_given_is_written_into(dtype, units):
    model = dense(6, units, np.random.default_rng(0), weight=0.1).astype(dtype)
    x = images(4).astype(dtype)
    x.flags.writeable = False
    terms = model.backprop(x)
    assert all(type(value) is float for value in terms.values())
    assert model.jacobian(x).dtype == dtype
    wide = dense(6, units, np.random.default_rng(0), weight=0.1)
    assert wide.backprop(images(4)) == pytest.approx(terms, rel=1e-5)
    for a, b in zip(gradients(model), gradients(wide)):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_jacobian_of_many_samples_and_of_none():
    model, x = small(), images(1500)
    J = model.jacobian(x)
    assert J.shape == (1500, 4, 6)
    np.testing.assert_allclose(J[1100:1110], model.jacobian(x[1100:1110]))
    assert model.jacobian(x[:0]).shape == (0, 4, 6)


@pytest.mark.parametrize("units", [[4], [5, 4]])
def test_training_contracts(units):
    x = np.random.default_rng(1).random((200, 1, 6, 1), np.float32)
    norms = []
    for weight in (0.0, 0.03):
        model = dense(6, units, np.random.default_rng(0), weight=weight).astype(np.float32)
        ta.fit(model, x, epochs=20, batch_size=20, optimizer=ta.Adam(1e-2), progress=False)
        norms.append(model.evaluate(x)["contraction"])
    assert norms[1] < 0.5 * norms[0]


def test_save_and_load(tmp_path):
    for probes in (None, 2):
        model, x = small(weight=0.2, probes=probes), images(3)
        model.save(tmp_path / "m.npz")
        loaded = ta.load(tmp_path / "m.npz")
        assert repr(loaded) == repr(model)
        assert loaded.evaluate(x) == model.evaluate(x)


def around(layer):
    rng = np.random.default_rng(0)
    encoder = ta.Sequential(ta.Dense(6, 4, rng=rng), ta.Sequential(ta.Tanh(), layer))
    return ContractiveAutoencoder(encoder, ta.Dense(4, 6, rng=rng), ta.MSE())


class Tangentless(ta.Layer):
    def forward(self, x):
        return x, None

    def backward(self, dy, cache):
        return dy


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: small(weight=-1.0), ValueError, "weight is -1.0"),
        (lambda: small(weight=np.nan), ValueError, "weight is nan"),
        (lambda: small(probes=0), ValueError, "probes is 0"),
        (lambda: small(probes=2).objective(images(2)), ValueError, "needs a generator"),
        (lambda: small(probes=2).backprop(images(2)), ValueError, "needs a generator"),
        (lambda: around(ta.BatchNorm(4)), ValueError, r"encoder\.1\.1 is BatchNorm\(4\)"),
        (
            lambda: around(ta.Dropout(rng=np.random.default_rng(0))),
            ValueError,
            r"encoder\.1\.1 is Dropout",
        ),
        (
            lambda: around(Tangentless()).backprop(np.zeros((2, 6), np.float32)),
            NotImplementedError,
            "Tangentless has no tangent",
        ),
        (lambda: small().jacobian(np.zeros(6)), ValueError, r"x\[None\]"),
    ],
)
def test_misuse_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
