"""What every optimizer shares: its rate, its state, one step over all Params, copies, checkpoints.

The rules themselves are in :mod:`tinyae.optim`; read that first.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinyae.arguments import check_callable
from tinyae.kernels.reference import ParamGroup
from tinyae.memory import zeros_like
from tinyae.param import Array, Param, check_writeable, unique

if TYPE_CHECKING:
    from tinyae.schedules import Schedule

Decay = Callable[[str, Param], bool]


def weights(name: str, param: Param) -> bool:
    """Whether a Param is a matrix or a kernel: neither a bias nor the scale or shift of a norm."""
    return len(param.shape) > 1 and name.rpartition(".")[2] not in ("gamma", "beta")


def everything(name: str, param: Param) -> bool:
    """True for every Param."""
    return True


class Optimizer:
    """Moves every Param against its gradient and clears the gradient.

    ``t`` is the number of steps taken; ``rate`` is η at the next step, the schedule's times
    ``rate_factor``, which ``fit(reduce_on_plateau=)`` sets. ``slots`` names the arrays
    that an optimizer keeps for each Param. They are kept by identity: a Param that two layers
    share has one set of them and moves once per step. ``l2`` is λ of L + λ/2 Σ θ², the sum over
    the Params that ``decay`` chooses; the loss that is reported leaves the penalty out.

    Raises
        ValueError  the learning rate is neither a schedule nor a number ≥ 0; l2 is no number ≥ 0
        TypeError   decay is no function
    """

    slots: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, learning_rate: float | Schedule, l2: float = 0.0, decay: Decay = weights
    ) -> None:
        if not callable(learning_rate):
            check_range(type(self).__name__, "learning_rate", learning_rate, 0, math.inf)
        self.learning_rate = learning_rate
        self.l2 = check_range(type(self).__name__, "l2", l2, 0, math.inf)
        check_callable(type(self).__name__, "decay", decay, "decay=everything")
        self.decay = decay
        self.rate_factor = 1.0
        self.t = 0
        self._states: dict[Param, _ParamState] = {}
        self._last_params: list[Param] = []  # the params of the last step; next, their groups
        self._groups: list[tuple[list[_ParamState], ParamGroup]] = []
        self._copies: dict[int, Any] | None = None  # after a deep copy: the copy of each object

    @property
    def rate(self) -> float:
        return self.rate_factor * float(
            self.learning_rate(self.t) if callable(self.learning_rate) else self.learning_rate
        )

    def step(self, params: dict[str, Param]) -> None:
        """One update of each distinct Param; every gradient is zero afterwards.

        Frozen Params keep their value and their moments.

        Raises
            ValueError  a value or a gradient is read-only
        """
        rate, named = self.rate, unique(params)
        check_writeable(type(self).__name__, params)  # each time: it costs 0.1 µs an array
        distinct = [p for p in named.values() if p.trainable]
        if len(distinct) < len(named):
            for p in named.values():
                if not p.trainable:
                    p.grad.fill(0)
        if distinct != self._last_params:
            named = {name: p for name, p in named.items() if p.trainable}
            self._last_params, self._groups = distinct, self._group_params(named)
        for states, group in self._groups:
            for state in states:
                state.steps += 1
            if self.l2 and group.decays:
                for value, grad, *_ in group:
                    grad += self.l2 * value  # ∂(λ/2 θ²)/∂θ
            self.update(group, rate, states[0].steps)
        self.t += 1

    def _group_params(self, params: dict[str, Param]) -> list[tuple[list[_ParamState], ParamGroup]]:
        """The params in groups, one kernel call each: of one dtype, one number of steps, and all
        decaying or none."""
        self._follow_copies()
        groups: dict[Any, tuple[list[_ParamState], ParamGroup]] = {}
        for name, param in params.items():
            state = self._states.get(param)
            if state is None:
                state = self._states[param] = _ParamState(
                    0, [zeros_like(param.value) for _ in self.slots]
                )
            decays = self._decays and bool(self.decay(name, param))
            key = param.dtype, state.steps, decays
            states, group = groups.setdefault(key, ([], ParamGroup()))
            group.decays = decays
            states.append(state)
            group.append((param.value, param.grad, *state.arrays))
        return list(groups.values())

    @property
    def _decays(self) -> bool:
        """Whether anything pulls the weights to zero; if not, all params can form one group."""
        return self.l2 > 0

    def update(self, group: ParamGroup, rate: float, steps: int) -> None:
        """Call the kernel: it changes every θ in place and clears every g.

        ``steps`` counts from 1.
        """
        raise NotImplementedError

    # --- copies ----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        self._follow_copies()
        return vars(self) | {"_last_params": [], "_groups": []}  # which hold addresses

    def __deepcopy__(self, memo: dict[int, Any]) -> Optimizer:
        """A copy that goes on with the same Params or, copied together with a model, with its."""
        copied = memo[id(self)] = type(self).__new__(type(self))
        attributes = self.__getstate__()
        states = attributes.pop("_states")
        vars(copied).update(copy.deepcopy(attributes, memo))
        copied._states = {param: copy.deepcopy(state, memo) for param, state in states.items()}
        copied._copies = memo  # a model that comes after the optimizer is copied later
        return copied

    def _follow_copies(self) -> None:
        """From the Params that were copied to their copies."""
        copies, self._copies = self._copies, None
        if copies is not None:
            self._states = {copies.get(id(p), p): state for p, state in self._states.items()}

    # --- checkpoints -----------------------------------------------------------------------

    def state_arrays(self, params: dict[str, Param]) -> dict[str, Array]:
        """The arrays kept for the params, as ``{"name/slot": array}``, for a checkpoint."""
        self._follow_copies()
        arrays: dict[str, Array] = {}
        for name, param in unique(params).items():
            state = self._states.get(param)
            if state is not None:
                arrays[f"{name}/steps"] = np.array(state.steps)
                arrays.update({f"{name}/{s}": a for s, a in zip(self.slots, state.arrays)})
        return arrays

    def load_state(self, params: dict[str, Param], arrays: dict[str, Array], t: int) -> None:
        """Restore what :meth:`state_arrays` returned. Changes nothing unless all of it fits.

        Raises
            ValueError  an array is missing, unexpected, or of another shape
        """
        who, remaining = type(self).__name__, dict(arrays)
        states: dict[Param, _ParamState] = {}
        for name, param in unique(params).items():
            if f"{name}/steps" not in remaining:
                continue  # never stepped
            state = _ParamState(int(remaining.pop(f"{name}/steps")), [])
            for slot in self.slots:
                a = remaining.pop(f"{name}/{slot}", None)
                if a is None or a.shape != param.shape:
                    got = "missing" if a is None else f"of shape {a.shape}"
                    raise ValueError(
                        f"{who}: the saved {name}/{slot} is {got}, expected {param.shape}; "
                        "resume with the optimizer and the model that were saved"
                    )
                state.arrays.append(zeros_like(param.value))
                state.arrays[-1][...] = a
            states[param] = state
        if remaining:
            raise ValueError(
                f"{who}: the saved state has {', '.join(remaining)}, which this optimizer does not "
                "keep; resume with the optimizer and the model that were saved"
            )
        self._states.update(states)
        self._last_params = []
        self.t = t

    def __repr__(self) -> str:
        own = {k: v for k, v in vars(self).items() if k not in ("t", "rate_factor") and k[0] != "_"}
        decay = own.pop("decay")
        if not own["l2"]:
            del own["l2"]
        if decay is not weights:
            own["decay"] = getattr(decay, "__qualname__", type(decay).__name__)
        shown = [f"{k}={v}" if k == "decay" else f"{k}={v!r}" for k, v in own.items()]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass
class _ParamState:
    """The state of one Param: its number of steps, and an array for each slot."""

    steps: int
    arrays: list[Array]


def check_range(who: str, name: str, value: Any, low: float, high: float) -> float:
    if not isinstance(value, (int, float, np.number)) or not low <= value < high:
        bounds = f"{low} ≤ {name} < {high}" if high < math.inf else f"a finite number ≥ {low}"
        raise ValueError(f"{who}: {name} is {value!r}, expected {bounds}")
    return float(value)
