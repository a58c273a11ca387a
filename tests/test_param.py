"""Params change in place and share what they view; initialisers draw the variance they promise."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyae import initializers
from tinyae.initializers import Initializer, Orthogonal, Zeros
from tinyae.layers import Conv2d, ConvTranspose2d, Dense, TiedDense
from tinyae.optim import Adam
from tinyae.param import Param, unique

VARIANCES = {
    initializers.GlorotUniform: lambda i, o: 2 / (i + o),
    initializers.GlorotNormal: lambda i, o: 2 / (i + o),
    initializers.HeUniform: lambda i, o: 2 / i,
    initializers.HeNormal: lambda i, o: 2 / i,
    initializers.LeCunUniform: lambda i, o: 1 / i,
    initializers.LeCunNormal: lambda i, o: 1 / i,
    initializers.Normal: lambda i, o: 0.02**2,
    initializers.TorchUniform: lambda i, o: 1 / (3 * i),
}


def test_every_initialiser_is_tested_here() -> None:
    public = {
        c
        for c in vars(initializers).values()
        if isinstance(c, type) and issubclass(c, Initializer) and c is not Initializer
    }
    assert public == {*VARIANCES, Orthogonal, Zeros}


@pytest.mark.parametrize("init", VARIANCES)
@pytest.mark.parametrize(("fan_in", "fan_out"), [(400, 500), (900, 200)])
def test_draws_have_the_promised_mean_and_variance(
    init: type[Initializer], fan_in: int, fan_out: int
) -> None:
    W = init()((fan_out, fan_in), fan_in, fan_out, np.random.default_rng(3), np.float64)
    expected = VARIANCES[init](fan_in, fan_out)
    n = W.size
    kurtosis = 1.8 if "Uniform" in init.__name__ else 3.0
    # six standard errors of a sample's mean and variance
    assert abs(W.mean()) < 6 * math.sqrt(expected / n)
    assert abs(W.var() / expected - 1) < 6 * math.sqrt((kurtosis - 1) / n)
    assert np.mean((W / W.std()) ** 4) == pytest.approx(kurtosis, rel=0.02)
    if kurtosis < 2:
        assert np.abs(W).max() <= math.sqrt(3 * expected)


@pytest.mark.parametrize(
    ("layer", "fan"),
    [
        (lambda **a: Dense(50, 4000, **a), 50),
        (lambda **a: Conv2d(3, 2000, (5, 4), **a), 60),
        (lambda **a: ConvTranspose2d(2000, 3000, 1, **a), 3000),  # PyTorch takes its fan_out
    ],
)
def test_torchs_default_draws_biases_too(layer: Any, fan: int) -> None:
    drawn = layer(init=initializers.TorchUniform(), rng=np.random.default_rng(1))
    for a in (drawn.W.value, drawn.b.value):
        bound, n = 1 / math.sqrt(fan), a.size
        assert 0.97 * bound < np.abs(a).max() <= bound * (1 + 1e-6)
        assert abs(a.mean()) < 6 * bound / math.sqrt(3 * n)
        assert abs(3 * a.var(dtype=float) / bound**2 - 1) < 6 * math.sqrt(0.8 / n)
    assert drawn.b.value.dtype == np.float32
    plain = layer(init=lambda shape, *_: np.ones(shape, np.float32))  # a function has no bias
    assert not plain.b.value.any()


@pytest.mark.parametrize("init", [initializers.GlorotUniform(), Orthogonal(), Zeros()], ids=repr)
def test_what_is_gone_over_at_every_step_begins_with_a_line_of_the_cache(init: Initializer) -> None:
    for width in range(1, 12):
        layer = Dense(width, 3, rng=np.random.default_rng(0), init=init)
        adam = Adam()
        adam.step(layer.params)
        moments = adam.state_arrays({"W": layer.W})
        for a in (layer.W.value, layer.W.grad, moments["W/m"], moments["W/v"]):
            assert a.ctypes.data % 64 == 0
            assert a.flags.c_contiguous


def test_a_gradient_lies_in_memory_as_its_value() -> None:
    value = np.asfortranarray(np.ones((3, 4)))
    assert Param(value).value is value
    assert Param(value).grad.flags.f_contiguous
    assert not Param(value).grad.any()


def test_layers_state_their_fans() -> None:
    he, rng = initializers.HeNormal(), np.random.default_rng(0)
    dense = Dense(300, 200, rng=rng, init=he)
    conv = Conv2d(30, 50, (3, 5), rng=rng, init=he)
    turned = ConvTranspose2d(30, 50, (3, 5), rng=rng, init=he)
    assert dense.W.value.var() == pytest.approx(2 / 300, rel=0.05)
    assert conv.W.value.var() == pytest.approx(2 / (30 * 15), rel=0.05)
    assert turned.W.value.var() == pytest.approx(2 / (30 * 15), rel=0.05)
    assert not dense.b.value.any()


@given(
    st.integers(1, 9),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.floats(0.1, 3),
    st.integers(0, 2**32),
)
def test_orthogonal(rows: int, rest: list[int], gain: float, seed: int) -> None:
    W = Orthogonal(gain)((rows, *rest), 1, 1, np.random.default_rng(seed), np.float64)
    assert W.shape == (rows, *rest)
    M = W.reshape(rows, -1)
    product = M @ M.T if rows <= M.shape[1] else M.T @ M
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=1e-12 * (1 + gain**2))


def test_orthogonal_is_uniform() -> None:
    """Of a Haar matrix every entry has mean 0 and variance 1/n; plain QR leaves a sign bias."""
    rng = np.random.default_rng(0)
    draws = np.stack([Orthogonal()((3, 3), 3, 3, rng, np.float64) for _ in range(2000)])
    assert np.abs(draws.mean(axis=0)).max() < 6 * math.sqrt(1 / 3 / 2000)
    np.testing.assert_allclose((draws**2).mean(axis=0), 1 / 3, atol=0.04)


def test_dtype_seed_and_zeros() -> None:
    for init in (*VARIANCES, Orthogonal):
        a, b = (init()((3, 4), 4, 3, np.random.default_rng(7), np.float32) for _ in range(2))
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
        with pytest.raises(TypeError, match=r"default_rng\(0\)"):
            init()((3, 4), 4, 3, None, np.float32)
    assert not Zeros()((3, 4), 4, 3, None, np.float32).any()


def test_a_param_cannot_be_rebound() -> None:
    p = Param(np.zeros((2, 3)))
    value, grad = p.value, p.grad
    p.value += 1
    p.grad += 2
    assert p.value is value
    assert p.grad is grad
    with pytest.raises(AttributeError, match=r"p\.grad \+="):
        p.grad = np.zeros((2, 3))
    with pytest.raises(AttributeError, match=r"p\.value\[\.\.\.\]"):
        p.value = np.zeros((2, 3))
    assert (p.value == 1).all()
    assert (p.grad == 2).all()
    with pytest.raises(TypeError, match="int64"):
        Param(np.zeros(3, np.int64))


def test_transpose_shares_value_and_gradient() -> None:
    p = Param(np.arange(6.0).reshape(2, 3))
    p.T.grad += np.arange(6.0).reshape(3, 2)
    p.grad += 1
    np.testing.assert_array_equal(p.grad, np.arange(6.0).reshape(3, 2).T + 1)
    p.T.value[0, 1] = 9
    assert p.value[1, 0] == 9
    np.testing.assert_array_equal(p.T.T.value, p.value)
    assert np.shares_memory(p.T.T.grad, p.grad)


def test_unique_names_a_shared_param_once() -> None:
    dense = Dense(4, 3, rng=np.random.default_rng(0))
    tied = TiedDense(dense)
    both = {f"a.{k}": p for k, p in dense.params.items()}
    both |= {f"b.{k}": p for k, p in tied.params.items()}
    assert list(unique(both)) == ["a.W", "a.b", "b.b"]


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, int, complex, object, str])
def test_other_dtypes_are_refused_before_a_layer_has_them(dtype: object) -> None:
    with pytest.raises(TypeError, match=r"value has dtype .*, expected float32 or float64"):
        Param(np.zeros(3).astype(dtype))
    if dtype not in (str, object):
        with pytest.raises(TypeError, match="expected float32 or float64"):
            Dense(3, 2, rng=np.random.default_rng(0), dtype=dtype)
        with pytest.raises(TypeError, match="expected float32 or float64"):
            Dense(3, 2, rng=np.random.default_rng(0)).astype(dtype)


def test_the_other_byte_order_is_brought_into_the_machines() -> None:
    p = Param(np.arange(3).astype(">f4"))
    assert p.dtype.isnative
    np.testing.assert_array_equal(p.value, np.arange(3))


def test_a_mask_is_not_dropped() -> None:
    masked = np.ma.masked_array(np.zeros(2), mask=[True, False])
    with pytest.raises(TypeError, match="value is a masked array"):
        Param(masked)
    with pytest.raises(TypeError, match="grad is a masked array"):
        Param(np.zeros(2), masked)


def test_the_old_path_of_the_initialisers() -> None:
    from tinyae import param

    for kind in (*VARIANCES, Initializer, Orthogonal, Zeros):
        assert getattr(param, kind.__name__) is kind
    with pytest.raises(AttributeError, match=r"tinyae\.param.*'Ones'"):
        param.Ones  # noqa: B018
