"""Drawings as SVG text: a frame with scales, lines and words in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

Limits = tuple[float, float]


def text_of(v: float, digits: int = 3) -> str:
    """A number for people: 0.0105, 1,234, 5.2e-07."""
    if not math.isfinite(v):
        return "∞" if v > 0 else "−∞" if v < 0 else "NaN"
    if v == 0:
        return "0"
    size = math.floor(math.log10(abs(v)))
    if size < -4 or size > 8:
        return f"{v:.{digits - 1}e}".replace("-", "−")
    text = f"{v:,.{max(digits - 1 - size, 0)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from low to high: multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / max(count, 1)
    if not raw > 0 or not math.isfinite(raw):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from low to high; only the powers where these are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [m * 10.0**p for p in powers for m in factors if low <= m * 10.0**p <= high]


def figure(content: str, caption: str, css: str = "") -> str:
    """A figure with its caption, which is HTML."""
    css = f' class="{css}"' if css else ""
    return f"<figure{css}>{content}<figcaption>{caption}</figcaption></figure>"


def wide(content: str) -> str:
    """Content that is scrolled on a narrow screen instead of being made too small to read."""
    return f'<div class="scroll">{content}</div>'


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{text_of(100 * share, 2 if share < 0.95 else 3)} %"


class Plot:
    """A frame with scales: data → units of the drawing.

    margins    left, top, right, bottom
    """

    def __init__(
        self,
        width: float,
        height: float,
        x: Limits,
        y: Limits,
        margins: tuple[float, float, float, float] = (56, 14, 20, 42),
        log: bool = False,
    ) -> None:
        self.width, self.height, self.xs, self.ys, self.log = width, height, x, y, log
        self.left, self.top, right, bottom = margins
        self.right, self.bottom = width - right, height - bottom
        self.parts: list[str] = []

    def x(self, v: float) -> float:
        low, high = self.xs
        return self.left + (v - low) / ((high - low) or 1) * (self.right - self.left)

    def y(self, v: float) -> float:
        low, high = (math.log10(s) for s in self.ys) if self.log else self.ys
        v = math.log10(max(v, 1e-300)) if self.log else v
        return self.bottom - (v - low) / ((high - low) or 1) * (self.bottom - self.top)

    def add(self, text: str) -> None:
        self.parts.append(text)

    def line(self, xs: Iterable[float], ys: Iterable[float], css: str) -> None:
        points = [(self.x(a), self.y(b)) for a, b in zip(xs, ys) if math.isfinite(b)]
        path = "L".join(f"{a:.1f},{b:.1f}" for a, b in points)
        if path:
            self.add(f'<path class="{css}" d="M{path}"/>')

    def text(self, x: float, y: float, words: str, css: str = "", anchor: str = "start") -> None:
        """Words at a place in the units of the drawing."""
        css = f' class="{css}"' if css else ""
        self.add(
            f'<text{css} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def dot(self, x: float, y: float, css: str, radius: float = 4, title: str = "") -> None:
        """A dot at a place in the units of the data."""
        inside = f"<title>{escape(title)}</title>" if title else ""
        place = f'cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius:g}"'
        self.add(f'<circle class="{css}" {place}>{inside}</circle>')

    def x_axis(self, title: str, ticks: Sequence[tuple[float, str]] | None = None) -> None:
        """Ticks, each a place and its words, and a title below them."""
        if ticks is None:
            ticks = [(v, text_of(v)) for v in nice_ticks(*self.xs, 7)]
        self.add(f'<path class="axis" d="M{self.left},{self.bottom}H{self.right}"/>')
        for v, words in ticks:
            self.text(self.x(v), self.bottom + 17, words, "tick", "middle")
        self.text((self.left + self.right) / 2, self.height - 4, title, "label", "middle")

    def y_axis(self, title: str, grid: bool = True) -> None:
        """Ticks with hairlines, and a title above them."""
        ticks = log_ticks(*self.ys) if self.log else nice_ticks(*self.ys, 4)
        for v in ticks:
            if grid:
                self.add(f'<path class="grid" d="M{self.left},{self.y(v):.1f}H{self.right}"/>')
            self.text(self.left - 8, self.y(v) + 4, text_of(v), "tick", "end")
        self.text(0, 11, title, "label")

    def svg(self, name: str, css: str = "", inside: str = "") -> str:
        """The drawing, with its name for those who cannot see it."""
        css = f' class="{css}"' if css else ""
        return (
            f'<svg{css} viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(name)}">{inside}{"".join(self.parts)}</svg>'
        )
