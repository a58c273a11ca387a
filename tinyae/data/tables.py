"""Tables of numbers: .csv and .csv.gz, one sample a line, one feature a column."""

import csv
import gzip
import warnings
import zlib
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TextIO

import numpy as np

from tinyae.arrays import lost_by_rounding
from tinyae.wording import counted

LARGEST = float(np.finfo(np.float32).max)


def read_csv(path: Path) -> np.ndarray:
    """The table as float32, without its header.

    Warns where the first line is numbers and yet a header, and where float32 merges the values of a
    column.

    Raises    ValueError with the line and the column of a cell that is no finite number
    """
    try:
        with _open_text(path) as stream:
            lines = (line for line in stream if line.strip())
            first = list(islice(lines, 2))
            header = _header(first, path)
            if len(first) == len(header):
                raise ValueError("it has no line of numbers")
            x = np.loadtxt(
                chain(first[len(header) :], lines),
                np.float64,
                comments=None,
                delimiter=",",
                quotechar='"',
                ndmin=2,
            )
        if header and len(_names(header[0])) != x.shape[1]:
            raise ValueError(
                f"the header has {counted(len(_names(header[0])), 'cell')}, the lines below it "
                f"{x.shape[1]}; name every column, or remove the column without a name"
            )
        with np.errstate(over="ignore", under="ignore"):  # the cell is looked for below
            single = x.astype(np.float32)
        if np.isfinite(single).all():
            _warn_of_rounding(x, header, path)
            return single
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


def _warn_of_rounding(x: np.ndarray, header: list[str], path: Path) -> None:
    lost = lost_by_rounding(x, np.float32)
    if lost is not None:
        (column,), what = lost
        name = f" ({_names(header[0])[column]})" if header else ""
        warnings.warn(
            f"load: column {column + 1}{name} of {path} {what}; subtract its least value in the "
            "file, or leave the column out",
            stacklevel=2,
        )


# ---- the header ----------------------------------------------------------------------------------


def _header(first: list[str], path: Path) -> list[str]:
    """The first line, if it is a header, else nothing; of the first two lines of a table."""
    if not first:
        return []
    if _is_header(first[0]):
        return first[:1]
    if len(first) == 2 and numbers_the_columns(*first):
        warnings.warn(
            f"load: the first line of {path}, {first[0].strip():.40}, numbers the columns and is "
            "taken for a header; if it is a sample, write a line of names above it",
            stacklevel=2,
        )
        return first[:1]
    return []


def _is_header(line: str) -> bool:
    """True if all cells are names. A line with a number or an empty cell counts as data."""
    return all(cell and not _is_number(cell) for cell in _cells(line))


def numbers_the_columns(first: str, second: str) -> bool:
    """Whether the first line is a header of numbers, which the second line is not.

    It is if its cells alone are quoted; if at least three go up or down by one step, as indices,
    years and wavelengths do; and if two are 0, 1 or 1, 2 above fractions.
    """
    cells = _cells(first)
    if not all(_is_number(cell) for cell in cells + _cells(second)):
        return False
    if all(cell.strip().startswith('"') for cell in first.split(",")) and '"' not in second:
        return True
    if cells in (["0", "1"], ["1", "2"]):
        return all("." in cell for cell in _cells(second))
    return len(cells) > 2 and _even_steps(cells) and not _even_steps(_cells(second))


def _even_steps(cells: list[str]) -> bool:
    steps = [float(b) - float(a) for a, b in pairwise(cells)]
    step = steps[0] if steps else 0
    return step != 0 and all(abs(s - step) <= 1e-9 * abs(step) for s in steps)


# ---- cells ---------------------------------------------------------------------------------------


def _cells(line: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(",")]


def _names(header: str) -> list[str]:
    """The names in a header, in which a quoted one may have commas."""
    return [name.strip() for name in next(csv.reader([header.replace("\0", "")]))]


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
                return f"line {number} has {counted(len(cells), 'cell')}; expected {width}, as above it"
    return ""
