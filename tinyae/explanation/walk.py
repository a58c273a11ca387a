"""``explain``: run a copy once, forward and back, and put what happened into words."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyae.data.batches import rows
from tinyae.explanation.heads import heads, pieces, words
from tinyae.explanation.latent import divergence, draw, register_halves
from tinyae.explanation.origins import Origins
from tinyae.explanation.record import Call, Recorder
from tinyae.explanation.result import Explanation, Gradient, Quantity, Step, quantity
from tinyae.gradcheck.replay import as_double
from tinyae.layers import Layer, Residual, Sequential, Skip, TiedDense
from tinyae.likelihoods import Likelihood
from tinyae.losses import Loss
from tinyae.models import Model
from tinyae.models.base import cast
from tinyae.models.gan import Player
from tinyae.models.variational import VariationalAutoencoder
from tinyae.param import Array, unique

_SYMBOLS = {"gamma": "γ", "beta": "β", "logvar": "s"}  # Params as their equations call them
_ROWS = 16  # samples that are enough to see how it goes


def explain(subject: Layer | Model, x: Any, rng: int | np.random.Generator = 0) -> Explanation:
    """Walk forward and backward once through a layer or a model, and say what each part did.

    subject   a layer, or a model; it is left as it is: a float64 copy runs
    x         a batch as the subject takes it; of more than 16 samples the first 16
    rng       for the noise of a model, and for the upstream gradient dy of a layer, which is
              drawn from N(0, 1) as a gradient check does

    The result has, step by step, equations (those of the docstrings), shapes, a few numbers, norms,
    and the origin of every factor; ``print`` it, or write ``.latex()`` to a file.

    Raises
        TypeError   the subject is neither a layer nor a model, or x no array
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
    twin = as_double(subject)
    batch = cast(rows(x, slice(_ROWS)), np.dtype(np.float64))
    generator = np.random.default_rng(rng)
    if isinstance(twin, Model):
        return _model(subject, twin, batch, generator)
    return _layer(subject, twin, batch, generator)


def _layer(subject: Any, twin: Any, x: Array, rng: np.random.Generator) -> Explanation:
    recorder = Recorder(twin)
    y, cache = twin.forward(x)
    dy = rng.standard_normal(y.shape)
    dx = twin.backward(dy, cache)
    origins = Origins()
    origins.value(x, "the input")
    origins.gradient(dy, "drawn from N(0, 1), in place of a loss's gradient")
    if isinstance(dx, np.ndarray) and not recorder.calls:  # a Sequential of nothing
        origins.gradient(dx, "dy")
    steps = _steps(recorder.calls, origins)
    said = heads(type(subject))
    return Explanation(
        f"{subject!r}",
        words(type(subject)),
        said.get("Forward", []),
        said.get("Backward", []),
        said.get("Units", []),
        " ".join(said.get("Source", [])),
        {},
        steps,
        _gradients(twin, recorder.calls),
        f"x has shape {x.shape}, y has shape {y.shape}; all in float64",
    )


def _model(subject: Any, twin: Any, x: Any, rng: np.random.Generator) -> Explanation:
    """Each player in turn, where there are several."""
    steps: list[Step] = []
    terms: dict[str, float] = {}
    gradients: list[Gradient] = []
    recorder = Recorder(twin.game if isinstance(twin, Player) else twin)
    several = len(twin.players) > 1
    for player in twin.players:
        recorder.calls.clear()
        for p in player.params.values():
            p.grad[...] = 0
        found = player.backprop(x, rng)
        terms |= found | {"total": terms.get("total", 0.0) + found["total"]}
        turn = type(player).__name__.removesuffix("Player").lower() if several else ""
        origins = Origins()
        for i, a in enumerate(x if isinstance(x, tuple) else (x,)):
            origins.value(a, ("the batch", "the batch's second array")[min(i, 1)])
        for call in recorder.calls:
            if call.name.startswith("generator") and call.given.get("x") is not None:
                origins.value(call.given["x"], "z, drawn from N(0, I)")
                break
        for step in _steps(recorder.calls, origins):
            step.turn = turn
            steps.append(step)
        gradients += _gradients(player, recorder.calls)
    said = heads(type(subject))
    shapes = [a.shape for a in (x if isinstance(x, tuple) else (x,))]
    return Explanation(
        type(subject).__name__,
        words(type(subject)),
        said.get("Forward", []),
        said.get("Backward", []),
        said.get("Units", []),
        " ".join(said.get("Source", [])),
        terms,
        steps,
        gradients,
        f"a batch of shape {', '.join(map(str, shapes))}; all in float64",
    )


# --- the steps ----------------------------------------------------------------------------------


def _steps(calls: list[Call], origins: Origins) -> list[Step]:
    """One step a call, in the order of the forward pass. A Sequential is its layers."""
    shown = [c for c in calls if not isinstance(c.part, Sequential)]
    for call in shown:
        for symbol, a in call.made.items():
            origins.value(a, f"{symbol} of {_called(call)}")
        if isinstance(call.part, VariationalAutoencoder):
            register_halves(call, shown, origins)
        origins.gradient(call.returned, f"{_returned(call)} of {_called(call)}")
    _register_wholes(shown, origins)
    steps = []
    for call in shown:
        if isinstance(call.part, VariationalAutoencoder):
            steps += [draw(call, shown), divergence(call)]
        else:
            steps.append(_step(call, origins))
    # z is drawn before the decoder runs, though what was drawn is told from what the decoder was given
    drawn = [s for s in steps if s.name == "reparameterisation"]
    rest = [s for s in steps if s.name != "reparameterisation"]
    place = next((i for i, s in enumerate(rest) if s.part == "decoder"), len(rest))
    return rest[:place] + drawn + rest[place:]


def _step(call: Call, origins: Origins) -> Step:
    said = heads(type(call.part))
    made = {k: float(v) for k, v in call.made.items() if not isinstance(v, np.ndarray)}
    title = type(call.part).__name__ if call.name == "contraction" else f"{call.part!r}"
    step = Step(
        call.name,
        title,
        words(type(call.part)),
        said.get("Forward", []),
        said.get("Backward", []),
        said.get("Shapes", []),
        " ".join(said.get("Source", [])),
        value=made,
    )
    if call.name == "contraction":
        step.words = "How fast the code moves with x: the encoder's Jacobian, squared and summed."
        step.note = (
            "Second order: the penalty holds f′ already, so its gradient holds f″, and it reaches "
            "the encoder's Params by a path of its own"
        )
    add = step.quantities.append
    for symbol, a in call.given.items():
        if isinstance(a, np.ndarray):
            add(quantity(symbol, "input", a, origins.of_value(a)))
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
        add(quantity("dy", "upstream", call.upstream, origins.of_gradient(call.upstream)))
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
    """What is particular: no gradient came, none was asked for, or none may learn."""
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
    """What forward keeps besides x and y, by the names of the docstring's Cache."""
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
    return " ".join(heads(cls).get("Cache", [])).split(", ")


def _own_params(call: Call) -> dict[str, Any]:
    if not isinstance(call.part, (Layer, Likelihood)) or getattr(call.part, "children", None):
        return {}
    return dict(call.part.params)


def _equation(symbol: str, lines: list[str], otherwise: str) -> str:
    """What the docstring sets a symbol equal to: "dyᵀ x" for dW."""
    found = pieces(lines, symbol)
    return found[0].partition("= ")[2].strip() if found else otherwise


def _called(call: Call) -> str:
    name = call.name or "this layer"
    return name if call.which == 1 else f"{name} (pass {call.which})"


def _returned(call: Call) -> str:
    """What a part's backward gives back, by name: dx, or ∂L/∂y as dy of a loss."""
    if isinstance(call.part, Layer):
        return "dx"
    if isinstance(call.part, (Loss, Likelihood)):
        return "dy"
    return {"contraction": "dh", "kl": "dμ"}.get(call.name, f"d{next(iter(call.given))}")


def _register_wholes(calls: list[Call], origins: Origins) -> None:
    """What a Skip or Parallel hands to its parts: cuts of dy, known by their memory."""
    for call in calls:
        if isinstance(call.part, Layer) and call.part.children and call.upstream is not None:
            origins.whole(call.upstream, f"dy of {_called(call)}")


# --- the gradients ------------------------------------------------------------------------------


def _gradients(module: Any, calls: list[Call]) -> list[Gradient]:
    """Of each Param the whole gradient, and what each use added."""
    found = []
    every = module.params
    for name, p in unique(every).items():
        names = {key for key, other in every.items() if other is p}
        paths = []
        for call in reversed(calls):
            for key, g in call.grads.items():
                ours = call.name == "contraction" and key in names
                local = getattr(call.part, "params", {}).get(key) is p
                if ours or (local and call.name != "contraction"):
                    paths.append((_called(call), float(np.linalg.norm(g))))
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


def _kind(a: object) -> str:
    return f"the class {a.__name__}" if isinstance(a, type) else f"a {type(a).__name__}"


__all__ = ["Quantity", "explain"]
