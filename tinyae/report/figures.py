"""Pictures of samples: reconstructions, where the error is, what a model draws."""

from __future__ import annotations

from html import escape

import numpy as np

from tinyae.models import VariationalAutoencoder
from tinyae.param import Array
from tinyae.report.drawing import Plot, figure, percent, text_of, wide
from tinyae.report.material import Material

_ROWS_OF_A_TABLE = 10
_BARS = 20


def reconstructions(m: Material) -> str:
    """Best, median and worst."""
    assert m.comparison is not None
    assert m.y is not None
    c = m.comparison
    errors = m.scores
    if errors is None or c.denoises:  # scores are those of what is not noisy
        errors = np.square(c.y - c.target).reshape(len(c.y), -1).mean(axis=1, dtype=np.float64)
    order = np.argsort(errors, kind="stable")
    each = {"image": 4, "signal": 3, "table": 1}[m.look.kind]
    each = min(each, max(len(order) // 3, 1))
    middle = (len(order) - each) // 2
    groups = (
        ("best", order[:each]),
        ("median", order[middle : middle + each]),
        ("worst", order[::-1][:each]),
    )
    show = {"image": _image_group, "signal": _signal_group, "table": _table_group}[m.look.kind]
    given = m.model.in_data_units(c.given) if c.denoises else m.x
    shown = [i for _, rows in groups for i in rows]
    largest = max(float(np.abs(m.y[i] - m.x[i]).max()) for i in shown)
    content = "".join(show(m, name, rows, given, errors, largest) for name, rows in groups)
    q = [text_of(float(v)) for v in np.quantile(errors, (0, 0.5, 1))]
    what = {
        "image": "above, what goes in; below it, what comes out"
        + (" and what should have" if c.denoises else "")
        + "; then the difference, <b class=more>more</b> or <b class=less>less</b> than there should be",
        "signal": "grey, what should come out; coloured, what does"
        + (" from noisy input" if c.denoises else ""),
        "table": "each column on its own scale, from its least to its largest value: the ring is the "
        "value, the dot what the model makes of it",
    }[m.look.kind]
    words = (
        f"Of {len(order):,} samples, those with the smallest, the median and the largest error: {what}. "
        f"The mean squared error runs from {q[0]} over {q[1]} to {q[2]}"
        f"{', in scaled units' if m.model.scaler is not None else ''}."
    )
    return figure(f'<div class="groups {m.look.kind}">{content}</div>', words)


def _image_group(
    m: Material, name: str, rows: Array, given: Array, errors: Array, largest: float
) -> str:
    denoises = m.comparison is not None and m.comparison.denoises
    assert m.y is not None
    cells = []
    for i in rows:
        who = m.name_of(i)
        parts = [m.look.thumbnail(given[i], f"{who}: input")]
        parts.append(m.look.thumbnail(m.y[i], f"{who}: output"))
        if denoises:
            parts.append(m.look.thumbnail(m.x[i], f"{who}: the truth"))
        parts.append(m.look.difference(m.x[i], m.y[i], largest, f"{who}: output − target"))
        cells.append(
            f'<div class="stack">{"".join(parts)}<small>{text_of(float(errors[i]))}</small></div>'
        )
    return f'<div class="group"><h3>{name}</h3><div class="stacks">{"".join(cells)}</div></div>'


def _signal_group(
    m: Material, name: str, rows: Array, given: Array, errors: Array, largest: float
) -> str:
    assert m.y is not None
    cells = [
        f'<div class="signal">{m.look.lines([m.x[i], m.y[i]], m.name_of(i))}'
        f"<small>{escape(m.name_of(i))}: {text_of(float(errors[i]))}</small></div>"
        for i in rows
    ]
    return f'<div class="group"><h3>{name}</h3>{"".join(cells)}</div>'


def _table_group(
    m: Material, name: str, rows: Array, given: Array, errors: Array, largest: float
) -> str:
    assert m.y is not None
    i = int(rows[0])
    x, y = m.x[i].ravel(), m.y[i].ravel()
    apart = np.square((y - x) / m.scale)
    which = np.sort(np.argsort(-apart, kind="stable")[:_ROWS_OF_A_TABLE])
    more = len(x) - len(which)
    note = f" ({len(which)} columns that differ most)" if more > 0 else ""
    return (
        f'<div class="group"><h3>{name}</h3><small>{escape(m.name_of(i))}: '
        f"{text_of(float(errors[i]))}{note}</small>{m.look.rows(x, y, [int(k) for k in which])}</div>"
    )


def per_feature(m: Material) -> str:
    """Where the error is."""
    assert m.per_feature is not None
    e = m.per_feature.ravel()
    units = "squared scaled units" if m.model.scaler is not None else "squared units"
    if m.look.kind == "image":
        mean = m.x.mean(axis=0, dtype=np.float64)
        pixels = m.look.view(e).mean(axis=0)
        i, j = divmod(int(pixels.argmax()), pixels.shape[1])
        share = _concentration(e)
        content = (
            '<div class="pair">'
            f"<div>{m.look.thumbnail(mean, 'the mean of all samples')}<small>mean image</small></div>"
            f"<div>{m.look.heat(e, 'the mean squared error of each pixel')}<small>mean squared error"
            "</small></div></div>"
        )
        words = (
            f"The mean squared error of each pixel over all samples, stronger where it is larger; the "
            f"largest, {text_of(float(pixels.max()))}, at row {i}, column {j}. Half of all error lies "
            f"in {percent(share)} of the pixels."
        )
        return figure(content, words, "aside")
    if m.look.kind == "signal":
        v = m.look.view(e)
        plot = Plot(1016, 240, (0, v.shape[-1] - 1), (0, 1.08 * (float(v.max()) or 1)))
        plot.y_axis("mean squared error")
        plot.x_axis("time step")
        for channel in v:
            plot.line(range(len(channel)), channel, "curve c0")
        words = (
            f"The mean squared error of each time step over all samples, in {units}: largest at step "
            f"{int(v.max(axis=0).argmax())}."
        )
        return figure(wide(plot.svg("Error by time step")), words)
    order = np.argsort(-e, kind="stable")[:_BARS]
    top = float(e.max()) or 1.0
    bars = "".join(
        f'<div class="row"><span class="name">{escape(m.look.columns[k])}</span>'
        f'<span class="track bars"><i class="bar" style="width:{100 * e[k] / top:.1f}%"></i></span>'
        f'<span class="value">{text_of(float(e[k]))}</span></div>'
        for k in order
    )
    some = f"The {len(order)} of {len(e)} columns" if len(e) > len(order) else "The columns"
    worst = m.look.columns[int(order[0])]
    of_all = percent(float(e[order[0]] / (e.sum() or 1)))
    words = (
        f"{some} by their mean squared error over all samples, in {units}"
        f"{', in which all columns count alike' * (m.model.scaler is not None)}. The model finds "
        f"{escape(worst)} hardest: {of_all} of all error."
    )
    return figure(f'<div class="rows wide">{bars}</div>', words)


def _concentration(e: Array) -> float:
    """The share of features that hold half of the error."""
    ordered = np.sort(e)[::-1]
    half = np.searchsorted(np.cumsum(ordered), 0.5 * ordered.sum()) + 1
    return float(half) / len(e)


def samples(m: Material) -> str:
    """What a generative model makes of nothing, and a walk between such samples."""
    assert m.samples is not None
    conditional = isinstance(m.model, VariationalAutoencoder) and hasattr(m.model, "classes")
    if m.look.kind == "table":
        return _table_samples(m)
    grid = "".join(m.look.thumbnail(x, f"sample {k + 1}") for k, x in enumerate(m.samples))
    words = f"{len(m.samples)} samples: " + (
        "codes drawn from N(0, I), and what the model makes of them"
        if hasattr(m.model, "latent_dim")
        else "noise, and what the model makes of it step by step"
    )
    words += ", the classes in turn. " if conditional else ". "
    words += "None of them is in the data; none was chosen."
    out = figure(f'<div class="grid {m.look.kind}">{grid}</div>', words)
    if m.walk is None:
        return out
    rows = "".join(
        f'<div class="grid {m.look.kind}">'
        + "".join(m.look.thumbnail(x, f"walk {k + 1}, step {t + 1}") for t, x in enumerate(walk))
        + "</div>"
        for k, walk in enumerate(m.walk)
    )
    words = (
        f"{len(m.walk)} walks: from a code drawn at random, left, to another, right, in equal steps on "
        "the great circle between them."
    )
    return out + figure(rows, words)


def _table_samples(m: Material) -> str:
    """Samples of a table: each column's spread in the data and among the samples."""
    assert m.samples is not None
    flat, drawn = m.x.reshape(len(m.x), -1), m.samples.reshape(len(m.samples), -1)
    a, b = flat.mean(axis=0), drawn.mean(axis=0)
    which = list(range(min(len(a), _BARS)))
    words = (
        f"The mean of each column: a ring for the data, a dot for {len(drawn)} samples of the model, on "
        "the column's scale from its least to its largest value."
    )
    return figure(m.look.rows(a, b, which), words)
