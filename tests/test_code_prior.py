"""The prior over codes: an exact distribution, samples that follow it, and what it learns."""

import itertools
from typing import Any

import numpy as np
import pytest

import tinyae as ta
from tinyae.models.code_prior import draw, log_softmax


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def small(codes: int = 3, shape: tuple[int, ...] = (1, 3), classes: int = 2) -> ta.CodePrior:
    """A model whose distribution is far from even."""
    model = ta.CodePrior(codes, shape, classes, dim=4, depth=2, heads=2, rng=rng())
    model = model.astype(np.float64)
    for p in model.params.values():
        p.value[...] += rng(1).normal(0, 0.7, p.shape)
    return model


def every_row(codes: int, tokens: int) -> np.ndarray:
    return np.array(list(itertools.product(range(codes), repeat=tokens)))


def close(seen: np.ndarray, want: np.ndarray, n: int) -> bool:
    """Whether shares of n draws are within 4.5 standard deviations of their probabilities."""
    return bool((np.abs(seen - want) <= 4.5 * np.sqrt(want * (1 - want) / n) + 1e-12).all())


def test_the_probabilities_of_all_codes_sum_to_one_for_each_class() -> None:
    model = small()
    k = every_row(3, 3)[:, None]
    for c in range(2):
        p = np.exp(model.log_likelihood(k, np.full(len(k), c)))
        assert p.sum() == pytest.approx(1)
        assert p.max() > 3 * p.mean()
    assert not np.allclose(*(model.log_likelihood(k, np.full(len(k), c)) for c in range(2)))


def test_the_loss_is_the_likelihood_and_bits_are_a_codes() -> None:
    model, k, labels = small(), every_row(3, 3)[:, None], rng().integers(2, size=27)
    terms = model.objective((k, labels))
    nll = -model.log_likelihood(k, labels).mean()
    assert terms["total"] == terms["nll"] == pytest.approx(nll)
    assert terms["bits"] == pytest.approx(nll / 3 / np.log(2))
    assert model.evaluate((k, labels)) == pytest.approx(terms)
    even = ta.CodePrior(8, (2, 2), 2, dim=4, depth=1, heads=1, rng=rng())
    even.head.layers[1].layer.W.value[...] = 0
    assert even.objective((np.zeros((1, 2, 2), int), np.zeros(1, int)))["bits"] == pytest.approx(3)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.6, None), (1.0, 2), (1.5, 2)])
def test_samples_follow_the_models_own_probabilities(temperature: float, top_k: Any) -> None:
    """Each code is drawn from softmax(s/τ), cut to the most probable: counted over all rows."""
    model, n = small(), 8000
    k = every_row(3, 3)
    s, _ = model._forward(k, np.ones(len(k), int))
    s = s / temperature
    if top_k is not None:
        s = np.where(s >= np.sort(s, axis=-1)[..., -top_k, None], s, -np.inf)
    each = np.take_along_axis(log_softmax(s), k[..., None], axis=2)[..., 0]
    want = np.exp(each.sum(axis=1))
    drawn = model.sample(np.ones(n, int), 5, temperature=temperature, top_k=top_k)
    assert drawn.shape == (n, 1, 3)
    seen = np.bincount(drawn.reshape(n, 3) @ [9, 3, 1], minlength=27) / n
    assert want.sum() == pytest.approx(1)
    assert close(seen, want, n)


def test_a_class_gets_its_own_samples() -> None:
    model, n = small(), 4000
    labels = np.arange(n) % 2
    drawn = model.sample(labels, 3).reshape(n, 3) @ [9, 3, 1]
    k = every_row(3, 3)
    for c in range(2):
        want = np.exp(model.log_likelihood(k[:, None], np.full(27, c)))
        seen = np.bincount(drawn[labels == c], minlength=27) / (n / 2)
        assert close(seen, want, n // 2)


def test_tokens_one_by_one_give_what_the_whole_sequence_gives() -> None:
    """What ``sample`` computes with kept keys and values is what ``backprop`` trains."""
    model, k, labels = small(5, (2, 3)), rng(2).integers(5, size=(4, 6)), np.array([0, 1, 1, 0])
    s, _ = model._forward(k, labels)
    c = h = model.classes_table(labels)[:, None]
    past = [None, None]
    for t in range(6):
        step, past = model._next(h + model.positions.P.value[t], past)
        np.testing.assert_allclose(step[:, 0], s[:, t], rtol=1e-9, atol=1e-9)
        h = model.codes_table(k[:, t, None]) + c


def test_a_code_depends_on_those_before_it_only() -> None:
    model, k, labels = small(5, (2, 3)), rng(2).integers(5, size=(4, 6)), np.zeros(4, int)
    other = k.copy()
    other[:, 3] = (other[:, 3] + 1) % 5
    a, b = (model._forward(rows, labels)[0] for rows in (k, other))
    np.testing.assert_array_equal(a[:, :4], b[:, :4])
    assert (np.abs(a[:, 4:] - b[:, 4:]).max(axis=-1) > 1e-6).all()


def test_drawing_is_by_the_softmax() -> None:
    s = np.log(np.array([[0.5, 0.3, 0.2, 0.0 + 1e-300]])).repeat(30_000, axis=0)
    seen = np.bincount(draw(s, 4, rng()), minlength=4) / len(s)
    np.testing.assert_allclose(seen, [0.5, 0.3, 0.2, 0], atol=0.013)
    seen = np.bincount(draw(s, 2, rng()), minlength=4) / len(s)
    np.testing.assert_allclose(seen, [0.625, 0.375, 0, 0], atol=0.013)
    assert (draw(s, 1, rng()) == 0).all()


def test_it_learns_rows_of_a_class(tmp_path: Any) -> None:
    """Class 0 counts up, class 1 down, from any start: 1/4 to guess, then certain."""
    start, labels = rng().integers(4, size=(200, 1)), rng(1).integers(2, size=200)
    k = ((start + np.where(labels, -1, 1)[:, None] * np.arange(6)) % 4).reshape(200, 2, 3)
    model = ta.CodePrior(4, (2, 3), 2, dim=16, depth=1, heads=2, rng=rng())
    before = model.evaluate((k, labels))["bits"]
    ta.fit(model, (k, labels), epochs=40, batch_size=20, optimizer=ta.Adam(1e-2), progress=False)
    assert before > 1.9  # log₂ 4 = 2
    assert model.evaluate((k, labels))["bits"] < 1.1 * 2 / 6  # the first of six codes
    wanted = np.arange(100) % 2
    drawn = model.sample(wanted, 0).reshape(100, 6)
    steps = np.diff(drawn, axis=1) % 4
    assert (steps == np.where(wanted, 3, 1)[:, None]).mean() > 0.97
    each = [model.log_likelihood(k, np.full(200, c)) for c in range(2)]
    assert (np.argmax(each, axis=0) == labels).all()
    model.save(tmp_path / "prior.npz")
    loaded = ta.load(tmp_path / "prior.npz")
    np.testing.assert_array_equal(loaded.sample(wanted, 0), model.sample(wanted, 0))


def test_samples_of_many_labels_come_in_parts() -> None:
    model = small(shape=(2,))
    k = model.sample(np.zeros(1500, int), 0)
    assert k.shape == (1500, 2)
    assert model.log_likelihood(k, np.zeros(1500, int)).shape == (1500,)
    assert model.sample(np.zeros(0, int)).shape == (0, 2)
    assert model.sample([1, 0, 1], 0).shape == (3, 2)


def test_mistakes_are_named() -> None:
    model, k = small(), np.zeros((2, 1, 3), int)
    with pytest.raises(TypeError, match=r"a batch is one array, expected two; pass \(k, labels\)"):
        model.backprop(k)
    with pytest.raises(ValueError, match=r"k run from 0 to 3, expected whole numbers from 0 to 2"):
        model.backprop((k + [0, 0, 3], np.zeros(2, int)))
    with pytest.raises(ValueError, match=r"k run from 0\.0 to 0\.5"):
        model.backprop((k + [0, 0, 0.5], np.zeros(2, int)))
    with pytest.raises(ValueError, match=r"k has shape \(2, 3\), expected \('N', 1, 3\)"):
        model.backprop((k[:, 0], np.zeros(2, int)))
    with pytest.raises(ValueError, match="labels run from 0 to 2"):
        model.sample([0, 2])
    with pytest.raises(ValueError, match=r"labels have shape \(1, 2\)"):
        model.sample([[0, 1]])
    with pytest.raises(ValueError, match=r"labels have shape \(3,\), expected \(2,\)"):
        model.backprop((k, np.zeros(3, int)))
    with pytest.raises(ValueError, match="temperature is 0"):
        model.sample([0], temperature=0)
    with pytest.raises(TypeError, match="labels are <U1"):
        model.sample(["a"])
