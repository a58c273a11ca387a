"""Files are written completely or not at all, by one writer, and never where they should not."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyae as ta
from tinyae import files
from tinyae.cli import main

resource = pytest.importorskip("resource", reason="limits of POSIX")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes, pipes and devices of POSIX")


@pytest.fixture(params=["unnamed", "named", "without links"])
def temporary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of temporary files."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif request.param == "without links":

        def link(*_: object, **__: object) -> None:
            raise PermissionError(errno.EPERM, "not here")

        monkeypatch.setattr(os, "link", link)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def say(text: bytes) -> Callable[[Any], object]:
    return lambda file: file.write(text)


# --- write ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("temporary")
def test_a_new_file_and_a_second_version(tmp_path: Path) -> None:
    path, umask = tmp_path / "a", os.umask(0o027)
    try:
        files.write("test", path, say(b"one"))
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with path.open("rb") as reader:
        files.write("test", path, say(b"two"))
        assert reader.read() == b"one"
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o777])
def test_the_mode_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.touch()
    path.chmod(mode)
    seen = []

    def content(file: Any) -> None:  # nobody else may read a secret while it is written
        seen.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))

    files.write("test", path, content)
    assert [stat.S_IMODE(path.stat().st_mode), *seen] == [mode, mode]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    os.chown(path, 12345, 54321)
    files.write("test", path, say(b"x"))
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    "failure", [OSError(errno.EIO, "broken disk"), KeyboardInterrupt(), KeyError()]
)
def test_a_failure_leaves_the_old_file(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def content(file: Any) -> None:
        file.write(b"new")
        raise failure

    with pytest.raises(type(failure)) as caught:
        files.write("test", path, content)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]
    if isinstance(failure, OSError):
        assert caught.value.errno == errno.EIO  # type: ignore[attr-defined]
        assert f"broken disk; test has written nothing: '{path}'" in str(caught.value)


@pytest.mark.usefixtures("temporary")
def test_another_writer_deletes_no_file_that_is_about_to_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "a", os.replace

    def replace(part: str, target: str) -> None:
        files._delete_abandoned(str(tmp_path), ".a.")  # as each writer does first
        rename(part, target)

    monkeypatch.setattr(os, "replace", replace)
    files.write("test", path, say(b"new"))
    assert path.read_bytes() == b"new"


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may become longer than ``size``, which to the writer is like a full disk."""
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("model") / "m.npz")
    rng = np.random.default_rng(0)
    ta.VariationalAutoencoder(*ta.dense_variational([6], [4, 2], rng=rng)).save(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> str:
    np.save(tmp_path / "d.npy", np.random.default_rng(0).random((900, 6), np.float32))
    return str(tmp_path / "d.npy")


VERBS = {  # each with the option that names a file to be written
    "train": (["train", "--data", "DATA", "--units", "2", "--epochs", "1", "--quiet"], "--out"),
    "checkpoint": (
        ["train", "--data", "DATA", "--units", "2", "--epochs", "1", "--quiet", "--out", "NEW"],
        "--checkpoint",
    ),
    "reconstruct": (["reconstruct", "MODEL", "--data", "DATA"], "--out"),
    "reconstruct, drawn": (["reconstruct", "MODEL", "--data", "DATA", "--out", "NEW"], "--picture"),
    "encode": (["encode", "MODEL", "--data", "DATA"], "--out"),
    "decode": (["decode", "MODEL", "--codes", "CODES"], "--out"),
    "sample": (["sample", "MODEL", "--n", "2000"], "--out"),
    "show": (["data", "show", "DATA"], "--out"),
    "explain": (["explain", "MODEL", "--data", "DATA"], "--latex"),
}


def command(verb: str, tmp_path: Path, model: str, data: str, target: str) -> list[str]:
    argv, option = VERBS[verb]
    np.save(tmp_path / "codes.npy", np.zeros((3000, 2), np.float32))
    found = {"MODEL": model, "DATA": data, "CODES": str(tmp_path / "codes.npy")}
    found["NEW"] = str(tmp_path / "new.npz")
    return [*(found.get(word, word) for word in argv), option, target]


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_leaves_the_old_file_and_is_named(
    verb: str, tmp_path: Path, model: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "old.png"
    path.write_bytes(b"old")
    argv = command(verb, tmp_path, model, data, str(path))
    with ta.kernels.use("numpy"), full_disk(500):  # Numba's cache would be the first to fail
        assert main(argv) == 2
    assert path.read_bytes() == b"old"
    assert names(tmp_path / "out") == ["old.png"]
    if "new.npz" not in " ".join(argv):  # another of its files came first
        assert "old.png" in capsys.readouterr().err


def suffix(verb: str) -> str:
    """What a file that the verb writes may end in."""
    return ".npy" if verb in ("reconstruct", "encode", "decode", "sample") else ".png"


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_file_is_refused_before_the_work(
    verb: str,
    tmp_path: Path,
    model: str,
    data: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    for where in ("tinyae.data.load", "tinyae.load", "tinyae.explanation.command.explain"):
        monkeypatch.setattr(where, work)
    monkeypatch.chdir(tmp_path)
    end = suffix(verb)
    os.mkfifo(f"pipe{end}")
    os.mkdir(f"folder{end}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"socket{end}")
        Path(f"locked{end}").write_bytes(b"kept")
        os.chmod(f"locked{end}", 0o444)
        before = {name: os.lstat(name).st_ino for name in names(tmp_path)}
        for target, says in (
            (f"pipe{end}", "is a pipe"),
            (f"socket{end}", "is a socket"),
            (f"folder{end}", "is a folder"),
            (f"locked{end}", "write-protected"),
            (f"none/x{end}", "does not exist"),
        ):
            assert main(command(verb, tmp_path, model, data, target)) == 2
            error = capsys.readouterr().err
            assert says in error
            assert target.partition("/")[0] in error
        assert before.items() <= {name: os.lstat(name).st_ino for name in names(tmp_path)}.items()


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_writes_onto_what_it_reads(
    verb: str, tmp_path: Path, model: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = command(verb, tmp_path, model, data, "x")[:-1]
    for source in {model, data, str(tmp_path / "codes.npy")} & set(argv):
        os.link(source, tmp_path / f"link{suffix(verb)}")
        (tmp_path / f"soft{suffix(verb)}").symlink_to(source)
        before = Path(source).read_bytes()
        for target in (source, tmp_path / f"link{suffix(verb)}", tmp_path / f"soft{suffix(verb)}"):
            if Path(target).suffix != suffix(verb):
                continue
            assert main([*argv, str(target)]) == 2
            assert "is the file of" in capsys.readouterr().err
        assert Path(source).read_bytes() == before
        (tmp_path / f"link{suffix(verb)}").unlink()
        (tmp_path / f"soft{suffix(verb)}").unlink()


def test_a_folder_of_images_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"photo")
    argv = ["data", "show", str(tmp_path / "photos"), "--out"]
    assert main([*argv, str(tmp_path / "photos" / "a.png")]) == 2
    assert (tmp_path / "photos" / "a.png").read_bytes() == b"photo"


def test_two_outputs_are_two_files(tmp_path: Path, data: str) -> None:
    argv = ["train", "--data", data, "--units", "2", "--epochs", "1", "--quiet"]
    path = str(tmp_path / "a.npz")
    assert main([*argv, "--out", path, "--checkpoint", path]) == 2
    assert names(tmp_path) == ["d.npy"]


def test_what_training_needs_at_its_end_is_known_at_its_beginning(
    tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the training began")

    monkeypatch.setattr("tinyae.fit", work)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    (tmp_path / "p" / "training.png").mkdir(parents=True)
    argv = ["train", "--data", data, "--units", "2", "--quiet"]
    for option, path, says in (
        ("--pictures", "taken", "taken"),
        ("--pictures", "p", "training.png is a folder"),
        ("--pictures", "p", "matplotlib"),
        ("--out", "m.safetensors", "pip install safetensors"),
    ):
        if says == "matplotlib":
            monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        if option == "--out":
            monkeypatch.setitem(sys.modules, "safetensors", None)
        assert main([*argv, option, str(tmp_path / path)]) == 2
        assert says in capsys.readouterr().err


def test_a_mapped_file_may_be_replaced(tmp_path: Path) -> None:
    """Cutting a file that is memory-mapped ends the process by SIGBUS."""
    x = np.random.default_rng(0).random((1000, 6), np.float32)
    np.save(tmp_path / "d.npy", x)
    mapped = np.load(tmp_path / "d.npy", mmap_mode="r")
    files.write("test", tmp_path / "d.npy", lambda file: np.save(file, mapped[:10] * 2))
    np.testing.assert_array_equal(mapped, x)
    np.testing.assert_array_equal(np.load(tmp_path / "d.npy"), x[:10] * 2)


# --- kills ------------------------------------------------------------------------------------

WRITER = """
import os, sys
from tinyae import files
if sys.argv[2] == "named":
    del os.O_TMPFILE
def content(file):
    file.write(b"new")
    file.flush()
    print("half", flush=True)
    sys.stdin.read()
files.write("test", sys.argv[1], content)
"""


def start_writer(path: Path, kind: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(ta.__file__).parent.parent,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    return process


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="needs unnamed files")
def test_a_killed_writer_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with start_writer(path, "unnamed") as process:
        process.kill()
    assert names(tmp_path) == ["a"]
    assert path.read_bytes() == b"old"


def test_what_a_killed_writer_left_is_deleted_and_what_another_writes_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    (tmp_path / ".a.mine.part").touch()  # of another length
    with start_writer(path, "named") as process:
        process.kill()
    assert len(names(tmp_path)) == 3
    with start_writer(path, "named") as process:
        assert len(names(tmp_path)) == 3  # it has deleted the first
        files.write("test", path, say(b"mine"))
        assert path.read_bytes() == b"mine"
        assert len(names(tmp_path)) == 3  # and is itself left alone
        process.communicate(b"")
        assert process.returncode == 0
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == [".a.mine.part", "a"]


def test_many_threads_write_one_file(tmp_path: Path) -> None:
    texts = [bytes([k]) * 100_000 for k in range(8)]
    threads = [
        threading.Thread(target=files.write, args=("test", tmp_path / "a", say(text)))
        for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in texts
    assert names(tmp_path) == ["a"]


# --- targets ----------------------------------------------------------------------------------


def test_what_is_no_path() -> None:
    for path in (3, None, [], b"a\0b", "a\0b"):
        with pytest.raises((TypeError, ValueError), match=r"test: .*(is not a path|zero byte)"):
            files.check_target("test", path)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="save: 3 is not a path"):
        ta.save(ta.ReLU(), 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="load: 3 is not a path"):
        ta.load(3)  # type: ignore[arg-type]


def test_names_of_every_kind(tmp_path: Path) -> None:
    for name in ("a", "ä" * 120, "😀" * 63, ".x", "a b", os.fsdecode(b"\xff")):
        files.write("test", tmp_path / name, say(b"x"))
        assert (tmp_path / name).read_bytes() == b"x"
        files.write("test", os.fsencode(tmp_path / name), say(b"y"))  # type: ignore[arg-type]
        assert (tmp_path / name).read_bytes() == b"y"
    assert len(names(tmp_path)) == 6


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_protected_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError, match="folder is write-protected"):
        files.write("test", tmp_path / "a", say(b"x"))


@pytest.mark.parametrize("read", [ta.load, ta.data.load])
@pytest.mark.parametrize("name", ["pipe.npz", "pipe.npy", "pipe.safetensors", "pipe.csv"])
def test_reading_a_pipe_does_not_wait(tmp_path: Path, read: Any, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is a pipe, expected"):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=f"{name} is a device, expected"):
        read(tmp_path / name)


# --- one writer -------------------------------------------------------------------------------

OTHERS = {
    "learn/child.py",  # a file between two processes, in a folder of their own
}


def opens_for_writing(tree: ast.AST) -> Iterator[int]:
    """The lines where a file is opened for writing, or written by another function."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        first_is_path = bool(node.args) and not (
            isinstance(node.args[0], ast.Name) and node.args[0].id == "file"
        )
        if name in ("write_text", "write_bytes") and not called.startswith("files."):
            yield node.lineno
        saves = name in ("save", "savez", "savefig", "tofile", "savetxt") and first_is_path
        if saves and called.startswith(("np.", "numpy.", "figure.")):
            yield node.lineno
        given_a_file = called == "archive.open" or (called == "wave.open" and not first_is_path)
        if name in ("open", "fdopen") and not given_a_file:  # by the writer, or a member of a zip
            modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
            modes += [k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)]
            if any(isinstance(m, str) and set(m) & set("wax+") and len(m) < 4 for m in modes):
                yield node.lineno


def test_everything_is_written_by_one_writer() -> None:
    root = Path(ta.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name == "files.py" or name in OTHERS:
            continue
        lines = opens_for_writing(ast.parse(path.read_text(encoding="utf-8")))
        found += [f"{name}:{line}" for line in lines]
    assert not found


@pytest.mark.parametrize(
    "line",
    ["open(p, 'w')", "open(p, mode='xb')", "Path(p).write_text(t)", "np.save(path, a)",
     "figure.savefig(path)", "os.fdopen(n, 'wb')"],
)  # fmt: skip
def test_another_writer_is_seen(line: str) -> None:
    assert list(opens_for_writing(ast.parse(line)))
