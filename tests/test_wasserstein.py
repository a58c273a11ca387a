"""The Wasserstein autoencoder: the discrepancy of two samples, and codes distributed as a prior."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.models.mmd import mmd
from tinyae.twin import definitions_only

KERNELS = ta.InverseMultiquadratic(), ta.InverseMultiquadratic([0.3]), ta.GaussianKernel(0.6)
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=repr)


def rng(seed=0):
    return np.random.default_rng(seed)


def make(weight=0.5, kernel=None, dtype=np.float64, seed=0):
    layers = ta.dense_encoder_decoder((1, 6, 1), [5, 3], activation=ta.Tanh, rng=rng(seed))
    return ta.WassersteinAutoencoder(*layers, ta.MSE(), weight, kernel).astype(dtype)


def images(n, seed=0, dtype=np.float64):
    return rng(seed).random((n, 1, 6, 1)).astype(dtype)


# --- the discrepancy --------------------------------------------------------------------------


@each_kernel
@settings(max_examples=20)
@given(n=st.integers(1, 5), m=st.integers(1, 5), d=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_its_gradient_is_the_numeric_one(kernel, n, m, d, seed):
    z, p, h = rng(seed).normal(size=(n, d)), rng(seed + 1).normal(size=(m, d)), 1e-5
    _, dz = mmd(z, p, kernel)
    for i in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[i] += h
        down[i] -= h
        slope = (mmd(up, p, kernel)[0] - mmd(down, p, kernel)[0]) / (2 * h)
        assert dz[i] == pytest.approx(slope, abs=1e-7)


@each_kernel
@given(n=st.integers(2, 5), m=st.integers(2, 5), d=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_it_is_the_double_loop(kernel, n, m, d, seed):
    z, p = rng(seed).normal(size=(n, d)), rng(seed + 1).normal(size=(m, d))

    def k(a, b):
        return float(kernel(np.array(((a - b) ** 2).sum() / (2 * d)))[0])

    among_z = np.mean([k(z[i], z[j]) for i in range(n) for j in range(n) if i != j])
    among_p = np.mean([k(p[i], p[j]) for i in range(m) for j in range(m) if i != j])
    between = np.mean([k(a, b) for a in z for b in p])
    assert mmd(z, p, kernel)[0] == pytest.approx(among_z + among_p - 2 * between, abs=1e-12)


@each_kernel
def test_of_two_equal_sets(kernel):
    """Pairs i = j are missing within, and k(zᵢ, zᵢ) = k(0) between: 2/n (mean k − k(0))."""
    n, z = 7, rng().normal(size=(7, 2))
    distances = np.square(z[:, None] - z).sum(axis=2) / 4
    k = kernel(distances)[0]
    apart = (k.sum() - np.trace(k)) / (n * (n - 1))
    peak = kernel(np.zeros(1))[0][0]
    assert mmd(z, z, kernel)[0] == pytest.approx(2 / n * (apart - peak), rel=1e-9)


@each_kernel
@given(seed=st.integers(0, 2**16))
def test_order_shift_and_roles_do_not_matter(kernel, seed):
    z, p = rng(seed).normal(size=(5, 3)), rng(seed + 1).normal(size=(6, 3))
    value, dz = mmd(z, p, kernel)
    order = rng(seed).permutation(5)
    shuffled, d_shuffled = mmd(z[order], p, kernel)
    assert shuffled == pytest.approx(value, rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(d_shuffled, dz[order], rtol=1e-9, atol=1e-12)
    assert mmd(p, z, kernel)[0] == pytest.approx(value, rel=1e-9, abs=1e-12)
    moved, d_moved = mmd(z + 2.5, p + 2.5, kernel)
    assert moved == pytest.approx(value, rel=1e-7, abs=1e-10)
    np.testing.assert_allclose(d_moved, dz, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 1.0), (0.0, 0.3), (2.0, 2.0)], ids=str)
def test_between_normal_distributions_it_has_a_closed_form_and_no_bias(mean, std):
    """E k(a, b) = (L/(L + s + t))^(d/2) exp(−‖m‖²/2(L + s + t)), L = 2dℓ², of N(0, s), N(m, t)."""
    d, n, width = 3, 10, 0.5
    L = 2 * d * width**2

    def alike(s, t, m):
        total = L + s + t
        return (L / total) ** (d / 2) * math.exp(-d * m * m / (2 * total))

    want = alike(std**2, std**2, 0) + alike(1, 1, 0) - 2 * alike(std**2, 1, mean)
    kernel, draws = ta.GaussianKernel(width), rng(1)
    found = [
        mmd(mean + std * draws.normal(size=(n, d)), draws.normal(size=(n, d)), kernel)[0]
        for _ in range(4000)
    ]
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(want, abs=4 * error)
    assert want == pytest.approx(0, abs=1e-12) if (mean, std) == (0, 1) else want > 10 * error


def test_heavy_tails_still_pull_where_a_gaussian_no_longer_does():
    z, p = np.full((2, 2), 40.0) + rng().normal(size=(2, 2)), rng(1).normal(size=(50, 2))
    assert np.linalg.norm(mmd(z, p, ta.GaussianKernel(0.5))[1].sum(axis=0)) < 1e-12
    pull = mmd(z, p, ta.InverseMultiquadratic())[1].sum(axis=0)
    assert (pull > 1e-4).all()  # downhill, −pull, leads to the prior


def test_a_single_sample_has_no_pairs():
    z, p = rng().normal(size=(1, 2)), rng(1).normal(size=(4, 2))
    value, dz = mmd(z, p, KERNELS[0])
    among_p = mmd(p, p, KERNELS[0])[0]
    assert np.isfinite([value, among_p, *dz.ravel()]).all()


# --- the model --------------------------------------------------------------------------------


@each_kernel
@settings(max_examples=10)
@given(seed=st.integers(0, 2**16), n=st.integers(1, 5), weight=st.sampled_from([0.0, 0.3, 4.0]))
def test_the_whole_models_gradient(kernel, seed, n, weight):
    report = gradcheck.check_model(make(weight, kernel, seed=seed), images(n, seed), rng=seed)
    assert report.ok, report


def test_without_weight_it_is_the_plain_one_to_the_bit():
    model, x = make(0.0, dtype=np.float32), images(20, dtype=np.float32)
    plain = ta.Autoencoder(
        *(p.astype(np.float32) for p in (model.encoder, model.decoder)), ta.MSE()
    )
    with definitions_only():
        terms, want = model.backprop(x, rng()), plain.backprop(x)
    assert terms["reconstruction"] == terms["total"] == want["total"]
    assert terms["mmd"] > 0
    for name, p in plain.params.items():
        np.testing.assert_array_equal(model.params[name].grad, p.grad)


def test_objective_and_evaluate_give_the_terms():
    model, x = make(), images(9)
    terms = model.objective(x, rng(1))
    assert not any(p.grad.any() for p in model.params.values())
    assert model.backprop(x, rng(1)) == pytest.approx(terms)
    assert model.evaluate(x, rng(1)) == pytest.approx(terms)
    assert terms["total"] == pytest.approx(terms["reconstruction"] + 0.5 * terms["mmd"])
    assert np.isfinite(model.evaluate(images(1025), rng())["total"])  # the last chunk has one row


def square(n, seed=0):
    """Six numbers of a sample that are known by two, which are uniform, not normal."""
    u, directions = rng(seed).uniform(-1, 1, (n, 2)), rng(9).normal(size=(2, 6))
    return (0.5 + 0.15 * np.tanh(u @ directions)).astype(np.float32)


def test_codes_come_to_be_distributed_as_the_prior_and_files_keep_all(tmp_path):
    x, found = square(1000), {}
    for weight in (0.0, 0.03):
        layers = ta.dense_encoder_decoder([6], [16, 2], rng=rng())
        model = ta.WassersteinAutoencoder(*layers, ta.MSE(), weight)
        optimizer = ta.Adam(1e-2)
        ta.fit(model, x, epochs=60, batch_size=100, optimizer=optimizer, rng=0, progress=False)
        found[weight] = model.evaluate(x)
    assert found[0.03]["mmd"] < 0.1 * found[0.0]["mmd"]
    assert found[0.03]["reconstruction"] < 0.1 * x.var(axis=0).mean()
    z = model.encode(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.3)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.4)
    model.save(tmp_path / "wae.npz")
    loaded = ta.load(tmp_path / "wae.npz")
    assert repr(loaded.kernel) == repr(model.kernel)
    assert loaded.evaluate(x) == model.evaluate(x)
    np.testing.assert_array_equal(loaded.sample(5, 1), model.sample(5, 1))


def test_samples_are_decoded_draws_of_the_prior():
    model = make()
    np.testing.assert_array_equal(model.sample(7, 3), model.decode(rng(3).standard_normal((7, 3))))
    p = model.prior(20_000, rng())
    assert abs(p.mean()) < 4 / math.sqrt(p.size)
    assert abs(p.var() - 1) < 4 * math.sqrt(2 / p.size)
    assert model.astype(np.float32).prior(2, rng()).dtype == np.float32


def test_mistakes_are_named():
    encoder, decoder = ta.dense_encoder_decoder([6], [3], code_activation=ta.Tanh, rng=rng())
    with pytest.raises(ValueError, match=r"the encoder ends in Tanh.*expected a Dense"):
        ta.WassersteinAutoencoder(encoder, decoder, ta.MSE())
    with pytest.raises(ValueError, match="weight is -1"):
        make(-1)
    with pytest.raises(TypeError, match="kernel is the class GaussianKernel"):
        make(kernel=ta.GaussianKernel)
    with pytest.raises(ValueError, match="rng=np"):
        make().backprop(images(4))
    with pytest.raises(ValueError, match="scales is 0"):
        ta.InverseMultiquadratic([1.0, 0])
    with pytest.raises(ValueError, match=r"scales is \[\], expected"):
        ta.InverseMultiquadratic([])
    with pytest.raises(ValueError, match="width is"):
        ta.GaussianKernel(-1)
    with pytest.raises(ValueError, match="n is 0"):
        make().sample(0)
