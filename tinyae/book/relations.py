"""What belongs together: the exercises that teach a layer, the models and layers that use it."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np

from tinyae import catalog
from tinyae.layers import Layer
from tinyae.learn.track import TRACK, Entry


def drawn(row: Any, seed: int = 0) -> Any:
    """A row of the catalog, as the book's examples draw it: (layer, x), or (loss, y, target)."""
    rng = np.random.default_rng(seed)
    return row.draw(catalog.integers_from(rng, least=2), rng)


def rows_by_class(rows: tuple[Any, ...]) -> dict[type, Any]:
    """The first row of each class in the catalog."""
    found: dict[type, Any] = {}
    for row in rows:
        found.setdefault(type(drawn(row)[0]), row)
    return found


def parts(module: Any) -> set[type]:
    """The classes of all layers inside a layer or a model."""
    found: set[type] = set()
    for part in module.children.values():
        if isinstance(part, Layer):
            found.add(type(part))
        found |= parts(part)
    return found


def users() -> dict[type, list[str]]:
    """For each layer's class the names of the catalog's models and layers that have it inside."""
    found: dict[type, list[str]] = defaultdict(list)
    for row in (*catalog.MODELS, *catalog.LAYERS):
        whole = drawn(row)[0]
        name = type(whole).__name__
        for part in parts(whole):
            if name not in found[part] and part is not type(whole):
                found[part].append(name)
    return found


def exercises(name: str) -> list[Entry]:
    """The exercises whose title or task names a class: ConvTranspose2d, tied weights, leaky ReLU."""
    kind = re.sub(r"[12]d$", "", name)
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", kind)
    if kind.endswith("ReLU"):
        words = [w for w in (kind.removesuffix("ReLU"), "ReLU") if w]
    found = []
    for entry in TRACK:
        about = f"{entry.name} {entry.exercise.title}".lower().replace("_", " ")
        if _named(words, about):
            found.append(entry)
    return found


_SAME = {
    "conv": r"\bconv(olution|2d)?\b",
    "transpose": r"transpose",
    "pool": r"\bpool(ing)?\b",
    "norm": r"\bnorm(alisation)?\b",
    "avg": r"\baverage|\bavg",
    "max": r"\bmax\b",
    "upsample": r"\bupsampl",
    "kl": r"\bkl\b",
    "autoencoder": r"\bautoencoder",
    "variational": r"\bvae\b|\bvariational",
    "gan": r"\bgan\b",
}


def _named(words: list[str], about: str) -> bool:
    """Whether a text names what the words of a class's name say."""
    patterns = [_SAME.get(w.lower(), rf"\b{w.lower()}\b") for w in words]
    if [w.lower() for w in words] == ["conv"] and "transpose" in about:
        return False
    if len(words) == 2 and words[1].lower() in ("autoencoder", "dense", "player"):
        patterns = patterns[:1]  # the penalty of a contractive one, weights that are tied
    if [w.lower() for w in words] == ["autoencoder"] and re.search("denois|sparse|contract", about):
        return False
    return all(re.search(pattern, about) for pattern in patterns)
