"""The index of the search box: a script that holds every page, definition and method."""

from __future__ import annotations

import ast
import json
import re

from tinyae.book.address import Links, Target
from tinyae.book.plan import Page
from tinyae.book.shelf import Shelf

_MARKS = re.compile(r"(?::\w+:)?`{1,2}~?([^`]*)`{1,2}")


def index(shelf: Shelf, pages: list[Page]) -> str:
    """``INDEX``: [name, kind, address from the book's folder, text] of everything."""
    top = Links(shelf.addresses, "")
    entries: list[tuple[str, str, str, str]] = []
    for page in pages:
        entries.append((page.title, page.kind, page.path, _about(shelf, page)))
        if page.kind == "file":
            entries += _definitions(shelf, page, top)
    body = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    return f"const INDEX = [\n{body}\n];\n"


def _about(shelf: Shelf, page: Page) -> str:
    if page.kind == "file":
        return _text(shelf.module(page.subject).doc)
    if page.kind == "chapter":
        return _text(page.subject.text)
    if page.kind == "exercise":
        return _text(ast.get_docstring(ast.parse(page.subject.start())) or "")
    return _text(page.subject.__doc__ or "")


def _definitions(shelf: Shelf, page: Page, top: Links) -> list[tuple[str, str, str, str]]:
    found = []
    module = shelf.module(page.subject)
    for node in module.definitions:
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        href = top.to(Target(page.path, node.name))
        lesson = shelf.addresses.lessons.get(node.name)
        text = "" if lesson and kind == "class" else _text(ast.get_docstring(node) or "")
        found.append((node.name, kind, href, text))
        if kind == "class":
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    name = f"{node.name}.{inner.name}"
                    text = _text(ast.get_docstring(inner) or "")
                    found.append((name, "method", top.to(Target(page.path, name)), text))
    return found


def _text(doc: str) -> str:
    return " ".join(_MARKS.sub(r"\1", doc).split())
