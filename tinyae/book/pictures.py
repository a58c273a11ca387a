"""Pictures that the demos left in a folder, for the pages of the models that they show."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

from tinyae.book.address import Links
from tinyae.book.chapters import ROOT


def of_models(folder: Path | None) -> dict[str, list[Path]]:
    """The pictures in the folder by the model's name, as the family's table in README.md has it."""
    found: dict[str, list[Path]] = {}
    if folder is None:
        return found
    every = sorted(folder.glob("*.png"))
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("| ["):
            continue
        models = re.findall(r"`(\w+)`", line.split("|")[1])
        for demo in re.findall(r"demos/\d+_(\w+)\.py", line):
            words = demo.split("_")
            stems = tuple("_".join(words[i:]) for i in range(len(words)))
            for model in models:
                known = found.setdefault(model, [])
                known += [p for p in every if p.stem.startswith(stems) and p not in known]
    return found


def shown(pictures: list[Path], out: Path, links: Links) -> str:
    """The pictures, copied into the book, with their names."""
    figures = []
    for path in pictures:
        (out / "pictures").mkdir(exist_ok=True)
        shutil.copyfile(path, out / "pictures" / path.name)
        source = f"../pictures/{html.escape(path.name)}"
        name = html.escape(path.stem.replace("_", " "))
        figures.append(
            f'<figure class="picture"><img src="{source}" alt="{name}">'
            f"<figcaption>{name}</figcaption></figure>"
        )
    return "".join(figures)
