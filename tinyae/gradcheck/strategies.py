"""Strategies of hypothesis for ``assert_gradients``: arrays of awkward shapes and numbers.

    from hypothesis import given
    from tinyae.gradcheck import assert_gradients, strategies

    @given(strategies.arrays(2))
    def test_softmax(x):
        assert_gradients(softmax, x, backward=softmax_backward)

Awkward are one row, one column, lengths that are equal, primes; arrays that are Fortran-ordered,
reversed views or read-only; float32. Their numbers lie away from 0, where a ReLU has its kink, and
their scale may be small or large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyae.param import Array

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

LENGTHS = (1, 2, 3, 5, 7, 8)
SCALES = (1.0, 1e-3, 1e3)


def _hypothesis() -> Any:
    try:
        from hypothesis import strategies
    except ImportError:
        raise ImportError("gradcheck.strategies needs hypothesis: pip install hypothesis") from None
    return strategies


def shapes(ndim: int = 2, lengths: tuple[int, ...] = LENGTHS) -> SearchStrategy[tuple[int, ...]]:
    """Shapes of ``ndim`` axes, each one of ``lengths``: (1, 7), (5, 5), (3, 1)."""
    if ndim < 1 or not lengths or min(lengths) < 1:
        raise ValueError(
            f"strategies.shapes: ndim is {ndim} and the lengths are {lengths}, expected ndim ≥ 1 and "
            "lengths ≥ 1"
        )
    return _hypothesis().tuples(*[_hypothesis().sampled_from(lengths)] * ndim)


def arrays(
    shape: int | tuple[int, ...],
    *,
    positive: bool = False,
    dtypes: tuple[Any, ...] = (np.float64,),
    scales: tuple[float, ...] = SCALES,
) -> SearchStrategy[Array]:
    """Arrays of a shape or, for a number of axes, of any awkward shape.

    positive  no negative numbers, for logarithms and probabilities
    dtypes    from which the array's is drawn; float32 too, where a rounded gradient is meant
    scales    by which all numbers are multiplied
    """
    st = _hypothesis()
    shape = shapes(shape) if isinstance(shape, int) else st.just(shape)

    @st.composite
    def build(draw: Any) -> Array:
        size, seed = draw(shape), draw(st.integers(0, 2**16))
        rng = np.random.default_rng(seed)
        x = rng.uniform(0.1, 2.0, size) * draw(st.sampled_from(scales))
        if not positive:
            x = x * rng.choice([-1.0, 1.0], size)
        layout = draw(st.sampled_from(("C", "F", "reversed", "read-only")))
        x = np.asarray(x, draw(st.sampled_from(dtypes)), order="F" if layout == "F" else "C")
        if layout == "reversed":
            x = np.ascontiguousarray(x[::-1])[::-1]
        x.flags.writeable = layout != "read-only"
        return x

    made: SearchStrategy[Array] = build()
    return made


def batches(
    *shapes_of: tuple[int, ...], positive: bool = False
) -> SearchStrategy[tuple[Array, ...]]:
    """Arrays with the same number of rows: ``batches((4,), (3,))`` draws (N, 4) and (N, 3)."""
    st = _hypothesis()
    rows = st.sampled_from(LENGTHS)
    return rows.flatmap(
        lambda n: st.tuples(*(arrays((n, *shape), positive=positive) for shape in shapes_of))
    )


def indices(count: int, below: int) -> SearchStrategy[Array]:
    """Whole numbers below ``below``, some of them more than once, as an embedding reads."""
    st = _hypothesis()
    if count < 1 or below < 1:
        raise ValueError(
            f"strategies.indices: count is {count} and below is {below}, expected both ≥ 1"
        )
    return st.lists(st.integers(0, below - 1), min_size=count, max_size=count).map(
        lambda found: np.array([*found[:-1], found[0]] if count > 1 else found)
    )
