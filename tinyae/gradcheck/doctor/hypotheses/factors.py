"""Factors, found with the named tensors of the forward pass.

Most gradients are products of named arrays: dx = dy ∘ φ′(x), dW = dyᵀ x. So each tensor, and each
simple function of it, is tried as a missing factor, as an extra factor, and in the place of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, residual
from tinyae.gradcheck.doctor.trial import Trial
from tinyae.param import Array

_MOST = 60  # exchanges to propose


def functions(name: str, t: Array) -> Iterator[tuple[str, Array]]:
    """Simple functions of a tensor, by name, the simplest first."""
    text = name if _is_closed(name) else f"({name})"
    yield name, t
    if name.startswith("σ("):
        return
    if len(np.unique(t[:9])) > 2 or len(np.unique(t)) > 2:  # else 1/t is t again, but for a number
        yield f"1/{text}", 1 / t
    if name == "f′":
        yield "f′²", t * t
        return
    yield f"[{name} > 0]", (t > 0).astype(float)
    yield f"[{name} ≤ 0]", (t <= 0).astype(float)
    yield f"(1 − {text})", 1 - t
    yield f"(1 − {text}²)", 1 - t * t
    yield f"{text}·(1 − {text})", t * (1 - t)
    yield f"sign({name})", np.sign(t)
    yield f"exp({name})", np.exp(t)
    yield f"exp(½·{name})", np.exp(0.5 * t)
    yield f"{text}²", t * t
    yield f"(1 + {text})", 1 + t
    yield f"(1 + {text}²)", 1 + t * t
    yield f"exp(−{name})", np.exp(-t)
    yield f"exp(−½·{name})", np.exp(-0.5 * t)
    yield f"√{text}", np.sqrt(t)
    yield f"1/{text}²", 1 / (t * t)
    yield f"(exp({name}) − 1)", np.exp(t) - 1
    yield f"tanh({name})", np.tanh(t)
    yield f"(1 − tanh²({name}))", 1 - np.tanh(t) ** 2
    s = 1 / (1 + np.exp(-t))
    yield f"σ({name})", s
    yield f"σ′({name})", s * (1 - s)
    yield f"(1 − {text})²", (1 - t) ** 2
    yield f"{text}³", t**3


def _is_closed(name: str) -> bool:
    """Whether a name binds as one: a word, a call, or what stands in parentheses."""
    head = name.split("(")[0].replace(".", "").replace("_", "")
    return (head.isalnum() and "(" not in name) or (
        name.endswith(")") and (not head or head.isalnum())
    )


_PLAIN = ("", "−", "2·", "-2·", "0.5·", "-0.5·")

# Usual names of divisors: if one seems an extra factor, the division by it is missing.
_DIVISORS = ("sigma", "σ", "std", "sd", "norm", "denom", "scale", "temperature", "total")


def _divides(name: str) -> bool:
    return name == "y·(1 − y)" or any(name.lower().split("[")[0] == d for d in _DIVISORS)


def broadcast_along(t: Array, shape: tuple[int, ...]) -> Array | None:
    """t broadcast to the shape: as NumPy does, or along leading axes (sample, channel)."""
    if t.shape == shape:
        return t
    if not t.ndim or t.ndim > len(shape) or t.size == 1:
        return None
    trailing = shape[len(shape) - t.ndim :]
    if all(a in (1, b) for a, b in zip(t.shape, trailing)):
        return np.broadcast_to(t, shape)
    for lead in range(len(shape) - t.ndim + 1):
        if t.shape == shape[lead : lead + t.ndim]:
            return np.broadcast_to(t.reshape(t.shape + (1,) * (len(shape) - lead - t.ndim)), shape)
    return None


@dataclass
class _Pool:
    """Candidate factors: their names, their values at the measured entries, their costs."""

    names: list[str]
    rows: Array
    costs: list[float]


def _pool(tensors: dict[str, Array], shape: tuple[int, ...], seen: Array) -> _Pool:
    names: list[str] = []
    values: list[Array] = []
    costs: list[float] = []
    with np.errstate(all="ignore"):
        for k, (name, t) in enumerate(tensors.items()):
            fit = broadcast_along(t, shape)
            if fit is None:
                continue
            for i, (label, value) in enumerate(functions(name, np.asarray(fit[seen], np.float64))):
                names.append(label)
                values.append(value)
                # f′ names the factor but not its formula, so it comes last.
                costs.append(0.03 * i + 0.001 * k + 0.5 * (name == "f′"))
        rows = np.array(values).reshape(len(values), int(seen.sum()))
        top = np.abs(rows).max(axis=1, initial=0)
        varies = np.isfinite(rows).all(axis=1) & (np.ptp(rows, axis=1) > 1e-9 * top)
    keep = np.flatnonzero(varies)
    return _Pool([names[i] for i in keep], rows[keep], [costs[i] for i in keep])


def scale_fits(target: Array, rows: Array) -> tuple[Array, Array]:
    """For each row the best c of target ≈ c · row, and its relative residual."""
    square = (rows * rows).sum(axis=1)
    with np.errstate(all="ignore"):
        c = rows @ target / square
        off = np.abs(target - c[:, None] * rows)
        gap = np.linalg.norm(off, axis=1) / np.linalg.norm(target)
        # Small entries must fit too, though they hardly count in the norm.
        worst = (off / (np.abs(target) + 1e-4 * np.abs(target).max())).max(axis=1)
    return c, np.where(np.isfinite(gap) & (worst < 1e-5), gap, np.inf)


def factors(
    name: str, a: Array, n: Array, trial: Trial, tensors: dict[str, Array]
) -> Iterator[Guess]:
    """n = c a q (a factor is missing), a = c n q (one is extra), or one replaces another."""
    seen = np.isfinite(n)
    p, q = a[seen], n[seen]
    if len(p) < 2 or not np.any(p) or not np.any(q):
        return
    pool = _pool({k: t for k, t in tensors.items() if k != "dy"}, n.shape, seen)
    if not pool.names:
        return
    single = list(_single(name, p, q, trial, pool, "dy" not in tensors))
    replaced = list(_formula(name, p, q, trial, pool, tensors, n.shape, seen))
    yield from single
    yield from replaced
    if not single and not replaced:
        yield from _exchanged(name, p, q, trial, pool)


def _single(
    name: str, p: Array, q: Array, trial: Trial, pool: _Pool, loss: bool
) -> Iterator[Guess]:
    """One factor that is missing or extra."""
    missing, extra = scale_fits(q, p * pool.rows), scale_fits(p, q * pool.rows)
    for kind, (c, gap) in (("missing_factor", missing), ("extra_factor", extra)):
        for i in np.flatnonzero(gap < EXACT):
            said = multiplier(trial, float(c[i]))
            if said is None:
                continue
            times, keys = said
            label = pool.names[i]
            if pool.costs[i] > 0.1 and times not in _PLAIN:
                continue  # an unusual function with an unusual number: an accident
            cost = 1.0 + pool.costs[i] + (1.5 if times else 0.0)
            keys = [f"{kind}:{label}:{k}" for k in keys]
            factor = f"{times}{label}"
            divided = _divides(label) or (loss and label in ("y", "(1 − y)"))
            if kind == "extra_factor" and divided and not times:
                kind_, factor = (
                    "missing_factor",
                    f"1/{label}" if "·" not in label else f"1/({label})",
                )
            else:
                kind_ = kind
                # An extra mask or power is rarer than a wrong function in its place.
                cost += 0.8 if kind == "extra_factor" and ("[" in label or "²" in label) else 0.1
            if kind_ == "missing_factor":
                text = f"{name} lacks the factor {factor}: times it, it is the numeric gradient"
                do = f"multiply by {factor}"
            else:
                inverse = f"1/{label}" if label.isalnum() else f"1/({label})"
                text = f"{name} has the factor {factor} too many: it is that times the right one"
                do = f"take the factor {factor} out or, if a division is missing, multiply by {inverse}"
            yield Guess(kind_, factor, text, float(gap[i]), keys, do, cost)


def _formula(
    name: str,
    p: Array,
    q: Array,
    trial: Trial,
    pool: _Pool,
    tensors: dict[str, Array],
    shape: tuple[int, ...],
    seen: Array,
) -> Iterator[Guess]:
    """a = dy ∘ q₁ and n = dy ∘ q₂: q₁ stands where q₂ belongs."""
    dy = tensors.get("dy")
    base = np.ones(len(p))
    if dy is not None:
        if dy.shape != shape:
            return
        base = dy[seen]
    (c, mine), (e, right) = scale_fits(p, base * pool.rows), scale_fits(q, base * pool.rows)
    given = [i for i in np.flatnonzero(mine < EXACT) if multiplier(trial, float(c[i])) is not None]
    due = [i for i in np.flatnonzero(right < EXACT) if multiplier(trial, float(e[i])) is not None]
    if not given or not due:
        return
    i, j = (min(which, key=lambda k: pool.costs[k]) for which in (given, due))
    times = multiplier(trial, float(c[i] / e[j]))
    if i == j or times is None:
        return
    bad, good = pool.names[i], pool.names[j]
    text = f"{name} has the factor {times[0]}{bad} where {good} belongs"
    keys = [f"formula:{bad}:{good}:{k}" for k in times[1]]
    far = {"": 0.0, "−": 0.3}.get(times[0], 1.5)
    cost = 1.6 + pool.costs[i] + pool.costs[j] + far
    what = f"{times[0]}{bad} for {good}"
    yield Guess("wrong_factor", what, text, float(mine[i]), keys, f"write {good} for {bad}", cost)


def _exchanged(name: str, p: Array, q: Array, trial: Trial, pool: _Pool) -> Iterator[Guess]:
    """a q₁ = c n q₂: the factor q₂ stands where q₁ belongs."""
    with np.errstate(all="ignore"):
        left, right = p * pool.rows, q * pool.rows
        left = left / np.linalg.norm(left, axis=1, keepdims=True)
        right = right / np.linalg.norm(right, axis=1, keepdims=True)
    close = np.abs(np.nan_to_num(left) @ np.nan_to_num(right).T)
    guesses = []
    for i, j in np.argwhere(np.abs(close - 1) < 1e-12):
        x, y = p * pool.rows[i], q * pool.rows[j]
        if i == j or np.count_nonzero(x) < 2:
            continue
        if np.any(q[pool.rows[i] == 0]) or np.any(p[pool.rows[j] == 0]):
            continue  # a mask hides the entries that differ
        c = float(x @ y) / float(y @ y)
        said, gap = multiplier(trial, c), residual(x, c * y)
        if said is None or gap > EXACT:
            continue
        times, keys = said
        bad, good = f"{times}{pool.names[j]}", pool.names[i]
        text = f"{name} has the factor {bad} where {good} belongs"
        keys = [f"for:{good}:{pool.names[j]}:{k}" for k in keys]
        cost = 2.0 + pool.costs[i] + pool.costs[j] + (1.5 if times else 0.0)
        guess = Guess(
            "wrong_factor", f"{bad} for {good}", text, gap, keys, f"write {good} for {bad}"
        )
        guess.free = cost
        guesses.append(guess)
    yield from sorted(guesses, key=lambda g: g.free)[:_MOST]


def multiplier(trial: Trial, c: float) -> tuple[str, list[str]] | None:
    """c as text before a product ("", "−", "1/N·", …), and its keys; None if c has no name."""
    if abs(c - 1) < 1e-6:
        return "", ["1"]
    names = trial.names(c)
    if not names:
        return None
    return ("−" if names[0] == "-1" else f"{names[0]}·"), names
