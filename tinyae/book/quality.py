"""The figures of ``benchmarks/quality.py`` for the pages of the models, from the benchmarks' page.

That page is beside the package in its repository, and inside of an installed one; a book that is made
without it has none of these figures.
"""

from __future__ import annotations

import functools
import html
import re
from typing import NamedTuple

from tinyae.book.chapters import ROOT

PAGES = (ROOT / "book" / "benchmarks.md", ROOT.parent / "benchmarks" / "README.md")

# The models whose page shows what a recipe measures.
MODELS = {
    "deep": ("Autoencoder",),
    "deep_long": ("Autoencoder",),
    "deep_sigmoid": ("StackedAutoencoder",),
    "pretraining": ("StackedAutoencoder",),
    "ecg": ("Autoencoder",),
    "denoiser": ("DenoisingAutoencoder",),
    "unet": ("UNet",),
    "vqvae": ("VQVAE",),
    "vae": ("VariationalAutoencoder",),
    "vae_2d": ("VariationalAutoencoder",),
    "burda": ("VariationalAutoencoder",),
    "burda_hour": ("VariationalAutoencoder",),
    "features": ("SparseAutoencoder", "DenoisingAutoencoder", "ContractiveAutoencoder"),
    "contractive": ("ContractiveAutoencoder",),
    "diffusion": ("Diffusion",),
    "gan": ("GAN",),
    "dcgan": ("GAN",),
}


class Figure(NamedTuple):
    """A line of the table: the recipes' names, and the other cells in the page's marks."""

    names: tuple[str, ...]
    question: str
    ours: str
    reference: str


@functools.cache
def figures() -> tuple[list[Figure], str]:
    """The lines of the table, and what is said of when and where they were measured."""
    page = next((path for path in PAGES if path.exists()), None)
    if page is None:
        return [], ""
    _, _, rest = page.read_text(encoding="utf-8").partition("\n| NAME | question |")
    table, _, after = rest.partition("\n\n")
    found: list[Figure] = []
    for line in table.splitlines()[2:]:
        name, question, ours, reference, *_ = (cell.strip() for cell in line[1:].split("|"))
        names = tuple(re.findall(r"`(\w+)`", name)) or found[-1].names  # a line may go on
        found.append(Figure(names, question, ours, reference))
    measured = re.search(r"Measured on .*?\.(?= ¹|\n)", after, re.DOTALL)
    return found, " ".join(measured[0].split()) if measured else ""


def figures_of(model: str) -> str:
    """The table of a model's figures in HTML; "" if there are none."""
    every, measured = figures()
    own = [f for f in every if any(model in MODELS.get(name, ()) for name in f.names)]
    if not own:
        return ""
    rows = "".join(
        f"<tr><td>{_marked(f.question)}<br>{_commands(f.names)}</td><td>{_marked(f.ours)}</td>"
        f"<td>{_marked(f.reference)}</td></tr>"
        for f in own
    )
    return (
        f"<p>What the recipes of <code>benchmarks/</code> measure. {html.escape(measured)}</p>"
        '<div class="wide">'
        '<table class="quality"><thead><tr><th>question and command</th><th>tinyae</th>'
        f"<th>beside it</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _commands(names: tuple[str, ...]) -> str:
    return "<br>".join(f"<code>python benchmarks/quality.py {name}</code>" for name in names)


def _marked(cell: str) -> str:
    """A cell's Markdown in HTML: strong and code."""
    cell = html.escape(cell, quote=False)
    cell = re.sub(r"\*\*(.*?)\*\*", r"<b>\1</b>", cell)
    return re.sub(r"`(.*?)`", r"<code>\1</code>", cell)
