"""Every page, written into a folder."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Collection
from pathlib import Path

import tinyae
from tinyae import files, kernels
from tinyae.book import pictures as demo_pictures
from tinyae.book.address import Links, Target
from tinyae.book.chapters import Chapter
from tinyae.book.exercise_page import exercise_page
from tinyae.book.lesson import layer_page, loss_page, model_page
from tinyae.book.module_page import module_page
from tinyae.book.plan import Page, page_of, plan
from tinyae.book.prose import sentence
from tinyae.book.quality import figures_of
from tinyae.book.relations import users
from tinyae.book.search import index
from tinyae.book.shelf import Shelf
from tinyae.progress import quiet, work

HERE = Path(__file__).parent
ASSETS = ("style.css", "search.js")


def write_book(
    folder: str | Path,
    *,
    only: Collection[str] | None = None,
    pictures: str | Path | None = None,
    progress: bool = False,
) -> list[Path]:
    """Write the book into a folder, which is made if it does not exist; returns its pages.

    only        paths of files, such as layers/dense.py: a book of these alone
    pictures    a folder with pictures of the demos, which are copied into the models' pages
    progress    shows a bar on stderr

    Raises
        ValueError         ``only`` names a file that is not in the package
        FileNotFoundError  there is no folder ``pictures``
    """
    out = Path(folder)
    source = None if pictures is None else Path(pictures)
    if source is not None and not source.is_dir():
        raise FileNotFoundError(
            f"book: there is no folder {source}; pass one with pictures of demos"
        )
    shelf = Shelf()
    pages = plan(shelf, only)
    of_models = demo_pictures.of_models(source)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with kernels.use("numpy"):  # what is read is what runs
        used_by, lessons = users(), _lessons(pages)
        with quiet(not progress), work("book", len(pages), "page") as w:
            for i, page in enumerate(w.over(pages)):
                links = shelf.addresses.links(page.path)
                shelf.seen_from(page.path, list(shelf.modules))
                body = _body(shelf, page, links, used_by, out, of_models, lessons)
                around = pages[i - 1] if i else None, pages[i + 1] if i + 1 < len(pages) else None
                written.append(_write(out / page.path, _shell(page, body, links, *around)))
    written.append(_write(out / "index.html", _front(pages, Links(shelf.addresses, "index.html"))))
    _write(out / "index.js", index(shelf, pages))
    for name in ASSETS:
        _write(out / name, (HERE / name).read_text(encoding="utf-8"))
    return written


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text("book", path, text)
    return path


def _body(
    shelf: Shelf,
    page: Page,
    links: Links,
    used_by: dict[type, list[str]],
    out: Path,
    pictures: dict[str, list[Path]],
    lessons: dict[str, list[Page]],
) -> str:
    if page.kind == "chapter":
        return _chapter(shelf, page, links, lessons)
    if page.kind == "file":
        return module_page(shelf.module(page.subject), links)
    if page.kind == "layer":
        return layer_page(shelf, page, links, used_by)
    if page.kind == "loss":
        return loss_page(shelf, page, links)
    if page.kind == "model":
        shown = demo_pictures.shown(pictures.get(page.title, []), out, links)
        return model_page(shelf, page, links, shown, figures_of(page.title))
    return exercise_page(page.subject, links)


def _lessons(pages: list[Page]) -> dict[str, list[Page]]:
    """The pages of classes by the file that has them."""
    found: dict[str, list[Page]] = {}
    path = ""
    for page in pages:
        if page.kind == "file":
            path = page.subject
        elif page.kind in ("layer", "loss", "model"):
            found.setdefault(path, []).append(page)
    return found


def _chapter(shelf: Shelf, page: Page, links: Links, lessons: dict[str, list[Page]]) -> str:
    chapter = page.subject
    rows = []
    for i, path in enumerate(chapter.files, 1):
        doc = shelf.module(path).doc.split("\n\n")[0]
        said = f"<p>{sentence(' '.join(doc.split()), links)}</p>" if doc else ""
        href = links.to(Target(page_of(path)))
        inside = " · ".join(
            f'<a href="{links.to(Target(p.path))}">{p.title}</a>' for p in lessons.get(path, ())
        )
        rows.append(
            f'<li><span class="number">{chapter.number}.{i}</span> <a href="{href}">'
            f"<code>{path}</code></a>{said}{f'<p>{inside}</p>' if inside else ''}</li>"
        )
    text = _named_paths(chapter, links)
    return f'<p class="lead">{text}</p><ol class="sections">{"".join(rows)}</ol>'


def _named_paths(chapter: Chapter, links: Links) -> str:
    """The text of the reading order, in which each path leads to its page."""
    paths, out = iter(chapter.named), []
    for part in re.split(r"(``[\w/]+(?:\.py|/)``)", chapter.text):
        if not re.fullmatch(r"``[\w/]+(?:\.py|/)``", part):
            out.append(sentence(part, links))
            continue
        path = next(paths)
        first = f"{path}__init__.py" if path.endswith("/") else path
        href = links.to(links.addresses.pages.get(first))
        code = f"<code>{part.strip('`')}</code>"
        out.append(f'<a href="{href}">{code}</a>' if href else code)
    return "".join(out)


def _front(pages: list[Page], links: Links) -> str:
    chapters: dict[int, list[Page]] = {}
    for page in pages:
        chapters.setdefault(page.chapter.number, []).append(page)
    rows = []
    for number, inside in chapters.items():
        chapter = inside[0].chapter
        named = [p for p in inside if p.kind in ("layer", "loss", "model", "exercise")]
        shown = " · ".join(f'<a href="{p.path}">{html.escape(p.title)}</a>' for p in named)
        n = sum(p.kind == "file" for p in inside)
        count = f"{n} file{'s' * (n != 1)}"
        rows.append(
            f'<li><span class="number">{number}</span><div><h2><a href="{inside[0].path}">'
            f"{html.escape(chapter.title)}</a> <small>{count}</small></h2><p>{shown}</p></div></li>"
        )
    said = (tinyae.__doc__ or "").splitlines()[0].partition(": ")[2]
    first = f'<p class="lead">{html.escape(said[:1].upper() + said[1:])}</p>'
    about = (
        "<p>This is the source of the library, to be read. Every page is made from it: equations "
        "from the docstrings, values, gradients and diagnoses from the code beside them, which ran "
        "when the book was made.</p>"
    )
    body = (
        f'<div class="front"><h1>tinyae<small>the source as a book</small></h1>{first}{about}</div>'
    )
    body += (
        f'<ol class="book">{"".join(rows)}</ol><p class="edition">tinyae {tinyae.__version__}</p>'
    )
    return _document("tinyae, the book", body, "", links, "front")


def _shell(page: Page, body: str, links: Links, before: Page | None, after: Page | None) -> str:
    top = links.to(Target(f"chapter/{page.chapter.number:02d}.html"))
    name = f"{page.chapter.number} · {html.escape(page.chapter.title)}"
    trail = f'<a href="{top}">{name}</a>' if top else f"<span>{name}</span>"
    number = page.number if page.kind != "chapter" else f"Chapter {page.number}"
    title = html.escape(page.title)
    main = (
        f'<header class="title"><span class="number">{number}</span><h1>{title}</h1></header>{body}'
    )
    turn = []
    for other, way, arrow in ((before, "prev", "←"), (after, "next", "→")):
        if other is None:
            turn.append("<span></span>")
            continue
        place = f"{arrow} {other.number}" if way == "prev" else f"{other.number} {arrow}"
        shown = f"<small>{place}</small>{html.escape(other.title)}"
        turn.append(
            f'<a rel="{way}" class="{way}" href="{links.to(Target(other.path))}">{shown}</a>'
        )
    main += f'<nav class="turn">{"".join(turn)}</nav>'
    return _document(f"{page.title} · tinyae", main, trail, links, page.kind)


def _document(title: str, body: str, trail: str, links: Links, kind: str) -> str:
    up = posixpath.relpath(".", posixpath.dirname(links.page) or ".")
    up = "" if up == "." else f"{up}/"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(title)}</title>
<link rel="stylesheet" href="{up}style.css">
<script defer src="{up}index.js"></script>
<script defer src="{up}search.js" data-up="{up}"></script>
</head>
<body class="{kind}">
<header class="bar">
<a class="home" href="{up}index.html">tinyae</a>
<nav>{trail}</nav>
<div class="search" role="search">
<input type="search" placeholder="Search  /" aria-label="Search the book"
autocomplete="off" spellcheck="false">
<ol hidden></ol>
</div>
</header>
<main>
{body}
</main>
</body>
</html>
"""
