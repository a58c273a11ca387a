"""Compiled code on disk, from process to process, wherever a folder can hold it.

Numba looks for a folder once: ``NUMBA_CACHE_DIR``, then beside the source, then the user's cache
folder. If it finds none, if the disk is full, or if a file is damaged, it raises an error. Here such
a folder is left for the next one, and a folder of one's own among the temporary files is tried
last. Without any, the code is compiled in memory. The first of these events gives a warning.

Each file ends in a digest of its contents. A damaged file is therefore noticed before it is read: its
machine code would otherwise run, and what it unpickles to could be anything.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import stat
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

from numba.core import caching
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    NullCache,
)


def _locator(name: str) -> Any:
    """A class of Numba's that finds a folder; its name began with an underscore up to 0.61."""
    return getattr(caching, name, None) or getattr(caching, f"_{name}")


UserProvided, InTree, UserWide = (
    _locator(f"{name}CacheLocator") for name in ("UserProvided", "InTree", "UserWide")
)
_DIGEST_SIZE = hashlib.sha256().digest_size
_unusable: set[str] = set()  # folders that failed
_warned = False


def keep_on_disk(compiled: Any, function: Callable[..., Any]) -> Any:
    """Load and save what is compiled of ``function``, as ``cache=True`` of Numba would."""
    compiled._cache = _DiskCache(function)
    return compiled


class _DiskCache(NullCache):
    """Numba's interface of a cache. No error of a file or a folder leaves it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.cache = self._next_folder("there is none that can be written")

    @property
    def cache_path(self) -> str | None:
        return self.cache.cache_path

    def load_overload(self, signature: Any, target: Any) -> Any:
        try:
            return self.cache.load_overload(signature, target)
        except Exception as error:  # unpickling a damaged file may raise anything
            try:
                self.cache.flush()  # what is compiled now will be saved in its place
            except OSError:
                self._leave_folder(error)
            else:
                _warn(f"files in {self.cache_path} are damaged and are made anew", error)
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        while self.cache_path is not None:
            try:
                self.cache.save_overload(signature, result)
                return
            except OSError as error:
                self._leave_folder(error)
            except Exception as error:  # the code itself cannot be written, in no folder
                _warn(f"{self.function.__qualname__} cannot be saved and stays in memory", error)
                return

    def flush(self) -> None:
        self.cache.flush()

    def _leave_folder(self, error: Exception) -> None:
        folder = self.cache.cache_path
        _unusable.add(folder)
        self.cache = self._next_folder(f"{folder} cannot be used", error)

    def _next_folder(self, reason: str, error: Exception | None = None) -> Any:
        for locator in _LOCATORS:
            try:
                folder = _Folder(self.function, locator)
            except (RuntimeError, OSError):  # not set, or not to be written
                continue
            if folder.cache_path not in _unusable:
                if error is not None:
                    _warn(f"{reason}, {folder.cache_path} is used instead", error)
                return folder
        _warn(f"{reason}, so every process compiles anew; set NUMBA_CACHE_DIR to a folder", error)
        return NullCache()


def _warn(what: str, error: Exception | None) -> None:
    """Only once: the same happens to all functions."""
    global _warned
    if not _warned:
        _warned = True
        because = "" if error is None else f" ({type(error).__name__}: {error})"
        warnings.warn(f"the cache of compiled code: {what}{because}", stacklevel=2)


class _Folder(FunctionCache):
    """Numba's cache of one function in the folder of one locator, with sealed files."""

    def __init__(self, function: Callable[..., Any], locator: type) -> None:
        only = {"_locator_classes": [locator]}
        self._impl_class = type("_Impl", (CompileResultCacheImpl,), only)
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        name = f"{self._impl.filename_base}-sealed"
        self._cache_file = _SealedFiles(self._cache_path, name, stamp)


class _SealedFiles(IndexDataCacheFile):
    """Files that end in the digest of what Numba writes, which is compared before pickle reads."""

    def _dump(self, value: Any) -> bytes:
        data = super()._dump(value)
        return data + hashlib.sha256(data).digest()

    def _load_index(self) -> dict[Any, str]:
        version = pickle.dumps(self._version, protocol=-1)  # precedes what is sealed
        try:
            with open(self._index_path, "rb") as file:
                if file.read(len(version)) != version:
                    return {}  # another version's: it will be overwritten
                stamp, overloads = pickle.loads(_check_seal(file))
        except FileNotFoundError:
            return {}
        return overloads if stamp == self._source_stamp else {}

    def _load_data(self, name: str) -> Any:
        with open(self._data_path(name), "rb") as file:
            return pickle.loads(_check_seal(file))


def _check_seal(file: io.BufferedReader) -> bytes:
    """The rest of the file without its digest.

    Raises
        ValueError  it is not what was written
    """
    sealed = file.read()
    data, digest = sealed[:-_DIGEST_SIZE], sealed[-_DIGEST_SIZE:]
    if hashlib.sha256(data).digest() != digest:
        raise ValueError(f"the contents of {file.name} do not have their digest")
    return data


class _TemporaryFolder(UserWide):  # type: ignore[misc, valid-type]
    """A folder among the temporary files. What others may write is not used: it would be run."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        user = os.getuid() if hasattr(os, "getuid") else "user"
        self._own = os.path.join(tempfile.gettempdir(), f"tinyae-{user}")
        self._cache_path = os.path.join(self._own, self.get_suitable_cache_subpath(file))

    def ensure_cache_path(self) -> None:
        os.makedirs(self._own, 0o700, exist_ok=True)
        found = os.lstat(self._own)
        others = stat.S_IRWXG | stat.S_IRWXO
        if hasattr(os, "getuid") and (
            not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & others
        ):
            raise PermissionError(f"{self._own} belongs to others as well")
        super().ensure_cache_path()


_LOCATORS = (UserProvided, InTree, UserWide, _TemporaryFolder)
