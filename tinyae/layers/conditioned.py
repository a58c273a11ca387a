"""A U-Net that is told something beside the image: a step of diffusion, a class, a code.

What it is told is a vector, joined to the image as planes of one value each. It goes through two
dense layers, and every block of the net adds its own affine map of the result to each pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import check_callable, float_dtype, positive_int, sizes_of
from tinyae.initializers import HeNormal, Initializer
from tinyae.layers.attention import MultiHeadAttention
from tinyae.layers.base import Layer, Module, check_dy, check_input
from tinyae.layers.compose import Sequential
from tinyae.layers.conv import Conv2d, ConvTranspose2d
from tinyae.layers.dense import Dense
from tinyae.layers.gated import SiLU
from tinyae.layers.group_norm import GroupNorm
from tinyae.param import Array

__all__ = ["ConditionedBlock", "PixelAttention", "ConditionedUNet"]


class ConditionedBlock(Module):
    """Two convolutions around a vector e that shifts every channel, and a shortcut.

    Forward   u = W₁ ∗ silu(norm₁(x)) + b₁ + (A e + a)      y = S x + W₂ ∗ silu(norm₂(u)) + b₂
              S is the identity where x has as many channels as y, else a convolution of one pixel
    Shapes    x (N, C, H, W)   e (N, E)   A (O, E), for every pixel alike   u, y (N, O, H, W)
    Backward  du from dy through the second half:   dx = Sᵀ dy + J₁ᵀ du      de = Aᵀ Σ_{i,j} du
    Cache     the parts' caches
    Source    Ho, Jain & Abbeel (2020), appendix B; zero W₂: Dhariwal & Nichol (2021), appendix

    W₂ begins at 0, so a block begins as its shortcut.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        condition_dim: int,
        groups: int = 8,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        who = "ConditionedBlock"
        a = self.in_channels = positive_int(who, "in_channels", in_channels)
        b = self.out_channels = positive_int(who, "out_channels", out_channels)
        self.condition_dim = positive_int(who, "condition_dim", condition_dim)
        self.groups = positive_int(who, "groups", groups, 8)
        drawn: dict[str, Any] = {"rng": rng, "init": init or HeNormal(), "dtype": dtype}
        norm, conv = GroupNorm(groups, a, dtype=dtype), Conv2d(a, b, 3, 1, 1, **drawn)
        self.first = Sequential(norm, SiLU(), conv)
        norm, conv = GroupNorm(groups, b, dtype=dtype), Conv2d(b, b, 3, 1, 1, **drawn)
        self.second = Sequential(norm, SiLU(), conv)
        conv.W.value[...] = 0
        self.shift = Dense(self.condition_dim, b, rng=rng, init=init, dtype=dtype)
        self.shortcut = Sequential(*([] if a == b else [Conv2d(a, b, 1, **drawn)]))

    def forward(self, x: Array, e: Array) -> tuple[Array, Any]:
        u, first_cache = self.first.forward(x)
        shift, shift_cache = self.shift.forward(e)
        u += shift[:, :, None, None]  # the convolution made u
        h, second_cache = self.second.forward(u)
        sx, shortcut_cache = self.shortcut.forward(x)
        h += sx
        return h, (first_cache, shift_cache, second_cache, shortcut_cache)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, Array]:
        """dx and de"""
        first_cache, shift_cache, second_cache, shortcut_cache = cache
        du = self.second.backward(dy, second_cache)
        de = self.shift.backward(du.sum(axis=(2, 3)), shift_cache)
        dx = self.first.backward(du, first_cache)
        return dx + self.shortcut.backward(dy, shortcut_cache), de

    def __call__(self, x: Array, e: Array) -> Array:
        u = self.first(x)
        u += self.shift(e)[:, :, None, None]
        h = self.second(u)
        h += self.shortcut(x)
        return h

    def __repr__(self) -> str:
        return f"ConditionedBlock({self.in_channels}, {self.out_channels}, {self.condition_dim})"


class PixelAttention(Layer):
    """Every pixel attends to all others: the image as H·W tokens, added to the image.

    Forward   y = x + attention(norm(x)),   over the pixels
    Shapes    x, y (N, C, H, W)
    Backward  dx = dy + J_normᵀ J_attentionᵀ dy
    Cache     the parts' caches
    Source    Wang, Girshick, Gupta & He (2018), eq. 6; Ho, Jain & Abbeel (2020), appendix B
    """

    def __init__(
        self,
        channels: int,
        heads: int = 1,
        groups: int = 8,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.channels = positive_int("PixelAttention", "channels", channels)
        self.heads = positive_int("PixelAttention", "heads", heads, 4)
        self.groups = positive_int("PixelAttention", "groups", groups, 8)
        self.norm = GroupNorm(groups, channels, dtype=dtype)
        self.attention = MultiHeadAttention(channels, heads, rng=rng, init=init, dtype=dtype)

    def forward(self, x: Array) -> tuple[Array, Any]:
        h, norm_cache = self.norm.forward(x)
        h, attention_cache = self.attention.forward(_tokens(h))
        return x + _image(h, x.shape), (norm_cache, attention_cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        norm_cache, attention_cache = cache
        dy = check_dy(self, dy, norm_cache[0], self.dtype)
        dh = self.attention.backward(_tokens(dy), attention_cache)
        return dy + self.norm.backward(_image(dh, dy.shape), norm_cache)

    def __call__(self, x: Array) -> Array:
        return x + _image(self.attention(_tokens(self.norm(x))), x.shape)

    def __repr__(self) -> str:
        return f"PixelAttention({self.channels}, {self.heads})"


class ConditionedUNet(Layer):
    """A U-Net from an image and planes of one value each, [x, c], to an image.

    Forward   e = silu(A₂ silu(A₁ c + a₁) + a₂)      o = W′ ∗ᵀ silu(norm(level₀(W ∗ x, e)))
              levelₗ(h) = blockₗ′([g, ↑ levelₗ₊₁(↓ g)], e),   g = blockₗ(h, e)
              the last level is block′(attention(block(h, e)), e)
    Shapes    [x, c] (N, C + K, H, W), c (N, K) read from the first pixel   e (N, E)   o (N, C, H, W)
              W has stride ``patch``: level 0 has widths[0] channels at H/patch × W/patch pixels
    Backward  the levels' in reverse order; every block adds its de;   dc stands at the first pixel
    Cache     the parts' caches
    Raises    ValueError if H or W is no multiple of patch · 2^(levels − 1)
    Source    Ronneberger, Fischer & Brox (2015); Ho, Jain & Abbeel (2020), appendix B
              patch: Dosovitskiy et al. (2021); Hoogeboom, Heek & Salimans (2023), §3.3

    ↓ is a convolution of two pixels with stride 2, ↑ its transpose. W′ begins at 0, so o = 0 at first.
    """

    def __init__(
        self,
        channels: int,
        condition_dim: int,
        widths: Sequence[int] = (32, 64),
        *,
        patch: int = 1,
        embedding: int = 128,
        heads: int = 4,
        groups: int = 8,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        who, dtype = "ConditionedUNet", float_dtype("ConditionedUNet", dtype)
        self.channels = positive_int(who, "channels", channels, 1)
        self.condition_dim = positive_int(who, "condition_dim", condition_dim, 32)
        self.patch = positive_int(who, "patch", patch, 1)
        self.widths = tuple(sizes_of(who, "widths", widths))
        self.heads = positive_int(who, "heads", heads, 4)
        self.groups = positive_int(who, "groups", groups, 8)
        E = self.embedding = positive_int(who, "embedding", embedding, 128)
        if init is not None:
            check_callable(who, "init", init, "HeNormal()")
        drawn: dict[str, Any] = {"rng": rng, "init": init or HeNormal(), "dtype": dtype}
        size = self.patch + 2, self.patch, 1  # kernel, stride, padding
        first, last = self.widths[0], self.widths[-1]
        self.embed = Sequential(
            Dense(self.condition_dim, E, **drawn), SiLU(), Dense(E, E, **drawn), SiLU()
        )
        self.stem = Conv2d(self.channels, first, *size, **drawn)
        wide = [*(2 * w for w in self.widths[:-1]), last]
        self.down_blocks = _Parts(ConditionedBlock(w, w, E, groups, **drawn) for w in self.widths)
        self.up_blocks = _Parts(
            ConditionedBlock(a, w, E, groups, **drawn) for a, w in zip(wide, self.widths)
        )
        steps = list(zip(self.widths, self.widths[1:]))
        self.downs = _Parts(Conv2d(a, b, 2, 2, **drawn) for a, b in steps)
        self.ups = _Parts(ConvTranspose2d(b, a, 2, 2, **drawn) for a, b in steps)
        self.attention = PixelAttention(last, heads, groups, rng=rng, init=init, dtype=dtype)
        head = ConvTranspose2d(first, self.channels, *size, **drawn)
        head.W.value[...] = 0
        self.head = Sequential(GroupNorm(groups, first, dtype=dtype), SiLU(), head)

    def forward(self, xc: Array) -> tuple[Array, Any]:
        self.check(xc)
        e, embed_cache = self.embed.forward(xc[:, self.channels :, 0, 0])
        h, stem_cache = self.stem.forward(xc[:, : self.channels])
        h, level_cache = self._level(h, e, 0)
        o, head_cache = self.head.forward(h)
        return o, (xc.shape, embed_cache, stem_cache, level_cache, head_cache)

    def _level(self, h: Array, e: Array, depth: int) -> tuple[Array, Any]:
        g, down_cache = self.down_blocks[depth].forward(h, e)
        if depth == len(self.widths) - 1:
            d, inner = self.attention.forward(g)
        else:
            d, pool_cache = self.downs[depth].forward(g)
            d, level_cache = self._level(d, e, depth + 1)
            d, rise_cache = self.ups[depth].forward(d)
            d, inner = np.concatenate([g, d], axis=1), (pool_cache, level_cache, rise_cache)
        y, up_cache = self.up_blocks[depth].forward(d, e)
        return y, (down_cache, inner, up_cache)

    def backward(self, do: Array, cache: Any) -> Array:
        shape, embed_cache, stem_cache, level_cache, head_cache = cache
        do = check_dy(self, do, (shape[0], self.channels, *shape[2:]), self.dtype)
        dxc = np.zeros(shape, do.dtype)
        dh = self.head.backward(do, head_cache)
        dh, de = self._level_backward(dh, level_cache, 0)
        dxc[:, : self.channels] = self.stem.backward(dh, stem_cache)
        dxc[:, self.channels :, 0, 0] = self.embed.backward(de, embed_cache)
        return dxc

    def _level_backward(self, dy: Array, cache: Any, depth: int) -> tuple[Array, Array]:
        down_cache, inner, up_cache = cache
        dd, de = self.up_blocks[depth].backward(dy, up_cache)
        if depth == len(self.widths) - 1:
            dg = self.attention.backward(dd, inner)
        else:
            pool_cache, level_cache, rise_cache = inner
            width = self.widths[depth]
            dg, dd = dd[:, :width], dd[:, width:]
            dd = self.ups[depth].backward(dd, rise_cache)
            dd, deeper = self._level_backward(dd, level_cache, depth + 1)
            de += deeper
            dg = dg + self.downs[depth].backward(dd, pool_cache)
        dh, first = self.down_blocks[depth].backward(dg, down_cache)
        return dh, de + first

    def __call__(self, xc: Array) -> Array:
        self.check(xc)
        e = self.embed(xc[:, self.channels :, 0, 0])
        return self.head(self._infer_level(self.stem(xc[:, : self.channels]), e, 0))

    def _infer_level(self, h: Array, e: Array, depth: int) -> Array:
        g = self.down_blocks[depth](h, e)
        if depth == len(self.widths) - 1:
            d = self.attention(g)
        else:
            d = self.ups[depth](self._infer_level(self.downs[depth](g), e, depth + 1))
            d = np.concatenate([g, d], axis=1)
        return self.up_blocks[depth](d, e)

    def check(self, xc: Array) -> None:
        check_input(self, xc, ("N", self.channels + self.condition_dim, "H", "W"))
        factor = self.patch * 2 ** (len(self.widths) - 1)
        if 0 in xc.shape[2:] or xc.shape[2] % factor or xc.shape[3] % factor:
            raise ValueError(
                f"ConditionedUNet: images are {xc.shape[2]} × {xc.shape[3]}, expected multiples of "
                f"{factor}, patch · 2^(levels − 1); pad them, or build it with fewer widths"
            )

    def __repr__(self) -> str:
        return (
            f"ConditionedUNet({self.channels}, {self.condition_dim}, {self.widths}, "
            f"patch={self.patch})"
        )


class _Parts(Module):
    """Modules by their number."""

    def __init__(self, parts: Any) -> None:
        self.parts = tuple(parts)

    @property
    def children(self) -> dict[str, Module]:
        return {str(i): part for i, part in enumerate(self.parts)}

    def __getitem__(self, i: int) -> Any:
        return self.parts[i]


def _tokens(x: Array) -> Array:
    """(N, C, H, W) as (N, H·W, C)"""
    return np.ascontiguousarray(x.reshape(*x.shape[:2], -1).swapaxes(1, 2))


def _image(h: Array, shape: tuple[int, ...]) -> Array:
    """(N, H·W, C) as (N, C, H, W)"""
    return h.swapaxes(1, 2).reshape(shape)
