"""The equations of a class, read from its docstring, so that they are written once.

The docstring's heads are Forward, Backward, Shapes, …; an activation gives f and f′ on its first
line, and the Backward that all activations share stands at the head of their file.
"""

from __future__ import annotations

import inspect
import re
import sys

HEADS = (
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
_HEAD = re.compile(rf"^ *({'|'.join(HEADS)}) {{2,}}(\S.*)$")
_ROLE = re.compile(r"(?::\w+:)?`{1,2}~?([^`]*)`{1,2}")  # :class:`MSE`, ``x``
Lines = dict[str, list[str]]


def parse(doc: str | None) -> Lines:
    """Each head and its lines; what is indented as far as the first goes on with it."""
    found: Lines = {}
    current: list[str] | None = None
    column = 0
    for line in _ROLE.sub(r"\1", inspect.cleandoc(doc or "")).splitlines():
        head = _HEAD.match(line)
        if head and head[1] not in found:
            current, column = found.setdefault(head[1], [head[2]]), head.start(2)
        elif current is not None and line.strip() and not line[:column].strip():
            current.append(line[column:])
        else:
            current = None
    return found


def heads(cls: type) -> Lines:
    """The heads of a class. What it does not say its bases say, and else the heads of their files."""
    found: Lines = {}
    first = _first_line(cls)
    slopes: list[str] = []
    if first.startswith("f = "):
        f, *slopes = re.split(r" {3,}", first)
        found["Forward"] = [f"y = f(x)   {f}"]
    own = [c for c in cls.__mro__ if c is not object]
    files = dict.fromkeys(c.__module__ for c in own)
    docs = [c.__dict__.get("__doc__") for c in own]
    docs += [getattr(sys.modules.get(name), "__doc__", None) for name in files]
    for doc in docs:
        for head, lines in parse(doc).items():
            found.setdefault(head, lines)
    if slopes and "Backward" in found:
        found["Backward"] = [f"{found['Backward'][0]}   {slopes[0]}", *found["Backward"][1:]]
    return found


def words(cls: type) -> str:
    """What the class is, in a sentence; "" where its first line is an equation."""
    first = _first_line(cls)
    return "" if first.startswith("f = ") else first


def pieces(lines: list[str], *symbols: str) -> list[str]:
    """The equations of a docstring that say what these symbols are: y = …, also y[n,o,i,j] = …"""
    each = [piece.strip(" ;,") for line in lines for piece in re.split(r" {3,}", line)]
    said = [re.match(r"([^\s\[]+)(\[.*?\])? \+?= ", piece) for piece in each]
    return [piece for piece, m in zip(each, said) if m and m[1] in symbols]


def _first_line(cls: type) -> str:
    doc = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    return _ROLE.sub(r"\1", doc.splitlines()[0].strip()) if doc else ""
