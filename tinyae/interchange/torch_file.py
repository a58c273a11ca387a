"""Read the tensors of a ``.pt`` file without PyTorch, and without trusting the file.

``torch.save`` writes an uncompressed zip: ``data.pkl``, a pickle of the dictionary, and the numbers of
each tensor as ``data/0``, ``data/1``, …. A pickle is a program. Here only the instructions that build
dictionaries, tuples and strings are run, and the only names that it may call are those of tensors; both
are checked before anything is run. Nothing in the file is imported.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np

from tinyae.archive import FileError
from tinyae.param import Array

_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
_LONGEST_PICKLE = 2**24  # bytes; what it builds takes some twenty times as much
# What a dictionary of tensors needs. Left out are those that make other objects, and LONG_BINPUT's
# like with an index beyond the number of instructions, for which the memo would grow.
_INSTRUCTIONS = frozenset(
    instruction
    for line in (
        "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE",
        "EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND APPENDS",
        "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 BININT BININT1 BININT2 LONG1 BINFLOAT",
        "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET",
        "GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID",
    )
    for instruction in line.split()
)


def read_torch(path: str | os.PathLike[str]) -> Any:
    """What was saved: dictionaries, in which tensors are arrays.

    float16 and bfloat16 become float32.

    Raises
        FileError  no zip of torch.save, damaged, or with more than tensors in it
    """
    try:
        if not zipfile.is_zipfile(path):
            raise FileError(
                "not a zip file, as torch.save has written since PyTorch 1.6, or cut short; save it "
                "again: torch.save(model.state_dict(), path)"
            )
        with zipfile.ZipFile(path) as archive:
            return _Reader(archive, os.path.getsize(path)).read()
    except (FileError, MemoryError):
        raise
    except Exception as error:  # zipfile and pickle raise many types for damaged files
        raise FileError(f"it is damaged, or no file of torch.save ({str(error)[:120]})") from error


class _Reader:
    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        entries = archive.infolist()
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries):
            raise FileError("its entries are compressed, which torch.save never does")
        if sum(e.file_size for e in entries) > size:
            raise FileError("it claims to hold more bytes than the file has; it is damaged")
        pickles = [e.filename for e in entries if e.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise FileError(
                "it has no data.pkl; pass a file of torch.save(model.state_dict(), path)"
            )
        self.archive, self.pickle = archive, pickles[0]
        self.folder = pickles[0].removesuffix("data.pkl")
        self.storages: dict[str, Array] = {}

    def read(self) -> Any:
        program = self.archive.read(self.pickle)
        _check_instructions(program)
        reader = _Unpickler(io.BytesIO(program))
        reader.storage_of = self.storage
        return reader.load()

    def storage(self, kind: str, key: str, count: int) -> Array:
        if key not in self.storages:
            content = self.archive.read(f"{self.folder}data/{key}")
            if kind not in _DTYPES or len(content) != count * np.dtype(_DTYPES[kind]).itemsize:
                raise FileError(
                    f"a tensor claims {count} numbers of {kind}, has {len(content)} bytes"
                )
            a = np.frombuffer(content, _DTYPES[kind])
            if kind == "BFloat16Storage":  # the upper half of a float32
                a = (a.astype(np.uint32) << 16).view(np.float32)
            self.storages[key] = a.astype(np.float32) if a.dtype == np.float16 else a
        return self.storages[key]


def _check_instructions(program: bytes) -> None:
    if len(program) > _LONGEST_PICKLE:
        raise FileError(f"its data.pkl has {len(program):,} bytes, expected ≤ {_LONGEST_PICKLE:,}")
    for k, (instruction, argument, _) in enumerate(pickletools.genops(program)):
        name = instruction.name
        if name not in _INSTRUCTIONS or (name == "LONG_BINPUT" and int(argument or 0) > k):
            raise FileError(
                f"its pickle has the instruction {name}, so it holds more than tensors; save the "
                "weights alone: torch.save(model.state_dict(), path)"
            )


class _StorageType:
    """A name such as FloatStorage: how the numbers of a tensor are stored."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Unpickler(pickle.Unpickler):
    storage_of: Any

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _parameter
        if module == "torch" and name in _DTYPES:
            return _StorageType(name)
        raise FileError(
            f"it asks for {module:.60}.{name:.60}, so it holds more than tensors; save the weights "
            "alone: torch.save(model.state_dict(), path)"
        )

    def persistent_load(self, pid: Any) -> Array:
        what, kind, key, _, count = pid
        if what != "storage" or not isinstance(kind, _StorageType) or not isinstance(key, str):
            raise FileError("it refers to something that is no tensor; save the state_dict alone")
        return self.storage_of(kind.name, key, count)


def _tensor(storage: Array, offset: int, shape: Any, strides: Any, *_: Any) -> Array:
    """A tensor as an array: ``shape`` numbers of a storage from ``offset``, ``strides`` apart."""
    if not isinstance(storage, np.ndarray) or len(shape) != len(strides) or len(shape) > 8:
        raise FileError("a tensor is described in a way that torch.save does not write")
    whole = all(type(n) is int and n >= 0 for n in (offset, *shape, *strides))
    if not whole or math.prod(shape) > storage.size:
        raise FileError(f"a tensor claims shape {str(shape)[:100]} of {storage.size} numbers")
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides))
    if last >= storage.size:
        raise FileError(f"a tensor reaches to number {last} of {storage.size}")
    steps = [s * storage.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps).copy()


def _parameter(data: Array, *_: Any) -> Array:
    return data
