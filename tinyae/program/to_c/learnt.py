"""The weights that a device changes: where each array of them is in its RAM, and its first values."""

from __future__ import annotations

import numpy as np

from tinyae.param import Array


class LearntWeights:
    """One array of floats in RAM. Each layer's part of it has the name of its first Param."""

    def __init__(self) -> None:
        self.parts: dict[str, Array] = {}
        self.offsets: dict[str, int] = {}
        self.length = 0

    @property
    def values(self) -> Array:
        """The first values, which the device copies from its flash."""
        return np.concatenate([np.zeros(0), *self.parts.values()]).astype(np.float32)

    def add(self, name: str, values: Array) -> str:
        """The pointer to a part in C; its values are stored at the first call."""
        if name not in self.offsets:
            self.offsets[name] = self.length
            self.parts[name] = values.ravel()
            self.length += values.size
        offset = self.offsets[name]
        return f"weights + {offset}" if offset else "weights"
