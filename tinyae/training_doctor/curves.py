"""What the history shows: diverged, not moving, rising again, overfitting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinyae.models import Classifier
from tinyae.param import Array, unique
from tinyae.training_doctor.evidence import UNINFORMED, Evidence
from tinyae.training_doctor.report import Finding

_EPOCHS = 3  # fewer show no trend
_FLAT = 0.01  # of the first loss: not moving if all epochs lie within it
_RISE = 0.5  # share of the improvement that is lost again
_OVERFIT_EPOCHS = 5
_OVERFIT_RISE = 0.1  # share of the improvement in validation that is lost again
_OVERFIT_SHARE = 0.05  # of the best validation loss
_OVERFIT_GAP = 2.0  # validation loss over training loss
_REMEDY = "the same settings with a tenth of the learning rate, or clip_norm=1.0"


def diverged(e: Evidence) -> Iterator[Finding]:
    """NaN or infinity in the history or in the weights, or a run that fit has stopped."""
    bad = [name for name, p in unique(e.model.params).items() if not np.isfinite(p.value).all()]
    epochs = [
        epoch.epoch for epoch in e.history.epochs
        if not np.isfinite(list((epoch.terms | epoch.validation).values())).all()
    ]  # fmt: skip
    if not (bad or epochs or e.failure):
        return
    seen = [e.failure] if e.failure else []
    seen += [f"the loss is not finite in epoch {epochs[0]}"] if epochs else []
    seen += [f"the weights {', '.join(bad[:5])} are not finite"] if bad else []
    yield Finding(
        "diverged",
        bad[0] if bad else "",
        "; ".join(seen),
        "a NaN spreads to every weight at the next step; nothing learnt after it is worth keeping",
        f"train again from new weights: {_REMEDY}; look for logarithms, divisions and roots in "
        "layers of your own",
        {"weights": bad, "epochs": epochs},
    )


def judged_loss(e: Evidence) -> Array:
    """The loss that a training is judged by, one number an epoch, with the full β from the start."""
    h = e.history
    if getattr(e.model, "warm_up", 0) and "kl" in h.names and not h.epochs[0].validation:
        free = h["free_bits"] if "free_bits" in h.names else 0.0
        return h["reconstruction"] + e.model.beta * (h["kl"] + free)  # type: ignore[attr-defined]
    return h.monitored


def not_moving(e: Evidence, error: float | None, variance: float | None) -> Iterator[Finding]:
    """The loss is the same in all epochs and nothing was learnt; not a run that has converged."""
    if len(e.history) < _EPOCHS or len(e.model.players) > 1:
        return
    L = judged_loss(e)
    span, scale = float(L.max() - L.min()), abs(float(L[0]))
    e.measured["first loss"], e.measured["last loss"] = float(L[0]), float(L[-1])
    e.notes.append(f"loss: {L[0]:.5g} in epoch 1, {L[-1]:.5g} in epoch {len(L)}")
    if span > _FLAT * scale:
        return
    if error is not None and variance is not None:
        if error < UNINFORMED * variance:
            return  # it has converged
    elif not isinstance(e.model, Classifier) or e.history["error"][-1] < 0.3:
        return
    rate = e.history.epochs[-1].learning_rate
    yield Finding(
        "not_moving",
        "",
        f"the loss is not moving: {L[0]:.5g} in epoch 1, {L[-1]:.5g} in epoch {len(L)}, "
        f"{span / max(scale, 1e-300):.1%} between the best and the worst"
        + (f"; the error is {error:.4g}, the data's variance {variance:.4g}" if error else ""),
        "the weights stay where they began, or jump about without getting anywhere",
        f"check that backprop reaches the optimizer (tinyae.gradcheck.check_model); try ten times the "
        f"learning rate (it was {rate:g}), then a tenth; look at the update ratios below",
        {"first": float(L[0]), "last": float(L[-1]), "span": span, "learning_rate": rate},
    )


def rising(e: Evidence) -> Iterator[Finding]:
    """The training loss rises again after it has fallen."""
    if len(e.history) < _EPOCHS or len(e.model.players) > 1:
        return
    h = e.history
    L = judged_loss(e) if getattr(e.model, "warm_up", 0) else h["total"]
    best = int(np.argmin(L))
    gained, lost = float(L[0] - L[best]), float(L[-1] - L[best])
    if lost <= max(_RISE * gained, _FLAT * abs(float(L[best]))) or lost == 0:
        return
    yield Finding(
        "rising",
        "",
        f"the training loss was {L[best]:.5g} in epoch {best + 1} and is {L[-1]:.5g} in epoch {len(L)}",
        "steps that lead uphill are too long for the place; the next stage is NaN",
        f"{_REMEDY}; or a schedule that lets the rate fall, Cosine(rate, steps=…)",
        {"best": float(L[best]), "best_epoch": best + 1, "last": float(L[-1])},
    )


def overfitting(e: Evidence) -> Iterator[Finding]:
    """Validation gets worse while training gets better."""
    h = e.history
    if len(h) < _OVERFIT_EPOCHS or not h.epochs[0].validation or len(e.model.players) > 1:
        return
    V, T = h["validation.total"], h["total"]
    best = int(np.argmin(V))
    e.notes.append(
        f"validation: best {V[best]:.5g} in epoch {best + 1}, last {V[-1]:.5g}; training {T[-1]:.5g}"
    )
    e.measured["gap"] = float(V[-1] - T[-1])
    rise, gained = float(V[-1] - V[best]), float(V[0] - V[best])
    worse = (
        rise > max(_OVERFIT_RISE * gained, _OVERFIT_SHARE * abs(float(V[best]))) and T[-1] < T[best]
    )
    gap = bool(T[-1] > 0 and V[-1] > _OVERFIT_GAP * T[-1] and T[-1] < T[0])
    if not worse and not gap:
        return
    seen = f"validation {V[-1]:.5g} in the last epoch, training {T[-1]:.5g}"
    if worse:
        seen += f"; validation was best in epoch {best + 1}, {V[best]:.5g}, and has risen since"
    yield Finding(
        "overfitting",
        "",
        seen,
        "the model learns its samples by heart: what it gains on them it does not gain on others",
        "stop at the best epoch, early_stopping=EarlyStopping(patience=5); take more samples, a smaller "
        "model, Dropout or noise (DenoisingAutoencoder), or AdamW",
        {"validation": float(V[-1]), "training": float(T[-1]), "best_epoch": best + 1},
    )
