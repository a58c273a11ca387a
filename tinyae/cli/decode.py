"""``tinyae decode``: codes to data."""

from __future__ import annotations

import argparse
from typing import Any

import tinyae as ta
from tinyae import archive
from tinyae.cli.arguments import add_model, add_picture, add_verb
from tinyae.cli.files import check_outputs, picture_file, write_npy
from tinyae.cli.models import load_model


def add_parser(verbs: Any) -> None:
    example = "tinyae decode model.npz --codes codes.npy --out decoded.npy"
    parser = add_verb(verbs, "decode", run, example)
    add_model(parser)
    parser.add_argument("--codes", required=True, help="a .npy file of codes, one a row")
    parser.add_argument("--out", default="decoded.npy", help="default decoded.npy")
    add_picture(parser)


def run(args: argparse.Namespace) -> int:
    """Turn a .npy file of codes back into data with a saved model."""
    outputs = {"--out": args.out, "--picture": picture_file(args.picture)}
    check_outputs("decode", outputs, {"model": args.model, "--codes": args.codes})
    model, z = load_model(args.model), archive.read_npy("decode", args.codes)
    y = model.decode(z)
    write_npy("decode", args.out, y)
    if args.picture:
        ta.plot.page(y[:100], path=args.picture)
        print(f"picture: {args.picture}")
    return 0
