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
    COMMANDS,
    LOWERED,
    MARKS,
    PRIMES,
    RAISED,
    TEXT_LETTERS,
    accented,
    symbol,
)

FUNCTIONS = {"ln", "log", "exp", "max", "min", "sin", "cos", "tanh", "lim"}
NAMED = {
    "sign", "clip", "diag", "mean", "softmax", "softplus", "erf", "erfc", "argmin", "argmax",
    "onehot", "ReLU", "BCE", "KL", "Var", "Cov",
}  # fmt: skip

# What a text font lacks: a letter with a hat, or any sign but Latin letters and punctuation.
_FOREIGN = re.compile(rf"(\w[{MARKS}]+|[^\x00-\x7f{TEXT_LETTERS}‘’“”–—…§]+)")
_LOW = re.escape("".join(LOWERED))
_INDEX = rf"(?:_[A-Za-z](?![A-Za-z_])|[{_LOW}])*"  # what may stand below a letter in a power
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<root>√\()"
    rf"|(?P<short_root>√(?:[A-Za-zα-ω][{MARKS}]*[{_LOW}]*|[0-9]+))"
    rf"|(?P<power>\^\{{[^}}]*\}}|\^[−-]?(?:\|[^|]*\||[a-z]{{3,}}\([^()]*\)|(?:[A-Za-z]+|[0-9]+|\w)[{MARKS}]*[α-ω]?{_INDEX}))"
    r"|(?P<bracketed_power>\^\()"
    r"|(?P<under>_\{[^}]*\})"
    r"|(?P<added>\+=)"
    r'|(?P<quoted>"[^"]*")'
    r"|(?P<such_that>(?<=\s)\|(?=\s))"
    rf"|(?P<differential>d(?=log[α-ω])|d[A-Za-zα-ωΑ-Ω][{MARKS}]*(?:_[A-Za-z])?(?![A-Za-z_{MARKS}]))"
    rf"|(?P<indexed>[A-Za-zα-ωΑ-Ω]_[A-Za-z](?![A-Za-z_])[{_LOW}]*)"
    rf"|(?P<word>[A-Za-z][A-Za-z_']*[A-Za-z](?:[-|][A-Za-z]{{2,}})*(?![{MARKS}]))"
    rf"|(?P<accented>[^\s{MARKS}][{MARKS}]+)"
    r"|(?P<exponential>[0-9][0-9.]*e[−-]?[0-9]+)"
    r"|(?P<number>[0-9][0-9,.]*[0-9]|[0-9])"
    rf"|(?P<raised>[{re.escape(''.join(RAISED))}]+)"
    rf"|(?P<lowered>[{_LOW}]+(?:,(?:[{_LOW}]+|[A-Za-z](?![A-Za-z])))*)"
    r"|(?P<subscript>_[A-Za-z0-9α-ω](?![A-Za-z_]))"
    rf"|(?P<prime>[{''.join(PRIMES)}])"
    r"|(?P<sign>.)"
)
_COMMAND_AT_END = re.compile(r"\\[A-Za-z]+$")
Token = tuple[str, str]  # its kind ("text", "space", "sup", "sub", "prime" or "math"), its LaTeX


def mathematics(line: str, names: frozenset[str] = frozenset()) -> str:
    """A line of equations, for between two dollars. ``names`` are those words that are symbols."""
    return _join(_tokens(_plain(line), names))


def names_in(lines: list[str]) -> frozenset[str]:
    """The short names of equations: be of ``dbe = …``, an of ``[ar, az, an] = …``, kh."""
    text = "\n".join(lines)
    left = " ".join(re.findall(r"(?:^|\s)(\[[^\]]*\]|[A-Za-z]+) \+?= ", text, re.MULTILINE))
    found = {word for word in re.findall("[A-Za-z]+", left) if len(word) <= 3}
    words = re.findall(r"(?<![A-Za-z_])[A-Za-z]{2}(?![A-Za-z_'])", text)
    found |= {word for word in words if word.lower() not in SHORT_WORDS}
    found -= FUNCTIONS | NAMED
    return frozenset(found | {word[1:] for word in found if len(word) == 3 and word[0] == "d"})


def prose(text: str) -> str:
    """A sentence; what the text font lacks is set as mathematics."""
    out = []
    text = re.sub(r'"([^"]*)"', r"“\1”", unicodedata.normalize("NFC", text))
    for run in _FOREIGN.split(text):
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
    return ((kind, piece) for kind, piece, _ in _matches(_plain(text)))


def _matches(text: str) -> Iterator[tuple[str, str, re.Match[str]]]:
    at = 0
    while at < len(text):
        m = _TOKEN.match(text, at)
        assert m is not None  # the last alternative takes anything
        kind, piece, at = m.lastgroup or "", m[0], m.end()
        if kind in ("root", "bracketed_power"):
            piece, at = _balanced(text, at)
        yield kind, piece, m


def _tokens(text: str, names: frozenset[str]) -> list[Token]:
    found: list[Token] = []
    for kind, token, m in _matches(text):
        if kind == "space":
            found.append(("space", " ") if len(token) < 3 else ("math", r" \qquad "))
        elif kind == "root":
            found.append(("math", rf"\sqrt{{{mathematics(token, names)}}}"))
        elif kind == "short_root":
            found.append(("math", rf"\sqrt{{{mathematics(token[1:], names)}}}"))
        elif kind == "power":
            found.append(("sup", rf"^{{{mathematics(token[1:].strip('{}'), names).strip()}}}"))
        elif kind == "bracketed_power":
            found.append(("sup", rf"^{{{mathematics(token, names).strip()}}}"))
        elif kind == "under":
            found.append(("sub", rf"_{{{mathematics(token[2:-1], names)}}}"))
        elif kind == "added":
            found.append(("math", r"\mathrel{+}="))
        elif kind == "quoted":
            found.append(("text", f"``{_escaped(token[1:-1])}''"))
        elif kind == "such_that":
            found.append(("math", r"\mid "))
        elif kind == "indexed":
            index = token[2] + (f"_{{{_lowered(token[3:])}}}" if token[3:] else "")
            found += [("math", symbol(token[0]).strip()), ("sub", f"_{{{index}}}")]
        elif kind == "differential":
            letter, _, index = token[1:].partition("_")
            of = accented(symbol(letter[0]), letter[1:]) if letter else ""
            found.append(("math", rf"\mathit{{d}}{of}"))
            found += [("sub", f"_{{{index}}}")] if index else []
        elif kind == "word":
            found.append(_word(token, names, text[: m.start()].rstrip()[-1:]))
        elif kind == "accented":
            found.append(("math", accented(symbol(token[0]), token[1:])))
        elif kind == "exponential":
            mantissa, exponent = exponential(token)
            times = "" if mantissa == "1" else rf"{mantissa} \cdot "
            found.append(("math", rf"{times}10^{{{exponent.replace('−', '-')}}}"))
        elif kind == "number":
            found.append(("math", token.replace(",", "{,}")))
        elif kind == "raised":
            found.append(("sup", f"^{{{_raised(token)}}}"))
        elif kind == "lowered":
            found.append(("sub", f"_{{{_lowered(token)}}}"))
        elif kind == "subscript":
            found.append(("sub", f"_{{{symbol(token[1]).strip()}}}"))
        elif kind == "prime":
            found.append(("prime", PRIMES[token]))
        elif token == "a" and _is_article(text, m):
            found.append(("text", "a"))
        elif latex := symbol(token):  # a control character has none
            found.append(("math", latex))
    return found


def exponential(token: str) -> tuple[str, str]:
    """1e-5 → its factor "1" and the power of ten, "−5"."""
    mantissa, _, exponent = token.partition("e")
    return mantissa, exponent.replace("-", "−")


_INDICES = "ⁱʲᵏⁿᵗ"
_RAISED_LETTER = re.compile(rf"(.)([{_INDICES}]*)")


def _raised(token: str) -> str:
    """ˢⁿᵏ as s_{nk}: letters i, j, k, n and t after another letter are its index."""
    power = ""
    for letter, index in _RAISED_LETTER.findall(token):
        power += r"\top " if letter == "ᵀ" else symbol(RAISED[letter])
        below = "".join(RAISED[c] for c in index)
        lowered = RAISED[letter].isalpha() and letter not in "ᵀ" + _INDICES
        power += f"_{{{below}}}" if below and lowered else below
    return power.strip()


def _lowered(token: str) -> str:
    return "".join(symbol(LOWERED.get(c, c)) for c in token).strip()


_AFTER_A_SYMBOL = {"and", "or", "is", "are", "if", "where", "for", "of", "as", "in", "at", "with"}


def _is_article(text: str, m: re.Match[str]) -> bool:
    """Whether an "a" stands between two words, as in "of a group"."""
    beside = re.match(r" ([A-Za-z][A-Za-z']+)", text[m.end() :])
    if not beside or beside[1] in _AFTER_A_SYMBOL | FUNCTIONS:
        return False
    return bool(re.search(r"([A-Za-z]{2}|[A-Z]|^) $|^$", text[: m.start()]))


def _word(token: str, names: frozenset[str], before: str) -> Token:
    """``before`` is the sign that stands before the word."""
    if token in FUNCTIONS:
        return "math", rf"\{token} "
    if token in NAMED:
        return "math", rf"\operatorname{{{token}}}"
    if re.fullmatch("d[A-Z][a-z]", token) or (
        len(token) == 3 and token[0] == "d" and token[1:] in names
    ):
        return "math", rf"\mathit{{d}}\mathit{{{token[1:]}}}"
    symbolic = token in names and before in ("", *"+−·∘=*([,")  # be, or [ar, az, an]
    if len(token) == 2 and "_" not in token and (symbolic or token.lower() not in SHORT_WORDS):
        return "math", rf"\mathit{{{token}}}"  # kh, kw, nh
    return "text", token.replace("_", r"\_")


SHORT_WORDS = {
    "is",
    "of",
    "in",
    "to",
    "as",
    "it",
    "if",
    "or",
    "at",
    "by",
    "on",
    "no",
    "so",
    "be",
    "an",
}


def _join(tokens: list[Token]) -> str:
    """The tokens in one line: words that stand together share a \\text, scripts never collide, and
    a space between two factors stays one.
    """
    out, words = "", ""
    last = ""
    taken: set[str] = set()  # the scripts that the last symbol has: TeX allows one of each
    factor = False  # whether the last symbol may be multiplied by the next
    for i, (kind, latex) in enumerate(tokens):
        after, following = tokens[i + 1] if i + 1 < len(tokens) else ("", "")
        if kind == "text":
            words += latex
        elif kind == "space" and (words or after == "text"):
            words += " "
        elif kind == "space" and factor and after == "math" and _begins_a_factor(following):
            out, taken = out + r"\,", set()
        else:
            out += _text(words)
            taken = set() if words.strip() or kind == "math" else taken
            if kind in ("sup", "sub", "prime"):
                place = "sub" if kind == "sub" else "sup"
                if place in taken and not (last == "prime" and place == "sup"):  # f′² is one power
                    out, taken = out + "{}", set()
                taken.add(place)
            elif kind == "math":
                factor = _ends_a_factor(latex)
            if latex[:1].isalpha() and _COMMAND_AT_END.search(out):
                out += " "
            out += latex
            words = ""
        if kind == "text":
            factor = False
        last = kind
    return out + _text(words)


_NO_FACTORS = {
    *COMMANDS.values(), *FUNCTIONS, "operatorname", "qquad", "mathrel", "mid", "overset", "not", "text"
} - {"partial", "nabla", "infty", "ell"}  # fmt: skip


def _is_symbol(latex: str) -> bool:
    """Whether it is a letter, a number, a root or a fraction, and no operation or relation."""
    command = re.match(r"\\([A-Za-z]+)", latex.strip())
    return command[1] not in _NO_FACTORS if command else latex.strip()[:1].isalnum()


def _begins_a_factor(latex: str) -> bool:
    return _is_symbol(latex) or latex.strip() in (
        "(",
        "[",
        r"\langle",
        r"\lfloor",
        r"\lceil",
        r"\sum",
    )


def _ends_a_factor(latex: str) -> bool:
    return _is_symbol(latex) or latex.strip() in (")", "]", r"\rangle", r"\rfloor", r"\rceil")


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
