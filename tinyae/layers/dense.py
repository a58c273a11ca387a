"""Affine maps: a layer with its own matrix, and one that shares another's, transposed."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinyae import kernels
from tinyae.arguments import check_callable, float_dtype, positive_int
from tinyae.initializers import GlorotUniform, Initializer, initial_bias
from tinyae.layers.base import Layer, Module, check_dy, check_input
from tinyae.param import Array, Param
from tinyae.twin import fused

__all__ = ["Dense", "TiedDense"]


class Dense(Layer):
    """Affine map of every row.

    Forward   y = x Wᵀ + b
    Shapes    x (N, I)   W (O, I)   b (O,)   y (N, O)
    Backward  dx = dy W      dW = dyᵀ x      db = Σₙ dyₙ
    Tangent   ẏ = ẋ Wᵀ
    Cache     x
    Source    Goodfellow, Bengio & Courville (2016), §6.5
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rng: np.random.Generator | None = None,
        init: Initializer | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_features = positive_int("Dense", "in_features", in_features)
        self.out_features = positive_int("Dense", "out_features", out_features)
        init, dtype = init or GlorotUniform(), float_dtype("Dense", dtype)
        check_callable("Dense", "init", init, "HeNormal()")
        shape = (self.out_features, self.in_features)
        self.W = Param(init(shape, self.in_features, self.out_features, rng, dtype))
        self.b = Param(initial_bias(init, self.out_features, shape, rng, dtype))

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x, ("N", self.in_features))
        y = kernels.affine(x, self.W.value, self.b.value)
        return y, x

    @fused
    def backward(self, dy: Array, x: Array) -> Array:
        dy = check_dy(self, dy, (len(x), self.out_features), x.dtype)
        self.W.grad += kernels.matmul_tn(dy, x)  # dW = dyᵀ x
        self.b.grad += dy.sum(axis=0)  # db = Σₙ dyₙ
        return kernels.matmul(dy, self.W.value)  # dx = dy W

    @fused
    def backward_params(self, dy: Array, x: Array) -> None:
        dy = check_dy(self, dy, (len(x), self.out_features), x.dtype)
        self.W.grad += kernels.matmul_tn(dy, x)
        self.b.grad += dy.sum(axis=0)

    def backward_input(self, dy: Array, x: Array) -> Array:
        dy = check_dy(self, dy, (len(x), self.out_features), x.dtype)
        return kernels.matmul(dy, self.W.value)

    def tangent(self, xdot: Array, x: Array) -> tuple[Array, Array]:
        return kernels.matmul_nt(xdot, self.W.value), xdot

    def tangent_backward(self, dydot: Array, xdot: Array) -> tuple[Array, None]:
        self.W.grad += kernels.matmul_tn(dydot, xdot)
        return kernels.matmul(dydot, self.W.value), None

    def __repr__(self) -> str:
        return f"Dense({self.in_features}, {self.out_features})"


class TiedDense(Layer):
    """The decoder half of a tied pair: it shares another Dense's matrix, and has its own b.

    Forward   y = x V + b          V = dense.W (I, O), shared, not copied
    Shapes    x (N, I)   V (I, O)   b (O,)   y (N, O)
    Backward  dx = dy Vᵀ      dV = xᵀ dy      db = Σₙ dyₙ
    Tangent   ẏ = ẋ V
    Cache     x
    Source    Vincent et al. (2010), §2.2: W′ = Wᵀ

    Both layers add to the same gradient: dV is the second contribution to the encoder's dW.
    """

    def __init__(self, dense: Dense) -> None:
        if not isinstance(dense, Dense):
            raise TypeError(
                f"TiedDense: dense is a {type(dense).__name__}, expected the Dense layer to be tied to"
            )
        self.dense = dense
        self.b = Param(np.zeros(dense.in_features, dense.W.dtype))

    @property
    def children(self) -> dict[str, Module]:
        return {}  # of the other layer only W is used

    @property
    def params(self) -> dict[str, Param]:
        return {"W": self.dense.W, "b": self.b}

    def forward(self, x: Array) -> tuple[Array, Array]:
        check_input(self, x, ("N", self.dense.out_features))
        y = kernels.affine(x, self.dense.W.value.T, self.b.value)  # affine transposes: Wᵀᵀ = V
        return y, x

    @fused
    def backward(self, dy: Array, x: Array) -> Array:
        dy = check_dy(self, dy, (len(x), self.dense.in_features), x.dtype)
        self.dense.W.grad += kernels.matmul_tn(x, dy)  # dV = xᵀ dy
        self.b.grad += dy.sum(axis=0)  # db = Σₙ dyₙ
        return kernels.matmul_nt(dy, self.dense.W.value)  # dx = dy Vᵀ

    def backward_input(self, dy: Array, x: Array) -> Array:
        dy = check_dy(self, dy, (len(x), self.dense.in_features), x.dtype)
        return kernels.matmul_nt(dy, self.dense.W.value)

    def tangent(self, xdot: Array, x: Array) -> tuple[Array, Array]:
        return kernels.matmul(xdot, self.dense.W.value), xdot

    def tangent_backward(self, dydot: Array, xdot: Array) -> tuple[Array, None]:
        self.dense.W.grad += kernels.matmul_tn(xdot, dydot)
        return kernels.matmul_nt(dydot, self.dense.W.value), None

    def __repr__(self) -> str:
        return f"TiedDense({self.dense!r})"
