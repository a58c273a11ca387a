"""The latent map, and what the page's script needs to explore it: codes, samples and the decoder."""

from __future__ import annotations

import base64
import itertools
import json
import math
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from tinyae.models import ConditionalVariationalAutoencoder
from tinyae.param import Array
from tinyae.program import program_of
from tinyae.program.to_javascript import javascript
from tinyae.report.material import Material, principal
from tinyae.report.samples import png

_BYTES = 1_200_000  # of samples and their codes in a page
_MOST, _LEAST = 1000, 24  # rows on the map
_WEIGHTS = 3_000_000  # of a decoder that is worth carrying along
_UNUSUAL = 12  # rows with the highest scores, always among those of the page
_WIDTH, _HEIGHT = 620.0, 600.0
_GRID = (62, 60)  # cells of the density
_SHARES = (0.9, 0.6, 0.3)  # of the rows, within each line of equal density
COLOURS = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1"),
    *("#76b7b2", "#d4a72c", "#ff9da7", "#9c755f", "#8f8a86"),
)


@dataclass(frozen=True)
class Explorer:
    """What goes into the page: the map (SVG), the data (JSON) and the decoder (JavaScript or "").

    ``rows`` are the samples of the page; ``unusual`` those of them with the highest scores, as places
    in ``rows``; ``ranges`` the least and the largest place along each axis.
    """

    svg: str
    data: str
    decoder: str
    rows: Array
    unusual: list[int]
    ranges: list[list[float]]
    dimensions: int


def explorer(m: Material) -> Explorer:
    """The map and the data for the rows that find room in a page."""
    decoder, note = _decoder(m)
    if note:
        m.notes.append(note)
    rows = _chosen(m)
    codes = m.codes
    ranges: list[list[float]] = []
    data: dict[str, Any] = {"kind": m.look.kind, "shape": m.look.shape, "ink": m.look.ink}
    data |= {"low": _plain(m.look.low), "high": _plain(m.look.high), "columns": m.look.columns}
    data |= {"classes": m.classes, "colours": COLOURS}
    if m.y is not None:
        data |= {"x": _packed(m, m.x[rows]), "names": [m.names[i] for i in rows]}
        data["scale"] = _plain(m.scale) if m.model.scaler is not None else 1
        data["labels"] = None if m.labels is None else m.labels[rows].tolist()
        if not decoder:
            data["y"] = _packed(m, m.y[rows])
    if m.scores is not None:
        data |= {"scores": _floats(m.scores[rows]), "all": _floats(np.sort(m.scores))}
        data["normal"] = None if m.abnormal is None else _floats(np.sort(m.scores[~m.abnormal]))
        data["threshold"] = m.threshold
        data["start"] = int(np.argsort(m.scores[rows])[len(rows) // 2])  # a typical sample
    svg, dimensions = "", 0
    if codes is not None:
        mean, axes, shares = principal(codes)
        placed = (codes.astype(np.float64) - mean) @ axes.T
        low, high = np.quantile(placed, (0.002, 0.998), axis=0)
        middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-9) * 1.08
        names, dimensions = _axis_names(shares, codes.shape[1]), codes.shape[1]
        ranges = np.stack([middle - half, middle + half], axis=1).tolist()
        view = _View(placed, middle, half)
        data |= {"mean": _floats(mean), "axes": _floats(axes), "codes": _floats(codes[rows])}
        data |= {"ranges": ranges, "view": view.transform, "conditions": _conditions(m)}
        data["spread"] = 1 if m.y is None else math.prod(_one_code(m).shape[2:])
        svg = _map(m, view, rows, names)
    unusual = [] if m.scores is None or m.y is None else _most_unusual(m, rows)
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return Explorer(svg, text, decoder, rows, unusual, ranges, dimensions)


def _decoder(m: Material) -> tuple[str, str]:
    """The decoder in JavaScript; else "", and why."""
    if m.codes is None:
        return "", ""
    try:
        code_shape = np.shape(_one_code(m))[1:]
        program = program_of(m.model, "decoder", tuple(code_shape))
        if program.weights.size > _WEIGHTS:
            return "", (
                f"The decoder has {program.weights.size:,} weights, too many for a page: the map shows "
                "samples, but nothing can be decoded from it."
            )
        return javascript(program, "decode"), ""
    except (TypeError, ValueError) as error:
        return "", f"The decoder does not run in this page: {error}."


def _one_code(m: Material) -> Array:
    """One row that the decoder's layers take: a code and, for a conditional model, its class."""
    if not hasattr(m.model, "encode"):
        assert m.codes is not None
        return m.codes[:1]
    if isinstance(m.model, ConditionalVariationalAutoencoder):
        z = m.model.encode((m.x[:1], m.labels[:1] if m.labels is not None else None))
        return np.zeros((1, z.shape[1] + m.model.classes, *z.shape[2:]))
    return m.model.encode(m.x[:1])


def _conditions(m: Material) -> int:
    return getattr(m.model, "classes", 0) if hasattr(m.model, "decoder") else 0


def _chosen(m: Material) -> Array:
    """Rows from all over the data, and those with the highest scores."""
    if m.y is None:
        return np.arange(0 if m.codes is None else len(m.codes))
    each = math.prod(m.look.shape) * (1 if m.look.kind == "image" else 4)
    each += 0 if m.codes is None else 4 * m.codes.shape[1]
    room = int(np.clip(_BYTES // each, _LEAST, _MOST))
    rows = np.linspace(0, len(m.x) - 1, min(room, len(m.x))).astype(int)
    if m.scores is not None:
        rows = np.union1d(rows, np.argsort(-m.scores, kind="stable")[:_UNUSUAL])
    return rows


def _most_unusual(m: Material, rows: Array) -> list[int]:
    assert m.scores is not None
    highest = np.argsort(-m.scores, kind="stable")[:_UNUSUAL]
    return [int(np.searchsorted(rows, i)) for i in highest]


def _axis_names(shares: Array, size: int) -> list[str]:
    if size <= 2:
        return [f"z{'₁₂'[k]}" for k in range(size)]
    return [
        f"principal axis {k + 1}, {100 * s:.0f} % of the variance" for k, s in enumerate(shares)
    ]


# --- packing ------------------------------------------------------------------------------------------


def _plain(a: Array) -> Any:
    return np.asarray(a, np.float64).tolist()


def _floats(a: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(a, "<f4").tobytes()).decode()


def _packed(m: Material, x: Array) -> str:
    """Images in 8 bits, as they are seen; numbers that are read in 32."""
    flat = x.reshape(len(x), -1)
    if m.look.kind != "image":
        return _floats(flat)
    share = (flat - m.look.low) / (m.look.high - m.look.low)
    return base64.b64encode(np.clip(share * 255 + 0.5, 0, 255).astype(np.uint8).tobytes()).decode()


# --- the map ------------------------------------------------------------------------------------------


class _View:
    """Places along the first two axes → units of the drawing, the same along both."""

    def __init__(self, placed: Array, middle: Array, half: Array) -> None:
        if placed.shape[1] == 1:  # the vertical place of a code of one number means nothing
            jitter = np.random.default_rng(0).uniform(-0.4, 0.4, len(placed)) * half[0]
            placed = np.column_stack([placed, jitter])
            middle, half = np.append(middle, 0.0), np.append(half, half[0])
        self.placed = placed
        self.scale = min(_WIDTH / (2 * half[0]), _HEIGHT / (2 * half[1]))
        self.middle = middle[:2]

    @property
    def transform(self) -> list[float]:
        """a, b, c with x′ = a x + b and y′ = −a y + c."""
        a = self.scale
        b, c = _WIDTH / 2 - a * self.middle[0], _HEIGHT / 2 + a * self.middle[1]
        return [float(v) for v in (a, b, c)]

    def points(self) -> Array:
        a, b, c = self.transform
        inside = self.placed[:, :2] * (a, -a) + (b, c)
        return np.clip(inside, (4, 4), (_WIDTH - 4, _HEIGHT - 4))


def _map(m: Material, view: _View, rows: Array, names: list[str]) -> str:
    points = view.points()
    labels = np.zeros(len(points), int) if m.labels is None else m.labels
    kinds = np.unique(labels)
    coloured = 1 < len(kinds) <= len(COLOURS)
    parts = [_density(points)]
    colours = labels % len(COLOURS)
    radius = "2.6" if len(rows) > 400 else "3.4"
    dots = []
    for i in rows:
        fill = f' fill="{COLOURS[colours[i]]}"' if coloured else ""
        dots.append(f'<circle cx="{points[i, 0]:.1f}" cy="{points[i, 1]:.1f}" r="{radius}"{fill}/>')
    parts.append(f'<g class="dots" id="dots">{"".join(dots)}</g>')
    if coloured:
        places = np.array([np.median(points[labels == k], axis=0) for k in kinds])
        for k, (x, y) in zip(kinds, _apart(places, [len(m.classes[k]) for k in kinds])):
            parts.append(
                f'<text class="class" x="{x:.0f}" y="{y + 6:.0f}">{escape(m.classes[k])}</text>'
            )
    along = names[0] if names else "z₁"
    parts.append(
        f'<text class="axis-name" x="{_WIDTH - 6:g}" y="{_HEIGHT - 8:g}">{escape(along)} →</text>'
    )
    if len(names) > 1:
        up = f'transform="translate(14,{_HEIGHT - 8:g}) rotate(-90)"'
        parts.append(f'<text class="axis-name up" {up}>{escape(names[1])} →</text>')
    parts.append(
        '<g id="handle" class="handle" tabindex="0" role="slider" aria-label="Point in the latent map: '
        'move it with the arrow keys" aria-valuemin="0" aria-valuemax="100" aria-valuenow="50" '
        'aria-valuetext="the centre"><path d="M-20,0H-9M9,0H20M0,-20V-9M0,9V20"/>'
        '<circle r="9"/><circle class="core" r="2.5"/></g>'
    )
    what = f"Map of {len(rows)} codes" + (f" of {len(kinds)} classes" if coloured else "")
    return (
        f'<svg id="map" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="group" aria-label="{what}">'
        f"{''.join(parts)}</svg>"
    )


def _apart(places: Array, lengths: list[int]) -> Array:
    """Places of words, moved up and down until none covers another."""
    places = places.copy()
    for _ in range(100):
        moved = False
        for i, j in itertools.combinations(range(len(places)), 2):
            dx, dy = np.abs(places[i] - places[j])
            if dx < 5.5 * (lengths[i] + lengths[j]) and dy < 19:
                upper, lower = (i, j) if places[i, 1] <= places[j, 1] else (j, i)
                places[upper, 1] -= (19.5 - dy) / 2
                places[lower, 1] += (19.5 - dy) / 2
                moved = True
        if not moved:
            break
    return places


def _density(points: Array) -> str:
    """Where the rows are dense: a soft shade, and lines within which given shares of them lie."""
    columns, lines = _GRID
    sigma = 1.6 * (max(1000 / len(points), 1)) ** (1 / 6)  # cells; wider where there are few points
    counts, _, _ = np.histogram2d(
        points[:, 1], points[:, 0], (lines, columns), ((0, _HEIGHT), (0, _WIDTH))
    )
    density = _blurred(_blurred(counts.T, sigma).T, sigma)
    grey = np.full((lines, columns, 4), 128, np.uint8)
    grey[..., 3] = np.round(70 * np.sqrt(density / (density.max() or 1)))
    shade = (
        f'<image width="{_WIDTH:g}" height="{_HEIGHT:g}" preserveAspectRatio="none" '
        f'href="{png(grey)}"/>'
    )
    own = density[
        np.clip((points[:, 1] / _HEIGHT * lines).astype(int), 0, lines - 1),
        np.clip((points[:, 0] / _WIDTH * columns).astype(int), 0, columns - 1),
    ]
    contours = [_contour(density, float(np.quantile(own, 1 - share))) for share in _SHARES]
    return shade + "".join(
        f'<path class="contour k{k}" d="{path}"/>' for k, path in enumerate(contours) if path
    )


def _blurred(a: Array, sigma: float) -> Array:
    """A Gaussian mean along the first axis."""
    reach = math.ceil(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(a, ((reach, reach), (0, 0)))
    total = sum(w * padded[k : k + len(a)] for k, w in enumerate(weights / weights.sum()))
    return np.asarray(total)


# Of a square's four corners, counted from the upper left with the clock, those above the level →
# the sides between which the line passes: 0 top, 1 right, 2 bottom, 3 left.
_SIDES: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((3, 0),), 2: ((0, 1),), 3: ((3, 1),), 4: ((1, 2),), 5: ((3, 0), (1, 2)), 6: ((0, 2),),
    7: ((3, 2),), 8: ((2, 3),), 9: ((2, 0),), 10: ((0, 1), (2, 3)), 11: ((2, 1),), 12: ((1, 3),),
    13: ((1, 0),), 14: ((0, 3),),
}  # fmt: skip


def _contour(density: Array, level: float) -> str:
    """The line of one density, as an SVG path.

    Source    marching squares: Lorensen & Cline (1987), in the plane
    """
    lines, columns = density.shape
    dx, dy = _WIDTH / columns, _HEIGHT / lines
    pieces = []
    for i in range(lines - 1):
        for j in range(columns - 1):
            corners = [density[i, j], density[i, j + 1], density[i + 1, j + 1], density[i + 1, j]]
            case = sum(1 << k for k, v in enumerate(corners) if v > level)
            for sides in _SIDES.get(case, ()):
                ends = []
                for side in sides:
                    a, b = corners[side], corners[(side + 1) % 4]
                    t = (level - a) / (b - a)
                    u, v = ((t, 0), (1, t), (1 - t, 1), (0, 1 - t))[side]
                    ends.append(f"{(j + 0.5 + u) * dx:.1f},{(i + 0.5 + v) * dy:.1f}")
                pieces.append(f"M{ends[0]}L{ends[1]}")
    return "".join(pieces)
