"""The gradient doctor: it says not only that a gradient is wrong, but how, and where to look.

``diagnose`` measures every gradient. For one that does not pass it tests hypotheses: exact
relations between the analytic and the numeric gradient, those with the fewest free parameters
first. A relation is accepted if it holds to 1e-6 at the given input, at a second draw and at a
second batch size. So a factor that is 1/35 for 5 rows of 7 numbers and 1/21 for 3 rows can only be
1/(N·D). If no relation holds, the finding is "unknown": the doctor does not guess.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.arguments import generator
from tinyae.arrays import real
from tinyae.gradcheck.doctor.examination import Examination
from tinyae.gradcheck.doctor.findings import Diagnosis, Finding, WrongGradient
from tinyae.gradcheck.doctor.hypotheses import arrays, invariants
from tinyae.gradcheck.doctor.hypotheses.factors import factors
from tinyae.gradcheck.doctor.hypotheses.products import products
from tinyae.gradcheck.doctor.hypotheses.shapes import malformed
from tinyae.gradcheck.doctor.hypotheses.summands import summands
from tinyae.gradcheck.doctor.subjects import (
    FunctionSubject,
    LayerSubject,
    LossSubject,
    ModelSubject,
    StatefulSubject,
    Subject,
    TangentSubject,
    framework_subject,
    has_tangent,
    keeps_its_input,
)
from tinyae.gradcheck.doctor.subjects.forms import flattened
from tinyae.gradcheck.doctor.trial import Pair, Point, Trial
from tinyae.gradcheck.doctor.wording import finding_from, unknown, wrong_gradient
from tinyae.gradcheck.replay import as_double
from tinyae.gradcheck.trained import layer_rows, model_rows
from tinyae.param import Array
from tinyae.twin import definitions_only

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
    """Say which gradients of a layer, a loss, a model or a function are wrong, and how.

    subject     a layer (``forward``, ``backward``, ``params``), a loss (``L, dy = loss(y, target)``),
                a model (``objective``, ``backprop``), a function f with a ``backward``, a function
                that returns ``L, gradients``, a ``torch.autograd.Function``, a ``jax.custom_vjp``, an
                object with ``y = forward(x)`` and ``dx = backward(dy)``
    x           its input: for a function an array, a tuple, or a dict of named inputs, in the order
                of f's arguments, among which may be modes; for a model what ``backprop`` takes
    target      the target of a loss
    backward    for a function: ``backward(dy, *inputs)`` → an array, a tuple, or a dict by name; where
                f returns ``y, cache``, ``backward(dy, cache)``; where it returns a number,
                ``backward(*inputs)``
    wrt         the inputs whose gradients backward returns, in that order; default: all, or the
                first if it returns one array
    upstream    False if ``backward`` takes no dy; f then returns one number
    tensors     named tensors of the forward pass, or a function of the inputs that returns them
    sizes       names of lengths, ``{"N": 5, "D": 7}``, by which factors are described
    draw        ``draw(rng, n)`` → inputs of n rows, for the second draw and the second batch size
    reference   a correct version; its source is varied until it is wrong in the same way, which
                shows the line

    A float64 copy is examined; the subject itself is not changed. Any wrong answer (None, a list,
    NaN, an exception) becomes a finding, never an exception.

    Raises
        ValueError  x is empty or not finite
        TypeError   the subject is none of these
    """
    rng = generator("diagnose", rng)
    _check_input(x)
    noise = copy.deepcopy(rng)
    with definitions_only():
        examined = _subject(subject, x, rng, target, backward, wrt, upstream, tensors, draw)
        if isinstance(examined, list):
            players = [Examination(part, reference, sizes).diagnose() for part in examined]
            return _joined(subject, players)
        diagnosis = Examination(examined, reference, sizes).diagnose()
        if diagnosis.ok and isinstance(examined, LayerSubject) and has_tangent(examined.module):
            second_order = _tangent(subject, x, rng, reference, sizes)
            if not second_order.ok:
                second_order.right = diagnosis.right + second_order.right
                return second_order
    if diagnosis.ok and isinstance(examined, (LayerSubject, ModelSubject)):
        diagnosis.findings += _wrong_twin(subject, x, noise)
    return diagnosis


def _wrong_twin(subject: Any, x: Any, rng: np.random.Generator) -> list[Finding]:
    """A finding if what trains differs from the definition, which is known to be right."""
    double = as_double(subject)
    rows = (
        model_rows(subject, double, x, rng)
        if hasattr(subject, "backprop")
        else layer_rows(subject, double, x)
    )
    return [
        Finding(
            "as trained",
            "twin",
            message=f"the definition is right, but its faster twin is not: {row.remark}",
            do="look at the twin in tinyae.fusion and its kernel, or train with definitions_only()",
        )
        for row in rows
        if row.verdict != "pass"
    ]


def _tangent(layer: Any, x: Any, rng: np.random.Generator, reference: Any, sizes: Any) -> Diagnosis:
    """The diagnosis of a layer's tangent, once its backward is known to be right."""
    subject = TangentSubject(layer, x, rng)
    try:
        subject.tangent(subject.input(0), subject.input(0))
    except NotImplementedError:  # one of its parts has no tangent
        return Diagnosis(subject.title)
    return Examination(subject, reference, sizes).diagnose()


def _check_input(x: Any) -> None:
    row = isinstance(x, tuple) or (isinstance(x, list) and any(np.ndim(a) for a in x))
    for a in x.values() if isinstance(x, dict) else x if row else (x,):
        if a is None or isinstance(a, (str, dict)) or callable(a):  # a mode, an option
            continue
        a = real("diagnose: x", a)
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
    """The subject in the doctor's interface; one for each player of a game."""
    custom = framework_subject(subject, x, rng, wrt=wrt, tensors=tensors, draw=draw)
    if custom is not None:
        return custom
    if target is None and not hasattr(subject, "backprop") and keeps_its_input(subject, backward):
        return StatefulSubject(subject, x, backward, rng, wrt=wrt, tensors=tensors, draw=draw)
    if backward is not None or (target is None and inspect.isfunction(subject)):
        more: dict[str, Any] = {"wrt": wrt, "upstream": upstream, "tensors": tensors}
        if backward is None:
            subject, x = flattened(subject, x)
        function = FunctionSubject(subject, x, backward, rng, draw=draw, **more)
        if function.form == "unknown":
            raise TypeError(
                f"diagnose: {function.title} comes without a backward; pass backward=…, or a function "
                "that returns a number and its gradients"
            )
        return function
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
    """One diagnosis from those of a game's players."""
    whole = Diagnosis(type(subject).__name__)
    for part in parts:
        whole.findings += part.findings
        whole.remarks += part.remarks
        whole.right += part.right
        whole.faults += part.faults
        whole.map = whole.map or part.map
        whole.untried += [r for r in part.untried if r not in whole.untried]
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
    """Say how one gradient differs from a correct one, from the two arrays alone.

    ``axes`` names the axes of ``numeric`` ("O", "I") and ``sizes`` the lengths. With ``tensors`` of
    the forward pass and dy, factors and terms can be named. A single draw cannot confirm a
    relation, so use lengths that are pairwise different primes.
    """
    n = np.asarray(numeric, np.float64)
    size = dict(sizes or {})
    if axes is not None:
        size.update(zip(axes, n.shape))
    title = f"{name} {n.shape}"
    first = malformed(name, analytic, n, size)
    if first is not None:
        return Diagnosis(title, [finding_from(name, first)], faults=[WrongGradient(name, n.shape)])
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
        for family in (factors, products, summands):
            guesses += family(name, a, n, trial, named)
    guesses.sort(key=lambda g: g.free)
    vague = [*arrays.partial(name, a, n, trial), *invariants.shift_invariant(name, a, n)]
    guesses = guesses or sorted(vague, key=lambda g: g.free)
    found = finding_from(name, guesses[0]) if guesses else unknown(name)
    if len(guesses) > 1 and guesses[1].free < guesses[0].free + 0.02:
        found.also = guesses[1].message
    map_ = "" if guesses else arrays.error_map(a, n)
    return Diagnosis(title, [found], faults=[wrong_gradient(name, a, n)], map=map_)
