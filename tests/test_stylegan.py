"""StyleGAN: what a style does to a convolution, how noise and mixing are drawn, truncation."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck, kernels
from tinyae.layers import ModulatedConv2d, PixelNoise, Sequential, StyleBlock, Synthesis
from tinyae.models.stylegan import stylegan


def rng(seed=0):
    return np.random.default_rng(seed)


def small(seed=0, **more):
    return ta.StyleGAN(*stylegan((1, 8, 4), (2, 3, 4), 5, rng=rng(seed)), **more)


# --- the modulated convolution --------------------------------------------------------------


def convolution(draws, dtype=np.float64):
    conv = ModulatedConv2d(3, 2, rng=draws).astype(dtype)
    conv.conv.b.value[...] = draws.normal(size=2)
    return conv, draws.normal(size=(4, 3, 5, 4)), draws.normal(size=(4, 3))


@settings(max_examples=5)
@given(st.integers(0, 2**16))
def test_gradients_of_the_modulated_convolution(seed):
    draws = rng(seed)
    conv, x, s = convolution(draws)
    y, cache = conv.forward(x, s)
    dy = draws.normal(size=y.shape)
    dx, ds = conv.backward(dy, cache)
    W, b = conv.conv.W, conv.conv.b
    for a, grad in ((x, dx), (s, ds), (W.value, W.grad), (b.value, b.grad)):
        direction, h = draws.normal(size=a.shape), 1e-6
        ends = []
        for sign in (1, -1):
            a += sign * h * direction
            ends.append(np.vdot(dy, conv(x, s)))
            a -= sign * h * direction
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(np.vdot(grad, direction), rel=1e-6)
    before = W.grad.copy()
    conv.backward(dy, cache)
    np.testing.assert_allclose(W.grad, 2 * before, rtol=1e-12)


def test_it_is_a_convolution_with_weights_of_norm_one_for_each_sample(kernel_set):
    conv, x, s = convolution(rng())
    y = conv(x, s)
    for n in range(4):
        W = conv.conv.W.value * s[n][:, None, None]
        W /= np.sqrt((W**2).sum(axis=(1, 2, 3), keepdims=True))
        want = kernels.conv2d(x[n : n + 1], W, (1, 1), (1, 1, 1, 1), conv.conv.b.value)
        np.testing.assert_allclose(y[n : n + 1], want, rtol=1e-6, atol=1e-8)


def test_a_style_chooses_channels_and_blows_none_up():
    conv, x, s = convolution(rng())
    y = conv(x, s)
    np.testing.assert_allclose(conv(x, 7 * s), y, rtol=1e-6)
    conv.conv.W.value *= 3
    np.testing.assert_allclose(conv(x, s), y, rtol=1e-6)
    s[:, 1] = 0
    before = conv(x, s)
    x[:, 1] += 5
    np.testing.assert_array_equal(conv(x, s), before)
    wide = ModulatedConv2d(16, 8, rng=rng())  # of independent entries with variance 1
    x, s = rng(1).normal(size=(50, 16, 12, 12)), 5 * rng(2).normal(size=(50, 16))
    y = wide.astype(np.float64)(x, s)[:, :, 1:-1, 1:-1]
    assert y.var() == pytest.approx(1, abs=0.03)


def test_the_synthesis_sees_each_style_from_its_own_block_on():
    model = small().astype(np.float64)
    synthesis, w = model.generator.layers[1], rng().normal(size=(2, 5, 5))
    maps = [w]
    for k in range(5):
        other = w.copy()
        other[:, k] += 1
        h, hs = synthesis.start(2), []
        g, gs = synthesis.start(2), []
        for i, block in enumerate(synthesis.blocks):
            h, g = block(h, w[:, i]), block(g, other[:, i])
            hs.append(h)
            gs.append(g)
        same = [np.array_equal(a, b) for a, b in zip(hs, gs)]
        assert same == [i < k for i in range(5)]
        maps.append(hs[-1])
    np.testing.assert_array_equal(maps[-1], synthesis(w))


# --- what is drawn --------------------------------------------------------------------------


def test_pixel_noise_is_white_and_as_strong_as_it_has_learnt(kernel_set):
    layer, x = PixelNoise((10, 20), rng=rng()), np.zeros((400, 3, 10, 20), np.float32)
    np.testing.assert_array_equal(layer.forward(x)[0], x)  # strength 0 at first
    layer.a.value[...] = -0.5
    y, _ = layer.forward(x)
    np.testing.assert_array_equal(y[:, 0], y[:, 2])  # the same for all channels
    e = y[:, 0]
    assert e.mean() == pytest.approx(0, abs=0.01)
    assert e.std() == pytest.approx(0.5, rel=0.01)
    assert ((e / 0.5) ** 4).mean() == pytest.approx(3, abs=0.1)  # Gaussian
    for a, b in ((e[1:], e[:-1]), (e[:, 1:], e[:, :-1]), (e[..., 1:], e[..., :-1])):
        assert (a * b).mean() == pytest.approx(0, abs=0.005)  # independent
    assert (layer.forward(x)[0] != y).any()
    np.testing.assert_array_equal(layer(x), layer(x))  # the fixed noise
    assert layer.fixed.std() == pytest.approx(1, abs=0.15)
    np.testing.assert_array_equal(layer(x)[0, 1], np.float32(-0.5) * layer.fixed)


@pytest.mark.parametrize("mixing", [0.0, 0.6, 1.0])
def test_mixing_crosses_two_codes_at_a_random_place(mixing):
    model = small(mixing=mixing)
    z = model.noise(20_000, rng())
    assert z.shape == (20_000, 5, 5)
    assert z.dtype == np.float32
    changes = (z[:, 1:] != z[:, :-1]).all(axis=2)
    np.testing.assert_array_equal(changes, (z[:, 1:] != z[:, :-1]).any(axis=2))
    assert changes.sum(axis=1).max() <= 1
    np.testing.assert_allclose(changes.mean(axis=0), mixing / 4, atol=0.012)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(z.var(axis=0), 1, atol=0.04)
    shared = (z[:, 0] * z[:, 4]).mean()  # the first and the last row: one code or two
    assert shared == pytest.approx(1 - mixing, abs=0.02)


def test_a_game_of_one_block_has_nothing_to_mix():
    model = ta.StyleGAN(*stylegan((1, 4, 4), (2,), 3, rng=rng()), mixing=1.0)
    assert model.noise(9, rng()).shape == (9, 1, 3)
    assert model.sample(2, rng()).shape == (2, 1, 4, 4)


# --- use ------------------------------------------------------------------------------------


def test_truncation_draws_towards_the_mean_style():
    model, z = small(), rng().standard_normal((40, 5))
    np.testing.assert_array_equal(model.decode(z, 1.0), model.decode(z))
    same = model.decode(z, 0.0)
    np.testing.assert_allclose(same, same[:1].repeat(40, axis=0), atol=1e-6)
    mapping, *drawing = model.generator.layers
    w, center = mapping(z[:, None].astype(np.float32)), model.mean_style()
    drawn = Sequential(*drawing)(np.repeat(center + 0.3 * (w - center), model.depth, axis=1))
    np.testing.assert_allclose(model.decode(z, 0.3), drawn, rtol=1e-5)
    a, b = (model.sample(6, rng(4), truncation=psi) for psi in (0.5, 1.0))
    assert (a != b).any()
    np.testing.assert_array_equal(a, model.decode(rng(4).standard_normal((6, 5)), 0.5))


def test_the_mean_style_is_the_mean_of_the_mapping():
    model = small()
    z = rng(9).standard_normal((20_000, 1, 5)).astype(np.float32)
    w = model.generator.layers[0](z)[:, 0]
    error = 5 * w.std(axis=0) / np.sqrt(4096)
    assert (np.abs(model.mean_style() - w.mean(axis=0)) < error).all()
    np.testing.assert_array_equal(model.mean_style(), model.mean_style())


def test_mix_takes_the_first_blocks_from_one_and_the_rest_from_the_other():
    model, (a, b) = small(), rng().standard_normal((2, 4, 5))
    np.testing.assert_allclose(model.mix(a, b, 0), model.decode(b), rtol=1e-6)
    np.testing.assert_allclose(model.mix(a, b, 5), model.decode(a), rtol=1e-6)
    between = model.mix(a, b, 2)
    z = np.stack([a, a, b, b, b], axis=1)
    np.testing.assert_array_equal(between, model.decode(z))
    assert all((between != model.decode(end)).any() for end in (a, b))


def test_both_players_follow_their_gradients():
    model = small(r1=2.0).astype(np.float64)
    for p in model.params.values():
        p.value[...] += rng(5).normal(0, 0.1, p.shape)
    for player in model.players:
        report = gradcheck.check_model(player, rng(1).random((3, 1, 8, 4)), rng(4), max_entries=1)
        assert report.ok, report


def test_fit_moves_both_players_and_a_file_holds_them(tmp_path):
    model, x = small(), rng().random((32, 1, 8, 4), dtype=np.float32)
    start = copy.deepcopy(model)
    pair = ta.Adam(2e-3, beta1=0.0), ta.Adam(2e-3, beta1=0.0)
    history = ta.fit(model, x, epochs=2, batch_size=8, optimizer=pair, rng=1, progress=False)
    assert {"discriminator", "generator", "r1"} <= set(history.names)
    for name, p in model.params.items():
        assert (p.value != start.params[name].value).any(), name
    model.save(tmp_path / "style.npz")
    twin = ta.load(tmp_path / "style.npz")
    assert repr(twin) == repr(model)
    assert twin.mixing == model.mixing
    np.testing.assert_array_equal(twin.sample(5, rng(), 0.7), model.sample(5, rng(), 0.7))
    for game in (model, twin):  # the noise goes on as it was saved
        game.players[1].backprop(x[:4], rng(3))
    for name, p in model.params.items():
        np.testing.assert_array_equal(p.grad, twin.params[name].grad)


def test_evaluation_is_the_same_at_every_call():
    model, x = small(), rng().random((12, 1, 8, 4), dtype=np.float32)
    assert model.evaluate(x) == model.evaluate(x)
    assert list(model.trace(x[:2], rng()))[-1][0].startswith("discriminator")


# --- misuse ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ta.StyleGAN(*ta.dcgan(rng=rng())), ValueError, r"stylegan\(\)"),
        (lambda: small(mixing=1.5), ValueError, "mixing is 1.5"),
        (lambda: small().sample(2, rng(), truncation=2.0), ValueError, "truncation is 2"),
        (lambda: small().decode(np.zeros((2, 4))), ValueError, r"\(N, 5\) or \(N, 5, 5\)"),
        (lambda: small().decode([[0.0] * 5]), TypeError, "list"),
        (lambda: small().mix(np.zeros((2, 5)), np.zeros((3, 5)), 2), ValueError, "fine has shape"),
        (lambda: small().mix(np.zeros((2, 5)), np.zeros((2, 5)), -1), ValueError, "crossover"),
        (lambda: small().noise(2, None), TypeError, "Generator"),
        (lambda: stylegan((1, 28, 28), (4, 4, 4, 4), rng=rng()), ValueError, "halved 3 times"),
        (lambda: stylegan((28, 28), rng=rng()), ValueError, r"\(C, H, W\)"),
        (lambda: stylegan(rng=0), TypeError, "Generator"),
        (lambda: PixelNoise((2, 2), rng=None), TypeError, "Generator"),
        (lambda: StyleBlock(2, 2, 3, (3, 4), True, rng=rng()), ValueError, "even"),
        (
            lambda: ModulatedConv2d(2, 2, rng=rng())(
                np.zeros((3, 2, 4, 4), np.float32), np.ones((3, 4))
            ),
            ValueError,
            r"s has shape \(3, 4\), expected \(3, 2\)",
        ),
        (lambda: Synthesis(), TypeError, "at least one StyleBlock"),
        (
            lambda: Synthesis(
                StyleBlock(2, 3, 4, (2, 2), rng=rng()), StyleBlock(2, 3, 4, (2, 2), rng=rng())
            ),
            ValueError,
            r"block 1 .* expected \(3, 2, 2\)",
        ),
    ],
)
def test_misuse_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
