"""Attention: every token gathers from the others what it asks for.

With h heads, each of the projections q, k, v is cut into h parts of d = D/h numbers, and each head
attends on its own. A matrix that maps tokens, like a Dense layer's, is (out, in).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import check_callable, flag, float_dtype, positive_int
from tinyae.initializers import GlorotUniform, Initializer
from tinyae.layers.base import Layer, check_dy, check_input
from tinyae.param import Array, Param

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(Layer):
    """Self-attention: each token's output is a mean of values, weighted by how well keys fit its query.

    Forward   q = x Wqᵀ + bq      k = x Wkᵀ + bk      v = x Wvᵀ + bv
              S = q kᵀ / √d      P = softmax S along the keys      o = P v      for each head
              y = o Woᵀ + bo, the heads side by side
    Shapes    x, y (N, T, D)   W (D, D)   b (D,)   q, k, v, o (N, h, T, d)   S, P (N, h, T, T)   D = h d
    Backward  do = dy Wo      dP = do vᵀ      dv = Pᵀ do
              dS = P ∘ (dP − ⟨P, dP⟩) / √d      dq = dS k      dk = dSᵀ q
              dx = dq Wq + dk Wk + dv Wv
              dWo = Σ dyᵀ o      dbo = Σ dy,   and so for dWq, dbq of dq and x, and the others
    Tangent   Ṡ = (q̇ kᵀ + q k̇ᵀ) / √d      Ṗ = P ∘ (Ṡ − ⟨P, Ṡ⟩)      ȯ = Ṗ v + P v̇      ẏ = ȯ Woᵀ
    Cache     x, q, k, v, P, o
    Source    Vaswani et al. (2017), §3.2

    With ``causal``, a token attends to itself and to those before it: S is −∞ for later keys.
    PyTorch's ``in_proj_weight`` is Wq, Wk and Wv, one below the other.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        causal: bool = False,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.dim = positive_int("MultiHeadAttention", "dim", dim)
        self.heads = positive_int("MultiHeadAttention", "heads", heads, 4)
        if self.dim % self.heads:
            raise ValueError(
                f"MultiHeadAttention: dim is {dim} and heads is {heads}, expected a dim that heads "
                f"divides; pass e.g. dim={-(-self.dim // self.heads) * self.heads}"
            )
        self.causal = flag("MultiHeadAttention", "causal", causal)
        init, dtype = init or GlorotUniform(), float_dtype("MultiHeadAttention", dtype)
        check_callable("MultiHeadAttention", "init", init, "HeNormal()")

        def matrix() -> Param:
            return Param(init((self.dim, self.dim), self.dim, self.dim, rng, dtype))

        self.Wq, self.Wk, self.Wv, self.Wo = (matrix() for _ in range(4))
        self.bq, self.bk, self.bv, self.bo = (Param(np.zeros(self.dim, dtype)) for _ in range(4))

    def forward(self, x: Array) -> tuple[Array, Any]:
        check_input(self, x, ("N", "T", self.dim))
        q = self.split(_affine(x, self.Wq, self.bq))
        k = self.split(_affine(x, self.Wk, self.bk))
        v = self.split(_affine(x, self.Wv, self.bv))
        P = self.softmax(q @ _T(k) * self.scale)
        o = _merge(P @ v)
        return _affine(o, self.Wo, self.bo), (x, q, k, v, P, o)

    def backward(self, dy: Array, cache: Any) -> Array:
        x, q, k, v, P, o = cache
        dy = check_dy(self, dy, x.shape, x.dtype)
        do = self.split(_affine_backward(dy, o, self.Wo, self.bo))
        dP, dv = do @ _T(v), _T(P) @ do  # o = P v
        dS = P * (dP - _inner(P, dP)) * self.scale
        dq, dk = dS @ k, _T(dS) @ q  # S = q kᵀ / √d
        dx = _affine_backward(_merge(dq), x, self.Wq, self.bq)
        dx += _affine_backward(_merge(dk), x, self.Wk, self.bk)
        dx += _affine_backward(_merge(dv), x, self.Wv, self.bv)
        return dx

    def tangent(self, xdot: Array, cache: Any) -> tuple[Array, Any]:
        _, q, k, v, P, _ = cache
        qdot, kdot, vdot = (self.split(_matmul_nt(xdot, W)) for W in (self.Wq, self.Wk, self.Wv))
        Sdot = (qdot @ _T(k) + q @ _T(kdot)) * self.scale
        Pdot = P * (Sdot - _inner(P, Sdot))
        odot = _merge(Pdot @ v + P @ vdot)
        return _matmul_nt(odot, self.Wo), (xdot, qdot, kdot, vdot, Sdot, Pdot, odot, cache)

    def tangent_backward(self, dydot: Array, tcache: Any) -> tuple[Array, Array]:
        xdot, qdot, kdot, vdot, Sdot, Pdot, odot, (x, q, k, v, P, _) = tcache
        dodot = self.split(_matmul_backward(dydot, odot, self.Wo))
        dPdot, dvdot = dodot @ _T(v), _T(P) @ dodot  # ȯ = Ṗ v + P v̇
        dP, dv = dodot @ _T(vdot), _T(Pdot) @ dodot
        dSdot = P * (dPdot - _inner(P, dPdot)) * self.scale  # Ṗ = P ∘ (Ṡ − ⟨P, Ṡ⟩)
        dP += dPdot * (Sdot - _inner(P, Sdot)) - Sdot * _inner(P, dPdot)
        dS = P * (dP - _inner(P, dP)) * self.scale  # P = softmax S
        dqdot, dkdot = dSdot @ k, _T(dSdot) @ q  # Ṡ = (q̇ kᵀ + q k̇ᵀ) / √d
        dq = dSdot @ kdot + dS @ k
        dk = _T(dSdot) @ qdot + _T(dS) @ q
        dxdot, dx = np.zeros_like(xdot), np.zeros_like(x)
        for W, b, along, at in (
            (self.Wq, self.bq, dqdot, dq),
            (self.Wk, self.bk, dkdot, dk),
            (self.Wv, self.bv, dvdot, dv),
        ):
            dxdot += _matmul_backward(_merge(along), xdot, W)
            dx += _affine_backward(_merge(at), x, W, b)
        return dxdot, dx

    def extend(self, x: Array, past: Any = None) -> tuple[Array, Any]:
        """y of the next tokens, (N, t, D), and ``past``: k and v of all tokens so far.

        For inference with causal attention, where no token's y depends on later ones: the next token
        costs t products, not t². Begins with ``past`` None.

        Raises
            ValueError  the attention is not causal
        """
        if not self.causal:
            raise ValueError(
                "MultiHeadAttention: extend would change what earlier tokens gave, because they attend "
                "to later ones; build it with causal=True"
            )
        check_input(self, x, ("N", "T", self.dim))
        q = self.split(_affine(x, self.Wq, self.bq))
        k = self.split(_affine(x, self.Wk, self.bk))
        v = self.split(_affine(x, self.Wv, self.bv))
        if past is not None:
            k, v = (np.concatenate(pair, axis=2) for pair in zip(past, (k, v)))
        o = _merge(self.softmax(q @ _T(k) * self.scale) @ v)
        return _affine(o, self.Wo, self.bo), (k, v)

    @property
    def scale(self) -> float:
        """1/√d"""
        return 1 / math.sqrt(self.dim // self.heads)

    def split(self, a: Array) -> Array:
        """(N, T, D) as (N, h, T, d)"""
        n, tokens, _ = a.shape
        return a.reshape(n, tokens, self.heads, self.dim // self.heads).transpose(0, 2, 1, 3)

    def softmax(self, S: Array) -> Array:
        if self.causal:
            queries, keys = S.shape[-2:]  # the last query is the last key's token
            later = np.triu(np.ones((queries, keys), bool), 1 + keys - queries)
            S = np.where(later, S.dtype.type(-np.inf), S)
        e = np.exp(S - S.max(axis=-1, keepdims=True, initial=-np.inf))
        return e / e.sum(axis=-1, keepdims=True)

    def __repr__(self) -> str:
        more = ", causal=True" if self.causal else ""
        return f"MultiHeadAttention({self.dim}, {self.heads}{more})"


def _merge(a: Array) -> Array:
    """(N, h, T, d) as (N, T, D)"""
    n, heads, tokens, d = a.shape
    return a.transpose(0, 2, 1, 3).reshape(n, tokens, heads * d)


def _T(a: Array) -> Array:
    """The last two axes, exchanged"""
    return a.swapaxes(-1, -2)


def _inner(a: Array, b: Array) -> Array:
    """⟨a, b⟩ along the last axis, which stays with length 1."""
    return (a * b).sum(axis=-1, keepdims=True)


def _rows(a: Array) -> Array:
    """(N, T, D) as (N T, D): a token a row"""
    return np.ascontiguousarray(a).reshape(-1, a.shape[-1])


def _affine(x: Array, W: Param, b: Param) -> Array:
    return kernels.affine(_rows(x), W.value, b.value).reshape(x.shape)


def _affine_backward(dy: Array, x: Array, W: Param, b: Param) -> Array:
    b.grad += dy.sum(axis=(0, 1))
    return _matmul_backward(dy, x, W)


def _matmul_nt(x: Array, W: Param) -> Array:
    return kernels.matmul_nt(_rows(x), W.value).reshape(x.shape)


def _matmul_backward(dy: Array, x: Array, W: Param) -> Array:
    W.grad += kernels.matmul_tn(_rows(dy), _rows(x))
    return kernels.matmul(_rows(dy), W.value).reshape(x.shape)
