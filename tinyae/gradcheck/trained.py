"""The row "as trained": the faster twins that train, compared with the checked definitions.

Most twins run only from a certain batch size on. So the batch is repeated until it has each number of
``ROWS``. The pass is run twice from the same state, with twins and with the definitions only, and
every gradient is compared, in float64 and in the dtype of training.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinyae.gradcheck.replay import Replay, clear_gradients, learnt
from tinyae.gradcheck.report import Report, Row
from tinyae.gradcheck.slope import norm
from tinyae.layers.base import Layer, Module
from tinyae.param import Array
from tinyae.twin import definitions_only, watching

ROWS = (37, 130)  # no multiples of a tile; the larger is enough for micro-batches
# The largest relative difference that rounding explains. In float32 a sum near 0 may change its
# sign before a ReLU, which makes a larger difference.
_ROUNDING = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-2}

_LARGE = 4096  # numbers of a sample

Results = dict[str, Array]


def check_halves(layer: Any, x: Array, report: Report) -> None:
    """Add a failing row if ``backward_params`` or ``backward_input`` disagrees with ``backward``.

    A model's first layer learns by ``backward_params``; ``backward_input`` leads through a layer
    that does not learn. A derived class may have overridden one of the three and not the others.
    """
    if not isinstance(layer, Layer) or not report.ok:
        return
    params, replay = learnt(layer), Replay(layer)

    def run(backward: Callable[[Array, Any], Any]) -> tuple[Any, Results]:
        replay()
        clear_gradients(params)
        y, cache = layer.forward(x.copy())
        dx = backward(np.random.default_rng(len(x)).normal(size=y.shape), cache)
        return dx, {name: p.grad.copy() for name, p in params.items()}

    dx, grads = run(layer.backward)
    _, params_grads = run(layer.backward_params)
    input_dx, input_grads = run(layer.backward_input)
    largest = max((norm(g) for g in grads.values()), default=0.0)
    for name, g in grads.items():
        if not norm(params_grads[name] - g) <= 1e-9 * largest:
            remark = (
                f"backward_params adds another d{name} than backward, and a model's first layer "
                "learns by it; override both, or neither"
            )
            report.rows.append(Row("backward_params", g.shape, g.size, g.size, remark=remark))
            break
    no_grads = not any(g.any() for g in input_grads.values())
    if not (norm(input_dx - dx) <= 1e-9 * norm(dx) and no_grads):
        remark = (
            "backward_input gives another dx than backward, or adds to a gradient; "
            "override both, or neither"
        )
        report.rows.append(Row("backward_input", dx.shape, dx.size, dx.size, remark=remark))
    replay()


def layer_rows(layer: Any, double: Any, x: Array) -> Iterator[Row]:
    """A row if a twin runs in the layer's forward or backward; ``double`` is its float64 copy."""
    if not isinstance(layer, Module):
        return

    def run(layer: Any, x: Array) -> Results:
        y, cache = layer.forward(x)
        dy = np.random.default_rng(len(x)).normal(size=y.shape).astype(y.dtype)
        dx = layer.backward(dy, cache)
        layer.backward_params(dy, layer.forward(x)[1])
        return {"y": y, "dx": dx}

    yield from _rows(layer, double, x, run)


def model_rows(model: Any, double: Any, x: Any, rng: np.random.Generator) -> Iterator[Row]:
    """A row if a twin runs in the model's ``backprop``."""
    if not isinstance(model, Module):
        return

    def run(model: Any, x: Any) -> Results:
        terms = model.backprop(x, copy.deepcopy(rng))
        return {name: np.asarray(value) for name, value in terms.items()}

    yield from _rows(model, double, x, run)


def _rows(subject: Any, double: Any, x: Any, run: Callable[[Any, Any], Results]) -> Iterator[Row]:
    worst: tuple[float, Row] | None = None
    dtypes = {np.dtype(np.float64), subject.dtype} & _ROUNDING.keys()
    for dtype in sorted(dtypes, key=str, reverse=True):  # float64 first
        part = double if dtype == np.float64 else double.astype(dtype)
        for rows in sorted({_count(x), *_row_counts(x)}):
            row = _compare(part, _repeated(x, rows, dtype), run, dtype)
            if row is not None and (worst is None or row[0] > worst[0]):
                worst = row
    if worst is not None:
        yield worst[1]


def _compare(
    subject: Any, x: Any, run: Callable[[Any, Any], Results], dtype: np.dtype[Any]
) -> tuple[float, Row] | None:
    """The worst difference, divided by what rounding explains, and its row; None without twins."""
    params, replay = learnt(subject), Replay(subject)

    def reset() -> None:
        replay()
        clear_gradients(params)

    def results() -> Results:
        reset()
        found = run(subject, copy.deepcopy(x))
        return found | {f"d{name}": p.grad.copy() for name, p in params.items()}

    row = Row("as trained", error=0.0)
    where = f"at {_count(x)} rows in {dtype}"
    try:
        with definitions_only():
            defined = results()
    except (ValueError, TypeError):
        reset()
        return None  # it does not take a batch of this size
    try:
        with watching() as used:
            trained = results()
    except Exception as raised:
        row.remark = f"{where} the definition runs, and what trains raises {raised!r:.200}"
        return math.inf, row
    finally:
        reset()
    used.discard("Module.params")
    if not used:
        return None
    row.checked = row.size = sum(a.size for a in defined.values())
    sizes = {name: max(norm(a), norm(trained[name])) for name, a in defined.items()}
    # A gradient that is zero up to rounding, as of a bias before BatchNorm, may differ.
    floor = math.sqrt(np.finfo(dtype).eps) * max(sizes.values())
    for name, b in defined.items():
        a = trained[name]
        error = norm(a - b) / max(sizes[name], floor) if sizes[name] else 0.0
        if not error <= row.error:
            at = np.unravel_index(int(np.abs(a - b).argmax()), b.shape)
            row.error, row.worst = error, tuple(map(int, at))
            row.analytic, row.numeric = float(a[at]), float(b[at])
            row.remark = (
                f"{name} {where}: analytic is what trains, by the twin of "
                f"{', '.join(sorted(used))}; numeric is its definition"
            )
    excess = math.inf if math.isnan(row.error) else row.error / _ROUNDING[dtype]
    row.verdict = "pass" if excess <= 1 else "fail"
    if row.verdict == "pass":
        row.remark = ""
    return excess, row


def _count(x: Any) -> int:
    return len(x[0] if isinstance(x, tuple) else x)


def _row_counts(x: Any) -> tuple[int, ...]:
    """ROWS; of large samples fewer, which are enough for two micro-batches."""
    sample = np.asarray(x[0] if isinstance(x, tuple) else x)[:1].size
    return ROWS if sample <= _LARGE else (37, 64)


def _repeated(x: Any, rows: int, dtype: np.dtype[Any]) -> Any:
    """The samples, repeated to that many rows; in a tuple, those of each array."""
    if isinstance(x, tuple):
        return tuple(_repeated(a, rows, dtype) for a in x)
    x = np.asarray(x)
    if x.dtype.kind == "f":
        x = x.astype(dtype)
    return x[np.arange(rows) % len(x)]
