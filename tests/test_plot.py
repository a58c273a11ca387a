"""Figures: their content is read back from the figure objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyae import plot
from tinyae.training import Epoch, History

pytest.importorskip("matplotlib")

g = np.random.default_rng(0)


def history(epochs: int, validation: bool = True, floor: float = 0.01) -> History:
    values = [floor + 0.1 * 0.5**k for k in range(epochs)]
    records = []
    for k, v in enumerate(values):
        held_out = {"total": 1.1 * v + 0.002 * abs(k - 3)} if validation else {}
        records.append(Epoch(k + 1, {"total": v}, held_out, 1.0, 1e-3))
    return History(records)


def texts(figure: Any) -> str:
    """All texts in a figure."""
    import matplotlib.text

    return " | ".join(t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text())


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


NAMES = ["temperature in °C", "pressure in Pa", "flow"]


def table(rows: int) -> np.ndarray:
    """Columns in units that lie far apart; the last is constant."""
    return np.stack([20 + g.random(rows), 1e5 + 2e3 * g.random(rows), np.full(rows, 3.0)], axis=1)


FIGURES = {
    "images": lambda path: plot.reconstructions(
        g.random((12, 1, 8, 8)), g.random((12, 1, 8, 8)), path
    ),
    "one image": lambda path: plot.reconstructions(g.random((1, 8, 6)), g.random((1, 8, 6)), path),
    "colour": lambda path: plot.reconstructions(
        g.random((3, 3, 8, 8)), g.random((3, 3, 8, 8)), path
    ),
    "signals": lambda path: plot.reconstructions(g.random((7, 40)), g.random((7, 40)), path),
    "one signal": lambda path: plot.reconstructions(g.random((1, 1, 9)), g.random((1, 1, 9)), path),
    "equal": lambda path: plot.reconstructions(np.zeros((2, 5, 5)), np.zeros((2, 5, 5)), path),
    "training": lambda path: plot.training_curves(history(12), path),
    "one epoch": lambda path: plot.training_curves(history(1, validation=False), path),
    "map": lambda path: plot.latent_map(g.random((50, 2)), g.integers(0, 10, 50), path),
    "map, 5-d": lambda path: plot.latent_map(g.random((50, 5)), None, path),
    "map, names": lambda path: plot.latent_map(g.random((4, 2)), np.array(list("abab")), path),
    "map, scale": lambda path: plot.latent_map(g.random((50, 2)), g.random(50), path),
    "filters": lambda path: plot.filters(g.normal(size=(120, 36)), path),
    "kernels": lambda path: plot.filters(g.normal(size=(4, 3, 3, 5)), path),
    "page": lambda path: plot.page(g.random((13, 1, 6, 6)), path),
    "page, colour": lambda path: plot.page(g.random((3, 3, 6, 6)), path),
    "not finite": lambda path: plot.reconstructions(
        g.random((2, 4, 4)), np.full((2, 4, 4), [np.nan, np.inf, 1, -np.inf]), path
    ),
    "page, lines": lambda path: plot.page(g.random((3, 40)), path, title="three signals"),
    "page, table": lambda path: plot.page(table(60), path, column_names=NAMES, title="pumps"),
    "page, wide table": lambda path: plot.page(g.random((3, 20)), path),
    "table": lambda path: plot.reconstructions(table(60), table(60), path, column_names=NAMES),
    "wide table": lambda path: plot.reconstructions(
        g.random((9, 50)), g.random((9, 50)), path, column_names=[f"c{k}" for k in range(50)]
    ),
    "table without names": lambda path: plot.reconstructions(table(2), table(2), path),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_picture_is_returned_and_written(name: str, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    path = tmp_path / "picture.png"
    assert isinstance(FIGURES[name](path), Figure)
    width, height = png_size(path)
    assert 400 <= width <= 1600
    assert 100 <= height <= 2400
    assert FIGURES[name](None) is not None
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


def test_the_suffix_chooses_the_format(tmp_path: Path) -> None:
    plot.page(g.random((2, 4, 4)), tmp_path / "page.svg")
    assert b"<svg" in (tmp_path / "page.svg").read_bytes()


def test_no_pyplot() -> None:
    """No window can open: pyplot is not imported."""
    code = (
        "import sys, numpy as np; from tinyae import plot; assert 'matplotlib' not in sys.modules; "
        "plot.page(np.ones((2, 4, 4))); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        plot.page(np.ones((2, 4, 4)))


def test_reconstructions_show_the_numbers() -> None:
    x, y = g.random((3, 1, 8, 8)), g.random((3, 1, 8, 8))
    before = x.copy()
    figure = plot.reconstructions(x, y, n=2)
    pictures = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(pictures) == 6
    np.testing.assert_allclose(pictures[4].get_array(), (y - x)[0, 0])
    low, high = pictures[4].get_clim()
    assert low == -high == -np.abs(y - x)[:2].max()  # white is zero
    assert pictures[0].get_clim() == pictures[2].get_clim()  # one scale for input and output
    said = texts(figure)
    for word in (
        "input",
        "output",
        "difference",
        "output − input",
        f"{np.mean((x - y)[1] ** 2):.4f}",
    ):
        assert word in said
    assert np.array_equal(x, before)


def test_signals_are_lines() -> None:
    x, y = g.random((2, 30)), g.random((2, 30))
    figure = plot.reconstructions(x, y)
    lines = [line.get_ydata() for line in figure.axes[0].lines]
    np.testing.assert_array_equal(lines, [x[0], y[0]])


def test_a_table_is_drawn_column_by_column_on_their_own_scales() -> None:
    x, y = table(40), table(40)
    figure = plot.reconstructions(x, y, column_names=NAMES)
    axis = figure.axes[0]
    assert "time step" not in texts(figure)
    for k, name in enumerate(NAMES):
        low, high = x[:, k].min(), x[:, k].max()
        ends = [plot._number(v) for v in (low, high if high > low else low + 1)]
        assert f"{name}   {' … '.join(ends)}" in texts(figure)
        assert f"{plot._number(x[0, k])} → {plot._number(y[0, k])}" in texts(figure)
    span = np.ptp(x, axis=0) + (np.ptp(x, axis=0) == 0)
    (ring, dot) = axis.lines
    np.testing.assert_allclose(ring.get_xdata(), (x[0] - x.min(axis=0)) / span)
    np.testing.assert_allclose(dot.get_xdata(), (y[0] - x.min(axis=0)) / span)
    assert len([a for a in figure.axes if a.lines]) == 6  # of forty rows
    page = plot.page(x, column_names=NAMES)
    assert f"{x[3, 1]:,.0f}" in texts(page)
    assert f"{x[3, 0]:.4g}" in texts(page)


def test_of_a_wide_table_the_worst_columns_are_drawn() -> None:
    x = g.random((20, 50))
    y = x.copy()
    y[:, 7] += 2
    figure = plot.reconstructions(x, y, column_names=[f"c{k}" for k in range(50)])
    assert "30 of 50 columns" in texts(figure)
    assert "c7 " in texts(figure)


@pytest.mark.parametrize(("x", "white"), [(0.6, 1), (200.0, 255), (3.5, 3.5), (-1.0, None)])
def test_pictures_keep_their_scale(x: float, white: float | None) -> None:
    """Pictures in 0…1 are not stretched to their own least and largest value."""
    pictures = np.full((2, 3, 4, 4), min(abs(x), 0.25 if x < 1 else 1.0))
    pictures[0, 0, 0, 0] = x
    shown = np.asarray(plot.page(pictures).axes[0].images[0].get_array())
    low = 0 if white in (1, 255) else pictures.min()
    high = white or pictures.max()
    np.testing.assert_allclose(shown[0, 0, 0], (x - low) / (high - low))


def test_names_must_fit_a_table() -> None:
    with pytest.raises(ValueError, match=r"2 names, expected \(N, 2\)"):
        plot.page(table(3), column_names=["a", "b"])
    with pytest.raises(ValueError, match="a name for each column"):
        plot.reconstructions(g.random((2, 4, 4)), g.random((2, 4, 4)), column_names=["a"])


def test_curves_and_their_scale() -> None:
    steep = plot.training_curves(history(10))
    axis = steep.axes[0]
    assert axis.get_yscale() == "log"
    np.testing.assert_allclose(axis.lines[0].get_ydata(), history(10)["total"])
    np.testing.assert_allclose(axis.lines[1].get_ydata(), history(10)["validation.total"])
    best = int(np.argmin(history(10)["validation.total"])) + 1
    for word in ("training", "validation", "epoch", "objective", f"epoch {best}"):
        assert word in texts(steep)
    flat = plot.training_curves(history(10, validation=False, floor=9.0))
    assert flat.axes[0].get_yscale() == "linear"
    assert "validation" not in texts(flat)
    negative = plot.training_curves(history(10, floor=-0.05))
    assert negative.axes[0].get_yscale() == "linear"


def test_a_map_names_classes_and_axes() -> None:
    z, labels = g.normal(size=(40, 2)), np.repeat([3, 7], 20)
    figure = plot.latent_map(z, labels)
    (dots,) = figure.axes[0].collections
    shown = {tuple(p) for p in np.asarray(dots.get_offsets())}
    assert shown == {tuple(p) for p in z}
    legend = figure.axes[0].get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["3", "7"]
    wide = plot.latent_map(g.normal(size=(40, 5)) * [9, 1, 1, 1, 1], labels)
    assert "first two principal axes" in texts(wide)
    assert "% of the variance" in texts(wide)


def test_a_point_keeps_its_colour() -> None:
    z = np.arange(20.0).reshape(10, 2)
    dots = plot.latent_map(z, np.arange(10)).axes[0].collections[0]
    import matplotlib

    for place, colour in zip(np.asarray(dots.get_offsets()), dots.get_facecolors()):
        want = matplotlib.colormaps["tab10"](int(place[0]) // 2)
        np.testing.assert_allclose(colour[:3], want[:3])


def test_filters_are_the_rows() -> None:
    W = g.normal(size=(4, 6))
    mosaic = plot.filters(W, image_shape=(2, 3)).axes[0].images[0].get_array()
    np.testing.assert_array_equal(np.asarray(mosaic)[:2, :3], W[0].reshape(2, 3))
    np.testing.assert_array_equal(np.asarray(mosaic)[-2:, -3:], W[3].reshape(2, 3))
    assert "100 of 120" in texts(FIGURES["filters"](None))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: plot.reconstructions(np.ones((2, 4)), np.ones((2, 5))), "expected the same"),
        (lambda: plot.reconstructions(np.ones(4), np.ones(4)), r"images \(N, H, W\)"),
        (lambda: plot.reconstructions(np.ones((2, 5, 4, 4)), np.ones((2, 5, 4, 4))), "images"),
        (lambda: plot.reconstructions(np.ones((0, 4)), np.ones((0, 4))), "at least one"),
        (lambda: plot.training_curves(History()), "history is empty"),
        (lambda: plot.latent_map(np.ones((5, 1))), "2 rows and columns"),
        (lambda: plot.latent_map(np.ones(5)), "2 rows and columns"),
        (lambda: plot.latent_map(np.ones((5, 2)), np.ones(4)), r"expected \(5,\)"),
        (lambda: plot.filters(np.ones((3, 5))), "pass image_shape"),
        (lambda: plot.filters(np.ones((3, 6)), image_shape=(2, 2)), "pass image_shape"),
        (lambda: plot.page(np.ones((2, 2, 2, 2, 2))), "images"),
    ],
)
def test_bad_input(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
