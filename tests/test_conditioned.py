"""The U-Net that is told something: what it is told reaches every pixel, and nothing else does."""

from typing import Any

import numpy as np
import pytest

import tinyae as ta


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def unet(**more: Any) -> ta.ConditionedUNet:
    layer = ta.ConditionedUNet(1, 3, (4, 8), embedding=6, heads=2, groups=2, rng=rng(), **more)
    return layer


def moved(layer: Any) -> Any:
    draws = rng(1)
    for p in layer.params.values():
        p.value[...] += 0.3 * draws.standard_normal(p.shape, np.float32)
    return layer


def told(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    planes = np.broadcast_to(c[:, :, None, None], (*c.shape, *x.shape[2:]))
    return np.concatenate([x, planes], axis=1)


X = rng(2).standard_normal((2, 1, 8, 12), np.float32)
C = rng(3).standard_normal((2, 3), np.float32)


def test_at_first_it_says_nothing_and_a_block_is_its_shortcut() -> None:
    assert not unet()(told(X, C)).any()
    block, x = ta.ConditionedBlock(4, 4, 3, 2, rng=rng()), rng().random((2, 4, 5, 5), np.float32)
    np.testing.assert_array_equal(block(x, C), x)


@pytest.mark.parametrize("patch", [1, 2])
def test_it_keeps_the_size_and_inference_is_training(patch: int) -> None:
    layer = moved(unet(patch=patch))
    y, _ = layer.forward(told(X, C))
    assert y.shape == X.shape
    np.testing.assert_allclose(layer(told(X, C)), y, rtol=1e-4, atol=1e-5)


def test_what_it_is_told_reaches_every_pixel() -> None:
    layer = moved(unet())
    change = layer(told(X, C + 1)) - layer(told(X, C))
    assert (np.abs(change) > 1e-5).mean() > 0.99


def test_a_sample_hears_only_what_it_is_told_itself() -> None:
    layer, other = moved(unet()), C.copy()
    other[1] += 1
    a, b = layer(told(X, C)), layer(told(X, other))
    np.testing.assert_array_equal(a[0], b[0])
    assert not np.allclose(a[1], b[1])


def test_the_shift_is_the_same_at_each_pixel() -> None:
    """With the second half an identity it would be seen at once; here u is compared directly."""
    block, x = ta.ConditionedBlock(2, 4, 3, 2, rng=rng()), rng().random((2, 2, 5, 5), np.float32)
    u = block.first(x) + (C @ block.shift.W.value.T + block.shift.b.value)[:, :, None, None]
    block.second.layers[-1].W.value[...] = rng(4).normal(size=block.second.layers[-1].W.shape)
    np.testing.assert_allclose(
        block(x, C), block.shortcut(x) + block.second(u), rtol=1e-5, atol=1e-5
    )


def test_attention_does_not_mind_where_pixels_lie() -> None:
    """It adds the same to a pixel wherever all of them are moved."""
    layer, x = moved(ta.PixelAttention(4, 2, 2, rng=rng())), rng().random((2, 4, 3, 5), np.float32)
    order = rng(5).permutation(15)

    def permuted(a: np.ndarray) -> np.ndarray:
        return a.reshape(2, 4, 15)[:, :, order].reshape(a.shape)

    np.testing.assert_allclose(layer(permuted(x)), permuted(layer(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("widths", [(2, 4), (2, 2, 2)])
def test_the_gradient_of_several_levels(widths: tuple[int, ...]) -> None:
    layer = moved(ta.ConditionedUNet(2, 3, widths, embedding=3, heads=2, groups=2, rng=rng()))
    x = rng(6).normal(size=(2, 5, 4, 8))
    report = ta.gradcheck.check(layer.astype(np.float64), x, rng=rng(7), max_entries=1)
    assert report.ok, report


def test_images_that_do_not_halve_are_refused() -> None:
    with pytest.raises(ValueError, match="images are 6 × 10, expected multiples of 4"):
        unet(patch=2)(np.zeros((1, 4, 6, 10), np.float32))
    with pytest.raises(ValueError, match=r"expected \(N, 4, H, W\)"):
        unet().forward(np.zeros((1, 3, 8, 8), np.float32))
