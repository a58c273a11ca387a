"""The innermost loop of every matrix product and convolution: a tile of sums kept in registers.

A tile is as large as the processor's vector width and number of vector registers allow, so that
each loaded number takes part in as many multiplications as possible. Numba generates such loops
only for dot products. This loop is therefore built from LLVM's vector instructions, which LLVM
translates for the processor that it finds.

    processor      vector    tile (float32)
    AVX-512        16        8 × 32
    AVX2           8         6 × 16
    others         4         8 × 8 (fits NEON; runs everywhere)
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from tinyae.kernels.functions import FUNCTIONS
from tinyae.kernels.jitted.threads import jit
from tinyae.kernels.jitted.vector_expression import emit
from tinyae.param import Array


def _features() -> str:
    """The processor's features, or those that NUMBA_CPU_FEATURES sets."""
    if config.CPU_FEATURES is not None:
        return str(config.CPU_FEATURES)
    return str(llvm.get_host_cpu_features().flatten())


if "+avx512f" in _features():
    _BYTES, ROWS = 64, 8
elif "+avx2" in _features():
    _BYTES, ROWS = 32, 6
else:
    _BYTES, ROWS = 16, 8

VECTORS = 2  # vectors in each row of a tile of ROWS rows
THIN = 4  # vectors in a tile of one row
GROUPS = 4  # groups of VECTORS vectors in a tile of one output channel and several pixels
NO_EPILOGUE, RELU, RELU_MASK = range(3)  # what is applied to the sums before they are stored


def lanes(itemsize: int) -> int:
    """Numbers in a SIMD vector."""
    return _BYTES // itemsize


def _make_tile(rows: int, vectors: int) -> Any:
    @intrinsic
    def tile(
        typing: Any,
        a: Any,
        a_at: Any,
        a_row: Any,
        a_k: Any,
        b: Any,
        b_at: Any,
        offsets: Any,
        c: Any,
        c_at: Any,
        c_row: Any,
        depth: Any,
        start: Any,
        start_at: Any,
        start_row: Any,
    ) -> Any:
        number = types.intp
        signature = types.void(
            *(a, number, number, number),
            *(b, number, offsets),
            *(c, number, number),
            *(number, start, number, number),
        )
        return signature, lambda *gen: _emit(rows, vectors, 1, *gen)

    return tile


def _make_conv_tile(rows: int, vectors: int, groups: int) -> Any:
    @intrinsic
    def tile(
        typing: Any,
        a: Any,
        a_at: Any,
        a_row: Any,
        a_k: Any,
        b: Any,
        b_at: Any,
        offsets: Any,
        c: Any,
        c_at: Any,
        c_row: Any,
        depth: Any,
        start: Any,
        start_at: Any,
        start_row: Any,
        b_group: Any,
        c_group: Any,
        epilogue: Any,
        relu_mask: Any,
    ) -> Any:
        number = types.intp
        signature = types.void(
            *(a, number, number, number),
            *(b, number, offsets),
            *(c, number, number),
            *(number, start, number, number),
            *(number, number, number, relu_mask),
        )
        return signature, lambda *gen: _emit(rows, vectors, groups, *gen)

    return tile


def _emit(
    rows: int, vectors: int, groups: int, context: Any, builder: Any, signature: Any, args: Any
) -> Any:
    """The loop nest of :data:`tile`: ``groups`` · ``vectors`` vectors of sums in each row."""

    def pointer(k: int) -> Any:
        return context.make_array(signature.args[k])(context, builder, args[k]).data

    a, b, offsets, c, start = pointer(0), pointer(4), pointer(6), pointer(7), pointer(11)
    _, a_at, a_row, a_k, _, b_at, _, _, c_at, c_row, depth, _, start_at, start_row = args[:14]
    b_group, c_group, epilogue, _ = args[14:] or (None, None, None, None)
    scalar = context.get_data_type(signature.args[0].dtype)
    itemsize = 4 if isinstance(scalar, ir.FloatType) else 8
    width = lanes(itemsize)
    vector, index, lane = ir.VectorType(scalar, width), ir.IntType(64), ir.IntType(32)
    undefined = ir.Constant(vector, ir.Undefined)
    first_lane = ir.Constant(ir.VectorType(lane, width), [0] * width)

    def at(base: Any, *steps: Any) -> Any:
        for step in steps:
            base = builder.gep(base, [step])
        return base

    def addresses(base: Any, group: Any) -> list[Any]:
        """The addresses of all vectors in a row: ``vectors`` from the base, then the next group."""
        bases = [base if g == 0 else at(base, builder.mul(group, index(g))) for g in range(groups)]
        return [
            builder.bitcast(at(b, index(v * width)), vector.as_pointer())
            for b in bases
            for v in range(vectors)
        ]

    before, loop, after = (
        builder.block,
        builder.append_basic_block("k"),
        builder.append_basic_block("sums"),
    )
    initial_sums = []
    for i in range(rows):
        head = at(start, start_at, builder.mul(start_row, index(i)))
        initial_sums += [builder.load(p, align=itemsize) for p in addresses(head, index(0))]
    row_of_a = [builder.mul(a_row, index(i)) for i in range(rows)]
    start_a, start_b, start_c = at(a, a_at), at(b, b_at), at(c, c_at)

    def targets_in(base: Any) -> list[Any]:
        rows_of_c = [at(base, builder.mul(c_row, index(i))) for i in range(rows)]
        return [address for row in rows_of_c for address in addresses(row, c_group)]

    targets = targets_in(start_c)
    # Prefetch the memory that will be written. A convolution prefetches this tile. A matrix product
    # may accumulate into c, and so has loaded this tile already: it prefetches the tile below.
    prefetched = start_c if epilogue is not None else at(start_c, builder.mul(c_row, index(rows)))
    for address in targets_in(prefetched):
        _emit_prefetch(builder, address)
    builder.cbranch(builder.icmp_signed(">", depth, index(0)), loop, after)

    # for k in range(depth): sums[i, v] += a[i, k] · b[k, v]
    builder.position_at_end(loop)
    k, a_address = builder.phi(index), builder.phi(start_a.type)
    k.add_incoming(index(0), before)
    a_address.add_incoming(start_a, before)
    sums = [builder.phi(vector) for _ in targets]
    row_of_b = at(start_b, builder.load(at(offsets, k)))
    bs = [builder.load(address, align=itemsize) for address in addresses(row_of_b, b_group)]
    new_sums: list[Any] = []
    for i in range(rows):
        one = builder.insert_element(undefined, builder.load(at(a_address, row_of_a[i])), lane(0))
        broadcast = builder.shuffle_vector(one, undefined, first_lane)
        for b_vector in bs:
            product = builder.fmul(broadcast, b_vector, flags=("contract",))
            new_sums.append(builder.fadd(product, sums[len(new_sums)], flags=("contract",)))
    for old, new, first in zip(sums, new_sums, initial_sums):
        old.add_incoming(first, before)
        old.add_incoming(new, loop)
    next_k = builder.add(k, index(1))
    k.add_incoming(next_k, loop)
    a_address.add_incoming(at(a_address, a_k), loop)
    builder.cbranch(builder.icmp_signed("<", next_k, depth), loop, after)

    # c[i, v] = sums[i, v]
    builder.position_at_end(after)
    results = [builder.phi(vector) for _ in targets]
    for result, new, first in zip(results, new_sums, initial_sums):
        result.add_incoming(first, before)
        result.add_incoming(new, loop)
    if epilogue is None:
        _emit_stores(builder, targets, results)
    else:
        _emit_epilogue(builder, epilogue, targets, results, targets_in(at(pointer(17), c_at)))
    return context.get_dummy_value()


def _emit_stores(builder: Any, addresses: list[Any], values: list[Any]) -> None:
    for address, value in zip(addresses, values):
        builder.store(value, address, align=_alignment(value.type))


def _emit_epilogue(
    builder: Any, epilogue: Any, addresses: list[Any], sums: list[Any], mask_addresses: list[Any]
) -> None:
    """Store s, f(s) or s ∘ f′(relu_mask) with the ReLU's f and f′, as ``epilogue`` says."""
    relu, vector = FUNCTIONS["ReLU"], sums[0].type
    plain, with_relu, masked, done = (
        builder.append_basic_block(name) for name in ("plain", "with_relu", "masked", "done")
    )
    switch = builder.switch(epilogue, plain)
    switch.add_case(epilogue.type(RELU), with_relu)
    switch.add_case(epilogue.type(RELU_MASK), masked)

    builder.position_at_end(plain)
    _emit_stores(builder, addresses, sums)
    builder.branch(done)

    builder.position_at_end(with_relu)
    _emit_stores(builder, addresses, [emit(builder, relu.f, {"x": s}) for s in sums])
    builder.branch(done)

    builder.position_at_end(masked)
    mask = [builder.load(address, align=_alignment(vector)) for address in mask_addresses]
    slopes = [emit(builder, relu.slope, {"y": y}) for y in mask]
    _emit_stores(builder, addresses, [builder.fmul(s, slope) for s, slope in zip(sums, slopes)])
    builder.branch(done)

    builder.position_at_end(done)


def _alignment(vector: Any) -> int:
    """Vectors are aligned only to their element size."""
    return 4 if isinstance(vector.element, ir.FloatType) else 8


def _emit_prefetch(builder: Any, address: Any) -> None:
    """Prefetch a cache line for writing."""
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
    f = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    to_write, all_levels, data = flag(1), flag(3), flag(1)
    builder.call(f, [builder.bitcast(address, byte), to_write, all_levels, data])


#: ``tile(a, a_at, a_row, a_k, b, b_at, offsets, c, c_at, c_row, depth, start, start_at,
#: start_row)``, on flat arrays::
#:
#:     for i in range(ROWS):
#:         for j in range(VECTORS * lanes):
#:             s = start[start_at + i·start_row + j] +
#:                 Σ_{k < depth} a[a_at + i·a_row + k·a_k] · b[b_at + offsets[k] + j]
#:             c[c_at + i·c_row + j] = s
#:
#: Bounds are not checked: the caller must make sure that every index is valid.
tile = _make_tile(ROWS, VECTORS)

#: The same for ROWS rows and one vector.
narrow_tile = _make_tile(ROWS, 1)

#: The same for one row and THIN vectors.
thin_tile = _make_tile(1, THIN)

#: :data:`tile` for convolutions, with four more arguments, ``b_group, c_group, epilogue,
#: relu_mask``. ``epilogue`` is applied to the sums before they are stored: NO_EPILOGUE, RELU for
#: relu(s), or RELU_MASK for relu_backward(s, relu_mask), with ``relu_mask`` in c's shape. It has
#: one group.
conv_tile = _make_conv_tile(ROWS, VECTORS, 1)

#: The same for one row and GROUPS groups of VECTORS vectors. Group g is at b_at + g·b_group and
#: c_at + g·c_group; ``start`` is shared by all groups.
grouped_conv_tile = _make_conv_tile(1, VECTORS, GROUPS)


# --- dot products: sums along the vectors -----------------------------------------------------

DOTS = 4  # ``dots`` computes DOTS × DOTS sums, ``thin_dots`` 1 × DOTS


def _make_dots(rows: int) -> Any:
    @intrinsic
    def dots(
        typing: Any,
        a: Any,
        a_at: Any,
        a_row: Any,
        b: Any,
        b_at: Any,
        offsets: Any,
        k: Any,
        c: Any,
        c_at: Any,
        c_row: Any,
        size: Any,
        pieces: Any,
        a_piece: Any,
        b_piece: Any,
    ) -> Any:
        number = types.intp
        return types.void(
            *(a, number, number),
            *(b, number, offsets, number),
            *(c, number, number),
            *(number, number, number, number),
        ), lambda *gen: _emit_dots(rows, *gen)

    return dots


def _emit_dots(rows: int, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """The loop nest of :data:`dots`: a vector of partial sums for each of rows × DOTS sums."""

    def pointer(k: int) -> Any:
        return context.make_array(signature.args[k])(context, builder, args[k]).data

    a, b, offsets, c = pointer(0), pointer(3), pointer(5), pointer(7)
    _, a_at, a_row, _, b_at, _, k, _, c_at, c_row, size, pieces, a_piece, b_piece = args
    scalar = context.get_data_type(signature.args[0].dtype)
    itemsize = 4 if isinstance(scalar, ir.FloatType) else 8
    width = lanes(itemsize)
    vector, index = ir.VectorType(scalar, width), ir.IntType(64)

    def at(base: Any, *steps: Any) -> Any:
        for step in steps:
            base = builder.gep(base, [step])
        return base

    def grow(sums: list[Any], *ways: tuple[Any, list[Any]]) -> None:
        for block, values in ways:
            for total, value in zip(sums, values):
                total.add_incoming(value, block)

    rows_of_a = [at(a, a_at, builder.mul(a_row, index(i))) for i in range(rows)]
    rows_of_b = [
        at(b, b_at, builder.load(at(offsets, builder.add(k, index(j))))) for j in range(DOTS)
    ]
    before = builder.block
    piece, loop, end, after = (
        builder.append_basic_block(name) for name in ("piece", "t", "end", "sums")
    )
    zeros = [ir.Constant(vector, [0.0] * width)] * (rows * DOTS)
    some = builder.and_(*(builder.icmp_signed(">", n, index(0)) for n in (size, pieces)))
    builder.cbranch(some, piece, after)

    builder.position_at_end(piece)
    p = builder.phi(index)
    so_far = [builder.phi(vector) for _ in zeros]
    as_ = [at(row, builder.mul(p, a_piece)) for row in rows_of_a]
    bs = [at(row, builder.mul(p, b_piece)) for row in rows_of_b]
    builder.branch(loop)

    builder.position_at_end(loop)
    t = builder.phi(index)
    sums = [builder.phi(vector) for _ in zeros]

    def load(base: Any) -> Any:
        return builder.load(builder.bitcast(at(base, t), vector.as_pointer()), align=itemsize)

    xs, ys = [load(row) for row in as_], [load(row) for row in bs]
    new_sums: list[Any] = []
    for i in range(rows):
        for j in range(DOTS):
            product = builder.fmul(xs[i], ys[j], flags=("contract",))
            new_sums.append(builder.fadd(product, sums[i * DOTS + j], flags=("contract",)))
    next_t = builder.add(t, index(width))
    grow([t, *sums], (piece, [index(0), *so_far]), (loop, [next_t, *new_sums]))
    builder.cbranch(builder.icmp_signed("<", next_t, size), loop, end)

    builder.position_at_end(end)
    next_p = builder.add(p, index(1))
    grow([p, *so_far], (before, [index(0), *zeros]), (end, [next_p, *new_sums]))
    builder.cbranch(builder.icmp_signed("<", next_p, pieces), piece, after)

    builder.position_at_end(after)
    totals = [builder.phi(vector) for _ in new_sums]
    grow(totals, (before, zeros), (end, new_sums))
    for n, total in enumerate(totals):
        half = width // 2
        while half:  # add the halves of the vector until one number is left
            low, high = (
                builder.shuffle_vector(
                    total,
                    total,
                    ir.Constant(ir.VectorType(ir.IntType(32), half), [*range(start, start + half)]),
                )
                for start in (0, half)
            )
            total = builder.fadd(low, high)
            half //= 2
        i, j = divmod(n, DOTS)
        address = at(c, c_at, builder.mul(c_row, index(i)), index(j))
        one = builder.extract_element(total, ir.IntType(32)(0))
        builder.store(builder.fadd(builder.load(address), one), address)
    return context.get_dummy_value()


#: ``dots(a, a_at, a_row, b, b_at, offsets, k, c, c_at, c_row, size, pieces, a_piece, b_piece)``,
#: on flat arrays::
#:
#:     for i in range(DOTS):
#:         for j in range(DOTS):
#:             s = Σ_{p < pieces, t < size} a[a_at + i·a_row + p·a_piece + t] ·
#:                                          b[b_at + offsets[k + j] + p·b_piece + t]
#:             c[c_at + i·c_row + j] += s
#:
#: ``size`` is a multiple of the lanes. Bounds are not checked.
dots = _make_dots(DOTS)

#: The same for one row of a.
thin_dots = _make_dots(1)


# --- transpose and copy -----------------------------------------------------------------------


SIDE = 8


def _emit_transpose(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Transpose SIDE × SIDE numbers in log₂ SIDE rounds of shuffles of pairs of rows."""
    a = context.make_array(signature.args[0])(context, builder, args[0]).data
    b = context.make_array(signature.args[3])(context, builder, args[3]).data
    _, a_at, a_row, _, b_at, b_row = args
    vector = ir.VectorType(context.get_data_type(signature.args[0].dtype), SIDE)
    index, lane = ir.IntType(64), ir.IntType(32)

    def row(base: Any, start: Any, pitch: Any, i: int) -> Any:
        address = builder.gep(builder.gep(base, [start]), [builder.mul(pitch, index(i))])
        return builder.bitcast(address, vector.as_pointer())

    size = 4 if isinstance(vector.element, ir.FloatType) else 8
    lines = [builder.load(row(a, a_at, a_row, i), align=size) for i in range(SIDE)]
    half = 1
    while half < SIDE:
        low = [j if j & half == 0 else j - half + SIDE for j in range(SIDE)]
        masks = [
            ir.Constant(ir.VectorType(lane, SIDE), [j + shift for j in low]) for shift in (0, half)
        ]
        for i in range(SIDE):
            if i & half == 0:
                x, y = lines[i], lines[i + half]
                lines[i], lines[i + half] = (builder.shuffle_vector(x, y, m) for m in masks)
        half *= 2
    for i, line in enumerate(lines):
        builder.store(line, row(b, b_at, b_row, i), align=size)
    return context.get_dummy_value()


@intrinsic
def transpose(typing: Any, a: Any, a_at: Any, a_row: Any, b: Any, b_at: Any, b_row: Any) -> Any:
    """b[b_at + j·b_row + i] = a[a_at + i·a_row + j] for i, j < SIDE, on flat arrays."""
    number = types.intp
    return types.void(a, number, number, b, number, number), _emit_transpose


def _emit_copy(vectors: int, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    a = context.make_array(signature.args[0])(context, builder, args[0]).data
    b = context.make_array(signature.args[2])(context, builder, args[2]).data
    _, a_at, _, b_at = args
    scalar = context.get_data_type(signature.args[0].dtype)
    size = 4 if isinstance(scalar, ir.FloatType) else 8
    vector = ir.VectorType(scalar, vectors * lanes(size)).as_pointer()
    source, target = (
        builder.bitcast(builder.gep(base, [at]), vector) for base, at in ((a, a_at), (b, b_at))
    )
    builder.store(builder.load(source, align=size), target, align=size)
    return context.get_dummy_value()


def _make_copy(vectors: int) -> Any:
    @intrinsic
    def run(typing: Any, a: Any, a_at: Any, b: Any, b_at: Any) -> Any:
        return types.void(a, types.intp, b, types.intp), lambda *gen: _emit_copy(vectors, *gen)

    return run


#: ``copy_run(a, a_at, b, b_at)``: b[b_at + j] = a[a_at + j] for j < VECTORS · lanes; flat arrays.
copy_run = _make_copy(VECTORS)

#: The same for one vector.
copy_vector = _make_copy(1)


@jit
def copy(x: Array, y: Array) -> None:
    """y[t] = x[t] for every entry of y; x may be longer."""
    for t in range(y.size):
        y[t] = x[t]
