"""The docstrings' equations, in Unicode, as LaTeX.

    y = x Wᵀ + b            y = x W^{\\top} + b
    dx̃ = dy ∘ σ′(x)         \\mathit{dx} …

``mathematics`` is for a line of equations, in which whole words are prose; ``prose`` for a sentence,
in which single signs are mathematics. What comes out is ASCII, but for letters with accents.
"""

from __future__ import annotations

import re
import unicodedata

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu",
    "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "varphi",
    "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta",
    "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega", "ϵ": "epsilon",
}  # fmt: skip
SIGNS = {
    "Σ": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "∂": r"\partial ", "∇": r"\nabla ",
    "·": r"\cdot ", "∘": r"\circ ", "×": r"\times ", "⊙": r"\odot ", "±": r"\pm ",
    "−": "-", "–": "-", "—": "-", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ",
    "≪": r"\ll ", "≫": r"\gg ", "~": r"\sim ", "∈": r"\in ", "∝": r"\propto ", "∞": r"\infty ",
    "→": r"\to ", "←": r"\leftarrow ", "↦": r"\mapsto ", "⇒": r"\Rightarrow ",
    "⟨": r"\langle ", "⟩": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ",
    "⌉": r"\rceil ", "‖": r"\| ", "…": r"\ldots ", "′": "'", "″": "''", "½": r"\tfrac{1}{2}",
    "¼": r"\tfrac{1}{4}", "⅓": r"\tfrac{1}{3}", "ℓ": r"\ell ", "%": r"\%", "#": r"\#",
    "&": r"\&", "$": r"\$", "{": r"\{", "}": r"\}", '"': r"\text{''}", "“": "``", "”": "''", "’": "'",
    "\\": r"\backslash ", "√": r"\surd ", "∀": r"\forall ", "°": r"^{\circ}",
}  # fmt: skip
RAISED = dict(
    zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵀᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", "0123456789+-=()Tabcdefghijklmnoprstuvwxyz")
)
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+-=()aehijklmnoprstuvx"))
HATS = {"\u0302": "hat", "\u0303": "tilde", "\u0307": "dot", "\u0304": "bar", "\u0305": "bar"}
FUNCTIONS = {"ln", "log", "exp", "max", "min", "tanh", "lim"}
NAMED = {"sign", "clip", "diag", "mean", "softmax", "softplus", "erf", "KL", "Var", "Cov"}

# What no text font has: a letter with a hat, or any sign but Latin letters and punctuation.
_FOREIGN = re.compile(r"(\w[\u0300-\u036f]+|[^\x00-\x7fÀ-ÖØ-öø-ɏ‘’“”–—…§]+)")
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<root>√\()"
    r"|(?P<power>\^\{[^}]*\}|\^[−-]?(?:\|[^|]*\||\w[\u0300-\u036f]*))"
    r"|(?P<under>_\{[^}]*\})"
    r"|(?P<indexed>[A-Za-zα-ωΑ-Ω]_[A-Za-z](?![A-Za-z_]))"
    r"|(?P<differential>d[A-Za-zα-ωΑ-Ω][\u0300-\u036f]*(?![A-Za-z_\u0300-\u036f]))"
    r"|(?P<word>[A-Za-z][A-Za-z_']*[A-Za-z](?![\u0300-\u036f]))"
    r"|(?P<hat>\w[\u0300-\u036f])"
    r"|(?P<number>\d[\d,.]*\d|\d)"
    rf"|(?P<raised>[{re.escape(''.join(RAISED))}]+)"
    rf"|(?P<lowered>[{re.escape(''.join(LOWERED))}]+)"
    r"|(?P<sign>.)"
)


def mathematics(line: str) -> str:
    """A line of equations, for between two dollars."""
    return _join(_tokens(_plain(line)))


def prose(text: str) -> str:
    """A sentence; what is no letter of the text's font is set as mathematics."""
    out = []
    for run in _FOREIGN.split(unicodedata.normalize("NFC", text)):
        if run:
            out.append(f"${mathematics(run).strip()}$" if _FOREIGN.match(run) else _escaped(run))
    return "".join(out)


def _plain(text: str) -> str:
    """Hats as signs of their own; letters with accents stay whole where they are of words."""
    return "".join(
        unicodedata.normalize("NFD", c) if 0x1E00 < ord(c) < 0x1F00 or c in "âêîôûñãõŷŝĥŵ" else c
        for c in unicodedata.normalize("NFC", text)
    )


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, LaTeX) of each token; kind is "text", "space" or "math"."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        m = _TOKEN.match(text, at)
        assert m is not None  # the last alternative takes anything
        kind, token = m.lastgroup, m[0]
        at = m.end()
        if kind == "space":
            found.append(("space", " " if len(token) < 3 else r" \qquad "))
        elif kind == "root":
            inside, at = _balanced(text, at)
            found.append(("math", rf"\sqrt{{{mathematics(inside)}}}"))
        elif kind == "power":
            found.append(("math", rf"^{{{mathematics(token[1:].strip('{}'))}}}"))
        elif kind == "under":
            found.append(("math", rf"_{{{mathematics(token[2:-1])}}}"))
        elif kind == "indexed":
            found.append(("math", rf"{_sign(token[0]).strip()}_{{{token[2]}}}"))
        elif kind == "differential":
            found.append(("math", rf"\mathit{{d}}{_hatted(token[1:])}"))
        elif kind == "word":
            found.append(_word(token))
        elif kind == "hat":
            found.append(("math", _hatted(token)))
        elif kind == "raised":
            power = "".join(RAISED[c] for c in token).replace("T", r"\top ").strip()
            found.append(("math", f"^{{{power}}}"))
        elif kind == "lowered":
            found.append(("math", f"_{{{''.join(LOWERED[c] for c in token)}}}"))
        else:
            found.append(("math", _sign(token)))
    return found


def _word(token: str) -> tuple[str, str]:
    if token in FUNCTIONS:
        return "math", rf"\{token} "
    if token in NAMED:
        return "math", rf"\operatorname{{{token}}}"
    if len(token) == 2 and "_" not in token and token.lower() not in _SHORT:
        return "math", rf"\mathit{{{token}}}"  # kh, kw, nh
    return "text", token.replace("_", r"\_")


_SHORT = {"is", "of", "in", "to", "as", "it", "if", "or", "at", "by", "on", "no", "so", "be", "an"}


def _hatted(token: str) -> str:
    letter, marks = token[0], token[1:]
    out = _sign(letter).strip()
    for mark in marks:
        out = rf"\{HATS.get(mark, 'hat')}{{{out}}}"
    return out


def _sign(c: str) -> str:
    if len(c) > 1:
        return c.replace(",", "{,}")  # a number
    if c in GREEK:
        return rf"\{GREEK[c]} "
    if c in SIGNS:
        return SIGNS[c]
    if c in RAISED:
        return f"^{{{RAISED[c]}}}"
    if c == "_":
        return r"\_"
    if c == "^":
        return r"\wedge "
    if ord(c) < 0x250:
        return rf"\text{{{c}}}" if ord(c) > 0x7F else c
    return rf"\mathtt{{U{ord(c):X}}}"  # a sign that this table does not know


def _join(tokens: list[tuple[str, str]]) -> str:
    """Words that stand together in one \\text, with the spaces between them and around them."""
    out, words = "", ""
    for i, (kind, latex) in enumerate(tokens):
        after = tokens[i + 1][0] if i + 1 < len(tokens) else ""
        if kind == "text":
            words += latex
        elif kind == "space" and latex == " " and (words or after == "text"):
            words += " "
        else:
            out += _text(words) + latex
            words = ""
    return out + _text(words)


def _text(words: str) -> str:
    if not words.strip():
        return " " if words else ""
    return rf"\text{{{words}}}"


def _balanced(text: str, at: int) -> tuple[str, int]:
    """What stands up to the bracket that closes, and the place after it."""
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
    return "".join(_ESCAPES.get(c, c) for c in text)
