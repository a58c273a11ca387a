"""The masked autoencoder: what is hidden, what the loss looks at, what it learns."""

from typing import Any

import numpy as np
import pytest

import tinyae as ta


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def small(**more: Any) -> ta.MaskedAutoencoder:
    sizes = {"dim": 8, "depth": 1, "heads": 2, "decoder_dim": 8} | more
    return ta.MaskedAutoencoder((2, 8, 12), 4, rng=rng(), **sizes)


X = rng(1).normal(size=(5, 2, 8, 12)).astype(np.float32)


def test_patches_are_pieces_of_the_image() -> None:
    model = small()
    p = model.patches(X)
    assert p.shape == (5, 6, 32)
    np.testing.assert_array_equal(p[1, 4], X[1, :, 4:8, 4:8].ravel())  # second row, second column
    np.testing.assert_array_equal(model.image(p), X)


def test_a_quarter_is_visible_each_place_equally_often() -> None:
    model = small(masked=0.5)
    keep = model.draw(6000, rng())[:, :, 0]
    assert keep.shape == (6000, 3)
    assert all(len(set(row)) == 3 for row in keep[:50])
    np.testing.assert_allclose(np.bincount(keep.ravel()) / 6000, 0.5, atol=0.03)


def test_what_is_hidden_does_not_reach_the_encoder_and_what_is_visible_not_the_loss() -> None:
    model = small().astype(np.float64)
    p, keep = model.patches(X.astype(np.float64)), model.draw(5, rng())
    hidden = np.ones((5, 6, 1))
    np.put_along_axis(hidden, keep, 0, axis=1)
    y, _ = model._forward(p, keep)
    np.testing.assert_array_equal(model._forward(p + 9 * hidden, keep)[0], y)
    assert not np.array_equal(model._forward(p + 9 * (1 - hidden), keep)[0], y)
    terms, dy = model._terms(y, p, keep)
    assert not (dy * (1 - hidden)).any()
    assert terms["total"] == pytest.approx(np.square((y - p) * hidden).sum() / hidden.sum() / 32)


def test_it_completes_pictures_that_have_a_pattern(tmp_path: Any) -> None:
    draws = rng()
    phase = draws.uniform(0, 2 * np.pi, (200, 1, 1, 1))
    i, j = np.mgrid[:8, :8]
    x = np.sin(phase + (i + j) * np.pi / 4).astype(np.float32)  # one visible patch tells all
    model = ta.MaskedAutoencoder((1, 8, 8), 2, dim=16, depth=1, heads=2, decoder_dim=16, rng=draws)
    before = model.evaluate(x)["total"]
    ta.fit(model, x, epochs=20, batch_size=25, optimizer=ta.Adam(5e-3), rng=0, progress=False)
    assert model.evaluate(x)["total"] < 0.3 * before
    y, seen = model.complete(x[:4], 0)
    assert seen.mean() == 0.25
    np.testing.assert_array_equal(y[seen], x[:4][seen])
    assert model.encode(x).shape == (200, 16)
    model.save(tmp_path / "mae.npz")
    np.testing.assert_array_equal(ta.load(tmp_path / "mae.npz").complete(x[:4], 0)[0], y)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"shape is \(1, 28, 28\) and patch is 5"):
        ta.MaskedAutoencoder((1, 28, 28), 5, rng=rng())
    with pytest.raises(ValueError, match="masked is 1"):
        small(masked=1.0)
    with pytest.raises(ValueError, match="rng=np"):
        small().backprop(X)
    with pytest.raises(ValueError, match=r"x has shape \(5, 2, 8, 8\)"):
        small().encode(X[..., :8])
