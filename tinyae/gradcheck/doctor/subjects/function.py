"""A function and the backward that someone has written for it, as in an exercise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.draws import (
    as_float64,
    independent_generator,
    other_rows,
    redraw,
)
from tinyae.gradcheck.doctor.names import gradient_name, layer_sizes, sizes_of
from tinyae.gradcheck.doctor.subjects.base import Subject
from tinyae.gradcheck.doctor.trial import Point
from tinyae.param import Array


class FunctionSubject(Subject):
    """y = f(*inputs) with a hand-written backward(dy, *inputs)."""

    def __init__(
        self,
        f: Callable[..., Any],
        x: Any,
        backward: Callable[..., Any],
        rng: np.random.Generator,
        *,
        wrt: Any = None,
        upstream: bool = True,
        tensors: Any = None,
        draw: Any = None,
    ) -> None:
        self.given = self.module = backward
        self.f, self.backward, self.rng = f, backward, independent_generator(rng)
        self.inputs = self._named(x)
        self.wrt, self.upstream, self.named, self.draw = wrt, upstream, tensors, draw
        self.title = getattr(backward, "__name__", "backward")
        self.wrt = self._wrt()

    def _named(self, x: Any) -> dict[str, Array]:
        if not isinstance(x, dict):
            x = {"x": x}
        return {name: as_float64(a) for name, a in x.items()}

    def _wrt(self) -> tuple[str, ...]:
        if self.wrt is not None:
            return (self.wrt,) if isinstance(self.wrt, str) else tuple(self.wrt)
        floats = [name for name, a in self.inputs.items() if a.dtype.kind == "f"]
        inputs = {k: v.copy() for k, v in self.inputs.items()}
        try:
            y = np.asarray(self.f(*inputs.values()))
            out = self.call(np.ones(y.shape), inputs)
        except Exception:  # the examination meets the same error and reports it
            return tuple(floats)
        if isinstance(out, dict):
            return tuple(out)
        return tuple(floats[: len(out)]) if isinstance(out, (tuple, list)) else tuple(floats[:1])

    def names(self) -> dict[str, str]:
        return {name: gradient_name(name) for name in self.wrt}

    def call(self, r: Array, inputs: dict[str, Array]) -> Any:
        arguments = [a.copy() for a in inputs.values()]
        if not self.upstream:
            return self.backward(*arguments)
        return self.backward(r.copy() if r.ndim else np.float64(r), *arguments)

    def gradients(self, r: Array, inputs: dict[str, Array]) -> dict[str, Any]:
        out = self.call(r, inputs)
        if isinstance(out, dict):
            return {name: out.get(name) for name in self.wrt}
        if len(self.wrt) == 1 and not (isinstance(out, (tuple, list)) and len(out) == 1):
            return {self.wrt[0]: _array(out)}
        if not isinstance(out, (tuple, list)):
            out = (out,)
        found = dict.fromkeys(self.wrt)
        found.update({name: _array(g) for name, g in zip(self.wrt, out)})
        return found

    def drawn(self, k: int) -> dict[str, Array]:
        if k and isinstance(self.named, dict):  # they belong to these inputs: only dy is new
            if k == 2:
                raise ValueError("tensors are given for one batch size only")
            k = 0
        if k == 0:
            return {name: a.copy() for name, a in self.inputs.items()}
        rng = np.random.default_rng(k)
        first = next(iter(self.inputs.values()))
        shapes = [a.shape for a in self.inputs.values()]
        rows = other_rows(*shapes) if k == 2 else None
        n = len(first) if first.ndim else 1
        if self.draw is not None:
            return self._named(self.draw(rng, n if rows is None else rows))
        made = {}
        for name, a in self.inputs.items():
            along = rows if rows and a.ndim and len(a) == n else None
            made[name] = redraw(a, rng, along)
        return made

    def point(self, k: int) -> Point:
        inputs = self.drawn(k)

        def evaluate() -> Array:
            return np.asarray(self.f(*[a.copy() for a in inputs.values()]), np.float64)

        y = evaluate()
        rng = self.rng if k == 0 else np.random.default_rng(100 + k)
        r = rng.normal(size=y.shape) if self.upstream else np.ones(y.shape)
        r = np.asarray(r, np.float64)
        first = next(iter(inputs.values()))
        size = layer_sizes(first, y, {})
        if not y.ndim:
            size = sizes_of("N", "DEF" if first.ndim < 4 else "CHW", first.shape)
        return Point(
            {name: inputs[name] for name in self.wrt},
            evaluate,
            lambda upstream: self.gradients(upstream, inputs),
            y,
            r,
            size,
            {name: float(a) for name, a in inputs.items() if not a.ndim and a not in (0, 1)},
            {**inputs},
            label=f"N = {len(first) if first.ndim else 1}",
        )

    def tensors(self, point: Point) -> dict[str, Array]:
        inputs = dict(point.tensors)
        named = {"dy": point.r} if self.upstream else {}
        named.update({k: np.asarray(a, np.float64) for k, a in inputs.items()})
        named["y"] = point.y
        more = self.named
        if callable(more):
            more = more(*[a.copy() for a in inputs.values()])
        for name, a in (more or {}).items():
            named[name] = np.asarray(a, np.float64)
            if name != "y" and "y" in named and np.array_equal(named[name], named["y"]):
                del named["y"]  # it has a better name
        return named


def _array(g: Any) -> Any:
    if g is None or isinstance(g, np.ndarray):
        return None if g is None else np.array(g)
    if isinstance(g, (float, int, np.number)):
        return np.asarray(g, np.float64)
    return g
