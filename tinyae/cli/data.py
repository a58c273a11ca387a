"""``tinyae data``: the data sets, by verbs of its own: list, fetch and show."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_verb
from tinyae.cli.files import add_force, check_outputs, picture_file
from tinyae.cli.rows import read_plain
from tinyae.cli.wording import count, done, say


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser("data", help="list, fetch or show data sets")
    actions = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    add_verb(actions, "list", list_names, "tinyae data list")
    sub = add_verb(actions, "fetch", fetch, "tinyae data fetch fashion-mnist")
    sub.add_argument("name", help="mnist, fashion-mnist or ecg5000")
    sub = add_verb(actions, "show", show, "tinyae data show strokes --out strokes.png")
    sub.add_argument("name", help="a name from `tinyae data list`, or a path")
    sub.add_argument("--out", default="data.png", help="file for the picture (default data.png)")
    add_force(sub)


def list_names(args: argparse.Namespace) -> int:
    """Name the data sets."""
    for name, about in ta.data.DATASETS.items():
        print(f"{name:15} {about}")
    print("or a path: a table (.csv, .tsv, .parquet), .npy, .npz, .wav, or a folder of pictures")
    done("data list", count(len(ta.data.DATASETS), "data set"))
    return 0


def fetch(args: argparse.Namespace) -> int:
    """Find, or else download and verify, a published data set."""
    done("data fetch", f"{args.name} is in {ta.data.fetch(args.name)}")
    return 0


def show(args: argparse.Namespace) -> int:
    """Describe a data set and draw a page of it."""
    check_outputs("data show", {"--out": picture_file(args.out)}, {"--data": args.name}, args.force)
    if args.name in ta.data.DATASETS:
        print(ta.data.load(args.name))
    source = read_plain("data show", args.name, args.name)
    for note in {note: None for rows in source.rows.values() for note in rows.notes}:
        say(f"note: {note}")
    columns = source.part().columns
    if columns:
        print(f"{args.name}: {', '.join(columns[:12])}{', …' if len(columns) > 12 else ''}")
    for part in ("train", "test"):
        x, y = source.part(part).x, source.part(part).y
        line = f"{part:6}{len(x):8,} × {x.shape[1:]} {x.dtype}"
        if y is not None:
            labels, counts = np.unique(y, return_counts=True)
            line += "   labels " + ", ".join(f"{a}: {n:,}" for a, n in zip(labels, counts))
        print(line)
    rows = sum(len(part.x) for part in source.rows.values())
    names = columns if np.ndim(source.part().x) == 2 else None
    ta.plot.page(np.asarray(source.part("test").x[:100]), path=args.out, column_names=names)
    done("data show", f"{count(rows, 'row')} of {args.name}, some of them in {args.out}")
    return 0
