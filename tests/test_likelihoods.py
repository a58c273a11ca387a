"""Likelihoods: true densities in nats a sample, their gradients, and samplers of that density."""

import copy
import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyae import gradcheck
from tinyae.layers import Dense, Sequential
from tinyae.layers.base import Module
from tinyae.likelihoods import (
    Bernoulli,
    Gaussian,
    HeteroscedasticGaussian,
    Laplace,
    LearntGaussian,
    Likelihood,
)

LIKELIHOODS = (
    Bernoulli(),
    Gaussian(0.7),
    LearntGaussian(1.3),
    HeteroscedasticGaussian((-2.0, 1.5)),
    Laplace(0.6),
)
every_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
densities = pytest.mark.parametrize("likelihood", LIKELIHOODS[1:], ids=repr)


def data(likelihood, shape=(5, 3, 2), seed=0, dtype=np.float64):
    """An output y and some data x that fit."""
    rng = np.random.default_rng(seed)
    x = (rng.random(shape) if likelihood.target_range else rng.normal(size=shape)).astype(dtype)
    return 2 * rng.normal(size=likelihood.output_shape(x)).astype(dtype), x


# --- the contract -----------------------------------------------------------------------------


@every_likelihood
@given(
    seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(1, 1), (4, 3), (3, 2, 4), (2, 1, 3, 2)])
)
def test_the_gradient_in_y(likelihood, seed, shape):
    report = gradcheck.check_loss(likelihood, *data(likelihood, shape, seed), rng=seed)
    assert report.ok, report


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5))
def test_the_gradient_in_the_learnt_variance(seed, n):
    rng = np.random.default_rng(seed)
    likelihood = LearntGaussian(rng.uniform(0.2, 3), dtype=np.float64)
    y, x = rng.normal(size=(2, n, 4))
    s = likelihood.logvar.value

    def nll(value):
        twin = copy.deepcopy(likelihood)
        twin.logvar.value[...] = value
        return twin.forward(y, x)[0]

    numeric = gradcheck.numeric_gradient(nll, s)
    for times in (1, 2):  # gradients add
        likelihood.backward(likelihood.forward(y, x)[1])
        np.testing.assert_allclose(likelihood.logvar.grad, times * numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("s", [-3.0, 3.0])
def test_a_variance_out_of_its_range_is_clipped_and_gets_no_gradient(s):
    learnt = LearntGaussian(logvar_range=(-1.0, 1.0), dtype=np.float64)
    learnt.logvar.value[...] = s
    y, x = data(learnt)
    at_the_edge = Gaussian(math.exp(0.5 * np.clip(s, -1, 1)))
    nll, cache = learnt.forward(y, x)
    assert nll == pytest.approx(at_the_edge.forward(y, x)[0])
    learnt.backward(cache)
    assert not learnt.logvar.grad.any()
    each = HeteroscedasticGaussian((-1.0, 1.0))
    wide = np.concatenate([y, np.full_like(y, s)], axis=1)
    nll, dy = each(wide, x)
    assert nll == pytest.approx(at_the_edge.forward(y, x)[0])
    np.testing.assert_allclose(dy[:, : x.shape[1]], at_the_edge(y, x)[1])
    assert not dy[:, x.shape[1] :].any()


@every_likelihood
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_contract(likelihood, dtype):
    likelihood = likelihood.astype(dtype)
    y, x = data(likelihood, dtype=dtype)
    before = y.copy(), x.copy()
    y.flags.writeable = x.flags.writeable = False
    nll, dy = likelihood(y, x)
    assert not any(p.grad.any() for p in likelihood.params.values())
    again, cache = likelihood.forward(y, x)
    np.testing.assert_array_equal(likelihood.backward(cache), dy)
    each = likelihood.log_prob(y, x)
    assert type(nll) is float
    assert nll == again == pytest.approx(-each.mean(), rel=1e-5)
    assert dy.shape == y.shape
    assert dy.dtype == dtype
    assert each.shape == (5,)
    assert each.dtype == np.float64
    for out in (likelihood.mean(y), likelihood.sample(y, np.random.default_rng(0))):
        assert out.shape == x.shape
        assert out.dtype == dtype
    for a, b in zip((y, x), before):
        np.testing.assert_array_equal(a, b)
    for n in range(5):  # samples are independent of each other
        np.testing.assert_allclose(
            likelihood.log_prob(y[n : n + 1], x[n : n + 1]), each[n], rtol=1e-5
        )


@every_likelihood
def test_a_batch_twice_as_large_has_the_same_nll(likelihood):
    y, x = data(likelihood)
    nll, dy = likelihood(y, x)
    twice, dtwice = likelihood(np.concatenate([y, y]), np.concatenate([x, x]))
    assert twice == pytest.approx(nll)
    np.testing.assert_allclose(dtwice[:5], dy / 2)


# --- the densities ----------------------------------------------------------------------------


def test_bernoulli_sums_to_one_over_all_pictures():
    y = np.random.default_rng(0).normal(size=(1, 10)) * 3
    x = np.array(list(itertools.product([0.0, 1.0], repeat=10)))
    log_p = Bernoulli().log_prob(np.repeat(y, len(x), axis=0), x)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-12)
    p = 1 / (1 + np.exp(-y))
    np.testing.assert_allclose(log_p, np.log(np.where(x == 1, p, 1 - p)).sum(axis=1))


@densities
def test_a_density_integrates_to_one_and_has_its_mean(likelihood):
    y = data(likelihood, (1, 1))[0]
    x = np.linspace(-40, 40, 400_001)[:, None]
    p = np.exp(likelihood.log_prob(np.repeat(y, len(x), axis=0), x))
    assert np.trapezoid(p, x[:, 0]) == pytest.approx(1, abs=1e-6)
    assert np.trapezoid(p * x[:, 0], x[:, 0]) == pytest.approx(likelihood.mean(y).item(), abs=1e-5)


def test_gaussians_are_the_known_density():
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, 4, 3))
    std = np.exp(rng.normal(size=(4, 3)) * 0.3)

    def known(std):
        std = np.broadcast_to(std, x.shape)
        each = [math.log(NormalDist(m, s).pdf(v)) for m, s, v in zip(y.flat, std.flat, x.flat)]
        return np.reshape(each, x.shape).sum(axis=1)

    np.testing.assert_allclose(Gaussian(0.4).log_prob(y, x), known(0.4))
    learnt = LearntGaussian(0.4, dtype=np.float64)
    np.testing.assert_allclose(learnt.log_prob(y, x), known(0.4))
    both = np.concatenate([y, 2 * np.log(std)], axis=1)
    np.testing.assert_allclose(HeteroscedasticGaussian().log_prob(both, x), known(std))


def test_laplace_is_the_known_density():
    y, x = np.random.default_rng(0).normal(size=(2, 4, 3))
    known = np.log(np.exp(-np.abs(x - y) / 0.3) / 0.6).sum(axis=1)
    np.testing.assert_allclose(Laplace(0.3).log_prob(y, x), known)


def test_bernoulli_is_safe_at_any_logit():
    y = np.array([[1e4, -1e4, 1e4, -1e4]], np.float32)
    x = np.array([[1.0, 0.0, 0.0, 1.0]], np.float32)
    nll, dy = Bernoulli()(y, x)
    assert nll == pytest.approx(2e4)
    np.testing.assert_array_equal(dy, [[0, 0, 1, -1]])
    assert Bernoulli().log_prob(y, x) == pytest.approx(-2e4)
    np.testing.assert_array_equal(Bernoulli().mean(y), [[1, 0, 1, 0]])


def test_the_learnt_variance_finds_the_mean_squared_error():
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, 50, 4))
    likelihood = LearntGaussian(1.0, dtype=np.float64)
    for _ in range(200):
        likelihood.backward(likelihood.forward(y, x)[1])
        likelihood.logvar.value -= 0.2 * likelihood.logvar.grad
        likelihood.logvar.grad.fill(0)
    assert likelihood.std**2 == pytest.approx(np.mean((x - y) ** 2))


# --- the samplers, which no gradient check can see --------------------------------------------


@every_likelihood
def test_samples_have_the_density_s_own_log_probability(likelihood):
    """E[log p(x)] of samples is minus the entropy, and E[x] is the mean: both in closed form."""
    n = 200_000
    one = data(likelihood, (1, 3))[0]
    y = np.repeat(one, n, axis=0)
    x = likelihood.sample(y, np.random.default_rng(1))
    p = likelihood.mean(one)[0]
    normal = 0.5 * (1 + math.log(2 * math.pi))
    if isinstance(likelihood, Bernoulli):
        assert set(np.unique(x)) == {0, 1}
        entropy, std = -(p * np.log(p) + (1 - p) * np.log(1 - p)), np.sqrt(p * (1 - p))
    elif isinstance(likelihood, Laplace):
        entropy, std = np.full(3, 1 + math.log(2 * 0.6)), np.full(3, math.sqrt(2) * 0.6)
    else:
        std = np.full(3, getattr(likelihood, "std", 0.0))
        if isinstance(likelihood, HeteroscedasticGaussian):
            std = np.exp(0.5 * np.clip(one[0, 3:], *likelihood.logvar_range))
        entropy = normal + np.log(std)
    np.testing.assert_allclose(x.mean(axis=0), p, atol=5 * std.max() / math.sqrt(n))
    np.testing.assert_allclose(x.std(axis=0), std, rtol=0.02)
    log_p = likelihood.log_prob(y, x)
    assert log_p.mean() == pytest.approx(-entropy.sum(), abs=5 * log_p.std() / math.sqrt(n))


# --- misuse -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: Bernoulli()(np.zeros((2, 3)), np.zeros((2, 4))), ValueError, r"Reshape\(4,\)"),
        (lambda: Bernoulli()(np.zeros((2, 3)), np.full((2, 3), 2.0)), ValueError, r"\[0, 1\]"),
        (lambda: Bernoulli().log_prob(np.zeros((2, 3)), -np.ones((2, 3))), ValueError, "Gaussian"),
        (lambda: Gaussian()(np.zeros((2, 3)), np.zeros((2, 3), np.float32)), TypeError, "astype"),
        (lambda: Gaussian()(np.zeros((0, 3)), np.zeros((0, 3))), ValueError, "empty"),
        (
            lambda: HeteroscedasticGaussian()(np.zeros((2, 3)), np.zeros((2, 3))),
            ValueError,
            r"must have \(2, 6\)",
        ),
        (lambda: Gaussian(0), ValueError, "std is 0"),
        (lambda: Gaussian(np.nan), ValueError, "std is nan"),
        (lambda: LearntGaussian(-1), ValueError, "std is -1"),
        (lambda: LearntGaussian(logvar_range=(1, -1)), ValueError, "low < high"),
        (lambda: HeteroscedasticGaussian((0, 0)), ValueError, "low < high"),
        (lambda: Laplace(math.inf), ValueError, "scale is inf"),
    ],
)
def test_misuse_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_a_nan_passes_and_shows():
    for likelihood in LIKELIHOODS:
        y, x = data(likelihood)
        y[0] = np.nan
        assert math.isnan(likelihood(y, x)[0])


def test_a_likelihood_is_a_module_and_an_interface():
    assert isinstance(Gaussian(), Module)
    assert LearntGaussian().params.keys() == {"logvar"}
    y, x = np.zeros((2, 3)), np.zeros((2, 3))
    for call in (
        lambda: Likelihood().log_prob(y, x),
        lambda: Likelihood().backward((y, x)),
        lambda: Likelihood().sample(y, np.random.default_rng(0)),
    ):
        with pytest.raises(NotImplementedError):
            call()
    assert repr(LIKELIHOODS[1]) == "Gaussian(0.7)"
    assert repr(Laplace(2)) == "Laplace(2)"
    assert not Sequential(Dense(2, 2, rng=np.random.default_rng(0))).state
