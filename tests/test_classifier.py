"""The softmax classifier: closed forms, its gradient, and what it refuses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.models import Classifier


class Fixed(ta.Layer):
    """A network whose logits are x itself."""

    def forward(self, x):
        return x, None

    def backward(self, dy, cache):
        return dy


def make(pixels=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    hidden = ta.Sequential(ta.Flatten(), ta.Dense(pixels, 8, rng=rng), ta.Tanh())
    return Classifier(ta.Sequential(hidden, ta.Dense(8, classes, rng=rng)))


def terms(s, labels):
    return Classifier(Fixed()).objective((np.asarray(s, np.float64), np.asarray(labels)))


@given(classes=st.integers(1, 9), n=st.integers(1, 5), level=st.floats(-1e3, 1e3))
def test_equal_logits_cost_the_logarithm_of_the_classes(classes, n, level):
    got = terms(np.full((n, classes), level), np.arange(n) % classes)
    assert got["cross_entropy"] == got["total"] == pytest.approx(math.log(classes), abs=1e-9)


def test_logits_of_any_size_are_safe():
    got = terms([[1e4, -1e4, 0], [-1e4, 1e4, 0]], [0, 2])
    assert got["cross_entropy"] == pytest.approx((0 + 1e4) / 2)
    assert got["error"] == 0.5


@given(seed=st.integers(0, 2**32 - 1))
def test_it_is_minus_the_mean_log_probability(seed):
    rng = np.random.default_rng(seed)
    s, labels = 3 * rng.normal(size=(5, 4)), rng.integers(4, size=5)
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    got = terms(s, labels)
    assert got["cross_entropy"] == pytest.approx(-np.log(p[np.arange(5), labels]).mean())
    assert got["error"] == (s.argmax(axis=1) != labels).mean()
    np.testing.assert_allclose(Classifier(Fixed()).predict_proba(s), p, rtol=1e-5)
    two = Classifier(ta.Dense(1, 2, rng=rng)).astype(np.float64)  # with two classes: BCE of s₁ − s₀
    x, t = rng.normal(size=(6, 1)), rng.integers(2, size=6)
    y = two.network(x)
    L, _ = ta.BCEWithLogits()(y[:, 1] - y[:, 0], t.astype(float))
    assert two.objective((x, t))["total"] == pytest.approx(L)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5), classes=st.integers(2, 5))
def test_gradients(seed, n, classes):
    rng = np.random.default_rng(seed)
    model = make(4, classes, seed)
    report = gradcheck.check_model(model, (rng.normal(size=(n, 4)), rng.integers(classes, size=n)))
    assert report.ok, report


def test_it_learns_predicts_and_is_loaded_again(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=600)
    x = (np.eye(3)[labels].repeat(2, axis=1) + 0.3 * rng.normal(size=(600, 6))).astype(np.float32)
    model = make()
    history = ta.fit(
        model,
        (x[:500], labels[:500]),
        epochs=10,
        optimizer=ta.Adam(1e-2),
        validation=(x[500:], labels[500:]),
        progress=False,
    )
    assert history["validation.error"][-1] < 0.05
    assert model.error(x[500:], labels[500:]) == pytest.approx(history["validation.error"][-1])
    assert (model.predict(x) == model.predict_proba(x).argmax(axis=1)).all()
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1, rtol=1e-5)
    model.save(tmp_path / "c.npz")
    np.testing.assert_array_equal(
        ta.load(tmp_path / "c.npz").predict_proba(x), model.predict_proba(x)
    )


@pytest.mark.parametrize(
    ("batch", "kind", "words"),
    [
        (np.zeros((4, 6), np.float32), TypeError, r"pass \(x, labels\)"),
        ((np.zeros((4, 6), np.float32), np.zeros(4)), TypeError, "labels are float64"),
        ((np.zeros((4, 6), np.float32), np.array([0, 1, 2, -1])), ValueError, "begin at -1"),
        ((np.zeros((4, 6), np.float32), np.array([0, 1, 2, 3])), ValueError, "run to 3"),
        ((np.zeros((4, 6), np.float32), np.zeros((4, 1), int)), ValueError, r"shape \(4, 1\)"),
        ((np.zeros((4, 6), np.float32), np.zeros(3, int)), ValueError, "4 and 3 rows"),
    ],
)
def test_misuse_is_named_before_anything_changes(batch, kind, words):
    model = make()
    before = {name: p.value.copy() for name, p in model.params.items()}
    with pytest.raises(kind, match=words):
        ta.fit(model, batch, progress=False)
    for name, p in model.params.items():
        np.testing.assert_array_equal(p.value, before[name])
