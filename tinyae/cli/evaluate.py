"""``tinyae evaluate``: how good a saved model is."""

from __future__ import annotations

import argparse
from typing import Any

import tinyae as ta
from tinyae.cli.arguments import add_data, add_model, add_verb
from tinyae.cli.models import architecture, load_model
from tinyae.cli.table import print_table, quality_rows


def add_parser(verbs: Any) -> None:
    example = "tinyae evaluate model.npz --data fashion-mnist"
    parser = add_verb(verbs, "evaluate", run, example)
    add_model(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Measure a saved model on a data set's test part, beside PCA at the same code size."""
    model, dataset = load_model(args.model), ta.data.load(args.data)
    print(f"{args.model}: {architecture(model)}")
    print_table(quality_rows(model, dataset))
    return 0
