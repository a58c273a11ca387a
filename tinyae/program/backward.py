"""A step of learning as plain data: forward, the loss's gradient, and back again.

The operations of the forward pass come first (``program.py``), then ``LossGrad``, then for each of
them, from the last to the first, the one of ``gradients.py`` which gives ∂L/∂x. What the backward
pass reads of the forward pass keeps its place in the arena until then.

A result that several operations read has as gradient the sum of what they give. Where no weight
before it is learnt, it needs none, and the backward pass ends there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyae.kernels.functions import FUNCTIONS
from tinyae.layers import TopK
from tinyae.losses import Loss
from tinyae.program import gradients as grad
from tinyae.program import program as ops
from tinyae.program.gradients import NOTHING
from tinyae.program.lower import Lowering
from tinyae.program.passes import fold_scales, fuse_activations
from tinyae.program.program import LINEAR, Function, Op, Program, Shape, Slot


class TrainingLowering(Lowering):
    """The lowering of a model in training."""

    def largest(self, layer: TopK) -> int:
        return layer.k

    def training_program(self, y: Slot, loss: Loss, target: Slot) -> Program:
        """One step: the layers up to y, the loss's gradient, and the backward pass."""
        op_list = fold_scales(self.ops, self.arrays, self.names)
        op_list = fuse_activations(op_list, lambda f: FUNCTIONS[f.name].cache == "y")
        self.ops = list(op_list)
        dy = self.append(grad.LossGrad(y, self.block(y.shape), target, loss))
        backward = _Backward(self, op_list)
        backward.gradients[y.space] = dy
        for op in reversed(op_list):
            backward.differentiate(op)
        return self.finish(())


class _Backward:
    """The backward pass under construction."""

    def __init__(self, lowering: TrainingLowering, forward: list[Op]) -> None:
        self.lowering = lowering
        self.gradients: dict[str, Slot] = {}  # by the space of what they are gradients of
        self.needed: set[str] = set()
        self.sizes: dict[str, int] = {}  # of the blocks
        for op in forward:
            self.sizes[op.y.space] = max(self.sizes.get(op.y.space, 0), op.y.offset + op.y.size)
            reads = [slot.space for name, slot in op.slots.items() if name != "y"]
            if self.learns(op) or self.needed.intersection(reads):
                self.needed.add(op.y.space)

    def learns(self, op: Op) -> bool:
        """Whether a weight of the operation is learnt."""
        slots = op.slots.values()
        return any(s.space == "weights" and s.offset in self.lowering.names for s in slots)

    def differentiate(self, op: Op) -> None:
        """Append the operations that take ∂L/∂(op.y) to ∂L/∂(op.x)."""
        if op.y.space not in self.needed:
            return
        dy = self.gradients[op.y.space]
        dy = dy._replace(offset=dy.offset + op.y.offset, shape=op.y.shape)  # a part, within Skip
        f = getattr(op, "f", LINEAR)
        if f != LINEAR and not isinstance(op, ops.Activation):
            dy = self.append(grad.ActivationGrad(dy, self.block(dy.shape), op.y, f))
        rule = BACKWARD.get(type(op))
        if rule is None:
            raise TypeError(
                f"export_c: the model has a {type(op).__name__}, whose gradient has no operation; "
                "freeze the layers before it and itself, e.g. frozen='encoder'"
            )
        rule(self, op, dy)

    # --- used by the rules ---------------------------------------------------------------------

    def append(self, op: Op) -> Slot:
        return self.lowering.append(op)

    def block(self, shape: Shape) -> Slot:
        return self.lowering.block(shape)

    def cache(self, op: Op) -> Slot:
        """What the gradient of the operation's weights is made of, if they are learnt."""
        return op.x if self.learns(op) else NOTHING

    def through(self, op: Op, make: Callable[[Slot], Op]) -> None:
        """Append ``make(dx)``, if op.x needs a gradient or op learns."""
        if op.x.space not in self.needed:
            if self.learns(op):
                self.append(make(NOTHING))
            return
        self.give(op.x, self.append(make(self.block(op.x.shape))))

    def give(self, x: Slot, dx: Slot) -> None:
        """One more reader of x has the gradient dx."""
        if x.space not in self.needed:
            return
        if x.size < self.sizes[x.space]:
            whole = self.block((self.sizes[x.space],))
            dx, x = self.append(grad.PartGrad(dx, whole, x.offset)), x._replace(shape=whole.shape)
        before = self.gradients.get(x.space)
        if before is not None:
            other = before._replace(shape=x.shape)
            dx = self.append(ops.Add(dx._replace(shape=x.shape), self.block(x.shape), other))
        self.gradients[x.space] = dx


# --- one rule for each kind of operation -------------------------------------------------------


def _affine(b: _Backward, op: ops.Affine, dy: Slot) -> None:
    b.through(op, lambda dx: grad.AffineGrad(dy, dx, op.scale, op.shift, b.cache(op)))


def _dense(b: _Backward, op: ops.Dense, dy: Slot) -> None:
    b.through(op, lambda dx: grad.DenseGrad(dy, dx, op.W, op.b, b.cache(op)))


def _conv(b: _Backward, op: ops.Conv, dy: Slot) -> None:
    def make(dx: Slot) -> Op:
        more = op.stride, op.corner, op.dilation, op.groups
        return grad.ConvGrad(dy, dx, op.W, op.b, b.cache(op), *more)

    b.through(op, make)


def _conv_transpose(b: _Backward, op: ops.ConvTranspose, dy: Slot) -> None:
    def make(dx: Slot) -> Op:
        W, bias, cache, x = op.W, op.b, b.cache(op), op.x.shape
        more = op.stride, op.corner, op.dilation, op.groups, x
        return grad.ConvTransposeGrad(dy, dx, W, bias, cache, *more)

    b.through(op, make)


def _max_pool(b: _Backward, op: ops.MaxPool, dy: Slot) -> None:
    more = op.window, op.stride, op.corner, op.dilation
    b.through(op, lambda dx: grad.MaxPoolGrad(dy, dx, op.x, *more))


def _avg_pool(b: _Backward, op: ops.AvgPool, dy: Slot) -> None:
    more = op.window, op.stride, op.corner, op.dilation
    b.through(op, lambda dx: grad.AvgPoolGrad(dy, dx, *more))


def _upsample(b: _Backward, op: ops.Upsample, dy: Slot) -> None:
    b.through(op, lambda dx: grad.UpsampleGrad(dy, dx, op.factor))


def _interpolate(b: _Backward, op: ops.Interpolate, dy: Slot) -> None:
    b.through(op, lambda dx: grad.InterpolateGrad(dy, dx, op.factor))


def _permute(b: _Backward, op: ops.Permute, dy: Slot) -> None:
    b.through(op, lambda dx: grad.PermuteGrad(dy, dx, tuple(op.sizes), tuple(op.steps)))


def _pad(b: _Backward, op: ops.Pad, dy: Slot) -> None:
    b.through(op, lambda dx: grad.PadGrad(dy, dx, op.corner, op.reflect))


def _activation(b: _Backward, op: ops.Activation, dy: Slot) -> None:
    f: Function = op.f
    cache = op.x if FUNCTIONS[f.name].cache == "x" else op.y
    b.through(op, lambda dx: grad.ActivationGrad(dy, dx, cache, f))


def _prelu(b: _Backward, op: ops.PReLU, dy: Slot) -> None:
    b.through(op, lambda dx: grad.PReLUGrad(dy, dx, op.slope, op.x))


def _normalize(b: _Backward, op: ops.Normalize, dy: Slot) -> None:
    b.through(op, lambda dx: grad.NormalizeGrad(dy, dx, op.x, op.view, op.centered, op.eps))


def _softmax(b: _Backward, op: ops.Softmax, dy: Slot) -> None:
    b.through(op, lambda dx: grad.SoftmaxGrad(dy, dx, op.y))


def _top_k(b: _Backward, op: ops.TopK, dy: Slot) -> None:
    b.through(op, lambda dx: grad.TopKGrad(dy, dx, op.x, op.k))


def _add(b: _Backward, op: ops.Add, dy: Slot) -> None:
    b.give(op.x, dy)
    b.give(op.other, dy)


def _multiply(b: _Backward, op: ops.Multiply, dy: Slot) -> None:
    for x, other in ((op.x, op.other), (op.other, op.x)):
        if x.space in b.needed:
            b.give(x, b.append(ops.Multiply(dy, b.block(x.shape), other)))


def _copy(b: _Backward, op: ops.Copy, dy: Slot) -> None:
    b.give(op.x, dy)


BACKWARD: dict[type[Op], Callable[[_Backward, Any, Slot], None]] = {
    ops.Affine: _affine,
    ops.Dense: _dense,
    ops.Conv: _conv,
    ops.ConvTranspose: _conv_transpose,
    ops.MaxPool: _max_pool,
    ops.AvgPool: _avg_pool,
    ops.Upsample: _upsample,
    ops.Interpolate: _interpolate,
    ops.Permute: _permute,
    ops.Pad: _pad,
    ops.Activation: _activation,
    ops.PReLU: _prelu,
    ops.Normalize: _normalize,
    ops.Softmax: _softmax,
    ops.TopK: _top_k,
    ops.Add: _add,
    ops.Multiply: _multiply,
    ops.Copy: _copy,
}
