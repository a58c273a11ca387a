"""The options of ``tinyae learn``, apart from its verbs, so that ``--help`` imports little."""

from __future__ import annotations

import argparse

from tinyae.parser import Parser


def add_arguments(parser: Parser) -> None:
    parser.hint = "to begin an exercise: `tinyae learn start 06`"
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="learn_verb")

    def verb(name: str, help: str, exercise: str = "the current one") -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        if exercise:
            which = f"6, 06, dense_dw or 06_dense_dw (default: {exercise})"
            sub.add_argument("exercise", nargs="?", help=which)
        return sub

    verb("list", "what is done, what is open, hints used", exercise="")
    verb("start", "write an exercise's file", "the next that is open")
    sub = verb("check", "say what is right and what is wrong; exit code 0 if all is right")
    sub.add_argument("--more", action="store_true", help="all that the doctor has to say")
    sub.add_argument("--seconds", type=float, help=argparse.SUPPRESS)  # default: child.SECONDS
    verb("hint", "one hint a call, three in all")
    sub = verb("solution", "a solution, once the check is passed")
    sub.add_argument("--show", action="store_true", help="before that, too")
    verb("watch", "check an exercise's file whenever it is saved", "all that are started")
    verb("reset", "begin an exercise anew; the old file is kept as .bak")
