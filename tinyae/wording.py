"""Numbers and names in a sentence: 1 epoch, 1,000 epochs; an Autoencoder, a GAN."""

from __future__ import annotations


def an(name: str) -> str:
    """A name with its article: an Autoencoder, a GAN."""
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def counted(n: int, what: str, several: str | None = None) -> str:
    """A number with its noun, whose plural ends in s or is given: 1 epoch, 1,000 epochs, 2 classes."""
    return f"{n:,} {what if n == 1 else several or what + 's'}"
