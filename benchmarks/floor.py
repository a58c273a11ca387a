"""The physical floor: how fast a machine could do the work, with nothing else to do.

floor   the larger of
        operations / peak, the best rate of large matrix products in this run, and
        bytes / copy rate, measured in this run for that many bytes
share   the floor over the time that was measured
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from benchmarks import timing
from benchmarks.calls import Call, bytes_moved, intercepted, operations

OPERATIONS, BYTES = "operations", "bytes"


class Machine(NamedTuple):
    """Measured limits: operations per second and what reached them; seconds to move bytes."""

    peak: float
    winner: str
    moved: list[tuple[int, float]]  # bytes read and written, seconds

    def __str__(self) -> str:
        rates = ", ".join(
            f"{size / seconds / 1e9:.0f} GB/s at {size >> 10:,} kB"
            for size, seconds in self.moved[:: max(1, len(self.moved) // 4)]
        )
        return f"peak {self.peak / 1e9:.0f} GFLOP/s ({self.winner}); copies move {rates}"

    def seconds_to_move(self, size: int) -> float:
        """The time of a copy that moves ``size`` bytes, interpolated between measured sizes."""
        import numpy as np

        sizes, seconds = np.log(np.array(self.moved)).T
        if size <= self.moved[0][0]:
            return self.moved[0][1]
        if size >= self.moved[-1][0]:
            return self.moved[-1][1] * size / self.moved[-1][0]
        return float(np.exp(np.interp(math.log(size), sizes, seconds)))


def measure_machine(peers: Sequence[str], threads: int, n: int) -> Machine:
    """The best rate of (n, n) products; copies of 8 kB to 64 MB with one thread or with all."""
    import numpy as np

    from tinyae import kernels

    seconds = 0.3 if n > 256 else 0.0
    a = np.random.default_rng(0).random((n, n), np.float32)
    products = {"NumPy": lambda: a @ a, "tinyae": lambda: kernels.matmul(a, a)}
    if peers:
        products["PyTorch"] = importlib.import_module("benchmarks.peers.with_torch").twin(
            "matmul", a, a
        )
    seconds_of = {name: timing.fastest(run, seconds) for name, run in products.items()}
    winner = min(seconds_of, key=lambda name: seconds_of[name])
    moved = []
    for power in range(11, 25 if n > 256 else 13):
        source = np.ones(1 << power, np.float32)
        target = np.empty_like(source)
        least = timing.fastest(functools.partial(np.copyto, target, source), seconds / 3)
        if power > 18:  # smaller copies end before a second thread has started
            halves = list(zip(np.array_split(target, threads), np.array_split(source, threads)))
            with ThreadPoolExecutor(threads) as pool:
                shared = functools.partial(_copy_halves, pool, halves)
                least = min(least, timing.fastest(shared, seconds / 3))
        moved.append((2 * source.nbytes, least))
    return Machine(2 * n**3 / seconds_of[winner], winner, moved)


def _copy_halves(pool: ThreadPoolExecutor, halves: Sequence[tuple[Any, Any]]) -> None:
    import numpy as np

    list(pool.map(np.copyto, *zip(*halves)))


class Work(NamedTuple):
    """What has to be done at least: multiplications and additions, and bytes read or written."""

    operations: int
    size: int

    def seconds(self, machine: Machine) -> float:
        """The floor on this machine."""
        return max(self.operations / machine.peak, machine.seconds_to_move(self.size))

    def bound(self, machine: Machine) -> str:
        """Which of the two the floor is."""
        least = machine.seconds_to_move(self.size)
        return OPERATIONS if self.operations / machine.peak > least else BYTES

    def columns(self, machine: Machine, seconds: float, unit: float) -> list[str]:
        """For a table: the floor, in seconds · ``unit``; its share of ``seconds``; the bound."""
        floor = self.seconds(machine)
        return [timing.digits(floor * unit), f"{floor / seconds:.0%}", self.bound(machine)]


COLUMNS = ["floor", "share", "of"]


def work_of_call(call: Call, result: Any) -> Work:
    """Each array is moved once, those that are changed twice."""
    return Work(operations(call, result), bytes_moved(call, result))


def work_of_step(model: Any, x: Any) -> Work:
    """A training step with Adam: the products of the definitions' forward and backward passes.

    Read: x. Read and written: every parameter and its two moments. Gradients, and what layers hand
    to each other, might stay in registers and caches.
    """
    import numpy as np

    from tinyae.twin import definitions_only

    total = 0

    def counting(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any) -> Any:
            nonlocal total
            result = kernel(*arguments)
            total += operations(Call(name, arguments), result)
            return result

        return count

    with intercepted(counting), definitions_only():
        model.backprop(x, np.random.default_rng(0))
    for p in model.params.values():
        p.grad[...] = 0
    parameters = sum(p.value.nbytes for p in model.params.values())
    return Work(total, x.nbytes + 6 * parameters)


def work_of_inference(model: Any, x: Any) -> Work:
    """A reconstruction: the products of the program; x, the weights and y are moved once."""
    from tinyae.program.compile import program_of

    program = program_of(model, "autoencoder", x.shape[1:])
    return Work(2 * len(x) * program.macs, 2 * x.nbytes + program.weights.nbytes)
