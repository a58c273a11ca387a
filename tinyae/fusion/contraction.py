"""The twin of the contractive penalty's closed form: ‖Wⱼ‖² and its gradient in one pass over W."""

from __future__ import annotations

from tinyae import kernels
from tinyae.fusion.plan_cache import is_unmodified
from tinyae.layers import Dense
from tinyae.param import Array


def row_sq_norms(dense: Dense, scale: Array) -> Array:
    if type(dense) is not Dense or not is_unmodified(dense):
        return NotImplemented
    return kernels.row_sq_norms(dense.W.value, scale, dense.W.grad)
