"""The history that a model keeps in its file: the same curves, few bytes, and the same file again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae.training.carried import as_table, from_table
from tinyae.training.history import Epoch, History

X = np.random.default_rng(0).random((60, 6), dtype=np.float32)


def trained(**more: Any) -> tuple[Any, History]:
    pair = ta.dense_encoder_decoder((6,), [4, 2], output=None, rng=np.random.default_rng(0))
    model = ta.Autoencoder(*pair, ta.MSE())
    with ta.kernels.use("numpy"):
        given = {"epochs": 5, "validation": X[40:], "progress": False, **more}
        return model, ta.fit(model, X[:40], **given)


numbers = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.tuples(numbers, numbers, numbers, st.floats(2**-16, 1, width=32)), min_size=1))
def test_a_table_gives_the_history_again(rows: list[tuple[float, ...]]) -> None:
    history = History(
        [
            Epoch(k, {"total": a, "kl": b}, {"total": c, "kl": c}, 1.0, rate)
            for k, (a, b, c, rate) in enumerate(rows, 1)
        ]
    )
    table = as_table(history)
    back = from_table(table)
    assert back.names == history.names
    for name in history.names:
        if name != "seconds":
            np.testing.assert_array_equal(back[name], history[name])
    assert len(table[2]) <= 4  # two terms of validation are equal


def test_the_file_keeps_it(tmp_path: Path) -> None:
    model, history = trained()
    model.save(tmp_path / "m.npz")
    kept = ta.load(tmp_path / "m.npz").history
    assert kept.names == history.names
    assert len(kept) == 5
    for name in ("total", "validation.total", "reconstruction", "learning_rate"):
        np.testing.assert_allclose(kept[name], history[name], rtol=1e-6)
    assert kept.best_epoch == history.best_epoch
    assert np.isnan(kept["seconds"]).all()
    assert "best" in repr(kept)


def test_the_same_training_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        trained()[0].save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_it_takes_few_bytes(tmp_path: Path) -> None:
    model, _ = trained(epochs=200)
    model.save(tmp_path / "with.npz")
    model.history = None
    model.save(tmp_path / "without.npz")
    assert ta.load(tmp_path / "without.npz").history is None
    more = os.path.getsize(tmp_path / "with.npz") - os.path.getsize(tmp_path / "without.npz")
    assert more < 1000 + 200 * 3 * 4  # total, its validation and the learning rate in float32


def test_the_last_training_counts() -> None:
    model, _ = trained()
    with ta.kernels.use("numpy"):
        history = ta.fit(model, X, epochs=2, progress=False)
        assert len(model.history) == len(history) == 2
        with pytest.raises(ta.TrainingDiverged):
            ta.fit(model, X, epochs=2, optimizer=ta.SGD(1e20), progress=False)
    assert len(model.history) == 2  # none of its epochs was finished


def test_a_copy_has_it_and_an_untrained_model_has_none() -> None:
    model, _ = trained()
    assert len(model.astype(np.float64).history) == 5
    pair = ta.dense_encoder_decoder((6,), [2], rng=np.random.default_rng(0))
    assert ta.Autoencoder(*pair, ta.MSE()).history is None


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        ([1, 2], TypeError, "history is a list, expected what fit returned"),
        ((("total",), (0,), np.zeros((1, 2), np.float32)), ValueError, "it was altered"),
        ((("total", "learning_rate"), (0, 2), np.zeros((2, 2), np.float32)), ValueError, "altered"),
        ((("total", "learning_rate"), (0, 1), np.zeros((2, 2))), ValueError, "altered"),
    ],
)
def test_what_is_no_history_is_refused(value: Any, kind: type, says: str) -> None:
    model, _ = trained(epochs=1)
    with pytest.raises(kind, match=says):
        model.history = value
    assert len(model.history) == 1


def test_a_report_needs_no_history_beside_the_file(tmp_path: Path) -> None:
    model, _ = trained()
    model.save(tmp_path / "m.npz")
    page = ta.report(ta.load(tmp_path / "m.npz"), X).html
    assert "trained for 5 epochs" in page
    assert "An epoch took" not in page  # that is not kept
    assert "there are no curves" not in page
