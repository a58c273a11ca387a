"""Exported C gives tinyae's numbers on emulated processors; skipped where there is no emulator."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import embedded


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


def test_a_wrong_result_is_seen(tmp_path):
    target = embedded.TARGETS["m4f"]
    if target.missing():
        pytest.skip(f"needs {target.missing()}; benchmarks/embedded.py names the packages")
    network = embedded.ecg(np.random.default_rng(0))
    header = network.model.export_c(tmp_path / "ecg.h")
    x = np.zeros((1, 140), np.float32)
    want = network.model.astype(np.float64).reconstruct(x)[0]
    assert embedded.measure(target, header, x + 1, want).error > 1e-3
