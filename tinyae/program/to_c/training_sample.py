"""What a step of learning makes of a few weights: the self-test's expectation.

The gradients are slopes of the loss, measured in float64 on the forward pass alone. So they depend on
no line of the backward pass that they are to check.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from tinyae.param import Array
from tinyae.program import program as ops
from tinyae.program.gradients import LossGrad
from tinyae.program.program import Program, Slot
from tinyae.program.run_numpy import NumpyRuntime
from tinyae.program.to_c.training_header import TrainingHeader

_TRIED = 16  # weights of each layer, evenly spread
_STEPS = (1e-4, 1e-5)  # of a weight, relative to the largest: slopes must agree
_LARGE = 0.01  # of the largest slope: what smaller ones do would drown in rounding
_CHANGE = 0.1  # of the largest weight, by which one weight moves at most


@dataclass(frozen=True)
class StepSample:
    """``values`` of the weights at ``places`` in RAM after a step at this rate."""

    rate: float
    places: Array
    values: Array


def step_sample(header: TrainingHeader, x: Array) -> StepSample:
    """For the sample x and the weights that learning starts from.

    Raises
        ValueError  the step changes nothing
    """
    program = header.programs["train"]
    program = dataclasses.replace(program, weights=program.weights.astype(np.float64))
    forward = _Forward(program, x)
    places, slopes = [], []
    for name, numbers in header.order(program).items():
        weights = np.flatnonzero(numbers)
        for position in weights[np.linspace(0, len(weights) - 1, _TRIED).astype(int)]:
            slope = forward.slope(int(numbers[position]) - 1)
            if slope:
                places.append(header.place(name) + int(position))
                slopes.append(slope)
    if not slopes:
        raise ValueError(
            "export_c: a step of learning on the self-test's sample changes no weight; pass "
            "selftest=False, or train the model again"
        )
    _, first = np.unique(places, return_index=True)
    where, g = np.array(places)[first], np.array(slopes)[first]
    large = abs(g) >= _LARGE * abs(g).max()
    where, g = where[large].astype(np.int32), g[large]
    most = _CHANGE * float(abs(header.initial_weights).max())
    rate = float(np.float32(header.optimizer.rate_of(most, float(abs(g).max()))))
    moved = header.initial_weights[where] - header.optimizer.first_step(g, rate)
    return StepSample(rate, where, moved.astype(np.float32))


class _Forward:
    """The loss of a sample as a function of single weights."""

    def __init__(self, program: Program, x: Array) -> None:
        k = next(k for k, op in enumerate(program.ops) if isinstance(op, LossGrad))
        loss_grad = program.ops[k]
        assert isinstance(loss_grad, LossGrad)
        self.loss, n = loss_grad.loss, loss_grad.x.size
        ends = (
            ops.Copy(slot, Slot("output", place, slot.shape))
            for place, slot in ((0, loss_grad.x), (n, loss_grad.target))
        )
        self.n = n
        self.program = dataclasses.replace(
            program, ops=(*program.ops[:k], *ends), output_shape=(2 * n,)
        )
        self.x = x[None].astype(np.float64)
        self.largest = float(abs(program.weights).max())

    def slope(self, weight: int) -> float:
        """∂L/∂weight; 0 where two steps do not agree, for instance at an edge of ReLU."""
        a, b = (self._slope(weight, step * self.largest) for step in _STEPS)
        return b if abs(a - b) <= 1e-5 * abs(b) else 0.0

    def _slope(self, weight: int, step: float) -> float:
        losses = []
        for change in (step, -step):
            weights = self.program.weights.copy()
            weights[weight] += change
            both = NumpyRuntime(dataclasses.replace(self.program, weights=weights)).run(self.x)
            losses.append(self.loss(both[:, : self.n], both[:, self.n :])[0])
        return (losses[0] - losses[1]) / (2 * step)
