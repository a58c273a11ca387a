"""The quality benchmark: its shared code, and each recipe at small size."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


def load_quality():
    spec = importlib.util.spec_from_file_location("quality", ROOT / "benchmarks" / "quality.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


quality = load_quality()
WRITTEN = [
    name
    for name, (module, _) in quality.RECIPES.items()
    if (ROOT / "benchmarks" / "recipes" / f"{module}.py").exists()
]


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.recipes.common")


def test_every_recipe_is_written():
    assert list(quality.RECIPES) == WRITTEN


def test_list_names_each_with_its_question(capsys):
    quality.main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(quality.RECIPES)
    assert all(len(line) <= 100 for line in lines)


def test_each_name_has_its_function(monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(ROOT)])
    for name in WRITTEN:
        function = quality.recipe(name)
        assert function.__name__ == name
        assert quality.recipe(name) is function  # the module is imported once


def test_the_readme_tells_of_each_name():
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert [name for name in quality.RECIPES if f"`{name}`" not in text] == []


@pytest.mark.parametrize("arguments", [["nonsense"], [], ["deep", "--epochs", "0"]])
def test_wrong_arguments_are_named(arguments, capsys):
    with pytest.raises(SystemExit):
        quality.main(arguments)
    assert "usage" in capsys.readouterr().err


TWINS = {
    "deep_long",
    "burda_hour",
    "gan_fashion",
    "dcgan_fashion",
}  # variants that run the same code


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in TWINS else n for n in WRITTEN]
)
def test_a_quick_run_of_each(name, tmp_path, capsys):
    quality.main([name, "--quick", "--out", str(tmp_path / "new"), "--seed", "1"])
    out = capsys.readouterr().out
    assert f"{name}, seed 1" in out
    assert "figures without meaning" in out
    assert "NumPy" in out
    assert "---" in out  # a table
    assert str(tmp_path) not in out.splitlines()[-1]


# --- shared code of the recipes --------------------------------------------------------------


def test_table_aligns_its_columns(common, capsys):
    common.table("title", ["", "ours", "reach"], [["error", "0.5", "≤ 1"], ["seconds", 12, ""]])
    assert capsys.readouterr().out.splitlines() == [
        "",
        "title",
        "",
        "         ours  reach",
        "-------  ----  -----",
        "error     0.5    ≤ 1",
        "seconds    12",
        "",
    ]
    with pytest.raises(ValueError, match="1 cells, expected 2"):
        common.table("title", ["a", "b"], [["c"]])


def test_run_chooses_epochs_and_data(common, tmp_path):
    run = common.Run(out=tmp_path)
    assert run.number_of_epochs(25) == 25
    assert common.Run(quick=True).number_of_epochs(25) == 1
    assert common.Run(quick=True, epochs=3).number_of_epochs(25) == 3
    small = common.Run(quick=True).load("mnist", quick_rows=7)
    assert small.x_train.shape == small.x_test.shape == (7, 1, 28, 28)
    assert len(small.y_test) == 7
    assert common.Run(data="heartbeats").load("ecg5000").x_train.shape == (4000, 140)
    assert common.Run(quick=True).load("ecg5000", 9).x_test.shape == (9, 140)


def test_stopwatch_stops(common):
    with common.Stopwatch() as watch:
        inside = watch.seconds
    assert 0 <= inside <= watch.seconds
    assert watch.seconds == watch.seconds


def test_the_machine_line_has_versions_and_no_names(common):
    line = common.machine()
    assert np.__version__ in line
    assert "core" in line
    assert "\n" not in line
    assert "/" not in line


# --- heartbeats ------------------------------------------------------------------------------


@pytest.fixture
def ecg(common):
    return importlib.import_module("benchmarks.recipes.ecg")


def test_the_tutorials_split_is_scikit_learns(ecg):
    selection = pytest.importorskip("sklearn.model_selection")
    x = np.arange(5000)
    train, test = selection.train_test_split(x, test_size=0.2, random_state=21)
    ours = ecg.split(x, x, ecg.tutorial_order(5000), 0)
    np.testing.assert_array_equal(ours.x, train)
    np.testing.assert_array_equal(ours.x_test, test)


def test_a_split_keeps_each_beat_once(ecg):
    x = np.arange(13)
    trial = ecg.split(x, -x, np.random.default_rng(0).permutation(13), 0)
    assert len(trial.x) == 11
    np.testing.assert_array_equal(np.sort(np.append(trial.x, trial.x_test)), x)
    np.testing.assert_array_equal(trial.y_test, -trial.x_test)


def test_smoothing_keeps_a_level_and_averages_noise(ecg):
    residual = np.ones((2, 140))
    np.testing.assert_allclose(ecg.smooth(residual)[:, 4:-4], 1)
    noise = np.random.default_rng(0).normal(size=(50, 140))
    assert np.square(ecg.smooth(noise)).mean() < 0.2


@pytest.mark.real_data
def test_the_tutorials_protocol_reaches_its_figures(ecg):
    """One network on the notebook's own split: 0.945 / 0.992 / 0.909 are published."""
    data = importlib.import_module("tinyae.data").load("ecg5000")
    x = np.concatenate([data.x_train, data.x_test])
    y = np.concatenate([data.y_train, data.y_test])
    t = ecg.split(x, y, ecg.tutorial_order(5000), 0)
    low, high = t.x.min(), t.x.max()
    normal, test = (t.x[t.y == 1] - low) / (high - low), (t.x_test - low) / (high - low)
    *_, (_, score, _) = ecg.tutorial_scores(normal, 0, 20)
    losses = score(normal)
    accuracy, precision, recall, auc, _ = ecg.judge(
        score(test), t.y_test, losses.mean() + losses.std(), 0.0
    )
    assert accuracy > 0.943
    assert precision > 0.988
    assert recall > 0.909
    assert auc > 0.96


def test_the_denoiser_is_the_tutorials(common):
    denoiser = importlib.import_module("benchmarks.recipes.denoiser")
    pair = denoiser.network((1, 28, 28), np.random.default_rng(0))
    model = importlib.import_module("tinyae").DenoisingAutoencoder(
        *pair, importlib.import_module("tinyae").MSE(), denoiser.NOISE
    )
    assert denoiser.parameters(model) == 3217
