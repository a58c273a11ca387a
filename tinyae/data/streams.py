"""Rows that never lie in memory together: blocks of them, read one at a time.

    x = ta.data.ParquetRows("sensors.parquet", columns=["a", "b"])    # one row group at a time
    x = ta.data.DaskRows(array)                                       # one chunk at a time
    ta.fit(model, x, batch_size=256)
    errors = model.reconstruction_error(x)

An epoch reads the blocks in a new random order, and takes the rows of each in random order; batches
run on over the ends of blocks, so they have the size that was asked for. Rows that lie far apart in the
file rarely share a batch: shuffle sorted data before they are written. The order comes from fit's
generator, so a training that is resumed goes on to the same bits.

A source of another kind is a class with ``counts`` and ``read``, derived from :class:`Stream`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

Array = NDArray[Any]


class Stream:
    """Blocks of rows. A subclass gives ``counts``, the rows of each block, and ``read(k)``, block k."""

    counts: Sequence[int]

    def read(self, k: int) -> Array:
        """Block k, an array (counts[k], …)."""
        raise NotImplementedError

    def describe(self) -> str:
        """What a checkpoint says of the data: the same text for the same data."""
        return f"{type(self).__name__} of {self.rows} rows in {len(self.counts)} blocks"

    @property
    def rows(self) -> int:
        return sum(self.counts)

    def __iter__(self) -> Iterator[Array]:
        return (self.read(k) for k in range(len(self.counts)) if self.counts[k])

    def batches(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[Array]:
        """One pass, in the order of the file or, with a generator, in a random one."""
        order = range(len(self.counts)) if rng is None else rng.permutation(len(self.counts))
        left: Array | None = None  # rows of earlier blocks, fewer than a batch
        for k in order:
            if not self.counts[k]:
                continue
            block = self.read(int(k))
            if rng is not None:
                block = block[rng.permutation(len(block))]
            if left is not None:
                block = np.concatenate([left, block])
            whole = len(block) // batch_size * batch_size
            for start in range(0, whole, batch_size):
                yield block[start : start + batch_size]
            left = block[whole:].copy() if whole < len(block) else None
        if left is not None:
            yield left


class ParquetRows(Stream):
    """The rows of a Parquet file, or of all those in a folder by name, a row group at a time.

    ``columns`` chooses and orders them; all by default. Values become float32, missing ones NaN.

    Raises
        FileNotFoundError     there is no such file, or no ``.parquet`` in the folder
        ValueError            a column that is not there or holds no numbers
        ModuleNotFoundError   without pyarrow
    """

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> None:
        from pathlib import Path  # imported here, to keep `import tinyae` fast

        parquet = _parquet()
        place = Path(path)
        files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
        if not files or not all(file.is_file() for file in files):
            raise FileNotFoundError(
                f"ParquetRows: there is no Parquet file {place}; pass a file, or a folder of .parquet"
            )
        self.path = os.fsdecode(path)
        self.counts: list[int] = []
        self._places: list[tuple[Path, int]] = []
        for file in files:
            with parquet.ParquetFile(file) as opened:
                schema, metadata = opened.schema_arrow, opened.metadata
                if not self._places:
                    self.columns = list(schema.names if columns is None else columns)
                _check_columns(file, schema, self.columns)
                for k in range(metadata.num_row_groups):
                    self.counts.append(metadata.row_group(k).num_rows)
                    self._places.append((file, k))

    def read(self, k: int) -> Array:
        file, group = self._places[k]
        with _parquet().ParquetFile(file) as opened:
            table = opened.read_row_group(group, columns=self.columns, use_threads=False)
        block = np.empty((table.num_rows, len(self.columns)), np.float32)
        for j, name in enumerate(self.columns):
            block[:, j] = table.column(name).to_numpy()
        return block

    def describe(self) -> str:
        sizes = sum(file.stat().st_size for file in {file for file, _ in self._places})
        return f"{super().describe()}, {sizes} bytes, columns {', '.join(self.columns)}"


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "ParquetRows needs pyarrow, which is not installed; run: pip install pyarrow"
        ) from None
    return pyarrow.parquet


def _check_columns(file: Path, schema: Any, columns: Sequence[str]) -> None:
    import pyarrow

    for name in columns:
        k = schema.get_field_index(name)
        if k < 0:
            raise ValueError(
                f"ParquetRows: {file} has no column {name!r}; it has {', '.join(schema.names)[:300]}"
            )
        kind = schema.field(k).type
        if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
            raise ValueError(
                f"ParquetRows: column {name!r} of {file} holds {kind}, expected numbers; "
                "name the columns of numbers, columns=[…]"
            )


class DaskRows(Stream):
    """The rows of a Dask array or DataFrame, a chunk at a time, computed when they are needed.

    Raises
        TypeError   another kind of object
    """

    def __init__(self, x: Any) -> None:
        if hasattr(x, "to_dask_array"):
            x = x.to_dask_array(lengths=True)
        if not hasattr(x, "chunks") or not hasattr(x, "compute") or not x.ndim:
            raise TypeError(
                f"DaskRows: x is a {type(x).__name__}, expected a Dask array (N, …) or DataFrame"
            )
        if np.isnan(x.shape[0]):
            x = x.compute_chunk_sizes()
        self._x = x.rechunk(dict.fromkeys(range(1, x.ndim), -1))
        self.counts = list(self._x.chunks[0])

    def read(self, k: int) -> Array:
        return np.asarray(self._x.blocks[k].compute())

    def describe(self) -> str:
        return f"{super().describe()}, {self._x.dtype} of shape {self._x.shape}, {self._x.name}"


def as_stream(x: Any) -> Any:
    """A Dask array or DataFrame as its rows; anything else as it is."""
    return DaskRows(x) if type(x).__module__.partition(".")[0] in ("dask", "dask_expr") else x
