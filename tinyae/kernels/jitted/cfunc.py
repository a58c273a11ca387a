"""Compiled functions that are called by address, and arrays that are found by address.

Numba compiles a function again into every caller. A large function with several callers is
therefore compiled once, as a C function (a cfunc), and called by its address.

In compiled code, a slice ``a[i:j]`` checks its bounds and increments a reference count. In a loop
over short slices that costs more than the work itself, and a dozen slices add a second of compile
time. :func:`view` makes the same array without checks or reference counting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import sigutils
from numba.core.ccallback import CFunc
from numba.core.imputils import impl_ret_untracked
from numba.extending import intrinsic

from tinyae.kernels.jitted.disk_cache import keep_on_disk
from tinyae.kernels.jitted.threads import FLAGS

_OPTIONS = {name: FLAGS[name] for name in ("error_model", "fastmath")}


def c_function(f: Callable[..., None], signature: Any) -> Any:
    """Compile f as a C function. Its ``address`` is valid as long as the returned object lives."""
    # numba.cfunc does the same, but with Numba's own cache
    arguments_and_result = sigutils.normalize_signature(signature)
    compiled = keep_on_disk(CFunc(f, arguments_and_result, locals={}, options=_OPTIONS), f)
    compiled.compile()
    return compiled


def float_type(itemsize: int) -> Any:
    """float32 or float64, by the number of bytes, for a signature."""
    return types.float32 if itemsize == 4 else types.float64


@intrinsic
def pointer(typing: Any, address: Any) -> Any:
    """An integer address as a pointer, for ``carray``."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.intp), emit


@intrinsic
def call(typing: Any, f: Any, *arguments: Any) -> Any:
    """f(*arguments), where f is the address of a C function; arguments are numbers or addresses."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, packed = args
        values = [builder.extract_value(packed, k) for k in range(len(arguments))]
        function = ir.FunctionType(ir.VoidType(), [v.type for v in values]).as_pointer()
        builder.call(builder.inttoptr(address, function), values)
        return context.get_dummy_value()

    return types.void(types.intp, types.StarArgTuple.from_types(arguments)), emit


def _wrap(context: Any, builder: Any, array_type: Any, data: Any, size: Any) -> Any:
    """A flat array over ``size`` entries at ``data``, without ownership of the memory."""
    array = context.make_array(array_type)(context, builder)
    item = ir.Constant(size.type, context.get_abi_sizeof(data.type.pointee))
    array.data, array.nitems, array.itemsize = data, size, item
    array.shape = builder.insert_value(ir.Constant(array.shape.type, None), size, 0)
    array.strides = builder.insert_value(ir.Constant(array.strides.type, None), item, 0)
    array.meminfo = ir.Constant(array.meminfo.type, None)
    array.parent = ir.Constant(array.parent.type, None)
    return impl_ret_untracked(context, builder, array_type, array._getvalue())


def _emit_view(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    a = context.make_array(signature.args[0])(context, builder, args[0])
    return _wrap(context, builder, signature.return_type, builder.gep(a.data, [args[1]]), args[2])


@intrinsic
def view(typing: Any, a: Any, at: Any, size: Any) -> Any:
    """``a[at : at + size]`` of a flat array, unchecked. The caller must keep ``a`` alive."""
    flat = types.Array(a.dtype, 1, "C")
    return flat(a, types.intp, types.intp), _emit_view
