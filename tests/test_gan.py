"""The GAN: two players, each with a gradient of its own, and what theory says of their game."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.layers import (
    ELU,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
    Upsample2d,
)
from tinyae.losses import BCEWithLogits
from tinyae.models.gan import (
    GAN,
    DiscriminatorPlayer,
    GeneratorPlayer,
    NonSaturating,
    Saturating,
)
from tinyae.models.gan_builders import dcgan, dense_gan
from tinyae.optim import Adam


def make(dtype=np.float64, seed=0, loss=None, **settings):
    """A small GAN of dense layers on images of 3 × 4."""
    rng = np.random.default_rng(seed)
    G = Sequential(Dense(3, 6, rng=rng), ELU(), Dense(6, 12, rng=rng), Sigmoid(), Reshape(1, 3, 4))
    D = Sequential(Flatten(), Dense(12, 5, rng=rng), Tanh(), Dense(5, 1, rng=rng))
    return GAN(G, D, loss, **settings).astype(dtype)


def images(n, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).random((n, 1, 3, 4)).astype(dtype)


def rng(seed=5):
    return np.random.default_rng(seed)


def grads(model):
    return {name: p.grad.copy() for name, p in model.params.items()}


def clear(model):
    for p in model.params.values():
        p.grad[...] = 0


# --- gradients ------------------------------------------------------------------------------


@st.composite
def games(draw):
    """A GAN of random architecture with every term switched on, and a batch for it."""
    noise = np.random.default_rng(draw(st.integers(0, 2**16)))
    n, c, latent = draw(st.integers(2, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    if draw(st.booleans()):
        shape = c, 4, 4
        width = draw(st.integers(1, 3))
        up = [Dense(latent, width * 4, rng=noise), Reshape(width, 2, 2)]
        up += [BatchNorm(width, eps=0.1)] if draw(st.booleans()) else []
        up += [Tanh(), ConvTranspose2d(width, c, 3, 2, "same", rng=noise)]
        down = [Conv2d(c, width, 3, 2, "same", rng=noise)]
        down += [BatchNorm(width, eps=0.1)] if draw(st.booleans()) else []
        down += [LeakyReLU(0.2), Flatten(), Dense(width * 4, 1, rng=noise)]
    else:
        shape, width = (c, draw(st.integers(1, 3))), draw(st.integers(1, 4))
        size = math.prod(shape)
        up = [Dense(latent, width, rng=noise)]
        up += [BatchNorm(width, eps=0.1)] if draw(st.booleans()) else []
        up += [ELU(), Dense(width, size, rng=noise), Reshape(*shape)]
        down = [Flatten(), Dense(size, width, rng=noise), ELU()]
        down += [BatchNorm(width, eps=0.1)] if draw(st.booleans()) else []
        down += [Dropout(0.3, rng=noise)] if draw(st.booleans()) else []
        down += [Dense(width, 1, rng=noise)]
    up += [draw(st.sampled_from([Sigmoid, Tanh]))()]
    loss = draw(st.sampled_from([NonSaturating, Saturating]))()
    label = draw(st.sampled_from([1.0, 0.9]))
    model = GAN(Sequential(*up), Sequential(*down), loss, real_label=label).astype(np.float64)
    for p in model.params.values():
        p.value[...] += noise.normal(0, 0.3, p.shape)
    return model, noise.uniform(size=(n, *shape))


@given(games(), st.integers(0, 99))
def test_each_player_follows_its_own_gradient(game, seed):
    model, x = game
    for player in model.players:
        report = gradcheck.check_model(player, x, rng(seed))
        assert report.ok, f"{type(player).__name__}\n{report}"


@given(games())
def test_a_player_leaves_the_other_alone(game):
    model, x = game
    for p in model.params.values():
        p.grad[...] = rng().normal(size=p.shape)
    for player, other in zip(model.players, reversed(model.players)):
        before, own = grads(other), grads(player)
        player.backprop(x, rng())
        for name, g in grads(other).items():
            np.testing.assert_array_equal(g, before[name])
        assert any((g != own[name]).any() for name, g in grads(player).items())


def test_players_share_the_parameters_of_the_game():
    model = make()
    d, g = model.players
    assert isinstance(d, DiscriminatorPlayer)
    assert isinstance(g, GeneratorPlayer)
    assert d.params.keys() | g.params.keys() == model.params.keys()
    assert not d.params.keys() & g.params.keys()
    assert all(p is model.params[name] for player in (d, g) for name, p in player.params.items())


def test_a_player_in_another_dtype_brings_its_opponent():
    for player in make(np.float32).players:
        twin = player.astype(np.float64)
        assert type(twin) is type(player)
        assert {p.dtype for p in twin.game.params.values()} == {np.dtype(np.float64)}
        assert {p.dtype for p in player.game.params.values()} == {np.dtype(np.float32)}
        twin.backprop(images(4), rng())
        assert not any(p.grad.any() for p in player.params.values())


@given(games())
def test_backprop_is_both_players_at_one_point(game):
    model, x = game
    twin, noise = copy.deepcopy(model), rng()
    terms = model.backprop(x, rng())
    for player in twin.players:
        player.backprop(x, noise)
    for name, g in grads(twin).items():
        np.testing.assert_array_equal(model.params[name].grad, g)
    assert terms.keys() == {"total", "discriminator", "generator", "real", "fake"}
    assert terms["total"] == pytest.approx(terms["discriminator"] + terms["generator"])
    assert all(type(value) is float for value in terms.values())


def test_objective_gives_the_terms_and_leaves_gradients_alone():
    model, x = make(), images(6)
    terms = model.objective(x, rng())
    assert not any(p.grad.any() for p in model.params.values())
    assert terms == model.backprop(x, rng())
    evaluated = model.evaluate(x, rng())  # no layer here differs in inference
    assert evaluated == pytest.approx(terms, rel=1e-12)
    assert terms != model.objective(x, rng(6))


def test_the_discriminator_on_two_batches_is_one_joined_batch():
    model, x = make(real_label=0.9), images(7)
    player, D = model.players[0], model.discriminator
    player.backprop(x, rng())
    apart = grads(player)
    clear(model)
    fake = model.generator(model.noise(len(x), rng()))
    joined = np.concatenate([x, fake])
    labels = np.repeat([[0.9], [0.0]], len(x), axis=0)
    s, cache = D.forward(joined)
    L, ds = BCEWithLogits()(s, labels)
    D.backward(2 * ds, cache)  # the loss is the sum of two means
    assert player.objective(x, rng())["total"] == pytest.approx(2 * L, rel=1e-12)
    for name, g in grads(player).items():
        np.testing.assert_allclose(g, apart[name], rtol=1e-10, atol=1e-14)


# --- the losses -----------------------------------------------------------------------------


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=6))
def test_what_the_generator_wants_in_closed_form(logits):
    s = np.array(logits)[:, None]
    sigma = 1 / (1 + np.exp(-s))
    L, ds = NonSaturating()(s)
    assert pytest.approx(np.logaddexp(0, -s).mean(), rel=1e-9) == L  # −ln σ(s)
    np.testing.assert_allclose(ds, -(1 - sigma) / len(s), rtol=1e-6, atol=1e-16)
    L_sat, ds_sat = Saturating()(s)
    assert pytest.approx(-np.logaddexp(0, s).mean(), rel=1e-9) == L_sat  # ln(1 − σ(s))
    np.testing.assert_allclose(ds_sat, -sigma / len(s), rtol=1e-9)
    np.testing.assert_allclose(ds + ds_sat, -1 / len(s), rtol=1e-12)  # one fades as the other grows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_stay_finite_far_out(dtype):
    s = np.array([[-1e4], [1e4], [0]], dtype)
    for loss in (NonSaturating(), Saturating()):
        L, ds = loss(s)
        assert math.isfinite(L)
        assert np.isfinite(ds).all()
        assert ds.dtype == dtype


@pytest.mark.parametrize("loss", [NonSaturating(), Saturating()], ids=repr)
def test_at_a_loss_the_terms_are_those_of_the_equilibrium(loss):
    model = make(loss=loss)
    last = model.discriminator.layers[-1]
    last.W.value[...] = 0
    terms = model.objective(images(5), rng())
    assert terms["discriminator"] == pytest.approx(2 * math.log(2))
    assert abs(terms["generator"]) == pytest.approx(math.log(2))
    assert terms["real"] == terms["fake"] == 0.5


def test_labels_are_smoothed_on_one_side():
    """D = const has its optimum at σ = α / 2 where real and fake samples cannot be told apart."""
    model = make(real_label=0.8)
    D = model.discriminator
    D.layers[-1].W.value[...] = 0
    player, slopes = model.players[0], []
    for sigma in (0.3, 0.4, 0.5):
        D.layers[-1].b.value[...] = math.log(sigma / (1 - sigma))
        clear(model)
        player.backprop(images(5), rng())
        slopes.append(float(D.layers[-1].b.grad[0]))
    assert slopes[0] < 0 < slopes[2]
    assert slopes[1] == pytest.approx(0, abs=1e-12)


# --- theory ---------------------------------------------------------------------------------


def line(weight, bias, dtype=np.float64):
    dense = Dense(1, 1, rng=rng(), dtype=dtype)
    dense.W.value[...], dense.b.value[...] = weight, bias
    return dense


def test_the_best_discriminator_is_the_ratio_of_densities():
    """D* = p_data / (p_data + p_g) (proposition 1). For N(1, 1) against N(0, 1) its logit
    is x − 1/2, and its loss is 2 ln 2 − 2 JSD (theorem 1)."""
    noise = rng(0)
    x = noise.normal(1, 1, (20000, 1))
    model = GAN(line(1, 0), line(0, 0))  # G(z) = z
    player, optimizer = model.players[0], Adam(0.05)
    for step in range(300):
        if step == 200:
            optimizer.learning_rate = 0.01
        player.backprop(x[noise.integers(0, len(x), 1000)], noise)
        optimizer.step(player.params)
    D = model.discriminator
    assert D.W.value[0, 0] == pytest.approx(1, abs=0.1)
    assert D.b.value[0] == pytest.approx(-0.5, abs=0.1)

    at = np.linspace(-8, 9, 2001)
    p, q = (np.exp(-((at - mean) ** 2) / 2) / math.sqrt(2 * math.pi) for mean in (1, 0))
    np.testing.assert_allclose(
        model.discriminate(at[:, None])[700:1300], (p / (p + q))[700:1300], atol=0.05
    )
    m = (p + q) / 2
    jsd = float((p * np.log(p / m) + q * np.log(q / m)).sum() / 2 * (at[1] - at[0]))
    reached = model.evaluate(x, rng())["discriminator"]
    assert reached == pytest.approx(2 * math.log(2) - 2 * jsd, abs=0.02)


@pytest.mark.parametrize("loss", [NonSaturating(), Saturating()], ids=repr)
def test_a_line_learns_a_gaussian(loss):
    noise = rng(1)
    x = noise.normal(2.0, 0.5, (5000, 1))
    D = Sequential(Dense(1, 16, rng=noise), Tanh(), Dense(16, 1, rng=noise)).astype(np.float64)
    model = GAN(line(1, 0), D, loss)
    players = [
        (player, Adam(rate, beta1=0.5)) for player, rate in zip(model.players, (0.02, 0.005))
    ]
    for _ in range(1500):
        batch = x[noise.integers(0, len(x), 128)]
        for player, optimizer in players:
            player.backprop(batch, noise)
            optimizer.step(player.params)
    samples = model.sample(5000, rng())
    assert samples.mean() == pytest.approx(2.0, abs=0.2)
    assert samples.std() == pytest.approx(0.5, abs=0.2)
    terms = model.evaluate(x, rng())
    assert terms["discriminator"] == pytest.approx(2 * math.log(2), abs=0.1)


# --- use ------------------------------------------------------------------------------------


def test_fit_lets_the_players_move_in_turn():
    model, twin = make(np.float32), make(np.float32)
    x = images(40, dtype=np.float32)
    settings = {"epochs": 2, "batch_size": 16, "rng": 3, "progress": False}
    history = ta.fit(model, x, optimizer=(Adam(1e-2), Adam(1e-2)), **settings)
    assert {"total", "discriminator", "generator", "real", "fake"} <= set(history.names)
    np.testing.assert_allclose(
        history["total"], history["discriminator"] + history["generator"], rtol=1e-12
    )
    start = make(np.float32)
    for name, p in model.params.items():
        assert (p.value != start.params[name].value).any()
        assert not p.grad.any()
    ta.fit(twin, x, optimizer=(Adam(1e-2), Adam(1e-2)), **settings)
    for name, p in model.params.items():
        np.testing.assert_array_equal(p.value, twin.params[name].value)
    with pytest.raises(ValueError, match="2 players"):
        ta.fit(model, x, optimizer=Adam(1e-2), **settings)


def test_a_game_that_diverges_is_named():
    model, x = GAN(*dense_gan((1, 3, 4), (6, 5), 3, rng=rng())), images(40, dtype=np.float32)
    before = {name: p.value.copy() for name, p in model.params.items()}
    pair = ta.SGD(1e25), ta.SGD(1e25)
    with pytest.raises(ta.TrainingDiverged, match=r"discriminator\.|generator\."):
        ta.fit(model, x, optimizer=pair, epochs=3, validation=x, progress=False)
    for name, p in model.params.items():
        np.testing.assert_array_equal(p.value, before[name])


def test_training_goes_on_from_a_checkpoint(tmp_path):
    x, file = images(40, dtype=np.float32), tmp_path / "game.npz"

    def settings(epochs):
        pair = Adam(1e-2), Adam(2e-2)
        batches = {"epochs": epochs, "batch_size": 16, "rng": 3}
        return {**batches, "optimizer": pair, "progress": False}

    whole, half, rest = (make(np.float32) for _ in range(3))
    ta.fit(whole, x, **settings(4))
    ta.fit(half, x, checkpoint=file, **settings(2))
    ta.fit(rest, x, resume=file, **settings(4))
    for name, p in whole.params.items():
        np.testing.assert_array_equal(p.value, rest.params[name].value)


def test_samples_are_as_many_and_the_same_for_a_seed():
    model = make(np.float32)
    for n in (1, 3, 1024, 1500):
        assert model.sample(n, rng()).shape == (n, 1, 3, 4)
    a, b, c = (model.sample(50, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert a.dtype == np.float32
    z = rng(1).standard_normal((50, 3))
    np.testing.assert_allclose(model.decode(z), a, rtol=1e-6)
    assert model.decode(z[:0]).shape == (0, 1, 3, 4)


def test_the_noise_is_standard_normal():
    z = make(np.float32).noise(200_000, rng())
    assert z.shape == (200_000, 3)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=0.015)
    assert (z**4).mean() == pytest.approx(3, abs=0.06)


def test_discriminate_gives_a_probability_a_sample():
    model, x = make(), images(1500)
    p = model.discriminate(x)
    assert p.shape == (1500,)
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-model.discriminator(x)[:, 0])), rtol=1e-9)
    np.testing.assert_allclose(p[7:8], model.discriminate(x[7:8]), rtol=1e-9)
    assert model.evaluate(x)["real"] == pytest.approx(p.mean(), rel=1e-9)


@pytest.mark.parametrize("build", [dense_gan, dcgan])
def test_inference_uses_running_statistics_and_changes_none(build):
    model = GAN(*build((1, 4, 4), (6, 5), 3, rng=rng()))
    x = rng().random((8, 1, 4, 4), dtype=np.float32)
    for _ in range(3):
        model.objective(x, rng())
    before = copy.deepcopy(model.state)
    assert before
    whole = model.sample(20, rng())
    one = model.decode(rng().standard_normal((20, 3))[4:5])
    np.testing.assert_allclose(one, whole[4:5], rtol=1e-5)
    assert model.evaluate(x) == model.evaluate(x)  # no dropout
    assert model.evaluate(x)["real"] == pytest.approx(model.discriminate(x).mean(), rel=1e-5)
    for name, a in model.state.items():
        np.testing.assert_array_equal(a, before[name])


@pytest.mark.parametrize("build", [dense_gan, dcgan])
def test_a_file_holds_the_game(build, tmp_path):
    sizes = ((1, 8, 4), (3, 5), 7)
    model = GAN(*build(*sizes, rng=rng()), Saturating(), real_label=0.9)
    model.backprop(rng().random((6, 1, 8, 4), dtype=np.float32), rng())
    model.save(tmp_path / "gan.npz")
    twin = ta.load(tmp_path / "gan.npz")
    assert repr(twin) == repr(model)
    assert isinstance(twin.generator_loss, Saturating)
    assert (twin.latent_dim, twin.real_label) == (7, 0.9)
    np.testing.assert_array_equal(twin.sample(5, rng()), model.sample(5, rng()))
    with pytest.raises(TypeError, match="save"):
        model.players[0].save(tmp_path / "half.npz")  # half a game is none


def test_trace_names_every_layer():
    model = make()
    names = [name for name, _ in model.trace(images(4), rng())]
    assert names[:5] == [f"generator.{i}" for i in range(5)]
    assert names[5:] == 2 * [f"discriminator.{i}" for i in range(4)]


# --- builders -------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [dense_gan, dcgan])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 16)])
def test_builders_make_a_pair_that_fits(build, shape):
    G, D = build(shape, (4, 6), 9, rng=rng())
    model = GAN(G, D)
    assert model.latent_dim == 9
    x = model.sample(3, rng())
    assert x.shape == (3, *shape)
    assert 0 <= x.min() <= x.max() <= 1
    assert D(x).shape == (3, 1)
    model.backprop(x, rng())
    G, _ = build(shape, (4, 6), 9, output=Tanh, rng=rng())
    assert G.layers[-1 if build is dcgan else -2].__class__ is Tanh


def test_dcgan_begins_as_the_paper_says():
    G, D = dcgan((1, 28, 28), (32, 64), 64, rng=rng())
    for part in (G, D):
        for name, p in part.params.items():
            if name.endswith("W"):
                assert p.value.std() == pytest.approx(0.02, rel=0.1), name
                assert abs(p.value.mean()) < 0.004, name


# --- misuse ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda m: GAN(m.generator, Sigmoid), TypeError, "discriminator is the class"),
        (lambda m: GAN(None, m.discriminator), TypeError, "generator is None"),
        (lambda m: GAN(m.generator, m.discriminator, Saturating), TypeError, r"pass Saturating\("),
        (lambda m: GAN(m.generator, Sequential(m.discriminator, Sigmoid())), ValueError, "logit"),
        (lambda m: GAN(m.generator, m.discriminator, latent_dim=4), ValueError, "takes 3"),
        (lambda m: GAN(m.generator, m.discriminator, latent_dim=0), ValueError, "latent_dim"),
        (lambda m: GAN(Upsample2d(2), m.discriminator), ValueError, "latent_dim=64"),
        (lambda m: GAN(m.generator, m.discriminator, real_label=0.0), ValueError, "real_label"),
        (lambda m: GAN(m.generator, m.discriminator, real_label=1.1), ValueError, "real_label"),
        (lambda m: m.sample(3, None), TypeError, "Generator"),
        (lambda m: m.sample(0, rng()), ValueError, "n is 0"),
        (lambda m: m.backprop(images(3)), TypeError, "Generator"),
        (lambda m: m.decode(np.zeros((2, 4))), ValueError, r"\(N, 3\)"),
        (lambda m: m.decode([[0.0] * 3]), TypeError, "list"),
        (lambda m: m.backprop(images(3).reshape(3, 12), rng()), ValueError, "generator makes"),
        (lambda m: m.evaluate(np.zeros((3, 12))), ValueError, r"Reshape\(12,\)"),
        (lambda m: m.discriminate(images(3)[:, :, :2]), ValueError, "12"),
        (lambda m: m.evaluate(np.zeros((0, 1, 3, 4))), ValueError, "no rows"),
        (lambda m: m.check_data(images(3) * 2), ValueError, "generator's last layer, Sigmoid"),
        (lambda m: m.check_data((images(3), np.zeros(3))), TypeError, "tuple of 2"),
        (lambda m: dcgan((1, 28, 28), (4, 4, 4), rng=rng()), ValueError, "halved 3 times"),
        (lambda m: dcgan((1, 28, 28), (4, 4)), TypeError, "rng"),
    ],
)
def test_misuse_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call(make())


def test_a_discriminator_gives_one_logit_a_sample():
    model = make()
    two = Sequential(Flatten(), Dense(12, 2, rng=rng())).astype(np.float64)
    wrong = GAN(model.generator, two)
    for call in (wrong.backprop, wrong.objective, wrong.evaluate):
        with pytest.raises(ValueError, match=r"expected \(4, 1\)"):
            call(images(4), rng())
    with pytest.raises(ValueError, match="one logit"):
        wrong.discriminate(images(4))
    assert not any(p.grad.any() for p in wrong.params.values())


def test_a_generator_may_begin_with_anything_if_the_size_is_told():
    up = Sequential(Reshape(3, 1, 1), ConvTranspose2d(3, 1, (3, 4), rng=rng()), ReLU())
    D = Sequential(Flatten(), Dense(12, 1, rng=rng()))
    model = GAN(up, D, latent_dim=3)
    assert model.sample(2, rng()).shape == (2, 1, 3, 4)
