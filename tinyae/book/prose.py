"""A docstring as HTML: paragraphs, lists of terms, tables as they stand, equations in MathML."""

from __future__ import annotations

import html
import inspect
import re

from tinyae.book.address import Links
from tinyae.explanation.docstring_sections import SECTIONS
from tinyae.explanation.mathml import mathml

EQUATIONS = ("Forward", "Calling", "Shapes", "Backward", "Tangent")
_HEAD = re.compile(rf"^({'|'.join(SECTIONS)}) {{2,}}\S")
_TERM = re.compile(r"^(\S(?: ?\S)*?)(?: {2,})(\S.*)$")
_MARKED = re.compile(r"(?::(\w+):)?(`{1,2})~?([^`]+)\2")
_VARIABLE = re.compile(
    r"(?<![\w’'])(d?[A-Za-zα-ωΑ-Ω][\u0300-\u036f]*[′″]?[ᵀ²³⁻¹ₙₖⱼᵢₜ₁₂₀]*)(?![\w’'\u0300-\u036f])"
)
_WORDS = {"a", "A", "I"}


def prose(doc: str, links: Links) -> str:
    """The whole docstring."""
    lines = inspect.cleandoc(doc).splitlines()
    out: list[str] = []
    for block in _blocks(lines):
        if _HEAD.match(block[0]):
            out.append(heads(_parsed(block), links))
        elif block[0].startswith("    "):
            out.append(_indented(block))
        elif terms := _terms(block):
            rows = "".join(
                f"<dt>{sentence(t, links)}</dt><dd>{sentence(d, links)}</dd>" for t, d in terms
            )
            out.append(f'<dl class="terms">{rows}</dl>')
        elif all(_is_equation(line) for line in block):
            out.append("".join(equation(line) for line in block))
        else:
            out.append(f"<p>{_paragraph(block, links)}</p>")
    return "\n".join(out)


def heads(found: dict[str, list[str]], links: Links) -> str:
    """The sections of a docstring, each with its head in the margin."""
    rows = []
    for head, lines in found.items():
        if head in EQUATIONS:
            shown = "".join(equation(line, head) for line in lines)
        else:
            shown = f"<p>{sentence(' '.join(lines), links)}</p>"
        rows.append(f'<dt>{head}</dt><dd class="{head.lower()}">{shown}</dd>')
    return f'<dl class="heads">{"".join(rows)}</dl>'


def equation(line: str, head: str = "") -> str:
    """A line of equations; those that three spaces part are set apart from each other."""
    parts = [part for part in re.split(r" {3,}", line.strip()) if part.strip(" ,;")]
    shown = "".join(f"<span>{mathml(part, fractions=head != 'Shapes')}</span>" for part in parts)
    return f'<div class="eq">{shown}</div>'


def sentence(text: str, links: Links) -> str:
    """Text with its code in a typewriter face and its variables in italics."""
    out, at = [], 0
    for m in _MARKED.finditer(text):
        out.append(_plain(text[at : m.start()]))
        name, at = m[3], m.end()
        href = links.of_name(name)
        shown = name.rpartition(".")[2] if m[1] and "~" in m[0] else name
        code = f"<code>{html.escape(shown)}</code>"
        out.append(f'<a href="{href}">{code}</a>' if href else code)
    out.append(_plain(text[at:]))
    return "".join(out)


def _plain(text: str) -> str:
    def variable(m: re.Match[str]) -> str:
        return m[0] if m[0] in _WORDS else f"<var>{m[0]}</var>"

    return _VARIABLE.sub(variable, html.escape(text, quote=False))


def _paragraph(block: list[str], links: Links) -> str:
    return sentence(" ".join(line.strip() for line in block), links)


def _blocks(lines: list[str]) -> list[list[str]]:
    """Lines between blank ones; an indented passage is a block of its own."""
    found: list[list[str]] = []
    for i, line in enumerate(lines):
        if not line.strip():
            continue
        new = not i or not lines[i - 1].strip()
        if not new and not found[-1][0].startswith("    ") and _HEAD.match(line):
            new = not _HEAD.match(found[-1][0])
        if new:
            found.append([])
        found[-1].append(line)
    return found


def _parsed(block: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    head = ""
    for line in block:
        if m := re.match(rf"^({'|'.join(SECTIONS)}) {{2,}}(\S.*)$", line):
            head = m[1]
            found[head] = [m[2]]
        else:
            found[head].append(line.strip())
    return found


def _terms(block: list[str]) -> list[tuple[str, str]]:
    """A table of two columns: a term, two spaces or more, and what it is."""
    if len(block) < 2 or not _TERM.match(block[0]) or "=" in block[0].split("  ")[0]:
        return []
    m = _TERM.match(block[0])
    assert m is not None
    column, found = m.start(2), []
    for line in block:
        head, rest = line[:column], line[column:]
        if head.strip() and (not head.endswith(" ") or head.startswith(" ")):
            return []
        if head.strip():
            found.append((head.strip(), rest))
        elif found:
            found[-1] = found[-1][0], f"{found[-1][1]} {rest.strip()}"
    return found if len(found) > 1 or len(block) > 2 else []


def _is_equation(line: str) -> bool:
    """Whether a line is mathematics rather than a sentence."""
    if not re.search(r" (=|\+=|≈|≤|∝) ", line) or line.rstrip().endswith((".", ":")):
        return False
    words = re.findall(
        r"[A-Za-z]{3,}", re.sub(r"\b(exp|max|min|tanh|mean|sign|where|else)\b", "", line)
    )
    return len(words) <= 2 and "`" not in line


def _indented(block: list[str]) -> str:
    code = any(
        re.match(r"\s+(>>>|\$|from |import |def |class |for |python |tinyae |@)", b) for b in block
    )
    if not code and all(_is_equation(line) for line in block) and '"' not in "".join(block):
        return "".join(equation(line) for line in block)
    first = len(block[0]) - len(block[0].lstrip())
    text = "\n".join(line[min(first, len(line) - len(line.lstrip())) :] for line in block)
    return f"<pre>{html.escape(text, quote=False)}</pre>"
