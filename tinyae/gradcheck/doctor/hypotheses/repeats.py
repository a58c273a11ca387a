"""What functions and objects keep from call to call, and how gradients of two calls compare."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.findings import Finding
from tinyae.gradcheck.doctor.subjects import FunctionSubject, LayerSubject, ModelSubject
from tinyae.gradcheck.doctor.subjects.base import GIVEN, REDRAWN
from tinyae.gradcheck.doctor.trial import Point

Grads = dict[str, Any]
AFTER_A_STEP = "is right in the first pass and wrong in the next"


def function_repeats(
    subject: FunctionSubject, point: Point, names: dict[str, str]
) -> Iterator[Finding]:
    """Whether backward gives the same at every call, and after a call at other inputs."""
    inputs, r = point.tensors, point.r
    first = subject.gradients(r, inputs)
    second = subject.gradients(r, inputs, restored=False)
    slack, kept = slack_of(first), ", ".join(subject.kept.changed)
    where = f": what it keeps in {kept} is never cleared" if kept else ""
    for key, g in first.items():
        if not real(g) or not np.isfinite(g).all() or same(g, second[key], slack):
            continue
        name, c = names[key], _ratio(g, second[key])
        if c is not None:
            text = f"{name} grows from call to call: a second call returns {c:.3g} times the first"
            do = "compute the gradient of this call alone, in an array that is made anew"
            yield Finding(name, "not_cleared", kept or name, text + where, do)
        else:
            text = f"two calls of backward with the same arguments give different {name}: noise is "
            text += "drawn anew in backward"
            do = "draw it once, before forward or in it, and hand it on to backward"
            yield Finding(name, "noise", name, text, do)
        return
    if not subject.kept.changed:
        return
    try:
        subject.gradients(r, subject.drawn(REDRAWN))
        third = subject.gradients(r, inputs, restored=False)
    except ValueError:  # there are no other inputs of this size
        return
    for key, g in first.items():
        if real(g) and np.isfinite(g).all() and not same(g, third[key], slack):
            text = f"{names[key]} depends on an earlier call: {kept} is kept from the first and "
            text += "used again for other inputs"
            yield Finding(names[key], "stale_cache", kept, text, "compute it anew in each call")
            return


def _ratio(a: Any, b: Any) -> float | None:
    """c if b = c a, else None."""
    if not real(b) or np.shape(a) != np.shape(b) or not np.any(a):
        return None
    c = float((a * b).sum() / (a * a).sum())
    return c if same(c * np.asarray(a), b) else None


def next_step(
    subject: LayerSubject | ModelSubject, point: Point, grads: Grads, names: dict[str, str]
) -> Iterator[Finding]:
    """Whether the gradients are the same after a pass at another input, as in a training."""
    stepped, earlier = subject.after_step()
    now = stepped.point(GIVEN)
    if not np.allclose(now.y, point.y, rtol=1e-9, atol=1e-12):
        return  # what is kept is part of the function, and the gradient may depend on it too
    found = now.analytic(point.r)
    for key, g in grads.items():
        if not real(g) or not np.isfinite(g).all() or same(g, found[key], slack_of(grads)):
            continue
        name, old = names[key], earlier.get(key)
        added = real(old) and real(found[key]) and np.shape(found[key]) == np.shape(g)
        text = f"{name} {AFTER_A_STEP}: "
        if added and _ratio(np.asarray(old), np.asarray(found[key]) - g) is not None:
            text += (
                "a sum that is kept on the object is never cleared, so earlier passes count again"
            )
            do = f"add the gradient of this pass alone to {key}.grad"
            yield Finding(name, "not_cleared", name, text, do)
        else:
            text += "something of the first pass is kept on the object and not replaced"
            do = "return what backward needs as the cache, and read it from there"
            yield Finding(name, "stale_cache", name, text, do)
        return


def same(a: Any, b: Any, slack: float = 0.0) -> bool:
    """Whether two gradients agree up to rounding."""
    if a is None or b is None:
        return a is b
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype.kind not in "fiu" or b.dtype.kind not in "fiu":
        return False
    top = max(float(np.abs(a).max(initial=0)), float(np.abs(b).max(initial=0)))
    if math.isfinite(top):
        return bool((np.abs(a - b) <= 1e-9 * top + slack).all())
    return bool(np.allclose(a, b, rtol=0, atol=1e-9 + slack, equal_nan=True))


def nearly(a: Any, b: Any) -> bool:
    """Whether two gradients agree as far as float32 goes."""
    top = max(float(np.abs(a).max(initial=0)), float(np.abs(b).max(initial=0)))
    return np.shape(a) == np.shape(b) and bool((np.abs(a - b) <= 1e-5 * top).all())


def slack_of(grads: Grads) -> float:
    """How far rounding may move a gradient that is zero, from the largest gradient's size."""
    sizes = [float(np.abs(g).max(initial=0)) for g in grads.values() if real(g)]
    return 1e-12 * max((s for s in sizes if np.isfinite(s)), default=0.0)


def real(g: Any) -> bool:
    return isinstance(g, np.ndarray) and g.dtype.kind in "fiu"
