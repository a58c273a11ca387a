"""A table's cells → numbers: which column is data, which is beside it, and what to do with gaps.

    rows = read_columns(text, TableOptions(label="fault", missing="drop"))

Column by column a cell may be a number (with thousands, or a decimal comma where ``;`` or a tab
separates), a time, a gap or text. Numbers are data. A column of times, or the one that ``index``
names, goes beside the rows, and so does ``label``. Text is data only where ``one_hot`` asks for it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from typing import Any

import numpy as np

from tinyae.data.tables import numbers_the_columns
from tinyae.wording import counted

GAPS = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?", "#n/a", "missing"})
GAPS |= {"<na>", "n.a.", "nat", "nil", "--", "---", ".", "..", "…", "–", "—", "(null)", "unknown"}
GAPS |= {"#value!", "#div/0!", "#ref!", "#num!", "#name?", "#null!", "-nan", "-nan(ind)", "1.#qnan"}
MISSING = ("error", "drop", "mean")
_DELIMITERS = ";\t|,"  # a comma last: elsewhere it may be the decimal point
_COMMENTS = 100  # lines that may be above a table
_LINES = 20  # by which the delimiter is found
_TIMES: tuple[str, ...] = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%m/%d/%Y %H:%M:%S")
_TIMES += (
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
)
_TIMES += ("%m/%d/%y", "%m/%d/%y %H:%M", "%d-%m-%Y", "%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M")
_TIMES += ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d.%m.%y", "%d.%m.%y %H:%M", "%d-%b-%Y")
_TIMES += ("%d-%b-%Y %H:%M:%S", "%d %b %Y", "%d %b %Y %H:%M:%S", "%b %d %Y", "%Y-%m-%d %H:%M:%S %Z")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp]\.?[Mm]\.?)?")
_AM_PM = re.compile(r" ?([AaPp])\.?[Mm]\.?$")
_SIGNS = str.maketrans({"\u2212": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'"})
_GROUPS = re.compile(r"([+-]?\d{1,3})((?:[' ]\d{3})+)([.,]\d+)?")  # 1'234.5, 1 234,5
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+([eE][+-]?\d+)?")
_LABELS: tuple[str, ...] = (
    "label",
    "labels",
    "class",
    "target",
    "y",
    "anomaly",
    "is_anomaly",
    "fault",
    "outlier",
)
_LABELS += ("species", "diagnosis", "outcome", "category", "state", "status", "failure", "defect")
_FEW = 20  # classes that a label may have
MISSING_CLASS = "missing"  # of rows whose label is a gap


@dataclass(frozen=True)
class TableOptions:
    """How to read a table; names are those of the header, or numbers of columns from 1.

    columns     those that are data; None: all that hold numbers
    label       the column of classes, kept out of the data
    index       the column that names the rows, kept out of the data
    one_hot     columns of text that become a column for each word, 0 or 1
    delimiter   between cells; None: found in the first lines
    missing     "error", "drop" rows with gaps, or fill them with the column's "mean"
    fill        with "mean": numbers to fill each column's gaps with in place of the table's own means
    asked_by    who names the columns, for messages
    """

    columns: Sequence[str] | None = None
    label: str | None = None
    index: str | None = None
    one_hot: Sequence[str] = ()
    delimiter: str | None = None
    missing: str = "error"
    fill: Sequence[float] | np.ndarray | None = None
    asked_by: str = "--columns"


@dataclass(eq=False)
class Rows:
    """Samples in the order of their file, and what stands beside them.

    x             (N, …), float32, or float64 where a table needs it
    y             labels (N,), or None;   classes: their names, if they are text
    index         a name for each row, or None;   index_name: what it is
    places        each row's place in its file, from 0; None where no row was left out
    columns       the names of a table's columns, or None
    notes         what was decided, one sentence each
    """

    x: np.ndarray
    y: np.ndarray | None = None
    classes: list[str] | None = None
    index: list[str] | None = None
    index_name: str = "row"
    columns: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    places: np.ndarray | None = None
    gaps: np.ndarray | None = None

    def means(self) -> np.ndarray | None:
        """The mean of each column over the cells that are no gaps; None if a column has none."""
        known = np.ones(self.x.shape, bool) if self.gaps is None else ~self.gaps
        numbers = known.sum(axis=0)
        if not numbers.all():
            return None
        sums = np.where(known, self.x, 0).sum(axis=0, dtype=np.float64)
        return np.asarray(sums / numbers)

    def fill(self, values: np.ndarray) -> None:
        """Put these numbers, one for each column, into the gaps."""
        if self.gaps is not None:
            self.x = np.where(self.gaps, values, self.x).astype(self.x.dtype)


def read_columns(text: str, options: TableOptions, where: str) -> Rows:
    """The table in a text of delimited cells.

    Raises
        ValueError  a cell or a column that cannot be used, with its line, its name, and what to do
    """
    text = _without_comments(text)
    delimiter = options.delimiter or find_delimiter(text)
    if len(delimiter) != 1:
        raise ValueError(
            f"load: --delimiter is {delimiter!r:.40}, expected one character, tab or space"
        )
    if delimiter == " ":
        text = "\n".join(re.sub(r"[ \t]+", " ", line.strip()) for line in text.split("\n"))
    lines = [
        (number, cells)
        for number, cells in _numbered(text, delimiter)
        if any(cell.strip() for cell in cells)
    ]
    if not lines:
        raise ValueError(f"load: {where} has no line of numbers; pass a table with rows")
    comma = delimiter != ","
    names, lines = _split_header(lines, comma)
    first = [line for line in text.split("\n", _LINES)[:_LINES] if line.strip()][:2]
    notes = []
    if not names and delimiter == "," and len(first) == 2 and numbers_the_columns(*first):
        names, lines = [cell.strip() for cell in lines[0][1]], lines[1:]
        notes.append(
            f"the first line, {first[0].strip():.40}, numbers the columns and is taken for a header"
        )
    if not lines:
        raise ValueError(f"load: {where} has no line of numbers; pass a table with rows")
    width = len(names) if names else len(lines[0][1])
    trailing = (
        names and not names[-1] and all(len(c) < width or not c[-1].strip() for _, c in lines)
    )
    width -= bool(trailing)
    for number, cells in lines:
        if (len(cells) != width and any(cell.strip() for cell in cells[width:])) or len(
            cells
        ) < width:
            raise ValueError(
                f"load: line {number} of {where} has {counted(len(cells), 'cell')}; expected {width}, "
                "as above it"
            )
    labels = [name.strip() or f"column {k}" for k, name in enumerate(names[:width], 1)]
    labels = labels or [f"column {k}" for k in range(1, width + 1)]
    table = list(zip_longest(*(cells[:width] for _, cells in lines), fillvalue=""))
    columns = {
        name: _column([cell.strip() for cell in cells], comma)
        for name, cells in zip(_unique(labels), table)
    }
    rows = assemble(columns, options, where, [number for number, _ in lines], bool(names), comma)
    rows.notes[:0] = notes
    return rows


def find_delimiter(text: str) -> str:
    """The sign that divides each of the first lines into equally many cells."""
    head = [line for line in text.split("\n", 4 * _LINES)[: 4 * _LINES] if line.strip()][:_LINES]
    for delimiter in _DELIMITERS:
        widths = {len(cells) for cells in csv.reader(head, delimiter=delimiter)}
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
    widths = {len(line.split()) for line in head}
    if len(head) > 1 and len(widths) == 1 and widths.pop() > 1 and not any("," in c for c in head):
        return " "
    return max(",;\t|", key=lambda d: head[0].count(d)) if head else ","


def _without_comments(text: str) -> str:
    """Empty lines, which keep the count, for the lines that begin with # above the table.

    The last of them stays, without its sign, where it names the columns, as NumPy's savetxt writes it.
    """
    lines = text.split("\n", _COMMENTS)
    n = next((k for k, line in enumerate(lines) if not line.lstrip().startswith("#")), 0)
    if not n:
        return text
    last, first = lines[n - 1].lstrip()[1:].strip(), lines[n]
    delimiter = find_delimiter("\n".join(lines[n : n + _LINES]))
    split = str.split if delimiter == " " else lambda line: line.split(delimiter)
    names = len(split(last)) == len(split(first)) > 1
    return "\n".join([*[""] * (n - 1), last if names else "", *lines[n:]])


def _numbered(text: str, delimiter: str) -> Any:
    reader = csv.reader(io.StringIO(text.replace("\0", "")), delimiter=delimiter)
    reader_lines = iter(reader)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader_lines)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"load: line {number} is no line of a table ({error})") from error
        yield number, cells


Line = tuple[int, list[str]]


def _split_header(lines: list[Line], comma: bool) -> tuple[list[str], list[Line]]:
    """The names in the first line, if it has any, and the lines of data.

    A line is a header if none of its cells is a number, a time or a gap, or if it has words above
    columns of numbers.
    """
    first, rest = lines[0][1], lines[1 : 1 + _LINES]

    def is_word(cell: str) -> bool:
        cell = cell.strip()
        return bool(cell) and to_number(cell, comma) is None and not is_time(cell)

    if all(is_word(cell) or (k == 0 and not cell.strip()) for k, cell in enumerate(first)):
        return [cell.strip() or ("index" if k == 0 else "") for k, cell in enumerate(first)], lines[
            1:
        ]
    for k, cell in enumerate(first):
        below = [cells[k].strip() for _, cells in rest if k < len(cells)]
        numbers = [to_number(c, comma) is not None for c in below if c.lower() not in GAPS]
        if is_word(cell) and cell.strip().lower() not in GAPS and numbers and all(numbers):
            return [cell.strip() for cell in first], lines[1:]
    return [], lines


def _unique(names: list[str]) -> list[str]:
    """Names of which none occurs twice: the second "a" is "a (2)"."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


# ---- cells -----------------------------------------------------------------------------------------


def to_number(cell: str, comma: bool) -> float | None:
    """The number in a cell; ``comma`` says that a comma is the decimal point."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        pass
    cell = cell.translate(_SIGNS)
    grouped = _GROUPS.fullmatch(cell)
    if grouped and (comma or not (grouped[3] or "").startswith(",")):
        whole, groups, rest = grouped.groups(default="")
        return float(whole + re.sub("[' ]", "", groups) + rest.replace(",", "."))
    if comma and _DECIMAL_COMMA.fullmatch(cell):
        return float(cell.replace(".", "").replace(",", "."))
    if _THOUSANDS.fullmatch(cell):
        return float(cell.replace(",", ""))
    try:
        return float(cell) if cell.startswith("-") and "_" not in cell else None
    except ValueError:
        return None


def is_time(cell: str) -> bool:
    """Whether a cell holds a date or a time."""
    if sum(c.isdigit() for c in cell) < 3 or not any(c in cell for c in "-/:. "):
        return False
    if _CLOCK.fullmatch(cell):
        return True
    text = cell.replace("Z", "+00:00") if cell.endswith("Z") else cell
    text = re.sub(r"(:\d{2})[.,]\d+$", r"\1", _AM_PM.sub("", text))
    for parse in (datetime.fromisoformat, *(_strptime(form) for form in _TIMES)):
        try:
            parse(text)
        except ValueError:
            continue
        return True
    return False


def _strptime(form: str) -> Any:
    return lambda text: datetime.strptime(text, form)


def _column(cells: list[str], comma: bool) -> Any:
    """float64 with NaN for gaps, if all other cells are numbers; else the cells."""
    try:
        return np.array(cells, np.float64)  # quick, and right for nearly all
    except ValueError:
        pass
    numbers = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        if cell.lower() in GAPS:
            continue
        value = to_number(cell, comma)
        if value is None:
            return cells
        numbers[i] = value
    return numbers


# ---- columns ---------------------------------------------------------------------------------------


def assemble(
    columns: dict[str, Any],
    options: TableOptions,
    where: str,
    lines: list[int],
    named: bool,
    comma: bool = False,
) -> Rows:
    """Rows from columns of numbers (arrays) and of text (lists); ``comma`` as in :func:`to_number`.

    Raises
        ValueError  as :func:`read_columns`
    """
    notes: list[str] = []
    place = {name: k for k, name in enumerate(columns, 1)}

    def find(option: str, wanted: str) -> str:
        if wanted in columns:
            return wanted
        if wanted.isdigit() and 1 <= int(wanted) <= len(columns):
            return list(columns)[int(wanted) - 1]
        shown = ", ".join(list(columns)[:12]) + (", …" if len(columns) > 12 else "")
        raise ValueError(f"load: {where} has no column {wanted!r} for {option}; it has {shown}")

    def called(name: str) -> str:
        return f"column {place[name]} ({name})" if named else f"column {place[name]}"

    label = None if options.label is None else find("--label", options.label)
    index = None if options.index is None else find("--index", options.index)
    one_hot = [find("--one-hot", name) for name in options.one_hot]
    beside = {name for name in (label, index) if name is not None}
    wanted, words = _wanted(columns, options, find, beside)
    text = [name for name in wanted if isinstance(columns[name], list)]
    text = [name for name in text if name not in one_hot and name not in words]
    times = [name for name in text if options.columns is None and _all_times(columns[name])]
    if index is None and len(times) > 1:
        index = " ".join(times)
        columns = {**columns, index: _side_by_side(columns, times)}
        notes.append(f"{' and '.join(map(called, times))} hold times and are taken for the index")
        wanted = [name for name in wanted if name not in times]
        text = [name for name in text if name not in times]
    for name in text:
        if options.columns is None and index is None and _all_times(columns[name]):
            index = name
            notes.append(f"{called(name)} holds times and is taken for the index")
        else:
            raise ValueError(_why_not_data(called(name), name, columns[name], where, lines, comma))
        wanted.remove(name)
    if index is None and options.columns is not None:
        times = [n for n in columns if n not in wanted and n != label and _all_times(columns[n])]
        if len(times) > 1:
            columns = {**columns, " ".join(times): _side_by_side(columns, times)}
        index = " ".join(times) or None
        if index is None and named and next(iter(columns)) == "index" and "index" not in wanted:
            index = "index"
    if options.columns is None and len(wanted) > 1:
        if named and index is None and wanted[0] == "index" and _counts(columns["index"]):
            index = wanted.pop(0)
            notes.append(f"{called(index)} counts the rows and is taken for the index")
        if index is None:
            notes += _index_notes(wanted, columns, called)
        if label is None:
            named_so = [name for name in wanted[:-1] if name.lower() in _LABELS]
            for name in (*named_so, wanted[-1]):
                notes += _label_note(name, columns, called)
    names, parts = _data(wanted, columns, one_hot, words)
    if not parts:
        raise ValueError(f"load: {where} has no column of numbers that is data; pass --columns")
    x = np.stack(parts, axis=1)
    gaps = np.isnan(x)
    keep = _without_gaps(x, gaps, names, options, where, lines, notes)
    y = classes = None
    if label is not None:
        y, classes = _labels(columns[label], called(label), notes)
        y = y[keep]
    beside_rows = None
    if index is not None:
        cells = columns[index]
        beside_rows = [c if isinstance(c, str) else f"{c:.15g}" for c in cells]
        beside_rows = [c for c, kept in zip(beside_rows, keep) if kept]
    places = None if keep.all() else np.flatnonzero(keep)
    filled = gaps[keep] if options.missing == "mean" and gaps.any() else None
    return Rows(x[keep], y, classes, beside_rows, index or "row", names, notes, places, filled)


def _side_by_side(columns: dict[str, Any], names: list[str]) -> list[str]:
    """A date and a time of day, in two columns, as one."""
    return list(map(" ".join, zip(*(columns[name] for name in names))))


def _all_times(column: Any) -> bool:
    if not isinstance(column, list):
        return False
    cells = [cell for cell in column if cell.lower() not in GAPS]
    return bool(cells) and all(map(is_time, cells[:_LINES]))


def _why_not_data(
    called: str, name: str, cells: list[str], where: str, lines: list[int], comma: bool
) -> str:
    """What a column of text holds, and what to do: correct a few cells, or say what the column is."""
    odd = [k for k, c in enumerate(cells) if c.lower() not in GAPS and to_number(c, comma) is None]
    first = cells[odd[0]]
    kind = "times" if is_time(first) else "text"
    text = f"load: {called} of {where} holds {kind}, {first!r:.40} in line {lines[odd[0]]}; "
    if len(odd) <= max(1, len(cells) // 20) and len(cells) > 2:
        cells_are, them = (f"{len(odd)} cells are", "them") if len(odd) > 1 else ("1 cell is", "it")
        return text + (
            f"only {cells_are} no number: correct {them}, leave the line out, or empty {them} and pass "
            "--missing drop"
        )
    if all(to_number(_digits(cells[k]), comma) is not None for k in odd):
        text += f"for numbers, write {_digits(first)} without a sign or unit; else "
    ways = [
        f"--label {name!r} if these are classes",
        f"--one-hot {name!r} for a column of 0 and 1 for each word",
    ]
    if kind == "times" or len(set(cells)) > max(_FEW, len(cells) // 2):
        ways = []
    ways.append(f"--index {name!r} to keep it beside the rows")
    return text + f"pass {', '.join(ways)}, or --columns without it"


def _digits(cell: str) -> str:
    """A cell without a unit before or after its number: $3.20, 5 %, 7.1mm."""
    return re.sub(r"^[^\w\s+-]\s*(?=[\d.])|\s*[^\d\s]{1,5}$", "", cell)


def _wanted(
    columns: dict[str, Any], options: TableOptions, find: Any, beside: set[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """The columns that are data, and for one written as name=word the words to look for."""
    if options.columns is None:
        return [name for name in columns if name not in beside], {}
    wanted: list[str] = []
    words: dict[str, list[str]] = {}
    for name in options.columns:
        column, equals, word = name.rpartition("=")
        if name not in columns and equals and column in columns:
            words.setdefault(column, []).append(word)
            name = column
        name = find(options.asked_by, name)
        if name not in wanted:
            wanted.append(name)
    return wanted, words


def _data(
    wanted: list[str], columns: dict[str, Any], one_hot: list[str], words: dict[str, list[str]]
) -> tuple[list[str], list[np.ndarray]]:
    names: list[str] = []
    parts: list[np.ndarray] = []
    for name in wanted:
        column = columns[name]
        if name in one_hot or name in words:
            cells = [c if isinstance(c, str) else f"{c:.15g}" for c in column]
            for word in words.get(name) or sorted(set(cells)):
                names.append(f"{name}={word}")
                parts.append(np.array([cell == word for cell in cells], np.float64))
        else:
            names.append(name)
            parts.append(column)
    return names, parts


def _counts(column: Any) -> bool:
    """Whether a column counts the rows: whole numbers, each one more than the one before."""
    if isinstance(column, list) or len(column) <= 2 or not np.isfinite(column).all():
        return False
    return bool((np.diff(column) == 1).all())


def _index_notes(wanted: list[str], columns: dict[str, Any], called: Any) -> list[str]:
    """Notes on columns of numbers that seem to name the rows: counted, or seconds since 1970."""
    notes = []
    for name in wanted:
        column = columns[name]
        if isinstance(column, list) or len(column) <= _FEW or not np.isfinite(column).all():
            continue
        seems = ""
        if name == wanted[0] and _counts(column):
            seems = "counts the rows"
        whole = bool((np.diff(column) >= 0).all() and (column == np.floor(column)).all())
        for factor, unit in ((1, "seconds"), (1e3, "milliseconds"), (1e9, "nanoseconds")):
            low, high = 5e8 * factor, 4e9 * factor
            if whole and low < column[0] and column[-1] < high:
                seems = f"seems to be a time in {unit} since 1970"
        if seems:
            notes.append(
                f"{called(name)} {seems}: if it only names them, pass --index {name!r} to keep it out "
                "of the data"
            )
    return notes


def _label_note(name: str, columns: dict[str, Any], called: Any) -> list[str]:
    """A note if the last column looks like a label."""
    if isinstance(columns[name], list):
        return []
    values = np.unique(columns[name][~np.isnan(columns[name])])
    whole = len(values) <= _FEW and (values == np.floor(values)).all() and len(columns[name]) > 20
    alone = len(values) > 2 and not any(
        isinstance(c, np.ndarray) and (c == np.floor(c)).all()
        for other, c in columns.items()
        if other != name
    )
    if whole and (len(values) == 2 or (name.lower() in _LABELS and len(values) > 1) or alone):
        several = "two" if len(values) == 2 else f"{len(values)} whole"
        return [
            f"{called(name)} has {several} values: if it is a label, pass --label {name!r} to keep it "
            "out of the data"
        ]
    return []


def _labels(column: Any, called: str, notes: list[str]) -> tuple[np.ndarray, list[str] | None]:
    """Labels as whole numbers, and their names if they are text. Gaps are a class of their own."""
    if isinstance(column, list):
        column = [MISSING_CLASS if cell.lower() in GAPS else cell for cell in column]
        missing = column.count(MISSING_CLASS)
        classes = sorted(set(column))
        labels = np.array([classes.index(cell) for cell in column])
    else:
        gaps = np.isnan(column)
        missing, known = int(gaps.sum()), column[~gaps]
        whole = bool((known == np.floor(known)).all())
        if not missing:
            return (column.astype(np.int64) if whole else column), None
        numbers = np.unique(known)
        classes = [f"{int(v)}" if whole else f"{v:.15g}" for v in numbers] + [MISSING_CLASS]
        labels = np.where(gaps, len(numbers), np.searchsorted(numbers, column))
    if missing:
        notes.append(f"{called}, the label, has {counted(missing, 'gap')}: class {MISSING_CLASS!r}")
    return labels, classes


def _without_gaps(
    x: np.ndarray,
    gaps: np.ndarray,
    names: list[str],
    options: TableOptions,
    where: str,
    lines: list[int],
    notes: list[str],
) -> np.ndarray:
    """Which rows stay; fills the gaps of x if ``missing`` is "mean"."""
    missing = options.missing
    if missing not in MISSING:
        raise ValueError(f"load: missing is {missing!r}, expected one of {', '.join(MISSING)}")
    infinite = np.argwhere(np.isinf(x))
    if len(infinite):
        i, k = infinite[0]
        raise ValueError(
            f"load: line {lines[i]}, column {names[k]} of {where} is {x[i, k]}, expected a finite "
            "number; correct it, or leave the line out"
        )
    keep = np.ones(len(x), bool)
    if not gaps.any():
        return keep
    found, (i, k) = counted(int(gaps.sum()), "gap"), np.argwhere(gaps)[0]
    first = f"line {lines[i]}, column {names[k]}"
    if missing == "error":
        raise ValueError(
            f"load: {where} has {found}, the first in {first}; pass --missing drop to leave such rows "
            "out, or --missing mean to fill them with the column's mean in the data that are learnt from"
        )
    if missing == "drop":
        keep = np.asarray(~gaps.any(axis=1))
        dropped = int((~keep).sum())
        if not keep.any():
            raise ValueError(f"load: every row of {where} has a gap, the first in {first}")
        notes.append(
            f"{dropped:,} of {counted(len(x), 'row')} {'has' if dropped == 1 else 'have'} gaps, the "
            f"first in {first}, and {'is' if dropped == 1 else 'are'} left out"
        )
        return keep
    if options.fill is None:
        empty = np.flatnonzero(gaps.all(axis=0))
        if len(empty):
            raise ValueError(f"load: column {names[empty[0]]} of {where} is empty; leave it out")
        values, whose = np.nanmean(x, axis=0), "its column's mean"
    else:
        values, whose = np.asarray(options.fill), "the mean of the data that the model learnt from"
        if values.shape != x.shape[1:]:
            raise ValueError(
                f"load: {where} has {counted(x.shape[1], 'column')} of data, and the model carries "
                f"{counted(values.size, 'mean')} to fill gaps with; pass --columns with those that it "
                "learnt from, or --missing drop"
            )
    x[gaps] = np.broadcast_to(values, x.shape)[gaps]
    notes.append(f"{found}, the first in {first}, filled with {whose}")
    return keep
