"""StarGAN: both players' gradients, the terms, and a generator that does as it is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.models.wasserstein_gan import between


def rng(seed=0):
    return np.random.default_rng(seed)


def make(seed=0, dtype=np.float64, **more):
    noise = rng(seed)

    def network(a, b, c):
        return ta.Sequential(ta.Dense(a, b, rng=noise), ta.Tanh(), ta.Dense(b, c, rng=noise))

    return ta.StarGAN(network(3 + 2, 5, 3), network(3, 4, 1 + 2), domains=2, **more).astype(dtype)


def data(n, seed=0, dtype=np.float64):
    noise = rng(seed)
    return noise.normal(size=(n, 3)).astype(dtype), noise.integers(2, size=n)


def grads(model):
    return {name: p.grad.copy() for name, p in model.params.items()}


# --- gradients ------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.integers(0, 999), st.integers(1, 5), st.tuples(*[st.floats(0, 3)] * 3))
def test_the_whole_objective_of_each_player(seed, n, weights):
    names = "classification", "reconstruction", "penalty"
    model, batch = make(seed, **dict(zip(names, weights))), data(n, seed)
    for player in model.players:
        report = gradcheck.check_model(player, batch, rng(seed))
        assert report.ok, f"{type(player).__name__}\n{report}"


def test_of_images():
    model = ta.StarGAN(*ta.stargan((1, 4, 4), 3, 2, 1, rng=rng()), domains=3).astype(np.float64)
    x = rng(1).uniform(size=(3, 1, 4, 4))
    for player in model.players:
        assert gradcheck.check_model(player, (x, np.array([0, 2, 1])), rng()).ok


def test_the_penalty_is_on_the_slope_of_s_alone():
    model, (x, _) = make(), data(4)
    g, _ = model.gradient(x)
    h = 1e-5
    for i in range(3):
        step = h * np.eye(3)[i]
        slope = (model.discriminator(x + step) - model.discriminator(x - step))[:, 0] / (2 * h)
        np.testing.assert_allclose(g[:, i], slope, rtol=1e-6, atol=1e-9)
    model.penalise(x)
    last = model.discriminator.layers[-1].W.grad
    assert last[0].any()
    assert not last[1:].any()  # the domains' logits do not pay


def test_each_player_leaves_the_other_alone():
    model, batch = make(), data(5)
    for player, other in zip(model.players, reversed(model.players)):
        before = grads(other)
        player.backprop(batch, rng())
        for name, g in grads(other).items():
            np.testing.assert_array_equal(g, before[name])
        assert all(p.grad.any() for p in player.params.values())
    names = [name for player in model.players for name in player.params]
    assert sorted(names) == sorted(model.params)


# --- the terms ------------------------------------------------------------------------------------


def cross_entropy(logits, labels):
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(p)), labels]).mean()


def told(x, c):
    return np.concatenate([x, np.eye(2)[c]], axis=1)


def test_the_terms_are_those_of_the_definition():
    model = make(classification=0.5, reconstruction=3.0, penalty=2.0)
    x, t = data(7)
    G, D = model.generator, model.discriminator
    c = (noise := rng(4)).integers(2, size=7)
    fake = G(told(x, c))
    y, y_fake = D(x), D(fake)
    g, _ = model.gradient(between(x, fake, noise))
    norms = np.linalg.norm(g, axis=1)
    terms = model.players[0].objective((x, t), rng(4))
    assert terms["distance"] == pytest.approx(y[:, 0].mean() - y_fake[:, 0].mean(), rel=1e-12)
    assert terms["classification"] == pytest.approx(cross_entropy(y[:, 1:], t), rel=1e-12)
    assert terms["gradient_penalty"] == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-12)
    assert terms["named"] == (y[:, 1:].argmax(axis=1) == t).mean()
    total = -terms["distance"] + 2 * terms["gradient_penalty"] + 0.5 * terms["classification"]
    assert terms["total"] == terms["discriminator"] == pytest.approx(total, rel=1e-12)

    terms = model.players[1].objective((x, t), rng(4))
    back = abs(G(told(fake, t)) - x).mean()
    assert terms["obedience"] == pytest.approx(cross_entropy(y_fake[:, 1:], c), rel=1e-12)
    assert terms["reconstruction"] == pytest.approx(back, rel=1e-12)
    assert terms["obeyed"] == (y_fake[:, 1:].argmax(axis=1) == c).mean()
    total = -y_fake[:, 0].mean() + 0.5 * terms["obedience"] + 3 * back
    assert terms["total"] == terms["generator"] == pytest.approx(total, rel=1e-12)
    assert not any(p.grad.any() for p in model.params.values())
    for player in model.players:
        want = player.objective((x, t), rng(4))
        assert player.evaluate((x, t), rng(4)) == pytest.approx(want)
        assert player.backprop((x, t), rng(4)) == pytest.approx(want)
    np.testing.assert_allclose(model.translate(x, c), fake)
    np.testing.assert_array_equal(model.domain_of(x), y[:, 1:].argmax(axis=1))


def test_targets_are_drawn_evenly_and_apart_from_the_domains():
    x = np.zeros((30_000, 3))
    t = np.arange(len(x)) % 2
    _, _, c = make().with_target((x, t), rng())
    for domain in (0, 1):
        assert abs((c[t == domain] == 1).mean() - 0.5) < 4 * 0.5 / np.sqrt(15_000)


# --- what it learns -------------------------------------------------------------------------------


def test_it_does_as_it_is_told_and_files_keep_the_game(tmp_path):
    """Three clouds around three centres. A translation goes to the cloud that is asked for."""
    noise = rng()
    centres = np.array([[2, 0], [-1, 1.7], [-1, -1.7]], np.float32)
    t = np.arange(900) % 3
    x = (centres[t] + 0.3 * noise.normal(size=(900, 2))).astype(np.float32)

    def network(a, b):
        layers = ta.Dense(a, 24, rng=noise), ta.LeakyReLU(0.2), ta.Dense(24, 24, rng=noise)
        return ta.Sequential(*layers, ta.LeakyReLU(0.2), ta.Dense(24, b, rng=noise))

    model = ta.StarGAN(network(2 + 3, 2), network(2, 1 + 3), domains=3, reconstruction=3.0)
    optimizers = tuple(ta.Adam(3e-3, beta1=0.5) for _ in model.players)
    ta.fit(model, (x, t), epochs=30, batch_size=30, optimizer=optimizers, rng=0, progress=False)
    for domain in range(3):
        made = model.translate(x, np.full(len(x), domain))
        near = np.linalg.norm(made[:, None] - centres, axis=2).argmin(axis=1)
        assert (near == domain).mean() > 0.9
    assert (model.domain_of(x) == t).mean() > 0.95
    there = model.translate(x, (t + 1) % 3)
    assert abs(model.translate(there, t) - x).mean() < 0.3  # within a cloud's own width
    model.save(tmp_path / "star.npz")
    loaded = ta.load(tmp_path / "star.npz")
    np.testing.assert_array_equal(loaded.translate(x, t), model.translate(x, t))
    assert loaded.evaluate((x, t), rng(1)) == model.evaluate((x, t), rng(1))
    e = ta.explain(model, (x[:4], t[:4]), rng=0)
    found = e["gradient_penalty"].value["gradient_penalty"]
    assert found == pytest.approx(e.terms["gradient_penalty"])


def test_a_training_goes_on_from_a_checkpoint_with_the_same_bits(tmp_path):
    def run(epochs, **more):
        model = make(dtype=np.float32)
        optimizers = tuple(ta.Adam(1e-2) for _ in model.players)
        settings = {"batch_size": 4, "optimizer": optimizers, "rng": 3, "progress": False}
        ta.fit(model, data(10, dtype=np.float32), epochs=epochs, **settings, **more)
        return {name: p.value.tobytes() for name, p in model.params.items()}

    path = tmp_path / "checkpoint.npz"
    straight = run(4)
    run(2, checkpoint=path)
    assert run(4, resume=path) == straight


# --- mistakes -------------------------------------------------------------------------------------


def test_mistakes_are_named():
    model, (x, t) = make(dtype=np.float32), data(4, dtype=np.float32)
    with pytest.raises(TypeError, match=r"one array, expected two; pass \(x, domains\)"):
        model.backprop(x, rng())
    with pytest.raises(
        ValueError, match=r"labels run from .* to 2, expected 0 to 1.*raise domains"
    ):
        ta.fit(model, (x, np.array([2, 0, 1, 0])), epochs=1, progress=False)
    with pytest.raises(ValueError, match="4 images and 3 domains"):
        model.translate(x, t[:3])
    with pytest.raises(ValueError, match="reconstruction is -1"):
        make(reconstruction=-1)
    wide = ta.StarGAN(model.generator, ta.Dense(3, 5, rng=rng()), domains=2)
    with pytest.raises(ValueError, match=r"shape \(4, 5\), expected \(4, 3\)"):
        wide.backprop((x, t), rng())
    normed = ta.Sequential(ta.BatchNorm(3), ta.Dense(3, 3, rng=rng()))
    with pytest.raises(ValueError, match=r"StarGAN: discriminator\.0 is BatchNorm"):
        ta.StarGAN(model.generator, normed, domains=2)
    narrow = ta.StarGAN(ta.Dense(5, 2, rng=rng()), model.discriminator, domains=2)
    with pytest.raises(ValueError, match=r"generator makes \(4, 2\)"):
        narrow.backprop((x, t), rng())
    bounded = ta.Sequential(ta.Dense(5, 3, rng=rng()), ta.Sigmoid())
    unfit = ta.StarGAN(bounded, model.discriminator, domains=2)
    with pytest.raises(ValueError, match="reaches no further"):
        ta.fit(unfit, (x * 9, t), epochs=1, progress=False)
