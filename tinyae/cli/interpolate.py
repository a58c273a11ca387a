"""``tinyae interpolate``: from one sample to another, through the codes between them."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_model, add_picture, add_verb, positive
from tinyae.cli.files import add_force, picture_file
from tinyae.cli.models import load_model
from tinyae.cli.rows import (
    add_rows,
    check_result,
    names_of,
    names_of_table,
    read_rows,
    write_result,
)
from tinyae.cli.wording import count, done, say
from tinyae.data.columns import Rows

OUT = "path.npy"


def add_parser(verbs: Any) -> None:
    example = "tinyae interpolate model.npz --data strokes --from 0 --to 5 --picture path.png"
    parser = add_verb(verbs, "interpolate", run, example)
    add_model(parser)
    add_rows(parser)
    add = parser.add_argument
    add("--from", dest="start", type=int, default=0, help="the row to begin at (default 0)")
    add("--to", dest="end", type=int, default=1, help="the row to end at (default 1)")
    add("--steps", type=positive(int), default=10, help="samples on the way (default 10)")
    add("--path", choices=["linear", "spherical"], help="default: spherical for variational models")
    add("--out", default=OUT, help=f".npy, .csv, .npz, .parquet or - (default {OUT})")
    add_picture(parser)
    add_force(parser)


def run(args: argparse.Namespace) -> int:
    """Decode the codes between those of two samples."""
    check_result("interpolate", args, picture=picture_file(args.picture))
    model = load_model(args.model, "interpolate", "encode")
    if isinstance(model, ta.ConditionalVariationalAutoencoder):
        raise ValueError("interpolate: a conditional model's codes belong to a class; decode them")
    rows, _ = read_rows(args, model)
    for option, row in (("--from", args.start), ("--to", args.end)):
        if not 0 <= row < len(rows.x):
            raise ValueError(
                f"interpolate: {option} is {row}, expected a row from 0 to {len(rows.x) - 1}"
            )
    x = np.asarray(rows.x)[[args.start, args.end]]
    a, b = model.encode(x)[:, None]
    variational = isinstance(model, ta.VariationalAutoencoder)
    path = (
        ta.spherical if (args.path or (variational and "spherical")) == "spherical" else ta.linear
    )
    z = np.concatenate([path(a, b, t) for t in np.linspace(0, 1, args.steps)])
    y = model.decode(z)
    made = Rows(y, columns=rows.columns)
    write_result("interpolate", args.out, made, {names_of(made, model, "x"): y})
    if args.picture:
        ta.plot.page(y, path=args.picture, column_names=names_of_table(y, model))
        say(f"picture: {args.picture}", out=args.out != "-")
    way = f"{count(len(y), 'sample')} from row {args.start} to row {args.end}"
    done("interpolate", f"{way} in {args.out}", out=args.out != "-")
    return 0
