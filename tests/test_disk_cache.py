"""Compiled code on disk: no folder, a full one, damaged files; always the right numbers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

numba = pytest.importorskip("numba", reason="the cache is Numba's")
disk_cache = pytest.importorskip("tinyae.kernels.jitted.disk_cache")
threads = pytest.importorskip("tinyae.kernels.jitted.threads")


def double(x):
    return 2 * x


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The only folder is a new one, and nothing has been said yet."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(disk_cache, "_LOCATORS", (disk_cache.UserProvided,))
    monkeypatch.setattr(disk_cache, "_unusable", set())
    monkeypatch.setattr(disk_cache, "_warned", False)
    return tmp_path / "cache"


def hits() -> int:
    """Run a newly made function; how often its code came from the disk."""
    function = threads.njit()(double)
    assert function(3) == 6
    return sum(function.stats.cache_hits.values())


def warned() -> list[str]:
    """Two functions are compiled; what is said of the cache."""
    disk_cache._warned = False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hits()
        hits()
    return [str(w.message) for w in caught]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_second_process_would_find_the_code(cache):
    assert [hits(), hits()] == [0, 1]
    assert [path.suffix for path in files(cache)] == [".nbc", ".nbi"]


@settings(max_examples=20)
@given(which=st.integers(0, 1), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 8))
def test_a_cut_or_a_flipped_bit_anywhere_is_noticed(cache, which, place, bit):
    hits()
    file = files(cache)[which]
    data = bytearray(file.read_bytes())
    at = int(place * len(data))
    if bit < 8:
        data[at] ^= 1 << bit
    else:
        del data[at:]
    file.write_bytes(data)
    said = warned()
    assert len(said) <= 1  # a flip in Numba's version makes it another version's file
    assert all("are damaged and are made anew" in line for line in said)
    assert hits() == 1


@pytest.mark.parametrize("kept", [0, 1, 40])  # bytes of the file before that program
def test_a_file_of_another_program_is_not_run(cache, tmp_path, kept):
    hits()
    for file in files(cache):
        program = f"cos\nmkdir\n(S'{tmp_path / 'run'}'\ntR.".encode()
        file.write_bytes(file.read_bytes()[:kept] + program)
    assert len(warned()) <= 1
    assert not (tmp_path / "run").exists()
    assert hits() == 1


def test_a_full_disk_leads_to_the_next_folder_and_then_to_none(cache, tmp_path, monkeypatch):
    class Second(disk_cache.UserProvided):
        def __init__(self, function, file):
            super().__init__(function, file)
            self._cache_path = str(tmp_path / "second")

    monkeypatch.setattr(disk_cache, "_LOCATORS", (*disk_cache._LOCATORS, Second))
    full = [str(cache)]
    write = disk_cache.IndexDataCacheFile._save_data

    def save_data(self, name, data):
        if any(self._cache_path.startswith(folder) for folder in full):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, name, data)

    monkeypatch.setattr(disk_cache.IndexDataCacheFile, "_save_data", save_data)
    (said,) = warned()
    assert "second is used instead (OSError: [Errno 28] No space left on device)" in said
    assert hits() == 1
    full.append(str(tmp_path / "second"))
    for file in files(tmp_path / "second"):
        file.unlink()
    (said,) = warned()
    assert "every process compiles anew; set NUMBA_CACHE_DIR" in said
    assert hits() == 0


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("no folder")
    (said,) = warned()
    assert "none that can be written" in said


def test_classes_of_older_versions_of_numba_are_found(monkeypatch):
    monkeypatch.setattr(disk_cache.caching, "_OldLocator", object, raising=False)
    assert disk_cache._locator("OldLocator") is object
    assert all(isinstance(locator, type) for locator in disk_cache._LOCATORS)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs the owners and modes of Unix")
def test_a_temporary_folder_that_others_can_write_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_cache, "_LOCATORS", (disk_cache._TemporaryFolder,))
    monkeypatch.setattr(disk_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    assert [hits(), hits()] == [0, 1]
    (own,) = tmp_path.glob("tinyae-*")
    assert own.stat().st_mode & 0o777 == 0o700
    own.chmod(0o777)
    assert "none that can be written" in warned()[0]
    assert hits() == 0


def test_without_a_compiler_numpy_computes_or_an_error_says_so():
    code = "import tinyae as ta; print(ta.kernels.active(), ta.kernels.relu(-ta.np.ones(1)))"
    code = code.replace("ta.np", "__import__('numpy')")
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=env, capture_output=True, text=True)
    assert done.stdout.split()[0] == "numpy", done.stderr
    env["TINYAE_KERNELS"] = "numba"
    done = subprocess.run(run, env=env, capture_output=True, text=True)
    assert (
        "NUMBA_DISABLE_JIT is set, and the set 'numba' runs compiled only; unset it" in done.stderr
    )


def test_what_is_no_error_of_a_folder_does_not_make_it_unusable(cache, monkeypatch):
    with monkeypatch.context() as patch:

        def cannot(self, value):
            raise TypeError("cannot pickle this")

        patch.setattr(disk_cache._SealedFiles, "_dump", cannot)
        (said,) = warned()
        assert "double cannot be saved and stays in memory (TypeError: cannot pickle this)" in said
    assert not disk_cache._unusable
    assert [hits(), hits()] == [0, 1]
