"""Which arrays the compiled loops take.

A compiled loop reads memory by address and believes what it is told about dtype and shape. So each
kernel looks at its arrays first, in a fraction of a microsecond. What the loops were not compiled
for (other dtypes, two dtypes at once, shapes that do not belong together, an output that is
read-only) is left to the definition in ``reference``, whose NumPy converts or refuses it.
"""

from __future__ import annotations

import numpy as np

from tinyae.arrays import FLOATS
from tinyae.param import Array


def is_float_array(x: Array) -> bool:
    """Whether x is an array of float32 or float64, and not of a class that masks or renames it."""
    return (type(x) is np.ndarray or type(x) is np.memmap) and x.dtype in FLOATS


def same_float(a: Array, b: Array) -> bool:
    """Whether both are of float32, or both of float64."""
    return a.dtype in FLOATS and b.dtype in FLOATS and a.itemsize == b.itemsize


def alike(a: Array, b: Array) -> bool:
    """Whether both are of float32 or of float64, and of one shape."""
    return a.shape == b.shape and same_float(a, b)


def matrices(a: Array, b: Array) -> bool:
    """Whether both are matrices, of float32 or of float64."""
    return a.ndim == 2 and b.ndim == 2 and same_float(a, b)


def of_channels(x: Array, *vectors: Array) -> bool:
    """Whether each is contiguous, has a number for each channel of x, and has x's dtype."""
    return all(
        a.shape == x.shape[1:2] and same_float(x, a) and a.flags.c_contiguous for a in vectors
    )
