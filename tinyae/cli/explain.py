"""``tinyae explain``: one pass through a model, by :mod:`tinyae.explanation`."""

from __future__ import annotations

import argparse
from typing import Any

from tinyae.cli.arguments import seed
from tinyae.cli.wording import done


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser(
        "explain",
        help="walk forward and back once, and say where every factor came from",
        description="Walk forward and back once through a saved model or an example of a layer,\n"
        "and show equations, shapes, numbers and the origin of every factor.",
        epilog="examples:\n  tinyae explain --layer Conv2d\n"
        "  tinyae explain model.npz --data strokes --latex model.tex",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", nargs="?", help="a file written by `tinyae train` or model.save")
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="a small example instead: Dense, …, VariationalAutoencoder; `--layer list` for all",
    )
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="what the model is given: a name from `tinyae data list`, or a path "
        "(default: numbers drawn from U(0, 1))",
    )
    parser.add_argument("--rows", type=int, default=4, help="samples in the batch (default 4)")
    parser.add_argument("--latex", metavar="FILE", help="write it as a LaTeX document instead")
    parser.add_argument("--seed", type=seed, default=0, help="of all that is drawn (default 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tinyae.explanation import command

    done("explain", command.run(args))
    return 0
