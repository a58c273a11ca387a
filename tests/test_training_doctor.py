"""The run doctor: silent on healthy runs of every kind, and right about each illness made on purpose."""

import copy

import numpy as np
import pytest

import tinyae as ta
from tinyae import catalog
from tinyae.layers.base import Module
from tinyae.training import Epoch
from tinyae.training_doctor import diagnose_training

D = 24


@pytest.fixture(scope="module", autouse=True)
def plain_kernels():
    with ta.kernels.use("numpy"):
        yield


def curved(n=600, seed=0):
    """Bumps at a random place, of a random width: two numbers a sample, and not on a plane."""
    rng = np.random.default_rng(seed)
    place, width = rng.uniform(0.2, 0.8, (n, 1)), rng.uniform(0.08, 0.16, (n, 1))
    t = np.linspace(0, 1, D)
    return np.exp(-(((t - place) / width) ** 2)).astype(np.float32)


X, HELD_OUT = curved(), curved(200, 1)


def dense(units=(32, 3), activation=ta.ReLU, output=ta.Sigmoid, code=None, seed=0):
    rng = np.random.default_rng(seed)
    return ta.dense_pair(
        [D], list(units), activation=activation, code_activation=code, output=output, rng=rng
    )


def variational(beta=1.0, likelihood=None, latent=3, seed=0):
    rng = np.random.default_rng(seed)
    parts = ta.dense_variational([D], [32, latent], rng=rng)
    return ta.VariationalAutoencoder(*parts, likelihood or ta.Gaussian(0.05), beta)


def fit(model, x=X, epochs=60, rate=3e-3, optimizer=None, **settings):
    optimizer = optimizer or ta.Adam(rate)
    return ta.fit(model, x, epochs=epochs, optimizer=optimizer, progress=False, **settings)


HEALTHY = {
    "plain": lambda: ta.Autoencoder(*dense(), ta.MSE()),
    "tanh": lambda: ta.Autoencoder(*dense(activation=ta.Tanh), ta.MSE()),
    "logits": lambda: ta.Autoencoder(*dense(output=None), ta.BCEWithLogits()),
    "denoising": lambda: ta.DenoisingAutoencoder(*dense(), ta.MSE(), ta.GaussianNoise(0.1)),
    "sparse kl": lambda: ta.SparseAutoencoder(
        *dense((40,), code=ta.Sigmoid), ta.MSE(), ta.KLSparsity(0.1, 1e-3)
    ),
    "sparse l1": lambda: ta.SparseAutoencoder(
        *dense((40,), code=ta.ReLU), ta.MSE(), ta.L1Sparsity(1e-4)
    ),
    "contractive": lambda: ta.ContractiveAutoencoder(
        *dense((16,), code=ta.Sigmoid), ta.MSE(), 1e-4
    ),
    "variational": variational,
    "variational, latents to spare": lambda: variational(latent=8),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_found_in_a_healthy_run(name):
    model = HEALTHY[name]()
    history = fit(model, validation=HELD_OUT)
    d = diagnose_training(history, model, X)
    assert d.ok, d
    assert d
    assert d.findings == []
    assert "nothing is plainly wrong" in str(d)


def test_a_linear_model_as_good_as_pca_is_healthy():
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(ta.Dense(D, 3, rng=rng), ta.Dense(3, D, rng=rng), ta.MSE())
    d = diagnose_training(fit(model, epochs=150, rate=1e-2), model, X)
    assert d.ok, d
    assert d.measured["error"] == pytest.approx(d.measured["PCA error"], rel=0.1)


def test_classifier_and_gan_can_be_examined():
    rng = np.random.default_rng(0)
    labels = (X.argmax(axis=1) > D // 2).astype(np.int64)
    net = ta.Sequential(ta.Dense(D, 16, rng=rng), ta.ReLU(), ta.Dense(16, 2, rng=rng))
    model = ta.Classifier(net)
    history = ta.fit(model, (X, labels), epochs=10, progress=False)
    d = diagnose_training(history, model, (X, labels))
    assert d.ok, d
    assert "dead in network.1" in d.measured
    gan = ta.GAN(*ta.dense_gan([D], [16], latent_dim=4, rng=rng))
    history = ta.fit(gan, X, epochs=3, progress=False, optimizer=(ta.Adam(1e-3), ta.Adam(1e-3)))
    d = diagnose_training(history, gan, X)
    assert d.ok, d


# --- illnesses ----------------------------------------------------------------------------------


def test_dead_relus_are_counted_and_named():
    model = ta.Autoencoder(*dense(), ta.MSE())
    history = fit(model, epochs=20)
    dead = [2, 3, 5, 7, 11, 13]
    model.params["encoder.0.b"].value[dead] = -1e3
    found = diagnose_training(history, model, X)["dead_relus"]
    assert found.where == "encoder.1 (ReLU)"
    assert set(dead) <= set(found.figures["which"])
    alive = ~(model.encoder.layers[0](X) > 0).any(axis=0)
    assert found.figures["dead"] == alive.sum()
    assert found.figures["units"] == 32


def test_dead_channels_of_images():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(64, 1, 6, 6)).astype(np.float32)
    conv = ta.Conv2d(1, 4, 3, 1, "same", rng=rng)
    up = ta.ConvTranspose2d(4, 1, 3, 1, "same", rng=rng)
    model = ta.Autoencoder(
        ta.Sequential(conv, ta.ReLU()), ta.Sequential(up, ta.Sigmoid()), ta.MSE()
    )
    history = fit(model, x, epochs=2)
    conv.b.value[1] = -1e3
    found = diagnose_training(history, model, x)["dead_relus"]
    assert found.figures["which"] == [1]


def test_saturated_sigmoids():
    model = ta.Autoencoder(*dense((16, 3), activation=ta.Sigmoid), ta.MSE())
    history = fit(model, epochs=10)
    model.params["encoder.0.W"].value[...] *= 1e4
    d = diagnose_training(history, model, X)
    assert d["saturated"].where == "encoder.1 (Sigmoid)"
    assert d["saturated"].figures["share"] > 0.9


@pytest.mark.parametrize("activation", [ta.Sigmoid, ta.Tanh])
def test_the_saturated_share_by_hand(activation):
    model = ta.Autoencoder(*dense((16, 3), activation=activation), ta.MSE())
    history = fit(model, epochs=1)
    model.params["encoder.0.W"].value[...] *= 10
    y = model.encoder.layers[1](model.encoder.layers[0](X))
    low = 0.0 if activation is ta.Sigmoid else -1.0
    near = 0.01 * (1 - low)
    share = float(((y < low + near) | (y > 1 - near)).mean())
    assert 0.05 < share < 0.9
    measured = diagnose_training(history, model, X).measured["saturated in encoder.1"]
    assert measured == pytest.approx(share, abs=1e-3)


def test_the_output_may_saturate():
    """Black and white data want an output at its ends."""
    x = (X > 0.5).astype(np.float32)
    model = ta.Autoencoder(*dense((32, 4)), ta.BCE())
    d = diagnose_training(fit(model, x, epochs=100), model, x)
    assert "saturated" not in d.kinds


def test_collapsed_latents():
    model = variational(beta=50.0, likelihood=ta.Gaussian(1.0))
    d = diagnose_training(fit(model, epochs=30), model, X)
    found = d["collapsed_latents"]
    assert found.figures["active"] == 0
    assert len(found.figures["kl"]) == 3
    assert max(found.figures["kl"]) < 0.05


def test_active_units_are_counted_after_burda():
    """KL and Var E[z | x] against their closed forms, from heads that are set by hand."""
    model = variational(latent=4)
    history = fit(model, epochs=1)
    for head, row in ((model.mean, 0.0), (model.logvar, 0.0)):
        head.W.value[...] = row
        head.b.value[...] = row
    model.mean.b.value[...] = [3.0, 0, 0, 0]  # far from 0, but the same for each x: not active
    model.logvar.b.value[...] = [0, -2.0, 0, 0]
    found = diagnose_training(history, model, X)["collapsed_latents"]
    s = np.array([0, -2.0, 0, 0])
    mu = np.array([3.0, 0, 0, 0])
    np.testing.assert_allclose(found.figures["kl"], 0.5 * (mu**2 + np.exp(s) - 1 - s), rtol=1e-5)
    assert found.figures["active"] == 0


@pytest.mark.parametrize("optimizer", [ta.SGD(1e-9), ta.Adam(1e-10)])
def test_a_loss_that_is_not_moving(optimizer):
    model = ta.Autoencoder(*dense(), ta.MSE())
    history = fit(model, epochs=5, optimizer=optimizer)
    d = diagnose_training(history, model, X)
    assert {"not_moving", "small_updates", "no_better_than_mean"} <= set(d.kinds)
    assert d["not_moving"].figures["learning_rate"] == optimizer.rate


def test_updates_that_are_too_large():
    model = ta.Autoencoder(*dense(), ta.MSE())
    optimizer = ta.SGD(1e3)
    history = fit(model, epochs=1)
    history.epochs[-1].learning_rate = 1e3
    d = diagnose_training(history, model, X, optimizer=optimizer)
    assert "large_updates" in d.kinds
    assert optimizer.t == 0


def test_update_ratio_of_sgd_is_its_formula():
    """A step of SGD moves W by η‖dW‖: one batch that is all of x leaves no chance."""
    rng = np.random.default_rng(0)
    x = X[:32]
    model = ta.Autoencoder(ta.Dense(D, 3, rng=rng), ta.Dense(3, D, rng=rng), ta.MSE())
    history = fit(model, x, epochs=1, optimizer=ta.SGD(1e-3))
    d = diagnose_training(history, model, x, optimizer=ta.SGD(1e-3))
    model.backprop(x)
    W = model.params["encoder.W"]
    expected = 1e-3 * np.linalg.norm(W.grad) / np.linalg.norm(W.value)
    assert d.measured["update ratios"]["SGD"]["encoder.W"] == pytest.approx(expected, rel=0.02)


def test_an_adam_without_memory_is_warmed_up_first():
    rng = np.random.default_rng(0)
    x = X[:32]
    model = ta.Autoencoder(ta.Dense(D, 3, rng=rng), ta.Dense(3, D, rng=rng), ta.MSE())
    history = fit(model, x, epochs=1, rate=3e-3)
    d = diagnose_training(history, model, x)
    twin, adam, ratios = copy.deepcopy(model), ta.Adam(3e-3), []
    for _ in range(20):
        twin.backprop(x)
        before = twin.params["encoder.W"].value.copy()
        adam.step(twin.params)
        moved = np.linalg.norm(twin.params["encoder.W"].value - before)
        ratios.append(moved / np.linalg.norm(before))
    told = d.measured["update ratios"]["Adam(0.003)"]["encoder.W"]
    assert told == pytest.approx(np.mean(ratios[15:]), rel=1e-3)


def test_no_better_than_pca():
    model = ta.Autoencoder(*dense((32, 3)), ta.MSE())
    d = diagnose_training(fit(model, epochs=4, rate=2e-3), model, X)
    found = d["no_better_than_pca"]
    pca = ta.metrics.PCA(3).fit(X)
    own = float(np.square(model.reconstruct(X) - X).mean())
    assert found.figures["components"] == 3
    assert found.figures["pca"] == pytest.approx(
        float(np.square(pca.reconstruct(X) - X).mean()), rel=1e-4
    )
    assert found.figures["error"] == pytest.approx(own, rel=1e-4)


def test_divergence_is_told_from_the_error_that_fit_raised():
    model = ta.Autoencoder(*dense(output=None), ta.MSE())
    with pytest.raises(ta.TrainingDiverged) as raised:
        fit(model, epochs=20, optimizer=ta.SGD(1e4))
    d = diagnose_training(raised.value, model, X)
    assert d.kinds[0] == "diverged"
    assert "training diverged" in d["diverged"].seen


def test_a_run_that_diverged_is_not_blamed_for_its_lack_of_training():
    model = ta.Autoencoder(*dense((32, 3)), ta.MSE())
    history = fit(model, epochs=4, rate=2e-3)
    assert "no_better_than_pca" in diagnose_training(history, model, X).kinds
    stopped = ta.TrainingDiverged("training diverged in epoch 5", 5, 1, None, history)
    assert diagnose_training(stopped, model, X).kinds == ["diverged"]


def test_weights_that_are_nan():
    model = ta.Autoencoder(*dense(), ta.MSE())
    history = fit(model, epochs=2)
    model.params["decoder.0.W"].value[0, 0] = np.nan
    d = diagnose_training(history, model, X)
    assert d.kinds == ["diverged"]
    assert d["diverged"].where == "decoder.0.W"


def made_up(training, validation=None):
    history = ta.History()
    for i, value in enumerate(training):
        held_out = {} if validation is None else {"total": validation[i]}
        terms = {"total": value, "reconstruction": value}
        history.epochs.append(Epoch(i + 1, terms, held_out, 1.0, 1e-3))
    return history


def test_over_fitting():
    model = ta.Autoencoder(*dense((64, 64, 16)), ta.MSE())
    x, other = X[:12] + 0, np.random.default_rng(3).uniform(size=(100, D)).astype(np.float32)
    history = fit(model, x, epochs=150, validation=other)
    d = diagnose_training(history, model, x)
    assert "overfitting" in d.kinds
    assert d["overfitting"].figures["validation"] > 2 * d["overfitting"].figures["training"]


@pytest.mark.parametrize(
    ("training", "validation", "found"),
    [
        ([5, 4, 3, 2, 1], [5, 4, 3, 3.5, 4], True),
        ([5, 4, 3, 2, 1.9], [5, 4, 3, 2.1, 2.12], False),
        ([5, 4, 3, 2, 1.9], [4, 3, 2, 1.5, 1.4], False),  # with dropout: training is harder
        ([-1, -2, -3, -4, -5], [-1, -2, -3, -2, -1], True),  # nats of a density
        ([5, 4, 3, 2], [5, 6, 7, 8], False),  # too few epochs to be sure
    ],
)
def test_over_fitting_by_its_curves(training, validation, found):
    model = ta.Autoencoder(*dense(), ta.MSE())
    d = diagnose_training(made_up(training, validation), model, X)
    assert ("overfitting" in d.kinds) == found


@pytest.mark.parametrize(
    ("training", "found"),
    [([5, 3, 1, 2, 4], True), ([5, 3, 1, 1.2, 1.1], False), ([-1, -5, -6, -2], True)],
)
def test_a_loss_that_rises_again(training, found):
    model = ta.Autoencoder(*dense(), ta.MSE())
    d = diagnose_training(made_up(training), model, X)
    assert ("rising" in d.kinds) == found


def test_a_warm_up_is_no_rise():
    """While β rises the total may, though each term gets better: 3, 4, 5, …"""
    model = variational()
    model.warm_up = 1000
    history = ta.History()
    for i in range(5):
        terms = {"total": 3.0 + i, "reconstruction": 3.0 - 0.1 * i, "kl": 9.0 - i}
        history.epochs.append(Epoch(i + 1, terms, {}, 1.0, 1e-3))
    assert "rising" not in diagnose_training(history, model, X).kinds
    model.warm_up = 0
    assert "rising" in diagnose_training(history, model, X).kinds


@pytest.mark.parametrize(
    ("output", "x"),
    [
        (ta.ReLU, X - 0.5),
        (ta.Sigmoid, X * 255),
        (ta.Sigmoid, X / 255),
        (ta.ELU, X * 10 - 5),
    ],
)
def test_an_output_that_does_not_reach_the_data(output, x):
    model = ta.Autoencoder(*dense(output=output), ta.MSE())
    d = diagnose_training(made_up([3, 2, 1]), model, x.astype(np.float32))
    assert "output_range" in d.kinds


def test_constant_codes():
    model = ta.Autoencoder(*dense((32, 4)), ta.MSE())
    history = fit(model, epochs=30)
    model.params["encoder.2.W"].value[1] = 0
    found = diagnose_training(history, model, X)["constant_codes"]
    assert found.figures["which"] == [1]
    model.params["encoder.2.W"].value[...] = 0
    d = diagnose_training(history, model, X)
    assert "every unit" in d["constant_codes"].seen
    assert "no_better_than_mean" in d.kinds


# --- laws ---------------------------------------------------------------------------------------


def arrays(module: Module):
    found = {name: (p.value.copy(), p.grad.copy()) for name, p in module.params.items()}
    return found | {name: (a.copy(),) for name, a in module.state.items()}


def test_the_model_and_its_optimizer_are_left_as_they_are():
    rng = np.random.default_rng(0)
    encoder = ta.Sequential(
        ta.Dense(D, 8, rng=rng), ta.BatchNorm(8), ta.ReLU(), ta.Dropout(0.1, rng=rng)
    )
    model = ta.Autoencoder(encoder, ta.Dense(8, D, rng=rng), ta.MSE())
    optimizer = ta.Adam(1e-3)
    history = fit(model, epochs=3, optimizer=optimizer)
    before, noise = arrays(model), copy.deepcopy(encoder.layers[3].rng.bit_generator.state)
    memory = {k: a.copy() for k, a in optimizer.state_arrays(model.params).items()}
    x, epochs = X.copy(), copy.deepcopy(history.epochs)
    first = diagnose_training(history, model, X, optimizer=optimizer)
    again = diagnose_training(history, model, X, optimizer=optimizer)
    assert str(first) == str(again)
    for name, kept in arrays(model).items():
        for a, b in zip(kept, before[name]):
            np.testing.assert_array_equal(a, b)
    assert encoder.layers[3].rng.bit_generator.state == noise
    for name, a in optimizer.state_arrays(model.params).items():
        np.testing.assert_array_equal(a, memory[name])
    assert optimizer.t == 3 * 19
    np.testing.assert_array_equal(X, x)
    assert history.epochs == epochs


def test_a_finding_says_all_that_it_must():
    model = ta.Autoencoder(*dense(), ta.MSE())
    history = fit(model, epochs=5, optimizer=ta.SGD(1e-9))
    d = diagnose_training(history, model, X)
    page = str(d)
    for f in d.findings:
        assert f.seen
        assert f.why
        assert f.do
        assert f.figures
        assert f.kind.replace("_", " ") in page
    assert max(map(len, page.splitlines())) <= 98
    with pytest.raises(KeyError, match="not found"):
        d["rising"]


GAMES = ("GAN", "R1GAN", "ProGAN", "StyleGAN", "WassersteinGAN", "AdversarialAutoencoder")
GAMES += ("CycleGAN", "StarGAN", "VQGAN")
EVERY = [row for row in catalog.MODELS if row.name.split()[0] not in GAMES]  # rows of no players


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.name)
@pytest.mark.parametrize("seed", range(3))
def test_every_model_can_be_examined(row, seed):
    rng = np.random.default_rng(seed)
    model, x = row.draw(catalog.integers_from(rng, least=2), rng)
    d = diagnose_training(made_up([3, 2, 1]), model, x)
    assert d.measured["update ratios"]
    assert "diverged" not in d.kinds


def test_a_model_without_a_trace_is_examined_as_far_as_can_be():
    class Own(ta.Autoencoder):
        def trace(self, x, rng=None):
            raise NotImplementedError

    model = Own(*dense(), ta.MSE())
    assert "error" in diagnose_training(made_up([3, 2, 1]), model, X).measured


def test_wrong_calls_are_told():
    model = ta.Autoencoder(*dense(), ta.MSE())
    with pytest.raises(TypeError, match="pass history first"):
        diagnose_training(model, ta.History(), X)
    with pytest.raises(TypeError, match="expected a Model"):
        diagnose_training(ta.History(), model.encoder, X)
    gan = ta.GAN(*ta.dense_gan([D], [4], latent_dim=2, rng=np.random.default_rng(0)))
    with pytest.raises(TypeError, match="pass the GAN"):
        diagnose_training(ta.History(), gan.players[0], X)
    with pytest.raises(TypeError, match="array"):
        diagnose_training(ta.History(), model, iter([X]))
    with pytest.raises(ValueError, match="at least 2"):
        diagnose_training(ta.History(), model, X[:1])
    with pytest.raises(ValueError, match="finite"):
        diagnose_training(ta.History(), model, np.full_like(X, np.nan))
    with pytest.raises(TypeError, match="Optimizer"):
        diagnose_training(ta.History(), model, X, optimizer=0.1)
    assert diagnose_training(ta.History(), model, X) is not None  # no epoch yet: units alone
