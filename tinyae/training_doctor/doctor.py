"""``diagnose_training``: all examinations in order, the most fundamental first."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.arguments import generator, positive_int
from tinyae.data.batches import count, is_rows
from tinyae.models import Model
from tinyae.models.gan import Player
from tinyae.optim import Optimizer
from tinyae.training import History, TrainingDiverged
from tinyae.training_doctor import baseline, curves, data, steps, units
from tinyae.training_doctor.evidence import Evidence
from tinyae.training_doctor.report import Finding, TrainingDiagnosis
from tinyae.wording import counted


def diagnose_training(
    history: History | TrainingDiverged,
    model: Model,
    x: Any,
    rng: int = 0,
    *,
    optimizer: Optimizer | None = None,
    batch_size: int = 32,
) -> TrainingDiagnosis:
    """What is wrong with a training, with figures, reasons and remedies, and what was measured.

    history     what ``fit`` returned, or the TrainingDiverged that it raised
    model       the model after the run; only copies are examined
    x           the training data as given to ``fit``: an array or a tuple of arrays
    rng         a seed for the choice of samples and for the model's noise
    optimizer   the optimizer of the run: its next step is tried on a copy. Without it the run's
                learning rate is tried with SGD and with Adam, and judged only if both agree
    batch_size  the batch size of the steps that are tried

    Possible findings: ``diverged``, ``output_range``, ``not_moving``, ``rising``, ``dead_relus``,
    ``saturated``, ``constant_codes``, ``collapsed_latents``, ``large_updates``, ``small_updates``,
    ``no_better_than_mean``, ``no_better_than_pca``, ``overfitting``, ``bad_scale``,
    ``constant_data``.

    Raises
        TypeError   history, model or x is of the wrong type
        ValueError  x holds NaN or an infinity, or no rows
    """
    e = _evidence(history, model, x, rng, optimizer, batch_size)
    found: list[Finding] = list(curves.diverged(e))
    if not any(f.figures.get("weights") for f in found):
        found += _examine(e, bool(found))
    n = len(e.history)
    title = f"{type(model).__name__}, {counted(n, 'epoch')}"
    return TrainingDiagnosis(title, found, e.measured, e.notes)


def _examine(e: Evidence, has_diverged: bool) -> list[Finding]:
    """All examinations that need finite weights."""
    found = [*data.constant_data(e), *data.bad_scale(e)]
    reach = list(baseline.outside_output_range(e))
    found += reach
    in_range = not any(f.figures["outside"] > 0 for f in reach)
    error, variance = baseline.errors(e)
    still = list(curves.not_moving(e, error, variance))
    found += still
    if not has_diverged:
        found += curves.rising(e)
    found += units.dead_relus(e)
    found += units.saturated(e)
    found += units.constant_codes(e)
    found += units.collapsed_latents(e)
    if in_range:  # the loss refuses other data
        found += steps.step_sizes(e, moving=not still)
    mean = list(baseline.no_better_than_mean(error, variance))
    found += mean
    pca = list(baseline.no_better_than_pca(e, error))
    if not (mean or has_diverged or not in_range):
        found += pca
    found += curves.overfitting(e)
    return found


def _evidence(
    history: Any, model: Any, x: Any, rng: Any, optimizer: Any, batch_size: Any
) -> Evidence:
    who = "diagnose_training"
    failure = ""
    if isinstance(history, TrainingDiverged):
        history, failure = history.history, str(history)
    if not isinstance(history, History):
        raise TypeError(
            f"{who}: history is a {type(history).__name__}, expected what fit returned (a History) "
            "or the TrainingDiverged that it raised; pass history first, then the model"
        )
    if not isinstance(model, Model):
        raise TypeError(f"{who}: model is a {type(model).__name__}, expected a Model; pass one")
    if isinstance(model, Player):
        raise TypeError(f"{who}: model is one player of a game, expected the game; pass the GAN")
    if not is_rows(x):
        raise TypeError(
            f"{who}: x is a {type(x).__name__}, expected an array or a tuple of arrays; pass the "
            "training data, or some thousands of their rows"
        )
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{who}: optimizer is {optimizer!r}, expected the run's Optimizer, or None; of a GAN None"
        )
    if count(x) < 2:
        raise ValueError(
            f"{who}: x has {counted(count(x), 'row')}, expected at least 2; pass the training data"
        )
    model.check_numbers(x)  # their range and their units are judged later
    generator(who, rng)  # raises unless it is one or a seed
    seed = int(rng) if isinstance(rng, (int, np.integer)) else int(rng.integers(2**31))
    batch_size = positive_int(who, "batch_size", batch_size, 32)
    if model.scaler is not None:
        model, x = model.in_scaled_units(), model.as_input(x)
    return Evidence(model, history, x, seed, failure, optimizer, batch_size)
