"""Norms: a division by ‖v‖ that is missing, or a power of it, as in weight normalisation (dg is
⟨dW, v⟩/‖v‖) and in a gradient penalty (∂‖g‖/∂g is g/‖g‖).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from tinyae.gradcheck.doctor.hypotheses.guess import EXACT, Guess, residual
from tinyae.param import Array


def norms(name: str, a: Array, n: Array, tensors: dict[str, Array]) -> Iterator[Guess]:
    """a = n ‖v‖ᵖ, for a norm over one axis or over all of a named tensor."""
    if not np.isfinite(n).all() or n.size < 1:
        return
    for label, q in _candidates(tensors, n.shape):
        for p, power in ((1, ""), (2, "²"), (-1, ""), (-2, "²")):
            if residual(a, np.asarray(n * q**p)) > EXACT:
                continue
            factor = f"1/{label}{power}" if p > 0 else f"{label}{power}"
            text = f"{name} lacks the factor {factor}: times it, it is the numeric gradient"
            do = f"divide by the norm: {factor}" if p > 0 else f"multiply by the norm: {factor}"
            yield Guess("missing_factor", factor, text, 0.0, [f"norm:{factor}"], do, 0.9)
            return


def _candidates(tensors: dict[str, Array], shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """‖t‖ over all of t and along each axis, where it broadcasts to the shape; of differences, too."""
    known = [(k, t) for k, t in itertools.islice(tensors.items(), 16) if k != "dy"]
    between = [
        (f"{k} − {m}", s - t)
        for (k, s), (m, t) in itertools.combinations(known[:5], 2)
        if s.shape == t.shape and s.ndim
    ]
    for k, t in (*known, *between):
        if t.ndim < 1 or t.size < 2:
            continue
        square = t * t
        yield f"‖{k}‖", np.sqrt(square.sum()).reshape((1,) * len(shape))
        for axis in (i for i in range(t.ndim) if t.ndim > 1 and t.shape[i] > 1):
            kept = np.sqrt(square.sum(axis=axis, keepdims=True))
            for q in (kept, kept.squeeze(axis), kept.squeeze(axis)[..., None]):
                fits = q.ndim == len(shape) and all(m in (1, s) for m, s in zip(q.shape, shape))
                if fits and np.all(q > 0) and q.size > 1:
                    yield f"‖{k}‖ (along axis {axis})", q
                    break
