"""The data of an explanation: quantities, steps, and gradients with all their contributions.

The data do not know how they are shown: ``page`` and ``tex`` are functions of an Explanation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tinyae.param import Array

_ROWS, _COLUMNS = 3, 5  # how much of an array is shown
PARTS = {  # the parts of models, in words
    "encoder": "from the data to the code, or to the features that it is read from",
    "mean": "the head that says where the code's distribution lies, μ",
    "logvar": "the head that says how wide it is, s = ln σ²",
    "decoder": "from the code back to the data",
    "generator": "from noise to a sample",
    "discriminator": "from a sample to a logit that it is data",
    "network": "from the data to one number a class",
}


@dataclass
class Quantity:
    """An array of the pass: its symbol in the equations, its source, a few of its numbers.

    ``role``    "input", "output", "cache", "parameter", "upstream" or "gradient"
    ``norm``    the root of the sum of squares
    ``corner``  its first rows and columns; for images those of the first sample's first channel
    """

    symbol: str
    role: str
    shape: tuple[int, ...]
    norm: float
    corner: Array
    source: str

    @property
    def cut(self) -> bool:
        """Whether there are more numbers than the corner shows."""
        return math.prod(self.shape) > self.corner.size


def quantity(symbol: str, role: str, a: Any, source: str) -> Quantity:
    """The Quantity of an array."""
    a = np.asarray(a)
    numbers = a.astype(np.float64)
    corner = numbers
    while corner.ndim > 2:
        corner = corner[0] if len(corner) else corner.reshape(0, 0)
    corner = np.atleast_2d(corner)[:_ROWS, :_COLUMNS].copy()
    return Quantity(symbol, role, a.shape, float(np.linalg.norm(numbers)), corner, source)


@dataclass
class Step:
    """One part of the pass, with its equations from the docstring.

    ``turn``   the player whose turn it was; "" if there is only one
    ``value``  the terms of a loss, a likelihood or a penalty
    ``note``   what is special about this use of the part
    """

    name: str
    title: str
    words: str = ""
    forward: list[str] = field(default_factory=list)
    backward: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    source: str = ""
    quantities: list[Quantity] = field(default_factory=list)
    value: dict[str, float] = field(default_factory=dict)
    note: str = ""
    turn: str = ""

    @property
    def part(self) -> str:
        """The part of the model that the step belongs to: "encoder" for "encoder.0"."""
        return self.name.partition(".")[0]

    def __getitem__(self, symbol: str) -> Quantity:
        for q in self.quantities:
            if q.symbol == symbol:
                return q
        names = ", ".join(q.symbol for q in self.quantities)
        raise KeyError(f"{symbol!r} is not a quantity of {self.name or self.title}; it has {names}")


@dataclass
class Gradient:
    """∂L/∂θ of one Param: the norm of the sum, and the norm that each use contributed, by name.

    A Param that is used twice has two paths; their norms need not add up.
    """

    name: str
    shape: tuple[int, ...]
    norm: float
    weight: float
    paths: list[tuple[str, float]]


@dataclass
class Explanation:
    """One pass forward and back, as data. ``str()`` makes a page and ``latex()`` a document."""

    latex: ClassVar[Callable[[Explanation], str]]  # attached by the package, as __str__ is

    title: str
    words: str
    forward: list[str]
    backward: list[str]
    units: list[str]
    source: str
    terms: dict[str, float]
    steps: list[Step]
    gradients: list[Gradient]
    remark: str = ""

    def __getitem__(self, name: str) -> Step:
        """The first step of that name.

        Raises
            KeyError  there is none
        """
        for step in self.steps:
            if step.name == name:
                return step
        names = ", ".join(dict.fromkeys(s.name for s in self.steps))
        raise KeyError(f"{name!r} is no step; there is {names}")

    def __repr__(self) -> str:
        return (
            f"Explanation({self.title}: {len(self.steps)} steps, {len(self.gradients)} gradients)"
        )
