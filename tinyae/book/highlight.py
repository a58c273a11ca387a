"""Python source as HTML, a string for each line, by the standard library's ``tokenize``."""

from __future__ import annotations

import builtins
import html
import io
import keyword
import tokenize
from collections.abc import Callable

Link = Callable[[str, str], str]  # (name, the name before its dot or "") → an address, "" for none

_BUILTINS = set(dir(builtins))
_SOFT = {"self", "cls"}


def highlighted(source: str, link: Link = lambda name, owner: "") -> list[str]:
    """Each line of the source as HTML. ``link`` says where a name leads."""
    lines = source.splitlines(keepends=True)
    out: list[str] = [""]
    row, column = 1, 0
    before: list[str] = ["", "", ""]  # the last three tokens that are no space

    def put(text: str, kind: str = "", href: str = "") -> None:
        for i, part in enumerate(text.split("\n")):
            if i:
                out.append("")
            if part:
                shown = html.escape(part, quote=False)
                shown = f'<span class="{kind}">{shown}</span>' if kind else shown
                out[-1] += f'<a href="{href}">{shown}</a>' if href else shown

    def skip_to(stop: tuple[int, int]) -> None:
        nonlocal row, column
        while (row, column) < stop:
            end = stop[1] if row == stop[0] else len(lines[row - 1])
            put(lines[row - 1][column:end])
            row, column = (row, end) if row == stop[0] else (row + 1, 0)

    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.ENCODING, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT):
            continue
        skip_to(token.start)
        if token.type in (tokenize.NEWLINE, tokenize.NL):
            continue  # the end of the line is put by the next token
        owner = before[-2] if before[-1] == "." else ""
        owner = "" if owner and before[-3] == "." else owner
        known = token.type == tokenize.NAME and (owner or before[-1] != ".")
        href = link(token.string, owner) if known else ""
        put(token.string, _kind(token, before[-1]), href)
        row, column = token.end
        before = [*before[1:], token.string]
    skip_to((len(lines), len(lines[-1]) if lines else 0))
    return out[: len(lines)]


def _kind(token: tokenize.TokenInfo, before: str) -> str:
    """A class of the style sheet; "" for plain text."""
    if token.type == tokenize.COMMENT:
        return "c"
    if token.type == tokenize.STRING or token.type >= getattr(tokenize, "FSTRING_START", 1_000):
        name = tokenize.tok_name[token.type]
        return "s" if name in ("STRING", "FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END") else "c"
    if token.type == tokenize.NUMBER:
        return "n"
    if token.type == tokenize.NAME:
        if keyword.iskeyword(token.string):
            return "k"
        if before in ("def", "class"):
            return "d"
        if token.string in _SOFT or (token.string in _BUILTINS and before != "."):
            return "b"
    return ""
