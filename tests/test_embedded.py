"""Exported C gives tinyae's numbers on emulated processors; skipped where there is no emulator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tinyae as ta
from benchmarks import embedded
from tinyae.layers import activation


@pytest.mark.parametrize("key", embedded.TARGETS)
def test_a_processor_computes_what_tinyae_does(key, tmp_path):
    target = embedded.TARGETS[key]
    if target.missing():
        pytest.skip(f"needs {target.missing()}; benchmarks/embedded.py names the packages")
    network = embedded.ecg(np.random.default_rng(0))
    header = network.model.export_c(tmp_path / "ecg.h")
    x = np.random.default_rng(1).random((1, *network.shape), np.float32)
    want = network.model.astype(np.float64).reconstruct(x)[0]
    got = embedded.measure(target, header, x, want)
    assert got.error <= 1e-6
    assert 0 < got.code["-Os"] < 1200
    if key in ("m4f", "rv32"):  # with a floating-point unit
        assert 2 * header.macs < got.instructions < 5 * header.macs


@pytest.mark.parametrize("key", [*embedded.TARGETS, "m4f without DSP"])
def test_a_processor_computes_the_same_bits_in_int8(key):
    target = embedded.TARGETS[key.split()[0]]
    if target.missing():
        pytest.skip(f"needs {target.missing()}; benchmarks/embedded.py names the packages")
    if "without" in key:
        target = embedded.without_dsp(target)
    header = embedded.exported(embedded.ecg(np.random.default_rng(0)), "int8")
    x = np.random.default_rng(1).normal(size=(1, 140)).astype(np.float32)
    got = embedded.measure(target, header, x, header.simulate_int8(x)[0])
    assert got.error == 0
    assert 0 < got.code["-Os"] < 1500
    if key in ("m4f", "m4f without DSP"):
        assert header.macs < got.instructions < (3 if key == "m4f" else 5) * header.macs


@pytest.mark.parametrize("optimizer", embedded.OPTIMIZERS)
@pytest.mark.parametrize("key", ["m4f", "rv32", "aarch64"])
def test_a_processor_learns_as_tinyae_does(key, optimizer):
    target = embedded.TARGETS[key]
    if target.missing():
        pytest.skip(f"needs {target.missing()}; benchmarks/embedded.py names the packages")
    network = embedded.ecg(np.random.default_rng(0))
    header = embedded.exported(network, optimizer)
    x = np.random.default_rng(1).random((1, *network.shape), np.float32)
    got = embedded.measure(target, header, x, embedded.after_a_step(network, optimizer, x))
    assert got.error <= 1e-6
    assert header.arena_bytes <= 2500
    if key != "aarch64":
        each = got.instructions / header.programs["train"].macs
        assert 2 < each < (4 if optimizer == "sgd" else 14)


def test_int8_needs_no_library_and_no_warning_is_given(tmp_path):
    target = embedded.TARGETS["m4f"]
    if target.missing():
        pytest.skip(f"needs {target.missing()}; benchmarks/embedded.py names the packages")
    header = embedded.exported(embedded.conv(np.random.default_rng(0)), "int8")
    (tmp_path / "model.h").write_text(header.text(), encoding="ascii")
    (tmp_path / "use.c").write_text(
        '#include "model.h"\nvoid use(const float *in, float *out, void *arena);\n'
        "void use(const float *in, float *out, void *arena)\n{\n    model_run(in, out, arena);\n}\n"
    )
    options = ["-O2", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion"]
    command = [*target.compiler.split(), *options, "-Werror", "-c", "use.c", "-o", "use.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    tools = (["arm-none-eabi-nm", "-u", "use.o"], ["arm-none-eabi-objdump", "-d", "use.o"])
    undefined, code = (
        subprocess.run(tool, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for tool in tools
    )
    assert undefined.strip() == ""
    assert "smlad" in code


def test_a_wrong_result_is_seen(tmp_path):
    target = embedded.TARGETS["m4f"]
    if target.missing():
        pytest.skip(f"needs {target.missing()}; benchmarks/embedded.py names the packages")
    network = embedded.ecg(np.random.default_rng(0))
    header = network.model.export_c(tmp_path / "ecg.h")
    x = np.zeros((1, 140), np.float32)
    want = network.model.astype(np.float64).reconstruct(x)[0]
    assert embedded.measure(target, header, x + 1, want).error > 1e-3


def test_no_double_and_no_heap_where_arithmetic_is_software(tmp_path):
    """On a Cortex-M0 every operation on numbers is a call, so each shows among the symbols."""
    target = embedded.TARGETS["m0"]
    if target.missing():
        pytest.skip(f"needs {target.missing()}; benchmarks/embedded.py names the packages")
    rng = np.random.default_rng(0)
    layers = [
        *(ta.Conv2d(1, 9, 3, 2, 1, rng=rng), ta.BatchNorm(9), ta.MaxPool2d(2), ta.Upsample2d(2)),
        *(ta.AvgPool2d(2), ta.ConvTranspose2d(9, 1, 4, rng=rng), ta.Flatten()),
        *(kind() for kind in activation.activations()),
        *(ta.Softmax(), ta.LayerNorm(49), ta.TopK(5), ta.Residual(ta.Dense(49, 49, rng=rng))),
    ]
    model = ta.Autoencoder(ta.Sequential(*layers), ta.Dense(49, 196, rng=rng), ta.MSE())
    model.export_c(tmp_path / "model.h", part="encoder", input_shape=(1, 16, 16), selftest=True)
    (tmp_path / "use.c").write_text(
        '#include "model.h"\nint use(float *out, float *arena);\n'
        "int use(float *out, float *arena)\n{\n    return model_selftest(out, arena);\n}\n"
    )
    options = ["-O2", "-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Werror"]
    command = [*target.compiler.split(), *options, "-c", "use.c", "-o", "use.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    nm = subprocess.run(
        ["arm-none-eabi-nm", "-u", "use.o"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    used = {line.split()[-1] for line in nm.stdout.splitlines()}
    helpers = {name for name in used if name.startswith("__")}
    assert "__aeabi_fmul" in helpers
    assert not {name for name in helpers if name.startswith(("__aeabi_d", "__aeabi_f2d", "__fix"))}
    assert used - helpers <= {
        *("expf", "expm1f", "log1pf", "erff", "erfcf", "tanhf", "sqrtf"),
        *("memcpy", "memset", "memmove"),
    }
