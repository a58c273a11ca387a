"""``tinyae sample``: new data from a generative model."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_model, add_picture, add_verb, positive, seed
from tinyae.cli.files import add_force, picture_file
from tinyae.cli.models import load_model
from tinyae.cli.rows import check_result, names_of, names_of_table, write_result
from tinyae.cli.wording import count, done, say
from tinyae.data.columns import Rows

OUT = "samples.npy"


def add_parser(verbs: Any) -> None:
    example = "tinyae sample model.npz --n 100 --picture samples.png"
    parser = add_verb(verbs, "sample", run, example)
    add_model(parser)
    add = parser.add_argument
    add("--n", type=positive(int), default=100, help="how many (default 100)")
    add("--label", type=int, help="of a conditional model: the class (default: all in turn)")
    add("--seed", type=seed, default=0, help="of the draws (default 0)")
    add("--out", default=OUT, help=f".npy, .csv, .npz, .parquet or - (default {OUT})")
    add_picture(parser)
    add_force(parser)


def run(args: argparse.Namespace) -> int:
    """Draw new data from a variational autoencoder or a GAN."""
    args.data = None
    check_result("sample", args, picture=picture_file(args.picture))
    model = load_model(args.model, "sample", "sample")
    rng, y = np.random.default_rng(args.seed), None
    if isinstance(model, ta.ConditionalVariationalAutoencoder):
        y = np.arange(args.n) % model.classes
        y = y if args.label is None else np.full(args.n, args.label)
        x = model.sample(y, rng)
    elif args.label is not None:
        raise ValueError("sample: --label is for a conditional model; leave it out")
    else:
        x = model.sample(args.n, rng)
    rows = Rows(x, y)
    columns: dict[Any, Any] = {names_of(rows, model, "x"): x}
    write_result("sample", args.out, rows, columns)
    if args.picture:
        ta.plot.page(x[:100], path=args.picture, column_names=names_of_table(x, model))
        say(f"picture: {args.picture}", out=args.out != "-")
    done("sample", f"{count(len(x), 'sample')} in {args.out}", out=args.out != "-")
    return 0
