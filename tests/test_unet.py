"""The U-Net: its shapes, its skip connections, and that it learns to denoise and to segment."""

from __future__ import annotations

import numpy as np
import pytest

import tinyae as ta


def count(*parts):
    return sum(p.size for part in parts for p in part.params.values())


def test_the_numbers_of_a_network():
    """16-32-64 channels, two 3 × 3 convolutions a level: worked out by hand."""
    encoder, decoder = ta.unet(1, 1, [16, 32, 64], rng=np.random.default_rng(0))
    pairs = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
    pairs += [(64, 32), (32, 32), (32, 16), (16, 16)]
    rises = [(64, 32), (32, 16)]
    assert count(encoder) == sum(9 * i * o + o for i, o in pairs) + sum(
        4 * i * o + o for i, o in rises
    )
    assert count(decoder) == 1 + 16 + 1  # x, u and b


@pytest.mark.parametrize("dims", [1, 2])
def test_at_first_it_gives_back_what_it_gets(dims):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 2, *(4, 8)[:dims])).astype(np.float32)
    model = ta.UNet(2, 2, [3, 4], ta.MSE(), dims=dims, rng=rng)
    np.testing.assert_allclose(model.reconstruct(x), x, atol=1e-6)
    model = ta.UNet(2, 3, [3, 4], ta.MSE(), dims=dims, rng=rng)
    np.testing.assert_allclose(model.reconstruct(x)[:, :2], x, atol=1e-6)
    assert not model.reconstruct(x)[:, 2].any()


@pytest.mark.parametrize("dims", [1, 2])
def test_it_keeps_the_size(dims):
    encoder, decoder = ta.unet(2, 3, [4, 5, 6], dims=dims, rng=np.random.default_rng(0))
    x = np.zeros((2, 2, *[12, 8][:dims]), np.float32)
    assert encoder(x).shape == (2, 2 + 4, *x.shape[2:])
    assert decoder(encoder(x)).shape == (2, 3, *x.shape[2:])


def test_details_pass_by_the_deep_levels():
    """Without what the deep levels add, a pixel of u depends on its neighbours in x alone."""
    rng = np.random.default_rng(0)
    encoder, _ = ta.unet(1, 1, [4, 8], rng=rng)
    rise = encoder.layers[0].layer.layers[4].layer.layers[-1]
    assert isinstance(rise, ta.ConvTranspose2d)
    x = rng.normal(size=(1, 1, 16, 16)).astype(np.float32)
    moved = x.copy()
    moved[0, 0, 8, 8] += 1

    def changed_rows():
        changed = np.abs(encoder(moved) - encoder(x)).max(axis=(0, 1)) > 0
        return np.flatnonzero(changed.any(axis=1))

    assert len(changed_rows()) > 9
    rise.W.value[...] = 0
    assert set(changed_rows()) <= set(range(4, 13))  # four convolutions reach four pixels
    assert 8 in changed_rows()


def test_a_size_that_does_not_halve_is_named():
    encoder, _ = ta.unet(1, 1, [2, 3], rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="Skip"):
        encoder(np.zeros((1, 1, 7, 8), np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, [4]), "in_channels is 0"),
        ((1, 1, []), "widths is"),
        ((1, 1, 4), "widths is"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"unet: {message}"):
        ta.unet(*arguments)
    with pytest.raises(ValueError, match="unet: dims is 3"):
        ta.unet(1, 1, [4], dims=3)


@pytest.mark.parametrize("dims", [1, 2])
def test_every_gradient_of_the_whole_model(dims):
    rng = np.random.default_rng(0)
    model = ta.UNet(1, 2, [2, 3], ta.MSE(), dims=dims, rng=rng, dtype=np.float64)
    model.decoder.W.value[...] = rng.normal(size=model.decoder.W.shape)  # u counts
    size = [4, 6][:dims]
    batch = rng.normal(size=(3, 1, *size)), rng.normal(size=(3, 2, *size))
    with ta.kernels.use("numpy"):
        report = ta.gradcheck.check_model(model, batch, rng=rng, max_entries=2)
    assert report.ok, report


def squares(rng, n, dims):
    """Noise with a brighter square, or a brighter stretch, and the mask of it."""
    x, mask = 0.3 * rng.normal(size=(n, 1, *[8] * dims)), np.zeros((n, 1, *[8] * dims))
    for image, i, j in zip(mask, rng.integers(0, 5, n), rng.integers(0, 5, n)):
        image[(0, slice(i, i + 4), slice(j, j + 4))[: 1 + dims]] = 1
    return (x + mask).astype(np.float32), mask.astype(np.float32)


@pytest.mark.parametrize("dims", [1, 2])
def test_it_learns_to_segment_and_files_keep_it(dims, tmp_path):
    rng = np.random.default_rng(0)
    model = ta.UNet(1, 1, [4, 8], ta.BCEWithLogits(), dims=dims, rng=rng)
    optimizer = ta.Adam(1e-2)
    ta.fit(model, squares(rng, 256, dims), epochs=8, optimizer=optimizer, progress=False)
    x, mask = squares(rng, 64, dims)
    y = model.reconstruct(x)
    found, wanted = y > 0.5, mask > 0.5
    assert (found & wanted).sum() / (found | wanted).sum() > 0.85  # intersection over union
    model.save(tmp_path / "unet.npz")
    loaded = ta.load(tmp_path / "unet.npz")
    assert type(loaded) is ta.UNet
    np.testing.assert_array_equal(loaded.reconstruct(x), y)
    np.testing.assert_allclose(model.compile()(x), y, atol=1e-4)


def test_it_removes_noise():
    rng = np.random.default_rng(0)
    noise = ta.GaussianNoise(0.3)
    clean = squares(rng, 512, 2)[1]
    model = ta.UNet(1, 1, [8, 16], ta.MSE(), noise, rng=rng)
    noisy = noise(clean, np.random.default_rng(1))
    before = ta.metrics.mse(clean, noisy)
    ta.fit(model, clean, epochs=6, optimizer=ta.Adam(3e-3), progress=False)
    assert ta.metrics.mse(clean, model.reconstruct(noisy)) < 0.35 * before
