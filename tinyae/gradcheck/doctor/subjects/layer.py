"""A layer: y = forward(x), its input gradient and its parameter gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.names import cache_names, layer_sizes, scalars, title_of
from tinyae.gradcheck.doctor.resizing import fitted, other_lengths
from tinyae.gradcheck.doctor.subjects.base import FARTHER, GIVEN, LENGTHS, REDRAWN, Subject, rows_at
from tinyae.gradcheck.doctor.trial import Point
from tinyae.gradcheck.draws import independent_generator, jitter, redraw, wild
from tinyae.gradcheck.replay import Replay, as_double, clear_gradients, learnt
from tinyae.gradcheck.report import gradient_name
from tinyae.param import Array


class LayerSubject(Subject):
    """y = layer.forward(x): dx and every dθ for a random upstream gradient."""

    def __init__(self, layer: Any, x: Any, rng: np.random.Generator) -> None:
        self.given = layer
        self.module = as_double(layer)
        self.whole = getattr(layer, "whole_input", False)  # x holds indices, without a gradient
        self.x = np.array(x, np.int64 if self.whole else np.float64)
        self.rng = independent_generator(rng)
        self.params = learnt(self.module)
        self.replay = Replay(self.module)
        self.title = title_of(layer)

    def names(self) -> dict[str, str]:
        named = {name: gradient_name(name) for name in self.params}
        return named if self.whole else {"x": "dx", **named}

    def input(self, k: int) -> Array:
        """x of point k."""
        if k == GIVEN:
            return self.x.copy()
        rng = np.random.default_rng(k)
        if k == REDRAWN:
            return redraw(self.x, rng, free=True)
        rows = rows_at(k, self.x.shape)
        if rows is not None:
            return redraw(self.x, rng, rows, free=True)
        if k == LENGTHS:
            return self._of_other_lengths(rng)
        farther = wild(self.x, rng) if k == FARTHER else None
        if farther is None:
            raise ValueError("the layer takes no such input")
        return farther

    def _of_other_lengths(self, rng: np.random.Generator) -> Array:
        """x with other lengths along all axes or, if forward needs its channels, all behind them."""
        for lengths in other_lengths({"x": self.x}):
            for first in (0, 2):
                shape = self.x.shape[:first] + tuple(
                    lengths.get(n, n) for n in self.x.shape[first:]
                )
                x = redraw(fitted(self.x, shape), rng, free=True)
                try:
                    if shape != self.x.shape and np.isfinite(self.forward(x.copy())[0]).all():
                        return x
                except Exception:  # lengths that the layer does not take
                    continue
        raise ValueError("the layer takes no other lengths")

    def after_step(self) -> tuple[LayerSubject, dict[str, Any]]:
        """A copy that has made a pass at another input, and the gradients of that pass."""
        other = LayerSubject(self.given, self.x, np.random.default_rng(0))
        x = self.input(REDRAWN)
        y, cache = other.module.forward(x.copy())
        r = np.random.default_rng(9).normal(size=y.shape)
        dx = other.module.backward(r.copy(), cache)
        earlier = {"x": dx if dx is None else np.array(dx), **other.parameter_gradients()}
        other.clear()
        other.replay = Replay(other.module)
        return other, earlier

    def jittered(self) -> LayerSubject:
        """A copy with all parameters moved, a new noise, and a larger x of random numbers."""
        other = LayerSubject(self.given, self.x, np.random.default_rng(1))
        jitter(other.params)
        other.x = redraw(self.x, np.random.default_rng(3), 64 if self.x.ndim else None, free=True)
        other.module.forward(self.x.copy())  # draws a first noise
        other.replay = Replay(other.module)
        return other

    def parameter_gradients(self) -> dict[str, Any]:
        return {k: None if p.grad is None else np.array(p.grad) for k, p in self.params.items()}

    def forward(self, x: Array) -> tuple[Array, Any]:
        """y and the cache, with the same noise at every call."""
        self.replay()
        out = self.module.forward(x)
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError("forward returns one thing, expected two: y and the cache")
        return out[0], out[1]

    def clear(self) -> None:
        clear_gradients(self.params)

    def gradients(self, x: Array, r: Array) -> dict[str, Any]:
        self.clear()
        _, cache = self.forward(x.copy())
        dx = self.module.backward(r.copy(), cache)
        return {"x": dx if dx is None else np.array(dx), **self.parameter_gradients()}

    def point(self, k: int) -> Point:
        x = self.input(k)
        y = np.array(self.forward(x.copy())[0])
        rng = self.rng if k == 0 else np.random.default_rng(100 + k)
        r = rng.normal(size=y.shape)
        values = {"x": x, **{name: p.value for name, p in self.params.items()}}

        def evaluate() -> Array:
            return np.asarray(self.forward(x.copy())[0])

        return Point(
            values,
            evaluate,
            lambda upstream: self.gradients(x, upstream),
            y,
            r,
            layer_sizes(x, y, self.params),
            scalars(self.module) | self._single(),
            label=f"N = {len(x)}",
        )

    def _single(self) -> dict[str, float]:
        """Parameters of one entry, as constants: such a factor is a number, not an array."""
        sizes = {k: float(p.value.ravel()[0]) for k, p in self.params.items() if p.size == 1}
        return {k: v for k, v in sizes.items() if v not in (0.0, 1.0)}

    def tensors(self, point: Point) -> dict[str, Array]:
        """x, y, dy, the parameters, and the arrays of the cache under the names used in backward."""
        x = point.values["x"]
        named: dict[str, Array] = {"dy": point.r, "x": x, "y": point.y}
        _, cache = self.forward(x.copy())
        named.update({key: p.value for key, p in self.params.items() if "." not in key})
        parts = cache if isinstance(cache, (tuple, list)) else (cache,)
        labels = cache_names(type(self.module))
        for i, part in enumerate(parts):
            if isinstance(part, np.ndarray) and part.dtype.kind in "fb" and part.size:
                known = any(
                    part.shape == t.shape and np.array_equal(part, t) for t in named.values()
                )
                if not known:
                    label = labels[i] if i < len(labels) else f"cache[{i}]"
                    named.setdefault(label, part.astype(np.float64))
        if hasattr(self.module, "slope") and point.y.shape == x.shape:
            h = 1e-5  # measured, because the layer's own slope may be the mistake
            above, below = self.forward(x + h)[0], self.forward(x - h)[0]
            named["f′"] = (np.asarray(above) - np.asarray(below)) / (2 * h)
        return named
