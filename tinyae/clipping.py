"""Gradient clipping: an upper bound on the norm of the gradient.

Clip between ``backprop`` and ``step``::

    terms = model.backprop(x, rng)
    clip_by_global_norm(model.params, 5.0)
    optimizer.step(model.params)
"""

from __future__ import annotations

import math

import numpy as np

from tinyae.arguments import number
from tinyae.param import Array, Param, unique


def clip_by_global_norm(params: dict[str, Param], clip_norm: float) -> float:
    """Scale the gradient of all params together to a norm of at most ``clip_norm``.

    g ← g · min(1, c / ‖g‖), where ‖g‖ is one norm over all params, so the direction stays. Returns
    ‖g‖ before clipping. If ‖g‖ is not finite, the gradients stay as they are. Frozen params do not
    count.

    Raises
        ValueError  unless clip_norm > 0
        TypeError   a clip_norm that is no number, or params that are not a model's
    Source    Pascanu, Mikolov & Bengio (2013), algorithm 1
    """
    if not isinstance(params, dict) or not all(isinstance(p, Param) for p in params.values()):
        raise TypeError(
            f"clip_by_global_norm: params is {params!r:.60}, expected a dictionary of Params; "
            "pass model.params"
        )
    if not number("clip_by_global_norm", "clip_norm", clip_norm, 5.0) > 0:
        raise ValueError(
            f"clip_by_global_norm: clip_norm is {clip_norm}, expected > 0; pass e.g. 5.0"
        )
    grads = [p.grad for p in unique(params).values() if p.trainable]
    norm = math.sqrt(sum(map(_sum_of_squares, grads)))
    if norm > clip_norm and math.isfinite(norm):
        for grad in grads:
            grad *= clip_norm / norm
    return norm


def _sum_of_squares(grad: Array) -> float:
    flat = grad.ravel(order="K")
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(flat @ flat)
    if total < 1e-20 or not math.isfinite(total):  # the squares under- or overflow in float32
        flat = flat.astype(np.float64)
        total = float(flat @ flat)
    return total
