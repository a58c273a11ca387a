"""Optimizers, each the one before it plus one idea: SGD → Momentum → Nesterov → RMSProp → Adam →
AdamW. Schedules, which let the learning rate change; clipping, which bounds a step.

    terms = model.backprop(x, rng)
    clip_by_global_norm(model.params, 5.0)
    optimizer.step(model.params)

η is the learning rate, θ a parameter, g its gradient; all operations are entry by entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyae import kernels
from tinyae.kernels.reference import ParamGroup
from tinyae.memory import zeros_like
from tinyae.param import Array, Param, unique

Schedule = Callable[[int], float]


class Optimizer:
    """Moves every Param against its gradient, once each, and clears the gradient.

    ``t`` counts the steps taken; ``rate`` is η at the next one. What an optimizer remembers of a
    Param (its ``slots``) is kept by identity, so a shared Param has one memory.

    Raises
        ValueError  the learning rate is neither a schedule nor a number ≥ 0
    """

    slots: ClassVar[tuple[str, ...]] = ()

    def __init__(self, learning_rate: float | Schedule) -> None:
        if not callable(learning_rate):
            _check(type(self).__name__, "learning_rate", learning_rate, 0, math.inf)
        self.learning_rate = learning_rate
        self.t = 0
        self._memory: dict[Param, _Memory] = {}
        self._stepped: list[Param] = []  # the params of the last step, and how they are grouped
        self._groups: list[tuple[list[_Memory], ParamGroup]] = []

    @property
    def rate(self) -> float:
        return float(
            self.learning_rate(self.t) if callable(self.learning_rate) else self.learning_rate
        )

    def step(self, params: dict[str, Param]) -> None:
        """One update of each distinct Param; every gradient is zero afterwards."""
        rate, learnt = self.rate, list(unique(params).values())
        if learnt != self._stepped:
            self._stepped, self._groups = learnt, self._grouped(learnt)
        for memories, rows in self._groups:
            for memory in memories:
                memory.steps += 1
            self.update(rows, rate, memories[0].steps)
        self.t += 1

    def _grouped(self, params: list[Param]) -> list[tuple[list[_Memory], ParamGroup]]:
        """The params that can be updated in one call: of one dtype, and of one number of steps."""
        groups: dict[Any, tuple[list[_Memory], ParamGroup]] = {}
        for param in params:
            memory = self._memory.get(param)
            if memory is None:
                memory = self._memory[param] = _Memory(
                    0, [zeros_like(param.value) for _ in self.slots]
                )
            memories, rows = groups.setdefault((param.dtype, memory.steps), ([], ParamGroup()))
            memories.append(memory)
            rows.append((param.value, param.grad, *memory.arrays))
        return list(groups.values())

    def update(self, rows: ParamGroup, rate: float, steps: int) -> None:
        """Call the kernel: every θ changes in place, every g becomes zero. ``steps`` is from 1."""
        raise NotImplementedError

    # --- to stop and go on -----------------------------------------------------------------

    def state_arrays(self, params: dict[str, Param]) -> dict[str, Array]:
        """What is remembered of the params, as ``{"name/slot": array}``, for a checkpoint."""
        arrays: dict[str, Array] = {}
        for name, param in unique(params).items():
            memory = self._memory.get(param)
            if memory is not None:
                arrays[f"{name}/steps"] = np.array(memory.steps)
                arrays.update({f"{name}/{s}": a for s, a in zip(self.slots, memory.arrays)})
        return arrays

    def load_state(self, params: dict[str, Param], arrays: dict[str, Array], t: int) -> None:
        """Take up what :meth:`state_arrays` gave. Changes nothing unless all of it fits.

        Raises
            ValueError  an array is missing, left over, or of another shape
        """
        who, left = type(self).__name__, dict(arrays)
        memories: dict[Param, _Memory] = {}
        for name, param in unique(params).items():
            if f"{name}/steps" not in left:
                continue  # never stepped
            memory = _Memory(int(left.pop(f"{name}/steps")), [])
            for slot in self.slots:
                a = left.pop(f"{name}/{slot}", None)
                if a is None or a.shape != param.shape:
                    got = "missing" if a is None else f"of shape {a.shape}"
                    raise ValueError(
                        f"{who}: the saved {name}/{slot} is {got}, expected {param.shape}; "
                        "resume with the optimizer and the model that were saved"
                    )
                memory.arrays.append(zeros_like(param.value))
                memory.arrays[-1][...] = a
            memories[param] = memory
        if left:
            raise ValueError(
                f"{who}: the saved state has {', '.join(left)}, which this optimizer does not "
                "keep; resume with the optimizer and the model that were saved"
            )
        self._memory.update(memories)
        self._stepped = []
        self.t = t

    def __repr__(self) -> str:
        own = [f"{k}={v!r}" for k, v in vars(self).items() if k != "t" and k[0] != "_"]
        return f"{type(self).__name__}({', '.join(own)})"


@dataclass
class _Memory:
    """Of one Param: how many steps it has taken, and its moments."""

    steps: int
    arrays: list[Array]


class SGD(Optimizer):
    """Stochastic gradient descent: downhill.

    Forward   θ ← θ − η g
    Source    Robbins & Monro (1951)
    """

    def __init__(self, learning_rate: float | Schedule = 0.01) -> None:
        super().__init__(learning_rate)

    def update(self, rows: ParamGroup, rate: float, steps: int) -> None:
        kernels.sgd(rows, rate)


class Momentum(Optimizer):
    """SGD with inertia: a velocity adds up where gradients agree and cancels where they do not.

    Forward   v ← μ v + g      θ ← θ − η v
    Source    Polyak (1964), eq. 9; Sutskever et al. (2013), eq. 1, with −η v for their velocity
    """

    slots = ("v",)

    def __init__(self, learning_rate: float | Schedule = 0.01, mu: float = 0.9) -> None:
        super().__init__(learning_rate)
        self.mu = _check(type(self).__name__, "mu", mu, 0, 1)

    def update(self, rows: ParamGroup, rate: float, steps: int) -> None:
        kernels.momentum(rows, rate, self.mu)


class Nesterov(Momentum):
    """Momentum that looks ahead: it steps as if the velocity had already been followed.

    Forward   v ← μ v + g      θ ← θ − η (g + μ v)
    Source    Nesterov (1983); Sutskever et al. (2013), eq. 3–4, with θ standing for the
              point looked ahead to, θ + μ v, so that g is always taken at θ
    """

    def update(self, rows: ParamGroup, rate: float, steps: int) -> None:
        kernels.nesterov(rows, rate, self.mu)


class RMSProp(Optimizer):
    """Each entry in its own unit: the gradient over its recent root mean square.

    Forward   s ← ρ s + (1 − ρ) g²      θ ← θ − η g / (√s + ε)
    Source    Tieleman & Hinton (2012), lecture 6.5
    """

    slots = ("s",)

    def __init__(
        self, learning_rate: float | Schedule = 1e-3, rho: float = 0.9, eps: float = 1e-8
    ) -> None:
        super().__init__(learning_rate)
        self.rho = _check(type(self).__name__, "rho", rho, 0, 1)
        self.eps = _check(type(self).__name__, "eps", eps, 0, math.inf)

    def update(self, rows: ParamGroup, rate: float, steps: int) -> None:
        kernels.rmsprop(rows, rate, self.rho, self.eps)


class Adam(Optimizer):
    """Momentum and RMSProp at once, both corrected for having started at zero.

    Forward   m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
              θ ← θ − η m̂ / (√v̂ + ε)      m̂ = m / (1 − β₁ᵗ)      v̂ = v / (1 − β₂ᵗ)
    Source    Kingma & Ba (2015), algorithm 1; t counts each Param's own steps
    """

    slots = ("m", "v")

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate)
        self.beta1 = _check(type(self).__name__, "beta1", beta1, 0, 1)
        self.beta2 = _check(type(self).__name__, "beta2", beta2, 0, 1)
        self.eps = _check(type(self).__name__, "eps", eps, 0, math.inf)

    def update(self, rows: ParamGroup, rate: float, steps: int) -> None:
        kernels.adam(rows, rate, self.beta1, self.beta2, self.eps, steps)


class AdamW(Adam):
    """Adam with weights that shrink on their own: the decay bypasses the moments.

    Forward   θ ← (1 − η λ) θ, then Adam's step with the gradient alone
    Source    Loshchilov & Hutter (2019), algorithm 2, with λ scaled by η at every step
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, eps)
        self.weight_decay = _check(type(self).__name__, "weight_decay", weight_decay, 0, math.inf)

    def update(self, rows: ParamGroup, rate: float, steps: int) -> None:
        kernels.adamw(
            rows,
            rate,
            self.beta1,
            self.beta2,
            self.eps,
            self.weight_decay,
            steps,
        )


# --- schedules: η of t, the number of steps taken so far -------------------------------------


@dataclass(frozen=True)
class Constant:
    """η(t) = η₀"""

    learning_rate: float

    def __call__(self, t: int) -> float:
        return self.learning_rate


@dataclass(frozen=True)
class StepDecay:
    """η(t) = η₀ · factor^⌊t / every⌋"""

    learning_rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _check_steps("StepDecay", "every", self.every)

    def __call__(self, t: int) -> float:
        return self.learning_rate * self.factor ** (t // self.every)


@dataclass(frozen=True)
class Exponential:
    """η(t) = η₀ · factorᵗ"""

    learning_rate: float
    factor: float

    def __call__(self, t: int) -> float:
        return self.learning_rate * self.factor**t


@dataclass(frozen=True)
class Cosine:
    """η(t) = η_T + (η₀ − η_T) (1 + cos(π t / T)) / 2,   η_T from t = T on

    T is ``steps``, in optimizer steps: epochs × batches an epoch.
    Source: Loshchilov & Hutter (2017), eq. 5, without restarts.
    """

    learning_rate: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _check_steps("Cosine", "steps", self.steps)

    def __call__(self, t: int) -> float:
        along = (1 + math.cos(math.pi * min(t / self.steps, 1.0))) / 2
        return self.final + (self.learning_rate - self.final) * along


@dataclass(frozen=True)
class WarmUp:
    """η(t) = schedule(t) · min((t + 1) / steps, 1): a linear rise over another schedule.

    Source: Goyal et al. (2017), §2.2.
    """

    schedule: Schedule
    steps: int

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise TypeError(
                f"WarmUp: schedule is {self.schedule!r}, expected a schedule; "
                f"pass Constant({self.schedule!r})"
            )
        _check_steps("WarmUp", "steps", self.steps)

    def __call__(self, t: int) -> float:
        return self.schedule(t) * min((t + 1) / self.steps, 1.0)


# --- clipping --------------------------------------------------------------------------------


def clip_by_global_norm(params: dict[str, Param], clip_norm: float) -> float:
    """Shorten the gradient of all params together to ``clip_norm``, keeping its direction.

    g ← g · min(1, c / ‖g‖), with one norm over all. Returns ‖g‖ as it was before. A norm that is
    not finite leaves the gradients as they are.

    Raises
        ValueError  unless clip_norm > 0
    Source    Pascanu, Mikolov & Bengio (2013), algorithm 1
    """
    if not clip_norm > 0:
        raise ValueError(
            f"clip_by_global_norm: clip_norm is {clip_norm}, expected > 0; pass e.g. 5.0"
        )
    grads = [p.grad for p in unique(params).values()]
    norm = math.sqrt(sum(map(_sum_of_squares, grads)))
    if norm > clip_norm and math.isfinite(norm):
        for grad in grads:
            grad *= clip_norm / norm
    return norm


def _sum_of_squares(grad: Array) -> float:
    flat = grad.ravel(order="K")
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(flat @ flat)
    if total < 1e-20 or not math.isfinite(total):  # squares may leave float32 at either end
        flat = flat.astype(np.float64)
        total = float(flat @ flat)
    return total


def _check(who: str, name: str, value: Any, low: float, high: float) -> float:
    if not isinstance(value, (int, float, np.number)) or not low <= value < high:
        bounds = f"{low} ≤ {name} < {high}" if high < math.inf else f"a finite number ≥ {low}"
        raise ValueError(f"{who}: {name} is {value!r}, expected {bounds}")
    return float(value)


def _check_steps(who: str, name: str, value: Any) -> None:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{who}: {name} is {value!r}, expected an int ≥ 1, in optimizer steps")
