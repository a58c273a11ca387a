"""``tinyae encode``: data to codes."""

from __future__ import annotations

import argparse
from typing import Any

import tinyae as ta
from tinyae.cli.arguments import add_model, add_picture, add_verb
from tinyae.cli.files import add_force, picture_file
from tinyae.cli.models import load_model
from tinyae.cli.rows import add_rows, check_result, labelled, read_rows, write_result
from tinyae.cli.wording import count, done, say

OUT = "codes.npy"


def add_parser(verbs: Any) -> None:
    example = f"tinyae encode model.npz --data strokes --out {OUT}"
    parser = add_verb(verbs, "encode", run, example)
    add_model(parser)
    add_rows(parser)
    parser.add_argument(
        "--out", default=OUT, help=f".npy, .csv, .npz, .parquet or - (default {OUT})"
    )
    add_picture(parser)
    add_force(parser)


def run(args: argparse.Namespace) -> int:
    """Write the codes of data, one for each row and in order."""
    check_result("encode", args, picture=picture_file(args.picture))
    model = load_model(args.model, "encode", "encode")
    rows, _ = read_rows(args, model)
    z = model.encode(labelled(model, rows))
    write_result("encode", args.out, rows, {"z": z})
    if args.picture:
        ta.plot.latent_map(z.reshape(len(z), -1), rows.y, path=args.picture)
        say(f"picture: {args.picture}", out=args.out != "-")
    codes, size = count(len(z), "code"), count(z[0].size if len(z) else 0, "number")
    done("encode", f"{codes} of {size} in {args.out}", out=args.out != "-")
    return 0
