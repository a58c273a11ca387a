"""Random chains of layers, for the tests of compiled programs."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

import tinyae as ta
from tinyae.catalog import LAYERS, integers_from
from tinyae.program.lower_layers import LOWER


def _has_operations(row):
    rng = np.random.default_rng(0)
    layer, _ = row.draw(integers_from(rng), rng)
    return type(layer) in LOWER


COMPILED = [row for row in LAYERS if _has_operations(row)]  # rows that a program can express


def widths(draw, low=1, high=70):
    return draw(st.integers(low, high))


class Architecture:
    """A random chain of layers and its input shape."""

    gates = True  # whether there may be a GLU

    def __init__(self, draw, rng):
        self.draw, self.rng = draw, rng
        axes = draw(st.sampled_from([1, 1, 2, 3, 3]))  # table, sequence or image
        self.input_shape = self.shape = (
            tuple(draw(st.integers(low, 9)) for low in (1, 3, 3)[:axes])
            if axes > 1
            else (widths(draw),)
        )
        self.layers = [self.layer(2) for _ in range(draw(st.integers(1, 6)))]

    def layer(self, depth):
        if len(self.shape) == 1:
            kinds = [self.dense, self.dense, self.anywhere]
        else:
            kinds = [
                *(self.conv, self.conv, self.up, self.pool, self.frame, self.anywhere),
                *(self.flatten, self.whole),
            ]
        if depth:
            kinds.append(lambda: self.nested(depth - 1))
        return self.draw(st.sampled_from(kinds))()

    def dense(self):
        width, out = self.shape[0], widths(self.draw)
        self.shape = (out,)
        return ta.Dense(width, out, rng=self.rng, dtype=np.float64)

    def conv(self):
        out, k, s = (self.draw(st.integers(1, high)) for high in (18, 3, 3))
        kind, more = self.kinds("Conv"), self.apart()
        out *= more.get("groups", 1)
        layer = kind(self.shape[0], out, k, s, "same", rng=self.rng, dtype=np.float64, **more)
        self.shape = (out, *(-(-n // s) for n in self.shape[1:]))
        return layer

    def up(self):
        if max(self.shape[1:]) > 12:
            return ta.ReLU()
        if self.draw(st.booleans()):
            self.shape = (self.shape[0], *(2 * n for n in self.shape[1:]))
            between = "linear" if len(self.shape) == 2 else "bilinear"
            mode = self.draw(st.sampled_from(["nearest", between]))
            return self.kinds("Upsample")(2, mode=mode)
        out, k, s = (self.draw(st.integers(1, high)) for high in (10, 4, 3))
        more = self.apart()
        out *= more.get("groups", 1)
        kind = self.kinds("ConvTranspose")
        layer = kind(self.shape[0], out, k, s, rng=self.rng, dtype=np.float64, **more)
        d = more.get("dilation", 1)
        self.shape = (out, *((n - 1) * s + (k - 1) * d + 1 for n in self.shape[1:]))
        return layer

    def kinds(self, name):
        """The class of that name for this many axes."""
        return getattr(ta, f"{name}{len(self.shape) - 1}d")

    def apart(self):
        """Dilation and groups of a convolution."""
        if not self.draw(st.booleans()):
            return {}
        divisors = [n for n in range(1, self.shape[0] + 1) if self.shape[0] % n == 0]
        dilation = self.draw(st.integers(1, 2)) if max(self.shape[1:]) > 2 else 1
        return {"dilation": dilation, "groups": self.draw(st.sampled_from(divisors))}

    def pool(self):
        kind = self.kinds(self.draw(st.sampled_from(["MaxPool", "AvgPool"])))
        if self.draw(st.booleans()):
            k, s = (self.draw(st.integers(1, 3)) for _ in range(2))
            self.shape = (self.shape[0], *(-(-n // s) for n in self.shape[1:]))
            return kind(k, s, "same")
        k = min(2, *self.shape[1:])
        self.shape = (self.shape[0], *((n - k) // k + 1 for n in self.shape[1:]))
        return kind(k)

    def frame(self):
        """A border of zeros or of the mirror image, pixels from channels, or halves with gates."""
        channels, *size = self.shape
        if self.gates and channels % 2 == 0 and self.draw(st.booleans()):
            self.shape = (channels // 2, *size)
            return ta.GLU()
        if len(size) == 1 or max(size) > 12:
            return ta.ReLU()
        if channels % 4 == 0 and self.draw(st.booleans()):
            self.shape = (channels // 4, *(2 * n for n in size))
            return ta.PixelShuffle(2)
        mode = self.draw(st.sampled_from(["zero", "reflect"]))
        most = 2 if mode == "zero" else min(2, *(n - 1 for n in size))
        border = tuple(self.draw(st.integers(0, most)) for _ in range(4))
        self.shape = (channels, size[0] + sum(border[:2]), size[1] + sum(border[2:]))
        return ta.Pad2d(border, mode)

    def whole(self):
        """A mean or maximum of each channel."""
        if len(self.shape) == 2:
            return ta.Tanh()
        self.shape = self.shape[:1]
        return self.draw(st.sampled_from([ta.GlobalAvgPool2d, ta.GlobalMaxPool2d]))()

    def flatten(self):
        self.shape = (math.prod(self.shape),)
        return ta.Flatten()

    def anywhere(self):
        kinds = [
            *(ta.ReLU, ta.Sigmoid, ta.Tanh, ta.Softplus, ta.GELU, ta.SiLU, ta.Softmax),
            *(ta.ELU, lambda: ta.LeakyReLU(0.2), lambda: ta.Dropout(0.5, rng=self.rng)),
            *(self.norm, self.norm, lambda: ta.LayerNorm(self.shape, dtype=np.float64)),
            *(
                self.prelu,
                ta.PixelNorm,
                self.group_norm,
                lambda: ta.RMSNorm(self.shape, dtype=np.float64),
            ),
            lambda: ta.TopK(min(3, math.prod(self.shape))),
        ]
        return self.draw(st.sampled_from(kinds))()

    def prelu(self):
        layer = ta.PReLU(self.shape[0], dtype=np.float64)
        layer.a.value[...] = self.rng.normal(size=self.shape[0])
        return layer

    def group_norm(self):
        if math.prod(self.shape) < 2:
            return ta.PixelNorm()
        layer = ta.GroupNorm(1, self.shape[0], dtype=np.float64)
        for p in layer.params.values():
            p.value[...] = self.rng.normal(size=p.shape)
        return layer

    def norm(self):
        layer = ta.BatchNorm(self.shape[0], dtype=np.float64)
        for a in (layer.running_mean, layer.gamma.value, layer.beta.value):
            a[...] = self.rng.normal(size=a.shape)
        layer.running_var[...] = self.rng.uniform(0.5, 2, layer.running_var.shape)
        return layer

    def nested(self, depth):
        """Residual, Skip or Parallel, whose layers must keep the image's size."""
        shape, first = self.shape, self.keeping(depth)
        wide = self.shape[0]
        kind = self.draw(st.sampled_from(["skip", "parallel", "residual", "sequential"]))
        if kind == "sequential":
            return ta.Sequential(first)
        if kind == "residual":
            self.shape = shape
            back = self.mixing(wide, shape[0])
            return ta.Residual(ta.Sequential(first, back))
        if kind == "skip":
            self.shape = (shape[0] + wide, *shape[1:])
            return ta.Skip(first)
        self.shape = shape
        second = self.keeping(depth)
        self.shape = (wide + self.shape[0], *shape[1:])
        return ta.Parallel(first, second)

    def keeping(self, depth):
        parts = []
        for _ in range(self.draw(st.integers(0, 2))):
            if self.draw(st.booleans()):
                out = widths(self.draw, 1, 9)
                parts.append(self.mixing(self.shape[0], out))
                self.shape = (out, *self.shape[1:])
            parts.append(self.anywhere())
        return ta.Sequential(*parts)

    def mixing(self, wide, out):
        if len(self.shape) == 1:
            return ta.Dense(wide, out, rng=self.rng, dtype=np.float64)
        return self.kinds("Conv")(wide, out, 3, 1, "same", rng=self.rng, dtype=np.float64)
