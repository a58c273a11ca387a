"""The command line in daily use: one's own rows in order, odd files, interruptions, no traceback."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

import tinyae as ta
from tinyae.cli import main
from tinyae.cli.wording import ADVICE
from tinyae.data.rows import TableOptions, read


def table(n: int = 240, odd: int = 0, seed: int = 0) -> np.ndarray:
    """Four columns in units of their own; the first rows are shuffled among the columns."""
    rng = np.random.default_rng(seed)
    x = np.tanh(rng.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, 4)))
    x += 0.05 * rng.normal(size=x.shape)
    x[:odd] = -2 * x[:odd, ::-1]
    return x * [1, 30, 1000, 1e-3] + [0, 20, 101325, 0.01]


def write(path: str, x: np.ndarray, odd: int = 0) -> str:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "temp", "flow", "pressure", "vibration", "fault"])
        for k, row in enumerate(x):
            cells = [f"{v:.8g}" for v in row]
            writer.writerow([f"2026-01-01 {k // 60:02}:{k % 60:02}:00", *cells, int(k < odd)])
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


TRAIN = ["train", "--data", "pumps.csv", "--label", "fault", "--units", "8", "2", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    before = os.getcwd()
    os.chdir(folder)
    try:
        write("pumps.csv", table())
        write("new.csv", table(60, 5, 1), 5)
        assert main([*TRAIN, "--epochs", "60", "--learning-rate", "0.01", "--out", "m.npz"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def there(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def rows_of(path: str | io.StringIO) -> list[dict[str, str]]:
    with open(path, newline="") if isinstance(path, str) else path as file:
        return list(csv.DictReader(file))


# --- a sensor table → anomalies -------------------------------------------------------------------


def test_scores_stand_beside_the_index_in_order(there, capsys):
    argv = ["score", "m.npz", "--data", "new.csv", "--label", "fault", "--force"]
    assert main([*argv, "--out", "s.csv", "--per-feature"]) == 0
    assert "ROC-AUC" in capsys.readouterr().out
    found = rows_of("s.csv")
    assert [row["time"] for row in found[:2]] == ["2026-01-01 00:00:00", "2026-01-01 00:01:00"]
    assert len(found) == 60
    model, x = ta.load("m.npz"), table(60, 5, 1)
    np.testing.assert_allclose([float(r["score"]) for r in found], model.score(x), rtol=1e-3)
    assert [r["flag"] == "1" for r in found] == list(model.flags(x))
    np.testing.assert_allclose([float(r["p"]) for r in found], model.p_values(x), atol=1e-6)
    assert sum(r["flag"] == "1" for r in found[:5]) >= 3
    assert "error of pressure" in found[0]
    assert model.columns == ("temp", "flow", "pressure", "vibration")


def test_a_rate_and_a_threshold_may_be_given(there, capsys):
    argv = ["score", "m.npz", "--data", "new.csv", "--out", "-"]
    flags = []
    for more in (["--threshold", "0"], ["--threshold", "1e9"], ["--false-positive-rate", "0.3"]):
        assert main([*argv, *more]) == 0
        flags.append(sum(int(r["flag"]) for r in rows_of(io.StringIO(capsys.readouterr().out))))
    assert flags[0] == 60
    assert flags[1] == 0
    assert 5 <= flags[2] < 60
    assert main([*argv, "--threshold", "1", "--false-positive-rate", "0.1"]) == 2
    assert "not both" in capsys.readouterr().err


def test_training_says_scaling_threshold_and_the_doctors_word(here, capsys):
    write("pumps.csv", table())
    assert main([*TRAIN, "--epochs", "2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"with standard scaling and the threshold \S+, which flags 5 % of", out)
    assert "the run of Autoencoder, 2 epochs:" in out
    assert not Path("model.checkpoint.npz").exists()
    assert ta.load("model.npz").scaler is not None


@pytest.mark.parametrize("suffix", ["csv", "npy", "npz", "parquet"])
def test_the_suffix_decides_the_format(suffix, there, capsys):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    argv = ["encode", "m.npz", "--data", "new.csv", "--force", "--out", f"z.{suffix}"]
    assert main(argv) == 0
    z = ta.load("m.npz").encode(table(60, 5, 1))
    if suffix == "parquet":
        got = read("z.parquet", table=TableOptions(index="time")).part().x
    elif suffix == "csv":
        got = read("z.csv").part().x
    else:
        got = np.load(f"z.{suffix}")
        got = got["z"] if suffix == "npz" else got
    np.testing.assert_allclose(got, z, rtol=1e-3, atol=1e-4)
    if suffix in ("csv", "npy", "npz"):
        codes = f"z.{suffix}"
        assert main(["decode", "m.npz", "--codes", codes, "--out", "y.npy", "--force"]) == 0
        np.testing.assert_allclose(
            np.load("y.npy"), ta.load("m.npz").decode(z), rtol=1e-3, atol=1e-4
        )
    assert main(["encode", "m.npz", "--data", "new.csv", "--out", "z.txt"]) == 2
    assert "ends in .txt, which decides the format" in capsys.readouterr().err


def test_all_rows_unless_a_part_is_asked_for(there):
    argv = ["reconstruct", "m.npz", "--data", "pumps.csv", "--force", "--out", "r.npy"]
    lengths = []
    for part in ([], ["--part", "test"], ["--part", "train"]):
        assert main([*argv, *part]) == 0
        lengths.append(len(np.load("r.npy")))
    assert lengths == [240, 24, 216]


@pytest.mark.parametrize("out", ["s.csv", "s.npz"])
def test_rows_keep_their_numbers_where_others_are_left_out(out, there, capsys):
    lines = [",".join(f"{v:.6g}" for v in row) for row in table(20)]
    lines[3], lines[11] = "1,,3,4", "nan,2,3,4"
    names = "temp,flow,pressure,vibration"
    Path("gaps.csv").write_text("\n".join([names, *lines]) + "\n")
    argv = ["score", "m.npz", "--data", "gaps.csv", "--missing", "drop", "--out", out, "--force"]
    kept = [k for k in range(20) if k not in (3, 11)]
    assert main(argv) == 0
    found = (
        [int(r["row"]) for r in rows_of(out)] if out == "s.csv" else np.load(out)["row"].tolist()
    )
    assert found == kept
    assert main([*argv, "--part", "test"]) == 0
    held = read("gaps.csv", table=TableOptions(missing="drop")).part("test")
    found = (
        [int(r["row"]) for r in rows_of(out)] if out == "s.csv" else np.load(out)["row"].tolist()
    )
    assert found == held.places.tolist()
    assert set(found) < set(kept)


def test_a_label_of_words_is_written_in_words(there):
    write("words.csv", table(30, 4, 1), 4)
    text = Path("words.csv").read_text()
    Path("words.csv").write_text(text.replace(",1\n", ",worn\n").replace(",0\n", ",good\n"))
    argv = [
        "score",
        "m.npz",
        "--data",
        "words.csv",
        "--label",
        "fault",
        "--out",
        "w.csv",
        "--force",
    ]
    assert main(argv) == 0
    assert [row["label"] for row in rows_of("w.csv")] == ["worn"] * 4 + ["good"] * 26


def test_an_existing_file_is_kept_without_force(there, capsys):
    Path("kept.csv").write_text("mine")
    assert main(["encode", "m.npz", "--data", "new.csv", "--out", "kept.csv"]) == 2
    assert "kept.csv exists; pass another name, or --force" in capsys.readouterr().err
    assert Path("kept.csv").read_text() == "mine"


def printed(*argv: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tinyae.cli", *argv]
    env = {**os.environ, "PYTHONPATH": str(Path(ta.__file__).parents[1])}
    return subprocess.run(command, input=given, capture_output=True, env=env, check=False)


def test_standard_streams_and_a_closed_pipe(there):
    done = printed(
        "encode", "m.npz", "--data", "-", "--out", "-", given=Path("new.csv").read_bytes()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == b"time,z0,z1"
    assert len(done.stdout.splitlines()) == 61
    if sys.platform != "win32":
        python = shlex.quote(sys.executable)
        command = f"{python} -m tinyae.cli encode m.npz --data new.csv --out - | true"
        env = {**os.environ, "PYTHONPATH": str(Path(ta.__file__).parents[1])}
        piped = subprocess.run(command, shell=True, capture_output=True, env=env, check=False)
        assert b"Traceback" not in piped.stderr
        assert b"Broken" not in piped.stderr


# --- interruptions, settings ----------------------------------------------------------------------


def test_ctrl_c_saves_and_says_how_to_go_on(here, monkeypatch, capsys):
    write("pumps.csv", table())
    argv = [*TRAIN, "--epochs", "5"]
    assert main([*argv, "--out", "whole.npz"]) == 0
    fit = ta.fit

    def interrupted(*args, **settings):
        def stop(epoch):
            if epoch.epoch == 3:
                raise KeyboardInterrupt

        return fit(*args, **settings, on_epoch=stop)

    monkeypatch.setattr(ta, "fit", interrupted)
    assert main([*argv, "--out", "part.npz"]) == 130
    said = capsys.readouterr().err
    assert ta.load("part.npz").scaler is not None
    command = re.search(r"to go on from the last checkpoint: tinyae (.*)", said)[1]
    monkeypatch.setattr(ta, "fit", fit)
    assert main(shlex.split(command)) == 0
    x = table()
    np.testing.assert_array_equal(ta.load("part.npz").encode(x), ta.load("whole.npz").encode(x))


def test_learning_from_the_normal_class_alone(here, capsys):
    write("pumps.csv", table(240, 40), 40)
    assert main([*TRAIN, "--epochs", "1", "--normal", "0"]) == 0
    assert re.search(r"1\d\d samples of 4 to learn from, \d\d held", capsys.readouterr().out)
    normal = ta.Scaler.standard(table(240, 40)[40:])
    found = ta.load("model.npz").scaler
    np.testing.assert_allclose(found.scale, normal.scale, rtol=0.1)
    assert main([*TRAIN, "--normal", "2", "--force"]) == 2
    assert "--normal is '2', and the classes are 0, 1" in capsys.readouterr().err
    assert main(["train", "--data", "pumps.csv", "--normal", "0", "--force"]) == 2
    assert "pass --label with the column that has them" in capsys.readouterr().err


def test_options_from_a_toml_file(here, capsys):
    write("pumps.csv", table())
    Path("pumps.toml").write_text(
        'data = "pumps.csv"\nlabel = "fault"\nunits = [6, 3]\nepochs = 1\nquiet = true\n'
        'model = "denoising"\nnoise = 0.1\nlearning_rate = 1e-2\n'
    )
    pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    assert main(["train", "--config", "pumps.toml", "--noise", "0.4"]) == 0
    model = ta.load("model.npz")
    assert model.corruption.std == 0.4
    assert model.encode(table()).shape == (240, 3)
    Path("bad.toml").write_text("units = [[1]]")
    assert main(["train", "--config", "bad.toml"]) == 2
    assert "units is [[1]]" in capsys.readouterr().err
    Path("bad.toml").write_text("units = ")
    assert main(["train", "--config", "bad.toml"]) == 2
    assert "is no TOML" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([*TRAIN, "--noise", "0.1"], "--noise does nothing for --model plain"),
        ([*TRAIN, "--model", "variational", "--output", "linear"], "--output does nothing"),
        (
            [*TRAIN, "--model", "sparse", "--code-activation", "tanh"],
            "--code-activation does nothing",
        ),
        ([*TRAIN, "--image-size", "8"], "--image-size is for pictures, but pumps.csv is a table"),
        (["train", "--data", "strokes", "--label", "y"], "--label is for tables"),
        (
            [*TRAIN, "--columns", "temp", "flux"],
            "no column 'flux' for --columns; it has time, temp",
        ),
        ([*TRAIN, "--resume", "no.npz"], "there is no checkpoint no.npz"),
        ([*TRAIN, "--model", "gan", "--weight", "1"], "--weight does nothing for --model gan"),
        (["train", "--data", "pumps.csv", "--model", "conditional"], "needs classes 0, 1"),
    ],
)
def test_options_that_do_nothing_are_named(argv, says, here, capsys):
    write("pumps.csv", table())
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


def test_bare_prints_help_and_nothing_shows_a_traceback(monkeypatch, capsys):
    assert main([]) == 0
    assert "usage: tinyae" in capsys.readouterr().out

    def broken(*args):
        raise RuntimeError("odd")

    monkeypatch.setattr("tinyae.data.load", broken)
    monkeypatch.setattr("tinyae.data.DATASETS", {"odd": ""})
    assert main(["train", "--data", "odd"]) == 2
    assert "--debug" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="odd"):
        main(["train", "--data", "odd", "--debug"])


# --- every kind -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["learn", "06"], "to begin an exercise: `tinyae learn start 06`"),
        (["trian"], "there is no verb 'trian'; did you mean train?"),
        (["data"], "data: a verb is missing; `tinyae data --help` lists them"),
        (["train"], "train: --data is missing; pass e.g. `tinyae train --data"),
        (["train", "--data"], "train: --data has no value; pass one after it"),
        (
            ["train", "--data", "x.csv", "--epoch", "3"],
            "train: there is no option --epoch; did you",
        ),
        (["train", "--data", "x.csv", "y.csv"], "train: 'y.csv' is one word too many"),
        (["train", "--data", "x.csv", "--epochs", "ten"], "--epochs is 'ten', expected a whole"),
        (["train", "--data", "x.csv", "--epochs", "0"], "--epochs is 0, expected a positive int"),
        (["train", "--data", "x.csv", "--model", "vae"], "--model is 'vae', expected one of plain"),
        (["score"], "score: model, --data are missing; pass e.g. `tinyae score model.npz"),
    ],
)
def test_a_wrong_call_is_one_line_that_says_what_to_do(argv, says, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("tinyae: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["-o", "m.onnx", "--frozen", "encoder"], "--frozen is for C headers, m.onnx is an ONNX"),
        (["-o", "m.js", "--frozen", "encoder"], "--frozen is for C headers, m.js is JavaScript"),
        (["-o", "m.h", "--frozen", "encoder"], "--frozen does nothing without --train"),
        (
            ["-o", "m.h", "--calibration", "new.csv"],
            "--calibration does nothing without --quantize",
        ),
        (["-o", "m.h", "--quantize", "int8"], "--quantize does nothing without --calibration"),
    ],
)
def test_export_takes_no_option_that_does_nothing(argv, says, there, capsys):
    assert main(["export", "m.npz", *argv]) == 2
    assert says in capsys.readouterr().err
    assert not Path(argv[1]).exists()


def test_export_reads_the_columns_that_the_model_learnt_from(there):
    argv = ["export", "m.npz", "-o", "q.h", "--quantize", "int8", "--calibration", "new.csv"]
    assert main(argv) == 0
    assert "int8_t" in Path("q.h").read_text()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--output", "sigmoid"], ": pass --scale minmax, or leave out --output"),
        (["--loss", "bce"], ": pass --scale minmax, or --loss mse"),
        (["--scale", "none"], "decide what is learnt; pass --scale standard"),
        (["--delimiter", "xx"], "--delimiter is 'xx', expected one character, tab or space"),
        (["--config", "absent.toml"], "tinyae: absent.toml: no such file or directory; check"),
        (["--model", "gan", "--activation", "tanh"], "--activation does nothing for --model gan"),
    ],
)
@pytest.mark.filterwarnings("default::UserWarning")
def test_advice_names_options(argv, says, here, capsys):
    write("pumps.csv", table())
    main(["train", "--data", "pumps.csv", "--epochs", "1", "--quiet", *argv])
    said = capsys.readouterr().err
    assert says in said
    for python in ("scaler =", "x.min()", "MSE()", "Errno", "Cosine("):
        assert python not in said


READING = {
    "info": [], "explain": [], "export": ["-o", "x.h"], "sample": [], "decode": ["--codes", "t.csv"],
    "evaluate": ["--data", "t.csv"], "encode": ["--data", "t.csv"], "score": ["--data", "t.csv"],
    "reconstruct": ["--data", "t.csv"], "interpolate": ["--data", "t.csv"],
    "denoise": ["--data", "t.csv"], "report": ["--data", "t.csv", "--out", "r.html"],
}  # fmt: skip


@pytest.mark.parametrize("verb", READING)
def test_no_verb_shows_a_traceback_for_a_file_that_is_no_model(verb, here, capsys):
    Path("t.csv").write_text("a,b\n1,2\n3,4\n")
    Path("empty.npz").touch()
    Path("cut.npz").write_bytes(b"PK\x03\x04 and then nothing")
    np.savez("arrays.npz", a=np.zeros(3))
    Path("folder").mkdir()
    for name in ("missing.npz", "empty.npz", "cut.npz", "arrays.npz", "folder", "t.csv"):
        assert main([verb, name, *READING[verb]]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"tinyae: load: {name}") or "there is no file missing.npz" in said
        assert said.count("\n") == 1
        assert "should not happen" not in said


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["export", "m.npz", "-o", "x.h", "--name", "1a"], "pass e.g. --name ae"),
        (["export", "m.npz", "-o", "x.h", "--threshold", "nan"], "pass e.g. --threshold 0.02"),
        (["export", "m.npz", "-o", "none/x.h"], "does not exist; make it, or pass another path"),
        (["info", "m.npz", "--shape", "-1"], "pass e.g. --shape 1 28 28"),
        (["diagnose", "net.py"], "names no function"),
        (["diagnose", "bad.py:f", "--input", "x=2,3"], "bad.py"),
        (["diagnose", "raises.py:f", "--input", "x=2,3"], "oops"),
        (["diagnose", "none.py:f", "--input", "x=2,3"], "none.py"),
        (["learn", "start", "99"], "there is no exercise '99'"),
        (["train", "--data", "new.csv", "--config", "noise.bin"], "--config noise.bin is no TOML"),
        (
            ["train", "--data", "new.csv", "--resume", "new.csv"],
            "new.csv: not an npz archive, so not a checkpoint; pass a file that `tinyae train --chec",
        ),
        (
            ["train", "--data", "new.csv", "--resume", "m.npz", "--units", "8", "2"],
            "m.npz: not a checkpoint; pass a file that `tinyae train --checkpoint` wrote",
        ),
        (["score", "m.npz", "--data", "noise.csv"], "noise.csv is not text in UTF-8"),
        (
            ["train", "--data", "new.csv", "--accept-changes", "data"],
            "--accept-changes does nothing without --resume; leave it out",
        ),
        (
            ["train", "--data", "new.csv", "--pictures", "new.csv"],
            "--pictures new.csv is a file, expected a folder; pass another name",
        ),
        (
            ["train", "--data", "turns.csv", "--label", "kind", "--normal", "red"],
            "none of the 4 rows held out has class red; pass more rows, or the same in another order",
        ),
        (["train", "--data", "far.csv"], "line 2, column id of far.csv is inf"),
        (
            ["train", "--data", "none.csv"],
            "none.csv has no line of numbers; pass a table with rows",
        ),
        (["train", "--data", "two.npz"], "has the keys a, b; expected one array, or x and y"),
        (["train", "--data", "no.wav"], "is no WAV file of whole numbers (it ends early)"),
        (
            ["train", "--data", "new.csv", "--label", "fault", "--learning-rate", "1e9"],
            "lower the learning rate (it was 1e+09) with --learning-rate. ",
        ),
        (
            ["train", "--data", ".", "--out", "m.npz", "--force"],
            "m.npz is a file in the folder of --data",
        ),
        (["evaluate", "new.csv", "--data", "new.csv"], "pass a file that `tinyae train` wrote"),
    ],
)
def test_odd_input_is_one_line_that_says_what_to_do(argv, says, there, capsys):
    for name in ("noise.bin", "noise.csv"):
        Path(name).write_bytes(bytes(range(256)))
    Path("far.csv").write_text(f"id,a\n{10**400},1\n{10**400},2\n{10**400},3\n{10**400},4\n")
    Path("none.csv").write_text("")
    turns = "".join(f"{k % 7},{('red', 'blue')[k % 2]}\n" for k in range(40))
    Path("turns.csv").write_text("a,kind\n" + turns)
    Path("no.wav").write_bytes(b"no")
    np.savez("two.npz", a=np.ones((3, 2)), b=np.ones((3, 2)))
    Path("net.py").write_text("def f(x):\n    return x\n")
    Path("bad.py").write_text("def f(x:\n")
    Path("raises.py").write_text("raise RuntimeError('oops')\n")
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert "warning" not in said
    assert "should not happen" not in said


def test_a_checkpoint_is_no_model_and_info_tells_what_a_game_can_do(here, capsys):
    np.save("x.npy", np.random.default_rng(0).random((40, 3)))
    argv = ["train", "--data", "x.npy", "--epochs", "1", "--quiet", "--units", "4", "2", "--force"]
    assert main([*argv, "--checkpoint", "c.npz", "--model", "gan"]) == 0
    assert main(["info", "model.npz"]) == 0
    assert main(["info", "model.npz", "--part", "encoder"]) == 2
    assert "expected 'decoder'" in capsys.readouterr().err
    assert main(["info", "c.npz"]) == 2
    assert "go on from it with `tinyae train --resume`" in capsys.readouterr().err


def test_training_says_where_pca_is_ahead_and_its_advice_helps(here, capsys):
    write("pumps.csv", table(100))
    argv = [*TRAIN, "--out", "m.npz", "--force", "--learning-rate", "1e-6", "--epochs", "1"]
    assert main([*argv, "--scale", "minmax", "--output", "sigmoid"]) == 0
    said = capsys.readouterr().out
    assert "PCA of the same code size is ahead, " in said
    pca, own = map(float, re.search(r"ahead, ([\d.]+) to ([\d.]+):", said).groups())
    assert pca < own
    assert "--output linear" in said
    assert main([*argv, "--scale", "minmax", "--output", "linear"]) == 0
    assert "is ahead" not in capsys.readouterr().out


def test_training_starts_from_pca_and_never_ends_above_it(here, capsys):
    write("pumps.csv", table(100))
    argv = [*TRAIN, "--out", "m.npz", "--force"]
    errors = re.compile(r"(?:autoencoder|PCA, 2 components) +2 +([\d.]+)")
    assert main([*argv, "--learning-rate", "1.0", "--epochs", "3"]) == 0  # makes it only worse
    said = capsys.readouterr()
    own, pca = errors.findall(said.out)
    assert own == pca
    assert "than PCA, where the network starts: that is kept" in said.err
    assert main([*argv, "--epochs", "60", "--learning-rate", "0.01"]) == 0
    said = capsys.readouterr()
    own, pca = map(float, errors.findall(said.out))
    assert own < pca
    assert "that is kept" not in said.err
    assert main([*argv, "--model", "denoising", "--epochs", "2"]) == 0
    assert "Skip(" in capsys.readouterr().out


def test_without_units_a_code_has_as_many_numbers_as_pca_needs(here, capsys):
    x = table(200)
    write("pumps.csv", x)
    assert main([*TRAIN[:5], "--quiet", "--epochs", "1", "--out", "m.npz"]) == 0
    shares = np.cumsum(
        ta.metrics.PCA(4).fit(ta.Scaler.standard(x).apply(x)).explained_variance_ratio_
    )
    assert ta.load("m.npz").encode(x).shape == (200, 1 + np.searchsorted(shares, 0.9))


def test_pictures_in_0_to_1_start_from_pca_only_where_their_output_is_linear(here, capsys):
    pictures = np.random.default_rng(0).random((40, 1, 6, 5), dtype=np.float32)
    np.save("x.npy", pictures)
    argv = ["train", "--data", "x.npy", "--epochs", "1", "--quiet", "--force", "--units", "7", "3"]
    assert main(argv) == 0
    assert "Skip(" not in capsys.readouterr().out
    assert main([*argv, "--output", "linear"]) == 0
    assert "Skip(" in capsys.readouterr().out
    model = ta.load("model.npz")
    assert model.encode(pictures).shape == (40, 3)
    assert model.reconstruct(pictures).shape == pictures.shape


def test_too_few_rows_and_the_doctor_name_options_too(here, capsys):
    Path("one.csv").write_text("a,b\n1,2\n")
    assert main(["train", "--data", "one.csv"]) == 2
    assert "leaves none to train on; add more\n" in capsys.readouterr().err
    write("pumps.csv", table())
    assert main(["train", "--data", "pumps.csv", "--epochs", "2", "--quiet", "--units", "1"]) == 0
    assert "Cosine(" not in capsys.readouterr().out


def test_the_advice_that_is_reworded_is_still_given():
    root = Path(ta.__file__).parent
    source = " ".join(path.read_text() for path in root.rglob("*.py") if path.parent.name != "cli")
    joined = re.sub(r'"\s+f?"', "", source)
    assert [advice for advice in ADVICE if advice not in joined] == []


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["export", "m.npz", "-o", "m.txt"], "m.txt ends in .txt, which decides the format"),
        (["report", "m.npz", "--data", "new.csv", "-o", "r.txt"], "a name that ends in .html"),
        (
            ["decode", "m.npz", "--codes", "holes.csv", "--out", "-"],
            "column z1; correct the file\n",
        ),
    ],
)
def test_suffixes_and_advice_are_those_of_the_verb(argv, says, there, capsys):
    Path("holes.csv").write_text("z0,z1\n1,2\n3,\n")
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "--missing" not in said


def test_show_reads_a_table_as_train_does(there, capsys):
    assert main(["data", "show", "pumps.csv", "--force"]) == 0
    said = capsys.readouterr()
    assert "pumps.csv: temp, flow, pressure, vibration, fault" in said.out
    assert "column 1 (time) holds times and is taken for the index" in said.err
    assert Path("data.png").exists()


def test_info_says_what_a_model_carries(there, capsys):
    assert main(["info", "m.npz"]) == 0
    said = capsys.readouterr().out
    assert "scaler    of 4: data go in and out in their own units" in said
    assert "columns   temp, flow, pressure, vibration" in said
    assert re.search(r"threshold \d", said)


def test_a_conditional_model_is_trained_measured_and_used(here, capsys):
    x = table(120)
    labels = (x[:, 0] > 0).astype(int)
    np.savez("d.npz", x=x.astype(np.float32), y=labels)
    argv = ["train", "--data", "d.npz", "--model", "conditional", "--units", "8", "2", "--quiet"]
    assert main([*argv, "--epochs", "2", "--out", "c.npz"]) == 0
    assert main(["evaluate", "c.npz", "--data", "d.npz"]) == 0
    assert main(["encode", "c.npz", "--data", "d.npz"]) == 0
    assert main(["decode", "c.npz", "--codes", "codes.npy", "--label", "1"]) == 0
    assert main(["score", "c.npz", "--data", "d.npz"]) == 0
    assert main(["sample", "c.npz", "--n", "4", "--label", "0"]) == 0
    assert np.load("samples.npy").shape == (4, 4)
    np.savez("x.npz", x=x.astype(np.float32))
    capsys.readouterr()
    assert main(["evaluate", "c.npz", "--data", "x.npz"]) == 2
    assert "needs the class of each row" in capsys.readouterr().err


def test_a_gan_is_trained_and_drawn_from(here, capsys):
    write("pumps.csv", table())
    assert main([*TRAIN, "--model", "gan", "--epochs", "1"]) == 0
    assert main(["sample", "model.npz", "--n", "5", "--out", "g.csv"]) == 0
    assert list(rows_of("g.csv")[0]) == ["row", "temp", "flow", "pressure", "vibration"]
    assert float(rows_of("g.csv")[0]["pressure"]) > 50_000
    assert main(["evaluate", "model.npz", "--data", "pumps.csv"]) == 2
    assert "holds a GAN, which has no encoder" in capsys.readouterr().err


def test_a_denoiser_is_measured_on_noisy_rows(here, capsys):
    write("pumps.csv", table())
    assert main([*TRAIN, "--model", "denoising", "--noise", "0.3", "--epochs", "3"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^noisy .* dB|^noisy ", out, re.MULTILINE)
    assert "autoencoder, denoised" in out
    assert "PCA on noisy, 2 components" in out
    noise = float(re.search(r"^noisy\s+(\S+)", out, re.MULTILINE)[1])
    assert 0.06 < noise < 0.12  # 0.3² of the scaled rows
    assert main(["denoise", "model.npz", "--data", "pumps.csv", "--out", "d.csv"]) == 0
    assert list(rows_of("d.csv")[0])[:2] == ["time", "temp"]
    assert main([*TRAIN, "--epochs", "1", "--out", "plain.npz"]) == 0
    assert main(["denoise", "plain.npz", "--data", "pumps.csv", "--out", "e.csv"]) == 2
    assert "has not learnt to remove noise" in capsys.readouterr().err


def test_interpolate_goes_from_row_to_row(there, capsys):
    argv = ["interpolate", "m.npz", "--data", "new.csv", "--force", "--from", "7", "--to", "9"]
    assert main([*argv, "--steps", "5", "--out", "p.npy"]) == 0
    y = ta.load("m.npz").reconstruct(table(60, 5, 1))
    np.testing.assert_allclose(np.load("p.npy")[[0, -1]], y[[7, 9]], rtol=1e-3, atol=1e-4)
    assert main([*argv[:-1], "99"]) == 2
    assert "--to is 99, expected a row from 0 to 59" in capsys.readouterr().err


# --- tables as they come --------------------------------------------------------------------------


def rows_from(text: str, **options):
    Path("t.csv").write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return read("t.csv", table=TableOptions(**options)).part()


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1.5,1000.5\n2,3\n",
        "\ufeffa;b\r\n1,5;1000,5\r\n2;3\r\n",
        "a\tb\n1.5\t1000.5\n\n2\t3\n",
        'a,b\n1.5,"1,000.5"\n2,3\n',
        'a;b\n"1,5";"1.000,5"\n2;3\n',
        "a|b\n1.5|1000.5\n2|3",
        "a,b,\n1.5,1000.5,\n2,3,\n",
        'a,b\n"1.5","1000.5"\n"2","3"\n',
    ],
)
def test_delimiters_marks_and_thousands(text, here):
    rows = rows_from(text)
    np.testing.assert_array_equal(rows.x, [[1.5, 1000.5], [2, 3]])
    assert rows.columns == ["a", "b"]


@pytest.mark.parametrize(
    "time",
    ["2026-01-02 03:04:05", "2026-01-02T03:04:05Z", "02.01.2026 03:04", "2026/01/02", "03:04:05"],
)
def test_times_become_the_index(time, here):
    rows = rows_from(f"when,a,b\n{time},1,2\n{time},3,4\n")
    assert rows.index == [time, time]
    assert rows.index_name == "when"
    assert "holds times and is taken for the index" in rows.notes[0]
    np.testing.assert_array_equal(rows.x, [[1, 2], [3, 4]])


GAPS = "id,a,b\n7,1,2\n8,,4\n9,3,NA\n"


def test_gaps_are_named_dropped_or_filled(here):
    with pytest.raises(ValueError, match=r"has 2 gaps, the first in line 3, column a; .*--missing"):
        rows_from(GAPS, index="id")
    dropped = rows_from(GAPS, index="id", missing="drop")
    np.testing.assert_array_equal(dropped.x, [[1, 2]])
    assert dropped.index == ["7"]
    filled = rows_from(GAPS, index="id", missing="mean")
    np.testing.assert_array_equal(filled.x, [[1, 2], [2, 4], [3, 3]])
    assert filled.index == ["7", "8", "9"]


def test_gaps_are_filled_with_the_means_of_what_the_model_learnt_from(here, capsys):
    """Not with those of the rows that are scored: they would change with their neighbours."""
    x = table(200)
    write("pumps.csv", x)
    text = Path("pumps.csv").read_text().splitlines()
    gap = text[5].split(",")
    text[5] = ",".join([gap[0], "", *gap[2:]])
    Path("pumps.csv").write_text("\n".join(text))
    assert main([*TRAIN, "--missing", "mean", "--epochs", "3", "--out", "m.npz"]) == 0
    model = ta.load("m.npz")
    rows = read("pumps.csv", table=TableOptions(label="fault", missing="mean"))
    learnt = np.where(rows.part("train").gaps, np.nan, rows.part("train").x)
    np.testing.assert_allclose(model.fill, np.nanmean(learnt, axis=0))
    assert not np.allclose(
        model.fill, np.nanmean(np.where(rows.part().gaps, np.nan, rows.part().x), 0)
    )
    filled = [f"{v:.17g}" for v in (model.fill[0], *x[7, 1:])]
    lines = [text[0], ",".join(["t", *filled, "0"]), ",".join(["t", "", *filled[1:], "0"])]
    for k in (1, 2):
        Path(f"{k}.csv").write_text("\n".join([lines[0], lines[k]]))
        score = ["score", "m.npz", "--data", f"{k}.csv", "--out", f"s{k}.npy", "--index", "time"]
        assert main([*score, "--missing", "mean"]) == 0
    assert np.load("s1.npy") == pytest.approx(np.load("s2.npy"), rel=1e-5)
    said = capsys.readouterr()
    assert "filled with the mean of the data that the model learnt from" in said.err
    assert main(["info", "m.npz"]) == 0
    assert "--missing mean fills them" in capsys.readouterr().out
    model.fill = None  # as in a file from before
    model.save("old.npz")
    argv = [
        "score",
        "old.npz",
        "--data",
        "2.csv",
        "--index",
        "time",
        "--missing",
        "mean",
        "--force",
    ]
    assert main(argv) == 2
    assert "old.npz carries no means" in capsys.readouterr().err


def test_a_label_with_gaps_is_scored_with_a_class_for_them(here, capsys):
    write("pumps.csv", table(100, 9), 9)
    text = Path("pumps.csv").read_text().splitlines()
    text[20] = text[20][:-1]
    Path("pumps.csv").write_text("\n".join(text))
    assert main([*TRAIN, "--epochs", "2", "--normal", "0", "--out", "m.npz"]) == 0
    assert "the label, has 1 gap: class 'missing'" in capsys.readouterr().err
    argv = ["score", "m.npz", "--data", "pumps.csv", "--label", "fault", "--out", "s.csv"]
    assert main(argv) == 0
    labels = [row["label"] for row in csv.DictReader(io.StringIO(Path("s.csv").read_text()))]
    assert labels == ["1"] * 9 + ["0"] * 10 + ["missing"] + ["0"] * 80


def test_text_is_named_and_encoded_by_choice(here):
    text = "a,state\n1,on\n2,off\n"
    with pytest.raises(
        ValueError, match=r"column 2 \(state\) .* 'on' in line 2; pass --label .*--one-hot"
    ):
        rows_from(text)
    rows = rows_from(text, one_hot=["state"])
    assert rows.columns == ["a", "state=off", "state=on"]
    np.testing.assert_array_equal(rows.x, [[1, 0, 1], [2, 1, 0]])
    again = rows_from("state,a\noff,5\nbroken,6\n", columns=rows.columns)
    np.testing.assert_array_equal(again.x, [[5, 1, 0], [6, 0, 0]])
    assert rows_from(text, label="state").y.tolist() == [1, 0]
    assert rows_from(text, index="2").index == ["on", "off"]


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        (["1'234.5", "-7", "8"], [1234.5, -7, 8]),
        (["1\u202f234.5", "\u22127", "8"], [1234.5, -7, 8]),
        (["1 234 567", "\u22120.5", "1e3"], [1234567, -0.5, 1000]),
    ],
)
def test_numbers_are_read_as_people_write_them(cells, column, here):
    Path("x.csv").write_text("a,b\n" + "".join(f"{cell},1\n" for cell in cells))
    np.testing.assert_array_equal(read("x.csv").part().x[:, 0], column)


@pytest.mark.parametrize("gap", ["<NA>", "NaT", "n.a.", "--", "#DIV/0!", "NULL"])
def test_what_programs_write_for_a_gap_is_one(gap, here):
    Path("x.csv").write_text(f"a,b\n1,2\n3,{gap}\n5,6\n")
    with pytest.raises(ValueError, match=r"has 1 gap, the first in line 3, column b"):
        read("x.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\nmm,V\n" + "1,2\n" * 20, "'mm' in line 2; only 1 cell is no number: correct it"),
        (
            "a;b\n" + "1,5;2\n" * 20 + "1,5;x7\n",
            "column 2 (b) of x.csv holds text, 'x7' in line 22",
        ),
        ("a,b\n" + "".join(f"{k} mm,2\n" for k in range(30)), "for numbers, write 0 without a"),
        ("a,b\n" + "1,good\n2,bad\n" * 9, "pass --label 'b' if these are classes"),
        ("id,b\n" + "".join(f"P{k},2\n" for k in range(50)), "in line 2; pass --index 'id' to"),
    ],
)
def test_the_advice_fits_the_text_in_a_column(text, says, here):
    Path("x.csv").write_text(text)
    with pytest.raises(ValueError, match=re.escape(says)):
        read("x.csv")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("# logger 3\n# site\na,b\n1,2\n3,4\n", ["a", "b"]),
        ("# a,b\n1,2\n3,4\n", ["a", "b"]),
        ("# a b\n 1.0   2.0\n 3.0   4.0\n", ["a", "b"]),
        ("a b\n1 2\n3 4\n", ["a", "b"]),
    ],
)
def test_comments_above_and_blanks_between(text, names, here):
    Path("x.txt").write_text(text)
    rows = read("x.txt").part()
    assert rows.columns == names
    np.testing.assert_array_equal(rows.x, [[1, 2], [3, 4]])


@pytest.mark.parametrize("asked", [None, ("a",)])
def test_a_date_and_a_time_of_day_are_one_index(asked, here):
    Path("x.csv").write_text("Date,Time,a\n01/02/2024,12:00 AM,1\n01/02/2024,1:30 PM,2\n")
    rows = read("x.csv", table=TableOptions(columns=asked)).part()
    assert rows.columns == ["a"]
    assert rows.index_name == "Date Time"
    assert rows.index == ["01/02/2024 12:00 AM", "01/02/2024 1:30 PM"]


def test_columns_that_name_the_rows_are_noticed(here):
    lines = [f"{k},{1700000000 + 60 * k},{0.1 * k:.1f},{k % 3}" for k in range(40)]
    Path("x.csv").write_text("\n".join(["id,at,a,kind", *lines]))
    notes = " ".join(read("x.csv").part().notes)
    assert "column 1 (id) counts the rows: if it only names them, pass --index 'id'" in notes
    assert "column 2 (at) seems to be a time in seconds since 1970" in notes
    Path("x.csv").write_text("\n".join([",a", *(f"{k},{k * k}.5" for k in range(20))]))
    rows = read("x.csv").part()
    assert rows.columns == ["a"]
    assert rows.index == [str(k) for k in range(20)]
    Path("x.csv").write_text("\n".join(f"{k / 7},{k % 3}" for k in range(40)))
    assert "column 2 has 3 whole values" in read("x.csv").part().notes[-1]


def test_a_column_that_the_model_lacks_is_told_of_the_model(there, capsys):
    Path("other.csv").write_text("temp,flow\n1,2\n3,4\n")
    assert main(["score", "m.npz", "--data", "other.csv", "--out", "-"]) == 2
    assert "no column 'pressure' for the model, which learnt from it" in capsys.readouterr().err


def test_a_label_in_the_last_column_is_noticed(here):
    lines = "\n".join(f"{k * 0.37},{k % 7},{k % 2}" for k in range(30))
    (note,) = rows_from(f"a,b,fault\n{lines}\n").notes
    assert "column 3 (fault) has two values: if it is a label, pass --label" in note
    assert "column 3 has two values" in rows_from(lines).notes[0]
    assert rows_from(f"a,b,fault\n{lines}\n", label="fault").notes == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n3\n", "line 3 of t.csv has 1 cell; expected 2"),
        ("a,b\n1,inf\n", "line 2, column b of t.csv is inf"),
        ("", "no line of numbers"),
        ("a,b\n", "no line of numbers"),
        ("when,x\n2026-01-01,on\n", r"column 2 \(x\)"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(text, says, here):
    with pytest.raises(ValueError, match=says):
        rows_from(text)


# --- pictures and sound ---------------------------------------------------------------------------


def test_a_folder_of_photographs_is_denoised_file_by_file(here, capsys):
    Image = pytest.importorskip("PIL.Image")
    os.mkdir("photos")
    rng = np.random.default_rng(0)
    for k in range(12):
        pixels = rng.integers(0, 255, (13, 17, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(f"photos/p{k:02}.png")
    argv = ["train", "--data", "photos", "--model", "denoising", "--channels", "4", "--quiet"]
    assert main([*argv, "--epochs", "2"]) == 0
    assert main(["denoise", "model.npz", "--data", "photos", "--out", "clean"]) == 0
    assert sorted(os.listdir("clean")) == sorted(os.listdir("photos"))
    with Image.open("clean/p03.png") as picture:
        assert picture.size == (17, 13)
    assert main(["denoise", "model.npz", "--data", "photos", "--out", "clean"]) == 2
    assert "clean is not empty" in capsys.readouterr().err
    assert main(["encode", "model.npz", "--data", "photos", "--out", "z.csv"]) == 0
    assert rows_of("z.csv")[3]["file"] == "p03.png"


def test_sound_goes_in_and_comes_out(here):
    signal = 0.5 * np.sin(np.arange(4000) / 5)
    for width, kind, scale in ((2, "<i2", 32767), (4, "<i4", 2**31 - 1)):
        with wave.open(f"{width}.wav", "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(width)
            file.setframerate(8000)
            file.writeframes(np.repeat(signal * scale, 2).astype(kind).tobytes())
        source = read(f"{width}.wav", window=100, hop=25)
        rows = source.part()
        assert rows.x.shape == (157, 100)
        np.testing.assert_allclose(rows.x[3], signal[75:175], atol=1e-4)
        assert rows.index[1] == "0.003125"
    argv = ["train", "--data", "2.wav", "--window", "100", "--hop", "50", "--units", "8", "--quiet"]
    assert main([*argv, "--epochs", "60", "--learning-rate", "0.01"]) == 0
    again = ["reconstruct", "model.npz", "--data", "2.wav", "--window", "100", "--hop", "50"]
    assert main([*again, "--out", "out.wav"]) == 0
    with wave.open("out.wav", "rb") as file:
        y = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    assert np.square(y[100:3900] - signal[100:3900]).mean() < 0.1 * signal.var()


def test_pictures_with_the_channels_last_are_turned(here):
    x = np.random.default_rng(0).integers(0, 255, (6, 9, 11, 3)).astype(np.uint8)
    np.save("p.npy", x)
    with pytest.warns(UserWarning, match="channels come last"):
        found = read("p.npy").part().x
    np.testing.assert_allclose(found, x.transpose(0, 3, 1, 2) / 255, rtol=1e-6)
