"""A run of an array as an array, for compiled code: no test, no reference count.

A slice ``a[i:j]`` in compiled code first tests for negative and for too large bounds and counts
one more owner of the memory. In a loop over short runs this costs more than the run, and a second
to compile for each dozen slices.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.imputils import impl_ret_untracked
from numba.extending import intrinsic


def view(context: Any, builder: Any, kind: Any, data: Any, size: Any) -> Any:
    """The flat array of that type whose entries lie at ``data``; somebody else owns them."""
    made = context.make_array(kind)(context, builder)
    item = ir.Constant(size.type, context.get_abi_sizeof(data.type.pointee))
    made.data, made.nitems, made.itemsize = data, size, item
    made.shape = builder.insert_value(ir.Constant(made.shape.type, None), size, 0)
    made.strides = builder.insert_value(ir.Constant(made.strides.type, None), item, 0)
    made.meminfo = ir.Constant(made.meminfo.type, None)
    made.parent = ir.Constant(made.parent.type, None)
    return impl_ret_untracked(context, builder, kind, made._getvalue())


def _emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    a = context.make_array(signature.args[0])(context, builder, args[0])
    return view(context, builder, signature.return_type, builder.gep(a.data, [args[1]]), args[2])


@intrinsic
def part(typing: Any, a: Any, at: Any, size: Any) -> Any:
    """``a[at : at + size]`` of a flat array that the caller keeps alive."""
    flat = types.Array(a.dtype, 1, "C")
    return flat(a, types.intp, types.intp), _emit
