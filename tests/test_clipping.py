"""Clipping: the norm, the direction, and gradients that are not finite."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyae import optim
from tinyae.clipping import clip_by_global_norm
from tinyae.param import Param


@given(
    st.integers(0, 2**32),
    st.floats(1e-3, 1e3),
    st.sampled_from([1e-25, 1e-3, 1.0, 1e3, 1e25]),
    st.sampled_from([np.float32, np.float64]),
)
def test_clipping_shortens_to_the_norm_and_keeps_the_direction(
    seed: int, clip: float, scale: float, dtype: type
) -> None:
    rng = np.random.default_rng(seed)
    p = {"W": Param(np.zeros((3, 4), dtype)), "b": Param(np.zeros(3, dtype))}
    p["again"] = p["W"]
    for name in ("W", "b"):
        p[name].grad += (scale * rng.normal(size=p[name].shape)).astype(dtype)
    before = _joined(p)
    norm = clip_by_global_norm(p, clip)
    after = _joined(p)
    assert type(norm) is float
    assert norm == pytest.approx(np.linalg.norm(before), rel=1e-5)
    assert np.linalg.norm(after) == pytest.approx(min(norm, clip), rel=1e-5)
    cosine = (after / np.linalg.norm(after)) @ (before / np.linalg.norm(before))
    assert cosine == pytest.approx(1, abs=1e-6)
    if norm <= clip:
        np.testing.assert_array_equal(before, after)


def _joined(p: dict[str, Param]) -> np.ndarray:
    return np.concatenate([p[name].grad.ravel().astype(np.float64) for name in ("W", "b")])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_leaves_gradients_alone(bad: float) -> None:
    p = {"a": Param(np.zeros(2)), "b": Param(np.zeros(2))}
    p["a"].grad[:] = [3, bad]
    p["b"].grad[:] = 7
    assert not math.isfinite(clip_by_global_norm(p, 1.0))
    np.testing.assert_array_equal(p["a"].grad, [3, bad])
    np.testing.assert_array_equal(p["b"].grad, [7, 7])
    for clip in (0, -1, math.nan):
        with pytest.raises(ValueError, match="clip_norm"):
            clip_by_global_norm(p, clip)


def test_it_can_be_imported_from_optim() -> None:
    assert optim.clip_by_global_norm is clip_by_global_norm
