"""``tinyae learn``: the exercises of :mod:`tinyae.learn`."""

from __future__ import annotations

import argparse
from typing import Any

from tinyae.learn.arguments import add_arguments


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser(
        "learn",
        help="exercises in writing backward passes, checked and answered",
        description="Exercises in writing backward passes, checked and answered.",
        epilog="example:\n  tinyae learn start 01",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tinyae.learn import command

    return command.run(args)
