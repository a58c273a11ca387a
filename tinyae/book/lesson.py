"""The page of a layer or of a model: equation, code, an example that is run, mistakes, relations."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from tinyae.book.address import Links
from tinyae.book.example import MODEL, PROGRAM, Compared, Example, matrix, of_layer, of_loss
from tinyae.book.highlight import highlighted
from tinyae.book.mistakes import Mistake, planted
from tinyae.book.modules import file_of
from tinyae.book.plan import Page
from tinyae.book.prose import heads, prose, sentence
from tinyae.book.relations import drawn, exercises, parts
from tinyae.book.shelf import Shelf
from tinyae.book.spread import GREEK, kernels_of, methods, side_by_side, spread
from tinyae.explanation.docstring_sections import parse, sections
from tinyae.explanation.mathml import mathml
from tinyae.gradcheck import check_model
from tinyae.twin import definitions_only


def layer_page(shelf: Shelf, page: Page, links: Links, users: dict[type, list[str]]) -> str:
    cls = page.subject
    shared = {m.name for m in methods(shelf, cls, ("forward",))}
    backward = [m for m in methods(shelf, cls, ("backward",)) if m.name not in shared]
    out = [_head(page, links)]
    out.append(_section("Forward and backward", _spread(shelf, cls, ("forward",), ("backward",))))
    if page.row is not None:
        out.append(_section("An example", _example(page.row.name)))
        layer, x = drawn(page.row)
        mistakes = planted(layer, x, backward)
        if mistakes:
            out.append(_section("Mistakes, and what the doctor says", _mistakes(mistakes)))
    out.append(_relations(page, links, users.get(cls, [])))
    return "\n".join(out)


def loss_page(shelf: Shelf, page: Page, links: Links) -> str:
    """The page of a loss, which gives its number and its gradient at once."""
    cls = page.subject
    measure = methods(shelf, cls, ("measure",))
    kernels = [kernel for method in measure for kernel in kernels_of(shelf, method)]
    code = side_by_side(cls, sections(cls), measure, kernels)
    out = [_head(page, links), _section("The loss and its gradient", code)]
    said = (
        "The numeric gradient is that of <var>L</var> by central differences; <var>t</var> is the "
        "target."
    )
    out.append(_section("An example", _shown(of_loss(page.row.name), "loss", said)))
    out.append(_relations(page, links, []))
    return "\n".join(out)


def model_page(shelf: Shelf, page: Page, links: Links, pictures: str, figures: str) -> str:
    cls = page.subject
    out = [_head(page, links)]
    left = ("input_and_target", "objective")
    out.append(_section("Objective and backprop", _spread(shelf, cls, left, ("backprop",))))
    if page.row is not None:
        out.append(_section("A small run", _run(page.row)))
    if figures:
        out.append(_section("On real data", figures))
    if pictures:
        out.append(_section("Pictures", pictures))
    out.append(_relations(page, links, []))
    return "\n".join(out)


def _section(title: str, body: str) -> str:
    anchor = title.lower().split(",")[0].replace(" ", "-")
    return f'<section id="{anchor}"><h2>{title}</h2>{body}</section>'


def _head(page: Page, links: Links) -> str:
    """The sections of the docstring, and what else it says."""
    cls = page.subject
    path = file_of(cls.__module__)
    where = links.to(links.addresses.names.get((path, cls.__name__)))
    code = f"<code>tinyae/{path}</code>"
    out = [f'<p class="path"><a href="{where}">{code}</a></p>' if where else f"<p>{code}</p>"]
    doc = cls.__doc__ or ""
    first, _, rest = doc.partition("\n")
    if not first.startswith("f = "):
        out.append(f'<p class="lead">{sentence(first, links)}</p>')
    found = sections(cls)
    out.append(f'<div class="equations">{heads(found, links)}</div>')
    own = parse(doc)
    said = [
        line for line in prose(rest, links).split("\n") if not line.startswith('<dl class="heads">')
    ]
    if "".join(said).strip() and (own or said):
        out.append(f'<div class="prose">{"".join(said)}</div>')
    return "\n".join(out)


def _spread(shelf: Shelf, cls: type, left: tuple[str, ...], right: tuple[str, ...]) -> str:
    ours = methods(shelf, cls, left)
    names = {m.name for m in ours}
    theirs = [m for m in methods(shelf, cls, right) if m.name not in names]
    return spread(shelf, cls, sections(cls), ours, theirs)


def program(text: str) -> str:
    """A program in HTML."""
    body = "".join(f'<div class="l"><code>{line or " "}</code></div>' for line in highlighted(text))
    return f'<div class="code block">{body}</div>'


def _folded(text: str) -> str:
    title = "The program, as it ran when this page was made"
    return f"<details><summary>{title}</summary>{program(text)}</details>"


# --- the example of a layer ---------------------------------------------------------------------


def _example(name: str) -> str:
    said = (
        "The numeric gradient is that of the sum of <var>dy</var> times <var>y</var> by central "
        "differences."
    )
    return _shown(of_layer(name), "layer", said)


def _shown(example: Example, kind: str, said: str) -> str:
    values = "".join(
        f"<span>{mathml(symbol)}<small>{_shape(a)}</small> {mathml('=')} {matrix(a)}</span>"
        for symbol, a in example.values.items()
    )
    rows = "".join(_compared(c) for c in example.gradients)
    worst = max((c.error for c in example.gradients), default=0.0)
    say = (
        f"<p>Here the {kind} is <code>{html.escape(example.shown)}</code>. {said} The largest "
        f"relative difference is {_power(worst)}.</p>"
    )
    table = (
        '<div class="wide"><table class="gradients"><thead><tr><th></th><th>backward</th>'
        f"<th>numeric</th><th>difference</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
    shown = table if rows else ""
    return f'{say}<div class="values">{values}</div>{shown}{_folded(example.program)}'


def _compared(c: Compared) -> str:
    return (
        f"<tr><th>{_gradient_name(c.name)}<small>{_shape(c.analytic)}</small></th>"
        f"<td>{matrix(c.analytic)}</td><td>{matrix(c.numeric)}</td><td>{_power(c.error)}</td></tr>"
    )


def _gradient_name(name: str) -> str:
    """dW in mathematics; 0.dW with the place of the layer as code."""
    place, _, symbol = name.rpartition(".")
    theta = symbol[1:]
    shown = mathml("d" + GREEK.get(theta, theta)) if len(GREEK.get(theta, theta)) < 4 else symbol
    return f"<code>{place}.</code>{shown}" if place else shown


def _shape(a: Any) -> str:
    return " × ".join(map(str, np.shape(a))) or "1"


def _power(value: float) -> str:
    """1.3e-10 as 1.3 · 10⁻¹⁰"""
    if not value:
        return "0"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}&#8239;·&#8239;10<sup>{int(exponent)}</sup>".replace("-", "−")


# --- mistakes -----------------------------------------------------------------------------------


def _mistakes(mistakes: list[Mistake]) -> str:
    out = [
        "<p>Each of these was planted into the code above when this page was made, and "
        "<code>ta.gradcheck.diagnose</code> was asked. What follows is what it answered.</p>"
    ]
    for m in mistakes:
        edit = m.edit
        title = edit.kind[:1].upper() + edit.kind[1:]
        out.append(
            f'<article class="mistake"><h3>{html.escape(title)}</h3><pre class="diff">'
            f"<del>{html.escape(edit.before.strip())}</del>\n<ins>{html.escape(edit.after.strip())}</ins></pre>"
            f'<pre class="doctor">{html.escape(str(m.diagnosis))}</pre></article>'
        )
    return "".join(out)


# --- the run of a model -------------------------------------------------------------------------


def _run(row: Any) -> str:
    text = PROGRAM.format(table="MODELS", name=row.name, seed=0) + MODEL
    text = text.replace("import numpy as np\n", "import numpy as np\nimport tinyae as ta\n", 1)
    names: dict[str, Any] = {}
    exec(compile(text, "<example>", "exec"), names)
    rows = "".join(
        f"<tr><th>{html.escape(term.replace('_', ' '))}</th><td>{value:.4f}</td>"
        f"<td>{names['last'][term]:.4f}</td></tr>"
        for term, value in names["first"].items()
    )
    table = (
        "<table><thead><tr><th>term</th><th>before</th><th>after 50 steps of Adam</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
    model, x = drawn(row)
    with definitions_only():
        report = check_model(model, x, 0)
    return (
        f"<p>A small {type(model).__name__} of the catalog on one batch of random numbers, and the "
        f"gradient check of the whole model.</p>{table}"
        f'<div class="wide"><pre class="doctor check">{html.escape(str(report))}</pre></div>'
        f"{_folded(text)}"
    )


# --- what belongs to it --------------------------------------------------------------------------


def _relations(page: Page, links: Links, users: list[str]) -> str:
    rows = []
    for entry in exercises(page.title):
        title = f"{entry.number:02d} · {html.escape(entry.exercise.title)}"
        href = links.of_lesson(entry.id)
        shown = f'<a href="{href}">{title}</a>' if href else title
        rows.append(
            f"<dt>Exercise</dt><dd>{shown} <code>tinyae learn start {entry.number:02d}</code></dd>"
        )
    if users:
        rows.append(f"<dt>Used by</dt><dd>{', '.join(_named(n, links) for n in users)}</dd>")
    if page.row is not None and page.kind != "loss":
        inside = sorted(cls.__name__ for cls in parts(drawn(page.row)[0]))
        if inside:
            rows.append(f"<dt>Made of</dt><dd>{', '.join(_named(n, links) for n in inside)}</dd>")
    if not rows:
        return ""
    return _section("What belongs to it", f'<dl class="heads relations">{"".join(rows)}</dl>')


def _named(name: str, links: Links) -> str:
    href = links.of_lesson(name)
    return f'<a href="{href}">{name}</a>' if href else name
