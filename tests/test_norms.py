"""GroupNorm, InstanceNorm, RMSNorm and PixelNorm: each against its definition and its relatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyae.layers import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, PixelNorm, RMSNorm

shapes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(2, 4), st.integers(1, 5))
seeds = st.integers(0, 2**32 - 1)


def learnt(layer, rng):
    layer = layer.astype(np.float64)
    for p in layer.params.values():
        p.value[...] = rng.normal(size=p.shape)
    return layer


@given(shape=shapes, groups=st.integers(1, 3), seed=seeds)
def test_group_norm_is_its_definition(shape, groups, seed):
    rng = np.random.default_rng(seed)
    n, width, height, columns = shape
    channels = groups * width
    layer, x = (
        learnt(GroupNorm(groups, channels), rng),
        rng.normal(size=(n, channels, height, columns)),
    )
    y = layer(x)
    for i in range(n):
        for g in range(groups):
            own = range(g * width, (g + 1) * width)
            values = np.array([x[i, c] for c in own])
            for c in own:
                xhat = (x[i, c] - values.mean()) / np.sqrt(values.var() + 1e-5)
                want = layer.gamma.value[c] * xhat + layer.beta.value[c]
                np.testing.assert_allclose(y[i, c], want, rtol=1e-10, atol=1e-10)


@given(shape=shapes, seed=seeds)
def test_one_group_is_layer_norm_and_one_for_each_channel_instance_norm(shape, seed):
    rng = np.random.default_rng(seed)
    x, channels = rng.normal(size=shape), shape[1]
    plain = LayerNorm(shape[1:], dtype=np.float64)
    np.testing.assert_allclose(GroupNorm(1, channels, dtype=np.float64)(x), plain(x), atol=1e-12)
    grouped, instance = learnt(GroupNorm(channels, channels), rng), InstanceNorm(channels)
    instance = instance.astype(np.float64)
    for name, p in instance.params.items():
        p.value[...] = grouped.params[name].value
    (y, cache), (y2, cache2) = grouped.forward(x), instance.forward(x)
    np.testing.assert_array_equal(y, y2)
    dy = rng.normal(size=shape)
    np.testing.assert_array_equal(grouped.backward(dy, cache), instance.backward(dy, cache2))
    for i in range(len(x)):  # of a single sample, it is batch norm
        batch = BatchNorm(channels, dtype=np.float64)
        batch.gamma.value[...], batch.beta.value[...] = grouped.gamma.value, grouped.beta.value
        if shape[2] * shape[3] > 1:
            np.testing.assert_allclose(batch.forward(x[i : i + 1])[0], y[i : i + 1], atol=1e-10)


def test_instance_norm_removes_brightness_and_contrast():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3, 8, 8))
    layer = InstanceNorm(3, eps=1e-12, dtype=np.float64)
    brightness, contrast = rng.normal(size=(4, 3, 1, 1)), rng.uniform(0.5, 2, (4, 3, 1, 1))
    np.testing.assert_allclose(layer(contrast * x + brightness), layer(x), atol=1e-9)


def test_numbers_of_group_norm():
    """Groups (1, 3) and (2, 8): means 2 and 5, standard deviations 1 and 3."""
    y = GroupNorm(2, 4, eps=1e-12, dtype=np.float64)(np.array([[1.0, 3, 2, 8]]))
    np.testing.assert_allclose(y, [[-1, 1, -1, 1]])


def test_numbers_of_rms_norm_and_pixel_norm():
    x = np.array([[3.0, 4.0]])  # root mean square √12.5
    want = [[0.848528137423857, 1.1313708498984762]]
    np.testing.assert_allclose(RMSNorm(2, eps=1e-15, dtype=np.float64)(x), want, rtol=1e-14)
    np.testing.assert_allclose(PixelNorm(eps=1e-15)(x), want, rtol=1e-14)


@given(shape=shapes, seed=seeds, scale=st.floats(0.1, 10))
def test_the_root_mean_square_becomes_one_whatever_the_scale(shape, seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)
    for layer, axes in (
        (PixelNorm(eps=1e-15), (1,)),
        (RMSNorm(shape[2:], eps=1e-15, dtype=np.float64), (2, 3)),
    ):
        y = layer(x)
        np.testing.assert_allclose((y * y).mean(axis=axes), 1, rtol=1e-12)
        np.testing.assert_allclose(layer(scale * x), y, rtol=1e-12)
        np.testing.assert_array_equal(np.sign(y), np.sign(x))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (GroupNorm(4, 4), (2, 4), "GroupNorm: x of shape .* 1 value in each of 4 groups"),
        (InstanceNorm(3), (2, 3, 1, 1), "InstanceNorm: x of shape .* 1 value in each of 3"),
        (GroupNorm(2, 4), (2, 3, 5, 5), r"GroupNorm: .*expected \(N, 4, …, …\)"),
        (GroupNorm(2, 4), (4,), r"GroupNorm: .*expected \(N, 4\)"),
        (RMSNorm(3), (2, 4), r"RMSNorm: .*expected \(N, 3\)"),
        (PixelNorm(), (3,), r"PixelNorm: .*expected \(N, C\)"),
    ],
)
def test_what_does_not_fit_is_refused(layer, shape, message):
    for run in (layer, layer.forward):
        with pytest.raises(ValueError, match=message):
            run(np.zeros(shape, np.float32))


@pytest.mark.parametrize("layer", [GroupNorm(2, 4), InstanceNorm(4), RMSNorm(5), PixelNorm()])
def test_a_gradient_of_another_shape_is_refused_before_any_is_added(layer):
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 5)).astype(np.float32)
    cache = layer.forward(x)[1]
    with pytest.raises(ValueError, match=r"dy has shape \(2, 4, 15\), expected \(2, 4, 3, 5\)"):
        layer.backward(np.ones((2, 4, 15), np.float32), cache)
    assert not any(p.grad.any() for p in layer.params.values())


@pytest.mark.parametrize("layer", [GroupNorm(2, 4), InstanceNorm(4), RMSNorm(5), PixelNorm()])
def test_a_nan_stays_in_what_is_normalized_with_it(layer):
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 5)).astype(np.float32)
    x[1, 2, 1, 3] = np.nan
    bad = np.isnan(layer(x))
    assert bad[1, 2, 1, 3]
    assert not bad[0].any()
    assert (
        bad.sum()
        == {"GroupNorm": 30, "InstanceNorm": 15, "RMSNorm": 5, "PixelNorm": 4}[type(layer).__name__]
    )
