"""Model files that are cut, damaged, or crafted to be refused.

The law: ``load`` gives a model that is as good as any, or a ValueError that begins with the file's
name. A cut file never loads. A file with a few other bytes is refused or gives the same model.
"""

from __future__ import annotations

import functools
import io
import json
import random
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import tinyae as ta
from benchmarks.attacks.crafting import (
    Json,
    altered_arrays,
    altered_json,
    altered_npy,
    flipped,
    write,
    write_members,
)
from tinyae import archive, catalog
from tinyae.io.describe import describe


@functools.cache
def models() -> list[Any]:
    """One small object of each row of the catalog that can be saved."""
    found = []
    for row in (*catalog.LAYERS, *catalog.MODELS):
        rng = np.random.default_rng(0)
        subject, _ = row.draw(lambda low, high: min(max(low, 2), high), rng)
        if not isinstance(subject, ta.models.gan.Player):  # half a game, which no file holds
            found.append(subject.astype(np.float32))
    return found


@functools.cache
def contents(suffix: str) -> list[tuple[bytes, Any]]:
    """Each of these as a file, and the object."""
    found = []
    for subject in models():
        header, arrays, _ = describe(subject)
        if suffix == "safetensors":
            content = archive.to_safetensors(header, arrays)
        else:
            stream = io.BytesIO()
            archive.to_npz(stream, header, arrays)
            content = stream.getvalue()
        found.append((content, subject))
    return found


def suffixes() -> list[str]:
    try:
        import safetensors  # noqa: F401
    except ModuleNotFoundError:
        return ["npz"]
    return ["npz", "npz", "safetensors"]


def load(path: Path) -> Any:
    """The model, or the text of the error.

    Raises
        AssertionError   for a ValueError that does not name the file; any other error passes
    """
    try:
        return ta.load(path)
    except ValueError as error:
        text = str(error)
        assert text.startswith(f"load: {path}: "), f"does not name the file: {text[:200]}"
        assert len(text) < 3000, f"an error of {len(text)} characters"
        return text


def numbers(module: Any) -> dict[str, bytes]:
    arrays = {name: p.value for name, p in module.params.items()} | module.state
    return {name: a.dtype.str.encode() + a.tobytes() for name, a in arrays.items()}


# ---- bytes ---------------------------------------------------------------------------------------


def cut(rng: random.Random, folder: Path) -> str | None:
    """The first bytes of a file."""
    suffix = rng.choice(suffixes())
    content, subject = rng.choice(contents(suffix))
    path = folder / f"cut.{suffix}"
    size = rng.randrange(len(content))
    path.write_bytes(content[:size])
    if not isinstance(load(path), str):
        return f"{subject!r:.60} of {len(content)} bytes loads when cut after {size}"
    return None


def flip(rng: random.Random, folder: Path) -> str | None:
    """A file with one to four other bytes."""
    suffix = rng.choice(suffixes())
    content, subject = rng.choice(contents(suffix))
    path = folder / f"flip.{suffix}"
    path.write_bytes(flipped(rng, content))
    back = load(path)
    if not isinstance(back, str) and (
        repr(back) != repr(subject) or numbers(back) != numbers(subject)
    ):
        return f"{subject!r:.60} loads as {back!r:.60}, another model"
    return None


# ---- headers and arrays --------------------------------------------------------------------------


def header(rng: random.Random, folder: Path) -> str | None:
    """A well-formed file whose description or arrays were altered."""
    suffix = rng.choice(suffixes())
    subject = rng.choice(models())
    description, arrays, _ = describe(subject)
    path = folder / f"header.{suffix}"
    with_digests = rng.random() < 0.3  # of the arrays as they are
    altered = altered_json(rng, description)
    arrays = altered_arrays(rng, arrays)
    write(path, altered, arrays, with_digests)
    return judged(path)


def bomb(rng: random.Random, folder: Path) -> str | None:
    """Objects that refer to each other, so that their number or depth grows with each level."""
    number = iter(range(10**9))

    def new(name: str, **arguments: Json) -> Json:
        return {"$class": name, "$id": next(number), **arguments}

    tree = rng.choice([lambda: new("ReLU"), lambda: new("Dense", in_features=2, out_features=2)])()
    parts = [tree]
    for _ in range(rng.randrange(1, 70)):
        last = {"$ref": parts[-1]["$id"]}
        kind = rng.choice(
            ["Residual", "Sequential", "Sequential", "Parallel", "Autoencoder", "GAN"]
        )
        if kind == "Residual":
            parts.append(new(kind, layer=last))
        elif kind in ("Sequential", "Parallel"):
            name = "layers" if kind == "Sequential" else "branches"
            parts.append(new(kind, **{name: [last] * rng.choice([1, 2, 2, 3, 50, 2000])}))
        elif rng.random() < 0.1:  # a wrong part, which the error describes
            parts.append(new(kind, encoder=last, decoder=last, loss=last))
    write(folder / "bomb.npz", wrapped(new("Sequential", layers=parts)), {}, True)
    return judged(folder / "bomb.npz")


def wrapped(architecture: Json) -> Json:
    return {"format": 1, "tinyae": "0.1.0", "architecture": architecture, "aliases": {}}


def judged(path: Path) -> str | None:
    """What is wrong with how a crafted file loads, if anything is."""
    back = load(path)
    if not isinstance(back, str):
        describe(back)
        if len(repr(back)) > 10**8:
            return "it loads as a model that cannot be shown"
    return None


# ---- members -------------------------------------------------------------------------------------


def swap(rng: random.Random, folder: Path) -> str | None:
    """Two arrays of one shape under each other's name."""
    subject = rng.choice(models())
    description, arrays, _ = describe(subject)
    kinds: dict[Any, list[str]] = {}
    for name, a in arrays.items():
        kinds.setdefault((a.shape, a.dtype), []).append(name)
    pairs = [group for group in kinds.values() if len(group) > 1]
    if not pairs:
        return None
    one, two = rng.sample(rng.choice(pairs), 2)
    if arrays[one].tobytes() == arrays[two].tobytes():
        return None
    full = json.loads(archive._text(description, arrays))
    arrays[one], arrays[two] = arrays[two], arrays[one]
    write(folder / "swap.npz", full, arrays)
    if not isinstance(load(folder / "swap.npz"), str):
        return f"{subject!r:.60} loads with {one} and {two} exchanged"
    return None


def member(rng: random.Random, folder: Path) -> str | None:
    """A zip whose members were renamed, doubled, compressed, or have other headers."""
    content, subject = rng.choice(contents("npz"))
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = [(name, file.read(name)) for name in file.namelist()]
    i = rng.randrange(len(members))
    name, raw = members[i]
    how = rng.randrange(5)
    if how == 0:
        other = rng.choice(
            [name.removesuffix(".npy"), name, f"{name}.npy", name.upper(), "a\0.npy"]
        )
        members.append((other, raw))
    elif how == 1:
        members[i] = rng.choice([name.removesuffix(".npy"), "", "/", "__header__.npy"]), raw
    elif how == 2:
        members[i] = name, altered_npy(rng, raw)
    elif how == 3:
        members[i] = name, raw[: rng.randrange(len(raw))]
    path = folder / "member.npz"
    compression = rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of two members of one name
        write_members(path, members, compression if how == 4 else zipfile.ZIP_STORED)
    back = load(path)
    if not isinstance(back, str) and numbers(back) != numbers(subject):
        return f"{subject!r:.60} loads as another model, from {members[i][0]!r}"
    return None
