"""The denoiser of pictures: where it starts, its gradients, and what it is good for."""

from __future__ import annotations

import numpy as np
import pytest

import tinyae as ta
from tinyae.cli import main


def rectangles(n: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Rectangles of any shade, each on those before it, in 0…1."""
    rng = np.random.default_rng(seed)
    x = np.full((n, *shape), 0.5, np.float32)
    for picture in x:
        for _ in range(12):
            i, j = (np.sort(rng.integers(0, size + 1, 2)) for size in shape[1:])
            picture[:, i[0] : i[1], j[0] : j[1]] = rng.uniform(0, 1, (shape[0], 1, 1))
    return x


def denoiser(shape: tuple[int, ...], dtype: type = np.float32, std: float = 0.2) -> ta.Model:
    rng = np.random.default_rng(0)
    parts = ta.conv_denoiser(shape, [6, 4], rng=rng, dtype=dtype)
    return ta.DenoisingAutoencoder(*parts, ta.MSE(), ta.GaussianNoise(std))


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 13, 18), (2, 9, 7)])
def test_it_starts_as_the_identity_and_then_as_the_best_linear_filter(shape):
    model, x = denoiser(shape), rectangles(60, shape)
    new = rectangles(20, shape, seed=1)
    noisy = model.corruption(new, np.random.default_rng(1))
    np.testing.assert_allclose(model.reconstruct(noisy), noisy, atol=1e-6)
    ta.start_from_linear_filter(model, x, np.random.default_rng(0))
    start = model.evaluate(x, np.random.default_rng(0))["total"]
    assert ta.metrics.mse(model.reconstruct(noisy), new) < 0.5 * ta.metrics.mse(noisy, new)
    K = model.decoder  # a minimum: any other filter is worse on the rows that it was found from
    for at in ((0, 0, 2, 2), (0, 0, 0, 1), (0, shape[0] - 1, 4, 3)):
        for step in (-0.02, 0.02):
            K.W.value[at] += step
            assert model.evaluate(x, np.random.default_rng(0))["total"] > start
            K.W.value[at] -= step


def test_its_gradients():
    model = denoiser((2, 5, 6), np.float64)
    model.decoder.W.value[...] += 0.1 * np.random.default_rng(3).normal(size=(2, 10, 5, 5))
    x = rectangles(3, (2, 5, 6)).astype(np.float64)
    report = ta.gradcheck.check_model(model, x, rng=np.random.default_rng(0))
    assert report.ok, report


def test_only_such_a_model_starts_so():
    plain = ta.Autoencoder(ta.Sequential(ta.ReLU()), ta.Sequential(ta.ReLU()), ta.MSE())
    with pytest.raises(
        TypeError, match=r"start_from_linear_filter: model is of class Auto.*conv_denoiser"
    ):
        ta.start_from_linear_filter(plain, np.zeros((3, 4)), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"conv_denoiser: shape is .*expected \(C, H, W\)"):
        ta.conv_denoiser((16,), [4])


def test_crops_come_from_everywhere_alike():
    x = np.arange(6 * 7, dtype=np.float32).reshape(1, 1, 6, 7).repeat(3000, axis=0)
    crops = ta.RandomCrop((4, 5))(x, np.random.default_rng(0))
    assert crops.shape == (3000, 1, 4, 5)
    counts = np.unique(crops[:, 0, 0, 0], return_counts=True)[1]
    assert len(counts) == 9  # 3 × 3 places
    assert counts.min() > 3000 / 9 - 5 * np.sqrt(3000 / 9)
    np.testing.assert_array_equal(crops[0, 0] - crops[0, 0, 0, 0], x[0, 0, :4, :5])
    assert ta.RandomCrop(9)(x[:2], np.random.default_rng(0)).shape == (2, 1, 6, 7)


def test_denoised_pictures_are_better_than_pcas(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rectangles(120, (1, 17, 22)))
    argv = ["train", "--data", "x.npy", "--model", "denoising", "--channels", "4", "--quiet"]
    assert main([*argv, "--epochs", "2"]) == 0
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines() if "  " in line]
    decibels = {row[0]: float([cell for cell in row if cell][-2]) for row in rows[2:]}
    network = decibels["autoencoder, denoised"]
    assert network > decibels["noisy"] + 3
    assert network > max(dB for name, dB in decibels.items() if "PCA" in name or "clipped" in name)
