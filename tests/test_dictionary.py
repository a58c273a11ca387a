"""Dictionaries of features: closed forms, what is recovered from superposition, state and files."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyae as ta


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


SAES = {
    "TopKSAE": lambda **more: ta.TopKSAE(6, 10, 3, dead_k=2, rng=rng(), **more),
    "BatchTopKSAE": lambda **more: ta.BatchTopKSAE(6, 10, 3, dead_k=2, rng=rng(), **more),
    "MatryoshkaSAE": lambda **more: ta.MatryoshkaSAE(6, (4, 10), 3, dead_k=2, rng=rng(), **more),
    "JumpReLUSAE": lambda **more: ta.JumpReLUSAE(6, 10, 0.1, dead_k=2, rng=rng(), **more),
    "GatedSAE": lambda **more: ta.GatedSAE(6, 10, 0.1, rng=rng(), **more),
}
every = pytest.mark.parametrize("name", SAES)
X = rng(5).normal(size=(40, 6)).astype(np.float32)


@every
def test_directions_have_length_one_whatever_the_optimizer_does(name: str) -> None:
    model = SAES[name]()
    for _ in range(5):
        model.backprop(X, rng())
        ta.SGD(0.5).step(model.params)
    np.testing.assert_allclose(np.linalg.norm(model.dictionary, axis=1), 1, rtol=1e-5)
    before = model.reconstruct(X)
    model.Wd.value *= 3  # a length that means nothing
    np.testing.assert_allclose(model.reconstruct(X), before, atol=1e-5)


@every
def test_a_features_gradient_is_orthogonal_to_it(name: str) -> None:
    model = SAES[name]().astype(np.float64)
    model.backprop(X.astype(np.float64), rng())
    assert model.Wd.grad.any()
    np.testing.assert_allclose((model.Wd.grad * model.Wd.value).sum(axis=1), 0, atol=1e-12)


@every
def test_idle_counts_samples_and_revives(name: str) -> None:
    model = SAES[name](dead_after=60)
    model.be.value[:4] = -100  # these never speak
    model.backprop(X, rng())
    assert (model.idle[:4] == 40).all()
    assert model.evaluate(X)["dead"] == 0
    model.backprop(X, rng())
    assert model.evaluate(X)["dead"] >= 0.4
    if name != "GatedSAE":
        model.be.value[:4] = 0
        terms = model.backprop(X, rng())
        assert terms["total"] > terms["reconstruction"] + terms.get("sparsity", 0)
        assert terms["revival"] > 0


@every
def test_features_that_die_in_a_training_leave_its_history_and_checkpoint_whole(
    name: str, tmp_path: Path
) -> None:
    """The terms are the same before and after, so that every epoch has every number."""
    model, more = SAES[name](dead_after=60), {"batch_size": 16, "progress": False, "rng": 0}
    model.be.value[:4] = -100
    file = tmp_path / "c.npz"
    start = copy.deepcopy(model)
    history = ta.fit(model, X, epochs=3, validation=X, **more)
    assert history["dead"][-1] > history["dead"][0]
    assert ("revival" in history.names) == (name != "GatedSAE")
    half, rest = copy.deepcopy(start), copy.deepcopy(start)
    ta.fit(half, X, epochs=2, validation=X, checkpoint=file, **more)
    again = ta.fit(rest, X, epochs=3, validation=X, resume=file, **more)
    for column in set(history.names) - {"seconds"}:
        np.testing.assert_array_equal(again[column], history[column])


def test_top_k_speaks_k_at_a_time_and_batch_top_k_on_average() -> None:
    model = SAES["TopKSAE"]()
    assert ((model.encode(X) != 0).sum(axis=1) <= 3).all()
    batch = SAES["BatchTopKSAE"]()
    a, _ = batch.scores(X)
    counts = batch.select(a).sum(axis=1)
    assert counts.sum() == 3 * len(X)
    assert len(set(counts)) > 1
    for _ in range(300):
        batch.backprop(X, rng())
    assert float(batch.least_score) == pytest.approx(a[batch.select(a)].min(), rel=1e-5)
    np.testing.assert_allclose(batch.encode(X)[:1], batch.encode(X[:1]), atol=1e-6)


def test_a_nested_dictionary_of_one_size_is_no_other() -> None:
    x = X.astype(np.float64)
    one = ta.MatryoshkaSAE(6, (10,), 3, rng=rng()).astype(np.float64)
    plain = ta.BatchTopKSAE(6, 10, 3, rng=rng()).astype(np.float64)
    assert one.backprop(x) == pytest.approx(plain.backprop(x))
    for name, p in plain.params.items():
        np.testing.assert_allclose(one.params[name].grad, p.grad, atol=1e-14)


def test_a_threshold_moves_as_the_count_behind_a_wide_kernel() -> None:
    """dθ of the sparsity alone is −λ/ε · (scores within ε/2 of θ) / (N D): a difference of l0's."""
    model = ta.JumpReLUSAE(6, 10, 1.0, initial_theta=0.4, bandwidth=0.3, rng=rng()).astype(
        np.float64
    )
    model.log_theta.value[...] = np.log(0.4)
    x = rng(3).normal(size=(4000, 6))
    a, _ = model.scores(x)
    above, below = ((a > 0.4 + s).sum(axis=0) for s in (0.15, -0.15))
    model._step = lambda x, z, u, learn=False: ({"total": 0.0}, np.zeros_like(z), None)  # type: ignore
    model.backprop(x)
    np.testing.assert_allclose(
        model.log_theta.grad / 0.4, (above - below) / 0.3 / x.size, rtol=1e-9
    )


@pytest.mark.parametrize("name", ["JumpReLUSAE", "GatedSAE", "VQVAE"])
def test_the_model_that_is_checked_has_the_gradient_that_trains(name: str) -> None:
    from tinyae import catalog

    row = next(row for row in catalog.MODELS if row.name == name)
    draws = rng(1)
    model, x = row.draw(catalog.integers_from(draws), draws)
    held = model.astype(np.float64).differentiable()
    assert held.backprop(x, rng()) == pytest.approx(model.backprop(x, rng()))
    for key, p in model.params.items():
        np.testing.assert_allclose(held.params[key].grad, p.grad, rtol=1e-9, atol=1e-14)


# --- superposition: the truth is known ------------------------------------------------------------


def superposition(n: int, features: int, dim: int, active: float) -> tuple[np.ndarray, np.ndarray]:
    """n sums of a few of the directions, and the directions: more of them than dimensions."""
    draws = rng(2)
    truth = draws.normal(size=(features, dim))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    amounts = (draws.random((n, features)) < active / features) * draws.uniform(
        0.5, 1.5, (n, features)
    )
    return (amounts @ truth).astype(np.float32), truth


@pytest.mark.parametrize(
    ("build", "share"),
    [
        (lambda: ta.TopKSAE(32, 80, 4, dead_after=5000, dead_k=16, rng=rng()), 0.9),
        (
            lambda: ta.JumpReLUSAE(
                32, 80, 0.1, initial_theta=0.3, bandwidth=0.1, dead_after=5000, rng=rng()
            ),
            0.8,
        ),
        (lambda: ta.GatedSAE(32, 80, 1.0, dead_after=5000, rng=rng()), 0.9),
        (lambda: ta.BatchTopKSAE(32, 80, 2, dead_after=5000, dead_k=16, rng=rng()), 0.85),
    ],
    ids=["TopKSAE", "JumpReLUSAE", "GatedSAE", "BatchTopKSAE"],
)
def test_features_in_superposition_are_recovered_from_a_memory_map(
    build: Any, share: float, tmp_path: Any
) -> None:
    x, truth = superposition(12_000, 48, 32, 2)
    np.save(tmp_path / "activations.npy", x)
    model = build()
    assert model.recovered(truth) < 0.1
    rows = np.load(tmp_path / "activations.npy", mmap_mode="r")
    optimizer = ta.Adam(ta.Cosine(1e-2, 20 * 60))
    ta.fit(model, rows, epochs=20, batch_size=200, optimizer=optimizer, rng=0, progress=False)
    terms = model.evaluate(x)
    assert model.recovered(truth) >= share, terms
    assert terms["explained_variance"] > 0.85
    assert terms["l0"] < 5


def one_feature(amount: float, dim: int) -> np.ndarray:
    """x of one row, the first axis times the amount"""
    x = np.zeros((1, dim))
    x[0, 0] = amount
    return x


@pytest.mark.parametrize("dim", [3, 50])
def test_what_the_weight_means_for_one_feature_does_not_depend_on_the_dimension(dim: int) -> None:
    """Gated: the score settles at a − λ/2. JumpReLU: it pays to have the feature where a² > λ."""
    gated = ta.GatedSAE(dim, 1, 0.6, rng=rng(), dtype=np.float64)
    gated.Wd.value[...] = gated.We.value[...] = one_feature(1.0, dim)
    x = one_feature(2.0, dim)
    for b, settled in ((-0.3, True), (0.0, False)):  # π = 2 + b
        gated.be.value[...] = b
        gated.be.grad[...] = 0
        gated.backprop(x)
        assert (abs(gated.be.grad.item()) < 1e-12) == settled
    jump = ta.JumpReLUSAE(dim, 1, 0.6, rng=rng(), dtype=np.float64)
    jump.Wd.value[...] = jump.We.value[...] = one_feature(1.0, dim)
    for amount in (0.7, 0.8):  # 0.7² < 0.6 < 0.8²
        x, totals = one_feature(amount, dim), []
        for theta in (0.1, 2.0):  # present, absent
            jump.log_theta.value[...] = np.log(theta)
            totals.append(jump.objective(x)["total"])
        assert (totals[0] < totals[1]) == (amount**2 > 0.6)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="k is 11, expected at most features = 10"):
        ta.TopKSAE(6, 10, 11, rng=rng())
    with pytest.raises(ValueError, match=r"sizes is .* increasing"):
        ta.MatryoshkaSAE(6, (10, 4), rng=rng())
    with pytest.raises(ValueError, match=r"x has shape \(2, 5\), expected \(N, 6\)"):
        SAES["TopKSAE"]().encode(np.zeros((2, 5), np.float32))
    with pytest.raises(ValueError, match=r"truth has shape \(2, 5\)"):
        SAES["TopKSAE"]().recovered(np.zeros((2, 5)))
