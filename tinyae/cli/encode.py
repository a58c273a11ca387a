"""``tinyae encode``: data to codes."""

from __future__ import annotations

import argparse
from typing import Any

import tinyae as ta
from tinyae.cli.arguments import add_data, add_model, add_picture, add_verb
from tinyae.cli.files import check_outputs, picture_file, write_npy
from tinyae.cli.models import load_model

OUT = "codes.npy"


def add_parser(verbs: Any) -> None:
    example = f"tinyae encode model.npz --data strokes --out {OUT}"
    parser = add_verb(verbs, "encode", run, example)
    add_model(parser)
    add_data(parser)
    parser.add_argument("--out", default=OUT, help=f"default {OUT}")
    add_picture(parser)


def run(args: argparse.Namespace) -> int:
    """Write the codes of a data set's test part as .npy."""
    outputs = {"--out": args.out, "--picture": picture_file(args.picture)}
    check_outputs("encode", outputs, {"model": args.model, "--data": args.data})
    model, dataset = load_model(args.model), ta.data.load(args.data)
    z = model.encode(dataset.x_test)
    write_npy("encode", args.out, z)
    if args.picture:
        ta.plot.latent_map(z.reshape(len(z), -1), dataset.y_test, path=args.picture)
        print(f"picture: {args.picture}")
    return 0
