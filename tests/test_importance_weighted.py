"""The importance-weighted autoencoder: its bound, its weights, and what it is with one draw."""

import copy
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.twin import definitions_only

LIKELIHOODS = (
    ta.Bernoulli(),
    ta.Gaussian(0.7),
    ta.LearntGaussian(0.8),
    ta.HeteroscedasticGaussian((-1.0, 1.0)),
    ta.Laplace(0.4),
)


def rng(seed=0):
    return np.random.default_rng(seed)


def parts(likelihood=None, width=6, latent_dim=3, seed=0):
    noise, likelihood = rng(seed), copy.deepcopy(likelihood or ta.Bernoulli())
    out = likelihood.output_shape(np.empty((1, width)))[1]
    return (
        ta.Sequential(ta.Dense(width, 5, rng=noise), ta.Tanh()),
        *(ta.Dense(5, latent_dim, rng=noise), ta.Dense(5, latent_dim, rng=noise)),
        ta.Sequential(ta.Dense(latent_dim, 4, rng=noise), ta.Tanh(), ta.Dense(4, out, rng=noise)),
        likelihood,
    )


def make(likelihood=None, samples=4, seed=0, **more):
    return ta.ImportanceWeightedAutoencoder(*parts(likelihood, seed=seed), samples=samples, **more)


def data(n=8, seed=0, dtype=np.float64):
    return rng(seed).random((n, 6)).astype(dtype)


# --- gradients ------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("samples", [1, 4])
@settings(max_examples=5)
@given(seed=st.integers(0, 2**16), n=st.integers(1, 5), binary=st.booleans())
def test_gradients_with_some_variances_clipped(likelihood, samples, seed, n, binary):
    resample = ta.Binarize() if binary else None
    model = make(likelihood, samples, seed, logvar_range=(-0.3, 0.4), resample=resample)
    model.logvar.b.value[...] = [0.5, 0.1, -0.4]
    report = gradcheck.check_model(model, data(n, seed), rng=seed)
    assert report.ok, report


def test_gradients_through_convolutions():
    noise = rng()
    encoder = ta.Sequential(ta.Conv2d(1, 2, 3, 2, "same", rng=noise), ta.Tanh())
    mean, logvar = (ta.Conv2d(2, 2, 1, rng=noise) for _ in range(2))
    decoder = ta.ConvTranspose2d(2, 1, 2, 2, rng=noise)
    model = ta.ImportanceWeightedAutoencoder(encoder, mean, logvar, decoder, samples=3)
    x = noise.random((3, 1, 4, 4))
    report = gradcheck.check_model(model, x, rng=noise)
    assert report.ok, report
    assert model.encode(x).shape == (3, 2, 2, 2)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_weights_of_one_change_nothing_and_others_are_linear(likelihood):
    noise = rng()
    x = noise.random((5, 6))
    y = noise.normal(size=likelihood.output_shape(x))
    a, b = noise.random((2, 5))

    def weighted(weights):
        own = copy.deepcopy(likelihood).astype(np.float64)
        _, cache = own.forward(y, x)
        dy = own.backward(cache) if weights is None else own.backward_weighted(cache, weights)
        return [dy, *(p.grad for p in own.params.values())]

    for got, want in zip(weighted(np.ones(5)), weighted(None)):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)
    for got, one, other in zip(weighted(a + 2 * b), weighted(a), weighted(b)):
        np.testing.assert_allclose(got, one + 2 * other, rtol=1e-12, atol=1e-15)


def test_a_likelihood_whose_params_have_no_weighted_gradient_is_named():
    class Own(ta.Gaussian):
        def __init__(self):
            super().__init__(1.0)
            self.s = ta.Param(np.zeros(1, np.float32))

    model = make(Own())
    with pytest.raises(TypeError, match="Own: its own Params have no weighted gradient; define"):
        model.backprop(data(dtype=np.float32), rng())


# --- one draw -------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_with_one_draw_what_is_drawn_alike_is_the_vaes_to_the_bit(likelihood, dtype):
    """The same z: the same reconstruction, and the same gradient of all that only it reaches."""
    plain = ta.VariationalAutoencoder(*parts(likelihood)).astype(dtype)
    model = make(likelihood, 1).astype(dtype)
    x = data(20, dtype=dtype)
    with definitions_only():
        want, terms = plain.backprop(x, rng(1)), model.backprop(x, rng(1))
    assert terms["reconstruction"] == pytest.approx(want["reconstruction"], rel=1e-6)
    assert terms["weights"] == 0
    drawn_alike = [n for n in plain.params if n.startswith("decoder")]
    for name in drawn_alike:
        np.testing.assert_array_equal(model.params[name].grad, plain.params[name].grad)
    for name, p in plain.params.items():  # LearntGaussian's s: summed in another order
        if name.startswith("likelihood"):
            np.testing.assert_allclose(model.params[name].grad, p.grad, rtol=1e-5)


def test_with_one_draw_the_rest_is_the_vaes_on_average():
    plain, x = ta.VariationalAutoencoder(*parts()).astype(np.float64), data(400)
    model = make(samples=1).astype(np.float64)
    draws = []
    for seed in range(300):
        for m in (model, plain):
            m.backprop(x, rng(seed))
        draws.append({n: p.grad - plain.params[n].grad for n, p in model.params.items()})
        for p in (*model.params.values(), *plain.params.values()):
            p.grad[...] = 0
    for name in draws[0]:
        difference = np.stack([d[name] for d in draws])
        error = difference.std(axis=0) / math.sqrt(len(draws))
        np.testing.assert_array_less(np.abs(difference.mean(axis=0)), 5 * error + 1e-12)
        assert name.startswith("decoder") or error.max() > 0


# --- the bound --------------------------------------------------------------------------------


def linear_gaussian(samples, exact=True):
    """x = W z + b + σ ε with orthogonal columns: q can be the posterior. Also log p(x) itself."""
    W, b, std = np.array([[2.0, 0], [0, 1], [0, 0]]), np.array([0.3, -0.2, 0.1]), 0.5
    encoder, mean, logvar = (ta.Dense(3, k, rng=rng()) for k in (3, 2, 2))
    decoder = ta.Dense(2, 3, rng=rng())
    model = ta.ImportanceWeightedAutoencoder(
        *(encoder, mean, logvar, decoder, ta.Gaussian(std)), samples=samples
    ).astype(np.float64)
    M = W.T @ W + std**2 * np.eye(2)
    values = {
        "encoder.W": np.eye(3), "encoder.b": -b, "mean.W": np.linalg.solve(M, W.T),
        "logvar.W": 0, "logvar.b": np.log(std**2 / np.diag(M)) + (0 if exact else 1.0),
        "decoder.W": W, "decoder.b": b,
    }  # fmt: skip
    for name, value in values.items():
        model.params[name].value[...] = value
    C = W @ W.T + std**2 * np.eye(3)

    def log_p(x):
        quadratic = np.einsum("ni,ij,nj->n", x - b, np.linalg.inv(C), x - b)
        return -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * C)[1])

    return model, log_p


X = rng(3).normal(size=(64, 3))


@pytest.mark.parametrize("samples", [1, 2, 50])
def test_where_q_is_the_posterior_every_draw_gives_log_p(samples):
    model, log_p = linear_gaussian(samples)
    for seed in range(3):
        terms = model.objective(X, rng(seed))
        assert terms["total"] == pytest.approx(-log_p(X).mean(), rel=1e-12)
        assert terms["weights"] == pytest.approx(0, abs=1e-12)


def test_the_bound_rises_with_the_draws_towards_log_p():
    """Burda et al. (2016), theorem 1, where q is wider than the posterior."""
    bounds = []
    for samples in (1, 2, 5, 20, 100):
        model, log_p = linear_gaussian(samples, exact=False)
        each = [-model.objective(X, rng(seed))["total"] for seed in range(200)]
        bounds.append((np.mean(each), np.std(each) / math.sqrt(len(each))))
    for (low, low_error), (high, high_error) in itertools.pairwise(bounds):
        assert low + 3 * low_error < high - 3 * high_error
    assert bounds[-1][0] < log_p(X).mean()
    assert bounds[-1][0] == pytest.approx(log_p(X).mean(), abs=0.01)
    elbo = model.elbo(X, rng=0, samples=2000)  # K = 1 on average
    assert bounds[0][0] == pytest.approx(elbo.value, abs=4 * bounds[0][1] + 0.01)


def test_the_bound_is_the_estimate_that_is_reported():
    """What it trains on with K draws is what ``log_likelihood`` reports with as many."""
    model, x = make(samples=7), data(9)
    terms = model.evaluate(x, rng(4))
    assert -terms["total"] == pytest.approx(model.log_likelihood(x, rng(4), samples=7).value)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**16), st.floats(0.01, 500))
def test_the_weights_are_a_distribution_and_the_terms_add_up(samples, n, seed, scale):
    model = make(samples=samples)
    log_p, ratio = scale * rng(seed).normal(size=(2, samples, n))
    terms, w = model._weigh(log_p.ravel(), ratio.ravel())
    np.testing.assert_allclose(w.sum(axis=0), 1, rtol=1e-12)
    direct = -np.logaddexp.reduce(log_p + ratio, axis=0) + math.log(samples)
    assert terms["total"] == pytest.approx(direct.mean(), rel=1e-9, abs=1e-9)
    parts = terms["reconstruction"] + terms["kl"] + terms["weights"]
    assert terms["total"] == pytest.approx(parts, rel=1e-9, abs=1e-9)
    assert -1e-12 <= terms["weights"] <= math.log(samples) + 1e-12


def test_a_draw_that_explains_nothing_counts_for_nothing():
    model = make(samples=2)
    terms, w = model._weigh(np.array([-3.0, -1e6]), np.zeros(2))
    np.testing.assert_array_equal(w.ravel(), [1, 0])
    assert terms["weights"] == pytest.approx(math.log(2))
    assert terms["total"] == pytest.approx(3 + math.log(2))


# --- use --------------------------------------------------------------------------------------


def test_the_draws_of_a_sample_are_independent_and_normal():
    model, x = make(samples=50).astype(np.float64), np.tile(data(1), (200, 1))
    seen = []
    draw_code = model.draw_code
    model.draw_code = lambda mu, s, noise: (
        seen.append((mu, s, draw_code(mu, s, noise))) or seen[-1][2]
    )
    model.objective(x, rng())
    ((mu, s, (z, std, eps)),) = seen
    np.testing.assert_allclose(z, mu + std * eps)
    np.testing.assert_allclose(std, np.exp(s / 2))
    eps = eps.reshape(50, 200, 3)
    assert abs(eps.mean()) < 4 / math.sqrt(eps.size)
    assert abs(eps.var() - 1) < 4 * math.sqrt(2 / eps.size)
    across = np.corrcoef(eps[0].ravel(), eps[1].ravel())[0, 1]
    assert abs(across) < 4 / math.sqrt(600)


def test_it_learns_and_files_keep_it(tmp_path):
    x = ta.data.make_strokes(300, rng())[0][:, :, ::4, ::4]
    layers = ta.dense_variational((1, 7, 7), [24, 4], rng=rng())
    model = ta.ImportanceWeightedAutoencoder(*layers, samples=5, resample=ta.Binarize())
    before = model.evaluate(x)["total"]
    history = ta.fit(model, x, epochs=15, optimizer=ta.Adam(5e-3), rng=0, progress=False)
    assert model.evaluate(x)["total"] < 0.8 * before
    assert history.names[:4] == ["total", "reconstruction", "kl", "weights"]
    assert 0 < history["weights"][-1] < math.log(5)
    model.save(tmp_path / "iwae.npz")
    loaded = ta.load(tmp_path / "iwae.npz")
    assert loaded.samples == 5
    np.testing.assert_array_equal(loaded.encode(x), model.encode(x))
    assert loaded.evaluate(x, rng(1)) == model.evaluate(x, rng(1))
    np.testing.assert_array_equal(loaded.sample(4, 0), model.sample(4, 0))
    np.testing.assert_allclose(model.compile()(x), model.reconstruct(x), rtol=1e-5, atol=1e-6)


def test_an_explanation_shows_the_weights():
    e = ta.explain(make(samples=3), data(2, dtype=np.float32), rng=1)
    step = e["weights"]
    assert step["w̃ₖ"].corner.sum(axis=0) == pytest.approx(np.ones(2))
    assert step.value["total"] == pytest.approx(e.terms["total"])
    assert any("exp(rₖ)" in line for line in step.forward)
    assert any("w̃ₖ/N" in line for line in step.backward)


def test_what_is_no_bound_is_named():
    for more in ({"beta": 0.5}, {"free_bits": 0.1}, {"warm_up": 10}):
        with pytest.raises(ValueError, match=f"{next(iter(more))} is .* VariationalAutoencoder"):
            make(**more)
    with pytest.raises(ValueError, match="samples"):
        make(samples=0)
    with pytest.raises(ValueError, match="rng=np"):
        make().backprop(data())
