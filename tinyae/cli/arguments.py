"""A verb's parser, and the options that several verbs have."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

_LARGEST = 2**31 - 1  # of sizes and counts

Run = Callable[[argparse.Namespace], int]


def add_verb(verbs: Any, name: str, run: Run, example: str) -> argparse.ArgumentParser:
    """A parser for one verb. Its help text is the docstring of ``run``, and then the example."""
    text = (run.__doc__ or "").strip()
    parser = verbs.add_parser(
        name,
        help=text[0].lower() + text[1:].rstrip("."),
        description=text,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a file written by `tinyae train` or model.save")


def add_picture(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--picture", help="file for a picture")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def seed(text: str) -> int:
    """A ``type=`` for seeds."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not an int ≥ 0")
    return value


def add_seed_and_kernels(parser: argparse.ArgumentParser) -> None:
    """``--kernels`` is applied by :func:`tinyae.cli.main`."""
    parser.add_argument("--seed", type=seed, default=0, help="of all randomness (default 0)")
    parser.add_argument("--kernels", choices=["numba", "numpy"], help="default: numba if installed")


def share(text: str) -> float:
    """A ``type=`` for shares."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share between 0 and 1")
    return value


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """A ``type=`` for numbers > 0: ``positive(int)``, ``positive(float)``."""

    def parse(text: str) -> float:
        value = kind(text)
        if not value > 0 or value == math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a positive {kind.__name__}")
        if kind is int and value > _LARGEST:
            raise argparse.ArgumentTypeError(f"{text} is too large, expected at most {_LARGEST:,}")
        return value

    parse.__name__ = f"positive {kind.__name__}"  # argparse names the type in its messages
    return parse
