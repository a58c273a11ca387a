"""One's own data in their own order: every row, and what names it.

source = read("pumps.csv", table=TableOptions(label="fault"))
source.part()         # all rows, in the order of the file
source.part("test")   # those that a training holds out
"""

from __future__ import annotations

import gzip
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyae import data, files
from tinyae.arguments import positive_pair
from tinyae.data import columns, sound
from tinyae.data.columns import Rows, TableOptions
from tinyae.data.files import HELD_OUT, _read_npy, _read_npz, held_out
from tinyae.data.pictures import IMAGES, read_pictures

TABLES = (".csv", ".csv.gz", ".tsv", ".txt", ".parquet")
PARTS = ("all", "train", "test")
WINDOW = 1024


@dataclass
class Source:
    """Rows as they were read: undivided ("all"), or divided ("train" and "test").

    last    whether the last rows are held out, and not a random choice
    rate    of a sound, its sampling rate;   hop: from one window to the next
    """

    name: str
    rows: dict[str, Rows]
    last: bool = False
    rate: int = 0
    hop: int = 0

    def part(self, which: str | None = None) -> Rows:
        """The rows of a part; without a name all rows, or the test rows of data that come divided."""
        if which is None:
            which = "all" if "all" in self.rows else "test"
        if which in self.rows:
            return self.rows[which]
        if which == "all":
            return _joined(self.rows["train"], self.rows["test"])
        whole = self.rows["all"]
        train, test = held_out(len(whole.x), HELD_OUT, self.last)
        return select(whole, train if which == "train" else test)


def read(
    path: str,
    *,
    table: TableOptions | None = None,
    image_size: Any = None,
    window: int | None = None,
    hop: int | None = None,
) -> Source:
    """A data set by name, or one's own: a table, arrays, a folder of pictures, a sound, "-".

    Raises
        ValueError  options that do not apply to such data, or data that cannot be used
        FileNotFoundError  there is no such file
    """
    kind = kind_of(path)
    _check_options(path, kind, table, image_size, window, hop)
    table = table or TableOptions()
    if kind == "named":
        dataset = data.load(path)
        return Source(
            path,
            {
                "train": Rows(np.asarray(dataset.x_train), dataset.y_train),
                "test": Rows(np.asarray(dataset.x_test), dataset.y_test),
            },
        )
    if kind == "pictures":
        size = None if image_size is None else positive_pair("load", "image_size", image_size, 28)
        x, y, found = read_pictures(Path(path), size)
        names = [str(f.relative_to(path)) if Path(path).is_dir() else f.name for f in found]
        classes = None if y is None else sorted({str(Path(name).parent) for name in names})
        return Source(Path(path).name, {"all": Rows(x, y, classes, names, "file")})
    if kind == "sound":
        signal, rate = sound.read_wav(Path(path))
        window = window or WINDOW
        hop = hop or max(1, window // 4)
        x = sound.windows(signal, window, hop)
        starts = [f"{k * hop / rate:.6f}" for k in range(len(x))]
        return Source(
            Path(path).name,
            {"all": Rows(x, index=starts, index_name="seconds")},
            rate=rate,
            hop=hop,
        )
    if kind == "table":
        return Source(
            "stdin" if path == "-" else Path(path).name, {"all": _read_table(path, table)}
        )
    if path.lower().endswith(".npy"):
        return Source(Path(path).name, {"all": Rows(_read_npy(Path(path)))}, last=True)
    arrays = _read_npz(Path(path))
    if "x" in arrays:
        return Source(Path(path).name, {"all": Rows(arrays["x"], arrays.get("y"))})
    parts = {part: Rows(arrays[f"x_{part}"], arrays.get(f"y_{part}")) for part in ("train", "test")}
    return Source(Path(path).name, parts)


def kind_of(path: str) -> str:
    """What a name or a path stands for: "named", "table", "arrays", "pictures" or "sound"."""
    name = path.lower()
    if path in data.DATASETS:
        return "named"
    if path == "-" or name.endswith(TABLES):
        kind = "table"
    elif name.endswith((".npy", ".npz")):
        kind = "arrays"
    elif name.endswith(".wav"):
        kind = "sound"
    elif name.endswith(IMAGES) or Path(path).is_dir():
        return "pictures"
    else:
        found = files.kind(path)
        if found == "nothing" and not Path(path).suffix:
            data.load(path)  # raises, with the names that there are
        if found == "nothing":
            raise FileNotFoundError(f"load: there is no file or folder {path}")
        raise ValueError(
            f"load: cannot read {path}; expected a table ({', '.join(TABLES)}), .npy, .npz, .wav, a "
            "picture or a folder of pictures"
        )
    if path != "-":
        files.check_source("load", path, "a file")
    return kind


def _check_options(
    path: str, kind: str, table: TableOptions | None, image_size: Any, window: Any, hop: Any
) -> None:
    """Raise for options that would do nothing."""
    given = {
        "pictures": [("--image-size", image_size)],
        "sound": [("--window", window), ("--hop", hop)],
        "table": [],
    }
    if table is not None:
        given["table"] = [
            ("--columns", table.columns),
            ("--label", table.label),
            ("--index", table.index),
            ("--one-hot", table.one_hot or None),
            ("--delimiter", table.delimiter),
            ("--missing", None if table.missing == "error" else table.missing),
        ]
    about = {"pictures": "pictures", "sound": "sound", "table": "tables"}
    for owner, options in given.items():
        for option, value in options:
            if value is not None and owner != kind:
                what = {"named": "a data set of tinyae's", "arrays": "a file of arrays"}
                what |= {"pictures": "pictures", "sound": "a sound", "table": "a table"}
                raise ValueError(
                    f"load: {option} is for {about[owner]}, but {path} is {what[kind]}; leave it out"
                )


def _read_table(path: str, options: TableOptions) -> Rows:
    if path.lower().endswith(".parquet"):
        return _read_parquet(path, options)
    where = "the standard input" if path == "-" else path
    try:
        if path == "-":
            raw = sys.stdin.buffer.read()
        elif path.lower().endswith(".gz"):
            raw = gzip.decompress(Path(path).read_bytes())
        else:
            raw = Path(path).read_bytes()
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"load: {where} is not text in UTF-8 ({error}); convert it, e.g. with "
            "`iconv -f latin1 -t utf-8`"
        ) from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"load: {where} is a damaged gzip file ({error})") from error
    return columns.read_columns(text, options, where)


def _read_parquet(path: str, options: TableOptions) -> Rows:
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "load: a .parquet file needs pyarrow; run: pip install pyarrow"
        ) from error
    table = parquet.read_table(path)
    found: dict[str, Any] = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        if all(v is None or isinstance(v, (int, float)) for v in values):
            found[str(name)] = np.array([np.nan if v is None else v for v in values], np.float64)
        else:
            found[str(name)] = ["" if v is None else str(v) for v in values]
    return columns.assemble(found, options, path, list(range(1, table.num_rows + 1)), True)


def select(rows: Rows, keep: np.ndarray) -> Rows:
    """Some of the rows, by their places."""
    return Rows(
        rows.x[keep[0] : keep[-1] + 1] if _is_run(keep) else rows.x[keep],
        None if rows.y is None else rows.y[keep],
        rows.classes,
        None if rows.index is None else [rows.index[i] for i in keep],
        rows.index_name,
        rows.columns,
        rows.notes,
        keep if rows.places is None else rows.places[keep],
        None if rows.gaps is None else rows.gaps[keep],
    )


def _is_run(keep: np.ndarray) -> bool:
    return bool(len(keep)) and keep[-1] - keep[0] + 1 == len(keep)  # a view of a memory map


def _joined(a: Rows, b: Rows) -> Rows:
    y = None if a.y is None or b.y is None else np.concatenate([a.y, b.y])
    return Rows(np.concatenate([a.x, b.x]), y)
