"""Mini-batches: every row once, only the batch is copied, and clear errors for misuse."""

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyae.data.batches import batches, count, split


@given(
    st.integers(1, 40),
    st.integers(1, 50),
    st.none() | st.integers(0, 2**32),
    st.booleans(),
    st.booleans(),
)
def test_each_row_comes_exactly_once(
    n: int, batch_size: int, seed: int | None, drop_last: bool, paired: bool
) -> None:
    x = np.arange(2.0 * n).reshape(n, 2)
    data = (x, np.arange(n)) if paired else x
    rng = None if seed is None else np.random.default_rng(seed)
    if drop_last and n < batch_size:
        with pytest.raises(ValueError, match="drop_last leaves nothing"):
            batches(data, batch_size, rng, drop_last)
        return
    found = list(batches(data, batch_size, rng, drop_last))
    sizes = [count(batch) for batch in found]
    full, rest = divmod(n, batch_size)
    assert sizes == [batch_size] * full + ([rest] if rest and not drop_last else [])
    if paired:
        for part, label in found:
            np.testing.assert_array_equal(part[:, 0], 2 * label)
        found = [part for part, _ in found]
    seen = np.concatenate(found)[:, 0] / 2
    if rng is None:
        np.testing.assert_array_equal(seen, np.arange(len(seen)))
    assert len(np.unique(seen)) == len(seen)
    if not drop_last:
        np.testing.assert_array_equal(np.sort(seen), np.arange(n))


def test_the_order_is_random_and_seeded() -> None:
    x = np.arange(200)[:, None]
    one, two, three = (
        np.concatenate(list(batches(x, 16, np.random.default_rng(s))))[:, 0] for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != three).any()
    # every row is equally likely to come first: 20 rows, 4,000 draws, six standard errors
    rng = np.random.default_rng(5)
    firsts = [int(next(batches(x[:20], 4, rng))[0, 0]) for _ in range(4000)]
    assert np.abs(np.bincount(firsts, minlength=20) - 200).max() < 6 * np.sqrt(190)


def test_in_order_a_batch_is_a_view_shuffled_a_copy() -> None:
    x = np.zeros((10, 3))
    assert all(np.shares_memory(batch, x) for batch in batches(x, 4))
    for batch in batches(x, 4, np.random.default_rng(0)):
        batch += 1
    assert not x.any()


@pytest.mark.parametrize("seed", [None, 0])
def test_a_memory_map_is_read_batch_by_batch(tmp_path: Path, seed: int | None) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(40000 * 64, dtype=np.float32).reshape(40000, 64))  # 10 MB
    x = np.load(path, mmap_mode="r")
    rng = None if seed is None else np.random.default_rng(seed)
    total, kinds = 0.0, set()
    tracemalloc.start()
    for batch in batches(x, 256, rng):
        total += float(batch[:, 0].sum(dtype=np.float64))
        kinds.add(type(batch))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 64 * 40000 * 39999 / 2
    assert kinds == {np.ndarray}
    assert peak < 1e6  # the order (0.3 MB) and one or two batches (0.07 MB each)


class Loader:
    """A re-iterable loader with its own order."""

    def __init__(self, found: list[Any]) -> None:
        self.found = found

    def __iter__(self) -> Iterator[Any]:
        return iter(self.found)


def test_iterables_decide_themselves() -> None:
    parts = [np.ones((3, 2)), np.zeros((5, 2))]
    for data in (parts, Loader(parts), iter(parts)):
        found = list(batches(data, 2, np.random.default_rng(0)))
        assert all(a is b for a, b in zip(found, parts, strict=True))
    pairs = [(np.ones((3, 2)), np.ones(3))]
    assert next(batches(Loader(pairs), 2)) is pairs[0]


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: batches(np.zeros((3, 2)), 0), ValueError, "batch_size is 0"),
        (lambda: batches(np.zeros((3, 2)), 2.5), ValueError, "batch_size is 2.5"),
        (lambda: batches(np.zeros((0, 2)), 2), ValueError, "no rows"),
        (lambda: batches((np.zeros((3, 2)), np.zeros(4)), 2), ValueError, "3 and 4 rows"),
        (lambda: batches(np.float64(3), 2), TypeError, "float64"),
        (lambda: batches(np.array(3.0), 2), TypeError, "the number"),
        (lambda: batches("x.npy", 2), TypeError, "str"),
        (lambda: batches(None, 2), TypeError, "NoneType"),
        (lambda: list(batches([[1.0, 2.0]], 2)), TypeError, r"np\.asarray"),
        (lambda: list(batches([1.0, 2.0], 2)), TypeError, r"float"),
        (lambda: count([np.zeros(3)]), TypeError, "not known"),
        (lambda: split(np.zeros((3, 2)), 0.01, np.random.default_rng(0)), ValueError, "empty"),
        (lambda: split(np.zeros((3, 2)), 1.0, np.random.default_rng(0)), ValueError, "fraction"),
    ],
)
def test_misuse_is_named(make: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        make()


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_split_parts_every_row_once(n: int, fraction: float, seed: int) -> None:
    x, y = np.arange(n)[:, None], np.arange(n)
    held = round(n * fraction)
    if not 1 <= held < n:
        return
    (a, la), (b, lb) = split((x, y), fraction, np.random.default_rng(seed))
    assert len(b) == held
    np.testing.assert_array_equal(a[:, 0], la)
    np.testing.assert_array_equal(b[:, 0], lb)
    np.testing.assert_array_equal(np.sort(np.concatenate([la, lb])), y)
    assert (np.diff(la) > 0).all()
    again = split(x, fraction, np.random.default_rng(seed))
    np.testing.assert_array_equal(again[1], b)
