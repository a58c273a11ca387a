"""Write the operations of a backward pass as calls of C functions. See :mod:`.operations`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from string import Template
from typing import Any

import numpy as np

from tinyae.kernels.expressions import c_expression, c_number, variables
from tinyae.kernels.functions import FUNCTIONS
from tinyae.kernels.windows import extent
from tinyae.losses import BCE, L1, MSE, BCEWithLogits, Huber, Loss
from tinyae.program import gradients as grad
from tinyae.program.program import Op, Pair, Program, Slot
from tinyae.program.to_c import backward_image_templates as image_templates
from tinyae.program.to_c import backward_templates as templates
from tinyae.program.to_c import image_templates as forward_images
from tinyae.program.to_c import templates as forward
from tinyae.program.to_c.operations import (
    WRITE,
    Operations,
    Writer,
    at_offset,
    comment,
    conv_weights,
    dense_table,
    each_group,
    from_offset,
    pointer,
)
from tinyae.program.to_c.optimizers import Optimizer
from tinyae.program.to_c.tables import split

# What the functions of backward_templates call the factors of a gradient, and where its weight is.
_UPDATES = {
    "update_b": ("W", "@", "d@"),
    "update_w": ("w", "@", "d@", "xk"),
    "update_b_by_g": ("W", "@", "g@"),
    "update_w_by_g": ("w", "@", "g@", "xk"),
}
_SUMS = {
    "update_b_by_sum": ("W", "@", "b@"),
    "update_w_by_sum": ("W", "@", "s@"),
    "update_c": ("w", "c", "sum"),
    "update_scale": ("scale", "c", "sum"),
    "update_slope": ("slope", "c", "sum"),
}


class BackwardWriter(Writer):
    """What the functions below need to write operation k of a training program."""

    def __init__(
        self, operations: Operations, program: Program, k: int, optimizer: Optimizer
    ) -> None:
        super().__init__(operations, program, k)
        self.optimizer = optimizer

    def updating(self, name: str, template: Template, **values: Any) -> str:
        """The C name of a function that moves weights as the optimizer does."""
        optimizer = self.optimizer
        updates = {key: optimizer.update(*names) for key, names in _UPDATES.items()}
        for key, (w, at, total) in _SUMS.items():
            updates[key] = optimizer.update(w, at, optimizer.scaled(total))
        return self.function(
            name,
            template,
            parameter=optimizer.parameter,
            scaled_dy=optimizer.scaled("dy[o + @]"),
            scaled_d=optimizer.scaled("d@"),
            **updates,
            **values,
        )

    def zero(self, y: Slot) -> str:
        return f"{self.function('zero', templates.ZERO)}({pointer(y)}, {y.size})"

    def window_over(self, image: Slot, op: Any, window: Pair, groups: int = 1) -> str:
        """The sizes of the forward operation, from an image to one of the gradient's shape."""
        forward = replace(op, x=image, y=op.x)
        return self.window(forward, window, op.corner, groups)


def training_statements(
    operations: Operations, program: Program, k: int, optimizer: Optimizer
) -> list[str]:
    """Operation k of a training program in C."""
    op = program.ops[k]
    if type(op) in WRITE:
        return operations.statements(program, k)
    calls = _WRITE_BACKWARD[type(op)](BackwardWriter(operations, program, k, optimizer), op)
    return [comment(k, op), *(f"{call};" for call in calls)]


# --- the loss --------------------------------------------------------------------------------------


def _mse(loss: Loss, n: int) -> list[str]:
    return [f"dy[i] = (y[i] - target[i]) * {c_number(2 / n)};"]


def _l1(loss: Loss, n: int) -> list[str]:
    step = c_number(1 / n)
    return [
        "const float d = y[i] - target[i];",
        f"dy[i] = d > 0.0f ? {step} : d < 0.0f ? -{step} : d;",
    ]


def _huber(loss: Huber, n: int) -> list[str]:
    delta, share = c_number(loss.delta), c_number(1 / n)
    return [
        "const float d = y[i] - target[i];",
        f"dy[i] = (d > {delta} ? {delta} : d < -{delta} ? -{delta} : d) * {share};",
    ]


def _bce(loss: Loss, n: int) -> list[str]:
    eps = float(np.finfo(np.float32).eps)
    low, high = c_number(eps), c_number(1 - eps)
    return [
        f"const float p = y[i] < {low} ? {low} : y[i] > {high} ? {high} : y[i];",
        f"dy[i] = (p - target[i]) / (p * (1.0f - p)) * {c_number(1 / n)};",
    ]


def _bce_with_logits(loss: Loss, n: int) -> list[str]:
    return [f"dy[i] = (1.0f / (1.0f + expf(-y[i])) - target[i]) * {c_number(1 / n)};"]


LOSSES: dict[type[Loss], Callable[[Any, int], list[str]]] = {
    MSE: _mse,
    L1: _l1,
    Huber: _huber,
    BCE: _bce,
    BCEWithLogits: _bce_with_logits,
}


def _loss_grad(w: BackwardWriter, op: grad.LossGrad) -> list[str]:
    lines = LOSSES[type(op.loss)](op.loss, op.x.size)
    text = "\n".join(f"        {line}" for line in lines)
    function = w.function("loss_grad", templates.LOSS_GRAD, lines=text)
    return [f"{function}({pointer(op.x)}, {pointer(op.target)}, {pointer(op.y)}, {op.x.size})"]


# --- one function for each kind of operation, which returns the calls ------------------------------


def _activation_grad(w: BackwardWriter, op: grad.ActivationGrad) -> list[str]:
    row, name = FUNCTIONS[op.f.name], op.f.name.lower()
    text = c_expression(row.slope)
    has_alpha = "alpha" in variables(row.slope)
    function = w.function(
        f"{name}_grad",
        templates.ACTIVATION_GRAD,
        function=name,
        variable=row.cache,
        alpha=", float alpha" if has_alpha else "",
        expression=text if text.startswith("(") else f"({text})",
    )
    alpha = f", {c_number(op.f.alpha)}" if has_alpha else ""
    places = f"{pointer(op.x)}, {pointer(op.cache)}, {pointer(op.y)}"
    return [f"{function}({places}, {op.y.size}{alpha})"]


def _dense_grad(w: BackwardWriter, op: grad.DenseGrad) -> list[str]:
    W, columns = dense_table(w, op), op.W.shape[1]
    w.function("fma", forward.FMA)
    calls = [w.zero(op.y)] if op.y.size else []
    first = 0
    for rows, outputs in split(op.W.shape[0]):
        weights, dy = at_offset(W, first * (1 + columns)), pointer(from_offset(op.x, first))
        sizes = f"{outputs}, {columns}"
        if not w.learns(op.W):
            function = w.function(f"dense_input_grad{rows}", templates.DENSE_INPUT_GRAD, rows=rows)
            calls.append(f"{function}({weights}, {dy}, {pointer(op.y)}, {sizes})")
        else:
            x, rate = pointer(op.cache), w.optimizer.argument
            if op.y.size:
                name, template, places = "dense_backward", templates.DENSE_BACKWARD, pointer(op.y)
                given = f"{weights}, {x}, {dy}, {places}, {sizes}, {rate}"
            else:
                name, template = "dense_update", templates.DENSE_UPDATE
                given = f"{weights}, {x}, {dy}, {sizes}, {rate}"
            calls.append(f"{w.updating(f'{name}{rows}', template, rows=rows)}({given})")
        first += outputs
    return calls


def _conv_grad(w: BackwardWriter, op: grad.ConvGrad) -> list[str]:
    templates = image_templates.CONV_INPUT_GRAD, image_templates.CONV_UPDATE
    return _any_conv_grad(w, op, "conv", templates, forward_images.taps(op.dilation))


def _conv_transpose_grad(w: BackwardWriter, op: grad.ConvTransposeGrad) -> list[str]:
    templates = image_templates.CONV_TRANSPOSE_INPUT_GRAD, image_templates.CONV_TRANSPOSE_UPDATE
    return _any_conv_grad(w, op, "conv_transpose", templates, image_templates.gaps(op.dilation))


def _any_conv_grad(
    w: BackwardWriter,
    op: grad.ConvGrad | grad.ConvTransposeGrad,
    name: str,
    templates: tuple[Template, Template],
    steps: dict[str, str],
) -> list[str]:
    """First dx by all of W, then the update of W."""
    W, table = conv_weights(w, op, isinstance(op, grad.ConvTransposeGrad))
    groups, outputs = W.shape[:2]
    image = op.y if op.y.size else op.cache
    window = w.window_over(image, op, (W.shape[3], W.shape[4]), groups)
    w.function("min", forward.MIN)
    w.function("fma", forward.FMA)
    pixels, of_output = op.x.shape[1] * op.x.shape[2], 1 + W[0, 0].size
    of_group = [outputs * of_output, outputs * pixels, image.size // groups]
    suffix = forward_images.suffix(op.dilation)
    input_grads = [w.zero(op.y)] if op.y.size else []
    updates = []
    first = 0
    for rows, count in split(outputs):
        weights, dy = at_offset(table, first * of_output), from_offset(op.x, first * pixels)
        if op.y.size:
            of_taps = suffix if name == "conv" else ""
            full = f"{name}_input_grad{of_taps}{rows}"
            function = w.function(full, templates[0], rows=rows, **steps)
            places = [weights, pointer(dy), pointer(op.y)]
            loop, places = each_group(groups, places, of_group)
            input_grads.append(f"{loop}{function}({window}, {count}, {', '.join(places)})")
        if w.learns(op.W):
            w.function("range", image_templates.RANGE)
            w.function("sum", image_templates.SUM)
            full = f"{name}_update{suffix}{rows}"
            function = w.updating(full, templates[1], rows=rows, **steps)
            places = [weights, pointer(dy), pointer(op.cache)]
            loop, (weights, of_dy, of_x) = each_group(groups, places, of_group)
            given = f"{window}, {count}, {weights}, {of_x}, {of_dy}, {w.optimizer.argument}"
            updates.append(f"{loop}{function}({given})")
        first += count
    return input_grads + updates


def _max_pool_grad(w: BackwardWriter, op: grad.MaxPoolGrad) -> list[str]:
    places = f"{pointer(op.cache)}, {pointer(op.x)}, {pointer(op.y)}"
    return _pool_grad(w, op, "max_pool_grad", image_templates.MAX_POOL_GRAD, places)


def _avg_pool_grad(w: BackwardWriter, op: grad.AvgPoolGrad) -> list[str]:
    return _pool_grad(w, op, "avg_pool_grad", image_templates.AVG_POOL_GRAD, w.pointers(op))


def _pool_grad(
    w: BackwardWriter,
    op: grad.MaxPoolGrad | grad.AvgPoolGrad,
    name: str,
    template: Template,
    places: str,
) -> list[str]:
    w.function("min", forward.MIN)
    name += forward_images.suffix(op.dilation)
    function = w.function(name, template, **forward_images.entries(op.dilation))
    window = w.window_over(op.y, op, extent(op.window, op.dilation))
    return [w.zero(op.y), f"{function}({window}, {places})"]


def _upsample_grad(w: BackwardWriter, op: grad.UpsampleGrad) -> list[str]:
    function = w.function("upsample_grad", image_templates.UPSAMPLE_GRAD)
    channels, height, width = op.y.shape
    sizes = f"{channels * height}, {width}, {op.factor[0]}, {op.factor[1]}"
    return [w.zero(op.y), f"{function}({w.pointers(op)}, {sizes})"]


def _interpolate_grad(w: BackwardWriter, op: grad.InterpolateGrad) -> list[str]:
    w.function("min", forward.MIN)
    function = w.function("interpolate_grad", image_templates.INTERPOLATE_GRAD)
    sizes = ", ".join(map(str, (*op.y.shape, *op.factor)))
    return [w.zero(op.y), f"{function}({w.pointers(op)}, {sizes})"]


def _part_grad(w: BackwardWriter, op: grad.PartGrad) -> list[str]:
    function = w.function("copy", forward.COPY)
    part = pointer(from_offset(op.y, op.first))
    return [w.zero(op.y), f"{function}({pointer(op.x)}, {part}, {op.x.size})"]


def _permute_grad(w: BackwardWriter, op: grad.PermuteGrad) -> list[str]:
    permutation = w.permutation([*op.sizes, *op.steps])
    function = w.function("permute_grad", image_templates.PERMUTE_GRAD)
    return [f"{function}({permutation}, {w.pointers(op)})"]


def _pad_grad(w: BackwardWriter, op: grad.PadGrad) -> list[str]:
    window = w.window_over(op.y, op, (1, 1))
    if not op.reflect:
        function = w.function("pad_grad", image_templates.PAD_GRAD)
        return [f"{function}({window}, {w.pointers(op)})"]
    w.function("mirrored", forward_images.MIRRORED)
    function = w.function("pad_reflect_grad", image_templates.PAD_REFLECT_GRAD)
    return [w.zero(op.y), f"{function}({window}, {w.pointers(op)})"]


def _affine_grad(w: BackwardWriter, op: grad.AffineGrad) -> list[str]:
    scale = w.table("scale", w.read(op.scale), op.scale)
    shift = w.table("shift", w.read(op.shift), op.shift)
    channels, length = op.scale.size, op.x.size // op.scale.size
    sizes, rate, dy = f"{channels}, {length}", w.optimizer.argument, pointer(op.x)
    calls = []
    if w.learns(op.shift):
        w.function("sum", image_templates.SUM)
        function = w.updating("shift_update", templates.SHIFT_UPDATE)
        calls.append(f"{function}({shift}, {dy}, {sizes}, {rate})")
    if not w.learns(op.scale):
        function = w.function("affine_grad", templates.AFFINE_GRAD)
        calls.append(f"{function}({scale}, {w.pointers(op)}, {sizes})")
    elif op.y.size:
        function = w.updating("affine_backward", templates.AFFINE_BACKWARD)
        places = f"{pointer(op.cache)}, {w.pointers(op)}"
        calls.append(f"{function}({scale}, {places}, {sizes}, {rate})")
    else:
        function = w.updating("affine_update", templates.AFFINE_UPDATE)
        calls.append(f"{function}({scale}, {pointer(op.cache)}, {dy}, {sizes}, {rate})")
    return calls


def _prelu_grad(w: BackwardWriter, op: grad.PReLUGrad) -> list[str]:
    slope = w.table("slope", w.read(op.slope), op.slope)
    channels, length = op.slope.size, op.x.size // op.slope.size
    sizes, rate, cache = f"{channels}, {length}", w.optimizer.argument, pointer(op.cache)
    if not w.learns(op.slope):
        function = w.function("prelu_grad", templates.PRELU_GRAD)
        return [f"{function}({slope}, {cache}, {w.pointers(op)}, {sizes})"]
    if op.y.size:
        function = w.updating("prelu_backward", templates.PRELU_BACKWARD)
        return [f"{function}({slope}, {cache}, {w.pointers(op)}, {sizes}, {rate})"]
    function = w.updating("prelu_update", templates.PRELU_UPDATE)
    return [f"{function}({slope}, {cache}, {pointer(op.x)}, {sizes}, {rate})"]


def _normalize_grad(w: BackwardWriter, op: grad.NormalizeGrad) -> list[str]:
    name = "standardize_grad" if op.centered else "rms_norm_grad"
    text = templates.STANDARDIZE_GRAD if op.centered else templates.RMS_NORM_GRAD
    places = f"{pointer(op.cache)}, {pointer(op.x)}, {pointer(op.y)}"
    sizes = ", ".join(map(str, op.view))
    return [f"{w.function(name, text)}({c_number(op.eps)}, {places}, {sizes})"]


def _softmax_grad(w: BackwardWriter, op: grad.SoftmaxGrad) -> list[str]:
    function = w.function("softmax_grad", templates.SOFTMAX_GRAD)
    classes = (op.x.shape or (1,))[0]
    places = f"{pointer(op.cache)}, {pointer(op.x)}, {pointer(op.y)}"
    return [f"{function}({places}, {classes}, {op.x.size // classes})"]


def _top_k_grad(w: BackwardWriter, op: grad.TopKGrad) -> list[str]:
    function = w.function("top_k", forward.TOP_K)
    places = f"{pointer(op.cache)}, {pointer(op.x)}, {pointer(op.y)}"
    return [f"{function}({places}, {op.x.size}, {op.k})"]


_WRITE_BACKWARD: dict[type[Op], Callable[[BackwardWriter, Any], list[str]]] = {
    grad.LossGrad: _loss_grad,
    grad.ActivationGrad: _activation_grad,
    grad.DenseGrad: _dense_grad,
    grad.ConvGrad: _conv_grad,
    grad.ConvTransposeGrad: _conv_transpose_grad,
    grad.MaxPoolGrad: _max_pool_grad,
    grad.AvgPoolGrad: _avg_pool_grad,
    grad.UpsampleGrad: _upsample_grad,
    grad.InterpolateGrad: _interpolate_grad,
    grad.PartGrad: _part_grad,
    grad.PermuteGrad: _permute_grad,
    grad.PadGrad: _pad_grad,
    grad.AffineGrad: _affine_grad,
    grad.PReLUGrad: _prelu_grad,
    grad.NormalizeGrad: _normalize_grad,
    grad.SoftmaxGrad: _softmax_grad,
    grad.TopKGrad: _top_k_grad,
}
