"""One Unicode character as LaTeX for math mode, with no other package than amsmath.

``symbol`` knows a table of the usual signs. What the table lacks is taken apart as Unicode says:
``ℝ`` is an R in another style, ``⅗`` a fraction, ``⊄`` a struck-out ⊂, ``ᵝ`` a raised β. If that
does not help either, the character's name is written out: ``\\text{[squared plus]}``.
"""

from __future__ import annotations

import re
import unicodedata

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu",
    "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "ς": "varsigma", "τ": "tau", "υ": "upsilon",
    "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta",
    "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Υ": "Upsilon", "Φ": "Phi",
    "Ψ": "Psi", "Ω": "Omega", "ϵ": "epsilon", "ϑ": "vartheta", "ϕ": "phi", "ϖ": "varpi",
    "ϱ": "varrho", "ϴ": "Theta",
}  # fmt: skip
LATIN_LIKE = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo"))  # Greek letters without a command

COMMANDS = {
    # sums and integrals; the docstrings write Σ for a sum
    "Σ": "sum", "∑": "sum", "∏": "prod", "∐": "coprod", "∫": "int", "∬": "iint", "∭": "iiint",
    "⨌": "iiiint", "∮": "oint", "⋀": "bigwedge", "⋁": "bigvee", "⋂": "bigcap", "⋃": "bigcup",
    "⨀": "bigodot", "⨁": "bigoplus", "⨂": "bigotimes", "⨄": "biguplus", "⨆": "bigsqcup",
    # letters and constants
    "∂": "partial", "∇": "nabla", "∆": "Delta", "∞": "infty", "∅": "emptyset", "ℓ": "ell",
    "ℏ": "hbar", "ℑ": "Im", "ℜ": "Re", "℘": "wp", "ℵ": "aleph", "∀": "forall", "∃": "exists",
    "¬": "neg", "⊤": "top", "⊥": "bot", "∠": "angle", "√": "surd", "△": "triangle", "♭": "flat",
    "♮": "natural", "♯": "sharp",
    # operations
    "·": "cdot", "⋅": "cdot", "∘": "circ", "×": "times", "÷": "div", "±": "pm", "∓": "mp",
    "∗": "ast", "⋆": "star", "∙": "bullet", "•": "bullet", "⋄": "diamond", "∖": "setminus",
    "∧": "wedge", "∨": "vee", "∩": "cap", "∪": "cup", "⊓": "sqcap", "⊔": "sqcup", "⊎": "uplus",
    "⊕": "oplus", "⊖": "ominus", "⊗": "otimes", "⊘": "oslash", "⊙": "odot", "≀": "wr",
    "⨿": "amalg", "†": "dagger", "‡": "ddagger",
    # relations
    "≤": "leq", "≥": "geq", "≠": "ne", "≈": "approx", "≃": "simeq", "≅": "cong", "≡": "equiv",
    "≍": "asymp", "≐": "doteq", "∼": "sim", "~": "sim", "∝": "propto", "≪": "ll", "≫": "gg",
    "⩽": "leq", "⩾": "geq", "≦": "leq", "≧": "geq", "≺": "prec", "≻": "succ", "⪯": "preceq",
    "⪰": "succeq", "≼": "preceq", "≽": "succeq", "∈": "in", "∋": "ni", "∉": "notin", "⊂": "subset",
    "⊃": "supset", "⊆": "subseteq", "⊇": "supseteq", "⊑": "sqsubseteq", "⊒": "sqsupseteq",
    "∣": "mid", "∥": "parallel", "⟂": "perp", "⊢": "vdash", "⊣": "dashv", "⊨": "models",
    "⋈": "bowtie", "⌣": "smile", "⌢": "frown",
    # arrows
    "→": "to", "←": "leftarrow", "↔": "leftrightarrow", "↑": "uparrow", "↓": "downarrow",
    "↕": "updownarrow", "⇒": "Rightarrow", "⇐": "Leftarrow", "⇔": "Leftrightarrow",
    "⇑": "Uparrow", "⇓": "Downarrow", "⇕": "Updownarrow", "↦": "mapsto", "↩": "hookleftarrow",
    "↪": "hookrightarrow", "↖": "nwarrow", "↗": "nearrow", "↘": "searrow", "↙": "swarrow",
    "↼": "leftharpoonup", "↽": "leftharpoondown", "⇀": "rightharpoonup", "⇁": "rightharpoondown",
    "⇌": "rightleftharpoons", "⟵": "longleftarrow", "⟶": "longrightarrow",
    "⟷": "longleftrightarrow", "⟸": "Longleftarrow", "⟹": "Longrightarrow",
    "⟺": "Longleftrightarrow", "⟼": "longmapsto",
    # brackets and dots
    "⟨": "langle", "⟩": "rangle", "〈": "langle", "〉": "rangle", "⌊": "lfloor", "⌋": "rfloor",
    "⌈": "lceil", "⌉": "rceil", "…": "ldots", "⋯": "cdots", "⋮": "vdots", "⋱": "ddots",
}  # fmt: skip
SIGNS = {
    "−": "-", "‐": "-", "‑": "-", "–": "-", "—": "-", "∕": "/", "⁄": "/", "∶": ":", "∷": "::",
    "≔": ":=", "≕": "=:", "≝": r"\overset{\text{def}}{=}", "≜": r"\overset{\triangle}{=}",
    "≟": r"\overset{?}{=}", "‖": r"\| ", "⟦": r"[\![", "⟧": r"]\!]", "%": r"\%", "#": r"\#",
    "&": r"\&", "$": r"\$", "{": r"\{", "}": r"\}", "_": r"\_", "^": r"\wedge ",
    "\\": r"\backslash ", '"': r"\text{''}", "“": r"\text{``}", "”": r"\text{''}", "‘": r"\text{`}",
    "`": r"\text{`}", "∛": r"\sqrt[3]{\ }", "∜": r"\sqrt[4]{\ }",
}  # fmt: skip
ACCENTS = {
    "\u0300": "grave", "\u0301": "acute", "\u0302": "hat", "\u0303": "tilde", "\u0304": "bar",
    "\u0305": "bar", "\u0306": "breve", "\u0307": "dot", "\u0308": "ddot", "\u030a": "mathring",
    "\u030c": "check", "\u20d6": "overleftarrow", "\u20d7": "vec", "\u20db": "dddot",
    "\u0331": "underline", "\u0332": "underline",
}  # fmt: skip
PRIMES = {"'": "'", "’": "'", "′": "'", "″": "''", "‴": "'''", "⁗": "''''"}
STRIKE = "\u0338"  # the combining stroke of ⊄
STYLES = (  # words in a letter's name, and the command for that style
    ("BOLD", "boldsymbol"),
    ("DOUBLE-STRUCK", "mathbf"),
    ("SCRIPT CAPITAL", "mathcal"),
    ("SANS-SERIF", "mathsf"),
    ("MONOSPACE", "mathtt"),
)
MARKS = "\u0300-\u036f\u20d0-\u20ff"  # combining marks, as a class of a regular expression
TEXT_LETTERS = "À-ÖØ-öø-ĥĨ-ķĹ-ľŁ-ňŊ-ťŨ-ž"  # letters with accents that a T1 text font has


def _scripts(kind: str) -> dict[str, str]:
    """The characters that are raised ("<super>") or lowered ("<sub>") forms, and of what."""
    found = {}
    for block in (
        range(0xA0, 0x300),
        range(0x1D00, 0x1E00),
        range(0x2070, 0x20A0),
        (0x2C7C, 0x2C7D),
    ):
        for code in block:
            tag, *rest = unicodedata.decomposition(chr(code)).split() or [""]
            if tag == kind and len(rest) == 1:
                found[chr(code)] = chr(int(rest[0], 16))
    return found


RAISED = _scripts("<super>") | {"°": "∘"}
LOWERED = _scripts("<sub>")


def symbol(c: str) -> str:
    """The character in math mode. A command ends in a space, so that a letter may follow."""
    if c in GREEK:
        return rf"\{GREEK[c]} "
    if c in COMMANDS:
        return rf"\{COMMANDS[c]} "
    if c in SIGNS:
        return SIGNS[c]
    if c in LATIN_LIKE:
        return rf"\mathrm{{{LATIN_LIKE[c]}}}" if c.isupper() else LATIN_LIKE[c]
    if unicodedata.category(c) in ("Cc", "Cf"):
        return ""
    if c.isascii():
        return c
    if c.isspace():
        return " "
    if re.match(f"[{TEXT_LETTERS}]", c):
        return rf"\text{{{c}}}"
    return _taken_apart(c) or f"\\text{{[{_name(c)}]}}"


def accented(letter: str, marks: str) -> str:
    """A letter, as LaTeX already, with combining marks over it."""
    out = letter.strip() or "{}"
    for mark in marks:
        if mark == STRIKE:
            out = rf"\not {out}" if out[0].isalpha() else rf"\not{out}"
        elif mark in ACCENTS:
            out = rf"\{ACCENTS[mark]}{{{out}}}"
        else:
            out = rf"\overset{{\text{{[{_name(mark)}]}}}}{{{out}}}"
    return out


def _taken_apart(c: str) -> str:
    """The character by its Unicode decomposition; "" if it has none."""
    tag, *rest = unicodedata.decomposition(c).split() or [""]
    if not tag:
        return ""
    if not tag.startswith("<"):  # a letter and its accents, or another code for the same sign
        whole = unicodedata.normalize("NFD", c)
        return accented(symbol(whole[0]), whole[1:]) + " "
    plain = "".join(chr(int(code, 16)) for code in rest)
    inner = "".join(symbol(part) for part in plain).strip()
    if tag == "<super>":  # ™: those of one character are in RAISED
        return rf"{{{{}}^{{\mathrm{{{inner}}}}}}}"
    if tag == "<fraction>":
        above, _, below = plain.partition("\u2044")
        return rf"\tfrac{{{above}}}{{{below}}}" if below else f"{above}/"
    if tag == "<font>":
        name = unicodedata.name(c, "")
        for word, command in STYLES:
            if word in name:
                return rf"\{command}{{{inner}}}"
        return inner
    return rf"\mathrm{{{plain}}}" if plain.isascii() and plain.isalnum() else inner


def _name(c: str) -> str:
    return unicodedata.name(c, f"U+{ord(c):04X}").lower()
