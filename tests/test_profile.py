"""What a model costs is what is exported, and what is said to fit does."""

from __future__ import annotations

import re

import numpy as np
import pytest
from architectures import COMPILED

import tinyae as ta
from tinyae.catalog import MODELS, integers_from
from tinyae.cli import main
from tinyae.layers import Layer
from tinyae.program.compile import program_of_layer
from tinyae.program.narrow import can_narrow, narrow, widths


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def model(rng):
    return ta.Autoencoder(*ta.dense_encoder_decoder((1, 8, 8), [16, 4], rng=rng), ta.MSE())


def quick(model, *arguments, **more):
    return ta.profile(model, *arguments, repeats=1, **more)


@pytest.mark.parametrize("row", COMPILED, ids=lambda row: row.name)
def test_every_layer_of_the_catalog(row, rng, monkeypatch):
    monkeypatch.setattr("tinyae.program.profile._BLOCK_SECONDS", 0.0)
    layer, x = row.draw(integers_from(rng), rng)
    with ta.kernels.use("numpy"):  # nothing to compile
        p = quick(layer, x)
    assert p.layers[-1].output_shape == layer(x).shape[1:]
    assert p.parameters == sum({id(q): q.size for q in layer.params.values()}.values())
    assert p.macs == program_of_layer(layer, x.shape[1:]).macs
    assert all(c.seconds >= 0 for c in p.layers)
    assert str(p).count("\n") >= 4


@pytest.mark.parametrize("part", ["autoencoder", "encoder", "decoder", "score"])
def test_every_part_of_every_model(part, rng, monkeypatch):
    monkeypatch.setattr("tinyae.program.profile._BLOCK_SECONDS", 0.0)
    for row in MODELS:
        model, x = row.draw(integers_from(rng), rng)
        if row.classes or not isinstance(model, ta.Autoencoder | ta.VariationalAutoencoder):
            continue
        shape = model.encode(x).shape[1:] if part == "decoder" else x.shape[1:]
        with ta.kernels.use("numpy"):
            p = quick(model, shape, part=part)
        assert p.input_shape == shape
        assert isinstance(p.layers[0].layer, Layer)


def test_sizes_are_those_of_exported_c(model, rng, tmp_path):
    p = quick(model)
    header = model.export_c(tmp_path / "m.h")
    assert p.float32.weights == header.flash_bytes
    assert p.float32.arena == header.arena_bytes
    x = rng.random((20, 1, 8, 8), np.float32)
    int8 = model.export_c(tmp_path / "m8.h", quantize="int8", calibration=x)
    assert p.int8.weights == int8.flash_bytes
    assert p.int8.arena == int8.arena_bytes
    assert p.macs == header.macs == 2 * (64 * 16 + 16 * 4)
    assert [c.name for c in p.layers] == [
        *("encoder.0", "encoder.1", "encoder.2", "encoder.3"),
        *("decoder.0", "decoder.1", "decoder.2", "decoder.3", "decoder.4"),
    ]


def test_a_form_in_int8_that_is_missing_is_named(rng):
    large = ta.Dense(4, 4, rng=rng)
    large.W.value[...] = 100
    p = quick(ta.Sequential(ta.Dense(4, 4, rng=rng), ta.Skip(large)), (4,))
    assert p.int8 is None
    assert "weights are too large for int8" in p.int8_reason
    assert p.int8_reason in str(p)


@pytest.mark.parametrize(("budget", "kinds"), [(100, 1), (5, 2), (1.5, 3)])
def test_what_is_said_to_fit_fits(model, budget, kinds):
    lines = quick(model, budget_kb=budget).advice
    assert len(lines) == 1 + min(kinds, 2)
    for line in lines[1:]:
        fits = re.search(r"fits.* (\d+\.\d) kB", line)
        assert float(fits[1]) <= budget
    assert ("as it is" in lines[-1]) == (kinds < 3)


def test_the_widest_that_fits_is_found(model):
    (_, line, *_) = quick(model, budget_kb=5).advice
    found = re.search(r"([\d-]+) fits, with (\d+\.\d) kB", line)
    first, *_, last = map(int, found[1].split("-"))
    assert (first, last) == (64, 64)
    assert 4 < float(found[2]) <= 5


def test_a_time_that_is_too_short_is_answered(model):
    assert "fits    compiled" in quick(model, budget_ms=1e4).advice[1]
    assert "nor does any width fit" in quick(model, budget_ms=1e-9).advice[1]


def test_narrow_keeps_input_and_output(rng):
    chain = [
        *(ta.Conv2d(1, 8, 3, 2, "same", rng=rng), ta.BatchNorm(8), ta.PReLU(8), ta.MaxPool2d(2)),
        *(ta.Flatten(), ta.Dense(32, 6, rng=rng), ta.Dense(6, 32, rng=rng), ta.Reshape(8, 2, 2)),
        *(ta.ConvTranspose2d(8, 1, 4, 4, rng=rng), ta.Sigmoid()),
    ]
    assert can_narrow(chain) is None
    assert widths(chain) == "1-8-6-32-1"
    net = narrow(chain, (1, 8, 8), 0.5)
    assert widths(list(net.layers)) == "1-4-3-16-1"
    assert net(rng.random((2, 1, 8, 8), np.float32)).shape == (2, 1, 8, 8)
    assert can_narrow([*chain, ta.GroupNorm(1, 1)]) == "GroupNorm"


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        ((), {"budget_kb": 0}, "budget_kb is 0, expected a number > 0"),
        ((), {"part": "tail"}, "part is 'tail'"),
        ((np.zeros((0, 1, 8, 8), np.float32),), {}, "expected samples on axis 0"),
        (((0, 3),), {}, "integers ≥ 1"),
    ],
)
def test_wrong_arguments(model, arguments, more, message):
    with pytest.raises(ValueError, match=message):
        ta.profile(model, *arguments, **more)


def test_a_layer_needs_a_shape():
    with pytest.raises(ValueError, match="the shape of a sample is not given"):
        ta.profile(ta.ReLU())


def test_the_command(model, tmp_path, capsys):
    path = str(tmp_path / "model.npz")
    model.save(path)
    assert main(["info", path, "--budget-kb", "5", "--repeats", "1"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"encoder\.1 +Dense +16 +1,040 +1,024", said)
    assert "budget    5 kB" in said
    ta.save(model.encoder, path)
    assert main(["info", path, "--shape", "1", "8", "8", "--repeats", "1"]) == 0
    assert "Sequential" in capsys.readouterr().out
