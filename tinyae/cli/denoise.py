"""``tinyae denoise``: noisy data to what a denoising model makes of them."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_verb
from tinyae.cli.files import picture_file
from tinyae.cli.models import load_model
from tinyae.cli.reconstruct import add_result
from tinyae.cli.rows import check_result, names_of_table, read_rows, write_samples
from tinyae.cli.wording import an, count, done, say

OUT = "denoised.npy"


def add_parser(verbs: Any) -> None:
    example = "tinyae denoise model.npz --data noisy/ --out denoised/"
    parser = add_verb(verbs, "denoise", run, example)
    add_result(parser, OUT)


def run(args: argparse.Namespace) -> int:
    """Remove the noise from data that have some, with a denoising model."""
    check_result("denoise", args, picture=picture_file(args.picture))
    model = load_model(args.model, "denoise", "reconstruct")
    if not isinstance(model, ta.DenoisingAutoencoder):
        raise ValueError(
            f"denoise: {args.model} holds {an(type(model).__name__)}, which has not learnt to remove "
            "noise; train one with --model denoising"
        )
    rows, source = read_rows(args, model)
    y = model.reconstruct(rows.x)
    write_samples("denoise", args.out, rows, y, model, source)
    if args.picture:
        names = names_of_table(y, model)
        if np.shape(rows.x) == y.shape:
            ta.plot.reconstructions(rows.x, y, path=args.picture, column_names=names)
        else:
            ta.plot.page(y[:100], path=args.picture, column_names=names)
        say(f"picture: {args.picture}", out=args.out != "-")
    done("denoise", f"{count(len(y), 'sample')} in {args.out}", out=args.out != "-")
    return 0
