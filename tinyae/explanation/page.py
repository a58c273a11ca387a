"""An explanation as a page for the terminal."""

from __future__ import annotations

import textwrap
import unicodedata

from tinyae.explanation.result import PARTS, Explanation, Gradient, Quantity, Step

_WIDTH = 98
_ARROWS = {"parameter": " ", "output": "=", "gradient": "="}


def page(e: Explanation) -> str:
    """The explanation as text, at most 98 characters wide where it can be wrapped."""
    lines = [e.title, *_wrapped(e.words, "  "), ""]
    lines += _equations("forward", e.forward) + _equations("backward", e.backward)
    lines += _equations("units", e.units)
    lines += _wrapped(e.source, "  source    ")
    lines += _wrapped(e.remark, "  here      ")
    if e.terms:
        lines.append("  terms     " + ",   ".join(f"{k} {_number(v)}" for k, v in e.terms.items()))
    turn = part = ""
    for i, step in enumerate(e.steps, 1):
        if step.turn != turn:
            turn, part = step.turn, ""
            lines += ["", f"▌▌▌ the {turn}'s turn"]
        if step.part != part:
            part = step.part
            if e.terms and part in PARTS:
                lines += ["", f"═══ {part}: {PARTS[part]} ".ljust(_WIDTH, "═")]
        lines += ["", *_step(i, step, alone=not e.terms and len(e.steps) == 1)]
    if e.gradients:
        lines += ["", "─── the gradients, and what each use added ".ljust(_WIDTH, "─")]
        lines += _gradients(e.gradients)
    return "\n".join(line.rstrip() for line in lines)


def _step(number: int, step: Step, alone: bool) -> list[str]:
    name = f"{step.name}   " if step.name else ""
    lines = [f"─── {number}. {name}{step.title} "[:_WIDTH].ljust(_WIDTH, "─")]
    if not alone:  # its equations are above
        lines += _wrapped(step.words, "  ")
        lines += _equations("forward", step.forward) + _equations("backward", step.backward)
    lines += _equations("shapes", step.shapes)
    if step.value:
        lines.append(
            "  value     " + ",   ".join(f"{k} = {_number(v)}" for k, v in step.value.items())
        )
    lines += _table([_row(q) for q in step.quantities])
    lines += _wrapped(step.note, "  note      ")
    return lines


def _row(q: Quantity) -> list[str]:
    return [
        f"  {q.symbol}",
        "×".join(map(str, q.shape)) or "number",
        f"‖{q.symbol}‖ = {q.norm:.4g}",
        _few(q),
        f"{_ARROWS.get(q.role, '←')} {q.source}",
    ]


def _few(q: Quantity) -> str:
    """The first numbers of the first row."""
    row = q.corner[0][:3] if q.corner.size else []
    shown = ", ".join(f"{v + 0:.3g}" for v in row)
    more = ", …" if q.cut or q.corner.size > len(row) else ""
    return f"[{shown}{more}]".replace("-", "−")


def _gradients(gradients: list[Gradient]) -> list[str]:
    rows = []
    for g in gradients:
        paths = " + ".join(f"{norm:.3g} by {name}" for name, norm in g.paths) or "nothing"
        ratio = f"{g.norm / g.weight:.2g} of ‖θ‖" if g.weight else "θ is 0"
        rows.append([f"  ∂L/∂{g.name}", f"norm {g.norm:.4g}", f"({ratio})", f"= {paths}"])
    return _table(rows)


def _number(v: float) -> str:
    return f"{v:.6g}".replace("-", "−")


def _table(rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    widths = [max(map(_width, column)) for column in zip(*rows)]
    return ["  ".join(c + " " * (w - _width(c)) for c, w in zip(row, widths)) for row in rows]


def _width(text: str) -> int:
    """The width of a text; a combining mark takes no place."""
    return sum(not unicodedata.combining(c) for c in text)


def _equations(head: str, lines: list[str]) -> list[str]:
    return [f"  {head if i == 0 else '':<10}{line}" for i, line in enumerate(lines)]


def _wrapped(text: str, indent: str) -> list[str]:
    if not text:
        return []
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent))
