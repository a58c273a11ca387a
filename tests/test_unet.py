"""The U-Net: its shapes, its skip connections, and that it learns to denoise and to segment."""

from __future__ import annotations

import numpy as np
import pytest

import tinyae as ta


def count(*parts):
    return sum(p.size for part in parts for p in part.params.values())


def test_the_numbers_of_the_reference_network():
    """16-32-64 channels, two 3 × 3 convolutions a level: worked out by hand."""
    encoder, decoder = ta.unet(1, 1, [16, 32, 64], rng=np.random.default_rng(0))
    pairs = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
    pairs += [(96, 32), (32, 32), (48, 16), (16, 16)]
    assert count(encoder) == sum(9 * i * o + 3 * o for i, o in pairs)  # b, γ and β
    assert count(decoder) == 17


@pytest.mark.parametrize("dims", [1, 2])
def test_it_keeps_the_size(dims):
    encoder, decoder = ta.unet(2, 3, [4, 5, 6], dims=dims, rng=np.random.default_rng(0))
    x = np.zeros((2, 2, *[12, 8][:dims]), np.float32)
    assert encoder(x).shape == (2, 4, *x.shape[2:])
    assert decoder(encoder(x)).shape == (2, 3, *x.shape[2:])


def test_details_pass_by_the_deep_levels():
    """Without what the deep levels add, a pixel of y still depends on its neighbours in x."""
    rng = np.random.default_rng(0)
    encoder, _ = ta.unet(1, 1, [4, 8], rng=rng)
    (skip,) = (layer for layer in encoder.layers if isinstance(layer, ta.layers.Skip))
    for name, p in skip.params.items():
        if name.endswith(("gamma", "beta")):
            p.value[...] = 0
    x = rng.normal(size=(1, 1, 16, 16)).astype(np.float32)
    moved = x.copy()
    moved[0, 0, 8, 8] += 1
    changed = np.abs(encoder(moved) - encoder(x)).max(axis=(0, 1)) > 0
    assert changed.any()
    assert not changed[:4].any()  # four convolutions reach four pixels
    assert not changed[13:].any()


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
    parts = ta.unet(1, 2, [2, 3], dims=dims, rng=rng, dtype=np.float64)
    model = ta.DenoisingAutoencoder(*parts, ta.MSE())
    size = [4, 6][:dims]
    batch = rng.normal(size=(3, 1, *size)), rng.normal(size=(3, 2, *size))
    with ta.kernels.use("numpy"):
        report = ta.gradcheck.check_model(model, batch, rng=rng, max_entries=2)
    assert report.ok, report


def squares(rng, n):
    """Images of noise with a brighter square, and the square's mask."""
    x, mask = 0.3 * rng.normal(size=(n, 1, 8, 8)), np.zeros((n, 1, 8, 8))
    for image, i, j in zip(mask, rng.integers(0, 5, n), rng.integers(0, 5, n)):
        image[:, i : i + 4, j : j + 4] = 1
    return (x + mask).astype(np.float32), mask.astype(np.float32)


def test_it_learns_to_segment_and_runs_compiled(tmp_path):
    rng = np.random.default_rng(0)
    encoder, decoder = ta.unet(1, 1, [4, 8], rng=rng)
    model = ta.DenoisingAutoencoder(encoder, decoder, ta.BCEWithLogits())
    optimizer = ta.Adam(1e-2)
    ta.fit(model, squares(rng, 128), epochs=8, optimizer=optimizer, progress=False)
    x, mask = squares(rng, 64)
    y = model.reconstruct(x)
    found, wanted = y > 0.5, mask > 0.5
    assert (found & wanted).sum() / (found | wanted).sum() > 0.85  # intersection over union
    np.testing.assert_allclose(model.compile()(x), y, atol=1e-4)
    model.save(tmp_path / "unet.npz")
    np.testing.assert_array_equal(ta.load(tmp_path / "unet.npz").reconstruct(x), y)
