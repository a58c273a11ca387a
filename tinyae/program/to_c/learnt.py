"""The weights that a device changes: where each array of them is in its RAM, and its first values."""

from __future__ import annotations

import numpy as np

from tinyae.param import Array


class LearntWeights:
    """One array of floats in RAM. Each layer's part of it has the name of its first Param."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._offsets: dict[str, int] = {}
        self.length = 0

    @property
    def values(self) -> Array:
        """The first values, which the device copies from its flash."""
        return np.concatenate([np.zeros(0, np.float32), *self._parts])

    def add(self, name: str, values: Array) -> str:
        """The pointer to a part in C; its values are stored at the first call."""
        if name not in self._offsets:
            self._offsets[name] = self.length
            self._parts.append(values.ravel().astype(np.float32))
            self.length += values.size
        offset = self._offsets[name]
        return f"weights + {offset}" if offset else "weights"
