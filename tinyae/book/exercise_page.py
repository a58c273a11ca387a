"""The page of an exercise: its task, the file that the learner gets, hints to be opened."""

from __future__ import annotations

import ast
import html

from tinyae.book.address import Links
from tinyae.book.lesson import program
from tinyae.book.prose import prose
from tinyae.learn.track import Entry


def exercise_page(entry: Entry, links: Links) -> str:
    start = entry.start()
    tree = ast.parse(start)
    doc = ast.get_docstring(tree) or ""
    rest = "\n".join(start.splitlines()[tree.body[0].end_lineno or 0 :]).strip("\n") + "\n"
    _, _, text = doc.partition("\n")
    number = f"{entry.number:02d}"
    hints = "".join(
        f"<details><summary>Hint {i}</summary><p>{html.escape(hint)}</p></details>"
        for i, hint in enumerate(entry.exercise.hints, 1)
    )
    out = [f'<p class="path"><code>tinyae learn start {number}</code></p>']
    if entry.exercise.task:
        out.append(f"<p>{html.escape(entry.exercise.task)}.</p>")
    out.append(f'<div class="prose">{prose(text, links)}</div>{program(rest)}{hints}')
    solution = links.to(links.addresses.pages.get(f"learn/solutions/{entry.id}.py"))
    if solution:
        out.append(
            f'<details><summary>A solution</summary><p>It has <a href="{solution}">its own page</a>. '
            f"Try <code>tinyae learn check {number}</code> first.</p></details>"
        )
    return "\n".join(out)
