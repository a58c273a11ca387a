"""Whether every unit is at work: dead ReLUs, saturated units, constant codes, collapsed latents."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tinyae.layers import ReLU
from tinyae.models import VariationalAutoencoder
from tinyae.param import Array
from tinyae.training_doctor.evidence import FLAT, Activity, Evidence
from tinyae.training_doctor.report import Finding

_DEAD = (
    2 / 3
)  # of a layer's ReLUs; if the data are far from 0, half of them are dead from the start
_FAR_DEAD = 0.05  # of a layer's ReLUs, if they are dead and far from waking:
_FAR = 5.0  # their largest input is this many typical deviations below 0
_SATURATED = 0.9  # share of a layer's outputs in the flat part of the curve
_SPARSE = 0.9  # share of silent units that is too large even with a sparsity penalty
_CONSTANT = 1e-4  # a constant unit's deviation, over the code's largest entry
_CONSTANT_SHARE = 0.1  # share of constant units that is too large
_TOPK_SHARE = 0.5  # the same with TopK, where some units never belong to the k largest
ACTIVE_VARIANCE = (
    0.01  # Var_x E[z | x] of an active unit (Burda, Grosse & Salakhutdinov 2016, §5.2)
)
_ACTIVE_SHARE = 0.25  # a wide code need not be used entirely, but less than a quarter is little


def dead_relus(e: Evidence) -> Iterator[Finding]:
    """ReLUs that are 0 for every sample."""
    for a in e.activities:
        if not isinstance(a.part, ReLU):
            continue
        dead, units = np.flatnonzero(~a.awake), a.units
        far = _far(a, dead)
        e.measured[f"dead in {a.name}"] = len(dead)
        e.notes.append(f"{a.name} ReLU: {len(dead)} of {units} units dead")
        silent = _SPARSE if e.sparse and a.name == e.code_layer else _DEAD
        if len(dead) < max(silent * units, 1) and far < max(_FAR_DEAD * units, 1):
            continue
        yield Finding(
            "dead_relus",
            f"{a.name} (ReLU)",
            f"{len(dead)} of {units} units are 0 for every one of {_rows(e)} samples: {_list(dead)}"
            + (f"; {far} of them are far from waking" if far else ""),
            "where x ≤ 0 for all samples f′ = 0, so no gradient reaches the weights into the unit: it "
            "will not come back, and the layer is that much narrower",
            "train from new weights with a lower learning rate or clip_norm=1.0, centre the "
            "data, begin with HeNormal(), or take LeakyReLU() or ELU(), whose slope is nowhere 0",
            {"dead": len(dead), "units": units, "which": dead.tolist(), "far": far},
        )


def _far(a: Activity, dead: Array) -> int:
    """How many of the dead units have an input that is never close to zero."""
    return int((a.highest[dead] < -_FAR * float(np.median(a.deviation))).sum())


def saturated(e: Evidence) -> Iterator[Finding]:
    """Sigmoids and Tanhs whose outputs lie at the ends of their range."""
    for a in e.activities:
        if isinstance(a.part, ReLU) or (e.sparse and a.name == e.code_layer):
            continue
        share, stuck = float(a.flat.mean()), np.flatnonzero(a.flat == 1)
        kind = type(a.part).__name__
        e.measured[f"saturated in {a.name}"] = share
        e.notes.append(f"{a.name} {kind}: {share:.0%} of its outputs saturated")
        if share < _SATURATED:
            continue
        yield Finding(
            "saturated",
            f"{a.name} ({kind})",
            f"{share:.0%} of its outputs lie within {FLAT:.0%} of an end of its range; "
            f"{len(stuck)} of {a.units} units do so for every sample",
            "there the curve is flat: the slope is below a twentieth of its best, so hardly any "
            "gradient passes to the layers before",
            "scale the data to mean 0 and deviation 1 or to [0, 1], lower the learning rate, put "
            "BatchNorm before the activation, or take ReLU() or ELU()",
            {"share": share, "stuck": stuck.tolist(), "units": a.units},
        )


def constant_codes(e: Evidence) -> Iterator[Finding]:
    """Units of the code that have the same value for every sample."""
    if not e.reconstructs or isinstance(e.model, VariationalAutoencoder) or len(e.codes) < 2:
        return
    z = e.codes
    deviation = z.std(axis=0)
    if z.ndim > 2:  # a channel is active if one of its pixels is
        deviation = deviation.reshape(z.shape[1], -1).max(axis=1)
    largest = float(np.abs(z).max())
    constant = np.flatnonzero(deviation <= _CONSTANT * largest)
    e.measured["constant codes"] = len(constant)
    e.notes.append(f"code: {len(constant)} of {len(deviation)} units constant")
    share = _SPARSE if e.sparse else (_TOPK_SHARE if e.top_k else _CONSTANT_SHARE)
    rest = np.setdiff1d(constant, _dead_codes(e))  # dead units are a finding of their own
    if len(rest) < max(share * len(deviation), 1):
        return
    every = len(constant) == len(deviation)
    seen = "every unit" if every else f"{len(constant)} of {len(deviation)} units"
    yield Finding(
        "constant_codes",
        "code",
        f"{seen} of the code has the same value for all of {_rows(e)} samples"
        + ("" if every else f": {_list(constant)}"),
        "a constant tells the decoder nothing"
        + (", which can then only give the same picture every time" if every else ": the code is "
           "narrower than it looks"),
        "look for dead or saturated units before the code; train from new weights with a lower "
        "learning rate, less of a penalty on the code, or a smaller code",
        {"constant": len(constant), "units": len(deviation), "which": constant.tolist()},
    )  # fmt: skip


def _dead_codes(e: Evidence) -> Array:
    """The dead units of a code that ends in a ReLU."""
    dead = [
        np.flatnonzero(~a.awake)
        for a in e.activities
        if a.name == e.code_layer and isinstance(a.part, ReLU)
    ]
    return dead[0] if dead else np.empty(0, int)


def collapsed_latents(e: Evidence) -> Iterator[Finding]:
    """A variational code whose posterior equals the prior in most dimensions."""
    if not isinstance(e.model, VariationalAutoencoder) or len(e.posterior[0]) < 2:
        return
    mu, s = e.posterior
    kl = 0.5 * (mu * mu + np.exp(s) - 1 - s).mean(axis=0)
    variance = mu.var(axis=0)
    active = variance > ACTIVE_VARIANCE
    n, units = int(active.sum()), len(active)
    e.measured["active units"] = n
    e.measured["kl of each dimension"] = kl.tolist()
    each = ", ".join(f"{v:.2g}" for v in kl[:16]) + (", …" if units > 16 else "")
    e.notes.append(f"code: {n} of {units} units active; KL of each in nats: {each}")
    if n >= max(_ACTIVE_SHARE * units, 1):
        return
    beta = e.model.beta
    yield Finding(
        "collapsed_latents",
        "code",
        f"{n} of {units} units are active (the variance of μ over samples is above "
        f"{ACTIVE_VARIANCE:g}); the KL is {kl.sum():.3g} nats in all, {each} by dimension",
        "where μ does not move with x, q(z | x) is the prior whatever x is: "
        + ("the decoder ignores the code" if n == 0 else "the code is narrower than it looks"),
        f"raise β slowly (warm_up=1000 steps or more), lower it (it is {beta:g}), give each dimension "
        "free_bits=0.1, or weaken the decoder"
        + ("; check that the likelihood is in nats a sample and the data are not constant"
           if n == 0 else ", or take fewer dimensions"),
        {"active": n, "units": units, "kl": kl.tolist(), "variance": variance.tolist()},
    )  # fmt: skip


def _rows(e: Evidence) -> int:
    return len(e.sample[0] if isinstance(e.sample, tuple) else e.sample)


def _list(indices: Array) -> str:
    shown = ", ".join(map(str, indices[:12]))
    more = len(indices) - 12
    return shown if more <= 0 else f"{shown} and {math.floor(more)} more"
