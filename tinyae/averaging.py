"""The moving average of the weights: what a noisy optimizer wanders around.

optimizer = MovingAverage(Adam(1e-3), decay=0.999)
fit(model, x, optimizer=optimizer)
steady = optimizer.averaged(model)      # a copy of the model with θ̄ in place of θ
"""

from __future__ import annotations

import copy
from typing import TypeVar

from tinyae.layers.base import Module
from tinyae.optimizer import Optimizer, _ParamState, check_range
from tinyae.param import Array, Param, unique

Self = TypeVar("Self", bound=Module)

__all__ = ["MovingAverage"]


class MovingAverage(Optimizer):
    """Another optimizer, and the average of the weights that it passes through.

    Forward   θ ← the optimizer's step      θ̄ ← β θ̄ + (1 − β) θ,   β = min(decay, (1 + t)/(10 + t))
    Raises    TypeError unless it is given an optimizer, ValueError unless 0 ≤ decay < 1
    Source    Polyak & Juditsky (1992); with exponential weights, as in Ho, Jain & Abbeel (2020), §4

    It looks back over about 1/(1 − decay) steps, and at the beginning over a tenth of those taken.
    """

    def __init__(self, optimizer: Optimizer, decay: float = 0.999) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"MovingAverage: optimizer is {optimizer!r:.60}, expected an Optimizer; "
                "pass e.g. Adam(1e-3)"
            )
        super().__init__(optimizer.learning_rate, optimizer.l2, optimizer.decay)
        self.optimizer = optimizer  # its schedule is this one's, and its t
        self.slots = (*optimizer.slots, "average")  # type: ignore[misc]
        self.beta = check_range("MovingAverage", "decay", decay, 0, 1)

    def step(self, params: dict[str, Param]) -> None:
        self.optimizer.rate_factor = self.rate_factor
        self.optimizer.step(params)
        self._follow_copies()
        beta = min(self.beta, (1 + self.t) / (10 + self.t))
        for p in (p for p in unique(params).values() if p.trainable):
            state = self._states.get(p)
            if state is None:
                state = self._states[p] = _ParamState(0, [p.value.copy()])
            average = state.arrays[0]
            average += p.dtype.type(1 - beta) * (p.value - average)
            state.steps += 1
        self.t += 1

    def averaged(self, model: Self) -> Self:
        """A copy of the model with θ̄ in place of θ. Params that were never stepped stay as they are.

        Raises
            ValueError  no step has been taken with this model's Params
        """
        self._follow_copies()
        own, result = unique(model.params), copy.deepcopy(model)
        if not any(p in self._states for p in own.values()):
            raise ValueError(
                "MovingAverage: there is no average of this model yet; train it with this optimizer"
            )
        for p, copied in zip(own.values(), unique(result.params).values()):
            if p in self._states:
                copied.value[...] = self._states[p].arrays[0]
        return result

    # --- checkpoints -----------------------------------------------------------------------

    def state_arrays(self, params: dict[str, Param]) -> dict[str, Array]:
        self._follow_copies()
        arrays = self.optimizer.state_arrays(params)
        for name, p in unique(params).items():
            if f"{name}/steps" in arrays:
                arrays[f"{name}/average"] = self._states[p].arrays[0]
        return arrays

    def load_state(self, params: dict[str, Param], arrays: dict[str, Array], t: int) -> None:
        states: dict[Param, _ParamState] = {}
        for name, p in unique(params).items():
            if f"{name}/steps" not in arrays:
                continue  # never stepped
            a = arrays.get(f"{name}/average")
            if a is None or a.shape != p.shape:
                got = "missing" if a is None else f"of shape {a.shape}"
                raise ValueError(
                    f"MovingAverage: the saved {name}/average is {got}, expected {p.shape}; resume "
                    "with the optimizer and the model that were saved"
                )
            states[p] = _ParamState(int(arrays[f"{name}/steps"]), [a.astype(p.dtype)])
        inner = {name: a for name, a in arrays.items() if not name.endswith("/average")}
        self.optimizer.load_state(params, inner, t)
        self._states.update(states)
        self.t = t

    def __repr__(self) -> str:
        return f"MovingAverage({self.optimizer!r}, decay={self.beta})"
