"""Growing GANs: growth loses nothing, α rises as it should, and R1 does what theory says."""

import copy
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.layers import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Equalized,
    Fade,
    MinibatchDeviation,
    Sequential,
    Upsample2d,
)
from tinyae.models.progan_blocks import progan


def rng(seed=0):
    return np.random.default_rng(seed)


def small(seed=0, **more):
    """A game of 3 × 2 images."""
    return ta.ProGAN(*progan((1, 3, 2), 4, 5, rng=rng(seed)), **more)


def faded(model, alpha):
    """The model with α as given, in both players."""
    model.steps[...] = alpha * model.fade_steps - 1
    model.advance()
    return model


def stages(seed=0):
    """The game before growth, and after each: just grown, half faded, at full strength."""
    model = small(seed)
    yield copy.deepcopy(model)
    for channels in (3, 2):
        model.grow(channels, 10, rng(seed + channels))
        for alpha in (0, 0.5, 1):
            faded(model, alpha)
            yield copy.deepcopy(model)


def images(model, n=6, seed=3):
    return rng(seed).random((n, *model.image_shape)).astype(model.dtype)


# --- growth ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_growth_changes_nothing_at_first(dtype, kernel_set):
    model = small().astype(dtype)
    for channels in (6, 1, 3):  # more, fewer
        before, z = copy.deepcopy(model), rng(1).standard_normal((7, 5)).astype(dtype)
        model.grow(channels, 4, rng(channels))
        assert model.dtype == dtype
        assert model.alpha == 0
        assert model.image_shape == (1, *(2 * n for n in before.image_shape[1:]))
        x = model.decode(z)
        np.testing.assert_array_equal(x, before.decode(z).repeat(2, axis=2).repeat(2, axis=3))
        np.testing.assert_array_equal(model.generator.forward(z)[0], model.generator(z))
        x = rng(2).random(x.shape).astype(dtype)
        halved = AvgPool2d(2)(x)
        np.testing.assert_array_equal(model.discriminator(x), before.discriminator(halved))
        faded(model, 1)  # and at α = 1 what was faded out may go


def test_what_is_new_matters_as_alpha_rises():
    model = small()
    model.grow(4, 8, rng(1))
    z, seen = rng(2).standard_normal((3, 5)), []
    for step in range(10):
        assert model.alpha == min(step / 8, 1)
        fades = model.generator.layers[-2], model.discriminator.layers[0]
        assert all(isinstance(f, Fade) and f.alpha == np.float32(model.alpha) for f in fades)
        seen.append(model.decode(z))
        model.advance()
    assert all((a != b).any() for a, b in pairwise(seen[:9]))
    np.testing.assert_array_equal(seen[8], seen[9])
    new = Sequential(*model.generator.layers[:-2], fades[0].new, model.generator.layers[-1])
    np.testing.assert_array_equal(new(z.astype(np.float32)), seen[9])


def test_each_step_of_the_discriminator_moves_alpha():
    model = small()
    model.grow(4, 5, rng(1))
    player, other = model.players
    for step in range(3):
        assert model.alpha == step / 5
        before = player.objective(images(model), rng(2))
        assert player.backprop(images(model), rng(2)) == before
    other.backprop(images(model), rng(2))
    assert model.alpha == 3 / 5


def test_both_players_follow_their_gradients_while_a_block_fades_in():
    model = list(stages())[2].astype(np.float64)
    assert model.alpha == 0.5
    for p in model.params.values():
        p.value[...] += rng(5).normal(0, 0.1, p.shape)
    for player in model.players:
        report = gradcheck.check_model(player, images(model, 2), rng(4), max_entries=1)
        assert report.ok, report


def test_a_file_holds_every_stage(tmp_path):
    for k, model in enumerate(stages()):
        model.save(tmp_path / f"{k}.npz")
        twin = ta.load(tmp_path / f"{k}.npz")
        assert repr(twin) == repr(model)
        assert (twin.alpha, twin.image_shape) == (model.alpha, model.image_shape)
        np.testing.assert_array_equal(twin.sample(4, rng()), model.sample(4, rng()))
        x = rng(1).random((5, 1, 12, 8), dtype=np.float32)
        assert twin.evaluate(x) == model.evaluate(x)
        for game in (twin, model):
            game.players[0].backprop(images(model), rng(7))
        assert twin.alpha == model.alpha
        if model.alpha == 1:
            twin.grow(2, 3, rng(1))
            model.grow(2, 3, rng(1))
        np.testing.assert_array_equal(twin.sample(4, rng()), model.sample(4, rng()))


def test_data_are_halved_and_mixed_like_the_images():
    model, x = small(), rng().random((4, 1, 12, 8))
    pool, up = AvgPool2d(2), Upsample2d(2)
    np.testing.assert_allclose(model.as_input(x), pool(pool(x)), rtol=1e-6)
    model.grow(2, 4, rng())
    coarse = up(pool(pool(x)))
    for alpha in (0, 0.25, 1):
        faded(model, alpha)
        want = (1 - alpha) * coarse + alpha * pool(x)
        np.testing.assert_allclose(model.as_input(x), want, rtol=1e-6)
        assert model.as_input(x).dtype == np.float32
    assert model.discriminate(x).shape == (4,)


def test_fit_goes_through_growth_and_goes_on_from_a_checkpoint(tmp_path):
    x = rng().random((40, 1, 6, 4), dtype=np.float32)

    def train(model, epochs, **more):
        pair = ta.Adam(2e-3, beta1=0.0), ta.Adam(2e-3, beta1=0.0)
        settings = {"batch_size": 16, "rng": 3, "progress": False, "optimizer": pair}
        return ta.fit(model, x, epochs=epochs, **settings, **more)

    model = small()
    train(model, 1)
    model.grow(3, 6, rng())
    start, half, rest = (copy.deepcopy(model) for _ in range(3))
    history = train(model, 4)
    assert {"discriminator", "generator", "r1", "real", "fake"} <= set(history.names)
    assert model.alpha == 1
    for name, p in model.params.items():
        old = ".old." in name  # which learns while it is faded out
        assert old or (p.value != start.params[name].value).any(), name
    train(half, 1, checkpoint=tmp_path / "half.npz")
    assert half.alpha == 0.5
    train(rest, 4, resume=tmp_path / "half.npz")
    assert rest.alpha == 1
    for name, p in model.params.items():
        np.testing.assert_array_equal(p.value, rest.params[name].value)


# --- its layers -----------------------------------------------------------------------------


def test_equalized_is_the_layer_with_scaled_weights():
    x = rng(1).normal(size=(4, 3, 5, 5)).astype(np.float32)
    conv = Conv2d(3, 6, 3, 1, "same", rng=rng(), init=ta.Normal(1.0))
    layer, scaled = Equalized(conv), copy.deepcopy(conv)
    assert layer.scale == pytest.approx(np.sqrt(2 / 27))
    scaled.W.value *= np.float32(layer.scale)
    np.testing.assert_allclose(layer(x), scaled(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fan_in", [3, 300])
def test_with_equalized_weights_adam_moves_wide_and_narrow_layers_alike(fan_in):
    """A step changes the weights in use by the same share of their size, whatever the fan."""
    layer = Equalized(Dense(fan_in, 2000, rng=rng(), init=ta.Normal(1.0)))
    W = layer.layer.W
    before = W.value.copy()
    assert np.std(layer.scale * before) == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)
    W.grad[...] = rng(1).normal(size=W.shape)
    ta.Adam(1e-2).step(layer.params)
    moved = np.abs(W.value - before).mean() / before.std()
    assert moved == pytest.approx(1e-2, rel=0.05)


def test_minibatch_deviation_is_the_mean_deviation():
    layer, x = MinibatchDeviation(), rng().normal(2, 3, (50, 4, 3, 2)).astype(np.float32)
    y, _ = layer.forward(x)
    np.testing.assert_array_equal(y[:, :4], x)
    np.testing.assert_allclose(y[:, 4], x.std(axis=0).mean(), rtol=1e-5)
    copies, _ = layer.forward(np.repeat(x[:1], 50, axis=0))
    np.testing.assert_allclose(copies[:, 4], 1e-4, rtol=1e-3)  # √ε: collapsed samples show
    for _ in range(100):
        layer.forward(x)
    np.testing.assert_allclose(layer(x[:1])[:, 4], x.std(axis=0).mean(), rtol=1e-3)


# --- R1 -------------------------------------------------------------------------------------


def linear_game(w, gamma, k=8):
    D = Dense(len(w), 1, rng=rng(), dtype=np.float64)
    D.W.value[...] = w
    G = Dense(1, len(w), rng=rng(), dtype=np.float64)
    return ta.R1GAN(G, D, r1=gamma, r1_samples=k)


@settings(max_examples=10)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4), st.floats(0.01, 10), st.integers(1, 9))
def test_the_penalty_of_a_linear_discriminator_in_closed_form(w, gamma, k):
    """s = ⟨w, x⟩ has the slope w everywhere: r1 = ‖w‖², and the penalty's gradient is γ w."""
    x = rng(1).normal(size=(5, len(w)))
    model, bare = linear_game(w, gamma, k), linear_game(w, 0.0, k)
    terms = model.players[0].backprop(x, rng(2))
    plain = bare.players[0].backprop(x, rng(2))
    assert terms["r1"] == pytest.approx(np.dot(w, w))
    assert terms["total"] == pytest.approx(plain["total"] + gamma / 2 * np.dot(w, w))
    added = model.discriminator.W.grad - bare.discriminator.W.grad
    np.testing.assert_allclose(added[0], gamma * np.array(w), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.discriminator.b.grad, bare.discriminator.b.grad)


def test_few_samples_give_the_penalty_of_all_on_average():
    D = Sequential(Dense(2, 6, rng=rng()), ta.Tanh(), Dense(6, 1, rng=rng()))
    G, x = Dense(1, 2, rng=rng()), rng(1).normal(size=(64, 2)).astype(np.float32)
    whole = ta.R1GAN(G, D, r1_samples=64).objective(x, rng())["r1"]
    parts = [
        ta.R1GAN(G, D, r1_samples=4).objective(x[i : i + 4], rng())["r1"] for i in range(0, 64, 4)
    ]
    assert np.std(parts) > 0
    assert np.mean(parts) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(("gamma", "settles"), [(0.0, False), (0.3, True)])
def test_with_r1_a_game_settles_that_goes_on_circling_without(gamma, settles):
    """The Dirac-GAN: all data at 0, all samples at θ, D(x) = ψ x (Mescheder et al. 2018, §2).

    With the penalty (θ, ψ) approaches 0 exponentially; the non-saturating loss alone circles it, and
    the smaller the circles, the more slowly they shrink.
    """
    model, x = linear_game([1.0], gamma), np.zeros((4, 1))
    G, D = model.generator, model.discriminator
    G.W.value[...], G.b.value[...] = 0, 1
    for _ in range(1200):
        for player, p in zip(model.players, (D.W, G.b)):
            player.backprop(x, rng())
            p.value[...] -= 0.05 * p.grad
            for q in model.params.values():
                q.grad[...] = 0
    distance = float(np.hypot(D.W.value[0, 0], G.b.value[0]))
    assert distance < 0.001 if settles else distance > 0.2


def test_evaluation_changes_nothing():
    model = small()
    model.objective(images(model), rng())
    before = copy.deepcopy(model.state)
    assert any("running" in name for name in before)
    terms = model.evaluate(images(model), rng())
    assert terms["r1"] > 0
    assert terms == model.evaluate(images(model), rng())
    for name, a in model.state.items():
        np.testing.assert_array_equal(a, before[name])


# --- misuse ---------------------------------------------------------------------------------


def half_grown():
    model = small()
    model.grow(2, 10, rng())
    return model


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: half_grown().grow(2, 10, rng()), ValueError, "train 10 steps more"),
        (lambda: small().grow(0, 10, rng()), ValueError, "channels is 0"),
        (lambda: small().grow(2, 0, rng()), ValueError, "fade_steps is 0"),
        (lambda: small().grow(2, 1, 0), TypeError, "Generator"),
        (lambda: small(r1=-1.0), ValueError, "r1 is -1"),
        (lambda: small(r1_samples=0), ValueError, "r1_samples is 0"),
        (lambda: small(fade_steps=-1), ValueError, "fade_steps is -1"),
        (lambda: ta.ProGAN(*ta.dcgan(rng=rng())).grow(2, 1, rng()), ValueError, r"progan\(\)"),
        (lambda: ta.ProGAN(*ta.dense_gan((4,), [3], 2, rng=rng())), ValueError, r"\(C, H, W\)"),
        (lambda: small().backprop(np.zeros((2, 1, 5, 5), np.float32), rng()), ValueError, "makes"),
        (lambda: small().evaluate(np.zeros((2, 6), np.float32)), ValueError, "generator makes"),
        (lambda: progan((7, 7), rng=rng()), ValueError, r"\(C, H, W\)"),
        (lambda: progan(), TypeError, "rng"),
        (lambda: Equalized(ConvTranspose2d(2, 2, 3, rng=rng())), TypeError, "Dense, Conv1d or"),
        (lambda: Equalized(Dense(2, 2, rng=rng()), gain=0.0), ValueError, "gain is 0"),
        (lambda: MinibatchDeviation(momentum=2.0), ValueError, "momentum is 2"),
        (lambda: MinibatchDeviation(eps=0.0), ValueError, "eps is 0"),
        (lambda: Fade(Dense(2, 2, rng=rng()), Dense), TypeError, "new is"),
        (
            lambda: Fade(Dense(2, 2, rng=rng()), Dense(2, 3, rng=rng()))(
                np.zeros((1, 2), np.float32)
            ),
            ValueError,
            "old makes",
        ),
    ],
)
def test_misuse_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_growth_that_is_refused_changes_nothing():
    model = half_grown()
    before, G = model.sample(3, rng()), model.generator
    with pytest.raises(ValueError, match="α = 0"):
        model.grow(2, 10, rng())
    assert model.generator is G
    np.testing.assert_array_equal(model.sample(3, rng()), before)
