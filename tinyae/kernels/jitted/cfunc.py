"""Compiled code that is reached by its address, and arrays that are.

What calls a Numba function has all of its code compiled once more, in itself. A large function with
several callers is better compiled once, as a C function, and called by its address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
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
