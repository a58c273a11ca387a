"""The units of the data and the threshold belong to the model: set, used, saved, exported."""

from __future__ import annotations

import re
import subprocess
import warnings
from shutil import which

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae.losses import OutOfRange
from tinyae.scaling import units_of


def sensors(n: int = 300, seed: int = 0) -> np.ndarray:
    """Five columns in units of their own, driven by two numbers."""
    rng = np.random.default_rng(seed)
    two = rng.normal(size=(n, 2))
    mixed = np.tanh(two @ rng.normal(size=(2, 5))) + 0.05 * rng.normal(size=(n, 5))
    return mixed * [1, 30, 1e3, 1e-3, 1e5] + [0, 20, 1013, 0.01, 1.7e9]


def model_of(x: np.ndarray, kind: type = ta.Autoencoder, **more) -> ta.Model:
    rng = np.random.default_rng(1)
    encoder, decoder = ta.dense_encoder_decoder(
        x.shape[1:], [16, 2], activation=ta.Tanh, output=None, rng=rng
    )
    model = kind(encoder, decoder, ta.MSE(), **more)
    model.scaler = ta.Scaler.standard(x)
    return model


@pytest.fixture(scope="module")
def trained():
    x = sensors()
    model = model_of(x)
    ta.fit(model, x, epochs=60, optimizer=ta.Adam(1e-2), progress=False)
    model.calibrate(sensors(200, 0), 0.05)
    return model


# --- the scaler ---------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99), shape=st.sampled_from([(40, 3), (7, 2, 3, 4), (5, 1, 6)]))
def test_scalers_agree_with_numpy_and_undo(seed, shape):
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal() * 10, rng.uniform(0.1, 9), shape)
    others = (0, *range(2, x.ndim))
    standard, minmax = ta.Scaler.standard(x), ta.Scaler.minmax(x)
    np.testing.assert_allclose(standard.apply(x).mean(axis=others), 0, atol=1e-9)
    np.testing.assert_allclose(standard.apply(x).std(axis=others), 1)
    np.testing.assert_allclose(minmax.apply(x).min(axis=others), 0, atol=1e-12)
    np.testing.assert_allclose(minmax.apply(x).max(axis=others), 1)
    for scaler in (standard, minmax):
        np.testing.assert_allclose(scaler.undo(scaler.apply(x)), x)


def test_a_constant_feature_is_only_shifted():
    x = np.c_[np.arange(20.0), np.full(20, 7.0)]
    assert (ta.Scaler.standard(x).apply(x)[:, 1] == 0).all()
    assert (ta.Scaler.minmax(x).scale == [19, 1]).all()


def test_a_model_works_in_the_units_of_its_data(trained):
    x = sensors(50, 3)
    bare, scaled = trained.in_scaled_units(), trained.scaler.apply(x)
    np.testing.assert_array_equal(trained.encode(x), bare.encode(scaled))
    y = trained.reconstruct(x)
    np.testing.assert_allclose(y, trained.scaler.undo(bare.reconstruct(scaled)))
    np.testing.assert_array_equal(trained.decode(trained.encode(x)), y)
    np.testing.assert_array_equal(trained.score(x), bare.reconstruction_error(scaled))
    assert trained.evaluate(x) == bare.evaluate(scaled)


def test_raw_units_no_longer_lose_to_pca(trained):
    x = sensors()
    scaled = trained.scaler.apply(x)
    pca = ta.metrics.PCA(2).fit(scaled)
    assert trained.score(x).mean() < ta.metrics.mse(pca.reconstruct(scaled), scaled)


def test_seconds_since_1970_keep_their_differences():
    x = np.c_[1.7e9 + np.arange(300.0), np.arange(300.0)]
    model = model_of(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.check_data(x)
    assert len(np.unique(model.as_input(x)[:, 0])) == 300


def test_a_memory_map_and_an_array_train_to_the_same_bits(tmp_path):
    x = sensors()
    np.save(tmp_path / "x.npy", x)
    results = []
    for rows in (x, np.load(tmp_path / "x.npy", mmap_mode="r")):
        model = model_of(x)
        ta.fit(model, rows, epochs=2, progress=False)
        results.append(model.encode(x))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_what_a_model_carries_is_saved(trained, suffix, tmp_path):
    trained.columns = ["a", "b", "c", "d", "e"]
    trained.save(tmp_path / f"m.{suffix}")
    again, x = ta.load(tmp_path / f"m.{suffix}"), sensors(9, 5)
    np.testing.assert_array_equal(again.score(x), trained.score(x))
    np.testing.assert_array_equal(again.p_values(x), trained.p_values(x))
    assert (again.threshold, again.columns) == (trained.threshold, tuple("abcde"))
    assert again.scaler.shift.dtype == np.float64


def test_astype_keeps_the_scaler_in_float64(trained):
    double = trained.astype(np.float64)
    assert (double.scaler.shift == trained.scaler.shift).all()
    np.testing.assert_allclose(double.encode(sensors()), trained.encode(sensors()), atol=1e-4)


def test_a_model_without_units_is_saved_as_before(tmp_path):
    encoder, decoder = ta.dense_encoder_decoder((4,), [2], rng=np.random.default_rng(0))
    ta.Autoencoder(encoder, decoder, ta.MSE()).save(tmp_path / "m.npz")
    assert b'"format": 1' in b"".join(bytes(a) for a in np.load(tmp_path / "m.npz").values())


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("scaler", 3, "expected a Scaler"),
        ("scaler", ta.Scaler, "the class Scaler"),
        ("threshold", "x", "expected a number"),
        ("threshold", float("nan"), "expected a number"),
        ("calibration", [[1.0]], "expected finite scores"),
        ("columns", "abc", "expected names"),
    ],
)
def test_what_cannot_be_carried_is_named(trained, attribute, value, words):
    before = getattr(trained, attribute)
    with pytest.raises((TypeError, ValueError), match=words):
        setattr(trained, attribute, value)
    assert getattr(trained, attribute) is before


def test_samples_of_another_shape_are_named(trained):
    with pytest.raises(ValueError, match=r"a sample has shape \(4,\), its scaler is for \(5,\)"):
        trained.encode(np.zeros((3, 4)))


# --- threshold and p-values ---------------------------------------------------------------------------


def test_calibration_flags_a_share_of_normal_rows(trained):
    model = trained.in_scaled_units()
    model.scaler = trained.scaler
    rates = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = sensors(400, 0)[rng.permutation(400)]
        model.calibrate(x[:200], 0.1)
        rates.append(model.flags(x[200:]).mean())
        assert ((model.p_values(x) <= 0.1) == model.flags(x)).all()
    assert 0.06 < np.mean(rates) < 0.12


def test_no_threshold_is_said(trained):
    model = model_of(sensors())
    with pytest.raises(ValueError, match=r"has no threshold; call model.calibrate"):
        model.flags(sensors())
    with pytest.raises(ValueError, match="no scores of normal samples"):
        model.p_values(sensors())
    with pytest.raises(ValueError, match="between 0 and 1"):
        model.calibrate(sensors(), 1.5)


# --- what is compiled and exported ------------------------------------------------------------


@pytest.mark.parametrize("part", ["autoencoder", "encoder", "decoder", "score"])
def test_the_compiled_program_has_the_units(trained, part):
    x = sensors(40, 7)[:, :].astype(np.float32)
    x[:, 4] = 0  # float32 cannot resolve it
    model = trained
    given = model.encode(x) if part == "decoder" else x
    uncompiled = {
        "autoencoder": model.reconstruct,
        "encoder": model.encode,
        "decoder": model.decode,
        "score": model.score,
    }[part]
    for kernels in ("numpy", "numba"):
        with ta.kernels.use(kernels):
            y = model.compile(part)(given)
        np.testing.assert_allclose(y, uncompiled(given), rtol=2e-3, atol=1e-4)


@pytest.mark.skipif(which("gcc") is None, reason="needs gcc")
def test_exported_c_takes_raw_units_and_has_the_models_threshold(tmp_path):
    x = sensors()[:, :4].astype(np.float32)
    model = model_of(x)
    ta.fit(model, x, epochs=20, optimizer=ta.Adam(1e-2), progress=False)
    model.calibrate(x, 0.1)
    model.export_c(tmp_path / "ae.h", selftest=True)
    rows = ",".join(f"{v:.9g}f" for v in x[:6].ravel())
    (tmp_path / "main.c").write_text(f"""
#include <stdio.h>
#include "ae.h"
static float arena[AE_ARENA_BYTES / sizeof(float) + 1], y[4];
static const float x[] = {{{rows}}};
int main(void) {{
    for (int k = 0; k < 6; k++) {{
        ae_run(x + 4 * k, y, arena);
        printf("%.9g %.9g %.9g %.9g %.9g %.9g\\n", y[0], y[1], y[2], y[3],
               ae_score(x + 4 * k, arena), AE_THRESHOLD);
    }}
}}""")
    command = ["gcc", "-std=c99", "-O1", "main.c", "-lm", "-o", "main"]
    subprocess.run(command, check=True, cwd=tmp_path)
    lines = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True).stdout
    got = np.array([line.split() for line in lines.splitlines()], float)
    np.testing.assert_allclose(got[:, :4], model.reconstruct(x[:6]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[:, 4], model.score(x[:6]), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(got[:, 5], model.threshold, rtol=1e-6)


def test_int8_works_in_the_units_of_the_data(trained, tmp_path):
    x = sensors()
    header = trained.export_c(tmp_path / "a.h", quantize="int8", calibration=x)
    wrong = (header.simulate_int8(x) - trained.reconstruct(x)) / x.std(axis=0)
    assert np.sqrt(np.square(wrong).mean()) < 0.05


# --- what is said of data ---------------------------------------------------------------------


def plain(output: type | None) -> ta.Autoencoder:
    rng = np.random.default_rng(0)
    return ta.Autoencoder(*ta.dense_encoder_decoder((5,), [3], output=output, rng=rng), ta.MSE())


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (np.full(300, 7.0), r"column 2 .* is constant"),
        (1e4 * np.random.default_rng(1).normal(size=300), "orders of magnitude apart"),
        (1_700_000_000 + np.arange(300.0), "300 different values become 3 in float32"),
    ],
)
def test_check_data_warns_of(column, words):
    x = np.random.default_rng(0).normal(size=(300, 5))
    x[:, 2] = column
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plain(None).check_data(x)
    assert any(re.search(words, str(w.message)) for w in caught)
    model = plain(None)
    model.scaler = ta.Scaler.standard(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.check_data(x)


def test_an_output_layer_that_cannot_reach_warns():
    x = np.random.default_rng(0).normal(size=(50, 5))
    with pytest.warns(UserWarning, match=r"ReLU\(\), gives nothing below 0 and cannot reach"):
        plain(ta.ReLU).check_data(x)


def test_pictures_are_no_table_of_constant_columns():
    x = np.random.default_rng(0).random((100, 64)) * (np.arange(64) > 9)
    assert not len(units_of(x).constant)
    assert not units_of(x).apart


@pytest.mark.parametrize("loss", [ta.MSE, ta.BCE])
def test_validation_beyond_the_decoder_is_measured(loss):
    x = np.random.default_rng(0).random((60, 5)).astype(np.float32)
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(*ta.dense_encoder_decoder((5,), [3], rng=rng), loss())
    history = ta.fit(model, x, epochs=1, validation=1.2 * x, progress=False)
    inside = ta.fit(model, x, epochs=1, validation=x, progress=False)
    measured = history.epochs[-1].validation["total"], inside.epochs[-1].validation["total"]
    assert np.isfinite(measured).all()
    assert abs(measured[0] - measured[1]) > 1e-3
    with pytest.raises(OutOfRange, match=r"of the training data, .*Sigmoid"):
        ta.fit(model, 1.2 * x, epochs=1, progress=False)
    with pytest.raises(ValueError, match=r"of validation, .* nan at"):
        ta.fit(model, x, epochs=1, validation=np.full_like(x, np.nan), progress=False)


def test_validation_of_a_variational_model_is_measured():
    x = np.random.default_rng(0).random((60, 5)).astype(np.float32)
    model = ta.VariationalAutoencoder(
        *ta.dense_variational((5,), [4, 2], rng=np.random.default_rng(0))
    )
    history = ta.fit(model, x, epochs=1, validation=1.2 * x, progress=False)
    assert np.isfinite(history.epochs[0].validation["total"])


@pytest.mark.filterwarnings("ignore")
def test_the_doctor_speaks_of_scale_and_constants():
    x = np.random.default_rng(0).normal(size=(300, 5)) * [1, 1, 1, 1, 1e4]
    x[:, 1] = 3
    model = plain(None)
    history = ta.fit(model, x, epochs=2, progress=False)
    found = ta.diagnose_training(history, model, x)
    assert {"bad_scale", "constant_data"} <= set(found.kinds)
    assert "constant data: 1 of 5 columns" in found.brief()
    model = model_of(x[:, [0, 2, 3, 4]])
    history = ta.fit(model, x[:, [0, 2, 3, 4]], epochs=2, progress=False)
    kinds = ta.diagnose_training(history, model, x[:, [0, 2, 3, 4]]).kinds
    assert not {"bad_scale", "constant_data"} & set(kinds)
    same = np.ones((50, 5))
    history = ta.fit(model := plain(None), same, epochs=1, progress=False)
    assert "all 50 samples are equal" in str(ta.diagnose_training(history, model, same))


# --- what else is taken for an array ------------------------------------------------------


def test_tables_of_other_kinds_are_taken(trained):
    pandas = pytest.importorskip("pandas")
    x = sensors(40, 2)
    expected = trained.score(x)
    frame = pandas.DataFrame(x, columns=list("abcde"))
    for rows in (frame, x.tolist(), list(x)):
        np.testing.assert_array_equal(trained.score(rows), expected)
        np.testing.assert_array_equal(trained.encode(rows), trained.encode(x))
    model = model_of(x)
    ta.fit(model, frame, epochs=1, validation=x.tolist(), progress=False)
    other = model_of(x)
    ta.fit(other, x, epochs=1, progress=False)
    np.testing.assert_array_equal(model.encode(x), other.encode(x))
    with pytest.raises(TypeError, match=r"column 'name' holds .*, expected numbers"):
        trained.score(frame.assign(name="pump"))
    with pytest.raises(TypeError, match="masked"):
        trained.score(np.ma.masked_greater(x, 1e9))


def test_a_dask_array_is_taken(trained):
    array = pytest.importorskip("dask.array")
    x = sensors(40, 2)
    np.testing.assert_array_equal(
        trained.score(array.from_array(x, chunks=(10, 5))), trained.score(x)
    )
