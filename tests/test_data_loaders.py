"""Loaders: published sets (found, downloaded, verified) and the user's own files."""

import gzip
import hashlib
import io
import os
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyae import data
from tinyae.data import published

REAL = os.environ.get("TINYAE_DATA")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the user's data and cache, and the network, from all tests."""
    monkeypatch.delenv("TINYAE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    unreachable = "http://127.0.0.1:9/"  # the discard port: refused at once
    for name in published.URLS:
        monkeypatch.setitem(published.URLS, name, (unreachable,))


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as an IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.tobytes()


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A set of 6 + 3 images in place of mnist: file name → unpacked bytes."""
    rng = np.random.default_rng(1)
    raws, table = {}, {}
    for part, n in (("train", 6), ("t10k", 3)):
        for kind, shape, high in (
            ("images-idx3", (n, 28, 28), 256),
            ("labels-idx1", (n,), 10),
        ):
            raw = idx(rng.integers(0, high, shape).astype(np.uint8))
            raws[f"{part}-{kind}-ubyte"] = raw
            checksum = hashlib.sha256(raw).hexdigest()
            table[f"{part}-{kind}-ubyte"] = published.Idx(shape, checksum)
    monkeypatch.setitem(published.IDX_FILES, "mnist", table)
    return raws


def put(folder: Path, raws: dict[str, bytes], packed: bool = True) -> Path:
    folder.mkdir(parents=True)
    for file, raw in raws.items():
        name = f"{file}.gz" if packed else file
        (folder / name).write_bytes(gzip.compress(raw) if packed else raw)
    return folder


class Beats:
    """A small ECG set: 12 beats, the first 4 for training."""

    def __init__(self) -> None:
        x = np.random.default_rng(2).normal(size=(12, 140))
        x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, ddof=1, keepdims=True)
        # with 7 digits, like the published text
        self.x = np.array([[float(f"{v:.7g}") for v in row] for row in x], np.float32)
        self.kinds = np.array([1, 1, 2, 4, 1, 3, 1, 5, 1, 1, 2, 1])
        self.y = (self.kinds == 1).astype(np.int64)

    def csv(self, digits: int = 7) -> bytes:
        rows = np.column_stack([self.x, self.y])
        return "".join(
            ",".join(f"{v:.{digits}g}" for v in row[:-1]) + f",{row[-1]:.1f}\n" for row in rows
        ).encode()

    def archive(self) -> bytes:
        rows = np.column_stack([self.kinds, self.x])
        lines = ["".join(f"{v:16.7e}" for v in row) + "\r\n" for row in rows]
        return archive(lines[:4], lines[4:])


def archive(train: list[str], test: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("ECG5000.txt", "about this set")
        members.writestr("ECG5000_TRAIN.txt", "".join(train))
        members.writestr("ECG5000_TEST.txt", "".join(test))
    return buffer.getvalue()


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Beats:
    made = Beats()
    checksum = hashlib.sha256(made.y.astype(np.int8).tobytes()).hexdigest()
    projection = made.x.astype(np.float64).ravel() @ np.cos(np.arange(made.x.size))
    monkeypatch.setattr(published, "ECG_ROWS", 12)
    monkeypatch.setattr(published, "ECG_TRAIN_ROWS", 4)
    monkeypatch.setattr(published, "ECG_LABELS_SHA256", checksum)
    monkeypatch.setattr(published, "ECG_PROJECTION", projection)
    return made


# ---- names ---------------------------------------------------------------------------------------


def test_unknown_name_lists_the_names_and_mentions_paths() -> None:
    with pytest.raises(ValueError, match="no data set is named 'mnits'") as told:
        data.load("mnits")
    assert all(name in str(told.value) for name in data.DATASETS)
    assert "path" in str(told.value)


def test_missing_path_is_not_mistaken_for_a_name(tmp_path: Path) -> None:
    for path in (tmp_path / "x.npy", "x.npy", "no/such", tmp_path / "folder"):
        with pytest.raises(FileNotFoundError, match="there is no file or folder"):
            data.load(path)


@pytest.mark.parametrize("name", ["strokes", "mnist"])
@pytest.mark.parametrize("option", [{"test_fraction": 0.2}, {"image_size": 28}])
def test_options_for_own_data_are_refused_with_a_name(name: str, option: dict) -> None:
    with pytest.raises(ValueError, match="are for your own data"):
        data.load(name, **option)


@pytest.mark.parametrize(
    ("name", "shape", "n"), [("strokes", (1, 28, 28), 6_000), ("heartbeats", (140,), 4_000)]
)
def test_drawn_sets(name: str, shape: tuple[int, ...], n: int) -> None:
    one = data.load(name)
    assert one.x_train.shape == (n, *shape)
    assert one.x_test.shape == (1_000, *shape)
    assert one.x_train.dtype == one.x_test.dtype == np.float32
    assert one.y_train is not None
    assert one.y_train.dtype == np.int64
    assert one.y_train.shape == (n,)
    assert repr(one) == (
        f"Dataset({name!r}: train {(n, *shape)}, test {(1_000, *shape)}, float32, with labels)"
    )
    make = data.make_strokes if name == "strokes" else data.make_heartbeats
    x, y = make(n, np.random.default_rng(0))
    np.testing.assert_array_equal(one.x_train, x)  # a fixed seed: the same bits every time
    np.testing.assert_array_equal(one.y_train, y)


# ---- IDX -----------------------------------------------------------------------------------------

bytes_arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))


@given(bytes_arrays)
def test_idx_round_trip(array: np.ndarray) -> None:
    read = published.parse_idx(idx(array))
    assert read.dtype == np.uint8
    assert not read.flags.writeable
    np.testing.assert_array_equal(read, array)


@given(bytes_arrays, st.data())
def test_idx_cut_anywhere_or_too_long_is_refused(array: np.ndarray, draw: st.DataObject) -> None:
    raw = idx(array)
    with pytest.raises(ValueError, match=r"truncated|not an IDX file"):
        published.parse_idx(raw[: draw.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(ValueError, match="too long"):
        published.parse_idx(raw + draw.draw(st.binary(min_size=1, max_size=4)))


# ---- find and verify -----------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["data/mnist", "mnist", "cache/tinyae/mnist"])
def test_sets_are_found(
    place: str,
    packed: bool,
    digits: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = put(tmp_path / place, digits, packed)
    monkeypatch.setenv("TINYAE_DATA", str(folder if place == "mnist" else tmp_path / "data"))
    assert data.fetch("mnist") == folder
    mnist = data.load("mnist")
    pixels = published.parse_idx(digits["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(mnist.x_train, (pixels / 255).astype(np.float32)[:, None])
    np.testing.assert_array_equal(
        mnist.y_test, published.parse_idx(digits["t10k-labels-idx1-ubyte"])
    )
    assert mnist.x_train.dtype == np.float32
    assert mnist.y_train is not None
    assert mnist.y_train.dtype == np.int64
    assert mnist.x_test.shape == (3, 1, 28, 28)


IMAGES = "train-images-idx3-ubyte"


def spoiled(raw: bytes) -> dict[str, tuple[bytes, str]]:
    packed = gzip.compress(raw)
    other = bytearray(raw)
    other[-1] ^= 1
    return {
        "one bit changed": (bytes(other), "its SHA-256 differs"),
        "one bit changed, packed": (gzip.compress(bytes(other)), "its SHA-256 differs"),
        "truncated": (raw[:-1], "is truncated: it holds 4,719 bytes, expected 4,720"),
        "too long": (raw + b"0", "holds more than the expected 4,720 bytes"),
        "truncated gzip": (packed[:-9], "is a damaged or truncated gzip file"),
        "damaged gzip": (packed[:99] + b"damage" + packed[105:], "damaged or truncated gzip"),
        "a web page": (b"<html>not found</html>", "is not an IDX file: it starts with"),
        "of integers": (b"\0\0\x0c" + raw[3:], "is not an IDX file: it starts with"),
        "empty": (b"", "is not an IDX file"),
        "other shape": (idx(np.zeros((6, 14, 56), np.uint8)), r"shape \(6, 14, 56\), expected \(6"),
    }


@pytest.mark.parametrize("case", list(spoiled(b"\0\0\x08\x01\0\0\0\0")))
def test_a_damaged_file_is_named(
    case: str, digits: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path / "mnist", digits)
    raw, told = spoiled(digits[IMAGES])[case]
    (folder / f"{IMAGES}.gz").write_bytes(raw)
    monkeypatch.setenv("TINYAE_DATA", str(tmp_path))
    for use in (data.load, data.fetch):
        with pytest.raises(ValueError, match=told) as error:
            use("mnist")
        assert str(folder / IMAGES) in str(error.value)
        assert "delete it" in str(error.value)


def test_a_gzip_bomb_does_not_fill_memory(
    digits: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path / "mnist", digits)
    (folder / f"{IMAGES}.gz").write_bytes(gzip.compress(bytes(64 << 20)))
    monkeypatch.setenv("TINYAE_DATA", str(tmp_path))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="holds more than"):
            data.load("mnist")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert published.cache_folder() == tmp_path / "cache" / "tinyae"
    if os.name != "nt":
        monkeypatch.setenv("HOME", str(tmp_path))
        for unset in ("", "relative/path"):  # the XDG specification: ignore relative paths
            monkeypatch.setenv("XDG_CACHE_HOME", unset)
            assert published.cache_folder() == tmp_path / ".cache" / "tinyae"


def test_fetch_of_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="no published data set is named 'strokes'; the names are"):
        data.fetch("strokes")


# ---- ECG -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [7, 9, 17])
def test_ecg_whatever_the_number_of_digits(
    digits: int, beats: Beats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "ecg5000", {"ecg.csv": beats.csv(digits)}, packed=digits == 9)
    monkeypatch.setenv("TINYAE_DATA", str(tmp_path))
    ecg = data.load("ecg5000")
    assert (ecg.x_train.shape, ecg.x_test.shape) == ((4, 140), (8, 140))
    np.testing.assert_allclose(np.concatenate([ecg.x_train, ecg.x_test]), beats.x, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([ecg.y_train, ecg.y_test]), beats.y)
    assert ecg.x_train.dtype == np.float32
    assert ecg.y_test is not None
    assert ecg.y_test.dtype == np.int64


def test_ecg_with_another_content_is_refused(
    beats: Beats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path / "ecg5000", {"ecg.csv": beats.csv()}, packed=False)
    monkeypatch.setenv("TINYAE_DATA", str(tmp_path))
    lines = beats.csv().decode().splitlines(keepends=True)
    changed = lines[7].split(",")
    changed[70] = "0.5"
    for text, told in (
        ("".join(lines[:-2]), "has 10 rows of 141 numbers, expected 12 rows"),
        ("".join(line.partition(",")[2] for line in lines), "has 12 rows of 140 numbers"),
        ("".join(lines[1:] + lines[:1]), "has other labels"),
        ("".join([lines[1], lines[0], *lines[2:]]), "has other samples"),  # both normal
        ("".join([*lines[:7], ",".join(changed), *lines[8:]]), "has other samples"),
        ("".join(["nan", lines[0][lines[0].index(",") :], *lines[1:]]), "has other samples"),
        ("".join(["inf", lines[0][lines[0].index(",") :], *lines[1:]]), "has other samples"),
        ("".join(lines).replace(",0.0\n", ",0.5\n"), "has other labels"),
        ("a,b\n" + "".join(lines), "is not a table of numbers"),
        ("", "is not a table of numbers"),
    ):
        (folder / "ecg.csv").write_text(text)
        with pytest.raises(ValueError, match=told) as error:
            data.load("ecg5000")
        assert str(folder / "ecg.csv") in str(error.value)


# ---- download ------------------------------------------------------------------------------------


class Mirror:
    """A local web server; `pages` maps a path to the content sent for it."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut = 0  # bytes announced but not sent
        self.stalls = False
        self.closing = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                page = mirror.pages.get(self.path)
                if page is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                if mirror.stalls:
                    mirror.closing.wait(10)
                    return
                self.wfile.write(page[: len(page) - mirror.cut])

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirror(digits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    mirror = Mirror()
    mirror.pages = {f"/{file}.gz": gzip.compress(raw) for file, raw in digits.items()}
    monkeypatch.setitem(published.URLS, "mnist", (mirror.url,))
    yield mirror
    mirror.close()


def cached(tmp_path: Path) -> list[str]:
    """The files in the cache, including temporary ones."""
    folder = tmp_path / "cache" / "tinyae"
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_download(
    has_tqdm: bool,
    mirror: Mirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if not has_tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setenv("TINYAE_DATA", str(tmp_path / "incomplete"))
    assert data.load("mnist").x_train.shape == (6, 1, 28, 28)
    assert cached(tmp_path) == sorted(f"{file}.gz" for file in published.IDX_FILES["mnist"])
    assert data.fetch("mnist") == tmp_path / "cache" / "tinyae" / "mnist"
    assert len(mirror.asked) == 4  # the second time nothing is downloaded
    assert capfd.readouterr() == ("", "")  # no bar where stderr is not a terminal


def test_download_shows_a_bar_on_a_terminal(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    data.fetch("mnist")
    assert f"{IMAGES}.gz" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_download_fetches_only_what_is_missing(
    mirror: Mirror, digits: dict[str, bytes], tmp_path: Path
) -> None:
    folder = put(tmp_path / "cache" / "tinyae" / "mnist", digits)
    (folder / f"{IMAGES}.gz").unlink()
    data.fetch("mnist")
    assert mirror.asked == [f"/{IMAGES}.gz"]


def test_the_next_mirror_is_tried(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = mirror.url + "no/such/"
    monkeypatch.setitem(published.URLS, "mnist", ("http://127.0.0.1:9/", bad, mirror.url))
    assert data.load("mnist").x_test.shape == (3, 1, 28, 28)


@pytest.mark.parametrize("case", ["404", "broken off", "stalls", "too large", "other data"])
def test_a_failed_download_leaves_nothing(
    case: str, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = mirror.pages[f"/{IMAGES}.gz"]
    if case == "404":
        mirror.pages.clear()
        told = "answers 404 Not Found"
    elif case == "broken off":
        mirror.cut = 10
        told = f"broke off after {len(page) - 10:,} of {len(page):,} bytes"
    elif case == "stalls":
        mirror.stalls = True
        monkeypatch.setattr(published, "TIMEOUT", 0.2)
        told = "timed out"
    elif case == "too large":
        monkeypatch.setattr(published, "LIMIT", 1_000)
        told = "sends more than 1,000 bytes"
    else:
        other = idx(np.zeros((6, 28, 28), np.uint8))
        mirror.pages[f"/{IMAGES}.gz"] = gzip.compress(other)
        told = "its SHA-256 differs"
    with pytest.raises(FileNotFoundError, match=told) as error:
        data.load("mnist")
    assert mirror.url + IMAGES in str(error.value)
    assert cached(tmp_path) == []


def test_an_interrupted_download_leaves_nothing(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist")
    assert cached(tmp_path) == []


def test_two_downloads_at_once(mirror: Mirror, tmp_path: Path) -> None:
    results: list[data.Dataset] = []
    threads = [
        threading.Thread(target=lambda: results.append(data.load("mnist"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(cached(tmp_path)) == 4
    np.testing.assert_array_equal(results[0].x_train, results[-1].x_train)


def test_offline_says_what_to_do(
    digits: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path / "mine" / "mnist", digits)
    (folder / f"{IMAGES}.gz").unlink()
    monkeypatch.setenv("TINYAE_DATA", str(tmp_path / "mine"))
    with pytest.raises(FileNotFoundError) as error:
        data.load("mnist")
    for told in (
        f"{folder} lacks {IMAGES}\n",
        str(tmp_path / "cache" / "tinyae" / "mnist"),
        f"http://127.0.0.1:9/{IMAGES}.gz",
        "refused",
        "TINYAE_DATA",
        "tinyae data fetch mnist",
    ):
        assert told in str(error.value)


def test_a_cache_that_cannot_be_made(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(FileNotFoundError, match="could not be downloaded"):
        data.load("mnist")
    assert mirror.asked == []


def test_ecg_download(
    beats: Beats, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.pages["/ECG5000.zip"] = beats.archive()
    monkeypatch.setitem(published.URLS, "ecg5000", (mirror.url + "ECG5000.zip",))
    ecg = data.load("ecg5000")
    np.testing.assert_array_equal(ecg.y_train, beats.y[:4])
    assert cached(tmp_path) == ["ecg.csv"]
    stored = tmp_path / "cache" / "tinyae" / "ecg5000" / "ecg.csv"
    # rounded to 7 digits: the same text from every source
    assert stored.read_bytes() == beats.csv()


def test_ecg_download_of_something_else(
    beats: Beats, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(published.URLS, "ecg5000", (mirror.url + "ECG5000.zip",))
    whole = beats.archive()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    beats.x[3, 5] += 1
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for page, told in (
        (beats.archive(), "has other samples"),
        (bytes(damaged), "is not the archive"),
        (whole[:-30], "is not the archive"),
        (b"<html></html>", "is not the archive"),
        (empty.getvalue(), "is not the archive"),
        (archive([], []), "is not the archive"),
    ):
        mirror.pages["/ECG5000.zip"] = page
        with pytest.raises(FileNotFoundError, match=told):
            data.load("ecg5000")
        assert cached(tmp_path) == []


# ---- own data: .npy ------------------------------------------------------------------------------


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def is_mapped(x: np.ndarray) -> bool:
    base: object = x
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap)


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_float32_stays_on_disk(order: str, tmp_path: Path) -> None:
    x = np.asarray(np.random.default_rng(0).normal(size=(20, 3, 4)).astype("f4"), order=order)  # type: ignore[call-overload]
    own = data.load(save(tmp_path / "x.npy", x))
    np.testing.assert_array_equal(own.x_train, x[:18])
    np.testing.assert_array_equal(own.x_test, x[18:])
    assert own.y_train is None
    assert own.y_test is None
    for part in (own.x_train, own.x_test):
        assert is_mapped(part)
        assert part.dtype == np.float32
        assert not part.flags.writeable
    assert repr(own) == (
        "Dataset('x.npy': train (18, 3, 4), test (2, 3, 4), float32, without labels)"
    )
    assert str(tmp_path / "x.npy") in own.description


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", ">f8", "?"])
def test_npy_other_reals_become_float32(dtype: str, tmp_path: Path) -> None:
    x = (np.arange(40).reshape(20, 2) % 2).astype(dtype)
    own = data.load(str(save(tmp_path / "x.npy", x)))
    assert own.x_train.dtype == np.dtype(np.float32)
    assert own.x_train.dtype.isnative
    np.testing.assert_array_equal(own.x_train, x[:18].astype(np.float32))


@pytest.mark.parametrize("shape", [(20, 9), (20, 3, 3), (20, 1, 3, 3)])
def test_npy_uint8_is_pixels(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    own = data.load(save(tmp_path / "x.npy", x))
    np.testing.assert_array_equal(own.x_train, (x[:18] / 255).astype(np.float32))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((4, 2, 2), np.int64), "is int64, whose scale is not known; save pixels"),
        (np.zeros((4, 2), np.uint16), "is uint16, whose scale is not known"),
        (np.zeros((4, 2), complex), "is complex128, expected real numbers"),
        (np.full((4, 2), "a"), "is <U1, expected real numbers"),
        (np.zeros((4, 2), [("a", "f4")]), "expected real numbers"),
        (np.array([["a", 1], ["b", 2]], dtype=object), "is not a readable"),
        (np.zeros((0, 2), np.float32), r"has shape \(0, 2\), expected at least one sample"),
        (np.zeros((2, 0), np.float32), r"has shape \(2, 0\)"),
        (np.zeros(5, np.float32), r"has shape \(5,\), expected"),
        (np.float32(5), r"has shape \(\), expected"),
        (np.full((4, 2), 1e300), r"has 8 NaN or infinite values \(in float32\)"),
        (np.zeros((1, 2), np.float32), "leaves none to train on"),
    ],
)
def test_npy_that_cannot_be_used(array: np.ndarray, told: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match=told) as error:
        data.load(path)
    assert str(path) in str(error.value) or "leaves none" in told


def test_nan_is_counted_and_placed(tmp_path: Path) -> None:
    x = np.zeros((5, 1 << 10, 1 << 10), np.float32)  # more than one chunk
    x[4, 2, 7], x[4, 3, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"has 2 NaN .* the first at index \[4, 2, 7\]"):
        data.load(save(tmp_path / "x.npy", x))


@pytest.mark.parametrize("content", [b"", b"not an array at all", b"\x93NUMPY\x01"])
def test_npy_that_is_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a readable"):
        data.load(path)


def test_npy_truncated(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", np.zeros((20, 3), np.float32))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="is not a readable"):
        data.load(path)


def test_test_fraction(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", np.zeros((20, 3), np.float32))
    assert data.load(path, test_fraction=0.25).x_test.shape == (5, 3)
    assert data.load(path, test_fraction=0.001).x_test.shape == (1, 3)  # at least one sample
    assert data.load(path, test_fraction=0).x_test.shape == (0, 3)
    for wrong in (-0.1, 1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="expected 0 ≤ test_fraction < 1"):
            data.load(path, test_fraction=wrong)
    with pytest.raises(ValueError, match="leaves none to train on"):
        data.load(path, test_fraction=0.99)


def test_image_size_is_refused_without_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image_size is for a folder of images"):
        data.load(save(tmp_path / "x.npy", np.zeros((20, 3), np.float32)), image_size=28)


def test_a_file_named_like_a_set_is_reached_by_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("strokes").write_text("1,2\n")
    for path in (Path("strokes"), "./strokes"):
        with pytest.raises(ValueError, match="cannot read strokes; expected"):
            data.load(path)


# ---- own data: .npz ------------------------------------------------------------------------------


def test_npz_single_array_of_any_name(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    np.savez(tmp_path / "a.npz", signals=x)
    own = data.load(tmp_path / "a.npz")
    assert own.x_train.dtype == np.float32
    both = np.concatenate([own.x_train, own.x_test])
    assert own.x_test.shape == (2, 3)
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(x.astype("f4"), axis=0))
    again = data.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(own.x_test, again.x_test)  # the same choice every time


def test_npz_x_and_y_are_divided_alike(tmp_path: Path) -> None:
    x = np.arange(50, dtype=np.float32)[:, None]
    np.savez_compressed(tmp_path / "a.npz", x=x, y=np.arange(50))
    own = data.load(tmp_path / "a.npz", test_fraction=0.2)
    assert own.x_test.shape == (10, 1)
    np.testing.assert_array_equal(own.x_train[:, 0], own.y_train)
    np.testing.assert_array_equal(own.x_test[:, 0], own.y_test)
    assert not np.array_equal(own.x_test[:, 0], np.arange(40, 50))  # not simply the last samples


@pytest.mark.parametrize("labelled", [True, False])
def test_npz_with_its_own_test_set(labelled: bool, tmp_path: Path) -> None:
    x = np.arange(30, dtype=np.uint8).reshape(10, 3)
    arrays = {"x_train": x[:8], "x_test": x[8:]}
    if labelled:
        arrays |= {"y_train": np.arange(8), "y_test": np.arange(2)}
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    own = data.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(own.x_train, (x[:8] / 255).astype(np.float32))
    np.testing.assert_array_equal(own.x_test, (x[8:] / 255).astype(np.float32))
    if labelled:
        np.testing.assert_array_equal(own.y_test, [0, 1])
    else:
        assert own.y_test is None
    with pytest.raises(ValueError, match="has its own x_test; omit test_fraction"):
        data.load(tmp_path / "a.npz", test_fraction=0.5)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"a": np.zeros((3, 2)), "b": np.zeros((3, 2))}, "has the keys a, b; expected one array"),
        ({"x_train": np.zeros((3, 2)), "y_train": np.zeros(3)}, "has the keys x_train, y_train"),
        ({}, r"has the keys \(none\)"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(2)}, r"y in .* has shape \(2,\) .* expected 3 numb"),
        ({"x": np.zeros((3, 2)), "y": np.array(list("abc"))}, "dtype <U1, expected 3 numbers"),
        ({"x": np.array([[{}]])}, "is not a readable"),
        ({"x": np.zeros((3, 2), np.int32)}, "x in .* is int32"),
        ({"x_train": np.zeros((3, 2)), "x_test": np.zeros((3, 4))}, "both must agree"),
        ({"x_train": np.zeros((3, 2)), "x_test": np.full((3, 2), np.nan)}, "x_test in .* 6 NaN"),
    ],
)
def test_npz_that_cannot_be_used(arrays: dict, told: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=told) as error:
        data.load(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(error.value)


def test_npz_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros((3, 2)))  # an .npy under another name
    with pytest.raises(ValueError, match="is not a readable"):
        data.load(path)
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("notes.txt", "no array")
    with pytest.raises(ValueError, match="expected at least one sample"):
        data.load(path)
    np.savez(path, x=np.ones((100, 100)))
    raw = bytearray(path.read_bytes())
    raw[5_000] ^= 255
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="is not a readable"):
        data.load(path)


@pytest.mark.parametrize(
    "shape", ["(1000000000000, 3)", "(1_000_000_000_000, 3)", "(" + "-" * 8000 + "1, 3)", "(3"]
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_file_that_claims_what_it_has_not(suffix: str, shape: str, tmp_path: Path) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(120)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        path.write_bytes(array)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
            members.writestr("x.npy", array)
    with pytest.raises(ValueError, match=f"a.{suffix} is not a readable .{suffix} file"):
        data.load(path)


# ---- own data: .csv ------------------------------------------------------------------------------


@given(
    x=hnp.arrays(
        np.float32,
        st.tuples(st.integers(2, 12), st.integers(1, 4)),
        elements=st.floats(-(2.0**99), 2.0**99, width=32),
    ),
    header=st.booleans(),
    packed=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_csv_round_trip(
    x: np.ndarray,
    header: bool,
    packed: bool,
    ending: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lines = [",".join(map(repr, row)) for row in x.tolist()]
    if header:
        lines.insert(0, ",".join(f'"sensor {i}"' for i in range(x.shape[1])))
    raw = ending.join([*lines, ""]).encode("utf-8-sig" if header else "utf-8")
    path = tmp_path_factory.mktemp("csv") / ("x.csv.gz" if packed else "x.CSV")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    own = data.load(path, test_fraction=0)
    assert own.x_train.dtype == np.float32
    np.testing.assert_array_equal(own.x_train, x)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n3,x\n", "line 3, column 2 is 'x'; expected numbers"),
        ("1,2\n\n3,\n", "line 3, column 2 is empty"),
        ("1,2\n,4\n", "line 2, column 1 is empty"),
        ("1,2\n3,nan\n", "line 2, column 2 is 'nan'; expected a finite"),
        ("1,2\n3,-inf\n", "line 2, column 2 is '-inf'"),
        ("1,2\n3,1e39\n", "line 2, column 2 is '1e39'; expected a finite float32"),
        ("1,2\n3,4,5\n", "line 2 has 3 cells; expected 2"),
        ("1,2\n3\n", "line 2 has 1 cell; expected 2"),
        ("1;2\n3;4\n", "line 2, column 1 is '3;4'; expected numbers with commas"),
        ("time,1\n1,2\n", "line 1, column 1 is 'time'"),
        (",a,b\n0,1,2\n", "line 1, column 1 is empty"),  # a table saved with its row numbers
        ("a,b\n", "it has no line of numbers"),
        ("", "it has no line of numbers"),
        ("\n\n", "it has no line of numbers"),
        ("1,1_0\n2,3\n", "could not convert"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_csv_fault_is_placed(text: str, told: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("x.csv.gz" if packed else "x.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.raises(ValueError, match=told) as error:
        data.load(path)
    assert str(path) in str(error.value)


def test_csv_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"1,2\n\xff\xfe,3\n")
    with pytest.raises(ValueError, match="is not text in UTF-8"):
        data.load(tmp_path / "x.csv")
    (tmp_path / "x.csv.gz").write_bytes(b"1,2\n3,4\n")
    with pytest.raises(ValueError, match="is a damaged gzip file"):
        data.load(tmp_path / "x.csv.gz")
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"1,2\n3,4\n" * 99)[:-12])
    with pytest.raises(ValueError, match="is a damaged gzip file"):
        data.load(tmp_path / "x.csv.gz")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        ValueError, match=r"expected a .npy, .npz, .csv or .csv.gz file or a folder"
    ):
        data.load(tmp_path / "x.parquet")


# ---- own data: images ----------------------------------------------------------------------------


@pytest.fixture
def image_module() -> object:
    return pytest.importorskip("PIL.Image")


def draw(path: Path, mode: str = "L", size: tuple[int, int] = (6, 4), seed: int = 0) -> np.ndarray:
    """Save a random picture, `size` as (height, width); returns its pixels."""
    from PIL import Image

    shape = size if mode == "L" else (*size, len(mode))
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.usefixtures("image_module")
class TestImages:
    def test_grey_sorted_by_name(self, tmp_path: Path) -> None:
        names = ["c.bmp", "a.PNG", "b.tif", ".hidden.png"]
        pixels = {name: draw(tmp_path / name, seed=i) for i, name in enumerate(names)}
        (tmp_path / "notes.txt").write_text("not an image")
        own = data.load(tmp_path, test_fraction=0)
        assert own.x_train.shape == (3, 1, 6, 4)
        assert own.x_train.dtype == np.float32
        assert own.y_train is None
        for n, name in enumerate(["a.PNG", "b.tif", "c.bmp"]):
            np.testing.assert_array_equal(own.x_train[n, 0], pixels[name].astype("f4") / 255)

    def test_colour_and_grey_together(self, tmp_path: Path) -> None:
        from PIL import Image

        grey = draw(tmp_path / "a.png")
        colour = draw(tmp_path / "b.png", "RGB", seed=1)
        alpha = draw(tmp_path / "c.png", "RGBA", seed=2)
        alpha[..., 3] = 255
        Image.fromarray(alpha).save(tmp_path / "c.png")
        x = data.load(tmp_path, test_fraction=0).x_train
        assert x.shape == (3, 3, 6, 4)
        for channel in range(3):
            np.testing.assert_array_equal(x[0, channel], grey.astype("f4") / 255)
            np.testing.assert_array_equal(x[1, channel], colour[..., channel].astype("f4") / 255)
            np.testing.assert_array_equal(x[2, channel], alpha[..., channel].astype("f4") / 255)

    def test_sub_folders_are_classes(self, tmp_path: Path) -> None:
        for kind, n in (("dog", 12), ("cat", 8)):
            for i in range(n):
                draw(tmp_path / kind / f"{i:02}.png", seed=i)
        (tmp_path / ".cache").mkdir()
        own = data.load(tmp_path)
        assert own.y_train is not None
        assert own.y_test is not None
        assert own.y_train.dtype == np.int64
        assert own.x_test.shape == (2, 1, 6, 4)
        counts = np.bincount(np.concatenate([own.y_train, own.y_test]))
        np.testing.assert_array_equal(counts, [8, 12])  # 0 cat, 1 dog
        assert own.y_train.min() == 0  # the test set is not just the last class

    def test_sizes(self, tmp_path: Path) -> None:
        draw(tmp_path / "a.png", size=(6, 4))
        draw(tmp_path / "b.png", size=(8, 5))
        with pytest.raises(ValueError, match=r"b.png is 8 × 5 pixels, the first image 6 × 4; pass"):
            data.load(tmp_path)
        assert data.load(tmp_path, image_size=(3, 2)).x_train.shape == (1, 1, 3, 2)
        assert data.load(tmp_path, image_size=7).x_train.shape == (1, 1, 7, 7)
        for wrong in (0, -1, (3, 0), (3, 3, 3)):
            with pytest.raises(ValueError, match=r"a pair of them \(height, width\)"):
                data.load(tmp_path, image_size=wrong)  # type: ignore[arg-type]

    def test_photos_are_turned_upright(self, tmp_path: Path) -> None:
        from PIL import Image

        pixels = np.repeat(np.arange(24, dtype=np.uint8)[:, None] * 10, 16, axis=1)
        photo = Image.fromarray(pixels)
        exif = photo.getexif()
        exif[0x0112] = 6  # orientation: turn by 90° clockwise
        photo.save(tmp_path / "a.png", exif=exif)
        x = data.load(tmp_path, test_fraction=0).x_train
        np.testing.assert_array_equal(x[0, 0], np.rot90(pixels, -1).astype("f4") / 255)

    @pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
    def test_a_damaged_image_is_named(self, suffix: str, tmp_path: Path) -> None:
        draw(tmp_path / "a.png", "RGB", size=(60, 40))
        bad = tmp_path / f"b.{suffix}"
        draw(bad, "RGB", size=(60, 40))
        bad.write_bytes(bad.read_bytes()[:300])
        with pytest.raises(ValueError, match=f"cannot read the image .*b.{suffix}"):
            data.load(tmp_path)
        bad.write_bytes(b"no image")
        with pytest.raises(ValueError, match=f"cannot read the image .*b.{suffix}"):
            data.load(tmp_path)

    def test_folders_without_images(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="holds no images"):
            data.load(tmp_path)
        draw(tmp_path / "cat" / "a.png")
        (tmp_path / "dog").mkdir()
        with pytest.raises(ValueError, match="dog holds no images"):
            data.load(tmp_path)
        draw(tmp_path / "b.png")
        with pytest.raises(ValueError, match="both beside and inside sub-folders"):
            data.load(tmp_path)


def test_images_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'needs Pillow; run: pip install "tinyae\[images\]"'):
        data.load(tmp_path)


# ---- published data ------------------------------------------------------------------------------


class TestReal:
    pytestmark = pytest.mark.real_data

    @pytest.fixture(autouse=True)
    def here(self, elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TINYAE_DATA", str(REAL))

    @pytest.mark.parametrize(("name", "mean"), [("mnist", 0.1306604), ("fashion-mnist", 0.2860406)])
    def test_images(self, name: str, mean: float) -> None:
        one = data.load(name)
        assert one.x_train.shape == (60_000, 1, 28, 28)
        assert one.x_test.shape == (10_000, 1, 28, 28)
        assert one.x_train.dtype == one.x_test.dtype == np.float32
        assert (one.x_train.min(), one.x_train.max()) == (0, 1)
        assert one.x_train.mean(dtype=np.float64) == pytest.approx(mean, abs=1e-6)
        assert one.y_train is not None
        assert one.y_train.shape == (60_000,)
        np.testing.assert_array_equal(np.unique(one.y_test), np.arange(10))

    def test_ecg(self) -> None:
        ecg = data.load("ecg5000")
        assert (ecg.x_train.shape, ecg.x_test.shape) == ((500, 140), (4_500, 140))
        assert ecg.y_train is not None
        assert ecg.y_test is not None
        assert (ecg.y_train.sum(), ecg.y_test.sum()) == (292, 2_627)

    def test_ecg_from_the_archive_is_the_same_text(self) -> None:
        path = next(data.fetch("ecg5000").glob("ecg.csv*"))
        with path.open("rb") as stream:
            text = published._unpack(stream, published.LIMIT)
        table = published.parse_ecg(text)
        kinds = np.where(table[:, -1] == 1, 1, 3)
        rows = np.column_stack([kinds, table[:, :-1]])
        lines = ["".join(f"{v:16.7e}" for v in row) + "\n" for row in rows]
        assert published.ecg_csv(archive(lines[:500], lines[500:])) == text
