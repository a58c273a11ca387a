"""Corruptions by their distribution, and the model that takes them away again."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae import gradcheck
from tinyae.data.corruption import Corruption, GaussianNoise, MaskingNoise, SaltAndPepper
from tinyae.models import DenoisingAutoencoder, dense_pair

CORRUPTIONS = (
    GaussianNoise(0.3),
    GaussianNoise(0.3, clip=(0, 1)),
    MaskingNoise(0.3),
    SaltAndPepper(0.2),
)
every_corruption = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=repr)


def make(corruption=None, shape=(1, 3, 4), **settings):
    parts = dense_pair(shape, [6, 3], rng=np.random.default_rng(0), **settings)
    return DenoisingAutoencoder(*parts, ta.MSE(), corruption)


@every_corruption
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_dtype_and_x_are_kept_and_a_seed_repeats(corruption, dtype):
    x = np.random.default_rng(0).random((5, 1, 3, 4)).astype(dtype)
    x.flags.writeable = False
    before = x.copy()
    a = corruption(x, np.random.default_rng(7))
    b = corruption(x, np.random.default_rng(7))
    assert (a.shape, a.dtype) == (x.shape, dtype)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(x, before)
    assert not np.array_equal(a, corruption(x, np.random.default_rng(8)))
    assert not np.shares_memory(a, x)


def test_gaussian_noise_has_its_mean_variance_and_independence():
    x = np.full((200, 500), 0.5)
    noise = GaussianNoise(0.2)(x, np.random.default_rng(0)) - x
    n = noise.size
    assert abs(noise.mean()) < 5 * 0.2 / np.sqrt(n)
    assert noise.var() == pytest.approx(0.04, rel=5 * np.sqrt(2 / n))
    assert np.mean(noise**4) == pytest.approx(3 * 0.2**4, rel=0.05)  # a Gaussian's kurtosis
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 5 * 0.04 / np.sqrt(n)
    assert abs(np.mean(noise[1:] * noise[:-1])) < 5 * 0.04 / np.sqrt(n)


def test_gaussian_noise_clips_to_the_range_it_is_given():
    x = np.random.default_rng(0).random((50, 60))
    free = GaussianNoise(0.5)(x, np.random.default_rng(1))
    clipped = GaussianNoise(0.5, clip=(0, 1))(x, np.random.default_rng(1))
    assert free.min() < 0 < 1 < free.max()
    np.testing.assert_array_equal(clipped, np.clip(free, 0, 1))


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_masking_loses_its_share_and_scales_nothing(p):
    x = np.random.default_rng(0).uniform(0.5, 1, (200, 500))
    y = MaskingNoise(p)(x, np.random.default_rng(1))
    kept = y != 0
    np.testing.assert_array_equal(y[kept], x[kept])
    assert (~kept).mean() == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / x.size))


@pytest.mark.parametrize("p", [0.0, 0.2, 1.0])
def test_salt_and_pepper_in_equal_shares(p):
    x = np.full((200, 500), 0.5)
    y = SaltAndPepper(p, low=-1, high=2)(x, np.random.default_rng(1))
    assert set(np.unique(y)) <= {-1, 0.5, 2}
    for value in (-1, 2):
        share = (y == value).mean()
        assert share == pytest.approx(p / 2, abs=5 * np.sqrt(p / 2 / x.size) + 1e-12)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: GaussianNoise(-0.1), "std is -0.1"),
        (lambda: GaussianNoise(np.nan), "std is nan"),
        (lambda: GaussianNoise(0.1, clip=(1, 0)), "low < high"),
        (lambda: MaskingNoise(1.5), "p is 1.5"),
        (lambda: SaltAndPepper(-0.1), "p is -0.1"),
        (lambda: SaltAndPepper(0.1, 1, 0), "low < high"),
    ],
)
def test_bad_settings_are_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()


# --- the model --------------------------------------------------------------------------------


@every_corruption
def test_the_target_is_clean_and_the_source_corrupted(corruption):
    model, x = make(corruption), np.random.default_rng(1).random((4, 1, 3, 4), np.float32)
    source, target = model.input_and_target(x, np.random.default_rng(3))
    assert target is x
    np.testing.assert_array_equal(source, corruption(x, np.random.default_rng(3)))
    y = model.reconstruct(source)
    L = model.objective(x, np.random.default_rng(3))["total"]
    assert pytest.approx(float(np.mean((y - x) ** 2)), rel=1e-5) == L
    np.testing.assert_array_equal(model.reconstruct(x), model.reconstruct(x))  # corrupts nothing


def test_no_noise_is_the_plain_autoencoder():
    model, x = make(GaussianNoise(0.0)), np.random.default_rng(1).random((4, 1, 3, 4), np.float32)
    plain = ta.Autoencoder(*copy.deepcopy((model.encoder, model.decoder)), ta.MSE())
    assert model.backprop(x, np.random.default_rng(0)) == plain.backprop(x)
    for name, p in plain.params.items():
        np.testing.assert_array_equal(model.params[name].grad, p.grad)


@given(seed=st.integers(0, 2**32 - 1), small=st.integers(1, 4), wide=st.integers(2, 9))
def test_gradients_of_a_given_pair(seed, small, wide):
    rng = np.random.default_rng(seed)
    encoder = ta.Sequential(ta.Dense(small, 3, rng=rng), ta.Tanh())
    decoder = ta.Sequential(ta.Dense(3, wide, rng=rng), ta.Sigmoid())
    model = DenoisingAutoencoder(encoder, decoder, ta.BCE())
    pair = rng.normal(size=(4, small)), rng.random((4, wide))
    report = gradcheck.check_model(model, pair, rng=rng)
    assert report.ok, report


def test_a_pair_trains_reconstructs_and_evaluates():
    rng = np.random.default_rng(0)
    x = rng.random((64, 8), np.float32)
    small = x.reshape(64, 4, 2).mean(axis=2)
    encoder = ta.Sequential(ta.Dense(4, 16, rng=rng), ta.ReLU())
    decoder = ta.Sequential(ta.Dense(16, 8, rng=rng), ta.Sigmoid())
    model = DenoisingAutoencoder(encoder, decoder, ta.MSE())
    before = model.evaluate((small, x))["total"]
    history = ta.fit(
        model, (small, x), epochs=30, optimizer=ta.Adam(1e-2), validation=(small, x), progress=False
    )
    assert history["validation.total"][-1] == model.evaluate((small, x))["total"] < 0.7 * before
    assert model.reconstruct(small).shape == (64, 8)


def test_training_learns_to_denoise():
    rng = np.random.default_rng(0)
    x = (rng.random((1000, 1)) > 0.5).astype(np.float32).repeat(12, axis=1).reshape(-1, 1, 3, 4)
    model = make(GaussianNoise(0.3))
    ta.fit(model, x, epochs=8, optimizer=ta.Adam(1e-2), progress=False)
    noisy = model.corruption(x, np.random.default_rng(9))
    assert ta.metrics.mse(model.reconstruct(noisy), x) < 0.1 * ta.metrics.mse(noisy, x)


def test_misuse_is_named():
    x = np.random.default_rng(0).random((4, 1, 3, 4), np.float32)
    with pytest.raises(
        TypeError, match=r"corruption is the class GaussianNoise.*pass GaussianNoise"
    ):
        make(GaussianNoise)
    with pytest.raises(ValueError, match=r"no corruption.*corruption=GaussianNoise"):
        ta.fit(make(None), x, progress=False)
    with pytest.raises(ValueError, match="needs a generator"):
        make(MaskingNoise()).objective(x)
    with pytest.raises(ValueError, match=r"x\[0\] has nan"):
        ta.fit(make(None), (x * np.nan, x), progress=False)
    with pytest.raises(ValueError, match="Sigmoid"):
        ta.fit(make(None), (x, 2 * x), progress=False)
    with pytest.raises(TypeError, match="tuple of 3"):
        ta.fit(make(None), (x, x, x), progress=False)


def test_a_subclass_of_corruption_is_as_good():
    class Blank(Corruption):
        def __call__(self, x, rng):
            return np.zeros_like(x)

    model, x = make(Blank()), np.random.default_rng(0).random((4, 1, 3, 4), np.float32)
    source, _ = model.input_and_target(x, None or np.random.default_rng(0))
    assert not source.any()


@every_corruption
def test_save_and_load_keep_the_corruption(corruption, tmp_path):
    model, x = make(corruption), np.random.default_rng(1).random((4, 1, 3, 4), np.float32)
    model.save(tmp_path / "m.npz")
    loaded = ta.load(tmp_path / "m.npz")
    assert repr(loaded.corruption) == repr(corruption)
    assert loaded.evaluate(x) == model.evaluate(x)
