"""The vector-quantised autoencoder: its table, its estimate of a gradient, its use."""

from typing import Any

import numpy as np
import pytest

import tinyae as ta
from tinyae.models.vqvae import DEAD, places


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def small(codes: int = 8, **more: Any) -> ta.VQVAE:
    draws = rng()
    encoder = ta.Sequential(
        ta.Conv2d(1, 6, 2, 2, rng=draws), ta.Tanh(), ta.Conv2d(6, 3, 1, rng=draws)
    )
    decoder = ta.Sequential(ta.ConvTranspose2d(3, 1, 2, 2, rng=draws))
    return ta.VQVAE(encoder, decoder, ta.MSE(), codes, 3, **more)


X = rng(7).random((16, 1, 4, 4), np.float32)


def with_table(model: ta.VQVAE) -> ta.VQVAE:
    model.backprop(X, rng(1))
    for p in model.params.values():
        p.grad[...] = 0
    return model


def test_each_place_gets_its_nearest_vector() -> None:
    model = with_table(small()).astype(np.float64)
    z = model.encoder(X.astype(np.float64))
    q, k = model.nearest(z)
    assert k.shape == (16, 2, 2)
    distance = np.square(places(z)[:, None] - model.table).sum(axis=2)
    np.testing.assert_array_equal(k.ravel(), distance.argmin(axis=1))
    np.testing.assert_array_equal(places(q), model.table[k.ravel()])


def test_the_held_model_is_the_same_and_has_the_same_gradient() -> None:
    """What gradient checks measure is what trains."""
    model = with_table(small()).astype(np.float64)
    held, x = model.astype(np.float64).differentiable(), X.astype(np.float64)
    assert held.objective(x, rng()) == pytest.approx(model.objective(x, rng()))
    model.backprop(x, rng())
    held.backprop(x, rng())
    assert list(model.params) == list(held.params)
    for name, p in model.params.items():
        np.testing.assert_allclose(held.params[name].grad, p.grad, rtol=1e-9, atol=1e-15)
        assert p.grad.any()


def test_without_commitment_the_encoder_gets_the_decoders_gradient() -> None:
    """dz = dq, as if the table were not there."""
    model = with_table(small(commitment=0.0)).astype(np.float64)
    x = X.astype(np.float64)
    z, encoder_cache = model.encoder.forward(x)
    y, cache = model.decoder.forward(model.nearest(z)[0])
    want = model.astype(np.float64)
    want.encoder.backward(want.decoder.backward(ta.MSE()(y, x)[1], cache), encoder_cache)
    model.backprop(x, rng())
    for name, p in model.params.items():
        np.testing.assert_allclose(p.grad, want.params[name].grad, rtol=1e-9)


def test_the_table_moves_to_the_mean_of_what_chooses_it() -> None:
    model = small(codes=2, decay=0.5)
    model.table[...] = [[0, 0, 0], [4, 4, 4]]
    model.uses[...], model.sums[...] = 8, 8 * model.table
    z = np.concatenate([rng().normal(0, 1, (6, 3)), rng(1).normal(4, 1, (10, 3))]).astype(
        np.float32
    )
    k = np.array([0] * 6 + [1] * 10)
    model.move_table(z, k, rng())
    np.testing.assert_allclose(model.uses, [7, 9])  # ½ · 8 + ½ · 6, ½ · 8 + ½ · 10
    np.testing.assert_allclose(model.table[0], z[:6].sum(axis=0) / 14, rtol=1e-5)
    np.testing.assert_allclose(model.table[1], (32 + z[6:].sum(axis=0)) / 18, rtol=1e-5)
    for _ in range(40):
        model.move_table(z, k, rng())
    np.testing.assert_allclose(model.table[1], z[6:].mean(axis=0), rtol=1e-4)


def test_a_dead_code_begins_anew_where_data_are() -> None:
    model, z = small(codes=8, decay=0.9), rng().normal(size=(64, 3)).astype(np.float32)
    model.uses[...], model.table[...] = 8, 100  # all far away
    model.table[0] = 0
    model.sums[...] = model.uses[:, None] * model.table
    steps = 0
    while (model.table > 50).any():
        model.move_table(z, np.zeros(64, int), rng(steps))
        steps += 1
    assert steps == int(np.ceil(np.log(DEAD) / np.log(0.9)))  # n = 8 · 0.9ˢ falls below 0.1 · 8
    assert (np.abs(z[None] - model.table[1:, None]).max(axis=2).min(axis=1) < 1e-5).all()


def test_perplexity_counts_the_codes_in_use() -> None:
    model, gap = small(codes=8), np.zeros(1)
    assert model._terms(0.0, gap, np.zeros((4, 2), int))["perplexity"] == pytest.approx(1)
    even = np.arange(16).reshape(4, 4) % 4
    assert model._terms(0.0, gap, even)["perplexity"] == pytest.approx(4)


def test_it_learns_codes_round_trip_and_files_keep_the_table(tmp_path: Any) -> None:
    model, x = small(codes=16), ta.data.make_strokes(200, rng())[0][:, :, ::7, ::7]
    history = ta.fit(
        model, x, epochs=30, batch_size=20, optimizer=ta.Adam(1e-2), rng=0, progress=False
    )
    assert history["reconstruction"][-1] < 0.5 * history["reconstruction"][0]
    assert history["perplexity"][-1] > 4
    k = model.encode(x)
    assert k.dtype.kind == "i"
    assert k.shape == (200, 2, 2)
    np.testing.assert_array_equal(model.decode(k), model.reconstruct(x))
    model.save(tmp_path / "vq.npz")
    loaded = ta.load(tmp_path / "vq.npz")
    np.testing.assert_array_equal(loaded.encode(x), k)
    np.testing.assert_array_equal(loaded.uses, model.uses)
    terms = [m.backprop(x[:20], rng(3)) for m in (model, loaded)]
    assert terms[0] == terms[1]


def test_mistakes_are_named() -> None:
    model = small()
    with pytest.raises(ValueError, match="rng=np"):
        model.backprop(X)
    with pytest.raises(ValueError, match="k runs from 0 to 8"):
        model.decode(np.array([[[0, 8]]]))
    wrong = ta.VQVAE(model.encoder, model.decoder, ta.MSE(), 8, 5)
    with pytest.raises(ValueError, match=r"z of shape \(16, 3, 2, 2\), the table has vectors of 5"):
        wrong.objective(X)
    with pytest.raises(ValueError, match="decay is 1"):
        small(decay=1)
    with pytest.raises(TypeError, match="the model is VQVAE"):
        model.compile()
