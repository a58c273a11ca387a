"""``explain``: run a copy once, forward and back, and say what happened."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tinyae.arguments import generator
from tinyae.arrays import check_real
from tinyae.data.batches import rows
from tinyae.explanation.docstring_sections import sections, summary
from tinyae.explanation.provenance import Provenance
from tinyae.explanation.record import PENALTIES, Call, Recorder, recorded
from tinyae.explanation.result import Explanation, Gradient, Step
from tinyae.explanation.steps import call_name, steps_of
from tinyae.gradcheck.replay import as_double
from tinyae.layers import Layer
from tinyae.models import Model
from tinyae.models.base import cast
from tinyae.models.gan import Player
from tinyae.param import Array, unique
from tinyae.twin import definitions_only

_ROWS = 16  # samples that are enough for an explanation


def explain(subject: Layer | Model, x: Any, rng: int | np.random.Generator = 0) -> Explanation:
    """Walk forward and backward once through a layer or a model, and say what each part did.

    subject   a layer, or a model; it is left as it is: a float64 copy runs
    x         a batch as the subject takes it; only the first 16 samples are used
    rng       for the noise of a model, and for the upstream gradient dy of a layer, which is
              drawn from N(0, 1) as in a gradient check

    The result has for every step the equations of the docstrings, shapes, a few numbers, norms, and
    the origin of every factor. ``print`` it, or write ``.latex()`` to a file.

    Raises
        TypeError   the subject is neither a layer nor a model, or x is not an array
        ValueError  x does not fit the subject
    """
    if not isinstance(subject, (Layer, Model)):
        raise TypeError(
            f"explain: the subject is {_kind(subject)}, expected a layer or a model; "
            "pass e.g. Dense(4, 3, rng=rng), or one block of a stack"
        )
    for a in x if isinstance(x, tuple) else (x,):
        if not isinstance(a, np.ndarray) or not a.ndim or not len(a):
            got = f"an array of shape {a.shape}" if isinstance(a, np.ndarray) else _kind(a)
            raise TypeError(
                f"explain: x is {got}, expected an array whose first axis counts the samples, or "
                "a tuple of such; pass np.asarray(…, np.float32)"
            )
        check_real("explain: x", a)
    copied = as_double(subject)
    batch = rows(x, slice(_ROWS))
    if isinstance(copied, Model):
        batch = copied.as_input(batch)
    batch = cast(batch, np.dtype(np.float64))
    noise = generator("explain", rng)
    whole = copied.game if isinstance(copied, Player) else copied
    with definitions_only(), recorded(whole) as recorder:
        if isinstance(copied, Model):
            return _model(subject, copied, batch, noise, recorder)
        return _layer(subject, copied, batch, noise, recorder)


def _layer(
    subject: Any, copied: Any, x: Array, rng: np.random.Generator, recorder: Recorder
) -> Explanation:
    y, cache = copied.forward(x)
    dy = rng.standard_normal(y.shape)
    dx = copied.backward(dy, cache)
    provenance = Provenance()
    provenance.add_value(x, "the input")
    provenance.add_gradient(dy, "drawn from N(0, 1), in place of a loss's gradient")
    if isinstance(dx, np.ndarray) and not recorder.calls:  # an empty Sequential
        provenance.add_gradient(dx, "dy")
    steps = steps_of(recorder.calls, provenance)
    doc = sections(type(subject))
    return Explanation(
        f"{subject!r}",
        summary(type(subject)),
        doc.get("Forward", []),
        doc.get("Backward", []),
        doc.get("Units", []),
        " ".join(doc.get("Source", [])),
        {},
        steps,
        _gradients(copied, recorder.calls),
        f"x has shape {x.shape}, y has shape {y.shape}; all in float64",
    )


def _model(
    subject: Any, copied: Any, x: Any, rng: np.random.Generator, recorder: Recorder
) -> Explanation:
    """A model in one pass; of several players each in turn."""
    steps: list[Step] = []
    terms: dict[str, float] = {}
    gradients: list[Gradient] = []
    several = len(copied.players) > 1
    for player in copied.players:
        recorder.calls.clear()
        for p in player.params.values():
            p.grad[...] = 0
        found = player.backprop(x, rng)
        terms |= found | {"total": terms.get("total", 0.0) + found["total"]}
        turn = _turn(type(player).__name__) if several else ""
        provenance = Provenance()
        for i, a in enumerate(x if isinstance(x, tuple) else (x,)):
            provenance.add_value(a, ("the batch", "the batch's second array")[min(i, 1)])
        for call in recorder.calls:
            if call.name.startswith("generator") and call.given.get("x") is not None:
                provenance.add_value(call.given["x"], "z, drawn from N(0, I)")
                break
        for step in steps_of(recorder.calls, provenance):
            step.turn = turn
            steps.append(step)
        gradients += _gradients(player, recorder.calls)
    doc = sections(type(subject))
    shapes = [a.shape for a in (x if isinstance(x, tuple) else (x,))]
    return Explanation(
        type(subject).__name__,
        summary(type(subject)),
        doc.get("Forward", []),
        doc.get("Backward", []),
        doc.get("Units", []),
        " ".join(doc.get("Source", [])),
        terms,
        steps,
        gradients,
        f"a batch of shape {', '.join(map(str, shapes))}; all in float64",
    )


def _turn(name: str) -> str:
    """CodeDiscriminatorPlayer → code discriminator"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Player")).lower()


def _gradients(module: Any, calls: list[Call]) -> list[Gradient]:
    """The gradient of each Param, and what each use contributed."""
    found = []
    every = module.params
    for name, p in unique(every).items():
        names = {key for key, other in every.items() if other is p}
        paths = []
        for call in reversed(calls):
            for key, g in call.grads.items():
                ours = call.name in PENALTIES and key in names
                local = getattr(call.part, "params", {}).get(key) is p
                if ours or (local and call.name not in PENALTIES):
                    paths.append((call_name(call), float(np.linalg.norm(g))))
        if not paths and p.grad.any() and (user := _user_of(p, name, module, calls)):
            paths.append((user, float(np.linalg.norm(p.grad))))
        found.append(
            Gradient(
                name,
                p.shape,
                float(np.linalg.norm(p.grad)),
                float(np.linalg.norm(p.value)),
                paths,
            )
        )
    return found


def _user_of(p: Any, name: str, module: Any, calls: list[Call]) -> str | None:
    """Who uses a Param that no layer of its own call does: the model, or a layer around it."""
    if vars(module).get(name) is p:
        return type(module).__name__
    around = [c for c in calls if any(q is p for q in getattr(c.part, "params", {}).values())]
    if not around or any(not c.part.children for c in around):
        return None
    return call_name(max(around, key=lambda c: len(c.name)))


def _kind(a: object) -> str:
    return f"the class {a.__name__}" if isinstance(a, type) else f"a {type(a).__name__}"
