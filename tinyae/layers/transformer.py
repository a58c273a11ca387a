"""The Transformer's block: tokens gather from each other, then each thinks by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae.arguments import flag, positive_int
from tinyae.initializers import Initializer
from tinyae.layers.attention import MultiHeadAttention
from tinyae.layers.base import Layer, add, check_dy
from tinyae.layers.compose import Sequential
from tinyae.layers.dense import Dense
from tinyae.layers.gated import GELU
from tinyae.layers.norm import LayerNorm
from tinyae.layers.tokens import Tokenwise
from tinyae.param import Array

__all__ = ["TransformerBlock"]


class TransformerBlock(Layer):
    """Attention and a small network for each token, each behind a LayerNorm and with a shortcut.

    Forward   a = x + A(N₁(x))      y = a + M(N₂(a))      M = Dense, GELU, Dense
    Shapes    x, a, y (N, T, D)   M widens a token to mlp_dim numbers and back (default 4 D)
    Backward  da = dy + J_N₂ᵀ J_Mᵀ dy      dx = da + J_N₁ᵀ J_Aᵀ da
    Tangent   ȧ = ẋ + J_A J_N₁ ẋ      ẏ = ȧ + J_M J_N₂ ȧ
    Cache     the caches of N₁, A, N₂, M
    Source    Vaswani et al. (2017), §3.1, with the norms first: Xiong et al. (2020), fig. 1b

    PyTorch's TransformerEncoderLayer with norm_first=True, activation="gelu" and no dropout.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        mlp_dim: int | None = None,
        causal: bool = False,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.dim = positive_int("TransformerBlock", "dim", dim)
        self.heads = positive_int("TransformerBlock", "heads", heads, 4)
        mlp_dim = 4 * self.dim if mlp_dim is None else mlp_dim
        self.mlp_dim = positive_int("TransformerBlock", "mlp_dim", mlp_dim, 256)
        self.causal = flag("TransformerBlock", "causal", causal)
        self.attention_norm = LayerNorm(self.dim, dtype=dtype)
        self.attention = MultiHeadAttention(
            self.dim, self.heads, self.causal, rng=rng, init=init, dtype=dtype
        )
        self.mlp_norm = LayerNorm(self.dim, dtype=dtype)
        widen = Dense(self.dim, self.mlp_dim, rng=rng, init=init, dtype=dtype)
        narrow = Dense(self.mlp_dim, self.dim, rng=rng, init=init, dtype=dtype)
        self.mlp = Tokenwise(Sequential(widen, GELU(), narrow))

    def forward(self, x: Array) -> tuple[Array, Any]:
        h, norm1 = self.attention_norm.forward(x)
        h, attention = self.attention.forward(h)
        a = x + h
        h, norm2 = self.mlp_norm.forward(a)
        h, mlp = self.mlp.forward(h)
        return a + h, (norm1, attention, norm2, mlp)

    def backward(self, dy: Array, cache: Any) -> Array:
        norm1, attention, norm2, mlp = cache
        dy = check_dy(self, dy, norm1[0].shape, norm1[0].dtype)
        dh = self.mlp.backward(dy, mlp)
        da = dy + self.mlp_norm.backward(dh, norm2)
        dh = self.attention.backward(da, attention)
        return da + self.attention_norm.backward(dh, norm1)

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        norm1, attention, norm2, mlp = cache
        hdot, tnorm1 = self.attention_norm.tangent(xdot, norm1)
        hdot, tattention = self.attention.tangent(hdot, attention)
        adot = xdot + hdot
        hdot, tnorm2 = self.mlp_norm.tangent(adot, norm2)
        hdot, tmlp = self.mlp.tangent(hdot, mlp)
        return adot + hdot, (tnorm1, tattention, tnorm2, tmlp, cache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array]:
        tnorm1, tattention, tnorm2, tmlp, (norm1, attention, norm2, _) = tcache
        dhdot, dh = self.mlp.tangent_backward(dydot, tmlp)
        da = None if dh is None else self.mlp_norm.backward(dh, norm2)
        dadot, own = self.mlp_norm.tangent_backward(dhdot, tnorm2)
        dadot, da = dydot + dadot, add(da, own)  # a's own gradient, through the Jacobians at a
        dhdot, dh = self.attention.tangent_backward(dadot, tattention)
        dh = dh if da is None else dh + self.attention.backward(da, attention)
        dx = add(da, self.attention_norm.backward(dh, norm1))
        dxdot, own = self.attention_norm.tangent_backward(dhdot, tnorm1)
        total = add(dx, own)
        assert total is not None
        return dadot + dxdot, total

    def extend(self, x: Array, past: Any = None) -> tuple[Array, Any]:
        """y of the next tokens, see :meth:`MultiHeadAttention.extend`."""
        h, past = self.attention.extend(self.attention_norm(x), past)
        a = x + h
        return a + self.mlp(self.mlp_norm(a)), past

    def __repr__(self) -> str:
        more = "" if self.mlp_dim == 4 * self.dim else f", mlp_dim={self.mlp_dim}"
        more += ", causal=True" if self.causal else ""
        return f"TransformerBlock({self.dim}, {self.heads}{more})"
