"""``tinyae evaluate``: how good a saved model is."""

from __future__ import annotations

import argparse
from typing import Any

from tinyae.cli.arguments import add_model, add_verb
from tinyae.cli.models import architecture, load_model
from tinyae.cli.rows import add_rows, read_source
from tinyae.cli.table import print_table, quality_rows
from tinyae.cli.wording import count, done


def add_parser(verbs: Any) -> None:
    example = "tinyae evaluate model.npz --data fashion-mnist"
    parser = add_verb(verbs, "evaluate", run, example)
    add_model(parser)
    add_rows(parser)


def run(args: argparse.Namespace) -> int:
    """Measure a saved model on data, beside PCA at the same code size."""
    model = load_model(args.model, "evaluate", "reconstruct")
    source = read_source(args, model)
    rows = source.part(args.part)
    print(f"{args.model}: {architecture(model)}")
    which = args.part or ("all" if "all" in source.rows else "test")
    table = quality_rows(model, source.part("train"), rows, which)
    print_table(table)
    own = next(line for line in table[1:] if line[0].startswith("autoencoder"))
    done("evaluate", f"mean squared error {own[2]} of {count(len(rows.x), 'sample')}")
    return 0
