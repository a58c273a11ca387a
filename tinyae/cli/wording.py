"""Messages in one grammar."""

from __future__ import annotations

import sys


def an(name: str) -> str:
    """A name with its article: an Autoencoder, a GAN."""
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def count(n: int, what: str) -> str:
    """A number with its noun: 1 epoch, 1,000 epochs."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def say(text: str, out: bool = False) -> None:
    """A line of the command's: of its results on stdout, of anything else on stderr."""
    print(text if out else f"tinyae: {text}", file=sys.stdout if out else sys.stderr)
