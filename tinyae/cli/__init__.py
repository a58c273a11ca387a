"""The command ``tinyae``: one file for each verb, in the order of ``tinyae --help``.

Each has ``add_parser(verbs)``, which describes its options, and ``run(args)``, which does the work
and returns the exit code; ``data`` has verbs of its own, with a function for each. They share
``arguments`` (options that several verbs have), ``rows`` (the data that they read and write),
``models`` (build, load and describe a model), ``table`` (a model beside PCA), ``config`` (options
from a TOML file), ``files``, ``wording`` and :mod:`tinyae.terminal` (any encoding, any pipe) and
:mod:`tinyae.parser` (what is said of a wrong call).

Modules that only one verb needs are imported in its ``run``, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

import tinyae as ta
from tinyae import progress, terminal
from tinyae.cli import (
    book,
    config,
    data,
    decode,
    demo,
    denoise,
    diagnose,
    encode,
    evaluate,
    explain,
    export,
    gradcheck,
    info,
    interpolate,
    learn,
    reconstruct,
    report,
    sample,
    score,
    train,
)
from tinyae.cli.wording import in_options, why
from tinyae.parser import Parser

VERBS = (
    demo,
    train,
    evaluate,
    reconstruct,
    encode,
    decode,
    denoise,
    score,
    sample,
    interpolate,
    report,
    info,
    export,
    gradcheck,
    diagnose,
    learn,
    explain,
    book,
    data,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb: 0 is success, 1 a check that failed, 2 a mistake in the call or its files.

    130 is an interruption, and 141, as in a shell, a pipe that nobody reads any more.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    words = [word for word in argv if word != "--debug"]
    return terminal.run(lambda: _run(words, debug))


def _run(argv: list[str], debug: bool) -> int:
    if not argv:
        _parser().print_help()
        return 0
    shown = warnings.showwarning
    try:
        args = _parser().parse_args(config.expanded(argv))
        args.argv = argv
        if not debug:
            warnings.showwarning = _show_warning
        with progress.quiet(getattr(args, "quiet", False)):
            if getattr(args, "kernels", None):
                with ta.kernels.use(args.kernels):
                    return args.run(args)
            return args.run(args)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        print("\ntinyae: stopped", file=sys.stderr)
        return 130
    except MemoryError as error:
        if debug:
            raise
        do = "pass fewer or smaller --units, fewer rows, or a smaller --image-size"
        print(
            f"tinyae: there is not enough memory: {error or 'none is left'}; {do}", file=sys.stderr
        )
        return 2
    except (
        *(ValueError, TypeError, OverflowError, OSError, ImportError, zipfile.BadZipFile),
        ta.TrainingDiverged,
    ) as error:
        if debug:
            raise
        print(f"tinyae: {why(error)}", file=sys.stderr)
        return 2
    except Exception as error:
        if debug:
            raise
        print(
            f"tinyae: this should not happen ({type(error).__name__}: {error}); "
            "run it again with --debug and report what it prints",
            file=sys.stderr,
        )
        return 2
    finally:
        warnings.showwarning = shown


def _show_warning(message: Warning | str, *rest: Any, **more: Any) -> None:
    """A warning as a line of the command's, without the place in the code."""
    print(f"tinyae: warning: {in_options(str(message))}", file=sys.stderr)


def _parser() -> Parser:
    parser = Parser(
        prog="tinyae",
        description="Autoencoders in pure NumPy: train, measure, use, check.",
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show where an error arose, in full")
    parser.add_argument("--version", action="version", version=f"tinyae {ta.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(verbs)
    return parser
