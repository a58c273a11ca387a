"""Denoising diffusion: where data are normal, the best network, the samples and the bound are known."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

import tinyae as ta

VARIANCE = np.array([0.09, 0.01])  # of the normal data, an axis each
PREDICTIONS = [ta.PredictNoise(), ta.PredictClean(), ta.PredictVelocity()]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Best(ta.Layer):
    """The best network for data N(0, VARIANCE): E[x | x_t] = x_t a v/(a² v + s²)."""

    def __init__(self, prediction: Any, steps: int) -> None:
        self.prediction, self.signal = prediction, ta.CosineSchedule(steps).signal

    def forward(self, shown: np.ndarray) -> tuple[np.ndarray, None]:
        xt, t = shown[:, :2], shown[:, 2].astype(int)
        a = self.signal[t][:, None]
        s = np.sqrt(1 - a * a)
        x = xt * a * VARIANCE / (a * a * VARIANCE + s * s)
        eps = (xt - a * x) / s
        return self.prediction.target(x, eps, a, s).astype(xt.dtype), None


def best(prediction: Any, steps: int = 200) -> ta.Diffusion:
    """A model whose network is told t itself in place of φ(t)."""
    network = Best(prediction, steps)
    model = ta.Diffusion(network, (2,), schedule=ta.CosineSchedule(steps), prediction=prediction)
    model.join = lambda xt, t, c: np.column_stack([xt, t])  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=repr)
def test_a_prediction_gives_back_x_and_the_noise(prediction: Any) -> None:
    x, eps, a = (
        rng().normal(size=(5, 2)),
        rng(1).normal(size=(5, 2)),
        rng(2).uniform(0.1, 1, (5, 1)),
    )
    s = np.sqrt(1 - a * a)
    xt = a * x + s * eps
    out = prediction.target(x, eps, a, s)
    np.testing.assert_allclose(prediction.clean(out, xt, a, s), x)
    np.testing.assert_allclose(prediction.noise(out, xt, a, s), eps)
    np.testing.assert_allclose(ta.models.noising.Prediction.noise(prediction, out, xt, a, s), eps)


def test_the_schedule_falls_from_one_to_nothing() -> None:
    signal = ta.CosineSchedule(1000).signal
    assert signal.shape == (1001,)
    assert signal[0] == 1
    assert signal[-1] == pytest.approx(1e-3)
    assert (np.diff(signal) < 0).all()
    assert signal[500] ** 2 == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=repr)
def test_noised_data_have_the_schedules_distribution(prediction: Any) -> None:
    model = ta.Diffusion(ta.Dense(6, 2, rng=rng()), (2,), prediction=prediction, time_features=4)
    x = (rng().normal(size=(200_000, 2)) * np.sqrt(VARIANCE)).astype(np.float32)
    shown, _ = model.noised(x, rng(1))
    mean = np.mean(model.schedule.signal[1:] ** 2)  # t is uniform
    want = mean * VARIANCE + 1 - mean
    np.testing.assert_allclose(shown[:, :2].var(axis=0), want, rtol=0.02)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=repr)
def test_the_score_is_that_of_the_denoising_autoencoder(prediction: Any) -> None:
    """The score of noised normal data, and a denoiser's residual over σ² (Alain & Bengio 2014)."""
    model, xt = best(prediction), rng().normal(size=(6, 2))
    t = 70
    a = model.schedule.signal[t]
    s = math.sqrt(1 - a * a)
    score = model.score(xt, t)
    np.testing.assert_allclose(score, -xt / (a * a * VARIANCE + s * s), rtol=1e-9)
    sigma, noisy = s / a, xt / a  # the same point, as x + σ ε
    reconstruction = noisy * VARIANCE / (VARIANCE + sigma**2)
    np.testing.assert_allclose(score * a, (reconstruction - noisy) / sigma**2, rtol=1e-9)


def sampled_variance(steps: int, eta: float, total: int = 200) -> np.ndarray:
    """The variance after ``steps`` steps: for normal data each step is linear, x_t → c x_t + σ ε."""
    places = np.linspace(total, 0, steps + 1).round().astype(int)
    signal, v = ta.CosineSchedule(total).signal, np.ones(2)
    for a, b in itertools.pairwise(signal[places]):
        A, B = a * a, b * b
        mean = a * VARIANCE / (A * VARIANCE + 1 - A)
        drawn = eta**2 * (1 - B) / (1 - A) * (1 - A / B)
        c = b * mean + np.sqrt(1 - B - drawn) * (1 - a * mean) / np.sqrt(1 - A)
        v = c * c * v + drawn
    return v


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("prediction", PREDICTIONS, ids=repr)
def test_samples_have_the_variance_that_their_steps_give(prediction: Any, eta: float) -> None:
    x = best(prediction).sample(20_000, rng(3), steps=100, eta=eta)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(x.var(axis=0), sampled_variance(100, eta), rtol=0.04)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_in_many_steps_that_is_the_datas_variance(eta: float) -> None:
    np.testing.assert_allclose(sampled_variance(5000, eta, 5000), VARIANCE, rtol=0.02)


def test_fewer_steps_are_coarser_and_the_seed_decides() -> None:
    model = best(ta.PredictNoise())
    np.testing.assert_array_equal(model.sample(5, 1, steps=20), model.sample(5, 1, steps=20))
    assert not np.array_equal(model.sample(5, 1, steps=20), model.sample(5, 2, steps=20))
    few, many = (
        abs(model.sample(4000, 1, steps=n).var(axis=0) / VARIANCE - 1).max() for n in (3, 100)
    )
    assert many < few


def test_the_bound_of_the_best_network_is_known() -> None:
    """Σ ½ (R_{t−1} − R_t) v/(1 + v R_t), R = a²/s², then L_T and the last step's normal distribution.

    It falls towards the data's entropy, ½ log₂ 2πe v − log₂ of the bin's width, as steps get smaller.
    """
    x = (rng().normal(size=(2000, 2)) * np.sqrt(VARIANCE)).clip(-1, 1)
    x = np.round((x + 1) * 127.5) / 127.5 - 1
    width = 2 / 255
    entropy = np.mean(0.5 * np.log2(2 * np.pi * np.e * VARIANCE) - np.log2(width))
    found = {}
    for steps in (100, 1000):
        A = ta.CosineSchedule(steps).signal ** 2
        R = (A[1:] / (1 - A[1:]))[:, None]
        nats = (0.5 * (R[:-1] - R[1:]) * VARIANCE / (1 + VARIANCE * R[1:])).sum(axis=0)
        nats += 0.5 * (A[-1] * VARIANCE - A[-1] - np.log1p(-A[-1]))
        std = np.sqrt(1 / R[0] + width**2 / 12)
        nats += (
            np.log(std * np.sqrt(2 * np.pi) / width)
            + 0.5 * VARIANCE / (1 + VARIANCE * R[0]) / std**2
        )
        found[steps] = best(ta.PredictNoise(), steps).bits_per_dimension(x, rng(1))
        assert found[steps] == pytest.approx(nats.mean() / np.log(2), abs=0.06)
    assert entropy < found[1000] < found[100]


def test_guidance_goes_on_from_no_class_through_the_class() -> None:
    network = ta.Dense(2 + 4 + 3, 2, rng=rng())
    model = ta.Diffusion(network, (2,), time_features=4, classes=3, prediction=ta.PredictClean())
    xt, labels = rng().normal(size=(5, 2)).astype(np.float32), np.array([0, 1, 2, 0, 1])
    none, with_class = model.denoise(xt, 9), model.denoise(xt, 9, labels)
    want = none + 3 * (with_class - none)
    np.testing.assert_allclose(model.denoise(xt, 9, labels, guidance=2.0), want, atol=1e-5)


def test_a_share_is_shown_without_its_class() -> None:
    model = ta.Diffusion(
        ta.Dense(9, 2, rng=rng()), (2,), time_features=4, classes=3, unlabelled=0.25
    )
    x, labels = np.zeros((20_000, 2), np.float32), rng().integers(3, size=20_000)
    shown, _ = model.noised((x, labels), rng(1))
    c = shown[:, -3:]
    assert c.sum(axis=1).mean() == pytest.approx(0.75, abs=0.01)
    labelled = c.any(axis=1)
    np.testing.assert_array_equal(c[labelled].argmax(axis=1), labels[labelled])


def test_a_small_network_learns_two_points(tmp_path: Any) -> None:
    draws = rng()
    x = draws.choice([-1.0, 1.0], (2000, 1)).astype(np.float32)
    network = ta.Sequential(ta.Dense(17, 64, rng=draws), ta.SiLU(), ta.Dense(64, 64, rng=draws))
    network = ta.Sequential(network, ta.SiLU(), ta.Dense(64, 1, rng=draws))
    model = ta.Diffusion(network, (1,), schedule=ta.CosineSchedule(50), time_features=16)
    model.prediction = ta.PredictVelocity()
    ta.fit(
        model,
        x,
        epochs=80,
        batch_size=100,
        optimizer=ta.Adam(ta.Cosine(1e-2, 1600)),
        rng=0,
        progress=False,
    )
    samples = model.sample(400, 1, steps=50)
    near = np.abs(np.abs(samples) - 1) < 0.3
    assert near.mean() > 0.85
    assert 0.35 < (samples > 0).mean() < 0.65
    model.save(tmp_path / "diffusion.npz")
    loaded = ta.load(tmp_path / "diffusion.npz")
    np.testing.assert_array_equal(loaded.sample(5, 1, steps=10), model.sample(5, 1, steps=10))


def test_mistakes_are_named() -> None:
    model = ta.Diffusion(ta.Dense(6, 2, rng=rng()), (2,), time_features=4)
    x = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="rng=np"):
        model.backprop(x)
    with pytest.raises(TypeError, match=r"a batch is 2 arrays; pass x alone"):
        model.backprop((x, np.zeros(3, int)), rng())
    with pytest.raises(ValueError, match=r"x has shape \(3, 3\)"):
        model.backprop(np.zeros((3, 3), np.float32), rng())
    with pytest.raises(ValueError, match=r"the network gives \(3, 5\)"):
        ta.Diffusion(ta.Dense(6, 5, rng=rng()), (2,), time_features=4).backprop(x, rng())
    labelled = ta.Diffusion(ta.Dense(9, 2, rng=rng()), (2,), time_features=4, classes=3)
    with pytest.raises(ValueError, match="from 0 to 3, expected ints from 0 to 2"):
        labelled.backprop((x, np.array([0, 1, 3])), rng())
