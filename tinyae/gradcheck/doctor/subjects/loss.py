"""A loss, a likelihood or a penalty: a number and its gradient."""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.names import scalars, sizes_of, title_of
from tinyae.gradcheck.doctor.resizing import other_lengths, resized
from tinyae.gradcheck.doctor.subjects.base import FARTHER, GIVEN, LENGTHS, Subject, rows_at
from tinyae.gradcheck.doctor.trial import Point
from tinyae.gradcheck.draws import as_float64, redraw, wild
from tinyae.param import Array


class LossSubject(Subject):
    """L, dy = loss(y, target): dy. A penalty on the code has no target."""

    def __init__(self, loss: Any, y: Any, target: Any, rng: np.random.Generator) -> None:
        self.given = self.module = loss if inspect.isfunction(loss) else copy.deepcopy(loss)
        self.y = np.array(y, np.float64)
        self.target = None if target is None else as_float64(target)
        self.title = title_of(loss)

    def names(self) -> dict[str, str]:
        return {"y": "dy"}

    def inputs(self, k: int) -> list[Array]:
        """y and the target of point k; y alone if there is no target."""
        given = [self.y] if self.target is None else [self.y, self.target]
        if k == GIVEN:
            return [a.copy() for a in given]
        rng = np.random.default_rng(k)
        named = {"y": given[0], "target": given[-1]}
        if k == LENGTHS:
            made = resized(named, next(other_lengths(named)))
            given = [made["y"], made["target"]][: len(given)]
        n = len(self.y) if self.y.ndim else 0
        rows = rows_at(k, self.y.shape) if n else None
        unbounded = getattr(self.module, "output_range", None) is None
        made_y = redraw(given[0], rng, rows, free=unbounded)
        if k == FARTHER:
            farther = wild(self.y, rng) if unbounded else None
            if farther is None:
                raise ValueError("the loss takes no such y")
            made_y = farther
        rest = [redraw(a, rng, rows if a.ndim and len(a) == n else None) for a in given[1:]]
        return [made_y, *rest]

    def measure(self, given: list[Array]) -> tuple[Any, Any]:
        out = self.module(*[a.copy() for a in given])
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError("the loss returns one thing, expected two: L and dy")
        return out[0], out[1]

    def point(self, k: int) -> Point:
        given = self.inputs(k)
        y = given[0]

        def evaluate() -> Array:
            return np.array([self.measure(given)[0]], np.float64)

        def analytic(upstream: Array) -> dict[str, Any]:
            dy = self.measure(given)[1]
            return {"y": dy if dy is None else np.array(dy)}

        L = evaluate()
        low, high = getattr(self.module, "output_range", None) or (-math.inf, math.inf)
        room = {} if math.isinf(low) else {"y": np.minimum(y - low, high - y)}
        size = sizes_of("N", "DEF" if y.ndim < 4 else "CHW", y.shape)
        named = {"y": y}
        if len(given) > 1:
            named["target"] = given[1].astype(np.float64)
        known = scalars(self.module)
        label = f"N = {len(y) if y.ndim else 1}"
        return Point({"y": y}, evaluate, analytic, L, np.ones(1), size, known, named, room, label)

    def tensors(self, point: Point) -> dict[str, Array]:
        named = dict(point.tensors)
        if "target" in named and named["y"].shape == named["target"].shape:
            y, t = named["y"], named["target"]
            with np.errstate(all="ignore"):
                named["y − target"] = y - t
                named["σ(y)"] = 1 / (1 + np.exp(-y))
                named["σ(y) − target"] = named["σ(y)"] - t
        return named
