"""The loops of each activation, generated from its row in :mod:`tinyae.kernels.functions`.

An activation is compiled at its first use, as a C function. Single layers, fused networks and
compiled programs all call it by its address, so they compute the same numbers and no loop is
compiled twice. The in-place loop of ELU is

    def ELU(backward, alpha, ys_at, gs_at, size):
        ys = carray(ys_at, (size,))
        gs = carray(gs_at, (size,))
        number = ys.dtype.type
        c0 = number(0.0)
        d0 = number(0.0)
        d1 = number(1.0)
        if backward:
            for t in range(size):
                y = ys[t]
                v0 = (y + alpha)
                v1 = d1 if (y > d0) else v0
                gs[t] = gs[t] * v1
        else:
            for t in range(size):
                x = ys[t]
                v0 = c0 if (x > c0) else x
                v1 = (alpha * expm1(v0))
                v2 = x if (x > c0) else v1
                ys[t] = v2

Both values of each choice are computed before it, so no branch is needed and LLVM vectorises the
loop. NaN propagates.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
from typing import Any

from numba import carray, types

from tinyae.kernels.expressions import numba_lines
from tinyae.kernels.functions import FUNCTIONS, Function
from tinyae.kernels.jitted import vector_math
from tinyae.kernels.jitted.cfunc import c_function, float_type


@functools.cache
def in_place(name: str, itemsize: int) -> Any:
    """A C function (backward, α, y, g, size): y ← f(y), or g ← g ∘ f′ with the cache in y."""
    f = _make_loops(FUNCTIONS[name], ("ys", "gs"), x="ys", y="ys", dy="gs", dx="gs")
    return c_function(f, _signature(2, itemsize))


@functools.cache
def out_of_place(name: str, itemsize: int) -> Any:
    """A C function (backward, α, x, dy, out, size): out = f(x), or dy ∘ f′ with the cache in x."""
    f = _make_loops(FUNCTIONS[name], ("xs", "dys", "outs"), x="xs", y="outs", dy="dys", dx="outs")
    return c_function(f, _signature(3, itemsize))


def _signature(arrays: int, itemsize: int) -> Any:
    kind = float_type(itemsize)
    return types.void(types.intp, kind, *[types.CPointer(kind)] * arrays, types.intp)


def _make_loops(row: Function, arrays: tuple[str, ...], x: str, y: str, dy: str, dx: str) -> Any:
    """A Python function for Numba: y = f(x), or dx = dy ∘ f′. x, y, dy, dx name ``arrays``."""
    f_constants, f_lines, f = numba_lines(row.f, "c")
    slope_constants, slope_lines, slope = numba_lines(row.slope, "d")
    body = [
        *(f"    {array} = carray({array}_at, (size,))" for array in arrays),
        f"    number = {x}.dtype.type",
        *(f"    {line}" for line in f_constants + slope_constants),
        "    if backward:",
        "        for t in range(size):",
        f"            {row.cache} = {x}[t]",
        *(f"            {line}" for line in slope_lines),
        f"            {dx}[t] = {dy}[t] * {slope}",
        "    else:",
        "        for t in range(size):",
        f"            x = {x}[t]",
        *(f"            {line}" for line in f_lines),
        f"            {y}[t] = {f}",
    ]
    # Numba's disk cache is keyed by the function's name, so the name must change with its code.
    digest = hashlib.sha256((repr(body) + inspect.getsource(vector_math)).encode()).hexdigest()
    name = f"{row.name}_{digest[:12]}"
    addresses = ", ".join(f"{array}_at" for array in arrays)
    source = "\n".join([f"def {name}(backward, alpha, {addresses}, size):", *body])
    functions = {n: getattr(vector_math, n) for n in ("exp", "expm1", "log1p", "sigmoid", "tanh")}
    names = {**functions, "erfc": math.erfc, "carray": carray, "__name__": __name__}
    exec(compile(source, __file__, "exec"), names)
    return names[name]
