"""The command ``tinyae``: one file for each verb, in the order of ``tinyae --help``.

Each has ``add_parser(verbs)``, which describes its options, and ``run(args)``, which does the work
and returns the exit code; ``data`` has verbs of its own, with a function for each. They share
``arguments`` (options that several verbs have), ``models`` (build, load and describe a model),
``table`` (a model beside PCA), ``files`` and :mod:`tinyae.terminal` (any encoding, any pipe).

Modules that only one verb needs are imported in its ``run``, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence

import tinyae as ta
from tinyae import terminal
from tinyae.cli import (
    data,
    decode,
    demo,
    diagnose,
    encode,
    evaluate,
    explain,
    export,
    gradcheck,
    info,
    learn,
    reconstruct,
    sample,
    train,
)

VERBS = (
    demo,
    train,
    evaluate,
    reconstruct,
    encode,
    decode,
    sample,
    info,
    export,
    gradcheck,
    diagnose,
    learn,
    explain,
    data,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb: 0 is success, 1 a check that failed, 2 a mistake in the call or its files.

    130 is an interruption, and 141, as in a shell, a pipe that nobody reads any more.
    """
    return terminal.run(lambda: _run(_parser().parse_args(argv)))


def _run(args: argparse.Namespace) -> int:
    try:
        if getattr(args, "kernels", None):
            with ta.kernels.use(args.kernels):
                return args.run(args)
        return args.run(args)
    except BrokenPipeError:
        raise
    except MemoryError as error:
        do = "pass smaller or fewer --units or --n, or fewer data"
        print(
            f"tinyae: there is not enough memory: {error or 'none is left'}; {do}", file=sys.stderr
        )
        return 2
    except (
        *(ValueError, TypeError, OverflowError, OSError, ImportError, zipfile.BadZipFile),
        ta.TrainingDiverged,
    ) as error:
        print(f"tinyae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntinyae: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinyae",
        description="Autoencoders in pure NumPy: train, measure, use, check.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tinyae {ta.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(verbs)
    return parser
