"""The VQGAN: two players, the weight that balances their gradients, and what the game changes."""

from typing import Any

import numpy as np
import pytest

import tinyae as ta
from tinyae.losses import BCEWithLogits
from tinyae.models.vqgan import DELTA, HeldGame, gradient_size


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


X = rng(1).uniform(size=(6, 1, 8, 8)).astype(np.float32)


def small(norm: bool = False, **more: Any) -> ta.VQGAN:
    """Two codes' width; with ``norm`` the parts have running statistics."""
    noise = rng()
    encoder = ta.Sequential(
        ta.Conv2d(1, 4, 4, 4, rng=noise), ta.Tanh(), ta.Conv2d(4, 3, 1, rng=noise)
    )
    last = ta.Conv2d(4, 1, 3, 1, 1, rng=noise), ta.Sigmoid()
    between = (ta.BatchNorm(4),) if norm else ()
    decoder = ta.Sequential(ta.ConvTranspose2d(3, 4, 4, 4, rng=noise), *between, ta.Tanh(), *last)
    discriminator = ta.patch_discriminator(1, (4, 5), rng=noise)
    model = ta.VQGAN(encoder, decoder, ta.MSE(), discriminator, 8, 3, **more)
    z, _ = model.encoder.forward(X)
    model.uses[...] = 3
    model.table[...] = np.moveaxis(z, 1, -1).reshape(-1, 3)[:8]
    model.sums[...] = 3 * model.table
    return model


def gradients(model: Any) -> dict[str, np.ndarray]:
    return {name: p.grad.copy() for name, p in model.params.items()}


# --- the weight -----------------------------------------------------------------------------------


def sizes(model: ta.VQGAN, x: np.ndarray) -> list[float]:
    """‖∂/∂W‖ of the reconstruction and of the generator's loss, through the whole decoder."""
    found = []
    for part in ("reconstruction", "generator"):
        copy = model.astype(np.float64)
        z, _ = copy.encoder.forward(x)
        y, cache = copy.decoder.forward(copy.nearest(z)[0])
        if part == "reconstruction":
            dy = copy.loss(y, x)[1]
        else:
            s, D_cache = copy.discriminator.forward(y)
            dy = copy.discriminator.backward(copy.generator_loss(s)[1], D_cache)
        copy.decoder.backward(dy, cache)
        W = copy.decoder.layers[-2].W
        found.append(float(np.linalg.norm(W.grad)))
    return found


def test_the_weight_is_the_ratio_of_the_two_gradients_at_the_last_matrix() -> None:
    model = small(weight=0.6).astype(np.float64)
    reconstruction, game = sizes(model, X.astype(np.float64))
    terms = model.players[1].objective(X.astype(np.float64))
    assert terms["adaptive_weight"] == pytest.approx(0.6 * reconstruction / (game + DELTA))
    parts = terms["reconstruction"] + terms["commitment"]
    assert terms["total"] == pytest.approx(parts + terms["adaptive_weight"] * terms["generator"])


def test_with_it_both_losses_pull_equally_at_the_last_matrix() -> None:
    """The gradient at W is that of reconstruction plus one as long that is the game's."""
    x = X.astype(np.float64)
    with_game, without = small(weight=1.0).astype(np.float64), small(weight=0.0).astype(np.float64)
    for model in (with_game, without):
        model.players[1].backprop(x, rng())
    W, plain = with_game.decoder.layers[-2].W.grad, without.decoder.layers[-2].W.grad
    assert np.linalg.norm(W - plain) == pytest.approx(np.linalg.norm(plain), rel=1e-3)


def test_a_larger_loss_of_the_discriminator_changes_nothing() -> None:
    """λ undoes the game's scale: that is what it is for."""

    class Tenfold(ta.NonSaturating):
        def __call__(self, s: Any) -> Any:
            L, ds = super().__call__(s)
            return 10 * L, 10 * ds

    x = X.astype(np.float64)
    once, tenfold = small().astype(np.float64), small(generator_loss=Tenfold()).astype(np.float64)
    for model in (once, tenfold):
        model.players[1].backprop(x, rng())
    for a, b in zip(gradients(once).values(), gradients(tenfold).values()):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())


def test_the_size_of_a_gradient_leaves_gradients_alone() -> None:
    tail = ta.Sequential(ta.Dense(3, 2, rng=rng()), ta.Tanh())
    for p in tail.params.values():
        p.grad[...] = 7
    x = rng(1).normal(size=(5, 3)).astype(np.float32)
    y, cache = tail.forward(x)
    dy = rng(2).normal(size=y.shape).astype(np.float32)
    size = gradient_size(tail, dy, cache)
    assert all((p.grad == 7).all() for p in tail.params.values())
    assert size == pytest.approx(float(np.linalg.norm((dy * (1 - y * y)).T @ x)), rel=1e-5)


# --- the game -------------------------------------------------------------------------------------


def test_without_weight_the_autoencoder_learns_as_a_vqvae() -> None:
    model, x = small(weight=0.0).astype(np.float64), X.astype(np.float64)
    plain = ta.VQVAE(model.encoder, model.decoder, ta.MSE(), 8, 3).astype(np.float64)
    for name, a in plain.state.items():
        a[...] = model.state[name]
    terms, want = model.players[1].backprop(x, rng()), plain.backprop(x, rng())
    assert {name: terms[name] for name in want} == pytest.approx(want)
    for name, p in plain.params.items():
        np.testing.assert_allclose(model.params[name].grad, p.grad, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(model.table, plain.table)
    assert not any(p.grad.any() for p in model.discriminator.params.values())


def test_each_player_moves_only_its_own_parameters_and_the_table_moves_once() -> None:
    model = small().astype(np.float64)
    D, autoencoder = model.players
    before = model.table.copy()
    D.backprop(X.astype(np.float64), rng())
    np.testing.assert_array_equal(model.table, before)
    moved = {name for name, grad in gradients(model).items() if grad.any()}
    assert moved == set(D.params)
    autoencoder.backprop(X.astype(np.float64), rng())
    assert not np.array_equal(model.table, before)
    assert {*D.params, *autoencoder.params} == set(model.params)


@pytest.mark.parametrize("norm", [False, True])
def test_the_held_game_is_the_same_and_has_the_same_gradient(norm: bool) -> None:
    """What gradient checks measure is what trains."""
    model, x = small(norm).astype(np.float64), X.astype(np.float64)
    held = model.astype(np.float64).differentiable()
    assert isinstance(held, HeldGame)
    for mine, other in zip(model.players, held.players):
        assert other.objective(x, rng()) == pytest.approx(mine.objective(x, rng()))
        mine.backprop(x, rng())
        other.backprop(x, rng())
    for name, p in model.params.items():
        np.testing.assert_allclose(held.params[name].grad, p.grad, rtol=1e-9, atol=1e-15)
        assert p.grad.any()


@pytest.mark.parametrize("player", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_the_whole_models_gradients(player: int, seed: int) -> None:
    model, x = small(norm=bool(seed % 2)), rng(seed).uniform(size=(3, 1, 8, 8))
    report = ta.gradcheck.check_model(model.players[player], x, rng=rng(seed))
    assert report.ok, report


def test_evaluation_leaves_running_statistics_alone() -> None:
    model = small(norm=True)
    before = {name: a.copy() for name, a in model.state.items()}
    terms = model.evaluate(X)
    for name, a in model.state.items():
        np.testing.assert_array_equal(a, before[name])
    y = model.reconstruct(X)
    assert terms["reconstruction"] == pytest.approx(ta.metrics.mse(y, X), rel=1e-5)
    assert terms["real"] == pytest.approx(float(ta.Sigmoid()(model.discriminator(X)).mean()))


def test_the_game_makes_textures_that_squared_error_blurs() -> None:
    """Stripes of a random phase, of which the codes say nothing: the mean is grey, a stripe is not."""
    draws = rng()
    stripes = (np.arange(8) // 2 + draws.integers(2, size=(300, 1))) % 2
    x = np.broadcast_to(stripes[:, None, None].astype(np.float32), (300, 1, 8, 8)).copy()
    contrast = {}
    for weight in (0.0, 2.0):
        model = small(weight=weight)
        model.encoder.layers[0].W.value[...] = model.encoder.layers[0].b.value[...] = 0  # no code
        model.encoder.freeze()
        optimizers = ta.Adam(5e-3, beta1=0.5), ta.Adam(5e-3, beta1=0.5)
        ta.fit(model, x, epochs=15, batch_size=20, optimizer=optimizers, rng=0, progress=False)
        contrast[weight] = float(model.reconstruct(x[:50]).std(axis=(1, 2, 3)).mean())
    assert contrast[0.0] < 0.1
    assert contrast[2.0] > 0.2


def test_it_goes_on_from_a_vqvae_and_files_keep_it(tmp_path: Any) -> None:
    model = small()
    history = ta.fit(
        model,
        X,
        epochs=2,
        batch_size=3,
        optimizer=(ta.Adam(1e-3), ta.Adam(1e-3)),
        rng=0,
        progress=False,
    )
    terms = history.epochs[-1].terms
    assert {"adaptive_weight", "real", "fake", "perplexity", "commitment"} <= set(terms)
    k = model.encode(X)
    np.testing.assert_array_equal(model.decode(k), model.reconstruct(X))
    model.save(tmp_path / "vqgan.npz")
    loaded = ta.load(tmp_path / "vqgan.npz")
    np.testing.assert_array_equal(loaded.encode(X), k)
    assert loaded.evaluate(X) == model.evaluate(X)


def test_a_patch_discriminator_sees_patches() -> None:
    D = ta.patch_discriminator(1, (4, 5), rng=rng())
    x = rng(1).normal(size=(1, 1, 28, 28)).astype(np.float32)
    s = D(x)
    assert s.shape == (1, 1, 7, 7)
    other = x.copy()
    other[..., 14, 14] += 9
    seen = np.argwhere(np.abs(D(other) - s)[0, 0] > 1e-6)
    assert (np.ptp(seen, axis=0) < 5).all()  # of 18 pixels, at steps of 4
    assert len(seen) > 4


def test_mistakes_are_named() -> None:
    model = small()
    parts = model.encoder, model.decoder
    with pytest.raises(ValueError, match=r"BCEWithLogits.*whose decoder gives logits"):
        ta.VQGAN(*parts, BCEWithLogits(), model.discriminator, 8, 3)
    with pytest.raises(ValueError, match="ends in Sigmoid"):
        ta.VQGAN(*parts, ta.MSE(), ta.Sequential(model.discriminator, ta.Sigmoid()), 8, 3)
    flat = ta.Sequential(ta.Flatten(), ta.Dense(64, 1, rng=rng()))
    one_logit = ta.VQGAN(*parts, ta.MSE(), flat, 8, 3)
    with pytest.raises(ValueError, match=r"expected \(N, 1, h, w\)"):
        one_logit.objective(X)
    with pytest.raises(ValueError, match="expected a layer with a matrix W"):
        ta.VQGAN(model.encoder, ta.Sigmoid(), ta.MSE(), model.discriminator, 8, 3)
    with pytest.raises((TypeError, ValueError), match="rng"):
        model.players[1].backprop(X)
