"""The chapters: the reading order in the docstring of ``tinyae``, and where each file belongs.

A chapter names files and folders. A file belongs to the entry that names it most exactly: by its
path, or by the innermost folder around it. A file that no entry names is with its neighbours, in the
last chapter that names a file of the same folder; so every file of the package has its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import tinyae

ROOT = Path(tinyae.__file__).parent

# What a chapter is called, by the first path that it names.
TITLES = {
    "layers/base.py": "The contract",
    "layers/dense.py": "Affine maps",
    "layers/activation.py": "Activations",
    "layers/compose.py": "The chain rule",
    "models/autoencoder.py": "The autoencoder",
    "losses.py": "Losses",
    "param.py": "Parameters, and how they begin",
    "optim.py": "Optimizers",
    "training/loop.py": "The training loop",
    "gradcheck/numeric.py": "Gradient checks",
    "models/denoising.py": "Denoising, sparse, contractive, stacked",
    "likelihoods.py": "Variational autoencoders",
    "models/gan.py": "Two players, and the rest of the family",
    "layers/convolution.py": "Convolution",
    "layers/norm.py": "Normalisation, pooling, tokens",
    "models/unet.py": "Beside the hourglass",
    "twin.py": "Faster twins",
    "kernels/reference.py": "Kernels",
    "program/": "A model as a program",
    "gradcheck/doctor/": "The doctors",
    "learn/": "Exercises",
    "data/": "The world outside",
}


@dataclass
class Chapter:
    """``number`` and ``text`` are those of the reading order; ``files`` are paths below tinyae/."""

    number: int
    title: str
    text: str
    named: list[str]
    files: list[str] = field(default_factory=list)


def chapters() -> list[Chapter]:
    """Every chapter with its files: the named ones first, in the order in which they are named."""
    found = _entries(tinyae.__doc__ or "")
    place = {path: chapter for chapter in found for path in chapter.named}
    for path in package_files():
        if path not in place:
            _home(path, found).files.append(path)
    for chapter in found:
        named = [path for path in chapter.named if not path.endswith("/")]
        rest = sorted((_rank(path, chapter.named), path) for path in chapter.files)
        chapter.files = named + [path for _, path in rest]
    return found


def package_files() -> list[str]:
    """The path of every Python file below tinyae/."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def _rank(path: str, named: list[str]) -> tuple[int, str, bool]:
    """By the folders that a chapter names, in its order; a package before its modules."""
    folder, _, name = path.rpartition("/")
    inside = [i for i, p in enumerate(named) if p.endswith("/") and path.startswith(p)]
    return min(inside, default=-1), folder, name != "__init__.py"


def _entries(doc: str) -> list[Chapter]:
    """The numbered entries of a reading order, each with the paths that it names."""
    found = []
    for entry in re.split(r"^ ?(?=\d+\. ``)", doc, flags=re.MULTILINE)[1:]:
        number, _, text = entry.partition(". ")
        named: list[str] = []
        for path in re.findall(r"``([\w/]+(?:\.py|/))``", text):
            named.append(_located(path, named))
        text = re.sub(r"(?<![,;:])\n +(?=``)", "; ", text)  # entries on lines of their own
        title = TITLES.get(named[0], named[0])
        found.append(Chapter(int(number), title, " ".join(text.split()), named))
    return found


def _located(path: str, before: list[str]) -> str:
    """A path below tinyae/; a name alone is near the one that was named before, if it is there."""
    folder = before[-1].rpartition("/")[0] if before else ""
    while folder:
        if (ROOT / folder / path).exists():
            return f"{folder}/{path}"
        folder = folder.rpartition("/")[0]
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"the reading order of tinyae names {path}, which does not exist")
    return path


def _home(path: str, every: list[Chapter]) -> Chapter:
    folder = path
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        for chapter in every:
            if f"{folder}/" in chapter.named:
                return chapter
        inside = [c for c in every if any(p.rpartition("/")[0] == folder for p in c.named)]
        if inside:
            return inside[-1]
    return every[-1]
