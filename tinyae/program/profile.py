"""``profile``: what a model costs on a small machine, layer by layer, and what would fit a budget.

    print(ta.profile(model, budget_kb=64))

Sizes are those of exported C (:mod:`tinyae.program.to_c`), times those of this machine. What would fit
is not guessed: the same architecture with fewer units is built, lowered and measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyae import kernels, layers
from tinyae.arguments import number, positive_int
from tinyae.arrays import check_real
from tinyae.layers import Layer
from tinyae.models import GAN, Model, VariationalAutoencoder
from tinyae.param import Array, unique
from tinyae.program.compile import check_part, program_of, program_of_layer, runtime_of
from tinyae.program.int8 import quantize_program
from tinyae.program.narrow import can_narrow, narrow, widths
from tinyae.program.program import Program, Shape
from tinyae.program.shapes import checked_sample_shape, checked_shape
from tinyae.program.to_c.int8_header import Int8Header

_FLOAT = 4  # bytes
_STEPS = 9  # of the search for a width
_CALIBRATION = 8  # samples; sizes in int8 do not depend on them
_BLOCK_SECONDS = 2e-3  # of calls that are timed at once


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs for one sample.

    Units     bytes; ``seconds`` of one call of the layer, the least of several
    """

    name: str
    layer: Layer
    output_shape: Shape
    parameters: int
    macs: int
    weight_bytes: int
    result_bytes: int
    seconds: float


@dataclass(frozen=True)
class Size:
    """The bytes of constants and of scratch memory of a program, in float32 or in int8."""

    weights: int
    arena: int

    @property
    def total(self) -> int:
        return self.weights + self.arena


@dataclass(frozen=True)
class Profile:
    """What a model costs for one sample; ``str`` gives a table.

    ``seconds`` is the time of one call of the layers, ``compiled_seconds`` that of the compiled
    program. ``int8`` is None where an operation has no form in 8 bits, and ``int8_reason`` names it.
    """

    title: str
    input_shape: Shape
    layers: tuple[LayerCost, ...]
    program: Program
    float32: Size
    int8: Size | None
    int8_reason: str
    seconds: float
    compiled_seconds: float
    advice: tuple[str, ...] = field(default=())

    @property
    def parameters(self) -> int:
        shared = {id(p): p.size for c in self.layers for p in c.layer.params.values()}
        return sum(shared.values())

    @property
    def macs(self) -> int:
        return self.program.macs

    def __str__(self) -> str:
        head = ("layer", "", "output", "parameters", "MACs", "weights B", "result B", "µs", "time")
        total = sum(cost.seconds for cost in self.layers) or 1.0
        rows: list[tuple[str, ...]] = [head]
        for c in self.layers:
            numbers = (c.parameters, c.macs, c.weight_bytes, c.result_bytes)
            rows.append(
                (
                    *(c.name, type(c.layer).__name__, "×".join(map(str, c.output_shape))),
                    *(f"{n:,}" for n in numbers),
                    *(f"{1e6 * c.seconds:.1f}", f"{c.seconds / total:.0%}"),
                )
            )
        sizes = [max(map(len, column)) for column in zip(*rows)]
        lines = [
            "  ".join(
                cell.ljust(w) if k < 3 else cell.rjust(w)
                for k, (cell, w) in enumerate(zip(row, sizes))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([self.title, *lines, *self._totals(), *self.advice])

    def _totals(self) -> list[str]:
        def text(size: Size) -> str:
            return f"{size.weights:,} B of weights, {size.arena:,} B of scratch memory"

        return [
            f"for one sample {self.macs:,} multiply-accumulates; {1e6 * self.seconds:.1f} µs as "
            f"layers, {1e6 * self.compiled_seconds:.1f} µs compiled, here",
            f"float32   {text(self.float32)}",
            f"int8      {text(self.int8) if self.int8 else self.int8_reason}",
        ]


def profile(
    model: Model | Layer,
    x: Array | Shape | None = None,
    *,
    part: str = "autoencoder",
    budget_ms: float | None = None,
    budget_kb: float | None = None,
    repeats: int = 10,
) -> Profile:
    """What a model, or a layer such as a Sequential, costs for one sample.

    x
        samples (N, …), or the shape of one; needed only where the layers leave it open
    part
        of a model: "autoencoder", "encoder", "decoder" or "score"
    budget_ms, budget_kb
        what a call may take (compiled, on this machine), and what weights and scratch memory may
        take together, in units of 1,024 bytes. ``advice`` then says what fits: float32, int8, or the
        same layers with how many units
    repeats
        how often each time is measured; the least counts

    Raises
        TypeError   the model has no such part, or has a layer without an operation
        ValueError  an argument is wrong, or the layers leave the shape open
    """
    who = "profile"
    repeats = positive_int(who, "repeats", repeats, 10)
    for name, value in (("budget_ms", budget_ms), ("budget_kb", budget_kb)):
        if value is not None and not number(who, name, value, 10) > 0:
            raise ValueError(
                f"{who}: {name} is {value}, expected a number > 0; pass e.g. {name}=10"
            )
    shape = _shape(who, model, part, x)
    chain = _chain(model, part)
    program = (
        program_of_layer(model, shape)
        if isinstance(model, Layer)
        else program_of(model, part, shape)
    )
    sample = _sample(x, shape, program.dtype)
    costs = _costs(chain, sample, repeats)
    seconds = least_seconds(lambda: _call(chain, sample), repeats)
    compiled = _compiled_seconds(program, sample, repeats)
    int8, reason = _int8_size(program, sample)
    measured = Profile(
        _title(model, part),
        shape,
        tuple(costs),
        program,
        _float_size(program),
        int8,
        reason,
        seconds,
        compiled,
    )
    advice = _Advice(measured, [layer for _, layer in chain], sample, repeats)
    lines = []
    if budget_kb is not None:
        lines += advice.memory(budget_kb)
    if budget_ms is not None:
        lines += advice.time(budget_ms)
    return Profile(**{**vars(measured), "advice": tuple(lines)})


# --- what is measured ---------------------------------------------------------------------------


def _shape(who: str, model: Any, part: str, x: Any) -> Shape:
    if not isinstance(model, Layer):
        check_part(who, model, part)
    if isinstance(x, np.ndarray):
        check_real(f"{who}: x", x)
        if x.ndim < 2 or not len(x):
            raise ValueError(
                f"{who}: x has shape {x.shape}, expected samples on axis 0; for one pass x[None]"
            )
        return x.shape[1:]
    if not isinstance(model, Layer):
        return checked_sample_shape(who, model, part, x, "x")
    if x is None:
        raise ValueError(f"{who}: the shape of a sample is not given; pass e.g. x=(1, 28, 28)")
    return checked_shape(who, x, "x")


def _sample(x: Any, shape: Shape, dtype: np.dtype[Any]) -> Array:
    if isinstance(x, np.ndarray):
        return x[:_CALIBRATION].astype(dtype)
    return np.random.default_rng(0).random((_CALIBRATION, *shape)).astype(dtype)


def _chain(model: Any, part: str) -> list[tuple[str, Layer]]:
    """The layers from x to y, by name; layers with branches are one."""
    if isinstance(model, Layer):
        return _leaves("", model)
    if isinstance(model, GAN):
        return _leaves("generator", model.generator)
    names = [] if part == "decoder" else ["encoder"]
    if names and isinstance(model, VariationalAutoencoder):
        names.append("mean")
    if part != "encoder":
        names.append("decoder")
    return [leaf for name in names for leaf in _leaves(name, getattr(model, name))]


def _leaves(name: str, layer: Layer) -> list[tuple[str, Layer]]:
    if not isinstance(layer, layers.Sequential):
        return [(name or "layer", layer)]
    dot = f"{name}." if name else ""
    return [leaf for k, part in enumerate(layer.layers) for leaf in _leaves(f"{dot}{k}", part)]


def _costs(chain: list[tuple[str, Layer]], sample: Array, repeats: int) -> list[LayerCost]:
    costs = []
    x = sample[:1]
    for name, layer in chain:
        program = program_of_layer(layer, x.shape[1:])
        parameters = sum(p.size for p in unique(layer.params).values())
        seconds = least_seconds(lambda f=layer, x=x: f(x), repeats)  # type: ignore[misc]
        x = layer(x)
        sizes = program.weights.size * _FLOAT, x[0].size * _FLOAT
        costs.append(LayerCost(name, layer, x.shape[1:], parameters, program.macs, *sizes, seconds))
    return costs


def _call(chain: list[tuple[str, Layer]], sample: Array) -> Array:
    x = sample[:1]
    for _, layer in chain:
        x = layer(x)
    return x


def least_seconds(call: Callable[[], Any], repeats: int) -> float:
    """The least time of a call; short calls are timed several at once."""
    call()
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    together = max(1, int(_BLOCK_SECONDS / max(once, 1e-7)))
    best = once
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(together):
            call()
        best = min(best, (time.perf_counter() - start) / together)
    return best


def _compiled_seconds(program: Program, sample: Array, repeats: int) -> float:
    runtime, x = runtime_of(program, kernels.active()), sample[:1]
    return least_seconds(lambda: runtime.run(x), repeats)


def _float_size(program: Program) -> Size:
    return Size(program.weights.size * _FLOAT, program.arena * _FLOAT)


def _int8_size(program: Program, sample: Array) -> tuple[Size | None, str]:
    try:
        quantized = quantize_program(program, sample)
    except (TypeError, ValueError) as error:
        return None, str(error).removeprefix("export_c: ").partition("; ")[0]
    header = Int8Header("m", "m.h", "a model", quantized, ("run",), None, None)
    return Size(header.flash_bytes, header.arena_bytes), ""


def _title(model: Any, part: str) -> str:
    name = type(model).__name__
    return name if isinstance(model, Layer) or part == "autoencoder" else f"{name}, the {part}"


# --- what would fit -----------------------------------------------------------------------------


class _Advice:
    """What fits a budget: found by building it."""

    def __init__(self, p: Profile, chain: list[Layer], sample: Array, repeats: int) -> None:
        self.profile, self.chain, self.sample, self.repeats = p, chain, sample, repeats
        self.obstacle = can_narrow(chain)

    def memory(self, budget_kb: float) -> list[str]:
        p, budget = self.profile, int(1024 * budget_kb)
        lines = [f"budget    {budget_kb:g} kB of weights and scratch memory"]
        for kind, size in (("float32", p.float32), ("int8", p.int8)):
            if size is None:
                continue
            if size.total <= budget:
                lines.append(f"  fits    {kind} as it is: {size.total / 1024:.1f} kB")
                break
            over = (
                f"{size.total / 1024:.1f} kB in {kind} is {size.total / budget:.1f} times as much"
            )
            lines.append(f"  too big {over}{self._narrower(kind, budget)}")
        return lines

    def _narrower(self, kind: str, budget: int) -> str:
        def size(net: layers.Sequential) -> float:
            program = program_of_layer(net, self.profile.input_shape)
            if kind == "float32":
                return _float_size(program).total
            int8, _ = _int8_size(program, self.sample.astype(program.dtype))
            return float("inf") if int8 is None else int8.total

        return self._search(size, budget, lambda s: f"{s / 1024:.1f} kB")

    def time(self, budget_ms: float) -> list[str]:
        p, budget = self.profile, budget_ms / 1e3
        lines = [f"budget    {budget_ms:g} ms a call, on this machine"]
        if p.compiled_seconds <= budget:
            lines.append(f"  fits    compiled: {1e3 * p.compiled_seconds:.3g} ms")
            return lines
        over = f"compiled {1e3 * p.compiled_seconds:.3g} ms"

        def seconds(net: layers.Sequential) -> float:
            program = program_of_layer(net, p.input_shape)
            return _compiled_seconds(program, self.sample.astype(program.dtype), self.repeats)

        found = self._search(seconds, budget, lambda s: f"{1e3 * s:.3g} ms")
        lines.append(f"  too slow {over}{found}")
        return lines

    def _search(
        self,
        cost: Callable[[layers.Sequential], float],
        budget: float,
        text: Callable[[float], str],
    ) -> str:
        """The widest network that costs no more than the budget."""
        if self.obstacle is not None:
            return f"; no other width is known, because of {self.obstacle}"
        shape = self.profile.input_shape
        low, high, found = 0.0, 1.0, None
        for _ in range(_STEPS):
            middle = (low + high) / 2
            net = narrow(self.chain, shape, middle)
            spent = cost(net)
            if spent <= budget:
                low, found = middle, (net, spent)
            else:
                high = middle
        if found is None:
            return "; nor does any width fit: fewer or smaller layers are needed"
        net, spent = found
        return f"; {widths(list(net.layers))} fits, with {text(spent)}"
