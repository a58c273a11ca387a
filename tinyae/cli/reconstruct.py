"""``tinyae reconstruct``: data through the encoder and the decoder of a saved model."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_model, add_picture, add_verb
from tinyae.cli.files import add_force, picture_file
from tinyae.cli.models import load_model
from tinyae.cli.rows import add_rows, check_result, labelled, read_rows, write_samples
from tinyae.cli.wording import count, say

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
    x = np.asarray(rows.x, y.dtype)
    out = args.out != "-"
    if x.shape == y.shape:
        error, units = float(np.mean(model.score(given))), ""
        if model.scaler is not None:
            units = ", in scaled units"
        say(f"mean squared error {error:.6f} over {count(len(x), 'sample')}{units}", out=out)
        if args.picture:
            ta.plot.reconstructions(x[:10], y[:10], path=args.picture)
            say(f"picture: {args.picture}", out=out)
    elif args.picture:
        ta.plot.page(y[:100], path=args.picture)
        say(f"picture: {args.picture}", out=out)
    return 0
