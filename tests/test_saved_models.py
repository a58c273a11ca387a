"""Models saved by earlier versions load and give the same results."""

from pathlib import Path

import numpy as np
import pytest

import tinyae as ta

DATA = Path(__file__).parent / "data"
MODELS = sorted(path for path in DATA.glob("*.npz") if not path.stem.endswith("-output"))


def test_there_are_models_of_an_earlier_version() -> None:
    assert len(MODELS) == 3


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_of_an_earlier_version_loads_and_works(path: Path, kernel_set: str) -> None:
    model = ta.load(path)
    with np.load(path.with_name(f"{path.stem}-output.npz")) as kept:
        x, y = kept["x"], kept["y"]
    np.testing.assert_allclose(model.reconstruct(x), y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.compile()(x), y, rtol=1e-4, atol=1e-5)
    before = model.params["encoder.1.W" if "encoder.1.W" in model.params else "encoder.0.W"]
    value = before.value.copy()
    ta.fit(model, np.repeat(x, 8, axis=0), epochs=1, progress=False)
    assert np.abs(before.value - value).max() > 0


def test_the_names_of_version_0_1_are_there() -> None:
    rng = np.random.default_rng(0)
    encoder, decoder = ta.dense_pair([4], [2], rng=rng)
    assert ta.conv_pair is ta.conv_encoder_decoder
    model = ta.Autoencoder(encoder, decoder, ta.MSE())
    x = rng.random((3, 4), np.float32)
    assert model.pair(x, None) == (x, x)
