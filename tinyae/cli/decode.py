"""``tinyae decode``: codes to data."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyae as ta
from tinyae.cli.arguments import add_model, add_picture, add_verb
from tinyae.cli.files import write_npy
from tinyae.cli.models import load_model
from tinyae.data.files import reading
from tinyae.param import Array


def add_parser(verbs: Any) -> None:
    example = "tinyae decode model.npz --codes codes.npy --out decoded.npy"
    parser = add_verb(verbs, "decode", run, example)
    add_model(parser)
    parser.add_argument("--codes", required=True, help="a .npy file of codes, one a row")
    parser.add_argument("--out", default="decoded.npy", help="default decoded.npy")
    add_picture(parser)


def run(args: argparse.Namespace) -> int:
    """Turn a .npy file of codes back into data with a saved model."""
    model, z = load_model(args.model), _read_npy(args.codes)
    y = model.decode(z)
    write_npy(args.out, y)
    if args.picture:
        ta.plot.page(y[:100], path=args.picture)
        print(f"picture: {args.picture}")
    return 0


def _read_npy(path: str) -> Array:
    with reading("decode", path, ".npy"), open(path, "rb") as file:
        z = np.load(file, allow_pickle=False)
    if not isinstance(z, np.ndarray):
        raise ValueError(f"decode: {path} holds several arrays, expected one; pass a .npy file")
    return z
