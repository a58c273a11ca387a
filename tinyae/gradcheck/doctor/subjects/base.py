"""What every subject has: a title, names for its gradients, and points to examine it at."""

from __future__ import annotations

from typing import Any

from tinyae.gradcheck.doctor.trial import Point
from tinyae.gradcheck.draws import other_rows

# The points: the given input, a second draw, another batch size, other lengths of every axis,
# numbers farther away and of both signs, one more batch size, distributions for one-hot targets, and
# numbers nearer to 0.
GIVEN, REDRAWN, BATCH, LENGTHS, FARTHER, THIRD_BATCH, SOFT, NEARER = range(8)


def rows_at(k: int, *shapes: tuple[int, ...]) -> int | None:
    """The batch size of point k, if it has one of its own: it equals no length in the shapes."""
    if k not in (BATCH, THIRD_BATCH):
        return None
    second = other_rows(*shapes)
    return second if k == BATCH else other_rows(*shapes, (second,))


class Subject:
    """Something that the doctor can examine."""

    title = ""
    module: Any = None  # the object whose source may be read
    composite = False  # whether a wrong gradient may come from one of its parts
    single = False  # whether it computes in float32, so that another copy is measured

    def point(self, k: int) -> Point:
        """The subject at input k, one of those named above; an error if it takes no such input."""
        raise NotImplementedError

    def finish(self) -> None:
        """Put back what the examination has changed, if anything."""

    def names(self) -> dict[str, str]:
        """The name of each gradient, by its key in ``point.values``."""
        raise NotImplementedError
