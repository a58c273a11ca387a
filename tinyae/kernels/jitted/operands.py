"""Which arrays the compiled loops take.

A compiled loop reads memory by address and believes what it is told about dtype and shape. So each
kernel looks at its arrays first, in a fraction of a microsecond. What the loops were not compiled
for (other dtypes, two dtypes at once, shapes that do not belong together, an output that is
read-only) is left to the definition in ``reference``, whose NumPy converts or refuses it.
"""

from __future__ import annotations

from tinyae.param import FLOATS, Array


def same_float(a: Array, *others: Array) -> bool:
    """Whether all arrays are of float32, or all of float64."""
    dtype = a.dtype
    if dtype not in FLOATS:
        return False
    for b in others:  # noqa: SIM110  a plain loop is fastest, and every kernel runs it
        if b.dtype != dtype:
            return False
    return True


def alike(a: Array, b: Array) -> bool:
    """Whether both are of float32 or of float64, and of one shape."""
    return a.shape == b.shape and same_float(a, b)


def matrices(a: Array, b: Array) -> bool:
    """Whether both are matrices, of float32 or of float64."""
    return a.ndim == b.ndim == 2 and same_float(a, b)
