"""Beyond the general laws: layers against definitions, known values and statistics."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyae import gradcheck, kernels, layers
from tinyae.initializers import HeNormal, Zeros
from tinyae.layers import (
    ELU,
    GELU,
    SELU,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    HardSigmoid,
    Hardswish,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
    Mish,
    Parallel,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Skip,
    Softmax,
    Softplus,
    Tanh,
    TanhGELU,
    TiedDense,
    Upsample2d,
)
from tinyae.layers.activation import activations


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True, params=["numba", "numpy"])
def kernel_set(request):
    if request.param == "numba":
        pytest.importorskip("numba", reason="the jitted set needs numba")
    with kernels.use(request.param):
        yield request.param


examples = settings(max_examples=40, deadline=None, derandomize=True)
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.one_of(
    st.just("same"), st.integers(0, 2), st.tuples(st.integers(0, 2), st.integers(0, 2))
)
image_sizes = st.tuples(st.integers(4, 8), st.integers(4, 8))
channels = st.integers(1, 3)


# --- dense ----------------------------------------------------------------------------------


def test_dense_is_a_sum_over_inputs(rng):
    layer = Dense(3, 2, rng=rng, dtype=np.float64)
    layer.b.value[...] = [10, 20]
    x = rng.normal(size=(4, 3))
    y = layer(x)
    for n in range(4):
        for o in range(2):
            want = layer.b.value[o] + sum(layer.W.value[o, i] * x[n, i] for i in range(3))
            assert y[n, o] == pytest.approx(want, rel=1e-14)


def test_tied_gradients_meet_in_one_array(rng):
    dense = Dense(3, 2, rng=rng, dtype=np.float64)
    model = Sequential(dense, TiedDense(dense))
    x, dy = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    y, cache = model.forward(x)
    np.testing.assert_allclose(y, x @ dense.W.value.T @ dense.W.value, atol=1e-14)
    model.backward(dy, cache)
    # ∂⟨dy, x Wᵀ W⟩/∂W = W (xᵀ dy + dyᵀ x)
    want = dense.W.value @ (x.T @ dy + dy.T @ x)
    np.testing.assert_allclose(dense.W.grad, want, atol=1e-13)
    assert model.params["1.W"] is model.params["0.W"]


# --- convolution ----------------------------------------------------------------------------


def five_loops(x, W, b, stride, pad):
    """y[n,o,i,j] = b[o] + Σ_{c,u,v} W[o,c,u,v] · xᵖ[n,c, i·s+u, j·s+v], term by term."""
    top, bottom, left, right = pad
    xp = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    o, _, kh, kw = W.shape
    rows = (xp.shape[2] - kh) // stride[0] + 1
    columns = (xp.shape[3] - kw) // stride[1] + 1
    y = np.empty((len(x), o, rows, columns))
    for n in range(len(x)):
        for k in range(o):
            for i in range(rows):
                for j in range(columns):
                    a, z = i * stride[0], j * stride[1]
                    y[n, k, i, j] = b[k] + (W[k] * xp[n, :, a : a + kh, z : z + kw]).sum()
    return y


@examples
@given(
    kernel=pairs,
    stride=strides,
    padding=paddings,
    size=image_sizes,
    c=channels,
    o=channels,
    n=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_conv_is_its_definition(kernel, stride, padding, size, c, o, n, seed):
    rng = np.random.default_rng(seed)
    layer = Conv2d(c, o, kernel, stride, padding, rng=rng, dtype=np.float64)
    layer.b.value[...] = rng.normal(size=o)
    x = rng.normal(size=(n, c, *size))
    if padding == "same":
        want = tuple(math.ceil(length / s) for length, s in zip(size, stride))
        pad = []
        for length, out, k, s in zip(size, want, kernel, stride):
            total = max((out - 1) * s + k - length, 0)
            pad += [total // 2, total - total // 2]
    else:
        p = (padding, padding) if isinstance(padding, int) else padding
        want = tuple((H + 2 * q - k) // s + 1 for H, q, k, s in zip(size, p, kernel, stride))
        pad = [p[0], p[0], p[1], p[1]]
    y = layer(x)
    assert y.shape == (n, o, *want)
    expected = five_loops(x, layer.W.value, layer.b.value, stride, pad)
    np.testing.assert_allclose(y, expected, atol=1e-13)


@examples
@given(
    kernel=pairs,
    stride=strides,
    padding=paddings,
    size=image_sizes,
    c=channels,
    o=channels,
    seed=st.integers(0, 1000),
)
def test_conv_and_its_transpose_are_adjoint(kernel, stride, padding, size, c, o, seed):
    rng = np.random.default_rng(seed)
    conv = Conv2d(c, o, kernel, stride, padding, rng=rng, dtype=np.float64)
    if padding == "same":  # its transpose maps H to H·s, so start from a multiple
        size = tuple(s * (1 + length // 3) for s, length in zip(stride, size))
        extra = 0
    else:
        p = (padding, padding) if isinstance(padding, int) else padding
        extra = tuple((H + 2 * q - k) % s for H, q, k, s in zip(size, p, kernel, stride))
    back = ConvTranspose2d(o, c, kernel, stride, padding, extra, init=Zeros(), dtype=np.float64)
    back.W.value[...] = (
        conv.W.value
    )  # (out, in, kh, kw) of the one is (in, out, kh, kw) of the other
    x = rng.normal(size=(2, c, *size))
    Cx = conv(x)
    y = rng.normal(size=Cx.shape)
    Cty = back(y)
    assert Cty.shape == x.shape
    assert (Cx * y).sum() == pytest.approx((x * Cty).sum(), rel=1e-11, abs=1e-11)
    # each one's forward is the other's backward
    np.testing.assert_allclose(conv.backward(y, x), Cty, atol=1e-13)
    np.testing.assert_allclose(back.backward(x, y), Cx, atol=1e-13)
    np.testing.assert_allclose(conv.W.grad, back.W.grad, atol=1e-12)


@examples
@given(
    kernel=pairs,
    stride=strides,
    padding=paddings,
    size=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    data=st.data(),
)
def test_transposed_conv_is_its_definition(kernel, stride, padding, size, data):
    extra = (0, 0)
    if padding != "same":
        extra = tuple(data.draw(st.integers(0, s - 1)) for s in stride)
        if min((h - 1) * s + k + e for h, s, k, e in zip(size, stride, kernel, extra)) < 5:
            extra, padding = (0, 0), 0  # otherwise padding may leave an empty output
    rng = np.random.default_rng(0)
    layer = ConvTranspose2d(2, 3, kernel, stride, padding, extra, rng=rng, dtype=np.float64)
    layer.b.value[...] = [1, 2, 3]
    x = rng.normal(size=(2, 2, *size))
    if padding == "same":
        want = tuple(h * s for h, s in zip(size, stride))
        before = [max((h - 1) * s + k - h * s, 0) // 2 for h, s, k in zip(size, stride, kernel)]
    else:
        before = (padding, padding) if isinstance(padding, int) else padding
        want = tuple(
            (h - 1) * s - 2 * p + k + e
            for h, s, p, k, e in zip(size, stride, before, kernel, extra)
        )
    canvas = np.zeros((2, 3, *(w + b + 12 for w, b in zip(want, before))))
    for i in range(size[0]):
        for j in range(size[1]):
            a, z = i * stride[0], j * stride[1]
            stamp = np.tensordot(x[:, :, i, j], layer.W.value, axes=(1, 0))
            canvas[:, :, a : a + kernel[0], z : z + kernel[1]] += stamp
    (p, q), (height, width) = before, want
    expected = canvas[:, :, p : p + height, q : q + width] + layer.b.value[:, None, None]
    np.testing.assert_allclose(layer(x), expected, atol=1e-13)


def test_conv_by_hand():
    # arange(16) as 4 × 4 under arange(4) as 2 × 2, worked out by hand
    layer = Conv2d(1, 1, 2, init=Zeros())
    layer.W.value[...] = np.arange(4).reshape(1, 1, 2, 2)
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(layer(x)[0, 0], [[24, 30, 36], [48, 54, 60], [72, 78, 84]])
    # cross-correlation without flipping: the kernel's first entry meets the image's first pixel
    layer.W.value[...] = np.array([[1, 0], [0, 0]]).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(layer(x)[0, 0], x[0, 0, :3, :3])


def test_transposed_conv_by_hand():
    layer = ConvTranspose2d(1, 1, 2, stride=2, init=Zeros())
    layer.W.value[...] = np.array([[1, 2], [3, 4]]).reshape(1, 1, 2, 2)
    x = np.array([[1, 10]], np.float32).reshape(1, 1, 1, 2)
    np.testing.assert_array_equal(layer(x)[0, 0], [[1, 2, 10, 20], [3, 4, 30, 40]])


def test_same_puts_the_odd_zero_behind():
    layer = Conv2d(1, 1, (2, 4), padding="same", init=Zeros())
    assert layer.pad((5, 5)) == (0, 1, 1, 2)
    assert Conv2d(1, 1, 3, 2, "same", init=Zeros()).pad((28, 7)) == (0, 1, 1, 1)
    assert Conv2d(1, 1, 1, 3, "same", init=Zeros()).pad((8, 7)) == (0, 0, 0, 0)


def test_same_of_strided_conv_and_its_transpose_undo_each_others_sizes(rng):
    down = Conv2d(1, 8, 3, 2, "same", rng=rng)
    up = ConvTranspose2d(8, 1, 3, 2, "same", rng=rng)
    x = rng.random((2, 1, 28, 28), np.float32)
    assert down(x).shape == (2, 8, 14, 14)
    assert up(down(x)).shape == x.shape


def test_conv_weights_have_the_variance_of_their_fans(rng):
    W = Conv2d(32, 48, (3, 5), rng=rng).W.value
    assert W.shape == (48, 32, 3, 5)
    assert W.var() == pytest.approx(2 / (15 * (32 + 48)), rel=0.05)
    W = ConvTranspose2d(32, 48, (3, 5), rng=rng, init=HeNormal()).W.value
    assert W.shape == (32, 48, 3, 5)
    assert W.var() == pytest.approx(2 / (15 * 32), rel=0.05)


# --- activations ----------------------------------------------------------------------------

KNOWN = [  # (layer, x, y): closed forms, worked out by hand
    (ReLU(), -2.0, 0.0),
    (ReLU(), 3.0, 3.0),
    (LeakyReLU(0.1), -2.0, -0.2),
    (ELU(2.0), -1.0, 2 * math.expm1(-1)),
    (ELU(), 1.5, 1.5),
    (Sigmoid(), 1.0, 0.7310585786300049),
    (Tanh(), 0.5, 0.46211715726000973),
    (Softplus(), 0.0, math.log(2)),
    (Softplus(), 1.0, 1.3132616875182228),
    (GELU(), 1.0, 0.8413447460685429),
    (GELU(), -1.0, -0.15865525393145707),
    (TanhGELU(), 1.0, (1 + math.tanh(math.sqrt(2 / math.pi) * 1.044715)) / 2),
    (TanhGELU(), -1.0, (math.tanh(math.sqrt(2 / math.pi) * 1.044715) - 1) / 2),
    (SELU(), -1.0, -1.1113307378125625),
    (SELU(), 2.0, 2.101401974710961),
    (SiLU(), -1.0, -0.2689414213699951),
    (SiLU(), math.log(3), 0.75 * math.log(3)),
    (Mish(), math.log(2), 0.8 * math.log(2)),  # tanh ln 3 = (9 − 1)/(9 + 1)
    (Mish(), -math.log(2), -5 / 13 * math.log(2)),  # tanh ln 1.5 = (9 − 4)/(9 + 4)
    (Hardswish(), 1.0, 2 / 3),
    (Hardswish(), -1.0, -1 / 3),
    (Hardswish(), -4.0, 0.0),
    (Hardswish(), 4.0, 4.0),
    (HardSigmoid(), 1.0, 2 / 3),
    (HardSigmoid(0.2), -1.0, 0.3),
    (HardSigmoid(), -4.0, 0.0),
]


@pytest.mark.parametrize(("layer", "x", "y"), KNOWN, ids=lambda v: repr(v))
def test_activation_values(layer, x, y):
    for dtype, tolerance in ((np.float64, 1e-14), (np.float32, 1e-6)):
        got = layer(np.full((2, 3), x, dtype))
        assert got.dtype == dtype
        np.testing.assert_allclose(got, y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_do_not_overflow(dtype):
    x = np.array([[-1e4, -100, 0, 100, 1e4]], dtype)
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        for layer in (*(kind() for kind in activations()), Softmax()):
            y, cache = layer.forward(x)
            ydot, tcache = layer.tangent(np.ones_like(x), cache)
            parts = (y, layer.backward(np.ones_like(x), cache), ydot)
            dxdot, dx = layer.tangent_backward(np.ones_like(x), tcache)
            assert all(np.isfinite(a).all() for a in (*parts, dxdot)), layer
            assert dx is None or np.isfinite(dx).all(), layer
        np.testing.assert_allclose(Sigmoid()(x)[0, [0, 2, 4]], [0, 0.5, 1])
        np.testing.assert_allclose(Softplus()(x)[0, [0, 4]], [0, 1e4])
        np.testing.assert_allclose(GELU()(x)[0, [0, 4]], [0, 1e4])


def test_prelu_learns_one_slope_for_each_channel():
    layer = layers.PReLU(2, dtype=np.float64)
    layer.a.value[...] = [0.5, -2]
    x = np.array([[[3.0, -4], [-1, np.nan]]])
    y, cache = layer.forward(x)
    np.testing.assert_array_equal(y, [[[3, -2], [2, np.nan]]])
    dx = layer.backward(np.full_like(x, 10), cache)
    np.testing.assert_array_equal(dx, [[[10, 5], [-20, np.nan]]])
    np.testing.assert_array_equal(layer.a.grad, [-40, np.nan])
    plain, x = LeakyReLU(0.25), np.linspace(-3, 3, 14).reshape(7, 2).astype(np.float32)
    np.testing.assert_array_equal(layers.PReLU(2)(x), plain(x))


def test_selu_keeps_mean_and_variance():
    """Of a standard normal x: its two constants solve E f = 0 and E f² = 1."""
    x = np.linspace(-12, 12, 48_001)[None]
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) * (x[0, 1] - x[0, 0])
    y = SELU()(x)
    assert (y * density).sum() == pytest.approx(0, abs=1e-7)
    assert (y * y * density).sum() == pytest.approx(1, abs=1e-7)


def test_a_gate_leaves_large_x_alone_and_its_approximation_is_close():
    x = np.linspace(-12, 12, 2401)[None]
    for gated in (GELU(), TanhGELU(), SiLU(), Mish(), Hardswish()):
        y = gated(x)
        assert (y[x < 0] <= 0).all()
        assert (y >= -0.376).all()  # the deepest: Hardswish's at −3/2, −3/8
        np.testing.assert_allclose(y[x > 11], x[x > 11], rtol=1e-4)
    assert np.abs(TanhGELU()(x) - GELU()(x)).max() == pytest.approx(4.7e-4, rel=0.02)
    assert np.abs(Hardswish()(x) - SiLU()(x)).max() == pytest.approx(
        3 / (1 + math.exp(3)), rel=0.01
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax(dtype, rng):
    y = Softmax()(np.array([[1e4, 0, -1e4], [1e4, 1e4, 1e4 - 1]], dtype))
    np.testing.assert_array_equal(y[0], [1, 0, 0])
    e = 1 / (2 + math.exp(-1))
    np.testing.assert_allclose(y[1], [e, e, e * math.exp(-1)], rtol=1e-6)
    x = rng.normal(size=(4, 5, 2, 3)).astype(dtype)
    np.testing.assert_allclose(Softmax()(x).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(Softmax()(x + 7), Softmax()(x), rtol=1e-5)


@pytest.mark.parametrize("layer", [*(kind() for kind in activations()), Softmax()], ids=repr)
def test_nan_stays_visible(layer):
    x = np.linspace(-2, 2, 12).reshape(4, 3)
    x[2, 1] = np.nan
    row = np.isnan(layer(x)).any(axis=1)
    np.testing.assert_array_equal(row, [False, False, True, False])


def test_nan_stays_visible_through_a_pool():
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[0, 0, 1, 2] = np.nan
    for layer in (MaxPool2d(2), AvgPool2d(2)):
        np.testing.assert_array_equal(np.isnan(layer(x))[0, 0], [[0, 1], [0, 0]])


# --- shapes and pools -----------------------------------------------------------------------


def test_shapes_there_and_back(rng):
    x = rng.random((3, 2, 4, 5), np.float32)
    flat = Flatten()(x)
    assert flat.shape == (3, 40)
    np.testing.assert_array_equal(Reshape(2, 4, 5)(flat), x)
    assert Flatten()(x[:0]).shape == (0, 40)
    big = Upsample2d((2, 3))(x)
    assert big.shape == (3, 2, 8, 15)
    np.testing.assert_array_equal(big[:, :, ::2, ::3], x)
    np.testing.assert_allclose(AvgPool2d((2, 3))(big), x, rtol=1e-6)


@examples
@given(kernel=pairs, stride=strides, size=image_sizes, n=st.integers(1, 3))
def test_pools_are_their_definitions(kernel, stride, size, n):
    x = np.random.default_rng(0).normal(size=(n, 2, *size))
    (kh, kw), (sh, sw) = kernel, stride
    rows, columns = (size[0] - kh) // sh + 1, (size[1] - kw) // sw + 1
    largest, mean = MaxPool2d(kernel, stride)(x), AvgPool2d(kernel, stride)(x)
    assert largest.shape == mean.shape == (n, 2, rows, columns)
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
            np.testing.assert_array_equal(largest[:, :, i, j], window.max(axis=(2, 3)))
            np.testing.assert_allclose(mean[:, :, i, j], window.mean(axis=(2, 3)), atol=1e-14)


def test_a_tie_in_a_max_pool_is_paid_once():
    layer = MaxPool2d(2)
    y, cache = layer.forward(np.ones((1, 1, 2, 2)))
    np.testing.assert_array_equal(layer.backward(y, cache)[0, 0], [[1, 0], [0, 0]])


def test_pools_of_an_empty_batch():
    x = np.zeros((0, 3, 4, 4), np.float32)
    for layer in (MaxPool2d(2), AvgPool2d(2)):
        y, cache = layer.forward(x)
        assert y.shape == (0, 3, 2, 2)
        assert layer.backward(y, cache).shape == x.shape


# --- normalisation --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2, 5)])
def test_batch_norm_statistics(shape, rng):
    layer = BatchNorm(3, momentum=0.3, dtype=np.float64)
    axes = (0,) if len(shape) == 2 else (0, 2, 3)
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = rng.normal(2, 3, shape)
        y, _ = layer.forward(x)
        np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-14)
        want = x.var(axis=axes) / (x.var(axis=axes) + 1e-5)
        np.testing.assert_allclose(y.var(axis=axes), want, rtol=1e-12)
        mean = 0.7 * mean + 0.3 * x.mean(axis=axes)
        var = 0.7 * var + 0.3 * x.var(axis=axes, ddof=1)  # unbiased, as in PyTorch
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-13)
    layer.gamma.value[...], layer.beta.value[...] = [1, 2, 3], [4, 5, 6]
    before = {name: a.copy() for name, a in layer.state.items()}
    x = rng.normal(size=shape)
    wide = (1, 3) if len(shape) == 2 else (1, 3, 1, 1)
    g, b, m, v = (a.reshape(wide) for a in (layer.gamma.value, layer.beta.value, mean, var))
    np.testing.assert_allclose(layer(x), g * (x - m) / np.sqrt(v + 1e-5) + b, rtol=1e-12)
    assert layer(x[:1]).shape == (1, *shape[1:])  # inference works on any batch size
    assert layer(x[:0]).shape == (0, *shape[1:])
    for name, a in before.items():
        np.testing.assert_array_equal(layer.state[name], a)


def test_batch_norm_by_hand():
    # one feature, 1 … 4: mean 2.5, variance 1.25, unbiased 5/3
    layer = BatchNorm(1)
    y, _ = layer.forward(np.array([[1], [2], [3], [4]], np.float32))
    np.testing.assert_allclose(y[:, 0], [-1.3416355, -0.4472118, 0.4472118, 1.3416355], rtol=1e-6)
    assert layer.running_mean[0] == pytest.approx(0.25)
    assert layer.running_var[0] == pytest.approx(0.9 + 0.1 * 5 / 3)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2, 5)])
def test_batch_norm_gradient_ignores_shift_and_scale(shape, rng):
    layer = BatchNorm(3, dtype=np.float64)
    layer.gamma.value[...] = rng.normal(size=3)
    x = rng.normal(5, 2, shape)
    axes = (0,) if len(shape) == 2 else (0, 2, 3)
    _, cache = layer.forward(x)
    dx = layer.backward(rng.normal(size=shape), cache)
    # y does not change with x + c nor (up to ε) with c·x: dx is orthogonal to both
    np.testing.assert_allclose(dx.sum(axis=axes), 0, atol=1e-13)
    np.testing.assert_allclose((dx * x).sum(axis=axes), 0, atol=1e-4)


def test_batch_norm_leaves_the_batch_size_and_dtype(rng):
    layer = BatchNorm(3)
    y, cache = layer.forward(rng.random((5, 3), np.float32))
    assert y.dtype == layer.backward(y, cache).dtype == layer.running_var.dtype == np.float32
    wide = layer.astype(np.float64)
    assert wide.running_mean.dtype == wide.gamma.dtype == np.float64
    assert wide.running_mean is not layer.running_mean


@pytest.mark.parametrize(
    ("normalized", "shape"), [(7, (4, 7)), (7, (4, 2, 7)), ((3, 5), (4, 3, 5)), (1, (3, 1))]
)
def test_layer_norm(normalized, shape, rng):
    layer = LayerNorm(normalized, dtype=np.float64)
    layer.gamma.value[...] = rng.normal(size=layer.gamma.shape)
    layer.beta.value[...] = rng.normal(size=layer.beta.shape)
    axes = tuple(range(len(shape) - layer.gamma.value.ndim, len(shape)))
    x = rng.normal(3, 2, shape)
    c = x - x.mean(axis=axes, keepdims=True)
    want = c / np.sqrt(x.var(axis=axes, keepdims=True) + 1e-5)
    y, cache = layer.forward(x)
    np.testing.assert_allclose(y, layer.gamma.value * want + layer.beta.value, rtol=1e-12)
    dx = layer.backward(rng.normal(size=shape), cache)
    np.testing.assert_allclose(dx.sum(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(layer(x[1:2]), y[1:2], rtol=1e-13)  # samples are independent


def test_layer_norm_by_hand():
    # one sample 1, 2, 6: mean 3, variance 14/3
    y = LayerNorm(3)(np.array([[1, 2, 6]], np.float32))
    np.testing.assert_allclose(y[0], [-0.9258194, -0.4629097, 1.3887291], rtol=1e-6)


# --- dropout --------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_the_fraction(p):
    n = 200_000
    layer = Dropout(p, rng=np.random.default_rng(3))
    x = np.ones((n // 100, 100), np.float32)
    y, m = layer.forward(x)
    deviation = math.sqrt(p * (1 - p) / n)  # of the fraction; five of them below
    assert (y == 0).mean() == pytest.approx(p, abs=5 * deviation)
    assert y.mean() == pytest.approx(1, abs=5 * deviation / (1 - p) + 1e-5)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)
    assert y.dtype == m.dtype == np.float32
    # independent entries: neighbours are both dropped with probability p²
    both = ((y[:, 1:] == 0) & (y[:, :-1] == 0)).mean()
    assert both == pytest.approx(p * p, abs=10 * deviation)
    np.testing.assert_array_equal(layer.backward(x, m), y)
    assert layer(x) is x


def test_dropout_draws_anew_and_replays_from_a_seed():
    x = np.ones((8, 50))
    layer = Dropout(0.5, rng=np.random.default_rng(1))
    first, second = layer.forward(x)[0], layer.forward(x)[0]
    assert (first != second).any()
    again = Dropout(0.5, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(again.forward(x)[0], first)


# --- containers -----------------------------------------------------------------------------


def test_sequential_names_and_order(rng):
    inner = Sequential(Dense(4, 3, rng=rng), Tanh())
    model = Sequential(Flatten(), inner, BatchNorm(3), Dense(3, 2, rng=rng))
    assert list(model.params) == [
        "1.0.W",
        "1.0.b",
        "2.gamma",
        "2.beta",
        "3.W",
        "3.b",
    ]
    assert list(model.state) == ["2.running_mean", "2.running_var"]
    x = rng.random((5, 2, 2), np.float32)
    trace = list(model.trace(x, "encoder"))
    names = [name for name, _ in trace]
    assert names == ["encoder.0", "encoder.1.0", "encoder.1.1", "encoder.2", "encoder.3"]
    np.testing.assert_array_equal(trace[-1][1], model.forward(x)[0])
    assert repr(inner) == "Sequential(Dense(4, 3), Tanh())"


def test_an_empty_sequential_is_the_identity(rng):
    model, x = Sequential(), rng.random((2, 3))
    y, cache = model.forward(x)
    for got in (y, model(x), model.backward(x, cache), dict(model.trace(x, "m"))["m"]):
        np.testing.assert_array_equal(got, x)
    model.backward_params(x, cache)


def test_backward_params_leaves_out_only_dx(rng):
    class NoInput(Flatten):
        def backward(self, dy, shape):
            raise AssertionError("nobody needs this gradient")

    def build(first):
        r = np.random.default_rng(0)
        parts = (Dense(6, 5, rng=r), Skip(Dense(5, 4, rng=r)), BatchNorm(9), Dense(9, 2, rng=r))
        inner = Sequential(*parts, Parallel(Residual(Dense(2, 2, rng=r)), Tanh()))
        return Sequential(first, inner).astype(np.float64)

    x, dy = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 4))
    whole, half = build(Flatten()), build(NoInput())
    whole.backward(dy, whole.forward(x)[1])
    half.backward_params(dy, half.forward(x)[1])
    for name, p in whole.params.items():
        assert p.grad.any(), name
        np.testing.assert_allclose(half.params[name].grad, p.grad, atol=1e-14, err_msg=name)


def test_residual_skip_and_parallel_values(rng):
    f, g = Conv2d(2, 2, 3, padding="same", rng=rng), Conv2d(2, 5, 3, padding=1, rng=rng)
    x = rng.random((3, 2, 4, 6), np.float32)
    np.testing.assert_array_equal(Residual(f)(x), x + f(x))
    y = Skip(g)(x)
    assert y.shape == (3, 7, 4, 6)
    np.testing.assert_array_equal(y[:, :2], x)
    np.testing.assert_array_equal(y[:, 2:], g(x))
    y = Parallel(g, f, ReLU())(x)
    assert y.shape == (3, 9, 4, 6)
    np.testing.assert_array_equal(y[:, 5:7], f(x))
    names = [name for name, _ in Parallel(Residual(f), Skip(g)).trace(x, "e")]
    assert names == ["e.0.layer", "e.0", "e.1.layer", "e.1", "e"]
    assert [name for name, _ in Sequential(Residual(f)).trace(x, "")] == ["0.layer", "0"]


def test_gradients_of_the_containers_add_where_x_was_used_twice(rng):
    f = Dense(3, 3, rng=rng, dtype=np.float64)
    x, W = rng.normal(size=(4, 3)), f.W.value
    dy = rng.normal(size=(4, 6))
    a, b = dy[:, :3], dy[:, 3:]
    for layer, upstream, want in (
        (Residual(f), a, a + a @ W),
        (Skip(f), dy, a + b @ W),
        (Parallel(f, Residual(f)), dy, a @ W + b + b @ W),
        (Sequential(f, Residual(f)), a, (a + a @ W) @ W),
    ):
        f.W.grad[...] = 0
        _, cache = layer.forward(x)
        np.testing.assert_allclose(layer.backward(upstream, cache), want, atol=1e-14)
        ydot, tcache = layer.tangent(x, cache)
        dxdot, dx = layer.tangent_backward(upstream, tcache)  # linear, so the same transpose
        np.testing.assert_allclose(dxdot, want, atol=1e-14)
        assert dx is None
        assert (ydot * upstream).sum() == pytest.approx((x * want).sum(), rel=1e-12)


def test_containers_call_their_parts_for_inference(rng):
    drop = Dropout(0.9, rng=np.random.default_rng(0))
    x = rng.random((6, 3), np.float32)
    np.testing.assert_array_equal(Sequential(drop, Residual(drop))(x), 2 * x)
    np.testing.assert_array_equal(Skip(drop)(x), np.hstack([x, x]))
    np.testing.assert_array_equal(Parallel(drop, drop)(x), np.hstack([x, x]))
    norm = BatchNorm(3)
    Sequential(Parallel(norm), Skip(norm))(x[:1])
    assert not norm.running_mean.any()


def test_trace_runs_each_layer_once(rng):
    drop = Dropout(0.5, rng=np.random.default_rng(7))
    model = Sequential(drop, Residual(drop), Parallel(drop, Skip(drop)))
    x = rng.random((6, 3), np.float32)
    *_, (_, last) = model.trace(x, "m")
    again = Dropout(0.5, rng=np.random.default_rng(7))
    twin = Sequential(again, Residual(again), Parallel(again, Skip(again)))
    np.testing.assert_array_equal(twin.forward(x)[0], last)


# --- errors: what, got, expected, do --------------------------------------------------------

image = np.zeros((2, 3, 5, 5), np.float32)
row = np.zeros((2, 3), np.float32)
GENERATOR = np.random.default_rng(0)

BAD_INPUT = [
    (Dense(4, 2, rng=GENERATOR), row, r"Dense: x has shape \(2, 3\), expected \(N, 4\)"),
    (Dense(4, 2, rng=GENERATOR), np.zeros(4, np.float32), r"Dense: x has shape \(4,\)"),
    (TiedDense(Dense(4, 2, rng=GENERATOR)), row, r"TiedDense: .*expected \(N, 2\)"),
    (Reshape(2, 2), row, r"Reshape: a sample of x has shape \(3,\), expected 4 elements"),
    (Upsample2d(2), row, r"Upsample2d: .*expected \(N, C, H, W\)"),
    (Conv2d(2, 1, 3, rng=GENERATOR), image, r"Conv2d: .*expected \(N, 2, H, W\)"),
    (Conv2d(3, 1, (7, 3), rng=GENERATOR), image, "Conv2d: an image of x is 5 × 5.*kernel's 7 × 3"),
    (Conv2d(3, 1, 3, 1, "same", rng=GENERATOR), image[:, :, :0], "Conv2d: an image of x is 0 × 5"),
    (ConvTranspose2d(2, 1, 3, rng=GENERATOR), image, r"ConvTranspose2d: .*\(N, 2, H, W\)"),
    (
        ConvTranspose2d(3, 1, 1, 1, 3, rng=GENERATOR),
        image,
        "ConvTranspose2d: an image of x is 5 × 5, y would be -1 × -1.*less padding",
    ),
    (MaxPool2d(6), image, r"MaxPool2d: an image of x is 5 × 5, smaller than the window \(6, 6\)"),
    (AvgPool2d(2), row, r"AvgPool2d: .*expected \(N, C, H, W\)"),
    (BatchNorm(4), row, r"BatchNorm: .*expected \(N, 4\)"),
    (BatchNorm(4), image, r"BatchNorm: .*expected \(N, 4, H, W\)"),
    (BatchNorm(3), row[:1], r"BatchNorm: .*1 value\(s\) a feature, expected at least 2"),
    (LayerNorm((5, 4)), image, r"LayerNorm: .*expected \(N, …, 5, 4\)"),
    (LayerNorm(3), row[0], r"LayerNorm: x has shape \(3,\), expected \(N, 3\)"),
    (Sequential(ReLU(), Dense(4, 2, rng=GENERATOR)), row, r"expected \(N, 4\)"),
    (Residual(Dense(3, 2, rng=GENERATOR)), row, r"Residual: the layer made \(2, 2\) of x \(2, 3\)"),
    (Skip(MaxPool2d(2)), image, r"Skip: the parts have shapes \(2, 3, 5, 5\), \(2, 3, 2, 2\)"),
    (Parallel(ReLU(), Flatten()), image, r"Parallel: the parts have shapes"),
]


@pytest.mark.parametrize(
    ("layer", "x", "message"), BAD_INPUT, ids=[f"{i}-{b[0]!r}" for i, b in enumerate(BAD_INPUT)]
)
def test_bad_input_is_named_before_any_state_changes(layer, x, message):
    before = {name: a.copy() for name, a in layer.state.items()}
    with pytest.raises(ValueError, match=message):
        layer.forward(x)
    for name, a in before.items():
        np.testing.assert_array_equal(layer.state[name], a)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Dense(3, 2, rng=GENERATOR), row),
        (Conv2d(3, 2, 3, rng=GENERATOR), image),
        (ConvTranspose2d(3, 2, 3, rng=GENERATOR), image),
        (BatchNorm(3), row),
        (LayerNorm(3), row),
    ],
    ids=repr,
)
def test_another_dtype_is_refused(layer, x):
    name = type(layer).__name__
    with pytest.raises(TypeError, match=rf"{name}: x is float64, the parameters are float32"):
        layer.forward(x.astype(np.float64))
    with pytest.raises(TypeError, match=rf"{name}: x is a list, expected a NumPy array"):
        layer.forward(x.tolist())


BAD_ARGUMENTS = [
    (lambda: Dense(0, 2, rng=GENERATOR), "Dense: in_features is 0, expected an int ≥ 1"),
    (lambda: Dense(2, 2.5, rng=GENERATOR), "Dense: out_features is 2.5"),
    (lambda: LeakyReLU(0), "LeakyReLU: alpha is 0"),
    (lambda: ELU(-1), "ELU: alpha is -1"),
    (lambda: HardSigmoid(0), "HardSigmoid: alpha is 0"),
    (lambda: layers.PReLU(0), "PReLU: num_channels is 0"),
    (lambda: layers.PReLU(3, float("inf")), "PReLU: slope is inf"),
    (lambda: Reshape(), "Reshape: shape is"),
    (lambda: Reshape(2, -1), "Reshape: shape is"),
    (lambda: Upsample2d(0), "Upsample2d: factor is 0"),
    (lambda: MaxPool2d((2, 0)), r"MaxPool2d: kernel_size is \(2, 0\)"),
    (lambda: AvgPool2d(2, stride=-1), "AvgPool2d: stride is -1"),
    (lambda: Dropout(1.0, rng=GENERATOR), "Dropout: p is 1.0, expected 0 ≤ p < 1"),
    (lambda: Conv2d(0, 1, 3, rng=GENERATOR), "Conv2d: in_channels is 0"),
    (lambda: Conv2d(1, 1, (3, 3, 3), rng=GENERATOR), "Conv2d: kernel_size is"),
    (lambda: Conv2d(1, 1, 3, 0, rng=GENERATOR), "Conv2d: stride is 0"),
    (lambda: Conv2d(1, 1, 3, 1, -1, rng=GENERATOR), 'Conv2d: padding is -1.*or "same"'),
    (lambda: Conv2d(1, 1, 3, 1, "valid", rng=GENERATOR), "Conv2d: padding is 'valid'"),
    (lambda: Conv2d(1, 1, 3, 1, (1, 2, 3), rng=GENERATOR), r"Conv2d: padding is \(1, 2, 3\)"),
    (
        lambda: ConvTranspose2d(1, 1, 3, 2, 1, 2, rng=GENERATOR),
        r"output_padding is \(2, 2\), expected less than the stride \(2, 2\)",
    ),
    (
        lambda: ConvTranspose2d(1, 1, 3, 2, "same", 1, rng=GENERATOR),
        r'output_padding is \(1, 1\) with padding="same"',
    ),
    (lambda: BatchNorm(0), "BatchNorm: num_features is 0"),
    (lambda: BatchNorm(3, momentum=1.5), "BatchNorm: momentum is 1.5"),
    (lambda: BatchNorm(3, eps=0), "BatchNorm: eps is 0"),
    (lambda: LayerNorm(()), "LayerNorm: normalized_shape is empty"),
    (lambda: layers.RMSNorm(()), "RMSNorm: normalized_shape is empty"),
    (lambda: layers.RMSNorm(3, eps=0), "RMSNorm: eps is 0"),
    (lambda: layers.PixelNorm(-1), "PixelNorm: eps is -1"),
    (lambda: layers.GroupNorm(0, 4), "GroupNorm: num_groups is 0"),
    (lambda: layers.GroupNorm(3, 4), "GroupNorm: num_groups is 3, which does not divide"),
    (lambda: layers.InstanceNorm(2.5), "InstanceNorm: num_channels is 2.5"),
    (lambda: LayerNorm((3, 0)), "LayerNorm: normalized_shape is 0"),
    (lambda: LayerNorm(3, eps=float("nan")), "LayerNorm: eps is nan"),
    (lambda: Parallel(), "Parallel: got no branches"),
]


@pytest.mark.parametrize(("build", "message"), BAD_ARGUMENTS, ids=[m for _, m in BAD_ARGUMENTS])
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Dense(2, 2), "GlorotUniform: rng is None, expected a numpy.random.Generator"),
        (lambda: Conv2d(2, 2, 3), "GlorotUniform: rng is None"),
        (lambda: ConvTranspose2d(2, 2, 3, rng=0), "GlorotUniform: rng is 0"),
        (lambda: Dropout(0.5, rng=0), "Dropout: rng is 0"),
        (lambda: TiedDense(ReLU()), "TiedDense: dense is a ReLU"),
        (lambda: Sequential(ReLU), "Sequential: layer 0 is .*expected a Layer"),
        (lambda: Sequential([ReLU()]), "Sequential: layer 0 is .*one by one"),
        (lambda: Residual(None), "Residual: layer is None"),
        (lambda: Skip(3), "Skip: layer is 3"),
        (lambda: Parallel(ReLU(), "x"), "Parallel: branch 1 is 'x'"),
    ],
)
def test_arguments_of_another_type(build, message):
    with pytest.raises(TypeError, match=message):
        build()


def test_every_layer_is_exported_once():
    classes = {
        cls
        for module in vars(layers).values()
        if getattr(module, "__name__", "").startswith("tinyae.layers.")
        for name, cls in vars(module).items()
        if isinstance(cls, type) and issubclass(cls, layers.Module) and name[0] != "_"
    }
    assert {cls.__name__ for cls in classes} == set(layers.__all__)
    assert len(layers.__all__) == len(set(layers.__all__))


@pytest.mark.parametrize("kernel_set", ["numpy", "numba"])
@pytest.mark.parametrize("layer", [layers.ELU(0.7), layers.LeakyReLU(0.3)], ids=repr)
def test_alpha_is_in_the_gradient(layer, kernel_set):
    if kernel_set == "numba":
        pytest.importorskip("numba")
    x = np.random.default_rng(0).normal(size=(7, 5))
    with kernels.use(kernel_set):
        assert gradcheck.check(layer, x).ok
        assert gradcheck.check_tangent(layer, x).ok


def test_layers_within_layers_have_a_limit_and_layers_in_a_row_have_none(rng):
    """Each level is a call within a call, of which Python allows about a thousand."""
    x = rng.normal(size=(2, 3)).astype(np.float32)
    net = ReLU()
    for _ in range(64):
        net = Sequential(net)
    with pytest.raises(ValueError, match=r"Sequential: layer 0 .* more than 64 deep .*\*layers"):
        Sequential(net)
    assert np.array_equal(net(x), np.maximum(x, 0))
    for outer in (layers.Residual, layers.Skip, layers.Parallel):
        with pytest.raises(ValueError, match=rf"{outer.__name__}: .* more than 64 deep"):
            outer(net)
    assert net.backward(x, net.forward(x)[1]).shape == x.shape
    assert net.astype(np.float64)(x.astype(np.float64)).dtype == np.float64
    assert len(repr(net)) > 64
    row = Sequential(*[Sequential(ReLU()) for _ in range(1200)])
    assert np.array_equal(row(x), np.maximum(x, 0))


def test_a_layer_shared_by_many_is_walked_once(rng):
    net = ReLU()
    for _ in range(40):  # 2⁴⁰ paths
        net = Sequential(net, net)
    assert len(net.layers) == 2
