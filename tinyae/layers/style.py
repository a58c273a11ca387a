"""Images drawn by styles: a constant goes through convolutions whose weights a style scales.

A style is a vector w. Each layer of the network has its own, so that coarse and fine layers may
get the styles of different images. :class:`Synthesis` is the whole network, a layer from styles to
feature maps; :class:`StyleBlock` and :class:`ModulatedConv2d` are its parts, which take two arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import (
    check_callable,
    check_generator,
    flag,
    float_dtype,
    positive_int,
    positive_pair,
)
from tinyae.initializers import Initializer, Normal
from tinyae.layers.activation import LeakyReLU
from tinyae.layers.base import Layer, Module, check_dy, check_input
from tinyae.layers.conv import Conv2d
from tinyae.layers.dense import Dense
from tinyae.layers.equalized import Equalized
from tinyae.layers.noise import PixelNoise
from tinyae.layers.upsample import Upsample2d
from tinyae.param import Array, Param

__all__ = ["ModulatedConv2d", "StyleBlock", "Synthesis"]


class ModulatedConv2d(Module):
    """A convolution whose input channels are scaled by s, and whose outputs are scaled back.

    Were x of independent entries with variance 1, y would have it too, whatever s and W are. So a
    style chooses which channels matter, and cannot blow any of them up.

    Forward   y = d ∘ (W ∗ (s ∘ x)) + b,   d[n,o] = 1/√(t + ε),   t[n,o] = Σ_c s[n,c]² q[o,c],
              q[o,c] = Σ_{u,v} W[o,c,u,v]²;   the same as a convolution with the weights
              W′ₙ = d[n,o] s[n,c] W[o,c,u,v], which have norm 1 for every sample and output
    Shapes    x (N, C, H, W)   s (N, C)   W (O, C, k, k)   b (O,)   q (O, C)   t, d (N, O)
              y (N, O, H, W)
    Backward  with r = W ∗ (s ∘ x), dr = d ∘ dy, and for the scale g = ∂L/∂t = −½ d³ Σ_{i,j} dy r:
              dx = s ∘ Cᵀdr      ds = Σ_{i,j} x ∘ Cᵀdr + 2 s ∘ (g q)
              dW = ∂⟨dr, W ∗ (s ∘ x)⟩/∂W + 2 W gᵀs²      db = Σ dy
    Cache     x, s, s ∘ x, r, q, d
    Raises    ValueError if x or s has another shape
    Source    Karras et al. (2020), eq. 1 to 3 (weight demodulation)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_channels = positive_int("ModulatedConv2d", "in_channels", in_channels)
        self.out_channels = positive_int("ModulatedConv2d", "out_channels", out_channels)
        self.kernel_size = positive_int("ModulatedConv2d", "kernel_size", kernel_size, 3)
        self.conv = Conv2d(
            *(self.in_channels, self.out_channels, self.kernel_size, 1, "same"),
            rng=rng,
            init=init or Normal(1.0),
            dtype=dtype,
        )
        self.eps = 1e-8

    def forward(self, x: Array, s: Array) -> tuple[Array, Any]:
        self.conv.check(x)
        if s.shape != x.shape[:2]:
            raise ValueError(
                f"ModulatedConv2d: s has shape {s.shape}, expected {x.shape[:2]}, one number for "
                "every channel of every sample; pass s of that shape"
            )
        W = self.conv.W.value
        q = (W * W).sum(axis=(2, 3))
        d = 1 / np.sqrt((s * s) @ q.T + self.eps)
        sx = _wide(s) * x
        r = self.conv.linear(sx)
        return _wide(d) * r + _wide(self.conv.b.value[None]), (x, s, sx, r, q, d)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, Array]:
        """dx and ds"""
        x, s, sx, r, q, d = cache
        W, b = self.conv.W, self.conv.b
        b.grad += dy.sum(axis=(0, 2, 3))
        dr = _wide(d) * dy
        dsx = self.conv.adjoint(dr, sx)
        W.grad += self.conv.weight_grad(dr, sx)
        g = -0.5 * d**3 * (dy * r).sum(axis=(2, 3))
        W.grad += 2 * W.value * _wide(g.T @ (s * s))  # through q
        ds = (x * dsx).sum(axis=(2, 3)) + 2 * s * (g @ q)
        return _wide(s) * dsx, ds

    def __call__(self, x: Array, s: Array) -> Array:
        return self.forward(x, s)[0]

    def __repr__(self) -> str:
        return f"ModulatedConv2d({self.in_channels}, {self.out_channels}, {self.kernel_size})"


class StyleBlock(Module):
    """One layer of the network: a style scales the channels, then noise and an activation.

    Forward   s = A w + a      y = √2 f(M(up(x), s) + noise),   f = LeakyReLU(0.2)
              M is :class:`ModulatedConv2d`, noise :class:`PixelNoise`; up doubles the image or not
    Shapes    x (N, C, …)   w (N, D)   A (C, D)   y (N, O, *size)
    Backward  each part's in turn: dw = Aᵀ ds
    Cache     the parts' caches
    Source    Karras et al. (2020), figure 2c; √2 keeps the variance that f takes away

    a begins at 1 (every channel counts), A at N(0, 1) with equalised learning rate.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style_dim: int,
        size: int | tuple[int, int],
        upsample: bool = False,
        *,
        rng: np.random.Generator,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_channels = positive_int("StyleBlock", "in_channels", in_channels)
        self.out_channels = positive_int("StyleBlock", "out_channels", out_channels)
        self.style_dim = positive_int("StyleBlock", "style_dim", style_dim)
        self.size = positive_pair("StyleBlock", "size", size)
        self.upsample = flag("StyleBlock", "upsample", upsample)
        if self.upsample and (self.size[0] % 2 or self.size[1] % 2):
            raise ValueError(
                f"StyleBlock: size is {self.size}, expected even numbers with upsample=True, which "
                "doubles the image; pass an even size"
            )
        self.rng = check_generator("StyleBlock", rng)
        init = init or Normal(1.0)
        affine = Dense(self.style_dim, self.in_channels, rng=rng, init=init, dtype=dtype)
        affine.b.value[...] = 1
        self.affine = Equalized(affine, gain=1.0)
        self.up = Upsample2d(2 if self.upsample else 1)
        self.conv = ModulatedConv2d(
            self.in_channels, self.out_channels, rng=rng, init=init, dtype=dtype
        )
        self.noise = PixelNoise(self.size, rng=rng, dtype=dtype)
        self.f = LeakyReLU(0.2)

    def forward(self, x: Array, w: Array) -> tuple[Array, Any]:
        s, affine_cache = self.affine.forward(w)
        h, up_cache = self.up.forward(x)
        h, conv_cache = self.conv.forward(h, s)
        h, noise_cache = self.noise.forward(h)
        h, f_cache = self.f.forward(h)
        return math.sqrt(2) * h, (affine_cache, up_cache, conv_cache, noise_cache, f_cache)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, Array]:
        """dx and dw"""
        affine_cache, up_cache, conv_cache, noise_cache, f_cache = cache
        dh = self.f.backward(math.sqrt(2) * dy, f_cache)
        dh = self.noise.backward(dh, noise_cache)
        dh, ds = self.conv.backward(dh, conv_cache)
        return self.up.backward(dh, up_cache), self.affine.backward(ds, affine_cache)

    def __call__(self, x: Array, w: Array) -> Array:
        h = self.conv(self.up(x), self.affine(w))
        return math.sqrt(2) * self.f(self.noise(h))

    def __repr__(self) -> str:
        up = ", upsample=True" if self.upsample else ""
        sizes = f"{self.in_channels}, {self.out_channels}, {self.style_dim}, {self.size}"
        return f"StyleBlock({sizes}{up})"


class Synthesis(Layer):
    """From one style for each block to feature maps: a learnt constant goes through the blocks.

    Forward   h₀ = the constant, the same for every sample      hₗ = blockₗ(hₗ₋₁, w[:, l−1])      y = h_L
    Calling   the same with every block's fixed noise
    Shapes    w (N, L, D), one style for each of the L blocks   constant (C, H, W)   y (N, O, H′, W′)
    Backward  dw[:, l−1] and dhₗ₋₁ from dhₗ, last block first      d constant = Σₙ dh₀
    Cache     N, and the blocks' caches
    Raises    ValueError if the blocks do not fit each other
    Source    Karras, Laine & Aila (2019), §2; Karras et al. (2020), §2
    """

    def __init__(
        self,
        *blocks: StyleBlock,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        for i, block in enumerate(blocks or [None]):
            if not isinstance(block, StyleBlock):
                raise TypeError(
                    f"Synthesis: block {i} is {block!r:.80}, expected at least one StyleBlock and "
                    "nothing else; pass StyleBlock(8, 8, 16, (7, 7), rng=rng)"
                )
        self.blocks = blocks
        shape = blocks[0].in_channels, *_input_size(blocks[0])
        self._check_chain(shape)
        dtype = float_dtype("Synthesis", dtype)
        init = init or Normal(1.0)
        check_callable("Synthesis", "init", init, "Normal(1.0)")
        self.constant = Param(init(shape, 1, 1, rng, dtype))

    @property
    def children(self) -> dict[str, Module]:
        return {str(i): block for i, block in enumerate(self.blocks)}

    def forward(self, w: Array) -> tuple[Array, Any]:
        self.check(w)
        h, caches = self.start(len(w)), []
        for i, block in enumerate(self.blocks):
            h, cache = block.forward(h, w[:, i])
            caches.append(cache)
        return h, (len(w), caches)

    def backward(self, dy: Array, cache: Any) -> Array:
        n, caches = cache
        last = self.blocks[-1]
        dh = check_dy(self, dy, (n, last.out_channels, *last.size), self.dtype)
        dw = np.empty((n, len(self.blocks), last.style_dim), dh.dtype)
        for i, block in reversed(list(enumerate(self.blocks))):
            dh, dw[:, i] = block.backward(dh, caches[i])
        self.constant.grad += dh.sum(axis=0)
        return dw

    def __call__(self, w: Array) -> Array:
        self.check(w)
        h = self.start(len(w))
        for i, block in enumerate(self.blocks):
            h = block(h, w[:, i])
        return h

    def start(self, n: int) -> Array:
        """h₀: the constant, n times"""
        return np.repeat(self.constant.value[None], n, axis=0)

    def check(self, w: Array) -> None:
        check_input(self, w, ("N", len(self.blocks), self.blocks[0].style_dim))

    def _check_chain(self, shape: tuple[int, ...]) -> None:
        for i, block in enumerate(self.blocks):
            takes = block.in_channels, *_input_size(block)
            if takes != shape or block.style_dim != self.blocks[0].style_dim:
                raise ValueError(
                    f"Synthesis: block {i} is {block!r}, which takes maps {takes}, expected {shape} "
                    f"and style_dim {self.blocks[0].style_dim}, as the blocks before it have; "
                    "pass blocks that fit each other"
                )
            shape = block.out_channels, *block.size

    def __repr__(self) -> str:
        return f"Synthesis({', '.join(map(repr, self.blocks))})"


def _input_size(block: StyleBlock) -> tuple[int, int]:
    """(H, W) of the maps that a block takes."""
    factor = 2 if block.upsample else 1
    return block.size[0] // factor, block.size[1] // factor


def _wide(a: Array) -> Array:
    """(…, C) as (…, C, 1, 1)"""
    return a[..., None, None]
