"""The hourglass: widths, shapes, ties, and what is refused."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae.layers import Conv2d, ConvTranspose2d, Dense, Sigmoid, Tanh, TiedDense
from tinyae.models.from_pca import encoder_decoder_from_pca
from tinyae.param import unique

sizes = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@given(shape=sizes, units=sizes, tied=st.booleans(), seed=st.integers(0, 99))
def test_a_dense_pair_narrows_to_the_code_and_mirrors(shape, units, tied, seed):
    rng = np.random.default_rng(seed)
    encoder, decoder = ta.dense_pair(shape, units, activation=Tanh, tied=tied, rng=rng)
    x = rng.random((3, *shape), np.float32)
    z = encoder(x)
    assert z.shape == (3, units[-1])
    assert decoder(z).shape == x.shape
    widths = [math.prod(shape), *units]
    down = [p for p in encoder.layers if isinstance(p, Dense)]
    assert [(d.in_features, d.out_features) for d in down] == list(itertools.pairwise(widths))
    up = [p for p in decoder.layers if isinstance(p, TiedDense if tied else Dense)]
    if tied:
        assert [p.dense for p in up] == down[::-1]
    else:
        mirrored = [(d.out_features, d.in_features) for d in down[::-1]]
        assert [(p.in_features, p.out_features) for p in up] == mirrored
    assert sum(isinstance(p, Tanh) for p in encoder.layers) == len(units) - 1
    assert sum(isinstance(p, Tanh) for p in decoder.layers) == len(units) - 1
    assert sum(isinstance(p, Sigmoid) for p in decoder.layers) == 1


def test_the_ends_may_be_linear_or_bent():
    rng = np.random.default_rng(0)
    encoder, decoder = ta.dense_pair([5], [2], code_activation=Tanh, output=None, rng=rng)
    assert [type(p) for p in encoder.layers] == [Dense, Tanh]
    assert [type(p) for p in decoder.layers] == [Dense]


@given(
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    depth=st.integers(1, 3),
    side=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    latent_dim=st.none() | st.integers(1, 5),
)
def test_a_conv_pair_halves_and_doubles(channels, depth, side, latent_dim):
    rng, k = np.random.default_rng(0), 2 ** len(channels)
    shape = (depth, side[0] * k, side[1] * k)
    encoder, decoder = ta.conv_pair(shape, channels, latent_dim=latent_dim, rng=rng)
    x = rng.random((2, *shape), np.float32)
    z = encoder(x)
    assert z.shape == ((2, channels[-1], *side) if latent_dim is None else (2, latent_dim))
    assert decoder(z).shape == x.shape
    assert sum(isinstance(p, ConvTranspose2d) for p in decoder.layers) == len(channels)


def test_the_conv_pair_of_the_denoising_tutorial():
    encoder, decoder = ta.conv_pair((1, 28, 28), [16, 8], rng=np.random.default_rng(0))
    params = unique({**ta.Sequential(encoder, decoder).params})
    assert sum(p.size for p in params.values()) == 3217
    assert isinstance(decoder.layers[-2], Conv2d)


def test_a_seed_repeats_the_bits():
    a, b = (ta.dense_pair([6], [3], rng=np.random.default_rng(1)) for _ in range(2))
    for p, q in zip(a, b):
        for name in p.params:
            np.testing.assert_array_equal(p.params[name].value, q.params[name].value)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ta.dense_pair((1, 28, 28), []), "units is \\[\\]"),
        (lambda: ta.dense_pair((1, 28, 28), 64), "units is 64"),
        (lambda: ta.dense_pair((1, 0), [3]), "shape is 0"),
        (lambda: ta.dense_pair([4], [2.5]), "units is 2.5"),
        (lambda: ta.conv_pair((28,), [4]), r"expected \(C, H, W\) of an image or \(C, L\)"),
    ],
)
def test_what_does_not_fit_is_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize(
    "shape", [(1, 44, 60), (3, 45, 61), (2, 7, 5), (1, 1, 3), (2, 33), (1, 64)]
)
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_a_conv_pair_takes_any_picture_and_any_signal(shape, kernel_size):
    rng = np.random.default_rng(0)
    parts = ta.conv_pair(shape, [3, 2], kernel_size=kernel_size, latent_dim=4, rng=rng)
    x = rng.random((2, *shape), np.float32)
    z = parts[0](x)
    assert z.shape == (2, 4)
    assert parts[1](z).shape == x.shape
    model = ta.Autoencoder(*parts, ta.MSE()).astype(np.float64)
    if kernel_size == 3:
        x = x.astype(np.float64)
        assert ta.gradcheck.check_model(model, x, rng=rng, max_entries=10).ok


@pytest.mark.parametrize("name", ["relu", "ReLU", "leaky_relu", "leaky-relu", "tanh", "silu"])
def test_an_activation_may_be_named(name):
    encoder, decoder = ta.dense_pair(
        (6,), [4, 2], activation=name, code_activation="linear", output="sigmoid",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    plain = name.lower().replace("_", "").replace("-", "")
    assert type(encoder.layers[1]).__name__.lower() == plain
    assert isinstance(encoder.layers[-1], Dense)
    assert isinstance(decoder.layers[-1], Sigmoid)
    with pytest.raises(TypeError, match=r"activation is 'rleu', .* a name: elu, gelu"):
        ta.conv_pair((1, 8, 8), [2], activation="rleu")


# --- from PCA -----------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
@pytest.mark.parametrize("shape", [(6,), (1, 2, 3)])
def test_a_network_from_pca_begins_as_pca(shape, hidden):
    x = np.random.default_rng(1).normal(size=(40, *shape))
    axes = ta.metrics.PCA(2).fit(x)
    for code in (2, 4):  # numbers beyond the axes contribute nothing at first
        rng = np.random.default_rng(0)
        parts = encoder_decoder_from_pca(shape, code, axes, hidden, rng, x.dtype, ta.ELU)
        model = ta.Autoencoder(*parts, ta.MSE())
        assert model.encode(x).shape == (40, code)
        np.testing.assert_allclose(model.encode(x)[:, :2], axes.transform(x), atol=1e-12)
        np.testing.assert_allclose(model.reconstruct(x), axes.reconstruct(x), atol=1e-12)
        before = model.objective(x)["total"]
        ta.fit(model, x, epochs=40, progress=False, rng=0)
        assert not hidden or model.objective(x)["total"] < before
