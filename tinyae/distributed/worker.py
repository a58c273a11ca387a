"""What a worker does with its rows of a batch: a gradient, or some steps of its own.

A share's result is a sum weighted by its rows, so that shares of any size add up, two at a time in any
order, to that of the whole batch: a loss is a mean over rows, and n of them weigh n.

    L = Σᵢ nᵢ Lᵢ / Σᵢ nᵢ        g = Σᵢ nᵢ gᵢ / Σᵢ nᵢ
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyae.data.batches import count, rows
from tinyae.param import Array, unique
from tinyae.training.state import model_arrays

Arrays = list[Array]


@dataclass
class Share:
    """Sums over some rows: how many, the terms of the objective, gradients or weights, state."""

    n: int
    terms: dict[str, float]
    arrays: Arrays
    state: Arrays


def add(a: Share, b: Share) -> Share:
    return Share(
        a.n + b.n,
        {name: a.terms[name] + b.terms[name] for name in a.terms},
        [x + y for x, y in zip(a.arrays, b.arrays)],
        [x + y for x, y in zip(a.state, b.state)],
    )


def check_rows(model: Any, part: Any) -> None:
    """Raise where the rows do not fit the model, as a training on one machine does."""
    model.check_data(part)


def gradient(
    model: Any, values: Arrays, state: Arrays, part: Any, index: Array, seed: list[int]
) -> Share:
    """The gradient of the loss on some rows of a part, at given weights."""
    model = _at(model, values, state)
    terms = model.backprop(model.as_input(rows(part, index)), np.random.default_rng(seed))
    n = len(index)
    return Share(
        n,
        {name: n * value for name, value in terms.items()},
        [n * p.grad for p in unique(model.params).values()],
        [n * a for a in model.state.values()],
    )


def steps(
    model: Any, optimizer: Any, values: Arrays, state: Arrays, moments: dict[str, Array],
    t: int, part: Any, index: Array, seed: list[int], number: int,
) -> Share:  # fmt: skip
    """Weights, moments and state after ``number`` steps of the worker's own, over these rows."""
    model, optimizer = _at(model, values, state), copy.deepcopy(optimizer)
    optimizer.load_state(model.params, moments, t)
    rng, n = np.random.default_rng(seed), len(index)
    sums: dict[str, float] = {}
    for piece in np.array_split(index, min(number, n)):
        batch = model.as_input(rows(part, piece))
        for name, value in model.backprop(batch, rng).items():
            sums[name] = sums.get(name, 0.0) + count(batch) * value
        optimizer.step(model.params)
    found = optimizer.state_arrays(model.params).values()
    weights = [p.value for p in unique(model.params).values()]
    return Share(
        n,
        sums,
        [n * a for a in weights],
        [n * a for a in model.state.values()] + [n * a for a in found],
    )


def _at(model: Any, values: Arrays, state: Arrays) -> Any:
    """A copy of the model with these weights and this state, its gradients zero."""
    model = copy.deepcopy(model)
    for mine, given in zip(model_arrays(model).values(), [*values, *state]):
        mine[...] = given
    return model
