"""``tinyae book``: the source as a book, by :mod:`tinyae.book`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tinyae.cli.arguments import add_quiet, add_verb
from tinyae.cli.wording import count, done

DEMOS = "demo-out"  # the folder into which the demos draw


def add_parser(verbs: Any) -> None:
    parser = add_verb(verbs, "book", run, "tinyae book -o book")
    parser.add_argument(
        "-o", "--out", default="tinyae-book", help="folder for the pages (default tinyae-book)"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="FILE", help="these files alone, as layers/dense.py"
    )
    pictures = f"with pictures that the demos drew (default: {DEMOS}, where it is)"
    parser.add_argument("--pictures", metavar="FOLDER", help=pictures)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Write the source as a book: pages to be opened in a browser, made from the code."""
    from tinyae.book import write_book

    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"book: --out {out} is a file; pass the name of a folder")
    pictures = args.pictures or (DEMOS if Path(DEMOS).is_dir() else None)
    pages = write_book(out, only=args.only, pictures=pictures, progress=not args.quiet)
    size = sum(path.stat().st_size for path in pages)
    done("book", f"{count(len(pages), 'page')}, {size / 1e6:.1f} MB; open {out / 'index.html'}")
    return 0
