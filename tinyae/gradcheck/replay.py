"""A check works on a float64 copy of a module, which gets the same noise at every pass."""

from __future__ import annotations

import copy
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from tinyae.param import Array, Param, unique

_NO_PARTS = (type, ModuleType, FunctionType, Param)  # objects without generators and running state


def as_double(module: Any) -> Any:
    """A float64 copy, its gradients cleared and nothing of it frozen: every gradient is checked."""
    if hasattr(module, "astype"):
        module = module.astype(np.float64)
    else:
        memo: dict[int, Any] = {}
        for p in learnt(module).values():
            if isinstance(p, Param):
                memo[id(p)] = Param(p.value.astype(np.float64))
        module = copy.deepcopy(module, memo)
    clear_gradients(learnt(module))
    for p in learnt(module).values():
        if isinstance(p, Param):
            p.trainable = True
    return module


def learnt(module: Any) -> dict[str, Any]:
    return unique(dict(getattr(module, "params", {})))


def clear_gradients(params: dict[str, Any]) -> None:
    """Set every gradient that there is to zero."""
    for p in params.values():
        if p.grad is not None:
            p.grad[...] = 0


class Replay:
    """Called before every forward pass, it restores the generators, running statistics and
    counters found anywhere in a module, so that each pass gets the same noise.
    """

    def __init__(self, module: Any) -> None:
        self.generators: list[tuple[np.random.Generator, Any]] = []
        self.arrays: list[tuple[Array, Array]] = []
        self.names: list[tuple[dict[str, Any], str, Any]] = []
        params = learnt(module).values()
        arrays = [a for p in params for a in (p.value, p.grad) if isinstance(a, np.ndarray)]
        seen, todo = {id(p) for p in params}, [module]
        while todo:
            part = todo.pop()
            if id(part) in seen or isinstance(part, _NO_PARTS):
                continue
            seen.add(id(part))
            if isinstance(part, np.random.Generator):
                self.generators.append((part, part.bit_generator.state))
            elif isinstance(part, np.ndarray):
                if not any(np.may_share_memory(part, a) for a in arrays):
                    self.arrays.append((part, part.copy()))
            elif isinstance(part, dict):
                todo += part.values()
            elif isinstance(part, (list, tuple, set)):
                todo += part
            elif hasattr(part, "__dict__"):
                for name, value in vars(part).items():
                    todo.append(value)
                    if isinstance(value, (np.ndarray, int, float)):
                        self.names.append((vars(part), name, value))

    def __call__(self) -> None:
        for generator, state in self.generators:
            generator.bit_generator.state = state
        for array, before in self.arrays:
            array[...] = before
        for attributes, name, value in self.names:
            attributes[name] = value
