"""The Wasserstein GAN: the gradient penalty, its second derivative, and what the critic measures."""

import math
import runpy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.learn.track import find
from tinyae.models.gan_losses import CriticLoss
from tinyae.models.wasserstein_gan import CriticPlayer, between


def rng(seed=0):
    return np.random.default_rng(seed)


def make(dtype=np.float64, seed=0, penalty=10.0):
    noise = rng(seed)
    G = ta.Sequential(ta.Dense(2, 4, rng=noise), ta.ELU(), ta.Dense(4, 6, rng=noise))
    f = ta.Sequential(ta.Dense(6, 5, rng=noise), ta.Tanh(), ta.Dense(5, 1, rng=noise))
    return ta.WassersteinGAN(G, f, penalty).astype(dtype)


def data(n, seed=0, dtype=np.float64):
    return rng(seed).normal(size=(n, 6)).astype(dtype)


def grads(model):
    return {name: p.grad.copy() for name, p in model.params.items()}


# --- the second derivative ----------------------------------------------------------------------


@st.composite
def critics(draw):
    """A critic of random layers that are differentiable twice, and a batch for it."""
    noise = rng(draw(st.integers(0, 2**16)))
    smooth = draw(st.sampled_from([ta.Tanh, ta.Softplus, ta.ELU, ta.SiLU, ta.GELU]))
    n, width = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["dense", "conv", "sequence", "attention", "residual"]))
    if kind == "conv":
        shape = 2, 4, 4
        layers = [ta.Conv2d(2, width, 3, 2, "same", rng=noise), smooth()]
        layers += [draw(st.sampled_from([ta.AvgPool2d(2), ta.GroupNorm(1, width), ta.ELU()]))]
        layers += [ta.Flatten()]
    elif kind == "sequence":
        shape = 2, 5
        layers = [ta.Conv1d(2, width, 3, 1, "same", rng=noise), smooth(), ta.Flatten()]
    elif kind == "attention":
        shape = 3, 4
        layers = [ta.MultiHeadAttention(4, 2, rng=noise), ta.LayerNorm(4), ta.Flatten()]
    elif kind == "residual":
        shape = (4,)
        layers = [ta.Residual(ta.Sequential(ta.Dense(4, 4, rng=noise), smooth()))]
        layers += [ta.LayerNorm(4)] if draw(st.booleans()) else []
    else:
        shape = (4,)
        layers = [ta.Dense(4, 3, rng=noise), smooth()]
    size = ta.Sequential(*layers)(np.zeros((1, *shape), np.float32)).size
    layers += [ta.Dense(size, width, rng=noise), smooth(), ta.Dense(width, 1, rng=noise)]
    generator = ta.Sequential(
        ta.Dense(2, math.prod(shape), rng=noise), ta.Tanh(), ta.Reshape(*shape)
    )
    model = ta.WassersteinGAN(generator, ta.Sequential(*layers), 2.0).astype(np.float64)
    for p in model.params.values():
        p.value[...] += noise.normal(0, 0.3, p.shape)
    return model, noise.normal(size=(n, *shape))


@settings(max_examples=25)
@given(critics(), st.integers(0, 99))
def test_the_critics_whole_objective(case, seed):
    model, x = case
    for player in model.players:
        report = gradcheck.check_model(player, x, rng(seed))
        assert report.ok, f"{type(player).__name__}\n{report}"


@settings(max_examples=20)
@given(critics(), st.integers(0, 99))
def test_the_slope_is_that_of_central_differences_and_of_the_tangent(case, seed):
    model, x = case
    h = 1e-5
    g, cache = model.gradient(x)
    flat, f = x.reshape(len(x), -1), model.discriminator
    for i in range(flat.shape[1]):
        step = np.zeros_like(flat)
        step[:, i] = h
        step = step.reshape(x.shape)
        slope = (f(x + step) - f(x - step)).ravel() / (2 * h)
        np.testing.assert_allclose(g.reshape(len(x), -1)[:, i], slope, rtol=1e-5, atol=1e-7)
    norms = np.linalg.norm(g.reshape(len(x), -1), axis=1)
    v = g / norms.reshape(-1, *[1] * (g.ndim - 1))
    np.testing.assert_allclose(f.tangent(v, cache)[0].ravel(), norms, rtol=1e-9)


def penalty_alone(model, x):
    """The penalty's gradient at x: what is left where x̂ = x = x̃, so that the distance cancels."""
    player = model.players[0]
    player.real_and_fake = lambda *_, **__: (x, x)
    return player.backprop(x, rng())


def test_it_is_the_exercises_penalty():
    """learn/solutions/32: the same second derivative, by hand for one hidden layer of tanh."""
    model, x = make(), data(7)
    scope = runpy.run_path(str(find("gradient_penalty").solution_path))
    first, _, last = model.discriminator.layers
    P, dW, db, dv = scope["gradient_penalty"](x, first.W.value, first.b.value, last.W.value.ravel())
    terms = penalty_alone(model, x)
    assert terms["gradient_penalty"] == pytest.approx(P, rel=1e-12)
    assert terms["distance"] == 0
    for got, want in ((first.W, dW), (first.b, db), (last.W, dv[None])):
        np.testing.assert_allclose(got.grad, 10 * want, rtol=1e-9, atol=1e-12)


def test_of_a_linear_critic_it_is_known():
    """f = w x: the slope is ‖w‖ everywhere, ∂(‖w‖ − 1)²/∂w = 2 (‖w‖ − 1) w/‖w‖."""
    model = ta.WassersteinGAN(ta.Dense(2, 3, rng=rng()), ta.Dense(3, 1, rng=rng()), 5.0)
    model = model.astype(np.float64)
    w = model.discriminator.W.value
    w[...] = [[3.0, 0, 4]]
    terms = penalty_alone(model, rng().normal(size=(6, 3)))
    assert terms["slope"] == pytest.approx(5)
    assert terms["gradient_penalty"] == pytest.approx(16)
    np.testing.assert_allclose(model.discriminator.W.grad, 5 * 2 * 4 * w / 5, rtol=1e-12)
    np.testing.assert_allclose(model.discriminator.b.grad, 0, atol=1e-12)


def test_a_slope_of_zero_gives_no_nan():
    model = make()
    model.discriminator.layers[-1].W.value[...] = 0
    terms = model.players[0].backprop(data(4), rng())
    assert terms["gradient_penalty"] == 1
    assert all(np.isfinite(p.grad).all() for p in model.params.values())


# --- the terms ----------------------------------------------------------------------------------


def test_the_terms_are_those_of_the_definition():
    model, x = make(penalty=3.0), data(8)
    z = model.noise(8, noise := rng(4))
    fake = model.generator(z)
    u = noise.random((8, 1))
    middle = u * x + (1 - u) * fake
    f = model.discriminator
    terms = model.players[0].objective(x, rng(4))
    assert terms["distance"] == pytest.approx(f(x).mean() - f(fake).mean(), rel=1e-12)
    g, _ = model.gradient(middle)
    norms = np.linalg.norm(g, axis=1)
    assert terms["slope"] == pytest.approx(norms.mean(), rel=1e-12)
    assert terms["gradient_penalty"] == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-12)
    total = -terms["distance"] + 3 * terms["gradient_penalty"]
    assert terms["total"] == terms["critic"] == pytest.approx(total, rel=1e-12)
    assert not any(p.grad.any() for p in model.params.values())
    assert model.players[0].evaluate(x, rng(4)) == pytest.approx(terms)
    assert model.players[1].objective(x, rng(4))["total"] == pytest.approx(-f(fake).mean())
    np.testing.assert_allclose(model.discriminate(x), f(x)[:, 0])


def test_between_is_uniform_on_the_line():
    x, fake = np.zeros((20_000, 6)), np.ones((20_000, 6))
    middle = between(x, fake, rng())
    assert (middle == middle[:, :1]).all()  # one u for all of a sample
    u = np.sort(1 - middle[:, 0])
    assert np.abs(u - np.linspace(0, 1, len(u))).max() < 1.63 / math.sqrt(len(u))  # Kolmogorov, 1 %


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=6))
def test_the_generators_loss(values):
    s = np.array(values)[:, None]
    L, ds = CriticLoss()(s)
    assert pytest.approx(-s.mean(), abs=1e-12) == L
    np.testing.assert_array_equal(ds, -1 / len(s))


def test_each_player_leaves_the_other_alone():
    model, x = make(), data(5)
    for player, other in zip(model.players, reversed(model.players)):
        before = grads(other)
        player.backprop(x, rng())
        for name, g in grads(other).items():
            np.testing.assert_array_equal(g, before[name])
    assert isinstance(model.players[0], CriticPlayer)


# --- what the critic measures ---------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_the_distance_of_a_shifted_set_is_its_shift(shift):
    """W₁ of p and of p moved by a vector a is ‖a‖. Here the generator is fixed: a shifted normal."""
    noise = rng()
    G = ta.Dense(2, 2, rng=noise)
    G.W.value[...] = np.eye(2)
    G.b.value[...] = [shift * 0.6, shift * 0.8]
    f = ta.Sequential(
        *(ta.Dense(2, 32, rng=noise), ta.Softplus(), ta.Dense(32, 32, rng=noise), ta.Softplus()),
        ta.Dense(32, 1, rng=noise),
    )
    model = ta.WassersteinGAN(G, f)
    x = noise.standard_normal((4000, 2), np.float32)
    critic, optimizer = model.players[0], ta.Adam(3e-3)
    for _ in range(400):
        critic.backprop(x[noise.integers(0, 4000, 128)], noise)
        optimizer.step(critic.params)
    terms = critic.evaluate(x, rng(1))
    assert terms["distance"] == pytest.approx(shift, rel=0.12, abs=0.06)
    assert terms["slope"] == pytest.approx(1, abs=0.1)


def test_the_generator_finds_a_distribution_and_files_keep_the_game(tmp_path):
    """A normal distribution with mean (2, −1) and its two standard deviations."""
    noise = rng()
    mean, std = np.array([2, -1]), np.array([0.5, 1.5])
    x = (mean + std * noise.normal(size=(2000, 2))).astype(np.float32)
    f = ta.Sequential(
        *(ta.Dense(2, 32, rng=noise), ta.LeakyReLU(0.2), ta.Dense(32, 32, rng=noise)),
        *(ta.LeakyReLU(0.2), ta.Dense(32, 1, rng=noise)),
    )
    model = ta.WassersteinGAN(ta.Dense(2, 2, rng=noise), f)
    optimizers = ta.Adam(5e-3, beta1=0.5), ta.Adam(3e-3, beta1=0.5)
    ta.fit(model, x, epochs=40, batch_size=50, optimizer=optimizers, rng=0, progress=False)
    samples = model.sample(4000, rng(1))
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=0.25)
    np.testing.assert_allclose(samples.std(axis=0), std, atol=0.3)
    model.save(tmp_path / "wgan.npz")
    loaded = ta.load(tmp_path / "wgan.npz")
    np.testing.assert_array_equal(loaded.sample(5, rng(2)), model.sample(5, rng(2)))
    assert loaded.evaluate(x, rng(3)) == model.evaluate(x, rng(3))
    assert "40 samples" in ta.report(model, x[:50]).html
    e = ta.explain(model, x[:4], rng=0)
    assert {"discriminator.0", "generator", "gradient_penalty"} <= {s.name for s in e.steps}
    step = e["gradient_penalty"]
    assert step.value["gradient_penalty"] == pytest.approx(e.terms["gradient_penalty"])
    assert any("tangent_backward" in line for line in step.backward)
    paths = dict(next(g.paths for g in e.gradients if g.name == "discriminator.0.W"))
    assert "gradient_penalty" in paths


def test_the_builders_networks_fit_each_other():
    generator, critic = ta.conv_wgan((1, 8, 8), (3, 5), 4, rng=rng())
    model = ta.WassersteinGAN(generator, critic)
    x = rng().random((4, 1, 8, 8), np.float32)
    assert set(model.backprop(x, rng())) == {
        *("total", "critic", "distance", "gradient_penalty", "slope", "generator")
    }
    assert model.sample(3, rng()).shape == (3, 1, 8, 8)
    assert model.discriminate(x).shape == (4,)
    with pytest.raises(ValueError, match="cannot be halved"):
        ta.conv_wgan((1, 6, 6), (3, 5), 4, rng=rng())


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        (
            [ta.Dense(6, 4, rng=rng()), ta.BatchNorm(4), ta.Dense(4, 1, rng=rng())],
            "discriminator.1 is Batch",
        ),
        ([ta.Dropout(0.1, rng=rng()), ta.Dense(6, 1, rng=rng())], "discriminator.0 is Dropout"),
        (
            [ta.Residual(ta.GRU(3, 3, rng=rng())), ta.Flatten()],
            "discriminator.0.layer is GRU.*no tangent",
        ),
        ([ta.Dense(6, 1, rng=rng()), ta.Sigmoid()], "critic ends in Sigmoid"),
    ],
    ids=["statistics", "noise", "no tangent", "bounded"],
)
def test_layers_that_cannot_are_refused_by_name(layers, match):
    with pytest.raises(ValueError, match=f"WassersteinGAN: .*{match}"):
        ta.WassersteinGAN(ta.Dense(2, 6, rng=rng()), ta.Sequential(*layers))


def test_other_mistakes_are_named():
    with pytest.raises(ValueError, match="penalty is -1"):
        make(penalty=-1)
    with pytest.raises(TypeError, match="discriminator is 3"):
        ta.WassersteinGAN(ta.Dense(2, 6, rng=rng()), 3)
    wide = ta.WassersteinGAN(ta.Dense(2, 6, rng=rng()), ta.Dense(6, 2, rng=rng()))
    with pytest.raises(ValueError, match=r"expected \(4, 1\)"):
        wide.backprop(data(4, dtype=np.float32), rng())
