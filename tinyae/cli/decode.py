"""``tinyae decode``: codes to data."""

from __future__ import annotations

import argparse
import re
from typing import Any

import numpy as np

import tinyae as ta
from tinyae import archive
from tinyae.cli.arguments import add_model, add_picture, add_verb
from tinyae.cli.files import add_force, picture_file
from tinyae.cli.models import load_model
from tinyae.cli.rows import check_result, names_of, names_of_table, read_plain, write_result
from tinyae.cli.wording import count, done, say
from tinyae.data.columns import Rows, TableOptions

OUT = "decoded.npy"


def add_parser(verbs: Any) -> None:
    example = f"tinyae decode model.npz --codes codes.npy --out {OUT}"
    parser = add_verb(verbs, "decode", run, example)
    add_model(parser)
    parser.add_argument("--codes", required=True, help="codes, one a row: .npy, .csv, .npz or -")
    parser.add_argument("--label", type=int, help="of a conditional model: the class of all rows")
    parser.add_argument(
        "--out", default=OUT, help=f".npy, .csv, .npz, .parquet or - (default {OUT})"
    )
    add_picture(parser)
    add_force(parser)


def run(args: argparse.Namespace) -> int:
    """Turn codes back into data with a saved model."""
    args.data = args.codes
    check_result("decode", args, picture=picture_file(args.picture))
    model = load_model(args.model, "decode", "decode")
    rows = _codes(args.codes)
    z: Any = rows.x
    if isinstance(model, ta.ConditionalVariationalAutoencoder):
        if args.label is None:
            raise ValueError(
                "decode: a conditional model needs a class; pass --label, e.g. --label 0"
            )
        z = z.astype(model.dtype), np.full(len(z), args.label)
    elif args.label is not None:
        raise ValueError("decode: --label does nothing for this model; leave it out")
    y = model.decode(z)
    rows = Rows(y, index=rows.index, index_name=rows.index_name)
    write_result("decode", args.out, rows, {names_of(rows, model, "x"): y})
    if args.picture:
        ta.plot.page(y[:100], path=args.picture, column_names=names_of_table(y, model))
        say(f"picture: {args.picture}", out=args.out != "-")
    done("decode", f"{count(len(y), 'sample')} in {args.out}", out=args.out != "-")
    return 0


def _codes(path: str) -> Rows:
    """Codes as `tinyae encode` writes them: in a table the columns z0, z1, …, if it has such."""
    if path.endswith(".npy"):
        return Rows(archive.read_npy("decode", path))
    if path.endswith(".npz"):
        reading = archive.reading("decode", path, ".npz")
        with reading, open(path, "rb") as stream, np.load(stream) as file:
            found = {name: file[name] for name in file.files}
        if "z" not in found and len(found) != 1:
            raise ValueError(
                f"decode: {path} has the arrays {', '.join(found) or '(none)'}; expected one array, "
                "or the codes under the name z"
            )
        return Rows(found["z"] if "z" in found else next(iter(found.values())))
    rows = read_plain("decode", "--codes", path).part()
    names = rows.columns or []
    codes = [k for k, name in enumerate(names) if re.fullmatch(r"z\d+", name)]
    if not codes:
        return rows
    if path != "-" and rows.index is None and codes[0] == 1:
        beside = read_plain("decode", "--codes", path, TableOptions(index=names[0])).part()
        return beside
    return Rows(rows.x[:, codes], index=rows.index, index_name=rows.index_name)
