"""The page of a file: its docstring as prose, and each definition with its own below its name."""

from __future__ import annotations

import ast
import html

from tinyae.book.address import Links
from tinyae.book.modules import Definition, Module
from tinyae.book.prose import prose, sentence
from tinyae.book.relations import exercises


def module_page(module: Module, links: Links) -> str:
    parts = [f'<p class="path"><code>tinyae/{module.path}</code></p>']
    if module.doc:
        parts.append(f'<div class="prose">{prose(module.doc, links)}</div>')
    if len(module.definitions) > 2:
        parts.append(_contents(module, links))
    first = 1
    for node in module.tree.body:
        last = node.end_lineno or node.lineno
        if _is_docstring(module, node):
            first = last + 1
            continue
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            parts.append(_definition(module, node, first, links))
        else:
            parts.append(_statement(module, node, first))
        first = last + 1
    return "\n".join(_joined(parts))


def _is_docstring(module: Module, node: ast.stmt) -> bool:
    return node is module.tree.body[0] and bool(module.doc)


def _contents(module: Module, links: Links) -> str:
    items = []
    for node in module.definitions:
        lesson = links.of_lesson(node.name)
        more = f' · <a href="{lesson}">its page</a>' if lesson and node.name in lesson else ""
        said = sentence(" ".join((ast.get_docstring(node) or "").split("\n\n")[0].split()), links)
        items.append(f'<li><a href="#{node.name}"><code>{node.name}</code></a>{more} {said}</li>')
    return f'<ul class="contents">{"".join(items)}</ul>'


def _statement(module: Module, node: ast.stmt, first: int) -> str:
    block = code(module, first, node.end_lineno or node.lineno)
    kind = "imports" if isinstance(node, (ast.Import, ast.ImportFrom)) else "code"
    return f"<!--{kind}-->{block}" if block else ""


def _joined(parts: list[str]) -> list[str]:
    """Statements that follow each other in one block, imports in one that opens when asked."""
    out: list[str] = []
    run: list[str] = []
    kind = ""

    def close() -> None:
        if run:
            block = f'<div class="code block">{"".join(run)}</div>'
            if kind == "imports":
                block = f'<details class="imports"><summary>imports</summary>{block}</details>'
            out.append(block)
            run.clear()

    for part in parts:
        this = "imports" if part.startswith("<!--imports-->") else "code"
        if not part.startswith("<!--"):
            close()
            out.append(part)
            kind = ""
            continue
        if this != kind:
            close()
        kind = this
        run.append(part.removeprefix(f"<!--{this}-->"))
    close()
    return out


def _definition(module: Module, node: Definition, first: int, links: Links) -> str:
    doc = ast.get_docstring(node)
    lesson = links.of_lesson(node.name) if isinstance(node, ast.ClassDef) else ""
    more = (
        f'<a class="lesson" href="{lesson}">its page: equation, spread, mistakes</a>'
        if lesson
        else ""
    )
    taught = [] if lesson else exercises(node.name) if isinstance(node, ast.ClassDef) else []
    for entry in taught:
        if href := links.of_lesson(entry.id):
            title = f"exercise {entry.number}: {html.escape(entry.exercise.title)}"
            more += f'<a class="lesson" href="{href}">{title}</a>'
    kind = "class" if isinstance(node, ast.ClassDef) else "function"
    parts = [f"<h2><small>{kind}</small> {node.name}</h2>{more}"]
    skipped: tuple[int, int] | None = None
    if doc:
        shown = node.body[0]
        skipped = shown.lineno, shown.end_lineno or shown.lineno
        parts.append(f'<div class="prose">{prose(doc, links)}</div>')
    ids = {}
    if isinstance(node, ast.ClassDef):
        ids = {
            n.lineno: f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)
        }
    parts.append(
        f'<div class="code block">{code(module, first, node.end_lineno or 0, skipped, ids)}</div>'
    )
    return f'<section id="{node.name}">{"".join(parts)}</section>'


def code(
    module: Module,
    first: int,
    last: int,
    skipped: tuple[int, int] | None = None,
    ids: dict[int, str] | None = None,
) -> str:
    """The lines from first to last in HTML, without blank ones at either end."""
    text, used = module.text, set()
    while first <= last and not text[first - 1].strip():
        first += 1
    out = []
    for number in range(first, last + 1):
        if skipped and skipped[0] <= number <= skipped[1]:
            continue
        name = (ids or {}).get(number, "")
        anchor = f' id="{name}"' if name and name not in used else ""
        used.add(name)
        shown = module.lines[number - 1] or " "
        out.append(f'<div class="l" data-n="{number}"{anchor}><code>{shown}</code></div>')
    return "".join(out)
