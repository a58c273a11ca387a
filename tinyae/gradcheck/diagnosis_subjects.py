"""What can be diagnosed, made alike: a layer, a loss, a model, a function with its backward.

``subject.point(k)`` is the subject at one input: k = 0 the given one, 1 a second draw, 2 another
batch size. A relation that holds at all three is no accident.
"""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import numpy as np

from tinyae.gradcheck.diagnosis_names import (
    cache_names,
    d,
    double,
    layer_sizes,
    other_rows,
    own,
    redraw,
    scalars,
    sizes_of,
    title_of,
)
from tinyae.gradcheck.diagnosis_trial import Point
from tinyae.gradcheck.replay import Replay, as_double, learnt
from tinyae.param import Array


class Subject:
    """What the doctor examines."""

    title = ""
    module: Any = None  # the object whose source may be read
    composite = False

    def point(self, k: int) -> Point:
        raise NotImplementedError

    def names(self) -> dict[str, str]:
        """The gradients' names by the keys of ``point.values``."""
        raise NotImplementedError


class LayerSubject(Subject):
    """y = layer.forward(x): dx and every dθ, for a random upstream gradient."""

    def __init__(self, layer: Any, x: Any, rng: np.random.Generator) -> None:
        self.given = layer
        self.module = as_double(layer)
        self.x = np.array(x, np.float64)
        self.rng = own(rng)
        self.params = learnt(self.module)
        self.replay = Replay(self.module)
        self.title = title_of(layer)

    def names(self) -> dict[str, str]:
        return {"x": "dx", **{name: d(name) for name in self.params}}

    def input(self, k: int) -> Array:
        if k == 0:
            return self.x.copy()
        rng = np.random.default_rng(k)
        if k == 1:
            return redraw(self.x, rng)
        return redraw(self.x, rng, other_rows(self.x.shape))

    def forward(self, x: Array) -> tuple[Array, Any]:
        self.replay()
        out = self.module.forward(x)
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError("forward returns one thing, expected two: y and the cache")
        return out[0], out[1]

    def clear(self) -> None:
        for p in self.params.values():
            if p.grad is not None:
                p.grad[...] = 0

    def gradients(self, x: Array, r: Array) -> dict[str, Any]:
        self.clear()
        _, cache = self.forward(x.copy())
        dx = self.module.backward(r.copy(), cache)
        found = {"x": dx if dx is None else np.array(dx)}
        for name, p in self.params.items():
            found[name] = None if p.grad is None else np.array(p.grad)
        return found

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
        """Parameters of one number, which no array of factors can show."""
        sizes = {k: float(p.value.ravel()[0]) for k, p in self.params.items() if p.size == 1}
        return {k: v for k, v in sizes.items() if v not in (0.0, 1.0)}

    def tensors(self, point: Point) -> dict[str, Array]:
        """x, y, dy, parameters, and what the cache holds, by the names that backward gives it."""
        x = point.values["x"]
        named: dict[str, Array] = {"dy": point.r, "x": x, "y": point.y}
        _, cache = self.forward(x.copy())
        own = {key: p for key, p in self.params.items() if "." not in key}
        named.update({key: p.value for key, p in own.items()})
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
            h = 1e-5  # measured: the layer's own slope may be what is wrong
            above, below = self.forward(x + h)[0], self.forward(x - h)[0]
            named["f′"] = (np.asarray(above) - np.asarray(below)) / (2 * h)
        return named


class LossSubject(Subject):
    """L, dy = loss(y, target): dy. A penalty on the code is a loss without a target."""

    def __init__(self, loss: Any, y: Any, target: Any, rng: np.random.Generator) -> None:
        self.given = self.module = loss if inspect.isfunction(loss) else copy.deepcopy(loss)
        self.y = np.array(y, np.float64)
        self.target = None if target is None else double(target)
        self.title = title_of(loss)

    def names(self) -> dict[str, str]:
        return {"y": "dy"}

    def pair(self, k: int) -> list[Array]:
        """y and the target; y alone if there is none."""
        given = [self.y] if self.target is None else [self.y, self.target]
        if k == 0:
            return [a.copy() for a in given]
        rng = np.random.default_rng(k)
        n = len(self.y) if self.y.ndim else 0
        rows = other_rows(self.y.shape) if k == 2 and n else None
        return [redraw(a, rng, rows if a.ndim and len(a) == n else None) for a in given]

    def measure(self, given: list[Array]) -> tuple[Any, Any]:
        out = self.module(*[a.copy() for a in given])
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError("the loss returns one thing, expected two: L and dy")
        return out[0], out[1]

    def point(self, k: int) -> Point:
        given = self.pair(k)
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


class ModelSubject(Subject):
    """model.objective(x, rng)["total"]: the gradients that model.backprop adds."""

    composite = True

    def __init__(self, model: Any, x: Any, rng: np.random.Generator) -> None:
        self.given = model
        self.module = as_double(model)
        self.noise = copy.deepcopy(rng)
        self.state = self.noise.bit_generator.state
        self.x = tuple(double(a) for a in x) if isinstance(x, tuple) else np.array(x, np.float64)
        self.params = learnt(self.module)
        self.replay = Replay(self.module)
        self.title = type(model).__name__

    def names(self) -> dict[str, str]:
        return {name: d(name) for name in self.params}

    def input(self, k: int) -> Any:
        if k == 0:
            return copy.deepcopy(self.x)
        rng = np.random.default_rng(k)
        parts = self.x if isinstance(self.x, tuple) else (self.x,)
        rows = other_rows(*(a.shape for a in parts)) if k == 2 else None
        made = tuple(redraw(a, rng, rows) for a in parts)
        return made if isinstance(self.x, tuple) else made[0]

    def clear(self) -> None:
        for p in self.params.values():
            if p.grad is not None:
                p.grad[...] = 0

    def objective(self, x: Any) -> dict[str, float]:
        return self.module.objective(self._copy(x), self._again())

    def backprop(self, x: Any) -> dict[str, float]:
        return self.module.backprop(self._copy(x), self._again())

    def _again(self) -> np.random.Generator:
        """The generator, put back; and so is whatever the model keeps."""
        self.replay()
        self.noise.bit_generator.state = self.state
        return self.noise

    def _copy(self, x: Any) -> Any:
        return tuple(a.copy() for a in x) if isinstance(x, tuple) else x.copy()

    def gradients(self, x: Any) -> dict[str, Any]:
        self.clear()
        self.backprop(x)
        return {k: None if p.grad is None else np.array(p.grad) for k, p in self.params.items()}

    def point(self, k: int) -> Point:
        x = self.input(k)

        def evaluate() -> Array:
            return np.array([self.objective(x)["total"]], np.float64)

        L = evaluate()
        first = x[0] if isinstance(x, tuple) else x
        return Point(
            {name: p.value for name, p in self.params.items()},
            evaluate,
            lambda upstream: self.gradients(x),
            L,
            np.ones(1),
            sizes_of("N", "DEF" if first.ndim < 4 else "CHW", first.shape),
            scalars(self.module),
            label=f"N = {len(first)}",
        )

    def tensors(self, point: Point) -> dict[str, Array]:
        return {}
