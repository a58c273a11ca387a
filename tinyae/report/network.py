"""A drawing of a network: every intermediate result as a bar, every layer between two of them."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from tinyae import layers
from tinyae.data.batches import rows
from tinyae.layers import Flatten, Reshape
from tinyae.layers.activation import activations
from tinyae.models import GAN, Model, VariationalAutoencoder
from tinyae.param import parameter_count
from tinyae.report.drawing import Plot
from tinyae.training_doctor.evidence import part_named

Shape = tuple[int, ...]
_PER_ROW = 8  # layers drawn beside each other
_JOINED = (
    *activations(),
    *(layers.BatchNorm, layers.LayerNorm, layers.GroupNorm, layers.InstanceNorm, layers.RMSNorm),
    *(layers.PixelNorm, layers.Dropout),
)
_TALLEST, _LOWEST = 148.0, 14.0
_WIDTH = 1000.0


@dataclass(frozen=True)
class Step:
    """A layer that is drawn: its name and kind, what comes out, and how much it has learnt."""

    part: str
    name: str
    kind: str
    shape: Shape
    parameters: int
    is_code: bool = False


def steps(model: Model, x: Any) -> list[Step]:
    """The layers in the order of a forward pass on x, traced on a copy.

    An activation, a norm or noise is told with the layer before it; a change of shape is no layer.
    """
    found: list[Step] = []
    for name, shape in _traced(model, x):
        layer = part_named(model, name)
        if layer is None:
            continue
        kind, part = type(layer).__name__, name.partition(".")[0]
        size = parameter_count(layer.params)
        if isinstance(layer, (Flatten, Reshape)):
            if found and isinstance(layer, Reshape) and found[-1].part == part:
                found[-1] = _with(found[-1], shape=shape)
            continue
        if isinstance(layer, _JOINED) and found and found[-1].part == part:
            before = found[-1]
            joined = f"{before.kind} + {kind}"
            found[-1] = _with(before, kind=joined, parameters=before.parameters + size)
            continue
        found.append(Step(part, name, kind, shape, size))
    return _code_marked(model, found)


def _traced(model: Model, x: Any) -> list[tuple[str, Shape]]:
    """The name and the shape of one sample's result of each layer."""
    own: Any = copy.deepcopy(model)
    rng = np.random.default_rng(0)
    if isinstance(model, GAN):
        z = own.noise(2, rng)
        traced = own.generator.trace(z, "generator")
    else:
        traced = own.trace(own.as_input(rows(x, slice(0, 2))), rng)
    on_the_way = ((name, y) for name, y in traced if not name.startswith("discriminator"))
    return [(name, tuple(y.shape[1:])) for name, y in on_the_way]


def _with(step: Step, **changes: Any) -> Step:
    return Step(**{**vars(step), **changes})


def _code_marked(model: Model, found: list[Step]) -> list[Step]:
    """The same steps; the one that gives the code says so."""
    last = "mean" if isinstance(model, VariationalAutoencoder) else "encoder"
    codes = [k for k, step in enumerate(found) if step.part == last]
    if codes:
        found[codes[-1]] = _with(found[codes[-1]], is_code=True)
    return found


def drawing(found: list[Step], input_shape: Shape, caption: str) -> str:
    """The network from left to right, in rows where it is long."""
    heads = {step.part for step in found} & {"logvar"}
    shown = [step for step in found if step.part not in heads]
    if len(shown) <= _PER_ROW:
        lines = [shown]
    else:
        cut = next((k + 1 for k, s in enumerate(shown) if s.is_code), len(shown) // 2)
        halves = [shown[:cut], shown[cut:]]
        lines = [row for half in halves for row in _balanced(half)]
    most = max(math.prod(s) for s in (input_shape, *(step.shape for step in shown)))
    gap = min((_WIDTH - 110) / max(map(len, lines), default=1), 190.0)
    out, before, is_code = [], input_shape, False
    for k, row in enumerate(lines):
        name = caption if k == 0 else f"{caption}, continued"
        out.append(_row(row, before, is_code, most, name, gap, first=k == 0))
        before, is_code = row[-1].shape, row[-1].is_code
    return "".join(out)


def _balanced(part: list[Step]) -> list[list[Step]]:
    """The steps in rows of nearly equal length, none of them empty."""
    n = math.ceil(len(part) / _PER_ROW)
    cuts = [round(k * len(part) / max(n, 1)) for k in range(n + 1)]
    return [part[a:b] for a, b in itertools.pairwise(cuts)]


def _row(
    row: list[Step], before: Shape, code_before: bool, most: int, name: str, gap: float, first: bool
) -> str:
    lines = max(step.kind.count(" + ") for step in row)
    height = 222.0 + 15 * lines
    start = (_WIDTH - gap * len(row)) / 2
    plot = Plot(_WIDTH, height, (0, 1), (0, 1), (0, 0, 0, 0))
    middle, bar = 104.0, 9.0

    def tall(shape: Shape) -> float:
        share = math.log(1 + math.prod(shape)) / math.log(1 + most)
        return _LOWEST + (_TALLEST - _LOWEST) * share**2

    places = [start + k * gap for k in range(len(row) + 1)]
    shapes = [before, *(step.shape for step in row)]
    codes = [code_before, *(step.is_code for step in row)]
    for k, step in enumerate(row):
        a, b = tall(shapes[k]) / 2, tall(shapes[k + 1]) / 2
        left, right = places[k] + bar / 2 + 3, places[k + 1] - bar / 2 - 3
        title = f"{step.name}: {step.kind}, {step.parameters:,} parameters"
        plot.add(
            f'<path class="layer" d="M{left:.1f},{middle - a:.1f}L{right:.1f},{middle - b:.1f}'
            f'V{middle + b:.1f}L{left:.1f},{middle + a:.1f}Z"><title>{escape(title)}</title></path>'
        )
        centre = (left + right) / 2
        for line, words in enumerate(step.kind.split(" + ")):
            words = words if line == 0 else f"+ {words}"
            plot.text(centre, 212 + 15 * line, words, "kind", "middle")
        if step.parameters:
            plot.text(centre, middle + 4, f"{step.parameters:,}", "count", "middle")
    for k, (place, shape, is_code) in enumerate(zip(places, shapes, codes)):
        h = tall(shape)
        css = "bar code" if is_code else "bar"
        plot.add(
            f'<rect class="{css}" x="{place - bar / 2:.1f}" y="{middle - h / 2:.1f}" '
            f'width="{bar}" height="{h:.1f}" rx="2"/>'
        )
        words = "×".join(map(str, shape)) or "1"
        plot.text(place, middle + h / 2 + 15, words, "shape code" if is_code else "shape", "middle")
        if is_code:
            plot.text(place, middle - h / 2 - 8, "code", "shape code", "middle")
        if first and k == 0:
            plot.text(place, middle - h / 2 - 8, "input", "shape", "middle")
    return plot.svg(name, "network")


def table(found: list[Step]) -> str:
    """The same as a table."""
    lines = [
        f"<tr><td>{escape(s.name)}</td><td>{escape(s.kind)}</td>"
        f'<td class="n">{"×".join(map(str, s.shape)) or 1}</td><td class="n">{s.parameters:,}</td></tr>'
        for s in found
    ]
    head = (
        '<tr><th>layer</th><th>kind</th><th class="n">output</th><th class="n">parameters</th></tr>'
    )
    return f"<table>{head}{''.join(lines)}</table>"
