"""Operands, found with the named tensors: the gradient as a product or a sum of them.

dW = dyᵀ x, db = Σ dy: if the gradient is one such expression and the numeric gradient is another,
the two expressions show the mistake.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.factors import functions
from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, residual
from tinyae.gradcheck.doctor.trial import Trial
from tinyae.param import Array


def products(
    name: str, a: Array, n: Array, trial: Trial, tensors: dict[str, Array]
) -> Iterator[Guess]:
    """a is one product or sum of named arrays and n another: wrong operands, or a wrong axis."""
    if not np.isfinite(n).all():
        return
    pool = _matrices(tensors) if n.ndim in (1, 2) else {}
    stacks = _stacked(pool)
    forms: tuple[Callable[[Array], tuple[str, str] | None], ...] = (
        lambda g: _as_product(g, pool, stacks),
        lambda g: _as_sum(g, tensors),
        lambda g: _as_running_sum(g, tensors),
        lambda g: _as_windows(g, tensors),
    )
    mine = next((found for form in forms if (found := form(a))), None)
    right = mine and next((found for form in forms if (found := form(n))), None)
    if mine and right is None and mine[0].startswith("Σ"):
        right = _as_long_sum(n, tensors)
    if mine is None or right is None or mine == right:
        yield from _missing(name, a, n, pool)
        return
    kind, do = "operands", f"compute {right[0]}"
    if right[1] == mine[1] and right[0].startswith("Σ"):
        kind = "wrong_axis" if mine[0].startswith("Σ") else "missing_sum"
    text = f"{name} is {mine[0]}; it should be {right[0]}"
    keys = [f"{mine[0]}|{right[0]}"]
    yield Guess(kind, f"{mine[0]} for {right[0]}", text, 0.0, keys, do, 2.5)


def _missing(name: str, a: Array, n: Array, pool: dict[str, Array]) -> Iterator[Guess]:
    """n − a is a product of two matrices: a path to the tensor, or a use of it, is forgotten."""
    if not pool or n.ndim != 2:
        return
    pool = _with_products(pool)
    stacks = _stacked(pool)
    for sign, gap in ((1, n - a), (-1, a - n)):
        found = _as_product(gap, pool, stacks)
        if found is None:
            continue
        if sign > 0:
            text = f"{name} lacks the term {found[0]}: a second path, or use, of it is forgotten"
            yield Guess("missing_term", found[0], text, 0.0, [found[0]], f"add {found[0]}", 2.6)
        else:
            text = f"{name} has the term {found[0]} too many"
            yield Guess("term", found[0], text, 0.0, [f"-{found[0]}"], f"take {found[0]} out", 2.6)
        return


_MOST_PRODUCTS = 120


def _with_products(pool: dict[str, Array]) -> dict[str, Array]:
    """The pool and products of two plain matrices of it, also times a slope where the shapes agree."""
    plain = {k: t for k, t in pool.items() if "·" not in k}
    shapes = {t.shape for t in plain.values()}
    made = dict(pool)
    for (k, s), (m, t) in itertools.permutations(plain.items(), 2):
        for label, u, v in ((f"{k} {m}", s, t), (f"{k} {m}ᵀ", s, t.T)):
            if u.shape[1] != v.shape[0] or len(made) > len(pool) + _MOST_PRODUCTS:
                continue
            shape = (u.shape[0], v.shape[1])
            if shape not in shapes:
                continue
            value = u @ v
            made.setdefault(f"({label})", value)
            for h, z in plain.items():
                if z.shape == shape:
                    for slope, factor in (
                        (f"{h}·(1 − {h})", z * (1 - z)),
                        (f"(1 − {h}²)", 1 - z * z),
                    ):
                        made.setdefault(f"({label}·{slope})", value * factor)
    return made


def _matrices(tensors: dict[str, Array]) -> dict[str, Array]:
    """The named matrices, and products of one with a simple function of another."""
    plain = {k: t[:, None] if t.ndim == 1 else t for k, t in tensors.items() if t.ndim in (1, 2)}
    made = dict(plain)
    with np.errstate(all="ignore"):
        for (k, s), (m, t) in itertools.permutations(plain.items(), 2):
            if s.shape != t.shape or len(made) > 300:
                continue
            for label, value in itertools.islice(functions(m, t), 9):
                if "/" not in label and np.isfinite(value).all():
                    made.setdefault(f"({k}·{label})", s * value)
    return made


def _as_product(
    g: Array, pool: dict[str, Array], stacks: Stacks | None = None
) -> tuple[str, str] | None:
    """g as Uᵀ V, U V or U Vᵀ of two named matrices."""
    if g.ndim not in (1, 2) or not pool:
        return None
    g = g[:, None] if g.ndim == 1 else g
    w, z = (np.cos(np.arange(1.0, n + 1)) for n in g.shape)
    gz = g @ z
    size = float(np.linalg.norm(gz))
    if size == 0:
        return None
    seen, near = float(w @ gz), EXACT * size * float(np.linalg.norm(w))
    stacks = _stacked(pool) if stacks is None else stacks
    rows, columns = ({first: _images(stacks, v, first) for first in (True, False)} for v in (w, z))
    for form in ("Uᵀ V", "U V", "U Vᵀ"):
        left, right = rows[form != "Uᵀ V"], columns[form == "U Vᵀ"]
        found = []
        for m, (us, lefts) in left.items():
            if m in right:  # one number of each product tells almost all of them from g
                vs, rights = right[m]
                close = np.argwhere(np.abs(lefts @ rights.T - seen) < near)
                found += [(us[i], vs[j]) for i, j in close]
        for u, v in sorted(found, key=lambda pair: (pair[0][0], pair[1][0])):
            U = pool[u[1]].T if form == "Uᵀ V" else pool[u[1]]
            V = pool[v[1]].T if form == "U Vᵀ" else pool[v[1]]
            if residual(g, U @ V) < EXACT:
                return form.replace("U", u[1]).replace("V", v[1]), f"{u[1]},{v[1]}"
    return None


Numbered = tuple[int, str]
Stacks = dict[tuple[int, ...], tuple[list[Numbered], Array]]


def _stacked(pool: dict[str, Array]) -> Stacks:
    """The matrices of the pool, those of one shape side by side, with their numbers and names."""
    found: dict[tuple[int, ...], tuple[list[Numbered], list[Array]]] = {}
    for i, (name, t) in enumerate(pool.items()):
        names, matrices = found.setdefault(t.shape, ([], []))
        names.append((i, name))
        matrices.append(t)
    return {shape: (names, np.array(matrices)) for shape, (names, matrices) in found.items()}


def _images(stacks: Stacks, w: Array, first: bool) -> dict[int, tuple[list[Numbered], Array]]:
    """Each matrix times w, along its first axis or along its last, by the length of the other axis."""
    found: dict[int, tuple[list[Numbered], list[Array]]] = {}
    for (m, n), (names, matrices) in stacks.items():
        if (m if first else n) == len(w):
            known, images = found.setdefault(n if first else m, ([], []))
            known += names
            images.append(w @ matrices if first else matrices @ w)
    return {m: (names, np.concatenate(images)) for m, (names, images) in found.items()}


def _as_windows(g: Array, tensors: dict[str, Array]) -> tuple[str, str] | None:
    """g as the sum, the mean or one entry of each window of a named array, as of an upsampling."""
    for k, t in tensors.items():
        if t.ndim != g.ndim or t.shape == g.shape or not g.ndim or not t.size:
            continue
        sizes = [divmod(m, n) if n else (0, 1) for m, n in zip(t.shape, g.shape)]
        if any(rest for _, rest in sizes):
            continue
        windows = t.reshape([part for (m, _), n in zip(sizes, g.shape) for part in (n, m)])
        within = tuple(range(1, 2 * g.ndim, 2))
        what = " × ".join(str(m) for m, _ in sizes if m > 1)
        for text, value in (
            (f"Σ {k} over windows of {what}", windows.sum(axis=within)),
            (f"mean {k} over windows of {what}", windows.mean(axis=within)),
            (f"the first {k} of windows of {what}", windows[(slice(None), 0) * g.ndim]),
            (f"the last {k} of windows of {what}", windows[(slice(None), -1) * g.ndim]),
        ):
            if residual(g, value) < EXACT:
                return text, k
    return None


def _as_running_sum(g: Array, tensors: dict[str, Array]) -> tuple[str, str] | None:
    """g as the cumulative sum of a named array along an axis, from its start or from its end."""
    for k, t in tensors.items():
        for axis in range(t.ndim) if t.shape == g.shape else ():
            if residual(g, np.cumsum(t, axis)) < EXACT:
                return f"cumsum({k}) from the start of axis {axis}", k
            if residual(g, np.flip(np.cumsum(np.flip(t, axis), axis), axis)) < EXACT:
                return f"cumsum({k}) in reverse, from the end of axis {axis}", k
    return None


def _as_long_sum(g: Array, tensors: dict[str, Array]) -> tuple[str, str] | None:
    """g as a sum over the first axes of dy·t·u·slope(v), as of the parameter of an activation."""
    dy = tensors.get("dy")
    if dy is None or g.ndim >= dy.ndim or dy.shape[dy.ndim - g.ndim :] != g.shape:
        return None
    same = {k: t for k, t in tensors.items() if t.shape == dy.shape and k != "dy"}
    axes = tuple(range(dy.ndim - g.ndim))
    few = list(same.items())[:7]
    for (k, t), (m, u) in itertools.combinations_with_replacement(few, 2):
        for v, z in few:
            for slope, s in ((f"{v}·(1 − {v})", z * (1 - z)), (f"(1 − {v}²)", 1 - z * z)):
                if residual(g, (dy * t * u * s).sum(axis=axes)) < EXACT:
                    return f"Σ dy·{k}·{m}·{slope} over axes {', '.join(map(str, axes))}", k
    return None


def _as_sum(g: Array, tensors: dict[str, Array]) -> tuple[str, str] | None:
    """g as a sum of a named array, or of a product of two, over some axes."""
    if g.ndim > 1 and 1 in g.shape:  # summed with keepdims
        kept = [i for i, m in enumerate(g.shape) if m > 1]
        g = g.reshape([g.shape[i] for i in kept])
    plain = {k: t for k, t in tensors.items() if t.ndim > g.ndim}
    made = dict(plain)
    for (k, s), (m, t) in itertools.combinations(plain.items(), 2):
        if s.shape == t.shape and len(made) < 60:
            made[f"{k}·{m}"] = s * t
            if g.ndim and not np.array_equal(t > 0, t != 0):
                made[f"{k}·{m}·[{m} ≤ 0]"] = s * t * (t <= 0)
                made[f"{k}·{m}·[{m} > 0]"] = s * t * (t > 0)
    for k, t in made.items():
        for axes in itertools.combinations(range(t.ndim), t.ndim - g.ndim):
            total = t.sum(axis=axes)
            if total.shape == g.shape and residual(g, total) < EXACT:
                return (
                    f"Σ {k} over {'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}",
                    k,
                )
    for k, t in made.items():
        for i in (0, -1):
            if t.shape[1:] == g.shape and residual(g, t[i]) < EXACT:
                return f"{k}[{i}]", k
    return None
