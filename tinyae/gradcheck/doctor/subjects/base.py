"""What every subject has: a title, names for its gradients, and points to examine it at."""

from __future__ import annotations

from typing import Any

from tinyae.gradcheck.doctor.trial import Point


class Subject:
    """Something that the doctor can examine."""

    title = ""
    module: Any = None  # the object whose source may be read
    composite = False  # whether a wrong gradient may come from one of its parts

    def point(self, k: int) -> Point:
        """The subject at input k: 0 is the given one, 1 a second draw, 2 another batch size."""
        raise NotImplementedError

    def names(self) -> dict[str, str]:
        """The name of each gradient, by its key in ``point.values``."""
        raise NotImplementedError
