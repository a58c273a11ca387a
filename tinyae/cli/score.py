"""``tinyae score``: how unusual each row is."""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

from tinyae import conformal
from tinyae.cli.arguments import add_model, add_verb, share
from tinyae.cli.files import add_force
from tinyae.cli.models import load_model
from tinyae.cli.rows import add_rows, check_result, labelled, names_of, read_rows, write_result
from tinyae.cli.wording import count, done, say

OUT = "scores.csv"


def add_parser(verbs: Any) -> None:
    example = f"tinyae score model.npz --data pumps.csv --out {OUT}"
    parser = add_verb(verbs, "score", run, example)
    add_model(parser)
    add_rows(parser)
    add = parser.add_argument
    add("--out", default=OUT, help=f".csv, .npy, .npz, .parquet or - (default {OUT})")
    add("--threshold", type=float, help="flag scores above it (default: the model's own)")
    rate = "flag this share of normal rows, by the scores of held-out rows that the model carries"
    add("--false-positive-rate", type=share, metavar="RATE", help=rate)
    add("--per-feature", action="store_true", help="add the error of each feature")
    add_force(parser)


def run(args: argparse.Namespace) -> int:
    """Score every row, flag anomalies, and say how often a normal row scores as high."""
    check_result("score", args)
    model = load_model(args.model, "score", "score")
    threshold = _threshold(args, model)
    rows, _ = read_rows(args, model)
    x = labelled(model, rows)
    per_feature = model.reconstruction_error(x, per_feature=True) if args.per_feature else None
    scores = model.score(x).astype(np.float64)
    columns: dict[Any, Any] = {"score": scores}
    if threshold is not None:
        columns["flag"] = scores > threshold
    if model.calibration is not None:
        columns["p"] = conformal.p_values(model.calibration, scores)
    if rows.y is not None:
        columns["label"] = np.array(rows.classes)[rows.y] if rows.classes else rows.y
    if per_feature is not None:
        name = names_of(rows, model, "error")
        if isinstance(name, tuple):
            name = tuple(f"error of {part}" for part in name)
        columns[name] = per_feature
    if args.out.lower().endswith(".npy"):
        columns = {"score": scores}
    write_result("score", args.out, rows, columns)
    out = args.out != "-"
    if threshold is None:
        say("the model has no threshold, so nothing is flagged; pass --threshold", out=out)
    elif math.isinf(threshold):
        say(
            "too few rows were held out for that rate, so nothing is flagged; pass --threshold, or a "
            "larger --false-positive-rate",
            out=out,
        )
    else:
        flagged = int((scores > threshold).sum())
        text = f"{flagged:,} of {count(len(scores), 'row')} above the threshold {threshold:.6g}"
        say(text, out=out)
    if rows.y is not None and rows.y.dtype.kind == "i":
        from tinyae.metrics import rarer_class, roc_auc

        rare = rarer_class(rows.y)
        if rare is not None:
            say(f"ROC-AUC {roc_auc(rare, scores):.4f} for the rarer class", out=out)
    done("score", f"{count(len(scores), 'row')} in {args.out}", out=out)
    return 0


def _threshold(args: argparse.Namespace, model: Any) -> float | None:
    if args.threshold is not None and args.false_positive_rate is not None:
        raise ValueError("score: pass --threshold or --false-positive-rate, not both")
    if args.threshold is not None:
        if math.isnan(args.threshold):
            raise ValueError("score: --threshold is nan, expected a number")
        return args.threshold
    if args.false_positive_rate is None:
        return model._carried.get("threshold")
    if model.calibration is None:
        raise ValueError(
            f"score: {args.model} carries no scores of normal rows, from which a rate could be told; "
            "pass --threshold, or train the model with `tinyae train`"
        )
    return conformal.threshold(model.calibration, args.false_positive_rate)
