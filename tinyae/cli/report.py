"""``tinyae report``: a saved model as a page that can be touched."""

from __future__ import annotations

import argparse
import os
from typing import Any

import tinyae as ta
from tinyae.cli.arguments import add_model, add_quiet, add_verb
from tinyae.cli.files import add_force, check_outputs
from tinyae.cli.rows import add_rows, labelled, read_source
from tinyae.cli.wording import an
from tinyae.data.columns import Rows
from tinyae.report.samples import KINDS
from tinyae.training.checkpoint import read_history

OUT = "report.html"


def add_parser(verbs: Any) -> None:
    example = f"tinyae report model.npz --data fashion-mnist -o {OUT}"
    parser = add_verb(verbs, "report", run, example)
    add_model(parser)
    add_rows(parser)
    add = parser.add_argument
    add(
        "--history",
        metavar="FILE",
        help="a checkpoint whose curves are shown (default: the model's)",
    )
    add("--kind", choices=KINDS, help="how a sample is drawn (default: by its shape)")
    add("--title", help="the page's heading")
    add("-o", "--out", default=OUT, help=f"default {OUT}")
    add_force(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Write a page about a saved model: what it is, how good, what is unusual, and its latent map."""
    data = None if args.data == "-" else args.data
    inputs = {"model": args.model, "--data": data, "--history": args.history}
    check_outputs("report", {"--out": args.out}, inputs, args.force)
    check_page("report", args.out)
    model = ta.load(args.model)
    if not isinstance(model, ta.Model):
        raise ValueError(f"{args.model} holds {an(type(model).__name__)}, expected a model")
    history = model.history if args.history is None else read_history(args.history)
    source = read_source(args, model)
    rows, train = source.part(args.part), source.part("train")
    write_report(
        args.out, model, rows, train, history, args.title, kind=args.kind, quiet=args.quiet
    )
    return 0


def check_page(verb: str, path: str) -> None:
    """Raise unless the name is that of a page.

    Raises
        ValueError  another suffix than .html
    """
    if not path.lower().endswith((".html", ".htm")):
        raise ValueError(
            f"{verb}: {path} is to be a page for a browser; pass a name that ends in .html"
        )


def write_report(
    path: str,
    model: ta.Model,
    rows: Rows,
    train: Rows,
    history: ta.History | None,
    title: str | None = None,
    *,
    kind: str | None = None,
    quiet: bool = False,
) -> None:
    """The page, and a line that says where it is."""
    x, learnt = labelled(model, rows), labelled(model, train)
    ta.report(
        model,
        x,
        history,
        path,
        labels=None if isinstance(x, tuple) else rows.y,
        classes=rows.classes,
        names=rows.index,
        columns=rows.columns,
        train=learnt,
        kind=kind,
        title=title,
        progress=not quiet,
    )
    print(f"report: {path}, {os.path.getsize(path) / 1e6:.1f} MB; open it in a browser")
