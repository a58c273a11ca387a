"""One step of an explanation for each recorded call, in the order of the forward pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.explanation.docstring_sections import equations_for, parse, sections, summary
from tinyae.explanation.latent import add_latent_gradients, divergence, draw, weighing
from tinyae.explanation.provenance import Provenance
from tinyae.explanation.record import PENALTIES, Call
from tinyae.explanation.result import Step, quantity
from tinyae.layers import Layer, Residual, Sequential, Skip, TiedDense
from tinyae.likelihoods import Likelihood
from tinyae.losses import Loss
from tinyae.models.wasserstein_gan import GradientPenalty
from tinyae.param import Array

_SYMBOLS = {"gamma": "γ", "beta": "β", "logvar": "s"}  # Params under their names in the equations
_PENALTY_WORDS = {  # what each is, and whose Params it reaches
    "contraction": (
        "How fast the code moves with x: the encoder's Jacobian, squared and summed.",
        "encoder",
    ),
    "r1": (
        "How steep the discriminator is at the data: its gradient there, squared.",
        "discriminator",
    ),
    "gradient_penalty": (
        "How far the critic's slope is from 1, on lines between data and samples.",
        "critic",
    ),
}


def steps_of(calls: list[Call], provenance: Provenance) -> list[Step]:
    """One step for each call; a Sequential is shown as its layers."""
    shown = [c for c in calls if not isinstance(c.part, Sequential)]
    for call in shown:
        for symbol, a in call.made.items():
            provenance.add_value(a, f"{symbol} of {call_name(call)}")
        if call.name == "kl":
            add_latent_gradients(call, shown, provenance)
        provenance.add_gradient(call.returned, f"{_returned(call)} of {call_name(call)}")
    _add_wholes(shown, provenance)
    steps = []
    for call in shown:
        if call.name == "weights":
            steps.append(weighing(call))
        elif call.name == "kl":
            steps += [draw(call, shown), divergence(call)]
        else:
            steps.append(_step(call, provenance))
    # z is drawn before the decoder runs, though it is known only from the decoder's input
    drawn = [s for s in steps if s.name == "reparameterisation"]
    rest = [s for s in steps if s.name != "reparameterisation"]
    place = next((i for i, s in enumerate(rest) if s.part == "decoder"), len(rest))
    return rest[:place] + drawn + rest[place:]


def _step(call: Call, provenance: Provenance) -> Step:
    doc = sections(type(call.part))
    if call.name == "gradient_penalty":
        doc |= parse(GradientPenalty.penalise.__doc__)
    made = {k: float(v) for k, v in call.made.items() if not isinstance(v, np.ndarray)}
    title = type(call.part).__name__ if call.name in PENALTIES else f"{call.part!r}"
    step = Step(
        call.name,
        title,
        summary(type(call.part)),
        doc.get("Forward", []),
        doc.get("Backward", []),
        doc.get("Shapes", []),
        " ".join(doc.get("Source", [])),
        value=made,
    )
    if call.name in PENALTIES:
        step.words, player = _PENALTY_WORDS[call.name]
        step.note = (
            "Second order: the penalty holds f′ already, so its gradient holds f″, and it reaches "
            f"the {player}'s Params by a path of its own"
        )
    add = step.quantities.append
    for symbol, a in call.given.items():
        if isinstance(a, np.ndarray):
            add(quantity(symbol, "input", a, provenance.of_value(a)))
    for symbol, a in _cached(call).items():
        add(quantity(symbol, "cache", a, "kept by forward"))
    tied = isinstance(call.part, TiedDense)
    for key, p in _own_params(call).items():
        if tied and key == "W":
            add(quantity("V", "parameter", p.value, "shared: the W of the layer it is tied to"))
        else:
            add(quantity(_SYMBOLS.get(key, key), "parameter", p.value, "learnt"))
    for symbol, a in call.made.items():
        if isinstance(a, np.ndarray):
            add(
                quantity(symbol, "output", a, _equation(symbol, step.forward, "what forward gives"))
            )
    if call.upstream is not None:
        add(quantity("dy", "upstream", call.upstream, provenance.of_gradient(call.upstream)))
    if isinstance(call.returned, np.ndarray):
        symbol = _returned(call)
        equation = _equation(symbol, step.backward, "what backward gives")
        add(quantity(symbol, "gradient", call.returned, equation))
    for key, g in call.grads.items():
        if tied and key == "W":
            key = "V"
        symbol = f"∂/∂{key}" if "." in key else f"d{_SYMBOLS.get(key, key)}"
        add(
            quantity(symbol, "gradient", g, _equation(symbol, step.backward, "what backward gives"))
        )
    _annotate(step, call)
    return step


def _annotate(step: Step, call: Call) -> None:
    """Note what is special: no gradient came, none was asked for, or the part does not learn."""
    if not isinstance(call.part, Layer):
        return
    if call.upstream is None:
        step.note = (
            "No gradient comes here: nothing before it learns, or it serves as a source only"
        )
    elif not call.learns and call.part.params:
        step.note = "The gradient passes through; its own Params do not learn in this turn"
    elif call.returned is None:
        step.note = "∂L/∂x is not needed: nothing that learns lies before"
    if isinstance(call.part, Residual) and call.upstream is not None:
        step.note = "x was used twice, so two gradients add: dy itself and the one through f"
    if isinstance(call.part, Skip) and call.upstream is not None:
        step.note = "dy is cut in two: the first channels go past f, the others through it"


def _cached(call: Call) -> dict[str, Array]:
    """What forward caches besides x and y, under the names in the docstring's Cache section."""
    cache = call.cache if isinstance(call.cache, tuple) else (call.cache,)
    if not isinstance(call.part, Layer) or call.part.children:
        return {}
    known = [a for a in (*call.given.values(), *call.made.values()) if isinstance(a, np.ndarray)]
    names = [part.partition("=")[0].strip() for part in _cache_names(type(call.part))]
    found = {}
    for i, a in enumerate(cache):
        if isinstance(a, np.ndarray) and a.dtype.kind in "fb" and not any(a is b for b in known):
            name = names[i] if i < len(names) and len(names[i]) <= 3 else f"c{i}"
            found[name] = a
    return found


def _cache_names(cls: type) -> list[str]:
    return " ".join(sections(cls).get("Cache", [])).split(", ")


def _own_params(call: Call) -> dict[str, Any]:
    if not isinstance(call.part, (Layer, Likelihood)) or getattr(call.part, "children", None):
        return {}
    return dict(call.part.params)


def _equation(symbol: str, lines: list[str], otherwise: str) -> str:
    """The right-hand side of a symbol's equation: "dyᵀ x" for dW."""
    found = equations_for(lines, symbol)
    return found[0].partition("= ")[2].strip() if found else otherwise


def call_name(call: Call) -> str:
    """The part's name, with the number of the pass if the part was used before."""
    name = call.name or "this layer"
    return name if call.which == 1 else f"{name} (pass {call.which})"


def _returned(call: Call) -> str:
    """The name of what a part's backward returns: dx for a layer, dy for a loss."""
    if isinstance(call.part, Layer):
        return "dx"
    if isinstance(call.part, (Loss, Likelihood)):
        return "dy"
    return {"contraction": "dh", "kl": "dμ"}.get(call.name, f"d{next(iter(call.given))}")


def _add_wholes(calls: list[Call], provenance: Provenance) -> None:
    """Label the dy that Skip and Parallel cut for their parts; the cuts share its memory."""
    for call in calls:
        if isinstance(call.part, Layer) and call.part.children and call.upstream is not None:
            provenance.add_whole(call.upstream, f"dy of {call_name(call)}")
