"""Figures: reconstructions, training curves and latent spaces.

    reconstructions    input, output and their signed difference for each sample
    training_curves    the objective over epochs
    latent_map         codes in the plane, coloured by class
    filters            the weights of each first-layer unit as a picture
    page               a grid of samples, or rows of a table

Each returns a ``matplotlib.figure.Figure``, and writes it to ``path`` if given (the suffix chooses
the format). No window is opened and pyplot is not used, so they work on a server and from any
thread. The colours suit colour-blind readers: grey for data, blue–red for signed quantities with
white at zero, the blue and orange of tab10 for two curves.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyae import files, metrics
from tinyae.arrays import FEW_COLUMNS, in_unit_interval, real
from tinyae.param import Array

Figure = Any  # matplotlib.figure.Figure, without importing it
Path = str | os.PathLike[str] | None

_INK, _QUIET, _FAINT = "#222222", "#6b6b6b", "#d9d9d9"
_BLUE, _ORANGE, _RED = "#1f77b4", "#ff7f0e", "#b2182b"
_SIGNED = "RdBu_r"
_DPI = 150
_MOST_COLUMNS = 30  # of a table that are drawn
_PANELS, _ROWS = 6, 40  # samples of a table that are drawn: beside their reconstructions, and alone


def reconstructions(
    x: Array,
    y: Array,
    path: Path = None,
    n: int = 10,
    *,
    column_names: Sequence[str] | None = None,
) -> Figure:
    """Input, output and difference of the first ``n`` samples, with the MSE of each.

    Rows of a table, which are (N, D) with ``column_names`` or at most 24 columns, are drawn column by
    column, each on its own scale, from its least to its largest value in x. At most 6 rows and 30
    columns are drawn.

    Shapes    x, y of one shape: images (N, H, W), (N, 1, H, W) or (N, 3, H, W); signals (N, L) or
              (N, 1, L), which are drawn as lines; rows of a table (N, D)
    Units     the difference is output − input in the data's unit; for colour images, its mean
              over the channels. Images in 0…1 are black at 0 and white at 1
    Raises    ValueError if the shapes differ or are not among these
    """
    shape, names = np.shape(x), _column_names("reconstructions", x, column_names)
    ends = _column_ends(x) if names else None
    x, y = _samples("reconstructions: x", x, n), _samples("reconstructions: y", y, n)
    if x.shape != y.shape:
        raise ValueError(
            f"reconstructions: x has shape {shape}, y {y.shape}, expected the same; "
            "pass x and model.reconstruct(x)"
        )
    if names and ends:
        return _save(_row_pairs(x[:_PANELS], y[:_PANELS], names, *ends), path)
    return _save(_line_pairs(x, y) if x.ndim == 2 else _image_pairs(x, y), path)


def _image_pairs(x: Array, y: Array) -> Figure:
    n, aspect = len(x), x.shape[1] / x.shape[2]
    cell = min(7.0 / max(n, 4), 1.6)
    figure = _figure(1.0 + cell * n + 0.7, cell * aspect * 3 + 0.55)
    low, high = _picture_limits(x)
    difference = y - x
    if difference.ndim == 4:
        difference = difference.mean(axis=-1)
    extreme = _extreme(difference)
    axes = figure.subplots(3, n, squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    for k in range(n):
        for row, picture in enumerate((x[k], y[k])):
            shown = np.clip((picture - low) / (high - low), 0, 1)
            axes[row, k].imshow(shown, cmap="gray", vmin=0, vmax=1)
        signed = axes[2, k].imshow(difference[k], cmap=_SIGNED, vmin=-extreme, vmax=extreme)
        axes[2, k].set_xlabel(f"{metrics.mse(x[k], y[k]):.4f}", color=_QUIET, fontsize=8.5)
    for axis in axes.flat:
        _bare(axis)
    for axis, name in zip(axes[:, 0], ("input", "output", "difference")):
        _row_label(axis, name)
    _below_label(axes[2, 0], "MSE")
    bar = figure.colorbar(signed, ax=list(axes[2]), fraction=0.02, pad=0.01, aspect=8)
    _style_bar(bar, "output − input")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    return figure


def _line_pairs(x: Array, y: Array) -> Figure:
    n = len(x)
    columns = min(n, 5)
    blocks = math.ceil(n / columns)
    figure = _figure(max(1.6 * columns, 4.0), 2.0 * blocks + 0.4)
    axes = figure.subplots(
        2 * blocks,
        columns,
        squeeze=False,
        sharex=True,
        gridspec_kw={"height_ratios": [2, 1] * blocks},
    )
    difference = y - x
    low, high = _limits(np.concatenate([x, y]))
    margin = 0.06 * (high - low)
    extreme = 1.1 * _extreme(difference)
    t = np.arange(x.shape[1])
    for k in range(blocks * columns):
        block, column = divmod(k, columns)
        top, bottom = axes[2 * block, column], axes[2 * block + 1, column]
        if k >= n:
            top.axis("off")
            bottom.axis("off")
            continue
        (input_line,) = top.plot(t, x[k], color="#b0b0b0", linewidth=2.6, solid_capstyle="round")
        (output_line,) = top.plot(t, y[k], color=_BLUE, linewidth=1.1)
        top.set_ylim(low - margin, high + margin)
        top.set_title(f"MSE {metrics.mse(x[k], y[k]):.2g}", fontsize=8, color=_QUIET, pad=3)
        for side, color in ((difference[k] >= 0, _RED), (difference[k] < 0, "#2166ac")):
            bottom.fill_between(
                t, difference[k], where=side, interpolate=True, color=color, linewidth=0
            )
        bottom.axhline(0, color=_QUIET, linewidth=0.6)
        bottom.set_ylim(-extreme, extreme)
        for axis in (top, bottom):
            _style(axis)
            axis.grid(False)
            axis.set_xlim(0, len(t) - 1)
            axis.tick_params(labelsize=7, labelleft=column == 0)
        top.tick_params(labelbottom=False)
        bottom.tick_params(labelbottom=k + columns >= n)
        if column == 0:
            top.set_ylabel("signal", fontsize=8)
            bottom.set_ylabel("output\n− input", fontsize=8)
        if k + columns >= n:
            bottom.set_xlabel("time step", fontsize=8)
    figure.align_ylabels(axes[:, 0])
    figure.legend(
        [input_line, output_line],
        ["input", "output"],
        loc="outside upper left",
        ncols=2,
        frameon=False,
        fontsize=8.5,
    )
    return figure


def _row_pairs(x: Array, y: Array, names: list[str], low: Array, high: Array) -> Figure:
    """A panel for each row: a ring for the value of each column, a dot for the model's."""
    D, title = len(names), ""
    span = high - low
    if D > _MOST_COLUMNS:
        worst = np.argsort(-np.abs((y - x) / span).mean(axis=0), kind="stable")[:_MOST_COLUMNS]
        kept = np.sort(worst)
        names = [names[k] for k in kept]
        x, y, low, high, span = (a[..., kept] for a in (x, y, low, high, span))
        title = f"{_MOST_COLUMNS} of {D} columns, those that are reconstructed worst"
    across = min(len(x), 3)
    down = math.ceil(len(x) / across)
    ends = [f"{name}   {_number(a)} … {_number(b)}" for name, a, b in zip(names, low, high)]
    left = 0.3 + 0.062 * max(map(len, ends))
    figure = _figure(left + 2.5 * across, 0.75 + down * (0.45 + 0.2 * len(names)))
    axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    places = np.arange(len(names))
    for k, axis in enumerate(axes.flat):
        if k >= len(x):
            axis.axis("off")
            continue
        given, made = (x[k] - low) / span, (y[k] - low) / span
        axis.hlines(places, 0, 1, color=_FAINT, linewidth=0.8)
        axis.hlines(places, given, np.clip(made, -0.08, 1.08), color=_RED, linewidth=1.6)
        (ring,) = axis.plot(
            given, places, "o", color=_QUIET, markersize=6.5, fillstyle="none", clip_on=False
        )
        (dot,) = axis.plot(np.clip(made, -0.08, 1.08), places, ".", color=_BLUE, clip_on=False)
        for place, a, b in zip(places, x[k], y[k]):
            said = f"{_number(a)} → {_number(b)}"
            axis.text(1.12, place, said, va="center", fontsize=6.5, color=_QUIET)
        off = 100 * float(np.abs(made - given).mean())
        axis.set_title(f"row {k}: off by {off:.1f} % of the range", fontsize=8, color=_INK)
        axis.set_xlim(-0.1, 1.75)
        axis.set_yticks(places, ends, fontsize=7.5, color=_INK)
        axis.set_xticks([])
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
    axes[0, 0].set_ylim(len(names) - 0.4, -0.8)
    labels = ["input", "output", "difference"]
    line = importlib.import_module("matplotlib.lines").Line2D([], [], color=_RED, linewidth=1.6)
    figure.legend(
        [ring, dot, line],
        labels,
        title=title or None,
        title_fontsize=8.5,
        loc="outside upper left",
        ncols=3,
        frameon=False,
        fontsize=8.5,
    )
    return figure


def training_curves(history: Any, path: Path = None) -> Figure:
    """The mean objective of each epoch, in training and in validation if there was any.

    ``history`` is what ``fit`` returned, or ``model.history``. The axis is logarithmic where the
    values span more than a factor of three; the best validation is marked.

    Raises
        ValueError  no epoch has been trained
    """
    if not len(history.epochs):
        raise ValueError("training_curves: history is empty; train for at least one epoch first")
    train = np.asarray(history["total"], np.float64)
    curves = [("training", train, _BLUE)]
    with contextlib.suppress(KeyError):  # there may be no validation
        curves.append(("validation", np.asarray(history["validation.total"], np.float64), _ORANGE))
    epochs = np.arange(1, len(train) + 1)
    figure = _figure(7.0, 4.0)
    axis = figure.subplots()
    _style(axis)
    for name, values, colour in curves:
        dots: dict[str, Any] = {"marker": "o", "markersize": 3.5} if len(values) <= 30 else {}
        axis.plot(epochs, values, color=colour, linewidth=1.8, label=name, **dots)
    every = np.concatenate([values for _, values, _ in curves])
    if every.min() > 0 and every.max() > 3 * every.min():
        axis.set_yscale("log")
        ticks = importlib.import_module("matplotlib.ticker")
        axis.yaxis.set_major_locator(ticks.LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(ticks.FormatStrFormatter("%g"))
        axis.yaxis.set_minor_formatter(ticks.NullFormatter())
    if len(curves) > 1 and np.isfinite(values).any():
        best = int(np.nanargmin(values))
        ring: dict[str, Any] = {"color": _ORANGE, "markersize": 9, "fillstyle": "none"}
        said = f"best: {values[best]:.4g} in epoch {epochs[best]}"
        axis.plot(epochs[best], values[best], "o", label=said, **ring)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_title("The objective by epoch", fontsize=11, color=_INK, loc="left")
    axis.set_xlabel("epoch", color=_INK)
    axis.set_ylabel("objective, mean of the samples", color=_INK)
    axis.legend(frameon=False, fontsize=9.5)
    return _save(figure, path)


def latent_map(z: Array, labels: Array | None = None, path: Path = None) -> Figure:
    """Codes as points in the plane, coloured by class.

    A code of more than two numbers is projected onto its first two principal axes, as the title
    says. Up to 20 classes get a legend; more classes, or non-integer labels, a colour bar.

    Shapes    z (N, D) or (N, …), seen as (N, D)   labels (N,), or None
    Raises    ValueError if z has fewer than two columns or samples, or labels has another length
    """
    z = real("latent_map: z", z)
    z = z.reshape(len(z), -1).astype(np.float64) if z.ndim else z
    if z.ndim != 2 or min(z.shape) < 2:
        raise ValueError(
            f"latent_map: z has shape {z.shape}, expected (N, D) with at least 2 rows and columns; "
            "pass model.encode(x) of a code of 2 numbers or more"
        )
    if labels is not None and np.shape(labels) != (len(z),):
        raise ValueError(
            f"latent_map: labels have shape {np.shape(labels)}, expected ({len(z)},); "
            "pass one label a row of z"
        )
    names, title = ["z₁", "z₂"], "Latent space"
    if z.shape[1] > 2:
        title = f"Latent space of {z.shape[1]} dimensions, first two principal axes"
        total = z.var(axis=0, ddof=1).sum()
        pca = metrics.PCA(2).fit(z)
        share = 100 * pca.explained_variance_ / (total or 1)
        names = [f"principal axis {k + 1} ({share[k]:.0f} % of the variance)" for k in (0, 1)]
        z = pca.transform(z)
    figure = _figure(7.0, 5.4)
    axis = figure.subplots()
    _style(axis)
    axis.set_title(title, fontsize=11, color=_INK, loc="left")
    axis.set_xlabel(names[0])
    axis.set_ylabel(names[1])
    _scatter(figure, axis, z, None if labels is None else np.asarray(labels))
    axis.set_aspect("equal", adjustable="datalim")
    return _save(figure, path)


def _scatter(figure: Figure, axis: Any, z: Array, labels: Array | None) -> None:
    order = np.random.default_rng(0).permutation(len(z))  # so that no class covers the others
    z = z[order]
    dots: dict[str, Any] = {
        "s": float(np.clip(30000 / len(z), 5, 30)),
        "alpha": 0.75,
        "linewidths": 0,
        "rasterized": True,
    }
    if labels is None:
        axis.scatter(z[:, 0], z[:, 1], color=_BLUE, **dots)
        return
    classes, class_index = np.unique(labels[order], return_inverse=True)
    if len(classes) > 20 or np.any(
        classes != np.round(classes) if classes.dtype.kind == "f" else 0
    ):
        shown = axis.scatter(z[:, 0], z[:, 1], c=labels[order], cmap="cividis", **dots)
        _style_bar(figure.colorbar(shown, ax=axis, fraction=0.03, pad=0.02), "label")
        shown.colorbar.solids.set_alpha(1)
        return
    colours = importlib.import_module("matplotlib").colormaps[
        "tab10" if len(classes) <= 10 else "tab20"
    ]
    axis.scatter(z[:, 0], z[:, 1], color=colours(class_index), **dots)
    effects = importlib.import_module("matplotlib.patheffects")
    halo = [effects.withStroke(linewidth=3, foreground="white")]
    for k, name in enumerate(classes):
        text = f"{name:g}" if classes.dtype.kind in "fiu" else str(name)
        axis.plot([], [], "o", color=colours(k), markersize=6, label=text)
        middle = np.median(z[class_index == k], axis=0)  # so that colour is not the only clue
        axis.text(
            *middle,
            text,
            fontsize=11,
            weight="bold",
            color=_INK,
            ha="center",
            va="center",
            path_effects=halo,
        )
    axis.legend(
        title="class", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9
    )


def filters(W: Array, path: Path = None, image_shape: tuple[int, int] | None = None) -> Figure:
    """The weights of each first-layer unit as a picture, on one colour scale with white at zero.

    At most 100 are shown, those with the largest norm.

    Shapes    W (O, I) of a Dense, seen as ``image_shape`` (a square where none is given);
              (O, C, kh, kw) of a Conv2d, one picture for each output and input channel
    Raises    ValueError if W has another shape, or its rows do not fit ``image_shape``
    """
    W = np.asarray(W, np.float64)
    if W.ndim == 2 and image_shape is None:
        image_shape = (math.isqrt(W.shape[1]),) * 2
    if W.ndim not in (2, 4) or (W.ndim == 2 and math.prod(image_shape or ()) != W.shape[1]):
        raise ValueError(
            f"filters: W has shape {W.shape}, image_shape is {image_shape}, expected (O, I) with "
            "I = height × width, or (O, C, kh, kw); pass image_shape=(height, width)"
        )
    tiles = W.reshape(-1, *(image_shape or W.shape[2:]))
    count = len(tiles)
    if count > 100:
        norms = np.square(tiles).sum(axis=(1, 2))
        tiles = tiles[np.sort(np.argsort(-norms, kind="stable")[:100])]
    extreme = float(np.quantile(np.abs(tiles), 0.998)) or 1.0
    mosaic = _mosaic(tiles, math.ceil(math.sqrt(len(tiles))))
    figure = _figure(6.4, 0.35 + 5.45 * mosaic.shape[0] / mosaic.shape[1])
    axis = figure.subplots()
    shown = axis.imshow(mosaic, cmap=_SIGNED, vmin=-extreme, vmax=extreme)
    _bare(axis)
    some = f"{len(tiles)} of {count}, the largest in norm" if count > len(tiles) else f"{count}"
    height, width = tiles.shape[1:]
    axis.set_title(
        f"First-layer filters: {some}, {height} × {width} each", fontsize=11, color=_INK, loc="left"
    )
    bar = figure.colorbar(
        shown, ax=axis, fraction=0.035, pad=0.015, aspect=35, extend="both", extendfrac=0.02
    )
    _style_bar(bar, "weight")
    return _save(figure, path)


def page(
    x: Array,
    path: Path = None,
    columns: int = 10,
    *,
    column_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """All samples of x in a grid, row by row, under a title if there is one.

    Of a table the first 40 rows, as in :func:`reconstructions`: each column is the darker, the nearer
    a value is to the column's largest.

    Shapes    x as in :func:`reconstructions`
    """
    names = _column_names("page", x, column_names)
    if names:
        first = _samples("page: x", x, _ROWS)
        return _save(_table_page(first, names, *_column_ends(x), title), path)
    x = _samples("page: x", x, len(x))
    columns = min(columns, len(x))
    rows = math.ceil(len(x) / columns)
    if x.ndim == 2:
        figure = _figure(max(0.8 * columns, 4.0), 0.6 * rows + 0.2 + 0.3 * bool(title))
        if title:
            figure.suptitle(title, fontsize=11, color=_INK, x=0.01, ha="left")
        low, high = _limits(x)
        margin = 0.05 * (high - low)
        for k, axis in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
            _bare(axis)
            if k < len(x):
                axis.plot(x[k], color=_INK, linewidth=0.8)
                axis.set_ylim(low - margin, high + margin)
        return _save(figure, path)
    low, high = _picture_limits(x)
    mosaic = _mosaic(np.clip((x - low) / (high - low), 0, 1), columns)
    width = max(0.8 * columns, 4.0)
    height, head = width * mosaic.shape[0] / mosaic.shape[1], 0.32 * bool(title)
    figure = _figure(width, height + head)
    figure.set_layout_engine("none")
    axis = figure.add_axes((0, 0, 1, height / (height + head)))
    axis.imshow(mosaic, cmap="gray", vmin=0, vmax=1)
    _bare(axis)
    if title:
        place = 1 - 0.5 * head / (height + head)
        figure.text(0.008, place, title, va="center", fontsize=10, color=_INK)
    return _save(figure, path)


def _table_page(x: Array, names: list[str], low: Array, high: Array, title: str) -> Figure:
    shown = names[:_MOST_COLUMNS]
    D, rows = len(shown), len(x)
    numbered = D <= 14
    width = (0.62 if numbered else 0.3) * D
    figure = _figure(1.2 + max(width, 2.4), 1.0 + 0.2 * rows + 0.055 * max(map(len, shown)))
    axis = figure.subplots()
    place = ((x - low) / (high - low))[:, :D]
    axis.imshow(place, cmap="Blues", vmin=0, vmax=1.6, aspect="auto")  # dark ink stays readable
    if numbered:
        for i, j in np.ndindex(rows, D):
            axis.text(j, i, _number(x[i, j]), ha="center", va="center", fontsize=7, color=_INK)
    axis.set_xticks(np.arange(D), shown, rotation=40, ha="left", fontsize=8, color=_INK)
    axis.xaxis.tick_top()
    axis.set_yticks(np.arange(0, rows, max(1, rows // 10)))
    axis.tick_params(length=0, labelsize=8)
    axis.set_ylabel("row", fontsize=8.5, color=_INK)
    for spine in axis.spines.values():
        spine.set_visible(False)
    cut = f"; {D} of {len(names)} columns" if len(names) > D else ""
    axis.set_xlabel(f"the darker, the nearer to the column's largest value{cut}", fontsize=8.5)
    if title:
        axis.set_title(title, fontsize=11, color=_INK, loc="left")
    return figure


# ---------------------------------------------------------------------------- shared helpers


def check_path(path: str | os.PathLike[str]) -> str:
    """The file in which a picture will be: without a suffix, matplotlib's default is added.

    Every figure checks its path; call this before longer work.

    Raises
        ModuleNotFoundError   matplotlib is not installed
        ValueError, OSError   a suffix that it does not know, or the errors of files.check_target
    """
    name = os.fsdecode(files.checked_path("plot", path))
    known = _figure(1, 1).canvas.get_supported_filetypes()
    suffix = os.path.splitext(name)[1]
    if suffix in ("", "."):
        name = f"{name.rstrip('.')}.png"
    elif suffix[1:].lower() not in known:
        raise ValueError(f"plot: {name} ends in {suffix}, expected one of {', '.join(known)}")
    files.check_target("plot", name)
    return name


def _figure(width: float, height: float) -> Figure:
    try:
        module = importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plot: pictures need the package matplotlib, which is not installed; "
            "run pip install matplotlib"
        ) from error
    return module.Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def _save(figure: Figure, path: Path) -> Figure:
    if path is not None:
        target = check_path(path)
        suffix = os.path.splitext(target)[1][1:]
        files.write(
            "plot", target, lambda file: figure.savefig(file, format=suffix, facecolor="white")
        )
    return figure


def _samples(what: str, x: Array, n: int) -> Array:
    """The first n samples in float64, as signals (n, L), images (n, H, W) or (n, H, W, 3)."""
    x = real(what, x)
    shape = x.shape
    if x.ndim in (3, 4) and shape[1] == 1:
        x = x[:, 0]
    elif x.ndim == 4 and shape[1] == 3:
        x = x.transpose(0, 2, 3, 1)
    if (x.ndim not in (2, 3) and not (x.ndim == 4 and shape[1] == 3)) or not x.size or n < 1:
        raise ValueError(
            f"{what} has shape {shape}, expected images (N, H, W), (N, 1, H, W) or (N, 3, H, W), "
            "or signals (N, L), and at least one; reshape it"
        )
    return x[:n].astype(np.float64)


def _column_names(who: str, x: Array, names: Sequence[str] | None) -> list[str]:
    """What the columns of a table are called; [] if x is no table.

    Raises
        ValueError  there is not one name for each column
    """
    shape = np.shape(x)
    if names is None:
        few = len(shape) == 2 and 0 < shape[1] <= FEW_COLUMNS
        return [f"column {k}" for k in range(1, shape[1] + 1)] if few else []
    if len(shape) != 2 or len(names) != shape[1]:
        raise ValueError(
            f"{who}: x has shape {shape} and column_names {len(names)} names, expected (N, "
            f"{len(names)}); pass rows of a table with a name for each column"
        )
    return [str(name) for name in names]


def _number(value: float) -> str:
    """Four digits, or all of those before the point."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _column_ends(x: Array) -> tuple[Array, Array]:
    """The least and the largest finite value of each column, which differ."""
    a = np.asarray(real("plot: x", x), np.float64)
    known = np.isfinite(a)
    low = np.where(known, a, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, a, -np.inf).max(axis=0, initial=-np.inf)
    low, high = np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 1.0)
    return low, np.where(high > low, high, low + 1)


def _picture_limits(x: Array) -> tuple[float, float]:
    """What is black and what is white: 0 and 1, 0 and 255, or the least and the largest value."""
    finite = x[np.isfinite(x)]
    if not finite.size or in_unit_interval(finite):
        return 0.0, 1.0
    if finite.min() >= 0 and finite.max() <= 255 and not np.any(finite % 1):
        return 0.0, 255.0
    return _limits(x)


def _limits(x: Array) -> tuple[float, float]:
    finite = x[np.isfinite(x)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _extreme(a: Array) -> float:
    return float(np.abs(a[np.isfinite(a)]).max(initial=0)) or 1.0


def _mosaic(tiles: Array, columns: int) -> Array:
    """Pictures (K, h, w, …) as one picture, ``columns`` across, with white gaps."""
    count, height, width = tiles.shape[:3]
    rows = math.ceil(count / columns)
    gap = max(1, round(min(height, width) / 14))
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *tiles.shape[3:])
    mosaic = np.full(shape, np.nan if tiles.ndim == 3 else 1.0)
    for k, tile in enumerate(tiles):
        i, j = divmod(k, columns)
        top, left = i * (height + gap), j * (width + gap)
        mosaic[top : top + height, left : left + width] = tile
    return mosaic


def _style(axis: Any) -> None:
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(_QUIET)
        axis.spines[side].set_linewidth(0.8)
    axis.tick_params(colors=_QUIET, labelsize=9, width=0.8, length=3)
    axis.grid(True, color=_FAINT, linewidth=0.6)
    axis.set_axisbelow(True)


def _bare(axis: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def _row_label(axis: Any, name: str) -> None:
    axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10, color=_INK)


def _below_label(axis: Any, name: str) -> None:
    axis.annotate(
        name,
        (0, 0),
        xytext=(-4, -4),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8.5,
        color=_QUIET,
    )


def _style_bar(bar: Any, label: str) -> None:
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=_QUIET, labelsize=8, length=2)
    bar.set_label(label, color=_INK, fontsize=9)
