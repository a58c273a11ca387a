"""One self-contained HTML page: text, figures, data, styles and script; nothing comes from a network."""

from __future__ import annotations

import math
import re
from html import escape
from pathlib import Path

import tinyae
from tinyae.models import VariationalAutoencoder
from tinyae.param import parameter_count
from tinyae.report import anomalies, curves, figures
from tinyae.report.drawing import figure, text_of, wide
from tinyae.report.explorer import COLOURS, Explorer, explorer
from tinyae.report.material import Material
from tinyae.report.network import drawing, table

# What a browser may load for the page: nothing that is not in it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_SLIDERS = 6


def html(m: Material, title: str | None) -> str:
    """The page."""
    kind = _words(type(m.model).__name__)
    heading = title or _capital(kind)
    e = explorer(m)
    sections = [section for section in _sections(m, e) if section]
    nav = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, name, _ in sections)
    body = "".join(
        f'<section id="{key}"><h2>{escape(name)}</h2>{content}</section>'
        for key, name, content in sections
    )
    notes = "".join(f'<p class="fine">{escape(note)}</p>' for note in m.notes)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(heading)} · tinyae report</title><style>{_file('page.css')}</style></head>"
        f'<body><main><header><p class="kicker">tinyae report</p><h1>{escape(heading)}</h1>'
        f'<p class="lead">{_lead(m, kind)}</p>{_facts(m)}<nav aria-label="Sections">{nav}</nav>'
        f"</header>{body}{notes}<footer>Made by tinyae {tinyae.__version__} from {_rows(m)}. The page "
        "is complete in itself: nothing is loaded, and nothing leaves it.</footer></main>"
        f'<script type="application/json" id="data">{e.data}</script>'
        f"<script>{e.decoder}</script><script>{_file('page.js')}</script></body></html>\n"
    )


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _words(name: str) -> str:
    """VariationalAutoencoder → variational autoencoder; GAN, VQVAE as they are."""
    return name if name.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _rows(m: Material) -> str:
    size = "×".join(map(str, m.x.shape[1:]))
    return f"{len(m.x):,} samples of {size} numbers"


def _lead(m: Material, kind: str) -> str:
    width, article = math.prod(m.x.shape[1:]), "An" if kind[0] in "aeiou" else "A"
    words = f"{article} {escape(kind)}"
    if m.codes is not None and m.y is not None:
        size = m.codes.shape[1]
        does = "squeezes" if size < width else "turns"
        words += f" that {does} each sample of {width:,} numbers into {size:,}, and those into "
        words += f"{width:,} again"
    elif m.codes is not None:
        words += f" that makes {width:,} numbers of {m.codes.shape[1]:,} drawn at random"
    words += f". It has {parameter_count(m.model.params):,} parameters"
    if m.history is not None and len(m.history):
        n = len(m.history)
        seconds = float(sum(epoch.seconds for epoch in m.history.epochs))
        words += f" and was trained for {n} epoch{'s' * (n != 1)}"
        words += f" in {text_of(seconds, 2)} s" if math.isfinite(seconds) else ""
    if m.y is None:
        return f"{words}."
    return f"{words}. Everything here was measured on {len(m.x):,} samples."


def _facts(m: Material) -> str:
    facts: list[tuple[str, str, str]] = []
    if m.comparison is not None:
        c = m.comparison
        own, pca = c.own, c.of_pca
        facts.append(("mean squared error", text_of(own.mse), "accent"))
        if pca is not None:
            facts.append(("PCA of the same size", text_of(pca.mse), ""))
        facts.append((c.ratio.replace(" dB", ""), f"{own.decibels:.1f} <small>dB</small>", ""))
    if m.codes is not None:
        n = m.codes.shape[1]
        facts.append(("code", f"{n:,} <small>number{'s' * (n != 1)}</small>", ""))
    facts.append(("parameters", f"{parameter_count(m.model.params):,}", ""))
    if m.diagnosis is not None:
        n = len(m.diagnosis.findings)
        facts.append(("run doctor", "no finding" if not n else f"{n} finding{'s' * (n > 1)}", ""))
    cells = "".join(
        f'<div class="{css}"><dt>{name}</dt><dd>{value}</dd></div>' for name, value, css in facts
    )
    return f'<dl class="facts">{cells}</dl>'


def _sections(m: Material, e: Explorer) -> list[tuple[str, str, str]]:
    out = []
    if e.svg:
        out.append(("explore", "The latent space", _explorer(m, e)))
    if m.comparison is not None:
        out.append(("reconstructions", "Best, median, worst", figures.reconstructions(m)))
        out.append(("pca", "Against PCA", curves.against_pca(m)))
    if m.samples is not None:
        out.append(("samples", "Drawn by the model", figures.samples(m)))
    if m.scores is not None and m.y is not None:
        out.append(("anomalies", "What is unusual", anomalies.section(m, e)))
    if m.per_feature is not None:
        out.append(("errors", "Where the error is", figures.per_feature(m)))
    if m.network:
        out.append(("network", "The network", _network(m)))
    out.append(("training", "The training", _training(m)))
    return out


# --- sections -----------------------------------------------------------------------------------------


def _explorer(m: Material, e: Explorer) -> str:
    size = e.dimensions
    several = f"{size:,} number{'s' * (size != 1)}"
    if e.decoder:
        maker = "decoder" if m.y is not None else "generator"
        lead = (
            f"Every point stands for a code of {several}. Drag the ring: the {maker} runs in this page, "
            "and draws what the code means. A click on a point goes there."
        )
    else:
        lead = f"Every point is the code of a sample, {several}."
    sliders = "".join(
        f'<label>axis {k + 1}<input type="range" data-axis="{k}" min="{low:.6g}" max="{high:.6g}" '
        f'step="any" aria-label="place along principal axis {k + 1}"><output></output></label>'
        for k, (low, high) in list(enumerate(e.ranges))[2 : 2 + _SLIDERS]
    )
    kinds = ""
    if getattr(m.model, "classes", 0) and m.classes and hasattr(m.model, "decoder"):
        kinds = "".join(
            f'<button type="button" data-kind="{k}" aria-pressed="false">{escape(name)}</button>'
            for k, name in enumerate(m.classes[: m.model.classes])
        )
        kinds = f'<div class="buttons" role="group" aria-label="class to decode">{kinds}</div>'
    walk = '<button type="button" id="walk" aria-pressed="false">Walk</button>' if e.decoder else ""
    if e.decoder and size > 2:
        walk += (
            '<button type="button" id="follow" aria-pressed="true" title="the other axes follow the '
            'samples near the ring; without it they stay where they are">Follow samples</button>'
        )
    buttons = (
        f'<div class="buttons"><button type="button" id="centre">Centre</button><button type="button" '
        f'id="any">Random</button>{walk}</div>'
    )
    controls = f'<div class="controls">{sliders}</div>' if sliders and e.decoder else ""
    right = (
        '<div class="shown"><div class="big" id="shown" aria-live="off"></div>'
        f'<div class="near" id="near"></div>{kinds}{controls}{buttons}'
        "<noscript><p>The map answers where scripts are allowed.</p></noscript></div>"
    )
    box = f'<div class="mapbox">{e.svg}<div id="tip" hidden></div></div>{_legend(m)}'
    left = f"<figure>{box}<figcaption>{_map_words(m, e)}</figcaption></figure>"
    return f'<p>{lead}</p><div class="explorer">{left}{right}</div>'


def _legend(m: Material) -> str:
    if (
        m.labels is None
        or len(m.classes) > len(COLOURS)
        or not any(not c.isdigit() for c in m.classes)
    ):
        return ""
    items = "".join(
        f'<span><i style="background:{COLOURS[k]}"></i>{escape(name)}</span>'
        for k, name in enumerate(m.classes)
    )
    return f'<div class="legend">{items}</div>'


def _map_words(m: Material, e: Explorer) -> str:
    assert m.codes is not None
    if m.y is None:
        return (
            f"{len(e.rows):,} codes drawn from N(0, I), by their first two principal axes. The lines "
            "hold 90, 60 and 30 % of them."
        )
    words = f"{len(e.rows):,} samples" + (f" of {len(m.x):,}" if len(e.rows) < len(m.x) else "")
    if e.dimensions > 2:
        words += ", by the first two principal axes of their codes" + (
            ". The sliders move along the next ones; with “Follow samples” those go with the samples "
            "near the ring"
            if e.decoder
            else ""
        )
    elif e.dimensions == 1:
        words += " by their code; the vertical place means nothing"
    else:
        words += " by the two numbers of their codes"
    words += ". The lines hold 90, 60 and 30 % of all samples."
    if m.labels is not None and 1 < len(m.classes) <= len(COLOURS):
        words += (
            " Colours are the classes, which the model was not told."
            if not getattr(m.model, "classes", 0)
            else " Colours are the classes."
        )
    return words


def _network(m: Material) -> str:
    shape = m.x.shape[1:] if m.y is not None or m.codes is None else m.codes.shape[1:]
    name = f"The network: {len(m.network)} layers from {'×'.join(map(str, shape))} numbers"
    drawn = drawing(m.network, tuple(shape), name)
    variational = isinstance(m.model, VariationalAutoencoder)
    words = (
        "Each bar is an intermediate result, the taller the more numbers it has (on a logarithmic "
        "scale), with its shape below it; each field between two bars is a layer, with the numbers it "
        "has learnt."
    )
    if variational:
        words += " A second head, not drawn, gives the variance of the code about this mean."
    rows = f"<details><summary>The layers as a table</summary>{table(m.network)}</details>"
    return figure(wide(drawn), words) + rows


def _training(m: Material) -> str:
    out = ""
    if m.history is not None and len(m.history):
        out += curves.curves(m.history, m.model)
    else:
        out += "<p>The model's file does not say how it was trained: there are no curves.</p>"
    d = m.diagnosis
    if d is None:
        return out
    if d.ok:
        out += '<p class="fine">The run doctor has looked for dead and saturated units, constant codes, '
        out += "steps too large or too small, overfitting and more: nothing is plainly wrong.</p>"
    for f in d.findings:
        where = f" <small>{escape(f.where)}</small>" if f.where else ""
        name = _capital(f.kind.replace("_", " "))
        out += (
            f'<div class="finding"><b>{escape(name)}</b>{where}<p>{escape(_capital(f.seen))}.</p>'
            f"<p>{escape(_capital(f.why))}.</p><p><b>Do:</b> {escape(f.do)}.</p></div>"
        )
    if d.notes:
        notes = "".join(f"<li>{escape(note)}</li>" for note in d.notes)
        out += (
            f'<details><summary>What it measured</summary><ul class="notes">{notes}</ul></details>'
        )
    return out
