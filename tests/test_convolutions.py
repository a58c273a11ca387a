"""Convolutions with gaps and in groups: what they equal, and numbers that others published."""

from __future__ import annotations

import numpy as np
import pytest

import tinyae as ta

RNG = np.random.default_rng(0)


def with_gaps(W, dilation):
    """The same kernel with the zeros that dilation leaves out."""
    (dh, dw), (kh, kw) = dilation, W.shape[2:]
    wide = np.zeros((*W.shape[:2], (kh - 1) * dh + 1, (kw - 1) * dw + 1))
    wide[:, :, ::dh, ::dw] = W
    return wide


@pytest.mark.parametrize("kind", [ta.Conv2d, ta.ConvTranspose2d])
def test_a_dilated_kernel_is_a_larger_one_with_zeros(kind):
    dilated = kind(2, 3, (3, 2), 2, 1, dilation=(2, 3), rng=RNG, dtype=np.float64)
    wide = kind(2, 3, dilated.extent, 2, 1, rng=RNG, dtype=np.float64)
    assert dilated.extent == (5, 4)
    wide.W.value[...] = with_gaps(dilated.W.value, (2, 3))
    x = RNG.normal(size=(2, 2, 7, 9))
    np.testing.assert_allclose(dilated(x), wide(x), atol=1e-12)


@pytest.mark.parametrize("kind", [ta.Conv2d, ta.ConvTranspose2d])
def test_groups_are_convolutions_side_by_side(kind):
    whole = kind(4, 6, 3, 2, 1, groups=2, rng=RNG, dtype=np.float64)
    whole.b.value[...] = RNG.normal(size=6)
    x, parts = RNG.normal(size=(2, 4, 7, 5)), []
    for g, W in enumerate(np.split(whole.W.value, 2)):
        part = kind(2, 3, 3, 2, 1, rng=RNG, dtype=np.float64)
        part.W.value[...], part.b.value[...] = W, whole.b.value[3 * g : 3 * g + 3]
        parts.append(part(x[:, 2 * g : 2 * g + 2]))
    np.testing.assert_allclose(whole(x), np.concatenate(parts, axis=1), atol=1e-12)


def test_a_depthwise_convolution_has_a_kernel_for_each_channel():
    layer = ta.Conv1d(3, 3, 3, groups=3, rng=RNG, dtype=np.float64)
    x = RNG.normal(size=(1, 3, 8))
    for c in range(3):
        want = np.correlate(x[0, c], layer.W.value[c, 0], "valid")
        np.testing.assert_allclose(layer(x)[0, c], want, atol=1e-12)
    # Glorot's bound counts the inputs that an output has: 3 of 9.
    assert np.abs(ta.Conv1d(64, 64, 3, groups=64, rng=RNG).W.value).max() > np.sqrt(6 / 18)


def test_the_example_of_onnx_with_same_lower():
    """Its operator Conv with auto_pad SAME_LOWER, stride 2."""
    layer = ta.Conv2d(1, 1, 3, 2, "same_lower", rng=RNG)
    layer.W.value[...] = 1
    y = layer(np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5))
    np.testing.assert_array_equal(y[0, 0], [[12, 27, 24], [63, 108, 81], [72, 117, 84]])
    even = ta.Conv2d(1, 1, 2, 1, "same_lower", rng=RNG)
    assert (even.pad((4, 4)), ta.Conv2d(1, 1, 2, 1, "same", rng=RNG).pad((4, 4))) == (
        (1, 0, 1, 0),
        (0, 1, 0, 1),
    )


@pytest.mark.parametrize("conv", [ta.Conv2d, ta.ConvTranspose2d])
def test_batch_norm_folds_into_grouped_convolutions(conv):
    norm = ta.BatchNorm(6)
    norm.running_mean[...], norm.running_var[...] = RNG.normal(size=6), RNG.uniform(0.5, 2, 6)
    layer = ta.Sequential(conv(4, 6, 3, 2, groups=2, dilation=2, rng=RNG), norm, ta.ReLU())
    model = ta.Autoencoder(layer, ta.ReLU(), ta.MSE())
    x = RNG.normal(size=(3, 4, 9, 7)).astype(np.float32)
    run = model.compile("encoder", input_shape=(4, 9, 7))
    assert len(run.program((4, 9, 7)).ops) == 1
    np.testing.assert_allclose(run(x), layer(x), atol=1e-5)


def test_groups_divide_the_channels():
    with pytest.raises(ValueError, match=r"groups is 3, expected a divisor .* pass e.g. groups=2"):
        ta.Conv2d(4, 6, 3, groups=3, rng=RNG)
    with pytest.raises(ValueError, match="dilation is 0"):
        ta.Conv2d(4, 6, 3, dilation=0, rng=RNG)


# --- upsampling ---------------------------------------------------------------------------------


def test_bilinear_upsampling_of_four_pixels():
    """ONNX's Resize, linear, half_pixel; PyTorch's align_corners=False."""
    x = np.array([[[[1.0, 2], [3, 4]]]])
    want = [[1, 1.25, 1.75, 2], [1.5, 1.75, 2.25, 2.5], [2.5, 2.75, 3.25, 3.5], [3, 3.25, 3.75, 4]]
    np.testing.assert_allclose(ta.Upsample2d(2, "bilinear")(x)[0, 0], want)
    np.testing.assert_allclose(ta.Upsample1d(2, "linear")(x[:, 0])[0, 0], want[0])
    with pytest.raises(ValueError, match='mode is \'cubic\', expected "nearest" or "bilinear"'):
        ta.Upsample2d(2, "cubic")


def test_a_plane_stays_a_plane_away_from_the_border():
    i, j = np.mgrid[:5, :6]
    y = ta.Upsample2d((3, 2), "bilinear")((2.0 * i - 3 * j)[None, None])[0, 0]
    rows, columns = (np.arange(15) + 0.5) / 3 - 0.5, (np.arange(12) + 0.5) / 2 - 0.5
    want = 2 * rows[:, None] - 3 * columns
    np.testing.assert_allclose(y[2:-2, 1:-1], want[2:-2, 1:-1], atol=1e-12)


def test_a_gate_halves_and_shuts():
    y = ta.GLU()(np.array([[2.0, -3, 5, 0, -800, 800]]))
    np.testing.assert_allclose(y, [[1, 0, 5]])
    with pytest.raises(ValueError, match="even number of channels"):
        ta.GLU()(np.zeros((2, 3)))
