"""A docstring as HTML: paragraphs, lists of terms, tables as they stand, equations in MathML."""

from __future__ import annotations

import html
import inspect
import re

from tinyae.book.address import Links
from tinyae.explanation.docstring_sections import SECTIONS
from tinyae.explanation.mathml import mathml
from tinyae.explanation.symbols import LOWERED, RAISED

EQUATIONS = ("Forward", "Calling", "Shapes", "Backward", "Tangent")
_HEAD = re.compile(rf"^({'|'.join(SECTIONS)}) {{2,}}\S")
_TERM = re.compile(r"^(\S(?: ?\S)*?)(?: {2,})(\S.*)$")
_MARKED = re.compile(r"(?::(\w+):)?(`{1,2})~?([^`]+)\2")
_SCRIPTS = "".join([*RAISED, *LOWERED])
_VARIABLE = re.compile(
    rf"(?<![\w’'])(d?[A-Za-zα-ωΑ-Ω][\u0300-\u036f]*[′″]?[{_SCRIPTS}]*)(?:_([a-z]))?(?![\w’'\u0300-\u036f])"
)
_WORDS = {"a", "A", "I", "do"}
_NAMES = "exp|max|min|tanh|mean|sign|clip|softmax|softplus|log|sqrt"
_SHORT = "a|an|is|of|in|to|as|it|if|or|at|by|on|no|so|be"
_WORD = re.compile(  # words that stand together, with the spaces between them
    rf"((?<![\w.\"])\"?(?!(?:{_NAMES})\b)(?:[A-Za-z_][a-z_’'-]{{2,}}|(?:{_SHORT})(?= ))\"?(?![\w(])"
    rf"(?: (?!(?:{_NAMES})\b)(?:[a-z_’'-]{{3,}}|{_SHORT})(?![\w(])[.]?)*)"
)


def prose(doc: str, links: Links) -> str:
    """The whole docstring."""
    lines = inspect.cleandoc(doc).splitlines()
    out: list[str] = []
    for block in _blocks(lines):
        if block[0] in SECTIONS and len(block) > 1:
            found = _terms([line[4:] for line in block[1:]], least=1)
            rows = "".join(
                f"<p><code>{html.escape(t)}</code> {sentence(d, links)}</p>" for t, d in found
            )
            shown = rows or f"<p>{_paragraph(block[1:], links)}</p>"
            out.append(f'<dl class="heads"><dt>{block[0]}</dt><dd>{shown}</dd></dl>')
        elif _HEAD.match(block[0]):
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
    for head in (head for head in SECTIONS if head in found):
        lines = found[head]
        if head in EQUATIONS:
            shown = "".join(equation(line, head) for line in joined(lines))
        else:
            shown = f"<p>{sentence(' '.join(lines), links)}</p>"
        rows.append(f'<dt>{head}</dt><dd class="{head.lower()}">{shown}</dd>')
    return f'<dl class="heads">{"".join(rows)}</dl>'


def equation(line: str, head: str = "") -> str:
    """A line of equations; those that three spaces part are set apart from each other."""
    aligned = re.sub(r" {3,}(?=\+?= )", " ", line.strip())
    parts = [part for part in re.split(r" {3,}", aligned) if part.strip(" ,;")]
    return f'<div class="eq">{"".join(_part(part, head != "Shapes") for part in parts)}</div>'


def _part(text: str, fractions: bool) -> str:
    """An equation; a long one with words in it as text, which can be broken at the words."""
    words = _words(text) if len(text) >= 50 else []
    if not words:
        return f"<span>{mathml(text, fractions=fractions)}</span>"
    out, at = [], 0
    for start, end in [*words, (len(text), len(text))]:
        for run in re.split(r"(?<=[:;]) (?=\S)|(?<=\d,) (?=\w )", text[at:start].strip()):
            out.append(mathml(run, fractions=fractions) if run else "")
        out.append(html.escape(text[start:end]))
        at = end
    shown = re.sub(r" (<math><mrow><mo>[,;:])", r"\1", " ".join(filter(None, out)))
    return f'<span class="mixed">{shown}</span>'


def _words(text: str) -> list[tuple[int, int]]:
    """Where words stand together outside of all brackets; a single one only after a comma."""
    found = []
    for m in _WORD.finditer(text):
        before = text[: m.start()]
        depth = sum(before.count(c) for c in "([⟨{⌊⌈") - sum(before.count(c) for c in ")]⟩}⌋⌉")
        several = " " in m[0] or "-" in m[0] or before.rstrip().endswith((",", ";"))
        if depth == 0 and several:
            found.append(m.span())
    return found


def joined(lines: list[str]) -> list[str]:
    """The lines of a section, those that go on in words joined to the line before."""
    found: list[str] = []
    for line in lines:
        goes_on = re.match(r"[a-z]{2,} ", line) and " = " not in line and ":   " not in line
        if found and goes_on and "+=" not in line:
            found[-1] = f"{found[-1]} {line}"
        else:
            found.append(line)
    return found


def sentence(text: str, links: Links) -> str:
    """Text with its code in a typewriter face and its variables in italics."""
    out, at = [], 0
    for m in _MARKED.finditer(text):
        out.append(_plain(text[at : m.start()]))
        name, at = m[3], m.end()
        certain = m[1] or name[:1].isupper() or name.endswith((".py", "/")) or "tinyae." in name
        href = links.of_name(name) if certain else ""
        shown = name.rpartition(".")[2] if m[1] and "~" in m[0] else name
        code = f"<code>{html.escape(shown)}</code>"
        out.append(f'<a href="{href}">{code}</a>' if href else code)
    out.append(_plain(text[at:]))
    return "".join(out)


def _plain(text: str) -> str:
    def variable(m: re.Match[str]) -> str:
        below = f"<sub>{m[2]}</sub>" if m[2] else ""
        return m[0] if m[0] in _WORDS else f"<var>{m[1]}{below}</var>"

    return _VARIABLE.sub(variable, html.escape(text, quote=False))


def _paragraph(block: list[str], links: Links) -> str:
    return sentence(re.sub("::$", ":", " ".join(line.strip() for line in block)), links)


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


def _terms(block: list[str], least: int = 2) -> list[tuple[str, str]]:
    """A table of two columns: a term, two spaces or more, and what it is."""
    if len(block) < least or not _TERM.match(block[0]) or "=" in block[0].split("  ")[0]:
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
    return found if len(found) >= least or len(block) > 2 else []


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
    if not code and (noted := _noted(block)):
        return noted
    first = len(block[0]) - len(block[0].lstrip())
    text = "\n".join(line[min(first, len(line) - len(line.lstrip())) :] for line in block)
    return f"<pre>{html.escape(text, quote=False)}</pre>"


def _noted(block: list[str]) -> str:
    """Equations in one column, and what is said of them in the other; "" if it is no such table."""
    rows = []
    for line in block:
        left, *notes = re.split(r" {3,}", line.strip())
        if not notes or not _is_equation(left):
            return ""
        said = "".join(_part(note, fractions=False) for note in notes)
        rows.append(f'<dt>{mathml(left)}</dt><dd class="eq">{said}</dd>')
    return f'<dl class="noted">{"".join(rows)}</dl>'
