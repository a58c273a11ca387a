"""Arrays that the verbs write."""

from __future__ import annotations

import numpy as np

from tinyae.param import Array


def write_npy(path: str, array: Array) -> None:
    """Write an array to exactly this path (np.save would add a suffix), and say so."""
    with open(path, "wb") as file:
        np.save(file, array, allow_pickle=False)
    print(f"{path}: {array.shape} {array.dtype}")
