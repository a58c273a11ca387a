"""``tinyae book``: the source as a book, by :mod:`tinyae.book`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tinyae.cli.arguments import add_quiet, add_verb
from tinyae.cli.wording import count


def add_parser(verbs: Any) -> None:
    parser = add_verb(verbs, "book", run, "tinyae book -o book")
    parser.add_argument(
        "-o", "--out", default="tinyae-book", help="folder for the pages (default tinyae-book)"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="FILE", help="these files alone, as layers/dense.py"
    )
    parser.add_argument("--pictures", metavar="FOLDER", help="with pictures that the demos drew")
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Write the source as a book: pages to be opened in a browser, made from the code."""
    from tinyae.book import write_book

    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"book: --out {out} is a file; pass the name of a folder")
    pages = write_book(out, only=args.only, pictures=args.pictures, progress=not args.quiet)
    size = sum(path.stat().st_size for path in pages)
    print(f"{count(len(pages), 'page')}, {size / 1e6:.1f} MB; open {out / 'index.html'}")
    return 0
