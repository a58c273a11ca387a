"""The variational autoencoder: its terms, its sampler, its bounds, and probabilistic PCA."""

import copy
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.data.binarize import Binarize
from tinyae.likelihoods import (
    Bernoulli,
    Gaussian,
    HeteroscedasticGaussian,
    Laplace,
    LearntGaussian,
)
from tinyae.models.conditional import ConditionalVariationalAutoencoder
from tinyae.models.interpolation import linear, spherical
from tinyae.models.variational import VariationalAutoencoder
from tinyae.twin import definitions_only, watching

LIKELIHOODS = (
    Bernoulli(),
    Gaussian(0.7),
    LearntGaussian(0.8),
    HeteroscedasticGaussian((-1.0, 1.0)),
    Laplace(0.4),
)


def make(
    likelihood=None,
    *,
    width=6,
    units=(5,),
    latent_dim=3,
    classes=0,
    seed=0,
    dtype=np.float32,
    **rest,
):
    """Tanh layers; with ``classes`` the conditional model."""
    rng = np.random.default_rng(seed)

    def dense(wide, narrow):
        return ta.Dense(wide, narrow, rng=rng, dtype=dtype)

    widths = [width, *units]
    encoder, decoder = [], []
    for wide, narrow in itertools.pairwise(widths):
        encoder += [dense(wide, narrow), ta.Tanh()]
    heads = [dense(widths[-1] + classes, latent_dim) for _ in range(2)]
    likelihood = copy.deepcopy(likelihood or Bernoulli())
    wide = latent_dim + classes
    for narrow in reversed(units):
        decoder += [dense(wide, narrow), ta.Tanh()]
        wide = narrow
    out = likelihood.output_shape(np.empty((1, width)))[1]
    parts = ta.Sequential(*encoder), *heads, ta.Sequential(*decoder, dense(wide, out)), likelihood
    if classes:
        return ConditionalVariationalAutoencoder(*parts, classes=classes, **rest)
    return VariationalAutoencoder(*parts, **rest)


def data(n=8, width=6, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).random((n, width)).astype(dtype)


def heads(model, x):
    """μ and ln σ² by the layers alone."""
    h = model.encoder(x)
    return model.mean(h), np.clip(model.logvar(h), *model.logvar_range)


# --- gradients --------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 5),
    width=st.integers(1, 6),
    units=st.lists(st.integers(1, 6), min_size=1, max_size=2),
    latent_dim=st.integers(1, 4),
    likelihood=st.sampled_from(LIKELIHOODS),
    classes=st.sampled_from([0, 3]),
    binary=st.booleans(),
)
def test_gradients_with_every_term_on(
    seed, n, width, units, latent_dim, likelihood, classes, binary
):
    model = make(
        likelihood,
        width=width,
        units=units,
        latent_dim=latent_dim,
        classes=classes,
        seed=seed,
        beta=0.7,
        free_bits=0.1,
        warm_up=10,
        logvar_range=(-0.3, 0.4),
        resample=Binarize() if binary else None,
    )
    model.steps[...] = 6
    x = data(n, width, seed, np.float64)
    if classes:
        x = x, np.random.default_rng(seed).integers(0, classes, n)
    report = gradcheck.check_model(model, x, rng=seed)
    assert report.ok, report


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("classes", [0, 3])
def test_gradients_where_some_of_everything_is_cut_off(likelihood, classes):
    """Some log-variances are clipped and some not, some dimensions are free and some not."""
    model = make(
        likelihood, classes=classes, beta=0.7, free_bits=0.1, warm_up=10, logvar_range=(-0.3, 0.4)
    )
    model.steps[...] = 6
    model.logvar.b.value[...] = [0.5, 0.3, -0.4]  # as clipped by the range: yes and no
    model.mean.b.value[...] = [1.0, 0.0, 0.0]
    model.mean.W.value[1:] *= 0.1
    x = data(dtype=np.float64)
    labels = np.arange(len(x)) % 3
    batch = (x, labels) if classes else x
    report = gradcheck.check_model(model, batch, rng=0)
    assert report.ok, report
    twin = model.astype(np.float64)
    h = twin.encoder(x)
    if classes:
        h = np.concatenate([h, np.eye(3)[labels]], axis=1)
    mu, raw = twin.mean(h), twin.logvar(h)
    assert 0 < ((raw > -0.3) & (raw < 0.4)).mean() < 1
    logvar = np.clip(raw, -0.3, 0.4)
    each = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).mean(axis=0)
    assert 0 < (each > 0.1).sum() < 3


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("classes", [0, 3])
def test_a_decoder_of_dense_layers_at_once_is_the_one_layer_by_layer(likelihood, classes):
    model, x = make(likelihood, classes=classes), data(20)
    batch = (x, np.arange(20) % 3) if classes else x
    twin = copy.deepcopy(model)
    with watching() as used:
        terms = model.backprop(batch, np.random.default_rng(1))
    assert ("VariationalAutoencoder.decoder_step" in used) == isinstance(likelihood, Bernoulli)
    with definitions_only():
        want = twin.backprop(batch, np.random.default_rng(1))
    assert terms == pytest.approx(want, rel=1e-6)
    for name, p in twin.params.items():
        np.testing.assert_allclose(model.params[name].grad, p.grad, rtol=1e-4, atol=1e-5)


def test_what_no_coin_can_give_is_named_before_anything_changes():
    model = make()
    with pytest.raises(ValueError, match="Bernoulli: x lies in"):
        model.backprop(3 * data(20), np.random.default_rng(0))
    assert not any(p.grad.any() for p in model.params.values())
    assert model.steps == 0


@pytest.mark.parametrize("classes", [0, 2])
def test_gradients_through_convolutions(classes):
    rng = np.random.default_rng(0)
    encoder, decoder = ta.conv_pair((1, 4, 4), [2], latent_dim=3, output=None, rng=rng)
    *features, code = encoder.layers
    heads = [ta.Dense(code.in_features + classes, 3, rng=rng) for _ in range(2)]
    if classes:
        first = ta.Dense(3 + classes, decoder.layers[0].out_features, rng=rng)
        decoder = ta.Sequential(first, *decoder.layers[1:])
    x = rng.random((3, 1, 4, 4))
    parts = ta.Sequential(*features), *heads, decoder
    if classes:
        model = ConditionalVariationalAutoencoder(*parts, classes=classes)
        x = x, np.array([0, 1, 0])
    else:
        model = VariationalAutoencoder(*parts)
    report = gradcheck.check_model(model, x, rng=rng)
    assert report.ok, report


@pytest.mark.parametrize("classes", [0, 2])
def test_gradients_with_a_code_that_is_a_map(classes):
    """Heads and decoder of convolutions alone: the label stands at each place."""
    rng = np.random.default_rng(0)
    encoder = ta.Sequential(ta.Conv2d(1, 2, 3, 2, "same", rng=rng), ta.Tanh())
    mean, logvar = (ta.Conv2d(2 + classes, 2, 1, rng=rng) for _ in range(2))
    decoder = ta.ConvTranspose2d(2 + classes, 1, 2, 2, rng=rng)
    x = rng.random((3, 1, 4, 4))
    if classes:
        model = ConditionalVariationalAutoencoder(encoder, mean, logvar, decoder, classes=classes)
        x = x, np.array([0, 1, 0])
    else:
        model = VariationalAutoencoder(encoder, mean, logvar, decoder, free_bits=0.01)
    report = gradcheck.check_model(model, x, rng=rng)
    assert report.ok, report
    assert model.encode(x).shape == (3, 2, 2, 2)
    assert model.log_likelihood(x, samples=5).each.shape == (3,)
    with pytest.raises(ValueError, match="ends in Conv2d"):
        _ = model.latent_dim


# --- the terms --------------------------------------------------------------------------------


def test_backprop_objective_and_evaluate_give_the_terms():
    model, x = make(beta=2.0, free_bits=0.3), data()
    before = {name: p.value.copy() for name, p in model.params.items()}
    terms = model.objective(x, np.random.default_rng(1))
    assert not any(p.grad.any() for p in model.params.values())
    assert model.backprop(x, np.random.default_rng(1)) == terms
    assert model.evaluate_batch(x, np.random.default_rng(1)) == terms
    assert all(type(value) is float for value in terms.values())
    assert terms["total"] == pytest.approx(
        terms["reconstruction"] + 2 * (terms["kl"] + terms["free_bits"])
    )
    assert all(p.grad.any() for p in model.params.values())
    for name, p in model.params.items():
        np.testing.assert_array_equal(p.value, before[name])
    assert make().objective(x, np.random.default_rng(1)).keys() == {"total", "reconstruction", "kl"}


def test_kl_is_the_divergence_of_the_two_gaussians():
    """Against a Monte Carlo mean of log q(z) − log p(z), with densities written out."""
    model, x, n = make(latent_dim=2, dtype=np.float64), data(3, dtype=np.float64), 400_000
    mu, logvar = heads(model, x)
    rng = np.random.default_rng(0)
    ratios = []
    for m, s in zip(mu, logvar):
        z = rng.normal(m, np.exp(0.5 * s), (n, 2))
        log_q = -0.5 * ((z - m) ** 2 / np.exp(s) + s).sum(axis=1)
        ratios.append(log_q + 0.5 * (z**2).sum(axis=1))
    error = np.std(ratios) / math.sqrt(3 * n)
    assert model.objective(x, rng)["kl"] == pytest.approx(np.mean(ratios), abs=5 * error)


def test_kl_and_reconstruction_are_sums_a_sample():
    """Features twice over double the reconstruction, samples twice over change nothing."""
    model, x = make(latent_dim=4), data(6)
    model.encoder.layers[0].W.value[...] = 0  # no sample tells anything: one μ, one s for all
    for layer in model.decoder.layers[::2]:
        layer.W.value[...] = 0
    terms = model.objective(x, np.random.default_rng(0))
    assert terms["reconstruction"] == pytest.approx(6 * math.log(2), rel=1e-6)  # fair coins
    model.mean.b.value[...] = [1, 2, 3, 4]
    model.logvar.W.value[...] = 0
    terms = model.objective(x, np.random.default_rng(0))
    assert terms["kl"] == pytest.approx(0.5 * (1 + 4 + 9 + 16))
    twice = model.objective(np.concatenate([x, x]), np.random.default_rng(0))
    assert twice == pytest.approx(terms)


def test_the_draw_has_the_standard_deviation_of_its_variance():
    """Fails for z = μ + exp(s) ε, which no gradient check can see."""
    model, n = make(latent_dim=2), 100_000
    seen = []

    class Spy(ta.Dense):
        def forward(self, z):
            seen.append(z)
            return super().forward(z)

    spy = Spy(2, 6, rng=np.random.default_rng(0))
    model.decoder = ta.Sequential(spy)
    for head, values in ((model.mean, [1.0, -2.0]), (model.logvar, [math.log(4), math.log(0.01)])):
        head.W.value[...] = 0
        head.b.value[...] = values
    x = np.zeros((n, 6), np.float32)
    rng = np.random.default_rng(0)
    for run in (
        lambda: model.objective(x, rng),
        lambda: model.backprop(x, rng),
        lambda: model.evaluate_batch(x, rng),
        lambda: list(model.trace(x, rng)),
        lambda: model.log_likelihood(x[:1], rng, samples=n),
    ):
        seen.clear()
        run()
        z = np.concatenate(seen)
        assert len(z) == n
        np.testing.assert_allclose(z.mean(axis=0), [1, -2], atol=5 * 2 / math.sqrt(n))
        np.testing.assert_allclose(z.std(axis=0), [2, 0.1], rtol=0.02)
        assert abs(np.corrcoef(z.T)[0, 1]) < 5 / math.sqrt(n)


def test_warm_up_is_a_line_and_evaluate_knows_nothing_of_it():
    model, x = make(warm_up=4, beta=2.0), data()
    betas = []
    for _ in range(6):
        terms = model.objective(x, np.random.default_rng(0))
        assert model.backprop(x, np.random.default_rng(0)) == terms  # objective counts no step
        betas.append((terms["total"] - terms["reconstruction"]) / terms["kl"])
        whole = model.evaluate(x)
        assert whole["total"] == pytest.approx(whole["reconstruction"] + 2 * whole["kl"])
    np.testing.assert_allclose(betas, [0, 0.5, 1, 1.5, 2, 2], atol=1e-5)


def test_free_bits_leave_the_gradient_above_the_threshold_alone():
    x = data(dtype=np.float64)
    plain = make(dtype=np.float64)
    plain.mean.b.value[...] = [2.0, 0.0, 0.0]  # the first dimension alone costs more than λ
    bits = copy.deepcopy(plain)
    bits.free_bits = 0.5
    rng = np.random.default_rng
    terms, kept = plain.backprop(x, rng(0)), bits.backprop(x, rng(0))
    assert kept["kl"] == terms["kl"]
    assert kept["total"] == pytest.approx(terms["total"] + kept["free_bits"])
    assert kept["free_bits"] > 0
    nothing = copy.deepcopy(plain)
    nothing.beta = 0.0
    for p in nothing.params.values():
        p.grad.fill(0)
    nothing.backprop(x, rng(0))
    np.testing.assert_allclose(bits.mean.b.grad[0], plain.mean.b.grad[0])
    np.testing.assert_allclose(bits.mean.b.grad[1:], nothing.mean.b.grad[1:])
    assert bits.mean.b.grad[0] - nothing.mean.b.grad[0] == pytest.approx(
        float(plain.encode(x)[:, 0].mean())  # ∂KL/∂μ, averaged: it is there
    )


def test_binarised_pixels_are_input_and_target_with_the_right_frequency():
    x = np.tile(np.linspace(0, 1, 6, dtype=np.float32), (20_000, 1))
    x.flags.writeable = False
    drawn = Binarize()(x, np.random.default_rng(0))
    assert set(np.unique(drawn)) == {0, 1}
    assert drawn.dtype == x.dtype
    np.testing.assert_allclose(drawn.mean(axis=0), x[0], atol=5 * 0.5 / math.sqrt(20_000))
    assert not drawn[:, 0].any()
    assert drawn[:, -1].all()
    model, plain = make(resample=Binarize()), make()
    rng = np.random.default_rng(3)
    terms = model.objective(x[:9], np.random.default_rng(3))
    assert terms == plain.objective(Binarize()(x[:9], rng), rng)
    assert model.evaluate(x[:9]) == model.evaluate(x[:9])  # the same noise at each call
    with pytest.raises(ValueError, match="Binarize: x"):
        Binarize()(x * 2, rng)


# --- use --------------------------------------------------------------------------------------


def test_encode_decode_reconstruct_are_deterministic():
    model, x = make(), data(2500)
    mu, _ = heads(model, x)
    np.testing.assert_allclose(model.encode(x), mu, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.encode(x), model.encode(x))
    y = model.decode(model.encode(x))
    assert y.shape == x.shape
    assert 0 <= y.min() <= y.max() <= 1
    np.testing.assert_array_equal(model.reconstruct(x), y)
    each = model.reconstruction_error(x, per_feature=True)
    np.testing.assert_allclose(each, (y - x) ** 2, rtol=1e-6)
    np.testing.assert_allclose(model.reconstruction_error(x), each.mean(axis=1), rtol=1e-5)
    assert model.encode(x[:0]).shape == (0, 3)
    names = [name for name, _ in model.trace(x, np.random.default_rng(0))]
    parts = ["encoder.0", "encoder.1", "mean", "logvar", "decoder.0", "decoder.1", "decoder.2"]
    assert names == parts


@pytest.mark.parametrize("n", [1, 7, 1025])
def test_as_many_samples_as_asked_for(n):
    model = make()
    for call in (model.sample, model.draw):
        y = call(n, np.random.default_rng(0))
        assert y.shape == (n, 6)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, call(n, 0))
    assert set(np.unique(model.draw(n))) <= {0, 1}
    z = np.random.default_rng(0).standard_normal((n, 3), np.float32)
    np.testing.assert_array_equal(model.sample(n), model.decode(z))


def test_draws_have_the_mean_of_the_samples_and_more_spread():
    model = make(Gaussian(0.5))
    means, draws = model.sample(50_000, 1), model.draw(50_000, 2)
    np.testing.assert_allclose(means.mean(axis=0), draws.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(means.var(axis=0) + 0.25, draws.var(axis=0), rtol=0.05)


@pytest.mark.parametrize("path", [linear, spherical])
def test_interpolation_has_its_ends(path):
    model, a, b = make(), data(3, seed=1), data(3, seed=2)
    walk = model.interpolate(a, b, 5, path)
    assert walk.shape == (5, 3, 6)
    np.testing.assert_allclose(walk[0], model.reconstruct(a), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(walk[-1], model.reconstruct(b), rtol=1e-5, atol=1e-6)
    middle = path(model.encode(a), model.encode(b), 0.5)
    np.testing.assert_allclose(walk[2], model.decode(middle), rtol=1e-5, atol=1e-6)
    assert model.interpolate(a, b, 1, path).shape == (1, 3, 6)


@given(seed=st.integers(0, 2**32 - 1), t=st.floats(0, 1), width=st.integers(2, 50))
def test_a_spherical_path_keeps_length_and_speed(seed, t, width):
    z0, z1 = np.random.default_rng(seed).normal(size=(2, 4, width))
    z0, z1 = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (z0, z1))
    z = spherical(z0, z1, t)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-6)
    angle = np.arccos(np.clip((z0 * z1).sum(axis=1), -1, 1))
    along = np.arccos(np.clip((z0 * z).sum(axis=1), -1, 1))
    np.testing.assert_allclose(along, t * angle, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_spherical_path_is_safe_where_there_is_no_arc(dtype):
    z = np.array([[1.0, 2.0, 3.0]], dtype)
    for z0, z1 in ((z, z), (z, 2 * z), (z, -z), (0 * z, z), (0 * z, 0 * z), (z, z * (1 + 1e-7))):
        for t in (0.0, 0.3, 1.0):
            y = spherical(z0, z1, t)
            assert y.dtype == dtype
            assert np.isfinite(y).all()
            np.testing.assert_allclose(y, linear(z0, z1, t), rtol=1e-3, atol=1e-6)


def test_a_traverse_moves_one_dimension():
    model, x = make(), data(4)
    seen = model.traverse(x, 1, [-2.0, 0.0, 2.0])
    assert seen.shape == (3, 4, 6)
    z = model.encode(x)
    z[:, 1] = 2.0
    np.testing.assert_array_equal(seen[2], model.decode(z))
    with pytest.raises(ValueError, match="dimension is 3, expected 0 to 2"):
        model.traverse(x, 3, [0.0])


# --- the conditional model --------------------------------------------------------------------


def test_the_label_reaches_heads_and_decoder():
    model, x = make(classes=3), data(5)
    a, b = np.zeros(5, int), np.full(5, 2)
    assert (model.encode((x, a)) != model.encode((x, b))).all()
    z = model.encode((x, a))
    one_hot = np.tile(np.float32([0, 0, 1]), (5, 1))
    wanted = model.likelihood.mean(model.decoder(np.concatenate([z, one_hot], axis=1)))
    np.testing.assert_array_equal(model.decode((z, b)), wanted)
    np.testing.assert_array_equal(model.reconstruct((x, a)), model.decode((z, a)))
    assert model.reconstruction_error((x, a)).shape == (5,)
    assert model.sample([2, 0, 1, 1], 0).shape == (4, 6)
    assert model.draw(b, 0).shape == (5, 6)
    assert model.interpolate((x, a), (x, b), 3).shape == (3, 5, 6)
    assert model.traverse((x, a), 0, [0.0, 1.0]).shape == (2, 5, 6)
    assert model.elbo((x, a)).each.shape == (5,)
    many = np.tile(x, (300, 1)), np.tile(a, 300)
    assert model.encode(many).shape == (1500, 3)


def test_a_conditional_model_learns_what_the_label_says():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    x = (rng.random((600, 6)) < np.where(labels, 0.9, 0.1)[:, None]).astype(np.float32)
    model = make(classes=2)
    model.fit(
        (x, labels), epochs=15, optimizer=ta.Adam(1e-2), validation=(x, labels), progress=False
    )
    for label, p in ((0, 0.1), (1, 0.9)):
        assert model.sample([label] * 200).mean() == pytest.approx(p, abs=0.05)


# --- bounds -----------------------------------------------------------------------------------


def linear_gaussian(latent_dim=2, width=5, seed=0, std=0.6, sloppy=0.0):
    """x = W z + b + σ ε, with the exact posterior in the heads, but for ``sloppy``.

    Also log p(x) as a function: N(b, W Wᵀ + σ² I).
    """
    rng = np.random.default_rng(seed)
    W, b = rng.normal(size=(width, latent_dim)), rng.normal(size=width)
    W = np.linalg.qr(W)[0] * [1.5, 0.8][:latent_dim]  # then the posterior's covariance is diagonal
    spread = 1 / (1 + (W**2).sum(axis=0) / std**2)
    dense = [ta.Dense(width, latent_dim, rng=rng, dtype=np.float64) for _ in range(2)]
    dense[0].W.value[...] = spread[:, None] * W.T / std**2
    dense[0].b.value[...] = -dense[0].W.value @ b
    dense[1].W.value[...] = 0
    dense[1].b.value[...] = np.log(spread) + sloppy
    decoder = ta.Dense(latent_dim, width, rng=rng, dtype=np.float64)
    decoder.W.value[...], decoder.b.value[...] = W, b
    model = VariationalAutoencoder(ta.Sequential(), *dense, decoder, Gaussian(std))
    covariance = W @ W.T + std**2 * np.eye(width)

    def log_p(x):
        d = x - b
        squares = (d @ np.linalg.inv(covariance) * d).sum(axis=1)
        return -0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])

    return model, log_p, rng.multivariate_normal(b, covariance, 300)


def test_the_exact_posterior_makes_the_bound_tight():
    model, log_p, x = linear_gaussian()
    each = model.log_likelihood(x, samples=1).each  # every weight is p(x) itself
    np.testing.assert_allclose(each, log_p(x), rtol=1e-10)
    np.testing.assert_allclose(model.log_likelihood(x, samples=20).each, log_p(x), rtol=1e-10)
    bound = model.elbo(x, samples=4000)
    np.testing.assert_allclose(bound.each, log_p(x), atol=0.25)
    assert bound.value == pytest.approx(log_p(x).mean(), abs=0.01)


def test_importance_sampling_climbs_from_the_elbo_to_the_exact_value():
    model, log_p, x = linear_gaussian(sloppy=0.8)  # a posterior more than twice too wide
    exact = log_p(x)
    bound = model.elbo(x, samples=200)
    values = [model.log_likelihood(x, samples=k).value for k in (1, 5, 50, 5000)]
    assert bound.value == pytest.approx(values[0], abs=0.2)  # at K = 1 they are the same on average
    assert bound.value < values[1] < values[2] < exact.mean() + 0.02
    estimate = model.log_likelihood(x, samples=5000)
    np.testing.assert_allclose(estimate.each, exact, atol=0.25)
    assert estimate.value == pytest.approx(exact.mean(), abs=0.01)
    # the ELBO's gap is KL(q ‖ posterior), here known: s = ln σ² is 0.8 too large in 2 dimensions
    assert exact.mean() - bound.value == pytest.approx(math.exp(0.8) - 1 - 0.8, abs=0.05)


def test_scores_are_the_same_at_every_call_and_negative_where_x_is_discrete():
    model, x = make(), (data(600) > 0.5).astype(np.float32)
    for call in (model.elbo, model.log_likelihood):
        first = call(x, samples=3)
        model.sample(5)
        model.evaluate(x)
        second = call(x, samples=3)
        np.testing.assert_array_equal(first.each, second.each)
        np.testing.assert_array_equal(call(x, np.random.default_rng(0), 3).each, first.each)
        assert first.each.shape == (600,)
        assert (first.each < 0).all()
        assert first.value == pytest.approx(first.each.mean())
        assert first.standard_error == pytest.approx(first.each.std(ddof=1) / math.sqrt(600))
        assert (call(x, 1, 3).each != first.each).any()
    assert math.isnan(model.elbo(x[:1]).standard_error)
    assert -model.evaluate(x)["total"] == pytest.approx(model.elbo(x, samples=50).value, abs=0.05)


def test_elbo_ignores_beta_free_bits_and_warm_up():
    x = (data(50) > 0.5).astype(np.float32)
    model = make()
    twin = make(beta=3.0, free_bits=1.0, warm_up=100, resample=Binarize())
    np.testing.assert_array_equal(model.elbo(x).each, twin.elbo(x).each)


def test_the_exact_likelihood_of_a_small_bernoulli_model():
    """log p(x) by quadrature over one latent number."""
    model = make(latent_dim=1, dtype=np.float64)
    model.logvar.b.value += 1.0  # a q that is wide enough, as a trained one is
    model.mean.W.value *= 0.3
    x = (data(5) > 0.5).astype(np.float64)
    z = np.linspace(-8, 8, 4001)[:, None]
    prior = np.exp(-0.5 * z[:, 0] ** 2) / math.sqrt(2 * math.pi)
    y = model.decoder(z)
    for row, value in zip(x, model.log_likelihood(x, samples=4000).each):
        p = np.exp(model.likelihood.log_prob(y, np.tile(row, (len(z), 1))))
        assert value == pytest.approx(math.log(np.trapezoid(p * prior, z[:, 0])), abs=0.03)


# --- the oracle: Lucas et al. (2019), Tipping & Bishop (1999) ---------------------------------


def probabilistic_pca(x, k):
    """The greatest mean log-likelihood of N(b, W Wᵀ + σ² I), from the covariance's eigenvalues."""
    _n, d = x.shape
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    noise = values[k:].mean()
    kept = np.log(values[:k]).sum() + (d - k) * math.log(noise) + d
    return -0.5 * (d * math.log(2 * math.pi) + kept), noise


def test_a_linear_gaussian_vae_reaches_probabilistic_pca():
    rng = np.random.default_rng(0)
    n, d, k = 400, 8, 2
    x = rng.normal(size=(n, k)) * [1.5, 1.0] @ rng.normal(size=(k, d))
    x += 0.4 * rng.normal(size=x.shape) + rng.normal(size=d)
    dense = [ta.Dense(d, k, rng=rng, dtype=np.float64) for _ in range(2)]
    decoder = ta.Dense(k, d, rng=rng, dtype=np.float64)
    likelihood = LearntGaussian(dtype=np.float64)
    model = VariationalAutoencoder(ta.Sequential(), *dense, decoder, likelihood)
    best, noise = probabilistic_pca(x, k)
    steps = 4000
    optimizer = ta.Adam(ta.Cosine(0.02, steps))
    for _ in range(steps):
        model.backprop(x, rng)
        optimizer.step(model.params)
    reached = model.elbo(x, samples=400).value
    assert best - 0.02 < reached < best + 0.005
    assert likelihood.std**2 == pytest.approx(noise, rel=0.02)
    W, b = decoder.W.value, decoder.b.value
    model_covariance = W @ W.T + likelihood.std**2 * np.eye(d)
    np.testing.assert_allclose(b, x.mean(axis=0), atol=0.05)
    # its covariance is the data's, but for the noise made round; and its own exact likelihood
    exact = -0.5 * (
        np.linalg.slogdet(2 * np.pi * model_covariance)[1]
        + np.trace(np.linalg.solve(model_covariance, np.cov(x.T, bias=True)))
    )
    assert exact == pytest.approx(best, abs=0.01)


# --- save, load, resume -----------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("classes", [0, 2])
def test_save_and_load(likelihood, classes, tmp_path):
    settings = {"beta": 0.5, "free_bits": 0.1, "warm_up": 9, "logvar_range": (-3.0, 2.0)}
    model = make(likelihood, classes=classes, resample=Binarize(), **settings)
    x = data()
    batch = (x, np.arange(8) % 2) if classes else x
    model.backprop(batch, np.random.default_rng(0))
    if isinstance(likelihood, LearntGaussian):
        model.likelihood.logvar.value += 0.3
    model.save(tmp_path / "m.npz")
    loaded = ta.load(tmp_path / "m.npz")
    assert loaded.evaluate(batch) == model.evaluate(batch)
    assert repr(loaded) == repr(model)
    assert loaded.steps == 1
    rng = np.random.default_rng
    assert loaded.objective(batch, rng(0)) == model.objective(batch, rng(0))


def test_resuming_gives_the_same_bits_warm_up_and_all(tmp_path):
    x = data(40)

    def fit(model, epochs, **rest):
        model.fit(x, epochs=epochs, batch_size=8, validation=x, progress=False, **rest)
        return model

    def fresh():
        return make(LearntGaussian(), warm_up=15, resample=Binarize())

    whole = fit(fresh(), 4)
    fit(fresh(), 2, checkpoint=tmp_path / "c.npz")
    resumed = fit(fresh(), 4, resume=tmp_path / "c.npz")
    assert resumed.steps == whole.steps == 20
    for name, p in whole.params.items():
        np.testing.assert_array_equal(resumed.params[name].value, p.value)


def test_training_improves_the_bound():
    x = (np.random.default_rng(0).random((500, 1)) > 0.5).repeat(6, axis=1).astype(np.float32)
    model = make()
    before = model.elbo(x).value
    model.fit(x, epochs=15, optimizer=ta.Adam(1e-2), progress=False)
    after = model.elbo(x).value
    assert before < -3.5
    assert after > -1.5
    assert after <= model.log_likelihood(x, samples=50).value <= -math.log(2) + 0.05


# --- misuse -----------------------------------------------------------------------------------


def parts(**other):
    model = make()
    names = ("encoder", "mean", "logvar", "decoder", "likelihood")
    return {name: getattr(model, name) for name in names} | other


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: VariationalAutoencoder(**parts(likelihood=ta.MSE())), TypeError, "Likelihood"),
        (lambda: VariationalAutoencoder(**parts(likelihood=Gaussian)), TypeError, r"Gaussian\("),
        (lambda: VariationalAutoencoder(**parts(mean=3)), TypeError, "mean is 3"),
        (lambda: VariationalAutoencoder(**parts(resample=1)), TypeError, "Corruption"),
        (lambda: VariationalAutoencoder(**parts(), beta=-1), ValueError, "beta is -1"),
        (
            lambda: VariationalAutoencoder(**parts(), free_bits=np.nan),
            ValueError,
            "free_bits is nan",
        ),
        (lambda: VariationalAutoencoder(**parts(), warm_up=0.5), ValueError, "warm_up is 0.5"),
        (lambda: VariationalAutoencoder(**parts(), logvar_range=3), ValueError, "low < high"),
        (
            lambda: VariationalAutoencoder(**parts(decoder=ta.Sequential(ta.Sigmoid()))),
            ValueError,
            "takes logits",
        ),
        (lambda: make().objective(data()), ValueError, "default_rng"),
        (lambda: make().sample(0), ValueError, "n is 0"),
        (lambda: make().elbo(data(), samples=0), ValueError, "samples is 0"),
        (lambda: make().interpolate(data(), data(), 0), ValueError, "steps is 0"),
        (lambda: make().check_data(2 * data()), ValueError, r"\[0, 1\]"),
        (lambda: make().check_data((data(), data())), TypeError, "tuple of 2"),
        (lambda: make().check_data(data() * np.nan), ValueError, "nan"),
        (lambda: make().reconstruct(np.zeros((2, 7), np.float32)), ValueError, "7"),
        (lambda: make(classes=2).encode(data()), TypeError, r"pass \(x, labels\)"),
        (lambda: make(classes=2).check_data(data()), TypeError, r"pass \(x, labels\)"),
        (
            lambda: make(classes=2).check_data((data(), np.full(8, 2))),
            ValueError,
            "expected 0 to 1",
        ),
        (lambda: make(classes=2).check_data((data(), np.zeros(7, int))), ValueError, "8 and 7"),
        (
            lambda: make(classes=2).check_data((2 * data(), np.zeros(8, int))),
            ValueError,
            "Bernoulli",
        ),
        (lambda: make(classes=2).sample([0.5]), TypeError, "integers"),
        (lambda: make(classes=2).sample([[0]]), ValueError, r"\(N,\)"),
        (lambda: make(classes=2).sample([-1]), ValueError, "from -1"),
    ],
)
def test_misuse_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_a_bounded_decoder_must_reach_the_data():
    rng = np.random.default_rng(0)
    dense = [ta.Dense(6, 2, rng=rng) for _ in range(2)]
    decoder = ta.Sequential(ta.Dense(2, 6, rng=rng), ta.Sigmoid())
    model = VariationalAutoencoder(ta.Sequential(), *dense, decoder, Gaussian(0.1))
    model.check_data(data())
    with pytest.raises(ValueError, match="Sigmoid"):
        model.check_data(data() * 3)
