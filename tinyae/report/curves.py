"""Curves: the training by epoch, and the error beside PCA's."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np

from tinyae.models import VariationalAutoencoder
from tinyae.param import Array
from tinyae.report.comparison import Comparison
from tinyae.report.drawing import Plot, figure, text_of, wide
from tinyae.report.material import Material
from tinyae.training import History
from tinyae.wording import counted


def curves(history: History, model: Any) -> str:
    """The objective over epochs, and its other terms where it has some."""
    epochs = list(range(1, len(history) + 1))
    if len(model.players) > 1 or "total" not in history.names:
        named = [n for n in history.names if n not in ("seconds", "learning_rate")]
        shown = [(n.replace("validation.", "held out: "), history[n]) for n in named]
        plot = _curve_plot(epochs, shown[:4])
        words = (
            "What the players of the game measured, by epoch. Neither is to become small: each "
            "learns against the other."
        )
        return figure(plot, words)
    shown = [("training", history["total"])]
    if "validation.total" in history.names:
        shown.append(("held out", history["validation.total"]))
    best, monitored = history.best_epoch, history.monitored
    plot = _curve_plot(epochs, shown, best, float(monitored[best - 1]))
    first, last = float(monitored[0]), float(monitored[-1])
    what = shown[-1][0]
    words = (
        f"The objective by epoch, {_unit(model)}. On {'held-out' if what == 'held out' else what} "
        f"samples it went from {text_of(first)} to {text_of(last)}"
    )
    words += (
        "; the last epoch was the best."
        if best == len(history)
        else f"; the best, {text_of(float(monitored[best - 1]))}, came in epoch {best}."
    )
    seconds = float(np.median(history["seconds"]))
    words += f" An epoch took {text_of(seconds, 2)} s." if math.isfinite(seconds) else ""
    return figure(plot, words) + _terms(history, epochs, model)


def _unit(model: Any) -> str:
    if isinstance(model, VariationalAutoencoder):
        return "in nats a sample"
    loss = type(getattr(model, "loss", model)).__name__
    return {"MSE": "a mean squared error", "L1": "a mean absolute error"}.get(loss, f"of {loss}")


def _terms(history: History, epochs: list[int], model: Any) -> str:
    rest = [n for n in history.names if n not in ("total", "seconds", "learning_rate")]
    rest = [n for n in rest if not n.startswith("validation.")]
    if rest == ["reconstruction"] or not rest:
        return ""
    plot = _curve_plot(epochs, [(n, history[n]) for n in rest][:4])
    names = ", ".join(rest)
    return figure(plot, f"What the objective is made of, on the training samples: {escape(names)}.")


def _curve_plot(
    epochs: list[int], shown: list[tuple[str, Array]], best: int = 0, at: float = 0.0
) -> str:
    values = np.concatenate([np.asarray(v, np.float64) for _, v in shown])
    values = values[np.isfinite(values)]
    if not values.size:
        return "<p>No number of this training is finite.</p>"
    low, high = float(values.min()), float(values.max())
    log = low > 0 and high > 3 * low
    pad = 0.06 * (high - low or abs(high) or 1)
    limits = (low / 1.12, high * 1.12) if log else (low - pad, high + pad)
    plot = Plot(1016, 300, (1, max(len(epochs), 2)), limits, (56, 26, 96, 42), log)
    plot.y_axis("objective" if best else "")
    plot.x_axis("epoch", _counted(len(epochs)))
    ends: list[float] = []
    for k, (name, v) in enumerate(shown):
        plot.line(epochs, np.asarray(v, np.float64), f"curve c{len(shown) - 1 - k}")
        end = plot.y(float(v[-1])) + 4 if np.isfinite(v[-1]) else plot.top
        while any(abs(end - other) < 15 for other in ends):
            end += 3
        ends.append(end)
        plot.text(plot.right + 8, end, name, f"direct c{len(shown) - 1 - k}")
    if best and math.isfinite(at):
        plot.dot(best, at, "best", 4.5, f"best: {text_of(at)} in epoch {best}")
    named = " and ".join(name for name, _ in shown)
    return wide(plot.svg(f"Curves over {len(epochs)} epochs: {named}"))


def _counted(n: int) -> list[tuple[float, str]]:
    """Ticks from 1 to n: 1 and multiples of a round number."""
    step = next(s for k in range(9) for s in (10**k, 2 * 10**k, 5 * 10**k) if n / s <= 8)
    return [(k, f"{k}") for k in range(1, n + 1) if k == 1 or k % step == 0]


# --- PCA ---


def against_pca(m: Material) -> str:
    """The table of qualities, and PCA's error by the number of its components."""
    assert m.comparison is not None
    c = m.comparison
    drawn, found = _pca_curve(c)
    has_ssim = c.qualities[0].ssim is not None
    head = (
        f'<tr><th></th><th class="n">numbers</th><th class="n">MSE</th><th class="n">{c.ratio}</th>'
    )
    head += '<th class="n">SSIM</th></tr>' if has_ssim else "</tr>"
    lines = []
    for q in c.qualities:
        own = ' class="own"' if q is c.own else ""
        name = q.name.strip().replace(f", {counted(q.size or 0, 'component')}", "")
        cells = f'<td class="n">{"" if q.size is None else q.size}</td>'
        cells += f'<td class="n">{q.mse:.5f}</td><td class="n">{q.decibels:.2f}</td>'
        cells += f'<td class="n">{q.ssim:.3f}</td>' if q.ssim is not None else ""
        name = "PCA, clipped to 0…1" if name.startswith("the same") else name
        lines.append(f"<tr{own}><td>{escape(name)}</td>{cells}</tr>")
    table = f"<table>{head}{''.join(lines)}</table>"
    words = _pca_words(c, found)
    if not drawn:
        return figure(table, words)
    return figure(f'<div class="beside">{drawn}<div>{table}</div></div>', words)


def _pca_words(c: Comparison, found: int | None) -> str:
    own, pca = c.own.mse, c.of_pca
    if pca is None:
        return f"The model's mean squared error is {text_of(own)}."
    numbers = f"{pca.size} number{'s' * (pca.size != 1)}"
    words = f"With {numbers} for each sample, the best linear code, PCA, "
    if pca.mse < 1e-9 * own:
        return f"{words}is exact; the model has an error of {text_of(own)}."
    ratio = pca.mse / own if own else math.inf
    words += f"has an error of {text_of(pca.mse)}; the model has {text_of(own)}, "
    if ratio >= 1.05:
        words += f"{text_of(ratio, 2)} times less."
    else:
        words += "about the same." if ratio > 0.95 else f"{text_of(1 / ratio, 2)} times more."
    if c.denoises:
        return words + " Both were given the same noisy samples."
    if found is not None and pca.size is not None and found > pca.size:
        words += f" PCA needs {found} numbers to do as well."
    elif found and pca.size is not None and found < pca.size:
        words += f" PCA does as well with {found}."
    elif found is None and c.pca is not None and ratio > 1:
        words += f" PCA does not do as well with {c.pca.n_components} numbers."
    return words


def _pca_curve(c: Comparison) -> tuple[str, int | None]:
    """The curve, and how many components PCA needs for the model's error; "" without PCA."""
    if c.pca is None or c.denoises or c.pca.n_components < 3:
        return "", None
    flat = c.target.reshape(len(c.target), -1).astype(np.float64)
    z = np.asarray(c.pca.transform(c.target), np.float64)
    centred = float(np.square(flat - c.pca.mean_).sum())
    left = centred - np.concatenate([[0], np.cumsum(np.square(z).sum(axis=0))])
    errors = np.maximum(left, 0) / flat.size
    own = c.own.mse
    reached = np.flatnonzero(errors <= own)
    found = int(reached[0]) if len(reached) else None
    last = c.pca.n_components
    shown = min(last, max(2 * c.size, (found or last) + 6))
    ks = np.arange(1, shown + 1)
    ys = np.maximum(errors[1 : shown + 1], own / 1000)  # what is exact lies on the axis
    low, high = min(float(ys.min()), own), float(ys.max())
    log = low > 0 and high > 3 * low
    limits = (low / 1.25, high * 1.12) if log else (0.0, 1.08 * high)
    plot = Plot(460, 300, (1, shown), limits, (56, 26, 30, 42), log)
    plot.y_axis("mean squared error")
    plot.x_axis("numbers for each sample", _counted(shown))
    plot.line(ks.tolist(), ys, "curve c1")
    plot.text(plot.x(1) + 10, plot.y(float(ys[0])) + 4, "PCA", "direct c1")
    if found:
        a, b, y = plot.x(c.size), plot.x(found), plot.y(own)
        plot.add(f'<path class="reach" d="M{a:.1f},{y:.1f}H{b:.1f}"/>')
        plot.dot(found, own, "best hollow", 4, f"PCA with {found} components")
    if c.size <= shown:
        plot.dot(c.size, own, "best", 5.5, f"this model: {text_of(own)}")
        left_side = plot.x(c.size) > 200
        x = plot.x(c.size) + (-10 if left_side else 10)
        plot.text(x, plot.y(own) + 18, "this model", "direct c0", "end" if left_side else "start")
    return plot.svg("Error by the number of components of PCA, and the model's"), found
