"""The gradient doctor: not only that a gradient is wrong, but how, and where to look.

``diagnose`` measures every gradient and, where one does not pass, tests hypotheses: exact
relations between the analytic and the numeric gradient, those with the fewest free parameters
first. One is believed if it holds to 1e-6, again at a second draw, and again at a second batch size:
so that a factor 1/35 at 5 rows of 7 numbers, which is 1/21 at 3 rows, can only be 1/(N·D). What
fits nothing is called unknown. It does not guess.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.gradcheck.diagnosis import Diagnosis, Wrong
from tinyae.gradcheck.diagnosis_case import Case
from tinyae.gradcheck.diagnosis_function import FunctionSubject
from tinyae.gradcheck.diagnosis_subjects import (
    LayerSubject,
    LossSubject,
    ModelSubject,
    Subject,
)
from tinyae.gradcheck.diagnosis_tangent import TangentSubject, has_tangent
from tinyae.gradcheck.diagnosis_trial import Pair, Point, Trial
from tinyae.gradcheck.diagnosis_words import fault, told, unknown
from tinyae.gradcheck.hypotheses import arrays
from tinyae.gradcheck.hypotheses import tensors as with_tensors
from tinyae.gradcheck.hypotheses.products import products
from tinyae.gradcheck.hypotheses.shapes import malformed
from tinyae.gradcheck.hypotheses.summands import summands
from tinyae.param import Array

Rng = np.random.Generator | int


def diagnose(
    subject: Any,
    x: Any,
    *,
    rng: Rng = 0,
    target: Any = None,
    backward: Callable[..., Any] | None = None,
    wrt: str | tuple[str, ...] | None = None,
    upstream: bool = True,
    tensors: Any = None,
    sizes: dict[str, int] | None = None,
    draw: Callable[..., Any] | None = None,
    reference: Any = None,
) -> Diagnosis:
    """What is right, what is wrong, and how: of a layer, a loss, a model or a function.

    subject     a layer (``forward``, ``backward``, ``params``), a loss (``L, dy = loss(y, target)``),
                a model (``objective``, ``backprop``), or a function f with a ``backward``
    x           its input; of a function an array or a dict of named arrays, in f's order; of a
                model what ``backprop`` takes
    target      of a loss
    backward    of a function: ``backward(dy, *inputs)`` → an array, a tuple, or a dict by name
    wrt         the inputs whose gradients it returns, in its order; default: all, or the first
    upstream    False if ``backward`` takes no dy: f then gives one number
    tensors     named tensors of the forward pass, or a function of the inputs that gives them
    sizes       names of lengths, ``{"N": 5, "D": 7}``, in which factors are told
    draw        ``draw(rng, n)`` → inputs of n rows, for the second draw and the second size
    reference   a right twin, whose source is varied until it is as wrong: that names the line

    A float64 copy is examined; the subject itself is left alone. Wrong answers of whatever kind (None, a
    list, NaN, an exception) give a finding, never an exception.

    Raises
        ValueError  x is empty or not finite
        TypeError   the subject is none of these
    """
    rng = np.random.default_rng(rng)
    _check_input(x)
    case = _subject(subject, x, rng, target, backward, wrt, upstream, tensors, draw)
    if isinstance(case, list):
        return _joined(subject, [Case(part, reference, sizes).diagnose() for part in case])
    told = Case(case, reference, sizes).diagnose()
    if told.ok and isinstance(case, LayerSubject) and has_tangent(case.module):
        second = _tangent(subject, x, rng, reference, sizes)
        if not second.ok:
            second.right = told.right + second.right
            return second
    return told


def _tangent(layer: Any, x: Any, rng: np.random.Generator, reference: Any, sizes: Any) -> Diagnosis:
    """A layer whose backward is right has a second one to be right: that of its tangent."""
    subject = TangentSubject(layer, x, rng)
    try:
        subject.tangent(subject.input(0), subject.input(0))
    except NotImplementedError:  # it is made of parts of which one has none
        return Diagnosis(subject.title)
    return Case(subject, reference, sizes).diagnose()


def _check_input(x: Any) -> None:
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, tuple) else (x,)
    for a in parts:
        a = np.asarray(a)
        if a.dtype.kind not in "fiub" or not a.size or not np.isfinite(a).all():
            what = "is empty" if not a.size else "has a NaN or an infinity, or is no number"
            raise ValueError(
                f"diagnose: x of shape {a.shape} {what}, expected finite numbers; "
                "pass e.g. rng.normal(size=(5, 3))"
            )


def _subject(
    subject: Any,
    x: Any,
    rng: np.random.Generator,
    target: Any,
    backward: Any,
    wrt: Any,
    upstream: bool,
    tensors: Any,
    draw: Any,
) -> Subject | list[Subject]:
    if backward is not None:
        more: dict[str, Any] = {"wrt": wrt, "upstream": upstream, "tensors": tensors}
        return FunctionSubject(subject, x, backward, rng, draw=draw, **more)
    if target is not None:
        return LossSubject(subject, x, target, rng)
    if isinstance(subject, type):
        raise TypeError(
            f"diagnose: the subject is the class {subject.__name__}, expected an object of it; "
            f"pass {subject.__name__}(…)"
        )
    if hasattr(subject, "backprop") and hasattr(subject, "objective"):
        players = tuple(getattr(subject, "players", ()))
        if len(players) > 1:
            return [ModelSubject(player, x, rng) for player in players]
        return ModelSubject(subject, x, rng)
    if hasattr(subject, "forward") and hasattr(subject, "backward"):
        return LayerSubject(subject, x, rng)
    raise TypeError(
        f"diagnose: the subject is {subject!r}, expected a layer, a model, a loss (with target=…) or a "
        "function (with backward=…)"
    )


def _joined(subject: Any, parts: list[Diagnosis]) -> Diagnosis:
    """The players' diagnoses as one."""
    whole = Diagnosis(type(subject).__name__)
    for part in parts:
        whole.findings += part.findings
        whole.remarks += part.remarks
        whole.right += part.right
        whole.faults += part.faults
        whole.map = whole.map or part.map
        whole.ruled_out += [r for r in part.ruled_out if r not in whole.ruled_out]
    return whole


def diagnose_arrays(
    analytic: Any,
    numeric: Array,
    *,
    name: str = "dW",
    sizes: dict[str, int] | None = None,
    axes: tuple[str, ...] | None = None,
    tensors: dict[str, Array] | None = None,
) -> Diagnosis:
    """How one gradient relates to another that is right: from the two arrays alone.

    ``axes`` names the axes of ``numeric`` ("O", "I"), ``sizes`` the lengths; ``tensors`` of the forward
    pass, with dy, let factors and terms be named. With one draw alone nothing can be confirmed, so
    pass sizes that are pairwise different, and prime.
    """
    n = np.asarray(numeric, np.float64)
    size = dict(sizes or {})
    if axes is not None:
        size.update(zip(axes, n.shape))
    title = f"{name} {n.shape}"
    first = malformed(name, analytic, n, size)
    if first is not None:
        return Diagnosis(title, [told(name, first)], faults=[Wrong(name, n.shape)])
    a = np.asarray(analytic, np.float64)
    seen = np.isfinite(n)
    top = max(float(np.linalg.norm(a[seen])), float(np.linalg.norm(n[seen])))
    if float(np.linalg.norm((a - n)[seen])) <= 1e-6 * top:
        return Diagnosis(title, right=[name])
    point = Point({name: a}, lambda: n, lambda r: {}, n, np.ones(1), size)
    trial = Trial(point, {name: Pair(name, a, n, False)})
    guesses = list(arrays.simple(name, a, n, trial))
    if not guesses and tensors:
        named = {k: np.asarray(t, np.float64) for k, t in tensors.items()}
        for family in (with_tensors.factors, products, summands):
            guesses += family(name, a, n, trial, named)
    guesses.sort(key=lambda g: g.free)
    weak = [*arrays.partial(name, a, n, trial), *arrays.invariant(name, a, n, trial)]
    guesses = guesses or sorted(weak, key=lambda g: g.free)
    found = told(name, guesses[0]) if guesses else unknown(name)
    if len(guesses) > 1 and guesses[1].free < guesses[0].free + 0.02:
        found.also = guesses[1].message
    map_ = "" if guesses else arrays.error_map(a, n)
    return Diagnosis(title, [found], faults=[fault(name, a, n)], map=map_)
