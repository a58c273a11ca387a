"""Strategies of hypothesis for people's own suites, and assert_gradients with them."""

import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from tinyae.gradcheck import assert_gradients, strategies


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(dy, x):
    y = softmax(x)
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


@settings(max_examples=15, deadline=None)
@given(strategies.arrays(2, scales=(1.0,)))
def test_a_right_backward_holds_for_awkward_arrays(x):
    if x.shape[1] > 1:  # over one column there is nothing to compare
        assert_gradients(softmax, x, backward=softmax_backward)


def test_a_mistake_at_one_length_is_found():
    def mean_backward(dy, x):
        return np.ones_like(x) * dy / x.shape[1]  # not the number of rows

    @settings(max_examples=30, deadline=None, database=None, report_multiple_bugs=False)
    @given(strategies.arrays(2, scales=(1.0,)))
    def holds(x):
        assert_gradients(lambda x: x.mean(axis=0), x, backward=mean_backward)

    with pytest.raises(AssertionError, match="dx is"):
        holds()


@given(strategies.arrays(3))
def test_numbers_keep_away_from_kinks(x):
    assert x.ndim == 3
    assert np.abs(x).min() >= 0.1e-3
    assert set(x.shape) <= set(strategies.LENGTHS)


@given(strategies.arrays((4, 2), positive=True, dtypes=(np.float32,)))
def test_a_fixed_shape_positive_in_float32(x):
    assert x.shape == (4, 2)
    assert x.dtype == np.float32
    assert x.min() > 0


@pytest.mark.parametrize(
    "wanted",
    [
        lambda x: x.shape[0] == 1,
        lambda x: x.shape[1] == 1,
        lambda x: x.shape[0] == x.shape[1] > 1,
        lambda x: not x.flags.writeable,
        lambda x: min(x.shape) > 1 and x.flags.f_contiguous,
        lambda x: x.strides[0] < 0,
    ],
)
def test_each_kind_of_awkwardness_is_drawn(wanted):
    assert wanted(find(strategies.arrays(2), wanted))


@given(strategies.batches((4,), (3, 2)))
def test_batches_share_their_rows(arrays):
    x, y = arrays
    assert len(x) == len(y)
    assert (x.shape[1:], y.shape[1:]) == ((4,), (3, 2))


@given(st.integers(2, 8).flatmap(lambda n: strategies.indices(n, 5)))
def test_indices_repeat(i):
    assert i.min() >= 0
    assert i.max() < 5
    assert len(np.unique(i)) < len(i)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="ndim ≥ 1"):
        strategies.shapes(0)
    with pytest.raises(ValueError, match="both ≥ 1"):
        strategies.indices(0, 3)


def test_without_hypothesis_the_install_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match="pip install hypothesis"):
        strategies.arrays(2)
