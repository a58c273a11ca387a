"""``tinyae sample``: new data from a generative model."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_model, add_picture, add_verb, positive, seed
from tinyae.cli.files import check_outputs, picture_file, write_npy


def add_parser(verbs: Any) -> None:
    example = "tinyae sample model.npz --n 100 --picture samples.png"
    parser = add_verb(verbs, "sample", run, example)
    add_model(parser)
    parser.add_argument("--n", type=positive(int), default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=seed, default=0, help="of the draws (default 0)")
    parser.add_argument("--out", default="samples.npy", help="default samples.npy")
    add_picture(parser)


def run(args: argparse.Namespace) -> int:
    """Draw new data from a variational autoencoder or a GAN."""
    outputs = {"--out": args.out, "--picture": picture_file(args.picture)}
    check_outputs("sample", outputs, {"model": args.model})
    model = ta.load(args.model)
    if not isinstance(model, (ta.VariationalAutoencoder, ta.GAN)):
        raise ValueError(
            f"sample: {args.model} holds a {type(model).__name__}, which has no distribution to draw "
            "from; train one with --model variational"
        )
    x = model.sample(args.n, np.random.default_rng(args.seed))
    write_npy("sample", args.out, x)
    if args.picture:
        ta.plot.page(x[:100], path=args.picture)
        print(f"picture: {args.picture}")
    return 0
