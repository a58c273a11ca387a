"""Mini-batches from any source of samples, with one batch in memory at a time. A source is

    an array (N, …)                 or a memory map, whose rows are read when they are needed
    a tuple of arrays               of one length, whose rows stay paired
    a stream                        blocks that are read one at a time (:mod:`tinyae.data.streams`)
    an iterable of such batches     a list or a loader, with its own order and batch sizes

The data are never copied as a whole: a batch is a view, or a copy of its own rows if shuffled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinyae.arguments import positive_int
from tinyae.arrays import check_array, row_weights
from tinyae.data.streams import Stream
from tinyae.wording import counted


def batches(
    x: Any,
    batch_size: int,
    rng: np.random.Generator | None = None,
    drop_last: bool = False,
    sample_weight: Any = None,
) -> Iterator[Any]:
    """One pass over x, in a new random order if ``rng`` is given.

    ``drop_last`` leaves out a last batch that is not full. With ``sample_weight``, a number for each
    row of arrays, rows come as often as :func:`drawn` says. An iterable of batches has its own order
    and sizes, and the other arguments do not affect it.

    Raises
        ValueError  the batch size is not an int ≥ 1, x is empty, the arrays of a tuple differ in
                    length, or ``drop_last`` would leave nothing
        TypeError   x, or a batch of it, is neither an array nor a tuple of arrays
    """
    batch_size = positive_int("batches", "batch_size", batch_size, 32)
    weights = None if sample_weight is None else check_weights("batches", sample_weight, x)
    if isinstance(x, Stream):
        return x.batches(batch_size, rng)
    if not is_rows(x):
        return _checked(x)
    n = count(x)
    if weights is not None and rng is None:
        raise ValueError(
            "batches: sample_weight needs rng, by which rows are drawn; pass a generator"
        )
    if n == 0:
        raise ValueError("batches: x has no rows; pass at least one sample")
    if drop_last and n < batch_size:
        raise ValueError(
            f"batches: drop_last leaves nothing of {counted(n, 'row')} at batch_size {batch_size}; "
            f"pass a batch_size ≤ {n}, or drop_last=False"
        )
    return _sliced(x, n, int(batch_size), rng, drop_last, weights)


def _sliced(
    x: Any,
    n: int,
    batch_size: int,
    rng: np.random.Generator | None,
    drop_last: bool,
    weights: np.ndarray | None,
) -> Iterator[Any]:
    order = None if rng is None else rng.permutation(n)
    if rng is not None and weights is not None:
        order = rng.permutation(drawn(weights, rng))
        n = len(order)
    for start in range(0, n - batch_size + 1 if drop_last else n, batch_size):
        stop = start + batch_size
        yield rows(x, slice(start, stop) if order is None else order[start:stop])


def _checked(x: Iterable[Any]) -> Iterator[Any]:
    for batch in x:
        if not is_rows(batch):
            raise TypeError(
                f"batches: the iterable gave a {type(batch).__name__}, expected batches: arrays "
                "(N, …) or tuples of them; for rows in a list pass np.asarray(x, np.float32)"
            )
        count(batch)
        yield batch


def rows(x: Any, index: Any) -> Any:
    """x[index], applied to each array of a tuple; a memory map gives a plain array."""
    if isinstance(x, tuple):
        return tuple(rows(a, index) for a in x)
    return np.asarray(x[index] if isinstance(index, slice) else x.take(index, axis=0))


def is_rows(x: Any, name: str = "x") -> bool:
    """Whether x is an array or a tuple of arrays, so that its rows can be counted and selected.

    ``name`` is what an error calls x.

    Raises
        TypeError  x is not an iterable of batches either
    """
    if isinstance(x, np.ndarray):
        check_array(f"batches: {name}", x)
        if x.ndim == 0:
            raise TypeError(f"batches: {name} is the number {x}, expected an array (N, …)")
        return True
    if isinstance(x, tuple) and x and all(isinstance(a, np.ndarray) and a.ndim for a in x):
        for k, a in enumerate(x):
            check_array(f"batches: {name}[{k}]", a)
        return True
    if isinstance(x, (str, bytes, bytearray, memoryview, dict, np.generic)) or not isinstance(
        x, Iterable
    ):
        raise TypeError(
            f"batches: {name} is a {type(x).__name__}, expected an array (N, …), a tuple of arrays, or "
            "an iterable of batches; pass np.asarray(x, np.float32)"
        )
    return False


def count(x: Any) -> int:
    """The number of rows of an array, or of a tuple of arrays of one length.

    Raises
        ValueError  the arrays of a tuple differ in length
        TypeError   x is an iterable, whose number of rows is not known in advance
    """
    if not is_rows(x):
        raise TypeError(
            f"count: x is a {type(x).__name__}, whose rows are not known before it has run; "
            "pass an array or a tuple of arrays"
        )
    if not isinstance(x, tuple):
        return len(x)
    lengths = [len(a) for a in x]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"batches: the arrays have {' and '.join(map(str, lengths))} rows, expected one "
            "length; row i of each must belong to the same sample"
        )
    return lengths[0]


def check_weights(who: str, sample_weight: Any, x: Any) -> np.ndarray:
    """A weight for each row of x, in float64.

    Raises
        TypeError   x has no rows that could be weighed, or the weights are no numbers
        ValueError  not one for each row, one is negative, NaN or infinite, or all are 0
    """
    if isinstance(x, Stream) or not is_rows(x):
        raise TypeError(
            f"{who}: x is a {type(x).__name__}, and sample_weight is for the rows of arrays; pass x as "
            "an array or a memory map, or weigh the batches themselves"
        )
    return row_weights(who, sample_weight, count(x))


def drawn(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rows of one epoch, as indices in rising order: row i about wᵢ / w̄ times.

    w̄ is the mean of the weights above 0, so that an epoch has as many rows as there are such weights.
    cᵢ = wᵢ / w̄ is rounded down or up, at random, so that its mean is exact: the points
    u, u + 1, u + 2, …, u uniform in [0, 1), fall into intervals of lengths cᵢ side by side. Over the
    epochs the gradient is that of Σ wᵢ Lᵢ / Σ wᵢ, for every model.

    Source    Carpenter, Clifford & Fearnhead (1999), systematic resampling
    """
    expected = weights / weights[weights > 0].mean()
    turn = rng.permutation(len(weights))  # neighbours must not share their luck
    ends = np.floor(np.cumsum(expected[turn]) + 1e-9 + rng.random() * (1 - 2e-9))
    times = np.empty(len(weights), int)
    times[turn] = np.diff(ends, prepend=0)
    return np.repeat(np.arange(len(weights)), times)


def split(x: Any, fraction: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Two random parts of x: ``rest, held_out = split(x, 0.1, rng)``.

    Both are copies, with rows in x's order.

    Raises
        ValueError  a part would be empty
    """
    n = count(x)
    if not 0 < fraction < 1 or not 1 <= round(n * fraction) < n:
        raise ValueError(
            f"split: a fraction of {fraction} of {counted(n, 'row')} leaves a part empty; "
            "pass 0 < fraction < 1 and enough rows"
        )
    chosen = np.zeros(n, bool)
    chosen[rng.permutation(n)[: round(n * fraction)]] = True
    return rows(x, np.flatnonzero(~chosen)), rows(x, np.flatnonzero(chosen))
