"""A model in int8: C computes to the bit what NumPy does, and that is near to the model in float."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from architectures import Architecture
from hypothesis import given, settings
from hypothesis import strategies as st
from test_to_c import ACTIVATIONS, C99, CXX, SANITIZED, Job, build, check, compiler, identity

import tinyae as ta
from tinyae.cli import main
from tinyae.program.compile import program_of_layer
from tinyae.program.int8.arithmetic import (
    Quantization,
    factors,
    inverse_root,
    multipliers,
    quantization,
    quantize_weights,
    requantize,
)
from tinyae.program.int8.quantize import FORMS
from tinyae.program.to_c.operations import WRITE

needs_compiler = pytest.mark.skipif(
    compiler() is None, reason="needs a C compiler: install gcc or clang"
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class BitJob(Job):
    """An exported part in int8, which must compute what its simulation does, to the bit."""

    def __init__(self, header, x):
        super().__init__(header, "run", x, header.simulate_int8(x))
        self.tolerance = 0


# --- arithmetic ---------------------------------------------------------------------------------


@given(
    ratios=st.lists(st.floats(1e-12, 0.2499), min_size=1, max_size=5),
    sums=st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=1, max_size=20),
    zero=st.integers(-128, 127),
)
def test_sums_are_scaled_and_rounded(ratios, sums, zero):
    multiplier, shift = multipliers(np.array(ratios))
    assert multiplier.max() < 2**31
    for m, ratio in zip(multiplier, ratios):
        got = requantize(np.array(sums), m, shift, zero, -128).astype(int)
        want = np.clip(np.array(sums) * ratio + zero, -128, 127)
        assert (abs(got - want) <= 0.5 + 1 / 8).all()


@given(m=st.integers(1, 2**31 - 1), shift=st.integers(0, 20), s=st.integers(-(2**31), 2**31 - 1))
def test_requantising_rounds_once(m, shift, s):
    """High words alone give what the whole product does: halves upwards."""
    got = requantize(np.array([s]), np.int32(m), shift, 0, -128)[0]
    rounded = (s * m + 2 ** (32 + shift)) // 2 ** (33 + shift)
    assert got == min(max(rounded, -128), 127)


@given(low=st.floats(-1e6, 1e6), high=st.floats(-1e6, 1e6), data=st.data())
def test_numbers_become_the_nearest_integer(low, high, data):
    to = quantization(*sorted([low, high]))
    assert to.dequantize(to.quantize(np.zeros(1, np.float32))) == 0
    inside = st.floats(*to.dequantize(np.array([-128, 127])).tolist(), width=32)
    x = np.float32(data.draw(st.lists(inside, max_size=20)))
    back = to.dequantize(to.quantize(x))
    assert (abs(back.astype(float) - x) <= to.scale * (0.5 + 1e-4)).all()


def test_numbers_outside_are_clipped_and_halves_go_away_from_zero():
    to = Quantization(0.5, -3)
    x = np.float32([np.nan, -np.inf, np.inf, 1e30, -1e30, 0.25, -0.25, 0.75, 0.24])
    assert to.quantize(x).tolist() == [-128, -128, 127, 127, -128, -2, -4, -1, -3]


@given(ratios=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=2), count=st.integers(1, 100))
def test_factors_are_near_and_their_sums_fit(ratios, count):
    f, shift = factors(np.array(ratios), count)
    assert 1 <= shift <= 22
    assert 255 * count * int(f.astype(int).sum()) < 2**29 + 255 * count * len(ratios)
    if sum(ratios) * 255 * count < 2**28:
        assert (abs(f / 2.0**shift - ratios) <= 2.0 ** -(shift + 1)).all()


@given(data=st.data(), outputs=st.integers(1, 6), inputs=st.integers(1, 40))
def test_sums_of_weights_fit_in_31_bits(data, outputs, inputs):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    sizes = 10.0 ** rng.integers(-12, 6, (outputs, 1)) * rng.integers(0, 2, (outputs, 1))
    W = rng.normal(size=(outputs, inputs)) * sizes
    b = rng.normal(size=outputs) * 10.0 ** rng.integers(-6, 6, outputs)
    x_scale = 10.0 ** rng.integers(-6, 3)
    q, bias, scale = quantize_weights(W, b, x_scale)
    largest = 255 * abs(q.astype(int)).sum(axis=1) + abs(bias.astype(int))
    assert (largest < 2**31).all()
    assert (abs(q * scale[:, None] - W) <= scale[:, None] * 0.5001).all()
    assert (abs(bias * scale * x_scale - b) <= scale * x_scale * 0.5001).all()


@given(v=st.integers(1, 2**61 - 1))
def test_an_inverse_root_has_fifteen_bits(v):
    h, r = inverse_root(np.array([v]))
    want = 2.0 ** (31 + int(h[0])) / np.sqrt(float(v))
    assert 2**15 <= r[0] <= 2**16
    assert abs(r[0] / want - 1) < 2**-14


# --- C ---------------------------------------------------------------------------------------------


def draw_dense(draw, rng):
    """A random dense network, samples to calibrate it, and others to run it on."""
    width = draw(st.integers(1, 70))
    parts, input_width = [], width
    for _ in range(draw(st.integers(1, 4))):
        out = draw(st.integers(1, 70))
        parts.append(ta.Dense(width, out, rng=rng))
        parts[-1].W.value *= 10.0 ** rng.integers(-2, 3, (out, 1))
        parts[-1].b.value[...] = rng.normal(size=out) * 10.0 ** rng.integers(-2, 3)
        parts += list(draw(st.lists(st.sampled_from(ACTIVATIONS), max_size=2)))
        width = out
    x = rng.normal(size=(20, input_width)) * 10.0 ** rng.integers(-2, 3)
    x = (x + draw(st.sampled_from([0, 3]))).astype(np.float32)
    others = np.float32(1.5) * x[:6]
    others[0, : draw(st.integers(0, 2))] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return identity(ta.Sequential(*parts)), x, others


def check_any_dense(folder, draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    model, calibration, x = draw_dense(draw, rng)
    header = model.export_c(
        folder / "any.h", part="encoder", quantize="int8", calibration=calibration
    )
    check(folder, [BitJob(header, x)])


@needs_compiler
@settings(max_examples=8)
@given(data=st.data())
def test_any_dense_network_to_the_bit(tmp_path_factory, data):
    check_any_dense(tmp_path_factory.mktemp("int8"), data.draw)


@needs_compiler
@pytest.mark.slow
@settings(max_examples=500, derandomize=False)
@given(data=st.data())
def test_five_hundred_dense_networks_to_the_bit(tmp_path_factory, data):
    check_any_dense(tmp_path_factory.mktemp("int8"), data.draw)


def check_any_architecture(folder, draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    built = Architecture(draw, rng)
    layer = ta.Sequential(*built.layers)
    for p in layer.params.values():
        p.value += rng.normal(0, 0.1, p.shape)
    x = rng.normal(size=(20, *built.input_shape))
    model = identity(layer.astype(np.float32))
    header = model.export_c(
        folder / "any.h",
        part="encoder",
        input_shape=built.input_shape,
        quantize="int8",
        calibration=x,
    )
    check(folder, [BitJob(header, np.float32(1.2 * x[:4]))])


@needs_compiler
@settings(max_examples=12)
@given(data=st.data())
def test_any_architecture_to_the_bit(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory.mktemp("int8"), data.draw)


@needs_compiler
@pytest.mark.slow
@settings(max_examples=500, derandomize=False)
@given(data=st.data())
def test_five_hundred_architectures_to_the_bit(tmp_path_factory, data):
    check_any_architecture(tmp_path_factory.mktemp("int8"), data.draw)


def networks(rng):
    """Of all activations, of few and many numbers, with copies and without operations."""
    dense = ta.Dense(13, 9, rng=rng)
    return [
        *(
            ta.Sequential(ta.Dense(13, 9, rng=rng), f, ta.Dense(9, 21, rng=rng))
            for f in ACTIVATIONS
        ),
        *(
            ta.Sequential(ta.Dense(13, 70, rng=rng), f, ta.Tanh(), ta.Sigmoid())
            for f in ACTIVATIONS
        ),
        *(ta.Dense(13, n, rng=rng) for n in (1, 4, 5)),
        ta.Sequential(dense, ta.ReLU(), ta.Dense(9, 13, rng=rng), ta.ReLU(), dense),
        *(ta.Flatten(), ta.Tanh(), ta.Sequential(ta.ReLU(), ta.ReLU())),
        ta.Skip(ta.Dense(13, 5, rng=rng)),
        ta.Sequential(dense, ta.Skip(ta.Sequential(ta.Dense(9, 4, rng=rng), ta.ReLU()))),
        ta.Parallel(ta.Dense(13, 3, rng=rng), ta.Sequential(ta.Dense(13, 4, rng=rng), ta.ReLU())),
        ta.Residual(ta.Dense(13, 13, rng=rng)),
        ta.Sequential(ta.Dense(13, 6, rng=rng), ta.BatchNorm(6), ta.ReLU()),
        *(ta.Softmax(), ta.TopK(5), steep(rng), ta.RMSNorm(13), ta.PixelNorm(), spread(rng)),
        ta.Sequential(ta.Dense(13, 6, rng=rng), ta.GLU(), ta.Dense(3, 7, rng=rng), ta.Softmax()),
    ]


def steep(rng):
    layer = ta.PReLU(13)
    layer.a.value[...] = rng.normal(size=13)
    return layer


def spread(rng):
    layer = ta.LayerNorm(13)
    layer.gamma.value[...] = rng.normal(size=13)
    layer.beta.value[...] = rng.normal(size=13)
    return layer


def image_networks(rng):
    """For images of 2 channels: every kind of layer, with and without padding."""
    conv = ta.Conv2d(2, 5, (3, 2), (2, 1), "same", rng=rng)
    return [
        *(conv, ta.Sequential(conv, ta.ReLU(), ta.ConvTranspose2d(5, 3, 4, 2, 1, rng=rng))),
        ta.Conv2d(2, 9, 3, rng=rng),
        ta.ConvTranspose2d(2, 4, (3, 2), (3, 1), rng=rng),
        *(ta.BatchNorm(2), ta.Sequential(ta.Tanh(), ta.BatchNorm(2), ta.ReLU())),
        *(ta.MaxPool2d(2), ta.AvgPool2d(3), ta.AvgPool2d(2), ta.Upsample2d((2, 3))),
        ta.Sequential(ta.Upsample2d(2), ta.MaxPool2d(2), ta.Skip(ta.Conv2d(2, 3, 1, rng=rng))),
        ta.Residual(ta.Sequential(ta.Conv2d(2, 2, 3, 1, 1, rng=rng), ta.GELU())),
        ta.Conv2d(2, 6, 3, 1, 2, dilation=2, groups=2, rng=rng),
        ta.Conv2d(2, 10, 3, (1, 2), 3, dilation=(1, 3), rng=rng),
        ta.ConvTranspose2d(2, 6, 3, 2, 1, dilation=2, groups=2, rng=rng),
        ta.Sequential(ta.Conv2d(2, 8, 1, rng=rng), ta.PixelShuffle(2), ta.GroupNorm(1, 2)),
        *(ta.MaxPool2d(3, 2, 1), ta.AvgPool2d(3, 2, 1), ta.AvgPool2d(2, padding="same")),
        *(ta.MaxPool2d(2, 1, dilation=2), ta.GlobalAvgPool2d(), ta.GlobalMaxPool2d()),
        *(ta.Upsample2d((2, 3), mode="bilinear"), ta.Pad2d((0, 1, 2, 3))),
        *(ta.Pad2d(2, mode="reflect"), ta.Softmax(), ta.InstanceNorm(2)),
        ta.Sequential(ta.Conv2d(2, 9, 1, rng=rng), ta.PixelNorm()),
        ta.Sequential(ta.Reshape(2, 56), ta.Conv1d(2, 5, 4, 3, 2, rng=rng), ta.MaxPool1d(2)),
        ta.Sequential(ta.Reshape(2, 56), ta.ConvTranspose1d(2, 5, 4, 3, 1, rng=rng)),
        ta.Sequential(ta.Conv2d(2, 4, 3, rng=rng), ta.GLU(), ta.LayerNorm((5,))),
    ]


def test_every_operation_has_a_form(rng):
    """Each that float C has; and each of these is in one of the networks above."""
    used = set()
    for shape, layers in (((13,), networks(rng)), ((2, 8, 7), image_networks(rng))):
        for layer in layers:
            used |= {type(op) for op in program_of_layer(layer, shape).ops}
    assert set(WRITE) == set(FORMS) == used


@pytest.fixture(scope="module")
def exported_networks(tmp_path_factory):
    """The headers of all networks, which every compiler is given."""
    folder, rng, jobs = tmp_path_factory.mktemp("networks"), np.random.default_rng(0), []
    for shape, layers in (((13,), networks(rng)), ((2, 8, 7), image_networks(rng))):
        x = rng.normal(size=(30, *shape)).astype(np.float32)
        for layer in layers:
            path = folder / f"n{len(jobs)}.h"
            header = identity(layer).export_c(
                path, part="encoder", input_shape=shape, quantize="int8", calibration=x
            )
            jobs.append(BitJob(header, 2 * x))
            y = layer(x)
            assert np.sqrt(np.square(header.simulate_int8(x) - y).mean()) < 0.015 * np.ptp(y)
    return folder, jobs


@needs_compiler
@pytest.mark.parametrize(
    "command",
    [
        ("gcc", "-O1", *C99),
        ("gcc", "-O1", "-march=native", "-std=gnu99"),  # may fuse products and sums of floats
        ("gcc", "-O0", *C99, *SANITIZED),
        ("g++", "-O0", *CXX),
        ("clang", "-O0", *C99),
    ],
    ids=" ".join,
)
def test_every_compiler_computes_the_same_bits(command, exported_networks):
    cc, *options = command
    if shutil.which(cc) is None:
        pytest.skip(f"needs {cc}")
    check(*exported_networks, *options, cc=cc)


@pytest.fixture
def model(rng):
    return ta.Autoencoder(*ta.dense_encoder_decoder([20], [9, 3], rng=rng), ta.MSE())


@pytest.fixture
def x(rng):
    return rng.random((100, 20), np.float32)


@needs_compiler
def test_integers_in_and_out(model, x, tmp_path):
    header = model.export_c(tmp_path / "ae.h", quantize="int8", calibration=x)
    program = header.quantized
    q = program.x.quantize(x[:1])
    text = f"""\
#include "ae.h"
#include <stdio.h>
int main(void)
{{
    const int8_t in[AE_INPUT_LENGTH] = {{{", ".join(map(str, q[0]))}}};
    int8_t out[AE_OUTPUT_LENGTH], arena[AE_ARENA_BYTES];
    ae_run_int8(in, out, arena);
    fwrite(out, 1, sizeof out, stdout);
    return AE_INPUT_ZERO + AE_OUTPUT_ZERO + 256;
}}
"""
    done = subprocess.run([build(tmp_path, text)], capture_output=True, check=False)
    assert done.returncode == program.x.zero + program.y.zero + 256
    assert (np.frombuffer(done.stdout, np.int8) == program.run_int8(q)[0]).all()


@needs_compiler
def test_the_score_is_that_of_the_simulation(rng, tmp_path):
    """For each way in which the last layers can be: in pieces, or with the result in the arena."""
    jobs = []
    x = rng.normal(size=(40, 13)).astype(np.float32)
    lasts = [[], [ta.ReLU()], [ta.Sigmoid()], [ta.ReLU(), ta.Sigmoid()], [ta.Tanh(), ta.Tanh()]]
    for last in lasts:
        decoder = ta.Sequential(ta.Dense(6, 13, rng=rng), *last)
        model = ta.Autoencoder(ta.Dense(13, 6, rng=rng), decoder, ta.MSE())
        for part, threshold in (("score", None), ("autoencoder", 0.1)):
            name = tmp_path / f"s{len(jobs)}.h"
            header = model.export_c(
                name, part=part, threshold=threshold, quantize="int8", calibration=x
            )
            y = header.simulate_int8(x).astype(float)
            jobs.append(Job(header, "score", x, np.square(y - x).mean(axis=1)))
            jobs[-1].tolerance = 1e-6
            whole = 13 if len(last) == 2 and not isinstance(last[0], ta.ReLU) else 0
            assert header.arena_bytes == -(-(6 + 13 + whole) // 4) * 4
    check(tmp_path, jobs)


def scaled_models(rng):
    """A table of which each feature has a unit of its own, and images; with samples."""
    table = rng.normal(size=(60, 9)) * 10.0 ** rng.integers(-3, 5, 9) + [
        1e6,
        0,
        3,
        -20,
        0,
        0,
        7,
        0,
        1,
    ]
    dense = ta.Dense(9, 4, rng=rng), ta.Dense(4, 9, rng=rng)
    images = rng.random((60, 2, 6, 6)) * [[[255.0]], [[4.0]]]
    conv = ta.Conv2d(2, 6, 3, 2, 1, rng=rng), ta.ConvTranspose2d(6, 2, 4, 2, 1, rng=rng)
    for layers, x in ((dense, table), (conv, images)):
        model = ta.Autoencoder(ta.Sequential(layers[0], ta.Tanh()), layers[1], ta.MSE())
        model.scaler = ta.Scaler.standard(x)
        yield model, x.astype(np.float32)


@needs_compiler
@pytest.mark.parametrize("options", [C99, ("-march=native", "-std=gnu99")], ids=" ".join)
def test_a_scaler_is_applied_at_the_edges(options, rng, tmp_path):
    """In float, so that small units lose nothing; to the bit, whether products and sums fuse."""
    jobs = []
    for model, x in scaled_models(rng):
        for part in ("autoencoder", "encoder", "decoder", "score"):
            given = model.encode(x) if part == "decoder" else x
            header = model.export_c(
                tmp_path / f"u{len(jobs)}.h",
                part=part,
                quantize="int8",
                calibration=given,
                selftest=True,
                input_shape=given.shape[1:],
            )
            if part == "score":
                jobs.append(Job(header, "score", given, header.quantized.scores(given)))
                jobs[-1].tolerance = 1e-5
                continue
            jobs.append(BitJob(header, given))
            want = {
                "autoencoder": model.reconstruct,
                "encoder": model.encode,
                "decoder": model.decode,
            }
            y, got = want[part](given), header.simulate_int8(given)
            spread = y.std(axis=(0, *range(2, y.ndim)), keepdims=True)
            assert (abs(got - y) <= 0.2 * spread).all()
    check(tmp_path, jobs, "-O1", *options)


@needs_compiler
@pytest.mark.parametrize("part", ["autoencoder", "encoder", "score"])
def test_the_self_test_notices_a_wrong_weight(model, x, part, tmp_path):
    model.export_c(tmp_path / "ae.h", part=part, selftest=True, quantize="int8", calibration=x)
    out, given = ("", "arena") if part == "score" else ("float out[20];", "out, arena")
    text = f"""#include "ae.h"
int main(void)
{{
    float arena[AE_ARENA_BYTES / sizeof(float)];
    {out}
    return ae_selftest({given}) != 0;
}}
"""
    assert subprocess.run([build(tmp_path, text)], check=False).returncode == 0
    header = (tmp_path / "ae.h").read_text()
    begin = header.index("{", header.index("ae_scales1[")) + 1
    end = header.index(",", begin)
    (tmp_path / "ae.h").write_text(header[:begin] + "99999" + header[end:])
    assert subprocess.run([build(tmp_path, text)], check=False).returncode == 1


def test_memory_is_that_of_the_layers(rng, tmp_path):
    """The integers of a sample and of its reconstruction need none: they lie in ``out``."""
    layers = ta.dense_encoder_decoder([640], [128, 128, 128, 128, 8], rng=rng)
    model, x = ta.Autoencoder(*layers, ta.MSE()), rng.random((10, 640), np.float32)
    header = model.export_c(tmp_path / "a.h", quantize="int8", calibration=x)
    assert (header.arena_bytes, header.macs) == (256, 264_192)
    assert header.flash_bytes == 264_192 + 8 * (8 * 128 + 8 + 640) + 256
    both = model.export_c(tmp_path / "a.h", quantize="int8", calibration=x, threshold=0.1)
    assert both.arena_bytes == 256 + 640
    encoder = model.export_c(tmp_path / "a.h", part="encoder", quantize="int8", calibration=x)
    assert encoder.arena_bytes == 256 + 640


def test_relu_keeps_its_zero_next_to_negative_numbers(rng, tmp_path):
    """Both halves of the result share a scale, whose zero is in the middle."""
    layer = ta.Parallel(ta.Dense(4, 3, rng=rng), ta.Sequential(ta.Dense(4, 3, rng=rng), ta.ReLU()))
    x = rng.normal(size=(50, 4)).astype(np.float32)
    header = identity(layer).export_c(
        tmp_path / "a.h", part="encoder", input_shape=(4,), quantize="int8", calibration=x
    )
    y = header.simulate_int8(x)
    assert y[:, :3].min() < 0
    assert (y[:, 3:].min(), abs(y - layer(x)).max() < 0.05) == (0, True)


# --- quality ------------------------------------------------------------------------------------


def check_quality(model, calibration, x, anomalous, folder):
    """Reconstruction errors and the order of the scores are those in float."""
    header = model.export_c(folder / "ae.h", quantize="int8", calibration=calibration)
    errors = [
        np.square(y.astype(float) - x).reshape(len(x), -1).mean(axis=1)
        for y in (model.reconstruct(x), header.simulate_int8(x))
    ]
    areas = [ta.metrics.roc_auc(anomalous, error) for error in errors]
    assert abs(areas[1] - areas[0]) <= 0.005
    assert errors[1].mean() <= 1.01 * errors[0].mean()


@pytest.mark.parametrize("code_activation", [ta.ReLU, ta.Tanh])
def test_digits_in_int8_are_as_good(code_activation, tmp_path):
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    x, usual = np.float32(digits.data / 16), digits.target < 8
    layers = ta.dense_encoder_decoder(
        (64,), [48, 16], code_activation=code_activation, rng=np.random.default_rng(0)
    )
    model = ta.Autoencoder(*layers, ta.MSE())
    ta.fit(model, x[usual], epochs=30, batch_size=32, optimizer=ta.Adam(2e-3), rng=0)
    check_quality(model, x[usual][:500], x, ~usual, tmp_path)


def test_images_in_int8_are_as_good(tmp_path):
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    x, usual = np.float32(digits.images[:, None] / 16), digits.target < 8
    rng = np.random.default_rng(0)
    encoder = ta.Sequential(
        *(ta.Conv2d(1, 8, 3, 2, 1, rng=rng), ta.BatchNorm(8), ta.ReLU()),
        *(ta.Residual(ta.Sequential(ta.Conv2d(8, 8, 3, 1, 1, rng=rng), ta.Tanh())), ta.Flatten()),
        ta.Dense(128, 12, rng=rng),
    )
    decoder = ta.Sequential(
        *(ta.Dense(12, 128, rng=rng), ta.ReLU(), ta.Reshape(8, 4, 4)),
        *(ta.ConvTranspose2d(8, 1, 4, 2, 1, rng=rng), ta.Sigmoid()),
    )
    model = ta.Autoencoder(encoder, decoder, ta.MSE())
    ta.fit(model, x[usual], epochs=10, batch_size=32, optimizer=ta.Adam(2e-3), rng=0)
    check_quality(model, x[usual][:500], x, ~usual, tmp_path)


@pytest.mark.real_data
def test_heartbeats_in_int8_are_as_good(tmp_path):
    data = ta.data.load("ecg5000")
    x = data.x_train[data.y_train == 0]
    layers = ta.dense_encoder_decoder(
        (140,), [32, 16, 8], output=None, rng=np.random.default_rng(0)
    )
    model = ta.Autoencoder(*layers, ta.MSE())
    ta.fit(model, x, epochs=60, batch_size=32, optimizer=ta.Adam(2e-3), rng=0)
    check_quality(model, x[:500], data.x_test, data.y_test != 0, tmp_path)


# --- mistakes -----------------------------------------------------------------------------------


def test_mistakes_are_named_and_nothing_is_written(model, x, rng, tmp_path):
    large = ta.Dense(9, 4, rng=rng)
    large.W.value[...] = 100
    encoder = ta.Sequential(ta.Dense(20, 9, rng=rng), ta.Skip(large))
    large = ta.Autoencoder(encoder, ta.Dense(13, 20, rng=rng), ta.MSE())
    bad = x.copy()
    bad[3, 2] = np.nan
    cases = [
        (ValueError, "expected None or 'int8'", model, {"quantize": "int4", "calibration": x}),
        (ValueError, "needs samples", model, {"quantize": "int8"}),
        (ValueError, "without quantize", model, {"calibration": x}),
        (ValueError, "at least one sample", model, {"quantize": "int8", "calibration": x[:0]}),
        (ValueError, "at least one sample", model, {"quantize": "int8", "calibration": x[0]}),
        (ValueError, "NaN or infinite", model, {"quantize": "int8", "calibration": bad}),
        (ValueError, "20", model, {"quantize": "int8", "calibration": x[:, :19]}),
        (
            TypeError,
            "expected a NumPy array",
            model,
            {"quantize": "int8", "calibration": x.tolist()},
        ),
        (TypeError, "expected real numbers", model, {"quantize": "int8", "calibration": x * 1j}),
        (ValueError, "weights are too large", large, {"quantize": "int8", "calibration": x}),
    ]
    for error, message, wrong, arguments in cases:
        with pytest.raises(error, match=message):
            wrong.export_c(tmp_path / "a.h", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_only_samples_are_simulated(model, x, tmp_path):
    header = model.export_c(tmp_path / "ae.h", quantize="int8", calibration=x)
    assert header.simulate_int8(x[:0]).shape == (0, 20)
    assert header.simulate_int8(x.astype(np.float64)).dtype == np.float32
    with pytest.raises(ValueError, match=r"expected \('N', 20\); for one sample pass x\[None\]"):
        header.simulate_int8(x[0])
    with pytest.raises(TypeError, match="expected a NumPy array"):
        header.simulate_int8(x.tolist())


def test_the_command(model, x, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save("model.npz")
    np.save("data.npy", x)
    arguments = ["export", "model.npz", "-o", "ae.h", "--quantize", "int8"]
    assert main([*arguments, "--calibration", "data.npy"]) == 0
    assert "ae_run_int8(in, out, arena)" in capsys.readouterr().out
    assert "int8_t ae_W0[" in (tmp_path / "ae.h").read_text()
    assert main([*arguments, "--force"]) == 2
    assert "--quantize does nothing without --calibration" in capsys.readouterr().err
