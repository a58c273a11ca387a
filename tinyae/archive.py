"""File formats: arrays and a JSON header as ``.npz`` or ``.safetensors``.

A file is written completely or not at all. Files need not be trusted: pickles and compression are
rejected, and every stated size is checked against the file's size before anything is allocated.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
import os
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib import format as npy

from tinyae.param import Array

_HEADER = "__header__"  # the header's name in an npz

Json = Any


class FileError(ValueError):
    """A file is invalid; ``load`` adds its name to the message."""


def write_atomically(target: str, write: Callable[[Any], Any]) -> None:
    """Replace ``target`` with what ``write`` writes; if that fails, leave it unchanged."""
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(4).hex()}.part")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def to_npz(file: Any, header: Json, arrays: dict[str, Array]) -> None:
    text = json.dumps(header, allow_nan=False).encode()
    import zipfile  # imported here: it would be a quarter of the time of `import tinyae`

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, a in {_HEADER: np.frombuffer(text, np.uint8), **arrays}.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                npy.write_array(entry, np.asanyarray(a), version=(1, 0), allow_pickle=False)


def from_npz(path: str | os.PathLike[str]) -> tuple[Json, dict[str, Array]]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise FileError("the file is empty; save the model again")
        if file.read(2) != b"PK":
            raise FileError(
                "not an npz archive, so not a model that tinyae saved; pass a file from model.save"
            )
        try:
            arrays = _unzip(file, size)
        except (FileError, MemoryError):
            raise
        except Exception as error:  # zipfile raises many types of error for damaged files
            raise FileError(
                f"the file is damaged or cut short ({str(error)[:120]}); "
                "copy it again from where it came, or save the model again"
            ) from error
    text = arrays.pop(_HEADER, None)
    if text is None:
        raise FileError(
            f"an npz archive of {', '.join(sorted(arrays)[:5])[:120] or 'nothing'}, without "
            "tinyae's header; pass a file from model.save (np.load reads other archives)"
        )
    return _parse(text.tobytes()), arrays


def _unzip(file: Any, size: int) -> dict[str, Array]:
    import zipfile

    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len({entry.filename for entry in entries}) != len(entries):
            raise FileError("an array is stored twice under one name; save the model again")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise FileError("its arrays are compressed, which tinyae never does; save it again")
        if sum(entry.file_size for entry in entries) > size:
            raise FileError("it claims to hold more bytes than the file has; it is damaged")
        return {
            entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries
        }


def _array(content: bytes) -> Array:
    """An array from the bytes of an .npy file, whose header must state the right size."""
    stream = io.BytesIO(content)
    if npy.read_magic(stream) != (1, 0):
        raise FileError("an array is in another version of NumPy's format than 1.0")
    shape, fortran, dtype = npy.read_array_header_1_0(stream)
    if dtype.hasobject or dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise FileError(f"an array has dtype {dtype}, expected plain numbers (pickles are refused)")
    start = stream.tell()
    if math.prod(shape) * dtype.itemsize != len(content) - start or min(shape, default=0) < 0:
        raise FileError(f"an array claims shape {shape}, but has {len(content) - start} bytes")
    flat = np.frombuffer(content, dtype, offset=start).astype(dtype.newbyteorder("="), copy=False)
    return flat.reshape(shape, order="F" if fortran else "C")


def _parse(text: bytes) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"its header is not JSON ({str(error)[:80]}); save it again") from error


def is_safetensors(path: str | os.PathLike[str]) -> bool:
    return os.fspath(path).endswith(".safetensors")


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors.numpy"), importlib.import_module("safetensors")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a .safetensors file needs the package safetensors, which is not installed; "
            "run pip install safetensors, or use a path that ends in .npz"
        ) from error


def to_safetensors(header: Json, arrays: dict[str, Array]) -> bytes:
    text = json.dumps(header, allow_nan=False)
    plain = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    meta = {"tinyae": text, "crc32": str(_checksum(text, plain))}
    return _safetensors()[0].save(plain, meta)


def from_safetensors(path: str | os.PathLike[str]) -> tuple[Json, dict[str, Array]]:
    package = _safetensors()[1]
    if os.path.getsize(path) == 0:
        raise FileError("the file is empty; save the model again")
    try:
        with package.safe_open(path, framework="numpy") as file:
            meta = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise FileError(
            f"not a safetensors file, or damaged ({str(error)[:120]}); "
            "copy it again from where it came, or save the model again"
        ) from error
    if "tinyae" not in meta:
        raise FileError("a safetensors file without tinyae's header; pass one from model.save")
    if meta.get("crc32") != str(_checksum(meta["tinyae"], arrays)):
        raise FileError("the file is damaged: its checksum is wrong; save the model again")
    return _parse(meta["tinyae"].encode()), arrays


def _checksum(text: str, arrays: dict[str, Array]) -> int:
    """A checksum of header and arrays: safetensors, unlike zip, does not include one."""
    crc = zlib.crc32(text.encode())
    for name in sorted(arrays):
        a = arrays[name]
        crc = zlib.crc32(f"{name} {a.dtype.str} {a.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(a).tobytes(), crc)
    return crc
