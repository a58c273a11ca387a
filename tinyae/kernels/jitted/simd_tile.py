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

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
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
        return signature, lambda *gen: _emit_tile(rows, vectors, *gen)

    return tile


def _make_conv_tile(rows: int, vectors: int, groups: int) -> Any:
    @intrinsic
    def tile(
        typing: Any,
        w: Any,
        w_at: Any,
        w_row: Any,
        x: Any,
        x_at: Any,
        x_group: Any,
        taps: Any,
        tap_at: Any,
        depth: Any,
        b: Any,
        b_at: Any,
        y: Any,
        y_at: Any,
        y_row: Any,
        y_group: Any,
        epilogue: Any,
        relu_mask: Any,
    ) -> Any:
        number = types.intp
        signature = types.void(
            *(w, number, number),
            *(x, number, number),
            *(taps, number, number),
            *(b, number),
            *(y, number, number, number),
            *(number, relu_mask),
        )
        return signature, lambda *gen: _emit_conv_tile(rows, vectors, groups, *gen)

    return tile


def _make_grad_tile(rows: int, vectors: int) -> Any:
    @intrinsic
    def tile(
        typing: Any,
        x: Any,
        x_at: Any,
        taps: Any,
        tap_at: Any,
        steps: Any,
        b: Any,
        c: Any,
        c_at: Any,
        c_row: Any,
        depth: Any,
    ) -> Any:
        number = types.intp
        signature = types.void(
            *(x, number),
            *(taps, number, steps),
            *(b, c, number, number),
            number,
        )
        return signature, lambda *gen: _emit_grad_tile(rows, vectors, *gen)

    return tile


class _Tile:
    """A tile of sums: ``rows`` rows, each of ``groups`` · ``vectors`` vectors."""

    def __init__(
        self, rows: int, vectors: int, groups: int, context: Any, builder: Any, signature: Any,
        args: Any,
    ) -> None:  # fmt: skip
        self.rows, self.vectors, self.groups = rows, vectors, groups
        self.context, self.builder, self.signature, self.args = context, builder, signature, args
        self.scalar = context.get_data_type(signature.args[0].dtype)
        self.itemsize = 4 if isinstance(self.scalar, ir.FloatType) else 8
        self.width = lanes(self.itemsize)
        self.vector, self.index = ir.VectorType(self.scalar, self.width), ir.IntType(64)

    def pointer(self, k: int) -> Any:
        """The data of the array that is the k-th argument"""
        array = self.context.make_array(self.signature.args[k])
        return array(self.context, self.builder, self.args[k]).data

    def at(self, base: Any, *steps: Any) -> Any:
        for step in steps:
            base = self.builder.gep(base, [step])
        return base

    def row(self, base: Any, pitch: Any, i: int) -> Any:
        return self.at(base, self.builder.mul(pitch, self.index(i)))

    def vectors_at(self, base: Any, group: Any = None) -> list[Any]:
        """The addresses of all vectors in a row: ``vectors`` from the base, then the next group."""
        bases = [base if g == 0 else self.row(base, group, g) for g in range(self.groups)]
        return [
            self.builder.bitcast(self.at(b, self.index(v * self.width)), self.vector.as_pointer())
            for b in bases
            for v in range(self.vectors)
        ]

    def addresses(self, base: Any, pitch: Any, group: Any = None) -> list[Any]:
        """The addresses of all vectors of the tile"""
        rows = [self.row(base, pitch, i) for i in range(self.rows)]
        return [address for row in rows for address in self.vectors_at(row, group)]

    def load(self, address: Any) -> Any:
        return self.builder.load(address, align=self.itemsize)

    def broadcast(self, address: Any) -> Any:
        """The number at an address, in every lane"""
        undefined, lane = ir.Constant(self.vector, ir.Undefined), ir.IntType(32)
        one = self.builder.insert_element(undefined, self.builder.load(address), lane(0))
        first_lane = ir.Constant(ir.VectorType(lane, self.width), [0] * self.width)
        return self.builder.shuffle_vector(one, undefined, first_lane)

    def sums(
        self, initial: list[Any], depth: Any, operands: Callable[[Any], tuple[list[Any], list[Any]]]
    ) -> list[Any]:
        """initial[i, v] + Σ_{k < depth} a[i] · b[v], where ``operands(k)`` loads a and b."""
        builder, index = self.builder, self.index
        before, loop, after = (
            builder.block,
            builder.append_basic_block("k"),
            builder.append_basic_block("sums"),
        )
        builder.cbranch(builder.icmp_signed(">", depth, index(0)), loop, after)

        builder.position_at_end(loop)
        k = builder.phi(index)
        sums = [builder.phi(self.vector) for _ in initial]
        numbers, vectors = operands(k)
        new_sums: list[Any] = []
        for number in numbers:
            row = self.broadcast(number)
            for vector in vectors:
                product = builder.fmul(row, vector, flags=("contract",))
                new_sums.append(builder.fadd(product, sums[len(new_sums)], flags=("contract",)))
        next_k = builder.add(k, index(1))
        k.add_incoming(index(0), before)
        k.add_incoming(next_k, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, depth), loop, after)

        builder.position_at_end(after)
        results = [builder.phi(self.vector) for _ in initial]
        for first, old, new, result in zip(initial, sums, new_sums, results):
            for phi in (old, result):
                phi.add_incoming(first, before)
                phi.add_incoming(new, loop)
        return results


def _emit_tile(rows: int, vectors: int, *gen: Any) -> Any:
    """The loop nest of :data:`tile`."""
    tile = _Tile(rows, vectors, 1, *gen)
    builder, at = tile.builder, tile.at
    a, b, offsets, c, start = (tile.pointer(k) for k in (0, 4, 6, 7, 11))
    _, a_at, a_row, a_k, _, b_at, _, _, c_at, c_row, depth, _, start_at, start_row = tile.args
    initial = [tile.load(p) for p in tile.addresses(at(start, start_at), start_row)]
    # A product may accumulate into c, and so has loaded this tile already. So prefetch the tile
    # below, which will be written next.
    c = at(c, c_at)
    for address in tile.addresses(tile.row(c, c_row, rows), c_row):
        _emit_prefetch(builder, address)
    rows_of_a = [tile.row(at(a, a_at), a_row, i) for i in range(rows)]
    b = at(b, b_at)

    def operands(k: Any) -> tuple[list[Any], list[Any]]:
        column = builder.mul(k, a_k)
        row_of_b = at(b, builder.load(at(offsets, k)))
        return [at(r, column) for r in rows_of_a], [tile.load(p) for p in tile.vectors_at(row_of_b)]

    sums = tile.sums(initial, depth, operands)
    _emit_stores(builder, tile.addresses(c, c_row), sums)
    return tile.context.get_dummy_value()


def _emit_conv_tile(rows: int, vectors: int, groups: int, *gen: Any) -> Any:
    """The loop nest of :data:`conv_tile`."""
    tile = _Tile(rows, vectors, groups, *gen)
    builder, at, index = tile.builder, tile.at, tile.index
    w, x, taps, b, y, mask = (tile.pointer(k) for k in (0, 3, 6, 9, 11, 16))
    _, w_at, w_row, _, x_at, x_group, _, tap_at, depth, _, b_at, *rest = tile.args
    _, y_at, y_row, y_group, epilogue, _ = rest
    w, x, b, y = at(w, w_at), at(x, x_at), at(b, b_at), at(y, y_at)
    taps = at(taps, tap_at)
    biases = [tile.broadcast(at(b, index(i))) for i in range(rows)]
    initial = [bias for bias in biases for _ in range(groups * vectors)]
    targets = tile.addresses(y, y_row, y_group)
    for address in targets:  # they will be written
        _emit_prefetch(builder, address)

    def operands(k: Any) -> tuple[list[Any], list[Any]]:
        tap = builder.load(at(taps, k))
        source, weights = builder.and_(tap, index(2**32 - 1)), builder.lshr(tap, index(32))
        row_of_w = at(w, builder.mul(weights, w_row))
        vectors_of_x = tile.vectors_at(at(x, source), x_group)
        return [at(row_of_w, index(i)) for i in range(rows)], [tile.load(p) for p in vectors_of_x]

    sums = tile.sums(initial, depth, operands)
    _emit_epilogue(builder, epilogue, targets, sums, tile.addresses(at(mask, y_at), y_row, y_group))
    return tile.context.get_dummy_value()


def _emit_grad_tile(rows: int, vectors: int, *gen: Any) -> Any:
    """The loop nest of :data:`grad_tile`."""
    tile = _Tile(rows, vectors, 1, *gen)
    builder, at, index = tile.builder, tile.at, tile.index
    x, taps, steps, b, c = (tile.pointer(k) for k in (0, 2, 4, 5, 6))
    _, x_at, _, tap_at, _, _, _, c_at, c_row, depth = tile.args
    rows_of_x, targets = [], []
    for i in range(rows):
        tap = builder.load(at(taps, tap_at, index(i)))
        offset, place = builder.and_(tap, index(2**32 - 1)), builder.lshr(tap, index(32))
        rows_of_x.append(at(x, x_at, offset))
        targets += tile.vectors_at(at(c, c_at, builder.mul(place, c_row)))

    def operands(k: Any) -> tuple[list[Any], list[Any]]:
        step = builder.load(at(steps, k))
        row_of_b = at(b, builder.mul(k, index(vectors * tile.width)))
        return [at(r, step) for r in rows_of_x], [tile.load(p) for p in tile.vectors_at(row_of_b)]

    zeros = [ir.Constant(tile.vector, [0.0] * tile.width)] * len(targets)
    sums = tile.sums(zeros, depth, operands)
    for address, total in zip(targets, sums):  # in turn: rows may have the same target
        builder.store(builder.fadd(tile.load(address), total), address, align=tile.itemsize)
    return tile.context.get_dummy_value()


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

#: ``conv_tile(w, w_at, w_row, x, x_at, x_group, taps, tap_at, depth, b, b_at, y, y_at, y_row,
#: y_group, epilogue, relu_mask)``: the same for convolutions, on flat arrays. A tap is row · 2³² +
#: offset: where its weights are in w, and its numbers in x::
#:
#:     for i in range(ROWS):
#:         for j in range(VECTORS * lanes):
#:             s = b[b_at + i] + Σ_{k < depth} w[w_at + row(taps[tap_at + k])·w_row + i] ·
#:                                             x[x_at + offset(taps[tap_at + k]) + j]
#:             y[y_at + i·y_row + j] = s
#:
#: ``epilogue`` is applied to s before it is stored: NO_EPILOGUE, RELU for relu(s), or RELU_MASK for
#: relu_backward(s, relu_mask), with ``relu_mask`` in y's shape. It has one group.
conv_tile = _make_conv_tile(ROWS, VECTORS, 1)

#: The same for one row and GROUPS groups of VECTORS vectors. Group g is at x_at + g·x_group and
#: y_at + g·y_group.
grouped_conv_tile = _make_conv_tile(1, VECTORS, GROUPS)


#: ``grad_tile(x, x_at, taps, tap_at, steps, b, c, c_at, c_row, depth)``, for the gradient of a
#: convolution's weights, on flat arrays, with taps as above::
#:
#:     for i in range(ROWS):
#:         for j in range(VECTORS * lanes):
#:             tap = taps[tap_at + i]
#:             c[c_at + row(tap)·c_row + j] += Σ_{k < depth} x[x_at + offset(tap) + steps[k]] ·
#:                                                           b[k·VECTORS·lanes + j]
grad_tile = _make_grad_tile(ROWS, VECTORS)

#: The same for ROWS taps and one vector.
narrow_grad_tile = _make_grad_tile(ROWS, 1)


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


def _first_lanes(builder: Any, count: Any, width: int) -> Any:
    """True in the first ``count`` lanes"""
    lane = ir.IntType(32)
    counts = ir.VectorType(lane, width)
    one = builder.insert_element(
        ir.Constant(counts, ir.Undefined), builder.trunc(count, lane), lane(0)
    )
    all_lanes = builder.shuffle_vector(one, one, ir.Constant(counts, [0] * width))
    return builder.icmp_signed("<", ir.Constant(counts, [*range(width)]), all_lanes)


def _masked_load(builder: Any, address: Any, mask: Any) -> Any:
    """A vector in which only the lanes of the mask are read; the others are 0."""
    vector = address.type.pointee
    alignment, shape = ir.IntType(32), f"v{vector.count}f{8 * _alignment(vector)}"
    kind = ir.FunctionType(vector, [address.type, alignment, mask.type, vector])
    f = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.{shape}.p0{shape}")
    zeros = ir.Constant(vector, [0.0] * vector.count)
    return builder.call(f, [address, alignment(_alignment(vector)), mask, zeros])


def _masked_store(builder: Any, values: Any, address: Any, mask: Any) -> None:
    """Store the lanes of the mask; the others are left as they are."""
    vector = values.type
    alignment, shape = ir.IntType(32), f"v{vector.count}f{8 * _alignment(vector)}"
    kind = ir.FunctionType(ir.VoidType(), [vector, address.type, alignment, mask.type])
    f = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.{shape}.p0{shape}")
    builder.call(f, [values, address, alignment(_alignment(vector)), mask])


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
    piece, loop, end, rest, tails, after = (
        builder.append_basic_block(name) for name in ("piece", "t", "end", "rest", "tails", "sums")
    )
    zeros = [ir.Constant(vector, [0.0] * width)] * (rows * DOTS)

    def positive(*numbers: Any) -> Any:
        return builder.and_(*(builder.icmp_signed(">", n, index(0)) for n in numbers))

    def in_piece(p: Any, t: Any) -> list[Any]:
        """The addresses of the vectors at t in every row of a and of b"""
        rows_of_piece = [at(row, builder.mul(p, a_piece)) for row in rows_of_a]
        rows_of_piece += [at(row, builder.mul(p, b_piece)) for row in rows_of_b]
        return [builder.bitcast(at(row, t), vector.as_pointer()) for row in rows_of_piece]

    def with_products(sums: list[Any], numbers: list[Any]) -> list[Any]:
        new: list[Any] = []
        for i in range(rows):
            for j in range(DOTS):
                product = builder.fmul(numbers[i], numbers[rows + j], flags=("contract",))
                new.append(builder.fadd(product, sums[len(new)], flags=("contract",)))
        return new

    whole = builder.and_(size, index(-width))
    builder.cbranch(positive(whole, pieces), piece, rest)

    # whole vectors
    builder.position_at_end(piece)
    p = builder.phi(index)
    so_far = [builder.phi(vector) for _ in zeros]
    builder.branch(loop)

    builder.position_at_end(loop)
    t = builder.phi(index)
    sums = [builder.phi(vector) for _ in zeros]
    new_sums = with_products(sums, [builder.load(q, align=itemsize) for q in in_piece(p, t)])
    next_t = builder.add(t, index(width))
    grow([t, *sums], (piece, [index(0), *so_far]), (loop, [next_t, *new_sums]))
    builder.cbranch(builder.icmp_signed("<", next_t, whole), loop, end)

    builder.position_at_end(end)
    next_p = builder.add(p, index(1))
    grow([p, *so_far], (before, [index(0), *zeros]), (end, [next_p, *new_sums]))
    builder.cbranch(builder.icmp_signed("<", next_p, pieces), piece, rest)

    # what is left of each piece
    builder.position_at_end(rest)
    of_vectors = [builder.phi(vector) for _ in zeros]
    grow(of_vectors, (before, zeros), (end, new_sums))
    left = builder.sub(size, whole)
    mask = _first_lanes(builder, left, width)
    builder.cbranch(positive(left, pieces), tails, after)

    builder.position_at_end(tails)
    p = builder.phi(index)
    sums = [builder.phi(vector) for _ in zeros]
    with_tails = with_products(sums, [_masked_load(builder, q, mask) for q in in_piece(p, whole)])
    next_p = builder.add(p, index(1))
    grow([p, *sums], (rest, [index(0), *of_vectors]), (tails, [next_p, *with_tails]))
    builder.cbranch(builder.icmp_signed("<", next_p, pieces), tails, after)

    builder.position_at_end(after)
    totals = [builder.phi(vector) for _ in zeros]
    grow(totals, (rest, of_vectors), (tails, with_tails))
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
#: Bounds are not checked.
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


def _make_copy_row(a_step: int, b_step: int) -> Any:
    @intrinsic
    def run(typing: Any, a: Any, a_at: Any, b: Any, b_at: Any, size: Any) -> Any:
        signature = types.void(a, types.intp, b, types.intp, types.intp)
        return signature, lambda *gen: _emit_copy_row(a_step, b_step, *gen)

    return run


def _emit_copy_row(
    a_step: int, b_step: int, context: Any, builder: Any, signature: Any, args: Any
) -> Any:
    """Steps are 1 or 2: two vectors of a are read for one of b, or the other way round."""
    a = context.make_array(signature.args[0])(context, builder, args[0]).data
    b = context.make_array(signature.args[2])(context, builder, args[2]).data
    _, a_at, _, b_at, size = args
    scalar = context.get_data_type(signature.args[0].dtype)
    width, index = lanes(4 if isinstance(scalar, ir.FloatType) else 8), ir.IntType(64)
    vector = ir.VectorType(scalar, width)

    def pieces(base: Any, at: Any, step: int, t: Any, left: Any) -> list[tuple[Any, Any]]:
        """The addresses of ``step`` vectors, and the masks of what may be read or written"""
        start = builder.add(at, builder.mul(t, index(step)))
        inside = builder.sub(builder.mul(left, index(step)), index(step - 1))
        found = []
        for k in range(step):
            address = builder.gep(base, [builder.add(start, index(k * width))])
            mask = _first_lanes(builder, builder.sub(inside, index(k * width)), width)
            if step > 1:
                every = ir.Constant(mask.type, [i % step == 0 for i in range(width)])
                mask = builder.and_(mask, every)
            found.append((builder.bitcast(address, vector.as_pointer()), mask))
        return found

    def shuffled(u: Any, v: Any, places: list[int]) -> Any:
        kind = ir.VectorType(ir.IntType(32), width)
        return builder.shuffle_vector(u, v, ir.Constant(kind, places))

    # With masks for whole vectors, too: else LLVM calls memmove, which takes longer than a row.
    with cgutils.for_range_slice(builder, index(0), size, index(width), index) as (t, _):
        left = builder.sub(size, t)
        sources, targets = pieces(a, a_at, a_step, t, left), pieces(b, b_at, b_step, t, left)
        read = [_masked_load(builder, address, mask) for address, mask in sources]
        every = [i * a_step // b_step for i in range(width * b_step)]
        for k, (address, mask) in enumerate(targets):
            places = every[k * width : (k + 1) * width]
            _masked_store(builder, shuffled(read[0], read[-1], places), address, mask)
    return context.get_dummy_value()


#: ``copy_row(a, a_at, b, b_at, size)``: b[b_at + j] = a[a_at + j] for j < size, on flat arrays; for
#: short rows.
copy_row = _make_copy_row(1, 1)

#: The same for every second number of a, or of b: a[a_at + 2j], b[b_at + 2j].
copy_from_every_second = _make_copy_row(2, 1)
copy_to_every_second = _make_copy_row(1, 2)


@jit
def copy(x: Array, y: Array) -> None:
    """y[t] = x[t] for every entry of y; x may be longer."""
    for t in range(y.size):
        y[t] = x[t]
