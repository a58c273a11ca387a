"""The docstrings' equations, in Unicode, as MathML: the same pieces as for LaTeX, for a browser.

    y = x Wᵀ + b            <mi>y</mi><mo>=</mo><mi>x</mi> … <msup><mi>W</mi><mi>⊤</mi></msup> …
    dx = g / (x + ε)        a fraction

A quotient of what stands close together is set as a fraction: ``c / σ``, ``1 / (1 + e⁻ˣ)``, ``∂L/∂x``.
Words are prose. The result has no style and no script of its own: MathML Core, as browsers have it.
"""

from __future__ import annotations

import html
import unicodedata
from dataclasses import dataclass, field

from tinyae.explanation.mathematics import FUNCTIONS, NAMED, SHORT_WORDS, exponential, pieces
from tinyae.explanation.symbols import LOWERED, PRIMES, RAISED, STRIKE

_OPEN, _CLOSE = "([⟨{⌊⌈⟦", ")]⟩}⌋⌉⟧"
_BIG = "Σ∑∏∫⋃⋂"
_OPERATORS = set("=+−-·⋅∘×÷±∓<>≤≥≠≈≃≡∼~∝≪≫∈∉⊂⊆→←↔⇒⇔↦∧∨∩∪⊕⊗⊙∗*/,;:!|‖&%^@")
_ACCENTS = {
    "\u0302": "^", "\u0303": "~", "\u0304": "¯", "\u0305": "¯", "\u0306": "˘", "\u0307": "˙",
    "\u0308": "¨", "\u030c": "ˇ", "\u20d7": "→",
}  # fmt: skip
_WORDS = SHORT_WORDS | {"up", "day", "did", "dim", "div", "dot", "dry", "due"}
_SIGNS = {"-": "−", "·": "⋅", "Σ": "∑", "~": "∼", "*": "∗"}


@dataclass
class _Node:
    """An atom, an operator, a function's name, words, or a bracket with what it holds."""

    kind: str  # "atom", "operator", "function", "big", "words" or "group"
    xml: str = ""
    spaced: bool = False  # whether a space stands before it
    inside: list[_Node] = field(default_factory=list)
    brackets: tuple[str, str] = ("", "")
    above: str = ""
    below: str = ""
    primes: str = ""


def mathml(line: str, display: bool = False, fractions: bool = True) -> str:
    """A line of equations as a ``<math>`` element; ``display`` for one on a line of its own."""
    style = ' display="block"' if display else ""
    return f"<math{style}>{_row(_nodes(line), fractions)}</math>"


def _row(nodes: list[_Node], fractions: bool) -> str:
    return f"<mrow>{_sequence(nodes, fractions)}</mrow>"


# --- reading --------------------------------------------------------------------------------------


def _nodes(text: str) -> list[_Node]:
    found: list[_Node] = []
    levels = [found]  # the lists of the brackets that are open
    opened: list[_Node] = []
    spaced = False
    for kind, token in pieces(text):
        here = levels[-1]
        last = here[-1] if here else None
        if kind == "space":
            spaced = True
            if last is not None and last.kind == "words":
                last.xml += " "
            continue
        if kind in ("power", "bracketed_power", "under", "raised", "lowered", "subscript", "prime"):
            _attach(here, kind, token)
            continue
        if kind == "sign" and token in _OPEN:
            node = _Node("group", brackets=(token, ""), spaced=spaced)
            here.append(node)
            levels.append(node.inside)
            opened.append(node)
            spaced = False
            continue
        if kind == "sign" and token in _CLOSE and opened:
            node = opened.pop()
            node.brackets = node.brackets[0], token
            levels.pop()
            spaced = False
            continue
        if token == "=" and last is not None and last.xml in ("+", ":", "−") and not spaced:
            last.xml += "="
            continue
        node = _node(kind, token)
        node.spaced = spaced
        if node.kind == "words" and last is not None and last.kind == "words":
            last.xml += node.xml
        else:
            if node.kind == "words" and spaced and here:
                node.xml = " " + node.xml
            here.append(node)
            if kind == "indexed":
                index = "".join(_symbol(LOWERED[c]) for c in token[3:])
                below = f"<msub>{_symbol(token[2])}<mrow>{index}</mrow></msub>" if index else ""
                node.xml, node.below = _symbol(token[0]), below or _symbol(token[2])
        spaced = False
    return found


def _attach(nodes: list[_Node], kind: str, token: str) -> None:
    """A script to the symbol before it."""
    if not nodes or nodes[-1].kind in ("operator", "words"):
        nodes.append(_Node("atom", "<mrow></mrow>"))
    node = nodes[-1]
    if kind == "prime":
        node.primes += PRIMES[token].replace("'", "′")
    elif kind == "under":
        node.below += _row(_nodes(token[2:-1]), False)
    elif kind == "lowered":
        node.below += "".join(_symbol(LOWERED.get(c, c)) for c in token)
    elif kind == "subscript":
        node.below += _symbol(token[1])
    elif kind == "raised":
        node.above += "".join(_symbol("⊤" if c == "ᵀ" else RAISED[c]) for c in token)
    elif kind == "bracketed_power":
        node.above += _row(_nodes(token), False)
    else:
        node.above += _row(_nodes(token[1:].strip("{}")), False)


def _node(kind: str, token: str) -> _Node:
    if kind == "root":
        return _Node("atom", f"<msqrt>{_row(_nodes(token), True)}</msqrt>")
    if kind == "short_root":
        return _Node("atom", f"<msqrt>{_row(_nodes(token[1:]), True)}</msqrt>")
    if kind == "differential":
        letter, _, index = token[1:].partition("_")
        of = _accented(letter[0], letter[1:]) if letter else ""
        return _Node("atom", f"<mrow><mi>d</mi>{of}</mrow>", below=_symbol(index) if index else "")
    if kind in ("added", "such_that"):
        return _Node("operator", token)
    if kind == "quoted":
        return _Node("words", f"“{token[1:-1]}”")
    if kind == "accented":
        return _Node("atom", _accented(token[0], token[1:]))
    if kind == "number":
        return _Node("atom", f"<mn>{token}</mn>")
    if kind == "exponential":
        mantissa, exponent = exponential(token)
        power = f"<msup><mn>10</mn><mn>{exponent}</mn></msup>"
        times = "" if mantissa == "1" else f"<mn>{mantissa}</mn><mo>⋅</mo>"
        return _Node("atom", f"<mrow>{times}{power}</mrow>")
    if kind == "indexed":
        return _Node("atom")
    if kind == "word":
        if token in FUNCTIONS or token in NAMED:
            return _Node("function", f"<mi>{token}</mi>")
        if _is_symbol(token):
            return _Node("atom", "<mrow>" + "".join(f"<mi>{c}</mi>" for c in token) + "</mrow>")
        return _Node("words", token)
    if token in _BIG:
        return _Node("big", f"<mo>{_SIGNS.get(token, token)}</mo>")
    if token == "√":
        return _Node("root")
    if token in _OPERATORS or token in _OPEN or token in _CLOSE:
        return _Node("operator", token)
    return _Node("atom", _symbol(token))


def _is_symbol(word: str) -> bool:
    """Whether a word is a symbol, as kh, kw, Wx, dWx, and no English word."""
    if len(word) == 3 and word[0] == "d":
        return word not in _WORDS
    return len(word) == 2 and "_" not in word and word.lower() not in _WORDS


def _symbol(c: str) -> str:
    tag, *codes = unicodedata.decomposition(c).split() or [""]
    if tag == "<fraction>":  # ½
        above, _, below = "".join(chr(int(code, 16)) for code in codes).partition("\u2044")
        small = f"<mfrac><mn>{above}</mn><mn>{below}</mn></mfrac>"
        return f'<mstyle displaystyle="false">{small}</mstyle>'
    if c.isdigit():
        return f"<mn>{c}</mn>"
    if c.isalpha():
        upright = ' mathvariant="normal"' if c in "ΓΔΘΛΞΠΥΦΨΩ∂⊤" else ""
        return f"<mi{upright}>{c}</mi>"
    if c in "∂∞∇∅ℓ⊤…⋯⋮":
        return f"<mi>{c}</mi>"
    if unicodedata.category(c) in ("Cc", "Cf"):
        return ""
    return f"<mo>{html.escape(_SIGNS.get(c, c))}</mo>"


def _accented(letter: str, marks: str) -> str:
    out = _symbol(letter)
    for mark in marks:
        if mark == STRIKE or mark not in _ACCENTS:
            out = f"<mi>{html.escape(unicodedata.normalize('NFC', letter + mark))}</mi>"
        else:
            sign = f'<mo stretchy="false">{_ACCENTS[mark]}</mo>'
            out = f'<mover accent="true">{out}{sign}</mover>'
    return out


# --- writing --------------------------------------------------------------------------------------


def _sequence(nodes: list[_Node], fractions: bool) -> str:
    out: list[str] = []
    i = 0
    while i < len(nodes):
        if fractions and (end := _numerator(nodes, i)):
            bottom = _chunk_end(nodes, end + 1)
            out.append(_space(nodes, i))
            above, below = (_bare(nodes[a:b]) for a, b in ((i, end), (end + 1, bottom)))
            out.append(f"<mfrac>{_row(above, False)}{_row(below, False)}</mfrac>")
            i = bottom
            continue
        node = nodes[i]
        if node.kind == "root":
            end = _chunk_end(nodes, i + 1)
            out.append(f"{_space(nodes, i)}<msqrt>{_row(nodes[i + 1 : end], False)}</msqrt>")
            i = end
            continue
        out.append(_space(nodes, i) + _scripted(node, _base(nodes, i, fractions)))
        i += 1
    return "".join(out)


def _numerator(nodes: list[_Node], i: int) -> int:
    """Where the numerator that begins at i ends, at its /; 0 if no fraction begins there.

    Of a/b what stands close together is the numerator, of ``a b / c`` the whole product.
    """
    before = nodes[i - 1] if i else None
    if before is not None and before.kind == "function":
        return 0  # ln x / y
    if before is not None and before.kind == "operator" and before.xml == "/":
        return 0  # a / b / c: b / c is no part of it
    if before is not None and not nodes[i].spaced and before.kind not in ("operator", "words"):
        return 0  # in the middle of what stands close together
    end = _chunk_end(nodes, i)
    while end > i and end < len(nodes) and nodes[end].kind in _FACTORS:
        further = _chunk_end(nodes, end)
        if further == end:
            return 0
        end = further
    if end == i or end >= len(nodes) or nodes[end].xml != "/" or nodes[end].kind != "operator":
        return 0
    if not nodes[end].spaced and any(node.spaced for node in nodes[i + 1 : end]):
        return 0  # a b/c
    bottom = _chunk_end(nodes, end + 1)
    after = nodes[bottom] if bottom < len(nodes) else None
    if bottom == end + 1 or (after is not None and after.xml == "/"):
        return 0
    return end


_FACTORS = ("atom", "group", "function", "root")


def _chunk_end(nodes: list[_Node], i: int) -> int:
    """Where what stands close together from i on, without an operator, ends."""
    at = i
    while at < len(nodes) and nodes[at].kind in _FACTORS:
        if at > i and nodes[at].spaced:
            break
        if nodes[at].kind == "function":
            following = nodes[at + 1] if at + 1 < len(nodes) else None
            if following is None or following.spaced:
                return i  # mean g: no part of a fraction
        at += 1
    return at


def _bare(nodes: list[_Node]) -> list[_Node]:
    """Without the brackets that a fraction makes needless."""
    if len(nodes) == 1 and nodes[0].brackets == ("(", ")"):
        node = nodes[0]
        if not (node.above or node.below or node.primes):
            return node.inside
    return nodes


def _space(nodes: list[_Node], i: int) -> str:
    """A thin space for a product, or between a function's name and what it is applied to."""
    if not i or not nodes[i].spaced:
        return ""
    before, node = nodes[i - 1], nodes[i]
    if "operator" in (before.kind, node.kind) or "words" in (before.kind, node.kind):
        return ""
    return '<mspace width="0.17em"></mspace>'


def _base(nodes: list[_Node], i: int, fractions: bool) -> str:
    node = nodes[i]
    if node.kind == "words":
        return f"<mtext>{html.escape(node.xml).replace(' ', '&#xA0;')}</mtext>"
    if node.kind == "operator":
        sign = html.escape(_SIGNS.get(node.xml, node.xml))
        first = i == 0 or nodes[i - 1].kind == "operator"
        form = ' form="prefix"' if first and sign in "−+" else ""
        fixed = ' stretchy="false"' if sign in "|‖/^→" else ""
        return f"<mo{form}{fixed}>{sign}</mo>"
    if node.kind != "group":
        return node.xml
    index = node.brackets[0] == "[" and i > 0 and not node.spaced and nodes[i - 1].kind == "atom"
    inside = _sequence(node.inside, fractions and not index)
    fixed = "" if "<mfrac" in inside and "[" not in node.brackets else ' stretchy="false"'
    left = f"<mo{fixed}>{node.brackets[0]}</mo>"
    right = f"<mo{fixed}>{node.brackets[1]}</mo>" if node.brackets[1] else ""
    return f"<mrow>{left}{inside}{right}</mrow>"


def _scripted(node: _Node, base: str) -> str:
    above = (f"<mo>{node.primes}</mo>" if node.primes else "") + node.above
    above = f"<mrow>{above}</mrow>" if above else ""
    below = f"<mrow>{node.below}</mrow>" if node.below else ""
    if node.kind == "big":
        tags = "munder", "mover", "munderover"
    else:
        tags = "msub", "msup", "msubsup"
    if above and below:
        return f"<{tags[2]}>{base}{below}{above}</{tags[2]}>"
    if above or below:
        tag = tags[1] if above else tags[0]
        return f"<{tag}>{base}{above or below}</{tag}>"
    return base
