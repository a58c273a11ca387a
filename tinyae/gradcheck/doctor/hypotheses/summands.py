"""Terms, found with the named tensors: n − a = c q, a term is missing, extra or negated."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.factors import (
    broadcast_along,
    functions,
    multiplier,
    scale_fits,
)
from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess
from tinyae.gradcheck.doctor.trial import Trial
from tinyae.param import Array


def summands(
    name: str, a: Array, n: Array, trial: Trial, tensors: dict[str, Array]
) -> Iterator[Guess]:
    """n − a = c q: a term q is missing, extra (c = −1) or has the wrong sign (c = ±2)."""
    seen = np.isfinite(n)
    gap = (n - a)[seen]
    if seen.sum() < 2 or float(np.linalg.norm(gap)) < 1e-9 * float(np.linalg.norm(n[seen])):
        return
    with np.errstate(all="ignore"):
        pool = list(_term_pool(tensors, n.shape))
    if not pool:
        return
    rows = np.array([t[seen] for _, t in pool], np.float64)
    known = np.atleast_1d(np.isfinite(rows).all(axis=1))
    names, rows = [label for (label, _), ok in zip(pool, known.tolist()) if ok], rows[known]
    c, far = scale_fits(gap, rows)
    if "dy" not in tensors and not (far < EXACT).any():
        yield from _two_terms(name, gap, trial, tensors, n)
    for i in np.flatnonzero(far < EXACT):
        said = multiplier(trial, float(c[i]))
        if said is None:
            continue
        times, keys = said
        term = f"{times}{names[i]}"
        cost = 2.0 + 0.0005 * i + (0.0 if times in ("", "−") else 0.7) + ("-1)" in times)
        cost += 0.8 * _is_far_fetched(names[i], tensors)
        keys = [f"term:{names[i]}:{k}" for k in keys]
        constant = _one_less_than(trial, float(c[i]))
        if constant:
            text = f"{name} has the term {names[i]} with the coefficient 1 where {constant} belongs"
            do = f"multiply it by {constant}"
            what = f"{constant}·{names[i]}"
            yield Guess("term", what, text, float(far[i]), keys, do, cost - 0.2)
        if times in ("2·", "-2·"):
            text = f"{name} has the term {names[i]} with the wrong sign"
            do = f"change its sign: it should enter with {'+' if times == '2·' else '−'}"
            yield Guess("term", names[i], text, float(far[i]), keys, do, cost - 0.1)
        elif _sum_for_mean(trial, float(c[i])) and "mean(" in names[i]:
            text = f"{name} has the term {names[i]} with a sum in place of the mean"
            yield Guess("term", names[i], text, float(far[i]), keys, "take the mean", cost)
        elif times == "−" and "axis" not in names[i]:
            text = f"{name} has the term {names[i]} too many"
            yield Guess("term", names[i], text, float(far[i]), keys, f"take {names[i]} out", cost)
        else:
            text = f"{name} lacks the term {term}"
            yield Guess("missing_term", term, text, float(far[i]), keys, f"add {term}", cost)


def _two_terms(
    name: str, gap: Array, trial: Trial, tensors: dict[str, Array], n: Array
) -> Iterator[Guess]:
    """n − a = c t + d: a term and a constant, as label smoothing adds them."""
    seen = np.isfinite(n)
    for k, t in tensors.items():
        if t.shape != n.shape or np.ptp(t) == 0:
            continue
        columns = np.stack([t[seen], np.ones(int(seen.sum()))], axis=1)
        c = np.linalg.lstsq(columns, gap, rcond=None)[0]
        far = float(np.linalg.norm(columns @ c - gap) / np.linalg.norm(gap))
        if far > EXACT or abs(c[1]) < 1e-9 * abs(c[0]):
            continue
        both = [multiplier(trial, float(v)) for v in c]
        if both[0] is None or both[1] is None:
            continue
        (times, keys), (constant, more) = both[0], both[1]
        term = f"{times}{k} + {constant.rstrip('·') or 1}".replace("+ -", "− ").replace(
            "+ −", "− 1"
        )
        text = f"{name} lacks the term {term}"
        keys = [f"two:{k}:{p}:{q}" for p in keys for q in more]
        yield Guess("missing_term", term, text, far, keys, f"add {term}", 3.2)


def _is_far_fetched(label: str, tensors: dict[str, Array]) -> bool:
    """Whether a product has the factor 1 − x of an x that is no probability: what was taken out of
    one place and put into another gives such a term.
    """
    _, *rest = label.split("·") if label.startswith("dy·") else ("", label)
    if len(rest) < 2:
        return False
    for part in rest:
        x = tensors.get(part.removeprefix("(1 − ").removesuffix(")"))
        if part.startswith("(1 − ") and x is not None and (x.min() < 0 or x.max() > 1):
            return True
    return False


def _one_less_than(trial: Trial, c: float) -> str:
    """The constant that is c + 1: a term that it should multiply, and does not; "" if there is none."""
    return next((k for k, v in trial.point.scalars.items() if abs(v - 1 - c) < 1e-6 * abs(v)), "")


def _sum_for_mean(trial: Trial, c: float) -> bool:
    """Whether c is m − 1 for some length m: a sum where a mean over m belongs."""
    return any(abs(c - (m - 1)) < 1e-6 * m for m in trial.point.sizes.values() if m > 2)


def _term_pool(tensors: dict[str, Array], shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Candidate terms: functions of the tensors, with or without dy, and means along an axis."""
    dy = tensors.get("dy")
    with_dy = dy is not None and dy.shape == shape
    like = [(k, f) for k, t in tensors.items() if (f := broadcast_along(t, shape)) is not None]
    if with_dy:
        yield "dy", dy  # type: ignore[misc]
    for k, t in like:
        if k == "dy":
            continue
        for label, value in itertools.islice(functions(k, t), 17):
            if with_dy:
                yield f"dy·{label}", dy * value
            yield label, value
    if with_dy:
        yield from _means(dy, like)  # type: ignore[arg-type]
    yield from _pairs(dy if with_dy else None, [(k, t) for k, t in like if k != "dy"][:9])


def _pairs(dy: Array | None, like: list[tuple[str, Array]]) -> Iterator[tuple[str, Array]]:
    """Products of functions of two tensors, with dy if there is one: dy·x·σ′(x), (1 − t)/(1 − y)."""
    few: list[tuple[str, Array]] = []
    for k, t in like:
        few += [
            (k, t),
            (f"(1 − {k})", 1 - t),
            (f"{k}·(1 − {k})", t * (1 - t)),
            (f"(1 − {k}²)", 1 - t * t),
        ]
        s = 1 / (1 + np.exp(-t))
        few.append((f"σ′({k})", s * (1 - s)))
        if dy is None:
            few += [(f"1/{k}", 1 / t), (f"1/(1 − {k})", 1 / (1 - t)), (f"log {k}", np.log(t))]
    for (p, u), (q, v) in itertools.islice(itertools.combinations(few, 2), 1200):
        value = u * v
        yield (f"{p}·{q}", value) if dy is None else (f"dy·{p}·{q}", dy * value)


def _means(dy: Array, like: list[tuple[str, Array]]) -> Iterator[tuple[str, Array]]:
    """mean(g) and t·mean(g·t) over an axis or over images, with or without a division."""
    others = [(k, t) for k, t in like if k not in ("dy", "y")][:6]
    bases = [("dy", dy), *((f"dy·{k}", dy * t) for k, t in others)]
    axes: list[tuple[int, ...]] = [(i,) for i in range(dy.ndim)]
    if dy.ndim == 4:
        axes += [(0, 2, 3), (1, 2, 3)]
    for over in axes:
        where = str(over[0]) if len(over) == 1 else str(over)
        for label, g in bases:
            total = g.sum(over, keepdims=True)
            m = g.size / total.size
            found = [(f"mean({label}, axis {where})", total / m)]
            for k, t in others:
                value = t * (g * t).sum(over, keepdims=True)
                found.append((f"{k}·Σ({label}·{k}, axis {where})", value))
                found.append((f"{k}·mean({label}·{k}, axis {where})", value / m))
            for text, value in found:
                value = np.broadcast_to(value, dy.shape)
                yield text, value
                for k, t in others:
                    yield f"{text}/{k}", value / t
                    yield f"{k}·{text}", value * t
