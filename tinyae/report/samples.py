"""How one sample is shown: as an image, as lines, or as the columns of a table."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from tinyae.arrays import FEW_COLUMNS
from tinyae.param import Array
from tinyae.report.drawing import Plot, text_of

KINDS = ("image", "signal", "table")
_FEW_CHANNELS = 8  # (N, C, L) with more is taken for images
_BACKGROUND = 0.65  # share of dark pixels above which an image is drawn as ink on paper


@dataclass(frozen=True)
class Look:
    """How the samples of a data set are drawn, on one scale for all of them.

    kind       "image", "signal" or "table"
    shape      (C, H, W) with 1 or 3 channels, (C, L), or (D,)
    low, high  of the scale: numbers for images and signals, arrays (D,) for a table
    ink        images whose background is dark: drawn dark on light, where the page is light
    """

    kind: str
    shape: tuple[int, ...]
    low: Array
    high: Array
    columns: tuple[str, ...] = ()
    ink: bool = False

    def view(self, sample: Array) -> Array:
        """A sample in the shape in which it is drawn."""
        return np.asarray(sample, np.float64).reshape(self.shape)

    def thumbnail(self, sample: Array, name: str, css: str = "") -> str:
        """A small static picture of a sample: an <img> or an <svg>; "" for a row of a table."""
        if self.kind == "image":
            ink = " ink" if self.ink else ""
            return _img(self.pixels(sample), name, f"pixels{ink} {css}".strip())
        return "" if self.kind == "table" else self.lines([sample], name)

    def pixels(self, sample: Array) -> Array:
        """Grey (H, W) or colour (H, W, 3) in 0…255."""
        share = (self.view(sample) - self.low) / (self.high - self.low)
        grey = np.clip(np.nan_to_num(share) * 255 + 0.5, 0, 255).astype(np.uint8)
        return grey[0] if len(grey) == 1 else grey.transpose(1, 2, 0)

    def difference(self, sample: Array, y: Array, largest: float, name: str) -> str:
        """y − sample as a picture: one colour for more, one for less, nothing where they agree."""
        d = (self.view(y) - self.view(sample)).mean(axis=0) / (largest or 1.0)
        return _img(_coloured(np.clip(d, -1, 1)), name, "pixels")

    def heat(self, values: Array, name: str) -> str:
        """Errors ≥ 0 of each pixel (C, H, W), as the strength of one colour."""
        v = self.view(values).mean(axis=0)
        return _img(_coloured(v / (float(v.max()) or 1.0)), name, "pixels heat")

    def lines(self, samples: Sequence[Array], name: str, width: int = 230, height: int = 96) -> str:
        """Signals over each other, the first as a broad grey line."""
        margin = 0.06 * float(self.high - self.low)
        limits = float(self.low) - margin, float(self.high) + margin
        plot = Plot(width, height, (0, self.shape[-1] - 1), limits, (2, 2, 2, 2))
        for k, sample in enumerate(samples):
            for channel in self.view(sample):
                plot.line(range(len(channel)), channel, "given" if k == 0 else "line")
        return plot.svg(name)

    def rows(self, x: Array, y: Array, which: Sequence[int]) -> str:
        """Columns of a table, each on its own scale: a ring for the value, a dot for the model's."""
        out = []
        for k in which:
            low, high = float(self.low[k]), float(self.high[k])
            places = [min(max((v - low) / (high - low), 0), 1) for v in (float(x[k]), float(y[k]))]
            a, b = (f"{100 * p:.1f}%" for p in places)
            left, right = (f"{100 * p:.1f}%" for p in sorted(places))
            track = f'<i class="span" style="left:{left};right:calc(100% - {right})"></i>'
            track += f'<i class="ring" style="left:{a}"></i><i class="dot" style="left:{b}"></i>'
            values = f"{text_of(float(x[k]))} <s>→</s> {text_of(float(y[k]))}"
            out.append(
                f'<div class="row"><span class="name">{escape(self.columns[k])}</span>'
                f'<span class="track">{track}</span><span class="value">{values}</span></div>'
            )
        return f'<div class="rows">{"".join(out)}</div>'


def look_at(x: Array, columns: Sequence[str] | None, kind: str | None) -> Look:
    """How samples like the rows of x are best shown.

    Raises
        ValueError  x cannot be shown as that kind
    """
    shape = x.shape[1:]
    kind = kind or _kind(shape, columns)
    some = np.asarray(x[:: max(1, len(x) // 2000)], np.float64)
    if kind == "image":
        view = _image_shape(shape)
        low, high = _limits(some)
        ink = view[0] == 1 and float((some < low + 0.15 * (high - low)).mean()) > _BACKGROUND
        return Look(kind, view, np.array(low), np.array(high), (), ink)
    if kind == "signal":
        view = (1, *shape) if len(shape) == 1 else (math.prod(shape[:-1]), shape[-1])
        low, high = _limits(some)
        return Look(kind, view, np.array(low), np.array(high))
    flat = some.reshape(len(some), -1)
    low, high = flat.min(axis=0), flat.max(axis=0)
    width = flat.shape[1]
    names = tuple(columns) if columns else tuple(f"column {k}" for k in range(1, width + 1))
    if len(names) != width:
        raise ValueError(
            f"report: columns has {len(names)} names, expected {width}, one for each column of x"
        )
    return Look(kind, (width,), low, np.where(high > low, high, low + 1), names)


def _kind(shape: tuple[int, ...], columns: Sequence[str] | None) -> str:
    if len(shape) == 1:
        return "table" if columns or shape[0] <= FEW_COLUMNS else "signal"
    if len(shape) == 2 and shape[0] <= _FEW_CHANNELS:
        return "signal"
    return "image"


def _image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C, H, W) of 1 or 3 channels; other channels lie below each other."""
    if len(shape) == 3:
        return shape if shape[0] in (1, 3) else (1, shape[0] * shape[1], shape[2])
    side = math.isqrt(math.prod(shape))
    if len(shape) == 2:
        return (1, *shape)
    if len(shape) != 1 or side * side != shape[0]:
        raise ValueError(
            f"report: a sample has shape {shape}, expected (C, H, W), (H, W) or a square number of "
            "pixels; pass kind='signal' or kind='table'"
        )
    return (1, side, side)


def _limits(x: Array) -> tuple[float, float]:
    low, high = float(x.min()), float(x.max())
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    low, high = (float(v) for v in np.quantile(x, (0.002, 0.998)))  # not the few most extreme
    return (low, high) if high > low else (low - 0.5, low + 0.5)


# --- PNG ------------------------------------------------------------------------------------------

_MORE, _LESS = (200, 78, 32), (45, 108, 180)


def _coloured(v: Array) -> Array:
    """Numbers in −1…1 as RGBA: colour by sign, opacity by size."""
    rgba = np.empty((*v.shape, 4), np.uint8)
    rgba[..., :3] = np.where((v > 0)[..., None], _MORE, _LESS)
    rgba[..., 3] = np.round(255 * np.sqrt(np.abs(v)) * np.abs(v) ** 0.25)
    return rgba


def _img(pixels: Array, name: str, css: str) -> str:
    return f'<img class="{css}" alt="{escape(name)}" src="{png(pixels)}">'


def png(pixels: Array) -> str:
    """Bytes (H, W), (H, W, 3) or (H, W, 4) as a data URL of a PNG.

    Source    W3C, Portable Network Graphics (PNG) Specification, §5.3, §9 and §11.2
    """
    height, width = pixels.shape[:2]
    colour = {1: 0, 3: 2, 4: 6}[pixels[0, 0].size]
    rows = pixels.reshape(height, -1)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
