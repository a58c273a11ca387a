"""A forgotten path: n − a is (d·t·slope) Wᵀ, with named arrays and what backward computes in passing.

In h = (1 − z) h₋ + z n the gate z reads h₋ too, so dh₋ has a term (dz·z·(1 − z)) Wzᵀ. One that was
left out is a product of a matrix with up to three arrays, entry by entry.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.factors import multiplier
from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, residual
from tinyae.gradcheck.doctor.trial import Trial
from tinyae.param import Array

_MOST = 4000  # products of one shape
_LARGEST = 2_000_000  # numbers in all of them


def paths(
    name: str, a: Array, n: Array, trial: Trial, tensors: dict[str, Array]
) -> Iterator[Guess]:
    """n − a = c T, c T W, c T Wᵀ, c Uᵀ T or c Tᵀ U, with T a product of named arrays."""
    if n.ndim not in (1, 2) or not np.isfinite(n).all():
        return
    gap = np.atleast_2d((n - a).T).T
    z = np.cos(np.arange(1.0, gap.shape[1] + 1))
    gz = gap @ z
    size = float(np.linalg.norm(gz))
    if size < 1e-9 * float(np.linalg.norm(n)):
        return
    yield from _of_a_mean(name, n - a, trial, tensors)
    plain: dict[str, Array] = {}
    for k, t in tensors.items():
        if t.ndim == 2 and not any(t.shape == u.shape and (t == u).all() for u in plain.values()):
            plain[k] = t
    for shape in dict.fromkeys(t.shape for t in plain.values()):
        same = {k: t for k, t in plain.items() if t.shape == shape}
        labels, stack = _products(same, "dy" in tensors)
        if not labels:
            continue
        for form, W, images in _images(stack, gap, z, plain):
            with np.errstate(all="ignore"):
                c = images @ gz / (images * images).sum(axis=1)
                far = np.linalg.norm(gz - c[:, None] * images, axis=1) / size
            for i in np.flatnonzero(far < EXACT)[:3]:
                said = multiplier(trial, float(c[i]))
                if (
                    said is None
                    or residual(gap, c[i] * _whole(form, stack[i], plain.get(W))) > EXACT
                ):
                    continue
                there = {"T": labels[i], "Tᵀ": f"{labels[i]}ᵀ", "W": W, "Wᵀ": f"{W}ᵀ"}
                term = said[0] + " ".join(there[part] for part in form.split())
                text = f"{name} lacks the term {term}: a path to it is forgotten, or enters wrongly"
                keys = [f"path:{form}:{labels[i]}:{W}:{k}" for k in said[1]]
                cost = 2.8 + 0.1 * labels[i].count("·") + (0.5 if said[0] not in ("", "−") else 0)
                yield Guess("missing_term", term, text, float(far[i]), keys, f"add {term}", cost)


def _of_a_mean(name: str, gap: Array, trial: Trial, tensors: dict[str, Array]) -> Iterator[Guess]:
    """n − a = Xᵀ (v · slope(h)), v the same for every row: a function of the mean of h is forgotten."""
    if gap.ndim != 2 or len(gap) < 3:
        return
    for h, t in tensors.items():
        if t.ndim != 2 or t.shape[1] != gap.shape[1] or h.startswith("d"):
            continue
        for x, X in tensors.items():
            if X.ndim != 2 or len(X) != len(t) or X.shape[1] != len(gap) or x == h:
                continue
            for slope, s in itertools.islice(_slopes(h, t), 2):
                M = X.T @ s
                with np.errstate(all="ignore"):
                    v = (M * gap).sum(axis=0) / (M * M).sum(axis=0)
                if not np.isfinite(v).all() or residual(gap, M * v) > EXACT:
                    continue
                text = (
                    f"{name} lacks a term {x}ᵀ ({slope} · v) with v the same for every row: what a "
                )
                text += f"penalty on the mean of {h} hands back (a sparsity term) is forgotten"
                do = f"add its derivative by the mean, divided by the rows, to the error of {h}"
                key = [f"of a mean:{x}:{h}"]
                yield Guess("missing_term", f"mean of {h}", text, 0.0, key, do, 2.9)
                return


def _products(same: dict[str, Array], upstream: bool) -> tuple[list[str], Array]:
    """d · t · slope(u) of arrays of one shape. d is a gradient, by its name, or any where there is no
    dy; t and u are no gradients.
    """
    labels: list[str] = []
    values: list[Array] = []
    seeds = {k: t for k, t in same.items() if not upstream or k.startswith("d")}
    room = _LARGEST // max(next(iter(same.values())).size, 1)
    same = {k: t for k, t in same.items() if k not in seeds or not upstream}
    slopes = [pair for k, t in same.items() for pair in _slopes(k, t)]
    for d, s in seeds.items():
        for (k, t), (m, slope) in itertools.product([("", None), *same.items()], slopes):
            if k == d or len(labels) >= min(_MOST, room):
                continue
            labels.append(f"({d}{'·' + k if k else ''}·{m})")
            values.append(s * slope if t is None else s * t * slope)
    return labels, np.array(values)


def _slopes(k: str, t: Array) -> Iterator[tuple[str, Array]]:
    yield f"{k}·(1 − {k})", t * (1 - t)
    yield f"(1 − {k}²)", 1 - t * t
    yield k, t
    yield f"(1 − {k})", 1 - t
    yield f"[{k} > 0]", (t > 0).astype(float)


def _images(
    stack: Array, gap: Array, z: Array, plain: dict[str, Array]
) -> Iterator[tuple[str, str, Array]]:
    """Each form of a product with each matrix, as far as the shapes agree, applied to z."""
    rows, columns = stack.shape[1:]
    if (rows, columns) == gap.shape:
        yield "T", "", stack @ z
    for k, W in plain.items():
        if rows == len(gap) and W.shape == (columns, gap.shape[1]):
            yield "T W", k, stack @ (W @ z)
        if rows == len(gap) and W.shape == (gap.shape[1], columns):
            yield "T Wᵀ", k, stack @ (W.T @ z)
        if columns == gap.shape[1] and W.shape == (rows, len(gap)):
            yield "Wᵀ T", k, (stack @ z) @ W
        if columns == len(gap) and W.shape == (rows, gap.shape[1]):
            yield "Tᵀ W", k, (W @ z) @ stack


def _whole(form: str, T: Array, W: Array | None) -> Array:
    if W is None:
        return T
    if form == "T W":
        return np.asarray(T @ W)
    if form == "T Wᵀ":
        return np.asarray(T @ W.T)
    return np.asarray(W.T @ T if form == "Wᵀ T" else T.T @ W)
