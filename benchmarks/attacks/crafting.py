"""How hostile files are made: bytes changed, fields and arrays replaced, archives put together."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from tinyae import archive
from tinyae.io.classes import classes

Json = Any
Arrays = dict[str, np.ndarray]


def flipped(rng: random.Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        start = rng.choice([0, 0, max(len(content) - 900, 0)])  # the end has a zip's directory
        damaged[rng.randrange(start, len(content))] = rng.randrange(256)
    return bytes(damaged)


# ---- descriptions and arrays

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


# ---- archives


def write(path: Path, description: Json, arrays: Arrays, with_digests: bool = False) -> None:
    text = json.dumps(description)
    if with_digests and isinstance(description, dict):
        text = archive._text(json.loads(text, parse_constant=lambda name: 0), arrays)
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
