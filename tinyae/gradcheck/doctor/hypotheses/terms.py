"""A term of the objective, or a path to a parameter, with a wrong coefficient.

The gradient of an objective is a sum over its named terms, and over the paths by which a parameter
reaches it: through the decoder, the mean, the log-variance, either use of a tied matrix. Each
summand is measured alone by differences, with the rest held fixed. Then a ≈ Σ cᵢ nᵢ is solved:
cᵢ = 1 is right, 0 a missing summand, −1 a wrong sign, N a missing 1/N.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import Guess, number, residual
from tinyae.gradcheck.doctor.subjects import LayerSubject, ModelSubject, Subject
from tinyae.gradcheck.doctor.trial import MOST, Point, Trial
from tinyae.gradcheck.slope import H
from tinyae.param import Array

Parts = dict[str, Array]


def summands(
    subject: Subject, point: Point, key: str, n: Array, k: int
) -> Iterator[tuple[str, Parts]]:
    """The numeric gradient n of one tensor as a sum: by terms, by uses, by paths."""
    value = point.values[key]
    if value.size > MOST:
        return
    whole = n if np.isfinite(n).all() else _slope(point, value, point.evaluate)
    if isinstance(subject, ModelSubject):
        parts = _by_terms(subject, point, value, subject.input(k))
        if len(parts) > 1:
            yield "term", parts
    shared = _uses(subject, key)
    if len(shared) > 1:
        yield "use", _by_uses(subject, point, value, shared)
    for label, part in _parts(subject.module):
        for call, called in _calls(part, point):
            with _frozen(part, point, call):
                rest = _slope(point, value, point.evaluate)
            through = whole - rest
            top = max(np.abs(through).max(), np.abs(rest).max())
            if min(np.abs(through).max(), np.abs(rest).max()) > 1e-7 * top:
                yield (
                    "path",
                    {f"path through {label}{called}": through, f"path past {label}{called}": rest},
                )


def coefficients(name: str, a: Array, trial: Trial, how: str, parts: Parts) -> Iterator[Guess]:
    """a = Σ cᵢ nᵢ where exactly one cᵢ is not 1."""
    labels = list(parts)
    rows = np.array([parts[label].ravel() for label in labels])
    flat = np.asarray(a, np.float64).ravel()
    size = float(np.linalg.norm(flat))
    live = [i for i in range(len(rows)) if np.linalg.norm(rows[i]) > 1e-9 * max(size, 1e-300)]
    if len(live) < 2 and how != "term":
        return
    total = rows[live].sum(axis=0)
    for i in live:
        gap = flat - (total - rows[i])
        c = float(gap @ rows[i]) / float(rows[i] @ rows[i])
        fit = total + (c - 1) * rows[i]
        error = residual(flat, fit)
        if error > 3e-6 or abs(c - 1) < 1e-5:
            continue
        yield _guess(name, labels[i], c, error, trial, how)


def _guess(name: str, label: str, c: float, error: float, trial: Trial, how: str) -> Guess:
    c = round(c) if abs(c - round(c)) < 1e-5 else c
    names = trial.names(c) if c else ["0"]
    what = {"term": f"the term {label}", "path": f"the {label}", "use": label}[how]
    text = f"in {name} {what} has the coefficient {names[0] if names else number(c)}, not 1"
    do = f"multiply its gradient by {number(1 / c)}" if c else ""
    if c == 0:
        text, do = f"{name} lacks {what}: its coefficient is 0", f"add the gradient of {what}"
    elif c == -1:
        text, do = f"in {name} {what} has the wrong sign", f"change the sign of {what}"
    keys = [f"{label}:{m}" for m in names] or [f"{label}~{c:.4e}"]
    cost = (
        2.0 + {"term": 0.0, "use": 0.1, "path": 0.2 + ("past" in label)}[how] + (0 if names else 2)
    )
    return Guess("term", label, text, error, keys, do, cost)


def _slope(point: Point, value: Array, evaluate: Callable[[], Array]) -> Array:
    """∂/∂value of Σ r ∘ y by central differences."""
    n = np.empty(value.shape)
    for i in np.ndindex(value.shape):
        before = value[i].item()
        value[i] = before + H
        above = evaluate()
        value[i] = before - H
        below = evaluate()
        value[i] = before
        n[i] = float((point.r * (above - below)).sum()) / (2 * H)
    return n


def _by_terms(subject: ModelSubject, point: Point, value: Array, x: Any) -> Parts:
    """Each term's gradient times the term's weight in the total."""
    here = subject.objective(x)
    labels = [name for name in here if name != "total"]
    n = {label: np.empty(value.shape) for label in (*labels, "total")}
    for i in np.ndindex(value.shape):
        before = value[i].item()
        value[i] = before + H
        above = subject.objective(x)
        value[i] = before - H
        below = subject.objective(x)
        value[i] = before
        for label, slope in n.items():
            slope[i] = (above[label] - below[label]) / (2 * H)
    total = n.pop("total")
    weights = _weights(subject, x, labels)
    parts = {label: w * n[label] for label, w in zip(labels, weights) if w}
    rest = total - sum(parts.values())
    if np.linalg.norm(rest) > 1e-6 * np.linalg.norm(total):
        parts["(the rest)"] = rest
    return parts


def _weights(subject: ModelSubject, x: Any, labels: list[str]) -> list[float]:
    """The weights in total = Σ wᵢ termᵢ, fitted to the values at several parameters."""
    rng = np.random.default_rng(5)
    params = [p.value for p in subject.params.values()]
    kept = [v.copy() for v in params]
    rows, totals = [], []
    for _ in range(len(labels) + 2):
        for v, before in zip(params, kept):
            v[...] = before * (1 + 0.2 * rng.normal(size=v.shape))
        terms = subject.objective(x)
        rows.append([terms[label] for label in labels])
        totals.append(terms["total"])
    for v, before in zip(params, kept):
        v[...] = before
    A, t = np.array(rows), np.array(totals)
    for some in _subsets(len(labels)):  # the fewest terms that explain the total
        w, *_ = np.linalg.lstsq(A[:, some], t, rcond=None)
        if np.linalg.norm(A[:, some] @ w - t) < 1e-9 * np.linalg.norm(t):
            full = [0.0] * len(labels)
            for i, c in zip(some, w):
                full[i] = float(c)
            return full
    return [1.0] * len(labels)


def _subsets(n: int) -> Iterator[list[int]]:
    """The non-empty subsets of n indices, the smallest first."""
    import itertools

    for k in range(1, n + 1):
        for some in itertools.combinations(range(n), k):
            yield list(some)


def _parts(module: Any) -> Iterator[tuple[str, Any]]:
    """The parts whose output can be held fixed, by name: two levels deep."""
    for name, part in getattr(module, "children", {}).items():
        if hasattr(part, "forward") and hasattr(part, "backward"):
            yield name, part
        elif hasattr(part, "children"):
            for inner, deeper in part.children.items():
                if hasattr(deeper, "forward"):
                    yield inner, deeper


def _calls(part: Any, point: Point) -> list[tuple[int | None, str]]:
    """The calls of a part in one pass, each with its label; None stands for a single call."""
    outputs = _outputs(part, point)
    if len(outputs) < 2:
        return [(None, "")] if outputs else []
    return [(i, f" (its pass {i + 1})") for i in range(len(outputs))]


def _outputs(part: Any, point: Point) -> list[Any]:
    """What a part returns in one pass at the point, call by call."""
    outputs: list[Any] = []
    forward = part.forward

    def record(*args: Any) -> Any:
        out = forward(*args)
        outputs.append(out)
        return out

    part.forward = record
    try:
        point.evaluate()
    finally:
        del part.__dict__["forward"]
    return outputs


@contextmanager
def _frozen(part: Any, point: Point, call: int | None) -> Iterator[None]:
    """The part returns its outputs at the point whatever its input is: at one call, or at all."""
    outputs, forward, count = _outputs(part, point), part.forward, 0

    def frozen(*args: Any) -> Any:
        nonlocal count
        here = count % len(outputs)
        count += 1
        return outputs[here] if call in (None, here) else forward(*args)

    part.forward = frozen
    try:
        yield
    finally:
        del part.__dict__["forward"]


def _uses(subject: Subject, key: str) -> list[tuple[str, Any]]:
    """The layers that use this parameter, by name."""
    if not isinstance(subject, (LayerSubject, ModelSubject)) or key not in subject.params:
        return []
    p = subject.params[key]
    found: list[tuple[str, Any]] = []

    def visit(label: str, module: Any) -> None:
        own = [v for v in vars(module).values() if v is p]
        borrowed = [
            v for v in vars(module).values() if hasattr(v, "params") and not _child(module, v)
        ]
        if own or any(p in list(b.params.values()) for b in borrowed):
            found.append((label, module))
        for name, child in getattr(module, "children", {}).items():
            visit(f"{label}.{name}" if label else name, child)

    visit("", subject.module)
    return found


def _child(module: Any, part: Any) -> bool:
    return any(part is c for c in getattr(module, "children", {}).values())


def _by_uses(subject: Any, point: Point, value: Array, users: list[tuple[str, Any]]) -> Parts:
    """The part of the gradient that each layer using a shared matrix contributes."""
    parts = {}
    base = value.copy()
    for label, user in users:
        forward = user.forward

        def frozen(*args: Any, forward: Any = forward) -> Any:
            moved = value.copy()
            value[...] = base
            out = forward(*args)
            value[...] = moved
            return out

        user.forward = frozen
        try:
            rest = _slope(point, value, point.evaluate)
        finally:
            del user.__dict__["forward"]
        parts[f"the tied matrix's path through {label}"] = rest
    whole = _slope(point, value, point.evaluate)
    return {label: whole - rest for label, rest in parts.items()}
