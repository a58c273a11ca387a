"""Anomalies: the histogram of scores, what a threshold costs, and the most unusual samples."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from tinyae import conformal, metrics
from tinyae.param import Array
from tinyae.report.drawing import Plot, figure, log_ticks, nice_ticks, percent, text_of, wide
from tinyae.report.explorer import Explorer
from tinyae.report.material import Material

_BINS = 56
_RATES = (0.1, 0.05, 0.02, 0.01, 0.001)  # of false alarms


def section(m: Material, e: Explorer) -> str:
    """Everything about what is unusual."""
    return _histogram(m) + _costs(m) + _unusual(m, e)


def _histogram(m: Material) -> str:
    """Scores and the threshold, which the page's script lets move."""
    assert m.scores is not None
    s, abnormal = m.scores, m.abnormal
    low, high = float(s.min()), float(s.max())
    log = low > 0 and high > 20 * float(np.median(s))
    scale = np.log10 if log else np.asarray
    first, last = float(scale(low)), float(scale(high))
    edges = np.linspace(first, last if last > first else first + 1, _BINS + 1)
    counts, _ = np.histogram(scale(s), edges)
    of_rare = np.zeros_like(counts)
    if abnormal is not None:
        of_rare, _ = np.histogram(scale(s[abnormal]), edges)
    limits = float(edges[0]), float(edges[-1])
    plot = Plot(1016, 280, limits, (0, 1.1 * float(counts.max())), (40, 26, 24, 44))
    plot.y_axis("samples")
    ticks = log_ticks(low, high) if log else nice_ticks(*limits, 7)
    plot.x_axis(
        "score: mean squared error of a sample" + ", logarithmic" * log,
        [(float(scale(v)), text_of(v)) for v in ticks],
    )
    for k, (count, rare) in enumerate(zip(counts, of_rare)):
        a, b = plot.x(edges[k]), plot.x(edges[k + 1])
        for n, base, css in ((count - rare, 0, "column"), (rare, count - rare, "column rare")):
            if n:
                y0, y1 = plot.y(base + n), plot.y(base)
                size = f'width="{max(b - a - 1, 1):.1f}" height="{y1 - y0:.1f}"'
                plot.add(f'<rect class="{css}" x="{a + 0.5:.1f}" y="{y0:.1f}" {size}/>')
    t = m.threshold
    seen, place = t is not None and (t > 0 or not log), plot.right
    if t is not None and seen:
        place = min(max(plot.x(float(scale(t))), plot.left), plot.right)
    plot.add(
        f'<g id="threshold" class="threshold" visibility="{"visible" if seen else "hidden"}" '
        f'transform="translate({place:.1f},0)"><path d="M0,{plot.top - 6}V{plot.bottom}"/>'
        f'<text y="{plot.top - 11}" text-anchor="middle">threshold</text></g>'
    )
    slider = (
        f'<div class="cost"><input type="range" id="cut" min="{limits[0]!r}" max="{limits[1]!r}" '
        f'step="any" aria-label="threshold" data-left="{plot.left:g}" data-right="{plot.right:g}" '
        f'data-log="{int(log)}"><output id="cut-said" for="cut"></output></div>'
    )
    marked = ", those of the rarer class in colour" * (abnormal is not None)
    words = f"The scores of {len(s):,} samples{marked}: how badly each is reconstructed. "
    words += (
        f"The model calls a sample an anomaly above {text_of(t)}."
        if t is not None
        else "The model has no threshold of its own; calibrate() sets one."
    )
    return figure(wide(f"<div>{plot.svg('Histogram of scores')}{slider}</div>"), words)


def _costs(m: Material) -> str:
    """What a threshold costs: for some rates of false alarms, what it is and what it finds."""
    assert m.scores is not None
    s, abnormal, own = m.scores, m.abnormal, m.threshold
    normal = s if abnormal is None else s[~abnormal]
    whose, reference = "samples of this page", normal
    if m.model.calibration is not None:
        whose, reference = "normal samples held out for it", m.model.calibration
    reference = np.asarray(reference, np.float64)
    lines = {conformal.threshold(reference, rate): percent(rate) for rate in reversed(_RATES)}
    lines = {t: rate for t, rate in lines.items() if math.isfinite(t)}
    if own is not None and own not in lines:
        lines[own] = percent(float((reference > own).mean()))
    if not lines:
        return ""
    heads = ["false alarms", "threshold", "flagged"]
    heads += ["of the normal", "found", "precision"] if abnormal is not None else []
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(_line(s, abnormal, t, lines[t], t == own) for t in sorted(lines))
    words = (
        f"What a threshold costs: the share of normal samples that it flags, by the scores of "
        f"{len(reference):,} {whose}, and what it does to the {len(s):,} samples here."
    )
    if abnormal is not None and m.labels is not None:
        name = m.classes[int(m.labels[np.flatnonzero(abnormal)[0]])]
        words += (
            f" Class {escape(name)}, the rarer, counts as abnormal: “found” is the share of its "
            f"{int(abnormal.sum()):,} samples. The ROC-AUC, the chance that one of them scores higher "
            f"than a normal one, is {metrics.roc_auc(abnormal, s):.3f}."
        )
    if own is not None:
        words += " The coloured line is the model's own threshold."
    return figure(f"<table><tr>{head}</tr>{body}</table>", words, "costs")


def _line(s: Array, abnormal: Array | None, t: float, rate: str, own: bool) -> str:
    flagged = s > t
    cells = [rate, text_of(t, 4), f"{int(flagged.sum()):,}"]
    if abnormal is not None:
        d = metrics.detection(abnormal, flagged)
        cells += [percent(float(flagged[~abnormal].mean())), percent(d.recall)]
        cells += ["" if math.isnan(d.precision) else percent(d.precision)]
    return f"<tr{' class=own' * own}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _unusual(m: Material, e: Explorer) -> str:
    """The samples with the highest scores, as buttons; the page's script says why."""
    assert m.scores is not None
    buttons = []
    for k in e.unusual:
        i = int(e.rows[k])
        error = text_of(float(m.scores[i]))
        picture = m.look.thumbnail(m.x[i], "")
        shown = error if picture else f"{escape(m.names[i])}: {error}"
        name = escape(f"{m.name_of(i)}, error {error}")
        buttons.append(
            f'<button type="button" data-row="{k}" aria-pressed="false" aria-label="{name}" '
            f'title="{name}">{picture}<span>{shown}</span></button>'
        )
    kind, name = m.look.kind, "the samples with the highest scores"
    group = f'<div class="unusual {kind}" role="group" aria-label="{name}">{"".join(buttons)}</div>'
    words = f"The {len(buttons)} samples that the model reconstructs worst. A click says why."
    return figure(f'{group}<div id="why" class="{kind}" aria-live="polite"></div>', words)
