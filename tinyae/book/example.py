"""A small example of a layer that runs when the book is made: values, gradients, numeric gradients.

The program that the page shows is the program that is run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyae.gradcheck import numeric_gradient
from tinyae.gradcheck.replay import Replay, clear_gradients
from tinyae.param import Array, unique
from tinyae.twin import definitions_only

PROGRAM = """\
import numpy as np
from tinyae import catalog

row = next(row for row in catalog.{table} if row.name == {name!r})
rng = np.random.default_rng({seed})
integers = catalog.integers_from(rng, least=2)
"""
LAYER = """\
layer, x = row.draw(integers, rng)
y, cache = layer.forward(x)
dy = rng.normal(size=y.shape)
dx = layer.backward(dy, cache)
"""
LOSS = """\
loss, y, target = row.draw(integers, rng)
L, dy = loss(y, target)
"""
MODEL = """\
model, x = row.draw(integers, rng)
first = model.objective(x, np.random.default_rng(1))
optimizer = ta.Adam(1e-2)
for step in range(50):
    model.backprop(x, np.random.default_rng(1))
    optimizer.step(model.params)
last = model.objective(x, np.random.default_rng(1))
"""


@dataclass
class Compared:
    """A gradient beside its numeric one.

    ``error`` is ‖a − n‖ relative to ‖n‖, or to a thousandth of the largest gradient of the layer if
    that is more: a gradient that is truly zero has no digits to agree in.
    """

    name: str
    analytic: Array
    numeric: Array
    error: float


@dataclass
class Example:
    program: str
    shown: str  # the layer, as it prints
    values: dict[str, Array]
    gradients: list[Compared]


def of_layer(name: str, seed: int = 0) -> Example:
    """The example of a row of the catalog, run."""
    program = PROGRAM.format(table="LAYERS", name=name, seed=seed) + LAYER
    names: dict[str, Any] = {}
    with definitions_only():
        exec(compile(program, "<example>", "exec"), names)
        layer, x, y, dy = (names[k] for k in ("layer", "x", "y", "dy"))
        return Example(program, repr(layer), {"x": x, "y": y, "dy": dy}, _gradients(layer, x, dy))


def of_loss(name: str, seed: int = 0) -> Example:
    """The example of a loss of the catalog, run."""
    program = PROGRAM.format(table="LOSSES", name=name, seed=seed) + LOSS
    names: dict[str, Any] = {}
    exec(compile(program, "<example>", "exec"), names)
    loss, y, target, L, dy = (names[k] for k in ("loss", "y", "target", "L", "dy"))
    numeric = numeric_gradient(lambda of: loss(of, target)[0], y)
    error = float(np.linalg.norm(dy - numeric) / np.linalg.norm(numeric))
    values = {"y": y, "t": target, "L": np.array([L])}
    return Example(program, repr(loss), values, [Compared("dy", dy, numeric, error)])


def _gradients(layer: Any, x: Array, dy: Array) -> list[Compared]:
    """∂L/∂x and every ∂L/∂θ for L = ⟨dy, y⟩, and the same by central differences."""
    replay, params = Replay(layer), unique(layer.params)

    def L(of: Array) -> float:
        replay()
        return float((dy * layer.forward(of)[0]).sum())

    replay()
    clear_gradients(params)
    cache = layer.forward(x)[1]
    dx = layer.backward(dy, cache)
    pairs = [("dx", dx, numeric_gradient(L, x))] if x.dtype.kind == "f" else []
    for name, p in params.items():
        saved = p.value.copy()

        def L_of(value: Array, p: Any = p) -> float:
            p.value[...] = value
            return L(x)

        label = ".".join([*name.split(".")[:-1], "d" + name.rpartition(".")[2]])
        pairs.append((label, p.grad.copy(), numeric_gradient(L_of, saved)))
        p.value[...] = saved
    floor = 1e-3 * max((float(np.linalg.norm(n)) for _, _, n in pairs), default=0.0)
    return [
        Compared(name, a, n, float(np.linalg.norm(a - n)) / max(float(np.linalg.norm(n)), floor))
        for name, a, n in pairs
    ]


def matrix(a: Array, rows: int = 4, columns: int = 5, digits: int = 3) -> str:
    """The corner of an array as a matrix in MathML, with dots where it goes on."""
    a = np.asarray(a)
    last = a.shape[-1] if a.ndim else 1
    flat = a.reshape(-1, last) if a.size else a.reshape(0, 1)
    corner = flat[:rows, :columns]
    wider, longer = last > columns, len(flat) > rows
    lines = []
    for row in corner:
        cells = [f"<mtd><mn>{number(v, digits)}</mn></mtd>" for v in row]
        lines.append(cells + (["<mtd><mo>⋯</mo></mtd>"] if wider else []))
    if longer:
        lines.append(["<mtd><mo>⋮</mo></mtd>"] * (corner.shape[1] + wider))
    body = "".join(f"<mtr>{''.join(cells)}</mtr>" for cells in lines)
    return f"<math><mrow><mo>[</mo><mtable>{body}</mtable><mo>]</mo></mrow></math>"


def number(v: Any, digits: int = 3) -> str:
    if isinstance(v, (int, np.integer)):
        return str(v).replace("-", "−")
    if not math.isfinite(v):
        return str(v)
    return f"{v + 0:.{digits}f}".replace("-", "−")
