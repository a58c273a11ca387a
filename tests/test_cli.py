"""The command line, verb by verb, on small data and as a person would call it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyae as ta
from tinyae.cli import main


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A small data set of one's own: smooth bumps, 12 × 12."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    place = rng.uniform(2, 10, (300, 2, 1, 1))
    grid = np.mgrid[0:12, 0:12]
    x = np.exp(-((grid - place) ** 2).sum(axis=1) / 8)[:, None].astype(np.float32)
    y = (place[:, 0, 0, 0] > 6).astype(int)
    np.savez("bumps.npz", x_train=x[:240], y_train=y[:240], x_test=x[240:], y_test=y[240:])
    return "bumps.npz"


@pytest.fixture
def model(small):
    argv = ["train", "--data", small, "--units", "32", "3", "--epochs", "30", "--quiet"]
    assert main([*argv, "--learning-rate", "0.01"]) == 0
    return "model.npz"


def mse_of(table: str, row: str) -> float:
    return float(re.search(rf"^{re.escape(row)}.*?(\d+\.\d{{5}})", table, re.MULTILINE)[1])


def test_train_beats_pca_and_saves(small, capsys):
    argv = ["train", "--data", small, "--units", "64", "3", "--epochs", "60", "--quiet"]
    assert main([*argv, "--learning-rate", "0.01", "--schedule", "cosine", "--pictures", "p"]) == 0
    table = capsys.readouterr().out
    assert mse_of(table, "autoencoder") < mse_of(table, "PCA, 3 components")
    x = np.load(small)["x_test"]
    reconstructed = ta.load("model.npz").reconstruct(x)
    assert mse_of(table, "autoencoder") == pytest.approx(ta.metrics.mse(reconstructed, x), abs=6e-6)
    for picture in ("p/reconstructions.png", "p/training.png"):
        with open(picture, "rb") as file:
            assert file.read(4) == b"\x89PNG"


def test_evaluate_reconstruct_encode_decode_agree(small, model, capsys):
    assert main(["evaluate", model, "--data", small]) == 0
    table = capsys.readouterr().out
    assert main(["reconstruct", model, "--data", small, "--picture", "r.png"]) == 0
    assert main(["encode", model, "--data", small, "--picture", "z.png"]) == 0
    assert main(["decode", model, "--codes", "codes.npy", "--picture", "d.png"]) == 0
    x, y = np.load(small)["x_test"], np.load("reconstructions.npy")
    assert np.load("codes.npy").shape == (60, 3)
    np.testing.assert_allclose(np.load("decoded.npy"), y, atol=1e-6)
    assert mse_of(table, "autoencoder") == pytest.approx(np.square(x - y).mean(), abs=6e-6)


@pytest.mark.parametrize(("arrays", "names"), [({}, r"\(none\)"), ({"a": 1, "b": 2}, "a, b")])
def test_codes_are_one_array_or_named(small, model, capsys, arrays, names):
    np.savez("codes.npz", **arrays)
    assert main(["decode", model, "--codes", "codes.npz"]) == 2
    assert re.search(rf"codes.npz has the arrays {names}; expected one", capsys.readouterr().err)


def test_same_seed_gives_the_same_file_and_resume_goes_on(small):
    base = ["train", "--data", small, "--units", "8", "--quiet"]
    assert main([*base, "--epochs", "4", "--out", "a.npz"]) == 0
    assert main([*base, "--epochs", "4", "--out", "b.npz"]) == 0
    assert main([*base, "--epochs", "2", "--out", "c.npz", "--checkpoint", "half.npz"]) == 0
    assert main([*base, "--epochs", "4", "--out", "d.npz", "--resume", "half.npz"]) == 0
    x = np.load(small)["x_test"]
    a, b, d = (ta.load(f"{name}.npz").reconstruct(x) for name in "abd")
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, d)


def test_a_cosine_does_not_start_again_unsaid(small, capsys):
    base = ["train", "--data", small, "--units", "4", "--quiet", "--schedule", "cosine"]
    assert main([*base, "--epochs", "2", "--out", "a.npz", "--checkpoint", "half.npz"]) == 0
    more = [*base, "--epochs", "4", "--out", "b.npz", "--resume", "half.npz"]
    assert main(more) == 2
    said = capsys.readouterr().err
    assert "next step's rate would be 0.0005, and was 0" in said
    assert "--accept-changes schedule" in said
    assert main([*more, "--accept-changes", "schedule"]) == 0


def test_demo_beats_pca_and_leaves_its_files(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo"), "--quiet"]) == 0
    table = capsys.readouterr().out
    assert mse_of(table, "autoencoder") < 0.6 * mse_of(table, "PCA, 16 components")
    planar = table[table.index("PCA, 16 components") :]
    assert mse_of(planar, "autoencoder") < 0.9 * mse_of(table, "PCA, 2 components")
    assert (tmp_path / "demo" / "report.html").stat().st_size < 3e6
    names = {p.name for p in (tmp_path / "demo").iterdir()}
    assert names == {
        "model.npz",
        "report.html",
        "reconstructions.png",
        "training.png",
        "latent.png",
    }


def test_demo_without_matplotlib_loses_nothing(tmp_path, monkeypatch, capsys):
    def absent(*args, **kwargs):
        raise ModuleNotFoundError("pictures need matplotlib; run pip install matplotlib")

    monkeypatch.setattr("tinyae.plot.reconstructions", absent)
    monkeypatch.setattr("tinyae.fit", lambda *args, **kwargs: ta.History())
    assert main(["demo", "--out", str(tmp_path), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "pip install matplotlib" in out
    assert mse_of(out, "autoencoder") > 0
    assert (tmp_path / "model.npz").exists()


def test_gradcheck_passes(capsys):
    assert main(["gradcheck"]) == 0
    out = capsys.readouterr().out
    assert "Conv2d" in out
    assert "FAIL" not in out


def test_data_verbs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "list"]) == 0
    assert "fashion-mnist" in capsys.readouterr().out
    assert main(["data", "show", "strokes"]) == 0
    assert "6,000" in capsys.readouterr().out
    assert (tmp_path / "data.png").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["train", "--data", "mnits"], "mnits"),
        (["evaluate", "absent.npz", "--data", "strokes"], "absent.npz"),
        (["decode", "bumps.npz", "--codes", "x.npy"], "bumps.npz"),
        (["sample", "x.npy"], "x.npy"),
        (["data", "fetch", "strokes"], "strokes"),
        (["train", "--data", "bumps.npz", "--out", "absent/m.npz"], "absent/m.npz"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(small, capsys, argv, says):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("tinyae: ")
    assert says in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "argv", [["--help"], ["train", "--help"], ["data", "show", "--help"], ["gradcheck", "--help"]]
)
def test_help_shows_an_example(capsys, argv):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert len(argv) == 1 or "example:\n  tinyae " in out


VERBS = [
    "demo",
    "train",
    "evaluate",
    "reconstruct",
    "encode",
    "decode",
    "denoise",
    "score",
    "sample",
    "interpolate",
    "report",
    "info",
    "export",
    "gradcheck",
    "diagnose",
    "learn",
    "explain",
    "book",
    "data",
]


def test_help_names_every_verb_in_order(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert re.findall(r"^    (\w+)\b", capsys.readouterr().out, re.MULTILINE) == VERBS


def printed_by(*arguments):
    """What another Python prints that finds this tinyae."""
    path = os.pathsep.join([str(Path(ta.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_runs_as_a_module():
    assert printed_by("-m", "tinyae.cli", "--version") == f"tinyae {ta.__version__}"


def test_help_waits_for_nothing_that_a_verb_needs():
    code = """
import contextlib, io, sys
from tinyae.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
late = ("gradcheck", "catalog", "plot", "metrics", "explanation", "export", "learn.command")
late += ("report.page", "report.material")
print([name for name in late if f"tinyae.{name}" in sys.modules])
"""
    assert printed_by("-c", code) == "[]"


@pytest.mark.parametrize(
    "option", [["--epochs", "0"], ["--units", "-3"], ["--learning-rate", "nan"]]
)
def test_numbers_that_make_no_sense_are_refused(capsys, option):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--data", "strokes", *option])
    assert stop.value.code == 2
    assert "positive" in capsys.readouterr().err


TUTORIAL = ["train", "--data", "fashion-mnist", "--units", "64", "--code-activation", "relu"]


@pytest.mark.real_data
def test_the_tutorial_network_on_fashion_mnist(tmp_path, capsys):
    assert main([*TUTORIAL, "--quiet", "--out", str(tmp_path / "m.npz")]) == 0
    table = capsys.readouterr().out
    assert mse_of(table, "autoencoder") <= 0.0089
    assert mse_of(table, "autoencoder") < mse_of(table, "  the same, clipped to 0…1")


@pytest.mark.slow
@pytest.mark.real_data
def test_the_tutorial_network_with_numpy_kernels(tmp_path, capsys):
    argv = [*TUTORIAL, "--quiet", "--kernels", "numpy", "--out", str(tmp_path / "m.npz")]
    assert main(argv) == 0
    assert mse_of(capsys.readouterr().out, "autoencoder") <= 0.0089


KINDS = {
    "denoising": ("DenoisingAutoencoder", ["--noise", "0.1"], "reconstruction"),
    "sparse": ("SparseAutoencoder", ["--sparsity", "0.1", "--weight", "0.001"], "sparsity"),
    "contractive": ("ContractiveAutoencoder", ["--weight", "0.0001"], "contraction"),
    "variational": ("VariationalAutoencoder", ["--beta", "0.5"], "kl"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_saves_and_is_used(kind, small, capsys):
    name, options, term = KINDS[kind]
    argv = ["train", "--data", small, "--units", "32", "4", "--epochs", "20", "--quiet"]
    assert main([*argv, "--learning-rate", "0.01", "--model", kind, *options]) == 0
    table = capsys.readouterr().out
    assert name in table
    model, x = ta.load("model.npz"), np.load(small)["x_test"]
    assert type(model).__name__ == name
    assert term in model.evaluate(x)
    assert mse_of(table, "autoencoder") < 0.5 * x.var()
    assert main(["evaluate", "model.npz", "--data", small]) == 0
    assert main(["encode", "model.npz", "--data", small]) == 0
    assert main(["decode", "model.npz", "--codes", "codes.npy"]) == 0
    np.testing.assert_allclose(np.load("decoded.npy"), model.reconstruct(x), atol=1e-6)


def test_the_options_of_a_kind_arrive(small):
    argv = ["train", "--data", small, "--units", "8", "3", "--epochs", "1", "--quiet", "--force"]
    assert main([*argv, "--model", "denoising", "--noise", "0.3"]) == 0
    assert ta.load("model.npz").corruption.std == 0.3
    assert main([*argv, "--model", "sparse", "--sparsity", "0.2", "--weight", "7"]) == 0
    assert repr(ta.load("model.npz").penalty) == repr(ta.KLSparsity(0.2, 7.0))
    assert main([*argv, "--model", "contractive", "--weight", "0.5"]) == 0
    assert ta.load("model.npz").weight == 0.5
    assert main([*argv, "--model", "variational", "--beta", "4"]) == 0
    assert ta.load("model.npz").beta == 4


def test_sample_draws_from_a_model_that_can_and_says_so_of_others(small, model, capsys):
    assert main(["sample", model]) == 2
    assert "has no distribution to draw from" in capsys.readouterr().err
    argv = ["train", "--data", small, "--units", "16", "2", "--epochs", "2", "--quiet"]
    assert main([*argv, "--model", "variational", "--out", "vae.npz"]) == 0
    assert main(["sample", "vae.npz", "--n", "7", "--picture", "s.png"]) == 0
    assert np.load("samples.npy").shape == (7, 1, 12, 12)
    again = ta.load("vae.npz").sample(7, np.random.default_rng(0))
    np.testing.assert_array_equal(np.load("samples.npy"), again)
