"""The plain autoencoder: its methods, edge cases, and PCA as the optimum of a linear one."""

import copy
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tinyae.layers import (
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    HardSigmoid,
    Layer,
    PixelShuffle,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
    TiedDense,
    Upsample1d,
    Upsample2d,
)
from tinyae.losses import BCE, L1, MSE, BCEWithLogits, Huber, Loss
from tinyae.models import Autoencoder, Model
from tinyae.models.checks import output_range
from tinyae.optim import Adam, Cosine


def make(
    loss: Loss | None = None, *, dtype: Any = np.float32, seed: int = 0, last: Layer | None = None
) -> Autoencoder:
    rng = np.random.default_rng(seed)
    encoder = Sequential(Flatten(), Dense(12, 5, rng=rng, dtype=dtype), ReLU())
    decoder = Sequential(Dense(5, 12, rng=rng, dtype=dtype), last or Sigmoid(), Reshape(1, 3, 4))
    return Autoencoder(encoder, decoder, loss or MSE())


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 1, 3, 4), dtype=np.float32)


def noisy() -> Autoencoder:
    """Layers that behave differently in training: dropout and batch normalisation."""
    rng = np.random.default_rng(0)
    encoder = Sequential(Flatten(), Dense(12, 5, rng=rng), BatchNorm(5), Dropout(0.5, rng=rng))
    return Autoencoder(encoder, Sequential(Dense(5, 12, rng=rng), Reshape(1, 3, 4)), MSE())


@pytest.mark.parametrize("loss", [MSE(), L1(), Huber(), BCE()], ids=repr)
def test_backprop_and_objective_give_the_same_terms(loss: Loss) -> None:
    model, x = make(loss), images(7)
    before = {name: p.value.copy() for name, p in model.params.items()}
    terms = model.objective(x)
    assert not any(p.grad.any() for p in model.params.values())
    assert model.backprop(x) == terms
    assert terms.keys() == {"total", "reconstruction"}
    assert all(type(value) is float for value in terms.values())
    assert all(p.grad.any() for p in model.params.values())
    for name, p in model.params.items():
        np.testing.assert_array_equal(p.value, before[name])


def test_terms_are_the_same_where_layers_draw_noise() -> None:
    model, x = noisy(), images(8)
    twin = copy.deepcopy(model)
    assert model.objective(x) == twin.backprop(x)


@pytest.mark.parametrize("n", [4, 20])  # below and above the size for fusion
@pytest.mark.parametrize("loss", [MSE(), BCE(), BCEWithLogits()], ids=repr)
def test_gradients_are_those_of_the_objective(loss: Loss, n: int) -> None:
    last = Tanh() if isinstance(loss, BCEWithLogits) else None
    model, x = make(loss, dtype=np.float64, last=last), images(n).astype(np.float64)
    model.backprop(x)
    rng = np.random.default_rng(1)
    for name, p in model.params.items():
        direction = rng.normal(size=p.shape)
        start, h = p.value.copy(), 1e-6
        ends = []
        for sign in (1, -1):
            p.value[...] = start + sign * h * direction
            ends.append(model.objective(x)["total"])
        p.value[...] = start
        numeric = (ends[0] - ends[1]) / (2 * h)
        assert numeric == pytest.approx(float((p.grad * direction).sum()), rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("n", [4, 20])
def test_gradients_add(n: int) -> None:
    model, x = make(dtype=np.float64), images(n).astype(np.float64)
    model.backprop(x)
    once = {name: p.grad.copy() for name, p in model.params.items()}
    model.backprop(x)
    for name, p in model.params.items():
        np.testing.assert_allclose(p.grad, 2 * once[name], rtol=1e-12)


def test_evaluate_is_inference_averaged_over_samples() -> None:
    model, x = noisy(), images(50)
    for _ in range(5):
        model.objective(x)
    state = {name: a.copy() for name, a in model.state.items()}
    terms = model.evaluate(x, batch_size=7)  # the last batch has one row
    assert terms == model.evaluate(x, batch_size=7)
    assert terms["total"] == pytest.approx(float(model.reconstruction_error(x).mean()), rel=1e-5)
    assert terms["total"] == pytest.approx(model.evaluate(x)["total"], rel=1e-5)
    assert model.evaluate([x[:30], x[30:]])["total"] == pytest.approx(terms["total"], rel=1e-5)
    for name, a in model.state.items():
        np.testing.assert_array_equal(a, state[name])
    assert terms["total"] != pytest.approx(model.objective(x)["total"], rel=1e-3)


def test_encode_decode_reconstruct() -> None:
    model, x = make(), images(2500)
    z = model.encode(x)
    assert z.shape == (2500, 5)
    y = model.decode(z)
    assert y.shape == x.shape
    np.testing.assert_array_equal(model.reconstruct(x), y)
    np.testing.assert_allclose(z[1030:1040], model.encoder(x[1030:1040]), rtol=1e-5, atol=1e-6)
    each = model.reconstruction_error(x, per_feature=True)
    np.testing.assert_allclose(each, (y - x) ** 2, rtol=1e-6)
    error = model.reconstruction_error(x)
    assert error.shape == (2500,)
    np.testing.assert_allclose(error, each.mean(axis=(1, 2, 3)), rtol=1e-5)
    assert model.encode(x[:0]).shape == (0, 5)
    assert model.reconstruction_error(x[:0]).shape == (0,)


def test_dtypes_are_converted_at_the_edge() -> None:
    x = np.random.default_rng(0).integers(0, 2, (6, 1, 3, 4))
    for dtype in (np.float32, np.float64):
        model = make(dtype=dtype)
        wanted = model.reconstruct(x.astype(dtype))
        for kind in (np.uint8, bool, np.int64, np.float16, np.float32, np.float64):
            given = x.astype(kind)
            y = model.reconstruct(given)
            assert y.dtype == dtype
            np.testing.assert_array_equal(y, wanted)
            assert model.reconstruction_error(given).dtype == dtype
            assert model.evaluate(given)["total"] == model.evaluate(x)["total"]


def test_logits_are_decoded_to_probabilities() -> None:
    rng = np.random.default_rng(0)
    model = Autoencoder(Dense(6, 2, rng=rng), Dense(2, 6, rng=rng), BCEWithLogits())
    x = rng.random((5, 6), dtype=np.float32)
    y = model.reconstruct(x)
    logits = model.decoder(model.encoder(x))
    np.testing.assert_allclose(y, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    np.testing.assert_array_equal(model.decode(model.encode(x)), y)


def test_a_large_set_goes_through_in_chunks() -> None:
    rng = np.random.default_rng(0)
    wide = Sequential(Dense(4, 512, rng=rng), ReLU(), Dense(512, 2, rng=rng))
    model = Autoencoder(wide, Dense(2, 4, rng=rng), MSE())
    x = np.zeros((30000, 4), np.float32)
    model.encode(x[:2000])
    tracemalloc.start()
    model.encode(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6  # the whole inner layer would take 61 MB


def test_threads_share_a_model_for_inference() -> None:
    model, x = make(), images(600)
    wanted = model.reconstruct(x)
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(model.reconstruct, [x] * 16):
            np.testing.assert_array_equal(y, wanted)


def test_trace_names_every_layer() -> None:
    model, x = make(), images(3)
    names = [name for name, _ in model.trace(x)]
    assert names == [f"{part}.{i}" for part in ("encoder", "decoder") for i in range(3)]
    *_, (_, y) = model.trace(x)
    np.testing.assert_array_equal(y, model.decoder(model.encoder(x)))


def test_tied_weights_are_one_param() -> None:
    dense = Dense(6, 3, rng=np.random.default_rng(0), dtype=np.float64)
    model = Autoencoder(dense, TiedDense(dense), MSE())
    assert model.params["encoder.W"] is model.params["decoder.W"]
    x = np.random.default_rng(1).normal(size=(5, 6))
    model.backprop(x)
    W, h = dense.W.value, 1e-6
    W[1, 2] += h
    up = model.objective(x)["total"]
    W[1, 2] -= 2 * h
    down = model.objective(x)["total"]
    W[1, 2] += h
    assert (up - down) / (2 * h) == pytest.approx(dense.W.grad[1, 2], rel=1e-6)


def test_where_a_decoder_ends() -> None:
    dense = Dense(4, 4, rng=np.random.default_rng(0))
    shape = (Reshape(1, 2, 2), Upsample2d(2), Flatten())
    assert output_range(Sequential(dense, Sigmoid(), *shape))[0] == (0, 1)
    assert output_range(Sequential(dense, Sequential(Tanh(), Flatten()), Flatten()))[0] == (-1, 1)
    shuffled = Sequential(dense, HardSigmoid(), Reshape(4, 1, 1), PixelShuffle(2), Upsample1d(2))
    assert output_range(shuffled)[0] == (0, 1)
    assert output_range(Sequential(Sigmoid(), dense))[0] is None
    assert output_range(Sequential(*shape))[0] is None
    assert output_range(Sequential())[0] is None


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda m: Autoencoder(m.encoder, m.decoder, MSE), TypeError, r"pass MSE\("),
        (lambda m: Autoencoder(m.encoder, Sigmoid, MSE()), TypeError, "decoder is the class"),
        (lambda m: Autoencoder(None, m.decoder, MSE()), TypeError, "encoder is None"),
        (lambda m: m.encode(np.zeros(12, np.float32)), ValueError, r"x\[None\]"),
        (lambda m: m.encode(["a"] * 12), TypeError, "list"),
        (lambda m: m.encode([[0.0], [1.0, 2.0]]), TypeError, "rows of numbers, all of one length"),
        (lambda m: m.encode(np.zeros((2, 13), np.float32)), ValueError, "13"),
        (lambda m: m.evaluate(np.zeros((0, 1, 3, 4))), ValueError, "no rows"),
        (lambda m: m.reconstruct(np.zeros((2, 12))), ValueError, r"Reshape\(12,\)"),
        (lambda m: m.backprop(np.zeros((2, 12), np.float32)), ValueError, "Reshape"),
        (lambda m: m.check_data(np.full((2, 1, 3, 4), "a")), TypeError, "real numbers"),
        (lambda m: m.check_data((images(2), images(2))), TypeError, "tuple of 2"),
        (lambda m: m.check_data(images(3) * 255), ValueError, "Sigmoid"),
        (lambda m: m.check_data(images(3) - 0.5), ValueError, r"\[0, 1\]"),
    ],
)
def test_misuse_is_named(call: Callable[[Any], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call(make())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(0, 0, 0, 0), (1499, 0, 2, 3)])
def test_data_that_is_not_finite_is_named_by_its_place(bad: float, where: Any) -> None:
    x = images(1500)
    x[where] = bad
    with pytest.raises(ValueError) as error:
        make(last=ReLU()).check_data(x)
    assert f"{bad} at {where}" in str(error.value)


def test_data_must_be_in_reach() -> None:
    x = images(4)
    for model in (make(), make(BCE()), make(BCEWithLogits(), last=ReLU())):
        model.check_data(x)
        model.check_data(x + np.float32(5e-7))  # rounding errors are tolerated
        with pytest.raises(ValueError, match="expected"):
            model.check_data(x * 2)
    make(last=Tanh()).check_data(x * 2 - 1)
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        make(last=Tanh()).check_data(x * 3)
    make(last=ReLU()).check_data(x * 1000)


def test_a_model_is_an_interface() -> None:
    empty, x = Model(), images(2)
    for call in (empty.backprop, empty.objective, empty.evaluate, empty.trace):
        with pytest.raises(NotImplementedError):
            call(x)
    assert "encoder = Sequential(Flatten(), Dense(12, 5)" in repr(make())


# --- the optimum: Baldi & Hornik (1989) ------------------------------------------------------


def pca(x: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    """The mean squared error of the best rank-k map, and a basis of its subspace (D, k)."""
    _, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return float((s[k:] ** 2).sum() / x.size), vt[:k].T


@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_autoencoder_reaches_pca(tied: bool) -> None:
    rng = np.random.default_rng(0)
    n, width, k = 300, 10, 3
    x = rng.normal(size=(n, k)) * [2.0, 1.5, 1.0] @ rng.normal(size=(k, width))
    x += 0.3 * rng.normal(size=x.shape) + rng.normal(size=width)  # noise, and a mean
    encoder = Dense(width, k, rng=rng, dtype=np.float64)
    decoder = TiedDense(encoder) if tied else Dense(k, width, rng=rng, dtype=np.float64)
    model = Autoencoder(encoder, decoder, MSE())
    steps = 3000
    optimizer = Adam(Cosine(0.02, steps))
    for _ in range(steps):
        model.backprop(x)
        optimizer.step(model.params)
    error, basis = pca(x, k)
    reached = model.evaluate(x)["total"]
    assert error * (1 - 1e-9) <= reached <= 1.01 * error
    V = encoder.W.value.T if tied else decoder.params["W"].value  # (width, k): what it spans
    cosines = np.linalg.svd(np.linalg.qr(V)[0].T @ basis, compute_uv=False)
    assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() < 0.5  # principal angles
