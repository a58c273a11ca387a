"""Recurrent layers: a state h that is carried from step to step, and its gradient, carried back.

The gradient with respect to hₜ has two parts: dyₜ from above, and what step t + 1 sends back. So
backward walks from the last step to the first and carries dh along (through time, by hand).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import check_callable, float_dtype, positive_int
from tinyae.initializers import Initializer, LeCunUniform, Orthogonal
from tinyae.layers.base import Layer, check_dy, check_input
from tinyae.param import Array, Param

__all__ = ["GRU", "LSTM"]


class _Recurrent(Layer):
    """The parameters: for each gate, one below the other, a matrix for x and one for h."""

    GATES: int

    def __init__(
        self,
        in_features: int,
        hidden: int,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        who = type(self).__name__
        self.in_features = positive_int(who, "in_features", in_features)
        self.hidden = positive_int(who, "hidden", hidden)
        dtype, D, H, G = float_dtype(who, dtype), self.in_features, self.hidden, self.GATES
        from_x, from_h = init or LeCunUniform(), init or Orthogonal()  # a matrix for each gate
        check_callable(who, "init", from_x, "LeCunUniform()")
        self.Wx = Param(np.concatenate([from_x((H, D), D, H, rng, dtype) for _ in range(G)]))
        self.Wh = Param(np.concatenate([from_h((H, H), H, H, rng, dtype) for _ in range(G)]))
        self.bx = Param(np.zeros(G * H, dtype))
        self.bh = Param(np.zeros(G * H, dtype))

    def from_x(self, x: Array) -> Array:
        """Wx xₜ + bx for all steps at once: (T, N, G H), a step after the other."""
        rows = np.ascontiguousarray(x.swapaxes(0, 1)).reshape(-1, self.in_features)
        ax = kernels.affine(rows, self.Wx.value, self.bx.value)
        return ax.reshape(x.shape[1], x.shape[0], self.GATES * self.hidden)

    def from_x_backward(self, dax: Array, x: Array) -> Array:
        """dx; adds dWx and dbx."""
        rows = np.ascontiguousarray(x.swapaxes(0, 1)).reshape(-1, self.in_features)
        da = dax.reshape(-1, dax.shape[-1])
        self.Wx.grad += kernels.matmul_tn(da, rows)
        self.bx.grad += da.sum(axis=0)
        dx = kernels.matmul(da, self.Wx.value)
        return dx.reshape(x.shape[1], x.shape[0], -1).swapaxes(0, 1)

    def from_h_backward(self, dah: Array, before: Array) -> Array:
        """∂L/∂hₜ₋₁ of Wh hₜ₋₁ + bh; adds dWh and dbh."""
        self.Wh.grad += kernels.matmul_tn(dah, before)
        self.bh.grad += dah.sum(axis=0)
        return kernels.matmul(dah, self.Wh.value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_features}, {self.hidden})"


class GRU(_Recurrent):
    """A recurrent layer with two gates: z keeps the old state, r resets it for the candidate n.

    Forward   [ar, az, an] = Wx xₜ + bx      [cr, cz, cn] = Wh hₜ₋₁ + bh
              r = σ(ar + cr)      z = σ(az + cz)      n = tanh(an + r ∘ cn)
              yₜ = hₜ = (1 − z) ∘ n + z ∘ hₜ₋₁,   h₀ = 0
    Shapes    x (N, T, D)   y (N, T, H)   Wx (3H, D)   Wh (3H, H)   bx, bh (3H,)
    Backward  dh = dyₜ + (from step t + 1)
              dan = dh ∘ (1 − z) ∘ (1 − n²)      dar = dan ∘ cn ∘ r ∘ (1 − r)
              daz = dh ∘ (hₜ₋₁ − n) ∘ z ∘ (1 − z)      dcn = dan ∘ r      dcr = dar      dcz = daz
              to step t − 1:   dh ∘ z + Whᵀ [dcr, dcz, dcn]
    Cache     x, y, and each step's r, z, n, cn
    Source    Cho et al. (2014), §2.3, with r after the product, as PyTorch and cuDNN have it

    PyTorch calls Wx weight_ih_l0, Wh weight_hh_l0, bx bias_ih_l0 and bh bias_hh_l0.
    """

    GATES = 3

    def forward(self, x: Array) -> tuple[Array, Any]:
        check_input(self, x, ("N", "T", self.in_features))
        H, a = self.hidden, self.from_x(x)
        h = np.zeros((len(x), H), x.dtype)
        y, steps = np.empty((*x.shape[:2], H), x.dtype), []
        for t, at in enumerate(a):
            c = kernels.affine(h, self.Wh.value, self.bh.value)
            r = kernels.sigmoid(at[:, :H] + c[:, :H])
            z = kernels.sigmoid(at[:, H : 2 * H] + c[:, H : 2 * H])
            cn = c[:, 2 * H :]
            n = np.tanh(at[:, 2 * H :] + r * cn)
            y[:, t] = h = (1 - z) * n + z * h
            steps.append((r, z, n, cn))
        return y, (x, y, steps)

    def backward(self, dy: Array, cache: Any) -> Array:
        x, y, steps = cache
        dy = check_dy(self, dy, y.shape, x.dtype)
        dh = np.zeros_like(y[:, 0]) if y.shape[1] else np.zeros((len(x), self.hidden), x.dtype)
        da = np.empty((x.shape[1], len(x), 3 * self.hidden), x.dtype)
        for t in reversed(range(x.shape[1])):
            r, z, n, cn = steps[t]
            before = np.ascontiguousarray(y[:, t - 1]) if t else np.zeros_like(n)
            dh = dh + dy[:, t]
            dan = dh * (1 - z) * (1 - n * n)
            dar = dan * cn * r * (1 - r)
            daz = dh * (before - n) * z * (1 - z)
            da[t] = np.concatenate([dar, daz, dan], axis=1)
            dc = np.concatenate([dar, daz, dan * r], axis=1)
            dh = dh * z + self.from_h_backward(dc, before)
        return self.from_x_backward(da, x)


class LSTM(_Recurrent):
    """A recurrent layer with a memory c, which gates write (i), keep (f) and read (o).

    Forward   [i, f, g, o] = [σ, σ, tanh, σ](Wx xₜ + bx + Wh hₜ₋₁ + bh)
              cₜ = f ∘ cₜ₋₁ + i ∘ g      yₜ = hₜ = o ∘ tanh cₜ,   h₀ = c₀ = 0
    Shapes    x (N, T, D)   y (N, T, H)   Wx (4H, D)   Wh (4H, H)   bx, bh (4H,)
    Backward  dh = dyₜ + (from step t + 1)      dc = dh ∘ o ∘ (1 − tanh² cₜ) + (from step t + 1)
              da = [dc ∘ g ∘ i ∘ (1 − i), dc ∘ cₜ₋₁ ∘ f ∘ (1 − f), dc ∘ i ∘ (1 − g²),
              dh ∘ tanh cₜ ∘ o ∘ (1 − o)]
              to step t − 1:   Whᵀ da for h, and dc ∘ f for c
    Cache     x, y, and each step's i, f, g, o, cₜ₋₁, tanh cₜ
    Source    Hochreiter & Schmidhuber (1997), with the gate f of Gers, Schmidhuber & Cummins (2000)

    PyTorch calls Wx weight_ih_l0, Wh weight_hh_l0, bx bias_ih_l0 and bh bias_hh_l0.
    """

    GATES = 4

    def forward(self, x: Array) -> tuple[Array, Any]:
        check_input(self, x, ("N", "T", self.in_features))
        H, a = self.hidden, self.from_x(x)
        h = c = np.zeros((len(x), H), x.dtype)
        y, steps = np.empty((*x.shape[:2], H), x.dtype), []
        for t, at in enumerate(a):
            gates = at + kernels.affine(h, self.Wh.value, self.bh.value)
            i, f, g, o = (gates[:, k * H : (k + 1) * H] for k in range(4))
            i, f, g, o = kernels.sigmoid(i), kernels.sigmoid(f), np.tanh(g), kernels.sigmoid(o)
            before, c = c, f * c + i * g
            tanh_c = np.tanh(c)
            y[:, t] = h = o * tanh_c
            steps.append((i, f, g, o, before, tanh_c))
        return y, (x, y, steps)

    def backward(self, dy: Array, cache: Any) -> Array:
        x, y, steps = cache
        dy = check_dy(self, dy, y.shape, x.dtype)
        dh = dc = np.zeros((len(x), self.hidden), x.dtype)
        da = np.empty((x.shape[1], len(x), 4 * self.hidden), x.dtype)
        for t in reversed(range(x.shape[1])):
            i, f, g, o, before, tanh_c = steps[t]
            dh = dh + dy[:, t]
            dc = dc + dh * o * (1 - tanh_c * tanh_c)
            di, df, dg, do = dc * g, dc * before, dc * i, dh * tanh_c
            di, df, dg, do = di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)
            da[t] = np.concatenate([di, df, dg, do], axis=1)
            h = np.ascontiguousarray(y[:, t - 1]) if t else np.zeros_like(i)
            dh, dc = self.from_h_backward(da[t], h), dc * f
        return self.from_x_backward(da, x)
