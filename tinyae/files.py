"""Files: the one way in which tinyae writes them, and what a path leads to before it is opened.

A file is written completely or not at all. The content goes into a temporary file in the same
folder, which takes the place of the old file in one step. Whoever reads the old file, even through
a memory map, goes on reading the old content.

On Linux the temporary file has no name until it is complete (``O_TMPFILE``), so a killed process
leaves nothing behind. Where the file system cannot do that, it is called ``.NAME.XXXXXXXX.part``
and its writer holds a lock on it. The next write to the same file deletes those that nobody has
locked. A lock ends with its process and, unlike a process number, is never given to another one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where a file that is open cannot be deleted
    fcntl = None  # type: ignore[assignment]

Path = str | os.PathLike[str]
Paths = dict[str, str | None]  # by the options that name them; None for one that is not given


# ---- before anything is opened -------------------------------------------------------------------


def kind(path: Path) -> str:
    """What a path leads to: "file", "folder", "pipe", "socket", "device" or "nothing"."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero byte in it
        return "nothing"
    for name, is_kind in (
        ("file", stat.S_ISREG),
        ("folder", stat.S_ISDIR),
        ("pipe", stat.S_ISFIFO),
        ("socket", stat.S_ISSOCK),
    ):
        if is_kind(mode):
            return name
    return "device"


def check_source(who: str, path: Path, expected: str) -> None:
    """Raise unless the path leads to a regular file: opening a pipe would wait for a writer.

    Raises
        TypeError           not a path
        FileNotFoundError   there is nothing
        ValueError          a folder, a pipe, a socket or a device
    """
    checked_path(who, path)
    found = kind(path)
    if found == "nothing":
        raise FileNotFoundError(f"{who}: there is no file {os.fsdecode(path)}; check the path")
    if found != "file":
        raise ValueError(f"{who}: {os.fsdecode(path)} is a {found}, expected {expected}; name it")


def check_target(who: str, path: Path) -> str:
    """The file that :func:`write` would create or replace, with links resolved.

    Call it before the work whose result is to be written.

    Raises
        TypeError           not a path
        ValueError          the path leads to a folder, a pipe, a socket or a device
        FileNotFoundError   the folder around it does not exist
        PermissionError     the file or its folder is write-protected
    """
    name = os.fsdecode(checked_path(who, path))
    if "\0" in name:
        raise ValueError(f"{who}: {name!r} holds a zero byte; pass the name of a file")
    target = os.path.realpath(name)
    found, folder = kind(target), os.path.dirname(target)
    if found == "folder":
        raise ValueError(f"{who}: {name} is a folder; pass the name of a file in it")
    if found not in ("file", "nothing"):
        raise ValueError(f"{who}: {name} is a {found}, expected a file; pass another name")
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"{who}: {name}: the folder {folder} does not exist; make it, or pass another path"
        )
    if found == "file" and not _is_writeable(target):
        advice = "allow writing, or pass another name"
        raise PermissionError(errno.EACCES, f"{who}: the file is write-protected; {advice}", name)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"{who}: its folder is write-protected", name)
    return target


def check_outputs(who: str, outputs: Paths, inputs: Paths) -> None:
    """Raise unless each output can be written and is neither an input nor another output.

    Raises
        ValueError   two names of one file, or an output that exists in a folder of inputs
        as :func:`check_target`
    """
    named = {option: path for option, path in inputs.items() if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        target = check_target(f"{who} {option}", path)
        for other, source in named.items():
            if _is_same(target, os.path.realpath(source)):
                is_ = "is a file in the folder of" if os.path.isdir(source) else "is the file of"
                raise ValueError(
                    f"{who}: {option} {path} {is_} {other} {source}; pass another name"
                )
        named[option] = path


def _is_same(target: str, source: str) -> bool:
    """Whether two paths lead to one file, or an existing target lies in the folder ``source``."""
    if not os.path.exists(target) or not os.path.exists(source):
        return target == source
    return os.path.samefile(target, source) or target.startswith(os.path.join(source, ""))


def checked_path(who: str, path: Path) -> Path:
    """The path, if it is one: to Python an integer is an open file's number.

    Raises
        TypeError   otherwise
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"{who}: {path!r} is not a path; pass the name of a file, e.g. 'model.npz'")
    return path


def _is_writeable(path: str) -> bool:
    # An administrator may write everything; a file without any permission to write is meant so.
    return bool(os.stat(path).st_mode & 0o222) and os.access(path, os.W_OK)


# ---- write ---------------------------------------------------------------------------------------


def write(who: str, path: Path, content: Callable[[BinaryIO], object]) -> None:
    """Create or replace the file at ``path`` with what ``content(file)`` writes.

    If that fails, the old file is as it was. A link stays a link. A file keeps its mode and, where
    that is allowed, its owner. ``who`` is for messages.

    Raises
        the errors of :func:`check_target`; OSError, with the file's name, where the system fails
    """
    target = check_target(who, path)
    try:
        with _temporary(target) as (file, part):
            content(file)
            file.flush()
            os.fsync(file.fileno())
            with _with_name(file.fileno(), part):
                if fcntl is None:
                    file.close()
                os.replace(part, target)
    except OSError as error:
        raise _named(error, who, path) from error


def write_text(who: str, path: Path, text: str) -> None:
    """:func:`write` for text, in UTF-8."""
    write(who, path, lambda file: file.write(text.encode()))


@contextlib.contextmanager
def _temporary(target: str) -> Iterator[tuple[BinaryIO, str]]:
    """A temporary file that is open for writing, and the name that it has or is to get."""
    folder, name = os.path.split(target)
    start = f".{name[:50]}."  # a name has at most 255 bytes, and a letter up to 4
    _delete_abandoned(folder, start)
    part = os.path.join(folder, f"{start}{os.urandom(4).hex()}.part")
    descriptor = _create(folder, part)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _copy_permissions(target, descriptor)
            yield file, part
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _create(folder: str, part: str) -> int:
    """A new file, open and locked: without a name where the system can, otherwise called part."""
    unnamed = getattr(os, "O_TMPFILE", None)
    if unnamed is not None and os.path.isdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # this file system cannot, or fails below and says why
            descriptor = os.open(folder, unnamed | os.O_RDWR, 0o666)
            _lock(descriptor)
            return descriptor
    return _create_named(part, 0o666)


def _create_named(part: str, mode: int) -> int:
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(part, flags, mode)
        _lock(descriptor)
        if os.fstat(descriptor).st_nlink:  # not taken for abandoned before it was locked
            return descriptor
        os.close(descriptor)


@contextlib.contextmanager
def _with_name(descriptor: int, part: str) -> Iterator[None]:
    """Give a complete file its name, if it has none. What has the name is locked within."""
    unnamed = f"/proc/self/fd/{descriptor}"
    try:
        if not os.path.exists(part):
            # A src_dir_fd, whatever it is, makes Python follow the link in /proc.
            os.link(unnamed, part, src_dir_fd=0, follow_symlinks=True)
    except PermissionError:  # some containers forbid such links
        import shutil  # imported here: it is seldom needed

        created = _create_named(part, 0o600)
        with open(unnamed, "rb") as source, os.fdopen(created, "wb") as copy:
            _copy_permissions(unnamed, created)
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(created)
            yield
    else:
        yield


def _lock(descriptor: int, wait: bool = True) -> bool:
    """Lock an open file; False if another process has locked it, or if it cannot be locked."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _copy_permissions(target: str, descriptor: int) -> None:
    """Give a file the mode of ``target`` and, if that is allowed, its owner."""
    with contextlib.suppress(FileNotFoundError, AttributeError):  # a new file; or Windows
        old, new = os.stat(target), os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, old.st_uid, old.st_gid)
        with contextlib.suppress(PermissionError):  # a file system without modes
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _delete_abandoned(folder: str, start: str) -> None:
    """Delete the temporary files of processes that were killed: nobody holds a lock on them."""
    length = len(start) + len("XXXXXXXX.part")
    names: list[str] = []
    with contextlib.suppress(PermissionError):  # a folder may be written without being read
        names = os.listdir(folder)
    for name in names:
        if not (name.startswith(start) and name.endswith(".part") and len(name) == length):
            continue
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            if fcntl is None:
                os.unlink(path)
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if _lock(descriptor, wait=False):
                    os.unlink(path)
            finally:
                os.close(descriptor)


def _named(error: OSError, who: str, path: Path) -> OSError:
    """The same error with the file's name."""
    text = f"{error.strerror or error}; {who} has written nothing"
    if error.errno is None:
        return OSError(f"{os.fsdecode(path)}: {text}")
    return OSError(error.errno, text, os.fsdecode(path))
