"""CycleGAN: both players' gradients, the terms, the way there and back, and pairs that nobody told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck


def rng(seed=0):
    return np.random.default_rng(seed)


def make(seed=0, dtype=np.float64, **more):
    noise = rng(seed)

    def network(*sizes):
        a, b, c = sizes
        return ta.Sequential(ta.Dense(a, b, rng=noise), ta.Tanh(), ta.Dense(b, c, rng=noise))

    generators = network(3, 4, 3), network(3, 5, 3)
    return ta.CycleGAN(*generators, network(3, 4, 2), network(3, 3, 1), **more).astype(dtype)


def data(n, seed=0, dtype=np.float64):
    x, y = rng(seed).normal(size=(2, n, 3)).astype(dtype)
    return x, y


def grads(model):
    return {name: p.grad.copy() for name, p in model.params.items()}


# --- gradients ------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.integers(0, 999), st.integers(1, 5), st.floats(0, 3), st.sampled_from([0.0, 2.0]))
def test_the_whole_objective_of_each_player(seed, n, cycle, identity):
    model, batch = make(seed, cycle=cycle, identity=identity), data(n, seed)
    for player in model.players:
        report = gradcheck.check_model(player, batch, rng(seed))
        assert report.ok, f"{type(player).__name__}\n{report}"


def test_of_images_with_patches():
    parts = ta.cyclegan((1, 4, 4), 2, 1, rng=rng())
    model = ta.CycleGAN(*parts).astype(np.float64)
    x, y = rng(1).uniform(size=(2, 2, 1, 4, 4))
    assert model.discriminator_y(x).shape == (2, 1, 1, 1)
    for player in model.players:
        assert gradcheck.check_model(player, (x, y), rng()).ok


def test_each_player_leaves_the_other_alone_and_both_have_all_parameters():
    model, batch = make(), data(5)
    for player, other in zip(model.players, reversed(model.players)):
        before = grads(other)
        player.backprop(batch)
        for name, g in grads(other).items():
            np.testing.assert_array_equal(g, before[name])
        assert all(p.grad.any() for p in player.params.values())
    names = [name for player in model.players for name in player.params]
    assert sorted(names) == sorted(model.params)


def test_it_is_symmetric():
    """The same game with x and y exchanged: the same terms, the same gradients."""
    model, (x, y) = make(), data(4)
    parts = model.generator_x, model.generator_y, model.discriminator_x, model.discriminator_y
    other = ta.CycleGAN(*parts)
    terms = model.backprop((x, y))
    found = {id(p): p.grad.copy() for p in model.params.values()}
    for p in model.params.values():
        p.grad[...] = 0
    assert other.backprop((y, x)) == pytest.approx(terms, rel=1e-12)
    for p in other.params.values():
        np.testing.assert_allclose(p.grad, found[id(p)], rtol=1e-10, atol=1e-14)


def test_the_order_of_either_set_means_nothing():
    model, (x, y) = make(), data(6)
    terms, first = model.backprop((x, y)), grads(model)
    for p in model.params.values():
        p.grad[...] = 0
    assert model.backprop((x, y[::-1].copy())) == pytest.approx(terms, rel=1e-12)
    for name, g in grads(model).items():
        np.testing.assert_allclose(g, first[name], rtol=1e-9, atol=1e-13)


# --- the terms ------------------------------------------------------------------------------------


def test_the_terms_are_those_of_the_definition():
    model, (x, y) = make(cycle=3.0, identity=2.0), data(7)
    G, F = model.generator_y, model.generator_x
    D_y, D_x = model.discriminator_y, model.discriminator_x
    made_y, made_x = G(x), F(y)
    judged = [((D_y(y) - 1) ** 2).mean(), (D_y(made_y) ** 2).mean()]
    judged += [((D_x(x) - 1) ** 2).mean(), (D_x(made_x) ** 2).mean()]
    terms = model.objective((x, y))
    assert terms["discriminator"] == pytest.approx(sum(judged) / 2, rel=1e-12)
    assert terms["real"] == pytest.approx((D_y(y).mean() + D_x(x).mean()) / 2, rel=1e-12)
    assert terms["fake"] == pytest.approx((D_y(made_y).mean() + D_x(made_x).mean()) / 2, rel=1e-12)
    adversarial = ((D_y(made_y) - 1) ** 2).mean() + ((D_x(made_x) - 1) ** 2).mean()
    cycle = abs(F(made_y) - x).mean() + abs(G(made_x) - y).mean()
    identity = abs(G(y) - y).mean() + abs(F(x) - x).mean()
    assert terms["adversarial"] == pytest.approx(adversarial, rel=1e-12)
    assert terms["cycle"] == pytest.approx(cycle, rel=1e-12)
    assert terms["identity"] == pytest.approx(identity, rel=1e-12)
    generators = adversarial + 3 * cycle + 2 * identity
    assert model.players[1].objective((x, y))["total"] == pytest.approx(generators, rel=1e-12)
    assert terms["total"] == pytest.approx(terms["discriminator"] + generators, rel=1e-12)
    assert not any(p.grad.any() for p in model.params.values())
    assert model.evaluate((x, y)) == pytest.approx(terms)
    assert model.backprop((x, y)) == pytest.approx(terms)
    np.testing.assert_allclose(model.to_y(x), made_y)
    np.testing.assert_allclose(model.to_x(y), made_x)


def test_the_best_answers_cost_nothing():
    """x = y, generators that change nothing, judges that always say ½: only the squares are left."""
    same = [ta.Dense(3, 3, rng=rng()) for _ in range(2)]
    half = [ta.Dense(3, 1, rng=rng()) for _ in range(2)]
    for layer in same:
        layer.W.value[...] = np.eye(3)
    for layer in half:
        layer.W.value[...], layer.b.value[...] = 0, 0.5
    x, _ = data(4, dtype=np.float32)
    terms = ta.CycleGAN(*same, *half).backprop((x, x))
    assert terms["cycle"] == terms["identity"] == 0
    assert terms["discriminator"] == 2 * (0.25 + 0.25) / 2
    assert terms["adversarial"] == 2 * 0.25


# --- what it learns -------------------------------------------------------------------------------


def test_it_finds_pairs_that_nobody_told_and_files_keep_the_game(tmp_path):
    """y = x + (1, −1), the sets drawn apart: no pair is ever seen."""
    noise = rng()
    shift = np.array([1.0, -1.0], np.float32)

    def draw(n):
        return (noise.normal(size=(n, 2)) * [0.5, 1.0]).astype(np.float32)

    x, y = draw(600), draw(600) + shift
    generators = ta.Dense(2, 2, rng=noise), ta.Dense(2, 2, rng=noise)
    for layer in generators:
        layer.W.value[...] = np.eye(2)
    judges = [
        ta.Sequential(ta.Dense(2, 16, rng=noise), ta.LeakyReLU(0.2), ta.Dense(16, 1, rng=noise))
        for _ in "yx"
    ]
    model = ta.CycleGAN(*generators, *judges, cycle=1.0, identity=0.0)
    optimizers = tuple(ta.Adam(5e-3, beta1=0.5) for _ in model.players)
    ta.fit(model, (x, y), epochs=25, batch_size=20, optimizer=optimizers, rng=0, progress=False)
    new = draw(200)
    assert np.square(model.to_y(new) - new - shift).mean() < 0.1 * np.square(shift).mean()
    assert np.square(model.to_x(new + shift) - new).mean() < 0.1 * np.square(shift).mean()
    model.save(tmp_path / "cycle.npz")
    loaded = ta.load(tmp_path / "cycle.npz")
    np.testing.assert_array_equal(loaded.to_y(new), model.to_y(new))
    assert loaded.evaluate((x, y)) == model.evaluate((x, y))


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
    model, (x, y) = make(dtype=np.float32), data(4, dtype=np.float32)
    with pytest.raises(TypeError, match=r"one array, expected two; pass \(x, y\)"):
        model.backprop(x)
    with pytest.raises(TypeError, match="3 arrays"):
        ta.fit(model, (x, y, y), epochs=1, progress=False)
    with pytest.raises(ValueError, match=r"generator makes \(4, 3\), .* \(4, 2\)"):
        model.backprop((x, y[:, :2].copy()))
    with pytest.raises(ValueError, match="cycle is -1"):
        make(cycle=-1)
    ends = ta.Sequential(ta.Dense(3, 1, rng=rng()), ta.Sigmoid())
    with pytest.raises(ValueError, match="discriminator ends in Sigmoid"):
        ta.CycleGAN(model.generator_y, model.generator_x, ends, ends)
    bounded = [ta.Sequential(ta.Dense(3, 3, rng=rng()), ta.Sigmoid()) for _ in "yx"]
    unfit = ta.CycleGAN(*bounded, model.discriminator_y, model.discriminator_x)
    with pytest.raises(ValueError, match=r"reaches no further"):
        ta.fit(unfit, (x, abs(y) / 9), epochs=1, progress=False)
    with pytest.raises(ValueError, match="cannot be halved twice"):
        ta.cyclegan((1, 6, 8), rng=rng())
