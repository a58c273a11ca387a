"""The table of contents: which pages there are, in which order, and the addresses on them."""

from __future__ import annotations

import ast
import importlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tinyae import catalog
from tinyae.book.address import Target
from tinyae.book.chapters import Chapter, chapters
from tinyae.book.modules import file_of
from tinyae.book.relations import rows_by_class
from tinyae.book.shelf import Shelf
from tinyae.explanation.docstring_sections import parse
from tinyae.layers import Layer
from tinyae.learn.track import TRACK, Entry
from tinyae.losses import Loss
from tinyae.models import Model

KINDS = {"layer": Layer, "loss": Loss}  # of classes with a page; others are models


@dataclass
class Page:
    """``subject`` is a chapter, the path of a file, a class with its row, or an exercise."""

    path: str
    kind: str  # "chapter", "file", "layer", "loss", "model" or "exercise"
    number: str
    title: str
    subject: Any
    chapter: Chapter
    row: Any = None


def plan(shelf: Shelf, only: Collection[str] | None = None) -> list[Page]:
    """Every page in its order; with ``only``, those of these files. Fills the shelf's addresses.

    Raises
        ValueError  ``only`` names a file that is not in the package
    """
    order = chapters()
    known = [path for chapter in order for path in chapter.files]
    for path in only or ():
        if path not in known:
            raise ValueError(f"book: there is no file {path} in tinyae; pass e.g. layers/dense.py")
    lessons = _lessons()
    pages: list[Page] = []
    for chapter in order:
        chapter.files = [p for p in chapter.files if only is None or p in only]
        if not chapter.files:
            continue
        name = f"chapter/{chapter.number:02d}.html"
        pages.append(Page(name, "chapter", str(chapter.number), chapter.title, chapter, chapter))
        for i, path in enumerate(chapter.files, 1):
            pages += _of_file(path, chapter, f"{chapter.number}.{i}", lessons)
        if any(path.startswith("learn/exercises/") for path in chapter.files):
            pages += [_of_exercise(entry, chapter) for entry in TRACK if _wanted(entry, only)]
    _register(shelf, pages)
    return pages


def _wanted(entry: Entry, only: Collection[str] | None) -> bool:
    return only is None or f"learn/exercises/{entry.name}.py" in only


def page_of(path: str) -> str:
    """The page of a file: layers/dense.py → source/layers/dense.html"""
    return f"source/{path.removesuffix('.py')}.html"


def _of_file(path: str, chapter: Chapter, number: str, lessons: dict[str, Any]) -> list[Page]:
    found = [Page(page_of(path), "file", number, path, path, chapter)]
    for i, (cls, row) in enumerate(lessons.get(path, ()), 1):
        kind = next((name for name, of in KINDS.items() if issubclass(cls, of)), "model")
        name = f"{kind}/{cls.__name__}.html"
        found.append(Page(name, kind, f"{number}.{i}", cls.__name__, cls, chapter, row))
    return found


def _of_exercise(entry: Entry, chapter: Chapter) -> Page:
    title = entry.exercise.title
    number = f"exercise {entry.number}"
    return Page(f"exercise/{entry.id}.html", "exercise", number, title, entry, chapter)


def _lessons() -> dict[str, list[tuple[type, Any]]]:
    """The classes that have a page of their own, by file and in its order, with catalog rows."""
    rows = rows_by_class((*catalog.LAYERS, *catalog.LOSSES, *catalog.MODELS))
    found: dict[str, list[tuple[type, Any]]] = {}
    for path in {file_of(cls.__module__) for cls in rows} | {"models/gan.py", "models/stacked.py"}:
        module: Any = importlib.import_module(
            f"tinyae.{path.removesuffix('.py').replace('/', '.')}"
        )
        for cls in vars(module).values():
            if not isinstance(cls, type) or cls.__module__ != module.__name__:
                continue
            taught = issubclass(cls, (Layer, Model)) and not cls.__name__.startswith("_")
            if cls in rows or (taught and "Forward" in parse(cls.__doc__)):
                found.setdefault(path, []).append((cls, rows.get(cls)))
    return found


def _register(shelf: Shelf, pages: list[Page]) -> None:
    a = shelf.addresses
    files = [page.subject for page in pages if page.kind == "file"]
    counts: Counter[str] = Counter()
    for path in files:
        where = page_of(path)
        a.pages[path] = Target(where)
        for node in shelf.module(path).definitions:
            a.names[path, node.name] = Target(where, node.name)
            counts[node.name] += 1
            a.public.setdefault(node.name, Target(where, node.name))
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        anchor = f"{node.name}.{inner.name}"
                        a.names[path, anchor] = Target(where, anchor)
    for name, n in counts.items():
        if n > 1 or name.startswith("_"):
            del a.public[name]
    for entry in pages:
        if entry.kind in ("layer", "loss", "model"):
            a.lessons[entry.title] = Target(entry.path)
        elif entry.kind == "exercise":
            a.lessons[entry.subject.id] = Target(entry.path)
        elif entry.kind == "chapter":
            a.lessons[f"chapter {entry.number}"] = Target(entry.path)
