"""The adversarial autoencoder: a GAN's players, of which one makes codes and also reconstructs."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.losses import BCEWithLogits
from tinyae.models.adversarial import AutoencoderPlayer, CodeDiscriminatorPlayer
from tinyae.models.mmd import mmd
from tinyae.training import History


def rng(seed=0):
    return np.random.default_rng(seed)


def discriminator(latent=2, seed=1, width=8):
    noise = rng(seed)
    return ta.Sequential(
        ta.Dense(latent, width, rng=noise), ta.Tanh(), ta.Dense(width, 1, rng=noise)
    )


def make(weight=0.5, dtype=np.float64, seed=0, loss=None):
    layers = ta.dense_encoder_decoder([6], [5, 2], activation=ta.Tanh, rng=rng(seed))
    model = ta.AdversarialAutoencoder(*layers, ta.MSE(), discriminator(), weight, loss)
    return model.astype(dtype)


def data(n, seed=0, dtype=np.float64):
    return rng(seed).random((n, 6)).astype(dtype)


def grads(model):
    return {name: p.grad.copy() for name, p in model.params.items()}


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(1, 5),
    weight=st.sampled_from([0.0, 0.7]),
    loss=st.sampled_from([ta.NonSaturating(), ta.Saturating()]),
)
def test_each_player_follows_its_own_gradient_and_leaves_the_other_alone(seed, n, weight, loss):
    model = make(weight, seed=seed, loss=loss)
    for player, other in zip(model.players, reversed(model.players)):
        report = gradcheck.check_model(player, data(n, seed), rng(seed))
        assert report.ok, f"{type(player).__name__}\n{report}"
        before = grads(other)
        player.backprop(data(n, seed), rng(seed))
        for name, g in grads(other).items():
            np.testing.assert_array_equal(g, before[name])


def test_players_share_the_models_parameters_between_them():
    model = make()
    first, second = model.players
    assert isinstance(first, CodeDiscriminatorPlayer)
    assert isinstance(second, AutoencoderPlayer)
    assert first.params.keys() | second.params.keys() == model.params.keys()
    assert not first.params.keys() & second.params.keys()
    twin = second.astype(np.float32)
    assert {p.dtype for p in twin.game.params.values()} == {np.dtype(np.float32)}


def test_it_is_a_gan_of_codes():
    """With the encoder as generator and a draw of the prior as data, D learns what a GAN's D does."""
    model, x = make(), data(9)
    z, p = model.encoder(x), model.prior(9, rng(3))
    D = model.discriminator
    labels = np.repeat([[1.0], [0.0]], 9, axis=0)
    L, _ = BCEWithLogits()(D(np.concatenate([p, z])), labels)
    terms = model.players[0].objective(x, rng(3))
    assert terms["total"] == pytest.approx(2 * L, rel=1e-12)  # a sum of two means
    gan = ta.GAN(ta.Dense(6, 2, rng=rng()), D)
    gan.noise = lambda n, noise: x
    gan.generator = model.encoder
    assert gan.players[0].objective(p, None) == pytest.approx(terms)
    fooled = gan.players[1].objective(x, None)["total"]
    assert model.players[1].objective(x)["generator"] == pytest.approx(fooled)


def test_without_weight_the_encoder_only_reconstructs():
    model, x = make(0.0), data(9)
    plain = ta.Autoencoder(*copy.deepcopy((model.encoder, model.decoder)), ta.MSE())
    want, terms = plain.backprop(x), model.players[1].backprop(x)
    assert terms["reconstruction"] == pytest.approx(want["total"], rel=1e-12)
    for name, p in plain.params.items():
        np.testing.assert_allclose(model.params[name].grad, p.grad, rtol=1e-9, atol=1e-15)


def test_backprop_and_objective_are_both_players_at_one_point():
    model, x = make(), data(7)
    twin, noise = copy.deepcopy(model), rng(2)
    terms = model.backprop(x, rng(2))
    for player in twin.players:
        player.backprop(x, noise)
    for name, g in grads(twin).items():
        np.testing.assert_array_equal(model.params[name].grad, g)
    assert terms == model.objective(x, rng(2))
    assert model.evaluate(x, rng(2)) == pytest.approx(terms)
    assert terms["total"] == pytest.approx(
        terms["discriminator"] + terms["reconstruction"] + 0.5 * terms["generator"]
    )
    assert terms.keys() == {
        *("total", "discriminator", "real", "fake", "reconstruction", "generator")
    }


def square(n, seed=0):
    """Six numbers of a sample that are known by two, which are uniform, not normal."""
    u, directions = rng(seed).uniform(-1, 1, (n, 2)), rng(9).normal(size=(2, 6))
    return (1.5 * np.tanh(u @ directions)).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    x = square(1000)
    layers = ta.dense_encoder_decoder([6], [16, 2], output=None, rng=rng())
    model = ta.AdversarialAutoencoder(*layers, ta.MSE(), discriminator(width=32), 0.1)
    optimizers = tuple(ta.Adam(ta.Cosine(2e-3, 1200), beta1=0.5) for _ in model.players)
    history = ta.fit(
        model, x, epochs=60, batch_size=50, optimizer=optimizers, rng=0, progress=False
    )
    return model, x, history


def test_codes_come_to_be_distributed_as_the_prior(trained):
    model, x, history = trained
    assert isinstance(history, History)
    z = model.encode(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.35)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.4)
    draws = rng(1).standard_normal(z.shape)
    assert mmd(z, draws, ta.InverseMultiquadratic())[0] < 0.2
    assert model.evaluate(x)["reconstruction"] < 0.1 * x.var(axis=0).mean()
    assert 0.4 < history["fake"][-1] < 0.6


def test_files_the_report_and_programs_take_it(trained, tmp_path):
    model, x, history = trained
    model.save(tmp_path / "aae.npz")
    loaded = ta.load(tmp_path / "aae.npz")
    assert loaded.evaluate(x) == model.evaluate(x)
    np.testing.assert_array_equal(loaded.sample(5, 1), model.sample(5, 1))
    np.testing.assert_allclose(model.compile()(x), model.reconstruct(x), rtol=1e-4, atol=1e-5)
    page = ta.report(model, x[:100], history)
    assert "40 samples" in page.html
    assert "Neither is to become small" in page.html
    assert "discriminator.0" not in page.html
    diagnosis = ta.diagnose_training(history, model, x[:200])
    assert not {"rising", "not_moving"} & set(diagnosis.kinds)
    e = ta.explain(model, x[:4], rng=0)
    assert {"discriminator.0", "encoder.0", "decoder.0"} <= {s.name for s in e.steps}
    assert {s.turn for s in e.steps} == {"code discriminator", "autoencoder"}


def test_mistakes_are_named():
    layers = ta.dense_encoder_decoder([6], [5, 2], rng=rng())
    ends = ta.Sequential(ta.Dense(2, 1, rng=rng()), ta.Sigmoid())
    with pytest.raises(ValueError, match="AdversarialAutoencoder: the discriminator ends in Sigm"):
        ta.AdversarialAutoencoder(*layers, ta.MSE(), ends)
    with pytest.raises(TypeError, match="discriminator is"):
        ta.AdversarialAutoencoder(*layers, ta.MSE(), "discriminator")
    wide = ta.AdversarialAutoencoder(*layers, ta.MSE(), ta.Dense(2, 2, rng=rng()))
    with pytest.raises(ValueError, match=r"AdversarialAutoencoder: .* expected \(4, 1\)"):
        wide.backprop(data(4, dtype=np.float32), rng())
    with pytest.raises(ValueError, match="rng=np"):
        make().backprop(data(4))
    with pytest.raises(ValueError, match="2 players"):
        ta.fit(make(), data(8), optimizer=ta.Adam(), progress=False)
