"""Compiled code that is called by its address, and arrays that are found by theirs.

What calls a Numba function has all of its code compiled once more, in itself. A large function with
several callers is better compiled once, as a C function, and called by its address.

A slice ``a[i:j]`` in compiled code first tests for negative and for too large bounds and counts
one more owner of the memory. In a loop over short runs this costs more than the run, and a second
to compile for each dozen slices. :func:`part` is the run alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core.imputils import impl_ret_untracked
from numba.extending import intrinsic

from tinyae.kernels.jitted.threads import FLAGS

_KEPT = ("cache", "error_model", "fastmath")


def c_function(f: Callable[..., None], signature: Any) -> Any:
    """f compiled as a C function; keep it, and its ``address`` stays valid."""
    return numba.cfunc(signature, **{name: FLAGS[name] for name in _KEPT})(f)


def number(itemsize: int) -> Any:
    """The floating-point type of that many bytes, for a signature."""
    return types.float32 if itemsize == 4 else types.float64


@intrinsic
def pointer(typing: Any, address: Any) -> Any:
    """What lies at an address, for ``carray``."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.intp), emit


@intrinsic
def call(typing: Any, f: Any, *given: Any) -> Any:
    """f(*given), f being an address, and each of ``given`` an integer or an address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, several = args
        values = [builder.extract_value(several, k) for k in range(len(given))]
        function = ir.FunctionType(ir.VoidType(), [v.type for v in values]).as_pointer()
        builder.call(builder.inttoptr(address, function), values)
        return context.get_dummy_value()

    return types.void(types.intp, types.StarArgTuple.from_types(given)), emit


def _view(context: Any, builder: Any, kind: Any, data: Any, size: Any) -> Any:
    """The flat array of that type whose entries lie at ``data``; somebody else owns them."""
    made = context.make_array(kind)(context, builder)
    item = ir.Constant(size.type, context.get_abi_sizeof(data.type.pointee))
    made.data, made.nitems, made.itemsize = data, size, item
    made.shape = builder.insert_value(ir.Constant(made.shape.type, None), size, 0)
    made.strides = builder.insert_value(ir.Constant(made.strides.type, None), item, 0)
    made.meminfo = ir.Constant(made.meminfo.type, None)
    made.parent = ir.Constant(made.parent.type, None)
    return impl_ret_untracked(context, builder, kind, made._getvalue())


def _emit_part(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    a = context.make_array(signature.args[0])(context, builder, args[0])
    return _view(context, builder, signature.return_type, builder.gep(a.data, [args[1]]), args[2])


@intrinsic
def part(typing: Any, a: Any, at: Any, size: Any) -> Any:
    """``a[at : at + size]`` of a flat array that the caller keeps alive."""
    flat = types.Array(a.dtype, 1, "C")
    return flat(a, types.intp, types.intp), _emit_part
