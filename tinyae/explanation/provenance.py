"""Which part of the pass produced an array, recognised from the array itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.param import Array

OWN = "the model's own lines, see its Backward"


class Provenance:
    """Labelled arrays. An array is recognised as one of them, as its copy, as a part of it (a
    slice), or as the sum of two, because the gradients of two paths add.
    """

    def __init__(self) -> None:
        self.forward: list[tuple[Array, str]] = []
        self.backward: list[tuple[Array, str]] = []

    def add_value(self, a: Any, label: str) -> None:
        if isinstance(a, np.ndarray):
            self.forward.append((a, label))

    def add_gradient(self, a: Any, label: str) -> None:
        if isinstance(a, np.ndarray):
            self.backward.append((a, label))

    def add_whole(self, a: Array, label: str) -> None:
        """A gradient that parts are cut from. If it has another label too, that one is preferred."""
        self.backward.insert(0, (a, label))

    def of_value(self, a: Any, otherwise: str = "the model's own lines, see its Forward") -> str:
        return _single(a, self.forward) or otherwise

    def of_gradient(self, a: Any, otherwise: str = OWN) -> str:
        return _single(a, self.backward) or _sum(a, self.backward) or otherwise


def _single(a: Any, known: list[tuple[Array, str]]) -> str:
    if not isinstance(a, np.ndarray):
        return ""
    for b, label in reversed(known):
        if b is a:
            return label
    for b, label in reversed(known):
        if b.shape == a.shape and a.any() and np.array_equal(a, b):
            return label
    for b, label in reversed(known):
        if a.size and np.may_share_memory(a, b):
            same = a.size == b.size
            return f"{label}, reshaped" if same else f"a part of {label}"
    for b, label in reversed(known):
        if a.ndim > 1 and b.ndim == a.ndim and len(b) == len(a) and a.shape[2:] == b.shape[2:]:
            n = a.shape[1]
            if 0 < n < b.shape[1] and a.any() and np.array_equal(a, b[:, :n]):
                return f"a part of {label}"
    return ""


def _sum(a: Any, known: list[tuple[Array, str]]) -> str:
    if not isinstance(a, np.ndarray) or not a.any():
        return ""
    alike = [(b, label) for b, label in known if b.shape == a.shape]
    scale = 1e-9 * float(np.abs(a).max())
    for i, (b, first) in enumerate(alike):
        for c, second in alike[i + 1 :]:
            if np.allclose(b + c, a, rtol=1e-9, atol=scale):
                return f"{first} + {second}"
    return ""
