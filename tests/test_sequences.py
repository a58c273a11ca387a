"""The layers of sequences (N, C, L): definitions, and those of images that are one pixel high."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae import kernels
from tinyae.layers import (
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    MaxPool1d,
    MaxPool2d,
    Upsample1d,
    Upsample2d,
)


@pytest.fixture(params=["numba", "numpy"])
def kernel_set(request):
    if request.param == "numba":
        pytest.importorskip("numba", reason="the jitted set needs numba")
    with kernels.use(request.param):
        yield request.param


def test_a_convolution_is_numpys_correlation(kernel_set):
    rng = np.random.default_rng(0)
    layer = Conv1d(2, 3, 4, rng=rng, dtype=np.float64)
    layer.b.value[...] = rng.normal(size=3)
    x = rng.normal(size=(5, 2, 9))
    y = layer(x)
    for n in range(5):
        for o in range(3):
            want = sum(np.correlate(x[n, c], layer.W.value[o, c], "valid") for c in range(2))
            np.testing.assert_allclose(y[n, o], want + layer.b.value[o], atol=1e-12)


def test_a_transposed_convolution_is_numpys_convolution(kernel_set):
    rng = np.random.default_rng(0)
    layer = ConvTranspose1d(1, 1, 4, rng=rng, dtype=np.float64)
    x = rng.normal(size=(2, 1, 6))
    for n in range(2):
        want = np.convolve(x[n, 0], layer.W.value[0, 0])
        np.testing.assert_allclose(layer(x)[n, 0], want, atol=1e-12)


@given(
    k=st.integers(1, 4),
    s=st.integers(1, 3),
    padding=st.sampled_from(["same", 0, 1, 2]),
    length=st.integers(4, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_is_the_others_adjoint(k, s, padding, length, seed):
    """⟨Cx, y⟩ = ⟨x, Cᵀy⟩"""
    rng = np.random.default_rng(seed)
    down = Conv1d(2, 3, k, s, padding, rng=rng, dtype=np.float64)
    x = rng.normal(size=(2, 2, length))
    cx = down(x)
    extra = 0 if padding == "same" else (length + 2 * padding - k) % s
    if padding == "same" and length % s:
        return  # Cᵀ makes s · L of a code of length L
    up = ConvTranspose1d(3, 2, k, s, padding, extra, rng=rng, dtype=np.float64)
    up.W.value[...] = down.W.value
    y = rng.normal(size=cx.shape)
    assert (cx * y).sum() == pytest.approx((x * up(y)).sum(), rel=1e-9, abs=1e-9)


RNG = np.random.default_rng(3)
TWINS = [
    (Conv1d(3, 5, 3, 2, 1, rng=RNG), Conv2d(3, 5, (1, 3), (1, 2), (0, 1), rng=RNG)),
    (Conv1d(3, 5, 4, 1, "same", rng=RNG), Conv2d(3, 5, (1, 4), 1, "same", rng=RNG)),
    (
        ConvTranspose1d(3, 5, 3, 2, 1, 1, rng=RNG),
        ConvTranspose2d(3, 5, (1, 3), (1, 2), (0, 1), (0, 1), rng=RNG),
    ),
    (MaxPool1d(3, 2, 1), MaxPool2d((1, 3), (1, 2), (0, 1))),
    (AvgPool1d(3, 2, "same"), AvgPool2d((1, 3), (1, 2), "same")),
    (AvgPool1d(2, ceil_mode=True), AvgPool2d((1, 2), ceil_mode=True)),
    (Upsample1d(3), Upsample2d((1, 3))),
    (BatchNorm(3), BatchNorm(3)),
]


@pytest.mark.parametrize(("layer", "twin"), TWINS, ids=lambda v: repr(v))
@pytest.mark.parametrize("n", [1, 40])
def test_it_is_the_layer_of_images_one_pixel_high(layer, twin, n, kernel_set):
    rng = np.random.default_rng(0)
    for name, p in layer.params.items():
        p.value[...] = rng.normal(size=p.shape)
        twin.params[name].value[...] = p.value.reshape(twin.params[name].shape)
        p.grad[...] = twin.params[name].grad[...] = 0
    x = rng.normal(size=(n, 3, 11)).astype(np.float32)
    (y, cache), (want, images) = layer.forward(x), twin.forward(x[:, :, None])
    np.testing.assert_array_equal(y, want[:, :, 0])
    dy = rng.normal(size=y.shape).astype(np.float32)
    dx = layer.backward(dy, cache)
    np.testing.assert_array_equal(dx, twin.backward(dy[:, :, None], images)[:, :, 0])
    for name, p in layer.params.items():
        np.testing.assert_array_equal(p.grad.ravel(), twin.params[name].grad.ravel())


def test_numbers_of_pools_and_upsampling():
    x = np.array([[[1.0, 5, 2, 4, 3]]])
    np.testing.assert_array_equal(MaxPool1d(2)(x), [[[5, 4]]])
    np.testing.assert_array_equal(MaxPool1d(2, ceil_mode=True)(x), [[[5, 4, 3]]])
    np.testing.assert_array_equal(MaxPool1d(2, padding="same")(x), [[[5, 4, 3]]])
    np.testing.assert_array_equal(AvgPool1d(3, 2, 1)(x), [[[3, 11 / 3, 3.5]]])
    np.testing.assert_array_equal(Upsample1d(2)(x[:, :, :2]), [[[1, 1, 5, 5]]])


def conv_autoencoder(rng):
    encoder = ta.Sequential(
        *(Conv1d(1, 4, 5, 2, "same", rng=rng), BatchNorm(4), ta.ReLU(), MaxPool1d(2)),
        *(ta.Flatten(), ta.Dense(4 * 5, 3, rng=rng)),
    )
    decoder = ta.Sequential(
        *(ta.Dense(3, 4 * 5, rng=rng), ta.SiLU(), ta.Reshape(4, 5), Upsample1d(2)),
        *(ConvTranspose1d(4, 1, 4, 2, 1, rng=rng), ta.Sigmoid()),
    )
    return ta.Autoencoder(encoder, decoder, ta.MSE())


def test_an_autoencoder_of_sequences_learns_is_saved_and_compiled(kernel_set, tmp_path):
    rng = np.random.default_rng(0)
    t, phase = np.linspace(0, 6, 20), rng.uniform(0, 6, (256, 1, 1))
    x = (0.5 + 0.4 * np.sin(t + phase)).astype(np.float32)
    model = conv_autoencoder(rng)
    assert ta.gradcheck.check_model(model, x[:4], rng=rng, max_entries=20).ok
    before = model.evaluate(x)["total"]
    ta.fit(model, x, epochs=15, batch_size=32, optimizer=ta.Adam(0.01), rng=0, progress=False)
    after = model.evaluate(x)["total"]
    assert after < 0.1 * before
    model.save(tmp_path / "model.npz")
    loaded = ta.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.reconstruct(x[:9]), model.reconstruct(x[:9]))
    compiled = model.compile(input_shape=(1, 20))
    np.testing.assert_allclose(compiled(x[:40]), model.reconstruct(x[:40]), atol=2e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Conv1d(0, 1, 3), "Conv1d: in_channels is 0"),
        (lambda: Conv1d(1, 1, (3, 3)), r"Conv1d: kernel_size is \(3, 3\)"),
        (lambda: Conv1d(1, 1, 3, padding=-1), "Conv1d: padding is -1"),
        (lambda: Conv1d(1, 1, 3, padding="valid"), "Conv1d: padding is 'valid'"),
        (lambda: ConvTranspose1d(1, 1, 3, 2, 0, 2), "ConvTranspose1d: output_padding is 2"),
        (
            lambda: ConvTranspose1d(1, 1, 3, 2, "same", 1),
            "ConvTranspose1d: output_padding is 1 with",
        ),
        (lambda: MaxPool1d(2, padding=2), "MaxPool1d: padding is 2, expected less than the window"),
        (lambda: AvgPool1d(2, stride=0), "AvgPool1d: stride is 0"),
        (lambda: Upsample1d(0), "Upsample1d: factor is 0"),
    ],
)
def test_wrong_arguments_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Conv1d(2, 1, 5, padding=1, rng=RNG), (3, 2, 2), "Conv1d: x has length 2, 4 with its pad"),
        (Conv1d(2, 1, 3, rng=RNG), (3, 2, 4, 4), r"Conv1d: .*expected \(N, 2, L\)"),
        (
            ConvTranspose1d(2, 1, 1, padding=2, rng=RNG),
            (3, 2, 4),
            "ConvTranspose1d: x has length 4",
        ),
        (MaxPool1d(4), (3, 2, 3), "MaxPool1d: x has length 3, less than the window 4"),
        (AvgPool1d(4, padding="same"), (3, 2, 0), "AvgPool1d: x has length 0"),
        (Upsample1d(2), (3, 2), r"Upsample1d: .*expected \(N, C, L\)"),
        (BatchNorm(2), (3, 4, 5), r"BatchNorm: .*expected \(N, 2, L\)"),
    ],
)
def test_what_does_not_fit_is_refused(layer, shape, message):
    for run in (layer, layer.forward):
        with pytest.raises(ValueError, match=message):
            run(np.zeros(shape, np.float32))
