"""Published data sets: find the files, download what is missing, verify every byte, parse.

The files of a set are looked for in this order:

1. ``$TINYAE_DATA/<name>/``, or ``$TINYAE_DATA`` itself if that folder is called ``<name>``;
2. the cache, ``<cache>/tinyae/<name>/``, where <cache> is ``$XDG_CACHE_HOME`` or ``~/.cache``,
   on Windows ``%LOCALAPPDATA%``;
3. the publisher: downloads are verified, and then stored in the cache.

A folder is used if it holds all files of a set, gzipped or not. Every file is verified each time it
is read. Sizes are known in advance, so nothing larger is ever downloaded or unpacked.

Source    LeCun, Bottou, Bengio & Haffner (1998), MNIST; Xiao, Rasul & Vollgraf (2017),
          Fashion-MNIST; Goldberger et al. (2000), BIDMC record chf07, which is ECG5000 in the
          UCR archive of Dau et al. (2019)
"""

import gzip
import hashlib
import io
import math
import os
import zipfile
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from tinyae import files

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x_train, y_train, x_test, y_test

TIMEOUT = 30.0  # seconds without a byte from the server
LIMIT = 64 << 20  # bytes: no file of these sets is larger, packed or unpacked


class Idx(NamedTuple):
    """The expected content of an IDX file."""

    shape: tuple[int, ...]
    sha256: str  # of the unpacked bytes; the gzip files differ between mirrors


IDX_FILES = {
    "mnist": {
        "train-images-idx3-ubyte": Idx(
            (60_000, 28, 28), "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": Idx(
            (60_000,), "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": Idx(
            (10_000, 28, 28), "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": Idx(
            (10_000,), "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": Idx(
            (60_000, 28, 28), "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte": Idx(
            (60_000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte": Idx(
            (10_000, 28, 28), "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte": Idx(
            (10_000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    },
}

# MNIST and Fashion-MNIST: folders of .gz files. ECG5000: the UCR text files in an archive.
# TensorFlow's ecg.csv is not used: its last two beats are missing (4,998 rows).
URLS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    "ecg5000": (
        "https://www.timeseriesclassification.com/aeon-toolkit/ECG5000.zip",
        "http://www.timeseriesclassification.com/aeon-toolkit/ECG5000.zip",
    ),
}

ECG_FILE = "ecg.csv"
ECG_SAMPLES = 140
ECG_TRAIN_ROWS = 500
ECG_ROWS = 5_000
ECG_LABELS_SHA256 = "1cc30f0729208008f6eb41b9a75fab07d5bffcfeda07e56fc1120aecf388248e"
ECG_PROJECTION = -132.94093  # Σₖ cos(k) xₖ over all samples in the order of the file


def load(name: str) -> Arrays:
    """Read a published set; download it first if it is not on this computer.

    Shapes    mnist, fashion-mnist: x (N, 1, 28, 28) float32 in [0, 1], y (N,) int64 in 0 … 9
              ecg5000: x (N, 140) float32 as published, y (N,) int64, 1 normal and 0 abnormal
    Raises    FileNotFoundError if the files are not on this computer and cannot be downloaded;
              ValueError if a file is damaged or is not the published one.
    """
    arrays = {file: _read(name, file, path) for file, path in _locate(name).items()}
    if name == "ecg5000":
        table = arrays[ECG_FILE]
        x, y = table[:, :-1].copy(), table[:, -1].astype(np.int64)
        return x[:ECG_TRAIN_ROWS], y[:ECG_TRAIN_ROWS], x[ECG_TRAIN_ROWS:], y[ECG_TRAIN_ROWS:]
    return (
        _unit_images(arrays["train-images-idx3-ubyte"]),
        arrays["train-labels-idx1-ubyte"].astype(np.int64),
        _unit_images(arrays["t10k-images-idx3-ubyte"]),
        arrays["t10k-labels-idx1-ubyte"].astype(np.int64),
    )


def fetch(name: str) -> Path:
    """Make sure that a published set is on this computer and intact; return its folder.

    Raises    ValueError for a name that is not a published set; otherwise as `load` does.
    """
    if name not in URLS:
        raise ValueError(
            f"fetch: no published data set is named {name!r}; the names are {', '.join(URLS)}"
        )
    paths = _locate(name)
    for file, path in paths.items():
        _read(name, file, path)
    return paths[_files(name)[0]].parent


def cache_folder() -> Path:
    """The folder for downloads, which may not exist yet."""
    base = Path(os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "tinyae"


# ---- find ----------------------------------------------------------------------------------------


def _locate(name: str) -> dict[str, Path]:
    """The paths of a set's files, in the first folder that has them all; else download them."""
    for folder in _folders(name):
        paths = _paths(name, folder)
        if len(paths) == len(_files(name)):
            return paths
    return _download(name)


def _folders(name: str) -> list[Path]:
    folders = [cache_folder() / name]
    if data_folder := os.environ.get("TINYAE_DATA"):
        root = Path(data_folder).expanduser()
        folders.insert(0, root if root.name == name else root / name)
    return folders


def _files(name: str) -> list[str]:
    return [ECG_FILE] if name == "ecg5000" else list(IDX_FILES[name])


def _paths(name: str, folder: Path) -> dict[str, Path]:
    """The files of a set that a folder holds, gzipped or not."""
    return {
        file: path
        for file in _files(name)
        for path in (folder / f"{file}.gz", folder / file)  # if both exist, the second is used
        if path.is_file()
    }


# ---- read and verify -----------------------------------------------------------------------------
# Faults raise a ValueError whose message completes the sentence "<path or URL> …".


def _read(name: str, file: str, path: Path) -> np.ndarray:
    try:
        with path.open("rb") as stream:
            return _parse(name, file, stream)
    except ValueError as error:
        raise ValueError(
            f"load: {path} {error}; delete it, and load downloads it anew, "
            "or put the published file in its place"
        ) from error


def _parse(name: str, file: str, stream: BinaryIO) -> np.ndarray:
    if name == "ecg5000":
        return parse_ecg(_unpack(stream, LIMIT))
    expected = IDX_FILES[name][file]
    raw = _unpack(stream, 4 + 4 * len(expected.shape) + math.prod(expected.shape))
    array = parse_idx(raw)
    if array.shape != expected.shape:
        raise ValueError(f"has the shape {array.shape}, expected {expected.shape} for {name}")
    if hashlib.sha256(raw).hexdigest() != expected.sha256:
        raise ValueError(
            f"is not the published file of {name}: its SHA-256 differs, "
            "so it is damaged or belongs to another data set"
        )
    return array


def _unpack(stream: Any, limit: int) -> bytes:
    """All bytes of a file, gzipped or not, but never more than `limit`."""
    gzipped = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    try:
        raw = (gzip.GzipFile(fileobj=stream) if gzipped else stream).read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"is a damaged or truncated gzip file ({error})") from error
    if len(raw) > limit:
        raise ValueError(f"holds more than the expected {limit:,} bytes")
    return bytes(raw)


def parse_idx(raw: bytes) -> np.ndarray:
    """The array of unsigned bytes in an IDX file, as a read-only view.

    Format    0 0 8 d, then d axis lengths as big-endian 32-bit integers, then the values
    Raises    ValueError if the magic number is wrong or the length is not what the header says.
    """
    if raw[:3] != b"\0\0\x08" or len(raw) < 4:
        raise ValueError(
            f"is not an IDX file: it starts with the bytes '{raw[:4].hex(' ')}', "
            "expected '00 00 08' and the number of axes"
        )
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4))
    size = start + math.prod(shape)
    if len(raw) != size:
        word = "truncated" if len(raw) < size else "too long"
        raise ValueError(f"is {word}: it holds {len(raw):,} bytes, expected {size:,}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _unit_images(pixels: np.ndarray) -> np.ndarray:
    """(N, H, W) bytes 0 … 255 → (N, 1, H, W) float32 in [0, 1]."""
    return np.divide(pixels[:, None], np.float32(255), dtype=np.float32)


def parse_ecg(raw: bytes) -> np.ndarray:
    """The rows of ecg.csv, (5000, 141) float32: 140 samples, then 1 for normal or 0 for abnormal.

    Copies differ in the number of digits, so a checksum of the text is not possible. Instead the
    content is verified: the labels exactly, the samples by properties that survive rounding. Every
    published beat has mean 0 and standard deviation 1, which detects changed samples. A projection
    with a different weight for every sample detects a changed order.

    Raises    ValueError if the text is not this table.
    """
    lines = raw.decode("latin-1").splitlines()
    try:
        table = np.loadtxt(lines or ["nothing"], np.float32, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(f"is not a table of numbers ({error})") from error
    if table.shape != (ECG_ROWS, ECG_SAMPLES + 1):
        raise ValueError(
            f"has {len(table):,} rows of {table.shape[1]} numbers, expected {ECG_ROWS:,} rows of "
            f"{ECG_SAMPLES} samples and a label (a copy of 4,998 rows lacks the last two beats)"
        )
    x, y = table[:, :-1].astype(np.float64), table[:, -1]
    labels = hashlib.sha256((y == 1).astype(np.int8).tobytes()).hexdigest()
    if labels != ECG_LABELS_SHA256 or not np.isin(y, (0, 1)).all():
        raise ValueError("has other labels than ECG5000: the UCR order, 1 normal, 0 abnormal")
    with np.errstate(invalid="ignore"):  # samples may be infinite
        off_mean = np.abs(x.mean(axis=1)).max()
        off_std = np.abs(x.std(axis=1, ddof=1) - 1).max()
        off_projection = abs(x.ravel() @ np.cos(np.arange(x.size)) - ECG_PROJECTION)
    if not (off_mean < 1e-5 and off_std < 1e-5 and off_projection < 2e-3):
        raise ValueError("has other samples than ECG5000: some are changed or in another order")
    return table


def ecg_csv(archive: bytes) -> bytes:
    """Turn the UCR archive ECG5000.zip into the text of ecg.csv, training rows first.

    A UCR row is the class (1 normal, 2 … 5 abnormal), then 140 samples of 8 digits. They are
    rounded to float32 and written with 7 digits, so that every copy loads as the same numbers.

    Raises    ValueError if ``archive`` is not that archive.
    """
    lines = []
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            for file in ("ECG5000_TRAIN.txt", "ECG5000_TEST.txt"):
                with members.open(file) as stream:
                    rows = _unpack(stream, LIMIT).decode("latin-1").splitlines()
                for row in np.loadtxt(rows or ["nothing"], np.float32, ndmin=2):
                    samples = ",".join(f"{value:.7g}" for value in row[1:])
                    lines.append(f"{samples},{float(row[0] == 1)}\n")
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, ValueError, RuntimeError) as error:
        raise ValueError(f"is not the archive ECG5000.zip ({error})") from error
    return "".join(lines).encode()


# ---- download ------------------------------------------------------------------------------------


def _download(name: str) -> dict[str, Path]:
    """Download the files of a set that the cache lacks; return the paths of all."""
    folder = cache_folder() / name
    for file in _files(name):
        if file not in _paths(name, folder):
            _download_file(name, file, folder)
    return _paths(name, folder)


def _download_file(name: str, file: str, folder: Path) -> None:
    """Try one mirror after the other until a file can be verified; then store it."""
    problems = []
    for url in URLS[name]:
        try:
            folder.mkdir(parents=True, exist_ok=True)  # first: fail before downloading
            if name == "ecg5000":
                path, raw = folder / file, ecg_csv(_get(url))
            else:
                url = f"{url}{file}.gz"
                path, raw = folder / f"{file}.gz", _get(url)
            _parse(name, file, io.BytesIO(raw))
            _store(path, raw)
            return
        except (OSError, ValueError) as error:
            problems.append(f"  {url} {error}")
    raise FileNotFoundError(_advice(name, problems))


def _get(url: str) -> bytes:
    # imported here: they would be a fifth of the time of `import tinyae`
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    blocks: list[bytes] = []
    size = 0
    try:
        with urlopen(Request(url, headers={"User-Agent": "tinyae"}), timeout=TIMEOUT) as response:
            length = int(response.headers.get("Content-Length") or 0)  # 0 if unknown
            with _progress(url, length) as bar:
                while block := response.read(1 << 16):
                    blocks.append(block)
                    size += len(block)
                    if size > LIMIT:
                        raise ValueError(f"sends more than {LIMIT:,} bytes")
                    if bar is not None:
                        bar.update(len(block))
    except HTTPError as error:
        error.close()
        raise OSError(f"answers {error.code} {error.reason}") from error
    except URLError as error:
        raise OSError(f"cannot be reached ({error.reason})") from error
    except HTTPException as error:
        raise OSError(f"sends a broken answer ({error!r})") from error
    if size < length:
        raise OSError(f"broke off after {size:,} of {length:,} bytes")
    return b"".join(blocks)


def _progress(url: str, length: int) -> Any:
    """A tqdm bar on stderr if that is a terminal; nothing without tqdm."""
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    name = url.rpartition("/")[2]
    return tqdm(total=length or None, unit="B", unit_scale=True, desc=name, disable=None)


def _store(path: Path, raw: bytes) -> None:
    files.write("load", path, lambda file: file.write(raw))


def _advice(name: str, problems: list[str]) -> str:
    """The error message for a set that is missing and cannot be downloaded."""
    looked = []
    for folder in _folders(name):
        present = _paths(name, folder)
        lacks = [file for file in _files(name) if file not in present]
        looked.append(f"  {folder} lacks {', '.join(lacks)}")
    return "\n".join(
        [
            f"load: the data set {name!r} is not on this computer and could not be downloaded.",
            "Looked in:",
            *looked,
            "Tried:",
            *problems,
            f"Put the files, gzipped or not, into a folder {name} and set the environment variable "
            f"TINYAE_DATA to the folder around it; or run `tinyae data fetch {name}` where there "
            "is a network and copy the folder that it prints.",
        ]
    )
