"""How far one step moves each weight, ‖ΔW‖ / ‖W‖, tried on a copy with the run's learning rate."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from tinyae.data.batches import count, rows
from tinyae.optim import SGD, Adam, Optimizer
from tinyae.param import unique
from tinyae.training_doctor.evidence import Evidence
from tinyae.training_doctor.report import Finding

_TOO_LARGE = 0.1  # ten such steps replace a weight matrix
_TOO_SMALL = 1e-6
_WARM_UP = 15  # steps before the ratio of an Adam with empty moments is taken
_STEPS = 5  # steps over which the ratio is averaged

Ratios = dict[str, float]


def update_ratios(e: Evidence) -> dict[str, Ratios]:
    """The mean ratio of each weight matrix, by optimizer. If the run's own optimizer is not given,
    there are both extremes: steps along the gradient (SGD) and steps of equal length (Adam).
    """
    rate = e.history.epochs[-1].learning_rate if e.history.epochs else 1e-3
    if e.optimizer is not None:
        return {type(e.optimizer).__name__: _ratios(e, e.optimizer, 0)}
    if not rate > 0:
        return {}
    return {
        f"SGD({rate:.3g})": _ratios(e, SGD(rate), 0),
        f"Adam({rate:.3g})": _ratios(e, Adam(rate), _WARM_UP),
    }


def _ratios(e: Evidence, optimizer: Optimizer, warm_up: int) -> Ratios:
    """The mean ratios of some steps on a copy, after ``warm_up`` steps that do not count."""
    model, rng, sample = e.model_copy(), e.rng, e.sample
    n, size = count(sample), min(e.batch_size, count(sample))
    found: dict[str, list[float]] = {}
    own = {name: p.value for name, p in unique(model.params).items()}
    moves = []
    for player in model.players:
        tried = copy.deepcopy(optimizer)
        if len(model.players) == 1:  # its moments for the run's Params become those of the copy's
            tried.load_state(player.params, optimizer.state_arrays(e.model.params), optimizer.t)
        moves.append((player, unique(player.params), tried))
    for p in unique(model.params).values():
        p.grad[...] = 0
    with np.errstate(all="ignore"):
        for i in range(warm_up + _STEPS):
            start = {name: w.copy() for name, w in own.items()}
            batch = rows(sample, np.sort(rng.permutation(n)[:size]))
            for player, params, tried in moves:
                player.backprop(batch, rng)
                tried.step(params)
            for name, w in own.items():
                if w.ndim >= 2 and i >= warm_up:
                    size_of = float(np.linalg.norm(start[name]))
                    moved = float(np.linalg.norm(w - start[name]))
                    found.setdefault(name, []).append(moved / size_of if size_of else np.inf)
    return {name: float(np.nan_to_num(np.mean(r), nan=np.inf)) for name, r in found.items()}


def step_sizes(e: Evidence, moving: bool) -> Iterator[Finding]:
    """Steps that are too long with every optimizer tried; or too short, if nothing moves."""
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
