"""The docstrings' equations, in Unicode, as LaTeX.

    y = x Wᵀ + b            y = x W^{\\top} + b
    dx̃ = dy ∘ σ′(x)         \\mathit{dx} …

``mathematics`` is for a line of equations, in which whole words are prose; ``prose`` is for a
sentence, in which single signs are mathematics. The result is ASCII, except for letters with accents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from tinyae.explanation.symbols import (
    LOWERED,
    MARKS,
    PRIMES,
    RAISED,
    TEXT_LETTERS,
    accented,
    symbol,
)

FUNCTIONS = {"ln", "log", "exp", "max", "min", "tanh", "lim"}
NAMED = {"sign", "clip", "diag", "mean", "softmax", "softplus", "erf", "erfc", "KL", "Var", "Cov"}

# What a text font lacks: a letter with a hat, or any sign but Latin letters and punctuation.
_FOREIGN = re.compile(rf"(\w[{MARKS}]+|[^\x00-\x7f{TEXT_LETTERS}‘’“”–—…§]+)")
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<root>√\()"
    r"|(?P<raise>\^\()"
    rf"|(?P<power>\^\{{[^}}]*\}}|\^[−-]?(?:\|[^|]*\||[a-z]{{3,}}\([^()]*\)|\w[{MARKS}]*[{re.escape(''.join(LOWERED))}]*))"
    r"|(?P<under>_\{[^}]*\})"
    r"|(?P<indexed>[A-Za-zα-ωΑ-Ω]_[A-Za-z](?![A-Za-z_]))"
    rf"|(?P<differential>d[A-Za-zα-ωΑ-Ω][{MARKS}]*(?![A-Za-z_{MARKS}]))"
    rf"|(?P<word>[A-Za-z][A-Za-z_']*[A-Za-z](?![{MARKS}]))"
    rf"|(?P<accented>[^\s{MARKS}][{MARKS}]+)"
    r"|(?P<exponential>[0-9][0-9.]*e[−-]?[0-9]+)"
    r"|(?P<number>[0-9][0-9,.]*[0-9]|[0-9])"
    rf"|(?P<raised>[{re.escape(''.join(RAISED))}]+)"
    rf"|(?P<lowered>[{re.escape(''.join(LOWERED))}]+)"
    rf"|(?P<prime>[{''.join(PRIMES)}])"
    r"|(?P<sign>.)"
)
_COMMAND_AT_END = re.compile(r"\\[A-Za-z]+$")
Token = tuple[str, str]  # its kind ("text", "space", "sup", "sub", "prime" or "math"), its LaTeX


def mathematics(line: str) -> str:
    """A line of equations, for between two dollars."""
    return _join(_tokens(line))


def prose(text: str) -> str:
    """A sentence; what the text font lacks is set as mathematics."""
    out = []
    for run in _FOREIGN.split(unicodedata.normalize("NFC", text)):
        if run and _FOREIGN.match(run):
            latex = mathematics(run).strip()
            out.append(f"${latex}$" if latex else "")
        else:
            out.append(_escaped(run))
    return "".join(out)


def _plain(text: str) -> str:
    """Split x̂ into x and its hat; letters with accents that belong to words stay whole."""
    return "".join(
        unicodedata.normalize("NFD", c) if 0x1E00 < ord(c) < 0x1F00 or c in "âêîôûñãõŷŝĥŵ" else c
        for c in unicodedata.normalize("NFC", text)
    )


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """A line's pieces as (kind, text), with the kinds of ``_TOKEN``; of √(…) and ^(…) what is inside."""
    text, at = _plain(text), 0
    while at < len(text):
        m = _TOKEN.match(text, at)
        assert m is not None  # the last alternative takes anything
        kind, piece, at = m.lastgroup or "", m[0], m.end()
        if kind in ("root", "raise"):
            piece, at = _balanced(text, at)
        yield kind, piece


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    for kind, token in pieces(text):
        if kind == "space":
            found.append(("space", " ") if len(token) < 3 else ("math", r" \qquad "))
        elif kind == "root":
            found.append(("math", rf"\sqrt{{{mathematics(token)}}}"))
        elif kind == "raise":
            found.append(("sup", rf"^{{{mathematics(token)}}}"))
        elif kind == "power":
            found.append(("sup", rf"^{{{mathematics(token[1:].strip('{}'))}}}"))
        elif kind == "under":
            found.append(("sub", rf"_{{{mathematics(token[2:-1])}}}"))
        elif kind == "indexed":
            found += [("math", symbol(token[0]).strip()), ("sub", f"_{{{token[2]}}}")]
        elif kind == "differential":
            found.append(("math", rf"\mathit{{d}}{accented(symbol(token[1]), token[2:])}"))
        elif kind == "word":
            found.append(_word(token))
        elif kind == "accented":
            found.append(("math", accented(symbol(token[0]), token[1:])))
        elif kind == "exponential":
            mantissa, exponent = exponential(token)
            times = "" if mantissa == "1" else rf"{mantissa} \cdot "
            found.append(("math", rf"{times}10^{{{exponent.replace('−', '-')}}}"))
        elif kind == "number":
            found.append(("math", token.replace(",", "{,}")))
        elif kind == "raised":
            power = "".join(r"\top " if c == "ᵀ" else symbol(RAISED[c]) for c in token)
            found.append(("sup", f"^{{{power.strip()}}}"))
        elif kind == "lowered":
            index = "".join(symbol(LOWERED[c]) for c in token)
            found.append(("sub", f"_{{{index.strip()}}}"))
        elif kind == "prime":
            found.append(("prime", PRIMES[token]))
        elif latex := symbol(token):  # a control character has none
            found.append(("math", latex))
    return found


def _word(token: str) -> Token:
    if token in FUNCTIONS:
        return "math", rf"\{token} "
    if token in NAMED:
        return "math", rf"\operatorname{{{token}}}"
    if is_symbol(token):
        return "math", rf"\mathit{{{token}}}"
    return "text", token.replace("_", r"\_")


def exponential(token: str) -> tuple[str, str]:
    """1e-5 → its factor "1" and the power of ten, "−5"."""
    mantissa, _, exponent = token.partition("e")
    return mantissa, exponent.replace("-", "−")


def is_symbol(word: str) -> bool:
    """Whether a word is a symbol, as kh, kw, Wx, dWx, and no English word."""
    if len(word) == 3 and word[0] == "d":
        return word not in _SHORT
    return len(word) == 2 and "_" not in word and word.lower() not in _SHORT


_SHORT = {
    "is", "of", "in", "to", "as", "it", "if", "or", "at", "by", "on", "no", "so", "be", "an", "up",
    "day", "did", "dim", "div", "dot", "dry", "due",
}  # fmt: skip


def _join(tokens: list[Token]) -> str:
    """The tokens in one line: words that stand together share a \\text, and scripts never collide."""
    out, words = "", ""
    last = ""
    taken: set[str] = set()  # the scripts that the last symbol has: TeX allows one of each
    for i, (kind, latex) in enumerate(tokens):
        after = tokens[i + 1][0] if i + 1 < len(tokens) else ""
        if kind == "text":
            words += latex
        elif kind == "space" and (words or after == "text"):
            words += " "
        else:
            out += _text(words)
            taken = set() if words.strip() or kind == "math" else taken
            if kind in ("sup", "sub", "prime"):
                place = "sub" if kind == "sub" else "sup"
                if place in taken and not (last == "prime" and place == "sup"):  # f′² is one power
                    out, taken = out + "{}", set()
                taken.add(place)
            if latex[:1].isalpha() and _COMMAND_AT_END.search(out):
                out += " "
            out += latex
            words = ""
        last = kind
    return out + _text(words)


def _text(words: str) -> str:
    if not words.strip():
        return " " if words else ""
    return rf"\text{{{words}}}"


def _balanced(text: str, at: int) -> tuple[str, int]:
    """What stands before the closing bracket, and the position after it."""
    depth = 1
    for i in range(at, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return text[at:i], i + 1
    return text[at:], len(text)


_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$",
    ">": r"$>$", "|": r"$|$", "…": r"\dots{}", "‘": "`", "’": "'", "“": "``", "”": "''",
    "–": "--", "—": "---",
    "§": r"\S{}", '"': "''",
}  # fmt: skip


def _escaped(text: str) -> str:
    plain = (c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))
    return "".join(_ESCAPES.get(c, c) for c in plain)
