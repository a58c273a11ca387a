"""Every verb of the command ends with one line that says what it did; long work shows progress."""

from __future__ import annotations

import io
import itertools
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tinyae as ta
from tinyae import catalog, progress
from tinyae.cli import VERBS, demo, main

WRONG = """
def f(x, W):
    return x @ W.T

def f_backward(dy, x, W):
    return dy @ W, dy.T @ x / len(x)
"""

# verb: what is called, and what its last line says
CALLS = {
    "demo": ("demo --quiet --out demo", "report.html, training.png"),
    "train": ("train --data x.csv --units 4 2 --epochs 2 --out m.npz --quiet", "m.npz, 2 epochs"),
    "evaluate": ("evaluate plain.npz --data x.csv", "mean squared error"),
    "reconstruct": ("reconstruct plain.npz --data x.csv --out r.npy", "r.npy, mean squared error"),
    "encode": ("encode plain.npz --data x.csv --out z.npy", "40 codes of 2 numbers in z.npy"),
    "decode": ("decode plain.npz --codes codes.npy --out d.npy", "3 samples in d.npy"),
    "denoise": ("denoise noisy.npz --data x.csv --out c.npy", "40 samples in c.npy"),
    "score": ("score plain.npz --data x.csv --out s.csv", "40 rows in s.csv"),
    "sample": ("sample vae.npz --n 7 --out n.npy", "7 samples in n.npy"),
    "interpolate": (
        "interpolate plain.npz --data x.csv --steps 4",
        "4 samples from row 0 to row 1",
    ),
    "report": ("report plain.npz --data x.csv -o p.html", "p.html, "),
    "info": ("info plain.npz --repeats 1", "plain.npz, "),
    "export": ("export plain.npz -o m.h", "m.h, "),
    "gradcheck": ("gradcheck", "5 checks, every gradient agrees"),
    "diagnose": ("diagnose wrong.py:f,f_backward --input x=5,4 --input W=3,4", "wrong: dW"),
    "learn": ("learn list", "0 of 32 done"),
    "explain": ("explain --layer LayerNorm", "Explanation(LayerNorm"),
    "book": ("book -o b --only layers/dense.py --quiet", "open b/index.html"),
    "data": ("data list", "data sets"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.random((40, 5), dtype=np.float32)
    np.savetxt("x.csv", x, delimiter=",", header="a,b,c,d,e", comments="")
    np.save("codes.npy", rng.random((3, 2), dtype=np.float32))
    Path("wrong.py").write_text(WRONG, encoding="utf-8")
    pair = ta.dense_encoder_decoder((5,), [4, 2], rng=rng)
    ta.Autoencoder(*pair, ta.MSE()).save("plain.npz")
    ta.DenoisingAutoencoder(*pair, ta.MSE(), ta.GaussianNoise(0.1)).save("noisy.npz")
    ta.VariationalAutoencoder(*ta.dense_variational((5,), [4, 2], rng=rng)).save("vae.npz")
    return tmp_path


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long, made short."""
    monkeypatch.setattr(demo, "EPOCHS", 1)
    load, strokes = ta.data.load, ta.data.make_strokes(200, np.random.default_rng(0))
    few = ta.data.Dataset("strokes", *strokes, *strokes, "")
    monkeypatch.setattr(ta.data, "load", lambda name: few if name == "strokes" else load(name))
    first = itertools.islice(catalog.check_all(np.random.default_rng(0)), 5)
    monkeypatch.setattr(catalog, "check_all", lambda rng: first)


def test_every_verb_has_a_line() -> None:
    assert [verb.__name__.rpartition(".")[2] for verb in VERBS] == list(CALLS)


@pytest.mark.parametrize("verb", CALLS)
def test_a_verb_ends_with_one_line(
    verb: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small(monkeypatch)
    call, says = CALLS[verb]
    assert main(call.split()) == (1 if verb == "diagnose" else 0)
    shown = capsys.readouterr()
    last = shown.out.rstrip("\n").splitlines()[-1]
    assert says in last
    assert verb == "learn" or last.startswith(f"{verb}")
    assert "\r" not in shown.out + shown.err  # no bar where nobody watches


@pytest.mark.parametrize("verb", ["encode", "decode", "score", "sample", "reconstruct", "denoise"])
def test_with_the_result_on_stdout_the_line_is_on_stderr(
    verb: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = CALLS[verb][0].partition(" --out ")[0]
    assert main([*call.split(), "--out", "-"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-1].startswith(f"tinyae: {verb}: ")
    assert f"{verb}:" not in shown.out


# ---- progress ---------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal on stderr, where a bar need not wait. In the test itself: pytest sets stderr anew
    after a fixture."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


rng = np.random.default_rng(0)
X = rng.random((5000, 6), dtype=np.float32)
model = ta.Autoencoder(*ta.dense_encoder_decoder((6,), [4, 2], rng=rng), ta.MSE())
vae = ta.VariationalAutoencoder(*ta.dense_variational((6,), [4, 2], rng=rng))
LONG = {
    "PCA": lambda: ta.metrics.PCA(2).fit(X),
    "PCA: codes": lambda: ta.metrics.PCA(2).fit(X).transform(X),
    "PCA: reconstructions": lambda: ta.metrics.PCA(2).fit(X).reconstruct(X),
    "Autoencoder": lambda: model.score(X),
    "Autoencoder:": lambda: model.reconstruct(X),
    "batch": lambda: model.evaluate(X),
    "log-likelihood": lambda: vae.log_likelihood(X[:600], samples=2),
    "gradient check": lambda: ta.gradcheck.check_model(model, X[:3]),
    "epoch 1/2": lambda: ta.fit(model, X, epochs=2, validation=X, progress=True),
}


@pytest.mark.parametrize("what", LONG)
def test_what_takes_long_shows_a_bar_on_a_terminal(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    LONG[what]()
    assert what in terminal.getvalue()


@pytest.mark.parametrize("what", LONG)
def test_no_bar_without_a_terminal_or_with_quiet(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    if not what.startswith("epoch"):  # it is told itself whether to show one
        with progress.quiet():
            LONG[what]()
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    LONG[what]()
    assert terminal.getvalue() == ""


def test_a_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    LONG["Autoencoder"]()
    assert shown.getvalue() == ""


def test_a_training_without_progress_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    ta.fit(model, X, epochs=1, validation=X, progress=False)
    assert terminal.getvalue() == ""


def test_what_runs_inside_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with progress.work("outer", 3) as w:
        for _ in w.over(range(3)):
            LONG["Autoencoder"]()
    assert "outer" in terminal.getvalue()
    assert "Autoencoder" not in terminal.getvalue()
    LONG["Autoencoder"]()
    assert "Autoencoder" in terminal.getvalue()


def test_a_bar_counts_to_its_end_and_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with progress.work("letters", 4, "letter") as w:
        assert list(w.over("abcd")) == list("abcd")
    written = terminal.getvalue()
    assert w.done == w.total == 4
    assert "letters:   0%" in written
    assert written.rstrip(" ").endswith("\r")


def test_a_work_that_fails_lets_others_show(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)

    def fail() -> None:
        with progress.work("left", 3) as w:
            for _ in w.over(range(3)):
                raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    LONG["Autoencoder"]()
    assert "Autoencoder" in terminal.getvalue()


def test_other_threads_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    threads = [threading.Thread(target=LONG["Autoencoder"]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert terminal.getvalue() == ""
    LONG["Autoencoder"]()
    assert "Autoencoder" in terminal.getvalue()


def test_without_tqdm_there_is_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    LONG["Autoencoder"]()
    assert terminal.getvalue() == ""
