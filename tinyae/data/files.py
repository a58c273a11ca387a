"""The user's own data: .npy, .npz, .csv (or .csv.gz), or a folder of images.

Input                  x, always float32
---------------------  -----------------------------------------------------------------------------
.npy, .npz: float32    unchanged; an .npy stays on disk, memory-mapped and read-only
  other floats, bool   converted to float32 in memory
  uint8                pixels: divided by 255 to be in [0, 1], in memory
  other integers       rejected: save pixels as uint8 and other numbers as float32
.csv, .csv.gz          unchanged, with one feature per column; a header line is skipped
folder of images       (N, C, H, W) pixels in [0, 1], C = 1 if all images are grey, otherwise 3

The first axis is the sample axis; the shape is kept. Labels come from the y arrays of an .npz or
from sub-folders of images: class k is the k-th sub-folder by name.

Some samples are held out as the test set. For an .npy these are the last ones, so that both sets
stay memory-mapped (shuffle sorted data before you save it). Otherwise they are a random choice with
a fixed seed. NaN and infinity are rejected; to check this, an .npy is read once in full. Nothing is
unpickled.
"""

import gzip
import zipfile
import zlib
from itertools import chain
from pathlib import Path
from typing import TextIO

import numpy as np

from tinyae import archive, files

Arrays = tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]

HELD_OUT = 0.1
LARGEST = float(np.finfo(np.float32).max)
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


def load(
    path: Path,
    *,
    test_fraction: float | None = None,
    image_size: int | tuple[int, int] | None = None,
) -> Arrays:
    """Read x_train, y_train, x_test, y_test from a file or a folder; y is None without labels.

    test_fraction   the fraction to hold out as x_test, 0 ≤ test_fraction < 1; None means 0.1.
                    Not for an .npz with its own x_test
    image_size      resize every image to (height, width), or to a square, bilinearly.
                    Only for a folder of images

    Raises    FileNotFoundError if the path does not exist; ValueError for data that cannot be
              read or used, with the position of the fault; ModuleNotFoundError for images
              without Pillow.
    """
    found = files.kind(path)
    if found == "nothing":
        raise FileNotFoundError(f"load: there is no file or folder {path}")
    if found not in ("file", "folder"):
        raise ValueError(f"load: {path} is a {found}, expected a file or a folder; name it")
    if test_fraction is not None and not 0 <= test_fraction < 1:
        raise ValueError(f"load: test_fraction is {test_fraction}, expected 0 ≤ test_fraction < 1")
    if image_size is not None and not path.is_dir():
        raise ValueError(f"load: image_size is for a folder of images, but {path} is a file")
    fraction = HELD_OUT if test_fraction is None else test_fraction

    name = path.name.lower()
    if path.is_dir():
        return _hold_out_some(*_read_images(path, image_size), fraction)
    if name.endswith(".npy"):
        return _hold_out_last(_read_npy(path), fraction)
    if name.endswith((".csv", ".csv.gz")):
        return _hold_out_some(_read_csv(path), None, fraction)
    if name.endswith(".npz"):
        arrays = _read_npz(path)
        if "x" in arrays:
            return _hold_out_some(arrays["x"], arrays.get("y"), fraction)
        if test_fraction is not None:
            raise ValueError(f"load: {path} has its own x_test; omit test_fraction")
        return arrays["x_train"], arrays.get("y_train"), arrays["x_test"], arrays.get("y_test")
    raise ValueError(
        f"load: cannot read {path}; expected a .npy, .npz, .csv or .csv.gz file "
        "or a folder of images"
    )


# ---- hold out ------------------------------------------------------------------------------------


def _hold_out_last(x: np.ndarray, fraction: float) -> Arrays:
    n = len(x) - _test_size(len(x), fraction)
    return x[:n], None, x[n:], None  # views, so that memory maps stay mapped


def _hold_out_some(x: np.ndarray, y: np.ndarray | None, fraction: float) -> Arrays:
    order = np.random.default_rng(0).permutation(len(x))
    n = len(x) - _test_size(len(x), fraction)
    train, test = np.sort(order[:n]), np.sort(order[n:])
    if y is None:
        return x[train], None, x[test], None
    return x[train], y[train], x[test], y[test]


def _test_size(n: int, fraction: float) -> int:
    size = max(1, round(n * fraction)) if fraction else 0
    if size == n:
        raise ValueError(
            f"load: holding out {fraction:.0%} of {n} sample(s) leaves none to train on; "
            "pass a smaller test_fraction, or 0 to hold out nothing"
        )
    return size


# ---- arrays --------------------------------------------------------------------------------------


def _read_npy(path: Path) -> np.ndarray:
    return _samples(archive.read_npy("load", path), f"the array in {path}")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays x (and y), or x_train and x_test (and y_train and y_test)."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a zip archive")
        archive.check_members(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key]) for key in file.files}
    except Exception as error:  # zipfile raises many types of error for damaged files
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = str(error) or type(error).__name__
        raise ValueError(f"load: {path} is not a readable .npz file ({reason[:200]})") from error
    if len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    parts = {
        frozenset({"x"}): [""],
        frozenset({"x", "y"}): [""],
        frozenset({"x_train", "x_test"}): ["_train", "_test"],
        frozenset({"x_train", "x_test", "y_train", "y_test"}): ["_train", "_test"],
    }.get(frozenset(arrays))
    if parts is None:
        raise ValueError(
            f"load: {path} has the keys {', '.join(arrays) or '(none)'}; expected one array, or "
            "x and y, or x_train and x_test, or x_train, y_train, x_test and y_test"
        )
    for part in parts:
        x = arrays[f"x{part}"] = _samples(arrays[f"x{part}"], f"x{part} in {path}")
        y = arrays.get(f"y{part}")
        if y is not None and (y.dtype.kind not in "biuf" or y.ndim == 0 or len(y) != len(x)):
            raise ValueError(
                f"load: y{part} in {path} has shape {y.shape} and dtype {y.dtype}, "
                f"expected {len(x)} numbers, one a sample"
            )
    if len(parts) == 2 and arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise ValueError(
            f"load: {path} has samples of shape {arrays['x_train'].shape[1:]} in x_train and "
            f"{arrays['x_test'].shape[1:]} in x_test; both must agree"
        )
    return arrays


def _samples(x: np.ndarray, where: str) -> np.ndarray:
    """x as finite float32 with at least one sample; not copied if it is float32 already."""
    if x.ndim < 2 or x.size == 0:
        raise ValueError(
            f"load: {where} has shape {x.shape}, expected at least one sample along the first axis "
            "and its features along the others"
        )
    if x.dtype == np.uint8:
        return np.divide(x, np.float32(255), dtype=np.float32)
    if x.dtype.kind in "iu":
        raise ValueError(
            f"load: {where} is {x.dtype}, whose scale is not known; save pixels 0 … 255 as uint8 "
            "(they are divided by 255) and other numbers as float32 (they are left alone)"
        )
    if x.dtype.kind not in "fb":
        raise ValueError(f"load: {where} is {x.dtype}, expected real numbers; save it as float32")
    with np.errstate(over="ignore"):  # reported below
        x = x.astype(np.float32, copy=False)
    rows = max(1, (1 << 22) // x[0].size)  # rows at a time: x may be larger than memory
    count, first = 0, ""
    for start in range(0, len(x), rows):
        bad = np.argwhere(~np.isfinite(x[start : start + rows]))
        if len(bad) and not first:
            first = ", ".join(str(i) for i in bad[0] + [start, *[0] * (x.ndim - 1)])
        count += len(bad)
    if count:
        raise ValueError(
            f"load: {where} has {count:,} NaN or infinite values (in float32), the first at index "
            f"[{first}]; remove those samples or fill the gaps"
        )
    return x


# ---- tables --------------------------------------------------------------------------------------


def _read_csv(path: Path) -> np.ndarray:
    try:
        with _open_text(path) as stream:
            lines = (line for line in stream if line.strip())
            first = next(lines, "")
            if _is_header(first):
                first = next(lines, "")
            if not first:
                raise ValueError("it has no line of numbers")
            x = np.loadtxt(
                chain([first], lines),
                np.float32,
                comments=None,
                delimiter=",",
                quotechar='"',
                ndmin=2,
            )
            if np.isfinite(x).all():
                return x
            reason = "it holds NaN or infinity"
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"load: {path} is a damaged gzip file ({error})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"load: {path} is not text in UTF-8 ({error})") from error
    except ValueError as error:
        reason = str(error)
    raise ValueError(f"load: cannot read {path}: {_bad_cell(path) or reason}")


def _open_text(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _cells(line: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(",")]


def _is_header(line: str) -> bool:
    """True if all cells are names. A line with a number or an empty cell counts as data."""
    return all(cell and not _is_number(cell) for cell in _cells(line))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _bad_cell(path: Path) -> str:
    """The position of the first fault in a table, and how to correct it."""
    with _open_text(path) as stream:
        lines = ((n, line) for n, line in enumerate(stream, start=1) if line.strip())
        width = 0
        for i, (number, line) in enumerate(lines):
            if i == 0 and _is_header(line):
                continue
            cells = _cells(line)
            width = width or len(cells)
            for column, cell in enumerate(cells, start=1):
                position = f"line {number}, column {column}"
                if not cell:
                    return f"{position} is empty; fill the gap or remove the line"
                if not _is_number(cell):
                    return f"{position} is {cell!r}; expected numbers with commas between"
                if not abs(float(cell)) <= LARGEST:
                    return f"{position} is {cell!r}; expected a finite float32 number"
            if len(cells) != width:
                return f"line {number} has {len(cells)} cells; expected {width}, as above it"
    return ""


# ---- images --------------------------------------------------------------------------------------


def _read_images(
    folder: Path, image_size: int | tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """x (N, C, H, W), sorted by name; y (N,) int64 if the images are in sub-folders."""
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"load: image_size is {image_size}, expected (height, width), at least 1")
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    groups = [_images_in(part) for part in classes or [folder]]
    if classes and _images_in(folder):
        raise ValueError(
            f"load: {folder} has images both beside and inside sub-folders; move all into "
            "sub-folders, one a class, or all out of them"
        )
    for part, group in zip(classes or [folder], groups):
        if not group:
            raise ValueError(f"load: {part} holds no images ({', '.join(IMAGES)})")

    files = [file for group in groups for file in group]
    images = [_pixels(file, size) for file in files]
    height, width = images[0].shape[:2]
    channels = 3 if any(image.ndim == 3 for image in images) else 1
    x = np.empty((len(images), channels, height, width), np.float32)
    for n, image in enumerate(images):
        if image.shape[:2] != (height, width):
            raise ValueError(
                f"load: {files[n]} is {image.shape[0]} × {image.shape[1]} pixels, the first image "
                f"{height} × {width}; pass image_size=(height, width) to resize all"
            )
        # grey is broadcast to all channels
        x[n] = image.transpose(2, 0, 1) if image.ndim == 3 else image
    x /= 255
    y = np.repeat(np.arange(len(groups)), [len(group) for group in groups]) if classes else None
    return x, y


def _images_in(folder: Path) -> list[Path]:
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.is_file())
    return sorted(p for p in files if not p.name.startswith("."))


def _pixels(file: Path, size: tuple[int, int] | None) -> np.ndarray:
    """(H, W) grey or (H, W, 3) colour, uint8; rotated upright, transparency removed."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ModuleNotFoundError(
            'load: a folder of images needs Pillow; run: pip install "tinyae[images]"'
        ) from error
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError("it has more than 8 bits a channel; save it with 8 bits")
            grey = image.mode in ("1", "L", "LA")
            upright = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
            if size is not None:
                upright = upright.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            return np.asarray(upright)
    except Exception as error:  # image decoders raise many types of error
        raise ValueError(f"load: cannot read the image {file} ({error})") from error
