"""The command's output in any encoding, into any pipe, and when memory is too small."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import unicodedata
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae import catalog, terminal
from tinyae.cli import demo, main

ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "utf-8"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A small data set, a trained model of it, and a variational one, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.random((40, 5), dtype=np.float32)
    np.save("x.npy", x)
    np.save("codes.npy", rng.random((3, 2), dtype=np.float32))
    pair = ta.dense_encoder_decoder((5,), [4, 2], rng=rng)
    ta.Autoencoder(*pair, ta.MSE()).save("plain.npz")
    ta.VariationalAutoencoder(*ta.dense_variational((5,), [4, 2], rng=rng)).save("vae.npz")
    return tmp_path


VERBS = [
    "--help",
    "train --help",
    "train --data x.npy --units 4 2 --epochs 1 --out out.npz",
    "train --data x.npy --units 4 2 --epochs 1 --out out.npz --model variational --quiet --force",
    "evaluate plain.npz --data x.npy",
    "reconstruct plain.npz --data x.npy",
    "encode plain.npz --data x.npy --force",
    "decode plain.npz --codes codes.npy",
    "sample vae.npz --n 3",
    "explain vae.npz --data x.npy",
    "explain --layer LayerNorm",
    "explain --layer list",
    "data list",
    "data show x.npy",
    "learn list",
    "learn start 01",
    "train --data x.npy --units 4 --epochs 1 --loss l1 --noise σ",
]


def exit_code(verb: str) -> object:
    try:
        return main(verb.split())
    except SystemExit as end:  # of argparse
        return end.code


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_verb_writes_what_can_be_encoded(encoding, folder, monkeypatch):
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setattr(demo, "_draw_pictures", lambda *given: None)
    load, strokes = ta.data.load, ta.data.make_strokes(200, np.random.default_rng(0))
    few = ta.data.Dataset("strokes", *strokes, *strokes, "")
    monkeypatch.setattr(ta.data, "load", lambda name: few if name == "strokes" else load(name))
    first = itertools.islice(catalog.check_all(np.random.default_rng(0)), 5)
    monkeypatch.setattr(catalog, "check_all", lambda rng: first)
    monkeypatch.setattr(ta.plot, "page", lambda *given, **named: None)
    for verb in [*VERBS, *(["demo --quiet", "gradcheck"] if encoding == "ascii" else [])]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, newline="\n") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        wanted = 2 if "σ" in verb else 0
        assert exit_code(verb) == wanted, verb
        written = b""
        for stream in streams:
            stream.flush()
            written += stream.buffer.getvalue()
        assert written.decode(encoding)
        assert encoding != "ascii" or written.isascii()
    assert ta.load("out.npz").latent_dim == 2


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (
            "784 → 64: x̂ ≤ ½, ẋ², 10⁻⁴, Wᵀ, Σₙ ‖J‖²",
            "784 -> 64: xhat <= 1/2, xdot^2, 10^-4, W^T, Sigma_n ||J||^2",
        ),
        ("28 × 28 … é Ψ δ ── │ ∂L/∂μ §II", "28 x 28 ... e Psi delta -- | dL/dmu section II"),
        ("plain", "plain"),
        ("\u4e2d", "?"),
        ("\udcff", "?"),
    ],
)
def test_signs_are_spelled(text, spelled):
    assert terminal.spell(text) == spelled


@given(st.text(), st.sampled_from(ENCODINGS))
def test_any_text_is_spelled_in_any_encoding(text, encoding):
    written = text.encode(encoding, "tinyae.spell")
    assert written.decode(encoding) is not None
    assert terminal.spell(text).isascii()
    kept = "".join(c for c in text if c.isascii())
    assert all(c in terminal.spell(text) for c in kept)
    assert unicodedata.normalize("NFKD", terminal.spell(text)) == terminal.spell(text)


COMMAND = [sys.executable, "-c", "import sys; from tinyae.cli import main; sys.exit(main())"]


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("verb", ["data list", "learn list"])
def test_a_pipe_that_nobody_reads_is_silent(verb, buffered, tmp_path):
    read, write = os.pipe()
    os.close(read)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    env |= {} if buffered else {"PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [*COMMAND, *verb.split()], stdout=write, stderr=subprocess.PIPE, env=env, cwd=tmp_path
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told_once():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, "data", "list"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.count(b"No space left on device") == 1
    assert b"Exception" not in done.stderr


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("train --data x.npy --units 1000000000 --quiet", "there is not enough memory"),
        ("train --data x.npy --units 100000000000000000000", "is too large, expected at most"),
        ("sample vae.npz --n 1000000000000", "is too large, expected at most 2,147,483,647"),
        ("train --data x.npy --seed -1", "expected an int ≥ 0"),
        ("decode plain.npz --codes cut.npz", "cut.npz is not a readable .npz file"),
        ("decode plain.npz --codes claims.npy", "claims.npy is not a readable .npy file"),
        ("data show cut.npz", "cut.npz is not a readable .npz file"),
        ("data show claims.npz", "claims.npz is not a readable .npz file"),
        ("data show header.npy", "header.npy is not a readable .npy file"),
    ],
)
def test_too_much_and_damaged_files_are_one_line(verb, says, folder, monkeypatch, capsys):
    def no_memory(*given, **named):
        raise MemoryError("Unable to allocate 36.4 TiB for an array")

    if "1000000000 " in verb:  # a machine may have so much, or promise it
        monkeypatch.setattr(ta.param.GlorotUniform, "draw", no_memory)
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    claim = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000, 5), }"
    (folder / "claims.npy").write_bytes(header + claim.ljust(117) + b"\n" + bytes(64))
    (folder / "header.npy").write_bytes(header + b"(" * 118)
    np.savez("claims.npz", x=np.ones((2, 2)))
    with zipfile.ZipFile("claims.npz", "w") as archive:
        archive.writestr("x.npy", (folder / "claims.npy").read_bytes())
    (folder / "cut.npz").write_bytes((folder / "claims.npz").read_bytes()[:-40])
    assert exit_code(verb) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.strip().splitlines()[-1].startswith("tinyae")
