"""A model: the total of its objective, and the parameter gradients that backprop adds."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.names import scalars, sizes_of
from tinyae.gradcheck.doctor.subjects.base import (
    BATCH,
    GIVEN,
    REDRAWN,
    THIRD_BATCH,
    Subject,
    rows_at,
)
from tinyae.gradcheck.doctor.trial import Point
from tinyae.gradcheck.draws import as_float64, jitter, redraw
from tinyae.gradcheck.replay import Replay, as_double, clear_gradients, learnt
from tinyae.gradcheck.report import gradient_name
from tinyae.param import Array


class ModelSubject(Subject):
    """model.objective(x, rng)["total"]: the gradients that model.backprop adds."""

    composite = True

    def __init__(self, model: Any, x: Any, rng: np.random.Generator) -> None:
        self.given = model
        self.module = as_double(model)
        if hasattr(self.module, "differentiable"):
            self.module = self.module.differentiable()
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
        if k == GIVEN:
            return copy.deepcopy(self.x)
        if k not in (REDRAWN, BATCH, THIRD_BATCH):
            raise ValueError("a model's batch may have to lie in a range")
        rng = np.random.default_rng(k)
        parts = self.x if isinstance(self.x, tuple) else (self.x,)
        rows = rows_at(k, *(a.shape for a in parts))
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

    def after_step(self) -> tuple[ModelSubject, dict[str, Any]]:
        """A copy that has made a pass at another batch, and the gradients of that pass."""
        other = ModelSubject(self.given, self.x, copy.deepcopy(self.noise))
        x = self.input(REDRAWN)
        other.noise.bit_generator.state = self.state
        other.module.backprop(self._copy(x), other.noise)
        earlier = other.parameter_gradients()
        other.clear()
        other.state, other.replay = self.state, Replay(other.module)
        return other, earlier

    def jittered(self) -> ModelSubject:
        """A copy with all parameters moved."""
        other = ModelSubject(self.given, self.x, copy.deepcopy(self.noise))
        other.state = self.state
        jitter(other.params)
        return other

    def parameter_gradients(self) -> dict[str, Any]:
        return {k: None if p.grad is None else np.array(p.grad) for k, p in self.params.items()}

    def gradients(self, x: Any) -> dict[str, Any]:
        self.clear()
        self.backprop(x)
        return self.parameter_gradients()

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
