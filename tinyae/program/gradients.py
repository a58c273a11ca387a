"""The operations of a backward pass, beside those of the forward pass in ``program.py``.

Here x is ∂L/∂y of the operation that is differentiated, and y is its ∂L/∂x. ``cache`` is what the
forward pass leaves for the backward pass: the input of that operation, or its output where the
docstring says so. An operation with weights of its own also moves these, if they are learnt: first
it computes y, then it moves them, so a plain descent needs no memory for their gradients. y is
``NOTHING`` where nobody needs it. The formulas are those of the layers' docstrings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinyae.losses import Loss
from tinyae.program.program import Function, Op, Pair, Shape, Slot

NOTHING = Slot("nothing", 0, (0,))


@dataclass(frozen=True)
class LossGrad(Op):
    """y = ∂L/∂x of the loss of x against the target. y may be x's slot."""

    target: Slot
    loss: Loss


@dataclass(frozen=True)
class ActivationGrad(Op):
    """y = x ∘ f′(cache)      cache: the input or the output, whichever f′ is written in"""

    cache: Slot
    f: Function


@dataclass(frozen=True)
class DenseGrad(Op):
    """y = Wᵀ x      dW = x cacheᵀ      db = x"""

    W: Slot
    b: Slot
    cache: Slot

    @property
    def macs(self) -> int:
        return self.W.size * (bool(self.y.size) + bool(self.cache.size))


@dataclass(frozen=True)
class ConvolutionGrad(Op):
    """What both directions of a convolution have."""

    W: Slot
    b: Slot
    cache: Slot
    stride: Pair
    corner: Pair
    dilation: Pair
    groups: int

    def _macs(self, image: Shape) -> int:
        """``image``: the shape of the smaller side, where each pixel meets all of W"""
        return self.W.size * math.prod(image[1:]) * (bool(self.y.size) + bool(self.cache.size))


@dataclass(frozen=True)
class ConvGrad(ConvolutionGrad):
    """y[c, i·s+u·d−top, j·s+v·d−left] = Σ W[o,c,u,v] · x[o,i,j] over o, u, v, i, j that meet there

    dW[o,c,u,v] = Σ_{i,j} x[o,i,j] · cache[c, i·s+u·d−top, j·s+v·d−left]      db[o] = Σ_{i,j} x[o,i,j]
    c runs over the channels of o's group.
    """

    @property
    def macs(self) -> int:
        return self._macs(self.x.shape)


@dataclass(frozen=True)
class ConvTransposeGrad(ConvolutionGrad):
    """y[c,i,j] = Σ_{o,u,v} W[c,o,u,v] · x[o, i·s+u·d−top, j·s+v·d−left]

    dW[c,o,u,v] = Σ_{i,j} cache[c,i,j] · x[o, i·s+u·d−top, j·s+v·d−left]      db[o] = Σ x[o]
    """

    image: Shape  # of the operation's input

    @property
    def macs(self) -> int:
        return self._macs(self.image)


@dataclass(frozen=True)
class MaxPoolGrad(Op):
    """y at the largest entry of each window of cache, the first of equal ones, gets its x"""

    cache: Slot
    window: Pair
    stride: Pair
    corner: Pair
    dilation: Pair


@dataclass(frozen=True)
class AvgPoolGrad(Op):
    """y at each entry of a window gets its x over the number of entries inside of the image"""

    window: Pair
    stride: Pair
    corner: Pair
    dilation: Pair


@dataclass(frozen=True)
class UpsampleGrad(Op):
    """y[c,i,j] = Σ_{u<a, v<b} x[c, i·a+u, j·b+v]      factor (a, b)"""

    factor: Pair


@dataclass(frozen=True)
class InterpolateGrad(Op):
    """y at each of the four pixels that an x lies between gets x times its weight      factor (a, b)"""

    factor: Pair


@dataclass(frozen=True)
class PartGrad(Op):
    """y = x from the index ``first`` on, 0 elsewhere: of an operation that reads a part of an array"""

    first: int


@dataclass(frozen=True)
class PermuteGrad(Op):
    """y, its axes in the new order of ``sizes`` and ``steps``, is x: see ``Permute``"""

    sizes: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class PadGrad(Op):
    """y[c,i,j] = Σ of x over the places of the padded image that show it"""

    corner: Pair
    reflect: bool
    stride = (1, 1)


@dataclass(frozen=True)
class AffineGrad(Op):
    """y[c,p] = scale[c] · x[c,p]      dscale[c] = Σ_p x[c,p] · cache[c,p]      dshift[c] = Σ_p x[c,p]"""

    scale: Slot
    shift: Slot
    cache: Slot


@dataclass(frozen=True)
class PReLUGrad(Op):
    """y = x ∘ (1 if cache > 0 else slope)      dslope[c] = Σ_p x[c,p] · min(cache[c,p], 0)"""

    slope: Slot
    cache: Slot


@dataclass(frozen=True)
class NormalizeGrad(Op):
    """y = (x − mean x − x̂ mean (x ∘ x̂)) / σ along axis 1; without mean x unless ``centered``"""

    cache: Slot
    view: tuple[int, int, int]
    centered: bool
    eps: float


@dataclass(frozen=True)
class SoftmaxGrad(Op):
    """y = cache ∘ (x − ⟨cache, x⟩) over axis 0      cache: the output"""

    cache: Slot


@dataclass(frozen=True)
class TopKGrad(Op):
    """y = x at the k largest entries of cache, 0 · x elsewhere"""

    cache: Slot
    k: int


IN_PLACE = (LossGrad, ActivationGrad, AffineGrad, PReLUGrad, NormalizeGrad, SoftmaxGrad, TopKGrad)
