"""The moving average of the weights: what it holds, and that training does not notice it."""

import copy
from typing import Any

import numpy as np
import pytest

import tinyae as ta

X = np.random.default_rng(0).random((40, 6), np.float32)


def model() -> ta.Autoencoder:
    return ta.Autoencoder(
        *ta.dense_encoder_decoder((6,), [3], rng=np.random.default_rng(1)), ta.MSE()
    )


def steps(m: Any, optimizer: Any, n: int) -> list[np.ndarray]:
    passed = []
    for _ in range(n):
        m.backprop(X)
        optimizer.step(m.params)
        passed.append(next(iter(m.params.values())).value.copy())
    return passed


def test_the_weights_are_those_of_the_optimizer_alone() -> None:
    a, b = model(), model()
    steps(a, ta.Adam(1e-2), 5)
    steps(b, ta.MovingAverage(ta.Adam(1e-2), 0.5), 5)
    for p, q in zip(a.params.values(), b.params.values()):
        np.testing.assert_array_equal(p.value, q.value)


def test_the_average_is_that_of_the_weights_passed() -> None:
    m, optimizer = model(), ta.MovingAverage(ta.SGD(0.3), decay=0.3)
    passed = steps(m, optimizer, 20)
    average = passed[0]
    for t, value in enumerate(passed):
        beta = min(0.3, (1 + t) / (10 + t))
        average = beta * average + (1 - beta) * value
    steady = optimizer.averaged(m)
    np.testing.assert_allclose(next(iter(steady.params.values())).value, average, rtol=1e-5)
    np.testing.assert_array_equal(next(iter(m.params.values())).value, passed[-1])


def test_around_an_optimum_the_average_is_nearer() -> None:
    """SGD on noisy gradients of θ²/2 wanders with a variance; the average of it does less."""
    noise, theta = np.random.default_rng(2), ta.Param(np.full(500, 3.0))
    layer = ta.Dense(1, 1, rng=noise)
    layer.W, layer.b = theta, ta.Param(np.zeros(500))
    optimizer = ta.MovingAverage(ta.SGD(0.1), decay=0.99)
    for _ in range(1500):
        theta.grad[...] = theta.value + noise.normal(size=500)
        optimizer.step({"theta": theta})
    average = optimizer.averaged(layer).W.value
    assert average.var() < 0.25 * theta.value.var()


def test_a_frozen_param_is_left_alone() -> None:
    m, optimizer = model(), ta.MovingAverage(ta.SGD(0.3), 0.5)
    m.encoder.freeze()
    steps(m, optimizer, 3)
    before, after = (k.encoder.params.values() for k in (m, optimizer.averaged(m)))
    for p, q in zip(before, after):
        np.testing.assert_array_equal(p.value, q.value)


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Any) -> None:
    def fit(m: Any, epochs: int, **more: Any) -> Any:
        optimizer = ta.MovingAverage(ta.Adam(ta.Cosine(1e-2, 20)), 0.9)
        options: dict[str, Any] = {"batch_size": 10, "progress": False, "rng": 0}
        ta.fit(m, X, epochs=epochs, optimizer=optimizer, **options, **more)
        return optimizer.averaged(m)

    whole = fit(model(), 4)
    fit(model(), 2, checkpoint=tmp_path / "half.npz")
    rest = fit(model(), 4, resume=tmp_path / "half.npz", accept_changes=["schedule"])
    for p, q in zip(whole.params.values(), rest.params.values()):
        np.testing.assert_array_equal(p.value, q.value)


def test_a_copy_goes_on_by_itself() -> None:
    m, optimizer = model(), ta.MovingAverage(ta.Adam(1e-2), 0.9)
    steps(m, optimizer, 3)
    n, copied = copy.deepcopy((m, optimizer))
    steps(m, optimizer, 2)
    steps(n, copied, 2)
    for p, q in zip(optimizer.averaged(m).params.values(), copied.averaged(n).params.values()):
        np.testing.assert_array_equal(p.value, q.value)


def test_mistakes_are_named() -> None:
    with pytest.raises(TypeError, match="expected an Optimizer"):
        ta.MovingAverage(0.9)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decay"):
        ta.MovingAverage(ta.SGD(0.1), 1.0)
    with pytest.raises(ValueError, match="no average of this model yet"):
        ta.MovingAverage(ta.SGD(0.1)).averaged(model())
