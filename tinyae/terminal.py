"""What the command prints, in any encoding and into any pipe."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Callable

_SIGNS = {
    "-": "−–—─━",
    "->": "→⇒↦",
    "<-": "←",
    "*": "·∘∗•⊙",
    "x": "×",
    "'": "′‘’",
    '"': "″“”",
    "/": "⁄",
    "|": "│┃",
    "||": "‖",
    "<": "⟨",
    ">": "⟩",
    "<=": "≤",
    ">=": "≥",
    "!=": "≠",
    "~": "≈∼",
    "+-": "±",
    "inf": "∞",
    "sqrt": "√",
    "d": "∂",
    "grad": "∇",
    "in": "∈",
    "floor": "⌊",
    "ceil": "⌈",
    "": "⌋⌉",
    "section ": "§",
    "...": "⋯⋮",
}
_SPELLED = {sign: spelled for spelled, signs in _SIGNS.items() for sign in signs}


def spell(text: str) -> str:
    """The text in ASCII: → as ->, σ as sigma, x² as x^2, é as e; what has no spelling as ?."""
    spelled, raised = [], ""
    for character in text:
        mark = _raised(character)
        spelled.append(mark if mark != raised else "")  # once for all of ⁻⁴
        spelled.append(character if character.isascii() else _spelled(character))
        raised = mark
    return "".join(spelled)


def _raised(character: str) -> str:
    """^ for a superscript, _ for a subscript."""
    form = unicodedata.decomposition(character).partition(" ")[0]
    return {"<super>": "^", "<sub>": "_"}.get(form, "")


def _spelled(character: str) -> str:
    if character in _SPELLED:
        return _SPELLED[character]
    parts = unicodedata.normalize("NFKD", character)
    if parts != character:
        return spell(parts)
    if unicodedata.combining(character):
        return {"\u0302": "hat", "\u0307": "dot"}.get(character, "")  # an accent over a letter
    name = unicodedata.name(character, "").split(" ")
    if name[0] == "BOX":
        return "-" if name[-1] == "HORIZONTAL" else "|"
    if name[0] == "GREEK" and "LETTER" in name:
        return name[-1].capitalize() if "CAPITAL" in name else name[-1].lower()
    return "?"


def _spell_error(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return spell(error.object[error.start : error.end]), error.end


codecs.register_error("tinyae.spell", _spell_error)


def run(command: Callable[[], int]) -> int:
    """The exit code of a command, whose characters are spelled where stdout's encoding lacks them.

    141, as in a shell, if stdout is a pipe that nobody reads any more: silently, for that is how
    ``head`` ends. 2 if stdout cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="tinyae.spell")
    try:
        try:
            return command()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # now, while an error can be told, and not at Python's exit
    except BrokenPipeError:
        _discard()
        return 141
    except OSError as error:
        _discard()
        print(f"tinyae: the output cannot be written ({error})", file=sys.stderr)
        return 2


def _discard() -> None:
    """Drop what stdout still holds: it can be written nowhere."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
