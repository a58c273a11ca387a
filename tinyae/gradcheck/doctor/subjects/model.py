"""A model: the total of its objective, and the parameter gradients that backprop adds."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.draws import as_float64, other_rows, redraw
from tinyae.gradcheck.doctor.names import gradient_name, scalars, sizes_of
from tinyae.gradcheck.doctor.subjects.base import Subject
from tinyae.gradcheck.doctor.trial import Point
from tinyae.gradcheck.replay import Replay, as_double, clear_gradients, learnt
from tinyae.param import Array


class ModelSubject(Subject):
    """model.objective(x, rng)["total"]: the gradients that model.backprop adds."""

    composite = True

    def __init__(self, model: Any, x: Any, rng: np.random.Generator) -> None:
        self.given = model
        self.module = as_double(model)
        self.noise = copy.deepcopy(rng)
        self.state = self.noise.bit_generator.state
        self.x = (
            tuple(as_float64(a) for a in x) if isinstance(x, tuple) else np.array(x, np.float64)
        )
        self.params = learnt(self.module)
        self.replay = Replay(self.module)
        self.title = type(model).__name__

    def names(self) -> dict[str, str]:
        return {name: gradient_name(name) for name in self.params}

    def input(self, k: int) -> Any:
        """The batch of point k."""
        if k == 0:
            return copy.deepcopy(self.x)
        rng = np.random.default_rng(k)
        parts = self.x if isinstance(self.x, tuple) else (self.x,)
        rows = other_rows(*(a.shape for a in parts)) if k == 2 else None
        made = tuple(redraw(a, rng, rows) for a in parts)
        return made if isinstance(self.x, tuple) else made[0]

    def clear(self) -> None:
        clear_gradients(self.params)

    def objective(self, x: Any) -> dict[str, float]:
        return self.module.objective(self._copy(x), self._same_rng())

    def backprop(self, x: Any) -> dict[str, float]:
        return self.module.backprop(self._copy(x), self._same_rng())

    def _same_rng(self) -> np.random.Generator:
        """The generator in its first state; the model's own state is restored too."""
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
