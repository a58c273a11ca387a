"""The sections of a class's docstring: Forward, Backward, Shapes, … So equations are written once.

An activation gives f and f′ on the first line of its docstring; the Backward that all activations
share is in the docstring of their file.
"""

from __future__ import annotations

import inspect
import re
import sys

SECTIONS = (
    "Forward",
    "Calling",
    "Shapes",
    "Backward",
    "Tangent",
    "Cache",
    "Units",
    "Raises",
    "Source",
)
_HEADING = re.compile(rf"^ *({'|'.join(SECTIONS)}) {{2,}}(\S.*)$")
_ROLE = re.compile(r"(?::\w+:)?`{1,2}~?([^`]*)`{1,2}")  # :class:`MSE`, ``x``
Lines = dict[str, list[str]]


def parse(doc: str | None) -> Lines:
    """Each section's lines; a line that is indented as far as the section's text continues it."""
    found: Lines = {}
    current: list[str] | None = None
    column = 0
    for line in _ROLE.sub(r"\1", inspect.cleandoc(doc or "")).splitlines():
        heading = _HEADING.match(line)
        if heading and heading[1] not in found:
            current, column = found.setdefault(heading[1], [heading[2]]), heading.start(2)
        elif current is not None and line.strip() and not line[:column].strip():
            current.append(line[column:])
        else:
            current = None
    return found


def sections(cls: type) -> Lines:
    """The sections of a class; those that it lacks come from its bases, or from their files."""
    found: Lines = {}
    f, slope = _function_and_slope(cls)
    if f:
        found["Forward"] = ["   ".join(["y = f(x)", *f])]
    own = [c for c in cls.__mro__ if c is not object]
    files = dict.fromkeys(c.__module__ for c in own)
    docs = [c.__dict__.get("__doc__") for c in own]
    docs += [getattr(sys.modules.get(name), "__doc__", None) for name in files]
    for doc in docs:
        for heading, lines in parse(doc).items():
            found.setdefault(heading, lines)
    if slope and "Backward" in found:
        found["Backward"] = [f"{found['Backward'][0]}   {slope}", *found["Backward"][1:]]
    return found


def _function_and_slope(cls: type) -> tuple[list[str], str]:
    """An activation's f, with what it is made of, and its f′; nothing for any other class."""
    first = _first_line(cls)
    if not first.startswith("f = "):
        return [], ""
    doc = _ROLE.sub(r"\1", inspect.cleandoc(cls.__doc__ or ""))
    slopes = re.findall(r"(?:^|   )(f′ = .*?)(?=   |$)", doc, re.MULTILINE)
    f = [part for part in re.split(r" {3,}", first) if not re.match("f[′″]", part)]
    return f, slopes[0] if slopes else ""


def summary(cls: type) -> str:
    """The first sentence of the docstring; "" if that line is an equation."""
    first = _first_line(cls)
    return "" if first.startswith("f = ") else first


def equations_for(lines: list[str], *symbols: str) -> list[str]:
    """Those equations of a section whose left-hand side is one of the symbols: y = …, y[n,o] = …"""
    every = [part.strip(" ;,") for line in lines for part in re.split(r" {3,}", line)]
    left = [re.match(r"([^\s\[]+)(\[.*?\])? \+?= ", equation) for equation in every]
    return [equation for equation, m in zip(every, left) if m and m[1] in symbols]


def _first_line(cls: type) -> str:
    doc = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    return _ROLE.sub(r"\1", doc.splitlines()[0].strip()) if doc else ""
