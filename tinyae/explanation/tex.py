"""An explanation as a LaTeX document; pdflatex compiles it with amsmath alone."""

from __future__ import annotations

import math

from tinyae.explanation.mathematics import mathematics, names_in, prose
from tinyae.explanation.result import PARTS, Explanation, Gradient, Quantity, Step

_HEAD = r"""\documentclass[10pt,a4paper]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{amsmath}
\usepackage[margin=22mm]{geometry}
\setlength{\parindent}{0pt}
\setlength{\parskip}{3pt}
\raggedright
\begin{document}
"""
_BY_ROLE = {
    "input": r"$\leftarrow$",
    "cache": r"$\leftarrow$",
    "parameter": "",
    "output": r"=\nobreak\ ",
    "upstream": r"$\leftarrow$",
    "gradient": r"=\nobreak\ ",
}


def document(e: Explanation) -> str:
    """The explanation as a LaTeX document; pdflatex compiles it with amsmath alone."""
    lines = [_HEAD + rf"\section*{{{prose(e.title)}}}"]
    lines += [prose(e.words)] if e.words else []
    names = names_in([*e.forward, *e.backward])
    lines += _equations("Forward", e.forward, names) + _equations("Backward", e.backward, names)
    if e.units:
        lines.append(r"\textbf{Units}\quad " + r"\\ ".join(map(prose, e.units)))
    lines += [rf"\textit{{Source:}} {prose(e.source)}"] if e.source else []
    lines += [rf"\textit{{Here:}} {prose(e.remark)}."] if e.remark else []
    if e.terms:
        values = r",\quad ".join(
            rf"\mathrm{{{_name(k)}}} = {number(v)}" for k, v in e.terms.items()
        )
        lines.append(f"${values}$")
    turn = part = ""
    for i, step in enumerate(e.steps, 1):
        if step.turn != turn:
            turn, part = step.turn, ""
            lines.append(rf"\part*{{The {prose(turn)}'s turn}}")
        if step.part != part:
            part = step.part
            if e.terms and part in PARTS:
                lines.append(rf"\section*{{{part.capitalize()}: {prose(PARTS[part])}}}")
        lines += _step(i, step, alone=not e.terms and len(e.steps) == 1)
    if e.gradients:
        lines += [r"\section*{The gradients, and what each use added}", *_gradients(e.gradients)]
    return "\n\n".join(lines) + "\n\n\\end{document}\n"


def _step(i: int, step: Step, alone: bool) -> list[str]:
    name = rf"\texttt{{{prose(step.name)}}}\quad " if step.name else ""
    lines = [rf"\subsection*{{{i}.\ {name}{prose(step.title)}}}"]
    names = names_in([*step.forward, *step.backward])
    if not alone:
        lines += [prose(step.words)] if step.words else []
        lines += _equations("Forward", step.forward, names)
        lines += _equations("Backward", step.backward, names)
    lines += _equations("Shapes", step.shapes, names)
    if step.value:
        pairs = [rf"{mathematics(k)} = {number(v)}" for k, v in step.value.items()]
        lines.append(f"${', '.join(pairs)}$")
    for q in step.quantities:
        lines.append(_quantity(q, names))
    lines += [rf"\textit{{Note:}} {prose(step.note)}."] if step.note else []
    if step.source:
        lines.append(rf"{{\small\textit{{Source:}} {prose(step.source)}}}")
    return lines


def _quantity(q: Quantity, names: frozenset[str]) -> str:
    """A symbol with a few of its numbers, its norm and its source."""
    symbol = mathematics(q.symbol, names)
    equation = q.role in ("output", "gradient")
    source = f"${mathematics(q.source, names)}$" if equation else prose(q.source)
    size = r" \times ".join(map(str, q.shape)) or "1"
    return (
        rf"${symbol} = {matrix(q)}$\quad $({size})$,\quad $\| {symbol}\| = {number(q.norm)}$\quad "
        rf"{_BY_ROLE[q.role]} {source}"
    )


def matrix(q: Quantity) -> str:
    """The corner of an array, with dots where the array continues."""
    if not q.corner.size:
        return r"\begin{bmatrix}\end{bmatrix}"
    last = math.prod(q.shape[-1:])
    rows, columns = q.corner.shape
    wider = last > columns
    cells = [" & ".join([*map(number, row), *([r"\cdots"] if wider else [])]) for row in q.corner]
    if math.prod(q.shape) > rows * last:
        cells.append(" & ".join([r"\vdots"] * (columns + wider)))
    return r"\begin{bmatrix}" + r" \\ ".join(cells) + r"\end{bmatrix}"


def number(v: float) -> str:
    """Three digits; 1.2e-05 as 1.2 · 10⁻⁵."""
    if not math.isfinite(v):
        return r"\text{NaN}" if math.isnan(v) else (r"\infty" if v > 0 else r"-\infty")
    mantissa, _, exponent = f"{v + 0:.3g}".partition("e")
    return mantissa if not exponent else rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def _gradients(gradients: list[Gradient]) -> list[str]:
    lines = []
    for g in gradients:
        paths = " + ".join(
            rf"{number(norm)}\ \text{{by \texttt{{{_name(name)}}}}}" for name, norm in g.paths
        )
        weight = number(g.weight)
        lines.append(
            rf"$\Bigl\| \dfrac{{\partial L}}{{\partial\,\texttt{{{_name(g.name)}}}}}\Bigr\| = "
            rf"{number(g.norm)}$\quad of $\|\theta\| = {weight}$; paths: ${paths or '0'}$"
        )
    return lines


def _equations(head: str, lines: list[str], names: frozenset[str]) -> list[str]:
    if not lines:
        return []
    return [rf"\textbf{{{head}}}\quad " + r"\\ ".join(f"${mathematics(x, names)}$" for x in lines)]


def _name(name: str) -> str:
    return name.replace("_", r"\_")
