"""Model files that are cut, damaged, or crafted to be refused.

The law: ``load`` gives a model that is as good as any, or a ValueError that begins with the file's
name. A cut file never loads. A file with a few other bytes is refused or gives the same model.
"""

from __future__ import annotations

import functools
import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

import tinyae as ta
from tinyae import archive, catalog
from tinyae.io import _classes as classes
from tinyae.io import _describe as describe

Json = Any
Arrays = dict[str, np.ndarray]


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


def flipped(rng: random.Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        start = rng.choice([0, 0, max(len(content) - 900, 0)])  # the end has a zip's directory
        damaged[rng.randrange(start, len(content))] = rng.randrange(256)
    return bytes(damaged)


# ---- headers and arrays --------------------------------------------------------------------------

VALUES: list[Json] = [
    None, True, False, 0, -1, 1, 2, 3, 64, 2**31, 2**63, 10**30, -(2**63), 0.5, -0.5, 1e308, 1e-320,
    "", "same", "x" * 1000, [], {}, [1], [[1]], [None], [0] * 5000, {"a": 1}, {"$float": "nan"},
    {"$float": "-inf"}, {"$float": "1e5"}, {"$tuple": []}, {"$tuple": [1, 2]}, {"$tuple": [-1] * 70},
    {"$tuple": [2**63] * 9000}, {"$ref": 0}, {"$ref": 1}, {"$ref": 2}, {"$ref": 99}, {"$ref": True},
    {"$ref": -1}, {"$array": "W"}, {"$array": "encoder.0.W"}, {"$array": "none"}, {"$generator": {}},
    {"$class": "ReLU", "$id": 400}, {"$class": "Sequential", "$id": 401, "layers": []},
    {"$class": "Dense", "$id": 402, "in_features": 2, "out_features": 2},
    {"$class": "MSE", "$id": 403}, {"$class": "os.system", "$id": 404}, "float64", "f2", "O", "V8",
    "S100000", "M8[s]",
]  # fmt: skip
KEYS = ["rng", "init", "dtype", "zzz", "W", "$id", "$ref", "self", "layers", "padding", "digests"]


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


def write(path: Path, description: Json, arrays: Arrays, with_digests: bool = False) -> None:
    text = json.dumps(description)
    if with_digests and isinstance(description, dict):
        text = archive._text(json.loads(text.replace("NaN", "0")), arrays)
    if path.suffix == ".safetensors":
        meta = {"tinyae": text, "crc32": str(archive._checksum(text, arrays))}
        path.write_bytes(archive._safetensors()[0].save(arrays, meta))
        return
    members = {"__header__": np.frombuffer(text.encode(), np.uint8), **arrays}
    write_members(path, [(f"{name}.npy", npy_bytes(a)) for name, a in members.items()])


def npy_bytes(a: np.ndarray) -> bytes:
    stream = io.BytesIO()
    npy.write_array(stream, a, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def write_members(path: Path, members: list[tuple[str, bytes]], compression: int = 0) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            with file.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                entry.write(content)


def judged(path: Path) -> str | None:
    """What is wrong with how a crafted file loads, if anything is."""
    back = load(path)
    if not isinstance(back, str):
        describe(back)
        if len(repr(back)) > 10**8:
            return "it loads as a model that cannot be shown"
    return None


def altered_json(rng: random.Random, tree: Json) -> Json:
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        places = [place for place in _places(tree) if place]
        if not places:
            return tree
        place = rng.choice(places)
        parent, key = _at(tree, place[:-1]), place[-1]
        value, how = parent[key], rng.random()
        if how < 0.5:
            parent[key] = json.loads(json.dumps(rng.choice(VALUES)))
        elif how < 0.65:
            del parent[key]
        elif how < 0.8:
            parent[key] = json.loads(json.dumps(_at(tree, rng.choice(places))))
        elif how < 0.9 and isinstance(parent, dict):
            parent[rng.choice(KEYS)] = json.loads(json.dumps(rng.choice(VALUES)))
        elif isinstance(value, (int, float)):
            parent[key] = value * rng.choice([-1, 0, 2, 1000, 10**9]) + rng.choice([-1, 0, 1])
        elif isinstance(value, str):
            parent[key] = rng.choice(sorted(classes()))
    return tree


def _places(tree: Json, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(tree, (dict, list)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _places(value, (*place, key))


def _at(tree: Json, place: tuple[Any, ...]) -> Json:
    for key in place:
        tree = tree[key]
    return tree


def altered_arrays(rng: random.Random, arrays: Arrays) -> Arrays:
    arrays = {name: np.array(a) for name, a in arrays.items()}
    if not arrays or rng.random() < 0.5:
        return arrays
    name = rng.choice(sorted(arrays))
    a, how = arrays[name], rng.randrange(9)
    if how == 0:
        del arrays[name]
    elif how == 1:
        arrays[name] = a.astype(rng.choice(["f8", "f2", "i4", "?", "u1", "i8"]))
    elif how == 2:
        arrays[name] = a.reshape(-1)
    elif how == 3:
        arrays[name] = a[..., None]
    elif how == 4:
        other = rng.choice(["x", "../../etc", "a" * 500, "\u202e", "encoder.", "T:x", ""])
        arrays[other] = a
    elif how == 5:
        other = rng.choice(sorted(arrays))
        arrays[name], arrays[other] = arrays[other], a
    elif how == 6:
        arrays[name] = np.zeros((2, 0, 10**9), a.dtype)
    elif how == 7:
        arrays[name] = a[:0] if a.ndim else a
    else:
        arrays[name] = np.ascontiguousarray(a.T)
    return arrays


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
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of two members of one name
        write_members(path, members, compression if how == 4 else zipfile.ZIP_STORED)
    back = load(path)
    if not isinstance(back, str) and numbers(back) != numbers(subject):
        return f"{subject!r:.60} loads as another model, from {members[i][0]!r}"
    return None


NPY_PARTS = [
    b"-" * 5000 + b"1", b"(" * 3000, b"1" * 60, b"10**12", b"0x7fffffffffff", b"1_000_000_000_000",
    b"(1000000000000,)", b"(1000000, 1000000)", b"(-1,)", b"()", b"(2,)", b"(0, 9223372036854775807)",
    b"'|O'", b"'<f2'", b"'<f16'", b"'V4'", b"'<c8'", b"[('a', '<f4')]", b"True", b"False", b"None",
]  # fmt: skip


def altered_npy(rng: random.Random, raw: bytes) -> bytes:
    """An .npy with another header: its descr, its order or its shape."""
    end = 10 + int.from_bytes(raw[8:10], "little")
    text, data = raw[10:end], raw[end:]
    parts = text.rstrip(b" ,}\n").replace(b"'descr': ", b"\0").replace(b"'fortran_order': ", b"\0")
    values = parts.replace(b"'shape': ", b"\0").split(b"\0")[1:]
    values = [value.rstrip(b", ") for value in values]
    values[rng.randrange(3)] = rng.choice(NPY_PARTS)
    text = b"{'descr': %s, 'fortran_order': %s, 'shape': %s, }" % tuple(values)
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return (
        b"\x93NUMPY"
        + rng.choice([b"\1\0"] * 5 + [b"\2\0", b"\7\7"])
        + len(text).to_bytes(2, "little")
        + text
        + data
    )
