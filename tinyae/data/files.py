"""The user's own data: .npy, .npz, .csv (or .csv.gz), or a folder of images.

Input                  x, always float32
---------------------  -----------------------------------------------------------------------------
.npy, .npz: float32    unchanged; an .npy stays on disk, memory-mapped and read-only
  other floats, bool   converted to float32 in memory
  uint8                pixels: divided by 255 to be in [0, 1], in memory
  other integers       rejected: save pixels as uint8 and other numbers as float32
.csv, .csv.gz          unchanged, with one feature per column; a header line is skipped
folder of images       (N, C, H, W) pixels in [0, 1], C = 1 if all images are grey, otherwise 3;
                       upright, transparent ones laid on white (with a warning), CMYK without its
                       colour profile. 16 bits are divided by 65535; of colours only the upper 8
                       bits are read (with a warning). Animations are rejected

The first axis is the sample axis; the shape is kept. Labels come from the y arrays of an .npz or
from sub-folders of images: class k is the k-th sub-folder by name.

Some samples are held out as the test set. For an .npy these are the last ones, so that both sets
stay memory-mapped (shuffle sorted data before you save it). Otherwise they are a random choice with
a fixed seed. NaN and infinity are rejected; to check this, an .npy is read once in full. Where
float32 would merge the values of a feature, as it does whole numbers beyond 2²⁴, a warning names it.
Nothing is unpickled.
"""

import warnings
import zipfile
from pathlib import Path

import numpy as np

from tinyae import archive, files
from tinyae.arguments import number, positive_pair
from tinyae.arrays import lost_by_rounding
from tinyae.data.pictures import read_images
from tinyae.data.tables import read_csv
from tinyae.wording import counted

Arrays = tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]

HELD_OUT = 0.1


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
    size = None if image_size is None else positive_pair("load", "image_size", image_size, 28)
    if (
        test_fraction is not None
        and not 0 <= number("load", "test_fraction", test_fraction, 0.1) < 1
    ):
        raise ValueError(f"load: test_fraction is {test_fraction}, expected 0 ≤ test_fraction < 1")
    if image_size is not None and not path.is_dir():
        raise ValueError(f"load: image_size is for a folder of images, but {path} is a file")
    fraction = HELD_OUT if test_fraction is None else test_fraction

    name = path.name.lower()
    if path.is_dir():
        return _hold_out_some(*read_images(path, size), fraction)
    if name.endswith(".npy"):
        return _hold_out_last(_read_npy(path), fraction)
    if name.endswith((".csv", ".csv.gz")):
        return _hold_out_some(read_csv(path), None, fraction)
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


def held_out(rows: int, fraction: float, last: bool) -> tuple[np.ndarray, np.ndarray]:
    """The places of the rows to train on and to hold out: the last ones, or a fixed random choice."""
    n = rows - _test_size(rows, fraction)
    order = np.arange(rows) if last else np.random.default_rng(0).permutation(rows)
    return np.sort(order[:n]), np.sort(order[n:])


def _hold_out_last(x: np.ndarray, fraction: float) -> Arrays:
    n = len(x) - _test_size(len(x), fraction)
    return x[:n], None, x[n:], None  # views, so that memory maps stay mapped


def _hold_out_some(x: np.ndarray, y: np.ndarray | None, fraction: float) -> Arrays:
    train, test = held_out(len(x), fraction, last=False)
    if y is None:
        return x[train], None, x[test], None
    return x[train], y[train], x[test], y[test]


def _test_size(n: int, fraction: float) -> int:
    size = max(1, round(n * fraction)) if fraction else 0
    if size == n:
        raise ValueError(
            f"load: holding out {fraction:.0%} of {counted(n, 'sample')} leaves none to train "
            "on; add more, or pass test_fraction=0 to hold out nothing"
        )
    return size


# ---- arrays --------------------------------------------------------------------------------------


def _read_npy(path: Path) -> np.ndarray:
    return _samples(archive.read_npy("load", path), f"the array in {path}")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays x (and y), or x_train and x_test (and y_train and y_test)."""
    with archive.reading("load", path, ".npz"):
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a zip archive")
        archive.check_members(path)
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key]) for key in file.files}
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
            "x and y, or x_train and x_test, or x_train, y_train, x_test and y_test; save the one that "
            "is meant with np.save"
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
    """x as finite float32 with at least one sample; not copied if it is float32 already.

    Pictures (N, H, W, 3) become (N, 3, H, W), with a warning.
    """
    if x.ndim == 4 and x.shape[3] in (3, 4) and x.shape[1] not in (1, 3, 4):
        warnings.warn(
            f"load: {where} has shape {x.shape} and is taken for pictures whose channels come last; "
            f"it is used as {x.transpose(0, 3, 1, 2).shape}",
            stacklevel=3,
        )
        x = x.transpose(0, 3, 1, 2)
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
    wide = x
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
    lost = lost_by_rounding(wide, np.float32)
    if lost is not None:
        entry = ", ".join(map(str, (":", *lost[0])))
        warnings.warn(
            f"load: {where}, at [{entry}], {lost[1]}; subtract its least value, or leave it out",
            stacklevel=2,
        )
    return x
