"""``tinyae reconstruct``: data through the encoder and the decoder of a saved model."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_model, add_picture, add_verb
from tinyae.cli.files import add_force, picture_file
from tinyae.cli.models import load_model
from tinyae.cli.rows import (
    add_rows,
    check_result,
    labelled,
    names_of_table,
    read_rows,
    write_samples,
)
from tinyae.cli.wording import count, done, say

OUT = "reconstructions.npy"


def add_parser(verbs: Any) -> None:
    example = f"tinyae reconstruct model.npz --data strokes --out {OUT}"
    parser = add_verb(verbs, "reconstruct", run, example)
    add_result(parser, OUT)


def add_result(parser: argparse.ArgumentParser, default: str) -> None:
    """The options of a verb that makes samples of samples."""
    add_model(parser)
    add_rows(parser)
    parser.add_argument(
        "--out",
        default=default,
        help=f".npy, .csv, .npz, .parquet, .wav, a folder for pictures, or - (default {default})",
    )
    add_picture(parser)
    add_force(parser)
    parser.set_defaults(more_formats=("", ".wav"))


def run(args: argparse.Namespace) -> int:
    """Pass data through a saved model, every row in order, and write the result."""
    check_result("reconstruct", args, picture=picture_file(args.picture))
    model = load_model(args.model, "reconstruct", "reconstruct")
    rows, source = read_rows(args, model)
    given = labelled(model, rows)
    y = model.reconstruct(given)
    write_samples("reconstruct", args.out, rows, y, model, source)
    out, error = args.out != "-", ""
    names = names_of_table(y, model)
    if np.shape(rows.x) == y.shape:
        units = ", in scaled units" if model.scaler is not None else ""
        mean = float(np.mean(model.score(given)))
        error = f", mean squared error {mean:.6f} over {count(len(y), 'sample')}{units}"
        if args.picture:
            ta.plot.reconstructions(rows.x, y, path=args.picture, column_names=names)
    elif args.picture:
        ta.plot.page(y[:100], path=args.picture, column_names=names)
    if args.picture:
        say(f"picture: {args.picture}", out=out)
    done("reconstruct", f"{args.out}{error}", out=out)
    return 0
