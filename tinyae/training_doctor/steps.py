"""How far one step moves each weight: ‖ΔW‖ / ‖W‖, tried on a copy with the run's learning rate."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from tinyae.data.batches import count, rows
from tinyae.optim import SGD, Adam, Optimizer
from tinyae.param import unique
from tinyae.training_doctor.evidence import Evidence
from tinyae.training_doctor.report import Finding

_TOO_LARGE = 0.1  # a step: a weight matrix forgets itself within ten
_TOO_SMALL = 1e-6
_WARMING = 15  # steps of an Adam without memory before its ratio is taken
_STEPS = 5  # steps that the ratio is a mean of

Ratios = dict[str, float]


def update_ratios(e: Evidence) -> dict[str, Ratios]:
    """By optimizer, the mean ratio of each matrix. Without the run's own optimizer, both extremes:
    steps along the gradient (SGD) and steps of one length (Adam).
    """
    rate = e.history.epochs[-1].learning_rate if e.history.epochs else 1e-3
    if e.optimizer is not None:
        return {type(e.optimizer).__name__: _ratios(e, e.optimizer, 0)}
    if not rate > 0:
        return {}
    return {
        f"SGD({rate:.3g})": _ratios(e, SGD(rate), 0),
        f"Adam({rate:.3g})": _ratios(e, Adam(rate), _WARMING),
    }


def _ratios(e: Evidence, optimizer: Optimizer, warming: int) -> Ratios:
    twin, rng, sample = e.twin(), e.rng, e.sample
    n, size = count(sample), min(e.batch_size, count(sample))
    found: dict[str, list[float]] = {}
    own = {name: p.value for name, p in unique(twin.params).items()}
    moves = []
    for player in twin.players:
        tried = copy.deepcopy(optimizer)
        if len(twin.players) == 1:  # what it remembers of the run's Params, for the copy's
            tried.load_state(player.params, optimizer.state_arrays(e.model.params), optimizer.t)
        moves.append((player, unique(player.params), tried))
    for p in unique(twin.params).values():
        p.grad[...] = 0
    with np.errstate(all="ignore"):
        for i in range(warming + _STEPS):
            start = {name: w.copy() for name, w in own.items()}
            batch = rows(sample, np.sort(rng.permutation(n)[:size]))
            for player, params, tried in moves:
                player.backprop(batch, rng)
                tried.step(params)
            for name, w in own.items():
                if w.ndim >= 2 and i >= warming:
                    size_of = float(np.linalg.norm(start[name]))
                    moved = float(np.linalg.norm(w - start[name]))
                    found.setdefault(name, []).append(moved / size_of if size_of else np.inf)
    return {name: float(np.nan_to_num(np.mean(r), nan=np.inf)) for name, r in found.items()}


def step_sizes(e: Evidence, moving: bool) -> Iterator[Finding]:
    """Steps that are too long under every optimizer tried; too short only where nothing moves."""
    tried = update_ratios(e)
    if not tried:
        return
    e.measured["update ratios"] = tried
    for name, ratios in tried.items():
        if ratios:
            low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
            e.notes.append(
                f"a step of {name} moves weights by {ratios[low]:.1e} ({low}) to "
                f"{ratios[high]:.1e} ({high}) of their size; 1e-3 is usual"
            )
    least = {key: min(r[key] for r in tried.values()) for key in next(iter(tried.values()))}
    large = {name: v for name, v in least.items() if v > _TOO_LARGE}
    if large:
        worst = max(large, key=large.__getitem__)
        yield Finding(
            "large_updates",
            worst,
            f"one step changes {worst} by {large[worst]:.0%} of its size"
            + (f", and so {len(large) - 1} more" if len(large) > 1 else ""),
            "after ten such steps nothing is left of what the weights had learnt",
            "lower the learning rate tenfold, or pass clip_norm=1.0; the ratio should be near 0.001",
            {"ratios": large},
        )
    most = {key: max(r[key] for r in tried.values()) for key in least}
    small = {name: v for name, v in most.items() if v < _TOO_SMALL}
    if not moving and small:
        least_of = min(small, key=small.__getitem__)
        yield Finding(
            "small_updates",
            least_of,
            f"one step changes {least_of} by {small[least_of]:.0e} of its size; {len(small)} of "
            f"{len(most)} matrices move by less than {_TOO_SMALL:g}",
            "a million such steps would be needed to change the weights by their own size",
            "raise the learning rate until the ratio is near 0.001; if the gradient is 0 look for dead "
            "or saturated units, and run tinyae.gradcheck.check_model",
            {"ratios": small},
        )
