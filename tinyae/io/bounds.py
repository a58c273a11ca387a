"""What a file may ask for while its model is built. A file need not be trusted.

A few kilobytes can describe an enormous model: an object may be referred to many times, and such
objects again, so that their number doubles with each level; a size is just a number. Whatever
walks through a model takes time for each of its parts as often as they are reached. So they are
counted that way, and counted before anything is built from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.archive import FileError
from tinyae.layers.base import Layer, ParameterFree
from tinyae.param import Array, Initializer

MAX_DEPTH = 64  # levels of nested objects
MAX_PARTS = 100_000  # objects and their arguments; a shared one counts each time it is reached
_MAX_WORK = 500_000  # the parts of each object together, which its constructor may walk through
_SLACK = 2**20  # elements that a model may have besides those in its file: 4 MB of float32
_LARGEST_INTEGER = 2**24  # in an argument that may be a size, and may be something else


class Bounds:
    """The counts of one file."""

    def __init__(self, elements: int) -> None:
        # Twice the file's elements, because tied weights are stored once.
        self.elements = 2 * elements + _SLACK  # which arrays may still have
        self.parts = 0
        self.depth = 0  # of the objects that the current one holds
        self.work = 0
        self.objects: dict[int, tuple[int, int]] = {}  # the parts and the depth of each

    def add(self, parts: int = 1, depth: int = 0) -> None:
        """Count a value, or a reference to an object with these parts."""
        self.parts += parts
        self.depth = max(self.depth, depth)
        if self.parts > MAX_PARTS:
            raise FileError(f"it describes more than {MAX_PARTS} parts; this is no honest model")

    def enter(self) -> tuple[int, int]:
        """Begin an object; give the result to :meth:`leave`."""
        outer = self.parts, self.depth
        self.depth = 0
        return outer

    def leave(self, number: int, outer: tuple[int, int]) -> None:
        """End object ``number``: everything that it holds has been counted."""
        parts, depth = self.parts - outer[0], self.depth + 1
        self.work += parts
        if depth > MAX_DEPTH:
            raise FileError(f"its architecture is nested more than {MAX_DEPTH} deep")
        if self.work > _MAX_WORK:
            raise FileError(f"its parts are shared by more than {_MAX_WORK} others")
        self.objects[number] = parts, depth
        self.depth = max(outer[1], depth)

    def check_arguments(self, cls: type, arguments: dict[str, Any]) -> None:
        """Raise if an argument could be the size of an array that the file does not hold."""
        if isinstance(arguments.get("dtype"), str):
            _check_dtype(cls.__name__, arguments["dtype"])
        if issubclass(cls, ParameterFree):
            return  # these have no arrays, so any size is harmless
        own_layer = issubclass(cls, Layer) and cls.__module__.startswith("tinyae.")
        limit = self.elements if own_layer else max(self.elements, _LARGEST_INTEGER)
        for name, value in arguments.items():
            if isinstance(value, (int, list, tuple)) and not _fits(value, limit):
                shown = str(value)[:60] if isinstance(value, int) else f"{str(value[:4])[:60]} …"
                raise FileError(
                    f"{cls.__name__}: {name} is {shown}, larger than what the file holds"
                )

    def take(self, arrays: Iterable[Array]) -> None:
        """Count the arrays of a module that was built."""
        self.elements -= sum(a.size for a in arrays)
        if self.elements < 0:
            raise FileError("its architecture needs more numbers than the file holds")


def _fits(sizes: Any, limit: int) -> bool:
    """Whether the product of the integers in ``sizes`` is ≤ limit. Stops as soon as it is not."""
    product = 1
    for size in [sizes] if isinstance(sizes, int) else sizes:
        if isinstance(size, int):
            product *= max(abs(size), 1)
            if product > limit:
                return False
    return True


def _check_dtype(who: str, name: str) -> None:
    try:
        dtype = np.dtype(name[:20])
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise FileError(f"{who} cannot be built: dtype is {name[:20]}, expected float32 or float64")


class LimitedZeros(Initializer):
    """An initialiser of zeros that rejects arrays larger than the file allows."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(
        self,
        shape: tuple[int, ...],
        fan_in: int,
        fan_out: int,
        rng: np.random.Generator | None,
        dtype: DTypeLike,
    ) -> Array:
        if not _fits(shape, self.limit):
            raise FileError(f"a weight of shape {shape} is larger than what the file holds")
        return np.zeros(shape, dtype)
