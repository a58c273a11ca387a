"""The gradient check: every analytic gradient against central differences, in float64.

For a layer y = f(x; θ) and a random upstream gradient r, backward gives the gradient of
Σ r ∘ y. The numeric gradient, for an entry v of x or θ:

    n = Σ r ∘ (y(v + h) − y(v − h)) / 2h,      h = 1e-5

The outputs are subtracted before they are summed, so that little cancels. The two gradients a
and n of one tensor are compared by norm: ‖a − n‖ / max(‖a‖, ‖n‖, floor). Up to 1e-7 they agree,
up to 1e-4 they are suspicious, beyond that the backward pass is wrong. Three effects could cause a
false alarm, and each is ruled out by a measurement:

rounding     n is uncertain by about 4 ε |f| / h. The floor is this uncertainty divided by 1e-7,
             so that a gradient that is truly zero (a bias before BatchNorm) passes. One far
             below its floor is measured again with larger h, where rounding matters less
truncation   a steep function (BCE near 0) curves within h. Richardson extrapolation is done at
             four sizes of h, and the result that differs least from its neighbour is used
kinks        at a kink (ReLU at 0) the right and the left slope differ. Where f is smooth, the
             gap between them shrinks with h; at a kink it stays. A kink is counted and left
             out, but only if the analytic value lies between the slopes

``slope.py`` measures the slopes. They are slopes of the definition. If a faster twin runs in
training, it is compared with the definition (``trained.py``), and the report has a row for that,
"as trained".
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyae.arguments import check_callable, generator, positive_int
from tinyae.arrays import real
from tinyae.gradcheck import again, trained
from tinyae.gradcheck.compare import compare, compare_outputs
from tinyae.gradcheck.draws import jitter
from tinyae.gradcheck.replay import Replay, as_double, clear_gradients, learnt
from tinyae.gradcheck.report import Report, Row, gradient_name
from tinyae.gradcheck.slope import EPS, H, Outputs, direction, norm
from tinyae.param import Array
from tinyae.progress import work
from tinyae.twin import definitions_only

Rng = np.random.Generator | int


def numeric_gradient(f: Callable[[Array], float], x: Array, h: float = H) -> Array:
    """∂f/∂x by central differences, (f(x + h eᵢ) − f(x − h eᵢ)) / 2h: off by about h² f‴/6."""
    x = np.array(x, np.float64)
    slope = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        v = x[i]
        x[i] = v + h
        above = f(x)
        x[i] = v - h
        below = f(x)
        x[i] = v
        slope[i] = (above - below) / (2 * h)
    return slope


def _generator(rng: Rng) -> np.random.Generator:
    """The generator; from a seed, one whose numbers are not those of ``default_rng(seed)``.

    That one may have drawn x, and an upstream gradient r equal to x would hide a transposed
    dW = rᵀx.
    """
    generator("gradcheck", rng)  # raises unless it is one or a seed
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng([rng, 0x67726164])


# --- what is checked ------------------------------------------------------------------------


def check(layer: Any, x: Array, rng: Rng = 0, *, max_entries: int = 500) -> Report:
    """``backward`` against differences of ``forward``: ∂L/∂x and every ∂L/∂θ.

    ``layer`` is anything with ``forward``, ``backward`` and (if it learns) ``params``; a float64
    copy of it is checked. ``rng`` draws the upstream gradient. If a tensor has more than
    ``max_entries`` entries, it also draws that many to check, and one direction through them all.

    Raises
        ValueError  x is empty or not finite
    """
    _check_subject("layer", layer, "forward", "backward")
    max_entries = positive_int("gradcheck", "max_entries", max_entries, 500)
    rng, given_layer = _generator(rng), layer
    layer, x, report = as_double(layer), _layer_input(layer, x), Report(_title(layer))
    with definitions_only():
        _check(layer, x, rng, max_entries, report)
        if report.ok:
            _check_again(given_layer, layer, x, report)
        trained.check_halves(layer, x, report)
    if report.ok:
        report.rows += trained.layer_rows(given_layer, layer, x)
    return report


def _check(
    layer: Any, x: Array, rng: np.random.Generator, max_entries: int, report: Report
) -> None:
    params, replay = learnt(layer), Replay(layer)

    def output() -> Array:
        replay()
        return layer.forward(x.copy())[0]

    y = np.asarray(output())
    if _outputs_unusable(report, y, output):
        return
    r = rng.normal(size=y.shape)

    def backward() -> Array | None:
        replay()
        given, upstream = x.copy(), r.copy()
        cache = layer.forward(given)[1]
        dx = layer.backward(upstream, cache)
        _check_unchanged(report, x=(given, x), dy=(upstream, r))
        return _copy(dx)

    dx, grads = _gradients(params, backward)
    f = Outputs(output, y, r)
    if x.dtype.kind == "f":  # an index has no gradient
        report.rows.append(compare("dx", dx, x, f, rng, max_entries))
    with work("gradient check", len(grads), "gradient") as w:
        for name, (grad, adds) in w.over(grads.items()):
            row = compare(gradient_name(name), grad, params[name].value, f, rng, max_entries)
            report.rows.append(_check_accumulates(row, adds))


def _check_again(given_layer: Any, layer: Any, x: Array, report: Report) -> None:
    """Whether the gradients also agree at another batch, and after a step."""

    def few(layer: Any) -> again.Check:
        return lambda x, r, n: _check(layer, x, np.random.default_rng(len(x)), n, r)

    def moved(r: Report) -> None:
        other = as_double(given_layer)
        jitter(learnt(other))
        few(other)(again.redrawn(x, again.ROWS), r, again.MANY)

    again.check_elsewhere(report, x, few(layer))
    stepped = as_double(given_layer)
    y, cache = stepped.forward(again.redrawn(x))
    stepped.backward(np.random.default_rng(len(x)).normal(size=np.shape(y)), cache)
    clear_gradients(learnt(stepped))
    again.check_next_step(report, x, few(stepped))
    again.check_something(report, moved)


def check_tangent(layer: Any, x: Array, rng: Rng = 0, *, max_entries: int = 500) -> Report:
    """``tangent`` and ``tangent_backward`` against differences.

    ẏ is compared with the derivative of y along a random ẋ, entry by entry. Then the gradients of
    φ = ⟨r, tangent(ẋ)⟩ with respect to ẋ, x and θ are compared with differences of φ.

    Raises
        ValueError           x is empty or not finite
        NotImplementedError  the layer has no tangent
    """
    _check_subject("layer", layer, "forward", "tangent")
    max_entries = positive_int("gradcheck", "max_entries", max_entries, 500)
    rng = _generator(rng)
    layer, x, report = as_double(layer), _input(x), Report(f"the tangent of {_title(layer)}")
    with definitions_only():
        _check_tangent(layer, x, rng, max_entries, report)
    return report


def _check_tangent(
    layer: Any, x: Array, rng: np.random.Generator, max_entries: int, report: Report
) -> None:
    params, replay = learnt(layer), Replay(layer)
    xdot = rng.normal(size=x.shape)

    def output() -> Array:
        replay()
        return layer.forward(x.copy())[0]

    def tangent() -> Array:
        replay()
        cache = layer.forward(x.copy())[1]
        return layer.tangent(xdot.copy(), cache)[0]

    y, ydot = np.asarray(output()), np.asarray(tangent())
    if _outputs_unusable(report, y, output) or _outputs_unusable(report, ydot, tangent, "ẏ"):
        return
    r = rng.normal(size=ydot.shape)

    def backward() -> tuple[Any, Any]:
        replay()
        given, given_xdot, upstream = x.copy(), xdot.copy(), r.copy()
        cache = layer.forward(given)[1]
        tcache = layer.tangent(given_xdot, cache)[1]
        dxdot, dx = layer.tangent_backward(upstream, tcache)
        _check_unchanged(report, x=(given, x), xdot=(given_xdot, xdot), dydot=(upstream, r))
        return _copy(dxdot), np.zeros_like(x) if dx is None else _copy(dx)

    (dxdot, dx), grads = _gradients(params, backward)
    report.rows.append(compare_outputs("ẏ", ydot, direction(x, xdot), output, y, rng, max_entries))
    f = Outputs(tangent, ydot, r)
    report.rows.append(compare("∂φ/∂ẋ", dxdot, xdot, f, rng, max_entries))
    report.rows.append(compare("∂φ/∂x", dx, x, f, rng, max_entries, jumps=True))
    for name, (grad, adds) in grads.items():
        row = compare(f"∂φ/∂{name}", grad, params[name].value, f, rng, max_entries, jumps=True)
        report.rows.append(_check_accumulates(row, adds))


def check_loss(
    loss: Any, y: Array, target: Array, rng: Rng = 0, *, max_entries: int = 500
) -> Report:
    """``L, dy = loss(y, target)``: dy against differences of L.

    If the loss has an ``output_range``, no step leaves it. An entry on its edge has no two-sided
    slope and is counted as a kink.

    Raises
        ValueError  y is empty or not finite
    """
    check_callable("gradcheck", "loss", loss, "MSE()")
    max_entries = positive_int("gradcheck", "max_entries", max_entries, 500)
    rng = _generator(rng)
    loss, y, target = copy.deepcopy(loss), _input(y, "y"), _input(target, "target")
    report = Report(_title(loss))
    _check_loss(loss, y, target, rng, max_entries, report)
    if report.ok:

        def few(pair: Any, r: Report, n: int) -> None:
            y, target = pair
            _check_loss(loss, y, target, np.random.default_rng(len(y)), n, r)

        again.check_elsewhere(report, (y, target), few)
        again.check_something(report)
    return report


def _check_loss(
    loss: Any, y: Array, target: Array, rng: np.random.Generator, max_entries: int, report: Report
) -> None:
    def output() -> Array:
        return np.array([loss(y.copy(), target)[0]], np.float64)

    L = output()
    if _outputs_unusable(report, L, output, "L"):
        return
    given, aim = y.copy(), target.copy()
    dy = _copy(loss(given, aim)[1])
    _check_unchanged(report, y=(given, y), target=(aim, target))
    low, high = getattr(loss, "output_range", None) or (-math.inf, math.inf)
    f = Outputs(output, L, np.ones(1))
    room = np.minimum(y - low, high - y)
    report.rows.append(compare("dy", dy, y, f, rng, max_entries, room=room))


def check_model(model: Any, x: Any, rng: Rng = 0, *, max_entries: int = 500) -> Report:
    """``model.backprop`` against differences of ``model.objective(x, rng)["total"]``.

    Of a model whose gradient is an estimate, :meth:`Model.differentiable` is measured.

    Every call gets a copy of ``rng`` in its present state, so that all see the same noise. It is
    also checked that both methods give the same terms and that ``objective`` changes no gradient.

    Raises
        ValueError  x is empty or not finite
    """
    _check_subject("model", model, "objective", "backprop")
    max_entries = positive_int("gradcheck", "max_entries", max_entries, 500)
    rng, given_model = _generator(rng), model
    model, report = as_double(model), Report(_title(model))
    labels = "iub"  # integer arrays of a tuple are labels, which are not differentiated
    if isinstance(x, tuple):
        x = tuple(a if np.asarray(a).dtype.kind in labels else _input(a) for a in x)
    else:
        x = _input(x)
    with definitions_only():
        _check_model(model, x, rng, max_entries, report)
        if report.ok:
            _check_model_again(given_model, model, x, rng, report)
    if report.ok:
        report.rows += trained.model_rows(given_model, model, x, rng)
    return report


def _check_model(
    model: Any, x: Any, rng: np.random.Generator, max_entries: int, report: Report
) -> None:
    noise = copy.deepcopy(rng)
    model = model.differentiable() if hasattr(model, "differentiable") else model
    params, replay = learnt(model), Replay(model)

    def objective() -> dict[str, float]:
        replay()
        return model.objective(copy.deepcopy(x), copy.deepcopy(noise))

    def output() -> Array:
        return np.array([objective()["total"]], np.float64)

    def backward() -> dict[str, float]:
        replay()
        return model.backprop(copy.deepcopy(x), copy.deepcopy(noise))

    total = output()
    if _outputs_unusable(report, total, output, "total"):
        return
    terms, grads = _gradients(params, backward)
    before = {name: _copy(p.grad) for name, p in params.items()}
    _same_terms(report, terms, objective())
    if not all(np.array_equal(p.grad, before[name]) for name, p in params.items()):
        report.rows.append(Row("objective", remark="objective changes a gradient; it must not"))
    f = Outputs(output, total, np.ones(1))
    with work("gradient check", len(grads), "gradient") as w:
        for name, (grad, adds) in w.over(grads.items()):
            row = compare(gradient_name(name), grad, params[name].value, f, rng, max_entries)
            report.rows.append(_check_accumulates(row, adds))


def _check_subject(name: str, subject: Any, *methods: str) -> None:
    if isinstance(subject, type) or not all(hasattr(subject, method) for method in methods):
        raise TypeError(
            f"gradcheck: {name} is {subject!r:.60}, expected an object with {' and '.join(methods)}; "
            f"pass a {name}"
        )


def _check_model_again(
    given_model: Any, model: Any, x: Any, rng: np.random.Generator, report: Report
) -> None:
    """Whether the gradients also agree at another batch, and after a step."""

    def few(model: Any) -> again.Check:
        return lambda x, r, n: _check_model(model, x, copy.deepcopy(rng), n, r)

    def moved(r: Report) -> None:
        other = as_double(given_model)
        jitter(learnt(other))
        few(other)(again.redrawn(x, again.ROWS), r, again.MANY)

    again.check_elsewhere(report, x, few(model))
    stepped = as_double(given_model)
    stepped.backprop(again.redrawn(x), copy.deepcopy(rng))
    clear_gradients(learnt(stepped))
    again.check_next_step(report, x, few(stepped))
    again.check_something(report, moved)


def _input(x: Any, name: str = "x") -> Array:
    x = real(f"gradcheck: {name}", x)
    x = np.array(x, np.float64)
    if not x.size or not np.isfinite(x).all():
        what = "is empty" if not x.size else "has a NaN or an infinity"
        raise ValueError(
            f"gradcheck: {name} of shape {x.shape} {what}, expected finite numbers; "
            "pass e.g. rng.normal(size=(5, 3))"
        )
    return x


def _layer_input(layer: Any, x: Any) -> Array:
    """float64; whole numbers for a layer that takes indices."""
    if not getattr(layer, "whole_input", False):
        return _input(x)
    x = real("gradcheck: x", x)
    layer.forward(x)  # raises if they are not indices
    return x.astype(np.int64)


# --- the analytic gradients, and mistakes found before any number is compared ---------------


def _gradients(params: dict[str, Any], backward: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """The result of ``backward``; each Param's gradient, and whether a second pass doubles it."""
    clear_gradients(params)
    result = backward()
    once = {name: _copy(p.grad) for name, p in params.items()}
    backward()
    # A gradient that is zero up to rounding may differ between passes.
    slack = 1e-12 * max((norm(g.ravel()) for g in once.values() if g is not None), default=0)
    grads = {}
    for name, p in params.items():
        g, twice, adds = once[name], p.grad, True
        if g is not None and twice is not None and g.shape == twice.shape:
            gap = norm((twice - 2.0 * g).ravel())
            adds = math.isnan(gap) or gap <= 1e-9 * norm(g.ravel()) + slack
        grads[name] = g, adds
    return result, grads


def _copy(grad: Any) -> Any:
    return None if grad is None else np.array(grad)


def _check_accumulates(row: Row, adds: bool) -> Row:
    """The row, failed unless the second pass has doubled the gradient."""
    if row.verdict == "pass" and not adds:
        row.verdict = "fail"
        row.remark = "a second backward does not double it: gradients add, write += instead of ="
    return row


def _outputs_unusable(
    report: Report, y: Array, again: Callable[[], Array], name: str = "y"
) -> bool:
    """Whether the outputs cannot be checked; if so, a failing row says why."""
    remark = ""
    if y.dtype != np.float64:
        remark = f"{name} is {y.dtype} where x is float64: keep the dtype that comes in"
    elif not np.isfinite(y).all():
        remark = f"{name} is not finite for this x: there is no slope to measure"
    elif not np.allclose(y, again(), rtol=1e-9, atol=1e-9 * float(np.abs(y).max())):
        remark = f"{name} differs from call to call: draw noise from a Generator that is kept"
    if remark:
        report.rows.append(Row(name, y.shape, y.size, remark=remark, unusable=True))
    return bool(remark)


def _check_unchanged(report: Report, **pairs: tuple[Array, Array]) -> None:
    for name, (after, before) in pairs.items():
        reported = any(row.name == name for row in report.rows)
        if not reported and not np.array_equal(after, before):
            remark = f"{name} was written into; work on a copy"
            report.rows.append(Row(name, before.shape, before.size, remark=remark))


def _same_terms(report: Report, terms: dict[str, float], objective: dict[str, float]) -> None:
    for name in sorted({*terms, *objective}):
        a, b = terms.get(name, math.nan), objective.get(name, math.nan)
        if not abs(a - b) <= 1e-9 * max(abs(a), abs(b), EPS * EPS):
            remark = f"backprop and objective disagree on the term {name!r}"
            row = Row(f"terms[{name!r}]", (), 1, 1, remark=remark, analytic=a, numeric=b)
            report.rows.append(row)


def _title(module: Any) -> str:
    text = " ".join(repr(module).split())
    if text.startswith("<"):
        return type(module).__name__
    return text if len(text) <= 80 else text[:79] + "…"
