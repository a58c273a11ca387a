"""The gradient check: every analytic gradient against central differences, in float64.

For a layer y = f(x; θ) and a random upstream gradient r, backward gives the gradient of
Σ r ∘ y. Its numeric twin, for an entry v of x or θ:

    n = Σ r ∘ (y(v + h) − y(v − h)) / 2h,      h = 1e-5

The outputs are subtracted before they are summed, so that little cancels. The two gradients a
and n of one tensor are compared by norm: ‖a − n‖ / max(‖a‖, ‖n‖, floor). Up to 1e-7 they agree,
up to 1e-4 they are suspicious, beyond that the backward pass is wrong. Three things could cry
wolf, and each is answered by a measurement:

rounding     n is uncertain by about 4 ε |f| / h. The floor is where that would be 1e-7: a
             gradient that is truly zero (a bias before BatchNorm) passes; one that is tiny
             next to its floor is measured again with larger h, where rounding is less
truncation   a steep function (BCE near 0) bends within h. Richardson's extrapolation is made
             at four sizes of h; the one that changes least to its neighbour is believed
kinks        at a kink (ReLU at 0) the slope is two-valued. Where f is smooth the gap between
             the right and the left slope shrinks with h, at a kink it stays. A kink is counted
             and left out, but only if the analytic value lies between the slopes

Source    Central differences: Nocedal & Wright (2006), §8.1; extrapolation: Ridders (1982)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from tinyae.gradcheck.report import Report, Row
from tinyae.param import Array, Param, unique

H = 1e-5
PASS, SUSPICIOUS = 1e-7, 1e-4
EPS = float(np.finfo(np.float64).eps)
_LADDER = (0.1, 1.0, 10.0, 100.0)  # times h: the sizes of the second opinion
_NO_PARTS = (type, ModuleType, FunctionType, Param)  # what holds no noise and no running state
_TINY = float(np.finfo(np.float64).tiny)

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


# --- what is checked ------------------------------------------------------------------------


def check(layer: Any, x: Array, rng: Rng = 0, *, max_entries: int = 500) -> Report:
    """``backward`` against differences of ``forward``: ∂L/∂x and every ∂L/∂θ.

    ``layer`` is anything with ``forward``, ``backward`` and (if it learns) ``params``; a float64
    copy of it is checked. ``rng`` draws the upstream gradient and, of a tensor with more than
    ``max_entries`` entries, those that are checked beside one direction through all of them.

    Raises
        ValueError  x is empty or not finite
    """
    rng = np.random.default_rng(rng)
    layer, x, report = _double(layer), _input(x), Report(_title(layer))
    params, replay = _params(layer), _Replay(layer)

    def output() -> Array:
        replay()
        return layer.forward(x.copy())[0]

    y = np.asarray(output())
    if _unusable(report, y, output):
        return report
    r = rng.normal(size=y.shape)

    def backward() -> Array | None:
        replay()
        given, upstream = x.copy(), r.copy()
        cache = layer.forward(given)[1]
        dx = layer.backward(upstream, cache)
        _untouched(report, x=(given, x), dy=(upstream, r))
        return None if dx is None else np.array(dx)

    dx, grads = _gradients(params, backward)
    f = _Outputs(output, y, r)
    report.rows.append(_compare("dx", dx, x, f, rng, max_entries))
    for name, (once, twice) in grads.items():
        row = _compare(_d(name), once, params[name].value, f, rng, max_entries)
        report.rows.append(_adds(row, once, twice))
    return report


def check_tangent(layer: Any, x: Array, rng: Rng = 0, *, max_entries: int = 500) -> Report:
    """``tangent`` and ``tangent_backward`` against differences.

    ẏ is compared with the derivative of y along a random ẋ, entry by entry. Then
    φ = ⟨r, tangent(ẋ)⟩ is differenced, by forward and tangent anew, in ẋ, x and θ.

    Raises
        ValueError           x is empty or not finite
        NotImplementedError  the layer has no tangent
    """
    rng = np.random.default_rng(rng)
    layer, x, report = _double(layer), _input(x), Report(f"the tangent of {_title(layer)}")
    params, replay = _params(layer), _Replay(layer)
    xdot = rng.normal(size=x.shape)

    def output() -> Array:
        replay()
        return layer.forward(x.copy())[0]

    def tangent() -> Array:
        replay()
        cache = layer.forward(x.copy())[1]
        return layer.tangent(xdot.copy(), cache)[0]

    y, ydot = np.asarray(output()), np.asarray(tangent())
    if _unusable(report, y, output) or _unusable(report, ydot, tangent, "ẏ"):
        return report
    r = rng.normal(size=ydot.shape)

    def backward() -> tuple[Any, Any]:
        replay()
        given, direction, upstream = x.copy(), xdot.copy(), r.copy()
        cache = layer.forward(given)[1]
        tcache = layer.tangent(direction, cache)[1]
        dxdot, dx = layer.tangent_backward(upstream, tcache)
        _untouched(report, x=(given, x), xdot=(direction, xdot), dydot=(upstream, r))
        return dxdot, np.zeros_like(x) if dx is None else dx

    (dxdot, dx), grads = _gradients(params, backward)
    report.rows.append(_compare_outputs("ẏ", ydot, _along(x, xdot), output, y, rng, max_entries))
    f = _Outputs(tangent, ydot, r)
    report.rows.append(_compare("∂φ/∂ẋ", dxdot, xdot, f, rng, max_entries))
    report.rows.append(_compare("∂φ/∂x", dx, x, f, rng, max_entries, jumps=True))
    for name, (once, twice) in grads.items():
        row = _compare(f"∂φ/∂{name}", once, params[name].value, f, rng, max_entries, jumps=True)
        report.rows.append(_adds(row, once, twice))
    return report


def check_loss(
    loss: Any, y: Array, target: Array, rng: Rng = 0, *, max_entries: int = 500
) -> Report:
    """``L, dy = loss(y, target)``: dy against differences of L.

    Where the loss says its ``output_range``, no step leaves it; an entry on the very edge has no
    two-sided slope and is counted among the kinks.

    Raises
        ValueError  y is empty or not finite
    """
    rng = np.random.default_rng(rng)
    loss, y, target = copy.deepcopy(loss), _input(y), _input(target)
    report = Report(_title(loss))

    def output() -> Array:
        return np.array([loss(y.copy(), target)[0]], np.float64)

    L = output()
    if _unusable(report, L, output, "L"):
        return report
    given, aim = y.copy(), target.copy()
    dy = loss(given, aim)[1]
    _untouched(report, y=(given, y), target=(aim, target))
    low, high = getattr(loss, "output_range", None) or (-math.inf, math.inf)
    f = _Outputs(output, L, np.ones(1))
    room = np.minimum(y - low, high - y)
    report.rows.append(_compare("dy", dy, y, f, rng, max_entries, room=room))
    return report


def check_model(model: Any, x: Any, rng: Rng = 0, *, max_entries: int = 500) -> Report:
    """``model.backprop`` against differences of ``model.objective(x, rng)["total"]``.

    Every call gets a copy of ``rng`` as it is now, so each sees the same noise. That the two
    methods give the same terms, and that ``objective`` leaves gradients alone, is checked too.

    Raises
        ValueError  x is empty or not finite
    """
    rng = np.random.default_rng(rng)
    noise = copy.deepcopy(rng)
    model, report = _double(model), Report(_title(model))
    x = tuple(_input(part) for part in x) if isinstance(x, tuple) else _input(x)
    params, replay = _params(model), _Replay(model)

    def objective() -> dict[str, float]:
        replay()
        return model.objective(copy.deepcopy(x), copy.deepcopy(noise))

    def output() -> Array:
        return np.array([objective()["total"]], np.float64)

    def backward() -> dict[str, float]:
        replay()
        return model.backprop(copy.deepcopy(x), copy.deepcopy(noise))

    total = output()
    if _unusable(report, total, output, "total"):
        return report
    terms, grads = _gradients(params, backward)
    _same_terms(report, terms, objective())
    if any(np.any(np.asarray(p.grad) != grads[name][1]) for name, p in params.items()):
        report.rows.append(Row("objective", remark="objective changes a gradient; it must not"))
    f = _Outputs(output, total, np.ones(1))
    for name, (once, twice) in grads.items():
        row = _compare(_d(name), once, params[name].value, f, rng, max_entries)
        report.rows.append(_adds(row, once, twice))
    return report


# --- preparing: a float64 copy, the same noise at every call ----------------------------------


def _double(module: Any) -> Any:
    """A float64 copy, its gradients cleared."""
    if hasattr(module, "astype"):
        module = module.astype(np.float64)
    else:
        memo: dict[int, Any] = {}
        for p in _params(module).values():
            if isinstance(p, Param):
                memo[id(p)] = Param(p.value.astype(np.float64))
        module = copy.deepcopy(module, memo)
    for p in _params(module).values():
        if p.grad is not None:
            p.grad[...] = 0
    return module


def _params(module: Any) -> dict[str, Any]:
    return unique(dict(getattr(module, "params", {})))


def _input(x: Any) -> Array:
    x = np.asarray(x)
    if x.dtype.kind in "iub":
        return x.copy()  # labels
    x = np.array(x, np.float64)
    if not x.size or not np.isfinite(x).all():
        what = "is empty" if not x.size else "has a NaN or an infinity"
        raise ValueError(
            f"gradcheck: x of shape {x.shape} {what}, expected finite numbers; "
            "pass e.g. rng.normal(size=(5, 3))"
        )
    return x


class _Replay:
    """Called before every forward pass, it puts back the generators, running statistics and
    counters that are found anywhere in a module: each pass sees the same noise.
    """

    def __init__(self, module: Any) -> None:
        self.generators: list[tuple[np.random.Generator, Any]] = []
        self.arrays: list[tuple[Array, Array]] = []
        self.names: list[tuple[dict[str, Any], str, Any]] = []
        params = _params(module).values()
        learnt = [a for p in params for a in (p.value, p.grad) if isinstance(a, np.ndarray)]
        seen, found = {id(p) for p in params}, [module]
        while found:
            part = found.pop()
            if id(part) in seen or isinstance(part, _NO_PARTS):
                continue
            seen.add(id(part))
            if isinstance(part, np.random.Generator):
                self.generators.append((part, part.bit_generator.state))
            elif isinstance(part, np.ndarray):
                if not any(np.may_share_memory(part, a) for a in learnt):
                    self.arrays.append((part, part.copy()))
            elif isinstance(part, dict):
                found += part.values()
            elif isinstance(part, (list, tuple, set)):
                found += part
            elif hasattr(part, "__dict__"):
                for name, value in vars(part).items():
                    found.append(value)
                    if isinstance(value, (np.ndarray, int, float)):
                        self.names.append((vars(part), name, value))

    def __call__(self) -> None:
        for generator, state in self.generators:
            generator.bit_generator.state = state
        for array, before in self.arrays:
            array[...] = before
        for attributes, name, value in self.names:
            attributes[name] = value


# --- the analytic side, and what can be wrong with it before any number is compared -----------


def _gradients(params: dict[str, Any], backward: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """What ``backward`` returns, and each parameter's gradient after one pass and after two."""
    result = backward()
    once = {name: _copy(p.grad) for name, p in params.items()}
    backward()
    return result, {name: (once[name], _copy(p.grad)) for name, p in params.items()}


def _copy(grad: Any) -> Any:
    return None if grad is None else np.array(grad)


def _adds(row: Row, once: Any, twice: Any) -> Row:
    """The row, failed unless the second pass has doubled the gradient."""
    if once is None or twice is None or once.shape != twice.shape:
        return row
    with np.errstate(all="ignore"):
        gap = np.linalg.norm(np.ravel(twice - 2.0 * once))
    if row.verdict == "pass" and not gap <= 1e-9 * np.linalg.norm(np.ravel(once)):
        row.verdict = "fail"
        row.remark = "a second backward does not double it: gradients add, write += instead of ="
    return row


def _unusable(report: Report, y: Array, again: Callable[[], Array], name: str = "y") -> bool:
    """Whether the outputs are no ground for a check; if so, a failing row says why."""
    remark = ""
    if y.dtype != np.float64:
        remark = f"{name} is {y.dtype} where x is float64: keep the dtype that comes in"
    elif not np.isfinite(y).all():
        remark = f"{name} is not finite for this x: there is no slope to measure"
    elif not np.array_equal(y, again()):
        remark = f"{name} differs from call to call: draw noise from a Generator that is kept"
    if remark:
        report.rows.append(Row(name, y.shape, y.size, remark=remark))
    return bool(remark)


def _untouched(report: Report, **pairs: tuple[Array, Array]) -> None:
    for name, (after, before) in pairs.items():
        known = any(row.name == name for row in report.rows)
        if not known and not np.array_equal(after, before):
            remark = f"{name} was written into; work on a copy"
            report.rows.append(Row(name, before.shape, before.size, remark=remark))


def _same_terms(report: Report, terms: dict[str, float], objective: dict[str, float]) -> None:
    for name in sorted({*terms, *objective}):
        a, b = terms.get(name, math.nan), objective.get(name, math.nan)
        if not abs(a - b) <= 1e-9 * max(abs(a), abs(b), _TINY):
            remark = f"backprop and objective disagree on the term {name!r}"
            row = Row(f"terms[{name!r}]", (), 1, 1, remark=remark, analytic=a, numeric=b)
            report.rows.append(row)


def _malformed(analytic: Any, shape: tuple[int, ...]) -> str:
    """What is wrong with a gradient that is not even an array of the right kind."""
    if analytic is None:
        return "there is no gradient: backward must return ∂L/∂x and add to every Param.grad"
    if not isinstance(analytic, np.ndarray) and not isinstance(analytic, np.floating):
        return f"the gradient is a {type(analytic).__name__}, expected an array"
    if analytic.shape != shape:
        turned = analytic.shape == shape[::-1]
        hint = "transposed?" if turned else "a gradient has the shape of what it belongs to"
        return f"the gradient has shape {analytic.shape}, expected {shape}: {hint}"
    if not np.isfinite(analytic).all():
        bad = int(np.size(analytic) - np.isfinite(analytic).sum())
        return f"the gradient is not finite at {bad} of {analytic.size} entries"
    if analytic.dtype != np.float64:
        return f"the gradient is {analytic.dtype} where all else is float64: keep the dtype"
    return ""


# --- the numeric side ------------------------------------------------------------------------

Move = Callable[[float], float]  # puts a tensor at v + t·d; returns the t that rounding made of it


class _Outputs:
    """The outputs as a function of whatever tensor has been moved, and their weights r."""

    def __init__(self, evaluate: Callable[[], Array], y: Array, r: Array) -> None:
        self.evaluate, self.r = evaluate, r
        # What one output is uncertain by: ε times its size, or times the typical size of the
        # others where it is small by cancellation.
        self.rounding = 4 * EPS * np.maximum(np.abs(y), math.sqrt(float(np.mean(y * y))))
        self.y = y


class _Line:
    """The outputs along one line through the point: an entry of a tensor, or a direction."""

    def __init__(self, f: _Outputs, move: Move, room: float = math.inf) -> None:
        self.f, self.move, self.room = f, move, room
        self.h = min(H, room / 8)

    def at(self, t: float) -> tuple[float, Array]:
        step = self.move(t)
        y = self.f.evaluate()
        self.move(0.0)
        return step, y

    def central(self, h: float) -> tuple[float, float]:
        """The slope Σ r ∘ (y₊ − y₋)/2h, and what rounding makes it uncertain by."""
        (above, y1), (below, y0) = self.at(h), self.at(-h)
        d = y1 - y0
        rounding = np.abs(self.f.r * self.f.rounding)
        # Outputs that did not move at all do not depend on this; if none moved, one may have.
        uncertain = _norm(rounding[d != 0]) if d.any() else float(rounding.max(initial=0))
        return float((self.f.r * d).sum()) / (above - below), uncertain / h

    def richardson(self) -> tuple[float, float]:
        """(4 D(h) − D(2h)) / 3 at four sizes of h: the one that its smaller neighbour confirms."""
        best, change, doubt, smaller = 0.0, math.inf, 0.0, math.nan
        for h in (self.h * scale for scale in _LADDER):
            if 2 * h >= self.room:
                break
            (fine, noise), (coarse, _) = self.central(h), self.central(2 * h)
            slope = (4 * fine - coarse) / 3
            moved = abs(slope - (fine if math.isnan(smaller) else smaller))
            if moved < change:
                best, change, doubt = slope, moved, 5 / 3 * noise
            smaller = slope
        return best, doubt

    def at_kink(self, analytic: float, slack: float, jumps: bool) -> bool:
        """Whether some output has a kink here, with the analytic value between its slopes."""
        right, left = [], []
        for h in (self.h, self.h / 2, self.h / 4):
            (a, y1), (b, y0) = self.at(h), self.at(-h)
            right.append((y1 - self.f.y) / a)
            left.append((y0 - self.f.y) / b)
        gap = np.array([abs(p - q) for p, q in zip(right, left)])  # (3, outputs)
        noise = 8 * self.f.rounding / self.h
        smooth = (abs(gap[1] - gap[0] / 2) <= 0.05 * gap[0] + noise) & (
            abs(gap[2] - gap[0] / 4) <= 0.025 * gap[0] + noise
        )
        kink = ~smooth
        if not kink.any() or (not jumps and (gap[2] > 1.5 * gap[0] + noise)[kink].any()):
            return False
        r = self.f.r
        slopes = np.array([r * s for s in (*right, *left)])
        rest = float((slopes[0] + slopes[3])[smooth].sum()) / 2
        # One-sided slopes are off by h f″/2: what the last halving changed, it may change again.
        bend = abs(slopes[1] - slopes[2]) + abs(slopes[4] - slopes[5]) + abs(r) * noise
        low = float((slopes.min(axis=0) - 2 * bend)[kink].sum())
        high = float((slopes.max(axis=0) + 2 * bend)[kink].sum())
        return low - slack <= analytic - rest <= high + slack


def _entry(value: Array, index: tuple[int, ...]) -> Move:
    v = value[index].item()

    def move(t: float) -> float:
        value[index] = v + t
        return value[index].item() - v

    return move


def _along(value: Array, d: Array) -> Move:
    v = value.copy()

    def move(t: float) -> float:
        value[...] = v + t * d
        return t

    return move


@dataclass
class _Evidence:
    """Analytic and numeric slopes along some lines, and what is known of the numeric ones."""

    a: Array
    n: Array
    noise: Array
    kink: Array
    scale: float = 0.0

    def size(self) -> float:
        keep = ~self.kink
        return max(_norm(self.a[keep]), _norm(self.n[keep]), self.scale, _TINY)

    def floor(self) -> float:
        return _norm(self.noise[~self.kink]) / PASS

    def error(self, which: Array | None = None) -> float:
        keep = ~self.kink if which is None else ~self.kink & which
        return _norm((self.a - self.n)[keep]) / max(self.size(), self.floor())

    def doubtful(self) -> bool:
        """Beyond 1e-7; or within it only thanks to a floor far above the gradient."""
        raw = _norm((self.a - self.n)[~self.kink]) / self.size()
        return self.error() > PASS or (raw > PASS and self.size() < self.floor() / 100)


def _norm(a: Array) -> float:
    return float(np.linalg.norm(a))


def _measure(a: Array, lines: list[_Line], scale: float = 0.0, jumps: bool = False) -> _Evidence:
    """Central differences along every line; a second opinion where they disagree with ``a``,
    the worst first, until all is well or what is confirmed is bad enough to fail.
    """
    open_ = np.array([line.room > 0 for line in lines])
    pairs = [line.central(line.h) if ok else (math.nan, 0.0) for line, ok in zip(lines, open_)]
    n, noise = np.array(pairs).reshape(len(lines), 2).T.copy()
    e = _Evidence(a, np.where(open_, n, a), noise, ~open_, scale)
    asked = ~open_
    while e.doubtful() and not asked.all():
        residual = np.where(asked, -1.0, np.abs(e.a - e.n))
        for i in np.argsort(-residual)[:32]:
            if asked[i]:
                break
            asked[i] = True
            e.n[i], e.noise[i] = lines[i].richardson()
            slack = PASS * e.size() / math.sqrt(len(lines)) + e.noise[i]
            if abs(a[i] - e.n[i]) > slack:
                e.kink[i] = lines[i].at_kink(float(a[i]), slack, jumps)
        if e.error(asked) > SUSPICIOUS:
            break
    return e


def _compare(
    name: str,
    analytic: Any,
    value: Array,
    f: _Outputs,
    rng: np.random.Generator,
    max_entries: int,
    *,
    room: Array | None = None,
    jumps: bool = False,
) -> Row:
    """The row of one tensor: entry by entry or, of a large one, a sample and one direction."""
    row = Row(name, value.shape, value.size)
    row.remark = _malformed(analytic, value.shape)
    if row.remark:
        return row
    analytic = np.asarray(analytic)
    places = np.arange(value.size)
    if value.size > max_entries:
        places = np.sort(rng.choice(value.size, max_entries, replace=False))
    indices = [tuple(map(int, np.unravel_index(p, value.shape))) for p in places]
    space = np.full(value.shape, math.inf) if room is None else room
    lines = [_Line(f, _entry(value, i), float(space[i])) for i in indices]
    e = _measure(analytic.ravel()[places], lines, jumps=jumps)
    _fill(row, e, indices)
    if len(places) < value.size:
        row.sampled = True
        d = rng.normal(size=value.shape)
        d /= _norm(d.ravel())
        room_d = float((space / np.abs(d)).min())
        line = _Line(f, _along(value, d), room_d)
        typical = _norm(analytic.ravel()) / math.sqrt(value.size)  # of ⟨a, d⟩
        whole = _measure(np.array([(analytic * d).sum()]), [line], typical, jumps)
        if whole.error() > max(row.error, PASS):
            _fill(row, whole, [None], checked=row.checked, kinks=row.kinks)
    row.verdict = _verdict(row.error)
    if row.verdict != "pass":
        row.remark = _remark(e if row.worst is not None else None, analytic, row, jumps)
    return row


def _compare_outputs(
    name: str,
    ydot: Any,
    move: Move,
    evaluate: Callable[[], Array],
    y: Array,
    rng: np.random.Generator,
    max_entries: int,
) -> Row:
    """The row of a directional derivative: one line, and every output for itself."""
    row = Row(name, y.shape, y.size)
    row.remark = _malformed(ydot, y.shape)
    if row.remark:
        return row
    seen: dict[float, Array] = {}
    here = 0.0

    def step(t: float) -> float:
        nonlocal here
        here = t
        return t

    def one(p: int) -> Callable[[], Array]:
        def value() -> Array:
            if here not in seen:
                move(here)
                seen[here] = evaluate().ravel()
                move(0.0)
            return seen[here][p : p + 1]

        return value

    places = np.arange(y.size)
    if y.size > max_entries:
        row.sampled, places = True, np.sort(rng.choice(y.size, max_entries, replace=False))
    outputs = [_Outputs(one(int(p)), y.ravel()[p : p + 1], np.ones(1)) for p in places]
    typical = 4 * EPS * math.sqrt(float(np.mean(y * y)))
    for f in outputs:
        f.rounding = np.maximum(f.rounding, typical)
    e = _measure(ydot.ravel()[places], [_Line(f, step) for f in outputs])
    _fill(row, e, [tuple(map(int, np.unravel_index(p, y.shape))) for p in places])
    row.verdict = _verdict(row.error)
    if row.verdict != "pass":
        row.remark = _remark(e, ydot, row, False)
    return row


# --- the verdict -----------------------------------------------------------------------------


def _verdict(error: float) -> str:
    return "pass" if error <= PASS else "suspicious" if error <= SUSPICIOUS else "fail"


def _fill(
    row: Row, e: _Evidence, indices: list[Any], checked: int | None = None, kinks: int | None = None
) -> None:
    row.error = e.error() if (~e.kink).any() else 0.0
    row.kinks = int(e.kink.sum()) if kinks is None else kinks
    row.checked = int((~e.kink).sum()) if checked is None else checked
    if row.checked:
        i = int(np.argmax(np.where(e.kink, -1.0, np.abs(e.a - e.n))))
        row.worst, row.analytic, row.numeric = indices[i], float(e.a[i]), float(e.n[i])


def _remark(e: _Evidence | None, analytic: Array, row: Row, jumps: bool) -> str:
    """One line on how the two gradients differ: the simplest relation that holds exactly."""
    if e is None:
        return "the sampled entries agree, but the derivative along a random direction does not"
    a, n = e.a[~e.kink], e.n[~e.kink]
    aa, an, nn = float(a @ a), float(a @ n), float(n @ n)
    if row.verdict == "suspicious":
        return "a small difference: a term nearly left out, an eps misplaced, or float32 inside?"
    if aa == 0:
        return "the analytic gradient is zero where the numeric one is not: was it never added?"
    if nn <= 1e-12 * aa:
        return "the numeric gradient is zero: the output does not depend on this as backward says"
    c = an / nn
    if len(a) > 1 and _norm(a - c * n) <= 1e-6 * _norm(a):
        return "the sign is wrong" if abs(c + 1) < 1e-6 else f"analytic = {c:.6g} × numeric"
    square = analytic.ndim == 2 and analytic.shape[0] == analytic.shape[1]
    if square and len(a) == analytic.size and not e.kink.any():
        turned = n.reshape(analytic.shape).T.ravel()
        if _norm(a - turned) <= 1e-6 * _norm(a):
            return "analytic is the transpose of numeric"
    wrong = np.abs(a - n) > 1e-6 * max(np.abs(a).max(), np.abs(n).max())
    if 0 < wrong.sum() < len(a):
        return f"{int(wrong.sum())} of {len(a)} entries disagree, the others are right"
    return "no simple relation between the two"


def _d(name: str) -> str:
    """The gradient's name: W → dW, 0.W → 0.dW."""
    head, dot, tail = name.rpartition(".")
    return f"{head}{dot}d{tail}"


def _title(module: Any) -> str:
    text = " ".join(repr(module).split())
    if text.startswith("<"):
        return type(module).__name__
    return text if len(text) <= 80 else text[:79] + "…"
