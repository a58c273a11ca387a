"""Pools with padding, global pools, PixelShuffle and Pad2d: definitions and published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae.layers import (
    AvgPool2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool2d,
    Pad2d,
    PixelShuffle,
)

NINE = np.arange(1.0, 10).reshape(1, 1, 3, 3)
sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


def windows_of(n, k, s, padding, ceil_mode):
    """The indices that each window of an axis holds, from the definition."""
    if padding == "same":
        count = math.ceil(n / s)
        before = max((count - 1) * s + k - n, 0) // 2
    else:
        before = padding
        rounded = math.ceil if ceil_mode else math.floor
        count = rounded((n + 2 * padding - k) / s) + 1
        if ceil_mode and (count - 1) * s >= n + padding:  # it would begin beyond the image
            count -= 1
    return [
        [i for i in range(q * s - before, q * s - before + k) if 0 <= i < n] for q in range(count)
    ]


@given(data=st.data(), size=sizes, kernel=pairs, stride=pairs, ceil_mode=st.booleans())
def test_a_pool_is_its_definition(data, size, kernel, stride, ceil_mode):
    least = [max(k - n + 1, 0) // 2 for n, k in zip(size, kernel)]
    chosen = tuple(data.draw(st.integers(low, k - 1)) for low, k in zip(least, kernel) if low < k)
    padding = data.draw(st.sampled_from(["same", chosen]))
    if len(chosen) < 2:
        padding = "same"
    x = np.random.default_rng(0).normal(size=(2, 3, *size))
    per_axis = padding if padding != "same" else ("same", "same")
    rows, columns = (
        windows_of(n, k, s, p, ceil_mode) for n, k, s, p in zip(size, kernel, stride, per_axis)
    )
    largest, mean = (kind(kernel, stride, padding, ceil_mode)(x) for kind in (MaxPool2d, AvgPool2d))
    assert largest.shape == mean.shape == (2, 3, len(rows), len(columns))
    for i, own_rows in enumerate(rows):
        for j, own_columns in enumerate(columns):
            inside = x[:, :, own_rows][:, :, :, own_columns]
            np.testing.assert_array_equal(largest[:, :, i, j], inside.max(axis=(2, 3)))
            np.testing.assert_allclose(mean[:, :, i, j], inside.mean(axis=(2, 3)), atol=1e-12)


def test_the_examples_of_keras():
    """tf.keras.layers.MaxPooling2D and AveragePooling2D, strides=(1, 1), padding="same"."""
    largest = MaxPool2d(2, 1, "same")(NINE)
    np.testing.assert_array_equal(largest[0, 0], [[5, 6, 6], [8, 9, 9], [8, 9, 9]])
    mean = AvgPool2d(2, 1, "same")(NINE)
    np.testing.assert_array_equal(mean[0, 0], [[3, 4, 4.5], [6, 7, 7.5], [7.5, 8.5, 9]])
    image = np.zeros((1, 8, 7, 7), np.float32)  # the convolutional autoencoder of Keras' blog
    assert MaxPool2d(2, padding="same")(image).shape == (1, 8, 4, 4)


def test_the_examples_of_onnx():
    """Its operators MaxPool and AveragePool: ceil, same_upper and pads."""
    sixteen, many = np.arange(1.0, 17).reshape(1, 1, 4, 4), np.arange(1.0, 26).reshape(1, 1, 5, 5)
    y = MaxPool2d(3, 2, ceil_mode=True)(sixteen)
    np.testing.assert_array_equal(y[0, 0], [[11, 12], [15, 16]])
    y = AvgPool2d(3, 2, ceil_mode=True)(sixteen)
    np.testing.assert_array_equal(y[0, 0], [[6, 7.5], [12, 13.5]])
    y = MaxPool2d(3, 2, "same")(many)
    np.testing.assert_array_equal(y[0, 0], [[7, 9, 10], [17, 19, 20], [22, 24, 25]])
    y = AvgPool2d(3, 2, "same")(many)
    np.testing.assert_array_equal(y[0, 0], [[4, 5.5, 7], [11.5, 13, 14.5], [19, 20.5, 22]])
    y = MaxPool2d(5, 1, 2)(many)
    np.testing.assert_array_equal(y[0, 0, 0], [13, 14, 15, 15, 15])
    y = AvgPool2d(5, 1, 2)(many)
    np.testing.assert_array_equal(y[0, 0, 0], [7, 7.5, 8, 8.5, 9])


def test_a_dark_border_does_not_hide_a_negative_image():
    x = np.full((1, 1, 3, 3), -2.0)
    for kind in (MaxPool2d, AvgPool2d):
        np.testing.assert_array_equal(kind(3, 1, 1)(x), x)


@pytest.mark.parametrize("layer", [MaxPool2d(3, 2, 1), AvgPool2d(3, 2, 1), MaxPool2d(2, 2, "same")])
def test_a_nan_stays_visible_in_its_windows_alone(layer):
    x = np.zeros((1, 1, 5, 5), np.float32)
    x[0, 0, 0, 4] = np.nan
    bad = np.isnan(layer(x))
    assert bad[0, 0, 0, -1]
    assert bad.sum() == 1


def test_global_pools():
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 5))
    np.testing.assert_allclose(GlobalAvgPool2d()(x), AvgPool2d((4, 5))(x)[:, :, 0, 0])
    np.testing.assert_array_equal(GlobalMaxPool2d()(x), MaxPool2d((4, 5))(x)[:, :, 0, 0])
    x[1, 1, 2, 3] = np.nan
    for layer in (GlobalAvgPool2d(), GlobalMaxPool2d()):
        np.testing.assert_array_equal(np.isnan(layer(x)), [[0, 0], [0, 1], [0, 0]])
    tied = np.ones((1, 1, 2, 2))
    _, cache = GlobalMaxPool2d().forward(tied)
    dx = GlobalMaxPool2d().backward(np.ones((1, 1)), cache)
    np.testing.assert_array_equal(dx[0, 0], [[1, 0], [0, 0]])


def test_pixel_shuffle():
    x = np.arange(8.0).reshape(1, 4, 1, 2)
    np.testing.assert_array_equal(PixelShuffle(2)(x)[0, 0], [[0, 2, 1, 3], [4, 6, 5, 7]])
    x = np.random.default_rng(0).normal(size=(2, 18, 3, 4))
    y = PixelShuffle(3)(x)
    for c, i, j, u, v in np.ndindex(2, 3, 4, 3, 3):
        np.testing.assert_array_equal(y[:, c, 3 * i + u, 3 * j + v], x[:, 9 * c + 3 * u + v, i, j])
    blocks = np.repeat(np.arange(3.0), 4).reshape(1, 12, 1, 1)  # equal channels: upsampling
    np.testing.assert_array_equal(
        PixelShuffle(2)(blocks), ta.Upsample2d(2)(np.arange(3.0).reshape(1, 3, 1, 1))
    )


def test_the_example_of_pytorchs_reflection_pad():
    y = Pad2d((1, 1, 2, 0), mode="reflect")(NINE - 1)
    want = [
        [5, 4, 3, 4, 5],
        [2, 1, 0, 1, 2],
        [5, 4, 3, 4, 5],
        [8, 7, 6, 7, 8],
        [5, 4, 3, 4, 5],
    ]
    np.testing.assert_array_equal(y[0, 0], want)
    np.testing.assert_array_equal(
        Pad2d((1, 0))(NINE)[0, 0], [[0] * 3, [1, 2, 3], [4, 5, 6], [7, 8, 9], [0] * 3]
    )


def test_a_padded_convolution_is_a_convolution_of_a_padded_image():
    rng = np.random.default_rng(0)
    padded, plain = ta.Conv2d(2, 3, 3, 2, (1, 2), rng=rng), ta.Conv2d(2, 3, 3, 2, rng=rng)
    plain.W.value[...] = padded.W.value
    x = rng.normal(size=(2, 2, 5, 6)).astype(np.float32)
    np.testing.assert_allclose(plain(Pad2d((1, 2))(x)), padded(x), atol=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MaxPool2d(2, padding=2), "MaxPool2d: padding is 2, expected less than the window"),
        (lambda: AvgPool2d((3, 1), padding=1), "AvgPool2d: padding is 1, expected less"),
        (lambda: AvgPool2d(2, padding="valid"), "AvgPool2d: padding is 'valid'"),
        (lambda: PixelShuffle(0), "PixelShuffle: factor is 0"),
        (lambda: Pad2d(-1), "Pad2d: padding is -1"),
        (lambda: Pad2d((1, 2, 3)), "Pad2d: padding is"),
        (lambda: Pad2d(1, mode="mirror"), "Pad2d: mode is 'mirror', expected"),
    ],
)
def test_wrong_arguments_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (MaxPool2d(5, padding=1), (1, 1, 2, 9), "MaxPool2d: an image of x is 2 × 9, smaller than"),
        (MaxPool2d(5, padding="same"), (1, 1, 0, 9), "MaxPool2d: an image of x is 0 × 9"),
        (GlobalAvgPool2d(), (1, 1, 0, 3), "GlobalAvgPool2d: an image of x is 0 × 3"),
        (GlobalMaxPool2d(), (2, 3), r"GlobalMaxPool2d: .*expected \(N, C, H, W\)"),
        (PixelShuffle(2), (1, 6, 3, 3), "PixelShuffle: x has 6 channels, expected a multiple of"),
        (Pad2d((0, 2), "reflect"), (1, 1, 5, 2), "Pad2d: an image of x is 5 × 2, expected more"),
    ],
)
def test_what_does_not_fit_is_refused(layer, shape, message):
    for run in (layer, layer.forward):
        with pytest.raises(ValueError, match=message):
            run(np.zeros(shape, np.float32))


def test_the_examples_of_onnx_with_dilation_and_same_lower():
    """Its operators MaxPool with dilations, and AveragePool with auto_pad SAME_LOWER."""
    sixteen = np.arange(1.0, 17).reshape(1, 1, 4, 4)
    y = MaxPool2d(2, 1, dilation=2)(sixteen)
    np.testing.assert_array_equal(y[0, 0], [[11, 12], [15, 16]])
    y = AvgPool2d(2, 1, dilation=2)(sixteen)
    np.testing.assert_array_equal(y[0, 0], [[6, 7], [10, 11]])
    lower = AvgPool2d(2, 1, "same_lower")(NINE)  # the window's last entry lies on the pixel
    np.testing.assert_array_equal(lower[0, 0], [[1, 1.5, 2.5], [2.5, 3, 4], [5.5, 6, 7]])


def test_a_window_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="no entry inside an image of 1 × 1"):
        MaxPool2d(2, 1, 1, dilation=2)(np.zeros((1, 1, 1, 1)))


@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 3), st.integers(4, 9), st.integers(4, 9)),
    kernel=pairs,
    stride=pairs,
)
def test_the_order_in_memory_does_not_matter(seed, shape, kernel, stride):
    """Images with the batch innermost, as convolutions leave them, ties and NaN among them."""
    rng = np.random.default_rng(seed)
    x = np.round(2 * rng.normal(size=shape))
    x[rng.random(shape) < 0.02] = np.nan
    inner = np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    y, index = ta.kernels.max_pool2d(x, kernel, stride)
    inner_y, inner_index = ta.kernels.max_pool2d(inner, kernel, stride)
    np.testing.assert_array_equal(inner_y, y)
    np.testing.assert_array_equal(inner_index, index)
    dy = rng.normal(size=y.shape)
    want = ta.kernels.max_pool2d_backward(dy, index, kernel, stride, shape[2:])
    got = ta.kernels.max_pool2d_backward(dy, inner_index, kernel, stride, shape[2:])
    np.testing.assert_allclose(got, want, atol=1e-12)
