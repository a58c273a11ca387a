"""The diffusion autoencoder: its two codes, and the way between x and noise, where it is known."""

from typing import Any

import numpy as np
import pytest

import tinyae as ta

VARIANCE = np.array([0.09, 0.01])  # of normal data, an axis each
PREDICTIONS = [ta.PredictNoise(), ta.PredictClean(), ta.PredictVelocity()]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Best(ta.Layer):
    """The best network for data N(0, VARIANCE), which needs no z: E[x | x_t] = x_t a v/(a² v + s²)."""

    def __init__(self, prediction: Any, steps: int) -> None:
        self.prediction, self.signal = prediction, ta.CosineSchedule(steps).signal

    def forward(self, shown: np.ndarray) -> tuple[np.ndarray, None]:
        xt, t = shown[:, :2], shown[:, 2].astype(int)
        a = self.signal[t][:, None]
        s = np.sqrt(1 - a * a)
        x = xt * a * VARIANCE / (a * a * VARIANCE + s * s)
        return self.prediction.target(x, (xt - a * x) / s, a, s).astype(xt.dtype), None


def best(prediction: Any, steps: int) -> ta.DiffusionAutoencoder:
    network = Best(prediction, steps)
    model = ta.DiffusionAutoencoder(
        ta.Dense(2, 1, rng=rng()).astype(np.float64),
        *(network, (2,)),
        schedule=ta.CosineSchedule(steps),
        prediction=prediction,
    )
    model.process.join = lambda xt, t, c: np.column_stack([xt, t])  # type: ignore[method-assign]
    return model


def small(**more: Any) -> ta.DiffusionAutoencoder:
    encoder = ta.Dense(3, 2, rng=rng())
    network = ta.Sequential(
        ta.Dense(3 + 4 + 2, 8, rng=rng(1)), ta.Tanh(), ta.Dense(8, 3, rng=rng(2))
    )
    return ta.DiffusionAutoencoder(encoder, network, (3,), time_features=4, **more)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=repr)
def test_of_normal_data_the_way_to_noise_is_a_stretch(prediction: Any) -> None:
    """The probability flow of N(0, v) keeps x_t/√(a² v + s²): x_T is x over √v (Song et al. 2021)."""
    model, x = best(prediction, 2000), rng().normal(size=(50, 2)) * np.sqrt(VARIANCE)
    xT = model.invert(x, steps=2000)
    np.testing.assert_allclose(xT, x / np.sqrt(VARIANCE), rtol=0.03)
    np.testing.assert_allclose(model.decode(model.encode(x), xT, steps=2000), x, rtol=0.01)


def test_the_way_and_back_gets_closer_with_more_steps() -> None:
    model, x = best(ta.PredictVelocity(), 1000), rng().normal(size=(50, 2)) * np.sqrt(VARIANCE)
    z = model.encode(x)
    errors = [
        np.abs(model.decode(z, model.invert(x, steps=n), steps=n) - x).max() for n in (10, 50, 250)
    ]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[1]


def test_the_code_says_what_the_noise_cannot(tmp_path: Any) -> None:
    """Two clusters: z decides which of them is painted, whatever x_T is."""
    draws = rng()
    which = draws.choice([-1.0, 1.0], (2000, 1)).astype(np.float32)
    x = which + 0.1 * draws.standard_normal((2000, 1), np.float32)
    encoder = ta.Sequential(ta.Dense(1, 8, rng=draws), ta.Tanh(), ta.Dense(8, 1, rng=draws))
    hidden = ta.Sequential(
        ta.Dense(1 + 8 + 1, 32, rng=draws), ta.SiLU(), ta.Dense(32, 32, rng=draws)
    )
    model = ta.DiffusionAutoencoder(
        encoder,
        ta.Sequential(hidden, ta.SiLU(), ta.Dense(32, 1, rng=draws)),
        (1,),
        schedule=ta.CosineSchedule(100),
        prediction=ta.PredictVelocity(),
        time_features=8,
    )
    optimizer = ta.Adam(ta.Cosine(1e-2, 600))
    more: dict[str, Any] = {"batch_size": 100, "rng": 0, "progress": False}
    ta.fit(model, x, epochs=30, optimizer=optimizer, **more)
    z = model.encode(x[:200])
    painted = model.decode(z, rng=1)
    assert (np.sign(painted) == which[:200]).mean() > 0.97
    back = model.reconstruct(x[:200])
    error, drawn_anew = (np.abs(y - x[:200]).mean() for y in (back, painted))
    assert error < 0.5 * drawn_anew  # x_T has what z leaves out
    way = model.interpolate(x[:3], x[3:6], 5)
    np.testing.assert_allclose(way[0], back[:3], atol=1e-4)
    np.testing.assert_allclose(way[-1], back[3:6], atol=1e-4)
    model.save(tmp_path / "model.npz")
    loaded = ta.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.reconstruct(x[:5]), model.reconstruct(x[:5]))


def test_a_seed_draws_the_same_and_steps_beyond_the_schedule_are_its_own() -> None:
    model, z = small(schedule=ta.CosineSchedule(6)), np.zeros((4, 2), np.float32)
    np.testing.assert_array_equal(model.decode(z, rng=3), model.decode(z, rng=3))
    assert not np.array_equal(model.decode(z, rng=3), model.decode(z, rng=4))
    np.testing.assert_array_equal(model.decode(z, rng=3, steps=6), model.decode(z, rng=3, steps=99))


def test_the_gradient_reaches_the_encoder_through_the_planes() -> None:
    """A plane's every pixel is the same number of z, so dz is the sum over it."""
    encoder = ta.Sequential(ta.Flatten(), ta.Dense(12, 2, rng=rng()))
    network = ta.Conv2d(1 + 2 + 2, 1, 3, 1, 1, rng=rng(1))
    model = ta.DiffusionAutoencoder(encoder, network, (1, 3, 4), time_features=2)
    x = rng(2).normal(size=(5, 1, 3, 4))
    report = ta.gradcheck.check_model(model.astype(np.float64), x, rng=rng(3))
    assert report.ok, report


def test_mistakes_are_named() -> None:
    model, x = small(), np.zeros((4, 3), np.float32)
    with pytest.raises(ValueError, match="rng=np"):
        model.backprop(x)
    with pytest.raises(ValueError, match=r"x has shape \(4, 2\), expected \('N', 3\)"):
        model.backprop(x[:, :2], rng())
    with pytest.raises(ValueError, match=r"x has shape \(4, 2\)"):
        model.decode(np.zeros((4, 2), np.float32), x[:, :2])
    with pytest.raises(ValueError, match=r"z has shape \(3, 2\), expected \(4, K\)"):
        model.decode(np.zeros((3, 2), np.float32), x)
    images = ta.DiffusionAutoencoder(ta.Tanh(), ta.Tanh(), (1, 2, 2))
    with pytest.raises(ValueError, match=r"the encoder gives \(4, 1, 2, 2\), expected \(4, K\)"):
        images.encode(np.zeros((4, 1, 2, 2), np.float32))
