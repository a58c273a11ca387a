"""Violations of the contract, found by further calls: noise, overwritten arrays, dtypes, caches.

A comparison of the gradients may miss them, or show them only as unexplained differences. So each
is tested directly, also where the gradients pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyae.gradcheck.doctor.findings import Finding
from tinyae.gradcheck.doctor.hypotheses import arrays
from tinyae.gradcheck.doctor.hypotheses.repeats import (
    Grads,
    function_repeats,
    nearly,
    next_step,
    real,
    same,
    slack_of,
)
from tinyae.gradcheck.doctor.subjects import (
    FunctionSubject,
    LayerSubject,
    LossSubject,
    ModelSubject,
    Subject,
    TangentSubject,
)
from tinyae.gradcheck.doctor.trial import Point, Trial
from tinyae.gradcheck.draws import redraw
from tinyae.param import Array


def contract_violations(subject: Subject, point: Point, grads: Grads) -> Iterator[Finding]:
    """Every violation of the contract that a call can show."""
    names = subject.names()
    yield from _dtypes(subject, point, grads, names)
    if isinstance(subject, TangentSubject):
        yield from _tangent_values(subject)
        yield from _upstream(point, grads, names)
    elif isinstance(subject, LayerSubject):
        yield from _layer_overwrites(subject, point)
        yield from _layer_accumulates(subject, point, grads, names)
        yield from _upstream(point, grads, names)
        yield from _stale_cache(subject, point, grads, names)
        yield from next_step(subject, point, grads, names)
        yield from _separate_backwards(subject, point, grads, names)
    elif isinstance(subject, ModelSubject):
        yield from _model_accumulates(subject, point, grads, names)
        yield from next_step(subject, point, grads, names)
        yield from _model_terms(subject, point)
    elif isinstance(subject, LossSubject):
        yield from _loss_overwrites(subject, point)
    elif isinstance(subject, FunctionSubject):
        if subject.form != "framework":
            yield from _function_overwrites(subject, point)
        repeats = list(function_repeats(subject, point, names))
        yield from repeats
        if subject.upstream and not any(f.kind == "noise" for f in repeats):
            yield from _upstream(point, grads, names)


def _tangent_values(subject: TangentSubject) -> Iterator[Finding]:
    """Whether ẏ is the slope of forward along ẋ."""
    a, n, gap = subject.tangent_and_difference()
    if a.shape != n.shape:
        text = f"ẏ has shape {a.shape}, expected y's, {n.shape}"
        yield Finding("ẏ", "shape", str(a.shape), text, "push ẋ through forward's own steps")
        return
    top = max(float(np.abs(a).max(initial=0)), float(np.abs(n).max(initial=0)))
    if not (np.abs(a - n) > gap + 1e-5 * top).any():
        return
    tied = np.unique(subject.x).size < subject.x.size  # at a tie, as in TopK, there may be no slope
    scale = min(float(np.abs(subject.x).max(initial=0)), 1.0)  # a step beyond it crosses kinks
    for h in {1e-5, 1e-5 * scale} - {0.0} if tied or scale < 1 else ():
        a, n, gap = subject.tangent_and_difference(tied, h)
        if not (np.abs(a - n) > gap + 1e-5 * top).any():
            return
    trial = Trial(Point({}, lambda: n, lambda r: {}, n, np.ones(1), subject.point(0).sizes), {})
    for guess in arrays.simple("ẏ", a, n, trial):
        yield Finding("ẏ", guess.kind, guess.name, guess.message)
        return
    text = "ẏ is not J ẋ, the slope of forward along ẋ"
    yield Finding("ẏ", "unknown", "tangent", text, "differentiate forward in the direction ẋ")


def noisy(point: Point) -> Finding | None:
    """The finding that two passes with the same input and state differ, if they do."""
    again = point.evaluate()
    if again.shape == point.y.shape:
        top = float(np.abs(point.y).max(initial=0))
        if np.allclose(again, point.y, rtol=1e-9, atol=1e-9 * top, equal_nan=True):
            return None
    text = "two forward passes with the same x and the same generator state give different outputs"
    do = "draw the noise from a numpy.random.Generator that is kept as an attribute (or given)"
    return Finding("", "noise", "y", text, do)


def _dtypes(
    subject: Subject, point: Point, grads: Grads, names: dict[str, str]
) -> Iterator[Finding]:
    """Whether y and every gradient keep the dtype float64."""
    if isinstance(subject, LayerSubject) and point.y.dtype != np.float64:
        text = f"y is {point.y.dtype} where x is float64: a dtype that goes in must come out"
        yield Finding("y", "dtype", str(point.y.dtype), text, "compute in x.dtype")
        return
    for key, g in grads.items():
        if isinstance(g, np.ndarray) and g.dtype.kind == "f" and g.dtype != np.float64:
            text = f"{names[key]} is {g.dtype} where x and dy are float64"
            yield Finding(names[key], "dtype", str(g.dtype), text, "keep dy.dtype")


def _layer_overwrites(subject: LayerSubject, point: Point) -> Iterator[Finding]:
    """Whether forward or backward writes into x, dy or a parameter."""
    x = point.values["x"]
    before = {name: p.value.copy() for name, p in subject.params.items()}
    given, upstream = x.copy(), point.r.copy()
    subject.clear()
    _, cache = subject.forward(given)
    yield from _changed_arrays("forward", x=(given, x))
    given[...] = x
    _, cache = subject.forward(given)
    subject.module.backward(upstream, cache)
    yield from _changed_arrays("backward", x=(given, x), dy=(upstream, point.r))
    for name, p in subject.params.items():
        if not np.array_equal(p.value, before[name]):
            p.value[...] = before[name]
            yield from _changed_arrays("backward", **{name: (np.zeros(1), np.ones(1))})


def _changed_arrays(who: str, **pairs: tuple[Array, Array]) -> Iterator[Finding]:
    """A finding for each array that differs after the call from what it was before."""
    for name, (after, before) in pairs.items():
        if not np.array_equal(after, before, equal_nan=True):
            text = f"{who} writes into {name}, an array that it was given"
            do = f"work on a copy, or write {name} * m for {name} *= m"
            yield Finding("", "writes_input", name, text, do)


def _loss_overwrites(subject: LossSubject, point: Point) -> Iterator[Finding]:
    given = subject.inputs(0)
    originals = [a.copy() for a in given]
    subject.module(*given)
    yield from _changed_arrays("the loss", **dict(zip(("y", "target"), zip(given, originals))))


def _function_overwrites(subject: FunctionSubject, point: Point) -> Iterator[Finding]:
    inputs = {k: np.array(a) for k, a in point.tensors.items()}
    kept = {k: a.copy() for k, a in inputs.items()}
    given = subject.in_order(inputs)
    out = subject.f(*given)
    if subject.form != "joint":
        yield from _changed_arrays("forward", **{k: (inputs[k], kept[k]) for k in inputs})
    upstream = np.array(point.r)
    if subject.form == "plain":
        inputs = {k: a.copy() for k, a in kept.items()}
        subject.backward(upstream, *subject.in_order(inputs))
    elif subject.form == "cache":
        subject.backward(upstream, out[1])
    elif subject.form == "no dy":
        inputs = {k: a.copy() for k, a in kept.items()}
        subject.backward(*subject.in_order(inputs))
    yield from _changed_arrays("backward", dy=(upstream, point.r))
    yield from _changed_arrays("backward", **{k: (inputs[k], kept[k]) for k in inputs})


def _layer_accumulates(
    subject: LayerSubject, point: Point, grads: Grads, names: dict[str, str]
) -> Iterator[Finding]:
    """A second backward after the first must double every gradient and return the same dx."""
    x, r = point.values["x"], point.r
    subject.gradients(x, r)
    _, cache = subject.forward(x.copy())
    dx = subject.module.backward(r.copy(), cache)
    slack = slack_of(grads)
    once, twice = grads["x"], dx
    if real(once) and not same(once, twice, slack):
        if same(2 * np.asarray(once), twice, slack):
            text = "dx grows from call to call: a second backward returns twice the first"
            do = "make dx anew in each backward, instead of adding to one that is kept"
            yield Finding("dx", "not_cleared", "dx", text, do)
        else:
            text = "two backward passes in a row give different dx"
            yield Finding("dx", "noise", "dx", text, "draw noise in forward, and keep it in cache")
    for name, p in subject.params.items():
        yield from _judge_accumulation(names[name], name, grads[name], p.grad, slack)


def _judge_accumulation(
    name: str, key: str, once: Any, twice: Any, slack: float
) -> Iterator[Finding]:
    if not real(once) or not np.any(once) or not np.isfinite(once).all():
        return
    if twice is None or same(2 * once, twice, slack):
        return
    if same(once, twice, slack):
        text = f"{name} is replaced at each backward, and should be added to: it is used twice"
        text += " where weights are shared, and its first part is lost"
        do = f"write {key}.grad += …, not {key}.grad[...] = …"
        yield Finding(name, "not_added", "+=", text, do)
    elif same(3 * once, twice, slack) or same(4 * once, twice, slack):
        text = f"{name} is added again at the next backward: something is never cleared"
        yield Finding(name, "not_cleared", key, text, "compute the gradient of this pass alone")
    else:
        text = f"a second backward does not double {name}: it depends on what was there before"
        yield Finding(name, "not_added", "+=", text, f"write {key}.grad += …")


def _model_accumulates(
    subject: ModelSubject, point: Point, grads: Grads, names: dict[str, str]
) -> Iterator[Finding]:
    x = subject.input(0)
    subject.gradients(x)
    subject.backprop(x)
    slack = slack_of(grads)
    for name, p in subject.params.items():
        yield from _judge_accumulation(names[name], name, grads[name], p.grad, slack)


def _model_terms(subject: ModelSubject, point: Point) -> Iterator[Finding]:
    """Whether objective leaves the gradients alone and returns the same terms as backprop."""
    x = subject.input(0)
    subject.clear()
    expected = subject.objective(x)
    if any(p.grad is not None and np.any(p.grad) for p in subject.params.values()):
        text = "objective changes a gradient; it is what a check differentiates, and must not"
        yield Finding("", "not_cleared", "objective", text, "add gradients in backprop alone")
    terms = subject.backprop(x)
    for name in sorted({*expected, *terms}):
        a, b = terms.get(name, np.nan), expected.get(name, np.nan)
        if not abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1e-300):
            text = f"backprop says {name} = {a:.6g}, objective {b:.6g}: they must be one objective"
            yield Finding("", "term", name, text, f"compute {name} alike in both")


def _upstream(point: Point, grads: Grads, names: dict[str, str]) -> Iterator[Finding]:
    """Whether every gradient is linear in dy, as a vector-Jacobian product must be."""
    doubled = point.analytic(2 * point.r)
    other = np.asarray(np.random.default_rng(7).normal(size=point.r.shape))
    second, both = point.analytic(other), point.analytic(point.r + other)
    for key, g in grads.items():
        if not real(g) or not np.any(g) or not np.isfinite(g).all():
            continue
        name, g2, h = names[key], doubled[key], second[key]
        if not (real(g2) and real(h) and real(both[key])):
            continue
        slack = 10 * max(slack_of(grads), slack_of(second))
        if max(float(np.abs(g).max()), float(np.abs(h).max(initial=0))) <= slack:
            continue  # zero up to rounding
        if same(g, g2, slack) and same(g, h, slack):
            text = f"{name} is the same whatever dy is: the upstream gradient is ignored"
            yield Finding(name, "upstream", "ignored", text, "multiply by dy: the chain rule")
        elif not (same(2 * g, g2, slack) and same(g + h, both[key], slack)):
            if nearly(2 * g, g2) and nearly(g + h, both[key]):
                text = (
                    f"{name} is linear in dy to 7 digits only: float32 numbers are made in backward"
                )
                yield Finding(name, "dtype", "float32", text, "keep dy.dtype")
                continue
            text = f"{name} is not linear in dy: twice the dy does not give twice the {name}"
            if same(4 * g, g2, slack):
                text = f"{name} grows with dy²: the upstream gradient is used twice"
            elif same(g, g2, slack):
                text = f"{name} uses the sign or the direction of dy only, not its size"
            yield Finding(name, "upstream", "non-linear", text, "use dy once, as a plain factor")


def _stale_cache(
    subject: LayerSubject, point: Point, grads: Grads, names: dict[str, str]
) -> Iterator[Finding]:
    """forward(x), forward(x₂), then backward with the first cache: the second must not matter."""
    x = point.values["x"]
    subject.clear()
    _, cache = subject.forward(x.copy())
    between = redraw(x, np.random.default_rng(3))
    subject.replay()
    subject.module.forward(between)
    dx = subject.module.backward(point.r.copy(), cache)
    found: Grads = {"x": dx}
    found.update({name: p.grad for name, p in subject.params.items()})
    for key, g in grads.items():
        if real(g) and np.isfinite(g).all() and not same(g, found[key], slack_of(grads)):
            text = f"{names[key]} changes if another forward pass runs before backward: "
            text += "backward reads what the layer keeps, not the cache that it is given"
            do = "return what backward needs as the cache, and read it from there"
            yield Finding(names[key], "stale_cache", names[key], text, do)
            return


def _separate_backwards(
    subject: LayerSubject, point: Point, grads: Grads, names: dict[str, str]
) -> Iterator[Finding]:
    """Whether backward_params and backward_input, if defined, agree with backward."""
    x, layer = point.values["x"], subject.module
    if hasattr(layer, "backward_params") and subject.params:
        subject.clear()
        layer.backward_params(point.r.copy(), subject.forward(x.copy())[1])
        for name, p in subject.params.items():
            g = grads[name]
            if real(g) and p.grad is not None and not same(g, p.grad, slack_of(grads)):
                text = f"backward_params adds another {names[name]} than backward does"
                yield Finding(names[name], "line", "backward_params", text, "let backward call it")
                break
    if hasattr(layer, "backward_input"):
        subject.clear()
        dx = layer.backward_input(point.r.copy(), subject.forward(x.copy())[1])
        if real(grads["x"]) and not same(grads["x"], dx, slack_of(grads)):
            text = "backward_input returns another dx than backward does"
            yield Finding("dx", "line", "backward_input", text, "let backward call it")
        if any(p.grad is not None and np.any(p.grad) for p in subject.params.values()):
            text = "backward_input adds to a parameter's gradient; it must leave them alone"
            yield Finding("", "not_cleared", "backward_input", text, "return dx alone")
