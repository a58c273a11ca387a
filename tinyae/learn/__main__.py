"""``python -m tinyae.learn check 06``: the exercise track without the command ``tinyae``."""

import sys

from tinyae import terminal
from tinyae.learn.arguments import add_arguments
from tinyae.learn.command import run
from tinyae.parser import Parser


def main() -> int:
    parser = Parser(prog="tinyae learn")
    add_arguments(parser)
    try:
        return terminal.run(lambda: run(parser.parse_args()))
    except KeyboardInterrupt:
        print("\ntinyae learn: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
