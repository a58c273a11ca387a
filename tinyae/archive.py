"""File formats: arrays and a JSON header as ``.npz`` or ``.safetensors``.

Files need not be trusted: pickles and compression are rejected, every count and size is bounded
before anything is allocated, and the header holds a digest of each array with its name, so that
arrays that were damaged or exchanged are noticed. :mod:`tinyae.files` writes the files.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import re
import types
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from tinyae import files
from tinyae.param import Array

_HEADER = "__header__"  # the header's name in an npz
_LONGEST_HEADER = 2**24  # bytes; JSON takes about 20 times as much memory as its text
_LONGEST_INTEGER = 1000  # digits; reading n of them takes n² steps
_MAX_NDIM = 32  # NumPy's limit before version 2

Json = Any


class FileError(ValueError):
    """A file is invalid; ``load`` adds its name to the message.

    What the message quotes of the file may hold anything, such as the escape codes of a terminal:
    they are shown, not sent.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in message))


class Written(NamedTuple):
    """What a file is expected to be, and what to do where it is not, in the words of a message."""

    what: str
    source: str
    again: str


MODEL = Written("a model that tinyae saved", "a file from model.save", "save the model again")
CHECKPOINT = Written(
    "a checkpoint", "a file that fit(…, checkpoint=…) wrote", "begin the training again"
)

# ---- npz -----------------------------------------------------------------------------------------


def to_npz(file: BinaryIO, header: Json, arrays: dict[str, Array]) -> None:
    text = _text(header, arrays)
    import zipfile  # imported here: it would be a quarter of the time of `import tinyae`

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, a in {_HEADER: np.frombuffer(text.encode(), np.uint8), **arrays}.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                npy.write_array(entry, np.asanyarray(a), version=(1, 0), allow_pickle=False)


def from_npz(
    path: str | os.PathLike[str], expected: Written = MODEL
) -> tuple[Json, dict[str, Array]]:
    """The header and the arrays of a file. Compare them with :func:`check_digests`."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise FileError(f"the file is empty; {expected.again}")
        if file.read(2) != b"PK":
            raise FileError(f"not an npz archive, so not {expected.what}; pass {expected.source}")
        try:
            arrays = _unzip(file, size)
        except (FileError, MemoryError):
            raise
        except Exception as error:  # zipfile raises many types of error for damaged files
            raise FileError(
                f"the file is damaged or cut short ({str(error)[:120]}); "
                f"copy it again from where it came, or {expected.again}"
            ) from error
    text = arrays.pop(_HEADER, None)
    if text is None:
        raise FileError(
            f"an npz archive of {', '.join(sorted(arrays)[:5])[:120] or 'nothing'}, without "
            f"tinyae's header; pass {expected.source} (np.load reads other archives)"
        )
    return _parse(text.tobytes()), arrays


def _unzip(file: BinaryIO, size: int) -> dict[str, Array]:
    import zipfile

    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = [entry.filename.removesuffix(".npy") for entry in entries]
        if len(set(names)) != len(names):
            raise FileError("an array is stored twice under one name; it was altered")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise FileError("its arrays are compressed, which tinyae never does; it was altered")
        if sum(entry.file_size for entry in entries) > size:
            raise FileError("it claims to hold more bytes than the file has; it is damaged")
        return {name: _array(archive.read(entry)) for name, entry in zip(names, entries)}


_NPY_START = b"\x93NUMPY\x01\x00"  # the magic string and version 1.0
_NPY_HEADER = (
    rb"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,20}, ?)*(?:\d{1,20})?)\), \} *\n"
)
_PLAIN_NUMBERS = rb"[<>|=](b1|[iu][1248]|f[248])"


def _array(content: bytes) -> Array:
    """An array from the bytes of an .npy file, whose header must state the right size.

    NumPy evaluates that header as Python, which a hostile one turns into much work. Here it must
    have the one form in which NumPy writes it.
    """
    if not content.startswith(_NPY_START):
        raise FileError("a member is no array in NumPy's format 1.0")
    start = 10 + int.from_bytes(content[8:10], "little")
    header = re.fullmatch(_NPY_HEADER, content[10:start])
    descr = header[1] if header else b"of another kind"
    if header is None or not re.fullmatch(_PLAIN_NUMBERS, descr):
        raise FileError(
            f"an array has dtype {descr.decode('ascii', 'replace')}, expected plain numbers "
            "(pickles are refused)"
        )
    shape = tuple(int(n) for n in header[3].replace(b",", b" ").split())
    dtype, held = np.dtype(descr.decode()), len(content) - start
    if len(shape) > _MAX_NDIM or math.prod(shape) * dtype.itemsize != held:
        raise FileError(f"an array claims shape {str(shape)[:200]}, but has {held} bytes")
    flat = np.frombuffer(content, dtype, offset=start).astype(dtype.newbyteorder("="), copy=False)
    return flat.reshape(shape, order="F" if header[2] == b"True" else "C")


def to_npy(file: BinaryIO, array: Array) -> None:
    """Write an array as .npy.

    Given a file of the system, NumPy writes through C, and does not notice when a small array no
    longer fits on the disk. So it is given only ``write``.
    """
    npy.write_array(types.SimpleNamespace(write=file.write), array, allow_pickle=False)


def read_npy(who: str, path: str | os.PathLike[str]) -> Array:
    """The array of an .npy file, memory-mapped: NumPy compares its size with the file's.

    Raises
        FileNotFoundError   no such file
        ValueError          it cannot be read as one; the message names it
    """
    files.check_source(who, path, "an .npy file")
    with reading(who, path, ".npy"):
        # As a plain array: copies of slices of a memmap would still have the type memmap.
        return np.asarray(npy.open_memmap(path, mode="r"))


@contextlib.contextmanager
def reading(who: str, path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Turn what NumPy and zipfile raise on a damaged file into a ValueError.

    NumPy evaluates a header as Python, which may end in any error.

    Raises
        ValueError  the file is damaged, or claims more than fits into memory
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = (str(error) or type(error).__name__)[:200]
        name = os.fsdecode(path)
        raise ValueError(f"{who}: {name} is not a readable {kind} file ({reason})") from error


def check_members(path: str | os.PathLike[str]) -> None:
    """Raise unless the members of any npz have the sizes that they claim to have.

    ``np.load`` believes them, and allocates what they claim.

    Raises
        FileError   a member claims more than it holds, or more than can come out of its bytes
    """
    import zipfile

    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FileError(f"{entry.filename:.60} is compressed in a way NumPy does not use")
            if entry.file_size > _MAX_DEFLATE * entry.compress_size:
                raise FileError(f"{entry.filename:.60} claims more bytes than it can hold")
            with archive.open(entry) as member:
                if member.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
                    continue
                major, minor = member.read(2)
                length = int.from_bytes(member.read(2 if major == 1 else 4), "little")
                if (major, minor) not in ((1, 0), (2, 0), (3, 0)) or length > _LONGEST_NPY_HEADER:
                    raise FileError(f"{entry.filename:.60} has a header that NumPy does not write")
                if _claimed_size(member.read(length)) > entry.file_size:
                    raise FileError(f"{entry.filename:.60} claims more numbers than it holds")


_MAX_DEFLATE = 1032  # times; zlib's documentation, "Maximum Compression Factor"
_LONGEST_NPY_HEADER = 10_000  # bytes, as NumPy
_NPY_SHAPE = rb"['\"]shape['\"]\s*:\s*\(([\d\s,]*)\)"


def _claimed_size(header: bytes) -> int:
    """How many entries an .npy header claims."""
    shape = re.search(_NPY_SHAPE, header)
    sizes = shape[1].replace(b",", b" ").split() if shape else []
    if shape is None or len(sizes) > 2 * _MAX_NDIM or any(len(n) > 20 for n in sizes):
        raise FileError("an array has a header that states no shape; save it again")
    return math.prod(map(int, sizes))


# ---- safetensors ---------------------------------------------------------------------------------


def is_safetensors(path: str | os.PathLike[str]) -> bool:
    return os.fsdecode(path).endswith(".safetensors")


def check_format(path: str | os.PathLike[str]) -> None:
    """Raise unless files of this suffix can be written.

    Raises
        ModuleNotFoundError   a .safetensors path without that package
    """
    if is_safetensors(path):
        _safetensors()


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors.numpy"), importlib.import_module("safetensors")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a .safetensors file needs the package safetensors, which is not installed; "
            "run pip install safetensors, or use a path that ends in .npz"
        ) from error


def to_safetensors(header: Json, arrays: dict[str, Array]) -> bytes:
    text = _text(header, arrays)
    plain = {
        name: np.ascontiguousarray(a, a.dtype.newbyteorder("=")).reshape(a.shape)
        for name, a in arrays.items()
    }
    meta = {"tinyae": text, "crc32": str(_checksum(text, plain))}
    return _safetensors()[0].save(plain, meta)


def safetensors_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of any safetensors file, by name."""
    return _read_safetensors(path)[1]


def _read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Array]]:
    package = _safetensors()[1]
    if os.path.getsize(path) == 0:
        raise FileError("the file is empty; save the model again")
    try:
        with package.safe_open(path, framework="numpy") as file:
            meta = file.metadata() or {}
            return meta, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except MemoryError:
        raise
    except Exception as error:
        raise FileError(
            f"not a safetensors file, or damaged ({str(error)[:120]}); "
            "copy it again from where it came, or save the model again"
        ) from error


def from_safetensors(path: str | os.PathLike[str]) -> tuple[Json, dict[str, Array]]:
    """The header and the arrays of a file. Compare them with :func:`check_digests`."""
    meta, arrays = _read_safetensors(path)
    if "tinyae" not in meta:
        raise FileError("a safetensors file without tinyae's header; pass one from model.save")
    if meta.get("crc32") != str(_checksum(meta["tinyae"], arrays)):
        raise FileError("the file is damaged: its checksum is wrong; save the model again")
    for name, a in arrays.items():
        if a.dtype.kind not in "biuf" or a.dtype.itemsize > 8:
            raise FileError(f"{name:.60} has dtype {a.dtype}, expected plain numbers")
    return _parse(meta["tinyae"].encode()), arrays


def _checksum(text: str, arrays: dict[str, Array]) -> int:
    """A checksum of header and arrays: safetensors, unlike zip, does not include one."""
    crc = zlib.crc32(text.encode())
    for name in sorted(arrays):
        a = arrays[name]
        crc = zlib.crc32(f"{name} {a.dtype.str} {a.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(a).tobytes(), crc)
    return crc


# ---- the header ----------------------------------------------------------------------------------


def _text(header: Json, arrays: dict[str, Array]) -> str:
    digests = {name: _digest(name, a) for name, a in arrays.items()}
    return json.dumps(header | {"digests": digests}, allow_nan=False)


def _parse(text: bytes) -> Json:
    if len(text) > _LONGEST_HEADER:
        raise FileError(f"its header has {len(text):,} bytes, expected ≤ {_LONGEST_HEADER:,}")
    try:
        return json.loads(
            text, parse_int=_integer, parse_constant=_no_constant, object_pairs_hook=_object
        )
    except (ValueError, RecursionError) as error:
        raise FileError(f"its header is not JSON ({str(error)[:80]}); save it again") from error


def _object(pairs: list[tuple[str, Json]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has two fields of one name")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not part of JSON")


def check_digests(header: Json, arrays: dict[str, Array], expected: Written = MODEL) -> None:
    """Raise unless the arrays are those that were written, each under its own name.

    Files of version 0.1.0 have no digests, and are not compared.

    Raises
        FileError   an array was altered, or stands under another's name
    """
    if not isinstance(header, dict) or header.get("digests") is None:
        return
    digests = header["digests"]
    if not isinstance(digests, dict):
        raise FileError(f"its table of digests is no table; it was altered, {expected.again}")
    altered = [name for name, a in arrays.items() if digests.get(name) != _digest(name, a)]
    if altered:
        raise FileError(
            f"{', '.join(sorted(altered)[:5])[:200]}: not what was saved under this name; "
            f"the file is damaged or was altered, {expected.again}"
        )


def _digest(name: str, a: Array) -> str:
    """A digest of an array's name, dtype, shape and numbers, whatever its memory order."""
    import hashlib  # imported here, like zipfile

    digest = hashlib.blake2b(f"{name} {a.dtype.str[1:]} {a.shape} ".encode(), digest_size=16)
    flat = np.ascontiguousarray(a, a.dtype.newbyteorder("<")).reshape(-1)
    digest.update(flat.view(np.uint8).data)
    return digest.hexdigest()
