"""``tinyae info``: what a saved model costs."""

from __future__ import annotations

import argparse
import math
import os
from typing import Any

import tinyae as ta
from tinyae.cli.arguments import add_model, add_verb, positive
from tinyae.cli.wording import count, done
from tinyae.param import parameter_count
from tinyae.program.compile import PARTS


def add_parser(verbs: Any) -> None:
    example = "tinyae info model.npz --budget-kb 64"
    parser = add_verb(verbs, "info", run, example)
    add_model(parser)
    whole = f"default {PARTS[0]}; decoder for a model that can only draw"
    parser.add_argument("--part", choices=PARTS, help=whole)
    parser.add_argument("--budget-kb", type=positive(float), help="weights and scratch memory")
    parser.add_argument("--budget-ms", type=positive(float), help="a call, on this machine")
    parser.add_argument("--repeats", type=positive(int), default=10, help="of each time")
    parser.add_argument(
        "--shape",
        type=int,
        nargs="+",
        metavar="N",
        help="of one sample, e.g. 1 28 28, for a model of convolutions alone",
    )


def run(args: argparse.Namespace) -> int:
    """Show what a saved model costs, layer by layer, and what would fit a budget."""
    model = ta.load(args.model)
    shape = None if args.shape is None else tuple(args.shape)
    budgets = {"budget_kb": args.budget_kb, "budget_ms": args.budget_ms}
    if isinstance(model, ta.layers.Layer):
        print(ta.profile(model, shape, repeats=args.repeats, **budgets))
    else:
        draws = isinstance(model, ta.GAN | ta.ConditionalVariationalAutoencoder)
        part = args.part or ("decoder" if draws else PARTS[0])
        print(ta.profile(model, shape, part=part, repeats=args.repeats, **budgets))
    if isinstance(model, ta.Model):
        print("\n".join(_carried(model)))
    n = parameter_count(model.params)
    done("info", f"{args.model}, {count(n, 'parameter')}, {os.path.getsize(args.model):,} bytes")
    return 0


def _carried(model: ta.Model) -> list[str]:
    """What a model has beside its weights: units, columns, a threshold, a history."""
    scaler, threshold = model.scaler, model._carried.get("threshold")
    shape = " × ".join(map(str, scaler.shift.shape)) if scaler else ""
    lines = [
        f"scaler    {f'of {shape}: data go in and out in their own units' if scaler else 'none'}"
    ]
    if model.columns:
        few = ", ".join(model.columns[:8]) + (", …" if len(model.columns) > 8 else "")
        lines.append(f"columns   {few}")
    if model.fill is not None:
        lines.append(
            "gaps      --missing mean fills them with the means of what the model learnt from"
        )
    known = threshold is not None and math.isfinite(threshold)
    history = model.history
    past = f"of {count(len(history), 'epoch')}" if history else "none"
    return [*lines, f"threshold {f'{threshold:.6g}' if known else 'none'}", f"history   {past}"]
