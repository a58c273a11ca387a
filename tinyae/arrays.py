"""What is taken for an array of numbers, and what is refused, because some of it would be lost.

A masked array has entries that are not to be used, and a matrix multiplies where an array goes entry
by entry: NumPy's functions drop the one's mask and the other's meaning without a word. A complex
number would lose its imaginary part; dates and strings are numbers to nobody but the computer.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))  # in the machine's byte order
_KINDS = "fiub"
_INSTEAD = {
    "c": "pass its real and imaginary parts as two features, or np.abs of it",
    "m": "pass how many units it is, e.g. x / np.timedelta64(1, 's')",
    "M": "pass the time since some day, e.g. (x - x.min()) / np.timedelta64(1, 's')",
    "O": "pass np.array(x.tolist(), np.float32), whose rows must be of one length",
    "S": "pass x.astype(np.float32) if it holds numbers, else number the words",
    "U": "pass x.astype(np.float32) if it holds numbers, else number the words",
    "V": "pass one field of it, e.g. x['name']",
}

FEW_COLUMNS = 24  # rows (N, D) of more columns without names are shown as signals, not a table


def check_array(what: str, a: object) -> None:
    """Raise unless ``a`` is a NumPy array or a memory map, of any dtype. Takes 0.1 µs.

    Raises
        TypeError  another type, such as a masked array or a matrix
    """
    if type(a) is np.ndarray or type(a) is np.memmap:
        return
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(
            f"{what} is a masked array, expected an array: its mask would be ignored and what is "
            "masked be used; fill the gaps, e.g. x.filled(x.mean()), or leave such rows out"
        )
    if isinstance(a, np.ndarray):
        raise TypeError(f"{what} is a {type(a).__name__}, expected an array; pass np.asarray(x)")
    raise TypeError(
        f"{what} is a {type(a).__name__}, expected a NumPy array; pass np.asarray(x, np.float32)"
    )


def check_real(what: str, a: Any) -> None:
    """Raise unless ``a`` is an array of real numbers: floats, integers or bools.

    Raises
        TypeError  another type or dtype
    """
    check_array(what, a)
    if a.dtype.kind not in _KINDS:
        instead = _INSTEAD.get(a.dtype.kind, "pass x.astype(np.float32)")
        raise TypeError(f"{what} is {a.dtype}, expected real numbers; {instead}")


def check_float(what: str, a: Any) -> None:
    """Raise unless ``a`` is an array of float32 or float64 in the machine's order of bytes.

    Raises
        TypeError  another type or dtype
    """
    check_array(what, a)
    if a.dtype not in FLOATS:
        raise TypeError(f"{what} is {a.dtype}, expected float32 or float64; {_as_float(a.dtype)}")


def plain(what: str, a: Any) -> np.ndarray:
    """``np.asarray(a)`` of a list or of an array that passes :func:`check_array`."""
    if isinstance(a, np.ndarray):
        check_array(what, a)
    return np.asarray(a)


def real(what: str, a: Any) -> np.ndarray:
    """``np.asarray(a)`` of a list or of an array that passes :func:`check_real`."""
    array = plain(what, a)
    check_real(what, array)
    return array


def row_weights(who: str, sample_weight: Any, rows: int) -> np.ndarray:
    """A weight for each row, in float64.

    Raises
        TypeError   the weights are no numbers
        ValueError  not one for each row, one is negative, NaN or infinite, or all are 0
    """
    weights = real(f"{who}: sample_weight", sample_weight).astype(np.float64)
    if weights.shape != (rows,):
        raise ValueError(
            f"{who}: sample_weight has shape {weights.shape}, expected ({rows},); pass a number "
            "for each row of x"
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError(
            f"{who}: sample_weight has an entry that is negative, NaN or infinite, or all are 0; "
            "expected numbers ≥ 0"
        )
    return weights


def native_float(what: str, a: Any) -> np.ndarray:
    """float32 or float64, in the machine's order of bytes; copied only to change that.

    Raises
        TypeError  another type or dtype
    """
    array = plain(what, a)
    if array.dtype.char not in "fd":
        raise TypeError(
            f"{what} has dtype {array.dtype}, expected float32 or float64, a floating-point dtype; "
            f"pass {what.split()[-1]}.astype(np.float32)"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def as_samples(what: str, x: Any) -> Any:
    """An array for what holds one: a DataFrame, a Dask array, a list of rows of numbers.

    Arrays, tuples of them and iterables of batches are returned as they are.

    Raises
        TypeError  a DataFrame with columns that hold no numbers, which are named
    """
    if isinstance(x, tuple):
        return tuple(as_samples(f"{what}[{k}]", a) for k, a in enumerate(x))
    if isinstance(x, (np.ndarray, str, bytes)):
        return x
    if hasattr(x, "columns") and hasattr(x, "dtypes"):  # of pandas, or of Dask
        x = x.compute() if hasattr(x, "compute") else x
        kinds = dict(zip(x.columns, x.dtypes))
        wrong = [name for name, kind in kinds.items() if getattr(kind, "kind", "O") not in _KINDS]
        if wrong:
            raise TypeError(
                f"{what} is a table whose column {wrong[0]!r} holds {kinds[wrong[0]]}, expected "
                f"numbers; leave it out, x.drop(columns={wrong!r:.80}), or encode it, "
                "pandas.get_dummies(x)"
            )
        own = [getattr(kind, "numpy_dtype", kind) for kind in kinds.values()]  # Float32 → float32
        dtype = np.result_type(*own, np.float32)
        if any(a is not b for a, b in zip(own, kinds.values())):  # whose gaps are pandas.NA
            return np.asarray(x.to_numpy(dtype=dtype, na_value=np.nan))
        return np.asarray(x.to_numpy(dtype=dtype))
    if hasattr(x, "__array__") and hasattr(x, "shape") and not isinstance(x, np.generic):
        return np.asarray(x)
    if isinstance(x, list) and x and _is_row(x[0]):
        try:
            return np.array(x, np.float64)
        except (ValueError, TypeError) as error:
            raise TypeError(
                f"{what} is a list of rows that make no array ({error}); pass rows of numbers, all "
                "of one length"
            ) from None
    return x


def in_unit_interval(x: Any) -> bool:
    """Whether all entries lie in 0…1. Reads x in chunks: it may be a memory map."""
    chunks = (x[i : i + 10_000] for i in range(0, len(x), 10_000))
    return all(chunk.min() >= 0 and chunk.max() <= 1 for chunk in chunks)


def _is_row(row: Any) -> bool:
    """Whether a list's first entry is a sample and not a batch of samples."""
    if isinstance(row, np.ndarray):
        return row.ndim == 1
    first = row
    while isinstance(first, (list, tuple)) and len(first):
        first = first[0]
    is_number = isinstance(first, (int, float, np.number, np.bool_))
    return isinstance(row, list) and is_number


def _as_float(dtype: Any) -> str:
    if dtype.kind == "f" and dtype.itemsize in (4, 8):
        return f"pass x.astype(np.{dtype.newbyteorder('=')})"
    return "pass x.astype(np.float32)"


# --- what cannot be computed with -----------------------------------------------------------------

_ROWS = 1024  # that are looked at together


def check_finite(
    what: str,
    a: np.ndarray,
    dtype: np.dtype[Any],
    limit: float,
    before: int = 0,
    columns: tuple[str, ...] | None = None,
) -> None:
    """Raise unless a is finite and within the limit of ``dtype``, the model's.

    For messages: ``before`` rows come before a, and its columns may have names. Reads a in chunks.

    Raises
        ValueError  a NaN, an infinity or a number that is too large, named by its row
    """
    for start in range(0, len(a), _ROWS):
        chunk = np.asarray(a[start : start + _ROWS])
        # min and max propagate a NaN or an infinity: two passes, no temporary array
        if chunk.size and not (np.isfinite(chunk.min()) and np.isfinite(chunk.max())):
            where = np.argwhere(~np.isfinite(chunk))
            index = (before + start + int(where[0][0]), *map(int, where[0][1:]))
            name = ""
            if columns is not None and len(index) == 2 and index[1] < len(columns):
                name = f", row {index[0]} of column {columns[index[1]]!r}"
            raise ValueError(
                f"{what} has {chunk[tuple(where[0])]} at {index}{name}, expected finite numbers; "
                "leave such rows out, or fill them in"
            )
        largest = max(-float(chunk.min()), float(chunk.max())) if chunk.size else 0.0
        if largest > limit:
            raise ValueError(
                f"{what} reaches {largest:.3g}, beyond {dtype}, the model's dtype; scale the data, "
                "or use model.astype(np.float64)"
            )


# --- what rounding to a shorter float loses -------------------------------------------------------

_ROWS_AT_ONCE = 1 << 16  # numbers, which stay in the cache
_VISIBLE = 1e-3  # of a column's range: a larger error is worth a word


def lost_by_rounding(x: np.ndarray, dtype: Any) -> tuple[tuple[int, ...], str] | None:
    """The index of the first feature that ``dtype`` rounds to fewer values, and what happens to it.

    A whole number beyond 2²⁴ has neighbours in float32 that are 2 and more apart, and so have times
    since 1970. Reads x in chunks; x may be a memory map. Returns None if nothing is lost.
    """
    dtype = np.dtype(dtype)
    if x.ndim < 2 or not x.size or x.dtype.kind not in "iuf" or np.can_cast(x.dtype, dtype):
        return None
    low, high = _range(x)
    with np.errstate(invalid="ignore", over="ignore"):
        largest = np.maximum(np.abs(low), np.abs(high))
        # Whole numbers are exact up to 1/eps; else the error is at most eps/2 of the number.
        eps = float(np.finfo(dtype).eps)
        error = largest * eps / 2 + float(np.finfo(dtype).smallest_subnormal)
        coarse = (high > low) & ((error > _VISIBLE * (high - low)) | (largest > 1 / eps))
    for index in map(tuple, np.argwhere(coarse)):
        entries = (slice(None), *index)
        column = np.asarray(x[entries])
        if _loses(column, dtype, high[index] - low[index]):
            before, after = (len(np.unique(a)) for a in (column, column.astype(dtype)))
            if after < before:
                return tuple(int(i) for i in index), (
                    f"runs from {low[index]:.10g} to {high[index]:.10g}, and its {before:,} "
                    f"different values become {after:,} in {dtype}"
                )
    return None


def _range(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of each feature, in float64."""
    rows = max(1, _ROWS_AT_ONCE // max(x[0].size, 1))
    low, high = np.full(x.shape[1:], np.inf), np.full(x.shape[1:], -np.inf)
    for start in range(0, len(x), rows):
        chunk = np.asarray(x[start : start + rows])
        np.minimum(low, chunk.min(axis=0), out=low)
        np.maximum(high, chunk.max(axis=0), out=high)
    return low, high


def _loses(column: np.ndarray, dtype: np.dtype[Any], width: float) -> bool:
    """Whether an entry's error is visible, or a whole number is changed."""
    wide = column.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(wide - wide.astype(dtype)).max()
        whole = bool((wide == np.floor(wide)).all())
    return bool(error > _VISIBLE * width or (whole and error > 0))


def warn_of_rounding(what: str, a: np.ndarray, dtype: np.dtype[Any]) -> None:
    lost = lost_by_rounding(a, dtype)
    if lost is not None:
        place = ", ".join(map(str, (":", *lost[0])))
        warnings.warn(
            f"{what}[{place}] {lost[1]}; subtract its least value or scale it before it is "
            "converted, or leave it out",
            stacklevel=5,
        )
