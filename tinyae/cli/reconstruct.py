"""``tinyae reconstruct``: data through the encoder and the decoder of a saved model."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_data, add_model, add_picture, add_verb
from tinyae.cli.files import check_outputs, picture_file, write_npy
from tinyae.cli.models import load_model

OUT = "reconstructions.npy"


def add_parser(verbs: Any) -> None:
    example = f"tinyae reconstruct model.npz --data strokes --out {OUT}"
    parser = add_verb(verbs, "reconstruct", run, example)
    add_model(parser)
    add_data(parser)
    parser.add_argument("--out", default=OUT, help=f"default {OUT}")
    add_picture(parser)


def run(args: argparse.Namespace) -> int:
    """Pass a data set's test part through a saved model and write the result as .npy."""
    outputs = {"--out": args.out, "--picture": picture_file(args.picture)}
    check_outputs("reconstruct", outputs, {"model": args.model, "--data": args.data})
    model, x = load_model(args.model), ta.data.load(args.data).x_test
    y = model.reconstruct(x)
    write_npy("reconstruct", args.out, y)
    error = ta.metrics.mse(y, np.asarray(x, y.dtype))
    print(f"mean squared error {error:.6f} over {len(x):,} samples")
    if args.picture:
        ta.plot.reconstructions(np.asarray(x[:10], y.dtype), y[:10], path=args.picture)
        print(f"picture: {args.picture}")
    return 0
