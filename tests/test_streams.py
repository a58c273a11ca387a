"""Rows that are never in memory together: Parquet, Dask, memory maps under a limit."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyae as ta
from tinyae.data.batches import batches
from tinyae.data.streams import Stream


class Blocks(Stream):
    """Numbered rows in blocks, which counts how many are held."""

    def __init__(self, counts: list[int], width: int = 1) -> None:
        self.counts, self.width = counts, width
        self.starts = np.cumsum([0, *counts])
        self.asked: list[int] = []

    def read(self, k: int) -> np.ndarray:
        self.asked.append(k)
        rows = np.arange(self.starts[k], self.starts[k + 1], dtype=np.float32)
        return np.repeat(rows[:, None], self.width, axis=1)


def network(width: int, dtype: Any = np.float32) -> ta.Autoencoder:
    rng = np.random.default_rng(0)
    return ta.Autoencoder(*ta.dense_encoder_decoder((width,), [2], rng=rng, dtype=dtype), ta.MSE())


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    batch_size=st.integers(1, 12),
    seed=st.none() | st.integers(0, 5),
)
def test_each_row_once_in_batches_of_one_size(
    counts: list[int], batch_size: int, seed: int | None
) -> None:
    stream = Blocks(counts)
    rng = None if seed is None else np.random.default_rng(seed)
    found = [batch[:, 0].tolist() for batch in batches(stream, batch_size, rng)]
    rows = [row for batch in found for row in batch]
    assert sorted(rows) == list(range(sum(counts)))
    assert all(len(batch) == batch_size for batch in found[:-1])
    assert seed is not None or rows == sorted(rows)
    assert sorted(stream.asked) == [k for k, n in enumerate(counts) if n]  # each block once


def test_the_order_is_new_in_each_epoch_and_mixes_blocks() -> None:
    stream, rng = Blocks([50] * 20), np.random.default_rng(0)
    first, second = (np.concatenate(list(batches(stream, 32, rng)))[:, 0] for _ in range(2))
    assert (first != second).any()
    assert np.corrcoef(first, np.arange(1000))[0, 1] < 0.5
    places = np.array([np.flatnonzero(first == row)[0] % 50 for row in range(0, 1000, 50)])
    assert len(set(places.tolist())) > 8  # a block's first row comes anywhere in it


def parquet(folder: Path, x: np.ndarray, group: int = 40) -> Path:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    names = [f"c{j}" for j in range(x.shape[1])]
    table = pa.table({**dict(zip(names, x.T)), "text": ["a"] * len(x)})
    pq.write_table(table, folder / "x.parquet", row_group_size=group)
    return folder / "x.parquet"


X = np.random.default_rng(1).random((130, 5))
COLUMNS = ["c0", "c1", "c2", "c3", "c4"]


def test_parquet_trains_scores_and_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    rows = ta.data.ParquetRows(parquet(tmp_path, X), COLUMNS)
    assert (list(rows.counts), rows.rows) == ([40, 40, 40, 10], 130)
    np.testing.assert_array_equal(np.concatenate(list(rows)), X.astype(np.float32))
    settings: dict[str, Any] = {"batch_size": 32, "progress": False, "validation": rows}
    whole, half, rest = network(5), network(5), network(5)
    history = ta.fit(whole, rows, epochs=4, **settings)
    path = tmp_path / "c.npz"
    ta.fit(half, rows, epochs=2, checkpoint=path, **settings)
    ta.fit(rest, rows, epochs=4, resume=path, **settings)
    for name, p in whole.params.items():
        np.testing.assert_array_equal(p.value, rest.params[name].value)
    assert history["total"][-1] < history["total"][0]
    errors = whole.reconstruction_error(rows)
    np.testing.assert_allclose(errors, whole.reconstruction_error(X.astype(np.float32)), rtol=1e-5)
    assert whole.encode(rows).shape == (130, 2)
    assert whole.evaluate(rows)["total"] == pytest.approx(errors.mean(), rel=1e-5)
    fewer = ta.data.ParquetRows(tmp_path / "x.parquet", COLUMNS[::-1])
    with pytest.raises(ValueError, match="columns c4, c3"):
        ta.fit(network(5), fewer, epochs=4, resume=path, **settings)


def test_what_parquet_cannot_give(tmp_path: Path) -> None:
    x = X.copy()
    x[97, 3] = np.nan
    path = parquet(tmp_path, x)
    model = network(5)
    with pytest.raises(ValueError, match=r"block 2 of x, .*nan at \(17, 3\)"):
        ta.fit(model, ta.data.ParquetRows(path, COLUMNS), epochs=1, progress=False)
    with pytest.raises(ValueError, match=r"'text' .* holds string, expected numbers"):
        ta.data.ParquetRows(path)
    with pytest.raises(ValueError, match="no column 'c9'; it has c0, c1"):
        ta.data.ParquetRows(path, ["c0", "c9"])
    with pytest.raises(FileNotFoundError, match="no Parquet file"):
        ta.data.ParquetRows(tmp_path / "none")
    assert ta.data.ParquetRows(tmp_path, ["c1"]).rows == 130  # a folder of them


def test_dask_arrays_and_frames_train_a_chunk_at_a_time() -> None:
    da = pytest.importorskip("dask.array")
    import dask

    x = da.from_array(X, chunks=(40, 3))
    with dask.config.set(scheduler="sync"):
        runs = []
        for data in (x, ta.data.DaskRows(x), Blocks([40, 40, 40, 10])):
            if isinstance(data, Blocks):
                data.read = lambda k: X[40 * k : 40 * k + 40]  # type: ignore[method-assign]
            model = network(5)
            ta.fit(model, data, epochs=2, validation=data, progress=False)
            runs.append(model)
        pd = pytest.importorskip("pandas")
        dd = pytest.importorskip("dask.dataframe", exc_type=ImportError)
        frame = dd.from_pandas(pd.DataFrame(X), npartitions=3)
        assert ta.data.DaskRows(frame).rows == 130
        ta.fit(network(5), frame, epochs=1, progress=False)
    for model in runs[1:]:
        for name, p in model.params.items():
            np.testing.assert_array_equal(p.value, runs[0].params[name].value)
    with pytest.raises(TypeError, match="DaskRows: x is a ndarray"):
        ta.data.DaskRows(X)


LIMITED = """
import resource, sys
import numpy as np
import tinyae as ta
from tinyae.data.streams import Stream

x = np.load(sys.argv[1], mmap_mode="r")
class Generated(Stream):
    counts = [2_000] * 100
    def read(self, k):
        return np.random.default_rng(k).random((2_000, 128), np.float32)

def run(x, n):
    rng = np.random.default_rng(0)
    model = ta.Autoencoder(*ta.dense_encoder_decoder((128,), [2], rng=rng), ta.MSE())
    ta.fit(model, x, epochs=1, batch_size=2000, progress=False)
    assert model.reconstruction_error(x).shape == (n,)

class Short(Stream):
    counts = [2_000] * 2
    read = Generated.read

run(x[:4000], 4000), run(Short(), 4000)  # what is kept from now on
with open("/proc/self/status") as lines:
    held = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (held + (24 << 20),) * 2)
if sys.argv[2] == "map":
    run(x, len(x))
elif sys.argv[2] == "stream":
    run(Generated(), 200_000)
else:
    run(np.array(x), len(x))  # all of it in memory
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize(("source", "fits"), [("map", True), ("stream", True), ("array", False)])
def test_a_file_larger_than_the_memory_that_is_allowed(
    tmp_path: Path, source: str, fits: bool
) -> None:
    """102 MB of rows, and 24 MB that a process may take beyond what it holds at the start."""
    path = tmp_path / "x.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, (200_000, 128)).flush()  # a sparse file
    environment = {"TINYAE_KERNELS": "numpy", "OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    environment["PYTHONPATH"] = str(Path(ta.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), source],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is fits, done.stderr
    assert fits or "MemoryError" in done.stderr
